/* A folder of files as an app. Runs in: the process the user started. */
#include "cli/app_serve.h"

#include "base/file.h"
#include "base/list.h"
#include "cli/app_args.h"
#include "cli/app_shared.h"
#include "cli/home.h"
#include "daemon/options.h"

#include <crypt.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static const char port_default[] = "8080";

struct serve {
    char folder[PATH_MAX]; /* absolute */
    const char *port;
    const char *home_page; /* with `spa`: what is sent for what is not there */
    const char *login;     /* NULL: for everybody */
    const char *password;
    bool spa;
    bool ftp; /* folders without an index show what is in them */
    char name[128];
    char conf[PATH_MAX];
    char users[PATH_MAX];
};

static bool complain(const char *what, const char *path)
{
    fprintf(stderr, "pelayan: cannot %s \"%s\": %s\n", what, path, strerror(errno));
    return false;
}

static bool is_port(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);

    return end != text && *end == '\0' && number > 0 && number < 65536;
}

/* Absolute, and fit to stand between quotes in a configuration. */
static bool resolve(struct serve *serve, const char *folder)
{
    struct stat stat_;

    if (realpath(folder, serve->folder) == NULL)
        return complain("serve", folder);
    if (stat(serve->folder, &stat_) != 0 || !S_ISDIR(stat_.st_mode)) {
        fprintf(stderr, "pelayan: \"%s\" is no folder\n", folder);
        return false;
    }
    if (strpbrk(serve->folder, "\"\\$\n") == NULL)
        return true;
    fprintf(stderr, "pelayan: the name of \"%s\" cannot stand in a configuration\n", folder);
    return false;
}

static bool check(struct serve *serve)
{
    if (!is_port(serve->port)) {
        fprintf(stderr, "pelayan: \"%s\" is no port\n", serve->port);
        return false;
    }
    if (serve->login != NULL && (serve->password == NULL || serve->login[0] == '\0' ||
                                 strpbrk(serve->login, ":\n") != NULL)) {
        fputs("pelayan: --basic-auth-username needs a name without \":\" and a"
              " --basic-auth-password\n",
              stderr);
        return false;
    }
    if (strpbrk(serve->home_page, "\"\\$;{} \n") != NULL || serve->home_page[0] != '/') {
        fprintf(stderr, "pelayan: \"%s\" is no page: one like /index.html\n", serve->home_page);
        return false;
    }
    if (serve->name[0] == '\0')
        snprintf(serve->name, sizeof serve->name, "static-page-server-%s", serve->port);
    if (strchr(serve->name, '/') == NULL)
        return true;
    fprintf(stderr, "pelayan: \"%s\" is no name for what is served\n", serve->name);
    return false;
}

/* ---- its files */

/* root's worker is somebody else, who may not be let into the folder. */
static bool is_open_to_all(const char *folder)
{
    char path[PATH_MAX];
    struct stat stat_;

    snprintf(path, sizeof path, "%s", folder);
    for (char *at = path + strlen(path); at > path; at = strrchr(path, '/')) {
        *at = '\0';
        if (stat(path, &stat_) == 0 && (stat_.st_mode & S_IXOTH) == 0)
            return false;
    }
    return true;
}

static void print_types(FILE *out)
{
    static const char *const types[] = {
        "text/html html htm",
        "text/css css",
        "text/javascript js mjs",
        "application/json json map",
        "application/manifest+json webmanifest",
        "application/wasm wasm",
        "text/plain txt md",
        "text/csv csv",
        "application/xml xml",
        "image/png png",
        "image/jpeg jpg jpeg",
        "image/gif gif",
        "image/svg+xml svg svgz",
        "image/webp webp",
        "image/avif avif",
        "image/x-icon ico",
        "font/woff woff",
        "font/woff2 woff2",
        "font/ttf ttf",
        "font/otf otf",
        "audio/mpeg mp3",
        "audio/ogg ogg",
        "video/mp4 mp4",
        "video/webm webm",
        "application/pdf pdf",
        "application/zip zip",
        "application/gzip gz",
    };

    fputs("    types {\n", out);
    for (size_t i = 0; i < COUNT(types); i++)
        fprintf(out, "        %s;\n", types[i]);
    fputs("    }\n    default_type application/octet-stream;\n    charset utf-8;\n", out);
}

static void print_conf(FILE *out, const struct serve *serve)
{
    fprintf(out, "# Written by \"pelayan serve\" each time it is called.\n");
    if (geteuid() == 0 && (serve->login != NULL || !is_open_to_all(serve->folder)))
        fputs("user root; # nobody else may read it\n", out);
    fprintf(out,
            "daemon off;\npid \"%s.pid\";\nerror_log stderr;\n\nevents {\n}\n\n"
            "http {\n    access_log /dev/stdout;\n",
            serve->conf);
    print_types(out);
    fprintf(out, "\n    server {\n        listen %s;\n        root \"%s\";\n        index %s;\n",
            serve->port, serve->folder, serve->home_page + 1);
    if (serve->login != NULL)
        fprintf(out, "        auth_basic \"%s\";\n        auth_basic_user_file \"%s\";\n",
                serve->name, serve->users);
    fprintf(out, "\n        location / {\n            try_files $uri $uri/ %s;\n%s        }\n",
            serve->spa ? serve->home_page : "=404",
            serve->ftp ? "            autoindex on;\n" : "");
    if (!serve->spa) /* as pm2 does, a page of the folder's own */
        fputs("        error_page 404 /404.html;\n", out);
    fputs("    }\n}\n", out);
}

static bool write_users(const struct serve *serve)
{
    char salt[CRYPT_GENSALT_OUTPUT_SIZE];
    struct crypt_data *data = calloc(1, sizeof *data);
    char random[16];
    char *line = NULL;
    bool good = data != NULL && getrandom(random, sizeof random, 0) == (ssize_t)sizeof random &&
                crypt_gensalt_rn("$6$", 0, random, sizeof random, salt, sizeof salt) != NULL &&
                crypt_r(serve->password, salt, data) != NULL &&
                asprintf(&line, "%s:%s\n", serve->login, data->output) >= 0;

    if (good)
        good = file_replace(serve->users, slice_of(line), 0600);
    if (!good)
        complain("write", serve->users);
    free(line);
    free(data);
    return good;
}

static bool write_files(struct serve *serve)
{
    const char *home = home_path();
    char folder[PATH_MAX];
    char *text = NULL;
    size_t len = 0;
    FILE *out;
    bool written;

    if (home == NULL || snprintf(folder, sizeof folder, "%s/serve", home) >= PATH_MAX ||
        snprintf(serve->conf, PATH_MAX, "%s/%s.conf", folder, serve->name) >= PATH_MAX ||
        snprintf(serve->users, PATH_MAX, "%s/%s.users", folder, serve->name) >= PATH_MAX)
        return false;
    if (!file_folders(home, 0700) || !file_folders(folder, 0700))
        return complain("make", folder);
    if (serve->login != NULL && !write_users(serve))
        return false;
    out = open_memstream(&text, &len);
    if (out == NULL)
        return complain("write", serve->conf);
    print_conf(out, serve);
    fclose(out);
    written = file_replace(serve->conf, slice_make(text, len), 0600) ||
              complain("write", serve->conf);
    free(text);
    return written;
}

/* What the runner is to know. The server says itself when it serves; it ends when it has finished
 * what it has begun, which it tells its worker itself. */
static void describe(const struct serve *serve, const char *program, json_t *app)
{
    json_t *spec = json_pack("{s:s, s:s, s:s, s:s, s:[s, s, s, s], s:s, s:s, s:b, s:i}", "name",
                             serve->name, "script", program, "interpreter", "none", "cwd",
                             serve->folder, "args", "-c", serve->conf, "-p", serve->folder, "ready",
                             "notify", "kill_signal", "SIGQUIT", "treekill", 0, "kill_timeout",
                             3000);

    json_object_update(app, spec);
    json_decref(spec);
}

/* ---- the command */

static const char *first_of(const char *a, const char *b, const char *c)
{
    return a != NULL ? a : b != NULL ? b : c;
}

static int run_serve(const struct run_options *options, const struct app_args *args)
{
    const char *folder = args->word_count > 0 ? args->words[0] : getenv("PM2_SERVE_PATH");
    struct serve serve = {.spa = args->spa,
                          .ftp = args->ftp,
                          .home_page = "/index.html",
                          .login = args->login,
                          .password = args->password};
    const char *name = json_string_value(json_object_get(args->spec, "name"));
    json_t *app = json_object();
    json_t *request;

    serve.port = first_of(args->port, args->word_count > 1 ? args->words[1] : NULL,
                          first_of(getenv("PM2_SERVE_PORT"), port_default, NULL));
    if (name != NULL)
        snprintf(serve.name, sizeof serve.name, "%s", name);
    if (!resolve(&serve, folder == NULL ? "." : folder) || !check(&serve) || !write_files(&serve)) {
        json_decref(app);
        return 1;
    }
    json_object_update(app, args->spec);
    describe(&serve, options->program, app);
    request = json_pack("{s:[o], s:o, s:b}", "apps", app, "inherited", home_environment(),
                        "only_new", 0);
    if (args->no_daemon)
        return app_run_here(options, "start", request, args, serve.name);
    if (app_code(home_ask("start", request, HOME_START, NULL)) != 0)
        return 1;
    if (!args->silent)
        printf("%s is served at http://localhost:%s/\n", serve.folder, serve.port);
    return app_show_after(0, args);
}

int app_serve(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    int code = 1;

    if (app_args_parse(&args, argc, argv, ARGS_SERVE | ARGS_SPECS))
        code = run_serve(options, &args);
    app_args_fini(&args);
    return code;
}

/* ---- pm2's way in a file */

static const char *variable(json_t *env, const char *name)
{
    static char number[16];
    json_t *value = json_object_get(env, name);

    if (!json_is_integer(value))
        return json_string_value(value);
    snprintf(number, sizeof number, "%d", (int)json_integer_value(value));
    return number;
}

bool app_serve_expand(const struct run_options *options, json_t *app)
{
    const char *script = json_string_value(json_object_get(app, "script"));
    const char *cwd = json_string_value(json_object_get(app, "cwd"));
    const char *name = json_string_value(json_object_get(app, "name"));
    json_t *env = json_object_get(app, "env");
    const char *folder = variable(env, "PM2_SERVE_PATH");
    const char *spa = variable(env, "PM2_SERVE_SPA");
    struct serve serve = {.spa = (spa != NULL && strcmp(spa, "true") == 0) ||
                                 json_is_true(json_object_get(env, "PM2_SERVE_SPA")),
                          .login = variable(env, "PM2_SERVE_BASIC_AUTH_USERNAME"),
                          .password = variable(env, "PM2_SERVE_BASIC_AUTH_PASSWORD")};
    char path[PATH_MAX];

    if (script == NULL || strcmp(script, "serve") != 0 || folder == NULL)
        return true;
    serve.port = first_of(variable(env, "PM2_SERVE_PORT"), port_default, NULL);
    serve.home_page = first_of(variable(env, "PM2_SERVE_HOMEPAGE"), "/index.html", NULL);
    if (name != NULL)
        snprintf(serve.name, sizeof serve.name, "%s", name);
    if (snprintf(path, sizeof path, "%s%s%s", folder[0] == '/' ? "" : cwd,
                 folder[0] == '/' ? "" : "/", folder) >= PATH_MAX)
        return false;
    if (!resolve(&serve, path) || !check(&serve) || !write_files(&serve))
        return false;
    describe(&serve, options->program, app);
    return true;
}
