/* What every feature that relays to peers can be told: proxy_*, and the same words of fastcgi_,
 * uwsgi_, scgi_, grpc_.
 *
 * A feature's settings begin with this struct (as member `relay`), and its rows with
 * RELAY_ROWS("proxy", struct proxy_conf), so that a word is declared once for all of them.
 * Immutable after load. Runs in: load: any; read: loop threads. */
#pragma once

#include "config/directive.h"
#include "config/variable.h"
#include "http/h1/parse.h"
#include "http/header.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct loader;

/* proxy_next_upstream. */
enum next_upstream {
    NEXT_ERROR = 1 << 0,
    NEXT_TIMEOUT = 1 << 1,
    NEXT_INVALID_HEADER = 1 << 2,
    NEXT_NON_IDEMPOTENT = 1 << 3,
    NEXT_500 = 1 << 4,
    NEXT_502 = 1 << 5,
    NEXT_503 = 1 << 6,
    NEXT_504 = 1 << 7,
    NEXT_403 = 1 << 8,
    NEXT_404 = 1 << 9,
    NEXT_429 = 1 << 10,
    NEXT_OFF = 1 << 11,
};

/* proxy_ignore_headers. */
enum ignore_header {
    IGNORE_X_ACCEL_REDIRECT = 1 << 0,
    IGNORE_X_ACCEL_EXPIRES = 1 << 1,
    IGNORE_X_ACCEL_LIMIT_RATE = 1 << 2,
    IGNORE_X_ACCEL_BUFFERING = 1 << 3,
    IGNORE_X_ACCEL_CHARSET = 1 << 4,
    IGNORE_EXPIRES = 1 << 5,
    IGNORE_CACHE_CONTROL = 1 << 6,
    IGNORE_SET_COOKIE = 1 << 7,
    IGNORE_VARY = 1 << 8,
};

/* Header names given by a directive, in order. */
struct name_list {
    const struct name_list *next;
    struct slice name;
    enum header_id id;
};

struct relay_conf {
    uint64_t connect_timeout; /* ms, all of them */
    uint64_t send_timeout;
    uint64_t read_timeout;
    uint64_t next_upstream_timeout; /* 0: none */
    int next_upstream_tries;        /* 0: as many as there are peers */
    unsigned next_upstream;         /* enum next_upstream */
    unsigned ignore_headers;        /* enum ignore_header */
    bool buffering;
    bool request_buffering;
    bool intercept_errors;
    bool ignore_client_abort;
    bool socket_keepalive;
    size_t socket_rcvbuf; /* 0: the system's choice */
    size_t socket_sndbuf;
    bool pass_request_headers;
    bool pass_request_body;
    bool force_ranges;
    bool pass_trailers;
    size_t buffer_size; /* of the answer's head at most */
    struct conf_buffers buffers;
    size_t busy_buffers_size;    /* computed when not given */
    size_t temp_file_write_size; /* the same */
    size_t max_temp_file_size;   /* 0: no file, the peer waits for the client */
    struct slice temp_path;      /* absolute, terminated */
    struct template *limit_rate; /* bytes per second; NULL: no limit */
    struct template *bind;       /* source address; NULL: the kernel's choice */
    bool bind_transparent;
    const struct name_list *hide_headers;
    const struct name_list *pass_headers;
    /* Computed by relay_conf_finish(): */
    struct h1_limits limits;
    size_t queue_bytes_max; /* what may wait for the client in memory */
    const struct relay_hidden *hidden;
};

/* What of an answer is not for the client; computed, and shared with the blocks around unless the
 * lists differ. */
struct relay_hidden {
    uint8_t ids[HEADER_COUNT];      /* [header id] */
    const struct name_list *others; /* names without an id; arena */
    const struct name_list *hide;   /* what it was computed from */
    const struct name_list *pass;
};

/* Checks what depends on several settings and computes the rest. To be called by the feature's
 * finish(); `prefix` is "proxy". False: reported. */
bool relay_conf_finish(struct loader *loader, struct scope *scope, struct relay_conf *conf,
                       const char *prefix);

/* `set` of rows that take names; they need to know where relay_conf is: `conf_call.conf` begins
 * with it. */
bool relay_set_hide_header(struct conf_call *call);
bool relay_set_pass_header(struct conf_call *call);
bool relay_set_temp_path(struct conf_call *call);
bool relay_set_bind(struct conf_call *call);
bool relay_set_limit_rate(struct conf_call *call);
bool relay_set_busy_buffers(struct conf_call *call);
bool relay_set_temp_write(struct conf_call *call);
bool relay_check_buffers(struct conf_call *call);

extern const struct conf_word relay_next_words[];
extern const struct conf_word relay_ignore_words[];

/* clang-format off */
/* `T` must have a first member `struct relay_conf relay`. Rows of every protocol: */
#define RELAY_COMMON_ROWS(P, T)                                                                                        \
    {P "_connect_timeout", CTX_HTTP_ALL, MSEC(T, relay.connect_timeout), .def = "60s",                                 \
     .doc = "How long establishing a connection with a peer may take. Then the next peer is tried."},                  \
    {P "_send_timeout", CTX_HTTP_ALL, MSEC(T, relay.send_timeout), .def = "60s",                                       \
     .doc = "How long a peer may take between two successive writes of the request."},                                 \
    {P "_read_timeout", CTX_HTTP_ALL, MSEC(T, relay.read_timeout), .def = "60s",                                       \
     .doc = "How long a peer may be silent between two successive reads of its answer; of an upgraded connection, "    \
            "how long both sides may be silent."},                                                                     \
    {P "_next_upstream", CTX_HTTP_ALL, BITS(T, relay.next_upstream), .def = "error timeout",                           \
     .words = relay_next_words,                                                                                        \
     .doc = "In which cases a request is passed on to the next peer. Only while nothing was sent to the client; "      \
            "requests with a method that is not idempotent (POST, LOCK, PATCH) only before they were sent, unless "    \
            "non_idempotent is given.",                                                                                \
     .example = P "_next_upstream error timeout http_502 http_503;"},                                                  \
    {P "_next_upstream_tries", CTX_HTTP_ALL, INT(T, relay.next_upstream_tries), .def = "0",                            \
     .doc = "How many peers are tried for one request; 0: all of them."},                                              \
    {P "_next_upstream_timeout", CTX_HTTP_ALL, MSEC(T, relay.next_upstream_timeout), .def = "0",                       \
     .doc = "How long after the request's beginning another peer may be tried; 0: no limit."},                         \
    {P "_ignore_headers", CTX_HTTP_ALL, BITS(T, relay.ignore_headers), .words = relay_ignore_words,                    \
     .doc = "Headers of an answer that have no effect here although they are passed on or hidden as usual.",           \
     .example = P "_ignore_headers X-Accel-Redirect X-Accel-Expires;"},                                                \
    {P "_hide_header", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 1, .repeatable = true,                         \
     .set = relay_set_hide_header,                                                                                     \
     .doc = "A header of the answer that is not passed to the client, besides those hidden anyway.",                   \
     .example = P "_hide_header X-Powered-By;"},                                                                       \
    {P "_pass_header", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 1, .repeatable = true,                         \
     .set = relay_set_pass_header,                                                                                     \
     .doc = "A header that is passed to the client although it is hidden by default (Date, Server, X-Accel-...).",     \
     .example = P "_pass_header Server;"},                                                                             \
    {P "_buffer_size", CTX_HTTP_ALL, BYTES(T, relay.buffer_size), .def = "4k", .min = 256, .max = 16777216,            \
     .doc = "How large the head of an answer may be. A larger one is answered with 502."},                             \
    {P "_intercept_errors", CTX_HTTP_ALL, FLAG(T, relay.intercept_errors), .def = "off",                               \
     .doc = "Whether answers with a status of 300 and more are replaced by what error_page has for that status."},     \
    {P "_socket_rcvbuf", CTX_HTTP_ALL, BYTES(T, relay.socket_rcvbuf), .max = INT_MAX / 2,                              \
     .doc = "The receive buffer of connections to peers (SO_RCVBUF). Default: the system's.",                          \
     .example = P "_socket_rcvbuf 64k;"},                                                                              \
    {P "_socket_sndbuf", CTX_HTTP_ALL, BYTES(T, relay.socket_sndbuf), .max = INT_MAX / 2,                              \
     .doc = "The send buffer of connections to peers (SO_SNDBUF). Default: the system's.",                             \
     .example = P "_socket_sndbuf 64k;"},                                                                              \
    {P "_socket_keepalive", CTX_HTTP_ALL, FLAG(T, relay.socket_keepalive), .def = "off",                               \
     .doc = "Whether SO_KEEPALIVE is set on connections to peers."},                                                   \
    {P "_bind", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 2, .set = relay_set_bind,                             \
     .doc = "Local address of connections to peers, with variables if wanted; `transparent` allows addresses that "    \
            "are not local ones; `off` cancels what was inherited.",                                                   \
     .example = P "_bind 127.0.0.1;"}

/* And those of protocols whose bodies can be buffered. */
#define RELAY_ROWS(P, T)                                                                                               \
    RELAY_COMMON_ROWS(P, T),                                                                                           \
    {P "_buffering", CTX_HTTP_ALL, FLAG(T, relay.buffering), .def = "on",                                              \
     .doc = "Whether the answer is read as fast as the peer sends it, into memory and a temporary file. Off: only "    \
            "as fast as the client takes it. X-Accel-Buffering in the answer decides for one answer."},                \
    {P "_request_buffering", CTX_HTTP_ALL, FLAG(T, relay.request_buffering), .def = "on",                              \
     .doc = "Whether the whole body of a request is read before a peer is asked. Off: it is passed on as it comes, "   \
            "and cannot be sent to another peer once a part of it was sent."},                                         \
    {P "_buffers", CTX_HTTP_ALL, BUFFERS(T, relay.buffers), .def = "8 4k", .check = relay_check_buffers,               \
     .doc = "How much of an answer may wait for the client in memory: number and size. At least two."},                \
    {P "_busy_buffers_size", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 1, .set = relay_set_busy_buffers,        \
     .doc = "Part of the buffers that may be busy with sending. Checked against the other sizes as usual; the queue "  \
            "to the client is bounded by the buffers as a whole. Default: two buffers.",                               \
     .example = P "_busy_buffers_size 8k;"},                                                                           \
    {P "_max_temp_file_size", CTX_HTTP_ALL, BYTES(T, relay.max_temp_file_size), .def = "1024m",                        \
     .doc = "How much of an answer that the client does not take fast enough is kept in a temporary file; 0: "         \
            "nothing, the peer has to wait."},                                                                         \
    {P "_temp_file_write_size", CTX_HTTP_ALL, CUSTOM, .args_min = 1, .args_max = 1, .set = relay_set_temp_write,       \
     .doc = "How much is written to a temporary file before other connections have their turn. Default: two buffers.", \
     .example = P "_temp_file_write_size 16k;"},                                                                       \
    {P "_temp_path", CTX_HTTP_ALL, CUSTOM, .def = P "_temp", .args_min = 1, .args_max = 4, .set = relay_set_temp_path, \
     .doc = "Folder of temporary files. They have no name, so the levels of subfolders that may follow are accepted "  \
            "and not needed.",                                                                                         \
     .example = P "_temp_path /var/cache/" P "_temp;"},                                                                \
    {P "_ignore_client_abort", CTX_HTTP_ALL, FLAG(T, relay.ignore_client_abort), .def = "off",                         \
     .doc = "Whether the peer may finish its answer after the client has gone."},                                      \
    {P "_pass_request_headers", CTX_HTTP_ALL, FLAG(T, relay.pass_request_headers), .def = "on",                        \
     .doc = "Whether the client's header fields are passed to the peer."},                                             \
    {P "_pass_request_body", CTX_HTTP_ALL, FLAG(T, relay.pass_request_body), .def = "on",                              \
     .doc = "Whether the client's body is passed to the peer. Off: no Content-Length is sent either."},                \
    {P "_force_ranges", CTX_HTTP_ALL, FLAG(T, relay.force_ranges), .def = "off",                                       \
     .doc = "Whether byte ranges are cut out of any answer with status 200, whatever its Accept-Ranges says."},        \
    {P "_limit_rate", CTX_HTTP_ALL, CUSTOM, .def = "0", .args_min = 1, .args_max = 1, .set = relay_set_limit_rate,     \
     .doc = "How many bytes per second are read of an answer, when it is buffered; 0: no limit. May have variables.",  \
     .example = P "_limit_rate 1m;"},                                                                                  \
    {P "_send_lowat", CTX_HTTP_ALL, NOTHING, .def = "0", .args_min = 1, .args_max = 1, .quiet = true,                  \
     .noop = "Linux has no settable low-water mark for sending",                                                       \
     .doc = "Accepted; no effect on Linux."}
/* clang-format on */
