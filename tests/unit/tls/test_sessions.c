/* Goal: sessions are found until the room is used up, the oldest going first; ticket keys change by
 * themselves and old ones still decrypt for a while. */
#include "tests/unit/check.h"

#include "tls/session_cache.h"
#include "tls/settings.h"
#include "tls/ticket.h"

#include <stdio.h>

TEST(sessions_are_kept_in_bounds)
{
    struct session_cache *cache = session_cache_get(slice_of("bounds"), 64 * 1024);
    unsigned char out[256];
    char value[100] = "value";
    char id[32];

    CHECK(session_cache_get(slice_of("bounds"), 64 * 1024) == cache, "one cache per name");
    for (int i = 0; i < 5000; i++) {
        int len = snprintf(id, sizeof id, "session %d", i);

        session_cache_put(cache, slice_make(id, (size_t)len), slice_make(value, sizeof value));
    }
    size_t count = session_cache_count(cache);
    size_t room = sizeof out;

    CHECK(count > 100 && count < 600, "%zu", count);
    CHECK(session_cache_find(cache, slice_of("session 4999"), out, &room));
    CHECK_EQ(room, sizeof value);
    room = sizeof out;
    CHECK(!session_cache_find(cache, slice_of("session 0"), out, &room));
    room = 10;
    CHECK(!session_cache_find(cache, slice_of("session 4999"), out, &room), "no room for it");
}

TEST(what_is_put_again_replaces)
{
    struct session_cache *cache = session_cache_get(slice_of("again"), 64 * 1024);
    unsigned char out[16];
    size_t room = sizeof out;

    session_cache_put(cache, slice_of("id"), slice_of("one"));
    session_cache_put(cache, slice_of("id"), slice_of("three"));
    CHECK_EQ(session_cache_count(cache), 1);
    CHECK(session_cache_find(cache, slice_of("id"), out, &room));
    CHECK(slice_eq(slice_make((char *)out, room), slice_of("three")));
}

TEST(equal_ticket_keys_are_one_ring)
{
    char bytes[80] = "";
    struct tls_item key = {.source.bytes = slice_make(bytes, sizeof bytes)};
    struct tls_item other = key;

    memset(bytes, 7, sizeof bytes);
    other.source.bytes.len = 48;
    struct ticket_ring *ring = ticket_ring_get(&key, 300);

    CHECK(ring != NULL);
    CHECK(ticket_ring_get(&key, 600) == ring);
    CHECK(ticket_ring_get(&other, 300) != ring);
    CHECK(ticket_ring_get(NULL, 300) != ring);
    CHECK(ticket_ring_get(NULL, 300) == ticket_ring_get(NULL, 100));
}
