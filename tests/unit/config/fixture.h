/* A small world for tests of config: features that look like nginx's, and a load in one call.
 * Runs in: test binaries and fuzz targets. */
#pragma once

#include "base/arena.h"
#include "base/diag.h"
#include "config/files.h"
#include "config/loader.h"
#include "config/regex.h"
#include "config/tree.h"
#include "config/variable.h"

#include <string.h>

struct sample {
    bool flag;
    int number;
    uint64_t timeout_ms;
    uint64_t valid_s;
    size_t size;
    struct slice text;
    int word;
    unsigned bits;
    struct template *template;
    struct conf_buffers buffers;
    const char *list[8]; /* of `add`: an array as add_header's */
    size_t list_count;
    int finished; /* how often finish() ran for this copy or those it came from */
};

/* What a block saw, in the order in which blocks ended. */
struct seen {
    enum context context;
    struct sample sample;
    const struct sample *address;
};

struct world {
    struct diag diag;
    struct config_files *files;
    struct tree tree;
    struct arena *arena;
    struct loader loader;
    struct scope root;
    struct seen seen[32];
    size_t seen_count;
};

static inline bool fixture_block(struct conf_call *call, enum context context)
{
    struct world *world = call->loader->context;
    struct scope scope;
    bool ok = loader_block(call, context, NULL, &scope);

    if (world != NULL && world->seen_count < 32) {
        struct seen *seen = &world->seen[world->seen_count++];

        *seen = (struct seen){.context = context, .address = settings_at(scope.settings, 0)};
        seen->sample = *seen->address;
    }
    return ok;
}

static inline bool fixture_events(struct conf_call *call)
{
    return fixture_block(call, CTX_EVENTS);
}

static inline bool fixture_http(struct conf_call *call)
{
    return fixture_block(call, CTX_HTTP);
}

static inline bool fixture_server(struct conf_call *call)
{
    return fixture_block(call, CTX_SERVER);
}

static inline bool fixture_location(struct conf_call *call)
{
    return fixture_block(call, CTX_LOCATION);
}

static inline bool fixture_accept(struct conf_call *call)
{
    (void)call;
    return true;
}

static inline bool fixture_data(struct conf_call *call)
{
    return conf_no_blocks(call);
}

static inline bool fixture_template(struct conf_call *call, size_t index)
{
    const char *error;

    if (template_compile(call->loader->variables, call->loader->arena, conf_arg(call, index),
                         &error) != NULL)
        return true;
    return conf_error(call, index, "%s", error);
}

static inline bool fixture_set(struct conf_call *call)
{
    struct slice name = conf_arg(call, 1);

    if (name.len < 2 || name.data[0] != '$')
        return conf_error(call, 1, "invalid variable name \"%.*s\"", SLICE_ARG(name));
    name = slice_skip(name, 1);
    if (variables_declare(call->loader->variables, name) == NULL)
        return conf_error(call, 1, "the duplicate \"%.*s\" variable", SLICE_ARG(name));
    return fixture_template(call, 2);
}

static inline bool fixture_get(struct subject *subject, const struct variable *v,
                               struct slice *text)
{
    (void)subject;
    *text = v->name;
    return true;
}

static inline bool fixture_map(struct conf_call *call)
{
    struct variable variable = {.get = fixture_get, .flags = VARIABLE_CHANGEABLE};
    size_t last = conf_arg_count(call) - 1;

    variable.name = slice_skip(conf_arg(call, last), 1);
    if (!variables_add(call->loader->variables, &variable))
        return conf_error(call, last, "the duplicate \"%.*s\" variable",
                          SLICE_ARG(conf_arg(call, last)));
    if (last == 2 && !fixture_template(call, 1))
        return false;
    return conf_no_blocks(call);
}

static inline bool fixture_texts(struct conf_call *call)
{
    bool ok = true;

    for (size_t i = 2; i < conf_arg_count(call); i++)
        ok = fixture_template(call, i) && ok;
    return ok;
}

static inline bool fixture_if(struct conf_call *call)
{
    struct slice word = conf_arg(call, 1);

    if (word.len > 2 &&
        variables_find(call->loader->variables, slice_make(word.data + 2, word.len - 3)) == NULL)
        return conf_error(call, 1, "unknown variable");
    return fixture_block(call, CTX_SERVER_IF);
}

/* A list that a block's first `add` begins anew. */
static inline bool fixture_add(struct conf_call *call)
{
    struct sample *sample = call->conf;
    struct slice copy = arena_copy(call->loader->arena, conf_arg(call, 1));

    if (copy.data == NULL)
        return conf_error(call, 1, "no memory");
    if (call->first)
        sample->list_count = 0;
    if (sample->list_count < 8)
        sample->list[sample->list_count++] = copy.data;
    return true;
}

static inline bool fixture_early(struct conf_call *call)
{
    struct sample *sample = call->conf;

    for (const struct node *it = call->node->children; it != NULL; it = it->next)
        sample->bits |= 1u << (it->word_count & 7);
    return conf_no_blocks(call);
}

static inline bool fixture_even(struct conf_call *call)
{
    const struct sample *sample = call->conf;

    return sample->size % 2 == 0 || conf_error(call, 1, "an even size is expected");
}

static inline bool fixture_finish(struct loader *loader, struct scope *scope, void *conf)
{
    (void)loader;
    (void)scope;
    ((struct sample *)conf)->finished++;
    return true;
}

static const struct conf_word fixture_words[] = {{"one", 1}, {"two", 2}, {"four", 4}, {NULL, 0}};

#define FIXTURE_HTTP (CTX_MAIN | CTX_HTTP_ALL)

static const struct directive sample_rows[] = {
    {"sendfile", FIXTURE_HTTP, FLAG(struct sample, flag), .def = "on", .doc = "A flag."},
    {"keepalive_requests", FIXTURE_HTTP, INT(struct sample, number), .def = "100", .min = 1,
     .max = 1000, .doc = "A number between bounds. And a second sentence."},
    {"client_body_timeout", FIXTURE_HTTP, MSEC(struct sample, timeout_ms), .def = "60s", .min = 1,
     .doc = "A time in ms."},
    {"open_file_cache_valid", FIXTURE_HTTP, SEC(struct sample, valid_s), .def = "1m", .max = 86400,
     .doc = "A time in s."},
    {"client_body_buffer_size", FIXTURE_HTTP, BYTES(struct sample, size), .def = "8k",
     .check = fixture_even, .doc = "A size."},
    {"default_type", FIXTURE_HTTP, TEXT(struct sample, text), .def = "\"a b\"", .doc = "A text."},
    {"word", FIXTURE_HTTP, ENUM(struct sample, word), .words = fixture_words, .def = "two",
     .doc = "A word."},
    {"bits", FIXTURE_HTTP, BITS(struct sample, bits), .words = fixture_words, .def = "one four",
     .doc = "Words."},
    {"root", FIXTURE_HTTP, TEMPLATE(struct sample, template), .def = "html/$host",
     .doc = "A text with variables."},
    {"proxy_buffers", FIXTURE_HTTP, BUFFERS(struct sample, buffers), .def = "8 4k", .min = 2,
     .doc = "Buffers."},
    {"server_names_hash_max_size", CTX_HTTP, NOTHING, .args_min = 1, .args_max = 1, .quiet = true,
     .doc = "Quietly nothing."},
    {"multi_accept", CTX_EVENTS, NOTHING, .args_min = 1, .args_max = 1,
     .noop = "all waiting connections are always taken.", .doc = "Nothing."},
    {"add", FIXTURE_HTTP, CUSTOM, .args_min = 1, .args_max = 1, .repeatable = true,
     .set = fixture_add, .doc = "A list."},
    {"early", FIXTURE_HTTP, CUSTOM, .block = true, .early = true, .set = fixture_early,
     .doc = "A block that is a setting."},
};

static const struct directive block_rows[] = {
    {"events", CTX_MAIN, CUSTOM, .block = true, .nests = true, .set = fixture_events,
     .doc = "A block."},
    {"http", CTX_MAIN, CUSTOM, .block = true, .nests = true, .set = fixture_http,
     .doc = "A block."},
    {"server", CTX_HTTP, CUSTOM, .block = true, .nests = true, .repeatable = true,
     .set = fixture_server, .doc = "A block."},
    {"location", CTX_SERVER | CTX_LOCATION, CUSTOM, .args_min = 1, .args_max = 2, .block = true,
     .nests = true, .repeatable = true, .set = fixture_location, .doc = "A block."},
    {"if", CTX_SERVER, CUSTOM, .args_min = 1, .args_max = 255, .block = true, .nests = true,
     .repeatable = true, .set = fixture_if, .doc = "A block."},
    {"types", CTX_HTTP_ALL, CUSTOM, .block = true, .early = true, .set = fixture_data,
     .doc = "A block."},
    {"map", CTX_HTTP, CUSTOM, .args_min = 2, .args_max = 2, .block = true, .repeatable = true,
     .set = fixture_map, .doc = "A block."},
    {"geo", CTX_HTTP, CUSTOM, .args_min = 1, .args_max = 2, .block = true, .repeatable = true,
     .set = fixture_map, .doc = "A block."},
    {"env", CTX_MAIN, CUSTOM, .args_min = 1, .args_max = 1, .repeatable = true,
     .set = fixture_accept, .doc = "Anything."},
    {"user", CTX_MAIN, CUSTOM, .args_min = 1, .args_max = 2, .set = fixture_accept,
     .doc = "Anything."},
    {"listen", CTX_SERVER, CUSTOM, .args_min = 1, .args_max = 255, .repeatable = true,
     .set = fixture_accept, .doc = "Anything."},
    {"set", CTX_SERVER | CTX_LOCATION, CUSTOM, .args_min = 2, .args_max = 2, .repeatable = true,
     .set = fixture_set, .doc = "Declares a variable."},
    {"return", CTX_SERVER | CTX_LOCATION, CUSTOM, .args_min = 1, .args_max = 2, .repeatable = true,
     .set = fixture_texts, .doc = "A text with variables."},
    {"log_format", CTX_HTTP, CUSTOM, .args_min = 2, .args_max = 255, .repeatable = true,
     .set = fixture_texts, .doc = "Texts with variables."},
};

struct daemon_sample {
    bool daemon;
};

static const struct directive daemon_rows[] = {
    {"daemon", CTX_MAIN, FLAG(struct daemon_sample, daemon), .def = "on", .doc = "A flag."},
};

static const struct conf_feature sample_feature = {.name = "sample",
                                                   .conf_bytes = sizeof(struct sample),
                                                   .directives = sample_rows,
                                                   .directive_count = COUNT(sample_rows),
                                                   .finish = fixture_finish};
static const struct conf_feature block_feature = {
    .name = "blocks", .directives = block_rows, .directive_count = COUNT(block_rows)};
static const struct conf_feature daemon_feature = {.name = "core",
                                                   .conf_bytes = sizeof(struct daemon_sample),
                                                   .directives = daemon_rows,
                                                   .directive_count = COUNT(daemon_rows)};
static const struct conf_feature *const fixture_features[] = {&sample_feature, &block_feature,
                                                              &daemon_feature};
enum { FIXTURE_FEATURES = 3 };

static inline bool fixture_assign(struct subject *subject, const struct variable *v,
                                  struct slice text)
{
    (void)subject;
    (void)v;
    (void)text;
    return true;
}

static const struct variable fixture_variables[] = {
    {.name = SLICE("host"), .get = fixture_get},
    {.name = SLICE("uri"), .get = fixture_get},
    {.name = SLICE("args"), .get = fixture_get, .assign = fixture_assign},
    {.name = SLICE("http_"), .get = fixture_get, .flags = VARIABLE_PREFIX},
    {.name = SLICE("arg_"), .get = fixture_get, .flags = VARIABLE_PREFIX},
    {.name = SLICE("cookie_"), .get = fixture_get, .flags = VARIABLE_PREFIX},
};

/* Makes the memory; false: there was none, and world_fini() is still to be called. */
static inline bool world_init(struct world *world)
{
    *world = (struct world){0};
    diag_init(&world->diag);
    world->files = config_files_from_disk();
    tree_init(&world->tree, world->files);
    world->arena = arena_new(1024);
    world->loader = (struct loader){.arena = world->arena,
                                    .diag = &world->diag,
                                    .tree = &world->tree,
                                    .prefix = "/srv",
                                    .conf_prefix = "/etc/",
                                    .context = world};
    if (world->files == NULL || world->arena == NULL)
        return false;
    world->loader.variables = variables_new(world->arena);
    return world->loader.variables != NULL &&
           variables_add_table(world->loader.variables, fixture_variables,
                               COUNT(fixture_variables));
}

/* Parses "/tmp/main.conf", which is `text`, and loads it. */
static inline void world_load(struct world *world, struct slice text)
{
    if (!config_files_add(world->files, "/tmp/main.conf", text)) {
        diag_add(&world->diag, DIAG_ERROR, NULL, "no memory");
        return;
    }
    tree_parse(&world->tree, world->files, "/tmp/main.conf", &world->diag);
    if (loader_init(&world->loader, fixture_features, FIXTURE_FEATURES))
        loader_run(&world->loader, &world->root);
    else
        diag_add(&world->diag, DIAG_ERROR, NULL, "no memory");
}

static inline void world_fini(struct world *world)
{
    if (world->loader.features != NULL)
        loader_fini(&world->loader);
    tree_fini(&world->tree);
    arena_drop(world->arena);
    config_files_free(world->files);
    diag_fini(&world->diag);
}

/* The first message that begins with `start`, or NULL. */
static inline const struct diag_entry *world_says(const struct world *world, const char *start)
{
    for (const struct diag_entry *it = world->diag.first; it != NULL; it = it->next) {
        if (strncmp(it->message, start, strlen(start)) == 0)
            return it;
    }
    return NULL;
}
