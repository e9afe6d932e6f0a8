/* JSON: what RFC 8259 allows, and nothing else. */
#include "tests/unit/check.h"

#include "base/arena.h"
#include "base/list.h"
#include "control/json.h"

#include <stdlib.h>

TEST(values_have_their_kinds)
{
    struct arena *arena = arena_new(1024);
    const struct json *all = json_parse(
        arena, slice_of(" {\"a\":[1,-2.5e1,0],\"b\":\"x\\n\\u00e9\\ud83d\\ude00\",\"c\":true,"
                        "\"d\":null,\"e\":{},\"a2\":false} "));

    CHECK(all != NULL);
    CHECK_EQ(json_member(all, "a")->kind, JSON_ARRAY);
    CHECK(json_member(all, "a")->first->next->number == -25.0);
    CHECK_SLICE(json_member_text(all, "b"), "x\n\xc3\xa9\xf0\x9f\x98\x80");
    CHECK(json_member(all, "c")->truth);
    CHECK_EQ(json_member(all, "d")->kind, JSON_NULL);
    CHECK(json_member(all, "e")->first == NULL);
    CHECK(json_member(all, "none") == NULL);
    CHECK_SLICE(json_member_text(all, "c"), "");
    arena_drop(arena);
}

TEST(what_is_not_json_is_refused)
{
    static const char *const cases[] = {
        "",
        "{",
        "{}x",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "01",
        "1.",
        "+1",
        "1e",
        "\"\x01\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"open",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "nul",
        "[1 2]",
        "{,}",
        "-",
        "\"\\ud800\\u0041\"",
        "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]",
    };
    struct arena *arena = arena_new(1024);

    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK(json_parse(arena, slice_of(cases[i])) == NULL, cases[i]);
    arena_drop(arena);
}

TEST(written_text_reads_back)
{
    static const char text[] = "pelayan: [emerg] \"x\" in \\y\n\t\x7f^ \xc3\xa9";
    struct arena *arena = arena_new(1024);
    char *line = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&line, &len);
    const struct json *value;

    json_write_text(out, slice_of(text));
    fclose(out);
    CHECK(memchr(line, '\n', len) == NULL);
    value = json_parse(arena, slice_make(line, len));
    CHECK(value != NULL);
    CHECK_SLICE(value->text, text);
    free(line);
    arena_drop(arena);
}
