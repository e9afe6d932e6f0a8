#include "cli/explain.h"

#include "config/files.h"
#include "config/snapshot.h"
#include "daemon/load.h"
#include "http/features/explain.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool is_method(const char *word)
{
    return isupper((unsigned char)word[0]) && strpbrk(word, ":/.") == NULL;
}

/* `headers` has room for argc words. */
static bool parse(int argc, char **argv, struct explain_request *request, const char **headers)
{
    *request = (struct explain_request){.method = "GET", .headers = headers};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-H") == 0 && i + 1 < argc)
            headers[request->header_count++] = argv[++i];
        else if (request->url == NULL && is_method(argv[i]))
            request->method = argv[i];
        else if (request->url == NULL && argv[i][0] != '-')
            request->url = argv[i];
        else
            return false;
    }
    return request->url != NULL;
}

static bool run(const struct run_options *options, const struct explain_request *request)
{
    struct load load;
    bool done = false;

    if (!load_run(&load, options, config_files_from_disk()))
        diag_print(&load.diag, stderr);
    else if (load.snapshot->http == NULL)
        fputs("pelayan: there is no http block in this configuration\n", stderr);
    else
        done = explain(load.snapshot->http, request, stdout);
    load_fini(&load);
    return done;
}

int explain_command(const struct run_options *options, int argc, char **argv)
{
    struct explain_request request;
    const char **headers = calloc((size_t)argc, sizeof(char *));
    bool done = false;

    if (headers == NULL || !parse(argc, argv, &request, headers))
        fputs("usage: pelayan explain [METHOD] URL [-H 'Name: value']...\n", stderr);
    else
        done = run(options, &request);
    free(headers);
    return done ? 0 : 1;
}
