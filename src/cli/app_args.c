/* Flags of app commands. Runs in: the process the user started. */
#include "cli/app_args.h"

#include "apps/spec.h"
#include "base/list.h"
#include "base/slice.h"
#include "config/loader.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct flag {
    const char *name;
    const char *letter; /* or NULL */
    size_t offset;
    bool takes_value;
    bool for_logs; /* in logs; in start the name is a key's */
};

#define SWITCH(name, letter, field, logs)                                                          \
    {                                                                                              \
        name, letter, offsetof(struct app_args, field), false, logs                                \
    }
#define VALUE(name, letter, field, logs)                                                           \
    {                                                                                              \
        name, letter, offsetof(struct app_args, field), true, logs                                 \
    }

static const struct flag flags[] = {
    SWITCH("force", "-f", force, false),
    SWITCH("update-env", "-a", update_env, false),
    SWITCH("json", NULL, json, false),
    SWITCH("silent", "-s", silent, false),
    SWITCH("no-daemon", NULL, no_daemon, false),
    SWITCH("no-color", NULL, no_color, false),
    VALUE("env", NULL, env_name, false),
    VALUE("only", NULL, only, false),
    SWITCH("err", NULL, err, true),
    SWITCH("out", NULL, out, true),
    SWITCH("raw", NULL, raw, true),
    SWITCH("timestamp", NULL, timestamp, true),
    SWITCH("nostream", NULL, nostream, true),
    VALUE("lines", NULL, lines, true),
    VALUE("highlight", NULL, highlight, true),
};

struct cursor {
    struct app_args *args;
    int argc;
    char **argv;
    int index;
    bool specs;
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

static const struct flag *find_flag(const struct cursor *cursor, const char *name, size_t len)
{
    for (size_t i = 0; i < COUNT(flags); i++) {
        if (flags[i].for_logs && cursor->specs)
            continue;
        if (strlen(flags[i].name) == len && strncmp(flags[i].name, name, len) == 0)
            return &flags[i];
    }
    return NULL;
}

static bool take_flag(struct cursor *cursor, const struct flag *flag, const char *equals)
{
    void *field = (char *)cursor->args + flag->offset;
    const char *value;

    if (!flag->takes_value) {
        *(bool *)field = true;
        return true;
    }
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
    const char *value;

    if (alone && equals == NULL)
        return set(cursor, option, json_true());
    value = value_of(cursor, equals);
    return value != NULL && set(cursor, option, text_value(option, value));
}

static bool unknown(const char *argument)
{
    const char *names[128];
    const char *near;
    size_t count = 0;
    size_t len = strcspn(argument, "=");

    for (size_t i = 0; i < app_option_count && count < COUNT(names); i++)
        names[count++] = app_options[i].name;
    near = nearest_name(slice_make(argument + 2, len - 2), names, count);
    if (near == NULL)
        return complain("unknown option \"%s\"", argument);
    fprintf(stderr, "pelayan: unknown option \"%s\": did you mean \"--%s\"?\n", argument, near);
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
    char key[64];

    if (flag != NULL)
        return take_flag(cursor, flag, equals);
    snprintf(key, sizeof key, "%.*s", (int)len, name);
    option = cursor->specs ? option_find(key) : NULL;
    if (option != NULL && option->kind != OPTION_OTHER)
        return take_option(cursor, option, equals);
    option = cursor->specs && strncmp(key, "no-", 3) == 0 ? option_find(key + 3) : NULL;
    if (option != NULL && equals == NULL)
        return option->kind == OPTION_NOTHING || set(cursor, option, json_false());
    return unknown(argument);
}

static bool take_short(struct cursor *cursor)
{
    const char *argument = cursor->argv[cursor->index];

    for (size_t i = 0; i < COUNT(flags); i++) {
        if (flags[i].letter != NULL && strcmp(flags[i].letter, argument) == 0)
            return take_flag(cursor, &flags[i], NULL);
    }
    for (size_t i = 0; cursor->specs && i < app_option_count; i++) {
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

bool app_args_parse(struct app_args *args, int argc, char **argv, bool specs)
{
    struct cursor cursor = {.args = args, .argc = argc, .argv = argv, .specs = specs};

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
