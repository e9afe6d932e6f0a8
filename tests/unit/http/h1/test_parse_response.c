/* Response heads, how their bodies end, and header sections alone. */
#include "base/arena.h"
#include "http/h1/parse.h"
#include "tests/unit/check.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static enum parse_result parse(struct h1_response *r, struct slice in)
{
    h1_response_init(r, NULL);
    return parse_response_head(in, &h1_default_limits, r);
}

/* As the network may deliver it: one byte more in each call, each time at another address. A
 * mistake need not be noticed before the head ends, so an end is sent in any case. */
static enum parse_result parse_bytewise(struct h1_response *r, struct slice in)
{
    enum parse_result result = PARSE_MORE;
    static char places[2][65536];

    h1_response_init(r, NULL);
    for (size_t len = 0; len <= in.len + 4 && result == PARSE_MORE; len++) {
        char *place = places[len & 1] + sizeof places[0] - len;

        memcpy(place, in.data, len < in.len ? len : in.len);
        if (len > in.len)
            memcpy(place + in.len, "\r\n\r\n", len - in.len);
        result = parse_response_head(slice_make(place, len), &h1_default_limits, r);
    }
    return result;
}

TEST(good_heads)
{
    static const struct {
        const char *in;
        unsigned status, version;
        const char *reason;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\n\r\n", 200, 11, "OK"},
        {"HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\n", 404, 10, "Not Found"},
        {"HTTP/1.1 200 \r\n\r\n", 200, 11, ""},
        {"HTTP/1.1 200\r\n\r\n", 200, 11, ""},
        {"HTTP/1.1 999 \xc3\xa4\tb\r\nx_y: 1\r\nA(: b\r\n\r\n", 999, 11, "\xc3\xa4\tb"},
        {"HTTP/1.1 100 Continue\r\n\r\n", 100, 11, "Continue"},
        {"HTTP/1.1 200 OK\r\nServer: a\r\nServer: b\r\nETag:\r\n\r\n", 200, 11, "OK"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice in = slice_of(rows[i].in);
        struct h1_response r;

        CHECK_EQ(parse(&r, in), PARSE_OK, rows[i].in);
        CHECK_EQ(r.head_bytes, in.len, rows[i].in);
        CHECK_EQ(r.status, rows[i].status, rows[i].in);
        CHECK_EQ(r.version, rows[i].version, rows[i].in);
        CHECK_SLICE(r.reason, rows[i].reason, rows[i].in);
        for (size_t cut = 0; cut < in.len; cut++)
            CHECK_EQ(parse(&r, slice_head(in, cut)), PARSE_MORE, rows[i].in);
        CHECK_EQ(parse_bytewise(&r, in), PARSE_OK, rows[i].in);
    }
}

TEST(bad_heads)
{
    static const struct {
        struct slice in;
        enum h1_error want;
    } rows[] = {
        {SLICE("\r\nHTTP/1.1 200 OK\r\n\r\n"), H1_BAD_STATUS_LINE},
        {SLICE("HTTP/2.0 200 OK\r\n\r\n"), H1_BAD_STATUS_LINE},
        {SLICE("HTTP/1.1  200 OK\r\n\r\n"), H1_BAD_STATUS_LINE},
        {SLICE("HTTP/1.1 20 OK\r\n\r\n"), H1_BAD_STATUS_LINE},
        {SLICE("HTTP/1.1 099 OK\r\n\r\n"), H1_BAD_STATUS_LINE},
        {SLICE("HTTP/1.1 2000 OK\r\n\r\n"), H1_BAD_STATUS_LINE},
        {SLICE("HTTP/1.1 200OK\r\n\r\n"), H1_BAD_STATUS_LINE},
        {SLICE("ICY 200 OK\r\n\r\n"), H1_BAD_STATUS_LINE},
        {SLICE("<html>"), H1_BAD_STATUS_LINE},
        {SLICE("HTTP/1.1 200 OK\n\n"), H1_BARE_LF},
        {SLICE("HTTP/1.1 200\n\n"), H1_BARE_LF},
        {SLICE("HTTP/1.1 200 O\0K\r\n\r\n"), H1_CONTROL_BYTE},
        {SLICE("HTTP/1.1 200 OK\r\nA: b\n\r\n"), H1_BARE_LF},
        {SLICE("HTTP/1.1 200 OK\r\nA : b\r\n\r\n"), H1_SPACE_BEFORE_COLON},
        {SLICE("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"), H1_OBS_FOLD},
        {SLICE("HTTP/1.1 200 OK\r\nA\r\n\r\n"), H1_NO_COLON},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct h1_response r;

        CHECK_EQ(parse(&r, rows[i].in), PARSE_ERROR, rows[i].in.data);
        CHECK_EQ(r.error, rows[i].want, rows[i].in.data);
        CHECK_EQ(parse_bytewise(&r, rows[i].in), PARSE_ERROR, rows[i].in.data);
        CHECK_EQ(r.error, rows[i].want, rows[i].in.data);
    }
}

/* RFC 9112, 6.3, rule by rule. */
TEST(how_bodies_end)
{
    static const struct {
        const char *in;
        enum method method;
        enum h1_error error;
        enum body_kind kind;
        uint64_t bytes;
        bool keep_alive;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", METHOD_HEAD, H1_NONE, BODY_NONE, 5, true},
        {"HTTP/1.1 200 OK\r\n\r\n", METHOD_HEAD, H1_NONE, BODY_NONE, 0, true},
        {"HTTP/1.1 204 N\r\n\r\n", METHOD_GET, H1_NONE, BODY_NONE, 0, true},
        {"HTTP/1.1 304 N\r\nContent-Length: 7\r\n\r\n", METHOD_GET, H1_NONE, BODY_NONE, 7, true},
        {"HTTP/1.1 103 E\r\n\r\n", METHOD_GET, H1_NONE, BODY_NONE, 0, true},
        {"HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n", METHOD_GET, H1_NONE, BODY_TUNNEL, 0, false},
        {"HTTP/1.1 200 OK\r\n\r\n", METHOD_CONNECT, H1_NONE, BODY_TUNNEL, 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", METHOD_GET, H1_NONE, BODY_LENGTH, 5, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", METHOD_GET, H1_NONE, BODY_NONE, 0, true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_GET, H1_NONE, BODY_CHUNKED,
         0, true},
        {"HTTP/1.1 200 OK\r\n\r\n", METHOD_GET, H1_NONE, BODY_UNTIL_CLOSE, 0, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", METHOD_GET, H1_NONE, BODY_LENGTH, 5,
         false},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n", METHOD_GET,
         H1_NONE, BODY_LENGTH, 5, true},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n", METHOD_GET, H1_NONE,
         BODY_LENGTH, 5, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", METHOD_GET,
         H1_DUPLICATE_LENGTH, BODY_NONE, 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n", METHOD_HEAD, H1_BAD_LENGTH, BODY_NONE, 0,
         false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_GET,
         H1_LENGTH_AND_CODING, BODY_NONE, 0, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", METHOD_GET, H1_UNKNOWN_CODING,
         BODY_NONE, 0, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         METHOD_GET, H1_DUPLICATE_HEADER, BODY_NONE, 0, false},
        {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_GET, H1_CODING_IN_HTTP10,
         BODY_NONE, 0, false},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct h1_response r;

        CHECK_EQ(parse(&r, slice_of(rows[i].in)), PARSE_OK, rows[i].in);
        CHECK_EQ(h1_response_frame(&r, rows[i].method), rows[i].error, rows[i].in);
        CHECK_EQ(r.body_kind, rows[i].kind, rows[i].in);
        CHECK_EQ(r.body_bytes, rows[i].bytes, rows[i].in);
        CHECK_EQ(r.keep_alive, rows[i].keep_alive, rows[i].in);
    }
}

TEST(interim_heads_leave_what_follows)
{
    struct slice in = slice_of(
        "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    struct h1_response r;

    CHECK_EQ(parse(&r, in), PARSE_OK);
    CHECK_EQ(r.status, 103);
    CHECK_EQ(parse(&r, slice_skip(in, r.head_bytes)), PARSE_OK);
    CHECK_EQ(r.status, 200);
}

TEST(sections_of_cgi_may_end_lines_with_lf)
{
    struct header_list list;
    struct h1_fields fields = {
        .line_end = LINES_LF_OR_CRLF, .limits = &h1_default_limits, .headers = &list};
    struct slice in = slice_of("Status: 404 x\nContent-Type:text/html\r\nx_y: 1\n\nbody");

    header_list_init(&list, NULL);
    CHECK_EQ(parse_fields(slice_head(in, in.len - 5), &fields), PARSE_MORE);
    CHECK_EQ(parse_fields(in, &fields), PARSE_OK);
    CHECK_EQ(fields.head_bytes, in.len - 4);
    CHECK_EQ(header_list_count(&list), 3);
    CHECK_SLICE(header_list_value(&list, HEADER_STATUS), "404 x");
    CHECK_SLICE(header_list_value(&list, HEADER_CONTENT_TYPE), "text/html");
    CHECK(fields.has_odd_names);
    fields.line_end = LINES_CRLF;
    CHECK_EQ(parse_fields(in, &fields), PARSE_ERROR);
    CHECK_EQ(fields.error, H1_BARE_LF);
}
