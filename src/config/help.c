/* The manual page of a directive, made from its row. Runs in: cli, and whoever makes the manual. */
#include "config/loader_internal.h"

#include "base/arena.h"
#include "config/kinds_internal.h"
#include "config/nearest_internal.h"

#include <inttypes.h>

enum { TEXT_WIDTH = 78 };

/* It is done while the tree is made, before there are rows. */
static const struct directive include_row = {
    .name = "include",
    .contexts = CTX_ANYWHERE,
    .field = {.kind = CONF_CUSTOM},
    .args_min = 1,
    .args_max = 1,
    .doc = "Puts the directives of another file, or of all files that a pattern with * fits, in "
           "this place. A name that does not begin with / is relative to the folder of the "
           "configuration file. A pattern may fit no file; a plain name must.",
    .example = "include mime.types;\ninclude conf.d/*.conf;",
};
static const struct conf_feature tree_feature = {
    .name = "conf_file", .directives = &include_row, .directive_count = 1};

static void print_words(const struct directive *row, FILE *out)
{
    for (const struct conf_word *it = row->words; it != NULL && it->word != NULL; it++)
        fprintf(out, "%s%s", it == row->words ? "" : " | ", it->word);
}

static void print_syntax(const struct directive *row, FILE *out)
{
    static const char *const forms[] = {
        [CONF_FLAG] = "on | off",
        [CONF_INT] = "number",
        [CONF_MSEC] = "time",
        [CONF_SEC] = "time",
        [CONF_BYTES] = "size",
        [CONF_TEXT] = "text",
        [CONF_TEMPLATE] = "text with $variables",
        [CONF_BUFFERS] = "number size",
        [CONF_NOTHING] = "...",
    };
    struct arg_range args = directive_args(row);

    fprintf(out, "Syntax:    %s", row->name);
    if (row->field.kind == CONF_ENUM || row->field.kind == CONF_BITS) {
        fputc(' ', out);
        print_words(row, out);
        fputs(row->field.kind == CONF_BITS ? " ..." : "", out);
    } else if (row->field.kind == CONF_CUSTOM) {
        for (unsigned i = 0; i < args.min; i++)
            fputs(" argument", out);
        if (args.max == UINT8_MAX)
            fputs(" [argument ...]", out);
        for (unsigned i = args.min; i < args.max && args.max != UINT8_MAX; i++)
            fputs(" [argument]", out);
    } else {
        fprintf(out, " %s", forms[row->field.kind]);
    }
    fputs(row->block ? " { ... }\n" : ";\n", out);
}

static void print_bounds(const struct directive *row, FILE *out)
{
    static const char *const units[CONF_NOTHING + 1] = {
        [CONF_INT] = "",         [CONF_MSEC] = " ms",         [CONF_SEC] = " s",
        [CONF_BYTES] = " bytes", [CONF_BUFFERS] = " buffers",
    };
    struct value_range range = directive_bounds(row);
    const char *unit = units[row->field.kind];

    if (unit == NULL || (row->min == 0 && row->max == 0))
        return;
    fprintf(out, "Range:     from %" PRId64 "%s", range.min, unit);
    if (row->max != 0)
        fprintf(out, " to %" PRId64 "%s", range.max, unit);
    fputc('\n', out);
}

/* Prose in lines of TEXT_WIDTH; blank at each line's start as given. */
static void print_prose(const char *text, FILE *out)
{
    struct slice rest = slice_of(text);
    struct slice word;
    size_t column = 0;

    while (slice_split(&rest, ' ', &word)) {
        if (word.len == 0)
            continue;
        if (column > 0 && column + 1 + word.len > TEXT_WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        fprintf(out, "%s%.*s", column > 0 ? " " : "", SLICE_ARG(word));
        column += word.len + (column > 0);
    }
    fputc('\n', out);
}

static void print_example(const struct directive *row, FILE *out)
{
    struct slice rest = slice_of(row->example);
    struct slice line;

    if (row->example == NULL && row->def == NULL)
        return;
    fputs("\nExample:\n", out);
    if (row->example == NULL)
        fprintf(out, "    %s %s;\n", row->name, row->def);
    while (row->example != NULL && slice_split(&rest, '\n', &line))
        fprintf(out, "    %.*s\n", SLICE_ARG(line));
}

static void print_row(const struct conf_feature *feature, const struct directive *row, FILE *out)
{
    struct arena *arena = arena_new(1024);
    struct slice contexts = SLICE("");

    if (arena != NULL)
        contexts = context_names(arena, row->contexts);
    print_syntax(row, out);
    if (row->def != NULL)
        fprintf(out, "Default:   %s %s;\n", row->name, row->def);
    print_bounds(row, out);
    fprintf(out, "Contexts:  %.*s\n", SLICE_ARG(contexts));
    fprintf(out, "Module:    %s\n\n", feature->name);
    if (row->doc != NULL)
        print_prose(row->doc, out);
    if (row->field.kind == CONF_NOTHING) {
        fputs("\nAccepted, without effect: ", out);
        print_prose(row->noop == NULL ? "for compatibility." : row->noop, out);
    }
    print_example(row, out);
    arena_drop(arena);
}

/* Up to the first full stop that ends a sentence. */
static struct slice first_sentence(const char *doc)
{
    struct slice text = slice_of(doc);
    ptrdiff_t end = slice_search(text, (struct slice)SLICE(". "));

    return end < 0 ? text : slice_head(text, (size_t)end + 1);
}

static void print_list(const struct conf_feature *const *features, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        if (features[i]->directive_count == 0)
            continue;
        fprintf(out, "%s%s\n", i == 0 ? "" : "\n", features[i]->name);
        for (size_t j = 0; j < features[i]->directive_count; j++) {
            const struct directive *row = &features[i]->directives[j];

            fprintf(out, "    %-32s %.*s\n", row->name, SLICE_ARG(first_sentence(row->doc)));
        }
    }
}

static bool print_rows_of(const struct conf_feature *const *features, size_t count,
                          const char *name, FILE *out)
{
    bool found = false;

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < features[i]->directive_count; j++) {
            const struct directive *row = &features[i]->directives[j];

            if (strcmp(row->name, name) != 0)
                continue;
            fputs(found ? "\n\n" : "", out);
            print_row(features[i], row, out);
            found = true;
        }
    }
    return found;
}

static const char *nearest_row(const struct conf_feature *const *features, size_t count,
                               const char *name)
{
    struct nearest nearest;

    nearest_init(&nearest, slice_of(name));
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < features[i]->directive_count; j++)
            nearest_try(&nearest, features[i]->directives[j].name);
    }
    return nearest.best;
}

bool directive_help(const struct conf_feature *const *features, size_t count, const char *name,
                    FILE *out)
{
    const char *nearest;
    const char *module;

    if (name == NULL) {
        print_list(features, count, out);
        fputc('\n', out);
        print_list((const struct conf_feature *const[]){&tree_feature}, 1, out);
        return true;
    }
    if (print_rows_of(features, count, name, out) ||
        print_rows_of((const struct conf_feature *const[]){&tree_feature}, 1, name, out))
        return true;
    module = known_module(slice_of(name), false);
    nearest = nearest_row(features, count, name);
    if (module != NULL)
        fprintf(out, "\"%s\" belongs to nginx's %s module, which this build does not have\n", name,
                module);
    else
        fprintf(out, "there is no directive \"%s\"\n", name);
    if (module == NULL && nearest != NULL)
        fprintf(out, "did you mean \"%s\"?\n", nearest);
    return false;
}
