/* Flags of app commands. Runs in: the process the user started. */
#include "cli/app_args.h"

#include "apps/spec.h"
#include "base/list.h"
#include "base/slice.h"
#include "config/loader.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { FLAG_BYTES = 80 };

/* How a flag is followed by a value. */
enum takes { TAKES_NOTHING, TAKES_VALUE, TAKES_MAYBE /* else it is the empty text */ };

struct flag {
    const char *name;
    const char *letter; /* or NULL */
    size_t offset;
    enum takes takes;
    unsigned groups; /* ARGS_PLAIN: of all commands */
};

#define SWITCH(name, letter, field, groups)                                                        \
    {                                                                                              \
        name, letter, offsetof(struct app_args, field), TAKES_NOTHING, groups                      \
    }
#define VALUE(name, letter, field, groups)                                                         \
    {                                                                                              \
        name, letter, offsetof(struct app_args, field), TAKES_VALUE, groups                        \
    }
#define MAYBE(name, letter, field, groups)                                                         \
    {                                                                                              \
        name, letter, offsetof(struct app_args, field), TAKES_MAYBE, groups                        \
    }

static const struct flag flags[] = {
    SWITCH("force", "-f", force, ARGS_PLAIN),
    SWITCH("update-env", "-a", update_env, ARGS_PLAIN),
    SWITCH("json", NULL, json, ARGS_PLAIN),
    SWITCH("silent", "-s", silent, ARGS_PLAIN),
    SWITCH("no-color", NULL, no_color, ARGS_PLAIN),
    SWITCH("mini-list", "-m", mini_list, ARGS_PLAIN),
    VALUE("sort", NULL, sort, ARGS_PLAIN),
    SWITCH("no-daemon", NULL, no_daemon, ARGS_SPECS | ARGS_SERVE | ARGS_STATE),
    SWITCH("auto-exit", NULL, auto_exit, ARGS_SPECS | ARGS_SERVE | ARGS_STATE),
    SWITCH("attach", NULL, attach, ARGS_SPECS),
    VALUE("env", NULL, env_name, ARGS_SPECS),
    VALUE("only", NULL, only, ARGS_SPECS | ARGS_DELETE),
    VALUE("parallel", NULL, parallel, ARGS_SPECS),
    VALUE("domain", NULL, domain, ARGS_SPECS),
    VALUE("path", NULL, path, ARGS_SPECS),
    VALUE("listen", NULL, listen, ARGS_SPECS),
    SWITCH("tls", NULL, tls, ARGS_SPECS),
    VALUE("certificate", NULL, certificate, ARGS_SPECS),
    VALUE("certificate-key", NULL, certificate_key, ARGS_SPECS),
    MAYBE("domain", NULL, domain, ARGS_DELETE),
    SWITCH("err", NULL, err, ARGS_LOGS),
    SWITCH("out", NULL, out, ARGS_LOGS),
    SWITCH("raw", NULL, raw, ARGS_LOGS),
    SWITCH("nostream", NULL, nostream, ARGS_LOGS),
    MAYBE("timestamp", NULL, timestamp, ARGS_LOGS),
    MAYBE("format", NULL, format, ARGS_LOGS),
    VALUE("lines", NULL, lines, ARGS_LOGS),
    VALUE("highlight", NULL, highlight, ARGS_LOGS),
    MAYBE("user", "-u", user, ARGS_BOOT),
    VALUE("hp", NULL, user_home, ARGS_BOOT),
    VALUE("service-name", NULL, service_name, ARGS_BOOT),
    VALUE("root", NULL, root, ARGS_BOOT),
    SWITCH("spa", NULL, spa, ARGS_SERVE),
    SWITCH("ftp", NULL, ftp, ARGS_SERVE),
    VALUE("port", NULL, port, ARGS_SERVE),
    VALUE("basic-auth-username", NULL, login, ARGS_SERVE),
    VALUE("basic-auth-password", NULL, password, ARGS_SERVE),
    SWITCH("write", NULL, write, ARGS_HOSTS),
    VALUE("file", NULL, file, ARGS_HOSTS | ARGS_STATE),
    SWITCH("pm2", NULL, pm2, ARGS_STATE),
    SWITCH("tree", "-t", tree, ARGS_LIST),
    SWITCH("message", NULL, message, ARGS_SEND),
};

struct cursor {
    struct app_args *args;
    int argc;
    char **argv;
    int index;
    unsigned groups;
};

static bool complain(const char *format, const char *what)
{
    fputs("pelayan: ", stderr);
    fprintf(stderr, format, what);
    fputc('\n', stderr);
    return false;
}

/* "--name=value", or the next argument. NULL: there is none, message printed. */
static const char *value_of(struct cursor *cursor, const char *equals)
{
    if (equals != NULL)
        return equals + 1;
    if (cursor->index + 1 < cursor->argc)
        return cursor->argv[++cursor->index];
    complain("option \"%s\" needs a value", cursor->argv[cursor->index]);
    return NULL;
}

static bool is_taken(const struct flag *flag, unsigned groups)
{
    return flag->groups == ARGS_PLAIN || (flag->groups & groups) != 0;
}

static const struct flag *find_flag(const struct cursor *cursor, const char *name, size_t len)
{
    for (size_t i = 0; i < COUNT(flags); i++) {
        if (is_taken(&flags[i], cursor->groups) && strlen(flags[i].name) == len &&
            strncmp(flags[i].name, name, len) == 0)
            return &flags[i];
    }
    return NULL;
}

static bool take_flag(struct cursor *cursor, const struct flag *flag, const char *equals)
{
    void *field = (char *)cursor->args + flag->offset;
    const char *next = cursor->index + 1 < cursor->argc ? cursor->argv[cursor->index + 1] : NULL;
    const char *value = "";

    if (flag->takes == TAKES_NOTHING) {
        *(bool *)field = true;
        return equals == NULL || complain("option \"--%s\" takes no value", flag->name);
    }
    if (flag->takes == TAKES_VALUE || equals != NULL || (next != NULL && next[0] != '-'))
        value = value_of(cursor, equals);
    if (value != NULL)
        *(const char **)field = value;
    return value != NULL;
}

static bool set(struct cursor *cursor, const struct option *option, json_t *value)
{
    if (value != NULL && json_object_set_new(cursor->args->spec, option->name, value) == 0)
        return true;
    return complain("the value of \"%s\" is no UTF-8", option->name);
}

/* On the command line a bare number of watch_delay is seconds, as pm2 has it. */
static json_t *text_value(const struct option *option, const char *value)
{
    if (strcmp(option->name, "watch_delay") == 0 && strspn(value, "0123456789") == strlen(value))
        return json_sprintf("%ss", value);
    return json_string(value);
}

static bool take_option(struct cursor *cursor, const struct option *option, const char *equals)
{
    bool alone = option->kind == OPTION_BOOL || option->kind == OPTION_SWITCH ||
                 option->kind == OPTION_NOTHING;
    const char *next = cursor->index + 1 < cursor->argc ? cursor->argv[cursor->index + 1] : NULL;
    const char *value;

    /* pm2's "--watch src" behind the script; before it, the word is the script */
    if (option->kind == OPTION_SWITCH && cursor->args->word_count > 0 && next != NULL &&
        next[0] != '-')
        alone = false;
    if (alone && equals == NULL)
        return set(cursor, option, json_true());
    value = value_of(cursor, equals);
    return value != NULL && set(cursor, option, text_value(option, value));
}

/* "max_restarts" as "--max-restarts". */
static void as_flag(char out[FLAG_BYTES], const char *name)
{
    snprintf(out, FLAG_BYTES, "--%.64s", name);
    for (char *at = out; (at = strchr(at, '_')) != NULL;)
        *at = '-';
}

static bool unknown(const struct cursor *cursor, const char *argument)
{
    const char *names[192];
    char key[FLAG_BYTES];
    const char *near;
    size_t count = 0;
    size_t len = strcspn(argument, "=");

    for (size_t i = 0; i < COUNT(flags) && count < COUNT(names); i++) {
        if (is_taken(&flags[i], cursor->groups))
            names[count++] = flags[i].name;
    }
    for (size_t i = 0; (cursor->groups & ARGS_SPECS) != 0 && i < app_option_count; i++) {
        if (count < COUNT(names))
            names[count++] = app_options[i].name;
    }
    near = nearest_name(slice_make(argument + 2, len - 2), names, count);
    if (near == NULL)
        return complain("unknown option \"%s\"", argument);
    as_flag(key, near);
    fprintf(stderr, "pelayan: unknown option \"%s\": did you mean \"%s\"?\n", argument, key);
    return false;
}

/* "--name", "--name=value", "--no-name". */
static bool take_long(struct cursor *cursor)
{
    const char *argument = cursor->argv[cursor->index];
    const char *name = argument + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals == NULL ? strlen(name) : (size_t)(equals - name);
    const struct flag *flag = find_flag(cursor, name, len);
    const struct option *option;
    bool specs = (cursor->groups & ARGS_SPECS) != 0;
    char key[64];

    if (flag != NULL)
        return take_flag(cursor, flag, equals);
    snprintf(key, sizeof key, "%.*s", (int)len, name);
    option = specs ? option_find(key) : NULL;
    if (option != NULL && option->kind != OPTION_OTHER)
        return take_option(cursor, option, equals);
    option = specs && strncmp(key, "no-", 3) == 0 ? option_find(key + 3) : NULL;
    if (option != NULL && equals == NULL)
        return option->kind == OPTION_NOTHING || set(cursor, option, json_false());
    return unknown(cursor, argument);
}

static bool take_short(struct cursor *cursor)
{
    const char *argument = cursor->argv[cursor->index];

    for (size_t i = 0; i < COUNT(flags); i++) {
        if (flags[i].letter != NULL && is_taken(&flags[i], cursor->groups) &&
            strcmp(flags[i].letter, argument) == 0)
            return take_flag(cursor, &flags[i], NULL);
    }
    for (size_t i = 0; (cursor->groups & ARGS_SPECS) != 0 && i < app_option_count; i++) {
        if (app_options[i].flag != NULL && strcmp(app_options[i].flag, argument) == 0)
            return take_option(cursor, &app_options[i], NULL);
    }
    return complain("unknown option \"%s\"", argument);
}

/* Everything behind "--" is the app's. */
static bool take_rest(struct cursor *cursor)
{
    json_t *list = json_array();

    while (++cursor->index < cursor->argc)
        json_array_append_new(list, json_string(cursor->argv[cursor->index]));
    return json_object_set_new(cursor->args->spec, "args", list) == 0;
}

/* "-1" and "-" are words: of scale and of standard input. */
static bool is_word(const char *argument)
{
    return argument[0] != '-' || argument[1] == '\0' || (argument[1] >= '0' && argument[1] <= '9');
}

bool app_args_parse(struct app_args *args, int argc, char **argv, unsigned groups)
{
    struct cursor cursor = {.args = args, .argc = argc, .argv = argv, .groups = groups};

    *args = (struct app_args){.spec = json_object()};
    for (cursor.index = 1; cursor.index < argc; cursor.index++) {
        const char *argument = argv[cursor.index];
        bool good = true;

        if (strcmp(argument, "--") == 0)
            good = take_rest(&cursor);
        else if (is_word(argument) && args->word_count < APP_WORDS_MAX)
            args->words[args->word_count++] = argument;
        else if (argument[1] == '-')
            good = take_long(&cursor);
        else
            good = take_short(&cursor);
        if (!good)
            return false;
    }
    return true;
}

void app_args_fini(struct app_args *args)
{
    json_decref(args->spec);
}

void app_args_each(unsigned groups, void (*put)(void *context, const char *flag), void *context)
{
    char name[FLAG_BYTES];
    char key[FLAG_BYTES];

    for (size_t i = 0; i < COUNT(flags); i++) {
        if (is_taken(&flags[i], groups)) {
            snprintf(name, sizeof name, "--%s", flags[i].name);
            put(context, name);
        }
    }
    for (size_t i = 0; (groups & ARGS_SPECS) != 0 && i < app_option_count; i++) {
        bool no = app_options[i].kind == OPTION_BOOL && app_options[i].def != NULL &&
                  strcmp(app_options[i].def, "true") == 0;

        if (app_options[i].kind == OPTION_NOTHING || app_options[i].kind == OPTION_OTHER)
            continue;
        snprintf(key, sizeof key, "%s%s", no ? "no-" : "", app_options[i].name);
        as_flag(name, key);
        put(context, name);
    }
}
