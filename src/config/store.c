/* From words to fields: one function per kind. Runs in: any process, at load time. */
#include "config/kinds_internal.h"

#include "base/arena.h"
#include "base/diag.h"
#include "config/loader.h"
#include "config/variable.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

enum { ARGS_ANY = UINT8_MAX };

struct arg_range directive_args(const struct directive *directive)
{
    switch (directive->field.kind) {
    case CONF_CUSTOM:
    case CONF_NOTHING:
        return (struct arg_range){directive->args_min, directive->args_max};
    case CONF_BITS:
        return (struct arg_range){1, ARGS_ANY};
    case CONF_BUFFERS:
        return (struct arg_range){2, 2};
    default:
        return (struct arg_range){1, 1};
    }
}

struct value_range directive_bounds(const struct directive *directive)
{
    bool is_int = directive->field.kind == CONF_INT || directive->field.kind == CONF_BUFFERS;
    int64_t largest = is_int ? INT_MAX : INT64_MAX;

    if (directive->max == 0)
        return (struct value_range){directive->min, largest};
    return (struct value_range){directive->min, directive->max};
}

static void *field_of(struct conf_call *call)
{
    return (char *)call->conf + call->directive->field.offset;
}

static bool invalid(struct conf_call *call, const char *what, const char *hint)
{
    conf_error(call, 1, "\"%s\" directive invalid %s", call->directive->name, what);
    conf_hint(call, "%s", hint);
    return false;
}

static bool within_bounds(struct conf_call *call, int64_t value)
{
    struct value_range range = directive_bounds(call->directive);

    if (value >= range.min && value <= range.max)
        return true;
    if (call->directive->max == 0)
        return conf_error(call, 1, "value must be equal to or greater than %lld",
                          (long long)range.min);
    return conf_error(call, 1, "value must be between %lld and %lld", (long long)range.min,
                      (long long)range.max);
}

static bool store_flag(struct conf_call *call)
{
    if (conf_parse_flag(conf_arg(call, 1), field_of(call)))
        return true;
    return conf_error(call, 1,
                      "invalid value \"%.*s\" in \"%s\" directive, it must be \"on\" or \"off\"",
                      SLICE_ARG(conf_arg(call, 1)), call->directive->name);
}

static bool store_int(struct conf_call *call)
{
    int64_t value;

    if (!conf_parse_int(conf_arg(call, 1), 0, INT_MAX, &value))
        return invalid(call, "number", "a whole number is expected");
    if (!within_bounds(call, value))
        return false;
    *(int *)field_of(call) = (int)value;
    return true;
}

static bool store_time(struct conf_call *call)
{
    bool in_msec = call->directive->field.kind == CONF_MSEC;
    struct slice text = conf_arg(call, 1);
    uint64_t value;

    if (in_msec ? !conf_parse_msec(text, &value) : !conf_parse_sec(text, &value))
        return invalid(call, "value",
                       in_msec ? "a time is written like \"30s\", \"500ms\" or \"1h 30m\""
                               : "a time is written like \"30s\" or \"1h 30m\", in whole seconds");
    if (!within_bounds(call, (int64_t)value))
        return false;
    *(uint64_t *)field_of(call) = value;
    return true;
}

static bool store_bytes(struct conf_call *call)
{
    size_t value;

    if (!conf_parse_bytes(conf_arg(call, 1), &value))
        return invalid(call, "value", "a size is written like \"512\", \"8k\" or \"1m\"");
    if (!within_bounds(call, (int64_t)value))
        return false;
    *(size_t *)field_of(call) = value;
    return true;
}

static bool store_text(struct conf_call *call)
{
    struct slice copy = arena_copy(call->loader->arena, conf_arg(call, 1));

    if (copy.data == NULL)
        return conf_error(call, 1, "no memory");
    *(struct slice *)field_of(call) = copy;
    return true;
}

static const struct conf_word *find_word(const struct conf_word *words, struct slice text)
{
    for (; words->word != NULL; words++) {
        if (slice_eq_nocase(text, slice_of(words->word)))
            return words;
    }
    return NULL;
}

/* "it may be: a, b, c" */
static bool unknown_word(struct conf_call *call, size_t index)
{
    struct slice list = SLICE("");

    for (const struct conf_word *it = call->directive->words; it->word != NULL; it++)
        list = arena_printf(call->loader->scratch, "%.*s%s%s", SLICE_ARG(list),
                            list.len == 0 ? "" : ", ", it->word);
    conf_error(call, index, "invalid value \"%.*s\"", SLICE_ARG(conf_arg(call, index)));
    conf_hint(call, "it may be: %.*s", SLICE_ARG(list));
    return false;
}

static bool store_enum(struct conf_call *call)
{
    const struct conf_word *word = find_word(call->directive->words, conf_arg(call, 1));

    if (word == NULL)
        return unknown_word(call, 1);
    *(int *)field_of(call) = word->value;
    return true;
}

static bool store_bits(struct conf_call *call)
{
    unsigned bits = 0;

    for (size_t i = 1; i < conf_arg_count(call); i++) {
        const struct conf_word *word = find_word(call->directive->words, conf_arg(call, i));

        if (word == NULL)
            return unknown_word(call, i);
        if (word->value != 0 && (bits & (unsigned)word->value) == (unsigned)word->value)
            conf_warn(call, i, "duplicate value \"%s\"", word->word);
        bits |= (unsigned)word->value;
    }
    *(unsigned *)field_of(call) = bits;
    return true;
}

static bool store_template(struct conf_call *call)
{
    const char *error;
    struct template *template;

    assert(call->loader->variables != NULL);
    template = template_compile(call->loader->variables, call->loader->arena, conf_arg(call, 1),
                                &error);
    if (template == NULL)
        return conf_error(call, 1, "%s", error);
    *(struct template **)field_of(call) = template;
    return true;
}

static bool store_buffers(struct conf_call *call)
{
    struct conf_buffers *buffers = field_of(call);
    int64_t count;
    size_t bytes;

    if (!conf_parse_int(conf_arg(call, 1), 1, INT_MAX, &count) ||
        !conf_parse_bytes(conf_arg(call, 2), &bytes) || bytes == 0)
        return invalid(call, "value", "a number and a size are expected: \"8 4k\"");
    if (!within_bounds(call, count))
        return false;
    *buffers = (struct conf_buffers){.count = (int)count, .bytes = bytes};
    return true;
}

static bool store_nothing(struct conf_call *call)
{
    if (!call->directive->quiet)
        conf_warn(call, 0, "\"%s\" has no effect here: %s", call->directive->name,
                  call->directive->noop == NULL ? "accepted for compatibility"
                                                : call->directive->noop);
    return true;
}

static bool store_custom(struct conf_call *call)
{
    return call->directive->set(call);
}

bool conf_store(struct conf_call *call)
{
    static bool (*const stores[])(struct conf_call * call) = {
        [CONF_CUSTOM] = store_custom,   [CONF_FLAG] = store_flag,
        [CONF_INT] = store_int,         [CONF_MSEC] = store_time,
        [CONF_SEC] = store_time,        [CONF_BYTES] = store_bytes,
        [CONF_TEXT] = store_text,       [CONF_ENUM] = store_enum,
        [CONF_BITS] = store_bits,       [CONF_TEMPLATE] = store_template,
        [CONF_BUFFERS] = store_buffers, [CONF_NOTHING] = store_nothing,
    };
    const struct directive *row = call->directive;

    assert(row->field.kind < COUNT(stores));
    if (!stores[row->field.kind](call))
        return false;
    if (row->field.kind == CONF_CUSTOM || row->field.kind == CONF_NOTHING || row->check == NULL)
        return true;
    return row->check(call);
}
