/* Where things are. Runs in: the process the user started. */
#include "cli/places.h"

#include "cli/args.h"
#include "daemon/options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char nginx_conf[] = "/etc/nginx/nginx.conf";
static const char nginx_prefix[] = "/usr/share/nginx/";
static const char own_prefix[] = PELAYAN_PREFIX "/share/pelayan/";

/* folder + rest unless `rest` is absolute; never freed: it is needed until the end. NULL: no
 * memory. */
static const char *join(const char *folder, const char *rest)
{
    char *path;

    if (rest[0] == '/')
        return strdup(rest);
    return asprintf(&path, "%s%s", folder, rest) < 0 ? NULL : path;
}

static const char *current_folder(void)
{
    char folder[PATH_MAX];
    char *path;

    if (getcwd(folder, sizeof folder) == NULL)
        return "/";
    return asprintf(&path, "%s%s", folder, strcmp(folder, "/") == 0 ? "" : "/") < 0 ? NULL : path;
}

static const char *with_slash(const char *folder)
{
    size_t len = strlen(folder);
    char *path;

    if (len > 0 && folder[len - 1] == '/')
        return folder;
    return asprintf(&path, "%s/", folder) < 0 ? NULL : path;
}

static bool exists(const char *path)
{
    return path != NULL && access(path, F_OK) == 0;
}

/* With -p alone the file is looked for in the prefix, where nginx's own build has it, or directly
 * there. */
static const char *find_conf(const struct args *args, const char *prefix)
{
    if (args->conf != NULL && args->prefix == NULL) {
        /* from here, where the user stands and the shell completes; else where nginx looks */
        const char *here = join(current_folder(), args->conf);

        return exists(here) ? here : join(prefix, args->conf);
    }
    if (args->conf != NULL)
        return join(prefix, args->conf);
    if (args->prefix != NULL) {
        const char *inside = join(prefix, "conf/nginx.conf");

        if (exists(inside))
            return inside;
        inside = join(prefix, "nginx.conf");
        if (exists(inside))
            return inside;
    }
    return exists(PELAYAN_CONF) || !exists(nginx_conf) ? PELAYAN_CONF : nginx_conf;
}

static const char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? "./" : strndup(path, (size_t)(slash - path) + 1);
}

/* An ordinary user cannot write to /run: their session's folder is theirs. */
static const char *default_pid(const struct args *args, const char *prefix)
{
    const char *session = getenv("XDG_RUNTIME_DIR");

    if (args->prefix != NULL && exists(join(prefix, "logs")))
        return join(prefix, "logs/pelayan.pid");
    if (geteuid() != 0 && session != NULL && session[0] == '/')
        return join(with_slash(session), "pelayan.pid");
    return "/run/pelayan.pid";
}

static const char *default_log(const struct args *args, const char *prefix)
{
    if (args->prefix != NULL && exists(join(prefix, "logs")))
        return join(prefix, "logs/error.log");
    if (exists("/var/log/pelayan"))
        return "/var/log/pelayan/error.log";
    return "stderr";
}

/* argv[0] as the shell found it: what USR2 executes is what stands there then. */
static const char *find_program(const char *name)
{
    char *path;
    const char *folders = getenv("PATH");
    char *rest = folders == NULL ? NULL : strdup(folders);
    char *keep = NULL;

    if (strchr(name, '/') != NULL)
        return join(current_folder(), name);
    for (char *folder = rest == NULL ? NULL : strtok_r(rest, ":", &keep); folder != NULL;
         folder = strtok_r(NULL, ":", &keep)) {
        if (asprintf(&path, "%s/%s", folder, name) >= 0 && access(path, X_OK) == 0)
            return path;
    }
    return realpath("/proc/self/exe", NULL);
}

static const char *resolve_prefix(const struct args *args)
{
    if (args->prefix != NULL)
        return join(current_folder(), with_slash(args->prefix));
    if (args->conf == NULL && !exists(PELAYAN_CONF) && exists(nginx_conf))
        return exists(nginx_prefix) ? nginx_prefix : own_prefix;
    return own_prefix;
}

bool places_resolve(const struct args *args, char *const *argv, bool notice,
                    struct run_options *options)
{
    const char *prefix = resolve_prefix(args);
    const char *base = args->prefix != NULL ? prefix : current_folder();
    const char *log = args->error_log;

    *options = (struct run_options){
        .prefix = prefix,
        .conf_path = find_conf(args, prefix),
        .error_log_given = log != NULL,
        .pid_path = default_pid(args, prefix),
        .directives = args->directives,
        .strict = args->strict,
        .quiet = args->quiet,
        .argv = argv,
        .program = find_program(argv[0]),
    };
    if (log == NULL)
        options->error_log = default_log(args, prefix);
    else
        options->error_log = strcmp(log, "stderr") == 0 ? log : join(base, log);
    if (options->conf_path == NULL || options->error_log == NULL || options->prefix == NULL) {
        fputs("pelayan: [emerg] no memory\n", stderr);
        return false;
    }
    options->conf_prefix = folder_of(options->conf_path);
    if (notice && options->conf_path == nginx_conf)
        fprintf(stderr, "pelayan: [notice] there is no %s: using %s\n", PELAYAN_CONF, nginx_conf);
    return options->conf_prefix != NULL && options->program != NULL;
}
