/* Request targets: from the bytes a client sent to the path that locations, files and rewrites see,
 * and back.
 *
 * The rules are those of nginx, byte for byte, because configurations depend on them:
 * percent-decoding once, "." and ".." resolved, "//" merged, the fragment cut off. Pure functions:
 * bytes in, bytes out, the caller brings the memory. Runs in: any process, any thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum uri_result {
    URI_OK,
    URI_BAD_ESCAPE, /* '%' without two hex digits after it */
    URI_NUL,        /* %00 */
    URI_ABOVE_ROOT, /* "/.." leaves the tree */
    URI_BAD_BYTE,   /* blank or control byte */
    URI_NOT_A_PATH, /* does not begin with '/' */
};

struct uri {
    struct slice path; /* decoded and normalised: $uri. In the input, or in the scratch */
    struct slice args; /* after '?', as sent: $args; in the input. `.data` NULL: there was no '?' */
    bool plain;        /* nothing had to be changed: `path` is a slice of the input */
    bool quoted; /* had %XX: whoever puts `path` into a URI again must escape it (proxy_pass) */
};

/* Parses the path-and-query of an origin-form or absolute-form target. `scratch` must have room for
 * target.len bytes and is written only if the path is not plain. On failure `*out` is untouched. */
enum uri_result parse_uri(struct slice target, bool merge_slashes, char *scratch, struct uri *out)
    __attribute__((warn_unused_result));

/* "client sent invalid URI ..." without the subject: a clause for the log. */
const char *uri_result_text(enum uri_result result);

/* Which bytes uri_escape() turns into %XX: control bytes, blanks, bytes above 0x7e and everything
 * that RFC 3986 allows nowhere are always among them. */
enum uri_escape {
    ESCAPE_PATH,      /* also # % ?: a decoded path back into a URI (redirects, proxy_pass) */
    ESCAPE_ARGS,      /* also # % & + ; ?: a value into a query string (rewrite captures) */
    ESCAPE_COMPONENT, /* all but letters, digits and - . _ ~ (njs, set_escape_uri) */
    ESCAPE_HTML_HREF, /* for a URI inside an HTML attribute: also " # % ' (autoindex) */
    ESCAPE_REFRESH,   /* inside a Refresh header: keeps # % ? but not quotes */
    ESCAPE_COUNT
};

/* How many bytes of `s` must be escaped; the escaped text is s.len + 2 * that. 0: `s` can be used
 * as it is. */
size_t uri_escape_count(struct slice s, enum uri_escape set);

/* Writes the escaped text to `out`, which has room for it, and returns the number of bytes written.
 */
size_t uri_escape(char *out, struct slice s, enum uri_escape set);

/* Decodes %XX; what is not a proper escape stays as it is. `out` has room for s.len bytes and may
 * be s.data itself. Returns the number of bytes written. */
size_t uri_unescape(char *out, struct slice s);

/* The same for the path part only of "path?args", which stops at the first '?' that is not escaped:
 * sets `*args` to what follows it (`.data` NULL: no '?'). For X-Accel-Redirect and rewrites. */
size_t uri_unescape_path(char *out, struct slice s, struct slice *args);

/* Length of `s` with & < > " ' written as HTML entities, and the writing itself. */
size_t html_escaped_len(struct slice s);
size_t html_escape(char *out, struct slice s);

/* Whether a path, after decoding, tries to leave its root ("/../", also at the end), or has a NUL:
 * for paths that come from a backend (X-Accel-Redirect) or a Destination header. */
bool uri_path_is_unsafe(struct slice path);

/* `Host`, `:authority` or the authority of an absolute-form target. */
struct host {
    struct slice name;    /* without port and without the dot at the end; brackets of IPv6 kept */
    struct slice port;    /* digits; empty if none was given */
    uint16_t port_number; /* 0: none was given */
};

/* False: empty, user information, bytes that a host cannot have, two dots in a row, a port that is
 * no number up to 65535 or a broken IPv6 literal. Case is kept: compare without regard to it. */
bool parse_host(struct slice text, struct host *out) __attribute__((warn_unused_result));
