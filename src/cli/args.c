/* The command line. Runs in: the process the user started. */
#include "cli/args.h"

#include "base/list.h"

#include <stdio.h>
#include <string.h>

struct letter {
    char letter;
    bool *flag;         /* set by the letter, or */
    const char **value; /* takes what follows */
    const char *what;   /* the value's name */
};

struct cursor {
    int argc;
    char *const *argv;
    int index;
};

static bool fail(struct args *args, const char *format, const char *what)
{
    snprintf(args->error, sizeof args->error, format, what);
    return false;
}

bool args_is_signal(const char *word)
{
    static const char *const names[] = {"stop", "quit", "reopen", "reload"};

    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(word, names[i]) == 0)
            return true;
    }
    return false;
}

static bool check_signal(struct args *args)
{
    if (args_is_signal(args->signal))
        return true;
    return fail(args, "invalid option: \"-s %.200s\"", args->signal);
}

static bool take_value(struct args *args, const struct letter *letter, struct cursor *cursor,
                       const char *rest)
{
    bool may_be_empty = false;

    if (*rest == '\0' && cursor->index + 1 < cursor->argc) {
        rest = cursor->argv[++cursor->index];
        may_be_empty = letter->letter == 'g'; /* -g "$EXTRA" of a script */
    }
    if (*rest == '\0' && !may_be_empty) {
        snprintf(args->error, sizeof args->error, "option \"-%c\" requires %s", letter->letter,
                 letter->what);
        return false;
    }
    *letter->value = rest;
    return letter->letter != 's' || check_signal(args);
}

static bool parse_letters(struct args *args, struct cursor *cursor)
{
    const struct letter letters[] = {
        {'h', &args->help, NULL, NULL},
        {'?', &args->help, NULL, NULL},
        {'v', &args->version, NULL, NULL},
        {'V', &args->configure, NULL, NULL},
        {'t', &args->test, NULL, NULL},
        {'T', &args->dump, NULL, NULL},
        {'q', &args->quiet, NULL, NULL},
        {'c', NULL, &args->conf, "file name"},
        {'p', NULL, &args->prefix, "directory name"},
        {'e', NULL, &args->error_log, "file name"},
        {'g', NULL, &args->directives, "parameter"},
        {'s', NULL, &args->signal, "parameter"},
    };

    for (const char *at = cursor->argv[cursor->index] + 1; *at != '\0'; at++) {
        const struct letter *found = NULL;
        char text[2] = {*at, '\0'};

        for (size_t i = 0; i < COUNT(letters); i++) {
            if (letters[i].letter == *at)
                found = &letters[i];
        }
        if (found == NULL)
            return fail(args, "invalid option: \"%s\"", text);
        if (found->value != NULL)
            return take_value(args, found, cursor, at + 1);
        *found->flag = true;
    }
    return true;
}

static bool parse_word(struct args *args, const char *word)
{
    if (strcmp(word, "--strict") == 0)
        args->strict = true;
    else if (strcmp(word, "--help") == 0)
        args->help = true;
    else if (strcmp(word, "--version") == 0)
        args->version = true;
    else
        return fail(args, "invalid option: \"%.200s\"", word);
    return true;
}

bool args_parse(struct args *args, int argc, char *const *argv)
{
    struct cursor cursor = {.argc = argc, .argv = argv, .index = 1};

    *args = (struct args){.command = 0};
    for (; cursor.index < argc; cursor.index++) {
        const char *word = argv[cursor.index];

        if (word[0] != '-') {
            args->command = cursor.index;
            break;
        }
        if (word[1] == '\0')
            return fail(args, "invalid option: \"%s\"", word);
        if (word[1] == '-' ? !parse_word(args, word) : !parse_letters(args, &cursor))
            return false;
    }
    args->test = args->test || args->dump;
    return true;
}
