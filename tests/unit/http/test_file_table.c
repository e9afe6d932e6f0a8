/* Goal: a loop forgets files in the right order, and never under somebody who still sends one.
 * Method: entries with a real descriptor, whose life is asked of the kernel. */
#include "tests/unit/check.h"

#include "http/features/gzip.h"
#include "http/file_table.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static struct file open_file(void)
{
    struct file file = {.fd = open("/dev/null", O_RDONLY | O_CLOEXEC), .is_regular = true};

    CHECK(file.fd >= 0);
    return file;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

TEST(the_least_recently_used_goes_first)
{
    struct file_table table;
    struct file a = open_file();
    struct file b = open_file();
    struct file c = open_file();

    file_table_init(&table);
    CHECK(file_table_put(&table, slice_of("a"), &a, 1) != NULL);
    CHECK(file_table_put(&table, slice_of("b"), &b, 2) != NULL);
    CHECK(file_table_put(&table, slice_of("c"), &c, 3) != NULL);
    CHECK(file_table_find(&table, slice_of("a"), 4) != NULL);
    file_table_trim(&table, 2, SIZE_MAX, 0);
    CHECK(file_table_find(&table, slice_of("b"), 5) == NULL);
    CHECK(!is_open(b.fd));
    CHECK(is_open(a.fd));
    file_table_trim(&table, 2, SIZE_MAX, 4); /* c was used at 3 only */
    CHECK(file_table_find(&table, slice_of("c"), 6) == NULL);
    file_table_fini(&table);
    CHECK(!is_open(a.fd));
}

TEST(who_uses_an_entry_keeps_it)
{
    struct file_table table;
    struct file a = open_file();

    file_table_init(&table);
    struct file_entry *entry = file_table_put(&table, slice_of("a"), &a, 1);

    CHECK(entry != NULL);
    (void)file_entry_ref(entry);
    struct file newer = open_file();

    CHECK(file_table_put(&table, slice_of("a"), &newer, 2) != entry);
    CHECK(is_open(a.fd));
    CHECK_EQ(table.count, (size_t)1);
    file_entry_unref(entry);
    CHECK(!is_open(a.fd));
    file_table_fini(&table);
    CHECK(!is_open(newer.fd));
}

TEST(many_entries_and_their_bytes)
{
    struct file_table table;

    file_table_init(&table);
    for (int i = 0; i < 1000; i++) {
        char name[16];
        struct file file = {.fd = -1, .is_regular = true, .contents = "0123456789", .size = 10};
        int n = snprintf(name, sizeof name, "%d", i);

        CHECK(file_table_put(&table, slice_make(name, (size_t)n), &file, 1) != NULL);
        file_table_trim(&table, SIZE_MAX, 5000, 0);
    }
    CHECK_EQ(table.count, (size_t)500);
    CHECK_EQ(table.content_bytes, (size_t)5000);
    CHECK(file_table_find(&table, slice_of("499"), 2) == NULL);
    struct file_entry *entry = file_table_find(&table, slice_of("500"), 2);

    CHECK(entry != NULL);
    CHECK_SLICE(slice_make(entry->file.contents, 10), "0123456789");
    file_table_fini(&table);
}

TEST(accept_encoding)
{
    static const struct {
        const char *field;
        bool want;
    } cases[] = {
        {"gzip", true},
        {"deflate, gzip", true},
        {"GZip;q=1", true},
        {"gzip;q=0", false},
        {"gzip;q=0.00", false},
        {"gzip; q=0.001", true},
        {"gzip ; Q = 0", false},
        {"x-gzip", false},
        {"*", false},
        {"", false},
        {"gzip;level=1", true},
        {",,gzip,,", true},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_EQ(parse_accepts_gzip(slice_of(cases[i].field)), cases[i].want, cases[i].field);
}
