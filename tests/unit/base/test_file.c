/* Whole small files: what is written is read, and what fails leaves nothing behind. */
#include "tests/unit/check.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/pelayan-file-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Goal: a replaced file has the new bytes and mode, and nothing stays beside it.
 * Method: in folders that are made first. */
TEST(folders_are_made_and_a_file_is_replaced)
{
    struct stat stat_;
    size_t len = 0;
    char *text;

    CHECK(mkdtemp(folder) != NULL);
    CHECK(file_folders(path_of("a/b"), 0700));
    CHECK(file_folders(path_of("a/b"), 0700));
    CHECK(stat(path_of("a/b"), &stat_) == 0 && (stat_.st_mode & 0777) == 0700);
    CHECK(file_replace(path_of("a/b/f"), slice_of("one"), 0600));
    CHECK(file_replace(path_of("a/b/f"), slice_of("second"), 0640));
    text = file_read(path_of("a/b/f"), 100, &len);
    CHECK_STR(text, "second");
    CHECK_EQ(len, 6);
    free(text);
    CHECK(stat(path_of("a/b/f"), &stat_) == 0 && (stat_.st_mode & 0777) == 0640);
    CHECK(access(path_of("a/b/f.new"), F_OK) != 0);
    CHECK(file_read(path_of("a/b/f"), 5, NULL) == NULL && errno == EFBIG);
    CHECK(file_read(path_of("a/none"), 5, NULL) == NULL && errno == ENOENT);
    CHECK(!file_replace(path_of("none/f"), slice_of("x"), 0600) && errno == ENOENT);
    unlink(path_of("a/b/f"));
    rmdir(path_of("a/b"));
    rmdir(path_of("a"));
    rmdir(folder);
}
