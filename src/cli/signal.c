/* -s stop|quit|reload|reopen. Runs in: the process the user started. */
#include "cli/signal.h"

#include "base/arena.h"
#include "base/diag.h"
#include "base/list.h"
#include "cli/process.h"
#include "config/files.h"
#include "config/tree.h"
#include "control/client.h"
#include "daemon/options.h"
#include "daemon/pid_file.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    int number;
} signals[] = {{"stop", SIGTERM}, {"quit", SIGQUIT}, {"reload", SIGHUP}, {"reopen", SIGUSR1}};

/* The main level's last `pid`, even if the rest of the file is broken: a reload of a broken file is
 * to be refused by the master, who has the messages, and a stop must always be possible. */
static void find_pid_path(const struct run_options *options, char out[PATH_MAX])
{
    struct config_files *files = config_files_from_disk();
    struct slice path = slice_of(options->pid_path);
    struct diag diag;
    struct tree tree;

    diag_init(&diag);
    tree_init(&tree, files);
    if (files != NULL && options->directives != NULL)
        tree_parse_text(&tree, "command line", slice_of(options->directives), &diag);
    if (files != NULL)
        tree_parse(&tree, files, options->conf_path, &diag);
    for (const struct node *node = tree.first; node != NULL; node = node->next) {
        if (slice_eq(word_text(node->words[0]), slice_of("pid")) && node->word_count == 2)
            path = word_text(node->words[1]);
    }
    snprintf(out, PATH_MAX, "%s%.*s", path.len > 0 && path.data[0] == '/' ? "" : options->prefix,
             SLICE_ARG(path));
    tree_fini(&tree);
    diag_fini(&diag);
    config_files_free(files);
}

bool signal_find_socket(const struct run_options *options, char out[PATH_MAX])
{
    char pid_path[PATH_MAX];

    find_pid_path(options, pid_path);
    return pid_file_socket(pid_path, out, PATH_MAX);
}

static int send_signal(pid_t pid, const char *command)
{
    int number = 0;

    for (size_t i = 0; i < COUNT(signals); i++) {
        if (strcmp(signals[i].name, command) == 0)
            number = signals[i].number;
    }
    if (kill(pid, number) == 0)
        return 0;
    fprintf(stderr, "pelayan: [alert] kill(%d, %d) failed (%d: %s)\n", (int)pid, number, errno,
            strerror(errno));
    return 1;
}

/* False: told. A file that was left behind may name whoever got its number since. */
static bool is_master(pid_t pid, const char *pid_path)
{
    char name[64];

    process_name(pid, name, sizeof name);
    if (name[0] == '\0' || process_is_ours(pid))
        return true;
    fprintf(stderr, "pelayan: [error] process %d is \"%s\", not pelayan: \"%s\" was left behind\n",
            (int)pid, name, pid_path);
    return false;
}

/* A pid file that names nobody ends here; one that names a master without our socket gets the
 * signal. */
static int by_signal(const char *pid_path, const char *command)
{
    struct diag diag;
    pid_t pid;
    int code = 1;

    diag_init(&diag);
    if (pid_file_read(pid_path, &pid, &diag)) {
        code = is_master(pid, pid_path) ? send_signal(pid, command) : 1;
        if (code == 0)
            fprintf(stderr,
                    "pelayan: [notice] no control socket beside \"%s\": a signal was sent, see"
                    " the error log for the result\n",
                    pid_path);
    } else {
        fprintf(stderr, "pelayan: [error] %s\n", diag.first == NULL ? "" : diag.first->message);
        if (diag.first != NULL && diag.first->hint != NULL)
            fprintf(stderr, "         %s\n", diag.first->hint);
    }
    diag_fini(&diag);
    return code;
}

static int print_answer(enum client_result result, const char *command, struct slice answer)
{
    bool ends_line = answer.len > 0 && answer.data[answer.len - 1] == '\n';

    /* a stopped master may have no time to answer; its end is the answer */
    if (result == CLIENT_LOST && strcmp(command, "stop") == 0)
        return 0;
    if (result == CLIENT_LOST)
        fprintf(stderr, "pelayan: [error] the master left before it answered\n");
    else if (answer.len > 0)
        fprintf(stderr, "%.*s%s", SLICE_ARG(answer), ends_line ? "" : "\n");
    return result == CLIENT_OK ? 0 : 1;
}

int signal_master(const struct run_options *options, const char *command)
{
    char pid_path[PATH_MAX];
    char socket_path[PATH_MAX];
    struct arena *arena = arena_new(4096);
    enum client_result result = CLIENT_NOBODY;
    struct slice answer = {0};
    int code;

    find_pid_path(options, pid_path);
    if (arena != NULL && pid_file_socket(pid_path, socket_path, sizeof socket_path))
        result = client_ask(socket_path, command, arena, &answer);
    if (result == CLIENT_NOBODY)
        code = by_signal(pid_path, command);
    else
        code = print_answer(result, command, answer);
    arena_drop(arena);
    return code;
}
