/* The scanner of nginx's grammar. Runs in: any process, at load time. */
#include "config/lexer_internal.h"

#include "base/arena.h"

void lexer_init(struct lexer *lexer, struct slice text)
{
    static const struct slice mark = SLICE("\xef\xbb\xbf");

    *lexer = (struct lexer){.text = text, .line = 1};
    if (slice_starts(text, mark))
        lexer->at = mark.len;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_comment(struct lexer *lexer)
{
    while (lexer->at < lexer->text.len && lexer->text.data[lexer->at] != '\n')
        lexer->at++;
}

/* White space and comments: `#` is one only where a word could begin. */
static void skip_gap(struct lexer *lexer)
{
    while (lexer->at < lexer->text.len) {
        char c = lexer->text.data[lexer->at];

        if (c == '#') {
            skip_comment(lexer);
            continue;
        }
        if (!is_space(c))
            return;
        lexer->line += c == '\n';
        lexer->at++;
    }
}

/* The byte after a backslash is part of the word whatever it is. */
static void skip_escaped(struct lexer *lexer)
{
    lexer->at++;
    if (lexer->at < lexer->text.len) {
        lexer->line += lexer->text.data[lexer->at] == '\n';
        lexer->at++;
    }
}

static struct token finish_word(struct lexer *lexer, struct token token, size_t start)
{
    token.raw = slice_make(lexer->text.data + start, lexer->at - start);
    if (lexer->at == lexer->text.len)
        token.kind = TOKEN_CUT;
    else if (token.raw.len > WORD_BYTES_MAX)
        token.kind = TOKEN_LONG;
    else if (token.quote != 0 && token.raw.len > QUOTED_BYTES_MAX) {
        token.kind = TOKEN_LONG;
        token.quote = 0;
    }
    if (token.kind != TOKEN_WORD)
        lexer->at = lexer->text.len;
    return token;
}

static struct token quoted_word(struct lexer *lexer, struct token token)
{
    size_t start = ++lexer->at;

    while (lexer->at < lexer->text.len && lexer->at - start <= WORD_BYTES_MAX) {
        char c = lexer->text.data[lexer->at];

        if (c == token.quote)
            break;
        if (c == '\\') {
            token.escaped = true;
            skip_escaped(lexer);
            continue;
        }
        lexer->line += c == '\n';
        lexer->at++;
    }
    token = finish_word(lexer, token, start);
    if (token.kind == TOKEN_WORD) {
        lexer->at++;
        lexer->after_quote = true;
    }
    return token;
}

static struct token plain_word(struct lexer *lexer, struct token token)
{
    size_t start = lexer->at;
    bool after_dollar = false;

    while (lexer->at < lexer->text.len && lexer->at - start <= WORD_BYTES_MAX) {
        char c = lexer->text.data[lexer->at];

        if (c == '\\') {
            token.escaped = true;
            after_dollar = false;
            skip_escaped(lexer);
            continue;
        }
        if (is_space(c) || c == ';' || (c == '{' && !after_dollar))
            break;
        after_dollar = c == '$' || (c == '{' && after_dollar);
        lexer->at++;
    }
    return finish_word(lexer, token, start);
}

static struct token mark(struct lexer *lexer, struct token token, enum token_kind kind)
{
    token.kind = kind;
    token.raw = slice_make(lexer->text.data + lexer->at, 1);
    lexer->at++;
    return token;
}

struct token lexer_next(struct lexer *lexer)
{
    bool after_quote = lexer->after_quote;
    struct token token = {.kind = TOKEN_WORD};
    size_t before = lexer->at;
    char c;

    lexer->after_quote = false;
    if (!after_quote || lexer->at >= lexer->text.len || lexer->text.data[lexer->at] != '#')
        skip_gap(lexer);
    token.offset = lexer->at;
    token.line = lexer->line;
    if (lexer->at >= lexer->text.len) {
        token.kind = TOKEN_END;
        return token;
    }
    c = lexer->text.data[lexer->at];
    if (after_quote && before == lexer->at && c != ';' && c != '{' && c != '}' && c != ')') {
        token.kind = TOKEN_STRAY;
        token.raw = slice_make(lexer->text.data + lexer->at, 1);
        return token;
    }
    switch (c) {
    case ';':
        return mark(lexer, token, TOKEN_SEMICOLON);
    case '{':
        return mark(lexer, token, TOKEN_OPEN);
    case '}':
        return mark(lexer, token, TOKEN_CLOSE);
    case '"':
    case '\'':
        token.quote = c;
        return quoted_word(lexer, token);
    default:
        return plain_word(lexer, token);
    }
}

/* What \c stands for; 0: the backslash stays. */
static char escape_of(char c)
{
    switch (c) {
    case '"':
    case '\'':
    case '\\':
        return c;
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'n':
        return '\n';
    default:
        return 0;
    }
}

struct slice lexer_unescape(const struct token *token, struct arena *arena)
{
    struct slice raw = token->raw;
    char *text;
    size_t len = 0;

    if (!token->escaped)
        return raw;
    text = arena_bytes(arena, raw.len);
    if (text == NULL)
        return slice_make(NULL, 0);
    for (size_t i = 0; i < raw.len; i++) {
        char plain = 0;

        if (raw.data[i] == '\\' && i + 1 < raw.len)
            plain = escape_of(raw.data[i + 1]);
        text[len++] = plain != 0 ? plain : raw.data[i];
        i += plain != 0;
    }
    return slice_make(text, len);
}
