/* How a unit test is written: TEST(name) { ... CHECK_EQ(actual, expected, "what this case is"); }
 *
 * A thin coat over cmocka. TEST registers itself; the file is one binary with its own main() from
 * check.c, and `test_x WORD` runs only the tests whose name contains WORD. A failed check ends its
 * test and prints both values and the context.
 *
 * The context is optional. One argument is printed as it is (it may contain '%'); with more, the
 * first is a printf format. Runs in: test binaries, any thread that is the test's own. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* One side of CHECK_EQ. Kept with its sign, so that -1 and SIZE_MAX differ. */
struct check_value {
    enum check_kind { CHECK_INT, CHECK_UINT, CHECK_DOUBLE, CHECK_POINTER } kind;
    union {
        intmax_t i;
        uintmax_t u;
        double d;
        const void *p;
    };
};

/* Where a check stands and what it says; lives for the one call. */
struct check_site {
    const char *file;
    int line;
    const char *text;    /* the source of the check */
    const char *context; /* "" if there is none */
};

/* A run of bytes that may have no terminator. */
struct check_bytes {
    const char *data;
    size_t len;
};

void check_register(const char *name, void (*run)(void **state));
struct check_value check_from_int(intmax_t i);
struct check_value check_from_uint(uintmax_t u);
struct check_value check_from_double(double d);
struct check_value check_from_pointer(const void *p);

/* `count` strings and arguments follow; valid until the next call. */
const char *check_context(int count, ...);

/* These return when the check holds and leave the test when it does not. */
void check_true(struct check_site site, bool holds);
void check_equal(struct check_site site, struct check_value actual, struct check_value expected);
void check_unequal(struct check_site site, struct check_value actual, struct check_value other);
void check_strings(struct check_site site, const char *actual, const char *expected);
void check_bytes(struct check_site site, struct check_bytes actual, struct check_bytes expected);

#define TEST(name)                                                                                 \
    static void test_##name(void **state);                                                         \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        check_register(#name, test_##name);                                                        \
    }                                                                                              \
    static void test_##name(void **state __attribute__((unused)))

/* The condition is true. */
#define CHECK(condition, ...)                                                                      \
    check_true(CHECK_SITE(#condition, ##__VA_ARGS__), (condition) ? true : false)

/* Two numbers, enums, bools or pointers are equal. */
#define CHECK_EQ(actual, expected, ...)                                                            \
    check_equal(CHECK_SITE(#actual " == " #expected, ##__VA_ARGS__), CHECK_VALUE(actual),          \
                CHECK_VALUE(expected))

/* ... or are not. */
#define CHECK_NE(actual, other, ...)                                                               \
    check_unequal(CHECK_SITE(#actual " != " #other, ##__VA_ARGS__), CHECK_VALUE(actual),           \
                  CHECK_VALUE(other))

/* Two strings are the same text; either may be NULL. */
#define CHECK_STR(actual, expected, ...)                                                           \
    check_strings(CHECK_SITE(#actual, ##__VA_ARGS__), actual, expected)

/* A struct slice (base/slice.h) holds exactly this string's bytes. */
#define CHECK_SLICE(actual, expected, ...)                                                         \
    do {                                                                                           \
        __auto_type check_slice_ = (actual);                                                       \
        const char *check_expected_ = (expected);                                                  \
        check_bytes(CHECK_SITE(#actual, ##__VA_ARGS__),                                            \
                    (struct check_bytes){check_slice_.data, check_slice_.len},                     \
                    (struct check_bytes){check_expected_, __builtin_strlen(check_expected_)});     \
    } while (0)

/* Two runs of bytes, NULs and all: CHECK_BYTES(data, len, "\0\1", 2). */
#define CHECK_BYTES(actual, actual_len, expected, expected_len, ...)                               \
    check_bytes(CHECK_SITE(#actual, ##__VA_ARGS__),                                                \
                (struct check_bytes){(const char *)(actual), (actual_len)},                        \
                (struct check_bytes){(const char *)(expected), (expected_len)})

#define CHECK_SITE(text, ...)                                                                      \
    ((struct check_site){__FILE__, __LINE__, text,                                                 \
                         check_context(CHECK_COUNT(__VA_ARGS__), ##__VA_ARGS__)})
#define CHECK_COUNT(...) CHECK_COUNT_(0, ##__VA_ARGS__, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define CHECK_COUNT_(zero, a, b, c, d, e, f, g, h, count, ...) count

/* clang-format off */
#define CHECK_VALUE(x)                                                                           \
    _Generic((x),                                                                                \
        bool: check_from_uint,                                                                   \
        char: check_from_int, signed char: check_from_int, unsigned char: check_from_uint,       \
        short: check_from_int, unsigned short: check_from_uint,                                  \
        int: check_from_int, unsigned int: check_from_uint,                                      \
        long: check_from_int, unsigned long: check_from_uint,                                    \
        long long: check_from_int, unsigned long long: check_from_uint,                          \
        float: check_from_double, double: check_from_double,                                     \
        default: check_from_pointer)(x)
/* clang-format on */
