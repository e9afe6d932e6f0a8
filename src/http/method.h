/* Request methods: what a request wants done, and what may be done with it again.
 *
 * A method is case-sensitive (RFC 9110, 9.1). Any other token is METHOD_OTHER; its text is kept by
 * whoever parsed it. Runs in: any process, any thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

/* R(id, "NAME", flags): the closed set that nginx's configuration knows (limit_except,
 * dav_methods). */
#define METHODS(R)                                                                                 \
    R(GET, "GET", METHOD_SAFE | METHOD_IDEMPOTENT)                                                 \
    R(HEAD, "HEAD", METHOD_SAFE | METHOD_IDEMPOTENT)                                               \
    R(POST, "POST", 0)                                                                             \
    R(PUT, "PUT", METHOD_IDEMPOTENT)                                                               \
    R(DELETE, "DELETE", METHOD_IDEMPOTENT)                                                         \
    R(OPTIONS, "OPTIONS", METHOD_SAFE | METHOD_IDEMPOTENT)                                         \
    R(PATCH, "PATCH", 0)                                                                           \
    R(MKCOL, "MKCOL", METHOD_IDEMPOTENT)                                                           \
    R(COPY, "COPY", METHOD_IDEMPOTENT)                                                             \
    R(MOVE, "MOVE", METHOD_IDEMPOTENT)                                                             \
    R(PROPFIND, "PROPFIND", METHOD_SAFE | METHOD_IDEMPOTENT)                                       \
    R(PROPPATCH, "PROPPATCH", METHOD_IDEMPOTENT)                                                   \
    R(LOCK, "LOCK", 0)                                                                             \
    R(UNLOCK, "UNLOCK", METHOD_IDEMPOTENT)                                                         \
    R(TRACE, "TRACE", METHOD_SAFE | METHOD_IDEMPOTENT)                                             \
    R(CONNECT, "CONNECT", 0)

enum method {
    METHOD_OTHER = 0,
#define METHOD_ENUM(id, name, flags) METHOD_##id,
    METHODS(METHOD_ENUM)
#undef METHOD_ENUM
        METHOD_COUNT
};

enum method_flag {
    METHOD_SAFE = 1,       /* asks for nothing to be changed (RFC 9110, 9.2.1) */
    METHOD_IDEMPOTENT = 2, /* twice has the effect of once (RFC 9110, 9.2.2): may be replayed */
};

/* METHOD_OTHER for a token that is none of the known ones, and for what is no token. */
enum method method_of(struct slice token);

/* As method_of() with either case: for the arguments of directives. */
enum method method_of_nocase(struct slice token);

/* "" for METHOD_OTHER. */
struct slice method_name(enum method method);

/* False for METHOD_OTHER: of an unknown method nothing may be assumed. */
bool method_is_safe(enum method method);
bool method_is_idempotent(enum method method);
