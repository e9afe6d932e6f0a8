/* Heads into bytes: what is written is read back as the same, and nothing can break out of its
 * line. */
#include "http/h1/parse.h"
#include "http/h1/write.h"
#include "tests/unit/check.h"

static void write_some_request(struct writer *w)
{
    struct header_list list;
    struct header *gone;

    header_list_init(&list, NULL);
    CHECK(header_list_add(&list, slice_of("host"), slice_of("a.b")) != NULL);
    CHECK(header_list_add(&list, slice_of("TE"), slice_of("trailers")) != NULL);
    gone = header_list_add(&list, slice_of("X-Gone"), slice_of("1"));
    CHECK(gone != NULL);
    header_list_remove(&list, gone);
    CHECK(header_list_add(&list, slice_of("bad name"), slice_of("1")) != NULL);
    CHECK(header_list_add(&list, slice_of("x_y"), slice_of("2")) != NULL);
    header_list_mark_hop_by_hop(&list);
    write_request_line(w, slice_of("POST"), slice_of("/a?b"), 11);
    write_headers(w, &list);
    write_header_u64(w, HEADER_CONTENT_LENGTH, 18446744073709551615u);
    write_header(w, slice_of("Also Bad"), slice_of("1"));
    write_end(w);
}

TEST(requests)
{
    char text[256];
    struct writer w = writer_make(text, sizeof text);

    write_some_request(&w);
    CHECK(!w.overflow);
    CHECK_BYTES(text, w.len,
                "POST /a?b HTTP/1.1\r\nhost: a.b\r\nx_y: 2\r\n"
                "Content-Length: 18446744073709551615\r\n\r\n",
                79);
}

/* Goal: not one byte beyond the buffer, whatever its size. */
TEST(small_buffers_overflow_cleanly)
{
    for (size_t capacity = 0; capacity < 79; capacity++) {
        char text[80];
        struct writer w = writer_make(text, capacity);

        memset(text, '#', sizeof text);
        write_some_request(&w);
        CHECK(w.overflow);
        for (size_t i = capacity; i < sizeof text; i++)
            CHECK_EQ(text[i], '#');
    }
}

TEST(status_lines)
{
    char text[128];
    struct writer w = writer_make(text, sizeof text);

    write_status_line(&w, 200, slice_of(""));
    write_status_line(&w, 404, slice_of(""));
    write_status_line(&w, 494, slice_of(""));
    write_status_line(&w, 299, slice_of(""));
    write_status_line(&w, 200, slice_of("Fi\nne"));
    CHECK_BYTES(text, w.len,
                "HTTP/1.1 200 OK\r\nHTTP/1.1 404 Not Found\r\nHTTP/1.1 400 Bad Request\r\n"
                "HTTP/1.1 299 \r\nHTTP/1.1 200 Fi ne\r\n",
                17 + 24 + 26 + 15 + 20);
}

/* Goal: no value begins a new line, no target ends its own. */
TEST(nothing_breaks_out)
{
    char text[256];
    struct writer w = writer_make(text, sizeof text);
    struct h1_request r;

    write_request_line(&w, slice_of("GET"), slice_of("/a b\r\nX: y"), 11);
    write_header_id(&w, HEADER_HOST, slice_of("h"));
    write_header_id(&w, HEADER_LOCATION, slice_make("a\r\nSet-Cookie: b\0c\td\x7f", 21));
    write_end(&w);
    CHECK(!w.overflow);
    h1_request_init(&r, NULL);
    CHECK_EQ(parse_request_head(slice_make(text, w.len), &h1_default_limits, &r), PARSE_OK);
    CHECK_EQ(header_list_count(&r.headers), 2);
    CHECK_SLICE(r.target, "/a%20b%0D%0AX:%20y");
    CHECK_SLICE(header_list_value(&r.headers, HEADER_LOCATION), "a  Set-Cookie: b c\td");

    w = writer_make(text, sizeof text);
    write_request_line(&w, slice_of("GET /x HTTP/1.1\r\nA:"), slice_of("/"), 11);
    CHECK(w.overflow);
    w = writer_make(text, sizeof text);
    write_request_line(&w, slice_of("GET"), slice_make(NULL, 0), 10);
    CHECK_BYTES(text, w.len, "GET / HTTP/1.0\r\n", 16);
}

TEST(the_length_is_enough)
{
    struct header_list list;
    char text[256];
    struct writer w;

    header_list_init(&list, NULL);
    CHECK(header_list_add(&list, slice_of("a"), slice_of("b")) != NULL);
    CHECK(header_list_add_id(&list, HEADER_ETAG, slice_make(NULL, 0)) != NULL);
    w = writer_make(text, headers_written_len(&list));
    write_headers(&w, &list);
    CHECK(!w.overflow);
    CHECK_EQ(w.len, w.capacity);
}
