/* Query strings, cookies and Basic credentials: whatever a client sends, values lie inside the
 * input. */
#include "http/features/basic_auth.h"
#include "http/features/lookup.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct slice value, const char *base, size_t size)
{
    assert(value.data >= base);
    assert(value.data + value.len <= base + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_make((const char *)data, size);
    struct slice value;
    struct basic_credentials credentials;
    char *out = malloc(size + 1);

    if (out == NULL)
        return 0;
    if (parse_query_value(in, slice_of("a"), &value))
        check_inside(value, in.data, size);
    if (parse_cookie_value(in, slice_of("a"), &value))
        check_inside(value, in.data, size);
    if (parse_basic_auth(in, out, &credentials)) {
        check_inside(credentials.user, out, size);
        check_inside(credentials.password, out, size);
    }
    free(out);
    return 0;
}
