/* URIs: a path that came out normalised stays as it is, escapes lead back to where they came from,
 * and the fast way agrees with the general one. */
#include "http/uri.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1000 };

static void check_normal(struct slice path)
{
    assert(path.len > 0 && path.data[0] == '/');
    assert(memchr(path.data, '\0', path.len) == NULL);
    assert(slice_search(path, slice_of("//")) < 0);
    assert(slice_search(path, slice_of("/./")) < 0);
    assert(slice_search(path, slice_of("/../")) < 0);
    assert(!slice_ends(path, slice_of("/.")) && !slice_ends(path, slice_of("/..")));
}

/* Escaping the path and parsing it again gives the path again. */
static void check_round_trip(struct slice path)
{
    static char escaped[3 * INPUT_MAX], scratch[3 * INPUT_MAX];
    size_t len = uri_escape(escaped, path, ESCAPE_PATH);
    struct uri again;

    assert(len == path.len + 2 * uri_escape_count(path, ESCAPE_PATH));
    assert(parse_uri(slice_make(escaped, len), true, scratch, &again) == URI_OK);
    assert(slice_eq(again.path, path) && again.args.data == NULL);
}

static void check_escapes(struct slice in)
{
    static char escaped[3 * INPUT_MAX], back[3 * INPUT_MAX];

    for (enum uri_escape set = 0; set < ESCAPE_COUNT; set++) {
        size_t len = uri_escape(escaped, in, set);

        assert(len == in.len + 2 * uri_escape_count(in, set));
        if (set == ESCAPE_REFRESH) /* leaves percent signs alone */
            continue;
        assert(slice_eq(slice_make(back, uri_unescape(back, slice_make(escaped, len))), in));
    }
}

/* "/%61"... cannot be plain, so that the same path takes the general way. */
static void check_fast_way(struct slice in, bool merge)
{
    static char text[INPUT_MAX + 8], scratch[INPUT_MAX + 8], other[INPUT_MAX + 8];
    struct uri fast, slow;
    enum uri_result a, b;

    if (in.len == 0 || in.data[0] != '/')
        return;
    memcpy(text, "/%61", 4);
    memcpy(text + 4, in.data, in.len);
    a = parse_uri(in, merge, scratch, &fast);
    b = parse_uri(slice_make(text, in.len + 4), merge, other, &slow);
    if (a != URI_OK || b != URI_OK)
        return;
    if (slice_starts(slow.path, slice_of("/a")))
        assert(slice_eq(slice_skip(slow.path, 2), fast.path) || !fast.plain);
    assert(slice_eq(slow.args, fast.args));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char scratch[INPUT_MAX];
    struct slice in = slice_make((const char *)data, size < INPUT_MAX ? size : INPUT_MAX);
    struct uri uri;
    struct host host;

    if (parse_uri(in, true, scratch, &uri) == URI_OK) {
        check_normal(uri.path);
        check_round_trip(uri.path);
        assert(uri.plain == (uri.path.data != scratch));
    }
    if (parse_uri(in, false, scratch, &uri) == URI_OK)
        assert(uri.path.len > 0 && uri.path.data[0] == '/');
    if (parse_host(in, &host))
        assert(host.name.len > 0 && host.name.len + host.port.len <= in.len);
    check_escapes(in);
    check_fast_way(in, true);
    check_fast_way(in, false);
    (void)uri_path_is_unsafe(in);
    return 0;
}
