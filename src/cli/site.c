/* Files of domains. Runs in: the process the user started. */
#include "cli/site.h"

#include "base/diag.h"
#include "base/file.h"
#include "base/list.h"
#include "config/files.h"
#include "config/tree.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { FILE_BYTES_MAX = 1 << 20 };

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
static const char seal_format[] =
    "# Written by \"pelayan start --domain\" (%08lx). Edit it: it is yours then, and left alone.\n";

static bool consists_of(const char *text, const char *more)
{
    size_t len = strlen(text);

    for (const char *at = text; *at != '\0'; at++) {
        if (strchr(letters, *at) == NULL && strchr(more, *at) == NULL)
            return false;
    }
    return len > 0 && len < SITE_NAME_BYTES - 8;
}

bool site_domain_fits(const char *text)
{
    const char *rest = strncmp(text, "*.", 2) == 0 ? text + 2 : text;

    return consists_of(rest, "-._") && rest[0] != '.' && rest[0] != '-' &&
           strstr(rest, "..") == NULL;
}

bool site_path_fits(const char *text)
{
    return text[0] == '/' && consists_of(text, "/-._~%+@!,:=&()*");
}

bool site_app_fits(const char *text)
{
    return consists_of(text, "-._");
}

/* It stands in quotes, where some of this would mean something. */
bool site_file_fits(const char *text)
{
    return text[0] == '/' && strpbrk(text, "\"\\$\n\r") == NULL;
}

struct site_route *site_find(struct site *site, const char *path)
{
    for (size_t i = 0; i < site->route_count; i++) {
        if (strcmp(site->routes[i].path, path) == 0)
            return &site->routes[i];
    }
    return NULL;
}

/* ---- reading */

static void copy_word(char out[SITE_NAME_BYTES], struct slice word)
{
    snprintf(out, SITE_NAME_BYTES, "%.*s", SLICE_ARG(word));
}

static bool is(const struct node *node, const char *name, unsigned words)
{
    return slice_eq(word_text(node->words[0]), slice_of(name)) && node->word_count == words;
}

static void read_location(struct site *site, const struct node *location)
{
    static const struct slice scheme = SLICE("http://");
    struct site_route *route = &site->routes[site->route_count];

    for (const struct node *node = location->children; node != NULL; node = node->next) {
        if (!is(node, "proxy_pass", 2) || !slice_starts(word_text(node->words[1]), scheme))
            continue;
        copy_word(route->path, word_text(location->words[1]));
        copy_word(route->app, slice_skip(word_text(node->words[1]), scheme.len));
        site->route_count++;
        return;
    }
}

static void read_listen(struct site *site, const struct node *node)
{
    if (site->listen[0] != '\0')
        return;
    copy_word(site->listen, word_text(node->words[1]));
    for (unsigned i = 2; i < node->word_count; i++)
        site->tls = site->tls || slice_eq(word_text(node->words[i]), slice_of("ssl"));
}

static void read_server(struct site *site, const struct node *server)
{
    for (const struct node *node = server->children; node != NULL; node = node->next) {
        if (is(node, "listen", node->word_count) && node->word_count > 1)
            read_listen(site, node);
        else if (is(node, "ssl_certificate", 2))
            snprintf(site->certificate, PATH_MAX, "%.*s", SLICE_ARG(word_text(node->words[1])));
        else if (is(node, "ssl_certificate_key", 2))
            snprintf(site->certificate_key, PATH_MAX, "%.*s", SLICE_ARG(word_text(node->words[1])));
        else if (is(node, "location", 2) && site->route_count < SITE_ROUTES_MAX)
            read_location(site, node);
    }
}

static void read_upstream(struct site *site, const struct node *upstream)
{
    for (size_t i = 0; i < site->route_count; i++) {
        struct site_route *route = &site->routes[i];

        route->upstream = route->upstream ||
                          slice_eq(word_text(upstream->words[1]), slice_of(route->app));
    }
}

static void read_tree(struct site *site)
{
    struct config_files *files = config_files_from_disk();
    struct diag diag;
    struct tree tree;

    diag_init(&diag);
    tree_init(&tree, files);
    if (files != NULL)
        tree_parse(&tree, files, site->file, &diag);
    for (const struct node *node = tree.first; node != NULL; node = node->next) {
        if (is(node, "server", 1))
            read_server(site, node);
    }
    for (const struct node *node = tree.first; node != NULL; node = node->next) {
        if (is(node, "upstream", 2))
            read_upstream(site, node);
    }
    tree_fini(&tree);
    diag_fini(&diag);
    config_files_free(files);
}

static unsigned long seal_of(const char *text)
{
    return crc32(0, (const unsigned char *)text, (unsigned)strlen(text));
}

static bool is_sealed(const char *text)
{
    const char *rest = strchr(text, '\n');
    char line[160];

    if (rest == NULL)
        return false;
    rest++;
    snprintf(line, sizeof line, seal_format, seal_of(rest));
    return strncmp(text, line, (size_t)(rest - text)) == 0 && strlen(line) == (size_t)(rest - text);
}

bool site_load(struct site *site, const char *home, const char *domain)
{
    char *text;

    *site = (struct site){.exists = false};
    copy_word(site->domain, slice_of(domain));
    if (snprintf(site->file, PATH_MAX, "%s/sites/%s%s.conf", home, domain[0] == '*' ? "_" : "",
                 domain + (domain[0] == '*')) >= PATH_MAX)
        errno = ENAMETOOLONG;
    else
        errno = 0;
    text = errno == 0 ? file_read(site->file, FILE_BYTES_MAX, NULL) : NULL;
    if (text == NULL && errno == ENOENT)
        return true;
    if (text == NULL) {
        fprintf(stderr, "pelayan: cannot read \"%s\": %s\n", site->file, strerror(errno));
        return false;
    }
    site->exists = true;
    site->edited = !is_sealed(text);
    free(text);
    read_tree(site);
    return true;
}

static int is_site(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

bool site_each(const char *home, bool (*fn)(void *context, struct site *site), void *context)
{
    char folder[PATH_MAX];
    struct dirent **entries;
    bool good = true;
    int count = -1;

    if (snprintf(folder, sizeof folder, "%s/sites", home) < PATH_MAX)
        count = scandir(folder, &entries, is_site, alphasort);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        char domain[SITE_NAME_BYTES];
        struct site site;

        snprintf(domain, sizeof domain, "%s%.*s", name[0] == '_' ? "*" : "",
                 (int)strlen(name) - 5 - (name[0] == '_'), name + (name[0] == '_'));
        good = good && site_load(&site, home, domain) && fn(context, &site);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return good;
}

/* ---- writing */

struct upstream_search {
    const struct site *asking;
    const char *app;
    bool found;
};

/* The upstream of an app stands once: where a person has left it, else in the first file that needs
 * it. */
static bool look_for_upstream(void *context, struct site *site)
{
    struct upstream_search *search = context;
    int order = strcmp(site->file, search->asking->file);

    for (size_t i = 0; order != 0 && i < site->route_count; i++) {
        const struct site_route *route = &site->routes[i];

        if (strcmp(route->app, search->app) == 0)
            search->found = search->found || (site->edited ? route->upstream : order < 0);
    }
    return true;
}

static bool needs_upstream(const struct site *site, size_t index, const char *home)
{
    struct upstream_search search = {.asking = site, .app = site->routes[index].app};

    for (size_t i = 0; i < index; i++) {
        if (strcmp(site->routes[i].app, search.app) == 0)
            return false;
    }
    site_each(home, look_for_upstream, &search);
    return !search.found;
}

void site_print_listen(FILE *out, const struct site *site)
{
    if (!site->tls)
        fprintf(out, "    listen %s;\n", site->listen);
    else
        fprintf(out,
                "    listen %s ssl;\n    http2 on;\n    ssl_certificate \"%s\";\n"
                "    ssl_certificate_key \"%s\";\n    ssl_certificate_watch on;\n",
                site->listen, site->certificate, site->certificate_key);
}

static void print_body(FILE *out, const struct site *site, const char *home)
{
    for (size_t i = 0; i < site->route_count; i++) {
        if (needs_upstream(site, i, home))
            fprintf(out, "\nupstream %s {\n    app %s;\n}\n", site->routes[i].app,
                    site->routes[i].app);
    }
    fprintf(out, "\nserver {\n");
    site_print_listen(out, site);
    fprintf(out, "    server_name %s;\n", site->domain);
    for (size_t i = 0; i < site->route_count; i++)
        fprintf(out,
                "\n    location %s {\n        proxy_pass http://%s;\n"
                "        proxy_set_header Host $host;\n"
                "        proxy_set_header X-Real-IP $remote_addr;\n"
                "        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n"
                "        proxy_set_header X-Forwarded-Proto $scheme;\n    }\n",
                site->routes[i].path, site->routes[i].app);
    fputs("}\n", out);
}

char *site_text(const struct site *site, const char *home)
{
    char *body = NULL;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&body, &len);

    if (out == NULL)
        return NULL;
    print_body(out, site, home);
    if (fclose(out) == 0) {
        char line[160];

        snprintf(line, sizeof line, seal_format, seal_of(body));
        if (asprintf(&text, "%s%s", line, body) < 0)
            text = NULL;
    }
    free(body);
    return text;
}
