/* Where things are. Runs in: the process the user started. */
#include "cli/places.h"

#include "base/arena.h"
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

static struct arena *texts; /* all paths; never dropped: they are needed until the end */

/* folder + rest unless `rest` is absolute. NULL: no memory. */
static const char *join(const char *folder, const char *rest)
{
    return arena_printf(texts, "%s%s", rest[0] == '/' ? "" : folder, rest).data;
}

static const char *with_slash(const char *folder)
{
    size_t len = strlen(folder);

    return arena_printf(texts, "%s%s", folder, len > 0 && folder[len - 1] == '/' ? "" : "/").data;
}

static const char *current_folder(void)
{
    char folder[PATH_MAX];

    return getcwd(folder, sizeof folder) == NULL ? "/" : with_slash(folder);
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
        const char *inside = join(prefix, args->conf);

        return exists(here) || !exists(inside) ? here : inside;
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

    return slash == NULL ? "./"
                         : arena_copy(texts, slice_make(path, (size_t)(slash - path) + 1)).data;
}

/* An ordinary user cannot write to /run: their prefix, their session's folder and the
 * file's own folder are theirs. */
static const char *default_pid(const struct args *args, const char *prefix, const char *conf_prefix)
{
    const char *session = getenv("XDG_RUNTIME_DIR");

    if (args->prefix != NULL && exists(join(prefix, "logs")))
        return join(prefix, "logs/pelayan.pid");
    if (args->prefix != NULL && geteuid() != 0)
        return join(prefix, "pelayan.pid");
    if (geteuid() != 0 && session != NULL && session[0] == '/')
        return join(with_slash(session), "pelayan.pid");
    if (geteuid() != 0 && args->conf != NULL && access(conf_prefix, W_OK) == 0)
        return join(conf_prefix, "pelayan.pid");
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
    struct slice rest = slice_of(getenv("PATH"));
    struct slice folder;
    char self[PATH_MAX];
    ssize_t len;

    if (strchr(name, '/') != NULL)
        return join(current_folder(), name);
    while (slice_split(&rest, ':', &folder)) {
        struct slice path = arena_printf(texts, "%.*s/%s", SLICE_ARG(folder), name);

        if (path.data != NULL && access(path.data, X_OK) == 0)
            return path.data;
    }
    len = readlink("/proc/self/exe", self, sizeof self);
    return len < 0 ? NULL : arena_copy(texts, slice_make(self, (size_t)len)).data;
}

/* The folder of the file, for ordinary users who were not given a place where temporary files may
 * be: theirs, as a rule. NULL: not so. */
static const char *own_folder(const struct args *args)
{
    const char *path;
    const char *folder;

    if (geteuid() == 0 || args->conf == NULL || access(own_prefix, W_OK) == 0)
        return NULL;
    path = join(current_folder(), args->conf);
    folder = path == NULL ? NULL : folder_of(path);
    return folder != NULL && access(folder, W_OK) == 0 ? folder : NULL;
}

static const char *resolve_prefix(const struct args *args)
{
    const char *own;

    if (args->prefix != NULL)
        return join(current_folder(), with_slash(args->prefix));
    own = own_folder(args);
    if (own != NULL)
        return own;
    if (args->conf == NULL && !exists(PELAYAN_CONF) && exists(nginx_conf))
        return exists(nginx_prefix) ? nginx_prefix : own_prefix;
    return own_prefix;
}

bool places_resolve(const struct args *args, char *const *argv, bool notice,
                    struct run_options *options)
{
    const char *prefix;
    const char *base;
    const char *log = args->error_log;

    texts = arena_new(4096);
    if (texts == NULL)
        return false;
    prefix = resolve_prefix(args);
    base = args->prefix != NULL ? prefix : current_folder();
    *options = (struct run_options){
        .prefix = prefix,
        .conf_path = find_conf(args, prefix),
        .error_log_given = log != NULL,
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
    if (options->conf_prefix != NULL)
        options->pid_path = default_pid(args, prefix, options->conf_prefix);
    if (notice && options->conf_path == nginx_conf)
        fprintf(stderr, "pelayan: [notice] there is no %s: using %s\n", PELAYAN_CONF, nginx_conf);
    return options->pid_path != NULL && options->program != NULL;
}
