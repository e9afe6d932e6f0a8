/* The conditions of `if`. Runs in: load: any; evaluation: worker, loop thread. */
#include "http/features/rewrite.h"

#include "base/arena.h"
#include "config/loader.h"
#include "config/regex.h"
#include "config/snapshot.h"

#include <errno.h>
#include <sys/stat.h>

enum { WORDS_MAX = 3 };

/* The words between the parentheses, which may stand apart or touch their neighbours. */
static bool take_words(struct conf_call *call, struct slice words[WORDS_MAX], size_t *count)
{
    size_t last = conf_arg_count(call) - 1;
    struct slice first_word = conf_arg(call, 1);

    *count = 0;
    if (first_word.len == 0 || first_word.data[0] != '(' ||
        !slice_ends(conf_arg(call, last), slice_of(")")))
        return false;
    for (size_t i = 1; i <= last; i++) {
        struct slice word = conf_arg(call, i);

        if (i == 1)
            word = slice_skip(word, 1);
        if (i == last)
            word = slice_head(word, word.len - 1);
        bool compares_with_nothing = *count == 2 && slice_starts(words[0], slice_of("$"));

        if (word.len == 0 && (i == 1 || (i == last && !compares_with_nothing)))
            continue; /* a parenthesis that stood alone */
        if (*count == WORDS_MAX)
            return false;
        words[(*count)++] = word;
    }
    return *count > 0;
}

static bool compile_operand(struct conf_call *call, struct slice text, struct condition *condition)
{
    const char *error;

    condition->operand = template_compile(call->loader->variables, call->loader->arena, text,
                                          &error);
    return condition->operand != NULL || conf_error(call, 1, "%s", error);
}

static bool parse_match(struct conf_call *call, struct slice op, struct slice pattern,
                        struct condition *condition)
{
    const struct snapshot *snapshot = call->loader->context;
    const char *error;

    condition->kind = COND_MATCH;
    condition->pattern = arena_copy(call->loader->arena, pattern);
    condition->regex = regex_compile(snapshot->regexes, pattern, slice_ends(op, slice_of("*")),
                                     &error);
    return condition->regex != NULL || conf_error(call, 1, "%s", error);
}

/* "$a", "$a = b", "$a ~ b". */
static bool parse_variable(struct conf_call *call, struct slice *words, size_t count,
                           struct condition *condition)
{
    struct slice name = slice_skip(words[0], 1);
    struct slice op;

    if (name.len > 2 && name.data[0] == '{' && slice_ends(name, slice_of("}")))
        name = slice_make(name.data + 1, name.len - 2);
    condition->variable = variables_find(call->loader->variables, name);
    if (condition->variable == NULL)
        return conf_error(call, 1, "unknown \"%.*s\" variable", SLICE_ARG(name));
    condition->kind = COND_TRUE;
    if (count == 1)
        return true;
    if (count != 3)
        return conf_error(call, 1, "invalid condition \"%.*s\"", SLICE_ARG(words[0]));
    op = words[1];
    condition->negative = op.len > 0 && op.data[0] == '!';
    if (slice_eq(op, slice_of("=")) || slice_eq(op, slice_of("!="))) {
        condition->kind = COND_EQUAL;
        return compile_operand(call, words[2], condition);
    }
    if (condition->negative)
        op = slice_skip(op, 1);
    if (slice_eq(op, slice_of("~")) || slice_eq(op, slice_of("~*")))
        return parse_match(call, op, words[2], condition);
    return conf_error(call, 1, "unexpected \"%.*s\" in condition", SLICE_ARG(words[1]));
}

/* "-f path", "!-d path". */
static bool parse_file_test(struct conf_call *call, struct slice *words, size_t count,
                            struct condition *condition)
{
    struct slice op = words[0];

    condition->negative = op.len > 0 && op.data[0] == '!';
    if (condition->negative)
        op = slice_skip(op, 1);
    if (count != 2 || op.len != 2 || op.data[0] != '-' || memchr("fdex", op.data[1], 4) == NULL)
        return conf_error(call, 1, "invalid condition \"%.*s\"", SLICE_ARG(words[0]));
    condition->kind = COND_FILE;
    condition->test = op.data[1];
    return compile_operand(call, words[1], condition);
}

bool condition_parse(struct conf_call *call, struct condition *condition)
{
    struct slice words[WORDS_MAX];
    size_t count;

    if (!take_words(call, words, &count))
        return conf_error(call, 1, "invalid condition \"%.*s\"", SLICE_ARG(conf_arg(call, 1)));
    if (words[0].len > 1 && words[0].data[0] == '$')
        return parse_variable(call, words, count, condition);
    return parse_file_test(call, words, count, condition);
}

static bool file_is(struct exchange *x, const struct condition *condition)
{
    struct slice path;
    struct stat st;

    if (!template_eval(condition->operand, &x->subject, &path))
        return false;
    path = arena_copy(x->subject.arena, path);
    if (path.data == NULL || memchr(path.data, '\0', path.len) != NULL)
        return false;
    if (stat(path.data, &st) != 0) {
        if (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG)
            log_about(&x->log, LOG_LEVEL_CRIT, errno, "stat() \"%s\" failed", path.data);
        return false;
    }
    switch (condition->test) {
    case 'f':
        return S_ISREG(st.st_mode);
    case 'd':
        return S_ISDIR(st.st_mode);
    case 'x':
        return (st.st_mode & S_IXUSR) != 0;
    default:
        return true;
    }
}

static enum regex_match matches(struct exchange *x, const struct condition *condition,
                                struct slice text, const struct rewrite_conf *conf)
{
    enum regex_match match = regex_match(condition->regex, text, &x->subject);

    if (match == REGEX_FAILED)
        log_about(&x->log, LOG_LEVEL_ALERT, 0, "matching \"%.*s\" gave up at a limit",
                  SLICE_ARG(condition->pattern));
    if (conf->log)
        log_about(&x->log, LOG_LEVEL_NOTICE, 0, "\"%.*s\" %s \"%.*s\"",
                  SLICE_ARG(condition->pattern), match == REGEX_YES ? "matches" : "does not match",
                  SLICE_ARG(text));
    return match;
}

bool condition_holds(const struct condition *condition, struct exchange *x,
                     const struct rewrite_conf *conf, bool *failed)
{
    unsigned undecided = x->subject.undecided;
    enum regex_match match;
    struct slice text = {0};
    struct slice operand;
    bool holds = false;

    *failed = false;
    if (condition->variable != NULL)
        (void)variable_value(&x->subject, condition->variable, &text);
    switch (condition->kind) {
    case COND_TRUE:
        holds = text.len > 0 && !slice_eq(text, slice_of("0"));
        break;
    case COND_EQUAL:
        holds = template_eval(condition->operand, &x->subject, &operand) && slice_eq(text, operand);
        break;
    case COND_MATCH:
        match = matches(x, condition, text, conf);
        *failed = match == REGEX_FAILED;
        holds = match == REGEX_YES;
        break;
    case COND_FILE:
        holds = file_is(x, condition);
        break;
    }
    if (x->subject.undecided != undecided)
        *failed = true;
    return holds != condition->negative;
}
