/* A view of bytes that somebody else owns.
 *
 * Not terminated, may hold any byte, may be empty (then `data` may be NULL). Copying the struct
 * copies the view, never the bytes. Runs in: any process, any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *data; /* borrowed */
    size_t len;
};

/* A slice of a string literal, usable in static initialisers. */
#define SLICE(literal)                                                                             \
    {                                                                                              \
        .data = (literal), .len = sizeof(literal) - 1,                                             \
    }

/* For printf: `printf("%.*s", SLICE_ARG(s))`. */
#define SLICE_ARG(s) (int)(s).len, (s).data

/* To gcc's analyzer a NULL that somebody asks about is one that comes. It does not know that only
 * an empty slice has none, and would follow it into every use of every slice (tools/analyze). */
#ifdef PELAYAN_ANALYZED
#define SLICE_MAY_BE_NULL(pointer) false
#else
#define SLICE_MAY_BE_NULL(pointer) ((pointer) == NULL)
#endif

static inline struct slice slice_make(const char *data, size_t len)
{
    return (struct slice){.data = data, .len = len};
}

/* From a terminated string; NULL gives the empty slice. */
static inline struct slice slice_of(const char *text)
{
    return (struct slice){.data = text, .len = SLICE_MAY_BE_NULL(text) ? 0 : strlen(text)};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* The first `len` bytes (all of it, if it is shorter). */
static inline struct slice slice_head(struct slice s, size_t len)
{
    return slice_make(s.data, len < s.len ? len : s.len);
}

/* What is left without the first `len` bytes. */
static inline struct slice slice_skip(struct slice s, size_t len)
{
    size_t n = len < s.len ? len : s.len;

    return slice_make(SLICE_MAY_BE_NULL(s.data) ? NULL : s.data + n, s.len - n);
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

static inline bool slice_ends(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len && slice_eq(slice_skip(s, s.len - suffix.len), suffix);
}

/* ASCII only: header names, host names and schemes (RFC 9110, 5.1; RFC 4343). */
static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool slice_eq_nocase(struct slice a, struct slice b);

/* Is there a letter from A to Z? */
bool slice_has_upper(struct slice s);

/* <0, 0, >0 as memcmp; a shorter prefix comes first. */
int slice_cmp(struct slice a, struct slice b);

/* A terminated copy for free(); NULL: no memory. */
char *slice_strdup(struct slice s);

/* Position of the first `c`, or -1. */
ptrdiff_t slice_find(struct slice s, char c);

/* Position of the first occurrence of `needle`, or -1. */
ptrdiff_t slice_search(struct slice s, struct slice needle);

/* Without the spaces and tabs (OWS, RFC 9110, 5.6.3) at both ends. */
struct slice slice_trim(struct slice s);

/* Cuts the part before the first `separator` off `*rest` and gives it in `*part`. False when
 * `*rest` was already at its end (data NULL). "a,,b" gives "a", "", "b"; "" gives one part. */
bool slice_split(struct slice *rest, char separator, struct slice *part);

/* Is `word` one of the blank-separated `words` (NULL: none)? */
bool slice_has_word(const char *words, const char *word);

/* Decimal digits only, the whole slice; false on anything else or overflow. */
bool slice_to_u64(struct slice s, uint64_t *value);

/* 64-bit hash of the bytes (process-wide random seed; see hash_seed()). */
uint64_t slice_hash(struct slice s);

/* The same with ASCII letters folded to lower case. */
uint64_t slice_hash_nocase(struct slice s);

/* Sets the seed of the hashes once at start, before any table is made: tables filled with names
 * from the network must not be predictable. */
void slice_hash_seed(uint64_t seed);
