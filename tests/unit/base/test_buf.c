#include "base/buf.h"
#include "base/sanitize.h"

#include "tests/unit/check.h"

#include <string.h>

TEST(the_last_reference_gives_it_back)
{
    struct bufpool *pool = bufpool_new(4);
    struct buf *buf = buf_get(pool);

    CHECK(buf != NULL);
    CHECK_EQ(buf->capacity, BUF_BYTES);
    CHECK_EQ(bufpool_lent(pool), 1);
    CHECK(buf_ref(buf) == buf);
    buf_unref(buf);
    CHECK_EQ(bufpool_lent(pool), 1);
    buf_unref(buf);
    CHECK_EQ(bufpool_lent(pool), 0);
    buf_unref(NULL);
    bufpool_free(pool);
}

TEST(a_buffer_comes_back_empty)
{
    struct bufpool *pool = bufpool_new(1);
    struct buf *first = buf_get(pool);
    struct buf *again;

    memset(first->data, 'x', first->capacity);
    first->end = first->capacity;
    first->start = 5;
    CHECK_EQ(buf_used(first), BUF_BYTES - 5);
    CHECK_EQ(buf_room(first), 0);
    buf_unref(first);
    again = buf_get(pool);
    if (!WITH_ASAN)
        CHECK(again == first, "the pool had it");
    CHECK_EQ(buf_used(again), 0);
    CHECK_EQ(buf_room(again), BUF_BYTES);
    CHECK(again->next == NULL);
    buf_unref(again);
    bufpool_free(pool);
}

TEST(sizes)
{
    struct bufpool *pool = bufpool_new(1);
    struct buf *small = buf_get_sized(pool, 10);
    struct buf *large = buf_get_sized(pool, 100000);

    CHECK_EQ(small->capacity, BUF_BYTES);
    CHECK_EQ(large->capacity, 100000);
    memset(large->data, 0, large->capacity);
    CHECK(buf_get_sized(pool, (size_t)UINT32_MAX + 1) == NULL);
    CHECK_EQ(bufpool_lent(pool), 2);
    buf_unref(large);
    buf_unref(small);
    bufpool_free(pool);
    bufpool_free(NULL);
}

TEST(large_ones_are_kept_apart)
{
    struct bufpool *pool = bufpool_new(1);
    struct buf *large = buf_get_sized(pool, BUF_LARGE_BYTES);
    struct buf *usual;
    struct buf *again;

    CHECK_EQ(large->capacity, BUF_LARGE_BYTES);
    buf_unref(large);
    usual = buf_get(pool);
    CHECK_EQ(usual->capacity, BUF_BYTES);
    again = buf_get_sized(pool, BUF_LARGE_BYTES);
    memset(again->data, 0, again->capacity);
    if (!WITH_ASAN)
        CHECK(again == large, "the pool had it");
    buf_unref(again);
    buf_unref(usual);
    CHECK_EQ(bufpool_lent(pool), 0);
    bufpool_free(pool);
}

TEST(the_pool_keeps_no_more_than_it_may)
{
    struct bufpool *pool = bufpool_new(2);
    struct buf *bufs[10];

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10; i++)
            bufs[i] = buf_get(pool);
        CHECK_EQ(bufpool_lent(pool), 10);
        for (int i = 0; i < 10; i++)
            buf_unref(bufs[i]);
        CHECK_EQ(bufpool_lent(pool), 0);
    }
    bufpool_free(pool);
}
