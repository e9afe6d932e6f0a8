/* Reads config text once, and keeps it with the answers of every glob.
 * Runs in: any process, at load time. */
#include "config/files.h"

#include "base/arena.h"
#include "base/diag.h"
#include "base/map.h"
#include "config/record_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t FILE_BYTES_MAX = 256u << 20;

struct config_files *config_files_from_disk(void)
{
    struct config_files *files = calloc(1, sizeof *files);

    if (files == NULL)
        return NULL;
    files->arena = arena_new(4096);
    if (files->arena == NULL) {
        free(files);
        return NULL;
    }
    map_init(&files->by_path, files->arena, false);
    map_init(&files->by_pattern, files->arena, false);
    map_init(&files->by_secret, files->arena, false);
    files->last_glob = &files->first_glob;
    files->last_secret = &files->first_secret;
    return files;
}

static void free_secrets(struct config_files *files)
{
    for (struct file_entry *file = files->first_secret; file != NULL; file = file->next) {
        char *bytes = (char *)(uintptr_t)file->text.data;

        if (!file->heap)
            continue;
        explicit_bzero(bytes, file->text.len);
        free(bytes);
    }
}

void config_files_free(struct config_files *files)
{
    if (files == NULL)
        return;
    free_secrets(files);
    for (size_t i = 0; i < files->file_count; i++) {
        if (files->files[i]->heap)
            free((void *)(uintptr_t)files->files[i]->text.data);
    }
    if (files->mapping != NULL)
        munmap(files->mapping, files->mapping_bytes);
    arena_drop(files->arena);
    free(files);
}

/* Room for one more in `files->files`. */
static bool reserve_file(struct config_files *files)
{
    size_t capacity = files->file_capacity * 2 + 16;
    struct file_entry **grown;

    if (files->file_count < files->file_capacity)
        return true;
    grown = arena_alloc(files->arena, capacity * sizeof *grown);
    if (grown == NULL)
        return false;
    if (files->file_count > 0)
        memcpy(grown, files->files, files->file_count * sizeof *grown);
    files->files = grown;
    files->file_capacity = capacity;
    return true;
}

struct file_entry *files_put(struct config_files *files, struct slice path, struct slice text)
{
    struct file_entry *file = arena_zalloc(files->arena, sizeof *file);
    struct slice name = arena_copy(files->arena, path);

    if (file == NULL || name.data == NULL)
        return NULL;
    *file = (struct file_entry){.path = name.data, .text = text};
    if (!reserve_file(files) || !map_put(&files->by_path, name, file, NULL))
        return NULL;
    files->files[files->file_count++] = file;
    return file;
}

struct file_entry *files_put_secret(struct config_files *files, struct slice path,
                                    struct slice bytes)
{
    struct file_entry *file = arena_zalloc(files->arena, sizeof *file);
    struct slice name = arena_copy(files->arena, path);

    if (file == NULL || name.data == NULL)
        return NULL;
    *file = (struct file_entry){.path = name.data, .text = bytes};
    if (!map_put(&files->by_secret, name, file, NULL))
        return NULL;
    *files->last_secret = file;
    files->last_secret = &file->next;
    files->secret_count++;
    return file;
}

struct glob_entry *files_put_glob(struct config_files *files, struct slice pattern, size_t count)
{
    struct glob_entry *entry = arena_zalloc(files->arena, sizeof *entry);
    struct slice name = arena_copy(files->arena, pattern);

    if (entry == NULL || name.data == NULL)
        return NULL;
    entry->pattern = name.data;
    entry->count = count;
    entry->paths = arena_zalloc(files->arena, (count + 1) * sizeof *entry->paths);
    if (entry->paths == NULL || !map_put(&files->by_pattern, name, entry, NULL))
        return NULL;
    *files->last_glob = entry;
    files->last_glob = &entry->next;
    files->glob_count++;
    return entry;
}

bool config_files_add(struct config_files *files, const char *path, struct slice text)
{
    struct slice copy = arena_copy(files->arena, text);

    return copy.data != NULL && files_put(files, slice_of(path), copy) != NULL;
}

/* nginx's words, which tools look for. The caller gives the message its place. */
static void report(struct diag *diag, const char *call, const char *path)
{
    int error = errno;

    diag_add(diag, DIAG_ERROR, NULL, "%s \"%s\" failed (%d: %s)", call, path, error,
             strerror(error));
}

struct read_job {
    const char *path;
    struct diag *diag;
    char *bytes; /* heap */
    size_t len;
    size_t capacity;
    bool secret;
};

/* Room for one byte more at least. False: message given. */
static bool grow(struct read_job *job)
{
    size_t capacity = job->capacity * 2;
    char *grown;

    if (job->len < job->capacity)
        return true;
    if (job->len > FILE_BYTES_MAX) {
        diag_add(job->diag, DIAG_ERROR, NULL, "\"%s\" is larger than 256 MiB", job->path);
        return false;
    }
    grown = realloc(job->bytes, capacity);
    if (grown == NULL) {
        report(job->diag, "malloc()", job->path);
        return false;
    }
    job->bytes = grown;
    job->capacity = capacity;
    return true;
}

/* To the end, not to the size: pipes have none ("-c <(make-config)"), and files may grow. */
static bool read_to_end(struct read_job *job, int fd)
{
    for (;;) {
        ssize_t n;

        if (!grow(job))
            return false;
        n = read(fd, job->bytes + job->len, job->capacity - job->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            report(job->diag, "read()", job->path);
            return false;
        }
        if (n == 0)
            return true;
        job->len += (size_t)n;
    }
}

/* False: message given. `job->bytes` is to be freed by the caller in any case. */
static bool read_open_file(struct read_job *job, int fd)
{
    struct stat status;

    if (fstat(fd, &status) != 0) {
        report(job->diag, "fstat()", job->path);
        return false;
    }
    job->capacity = 4096;
    if (status.st_size > 0 && (size_t)status.st_size <= FILE_BYTES_MAX)
        job->capacity = (size_t)status.st_size + 1; /* one more, to see the end at once */
    job->bytes = malloc(job->capacity);
    if (job->bytes == NULL) {
        report(job->diag, "malloc()", job->path);
        return false;
    }
    if (!read_to_end(job, fd))
        return false;
    if (!job->secret && memchr(job->bytes, '\0', job->len) != NULL) {
        diag_add(job->diag, DIAG_ERROR, NULL, "\"%s\" has NUL bytes: it is not a text file",
                 job->path);
        return false;
    }
    return true;
}

static struct file_entry *read_from_disk(struct config_files *files, struct read_job *job)
{
    struct file_entry *file = NULL;
    int fd = open(job->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0) {
        report(job->diag, "open()", job->path);
        goto out;
    }
    if (!read_open_file(job, fd))
        goto out;
    file = (job->secret ? files_put_secret : files_put)(files, slice_of(job->path),
                                                        slice_make(job->bytes, job->len));
    if (file == NULL) {
        diag_add(job->diag, DIAG_ERROR, NULL, "no memory for \"%s\"", job->path);
        goto out;
    }
    file->heap = true;
    job->bytes = NULL; /* handed to the entry */
out:
    if (fd >= 0)
        close(fd);
    free(job->bytes);
    return file;
}

bool config_files_read(struct config_files *files, const char *path, struct slice *text,
                       struct diag *diag)
{
    struct file_entry *file = map_get(&files->by_path, slice_of(path));
    struct read_job job = {.path = path, .diag = diag};

    if (file == NULL && files->mapping != NULL) {
        diag_add(diag, DIAG_ERROR, NULL, "\"%s\" is not in the record of config files", path);
        return false;
    }
    if (file == NULL)
        file = read_from_disk(files, &job);
    if (file == NULL)
        return false;
    *text = file->text;
    return true;
}

bool config_files_secret(struct config_files *files, const char *path, struct slice *bytes,
                         struct diag *diag)
{
    struct file_entry *file = map_get(&files->by_secret, slice_of(path));
    struct read_job job = {.path = path, .diag = diag, .secret = true};

    if (file == NULL && files->mapping != NULL) {
        diag_add(diag, DIAG_ERROR, NULL, "\"%s\" could not be read when the configuration was",
                 path);
        return false;
    }
    if (file == NULL)
        file = read_from_disk(files, &job);
    if (file == NULL)
        return false;
    *bytes = file->text;
    return true;
}

static struct glob_entry *glob_on_disk(struct config_files *files, const char *pattern)
{
    struct glob_entry *entry = NULL;
    glob_t found = {0};
    int verdict = glob(pattern, 0, NULL, &found);

    if (verdict == GLOB_NOSPACE)
        goto out;
    if (verdict != 0)
        found.gl_pathc = 0;
    entry = files_put_glob(files, slice_of(pattern), found.gl_pathc);
    for (size_t i = 0; entry != NULL && i < found.gl_pathc; i++) {
        entry->paths[i] = arena_copy(files->arena, slice_of(found.gl_pathv[i])).data;
        if (entry->paths[i] == NULL)
            entry = NULL;
    }
out:
    globfree(&found);
    return entry;
}

bool config_files_glob(struct config_files *files, const char *pattern, const char *const **paths,
                       size_t *count, struct diag *diag)
{
    struct glob_entry *entry = map_get(&files->by_pattern, slice_of(pattern));

    if (entry == NULL && files->mapping != NULL) {
        diag_add(diag, DIAG_ERROR, NULL, "\"%s\" is not in the record of config files", pattern);
        return false;
    }
    if (entry == NULL)
        entry = glob_on_disk(files, pattern);
    if (entry == NULL) {
        diag_add(diag, DIAG_ERROR, NULL, "no memory to look for \"%s\"", pattern);
        return false;
    }
    *paths = entry->paths;
    *count = entry->count;
    return true;
}

size_t config_files_count(const struct config_files *files)
{
    return files->file_count;
}

const char *config_files_path(const struct config_files *files, size_t index)
{
    return index < files->file_count ? files->files[index]->path : NULL;
}

struct slice config_files_text(const struct config_files *files, size_t index)
{
    return index < files->file_count ? files->files[index]->text : slice_make(NULL, 0);
}
