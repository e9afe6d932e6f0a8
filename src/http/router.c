#include "http/router.h"

#include "base/arena.h"
#include "base/map.h"
#include "config/regex.h"
#include "config/snapshot.h"
#include "event/address.h"
#include "http/core_conf.h"
#include "http/http_loop.h"
#include "http/uri.h"

#include <assert.h>
#include <stdlib.h>

struct name_regex {
    struct name_regex *next;
    const struct regex *regex;
    const struct http_server *server;
};

/* Exact names, "*.a.b" by their suffix ".a.b", "a.b.*" by their prefix "a.b.", then regexes in
 * order. */
struct server_table {
    struct arena *arena;
    struct map exact;
    struct map heads;
    struct map tails;
    struct name_regex *regexes;
    struct name_regex **last_regex;
};

struct server_table *server_table_new(struct arena *arena)
{
    struct server_table *table = arena_zalloc(arena, sizeof *table);

    if (table == NULL)
        return NULL;
    table->arena = arena;
    table->last_regex = &table->regexes;
    map_init(&table->exact, arena, false);
    map_init(&table->heads, arena, false);
    map_init(&table->tails, arena, false);
    return table;
}

static bool add_regex(struct server_table *table, const struct server_name *name,
                      const struct http_server *server)
{
    struct name_regex *row = arena_zalloc(table->arena, sizeof *row);

    if (row == NULL)
        return false;
    row->regex = name->regex;
    row->server = server;
    *table->last_regex = row;
    table->last_regex = &row->next;
    return true;
}

static bool add_key(struct map *map, struct slice key, const struct http_server *server,
                    const struct http_server **taken)
{
    *taken = map_get(map, key);
    return *taken == NULL && map_put(map, key, (void *)(uintptr_t)server, NULL);
}

bool server_table_add(struct server_table *table, const struct server_name *name,
                      const struct http_server *server, const struct http_server **taken)
{
    struct slice text = name->text;

    *taken = NULL;
    switch (name->kind) {
    case SERVER_NAME_EXACT:
        return add_key(&table->exact, text, server, taken);
    case SERVER_NAME_HEAD:
        if (text.data[0] == '*')
            return add_key(&table->heads, slice_skip(text, 1), server, taken);
        /* ".a.b" is both "a.b" and "*.a.b" */
        return add_key(&table->exact, slice_skip(text, 1), server, taken) &&
               add_key(&table->heads, text, server, taken);
    case SERVER_NAME_TAIL:
        return add_key(&table->tails, slice_head(text, text.len - 1), server, taken);
    case SERVER_NAME_REGEX:
        return add_regex(table, name, server);
    }
    return false;
}

/* The longest "*.suffix" first: suffixes from the left dot on. */
static const struct http_server *find_head(const struct map *heads, struct slice host)
{
    for (size_t i = 0; heads->count > 0 && i < host.len; i++) {
        if (host.data[i] != '.' || i == 0)
            continue;
        const struct http_server *server = map_get(heads, slice_skip(host, i));
        if (server != NULL)
            return server;
    }
    return NULL;
}

static const struct http_server *find_tail(const struct map *tails, struct slice host)
{
    for (size_t i = host.len; tails->count > 0 && i > 0; i--) {
        if (host.data[i - 1] != '.' || i == host.len)
            continue;
        const struct http_server *server = map_get(tails, slice_head(host, i));
        if (server != NULL)
            return server;
    }
    return NULL;
}

/* One that gave up may have been the one that matches: the subject knows. */
static const struct http_server *find_by_regex(const struct server_table *table, struct slice host,
                                               struct subject *subject)
{
    for (const struct name_regex *row = table->regexes; row != NULL; row = row->next) {
        enum regex_match match = regex_match(row->regex, host, subject);

        if (match == REGEX_YES)
            return row->server;
        if (match == REGEX_FAILED && subject != NULL)
            subject->undecided++;
        if (match == REGEX_FAILED)
            return NULL;
    }
    return NULL;
}

const struct http_server *server_table_find(const struct http_listen *listen, struct slice host,
                                            struct subject *subject)
{
    const struct server_table *table = listen->table;
    const struct http_server *server = NULL;

    if (table == NULL)
        return listen->fallback;
    server = map_get(&table->exact, host); /* "" is the name of servers for requests without one */
    if (server == NULL)
        server = find_head(&table->heads, host);
    if (server == NULL)
        server = find_tail(&table->tails, host);
    if (server == NULL && host.len > 0)
        server = find_by_regex(table, host, subject);
    return server != NULL ? server : listen->fallback;
}

/* "*:80" also takes what was meant for "10.0.0.1:80" when only the wildcard has a socket: the
 * address connected to decides. */
const struct http_listen *listen_narrowed(const struct http_listen *listen,
                                          const struct address *local)
{
    for (size_t i = 0; local != NULL && i < listen->narrower_count; i++)
        if (address_equal(&listen->narrower[i]->spec.options.address, local))
            return listen->narrower[i];
    return listen;
}

void router_choose_server(struct exchange *x)
{
    const struct http_listen *listen = x->listen;

    if (listen->narrower_count > 0)
        listen = listen_narrowed(listen, exchange_local_address(x));

    x->server = server_table_find(listen, x->request.host, &x->subject);
}

enum {
    SCANNED_MAX = 16, /* locations, before duplicates are looked for by hash */
    FEW = 4,          /* room for so many is made at once */
};

static const uint32_t NONE = UINT32_MAX;

/* Small, because each server has one. */
struct location_tree {
    struct arena *arena;
    struct http_location **exacts;   /* sorted by name once frozen */
    struct http_location **prefixes; /* sorted by name once frozen */
    struct http_location **regexes;  /* in order of declaration */
    uint32_t *parents; /* [prefix_count]: position of the longest other prefix of this one, or NONE
                        */
    uint64_t slashed;  /* bit `length % 64`: of names that are asked for with "/" behind */
    struct map *seen;  /* while loading: kind and name -> location; NULL: there are few */
    uint32_t exact_count;
    uint32_t prefix_count;
    uint32_t regex_count;
};

struct location_tree *location_tree_new(struct arena *arena)
{
    struct location_tree *tree = arena_zalloc(arena, sizeof *tree);

    if (tree != NULL)
        tree->arena = arena;
    return tree;
}

/* Appends to an array that doubles: its size is always the power of two that `count` needs, but not
 * below FEW. */
static bool push(struct arena *arena, struct http_location ***items, uint32_t *count,
                 struct http_location *item)
{
    size_t n = *count;

    if (n == 0 || (n >= FEW && (n & (n - 1)) == 0)) {
        struct http_location **larger = arena_alloc(arena, (n == 0 ? FEW : 2 * n) * sizeof item);

        if (larger == NULL)
            return false;
        if (n > 0)
            memcpy(larger, *items, n * sizeof item);
        *items = larger;
    }
    (*items)[n] = item;
    *count = (uint32_t)n + 1;
    return true;
}

/* "=" and prefixes are one name space each ("^~ /x" is the same as "/x"); regexes may repeat. */
static struct slice seen_key(struct location_tree *tree, const struct http_location *location)
{
    return arena_printf(tree->arena, "%c%.*s", location->kind == LOCATION_EXACT ? '=' : ' ',
                        SLICE_ARG(location->name));
}

static struct http_location *scan(struct http_location *const *items, size_t count,
                                  struct slice name)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq(items[i]->name, name))
            return items[i];
    return NULL;
}

/* Few locations are looked through; a table is only made for many, because servers are many. */
static bool fill_seen(struct location_tree *tree)
{
    struct http_location **const lists[] = {tree->exacts, tree->prefixes};
    const size_t counts[] = {tree->exact_count, tree->prefix_count};

    tree->seen = arena_alloc(tree->arena, sizeof *tree->seen);
    if (tree->seen == NULL)
        return false;
    map_init(tree->seen, tree->arena, false);
    for (size_t list = 0; list < COUNT(lists); list++) {
        for (size_t i = 0; i < counts[list]; i++) {
            struct slice key = seen_key(tree, lists[list][i]);

            if (key.data == NULL || !map_put(tree->seen, key, lists[list][i], NULL))
                return false;
        }
    }
    return true;
}

/* The location of that name, or `location` itself if there is no memory, or NULL. */
static const struct http_location *already(struct location_tree *tree,
                                           struct http_location *location)
{
    void *old = NULL;

    if (tree->exact_count + tree->prefix_count < SCANNED_MAX)
        return location->kind == LOCATION_EXACT
                   ? scan(tree->exacts, tree->exact_count, location->name)
                   : scan(tree->prefixes, tree->prefix_count, location->name);
    if (tree->seen == NULL && !fill_seen(tree))
        return location;
    struct slice key = seen_key(tree, location);

    if (key.data == NULL || (old = map_get(tree->seen, key)) != NULL)
        return key.data == NULL ? location : old;
    return map_put(tree->seen, key, location, NULL) ? NULL : location;
}

const struct http_location *location_tree_add(struct location_tree *tree,
                                              struct http_location *location)
{
    const struct http_location *old = NULL;
    bool added = false;

    switch (location->kind) {
    case LOCATION_REGEX:
        added = push(tree->arena, &tree->regexes, &tree->regex_count, location);
        break;
    case LOCATION_EXACT:
        if ((old = already(tree, location)) == NULL)
            added = push(tree->arena, &tree->exacts, &tree->exact_count, location);
        break;
    case LOCATION_PREFIX:
    case LOCATION_PREFIX_FINAL:
        if ((old = already(tree, location)) == NULL)
            added = push(tree->arena, &tree->prefixes, &tree->prefix_count, location);
        break;
    case LOCATION_NAMED:
    case LOCATION_IF:
        assert(!"these are not found by path");
    }
    return added ? NULL : old != NULL ? old : location;
}

static int by_name(const void *a, const void *b)
{
    const struct http_location *const *left = a;
    const struct http_location *const *right = b;

    return slice_cmp((*left)->name, (*right)->name);
}

static uint64_t slashed_lengths(struct http_location *const *items, size_t count)
{
    uint64_t lengths = 0;

    for (size_t i = 0; i < count; i++)
        if (items[i]->auto_redirect)
            lengths |= UINT64_C(1) << items[i]->name.len % 64;
    return lengths;
}

bool location_tree_freeze(struct location_tree *tree)
{
    tree->seen = NULL;
    tree->slashed = slashed_lengths(tree->exacts, tree->exact_count) |
                    slashed_lengths(tree->prefixes, tree->prefix_count);
    if (tree->exact_count > 1)
        qsort(tree->exacts, tree->exact_count, sizeof *tree->exacts, by_name);
    if (tree->prefix_count == 0)
        return true;
    qsort(tree->prefixes, tree->prefix_count, sizeof *tree->prefixes, by_name);
    tree->parents = arena_alloc(tree->arena, tree->prefix_count * sizeof *tree->parents);
    if (tree->parents == NULL)
        return false;
    for (uint32_t i = 0; i < tree->prefix_count; i++) {
        uint32_t parent = i == 0 ? NONE : i - 1;

        while (parent != NONE &&
               !slice_starts(tree->prefixes[i]->name, tree->prefixes[parent]->name))
            parent = tree->parents[parent];
        tree->parents[i] = parent;
    }
    return true;
}

/* How many of the sorted names are not above `uri`. */
static size_t not_above(struct http_location *const *items, size_t count, struct slice uri)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (slice_cmp(items[middle]->name, uri) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct http_location *find_exact(const struct location_tree *tree, struct slice uri)
{
    size_t n = not_above(tree->exacts, tree->exact_count, uri);

    return n > 0 && slice_eq(tree->exacts[n - 1]->name, uri) ? tree->exacts[n - 1] : NULL;
}

/* The greatest name not above `uri` shares with it every prefix of `uri` in the table, so the
 * longest one is that name or one of its prefixes. */
static const struct http_location *find_prefix(const struct location_tree *tree, struct slice uri)
{
    size_t n = not_above(tree->prefixes, tree->prefix_count, uri);
    uint32_t at = n == 0 ? NONE : (uint32_t)n - 1;

    while (at != NONE && !slice_starts(uri, tree->prefixes[at]->name))
        at = tree->parents[at];
    return at == NONE ? NULL : tree->prefixes[at];
}

/* As slice_cmp() of `name` with `uri` and a '/' behind it. */
static int cmp_with_slash(struct slice name, struct slice uri)
{
    int order = slice_cmp(slice_head(name, uri.len), uri);

    if (order != 0)
        return order;
    if (name.data[uri.len] != '/')
        return (unsigned char)name.data[uri.len] - '/';
    return name.len > uri.len + 1 ? 1 : 0;
}

/* The location of the path that is `uri` with a '/', if it wants to be asked for that way. */
static const struct http_location *find_slashed(struct http_location *const *items, size_t count,
                                                struct slice uri)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct http_location *item = items[middle];
        int order = item->name.len <= uri.len && slice_starts(uri, item->name)
                        ? -1
                        : cmp_with_slash(item->name, uri);

        if (order == 0)
            return item->auto_redirect ? item : NULL;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* What a level says about a path. */
struct found {
    const struct http_location *location; /* NULL: nothing */
    bool settled;                         /* no regex of a level above is to be asked */
    bool add_slash;
    const struct http_location *gave_up; /* its regex hit a limit: `location` means nothing */
};

static struct found find_static(const struct location_tree *tree, struct slice uri)
{
    const struct http_location *exact = find_exact(tree, uri);

    if (exact != NULL)
        return (struct found){.location = exact, .settled = true};
    const struct http_location *prefix = find_prefix(tree, uri);

    if ((prefix != NULL && prefix->name.len == uri.len) ||
        (tree->slashed >> (uri.len + 1) % 64 & 1) == 0)
        return (struct found){.location = prefix};
    const struct http_location *slashed = find_slashed(tree->exacts, tree->exact_count, uri);

    if (slashed == NULL)
        slashed = find_slashed(tree->prefixes, tree->prefix_count, uri);
    if (slashed != NULL)
        return (struct found){.location = slashed, .settled = true, .add_slash = true};
    return (struct found){.location = prefix};
}

/* A regex that gave up may have been the one that forbids: then nothing is found. */
static const struct http_location *find_regex(const struct location_tree *tree, struct slice uri,
                                              struct subject *subject, struct found *found)
{
    for (size_t i = 0; i < tree->regex_count; i++) {
        enum regex_match match = regex_match(tree->regexes[i]->regex, uri, subject);

        if (match == REGEX_YES)
            return tree->regexes[i];
        if (match == REGEX_FAILED) {
            *found = (struct found){.gave_up = tree->regexes[i], .settled = true};
            return NULL;
        }
    }
    return NULL;
}

static struct found find_level(const struct location_tree *tree, struct slice uri,
                               struct subject *subject);

/* What locations inside `location` say; else itself. */
static struct found within(const struct http_location *location, struct slice uri,
                           struct subject *subject)
{
    struct found inner = {0};

    if (location != NULL && location->nested != NULL)
        inner = find_level(location->nested, uri, subject);
    if (inner.location == NULL && inner.gave_up == NULL)
        inner.location = location;
    return inner;
}

/* nginx's order: exact; the longest prefix, and what is inside it; unless that says ^~, the first
 * regex that matches, and what is inside it. A ^~ inside another location silences only the regexes
 * beside it. */
static struct found find_level(const struct location_tree *tree, struct slice uri,
                               struct subject *subject)
{
    struct found found = find_static(tree, uri);

    if (found.settled)
        return found;
    bool is_final = found.location != NULL && found.location->kind == LOCATION_PREFIX_FINAL;

    found = within(found.location, uri, subject);
    if (found.settled || is_final)
        return found;
    const struct http_location *regex = find_regex(tree, uri, subject, &found);

    if (regex == NULL)
        return found;
    found = within(regex, uri, subject);
    found.settled = true;
    found.add_slash = false;
    return found;
}

const struct http_location *location_tree_find(const struct location_tree *tree, struct slice uri,
                                               struct subject *subject, bool *add_slash)
{
    struct found found = find_level(tree, uri, subject);

    *add_slash = found.add_slash;
    return found.location;
}

/* "/x" to "/x/", with the arguments. */
static enum route_result add_slash_to(struct exchange *x, const struct http_location *location)
{
    struct slice args = x->request.args;
    size_t bytes = location->name.len + 2 * uri_escape_count(location->name, ESCAPE_PATH);
    char *path = arena_bytes(x->subject.arena, bytes);

    if (path != NULL)
        bytes = uri_escape(path, location->name, ESCAPE_PATH);
    x->response.location = arena_printf(x->subject.arena, "%.*s%s%.*s",
                                        SLICE_ARG(slice_make(path, path == NULL ? 0 : bytes)),
                                        args.len > 0 ? "?" : "", SLICE_ARG(args));
    return ROUTE_ADD_SLASH;
}

enum route_result router_choose_location(struct exchange *x)
{
    struct found found = {.location = NULL};

    if ((x->flags & X_NAMED) == 0) {
        x->settings = x->server->settings;
        if (x->server->locations != NULL)
            found = find_level(x->server->locations, x->request.uri, &x->subject);
        x->location = found.location;
        if (x->location != NULL)
            x->settings = x->location->settings;
    }
    if (found.gave_up != NULL) {
        log_about(&x->log, LOG_LEVEL_ALERT, 0, "matching location \"%.*s\" gave up at a limit",
                  SLICE_ARG(found.gave_up->name));
        return ROUTE_GAVE_UP;
    }
    if (core_of(x)->internal && (x->flags & X_INTERNAL) == 0)
        return ROUTE_INTERNAL_ONLY;
    return found.add_slash ? add_slash_to(x, x->location) : ROUTE_FOUND;
}
