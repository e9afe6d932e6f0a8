/* Request methods. Runs in: any process, any thread. */
#include "http/method.h"

#include <assert.h>

static const struct {
    struct slice name;
    unsigned flags;
} methods[METHOD_COUNT] = {[METHOD_OTHER] = {SLICE(""), 0},
#define METHOD_ROW(id, text, set) [METHOD_##id] = {SLICE(text), set},
                           METHODS(METHOD_ROW)
#undef METHOD_ROW
};

enum method method_of(struct slice token)
{
    /* The table begins with the common ones: nearly every search ends at the first comparison. */
    for (enum method method = METHOD_OTHER + 1; method < METHOD_COUNT; method++) {
        if (slice_eq(token, methods[method].name))
            return method;
    }
    return METHOD_OTHER;
}

enum method method_of_nocase(struct slice token)
{
    for (enum method method = METHOD_OTHER + 1; method < METHOD_COUNT; method++) {
        if (slice_eq_nocase(token, methods[method].name))
            return method;
    }
    return METHOD_OTHER;
}

struct slice method_name(enum method method)
{
    assert((unsigned)method < METHOD_COUNT);
    return methods[method].name;
}

bool method_is_safe(enum method method)
{
    assert((unsigned)method < METHOD_COUNT);
    return (methods[method].flags & METHOD_SAFE) != 0;
}

bool method_is_idempotent(enum method method)
{
    assert((unsigned)method < METHOD_COUNT);
    return (methods[method].flags & METHOD_IDEMPOTENT) != 0;
}
