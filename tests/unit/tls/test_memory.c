/* Goal: record buffers go round within a thread that serves connections, and nothing else does. */
#include "tests/unit/check.h"

#include "base/sanitize.h"
#include "tls/memory.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <string.h>

enum { READ_BUFFER = 16718, WRITE_BUFFER = 16892, MANY = 100 };

static void *again(size_t first, size_t second)
{
    void *before = OPENSSL_malloc(first);

    CHECK(before != NULL);
    memset(before, 1, first);
    OPENSSL_free(before);
    void *after = OPENSSL_malloc(second);

    CHECK(after != NULL);
    memset(after, 2, second);
    OPENSSL_free(after);
    return before == after ? after : NULL;
}

static void *in_a_thread(void *keeps)
{
    void *pieces[MANY];

    if (keeps != NULL)
        tls_memory_keep();
    for (int i = 0; i < MANY; i++)
        pieces[i] = OPENSSL_malloc(READ_BUFFER);
    for (int i = 0; i < MANY; i++)
        OPENSSL_free(pieces[i]);
    CHECK(keeps == NULL || WITH_ASAN || again(WRITE_BUFFER, READ_BUFFER) != NULL);
    return NULL; /* what is kept ends with the thread */
}

TEST(buffers_go_round)
{
    tls_memory_begin();
    tls_memory_begin(); /* twice is once */
    tls_memory_keep();
    CHECK(WITH_ASAN || again(READ_BUFFER, WRITE_BUFFER) != NULL);
}

TEST(other_sizes_are_what_they_were)
{
    char *text = OPENSSL_malloc(16384);

    CHECK(text != NULL);
    memset(text, 'x', 16384);
    text = OPENSSL_realloc(text, 40000);
    CHECK(text != NULL);
    CHECK(text[16383] == 'x');
    OPENSSL_free(text);
    OPENSSL_free(NULL);
    text = OPENSSL_malloc(17408); /* the C library gives more than is asked for */
    CHECK(text != NULL);
    memset(text, 'y', 17408);
    OPENSSL_free(text);
}

TEST(each_thread_has_its_own)
{
    static char yes;
    pthread_t keeping;
    pthread_t other;

    CHECK(pthread_create(&keeping, NULL, in_a_thread, &yes) == 0);
    CHECK(pthread_create(&other, NULL, in_a_thread, NULL) == 0);
    CHECK(pthread_join(keeping, NULL) == 0);
    CHECK(pthread_join(other, NULL) == 0);
}
