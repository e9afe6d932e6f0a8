/* Header names by number, and lists of fields. */
#include "base/arena.h"
#include "http/header.h"
#include "tests/unit/check.h"

#include <ctype.h>
#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct slice changed_case(struct slice name, char *out, int (*change)(int))
{
    for (size_t i = 0; i < name.len; i++)
        out[i] = (char)change((unsigned char)name.data[i]);
    return slice_make(out, name.len);
}

/* Goal: the generated hash is perfect for the table as it is now. */
TEST(every_known_name_is_found_in_any_case)
{
    for (enum header_id id = HEADER_OTHER + 1; id < HEADER_COUNT; id++) {
        struct slice name = header_name(id);
        char text[64];

        CHECK(name.len >= 2 && name.len < sizeof text);
        CHECK_EQ(header_id_of(name), id, name.data);
        CHECK_EQ(header_id_of(changed_case(name, text, toupper)), id, name.data);
        CHECK_EQ(header_id_of(changed_case(name, text, tolower)), id, name.data);
        CHECK_EQ(header_name_flags(name), 0, name.data);
    }
}

/* Goal: nothing but the name itself is taken for it. Method: each byte replaced by each other one.
 */
TEST(a_changed_byte_makes_another_name)
{
    for (enum header_id id = HEADER_OTHER + 1; id < HEADER_COUNT; id++) {
        struct slice name = header_name(id);
        char text[64];

        for (size_t at = 0; at < name.len; at++) {
            memcpy(text, name.data, name.len);
            for (int c = 0; c < 256; c++) {
                text[at] = (char)c;
                if (tolower(c) != tolower((unsigned char)name.data[at]))
                    CHECK_NE(header_id_of(slice_make(text, name.len)), id, "%s, byte %zu = %d",
                             name.data, at, c);
            }
        }
        CHECK_NE(header_id_of(slice_head(name, name.len - 1)), id, name.data);
    }
    CHECK_EQ(header_id_of(slice_of("")), HEADER_OTHER);
    CHECK_EQ(header_id_of(slice_of("X")), HEADER_OTHER);
    CHECK_EQ(header_id_of(slice_make(NULL, 0)), HEADER_OTHER);
}

TEST(names_are_judged_as_nginx_does)
{
    CHECK_EQ(header_name_flags(slice_of("X-Some-Name2")), 0);
    CHECK_EQ(header_name_flags(slice_of("x_y")), HEADER_NAME_UNDERSCORE);
    CHECK_EQ(header_name_flags(slice_of("x.y")), HEADER_NAME_UNUSUAL);
    CHECK_EQ(header_name_flags(slice_of("x_y!")), HEADER_NAME_UNDERSCORE | HEADER_NAME_UNUSUAL);
    CHECK_EQ(header_name_flags(slice_of("x/y")), HEADER_NAME_INVALID);
    CHECK_EQ(header_name_flags(slice_of("x y")), HEADER_NAME_INVALID);
    CHECK_EQ(header_name_flags(slice_of("x\x80")), HEADER_NAME_INVALID);
    CHECK_EQ(header_name_flags(slice_of("")), HEADER_NAME_INVALID);
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        bool token = c != 0 && (isalnum(c) || strchr("!#$%&'*+-.^_`|~", c) != NULL) && c < 128;

        CHECK_EQ((header_name_flags(slice_make(&byte, 1)) & HEADER_NAME_INVALID) == 0, token,
                 "byte %d", c);
    }
}

/* Goal: fields keep their place and order beyond the inline ones and the 254 that the index can
 * name. */
TEST(a_long_list_keeps_order_and_pointers)
{
    enum { FIELDS = 2000 };
    struct arena *arena = arena_new(4096);
    struct header_list list;
    struct header *fields[FIELDS];
    uint32_t at = 0;

    header_list_init(&list, arena);
    for (uint32_t i = 0; i < FIELDS; i++) {
        struct slice name = arena_printf(arena, "n%u", i);

        fields[i] = i == 1500 ? header_list_add_id(&list, HEADER_ETAG, slice_of("late"))
                              : header_list_add(&list, name, name);
        CHECK(fields[i] != NULL);
    }
    for (uint32_t i = 0; i < FIELDS; i++)
        CHECK_EQ(header_list_next(&list, &at), fields[i]);
    CHECK(header_list_next(&list, &at) == NULL);
    CHECK_SLICE(header_list_value(&list, HEADER_ETAG), "late");
    CHECK_EQ(header_list_find_name(&list, slice_of("N1999")), fields[1999]);
    CHECK_EQ(header_list_find_name(&list, slice_of("eTAG")), fields[1500]);
    CHECK(header_list_find(&list, HEADER_HOST) == NULL);
    CHECK_EQ(header_list_remove_id(&list, HEADER_ETAG), 1);
    CHECK_EQ(header_list_count(&list), FIELDS - 1);
    arena_drop(arena);
}

TEST(a_list_without_arena_is_full_at_its_inline_fields)
{
    struct header_list list;

    header_list_init(&list, NULL);
    for (int i = 0; i < HEADERS_INLINE; i++)
        CHECK(header_list_add(&list, slice_of("a"), slice_of("b")) != NULL);
    CHECK(header_list_add(&list, slice_of("a"), slice_of("b")) == NULL);
    header_list_clear(&list);
    CHECK(header_list_add(&list, slice_of("a"), slice_of("b")) != NULL);
    CHECK_EQ(header_list_count(&list), 1);
}

TEST(removed_fields_are_not_seen)
{
    struct header_list list;
    struct header *first;
    uint32_t at = 0;

    header_list_init(&list, NULL);
    first = header_list_add(&list, slice_of("set-cookie"), slice_of("a"));
    CHECK(first != NULL);
    CHECK(header_list_add(&list, slice_of("Set-Cookie"), slice_of("b")) != NULL);
    CHECK(header_list_add(&list, slice_of("X-Other"), slice_of("c")) != NULL);
    header_list_remove(&list, first);
    CHECK_SLICE(header_list_value(&list, HEADER_SET_COOKIE), "b");
    CHECK_SLICE(header_list_next(&list, &at)->value, "b");
    CHECK(header_list_set(&list, HEADER_SET_COOKIE, slice_of("d")) != NULL);
    CHECK_EQ(header_list_count(&list), 2);
    CHECK_EQ(header_list_remove_id(&list, HEADER_SET_COOKIE), 1);
    CHECK(header_list_find(&list, HEADER_SET_COOKIE) == NULL);
    CHECK(header_list_value(&list, HEADER_SET_COOKIE).data == NULL);
    CHECK(header_list_set(&list, HEADER_SET_COOKIE, slice_of("e")) != NULL);
    CHECK_SLICE(header_list_value(&list, HEADER_SET_COOKIE), "e");
}

TEST(set_leaves_one_field)
{
    struct header_list list;

    header_list_init(&list, NULL);
    CHECK(header_list_add(&list, slice_of("VIA"), slice_of("a")) != NULL);
    CHECK(header_list_add(&list, slice_of("Via"), slice_of("b")) != NULL);
    CHECK(header_list_set(&list, HEADER_VIA, slice_of("c")) != NULL);
    CHECK_EQ(header_list_count(&list), 1);
    CHECK_SLICE(header_list_find(&list, HEADER_VIA)->name, "VIA");
}

/* Goal: Connection removes what it may, and nothing that we need to trust. */
TEST(connection_nominates)
{
    static const struct {
        const char *name, *value;
        bool hop;
    } rows[] = {
        {"Connection", "close, X-Mine ,, content-length,Host", true},
        {"Connection", "x-second", true},
        {"Host", "h", false},
        {"Content-Length", "5", false},
        {"Keep-Alive", "timeout=5", true},
        {"TE", "trailers", true},
        {"Transfer-Encoding", "chunked", true},
        {"Upgrade", "h2c", true},
        {"x-mine", "1", true},
        {"X-Second", "1", true},
        {"X-Third", "1", false},
        {"Authorization", "secret", false},
    };
    struct header_list list;

    header_list_init(&list, NULL);
    for (size_t i = 0; i < COUNT(rows); i++)
        CHECK(header_list_add(&list, slice_of(rows[i].name), slice_of(rows[i].value)) != NULL);
    header_list_mark_hop_by_hop(&list);
    for (uint32_t i = 0; i < COUNT(rows); i++)
        CHECK_EQ((header_list_slot(&list, i)->flags & HEADER_HOP_BY_HOP) != 0, rows[i].hop,
                 rows[i].name);
}

TEST(absurd_connection_drops_all_unknown_fields)
{
    struct header_list list;
    char value[1024] = "";

    for (int i = 0; i < 100; i++)
        memcpy(value + strlen(value), "zz,", 4);
    header_list_init(&list, NULL);
    CHECK(header_list_add(&list, slice_of("Connection"), slice_of(value)) != NULL);
    CHECK(header_list_add(&list, slice_of("X-Mine"), slice_of("1")) != NULL);
    CHECK(header_list_add(&list, slice_of("Accept"), slice_of("1")) != NULL);
    header_list_mark_hop_by_hop(&list);
    CHECK((header_list_slot(&list, 1)->flags & HEADER_HOP_BY_HOP) != 0);
    CHECK((header_list_slot(&list, 2)->flags & HEADER_HOP_BY_HOP) == 0);
}

TEST(copies_do_not_share_bytes)
{
    struct arena *arena = arena_new(4096);
    struct header_list source, target;
    char text[] = "value";

    header_list_init(&source, NULL);
    header_list_init(&target, arena);
    CHECK(header_list_add(&source, slice_of("A"), slice_make(text, 5)) != NULL);
    CHECK(header_list_add(&source, slice_of("Via"), slice_of("gone")) != NULL);
    CHECK_EQ(header_list_remove_id(&source, HEADER_VIA), 1);
    CHECK(header_list_copy(&target, &source));
    memset(text, 'x', 5);
    CHECK_EQ(header_list_count(&target), 1);
    CHECK_SLICE(header_list_slot(&target, 0)->value, "value");
    arena_drop(arena);
}

TEST(tokens_of_a_list)
{
    struct slice rest = slice_of(" a, ,b ,\t,c"), token;

    CHECK(header_next_token(&rest, &token));
    CHECK_SLICE(token, "a");
    CHECK(header_next_token(&rest, &token));
    CHECK_SLICE(token, "b");
    CHECK(header_next_token(&rest, &token));
    CHECK_SLICE(token, "c");
    CHECK(!header_next_token(&rest, &token));
    CHECK(header_has_token(slice_of("keep-alive, Upgrade"), slice_of("upgrade")));
    CHECK(!header_has_token(slice_of("keep-alive, Upgrades"), slice_of("upgrade")));
    CHECK(!header_has_token(slice_make(NULL, 0), slice_of("upgrade")));
}
