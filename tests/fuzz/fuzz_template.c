/* Goal: no text crashes the compiler of templates, and what it takes is evaluated within bounds. */
#include "base/arena.h"
#include "base/list.h"
#include "base/log.h"
#include "config/variable.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Longer than its name, to move everything that follows. */
static bool get_twice(struct subject *subject, const struct variable *v, struct slice *text)
{
    *text = arena_printf(subject->arena, "%.*s%.*s", SLICE_ARG(v->name), SLICE_ARG(v->name));
    return text->data != NULL;
}

static bool get_none(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)subject;
    (void)v;
    (void)text;
    return false;
}

static const struct variable table[] = {
    {.name = SLICE("a"), .get = get_twice},
    {.name = SLICE("b"), .get = get_twice, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("none"), .get = get_none},
    {.name = SLICE("arg_"), .get = get_twice, .flags = VARIABLE_PREFIX},
};

static void check(struct template *template, struct subject *subject, struct slice source)
{
    struct slice text;
    struct slice again;

    assert(slice_eq(template->source, source));
    assert(template_eval(template, subject, &text));
    assert(template_eval(template, subject, &again));
    assert(slice_eq(text, again));
    assert(!template->constant || slice_eq(text, source));
    assert(template_true(template, subject) ==
           (text.len > 1 || (text.len == 1 && text.data[0] != '0')));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice source = slice_make((const char *)data, size);
    struct arena *arena = arena_new(256);
    struct variables *variables = variables_new(arena);
    struct subject subject = {.arena = arena, .variables = variables};
    struct template *template;
    const char *error;

    assert(variables_add_table(variables, table, COUNT(table)));
    subject.captures[1] = slice_make("one", 3);
    subject.capture_count = 2;
    template = template_compile(variables, arena, source, &error);
    assert((template == NULL) == (error != NULL));
    if (template != NULL)
        check(template, &subject, source);
    arena_drop(arena);
    return 0;
}
