/* The record of what was read, as a sealed memfd that another process replays.
 *
 *   "PLYNCONF" u32 version, u32 files, u32 globs, u32 secrets
 *   files times, then secrets times: u32 path length, u64 text length, path, text
 *   globs times: u32 pattern length, u32 paths, pattern, paths times: u32 length, path
 *
 * Numbers are in the machine's order: both ends are the same program on the same machine.
 * Runs in: any process, at load time. */
#include "config/record_internal.h"

#include "base/arena.h"
#include "base/diag.h"
#include "config/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MAGIC[8] = {'P', 'L', 'Y', 'N', 'C', 'O', 'N', 'F'};
enum { VERSION = 2, SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

struct head {
    char magic[8];
    uint32_t version;
    uint32_t file_count;
    uint32_t glob_count;
    uint32_t secret_count;
};

static bool write_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool write_text32(int fd, const char *text)
{
    uint32_t len = (uint32_t)strlen(text);

    return write_all(fd, &len, sizeof len) && write_all(fd, text, len);
}

static bool write_file(int fd, const struct file_entry *file)
{
    uint32_t path_len = (uint32_t)strlen(file->path);
    uint64_t text_len = file->text.len;

    return write_all(fd, &path_len, sizeof path_len) && write_all(fd, &text_len, sizeof text_len) &&
           write_all(fd, file->path, path_len) && write_all(fd, file->text.data, file->text.len);
}

static bool write_glob(int fd, const struct glob_entry *entry)
{
    uint32_t sizes[2] = {(uint32_t)strlen(entry->pattern), (uint32_t)entry->count};

    if (!write_all(fd, sizes, sizeof sizes) || !write_all(fd, entry->pattern, sizes[0]))
        return false;
    for (size_t i = 0; i < entry->count; i++) {
        if (!write_text32(fd, entry->paths[i]))
            return false;
    }
    return true;
}

static bool write_record(int fd, const struct config_files *files)
{
    struct head head = {.version = VERSION,
                        .file_count = (uint32_t)files->file_count,
                        .glob_count = (uint32_t)files->glob_count,
                        .secret_count = (uint32_t)files->secret_count};

    memcpy(head.magic, MAGIC, sizeof MAGIC);
    if (!write_all(fd, &head, sizeof head))
        return false;
    for (size_t i = 0; i < files->file_count; i++) {
        if (!write_file(fd, files->files[i]))
            return false;
    }
    for (const struct file_entry *file = files->first_secret; file != NULL; file = file->next) {
        if (!write_file(fd, file))
            return false;
    }
    for (const struct glob_entry *entry = files->first_glob; entry != NULL; entry = entry->next) {
        if (!write_glob(fd, entry))
            return false;
    }
    return true;
}

int config_files_record(struct config_files *files)
{
    int fd = memfd_create("config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int error;

    if (fd < 0)
        return -1;
    if (write_record(fd, files) && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Takes `len` bytes from the front. False: there are not that many. */
static bool take(struct slice *rest, uint64_t len, struct slice *part)
{
    if (len > rest->len)
        return false;
    *part = slice_make(rest->data, (size_t)len);
    *rest = slice_skip(*rest, (size_t)len);
    return true;
}

static bool take_value(struct slice *rest, void *value, size_t bytes)
{
    struct slice part;

    if (!take(rest, bytes, &part))
        return false;
    memcpy(value, part.data, bytes);
    return true;
}

/* Names become C strings, so a NUL inside one would cut it. */
static bool take_name(struct slice *rest, uint32_t len, struct slice *name)
{
    return len > 0 && take(rest, len, name) && memchr(name->data, '\0', name->len) == NULL;
}

static bool replay_file(struct config_files *files, struct slice *rest, bool secret)
{
    uint32_t path_len;
    uint64_t text_len;
    struct slice path;
    struct slice text;

    return take_value(rest, &path_len, sizeof path_len) &&
           take_value(rest, &text_len, sizeof text_len) && take_name(rest, path_len, &path) &&
           take(rest, text_len, &text) &&
           (secret ? files_put_secret : files_put)(files, path, text) != NULL;
}

static bool replay_glob(struct config_files *files, struct slice *rest)
{
    uint32_t sizes[2];
    struct slice name;
    struct glob_entry *entry;

    if (!take_value(rest, sizes, sizeof sizes) || !take_name(rest, sizes[0], &name))
        return false;
    /* Each path takes four bytes at least: this bounds what a false count makes us allocate. */
    if (sizes[1] > rest->len / sizeof(uint32_t))
        return false;
    entry = files_put_glob(files, name, sizes[1]);
    for (size_t i = 0; entry != NULL && i < entry->count; i++) {
        uint32_t len;

        if (!take_value(rest, &len, sizeof len) || !take_name(rest, len, &name))
            return false;
        entry->paths[i] = arena_copy(files->arena, name).data;
        if (entry->paths[i] == NULL)
            return false;
    }
    return entry != NULL;
}

static bool replay(struct config_files *files, struct slice rest)
{
    struct head head;

    if (!take_value(&rest, &head, sizeof head) || memcmp(head.magic, MAGIC, sizeof MAGIC) != 0 ||
        head.version != VERSION)
        return false;
    for (uint32_t i = 0; i < head.file_count; i++) {
        if (!replay_file(files, &rest, false))
            return false;
    }
    for (uint32_t i = 0; i < head.secret_count; i++) {
        if (!replay_file(files, &rest, true))
            return false;
    }
    for (uint32_t i = 0; i < head.glob_count; i++) {
        if (!replay_glob(files, &rest))
            return false;
    }
    return rest.len == 0;
}

/* An unsealed file could shrink under the mapping, which ends a process with SIGBUS. */
static bool map_record(struct config_files *files, int fd)
{
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &status) != 0 || status.st_size <= 0)
        return false;
    files->mapping = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (files->mapping == MAP_FAILED) {
        files->mapping = NULL;
        return false;
    }
    files->mapping_bytes = (size_t)status.st_size;
    return true;
}

struct config_files *config_files_from_record(int fd, struct diag *diag)
{
    struct config_files *files = config_files_from_disk();

    if (files == NULL) {
        diag_add(diag, DIAG_ERROR, NULL, "no memory for the record of config files");
        return NULL;
    }
    if (map_record(files, fd) && replay(files, slice_make(files->mapping, files->mapping_bytes)))
        return files;
    diag_add(diag, DIAG_ERROR, NULL, "descriptor %d is not a record of config files", fd);
    config_files_free(files);
    return NULL;
}
