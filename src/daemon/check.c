/* -t and -T. Runs in: the process the user started. */
#include "daemon/check.h"

#include "config/files.h"
#include "daemon/load.h"
#include "daemon/manifest.h"
#include "daemon/options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void dump_files(const struct config_files *files)
{
    for (size_t i = 0; i < config_files_count(files); i++) {
        struct slice text = config_files_text(files, i);

        printf("# configuration file %s:\n", config_files_path(files, i));
        fwrite(text.data, 1, text.len, stdout);
        putchar('\n');
    }
}

/* Unlike nginx we do not create the file: a test by root would leave it to root. */
static bool log_can_be_opened(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (access(path, W_OK) == 0)
        return true;
    if (errno != ENOENT || slash == NULL)
        return false;
    snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return access(folder, W_OK | X_OK) == 0;
}

/* Those that a start does without: see bundle_open.c. */
static bool is_default(const struct run_options *options, const char *path)
{
    size_t prefix_len = strlen(options->prefix);

    if (strcmp(path, options->error_log) == 0)
        return !options->error_log_given;
    return strncmp(path, options->prefix, prefix_len) == 0 &&
           strcmp(path + prefix_len, "logs/access.log") == 0;
}

static void check_logs(const struct manifest *manifest, const struct run_options *options,
                       struct diag *diag)
{
    for (size_t i = 0; i < manifest->logs.count; i++) {
        const char *path = manifest->logs.items[i].data;

        if (log_can_be_opened(path))
            continue;
        if (is_default(options, path))
            diag_add(diag, DIAG_WARN, NULL, "the default log \"%s\" cannot be written (%d: %s)",
                     path, errno, strerror(errno));
        else
            diag_add(diag, DIAG_ERROR, NULL, "open() \"%s\" failed (%d: %s)", path, errno,
                     strerror(errno));
    }
}

static void check_surroundings(struct load *load, const struct run_options *options)
{
    struct manifest *manifest = load_manifest(load, options, &load->diag);

    if (manifest != NULL)
        check_logs(manifest, options, &load->diag);
    manifest_free(manifest);
}

int check_config(const struct run_options *options, bool dump)
{
    struct load load;
    bool readable = load_run(&load, options, config_files_from_disk());
    bool good;

    if (readable)
        check_surroundings(&load, options);
    good = !diag_failed(&load.diag);
    diag_print(&load.diag, stderr);
    if (readable && !options->quiet)
        fprintf(stderr, "pelayan: the configuration file %s syntax is ok\n", options->conf_path);
    if (!good)
        fprintf(stderr, "pelayan: configuration file %s test failed\n", options->conf_path);
    else if (!options->quiet)
        fprintf(stderr, "pelayan: configuration file %s test is successful\n", options->conf_path);
    if (readable && dump)
        dump_files(load.files);
    load_fini(&load);
    return good ? 0 : 1;
}
