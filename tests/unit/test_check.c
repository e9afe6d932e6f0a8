/* Goal: the checks themselves hold when they should and fail when they should.
 * Method: a failing check leaves by longjmp through cmocka, so it is run in a child process whose
 * only news is its exit code. */
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct piece {
    const char *data;
    size_t len;
};

enum colour { RED, GREEN };

/* True if `check` fails when it is the whole of a test. Its output is thrown away: it is about a
 * failure that is wanted. */
static bool fails(void (*check)(void **state))
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        const struct CMUnitTest only[] = {{.name = "inner", .test_func = check}};
        if (freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL)
            _exit(0);
        _exit(_cmocka_run_group_tests("inner", only, 1, NULL, NULL) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static void differ_in_sign(void **state)
{
    (void)state;
    CHECK_EQ(-1, SIZE_MAX);
}

static void differ_in_length(void **state)
{
    struct piece piece = {"abc", 2};
    (void)state;
    CHECK_SLICE(piece, "abc", "100% of it");
}

static void differ_from_null(void **state)
{
    (void)state;
    CHECK_STR(NULL, "text", "case %d of %s", 1, "many");
}

static void false_condition(void **state)
{
    (void)state;
    CHECK(1 > 2);
}

static void are_equal_after_all(void **state)
{
    (void)state;
    CHECK_NE(GREEN, 1);
}

TEST(checks_that_hold_pass)
{
    struct piece piece = {"abcdef", 3};
    unsigned char byte = 200;
    bool yes = true;

    CHECK(byte == 200);
    CHECK_EQ(byte, 200, "a byte");
    CHECK_EQ((size_t)3, 3);
    CHECK_EQ(GREEN, 1, "an enum, %d", 1);
    CHECK_EQ(yes, true);
    CHECK_EQ(0.5, 0.5);
    CHECK_EQ(&piece, &piece);
    CHECK_NE(RED, GREEN);
    CHECK_NE(&piece, NULL);
    CHECK_STR("same", "same");
    CHECK_STR(NULL, NULL);
    CHECK_SLICE(piece, "abc", "no terminator needed");
    CHECK_BYTES("a\0b", 3, "a\0b", 3);
}

TEST(checks_that_do_not_hold_fail)
{
    CHECK(fails(differ_in_sign));
    CHECK(fails(differ_in_length));
    CHECK(fails(differ_from_null));
    CHECK(fails(false_condition));
    CHECK(fails(are_equal_after_all));
}
