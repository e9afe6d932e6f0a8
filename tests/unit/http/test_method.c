/* Methods and status codes. */
#include "http/method.h"
#include "http/status.h"
#include "tests/unit/check.h"

TEST(methods_are_case_sensitive)
{
    for (enum method m = METHOD_OTHER + 1; m < METHOD_COUNT; m++) {
        CHECK_EQ(method_of(method_name(m)), m, method_name(m).data);
        CHECK(!method_is_safe(m) || method_is_idempotent(m), method_name(m).data);
    }
    CHECK_EQ(method_of(slice_of("get")), METHOD_OTHER);
    CHECK_EQ(method_of_nocase(slice_of("get")), METHOD_GET);
    CHECK_EQ(method_of(slice_of("GETS")), METHOD_OTHER);
    CHECK_EQ(method_of(slice_of("")), METHOD_OTHER);
    CHECK_EQ(method_name(METHOD_OTHER).len, 0);
}

TEST(only_what_may_be_repeated_is_idempotent)
{
    CHECK(method_is_safe(METHOD_GET));
    CHECK(!method_is_safe(METHOD_PUT));
    CHECK(method_is_idempotent(METHOD_PUT));
    CHECK(!method_is_idempotent(METHOD_POST));
    CHECK(!method_is_idempotent(METHOD_LOCK));
    CHECK(!method_is_idempotent(METHOD_PATCH));
    CHECK(!method_is_idempotent(METHOD_OTHER));
    CHECK(!method_is_safe(METHOD_OTHER));
}

TEST(phrases_are_those_of_nginx)
{
    CHECK_SLICE(status_reason(200), "OK");
    CHECK_SLICE(status_reason(405), "Not Allowed");
    CHECK_SLICE(status_reason(503), "Service Temporarily Unavailable");
    CHECK_SLICE(status_reason(299), "");
    CHECK_SLICE(status_reason(0), "");
    CHECK_SLICE(status_reason(99999), "");
    CHECK_SLICE(status_title(404), "404 Not Found");
    CHECK_SLICE(status_title(200), "");
    CHECK_SLICE(status_title(499), "");
}

TEST(private_codes_are_sent_as_400)
{
    CHECK_EQ(status_on_wire(494), 400);
    CHECK_EQ(status_on_wire(497), 400);
    CHECK_EQ(status_on_wire(493), 493);
    CHECK_EQ(status_on_wire(498), 498);
    CHECK_SLICE(status_reason(494), "Bad Request");
    CHECK_SLICE(status_title(494), "400 Request Header Or Cookie Too Large");
    CHECK_SLICE(status_title(497), "400 The plain HTTP request was sent to HTTPS port");
}

TEST(some_statuses_have_no_body)
{
    CHECK(status_has_no_body(100));
    CHECK(status_has_no_body(204));
    CHECK(status_has_no_body(304));
    CHECK(!status_has_no_body(200));
    CHECK(!status_has_no_body(205));
}
