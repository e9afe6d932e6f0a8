/* Record buffers that go round. Runs in: any thread; each has its own. */
#include "tls/memory.h"

#include "base/sanitize.h"

#include <assert.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

enum {
    BUFFER_BYTES = 17408,     /* what is asked for in their stead: any of them fits */
    BUFFER_BYTES_MIN = 16384, /* a record and what is around it */
    KEPT_MAX = 32,            /* by a thread */
};

struct kept {
    struct kept *next;
};

static _Thread_local struct {
    struct kept *first;
    unsigned count;
    bool on;
} own;

static pthread_key_t thread_end;
static bool recycles;

static void drop_all(void *unused)
{
    (void)unused;
    own.on = false;
    while (own.first != NULL) {
        struct kept *kept = own.first;

        own.first = kept->next;
        free(kept);
    }
    own.count = 0;
}

static void *on_malloc(size_t bytes, const char *file, int line)
{
    struct kept *kept = own.first;

    (void)file;
    (void)line;
    if (bytes < BUFFER_BYTES_MIN || bytes > BUFFER_BYTES)
        return malloc(bytes);
    if (kept == NULL)
        return malloc(BUFFER_BYTES);
    assert(own.count > 0);
    own.first = kept->next;
    own.count--;
    return kept;
}

static void *on_realloc(void *memory, size_t bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    return realloc(memory, bytes);
}

/* Whatever it was: a piece that holds so much is good for any buffer. */
static void on_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    if (memory == NULL)
        return;
    size_t bytes = malloc_usable_size(memory);

    if (bytes < BUFFER_BYTES || bytes > BUFFER_BYTES + BUFFER_BYTES / 16 || !own.on ||
        own.count >= KEPT_MAX) {
        free(memory);
        return;
    }
    struct kept *kept = memory;

    kept->next = own.first;
    own.first = kept;
    own.count++;
}

void tls_memory_begin(void)
{
    if (WITH_ASAN || recycles || pthread_key_create(&thread_end, drop_all) != 0)
        return;
    recycles = CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free) == 1;
    if (!recycles)
        pthread_key_delete(thread_end);
}

void tls_memory_keep(void)
{
    if (own.on || !recycles)
        return;
    own.on = pthread_setspecific(thread_end, &own) == 0; /* anything but NULL: the end is told */
}
