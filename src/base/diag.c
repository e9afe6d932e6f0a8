/* Collects what went wrong and prints it for a person. Runs in: any; one thread per diag. */
#include "base/diag.h"

#include "base/arena.h"

#include <assert.h>
#include <errno.h>

enum { LIMIT_DEFAULT = 100, ARENA_BYTES = 2048 };

/* A line longer than this is shown as a window around the column. */
enum { LINE_SHOWN_MAX = 160, BEFORE_COLUMN = 60 };

void diag_init(struct diag *diag)
{
    *diag = (struct diag){.last = NULL};
}

void diag_fini(struct diag *diag)
{
    arena_drop(diag->arena);
    diag_init(diag);
}

static size_t limit_of(const struct diag *diag)
{
    return diag->limit == 0 ? LIMIT_DEFAULT : diag->limit;
}

static void append(struct diag *diag, struct diag_entry *entry)
{
    if (diag->first == NULL)
        diag->last = &diag->first;
    *diag->last = entry;
    diag->last = &entry->next;
    diag->newest = entry;
}

static void add(struct diag *diag, enum diag_level level, const struct diag_place *place,
                const char *format, va_list args)
{
    size_t *count = level == DIAG_ERROR ? &diag->error_count : &diag->warning_count;
    struct diag_entry *entry;

    diag->newest = NULL;
    if (++*count > limit_of(diag))
        return;
    if (diag->arena == NULL)
        diag->arena = arena_new(ARENA_BYTES);
    if (diag->arena == NULL)
        return;

    entry = arena_zalloc(diag->arena, sizeof *entry);
    if (entry == NULL)
        return;
    entry->level = level;
    if (place != NULL)
        entry->place = *place;
    entry->message = arena_vprintf(diag->arena, format, args).data;
    if (entry->message == NULL)
        entry->message = "out of memory";
    append(diag, entry);
}

void diag_add(struct diag *diag, enum diag_level level, const struct diag_place *place,
              const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(diag, level, place, format, args);
    va_end(args);
}

void diag_hint(struct diag *diag, const char *format, ...)
{
    va_list args;

    if (diag->newest == NULL)
        return;
    va_start(args, format);
    diag->newest->hint = arena_vprintf(diag->arena, format, args).data;
    va_end(args);
}

void diag_errno(struct diag *diag, const char *what, const char *subject)
{
    char text[128];
    const char *why = strerror_r(errno, text, sizeof text);

    diag_add(diag, DIAG_ERROR, NULL, "cannot %s %s: %s", what, subject, why);
}

/* ---- printing */

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

/* Terminals obey control bytes, and a config may hold any. */
static void print_safely(struct slice text, FILE *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (is_control(text.data[i]) && text.data[i] != '\t')
            fprintf(out, "\\x%02X", (unsigned char)text.data[i]);
        else
            putc(text.data[i], out);
    }
}

/* How many bytes from `at` on the caret underlines: one word, or one quoted string. */
static size_t token_length(struct slice line, size_t at)
{
    char first = line.data[at];
    size_t end = at + 1;

    if (first == '"' || first == '\'') {
        while (end < line.len && line.data[end] != first)
            end += line.data[end] == '\\' ? 2 : 1;
        return (end < line.len ? end + 1 : line.len) - at;
    }
    while (end < line.len && strchr(" \t;{}", line.data[end]) == NULL)
        end++;
    return end - at;
}

/* As many columns as the bytes of `text` take: tabs stay tabs, bytes inside a UTF-8 character none.
 */
static void print_blank(struct slice text, FILE *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\t')
            putc('\t', out);
        else if (is_control(text.data[i]))
            fputs("    ", out);
        else if ((text.data[i] & 0xc0) != 0x80)
            putc(' ', out);
    }
}

static void print_caret(struct slice line, size_t at, FILE *out)
{
    size_t len = token_length(line, at);

    fprintf(out, "%6s | ", "");
    print_blank(slice_head(line, at), out);
    putc('^', out);
    for (size_t i = 1; i < len; i++) {
        if ((line.data[at + i] & 0xc0) != 0x80)
            putc('~', out);
    }
}

/* The line, the caret and the advice behind it. */
static void print_source(const struct diag_entry *entry, FILE *out)
{
    const struct diag_place *place = &entry->place;
    size_t at = place->column == 0 ? 0 : place->column - 1;
    struct slice line = place->text;

    if (at > BEFORE_COLUMN && line.len > LINE_SHOWN_MAX && at < line.len) {
        size_t cut = at - BEFORE_COLUMN;

        while (cut < at && (line.data[cut] & 0xc0) == 0x80)
            cut++; /* not inside a character */
        line = slice_skip(line, cut);
        at -= cut;
    }
    line = slice_head(line, LINE_SHOWN_MAX);

    fprintf(out, "%6u | ", place->line);
    print_safely(line, out);
    putc('\n', out);
    if (place->column > 0 && at < line.len)
        print_caret(line, at, out);
    else if (entry->hint != NULL)
        fprintf(out, "%6s |", "");
    else
        return;
    if (entry->hint != NULL) {
        putc(' ', out);
        print_safely(slice_of(entry->hint), out);
    }
    putc('\n', out);
}

static void print_entry(const struct diag_entry *entry, FILE *out)
{
    const struct diag_place *place = &entry->place;

    fprintf(out, "pelayan: [%s] ", entry->level == DIAG_ERROR ? "emerg" : "warn");
    print_safely(slice_of(entry->message), out);
    if (place->file != NULL) {
        fputs(" in ", out);
        print_safely(slice_of(place->file), out);
        if (place->line > 0)
            fprintf(out, ":%u", place->line);
        if (place->line > 0 && place->column > 0)
            fprintf(out, ":%u", place->column);
    }
    putc('\n', out);

    if (place->text.len > 0 && place->line > 0) {
        print_source(entry, out);
    } else if (entry->hint != NULL) {
        fprintf(out, "%6s   ", "");
        print_safely(slice_of(entry->hint), out);
        putc('\n', out);
    }
}

static void print_more(size_t count, size_t limit, const char *noun, FILE *out)
{
    if (count > limit)
        fprintf(out, "pelayan: %zu more %s%s\n", count - limit, noun,
                count - limit == 1 ? "" : "s");
}

void diag_print(const struct diag *diag, FILE *out)
{
    for (const struct diag_entry *entry = diag->first; entry != NULL; entry = entry->next)
        print_entry(entry, out);
    print_more(diag->error_count, limit_of(diag), "error", out);
    print_more(diag->warning_count, limit_of(diag), "warning", out);
}
