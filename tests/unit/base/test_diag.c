#include "base/diag.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>

/* What diag_print() writes; the caller frees. */
static char *printed(const struct diag *diag)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    CHECK(out != NULL);
    diag_print(diag, out);
    fclose(out);
    return text;
}

static void check_printed(const struct diag *diag, const char *want)
{
    char *text = printed(diag);

    CHECK_STR(text, want);
    free(text);
}

TEST(an_error_shows_its_line_and_a_caret)
{
    struct diag_place place = {"/etc/x.conf", 12, 9, slice_of("        proxy_pas http://app;")};
    struct diag diag;

    diag_init(&diag);
    CHECK(!diag_failed(&diag));
    diag_add(&diag, DIAG_ERROR, &place, "unknown directive \"%s\"", "proxy_pas");
    diag_hint(&diag, "did you mean \"%s\"?", "proxy_pass");
    CHECK(diag_failed(&diag));
    check_printed(&diag, "pelayan: [emerg] unknown directive \"proxy_pas\" in /etc/x.conf:12:9\n"
                         "    12 |         proxy_pas http://app;\n"
                         "       |         ^~~~~~~~~ did you mean \"proxy_pass\"?\n");
    diag_fini(&diag);
}

TEST(places_may_be_known_in_part)
{
    struct diag_place file = {.file = "/f"};
    struct diag_place line = {.file = "/f", .line = 3};
    struct diag_place whole = {"/f", 4, 0, slice_of("listen 80;")};
    struct diag diag;

    diag_init(&diag);
    diag_add(&diag, DIAG_WARN, NULL, "one");
    diag_hint(&diag, "try two");
    diag_add(&diag, DIAG_WARN, &file, "two");
    diag_add(&diag, DIAG_WARN, &line, "three");
    diag_add(&diag, DIAG_WARN, &whole, "four");
    diag_hint(&diag, "try five");
    CHECK(!diag_failed(&diag), "a warning is no failure");
    CHECK_EQ(diag.warning_count, 4);
    check_printed(&diag, "pelayan: [warn] one\n"
                         "         try two\n"
                         "pelayan: [warn] two in /f\n"
                         "pelayan: [warn] three in /f:3\n"
                         "pelayan: [warn] four in /f:4\n"
                         "     4 | listen 80;\n"
                         "       | try five\n");
    diag_fini(&diag);
}

/* Goal: the caret stands under its word behind tabs and letters of several bytes. */
TEST(the_caret_keeps_its_column)
{
    struct diag_place tabs = {"/f", 1, 3, slice_of("\t\tx y")};
    struct diag_place letters = {"/f", 1, 7, slice_of("\xc3\xa9\xe2\x82\xac \"a b\" c")};
    struct diag_place beyond = {"/f", 1, 99, slice_of("x")};
    struct diag diag;

    diag_init(&diag);
    diag_add(&diag, DIAG_ERROR, &tabs, "m");
    diag_add(&diag, DIAG_ERROR, &letters, "m");
    diag_add(&diag, DIAG_ERROR, &beyond, "m");
    check_printed(&diag, "pelayan: [emerg] m in /f:1:3\n"
                         "     1 | \t\tx y\n"
                         "       | \t\t^\n"
                         "pelayan: [emerg] m in /f:1:7\n"
                         "     1 | \xc3\xa9\xe2\x82\xac \"a b\" c\n"
                         "       |    ^~~~~\n"
                         "pelayan: [emerg] m in /f:1:99\n"
                         "     1 | x\n");
    diag_fini(&diag);
}

TEST(control_bytes_do_not_reach_the_terminal)
{
    struct diag_place place = {"/f\x1b[1m", 1, 2, slice_make("\x1bz", 2)};
    struct diag diag;

    diag_init(&diag);
    diag_add(&diag, DIAG_ERROR, &place, "bad \x7f\n");
    check_printed(&diag, "pelayan: [emerg] bad \\x7F\\x0A in /f\\x1B[1m:1:2\n"
                         "     1 | \\x1Bz\n"
                         "       |     ^\n");
    diag_fini(&diag);
}

/* Goal: a line of any length and a column anywhere in it print one window, with the caret in it. */
TEST(long_lines_are_windows)
{
    static char line[5000];
    struct diag diag;

    memset(line, 'a', sizeof line);
    for (unsigned column = 1; column < sizeof line + 3; column += 7) {
        struct diag_place place = {"/f", 1, column, slice_make(line, sizeof line)};
        char *text;

        diag_init(&diag);
        diag_add(&diag, DIAG_ERROR, &place, "m");
        text = printed(&diag);
        CHECK(strlen(text) < 420, "column %u", column);
        CHECK_EQ(strchr(text, '^') != NULL, column <= sizeof line, "column %u", column);
        free(text);
        diag_fini(&diag);
    }
}

TEST(beyond_the_limit_errors_are_counted)
{
    struct diag diag;

    diag_init(&diag);
    diag.limit = 2;
    for (int i = 0; i < 5; i++) {
        diag_add(&diag, DIAG_ERROR, NULL, "error %d", i);
        diag_hint(&diag, "hint %d", i);
    }
    diag_add(&diag, DIAG_WARN, NULL, "careful");
    CHECK_EQ(diag.error_count, 5);
    check_printed(&diag, "pelayan: [emerg] error 0\n"
                         "         hint 0\n"
                         "pelayan: [emerg] error 1\n"
                         "         hint 1\n"
                         "pelayan: [warn] careful\n"
                         "pelayan: 3 more errors\n");
    diag_fini(&diag);
    CHECK_EQ(diag.error_count, 0);
    diag_hint(&diag, "nobody's");
    diag_fini(&diag);
}

TEST(errno_is_said_in_words)
{
    struct diag diag;

    diag_init(&diag);
    errno = ENOENT;
    diag_errno(&diag, "open", "/no/file");
    check_printed(&diag, "pelayan: [emerg] cannot open /no/file: No such file or directory\n");
    diag_fini(&diag);
}
