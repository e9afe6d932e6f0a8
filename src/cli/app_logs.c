/* Following log files, across rotation. Runs in: the process the user started. */
#include "cli/app_logs.h"

#include "base/list.h"
#include "base/slice.h"
#include "cli/app_args.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    FILES_MAX = 2000,
    LINES_DEFAULT = 15,
    BACK_BYTES_MAX = 4 << 20, /* looked through for the last lines */
    LINE_BYTES_MAX = 65536,
    LOOK_EVERY_MS = 1000, /* for files on systems that tell nothing */
};

struct followed {
    char *path; /* owned */
    char *label;
    const char *type; /* "out" or "err" */
    const char *app;  /* borrowed from the list */
    int id;
    int fd;
    ino_t inode;
    off_t at;
    char *partial; /* owned: a line that has not ended */
    size_t partial_len;
};

struct logs {
    const struct app_args *args;
    struct followed *files; /* owned */
    size_t count;
};

static void print_json(const struct followed *file, struct slice line, const char *when)
{
    json_t *object = json_pack("{s:s, s:s, s:s, s:i, s:s%}", "app_name", file->app, "type",
                               file->type, "timestamp", when, "process_id", file->id, "message",
                               line.data == NULL ? "" : line.data, line.len);

    if (object != NULL)
        json_dumpf(object, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    json_decref(object);
}

static void print_line(const struct logs *logs, const struct followed *file, struct slice line)
{
    const struct app_args *args = logs->args;
    time_t now = time(NULL);
    char when[32];

    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", localtime(&now));
    if (args->highlight != NULL && !args->raw && slice_search(line, slice_of(args->highlight)) >= 0)
        fputs("* ", stdout);
    if (args->json) {
        print_json(file, line, when);
        return;
    }
    if (args->timestamp)
        printf("%s ", when);
    if (!args->raw)
        fputs(file->label, stdout);
    fwrite(line.data, 1, line.len, stdout);
    fputc('\n', stdout);
}

/* Whole lines are printed, the rest is kept. */
static void take(const struct logs *logs, struct followed *file, const char *bytes, size_t len)
{
    char *joined = realloc(file->partial, file->partial_len + len + 1);
    struct slice rest;
    ptrdiff_t end;

    if (joined == NULL)
        return;
    memcpy(joined + file->partial_len, bytes, len);
    file->partial = joined;
    rest = slice_make(joined, file->partial_len + len);
    while ((end = slice_find(rest, '\n')) >= 0) {
        print_line(logs, file, slice_head(rest, (size_t)end));
        rest = slice_skip(rest, (size_t)end + 1);
    }
    if (rest.len > LINE_BYTES_MAX) {
        print_line(logs, file, rest);
        rest.len = 0;
    }
    memmove(joined, rest.data, rest.len);
    file->partial_len = rest.len;
}

static void read_more(const struct logs *logs, struct followed *file)
{
    char bytes[16384];
    struct stat stat_;
    ssize_t got;

    if (file->fd < 0)
        return;
    if (fstat(file->fd, &stat_) == 0 && stat_.st_size < file->at)
        file->at = 0; /* it was emptied */
    while ((got = pread(file->fd, bytes, sizeof bytes, file->at)) > 0) {
        file->at += got;
        take(logs, file, bytes, (size_t)got);
    }
}

static void open_file(struct followed *file)
{
    struct stat stat_;

    file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->fd >= 0 && fstat(file->fd, &stat_) == 0 && S_ISREG(stat_.st_mode)) {
        file->inode = stat_.st_ino;
        file->at = 0;
    } else if (file->fd >= 0) {
        close(file->fd);
        file->fd = -1;
    }
}

/* Another file has its name: the rest of the old one first. */
static void follow(const struct logs *logs, struct followed *file)
{
    struct stat stat_;

    read_more(logs, file);
    if (stat(file->path, &stat_) != 0 || (file->fd >= 0 && stat_.st_ino == file->inode))
        return;
    if (file->fd >= 0)
        close(file->fd);
    open_file(file);
    read_more(logs, file);
}

/* Where the last `lines` lines begin. */
static off_t start_of_last(int fd, off_t size, long lines)
{
    off_t from = size > BACK_BYTES_MAX ? size - BACK_BYTES_MAX : 0;
    size_t len = (size_t)(size - from);
    char *bytes = malloc(len + 1);
    size_t at;
    ssize_t got;

    if (bytes == NULL)
        return size;
    got = pread(fd, bytes, len, from);
    at = got > 0 ? (size_t)got : 0;
    if (at > 0 && bytes[at - 1] == '\n')
        at--;
    while (at > 0 && lines > 0) {
        if (bytes[at - 1] == '\n' && --lines == 0)
            break;
        at--;
    }
    free(bytes);
    return from + (off_t)at;
}

static void print_last(const struct logs *logs, struct followed *file, long lines)
{
    struct stat stat_;

    open_file(file);
    if (file->fd < 0 || fstat(file->fd, &stat_) != 0)
        return;
    file->at = lines <= 0 ? stat_.st_size : start_of_last(file->fd, stat_.st_size, lines);
    read_more(logs, file);
}

static bool is_known(const struct logs *logs, const char *path)
{
    for (size_t i = 0; i < logs->count; i++) {
        if (strcmp(logs->files[i].path, path) == 0)
            return true;
    }
    return false;
}

static void add(struct logs *logs, json_t *instance, bool errors)
{
    json_t *env = json_object_get(instance, "pm2_env");
    const char *path = json_string_value(
        json_object_get(env, errors ? "pm_err_log_path" : "pm_out_log_path"));
    struct followed *file = &logs->files[logs->count];

    if (path == NULL || path[0] != '/' || logs->count == FILES_MAX || is_known(logs, path))
        return;
    *file = (struct followed){.path = strdup(path),
                              .type = errors ? "err" : "out",
                              .app = json_string_value(json_object_get(instance, "name")),
                              .id = (int)json_integer_value(json_object_get(instance, "pm_id")),
                              .fd = -1};
    if (file->path != NULL &&
        asprintf(&file->label, "%d|%s %s| ", file->id, file->app, errors ? "(err) " : "") >= 0)
        logs->count++;
}

static void wait_and_follow(const struct logs *logs)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    char bytes[8192];

    for (size_t i = 0; fd >= 0 && i < logs->count; i++)
        inotify_add_watch(fd, logs->files[i].path, IN_MODIFY | IN_MOVE_SELF);
    while (!ferror(stdout)) {
        poll(&polled, fd >= 0 ? 1 : 0, LOOK_EVERY_MS);
        while (fd >= 0 && read(fd, bytes, sizeof bytes) > 0)
            continue;
        for (size_t i = 0; i < logs->count; i++) {
            ino_t before = logs->files[i].inode;

            follow(logs, &logs->files[i]);
            if (fd >= 0 && logs->files[i].inode != before)
                inotify_add_watch(fd, logs->files[i].path, IN_MODIFY | IN_MOVE_SELF);
        }
        fflush(stdout);
    }
    if (fd >= 0)
        close(fd);
}

int app_logs_run(json_t *list, const struct app_args *args)
{
    struct logs logs = {.args = args, .files = calloc(FILES_MAX, sizeof *logs.files)};
    long lines = args->lines == NULL ? LINES_DEFAULT : strtol(args->lines, NULL, 10);
    json_t *instance;
    size_t index;

    if (logs.files == NULL)
        return 1;
    json_array_foreach(list, index, instance)
    {
        if (!args->err)
            add(&logs, instance, false);
        if (!args->out)
            add(&logs, instance, true);
    }
    for (size_t i = 0; i < logs.count; i++)
        print_last(&logs, &logs.files[i], lines);
    fflush(stdout);
    if (!args->nostream)
        wait_and_follow(&logs);
    for (size_t i = 0; i < logs.count; i++) {
        if (logs.files[i].fd >= 0)
            close(logs.files[i].fd);
        free(logs.files[i].path);
        free(logs.files[i].label);
        free(logs.files[i].partial);
    }
    free(logs.files);
    return 0;
}
