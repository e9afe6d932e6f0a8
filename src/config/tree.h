/* A config file as a tree of directives with their places: nginx's grammar, no meaning yet.
 *
 * `include` is resolved while parsing, wherever it stands: its node is replaced by what the files
 * hold, also inside blocks whose children are data (`types`, `map`). Nodes are compact (a config of
 * 40,000 servers has 440,000 of them); words without escapes are slices into the file's text.
 * Runs in: any process, at load time. */
#pragma once

#include "base/map.h"
#include "base/slice.h"

struct arena;
struct config_files;
struct diag;
struct diag_place;

enum {
    TREE_DEPTH_MAX = 64,   /* blocks inside blocks */
    TREE_INCLUDE_MAX = 32, /* files that include files */
};

struct word {
    const char *data; /* see word_text() */
    uint32_t len;
    uint32_t offset : 31; /* where it begins in the file's text, its quote included */
    uint32_t quoted : 1;
};

/* Unescaped and unquoted; variables are left as they stand. */
static inline struct slice word_text(struct word word)
{
    return slice_make(word.data, word.len);
}

static inline struct word word_make(struct slice text)
{
    return (struct word){.data = text.data, .len = (uint32_t)text.len};
}

struct node {
    struct node *next;     /* the next directive of the same block */
    struct node *children; /* the first directive inside { }, NULL for an empty block */
    uint32_t line : 31;    /* from 1 */
    uint32_t is_block : 1;
    uint16_t file; /* index into tree->files */
    uint16_t word_count;
    struct word words[]; /* words[0] is the name */
};

struct tree_file {
    const char *path;
    struct slice text;
};

struct tree {
    struct arena *arena; /* owned: texts and paths, which what was loaded goes on pointing at */
    struct arena *node_arena; /* owned: nodes and their words */
    struct node *first;       /* top level, in order */
    struct tree_file *files;
    size_t file_count;
    size_t file_capacity;
    struct map file_by_path;      /* path -> its index + 1 */
    struct config_files *sources; /* borrowed */
    const char *conf_prefix;      /* relative includes start here; arena; NULL until tree_parse() */
};

/* An empty tree. Without memory `arena` is NULL, which tree_parse() reports. */
void tree_init(struct tree *tree, struct config_files *files);
void tree_fini(struct tree *tree);

/* Everything is loaded: gives the nodes back, which are most of the memory; texts and paths stay
 * until tree_fini(). */
void tree_drop_nodes(struct tree *tree);

/* Parses `path` and what it includes. All errors go to `diag`; what could be understood is in the
 * tree even then. May follow tree_parse_text(); its directives come after those. */
void tree_parse(struct tree *tree, struct config_files *files, const char *path, struct diag *diag);

/* Parses a directive line given with -g (global directives), as file `name`. */
void tree_parse_text(struct tree *tree, const char *name, struct slice text, struct diag *diag);

/* The path of the file a node stands in, as long as the tree; "" for a default's. */
const char *tree_path(const struct tree *tree, const struct node *node);

/* The place of word `index` (0: the name), with the line's text for the caret. Borrows from the
 * sources, which must outlive it. */
void tree_place(const struct tree *tree, const struct node *node, size_t index,
                struct diag_place *place);
