/* Deploying: a shell script is written here and run there. Runs in: the process the user started.
 *
 * On each host PATH/source is a clone of the repository, PATH/current leads to it, and
 * PATH/.deploys has a line for each commit that was deployed, the newest last: as pm2 has it. */
#include "cli/deploy.h"

#include "apps/ecosystem.h"
#include "base/diag.h"
#include "base/list.h"
#include "base/slice.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SSH_ARGUMENTS_MAX = 64 };

struct deploy {
    json_t *conf; /* borrowed: deploy.ENV */
    const char *environment;
    char **words; /* what follows the command's name */
    int word_count;
    bool force;
};

static const char *text_of(const struct deploy *deploy, const char *name)
{
    return json_string_value(json_object_get(deploy->conf, name));
}

/* ---- the script */

static void print_quoted(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs("'\\'", out);
        fputc(*text, out);
    }
    fputc('\'', out);
}

static void print_variable(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s=", name);
    print_quoted(out, value);
    fputc('\n', out);
}

/* A command of the user's, or a list of them. */
static void print_hook(FILE *out, const struct deploy *deploy, const char *name)
{
    json_t *hook = json_object_get(deploy->conf, name);
    json_t *line;
    size_t index;

    if (json_is_string(hook))
        fprintf(out, "%s\n", json_string_value(hook));
    json_array_foreach(hook, index, line)
    {
        if (json_is_string(line))
            fprintf(out, "%s\n", json_string_value(line));
    }
}

static void print_environment(FILE *out, const struct deploy *deploy)
{
    const char *name;
    json_t *value;

    json_object_foreach(json_object_get(deploy->conf, "env"), name, value)
    {
        if (!json_is_string(value) && !json_is_integer(value))
            continue;
        fputs("export ", out);
        if (json_is_string(value))
            print_variable(out, name, json_string_value(value));
        else
            fprintf(out, "%s=%d\n", name, (int)json_integer_value(value));
    }
}

static void print_setup(FILE *out, const struct deploy *deploy)
{
    const char *ref = text_of(deploy, "ref");

    print_hook(out, deploy, "pre-setup");
    fputs("if [ -e \"$path/source\" ]; then\n"
          "    echo \"$path/source is there already: \\\"update\\\" brings it up to date\" >&2\n"
          "    exit 1\nfi\n"
          "mkdir -p \"$path/shared/logs\" \"$path/shared/pids\"\n",
          out);
    print_variable(out, "repo", text_of(deploy, "repo"));
    fputs("git clone \"$repo\" \"$path/source\"\n"
          "ln -sfn \"$path/source\" \"$path/current\"\n"
          "cd \"$path/source\"\n",
          out);
    print_variable(out, "ref", ref == NULL ? "HEAD" : ref);
    fputs("git reset --hard \"$ref\"\n", out);
    print_hook(out, deploy, "post-setup");
}

/* From a ref in $ref to running code. */
static void print_checkout(FILE *out, const struct deploy *deploy)
{
    fputs("git reset --hard \"$ref\"\n"
          "ln -sfn \"$path/source\" \"$path/current\"\n"
          "git rev-parse --short HEAD >> \"$path/.deploys\"\n",
          out);
    print_hook(out, deploy, "post-deploy");
}

static void print_update(FILE *out, const struct deploy *deploy)
{
    const char *ref = deploy->word_count > 0 ? deploy->words[0] : text_of(deploy, "ref");

    fputs("cd \"$path/source\"\n", out);
    print_hook(out, deploy, "pre-deploy");
    print_variable(out, "ref", ref == NULL ? "origin/HEAD" : ref);
    fputs("git fetch --all --tags --prune\n", out);
    print_checkout(out, deploy);
}

static void print_revert(FILE *out, const struct deploy *deploy)
{
    int back = deploy->word_count > 0 ? (int)strtol(deploy->words[0], NULL, 10) : 1;

    fprintf(out,
            "cd \"$path/source\"\n"
            "if [ \"$(wc -l < \"$path/.deploys\")\" -le %d ]; then\n"
            "    echo \"there is no deployment %d before this one\" >&2\n    exit 1\nfi\n"
            "ref=$(tail -n %d \"$path/.deploys\" | head -n 1)\n",
            back, back, back + 1);
    print_checkout(out, deploy);
}

static void print_current(FILE *out, const struct deploy *deploy)
{
    (void)deploy;
    fputs("tail -n 1 \"$path/.deploys\"\n", out);
}

static void print_previous(FILE *out, const struct deploy *deploy)
{
    (void)deploy;
    fputs("if [ \"$(wc -l < \"$path/.deploys\")\" -lt 2 ]; then\n"
          "    echo 'there is no deployment before this one' >&2\n    exit 1\nfi\n"
          "tail -n 2 \"$path/.deploys\" | head -n 1\n",
          out);
}

static void print_list(FILE *out, const struct deploy *deploy)
{
    (void)deploy;
    fputs("awk '{ line[NR] = $0 } END { for (i = NR; i > 0; i--) print NR - i \" \" line[i] }'"
          " \"$path/.deploys\"\n",
          out);
}

static void print_exec(FILE *out, const struct deploy *deploy)
{
    fputs("cd \"$path/current\"\n", out);
    for (int i = 0; i < deploy->word_count; i++)
        fprintf(out, "%s%s", i > 0 ? " " : "", deploy->words[i]);
    fputc('\n', out);
}

static const struct {
    const char *names;
    void (*print)(FILE *out, const struct deploy *deploy);
    bool deploys; /* what is here should be what is there: local hook, local check */
    bool needs_word;
} actions[] = {
    {"update deploy", print_update, true, false},    {"setup", print_setup, false, false},
    {"revert", print_revert, false, false},          {"curr current", print_current, false, false},
    {"prev previous", print_previous, false, false}, {"list", print_list, false, false},
    {"exec run", print_exec, false, true},
};

/* A function that is called at the script's end: nothing in it can read the rest of the script from
 * standard input. */
static char *make_script(const struct deploy *deploy, size_t action)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (out == NULL)
        return NULL;
    fputs("set -e\n", out);
    print_variable(out, "path", text_of(deploy, "path"));
    print_environment(out, deploy);
    fputs("main() {\n", out);
    actions[action].print(out, deploy);
    fputs("}\nmain < /dev/null\nexit\n", out);
    return fclose(out) == 0 ? text : NULL;
}

/* ---- running it */

static int exit_code(pid_t pid)
{
    int status = -1;

    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

struct ssh {
    const char *arguments[SSH_ARGUMENTS_MAX + 1];
    size_t count;
};

static void add(struct ssh *ssh, const char *argument)
{
    if (argument != NULL && ssh->count < SSH_ARGUMENTS_MAX)
        ssh->arguments[ssh->count++] = argument;
}

static void add_option(struct ssh *ssh, const char *letter, const char *value)
{
    if (value == NULL)
        return;
    add(ssh, letter);
    add(ssh, value);
}

static void add_options(struct ssh *ssh, const struct deploy *deploy, const char *port)
{
    json_t *options = json_object_get(deploy->conf, "ssh_options");
    json_t *option;
    size_t index;

    add(ssh, "ssh");
    if (json_is_true(json_object_get(deploy->conf, "forward-agent")) ||
        json_is_string(json_object_get(deploy->conf, "forward-agent")))
        add(ssh, "-A");
    add_option(ssh, "-o", json_string_value(options));
    json_array_foreach(options, index, option) add_option(ssh, "-o", json_string_value(option));
    add_option(ssh, "-p", port);
    add_option(ssh, "-i", text_of(deploy, "key"));
}

/* bash where there is one: hooks are written for it more often than not. */
static const char remote_command[] =
    "if command -v bash >/dev/null 2>&1; then exec bash -s; else exec sh -s; fi";

static pid_t run_ssh(const struct ssh *ssh, int input)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid != 0)
        return pid;
    dup2(input, STDIN_FILENO);
    execvp("ssh", (char *const *)ssh->arguments);
    fprintf(stderr, "pelayan: cannot execute ssh: %s\n", strerror(errno));
    _exit(127);
}

static bool write_all(int fd, const char *text)
{
    size_t len = strlen(text);

    while (len > 0) {
        ssize_t wrote = write(fd, text, len);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        text += wrote;
        len -= (size_t)wrote;
    }
    return true;
}

static int on_host(const struct deploy *deploy, const char *host, const char *script)
{
    const char *user = text_of(deploy, "user");
    json_t *port = json_object_get(deploy->conf, "port");
    struct ssh ssh = {.count = 0};
    char number[16];
    char target[300];
    int pair[2];
    pid_t pid;
    int code;

    snprintf(number, sizeof number, "%d", (int)json_integer_value(port));
    snprintf(target, sizeof target, "%s%s%s", user == NULL ? "" : user, user == NULL ? "" : "@",
             host);
    add_options(&ssh, deploy, json_is_integer(port) ? number : json_string_value(port));
    add(&ssh, target);
    add(&ssh, remote_command);
    if (pipe2(pair, O_CLOEXEC) != 0)
        return 1;
    pid = run_ssh(&ssh, pair[0]);
    close(pair[0]);
    if (pid > 0)
        write_all(pair[1], script); /* should it leave early, its exit code says so */
    close(pair[1]);
    code = exit_code(pid);
    if (code != 0)
        fprintf(stderr, "pelayan: %s: exit code %d\n", target, code);
    return code;
}

static int run_here(const char *command)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return exit_code(pid);
}

/* Would something else be deployed than what is seen here? */
static bool is_pushed(const struct deploy *deploy)
{
    static const char check[] = "git rev-parse --is-inside-work-tree >/dev/null 2>&1 || exit 0\n"
                                "git rev-parse -q --verify HEAD >/dev/null || exit 0\n"
                                "git diff --quiet HEAD -- || exit 3\n"
                                "git rev-parse -q --verify '@{u}' >/dev/null 2>&1 || exit 0\n"
                                "[ -z \"$(git rev-list '@{u}..HEAD')\" ] || exit 4\n";
    int code = deploy->force ? 0 : run_here(check);

    if (code == 3)
        fputs("pelayan: there are changes that are not committed; --force deploys what is"
              " pushed\n",
              stderr);
    if (code == 4)
        fputs("pelayan: there are commits that are not pushed; --force deploys what is pushed\n",
              stderr);
    return code != 3 && code != 4;
}

static bool has_needed(const struct deploy *deploy)
{
    static const char *const needed[] = {"path", "repo"};
    bool good = true;

    for (size_t i = 0; i < COUNT(needed); i++) {
        if (text_of(deploy, needed[i]) != NULL)
            continue;
        fprintf(stderr, "pelayan: \"deploy\" of \"%s\" has no \"%s\"\n", deploy->environment,
                needed[i]);
        good = false;
    }
    if (json_object_get(deploy->conf, "host") == NULL) {
        fprintf(stderr, "pelayan: \"deploy\" of \"%s\" has no \"host\"\n", deploy->environment);
        good = false;
    }
    return good;
}

static int on_hosts(const struct deploy *deploy, const char *script)
{
    json_t *hosts = json_object_get(deploy->conf, "host");
    const char *one = json_string_value(hosts);
    json_t *host;
    size_t index;
    int code = one == NULL ? 0 : on_host(deploy, one, script);

    json_array_foreach(hosts, index, host)
    {
        const char *name = json_string_value(json_is_object(host) ? json_object_get(host, "host")
                                                                  : host);

        if (code == 0 && name != NULL) {
            printf("--- %s\n", name);
            code = on_host(deploy, name, script);
        }
    }
    return code == 0 ? 0 : 1;
}

static int carry_out(const struct deploy *deploy, size_t action)
{
    const char *hook = text_of(deploy, "pre-deploy-local");
    char *script;
    int code;

    if (!has_needed(deploy))
        return 1;
    if (actions[action].deploys && !is_pushed(deploy))
        return 1;
    if (actions[action].deploys && hook != NULL && run_here(hook) != 0) {
        fputs("pelayan: pre-deploy-local failed: nothing was deployed\n", stderr);
        return 1;
    }
    script = make_script(deploy, action);
    signal(SIGPIPE, SIG_IGN);
    code = script == NULL ? 1 : on_hosts(deploy, script);
    free(script);
    return code;
}

static int usage(void)
{
    fputs("usage: pelayan deploy [FILE] ENVIRONMENT [setup|update [REF]|revert [N]|curr|prev|list|"
          "exec COMMAND|REF] [--force]\n",
          stderr);
    return 1;
}

/* A word that is no action is a ref. */
static int choose_action(struct deploy *deploy)
{
    for (size_t i = 0; deploy->word_count > 0 && i < COUNT(actions); i++) {
        if (!slice_has_word(actions[i].names, deploy->words[0]))
            continue;
        deploy->words++;
        deploy->word_count--;
        if (actions[i].needs_word && deploy->word_count == 0)
            return usage();
        return carry_out(deploy, i);
    }
    return carry_out(deploy, 0);
}

static void say_environments(json_t *all, const char *wanted)
{
    const char *name;
    json_t *value;

    fprintf(stderr, "pelayan: there is no \"%s\" in \"deploy\"; there is:", wanted);
    json_object_foreach(all, name, value) fprintf(stderr, " %s", name);
    fputc('\n', stderr);
}

static int with_file(const char *path, struct deploy *deploy)
{
    struct diag diag;
    json_t *file;
    json_t *all;
    int code = 1;

    diag_init(&diag);
    file = ecosystem_load(path, &diag);
    diag_print(&diag, stderr);
    diag_fini(&diag);
    all = json_object_get(file, "deploy");
    deploy->conf = json_object_get(all, deploy->environment);
    if (file != NULL && all == NULL)
        fprintf(stderr, "pelayan: \"%s\" has no \"deploy\"\n", path);
    else if (file != NULL && deploy->conf == NULL)
        say_environments(all, deploy->environment);
    else if (file != NULL)
        code = choose_action(deploy);
    json_decref(file);
    return code;
}

int deploy_command(const struct run_options *options, int argc, char **argv)
{
    struct deploy deploy = {.force = false};
    const char *path = "ecosystem.config.js";
    int at = 1;

    (void)options;
    if (argc > 1 && (strcmp(argv[argc - 1], "--force") == 0 || strcmp(argv[argc - 1], "-f") == 0)) {
        deploy.force = true;
        argc--;
    }
    if (at < argc && ecosystem_is_file(argv[at]))
        path = argv[at++];
    if (at >= argc)
        return usage();
    deploy.environment = argv[at++];
    deploy.words = argv + at;
    deploy.word_count = argc - at;
    return with_file(path, &deploy);
}
