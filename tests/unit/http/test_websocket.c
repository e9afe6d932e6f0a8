/* Goal: the key and its answer are those of RFC 6455, 1.3. */
#include "tests/unit/check.h"

#include "http/websocket.h"

TEST(the_rfc_s_own_example)
{
    char text[WEBSOCKET_ACCEPT_BYTES + 1];

    CHECK(websocket_accept(slice_of("dGhlIHNhbXBsZSBub25jZQ=="), text));
    CHECK_SLICE(slice_of(text), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    CHECK(!websocket_accept(slice_of(""), text));
}

TEST(a_key_too_long_is_refused)
{
    char key[300];
    char text[WEBSOCKET_ACCEPT_BYTES + 1];

    memset(key, 'x', sizeof key);
    CHECK(!websocket_accept(slice_make(key, sizeof key), text));
    CHECK(websocket_accept(slice_make(key, 200), text));
}

TEST(keys_are_random)
{
    char one[WEBSOCKET_KEY_BYTES + 1];
    char two[WEBSOCKET_KEY_BYTES + 1];

    CHECK(websocket_key(one) && websocket_key(two));
    CHECK_EQ(slice_of(one).len, WEBSOCKET_KEY_BYTES);
    CHECK(!slice_eq(slice_of(one), slice_of(two)));
}
