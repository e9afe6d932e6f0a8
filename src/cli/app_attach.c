/* pelayan send and attach: what is typed goes to an app's standard input.
 * Runs in: the process the user started. */
#include "base/list.h"
#include "base/slice.h"
#include "cli/app_args.h"
#include "cli/app_commands.h"
#include "cli/app_shared.h"
#include "cli/home.h"
#include "cli/tail.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    TYPED_BYTES_MAX = 4096,
    LOOK_EVERY_MS = 1000, /* is it still there? Also for files on systems that tell nothing */
    ID_BYTES = 16,
};

/* ---- send */

/* `target`: a number in the list, or any other word that means apps. */
static int send_input(const char *target, struct slice line, const char *end)
{
    json_t *text = json_sprintf("%.*s%s", SLICE_ARG(line), end);

    if (text == NULL) {
        fputs("pelayan: a line of input has to be UTF-8\n", stderr);
        return 1;
    }
    return app_code(home_ask("send", json_pack("{s:s, s:o}", "target", target, "text", text),
                             HOME_IF_RUNNING, NULL));
}

static int send_message(const char *target, const char *text)
{
    json_t *request = json_pack("{s:s, s:s, s:b}", "target", target, "text", text, "message", true);

    return app_code(home_ask("send", request, HOME_IF_RUNNING, NULL));
}

int app_send(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    int code = 1;

    (void)options;
    if (app_args_parse(&args, argc, argv, ARGS_SEND)) {
        if (args.word_count != 2)
            fprintf(stderr, "usage: pelayan %s NAME|ID LINE [--message]\n", argv[0]);
        else if (args.message)
            code = send_message(args.words[0], args.words[1]);
        else
            code = send_input(args.words[0], slice_of(args.words[1]), "\n");
    }
    app_args_fini(&args);
    return code;
}

/* ---- attach */

struct attached {
    char id[ID_BYTES];
    const char *end;      /* goes behind each line */
    struct tail files[2]; /* output and errors, which may be one file */
    size_t file_count;
    int inotify; /* -1: none */
    char typed[TYPED_BYTES_MAX];
    size_t typed_len;
};

/* As it comes, also a prompt without a line's end. */
static void show(void *context, struct slice bytes)
{
    FILE *out = context;

    fwrite(bytes.data, 1, bytes.len, out);
    fflush(out);
}

static void watch(const struct attached *attached, const struct tail *file)
{
    if (attached->inotify >= 0)
        inotify_add_watch(attached->inotify, file->path, IN_MODIFY | IN_MOVE_SELF);
}

static void follow(struct attached *attached)
{
    for (size_t i = 0; i < attached->file_count; i++) {
        ino_t before = attached->files[i].inode;

        tail_follow(&attached->files[i]);
        if (attached->files[i].inode != before)
            watch(attached, &attached->files[i]);
    }
}

static void add_file(struct attached *attached, json_t *env, const char *key, FILE *out)
{
    const char *path = json_string_value(json_object_get(env, key));
    struct tail *file = &attached->files[attached->file_count];

    if (path == NULL || path[0] != '/' ||
        (attached->file_count > 0 && strcmp(path, attached->files[0].path) == 0))
        return;
    *file = (struct tail){.path = strdup(path), .fd = -1, .take = show, .context = out};
    if (file->path == NULL)
        return;
    attached->file_count++;
    tail_begin(file, 0);
    watch(attached, file);
}

/* False: it is not there any more, or has stopped for good. */
static bool still_there(const struct attached *attached)
{
    json_t *list = NULL;
    const char *status = NULL;
    bool there = true;

    if (home_ask("list", json_pack("{s:s}", "target", attached->id), HOME_IF_RUNNING, &list) != 0)
        there = false;
    status = json_string_value(
        json_object_get(json_object_get(json_array_get(list, 0), "pm2_env"), "status"));
    if (there && status != NULL &&
        (strcmp(status, "stopped") == 0 || strcmp(status, "errored") == 0)) {
        fprintf(stderr, "pelayan: it is %s\n", status);
        there = false;
    }
    json_decref(list);
    return there;
}

/* Whole lines are sent; what is refused has been said, and the next line may fare better. */
static void send_typed(struct attached *attached)
{
    struct slice rest = slice_make(attached->typed, attached->typed_len);
    ptrdiff_t end;

    while ((end = slice_find(rest, '\n')) >= 0) {
        send_input(attached->id, slice_head(rest, (size_t)end), attached->end);
        rest = slice_skip(rest, (size_t)end + 1);
    }
    if (rest.len == sizeof attached->typed) {
        fprintf(stderr, "pelayan: a line has up to %d bytes, its end included\n", TYPED_BYTES_MAX);
        rest.len = 0;
    }
    memmove(attached->typed, rest.data, rest.len);
    attached->typed_len = rest.len;
}

/* False: nothing more will be typed. A last line without an end is one all the same. */
static bool take_typed(struct attached *attached)
{
    ssize_t got = read(STDIN_FILENO, attached->typed + attached->typed_len,
                       sizeof attached->typed - attached->typed_len);

    if (got < 0 && errno == EINTR)
        return true;
    if (got > 0) {
        attached->typed_len += (size_t)got;
        send_typed(attached);
        return true;
    }
    if (attached->typed_len > 0)
        send_input(attached->id, slice_make(attached->typed, attached->typed_len), attached->end);
    return false;
}

/* Until it is interrupted, nothing more is typed, or the app has gone: the exit code. */
static int stay(struct attached *attached)
{
    sigset_t signals;
    struct pollfd polled[3];
    char bytes[8192];

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    polled[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = signalfd(-1, &signals, SFD_CLOEXEC), .events = POLLIN};
    polled[2] = (struct pollfd){.fd = attached->inotify, .events = POLLIN};
    for (;;) {
        int ready = poll(polled, COUNT(polled), LOOK_EVERY_MS);

        while (attached->inotify >= 0 && read(attached->inotify, bytes, sizeof bytes) > 0)
            continue;
        follow(attached);
        if ((polled[1].revents & POLLIN) != 0 || ferror(stdout))
            return 0;
        if (polled[0].revents != 0 && !take_typed(attached))
            return 0;
        if (ready == 0 && !still_there(attached)) {
            follow(attached);
            return 1;
        }
    }
}

/* Of several instances the one that is named by its index. NULL: message printed. */
static json_t *choose(json_t *list, const char *name, const char *index)
{
    json_t *instance;
    json_t *found = json_array_size(list) == 1 ? json_array_get(list, 0) : NULL;
    size_t i;

    json_array_foreach(list, i, instance)
    {
        json_t *env = json_object_get(instance, "pm2_env");
        char text[ID_BYTES];

        snprintf(text, sizeof text, "%d",
                 (int)json_integer_value(json_object_get(env, "NODE_APP_INSTANCE")));
        if (index != NULL && strcmp(text, index) == 0)
            return instance;
    }
    if (index != NULL)
        found = NULL;
    if (found == NULL && index != NULL)
        fprintf(stderr, "pelayan: \"%s\" has no instance %s\n", name, index);
    else if (found == NULL)
        fprintf(stderr,
                "pelayan: \"%s\" are %zu instances: say which one by its id (\"pelayan id %s\"), or"
                " by its index behind the name\n",
                name, json_array_size(list), name);
    return found;
}

static bool is_number(const char *word)
{
    return word[0] != '\0' && strspn(word, "0123456789") == strlen(word);
}

static int attach(json_t *list, const struct app_args *args)
{
    const char *second = args->word_count > 1 ? args->words[1] : NULL;
    const char *index = second != NULL && is_number(second) ? second : NULL;
    struct attached attached = {.end = second == NULL || index != NULL ? "\n" : second,
                                .inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
    json_t *instance = choose(list, args->words[0], index);
    json_t *env = json_object_get(instance, "pm2_env");
    int code = 1;

    if (instance != NULL) {
        snprintf(attached.id, sizeof attached.id, "%d",
                 (int)json_integer_value(json_object_get(instance, "pm_id")));
        add_file(&attached, env, "pm_out_log_path", stdout);
        add_file(&attached, env, "pm_err_log_path", stderr);
        fprintf(stderr, "attached to %s (%s)%s; Ctrl-C leaves, and the app goes on\n",
                json_string_value(json_object_get(instance, "name")), attached.id,
                attached.file_count == 0 ? ", which keeps no logs: its output is not seen" : "");
        code = stay(&attached);
    }
    for (size_t i = 0; i < attached.file_count; i++)
        tail_end(&attached.files[i]);
    if (attached.inotify >= 0)
        close(attached.inotify);
    return code;
}

int app_attach(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    json_t *list = NULL;
    int code = 1;

    (void)options;
    if (app_args_parse(&args, argc, argv, ARGS_PLAIN)) {
        if (args.word_count == 0 || args.word_count > 2) {
            fputs("usage: pelayan attach NAME|ID [INDEX|SEPARATOR]\n", stderr);
        } else {
            code = app_code(home_ask("list", json_pack("{s:s}", "target", args.words[0]),
                                     HOME_IF_RUNNING, &list));
            if (code == 0)
                code = attach(list, &args);
        }
    }
    json_decref(list);
    app_args_fini(&args);
    return code;
}
