/* Goal: config text is read once, recorded whole, replayed exactly; no damage to a record is
 * survived by luck. */
#include "tests/unit/check.h"

#include "base/diag.h"
#include "config/files.h"

#include "base/list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/test_files_XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[8][128];
    static size_t next;
    char *out = path[next++ % 8];

    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

static void make_file(const char *name, const char *text, size_t len)
{
    FILE *file = fopen(in_folder(name), "w");

    CHECK(file != NULL, name);
    CHECK_EQ(fwrite(text, 1, len, file), len, name);
    fclose(file);
}

static void make_folder(void)
{
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
    CHECK(mkdtemp(folder) != NULL);
    make_file("a.conf", "a;", 2);
    make_file("b.conf", "", 0);
    make_file("nul", "a\0b", 3);
}

static void drop_folder(void)
{
    unlink(in_folder("a.conf"));
    unlink(in_folder("b.conf"));
    unlink(in_folder("nul"));
    rmdir(folder);
}

/* Reads two files and a glob, and records them. */
static int make_record(void)
{
    struct config_files *files = config_files_from_disk();
    const char *const *paths;
    struct slice text;
    struct diag diag;
    size_t count;
    int fd;

    diag_init(&diag);
    CHECK(config_files_read(files, in_folder("a.conf"), &text, &diag));
    CHECK_SLICE(text, "a;");
    CHECK(config_files_glob(files, in_folder("*.conf"), &paths, &count, &diag));
    CHECK_EQ(count, 2);
    CHECK_STR(paths[1], in_folder("b.conf"));
    CHECK(config_files_read(files, in_folder("b.conf"), &text, &diag));
    CHECK_EQ(config_files_count(files), 2);
    CHECK_STR(config_files_path(files, 1), in_folder("b.conf"));
    CHECK(config_files_path(files, 2) == NULL);
    fd = config_files_record(files);
    CHECK(fd >= 0);
    config_files_free(files);
    diag_fini(&diag);
    return fd;
}

TEST(a_record_is_replayed_without_the_disk)
{
    struct config_files *files;
    const char *const *paths;
    struct slice text;
    struct diag diag;
    size_t count;
    int fd;

    make_folder();
    fd = make_record();
    drop_folder();
    diag_init(&diag);
    files = config_files_from_record(fd, &diag);
    close(fd);
    CHECK(files != NULL);
    CHECK(config_files_read(files, in_folder("a.conf"), &text, &diag));
    CHECK_SLICE(text, "a;");
    CHECK(config_files_read(files, in_folder("b.conf"), &text, &diag));
    CHECK_EQ(text.len, 0);
    CHECK(config_files_glob(files, in_folder("*.conf"), &paths, &count, &diag));
    CHECK_EQ(count, 2);
    CHECK_STR(paths[0], in_folder("a.conf"));
    CHECK(!config_files_read(files, "/etc/passwd", &text, &diag), "not in the record");
    CHECK(!config_files_glob(files, "/etc/*", &paths, &count, &diag), "not in the record");
    config_files_free(files);
    diag_fini(&diag);
}

/* A memfd with these bytes, sealed as a record is. */
static int sealed(const char *bytes, size_t len)
{
    int fd = memfd_create("damaged", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    CHECK(fd >= 0);
    CHECK_EQ(write(fd, bytes, len), (ssize_t)len);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
    return fd;
}

static bool replays(const char *bytes, size_t len)
{
    int fd = sealed(bytes, len);
    struct config_files *files;
    struct diag diag;
    bool ok;

    diag_init(&diag);
    files = config_files_from_record(fd, &diag);
    ok = files != NULL;
    CHECK_EQ(ok, !diag_failed(&diag));
    config_files_free(files);
    diag_fini(&diag);
    close(fd);
    return ok;
}

/* Method: cut at every byte, and every byte inverted: the first is always noticed, the second must
 * not be read out of bounds (the sanitizers watch). */
TEST(a_damaged_record_is_refused)
{
    char bytes[4096];
    ssize_t len;
    int fd;

    make_folder();
    fd = make_record();
    drop_folder();
    len = pread(fd, bytes, sizeof bytes, 0);
    close(fd);
    CHECK(len > 100 && len < (ssize_t)sizeof bytes);
    CHECK(replays(bytes, (size_t)len));
    for (ssize_t cut = 1; cut < len; cut++)
        CHECK(!replays(bytes, (size_t)cut), "cut at %zd", cut);
    for (ssize_t i = 0; i < len; i++) {
        bytes[i] = (char)~bytes[i];
        (void)replays(bytes, (size_t)len);
        bytes[i] = (char)~bytes[i];
    }
    bytes[len] = 0;
    CHECK(!replays(bytes, (size_t)len + 1), "more than the record");
}

TEST(an_unsealed_record_is_refused)
{
    struct diag diag;
    int fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    diag_init(&diag);
    CHECK(config_files_from_record(fd, &diag) == NULL);
    CHECK(config_files_from_record(-1, &diag) == NULL);
    CHECK_EQ(diag.error_count, 2);
    close(fd);
    diag_fini(&diag);
}

/* Goal: keys reach the process that replays the record, NUL bytes too, and no list of the
 * configuration's texts shows them. */
TEST(secrets_are_replayed_and_not_listed)
{
    struct config_files *files = config_files_from_disk();
    struct config_files *replayed;
    struct slice bytes;
    struct diag diag;
    int fd;

    make_folder();
    diag_init(&diag);
    CHECK(config_files_secret(files, in_folder("nul"), &bytes, &diag));
    CHECK_EQ(config_files_count(files), 0);
    CHECK(!config_files_secret(files, in_folder("none"), &bytes, &diag));
    fd = config_files_record(files);
    replayed = config_files_from_record(fd, &diag);
    drop_folder();
    CHECK(replayed != NULL);
    CHECK_EQ(config_files_count(replayed), 0);
    CHECK(config_files_secret(replayed, in_folder("nul"), &bytes, &diag));
    CHECK(memchr(bytes.data, '\0', bytes.len) != NULL);
    CHECK(!config_files_secret(replayed, in_folder("none"), &bytes, &diag));
    CHECK(!config_files_read(replayed, in_folder("nul"), &bytes, &diag));
    close(fd);
    config_files_free(files);
    config_files_free(replayed);
    diag_fini(&diag);
}

TEST(what_is_no_text_is_refused)
{
    struct config_files *files = config_files_from_disk();
    struct slice text;
    struct diag diag;

    make_folder();
    diag_init(&diag);
    CHECK(!config_files_read(files, in_folder("none"), &text, &diag));
    CHECK(!config_files_read(files, in_folder("nul"), &text, &diag));
    CHECK(!config_files_read(files, folder, &text, &diag));
    CHECK_EQ(diag.error_count, 3);
    CHECK_EQ(config_files_count(files), 0);
    config_files_free(files);
    diag_fini(&diag);
    drop_folder();
}

TEST(a_pipe_is_read_to_its_end)
{
    struct config_files *files = config_files_from_disk();
    struct slice text;
    struct diag diag;
    char path[32];
    char bytes[9000];
    int ends[2];

    memset(bytes, 'x', sizeof bytes);
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(write(ends[1], bytes, sizeof bytes), (ssize_t)sizeof bytes);
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    diag_init(&diag);
    CHECK(config_files_read(files, path, &text, &diag));
    CHECK_EQ(text.len, sizeof bytes);
    close(ends[0]);
    CHECK(config_files_read(files, path, &text, &diag), "read once");
    CHECK_EQ(text.len, sizeof bytes);
    config_files_free(files);
    diag_fini(&diag);
}
