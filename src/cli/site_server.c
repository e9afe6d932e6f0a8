/* The server of domains. Runs in: the process the user started. */
#include "cli/site_server.h"

#include "base/arena.h"
#include "base/diag.h"
#include "base/file.h"
#include "cli/home.h"
#include "cli/signal.h"
#include "cli/site.h"
#include "config/files.h"
#include "config/tree.h"
#include "control/client.h"
#include "daemon/options.h"
#include "daemon/pid_file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool path_in_home(const char *name, char out[PATH_MAX])
{
    const char *home = home_path();
    int len = home == NULL ? -1 : snprintf(out, PATH_MAX, "%s/%s", home, name);

    return len > 0 && len < PATH_MAX;
}

/* Its control socket. */
static bool own_socket(char out[PATH_MAX])
{
    char pid_path[PATH_MAX];

    return path_in_home("server.pid", pid_path) && pid_file_socket(pid_path, out, PATH_MAX);
}

/* What is asked of whoever listens there. The answer is printed if it is an error. */
static enum client_result ask(const char *socket_path, const char *command)
{
    struct arena *arena = arena_new(4096);
    struct slice answer = slice_of("");
    enum client_result result = CLIENT_LOST;

    if (arena != NULL)
        result = client_ask(socket_path, command, arena, &answer);
    if (result == CLIENT_REFUSED || (result == CLIENT_OK && answer.len > 0))
        fprintf(stderr, "%.*s%s", SLICE_ARG(answer),
                answer.len > 0 && answer.data[answer.len - 1] == '\n' ? "" : "\n");
    arena_drop(arena);
    return result;
}

bool site_server_runs(void)
{
    char socket_path[PATH_MAX];

    return own_socket(socket_path) && client_listens(socket_path);
}

bool site_server_stop(void)
{
    char socket_path[PATH_MAX];

    return own_socket(socket_path) && access(socket_path, F_OK) == 0 &&
           ask(socket_path, "stop") != CLIENT_NOBODY;
}

/* Written once; then it is the user's. */
static bool write_conf(const char *path)
{
    char sites[PATH_MAX];
    char *text = NULL;
    bool written;

    if (access(path, F_OK) == 0)
        return true;
    if (!path_in_home("sites", sites) || !file_folders(sites, 0755))
        return false;
    if (asprintf(&text,
                 "# The server of the domains of \"pelayan start --domain\". Written once: edit it"
                 " as you like.\n\n"
                 "worker_processes auto;\npid server.pid;\nerror_log logs/server-error.log;\n\n"
                 "events {\n    worker_connections 4096;\n}\n\n"
                 "http {\n"
                 "    access_log logs/server-access.log;\n"
                 "    client_body_temp_path temp/body;\n    proxy_temp_path temp/proxy;\n\n"
                 "    # one file per domain\n    include sites/*.conf;\n}\n\n"
                 "# whose apps these are\napps {\n    home \"%s\";\n}\n",
                 home_path()) < 0)
        return false;
    written = file_replace(path, slice_of(text), 0644);
    if (!written)
        fprintf(stderr, "pelayan: cannot write \"%s\": %s\n", path, strerror(errno));
    free(text);
    return written;
}

/* It says when it serves, or why not, and then leaves us. */
static bool launch(const struct run_options *options, const char *conf)
{
    const char *home = home_path();
    char prefix[PATH_MAX];
    int status = -1;
    pid_t pid;

    snprintf(prefix, sizeof prefix, "%s/", home);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        setenv("PELAYAN_HOME", home, 1);
        execl(options->program, "pelayan", "-c", conf, "-p", prefix, (char *)NULL);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    fprintf(stderr,
            "pelayan: the server of your domains could not be started; its configuration"
            " is %s\n",
            conf);
    return false;
}

static bool make_places(char conf[PATH_MAX])
{
    static const char *const folders[] = {"logs", "temp"};
    char path[PATH_MAX];

    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (!path_in_home(folders[i], path) || !file_folders(path, 0700)) {
            fprintf(stderr, "pelayan: cannot make \"%s\": %s\n", path, strerror(errno));
            return false;
        }
    }
    return path_in_home("nginx.conf", conf) && write_conf(conf);
}

static bool start_or_reload(const struct run_options *options)
{
    char socket_path[PATH_MAX];
    char conf[PATH_MAX];

    if (!make_places(conf))
        return false;
    if (!own_socket(socket_path)) {
        fputs("pelayan: the path of PELAYAN_HOME is too long for a socket\n", stderr);
        return false;
    }
    switch (ask(socket_path, "reload")) {
    case CLIENT_OK:
        return true;
    case CLIENT_NOBODY:
        return launch(options, conf);
    case CLIENT_REFUSED:
        return false;
    case CLIENT_LOST:
        break;
    }
    fputs("pelayan: the server of your domains left before it answered\n", stderr);
    return false;
}

/* Does the configuration of the server that `options` lead to read this file? */
static bool includes(const struct run_options *options, const char *file)
{
    struct config_files *files = config_files_from_disk();
    struct diag diag;
    struct tree tree;
    bool found = false;

    diag_init(&diag);
    tree_init(&tree, files);
    if (files != NULL)
        tree_parse(&tree, files, options->conf_path, &diag);
    for (size_t i = 0; i < tree.file_count; i++)
        found = found || strcmp(tree.files[i].path, file) == 0;
    tree_fini(&tree);
    diag_fini(&diag);
    config_files_free(files);
    return found;
}

/* The socket of a running server that includes `file` and is not our own. */
static bool others_socket(const struct run_options *options, const char *file, char out[PATH_MAX])
{
    char own[PATH_MAX];

    return signal_find_socket(options, out) && access(out, F_OK) == 0 && client_listens(out) &&
           !(own_socket(own) && strcmp(own, out) == 0) && includes(options, file);
}

bool site_server_apply(const struct run_options *options, const struct site *site)
{
    char socket_path[PATH_MAX];

    if (others_socket(options, site->file, socket_path))
        return ask(socket_path, "reload") == CLIENT_OK;
    return start_or_reload(options);
}

struct first {
    struct site site;
    bool found;
};

static bool take_first(void *context, struct site *site)
{
    struct first *first = context;

    if (!first->found)
        first->site = *site;
    first->found = true;
    return true;
}

bool site_server_bring_back(const struct run_options *options)
{
    char conf[PATH_MAX];
    char socket_path[PATH_MAX];
    struct first *first;
    bool good = true;

    if (!path_in_home("nginx.conf", conf) || access(conf, F_OK) != 0 || site_server_runs())
        return true;
    first = calloc(1, sizeof *first);
    if (first == NULL)
        return false;
    site_each(home_path(), take_first, first);
    if (first->found && !others_socket(options, first->site.file, socket_path))
        good = start_or_reload(options);
    free(first);
    return good;
}
