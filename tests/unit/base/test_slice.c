#include "base/list.h"
#include "base/slice.h"

#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>

TEST(equality_is_of_bytes)
{
    CHECK(slice_eq(slice_of("abc"), slice_make("abcd", 3)));
    CHECK(!slice_eq(slice_of("abc"), slice_of("abC")));
    CHECK(!slice_eq(slice_of("abc"), slice_of("ab")));
    CHECK(slice_eq(slice_of(""), slice_of(NULL)), "empty is empty, with or without an address");
    CHECK(slice_eq(slice_make("a\0b", 3), slice_make("a\0b", 3)), "NUL is a byte like others");
}

/* Goal: exactly the 26 letters fold, at every place of the words that are compared eight at a time.
 */
TEST(nocase_folds_letters_only)
{
    for (size_t at = 0; at < 20; at++) {
        for (int c = 0; c < 256; c++) {
            char a[20];
            char b[20];
            bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

            memset(a, 'x', sizeof a);
            memset(b, 'X', sizeof b);
            a[at] = (char)c;
            b[at] = (char)(c ^ 0x20);
            CHECK_EQ(slice_eq_nocase(slice_make(a, 20), slice_make(b, 20)), letter, "byte %d", c);
            CHECK_EQ(slice_hash_nocase(slice_make(a, 20)) == slice_hash_nocase(slice_make(b, 20)),
                     letter, "hash of byte %d", c);
        }
    }
    CHECK(!slice_eq_nocase(slice_of("Host"), slice_of("Hosts")));
    CHECK(slice_eq_nocase(slice_of(NULL), slice_of("")));
}

TEST(order_is_as_memcmp_and_prefixes_come_first)
{
    CHECK(slice_cmp(slice_of("a"), slice_of("b")) < 0);
    CHECK(slice_cmp(slice_of("b"), slice_of("a")) > 0);
    CHECK(slice_cmp(slice_of("ab"), slice_of("abc")) < 0);
    CHECK(slice_cmp(slice_of("abc"), slice_of("ab")) > 0);
    CHECK_EQ(slice_cmp(slice_of(NULL), slice_of("")), 0);
    CHECK(slice_cmp(slice_of("\xff"), slice_of("a")) > 0, "bytes are unsigned");
}

TEST(heads_and_rests_stay_inside)
{
    struct slice s = slice_of("abc");

    CHECK_SLICE(slice_head(s, 2), "ab");
    CHECK_SLICE(slice_head(s, 9), "abc");
    CHECK_SLICE(slice_skip(s, 2), "c");
    CHECK_SLICE(slice_skip(s, 9), "");
    CHECK(slice_skip(slice_of(NULL), 3).data == NULL);
    CHECK(slice_starts(s, slice_of("ab")));
    CHECK(slice_starts(s, slice_of("")));
    CHECK(!slice_starts(s, slice_of("abcd")));
    CHECK(slice_ends(s, slice_of("bc")));
    CHECK(!slice_ends(s, slice_of("ab")));
}

TEST(a_copy_is_terminated_and_reads_no_further)
{
    const char bytes[] = {'a', 0, 'b'}; /* nothing behind it may be looked at */
    char *copy = slice_strdup(slice_make(bytes, sizeof bytes));

    CHECK(copy != NULL && memcmp(copy, "a\0b", 4) == 0);
    free(copy);
    copy = slice_strdup(slice_make(NULL, 0));
    CHECK_STR(copy, "");
    free(copy);
}

TEST(searching)
{
    CHECK_EQ(slice_find(slice_of("a=b=c"), '='), 1);
    CHECK_EQ(slice_find(slice_of("abc"), '='), -1);
    CHECK_EQ(slice_find(slice_of(NULL), '='), -1);
    CHECK_EQ(slice_search(slice_of("one two"), slice_of("two")), 4);
    CHECK_EQ(slice_search(slice_of("one"), slice_of("one more")), -1);
    CHECK_EQ(slice_search(slice_of("one"), slice_of("")), 0);
    CHECK_EQ(slice_search(slice_of(NULL), slice_of("x")), -1);
}

TEST(trim_takes_blanks_of_both_ends)
{
    CHECK_SLICE(slice_trim(slice_of(" \t a b\t ")), "a b");
    CHECK_SLICE(slice_trim(slice_of(" \t ")), "");
    CHECK_SLICE(slice_trim(slice_of("\r\na")), "\r\na",
                "line ends are no blanks (RFC 9110, 5.6.3)");
}

TEST(split_gives_every_part_once)
{
    struct slice rest = slice_of("a,,b");
    struct slice part;

    CHECK(slice_split(&rest, ',', &part));
    CHECK_SLICE(part, "a");
    CHECK(slice_split(&rest, ',', &part));
    CHECK_SLICE(part, "");
    CHECK(slice_split(&rest, ',', &part));
    CHECK_SLICE(part, "b");
    CHECK(!slice_split(&rest, ',', &part));

    rest = slice_of("");
    CHECK(slice_split(&rest, ',', &part), "the empty text is one empty part");
    CHECK(!slice_split(&rest, ',', &part));
    rest = slice_of("a,");
    CHECK(slice_split(&rest, ',', &part));
    CHECK(slice_split(&rest, ',', &part), "after the last separator comes an empty part");
    CHECK_SLICE(part, "");
    CHECK(!slice_split(&rest, ',', &part));
}

static const struct {
    const char *text;
    bool ok;
    uint64_t value;
} numbers[] = {
    {"0", true, 0},
    {"007", true, 7},
    {"18446744073709551615", true, UINT64_MAX},
    {"18446744073709551616", false, 0},
    {"99999999999999999999999999", false, 0},
    {"", false, 0},
    {"-1", false, 0},
    {"+1", false, 0},
    {" 1", false, 0},
    {"1 ", false, 0},
    {"0x10", false, 0},
    {"1e3", false, 0},
};

TEST(numbers_are_digits_that_fit)
{
    for (size_t i = 0; i < COUNT(numbers); i++) {
        uint64_t value = 0;

        CHECK_EQ(slice_to_u64(slice_of(numbers[i].text), &value), numbers[i].ok, numbers[i].text);
        CHECK_EQ(value, numbers[i].value, numbers[i].text);
    }
}

/* Goal: every byte and the length count, and nothing outside of the slice is read (with ASan). */
TEST(hash_depends_on_every_byte)
{
    char *bytes;

    for (size_t len = 1; len < 70; len++) {
        uint64_t before;

        bytes = calloc(1, len);
        CHECK(bytes != NULL);
        before = slice_hash(slice_make(bytes, len));
        CHECK_NE(slice_hash(slice_make(bytes, len - 1)), before, "length %zu", len);
        for (size_t i = 0; i < len; i++) {
            bytes[i] = 1;
            CHECK_NE(slice_hash(slice_make(bytes, len)), before, "byte %zu of %zu", i, len);
            bytes[i] = 0;
        }
        free(bytes);
    }
    CHECK_EQ(slice_hash(slice_of(NULL)), slice_hash(slice_of("")));
}

/* Goal: names that differ in a counter spread over a table as chance would.
 * Method: 40,000 names in 65,536 places leave about 54 % empty; a bad hash leaves many more. */
TEST(hash_spreads)
{
    enum { PLACES = 65536, NAMES = 40000 };
    static bool taken[PLACES];
    char name[32];
    int places_taken = 0;

    for (int i = 0; i < NAMES; i++) {
        uint64_t place;

        snprintf(name, sizeof name, "server%d.example.com", i);
        place = slice_hash(slice_of(name)) % PLACES;
        places_taken += !taken[place];
        taken[place] = true;
    }
    CHECK(places_taken > 29000, "%d", places_taken);
    CHECK(places_taken < 31000, "%d", places_taken);
}

TEST(seed_changes_the_hashes)
{
    struct slice name = slice_of("example.com");
    uint64_t before = slice_hash(name);

    slice_hash_seed(0);
    CHECK_NE(slice_hash(name), before);
    before = slice_hash(name);
    slice_hash_seed(1);
    CHECK_NE(slice_hash(name), before);
    CHECK_NE(slice_hash(name), slice_hash_nocase(slice_of("example.org")));
    CHECK_EQ(slice_hash_nocase(slice_of("EXAMPLE.com")), slice_hash_nocase(name));
}
