/* Request targets into paths. Runs in: any process, any thread. */
#include "http/uri.h"

#include "http/hex.h"

#include <assert.h>

/* What a byte of a path means to the fast way through it. */
enum path_byte {
    BYTE_PLAIN = 0,
    BYTE_SLASH = 1, /* the next byte decides */
    BYTE_STOP = 2,  /* ? # % or a byte that no target has */
};

static const uint8_t path_bytes[256] = {
    [0 ... ' '] = BYTE_STOP, ['#'] = BYTE_STOP, ['%'] = BYTE_STOP,
    ['/'] = BYTE_SLASH,      ['?'] = BYTE_STOP, [127] = BYTE_STOP,
};

static inline bool is_bad_byte(char c)
{
    return (unsigned char)c <= ' ' || c == 127;
}

/* The value of the two hex digits after a '%' at s.data[at], or -1. */
static inline int hex_byte(struct slice s, size_t at)
{
    int high, low;

    if (s.len - at < 3)
        return -1;
    high = hex_digit(s.data[at + 1]);
    low = hex_digit(s.data[at + 2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* The path as it is built in the scratch. It always begins with '/', and what follows the last one
 * may turn out to be a dot segment: `state` knows. */
struct path {
    char *data;
    size_t len;
    bool merge_slashes;
    bool quoted;
    enum path_state { IN_SEGMENT, AFTER_SLASH, ONE_DOT, TWO_DOTS } state;
};

/* Takes "/.." and the segment before it off the end. False: there is none. */
static bool drop_segment(struct path *path)
{
    size_t at = path->len - 3; /* the slash before the dots */

    assert(path->len >= 3);
    while (at > 0) {
        at--;
        if (path->data[at] == '/') {
            path->len = at + 1;
            return true;
        }
    }
    return false;
}

/* What comes before a slash or the end: resolves a dot segment, leaving the slash before it. */
static enum uri_result end_segment(struct path *path)
{
    if (path->state == TWO_DOTS && !drop_segment(path))
        return URI_ABOVE_ROOT;
    if (path->state == ONE_DOT)
        path->len--;
    if (path->state == ONE_DOT || path->state == TWO_DOTS)
        path->state = AFTER_SLASH;
    return URI_OK;
}

static inline void put_plain(struct path *path, char c)
{
    path->data[path->len++] = c;
    path->state = IN_SEGMENT;
}

/* A byte with meaning: a decoded slash or dot counts like a raw one. */
static enum uri_result put(struct path *path, char c)
{
    if (c == '/') {
        bool dots = path->state == ONE_DOT || path->state == TWO_DOTS;
        enum uri_result result = end_segment(path);

        if (result != URI_OK || dots)
            return result;
        if (path->state == AFTER_SLASH && path->merge_slashes)
            return URI_OK;
        path->data[path->len++] = '/';
        path->state = AFTER_SLASH;
        return URI_OK;
    }
    if (c != '.' || path->state == IN_SEGMENT || path->state == TWO_DOTS) {
        put_plain(path, c);
        return URI_OK;
    }
    path->data[path->len++] = '.';
    path->state = path->state == AFTER_SLASH ? ONE_DOT : TWO_DOTS;
    return URI_OK;
}

/* Decodes the %XX at `at`. A decoded ? # or % is data: it must not be read as a delimiter again. */
static enum uri_result put_quoted(struct path *path, struct slice target, size_t at)
{
    int byte = hex_byte(target, at);

    if (byte < 0)
        return URI_BAD_ESCAPE;
    if (byte == 0)
        return URI_NUL;
    path->quoted = true;
    if (byte == '?' || byte == '#' || byte == '%') {
        put_plain(path, (char)byte);
        return URI_OK;
    }
    return put(path, (char)byte);
}

/* The general way: copies into the scratch. Sets `*used` to where the path ends in the target. */
static enum uri_result decode_path(struct path *path, struct slice target, size_t *used)
{
    size_t at = 0;

    while (at < target.len) {
        char c = target.data[at];
        enum uri_result result;

        if (c == '?' || c == '#')
            break;
        if (is_bad_byte(c))
            return URI_BAD_BYTE;
        result = c == '%' ? put_quoted(path, target, at) : put(path, c);
        if (result != URI_OK)
            return result;
        at += c == '%' ? 3 : 1;
    }
    *used = at;
    return end_segment(path);
}

/* The fast way: how far the target is a path that needs nothing done to it. */
static size_t plain_prefix(struct slice target, bool merge_slashes)
{
    size_t at = 0;

    for (; at < target.len; at++) {
        uint8_t kind = path_bytes[(unsigned char)target.data[at]];
        char next;

        if (kind == BYTE_PLAIN)
            continue;
        if (kind == BYTE_STOP)
            break;
        next = at + 1 < target.len ? target.data[at + 1] : 'x';
        if (next == '.' || (next == '/' && merge_slashes))
            break;
    }
    return at;
}

/* What follows the path: "?args", "?args#fragment" or "#fragment". */
static enum uri_result parse_args(struct slice rest, struct slice *args)
{
    size_t len = 1;

    *args = slice_make(NULL, 0);
    if (rest.len == 0)
        return URI_OK;
    while (len < rest.len && rest.data[len] != '#' && !is_bad_byte(rest.data[len]))
        len++;
    if (rest.data[0] == '?')
        *args = slice_make(rest.data + 1, len - 1);
    for (; len < rest.len; len++) {
        if (is_bad_byte(rest.data[len]))
            return URI_BAD_BYTE;
    }
    return URI_OK;
}

static inline bool ends_path(struct slice target, size_t at)
{
    return at == target.len || target.data[at] == '?' || target.data[at] == '#';
}

enum uri_result parse_uri(struct slice target, bool merge_slashes, char *scratch, struct uri *out)
{
    struct path path = {.data = scratch, .merge_slashes = merge_slashes};
    struct uri uri = {.plain = true};
    enum uri_result result = URI_OK;
    size_t used = 0;

    if (target.len == 0 || target.data[0] == '?') {
        uri.path = slice_make("/", 1); /* "http://host?query" has an empty path */
    } else if (target.data[0] != '/') {
        return URI_NOT_A_PATH;
    } else {
        used = plain_prefix(target, merge_slashes);
        uri.path = slice_head(target, used);
        uri.plain = ends_path(target, used);
    }
    if (!uri.plain) {
        result = decode_path(&path, target, &used);
        uri.path = slice_make(scratch, path.len);
        uri.quoted = path.quoted;
    }
    if (result == URI_OK)
        result = parse_args(slice_skip(target, used), &uri.args);
    if (result == URI_OK)
        *out = uri;
    return result;
}

const char *uri_result_text(enum uri_result result)
{
    static const char *const texts[] = {
        [URI_OK] = "nothing wrong",
        [URI_BAD_ESCAPE] = "a percent sign without two hex digits",
        [URI_NUL] = "an encoded NUL byte",
        [URI_ABOVE_ROOT] = "a path that leaves the root",
        [URI_BAD_BYTE] = "a blank or control byte",
        [URI_NOT_A_PATH] = "no slash at its beginning",
    };

    assert((unsigned)result < sizeof texts / sizeof texts[0]);
    return texts[result];
}

/* Decodes s.data[*at], which may be a %XX, and moves behind it. -1: a broken escape. */
static int next_byte(struct slice s, size_t *at)
{
    int byte = (unsigned char)s.data[*at];

    if (byte == '%') {
        byte = hex_byte(s, *at);
        *at += byte < 0 ? 1 : 3;
    } else {
        (*at)++;
    }
    return byte;
}

bool uri_path_is_unsafe(struct slice path)
{
    int dots = -1; /* since the last slash; -1: there was something else */

    if (path.len == 0)
        return true;
    for (size_t at = 0; at < path.len;) {
        int byte = next_byte(path, &at);

        if (byte <= 0)
            return true;
        if (byte == '/') {
            if (dots == 2)
                return true;
            dots = 0;
        } else if (byte == '.' && dots >= 0) {
            dots++;
        } else {
            dots = -1;
        }
    }
    return dots == 2;
}
