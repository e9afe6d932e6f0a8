/* A config file as a tree of directives with their places: nginx's grammar, no meaning yet.
 *
 * `include` is resolved while parsing, wherever it stands. Nodes are compact (a config of 40,000 servers has 600,000 of
 * them); words without escapes are slices into the file's text. Runs in: any process, at load time. */
#pragma once

#include "base/slice.h"

struct arena;
struct config_files;
struct diag;
struct diag_place;

struct word {
    struct slice text;   /* unescaped and unquoted; variables are left as they stand */
    uint32_t offset : 31; /* where it begins in the file's text */
    uint32_t quoted : 1;
};

struct node {
    struct node *next;     /* the next directive of the same block */
    struct node *children; /* the first directive inside { }, NULL for an empty block */
    struct word *words;    /* words[0] is the name */
    uint32_t line;         /* from 1 */
    uint16_t file;         /* index into tree->files */
    uint16_t word_count;
    bool is_block;
};

struct tree_file {
    const char *path;
    struct slice text;
};

struct tree {
    struct arena *arena; /* owned */
    struct node *first;  /* top level, in order */
    struct tree_file *files;
    size_t file_count;
    struct config_files *sources; /* borrowed */
};

/* Parses `path` and what it includes. All errors go to `diag`; what could be understood is in the tree even then. Blocks nest 64 deep, includes 32. */
void tree_parse(struct tree *tree, struct config_files *files, const char *path, struct diag *diag);

/* Parses a directive line given with -g (global directives), as file "command line". They come before the main file's. */
void tree_parse_text(struct tree *tree, const char *name, struct slice text, struct diag *diag);

void tree_init(struct tree *tree, struct config_files *files);
void tree_fini(struct tree *tree);

/* The place of word `index` (0: the name), with the line's text for the caret. */
void tree_place(const struct tree *tree, const struct node *node, size_t index, struct diag_place *place);
