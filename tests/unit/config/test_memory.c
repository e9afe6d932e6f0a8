/* Goal: wherever memory runs out, loading a config ends with an error instead of a crash or a leak.
 * Method: the same load again and again, the n-th allocation fails, then the n+1-th... The
 * sanitizers bring their own malloc: there this file only loads once. */
#include "tests/unit/check.h"

#include "tests/unit/config/fixture.h"

#include <errno.h>
#include <stdlib.h>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(__GLIBC__)
#define CAN_FAIL 1

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);

static size_t countdown; /* 0: nothing fails */
static bool failed;

static bool fails(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t bytes)
{
    return fails() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    return fails() ? NULL : __libc_realloc(old, bytes);
}
#endif

static const char config[] =
    "sendfile on; root a$host; wrong x; keepalive_requests 3333;\n"
    "http { log_format a '$x ${uri}'; map $x $y { a \"b\\tc\"; }\n"
    "  server { listen 1; set $x 1; location / { add 1; add 2; root /x/$y$z; bits one two; }\n"
    "  if ($x) { } } types { a b; } early { a; } sendfile maybe; word x; }\n";

static bool load_once(void)
{
    struct world world;
    bool ok = world_init(&world);

    if (ok)
        world_load(&world, slice_of(config));
    ok = ok && !diag_failed(&world.diag);
    world_fini(&world);
    return ok;
}

TEST(a_load_without_memory_fails_cleanly)
{
    CHECK(!load_once(), "it has errors of its own");
#ifdef CAN_FAIL
    for (size_t n = 1; n < 100000; n++) {
        countdown = n;
        failed = false;
        CHECK(!load_once(), "allocation %zu", n);
        countdown = 0;
        if (!failed)
            return;
    }
    CHECK(false, "there is an end");
#endif
}
