/* Config text to words and marks, by nginx's rules; no files, no meaning.
 *
 * A word ends at white space, `;` or `{`. Quotes matter only at a word's beginning, and what
 * follows a closing quote must be white space, `;`, `{` or `)`. A backslash keeps the next byte
 * from being special. `{` right after `$` belongs to the word. Runs in: any process, at load time.
 */
#pragma once

#include "base/slice.h"

struct arena;

/* nginx reads through a buffer of 4096 bytes that must hold a word and the byte that ends it, or a
 * word, its quote and the byte behind that. */
enum { WORD_BYTES_MAX = 4095, QUOTED_BYTES_MAX = 4094 };

enum token_kind {
    TOKEN_WORD,
    TOKEN_SEMICOLON,
    TOKEN_OPEN,  /* { */
    TOKEN_CLOSE, /* } */
    TOKEN_END,   /* of the text, between words */
    TOKEN_CUT,   /* the text ends inside a word or a quote; `raw` is what there is */
    TOKEN_LONG,  /* too long: nothing sensible can follow; with `quote` its end was not seen */
    TOKEN_STRAY, /* `raw`: a byte that must not stand after a closing quote; it is not skipped */
};

struct token {
    enum token_kind kind;
    struct slice raw; /* a word without its quotes, not unescaped */
    size_t offset;    /* of the first byte, the quote included */
    unsigned line;    /* from 1: where it begins */
    char quote;       /* ' or " or 0 */
    bool escaped;     /* there is a backslash in `raw` */
};

struct lexer {
    struct slice text; /* borrowed */
    size_t at;
    unsigned line;
    bool after_quote;
};

/* A byte order mark at the beginning is skipped. */
void lexer_init(struct lexer *lexer, struct slice text);

/* The next token; after TOKEN_END, TOKEN_CUT and TOKEN_LONG only TOKEN_END follows. */
struct token lexer_next(struct lexer *lexer);

/* The word's text: `raw` itself, or without its escapes in `arena` (`.data` NULL: no memory).
 * \" \' \\ \t \r \n are translated; any other backslash stays, as regexes need it. */
struct slice lexer_unescape(const struct token *token, struct arena *arena);
