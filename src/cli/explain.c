#include "cli/explain.h"

#include "config/files.h"
#include "config/snapshot.h"
#include "daemon/load.h"
#include "daemon/runner_apps.h"
#include "http/features/explain.h"

#include <ctype.h>
#include <jansson.h>
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

static json_t *apps; /* what the runner says; NULL: none answers. For the one call of run() */

static void tell_instances(FILE *out, const json_t *instances)
{
    json_t *instance;
    size_t index;

    json_array_foreach(instances, index, instance)
    {
        const char *address = json_string_value(json_object_get(instance, "address"));
        const char *state = json_string_value(json_object_get(instance, "state"));
        json_int_t id = json_integer_value(json_object_get(instance, "id"));

        if (address != NULL && state != NULL)
            fprintf(out, "peer      %s, instance %lld, %s\n", address, (long long)id, state);
    }
}

static bool tell_app(FILE *out, struct slice name, bool surely)
{
    const json_t *app = json_object_getn(apps, name.data, name.len);
    const char *status = json_string_value(json_object_get(app, "status"));
    const char *reason = json_string_value(json_object_get(app, "reason"));

    if (status == NULL && !surely)
        return false;
    if (apps == NULL)
        status = "not looked at, because no runner answers";
    fprintf(out, "app       %.*s is %s%s%s\n", SLICE_ARG(name),
            status == NULL ? "not known to the runner" : status,
            reason == NULL || reason[0] == '\0' ? "" : ": ", reason == NULL ? "" : reason);
    tell_instances(out, json_object_get(app, "instances"));
    return true;
}

static bool run(const struct run_options *options, struct explain_request *request)
{
    struct load load;
    bool done = false;

    if (!load_run(&load, options, config_files_from_disk()))
        diag_print(&load.diag, stderr);
    else if (load.snapshot->http == NULL)
        fputs("pelayan: there is no http block in this configuration\n", stderr);
    else {
        apps = runner_apps(load.snapshot);
        request->tell_app = tell_app;
        done = explain(load.snapshot->http, request, stdout);
        json_decref(apps);
        apps = NULL;
    }
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
