/* Builds the tree from tokens, and finds places in it again. Runs in: any process, at load time. */
#include "config/tree.h"

#include "base/arena.h"
#include "base/diag.h"
#include "config/files.h"
#include "config/lexer_internal.h"
#include "config/tree_internal.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>

enum { WORDS_MAX = UINT16_MAX, FILES_MAX = UINT16_MAX - 1 };

struct frame {
    const struct node *node; /* the block's directive; NULL: the top level */
    struct node **tail;      /* where its next child goes */
};

/* One run of tree_parse(): what all its files share. */
struct builder {
    struct tree *tree;
    struct diag *diag;
    struct frame frames[TREE_DEPTH_MAX + 1];
    size_t depth;
    struct word *words; /* owned: those of the directive being read */
    size_t word_count;
    size_t word_capacity;
    unsigned line; /* of words[0] */
    bool no_memory;
};

/* One file being read; on the stack of parse_file(). */
struct source {
    struct source *includer; /* NULL: the main file */
    struct builder *builder;
    struct lexer lexer;
    uint16_t file;
    bool is_argument;   /* -g: blocks are refused, as nginx does */
    size_t depth_first; /* the depth at which it was included */
    size_t ignored;     /* blocks open beyond TREE_DEPTH_MAX, or without a name: read, not kept */
    const struct node *at; /* the include directive being followed */
};

void tree_init(struct tree *tree, struct config_files *files)
{
    *tree = (struct tree){
        .sources = files, .arena = arena_new(1 << 12), .node_arena = arena_new(1 << 16)};
    if (tree->node_arena == NULL) {
        arena_drop(tree->arena);
        tree->arena = NULL;
    }
    if (tree->arena != NULL)
        map_init(&tree->file_by_path, tree->arena, false);
}

void tree_drop_nodes(struct tree *tree)
{
    arena_drop(tree->node_arena);
    tree->node_arena = NULL;
    tree->first = NULL;
}

void tree_fini(struct tree *tree)
{
    arena_drop(tree->node_arena);
    arena_drop(tree->arena);
    *tree = (struct tree){0};
}

void tree_place_at(const struct tree_file *file, size_t offset, unsigned line,
                   struct diag_place *place)
{
    struct slice text = file->text;
    size_t start = offset < text.len ? offset : text.len;
    size_t end = start;

    while (start > 0 && text.data[start - 1] != '\n')
        start--;
    while (end < text.len && text.data[end] != '\n' && text.data[end] != '\r')
        end++;
    *place = (struct diag_place){.file = file->path,
                                 .line = line,
                                 .column = (unsigned)(offset - start) + 1,
                                 .text = slice_make(text.data + start, end - start)};
}

const char *tree_path(const struct tree *tree, const struct node *node)
{
    return node->file < tree->file_count ? tree->files[node->file].path : "";
}

static unsigned newlines(struct slice text, size_t from, size_t to)
{
    unsigned count = 0;

    for (size_t i = from; i < to && i < text.len; i++)
        count += text.data[i] == '\n';
    return count;
}

void tree_place(const struct tree *tree, const struct node *node, size_t index,
                struct diag_place *place)
{
    const struct tree_file *file;
    unsigned line = node->line;

    *place = (struct diag_place){0};
    if (node->file >= tree->file_count || node->word_count == 0)
        return;
    if (index >= node->word_count)
        index = node->word_count - 1;
    file = &tree->files[node->file];
    line += newlines(file->text, node->words[0].offset, node->words[index].offset);
    tree_place_at(file, node->words[index].offset, line, place);
}

static void out_of_memory(struct builder *builder)
{
    if (!builder->no_memory)
        diag_add(builder->diag, DIAG_ERROR, NULL, "no memory for the tree of the config");
    builder->no_memory = true;
}

/* Gives the message added last its place. After it, since a place costs a walk along its line, and
 * messages beyond the limit of the diag are dropped. */
static void at_token(const struct source *source, const struct token *token)
{
    struct diag_entry *newest = source->builder->diag->newest;

    if (newest != NULL)
        tree_place_at(&source->builder->tree->files[source->file], token->offset, token->line,
                      &newest->place);
}

static void at_node(const struct builder *builder, const struct node *node, size_t index)
{
    if (builder->diag->newest != NULL)
        tree_place(builder->tree, node, index, &builder->diag->newest->place);
}

/* The file's index, the same for the same path. -1: reported. */
static int add_file(struct builder *builder, const char *path, struct slice text)
{
    struct tree *tree = builder->tree;
    uintptr_t known = (uintptr_t)map_get(&tree->file_by_path, slice_of(path));
    struct slice name;

    if (known != 0)
        return (int)(known - 1);
    if (tree->file_count == FILES_MAX) {
        diag_add(builder->diag, DIAG_ERROR, NULL, "more than %d files are included", FILES_MAX);
        return -1;
    }
    if (tree->file_count == tree->file_capacity) {
        size_t capacity = tree->file_capacity * 2 + 8;
        struct tree_file *files = arena_alloc(tree->arena, capacity * sizeof *files);

        if (files == NULL)
            goto out;
        if (tree->file_count > 0)
            memcpy(files, tree->files, tree->file_count * sizeof *files);
        tree->files = files;
        tree->file_capacity = capacity;
    }
    name = arena_copy(tree->arena, slice_of(path));
    if (name.data == NULL)
        goto out;
    tree->files[tree->file_count] = (struct tree_file){.path = name.data, .text = text};
    if (!map_put(&tree->file_by_path, name, (void *)(uintptr_t)(tree->file_count + 1), NULL))
        goto out;
    return (int)tree->file_count++;
out:
    out_of_memory(builder);
    return -1;
}

static void add_word(struct source *source, const struct token *token)
{
    struct builder *builder = source->builder;
    struct word word = word_make(lexer_unescape(token, builder->tree->arena));

    word.offset = (uint32_t)token->offset & INT32_MAX;
    word.quoted = token->quote != 0;
    if (builder->word_count == builder->word_capacity) {
        size_t capacity = builder->word_capacity * 2 + 16;
        struct word *words = realloc(builder->words, capacity * sizeof *words);

        if (words == NULL) {
            out_of_memory(builder);
            return;
        }
        builder->words = words;
        builder->word_capacity = capacity;
    }
    if (word.data == NULL)
        out_of_memory(builder);
    if (builder->word_count == 0)
        builder->line = token->line;
    builder->words[builder->word_count++] = word;
}

/* The words read so far as a node. NULL: no memory, or reported. */
static struct node *make_node(struct source *source, const struct token *end)
{
    struct builder *builder = source->builder;
    size_t bytes = builder->word_count * sizeof *builder->words;
    struct node *node;

    if (builder->word_count > WORDS_MAX) {
        diag_add(builder->diag, DIAG_ERROR, NULL, "more than %d parameters in one directive",
                 WORDS_MAX);
        at_token(source, end);
        return NULL;
    }
    /* Nodes alone are in this arena: they need no more alignment than they have by their size. */
    static_assert(sizeof(struct node) % alignof(struct node) == 0 &&
                      sizeof(struct word) % alignof(struct node) == 0,
                  "nodes lie side by side");
    node = (struct node *)(void *)arena_bytes(builder->tree->node_arena, sizeof *node + bytes);
    if (node == NULL) {
        out_of_memory(builder);
        return NULL;
    }
    *node = (struct node){.line = builder->line & INT32_MAX,
                          .file = source->file,
                          .word_count = (uint16_t)builder->word_count,
                          .is_block = end->kind == TOKEN_OPEN};
    memcpy(node->words, builder->words, bytes);
    return node;
}

static void parse_file(struct source *source);

static bool is_circle(const struct source *source, int file)
{
    for (; source != NULL; source = source->includer) {
        if (source->file == file)
            return true;
    }
    return false;
}

static void report_circle(const struct source *source, const struct node *node, int file)
{
    const struct tree *tree = source->builder->tree;
    struct diag *diag = source->builder->diag;
    const struct source *first = source;

    while (first->file != file)
        first = first->includer;
    diag_add(diag, DIAG_ERROR, NULL, "\"include\" goes in a circle: \"%s\" is being read already",
             tree->files[file].path);
    at_node(source->builder, node, 1);
    if (first != source)
        diag_hint(diag, "it includes this file at %s:%u", tree->files[file].path, first->at->line);
}

static void include_file(struct source *source, const struct node *node, const char *path)
{
    struct builder *builder = source->builder;
    struct source inner = {.includer = source, .builder = builder};
    struct slice text;
    unsigned level = 0;
    int file;

    if (!config_files_read(builder->tree->sources, path, &text, builder->diag)) {
        at_node(builder, node, 1);
        return;
    }
    file = add_file(builder, path, text);
    if (file < 0)
        return;
    source->at = node;
    if (is_circle(source, file)) {
        report_circle(source, node, file);
        return;
    }
    for (const struct source *it = source; it != NULL; it = it->includer)
        level++;
    if (level > TREE_INCLUDE_MAX) {
        diag_add(builder->diag, DIAG_ERROR, NULL, "files include each other more than %d deep",
                 TREE_INCLUDE_MAX);
        at_node(builder, node, 1);
        return;
    }
    inner.file = (uint16_t)file;
    lexer_init(&inner.lexer, text);
    parse_file(&inner);
}

static void include_glob(struct source *source, const struct node *node, const char *pattern)
{
    struct builder *builder = source->builder;
    const char *const *paths;
    size_t count;

    if (!config_files_glob(builder->tree->sources, pattern, &paths, &count, builder->diag))
        return;
    for (size_t i = 0; i < count && !builder->no_memory; i++)
        include_file(source, node, paths[i]);
}

/* Puts the files' directives in the place of `node`. */
static void include(struct source *source, const struct node *node)
{
    struct builder *builder = source->builder;
    struct slice name;
    struct slice path;

    if (node->word_count != 2 || node->is_block) {
        diag_add(builder->diag, DIAG_ERROR, NULL, "%s",
                 node->is_block ? "directive \"include\" is not terminated by \";\""
                                : "invalid number of arguments in \"include\" directive");
        at_node(builder, node, 0);
        return;
    }
    name = word_text(node->words[1]);
    if (name.len > 0 && name.data[0] == '/')
        path = arena_copy(builder->tree->arena, name);
    else
        path = arena_printf(builder->tree->arena, "%s%.*s", builder->tree->conf_prefix,
                            SLICE_ARG(name));
    if (path.data == NULL)
        out_of_memory(builder);
    else if (strpbrk(path.data, "*?[") != NULL)
        include_glob(source, node, path.data);
    else
        include_file(source, node, path.data);
}

static void open_block(struct source *source, struct node *node, const struct token *token)
{
    struct builder *builder = source->builder;

    if (builder->depth == TREE_DEPTH_MAX || node == NULL) {
        if (node != NULL) {
            diag_add(builder->diag, DIAG_ERROR, NULL, "blocks nest deeper than %d", TREE_DEPTH_MAX);
            at_token(source, token);
        }
        source->ignored++;
        return;
    }
    builder->depth++;
    builder->frames[builder->depth] = (struct frame){.node = node, .tail = &node->children};
}

static void append(struct builder *builder, struct node *node)
{
    *builder->frames[builder->depth].tail = node;
    builder->frames[builder->depth].tail = &node->next;
}

static void report_unexpected(struct source *source, const struct token *token)
{
    diag_add(source->builder->diag, DIAG_ERROR, NULL, "unexpected \"%c\"", token->raw.data[0]);
    at_token(source, token);
}

/* `;` or `{`: the words before it are a directive. */
static void end_directive(struct source *source, const struct token *token)
{
    struct builder *builder = source->builder;
    bool is_block = token->kind == TOKEN_OPEN;
    struct node *node = NULL;

    if (builder->word_count == 0) {
        report_unexpected(source, token);
    } else if (source->is_argument && is_block) {
        diag_add(builder->diag, DIAG_ERROR, NULL,
                 "block directives are not supported in -g option");
        at_token(source, token);
    } else if (source->ignored == 0) {
        node = make_node(source, token);
    }
    builder->word_count = 0;
    if (node != NULL && slice_eq(word_text(node->words[0]), (struct slice)SLICE("include"))) {
        include(source, node);
        node = NULL;
    }
    if (node != NULL)
        append(builder, node);
    if (is_block)
        open_block(source, node, token);
}

static void close_block(struct source *source, const struct token *token)
{
    struct builder *builder = source->builder;
    struct token semicolon = *token;
    bool reported = builder->word_count > 0;

    if (builder->word_count > 0) {
        report_unexpected(source, token);
        diag_hint(builder->diag, "is the \";\" missing after \"%.*s\"?",
                  SLICE_ARG(word_text(builder->words[builder->word_count - 1])));
        semicolon.kind = TOKEN_SEMICOLON;
        end_directive(source, &semicolon);
    }
    if (source->ignored > 0)
        source->ignored--;
    else if (builder->depth > source->depth_first)
        builder->depth--;
    else if (!reported)
        report_unexpected(source, token);
}

static void report_long(struct source *source, const struct token *token)
{
    struct diag *diag = source->builder->diag;

    if (token->quote != 0)
        diag_add(diag, DIAG_ERROR, NULL,
                 "too long parameter, probably missing terminating \"%c\" character", token->quote);
    else
        diag_add(diag, DIAG_ERROR, NULL, "too long parameter \"%.10s...\" started",
                 token->raw.data);
    at_token(source, token);
}

static void report_cut(struct source *source, const struct token *token)
{
    struct diag *diag = source->builder->diag;

    diag_add(diag, DIAG_ERROR, NULL,
             source->is_argument ? "unexpected end of parameter, expecting \";\""
                                 : "unexpected end of file, expecting \";\" or \"}\"");
    at_token(source, token);
    if (token->quote != 0)
        diag_hint(diag, "this quote is never closed");
}

static void report_open(struct source *source, const struct token *token)
{
    struct builder *builder = source->builder;
    const struct node *node = builder->frames[builder->depth].node;

    diag_add(builder->diag, DIAG_ERROR, NULL, "unexpected end of file, expecting \"}\"");
    at_token(source, token);
    if (node != NULL && source->ignored == 0)
        diag_hint(builder->diag, "the block \"%.*s\" begins at line %u",
                  SLICE_ARG(word_text(node->words[0])), node->line);
}

static void end_source(struct source *source, const struct token *token)
{
    struct builder *builder = source->builder;

    if (token->kind == TOKEN_LONG)
        report_long(source, token);
    else if (token->kind == TOKEN_CUT || builder->word_count > 0)
        report_cut(source, token);
    else if (builder->depth > source->depth_first || source->ignored > 0)
        report_open(source, token);
    builder->word_count = 0;
    builder->depth = source->depth_first;
}

static void parse_file(struct source *source)
{
    struct token token;

    source->depth_first = source->builder->depth;
    do {
        token = lexer_next(&source->lexer);
        switch (token.kind) {
        case TOKEN_WORD:
            add_word(source, &token);
            break;
        case TOKEN_SEMICOLON:
        case TOKEN_OPEN:
            end_directive(source, &token);
            break;
        case TOKEN_CLOSE:
            close_block(source, &token);
            break;
        case TOKEN_STRAY:
            report_unexpected(source, &token);
            break;
        case TOKEN_END:
        case TOKEN_CUT:
        case TOKEN_LONG:
            end_source(source, &token);
            return;
        }
    } while (!source->builder->no_memory);
}

static void build(struct tree *tree, struct source *source, const char *path, struct slice text)
{
    struct builder *builder = source->builder;
    struct node **tail = &tree->first;
    int file = add_file(builder, path, text);

    while (*tail != NULL)
        tail = &(*tail)->next;
    builder->frames[0] = (struct frame){.tail = tail};
    if (file >= 0) {
        source->file = (uint16_t)file;
        lexer_init(&source->lexer, text);
        parse_file(source);
    }
    free(builder->words);
}

/* The folder of `path` with its slash: "" if it has none. */
static bool set_prefix(struct tree *tree, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path) + 1;

    if (tree->conf_prefix == NULL)
        tree->conf_prefix = arena_copy(tree->arena, slice_make(path, len)).data;
    return tree->conf_prefix != NULL;
}

void tree_parse(struct tree *tree, struct config_files *files, const char *path, struct diag *diag)
{
    struct builder builder = {.tree = tree, .diag = diag};
    struct source source = {.builder = &builder};
    struct slice text;

    if (tree->arena == NULL || !set_prefix(tree, path)) {
        out_of_memory(&builder);
        return;
    }
    tree->sources = files;
    if (config_files_read(files, path, &text, diag))
        build(tree, &source, path, text);
}

void tree_parse_text(struct tree *tree, const char *name, struct slice text, struct diag *diag)
{
    struct builder builder = {.tree = tree, .diag = diag};
    struct source source = {.builder = &builder, .is_argument = true};
    struct slice copy;

    if (tree->conf_prefix == NULL)
        tree->conf_prefix = "";
    copy = tree->arena == NULL ? slice_make(NULL, 0) : arena_copy(tree->arena, text);
    if (copy.data == NULL) {
        out_of_memory(&builder);
        return;
    }
    build(tree, &source, name, copy);
    if (tree->conf_prefix[0] == '\0')
        tree->conf_prefix = NULL;
}
