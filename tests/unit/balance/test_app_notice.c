/* Goal: only what is of the agreed form is taken for the state of an app. Method: good texts and
 * their values; bad ones, and every cut of a good one, which must not crash. */
#include "balance/app_notice_internal.h"
#include "base/list.h"
#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>

static bool parses(struct slice text, struct app_notice *notice)
{
    const char *error = NULL;
    bool good = app_notice_parse(text, notice, &error);

    CHECK_EQ(error == NULL, good);
    return good;
}

TEST(a_notice_is_understood)
{
    struct app_notice notice;
    struct app_line line;
    char text[ADDRESS_TEXT_BYTES];

    CHECK(parses(slice_of("my web app online 2\n0 127.0.0.1:4001 ready\n"
                          "17 unix:/run/a b.sock draining\n3 [::1]:80 ready\n"),
                 &notice));
    CHECK(slice_eq(notice.name, slice_of("my web app")));
    CHECK_EQ(notice.status, APP_ONLINE);
    CHECK_EQ(notice.desired, 2);
    CHECK_EQ(notice.instance_count, 3);
    CHECK(app_notice_next(&notice.lines, &line));
    CHECK_EQ(line.id, 0);
    CHECK(line.ready);
    CHECK(app_notice_next(&notice.lines, &line));
    CHECK_EQ(line.id, 17);
    CHECK(!line.ready);
    address_text(&line.address, text);
    CHECK_STR(text, "unix:/run/a b.sock");
    CHECK(app_notice_next(&notice.lines, &line));
    CHECK(!app_notice_next(&notice.lines, &line));
}

TEST(a_failed_app_says_why)
{
    struct app_notice notice;

    CHECK(parses(slice_of("web failed 1\n! exited with code 3 five times"), &notice));
    CHECK_EQ(notice.status, APP_FAILED);
    CHECK_EQ(notice.instance_count, 0);
    CHECK(slice_eq(notice.reason, slice_of("exited with code 3 five times")));
    CHECK(parses(slice_of("web gone 0"), &notice));
    CHECK_EQ(notice.status, APP_GONE);
}

static const char *const bad[] = {
    "",
    "web",
    "web online",
    "web online x",
    "web online -1",
    "web online 99999999999",
    "web dead 1",
    " online 1",
    "w\neb online 1",
    "web\x01 online 1",
    "web online 1\n0",
    "web online 1\n0 127.0.0.1:1",
    "web online 1\nx 127.0.0.1:1 ready",
    "web online 1\n0 127.0.0.1:1 Ready",
    "web online 1\n0 127.0.0.1 ready",
    "web online 1\n0 127.0.0.1:0 ready",
    "web online 1\n0 0.0.0.0:80 ready",
    "web online 1\n0 [::]:80 ready",
    "web online 1\n0 80 ready",
    "web online 1\n0 host.test:80 ready",
    "web online 1\n0 unix: ready",
    "web online 1\n0 unix:/a\tb ready",
    "web online 1\n0 127.0.0.1:1 ready\n0 127.0.0.1:2 ready",
    "web online 1\n0 127.0.0.1:1 ready\n\n1 127.0.0.1:2 ready",
    "web failed 1\n! one\ntwo",
    "web failed 1\n! one\x7f",
};

TEST(what_has_another_form_is_refused)
{
    struct app_notice notice;

    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK(!parses(slice_of(bad[i]), &notice), "%s", bad[i]);
}

TEST(every_cut_is_survived)
{
    struct slice whole = slice_of("web online 2\n0 127.0.0.1:4001 ready\n1 unix:/x draining\n! a");
    struct app_notice notice;

    for (size_t len = 0; len <= whole.len; len++) {
        char *copy = malloc(len + 1); /* so that a byte too many is seen */

        memcpy(copy, whole.data, len);
        (void)parses(slice_make(copy, len), &notice);
        free(copy);
    }
}

TEST(instances_are_counted)
{
    struct app_notice notice;
    char *text = NULL;
    size_t len;

    for (unsigned count = APP_INSTANCES_MAX; count <= APP_INSTANCES_MAX + 1; count++) {
        FILE *out = open_memstream(&text, &len);

        fputs("web online 1\n", out);
        for (unsigned i = 0; i < count; i++)
            fprintf(out, "%u 127.0.0.1:%u ready\n", i, i + 1);
        fclose(out);
        CHECK_EQ(parses(slice_make(text, len), &notice), count == APP_INSTANCES_MAX);
        free(text);
    }
}
