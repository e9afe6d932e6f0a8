/* Following log files, across rotation. Runs in: the process the user started. */
#include "cli/app_logs.h"

#include "apps/stamp.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/slice.h"
#include "cli/app_args.h"
#include "cli/app_shared.h"
#include "cli/home.h"
#include "cli/tail.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
    FILES_MAX = 2000,
    LINES_DEFAULT = 15,
    LINE_BYTES_MAX = 65536,
    LOOK_EVERY_MS = 1000, /* for files on systems that tell nothing */
};

struct logs;

struct followed {
    const struct logs *logs; /* those it is one of */
    struct tail tail;
    char *app;        /* owned */
    const char *type; /* "out" or "err" */
    int id;
    char *partial; /* owned: a line that has not ended */
    size_t partial_len;
};

struct logs {
    const struct app_args *args;
    struct followed *files; /* owned */
    size_t count;
    int name_width; /* of the longest name */
    bool colour;
    int inotify; /* -1: none */
};

static bool is_error(const struct followed *file)
{
    return file->type[0] == 'e';
}

static void print_json(const struct followed *file, struct slice line, const char *when)
{
    json_t *object = json_pack("{s:s, s:s, s:s, s:i, s:s%}", "app_name", file->app, "type",
                               file->type, "timestamp", when, "process_id", file->id, "message",
                               line.data == NULL ? "" : line.data, line.len);

    /* what is no UTF-8 is not left out: its place is taken by "?" */
    if (object == NULL) {
        char *copy = slice_strdup(line);

        for (char *at = copy; at != NULL && *at != '\0'; at++)
            *at = (unsigned char)*at >= 0x80 ? '?' : *at;
        object = json_pack("{s:s, s:s, s:s, s:i, s:s*}", "app_name", file->app, "type", file->type,
                           "timestamp", when, "process_id", file->id, "message", copy);
        free(copy);
    }
    json_dumpf(object, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    json_decref(object);
}

static void print_label(const struct logs *logs, const struct followed *file)
{
    const char *colour = is_error(file) ? "\033[31m" : "\033[32m";
    char label[200];

    snprintf(label, sizeof label, "%d|%-*s |", file->id, logs->name_width, file->app);
    if (logs->colour)
        printf("%s%s\033[0m ", colour, label);
    else
        printf("%s%s ", label, is_error(file) ? " (err)" : "");
}

/* On a terminal the words shine; elsewhere a star stands before the line. */
static void print_highlighted(const struct logs *logs, struct slice line, struct slice wanted)
{
    ptrdiff_t at;

    while (logs->colour && wanted.len > 0 && (at = slice_search(line, wanted)) >= 0) {
        printf("%.*s\033[7m%.*s\033[27m", (int)at, line.data, SLICE_ARG(wanted));
        line = slice_skip(line, (size_t)at + wanted.len);
    }
    fwrite(line.data, 1, line.len, stdout);
}

static void print_line(const struct logs *logs, const struct followed *file, struct slice line)
{
    const struct app_args *args = logs->args;
    struct slice wanted = slice_of(args->highlight);
    const char *format = args->timestamp == NULL || args->timestamp[0] == '\0'
                             ? "YYYY-MM-DDTHH:mm:ss"
                             : args->timestamp;
    struct clock clock;
    char when[128];

    clock_update(&clock);
    stamp_time(format, clock.wall_ms, when, sizeof when);
    if (args->json) {
        print_json(file, line, when);
        return;
    }
    if (args->format != NULL) {
        printf("timestamp=%s app=%s id=%d type=%s message=%.*s\n", when, file->app, file->id,
               file->type, SLICE_ARG(line));
        return;
    }
    if (!logs->colour && !args->raw && wanted.len > 0 && slice_search(line, wanted) >= 0)
        fputs("* ", stdout);
    if (!args->raw)
        print_label(logs, file);
    if (args->timestamp != NULL)
        printf("%s: ", when);
    print_highlighted(logs, line, args->raw ? slice_of("") : wanted);
    fputc('\n', stdout);
}

/* Whole lines are printed, the rest is kept. */
static void take(void *context, struct slice bytes)
{
    struct followed *file = context;
    const struct logs *logs = file->logs;
    char *joined = realloc(file->partial, file->partial_len + bytes.len + 1);
    struct slice rest;
    ptrdiff_t end;

    if (joined == NULL)
        return;
    memcpy(joined + file->partial_len, bytes.data, bytes.len);
    file->partial = joined;
    rest = slice_make(joined, file->partial_len + bytes.len);
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

static bool is_known(const struct logs *logs, const char *path)
{
    for (size_t i = 0; i < logs->count; i++) {
        if (strcmp(logs->files[i].tail.path, path) == 0)
            return true;
    }
    return false;
}

static void watch(const struct logs *logs, const struct followed *file)
{
    if (logs->inotify >= 0)
        inotify_add_watch(logs->inotify, file->tail.path, IN_MODIFY | IN_MOVE_SELF);
}

/* NULL: not wanted, or known already. */
static struct followed *add(struct logs *logs, json_t *instance, bool errors)
{
    json_t *env = json_object_get(instance, "pm2_env");
    const char *path = json_string_value(
        json_object_get(env, errors ? "pm_err_log_path" : "pm_out_log_path"));
    const char *app = json_string_value(json_object_get(instance, "name"));
    struct followed *file = &logs->files[logs->count];

    if (path == NULL || app == NULL || path[0] != '/' || logs->count == FILES_MAX ||
        is_known(logs, path) || (errors ? logs->args->out : logs->args->err))
        return NULL;
    *file = (struct followed){
        .logs = logs,
        .tail = {.path = strdup(path), .fd = -1, .take = take, .context = file},
        .app = strdup(app),
        .type = errors ? "err" : "out",
        .id = (int)json_integer_value(json_object_get(instance, "pm_id"))};
    if (file->tail.path == NULL || file->app == NULL)
        return NULL;
    if ((int)strlen(app) > logs->name_width)
        logs->name_width = (int)strlen(app);
    logs->count++;
    return file;
}

static bool is_asked_for(const struct logs *logs, json_t *instance)
{
    for (size_t i = 0; i < logs->args->word_count; i++) {
        if (app_is_selected(instance, logs->args->words[i]))
            return true;
    }
    return logs->args->word_count == 0;
}

/* Instances that have come since: their logs are followed from the beginning. */
static void add_new(struct logs *logs, json_t *list)
{
    json_t *instance;
    size_t index;

    json_array_foreach(list, index, instance)
    {
        for (int errors = 0; errors <= 1 && is_asked_for(logs, instance); errors++) {
            struct followed *file = add(logs, instance, errors == 1);

            if (file == NULL)
                continue;
            tail_follow(&file->tail);
            watch(logs, file);
        }
    }
}

static bool is_over(json_t *list, int *code)
{
    json_t *instance;
    size_t index;

    *code = 0;
    json_array_foreach(list, index, instance)
    {
        json_t *env = json_object_get(instance, "pm2_env");
        const char *status = json_string_value(json_object_get(env, "status"));

        if (status == NULL || (strcmp(status, "stopped") != 0 && strcmp(status, "errored") != 0))
            return false;
        if (strcmp(status, "errored") == 0 ||
            json_integer_value(json_object_get(env, "exit_code")) != 0)
            *code = 1;
    }
    return true;
}

/* Once a second. True: nothing more will come, with --auto-exit. */
static bool look_again(struct logs *logs, int *code)
{
    json_t *list = NULL;
    bool over = false;

    if (home_ask("list", json_object(), HOME_IF_RUNNING, &list) == 0) {
        add_new(logs, list);
        over = logs->args->auto_exit && is_over(list, code);
    }
    json_decref(list);
    return over;
}

static void follow_all(struct logs *logs)
{
    for (size_t i = 0; i < logs->count; i++) {
        ino_t before = logs->files[i].tail.inode;

        tail_follow(&logs->files[i].tail);
        if (logs->files[i].tail.inode != before)
            watch(logs, &logs->files[i]);
    }
    fflush(stdout);
}

static int wait_and_follow(struct logs *logs)
{
    struct pollfd polled = {.fd = logs->inotify, .events = POLLIN};
    uint64_t looked_ms = clock_monotonic_ms();
    bool over = false;
    char bytes[8192];
    int code = 0;

    for (size_t i = 0; i < logs->count; i++)
        watch(logs, &logs->files[i]);
    while (!ferror(stdout) && !over) {
        poll(&polled, logs->inotify >= 0 ? 1 : 0, LOOK_EVERY_MS);
        while (logs->inotify >= 0 && read(logs->inotify, bytes, sizeof bytes) > 0)
            continue;
        if (clock_monotonic_ms() - looked_ms >= LOOK_EVERY_MS) {
            looked_ms = clock_monotonic_ms();
            over = look_again(logs, &code);
        }
        follow_all(logs);
    }
    return code;
}

static void logs_fini(struct logs *logs)
{
    for (size_t i = 0; i < logs->count; i++) {
        tail_end(&logs->files[i].tail);
        free(logs->files[i].app);
        free(logs->files[i].partial);
    }
    if (logs->inotify >= 0)
        close(logs->inotify);
    free(logs->files);
}

static bool read_lines(const struct app_args *args, long *lines)
{
    char *end;

    *lines = LINES_DEFAULT;
    if (args->lines == NULL)
        return true;
    *lines = strtol(args->lines, &end, 10);
    if (end != args->lines && *end == '\0' && *lines >= 0)
        return true;
    fprintf(stderr, "pelayan: \"%s\" is no number of lines\n", args->lines);
    return false;
}

int app_logs_run(json_t *list, const struct app_args *args)
{
    struct logs logs = {.args = args,
                        .files = calloc(FILES_MAX, sizeof *logs.files),
                        .colour = app_colour(args),
                        .inotify = -1};
    json_t *instance;
    size_t index;
    long lines;
    int code = 0;

    if (logs.files == NULL || !read_lines(args, &lines)) {
        free(logs.files);
        return 1;
    }
    json_array_foreach(list, index, instance)
    {
        add(&logs, instance, false);
        add(&logs, instance, true);
    }
    for (size_t i = 0; i < logs.count; i++)
        tail_begin(&logs.files[i].tail, lines);
    fflush(stdout);
    if (!args->nostream) {
        logs.inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        code = wait_and_follow(&logs);
    }
    logs_fini(&logs);
    return code;
}
