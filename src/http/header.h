/* Header fields: the names we know by number, and the ordered list of a message's fields.
 *
 * A name is looked up once, when its line is parsed; from then on everything compares `id`. Fields
 * keep the order and spelling in which they came. Runs in: any process, any thread; one thread per
 * list. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

/* R(ID, "Canonical-Spelling", traits). */
#define HEADERS(R)                                                                                 \
    R(ACCEPT, "Accept", 0)                                                                         \
    R(ACCEPT_CHARSET, "Accept-Charset", 0)                                                         \
    R(ACCEPT_ENCODING, "Accept-Encoding", 0)                                                       \
    R(ACCEPT_LANGUAGE, "Accept-Language", 0)                                                       \
    R(ACCEPT_RANGES, "Accept-Ranges", 0)                                                           \
    R(AC_ALLOW_CREDENTIALS, "Access-Control-Allow-Credentials", 0)                                 \
    R(AC_ALLOW_HEADERS, "Access-Control-Allow-Headers", 0)                                         \
    R(AC_ALLOW_METHODS, "Access-Control-Allow-Methods", 0)                                         \
    R(AC_ALLOW_ORIGIN, "Access-Control-Allow-Origin", 0)                                           \
    R(AC_EXPOSE_HEADERS, "Access-Control-Expose-Headers", 0)                                       \
    R(AC_MAX_AGE, "Access-Control-Max-Age", 0)                                                     \
    R(AC_REQUEST_HEADERS, "Access-Control-Request-Headers", 0)                                     \
    R(AC_REQUEST_METHOD, "Access-Control-Request-Method", 0)                                       \
    R(AGE, "Age", 0)                                                                               \
    R(ALLOW, "Allow", 0)                                                                           \
    R(ALT_SVC, "Alt-Svc", 0)                                                                       \
    R(AUTHORIZATION, "Authorization", HEADER_SINGLE | HEADER_NO_TRAILER)                           \
    R(CACHE_CONTROL, "Cache-Control", HEADER_NO_TRAILER)                                           \
    R(CONNECTION, "Connection", HEADER_HOP | HEADER_NO_TRAILER)                                    \
    R(CONTENT_DISPOSITION, "Content-Disposition", 0)                                               \
    R(CONTENT_ENCODING, "Content-Encoding", HEADER_NO_TRAILER)                                     \
    R(CONTENT_LANGUAGE, "Content-Language", 0)                                                     \
    R(CONTENT_LENGTH, "Content-Length", HEADER_SINGLE | HEADER_NO_TRAILER)                         \
    R(CONTENT_LOCATION, "Content-Location", 0)                                                     \
    R(CONTENT_RANGE, "Content-Range", HEADER_SINGLE | HEADER_NO_TRAILER)                           \
    R(CONTENT_SECURITY_POLICY, "Content-Security-Policy", 0)                                       \
    R(CONTENT_TYPE, "Content-Type", HEADER_NO_TRAILER)                                             \
    R(COOKIE, "Cookie", HEADER_NO_TRAILER)                                                         \
    R(DATE, "Date", HEADER_NO_TRAILER)                                                             \
    R(DEPTH, "Depth", 0)                                                                           \
    R(DESTINATION, "Destination", HEADER_NO_TRAILER)                                               \
    R(EARLY_DATA, "Early-Data", HEADER_NO_TRAILER)                                                 \
    R(ETAG, "ETag", 0)                                                                             \
    R(EXPECT, "Expect", HEADER_SINGLE | HEADER_NO_TRAILER)                                         \
    R(EXPIRES, "Expires", HEADER_NO_TRAILER)                                                       \
    R(FORWARDED, "Forwarded", HEADER_NO_TRAILER)                                                   \
    R(FROM, "From", 0)                                                                             \
    R(GRPC_MESSAGE, "Grpc-Message", 0)                                                             \
    R(GRPC_STATUS, "Grpc-Status", 0)                                                               \
    R(GRPC_TIMEOUT, "Grpc-Timeout", 0)                                                             \
    R(HOST, "Host", HEADER_NO_TRAILER)                                                             \
    R(HTTP2_SETTINGS, "HTTP2-Settings", HEADER_HOP | HEADER_NO_TRAILER)                            \
    R(IF_MATCH, "If-Match", HEADER_SINGLE | HEADER_NO_TRAILER)                                     \
    R(IF_MODIFIED_SINCE, "If-Modified-Since", HEADER_SINGLE | HEADER_NO_TRAILER)                   \
    R(IF_NONE_MATCH, "If-None-Match", HEADER_SINGLE | HEADER_NO_TRAILER)                           \
    R(IF_RANGE, "If-Range", HEADER_SINGLE | HEADER_NO_TRAILER)                                     \
    R(IF_UNMODIFIED_SINCE, "If-Unmodified-Since", HEADER_SINGLE | HEADER_NO_TRAILER)               \
    R(KEEP_ALIVE, "Keep-Alive", HEADER_HOP | HEADER_NO_TRAILER)                                    \
    R(LAST_MODIFIED, "Last-Modified", 0)                                                           \
    R(LINK, "Link", 0)                                                                             \
    R(LOCATION, "Location", HEADER_NO_TRAILER)                                                     \
    R(MAX_FORWARDS, "Max-Forwards", HEADER_NO_TRAILER)                                             \
    R(ORIGIN, "Origin", 0)                                                                         \
    R(OVERWRITE, "Overwrite", 0)                                                                   \
    R(PRAGMA, "Pragma", HEADER_NO_TRAILER)                                                         \
    R(PRIORITY, "Priority", 0)                                                                     \
    R(PROXY, "Proxy", HEADER_NO_TRAILER)                                                           \
    R(PROXY_AUTHENTICATE, "Proxy-Authenticate", HEADER_HOP | HEADER_NO_TRAILER)                    \
    R(PROXY_AUTHORIZATION, "Proxy-Authorization", HEADER_HOP | HEADER_NO_TRAILER)                  \
    R(PROXY_CONNECTION, "Proxy-Connection", HEADER_HOP | HEADER_NO_TRAILER)                        \
    R(RANGE, "Range", HEADER_NO_TRAILER)                                                           \
    R(REFERER, "Referer", 0)                                                                       \
    R(REFRESH, "Refresh", 0)                                                                       \
    R(RETRY_AFTER, "Retry-After", HEADER_NO_TRAILER)                                               \
    R(SEC_FETCH_MODE, "Sec-Fetch-Mode", 0)                                                         \
    R(SEC_FETCH_SITE, "Sec-Fetch-Site", 0)                                                         \
    R(SEC_WS_ACCEPT, "Sec-WebSocket-Accept", HEADER_NO_TRAILER)                                    \
    R(SEC_WS_EXTENSIONS, "Sec-WebSocket-Extensions", HEADER_NO_TRAILER)                            \
    R(SEC_WS_KEY, "Sec-WebSocket-Key", HEADER_NO_TRAILER)                                          \
    R(SEC_WS_PROTOCOL, "Sec-WebSocket-Protocol", HEADER_NO_TRAILER)                                \
    R(SEC_WS_VERSION, "Sec-WebSocket-Version", HEADER_NO_TRAILER)                                  \
    R(SERVER, "Server", 0)                                                                         \
    R(SERVER_TIMING, "Server-Timing", 0)                                                           \
    R(SET_COOKIE, "Set-Cookie", HEADER_NO_TRAILER)                                                 \
    R(STATUS, "Status", HEADER_NO_TRAILER)                                                         \
    R(STRICT_TRANSPORT_SECURITY, "Strict-Transport-Security", HEADER_NO_TRAILER)                   \
    R(TE, "TE", HEADER_HOP | HEADER_NO_TRAILER)                                                    \
    R(TRACEPARENT, "Traceparent", 0)                                                               \
    R(TRACESTATE, "Tracestate", 0)                                                                 \
    R(TRAILER, "Trailer", HEADER_HOP | HEADER_NO_TRAILER)                                          \
    R(TRANSFER_ENCODING, "Transfer-Encoding", HEADER_HOP | HEADER_SINGLE | HEADER_NO_TRAILER)      \
    R(UPGRADE, "Upgrade", HEADER_HOP | HEADER_NO_TRAILER)                                          \
    R(UPGRADE_INSECURE, "Upgrade-Insecure-Requests", 0)                                            \
    R(USER_AGENT, "User-Agent", 0)                                                                 \
    R(VARY, "Vary", HEADER_NO_TRAILER)                                                             \
    R(VIA, "Via", 0)                                                                               \
    R(WARNING, "Warning", 0)                                                                       \
    R(WWW_AUTHENTICATE, "WWW-Authenticate", HEADER_NO_TRAILER)                                     \
    R(X_ACCEL_BUFFERING, "X-Accel-Buffering", HEADER_NO_TRAILER)                                   \
    R(X_ACCEL_CHARSET, "X-Accel-Charset", HEADER_NO_TRAILER)                                       \
    R(X_ACCEL_EXPIRES, "X-Accel-Expires", HEADER_NO_TRAILER)                                       \
    R(X_ACCEL_LIMIT_RATE, "X-Accel-Limit-Rate", HEADER_NO_TRAILER)                                 \
    R(X_ACCEL_REDIRECT, "X-Accel-Redirect", HEADER_NO_TRAILER)                                     \
    R(X_CONTENT_TYPE_OPTIONS, "X-Content-Type-Options", 0)                                         \
    R(X_FORWARDED_FOR, "X-Forwarded-For", HEADER_NO_TRAILER)                                       \
    R(X_FORWARDED_HOST, "X-Forwarded-Host", HEADER_NO_TRAILER)                                     \
    R(X_FORWARDED_PORT, "X-Forwarded-Port", HEADER_NO_TRAILER)                                     \
    R(X_FORWARDED_PROTO, "X-Forwarded-Proto", HEADER_NO_TRAILER)                                   \
    R(X_FRAME_OPTIONS, "X-Frame-Options", 0)                                                       \
    R(X_POWERED_BY, "X-Powered-By", 0)                                                             \
    R(X_REAL_IP, "X-Real-IP", HEADER_NO_TRAILER)                                                   \
    R(X_REQUEST_ID, "X-Request-ID", 0)                                                             \
    R(X_REQUESTED_WITH, "X-Requested-With", 0)

enum header_id {
    HEADER_OTHER = 0,
#define HEADER_ENUM(id, name, traits) HEADER_##id,
    HEADERS(HEADER_ENUM)
#undef HEADER_ENUM
        HEADER_COUNT
};

enum header_trait {
    HEADER_HOP = 1,        /* concerns one connection: never forwarded (RFC 9110, 7.6.1) */
    HEADER_SINGLE = 2,     /* a second line of it in a request is refused with 400, as nginx does */
    HEADER_NO_TRAILER = 4, /* dropped from a trailer section (RFC 9110, 6.5.1) */
};

/* HEADER_OTHER for a name that is not in the table. Either case; O(1). */
enum header_id header_id_of(struct slice name);

/* The canonical spelling, "" for HEADER_OTHER. */
struct slice header_name(enum header_id id);

/* What can be said of a name's bytes: a set of HEADER_NAME_ flags (see enum header_flag). An empty
 * name is invalid. */
unsigned header_name_flags(struct slice name);

/* Traits of `id` (0 for HEADER_OTHER): a set of enum header_trait. */
unsigned header_traits(enum header_id id);

/* What the parser saw on a field's line. A name that nginx calls valid (letters, digits, hyphens)
 * sets none of the HEADER_NAME_ bits. */
enum header_flag {
    HEADER_NAME_UNDERSCORE = 1, /* has '_': dropped unless underscores_in_headers is on */
    HEADER_NAME_UNUSUAL = 2,    /* a token, but not nginx's: see ignore_invalid_headers */
    HEADER_NAME_INVALID = 4,    /* no token (RFC 9110, 5.1): drop or refuse, never forward */
    HEADER_REMOVED = 8,         /* a hole: iteration and finding skip it */
    HEADER_HOP_BY_HOP = 16,     /* set by header_list_mark_hop_by_hop(): not to be forwarded */
    HEADER_VERBATIM = 32, /* it was received as "name: value" CRLF, see header_is_verbatim() */
    HEADER_NAME_ODD = HEADER_NAME_UNDERSCORE | HEADER_NAME_UNUSUAL | HEADER_NAME_INVALID,
};

struct header {
    struct slice name;  /* borrowed: as it was spelt */
    struct slice value; /* borrowed: without the blanks around it */
    enum header_id id;
    unsigned flags; /* enum header_flag */
};

/* Does the line stand in memory as it would be written: name, colon, blank, value, CRLF, and no
 * control byte? A value that was replaced or cut since it was parsed does not stand there. */
static inline bool header_is_verbatim(const struct header *field)
{
    return (field->flags & HEADER_VERBATIM) != 0 &&
           field->value.data == field->name.data + field->name.len + 2 &&
           field->value.data[field->value.len] == '\r';
}

enum {
    HEADERS_INLINE = 16, /* fields held without allocation: must be a power of two */
    HEADER_CHUNKS = 12,  /* chunk k holds 16 << k fields: 65,536 in all */
    HEADER_WORDS = 2,    /* of 64 bits: one for each id */
};

/* Fields in order of arrival. A field never moves while the list lives, so pointers to it are
 * stable. In place, without a destructor: what does not fit inline lives in the arena. */
struct header_list {
    struct arena *arena; /* borrowed: for fields beyond the inline ones; NULL: no more than those */
    uint32_t slot_count; /* slots used, removed ones included */
    uint32_t removed_count;
    uint32_t chunk_count;
    uint64_t present[HEADER_WORDS];       /* bit `id`: there is a field with that id */
    uint64_t repeated[HEADER_WORDS];      /* bit `id`, if present: there was more than one */
    struct header *chunks[HEADER_CHUNKS]; /* arena; valid for the first `chunk_count` */
    uint8_t first[HEADER_COUNT]; /* valid if present: 1 + slot of the first field with that id; 255:
                                    look; it may have been removed if the id is repeated */
    struct header inline_fields[HEADERS_INLINE];
};

/* Empty. Writes only the head of the struct, not the inline fields: cheap. */
void header_list_init(struct header_list *list, struct arena *arena);

/* Empty again; chunks that it has stay for the next use. */
void header_list_clear(struct header_list *list);

/* Appends a field with `name`, `value`, its id looked up and its name's flags. NULL: no memory, or
 * the list is full. The bytes are borrowed: they must live as long as the list. */
struct header *header_list_add(struct header_list *list, struct slice name, struct slice value)
    __attribute__((warn_unused_result));

/* The same for a known name, spelt canonically. */
struct header *header_list_add_id(struct header_list *list, enum header_id id, struct slice value)
    __attribute__((warn_unused_result));

/* Appends a field that is already made (parser: flags and id are known). */
struct header *header_list_push(struct header_list *list, const struct header *field)
    __attribute__((warn_unused_result));

/* Replaces the value of the first field of that id and removes the others, or appends it. */
struct header *header_list_set(struct header_list *list, enum header_id id, struct slice value)
    __attribute__((warn_unused_result));

/* Leaves a hole in place of the field, which must be in this list and not yet removed. */
void header_list_remove(struct header_list *list, struct header *field);

/* Removes all fields with that id (not HEADER_OTHER); returns how many there were. */
uint32_t header_list_remove_id(struct header_list *list, enum header_id id);

/* Fields that are not removed. */
static inline uint32_t header_list_count(const struct header_list *list)
{
    return list->slot_count - list->removed_count;
}

/* Is there a field with this id (not HEADER_OTHER)? */
static inline bool header_list_has(const struct header_list *list, enum header_id id)
{
    return (list->present[(unsigned)id / 64] >> ((unsigned)id % 64) & 1) != 0;
}

/* The slot `index` (< slot_count), removed or not. */
struct header *header_list_slot(const struct header_list *list, uint32_t index);

/* In order, skipping removed fields; NULL at the end:
 *     uint32_t at = 0;
 *     for (struct header *h; (h = header_list_next(list, &at)) != NULL;) ... */
static inline struct header *header_list_next(const struct header_list *list, uint32_t *at)
{
    while (*at < list->slot_count) {
        uint32_t index = (*at)++;
        const struct header *field = index < HEADERS_INLINE ? &list->inline_fields[index]
                                                            : header_list_slot(list, index);

        if ((field->flags & HEADER_REMOVED) == 0)
            return (struct header *)(uintptr_t)field;
    }
    return NULL;
}

/* As header_list_next(), only those with that id (not HEADER_OTHER). O(1) as long as no second one
 * was added. */
struct header *header_list_next_id(const struct header_list *list, enum header_id id, uint32_t *at);

/* First field with that id (not HEADER_OTHER), or NULL. */
static inline struct header *header_list_find(const struct header_list *list, enum header_id id)
{
    uint64_t bit = UINT64_C(1) << (unsigned)id % 64;
    uint32_t at = 0;

    if ((list->present[(unsigned)id / 64] & bit) == 0)
        return NULL;
    if ((list->repeated[(unsigned)id / 64] & bit) != 0 || list->first[id] > HEADERS_INLINE)
        return header_list_next_id(list, id, &at);
    return (struct header *)(uintptr_t)&list->inline_fields[list->first[id] - 1];
}

/* First field of that name, known or not, in either case; NULL: none. */
struct header *header_list_find_name(const struct header_list *list, struct slice name);

/* Value of the first field with that id; `.data` is NULL if there is none. */
static inline struct slice header_list_value(const struct header_list *list, enum header_id id)
{
    const struct header *field = header_list_find(list, id);

    return field == NULL ? slice_make(NULL, 0) : field->value;
}

/* Appends copies of all fields of `source`, their bytes copied into target's arena. False: no
 * memory (then some of them may have been appended). */
bool header_list_copy(struct header_list *target, const struct header_list *source)
    __attribute__((warn_unused_result));

/* Sets HEADER_HOP_BY_HOP on the fields that must not be forwarded: those of the table, and those
 * that `Connection` names. A name of the table that is end-to-end stays, although Connection names
 * it: otherwise a client could make us drop Host, Content-Length or Authorization. A Connection
 * with more names than we care to compare (64) drops every field that is not of the table. */
void header_list_mark_hop_by_hop(struct header_list *list);

/* Whether a comma-separated list such as Connection's has `token`, in either case. */
bool header_has_token(struct slice value, struct slice token);

/* Cuts the next element off a comma-separated list, blanks trimmed, empty elements skipped (RFC
 * 9110, 5.6.1; quoted strings are not looked into: only for lists of tokens). False: no more. */
bool header_next_token(struct slice *rest, struct slice *token);
