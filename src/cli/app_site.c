/* Domains of apps. Runs in: the process the user started. */
#include "cli/app_site.h"

#include "base/file.h"
#include "base/list.h"
#include "cli/app_args.h"
#include "cli/cert.h"
#include "cli/home.h"
#include "cli/hosts.h"
#include "cli/site.h"
#include "cli/site_server.h"
#include "event/address.h"
#include "event/socket.h"
#include "tls/issue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CHANGES_MAX = 1024,
    PORT_HTTP = 80,
    PORT_TLS = 443,
    PORT_FIRST = 8080,
    PORT_TLS_FIRST = 8443,
    PORTS_TRIED = 100,
};

/* Files as they were, for when the server does not like what they are. */
struct changes {
    struct {
        char *path; /* owned */
        char *text; /* owned; NULL: there was none */
    } items[CHANGES_MAX];
    size_t count;
};

static bool complain(const char *what, const char *path)
{
    fprintf(stderr, "pelayan: cannot %s \"%s\": %s\n", what, path, strerror(errno));
    return false;
}

/* `text` NULL: the file is removed. */
static bool change_file(struct changes *changes, const char *path, const char *text)
{
    char *before = file_read(path, 1 << 20, NULL);

    if (before != NULL && text != NULL && strcmp(before, text) == 0) {
        free(before);
        return true;
    }
    if (changes->count == CHANGES_MAX) {
        free(before);
        fputs("pelayan: too many files would have to be changed\n", stderr);
        return false;
    }
    if (text == NULL ? unlink(path) != 0 && errno != ENOENT
                     : !file_replace(path, slice_of(text), 0644)) {
        free(before);
        return complain("write", path);
    }
    changes->items[changes->count].path = strdup(path);
    changes->items[changes->count++].text = before;
    return true;
}

static void take_back(struct changes *changes)
{
    while (changes->count > 0) {
        const char *path = changes->items[--changes->count].path;
        const char *text = changes->items[changes->count].text;

        if (path != NULL && text != NULL)
            file_replace(path, slice_of(text), 0644);
        else if (path != NULL)
            unlink(path);
        free(changes->items[changes->count].path);
        free(changes->items[changes->count].text);
    }
}

static void changes_fini(struct changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        free(changes->items[i].path);
        free(changes->items[i].text);
    }
    changes->count = 0;
}

/* Another site may have to take over the upstream, or to leave it to an earlier one. */
static bool write_again(void *context, struct site *site)
{
    char *text;
    bool written;

    if (site->edited || site->route_count == 0)
        return true;
    text = site_text(site, home_path());
    written = text != NULL && change_file(context, site->file, text);
    free(text);
    return written;
}

/* The file of `site`, then what follows from it, then the server; or nothing of all that. */
static bool put(const struct run_options *options, const struct site *site)
{
    struct changes *changes = calloc(1, sizeof *changes);
    char folder[PATH_MAX];
    char *text = site->route_count == 0 ? NULL : site_text(site, home_path());
    bool good = changes != NULL && (text != NULL || site->route_count == 0);

    snprintf(folder, sizeof folder, "%s/sites", home_path());
    if (good && !file_folders(folder, 0755))
        good = complain("make", folder);
    good = good && change_file(changes, site->file, text) &&
           site_each(home_path(), write_again, changes);
    if (good && !site_server_apply(options, site)) {
        good = false;
        fprintf(stderr, "pelayan: %s stays as it was\n", site->domain);
    }
    if (changes != NULL && !good)
        take_back(changes);
    if (changes != NULL)
        changes_fini(changes);
    free(changes);
    free(text);
    return good;
}

/* ---- where it listens */

enum port_answer { PORT_FREE, PORT_TAKEN, PORT_FORBIDDEN };

static enum port_answer try_port(int port)
{
    struct listen_options options = {.backlog = 1, .fastopen = -1};
    char text[32];
    int fd;

    snprintf(text, sizeof text, "0.0.0.0:%d", port);
    if (!address_parse(slice_of(text), 0, &options.address))
        return PORT_TAKEN;
    fd = socket_listen(&options);
    if (fd < 0)
        return errno == EACCES || errno == EPERM ? PORT_FORBIDDEN : PORT_TAKEN;
    close(fd);
    return PORT_FREE;
}

struct listen_search {
    const struct site *asking;
    char listen[SITE_NAME_BYTES];
};

static bool take_listen(void *context, struct site *site)
{
    struct listen_search *search = context;

    if (search->listen[0] == '\0' && site->tls == search->asking->tls &&
        strcmp(site->domain, search->asking->domain) != 0)
        snprintf(search->listen, sizeof search->listen, "%s", site->listen);
    return true;
}

/* Where the other sites are; else 80 or 443; else, where that is not for us, a port of our own. */
static bool choose_listen(struct site *site)
{
    struct listen_search search = {.asking = site};
    int usual = site->tls ? PORT_TLS : PORT_HTTP;
    int first = site->tls ? PORT_TLS_FIRST : PORT_FIRST;

    site_each(home_path(), take_listen, &search);
    memcpy(site->listen, search.listen, sizeof site->listen);
    if (site->listen[0] != '\0')
        return true;
    if (try_port(usual) != PORT_FORBIDDEN) {
        snprintf(site->listen, sizeof site->listen, "%d", usual);
        return true;
    }
    for (int port = first; port <= first + PORTS_TRIED; port++) {
        if (try_port(port) != PORT_FREE)
            continue;
        snprintf(site->listen, sizeof site->listen, "%d", port);
        printf("Port %d needs root's right: using %d.\n", usual, port);
        return true;
    }
    fprintf(stderr, "pelayan: no port from %d on is free: choose one with --listen\n", first);
    return false;
}

/* ---- start --domain */

static const char *path_of(const struct app_args *args)
{
    return args->path == NULL ? "/" : args->path;
}

static bool needs_domain(const struct app_args *args)
{
    const char *option = args->path != NULL          ? "--path"
                         : args->listen != NULL      ? "--listen"
                         : args->tls                 ? "--tls"
                         : args->certificate != NULL ? "--certificate"
                                                     : "--certificate-key";

    if (args->path == NULL && args->listen == NULL && !args->tls && args->certificate == NULL &&
        args->certificate_key == NULL)
        return true;
    fprintf(stderr, "pelayan: %s needs a --domain\n", option);
    return false;
}

/* A certificate has to come from somewhere: from us only for names that are nobody's. */
static bool check_tls(const struct app_args *args)
{
    bool given = args->certificate != NULL;

    if (given != (args->certificate_key != NULL))
        fputs("pelayan: --certificate and --certificate-key belong together\n", stderr);
    else if (given && !args->tls)
        fputs("pelayan: --certificate needs --tls\n", stderr);
    else if (args->tls && !given && !issue_name_is_local(args->domain))
        fprintf(stderr,
                "pelayan: %s is a public name, for which our own authority makes no certificate."
                " Let a public one\n         make it, and add --certificate FILE"
                " --certificate-key FILE. For a trial, \"pelayan cert selfsigned\n         %s\""
                " makes one that browsers warn about.\n",
                args->domain, args->domain);
    else
        return true;
    return false;
}

bool app_site_check(const struct app_args *args, const char *app)
{
    struct address address;

    if (args->domain == NULL)
        return needs_domain(args);
    if (!site_domain_fits(args->domain))
        fprintf(stderr, "pelayan: \"%s\" is no domain: one like shop.example or shop.localhost\n",
                args->domain);
    else if (!site_path_fits(path_of(args)))
        fprintf(stderr, "pelayan: \"%s\" is no path: one like / or /api/\n", args->path);
    else if (args->listen != NULL && !address_parse(slice_of(args->listen), 80, &address))
        fprintf(stderr,
                "pelayan: \"%s\" is nothing to listen on: a port like 8080, or"
                " 127.0.0.1:8080\n",
                args->listen);
    else if (!site_app_fits(app))
        fprintf(stderr,
                "pelayan: \"%s\" cannot stand in an address: give the app a --name of letters,"
                " digits, \"-\", \"_\" and \".\"\n",
                app);
    else
        return check_tls(args);
    return false;
}

static void say_address(const struct site *site, const char *app, const char *path)
{
    const char *colon = strrchr(site->listen, ':');
    const char *port = colon == NULL ? site->listen : colon + 1;
    bool usual = strcmp(port, site->tls ? "443" : "80") == 0;

    printf("%s://%s%s%s%s is served by \"%s\" (%s)\n", site->tls ? "https" : "http", site->domain,
           usual ? "" : ":", usual ? "" : port, path, app, site->file);
    if (!hosts_knows(site->domain))
        printf("Should %s not lead to this machine yet: pelayan hosts --write %s\n", site->domain,
               site->domain);
}

/* What somebody has edited is theirs; they are told what would have been written. */
static bool leave_edited(const struct site *site, const struct app_args *args, const char *app)
{
    fprintf(stderr, "pelayan: %s was edited by somebody and is left alone. What it would need:\n\n",
            site->file);
    if (args->tls)
        site_print_listen(stderr, site);
    fprintf(stderr, "    location %s {\n        proxy_pass http://%s;\n    }\n\n", path_of(args),
            app);
    return false;
}

static bool take_file(char out[PATH_MAX], const char *path)
{
    if (realpath(path, out) == NULL || access(out, R_OK) != 0)
        return complain("read", path);
    if (site_file_fits(out))
        return true;
    fprintf(stderr, "pelayan: \"%s\" cannot stand in a configuration: give the file another name\n",
            out);
    return false;
}

/* The certificate that was named, or one of our own authority. False: message printed. */
static bool take_certificate(struct site *site, const struct app_args *args)
{
    struct cert_paths paths;

    site->tls = true;
    if (args->certificate != NULL)
        return take_file(site->certificate, args->certificate) &&
               take_file(site->certificate_key, args->certificate_key);
    return cert_for_local_name(site->domain, &paths) &&
           take_file(site->certificate, paths.certificate) &&
           take_file(site->certificate_key, paths.key);
}

/* Where it listens, and with what. False: message printed. */
static bool choose_place(struct site *site, const struct app_args *args)
{
    bool moves = args->tls && !site->tls;

    if (args->tls && !take_certificate(site, args))
        return false;
    if (args->listen != NULL)
        snprintf(site->listen, sizeof site->listen, "%s", args->listen);
    else if (moves || site->listen[0] == '\0')
        return choose_listen(site);
    return true;
}

bool app_site_add(const struct run_options *options, const struct app_args *args, const char *app)
{
    struct site site;
    struct site_route *route;
    bool had_tls;

    if (!site_load(&site, home_path(), args->domain))
        return false;
    had_tls = site.tls;
    route = site_find(&site, path_of(args));
    if (!(site.edited && had_tls) && !choose_place(&site, args))
        return false;
    if (site.edited && (route == NULL || strcmp(route->app, app) != 0 || (args->tls && !had_tls)))
        return leave_edited(&site, args, app);
    if (route == NULL && site.route_count == SITE_ROUTES_MAX) {
        fprintf(stderr, "pelayan: %s has %d paths already\n", site.file, SITE_ROUTES_MAX);
        return false;
    }
    if (route == NULL)
        route = &site.routes[site.route_count++];
    snprintf(route->path, sizeof route->path, "%s", path_of(args));
    snprintf(route->app, sizeof route->app, "%s", app);
    if (site.edited ? !site_server_apply(options, &site) : !put(options, &site))
        return false;
    if (!args->silent)
        say_address(&site, app, path_of(args));
    if (!args->silent && args->tls && args->certificate == NULL)
        puts("Browsers and curl take its certificate without a warning after: pelayan cert trust");
    return true;
}

/* ---- delete */

struct removal {
    const struct run_options *options;
    const char *app;
    const char *domain; /* NULL: only tell */
};

static void drop_route(struct site *site, size_t index)
{
    site->route_count--;
    memmove(&site->routes[index], &site->routes[index + 1],
            (site->route_count - index) * sizeof site->routes[0]);
}

static bool remove_from(void *context, struct site *site)
{
    const struct removal *removal = context;
    size_t before = site->route_count;

    for (size_t i = site->route_count; i > 0; i--) {
        if (strcmp(site->routes[i - 1].app, removal->app) == 0)
            drop_route(site, i - 1);
    }
    if (site->route_count == before)
        return true;
    if (removal->domain == NULL || site->edited) {
        printf("%s still leads to \"%s\" (%s)%s\n", site->domain, removal->app, site->file,
               removal->domain == NULL ? "; delete it with --domain too, or start the app again"
                                       : ": it was edited by somebody and is left alone");
        return true;
    }
    if (removal->domain[0] != '\0' && strcmp(removal->domain, site->domain) != 0)
        return true;
    if (!put(removal->options, site))
        return false;
    printf("%s does not lead to \"%s\" any more\n", site->domain, removal->app);
    return true;
}

bool app_site_remove(const struct run_options *options, const char *app, const char *domain)
{
    struct removal removal = {.options = options, .app = app, .domain = domain};

    return site_each(home_path(), remove_from, &removal);
}
