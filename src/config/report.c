/* What is said about a directive that cannot be loaded, in nginx's words, and what to do about it.
 * Runs in: any process, at load time. */
#include "config/loader_internal.h"

#include "base/arena.h"
#include "base/diag.h"
#include "config/nearest_internal.h"
#include "config/tree_internal.h"
#include "config/variable.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

static const struct {
    enum context context;
    const char *name;
} context_table[] = {
    {CTX_MAIN, "main"},
    {CTX_EVENTS, "events"},
    {CTX_HTTP, "http"},
    {CTX_SERVER, "server"},
    {CTX_LOCATION, "location"},
    {CTX_SERVER_IF, "if in server"},
    {CTX_LOCATION_IF, "if in location"},
    {CTX_LIMIT_EXCEPT, "limit_except"},
    {CTX_UPSTREAM, "upstream"},
    {CTX_STREAM, "stream"},
    {CTX_STREAM_SERVER, "server in stream"},
    {CTX_STREAM_UPSTREAM, "upstream in stream"},
    {CTX_APPS, "apps"},
    {CTX_APP, "app"},
};

static const unsigned STREAM_CONTEXTS = CTX_STREAM | CTX_STREAM_SERVER | CTX_STREAM_UPSTREAM;

/* Gives the message added last its place. After it, since a place costs a walk along its line, and
 * messages beyond the limit of the diag are dropped. False: this one was. */
static bool at(struct loader *loader, const struct node *node, size_t index)
{
    struct diag_entry *newest = loader->diag->newest;

    if (newest != NULL)
        tree_place(loader->tree, node, index, &newest->place);
    return newest != NULL;
}

struct slice context_names(struct arena *arena, unsigned contexts)
{
    struct slice list = SLICE("");

    if (contexts & CTX_ANYWHERE)
        return (struct slice)SLICE("any block");
    for (size_t i = 0; i < COUNT(context_table); i++) {
        if (contexts & context_table[i].context)
            list = arena_printf(arena, "%.*s%s%s", SLICE_ARG(list), list.len == 0 ? "" : ", ",
                                context_table[i].name);
    }
    return list;
}

/* A name that may stand here is a better guess than one that may not. */
static const char *nearest_directive(const struct loader *loader, const struct scope *scope,
                                     struct slice name)
{
    struct nearest here;
    struct nearest anywhere;
    struct map_entry *found;
    size_t position = 0;

    nearest_init(&here, name);
    nearest_init(&anywhere, name);
    while ((found = map_next(&loader->inner->by_name, &position)) != NULL) {
        const struct entry *entry = found->value;
        unsigned contexts = 0;

        for (const struct entry *it = entry; it != NULL; it = it->next)
            contexts |= it->row->contexts;
        nearest_try(contexts & scope->context ? &here : &anywhere, entry->row->name);
    }
    return here.best != NULL ? here.best : anywhere.best;
}

/* The first directive of a name says it for all: of fastcgi_param there are dozens. */
static bool is_said(struct loader *loader, struct slice name)
{
    struct map *said = &loader->inner->said;

    return map_get(said, name) != NULL || !map_put(said, name, said, NULL);
}

static bool has_module(const struct loader *loader, const char *module)
{
    for (size_t i = 0; i < loader->feature_count; i++)
        if (strcmp(loader->features[i]->name, module) == 0)
            return true;
    return false;
}

static void report_absent(struct loader *loader, struct slice name, const char *module)
{
    if (has_module(loader, module))
        diag_add(loader->diag, DIAG_ERROR, NULL,
                 "directive \"%.*s\" of the %s module is not supported by this build",
                 SLICE_ARG(name), module);
    else
        diag_add(loader->diag, DIAG_ERROR, NULL,
                 "directive \"%.*s\" belongs to the %s module, which this build does not have",
                 SLICE_ARG(name), module);
}

static void report_unknown(struct loader *loader, const struct scope *scope,
                           const struct node *node)
{
    struct slice name = word_text(node->words[0]);
    const char *module = known_module(name, scope->context & STREAM_CONTEXTS);
    const char *user = module == NULL ? NULL : known_idle(name, module);
    const char *nearest = NULL;

    /* "proxy_cache off;": what is not here is off */
    if (module != NULL && !node->is_block && node->word_count == 2 &&
        slice_eq(word_text(node->words[1]), slice_of("off")))
        return;
    if (user != NULL && is_said(loader, name))
        return;
    if (user != NULL)
        diag_add(
            loader->diag, DIAG_WARN, NULL,
            "\"%.*s\" has no effect: it is a setting of \"%s\", which this build does not have",
            SLICE_ARG(name), user);
    else if (module != NULL)
        report_absent(loader, name, module);
    else
        diag_add(loader->diag, DIAG_ERROR, NULL, "unknown directive \"%.*s\"", SLICE_ARG(name));
    if (!at(loader, node, 0) || module != NULL)
        return;
    if (known_elsewhere(name) != NULL) {
        diag_hint(loader->diag, "%s", known_elsewhere(name));
        return;
    }
    nearest = nearest_directive(loader, scope, name);
    if (nearest != NULL)
        diag_hint(loader->diag, "did you mean \"%s\"?", nearest);
}

void report_no_row(struct loader *loader, const struct scope *scope, const struct node *node)
{
    struct slice name = word_text(node->words[0]);
    const struct entry *entry = map_get(&loader->inner->by_name, name);
    unsigned contexts = 0;

    if (entry == NULL) {
        report_unknown(loader, scope, node);
        return;
    }
    for (; entry != NULL; entry = entry->next)
        contexts |= entry->row->contexts;
    diag_add(loader->diag, DIAG_ERROR, NULL, "\"%.*s\" directive is not allowed here",
             SLICE_ARG(name));
    if (at(loader, node, 0))
        diag_hint(loader->diag, "it may stand in: %.*s",
                  SLICE_ARG(context_names(loader->scratch, contexts)));
}

void report_form(struct loader *loader, const struct node *node)
{
    diag_add(loader->diag, DIAG_ERROR, NULL,
             node->is_block ? "directive \"%.*s\" is not terminated by \";\""
                            : "directive \"%.*s\" has no opening \"{\"",
             SLICE_ARG(word_text(node->words[0])));
    (void)at(loader, node, 0);
}

void report_duplicate(struct loader *loader, const struct scope *scope, const struct node *node)
{
    const struct node *it = scope->node == NULL ? loader->tree->first : scope->node->children;
    struct diag_place place;

    diag_add(loader->diag, DIAG_ERROR, NULL, "\"%.*s\" directive is duplicate",
             SLICE_ARG(word_text(node->words[0])));
    if (!at(loader, node, 0))
        return;
    while (it != NULL && it != node &&
           !slice_eq(word_text(it->words[0]), word_text(node->words[0])))
        it = it->next;
    if (it == NULL || it == node)
        return;
    tree_place(loader->tree, it, 0, &place);
    diag_hint(loader->diag, "it stands at %s:%u already", place.file, place.line);
}

/* The usual cause of too many arguments: the next line's directive became one of them. */
static void hint_semicolon(struct loader *loader, const struct node *node)
{
    struct diag_place place;

    for (size_t i = 1; i < node->word_count; i++) {
        if (node->words[i].quoted ||
            map_get(&loader->inner->by_name, word_text(node->words[i])) == NULL)
            continue;
        tree_place(loader->tree, node, i, &place);
        if (place.line > node->line) {
            diag_hint(loader->diag, "is the \";\" missing before \"%.*s\" in line %u?",
                      SLICE_ARG(word_text(node->words[i])), place.line);
            return;
        }
    }
}

void report_arguments(struct loader *loader, const struct node *node)
{
    diag_add(loader->diag, DIAG_ERROR, NULL, "invalid number of arguments in \"%.*s\" directive",
             SLICE_ARG(word_text(node->words[0])));
    if (at(loader, node, 0))
        hint_semicolon(loader, node);
}

static bool is_name_char(char c)
{
    char lower = ascii_lower(c);

    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* `$name` or `${name`, and not the beginning of a longer name. */
static bool has_variable(struct slice text, struct slice name)
{
    ptrdiff_t dollar;

    while ((dollar = slice_find(text, '$')) >= 0) {
        struct slice found;

        text = slice_skip(text, (size_t)dollar + 1);
        if (text.len > 0 && text.data[0] == '{')
            text = slice_skip(text, 1);
        found = slice_head(text, name.len);
        if (slice_eq_nocase(found, name) &&
            (text.len == name.len || !is_name_char(text.data[name.len])))
            return true;
    }
    return false;
}

/* 0 if nowhere. */
static size_t word_with(const struct node *node, struct slice name)
{
    for (size_t i = 1; i < node->word_count; i++) {
        if (has_variable(word_text(node->words[i]), name))
            return i;
    }
    return 0;
}

void report_unknown_variables(struct loader *loader)
{
    for (struct pending *it = loader->inner->pending; it != NULL; it = it->next) {
        struct slice name = it->variable->name;
        const char *nearest;
        const char *module;

        if (variables_known(it->variable))
            continue;
        diag_add(loader->diag, DIAG_ERROR, NULL, "unknown \"%.*s\" variable", SLICE_ARG(name));
        if (loader->diag->newest == NULL)
            continue;
        if (it->node != NULL)
            (void)at(loader, it->node, word_with(it->node, name));
        module = known_variable_module(name);
        nearest = variables_nearest(it->variables, name);
        if (module != NULL)
            diag_hint(loader->diag, "it belongs to the %s module, which this build does not have",
                      module);
        else if (nearest != NULL)
            diag_hint(loader->diag, "did you mean \"$%s\"?", nearest);
    }
}

/* Files in the order they were first read; what has no place comes first. */
static uint64_t reading_order(const struct tree *tree, const struct diag_entry *entry)
{
    uintptr_t file = 0;

    if (entry->place.file != NULL)
        file = (uintptr_t)map_get(&tree->file_by_path, slice_of(entry->place.file));
    return (uint64_t)file << 32 | entry->place.line;
}

/* Merges two sorted lists; of equals `a` comes first. */
static struct diag_entry *merge(const struct tree *tree, struct diag_entry *a, struct diag_entry *b)
{
    struct diag_entry *first = NULL;
    struct diag_entry **tail = &first;

    while (a != NULL && b != NULL) {
        struct diag_entry **least = reading_order(tree, b) < reading_order(tree, a) ? &b : &a;

        *tail = *least;
        *least = (*least)->next;
        tail = &(*tail)->next;
    }
    *tail = a != NULL ? a : b;
    return first;
}

static struct diag_entry *sort(const struct tree *tree, struct diag_entry *first, size_t count)
{
    struct diag_entry *second = first;
    struct diag_entry *before = NULL;

    if (count < 2)
        return first;
    for (size_t i = 0; i < count / 2; i++) {
        before = second;
        second = second->next;
    }
    assert(before != NULL); /* half of two or more is one at least */
    before->next = NULL;
    return merge(tree, sort(tree, first, count / 2), sort(tree, second, count - count / 2));
}

void report_sort(struct loader *loader)
{
    struct diag *diag = loader->diag;
    size_t count = 0;

    for (struct diag_entry *it = diag->first; it != NULL; it = it->next)
        count++;
    if (count == 0)
        return;
    diag->first = sort(loader->tree, diag->first, count);
    diag->last = &diag->first;
    while (*diag->last != NULL)
        diag->last = &(*diag->last)->next;
}

static void say(struct conf_call *call, enum diag_level level, size_t index, struct slice text)
{
    const char *message = text.data == NULL ? "no memory" : text.data;

    if (call->node->file == TREE_NO_FILE) {
        diag_add(call->loader->diag, level, NULL, "%s (the default of \"%s\")", message,
                 call->directive->name);
        return;
    }
    diag_add(call->loader->diag, level, NULL, "%s", message);
    (void)at(call->loader, call->node, index);
}

bool conf_error(struct conf_call *call, size_t index, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(call, DIAG_ERROR, index, arena_vprintf(call->loader->scratch, format, args));
    va_end(args);
    return false;
}

void conf_warn(struct conf_call *call, size_t index, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(call, DIAG_WARN, index, arena_vprintf(call->loader->scratch, format, args));
    va_end(args);
}

void conf_hint(struct conf_call *call, const char *format, ...)
{
    struct slice text;
    va_list args;

    va_start(args, format);
    text = arena_vprintf(call->loader->scratch, format, args);
    va_end(args);
    if (text.data != NULL)
        diag_hint(call->loader->diag, "%s", text.data);
}

bool conf_no_blocks(struct conf_call *call)
{
    bool clean = true;

    for (const struct node *it = call->node->children; it != NULL; it = it->next) {
        if (!it->is_block)
            continue;
        diag_add(call->loader->diag, DIAG_ERROR, NULL, "unexpected \"{\"");
        (void)at(call->loader, it, 0);
        clean = false;
    }
    return clean;
}
