/* HTTP/1 message heads: from bytes to values, strictly (RFC 9112).
 *
 * Pure functions: no I/O, no clock, no allocation unless a message has more than HEADERS_INLINE
 * fields. All slices of a result point into the input and live as long as it does. Whatever two
 * parsers could read differently is refused: bare LF, obs-fold, blanks before a colon, control
 * bytes, two lengths, a length beside a transfer coding. Runs in: worker, loop thread; one thread
 * per result. */
#pragma once

#include "base/slice.h"
#include "http/header.h"
#include "http/method.h"
#include "http/uri.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

enum parse_result {
    PARSE_OK,
    PARSE_MORE,  /* the input is a proper beginning: call again with more bytes */
    PARSE_ERROR, /* `error` says why; nothing that follows can be trusted: answer and close */
};

/* R(ID, status for a client, what was wrong). The sentence follows "client sent" or "upstream
 * sent". A response that cannot be parsed is always a 502. */
#define H1_ERRORS(R)                                                                               \
    R(NONE, 200, "nothing wrong")                                                                  \
    R(BAD_METHOD, 400, "invalid method")                                                           \
    R(BAD_TARGET, 400, "invalid request target")                                                   \
    R(BAD_REQUEST_LINE, 400, "invalid request line")                                               \
    R(BAD_VERSION, 400, "invalid version")                                                         \
    R(HTTP09, 400, "HTTP/0.9 request, which is not supported")                                     \
    R(VERSION_UNSUPPORTED, 505, "unsupported major version of HTTP")                               \
    R(TLS_ON_PLAIN, 400, "TLS handshake to a plain HTTP port")                                     \
    R(H2_PREFACE, 505, "HTTP/2 connection preface where HTTP/1 was expected")                      \
    R(EMPTY_LINES, 400, "too many empty lines before the request")                                 \
    R(BARE_LF, 400, "bare LF as end of line")                                                      \
    R(BARE_CR, 400, "CR that is not followed by LF")                                               \
    R(CONTROL_BYTE, 400, "control byte in the message head")                                       \
    R(OBS_FOLD, 400, "folded header line")                                                         \
    R(SPACE_BEFORE_COLON, 400, "blank between header name and colon")                              \
    R(NO_COLON, 400, "header line without colon")                                                  \
    R(EMPTY_NAME, 400, "header line without name")                                                 \
    R(DUPLICATE_HEADER, 400, "duplicate header line")                                              \
    R(LINE_TOO_LONG, 414, "too long URI")                                                          \
    R(HEADER_TOO_LONG, 494, "too long header line")                                                \
    R(HEAD_TOO_LARGE, 494, "too large request header")                                             \
    R(TOO_MANY_HEADERS, 400, "too many header lines")                                              \
    R(NO_HOST, 400, "HTTP/1.1 request without \"Host\" header")                                    \
    R(DUPLICATE_HOST, 400, "duplicate host header")                                                \
    R(BAD_HOST, 400, "invalid host header")                                                        \
    R(BAD_LENGTH, 400, "invalid \"Content-Length\" header")                                        \
    R(DUPLICATE_LENGTH, 400, "duplicate \"Content-Length\" header")                                \
    R(LENGTH_AND_CODING, 400, "\"Content-Length\" and \"Transfer-Encoding\" headers at once")      \
    R(CODING_IN_HTTP10, 400, "HTTP/1.0 message with \"Transfer-Encoding\" header")                 \
    R(UNKNOWN_CODING, 501, "unknown \"Transfer-Encoding\"")                                        \
    R(BAD_STATUS_LINE, 502, "invalid status line")                                                 \
    R(BAD_CHUNK_SIZE, 400, "invalid chunk size")                                                   \
    R(CHUNK_EXT_TOO_LONG, 400, "too long chunk extension")                                         \
    R(BAD_CHUNK_END, 400, "chunk that does not end with CRLF")                                     \
    R(TRAILERS_TOO_LARGE, 400, "too large trailer section")                                        \
    R(NO_MEMORY, 500, "more than there is memory for")

enum h1_error {
#define H1_ERROR_ENUM(id, status, text) H1_##id,
    H1_ERRORS(H1_ERROR_ENUM)
#undef H1_ERROR_ENUM
        H1_ERROR_COUNT
};

/* Status to answer a client with (nginx's private 494 included). */
unsigned h1_error_status(enum h1_error error);

/* The clause for the log: "client sent <text>". */
const char *h1_error_text(enum h1_error error);

/* One set per server and per upstream, filled from the configuration; shared, immutable. */
struct h1_limits {
    uint32_t line_bytes_max; /* request line, and status line: one of large_client_header_buffers */
    uint32_t header_bytes_max; /* one header line */
    uint32_t head_bytes_max;   /* everything up to and including the empty line */
    uint32_t headers_max;      /* header lines (max_headers) */
};

/* nginx's defaults: lines of 8 KiB, 4 of them and one of 1 KiB together, 1000 header lines. */
extern const struct h1_limits h1_default_limits;

enum h1_target_form {
    TARGET_ORIGIN,    /* /path?query */
    TARGET_ABSOLUTE,  /* http://authority/path?query, or https */
    TARGET_AUTHORITY, /* host:port; CONNECT only */
    TARGET_ASTERISK,  /* *; OPTIONS only */
};

/* How far an unfinished head has been searched for its end. Private to the parser: it makes a head
 * that comes one byte at a time cost no more than one that comes at once. */
struct h1_progress {
    size_t seen_bytes;   /* searched so far */
    size_t line_start;   /* where the line begins that holds seen_bytes */
    size_t parsed_bytes; /* length of the input when it was last parsed */
    uint32_t lines;      /* complete lines that were not empty */
};

/* How the end of a body is found (RFC 9112, 6.3). */
enum body_kind {
    BODY_NONE,
    BODY_LENGTH, /* `body_bytes` of it, not 0: that is BODY_NONE with `has_length` */
    BODY_CHUNKED,
    BODY_UNTIL_CLOSE, /* responses only */
    BODY_TUNNEL,      /* 101, or 2xx to CONNECT: no message any more, both directions are bytes */
};

struct h1_request {
    /* After PARSE_ERROR only `error` and `line` (as much as there is of it) mean something. */
    enum h1_error error;
    size_t head_bytes; /* PARSE_OK: bytes of the input that belong to the head; the body follows */

    struct slice line;        /* the request line without CRLF: $request */
    struct slice method_text; /* as sent */
    struct slice target;      /* as sent, whole */
    /* The part that parse_uri() takes: $request_uri. "/" if an absolute target has no path, begins
     * with '?' if it has only a query; "*" for the asterisk; empty for CONNECT. */
    struct slice path_query;
    struct slice scheme;    /* of an absolute target, else empty */
    struct slice authority; /* of an absolute or authority target, else empty */
    struct host host;       /* from the target, else from Host; `name` empty: HTTP/1.0 without */
    enum method method;
    enum h1_target_form form;
    unsigned version; /* 10 or 11 (1.2 to 1.9 are read as 1.1) */

    enum body_kind body_kind; /* BODY_NONE, BODY_LENGTH or BODY_CHUNKED */
    uint64_t body_bytes;      /* for BODY_LENGTH */
    bool has_length;          /* there was a Content-Length, maybe 0 */
    bool keep_alive;          /* say version and Connection; the server may still want to close */
    bool wants_upgrade;       /* Connection: upgrade with an Upgrade header, HTTP/1.1 */
    bool expects_continue;    /* Expect: 100-continue, HTTP/1.1 */
    bool has_odd_names;       /* some field has a HEADER_NAME_ flag: the caller now applies
                                 ignore_invalid_headers and underscores_in_headers */

    struct header_list headers;

    struct h1_progress progress; /* between calls */
};

/* In place, before the first byte of each request; `arena` as for header_list_init(). */
void h1_request_init(struct h1_request *request, struct arena *arena);

/* `in` begins at the first byte of the request in every call, and may have moved to another place
 * in memory and have grown since the last one. Bytes after the head are not looked at. The cost of
 * a head that comes one byte at a time is linear in its size; what is wrong with it is noticed, at
 * the latest, when it is complete or twice as long. */
enum parse_result parse_request_head(struct slice in, const struct h1_limits *limits,
                                     struct h1_request *request)
    __attribute__((warn_unused_result));

/* The first line of a head that is not complete (408), for the log: as much of it as there is, up
 * to the first control byte. Empty lines before it are skipped. */
struct slice h1_first_line(struct slice in);

struct h1_response {
    enum h1_error error;
    size_t head_bytes;

    struct slice line;   /* the status line without CRLF */
    struct slice reason; /* may be empty; not to be trusted */
    unsigned status;     /* 100 to 999 */
    unsigned version;    /* 10 or 11 */

    enum body_kind body_kind; /* after h1_response_frame() */
    uint64_t body_bytes;
    bool has_length;
    bool keep_alive; /* after h1_response_frame(): usable again after the body */
    bool has_odd_names;

    struct header_list headers;

    struct h1_progress progress;
};

void h1_response_init(struct h1_response *response, struct arena *arena);

/* As parse_request_head(), for what a backend sends: one head, interim (1xx) or final; after an
 * interim one init again and go on behind it. As strict as for clients (bare LF is refused: nginx
 * accepts it), because a backend may relay what others wrote. Framing is h1_response_frame()'s. */
enum parse_result parse_response_head(struct slice in, const struct h1_limits *limits,
                                      struct h1_response *response)
    __attribute__((warn_unused_result));

/* Decides how the body of `response` to a request with `method` ends, and whether the connection
 * can be kept. H1_NONE: decided; else the reason for a 502. For status, version and headers that
 * were set by hand (tests, other protocols' gateways) as well as parsed. */
enum h1_error h1_response_frame(struct h1_response *response, enum method method)
    __attribute__((warn_unused_result));

enum h1_line_end {
    LINES_CRLF,       /* HTTP */
    LINES_LF_OR_CRLF, /* CGI-like (RFC 3875, 6): FastCGI, SCGI, uwsgi responses */
};

/* What parse_fields() is told and what it answers. */
struct h1_fields {
    enum h1_line_end line_end;
    const struct h1_limits *limits; /* borrowed */
    struct header_list *headers;    /* borrowed; emptied first, at every call */
    enum h1_error error;            /* result */
    bool has_odd_names;             /* result */
    size_t head_bytes;              /* result, PARSE_OK: with the empty line at the end */
};

/* Only header lines and the empty line that ends them, without a line before: what CGI-like
 * backends answer. Begins anew at each call: for input that comes in few pieces. */
enum parse_result parse_fields(struct slice in, struct h1_fields *fields)
    __attribute__((warn_unused_result));
