/* Shared descriptors: one number per name, closed with the last user, replaced in place. */
#include "tests/unit/check.h"

#include "daemon/fd_table.h"

#include <fcntl.h>
#include <unistd.h>

TEST(equal_names_share_one_descriptor_until_the_last_user_goes)
{
    struct fd_table table;
    struct shared_fd *one;
    struct shared_fd *two;
    int fd;

    fd_table_init(&table);
    CHECK(fd_table_ref(&table, slice_of("a")) == NULL);
    one = fd_table_adopt(&table, slice_of("a"), dup(0));
    two = fd_table_adopt(&table, slice_of("a"), dup(0));
    CHECK(one == two);
    fd = one->fd;
    CHECK(!fd_table_unref(&table, one));
    CHECK_NE(fcntl(fd, F_GETFD), -1);
    CHECK(fd_table_unref(&table, two));
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    CHECK(fd_table_ref(&table, slice_of("a")) == NULL);
    fd_table_fini(&table);
}

TEST(another_file_takes_the_same_number)
{
    struct fd_table table;
    struct shared_fd *shared;
    int pair[2];
    int fd;
    char byte = 0;

    fd_table_init(&table);
    CHECK_EQ(pipe(pair), 0);
    shared = fd_table_adopt(&table, slice_of("a"), open("/dev/null", O_WRONLY));
    fd = shared->fd;
    CHECK(shared_fd_replace(shared, pair[1]));
    CHECK_EQ(shared->fd, fd);
    CHECK_EQ(write(shared->fd, "x", 1), 1);
    CHECK_EQ(read(pair[0], &byte, 1), 1);
    CHECK_EQ(byte, 'x');
    close(pair[0]);
    fd_table_fini(&table);
}
