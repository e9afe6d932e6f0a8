/* Goal: variables are found, remembered, assigned and put together as nginx does. */
#include "tests/unit/check.h"

#include "base/arena.h"
#include "base/list.h"
#include "base/log.h"
#include "config/variable.h"

#include <string.h>

static unsigned asked;
static unsigned unset_seen;

/* Its value is how often it was asked: "1", "2"... */
static bool get_count(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)v;
    *text = arena_printf(subject->arena, "%u", ++asked);
    return true;
}

static bool get_name(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)subject;
    *text = v->name;
    return true;
}

static bool get_none(struct subject *subject, const struct variable *v, struct slice *text)
{
    (void)subject;
    (void)v;
    *text = slice_of("rubbish");
    return false;
}

/* $a is $b, and $b is $a. */
static bool get_other(struct subject *subject, const struct variable *v, struct slice *text)
{
    return variable_value(subject, *(const struct variable *const *)v->data, text);
}

static struct slice assigned;

static bool take(struct subject *subject, const struct variable *v, struct slice text)
{
    (void)subject;
    (void)v;
    assigned = text;
    return true;
}

static void on_unset(struct subject *subject, const struct variable *variable)
{
    (void)subject;
    (void)variable;
    unset_seen++;
}

static const struct variable *circle[2];

static const struct variable table[] = {
    {.name = SLICE("once"), .get = get_count},
    {.name = SLICE("always"), .get = get_count, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("local"), .get = get_count, .flags = VARIABLE_LOCAL},
    {.name = SLICE("none"), .get = get_none},
    {.name = SLICE("name"), .get = get_name},
    {.name = SLICE("fixed"), .get = get_name},
    {.name = SLICE("args"), .get = get_name, .assign = take},
    {.name = SLICE("map"), .get = get_name, .flags = VARIABLE_CHANGEABLE},
    {.name = SLICE("http_"), .get = get_name, .flags = VARIABLE_PREFIX},
    {.name = SLICE("http_x_"), .get = get_count, .flags = VARIABLE_PREFIX},
    {.name = SLICE("http_host"), .get = get_none},
    {.name = SLICE("circle_a"), .get = get_other, .data = (uintptr_t)&circle[1]},
    {.name = SLICE("circle_b"), .get = get_other, .data = (uintptr_t)&circle[0]},
};

struct bench {
    struct arena *arena;
    struct variables *variables;
    struct subject subject;
};

static void bench_init(struct bench *bench)
{
    static const struct log silent;
    static const struct log_subject nobody = {.log = &silent};

    *bench = (struct bench){.arena = arena_new(4096)};
    CHECK(bench->arena != NULL);
    bench->variables = variables_new(bench->arena);
    CHECK(bench->variables != NULL);
    CHECK(variables_add_table(bench->variables, table, COUNT(table)));
    variables_on_unset(bench->variables, on_unset);
    bench->subject = (struct subject){
        .arena = bench->arena, .variables = bench->variables, .log = &nobody};
    asked = 0;
    unset_seen = 0;
}

static void bench_fini(struct bench *bench)
{
    arena_drop(bench->arena);
}

static const struct variable *find(struct bench *bench, const char *name)
{
    return variables_find(bench->variables, slice_of(name));
}

static struct slice value_of(struct bench *bench, const char *name)
{
    struct slice text;

    variable_value(&bench->subject, find(bench, name), &text);
    return text;
}

TEST(only_used_variables_take_room)
{
    struct bench bench;

    bench_init(&bench);
    CHECK_EQ(variables_slot_count(bench.variables), 0);
    CHECK(find(&bench, "once") != NULL);
    CHECK_EQ(find(&bench, "ONCE"), find(&bench, "once"), "names know no case");
    CHECK_EQ(variables_slot_count(bench.variables), 1);
    CHECK(find(&bench, "nothing") == NULL);
    CHECK_EQ(variables_slot_count(bench.variables), 1);
    CHECK_STR(variables_nearest(bench.variables, slice_of("onec")), "once");
    bench_fini(&bench);
}

TEST(families_have_members)
{
    struct bench bench;

    bench_init(&bench);
    (void)find(&bench, "http_accept"); /* slots are fixed before the first value is asked for */
    (void)find(&bench, "http_x_y");
    (void)find(&bench, "http_host");
    CHECK_SLICE(value_of(&bench, "http_Accept"), "http_accept");
    CHECK_SLICE(value_of(&bench, "http_x_y"), "1", "the longest prefix");
    CHECK_SLICE(value_of(&bench, "http_host"), "", "the variable of its own");
    CHECK(find(&bench, "http_") == NULL, "a member has a name");
    bench_fini(&bench);
}

TEST(values_are_remembered)
{
    struct bench bench;
    struct slice text;
    const struct variable *none;

    bench_init(&bench);
    none = find(&bench, "none");
    (void)find(&bench, "once");
    (void)find(&bench, "always");
    (void)find(&bench, "local");
    CHECK_SLICE(value_of(&bench, "once"), "1");
    CHECK_SLICE(value_of(&bench, "once"), "1");
    CHECK_SLICE(value_of(&bench, "always"), "2");
    CHECK_SLICE(value_of(&bench, "always"), "3");
    CHECK_SLICE(value_of(&bench, "local"), "4");
    CHECK_SLICE(value_of(&bench, "local"), "4");
    subject_flush_volatile(&bench.subject);
    CHECK_SLICE(value_of(&bench, "local"), "5");
    CHECK_SLICE(value_of(&bench, "once"), "1");
    CHECK(!variable_value(&bench.subject, none, &text));
    CHECK_EQ(text.len, 0, "what the getter left is not seen");
    bench_fini(&bench);
}

TEST(assignment_declares_and_overrides)
{
    struct bench bench;
    const struct variable *own;
    const struct variable *member;
    struct slice text;

    bench_init(&bench);
    own = variables_declare(bench.variables, slice_of("Own"));
    CHECK(own != NULL);
    CHECK_EQ(variables_declare(bench.variables, slice_of("own")), own);
    CHECK(variables_declare(bench.variables, slice_of("fixed")) == NULL, "read-only");
    CHECK_EQ(variables_declare(bench.variables, slice_of("map")), find(&bench, "map"));
    member = variables_declare(bench.variables, slice_of("http_z"));
    CHECK(member != NULL, "a member becomes a variable of its own");
    CHECK(variables_declare(bench.variables, slice_of("args")) != NULL);

    CHECK(!variable_value(&bench.subject, own, &text));
    CHECK_EQ(unset_seen, 1);
    CHECK(variable_assign(&bench.subject, own, slice_of("v")));
    CHECK(variable_value(&bench.subject, own, &text));
    CHECK_SLICE(text, "v");
    CHECK_SLICE(value_of(&bench, "map"), "map");
    CHECK(variable_assign(&bench.subject, find(&bench, "map"), slice_of("w")));
    CHECK_SLICE(value_of(&bench, "map"), "w");
    CHECK(variable_assign(&bench.subject, find(&bench, "args"), slice_of("q=1")));
    CHECK_SLICE(assigned, "q=1");
    subject_flush_volatile(&bench.subject);
    CHECK_SLICE(value_of(&bench, "own"), "v", "an internal redirect keeps it");
    bench_fini(&bench);
}

TEST(captures_are_declared_without_warnings)
{
    struct bench bench;
    const struct variable *capture;
    struct slice text;

    bench_init(&bench);
    capture = variables_declare_capture(bench.variables, slice_of("sub"));
    CHECK(!variable_value(&bench.subject, capture, &text));
    CHECK_EQ(unset_seen, 0);
    bench.subject.values = NULL;
    CHECK_EQ(variables_declare(bench.variables, slice_of("sub")), capture);
    CHECK(!variable_value(&bench.subject, capture, &text));
    CHECK_EQ(unset_seen, 1, "`set` of the same name does warn");
    bench_fini(&bench);
}

TEST(names_exist_once)
{
    static const struct variable fixed = {.name = SLICE("fixed"), .get = get_name};
    static const struct variable map = {.name = SLICE("map"), .get = get_count};
    struct bench bench;
    const struct variable *before;

    bench_init(&bench);
    before = find(&bench, "map");
    CHECK(!variables_add(bench.variables, &fixed));
    CHECK(variables_add(bench.variables, &map));
    CHECK_EQ(find(&bench, "map"), before, "in its old place");
    CHECK_SLICE(value_of(&bench, "map"), "1");
    bench_fini(&bench);
}

static unsigned pending_count;

static void on_pending(void *data, const struct variable *variable)
{
    (void)data;
    (void)variable;
    pending_count++;
}

TEST(definitions_may_come_after_uses)
{
    static const struct variable later = {.name = SLICE("later"), .get = get_name};
    struct bench bench;
    const struct variable *variable;
    const struct variable *never;

    bench_init(&bench);
    pending_count = 0;
    variables_expect(bench.variables, on_pending, NULL);
    variable = find(&bench, "later");
    never = find(&bench, "never");
    CHECK(variable != NULL);
    CHECK(!variables_known(variable));
    CHECK_EQ(pending_count, 2);
    CHECK(variables_add(bench.variables, &later));
    CHECK(variables_known(variable));
    CHECK(!variables_known(never));
    CHECK_SLICE(value_of(&bench, "later"), "later");
    CHECK_EQ(pending_count, 2);
    variables_expect(bench.variables, NULL, NULL);
    CHECK(find(&bench, "other") == NULL);
    bench_fini(&bench);
}

TEST(a_circle_of_variables_ends)
{
    struct bench bench;

    bench_init(&bench);
    circle[0] = find(&bench, "circle_a");
    circle[1] = find(&bench, "circle_b");
    CHECK_SLICE(value_of(&bench, "circle_a"), "");
    bench_fini(&bench);
}

/* ---- templates */

static const struct {
    const char *text;
    const char *want;
    bool truth;
} templates[] = {
    {"", "", false},
    {"0", "0", false},
    {"00", "00", true},
    {"plain \\text", "plain \\text", true},
    {"$name", "name", true},
    {"$none", "", false},
    {"${name}", "name", true},
    {"a$name-b", "aname-b", true},
    {"${name}name", "namename", true},
    {"$1", "one", true},
    {"$1$2x",
     "one"
     "x",
     true},
    {"$12", "one2", true},
    {"$9", "", false},
    {"$none$none", "", false},
    {"$always$always", "12", true},
    {"$NAME", "name", true},
    {"$http_a_b/", "http_a_b/", true},
};

TEST(templates_have_their_text)
{
    for (size_t i = 0; i < COUNT(templates); i++) {
        struct bench bench;
        const char *error;
        struct template *template;
        struct slice text;

        bench_init(&bench);
        template = template_compile(bench.variables, bench.arena, slice_of(templates[i].text),
                                    &error);
        CHECK(template != NULL, templates[i].text);
        CHECK(error == NULL, templates[i].text);
        bench.subject.captures[1] = slice_of("one");
        bench.subject.capture_count = 2;
        CHECK(template_eval(template, &bench.subject, &text), templates[i].text);
        CHECK_SLICE(text, templates[i].want, templates[i].text);
        asked = 0;
        CHECK_EQ(template_true(template, &bench.subject), templates[i].truth, templates[i].text);
        bench_fini(&bench);
    }
}

TEST(one_variable_is_not_copied)
{
    struct bench bench;
    const char *error;
    struct template *template;
    struct slice text;

    bench_init(&bench);
    template = template_compile(bench.variables, bench.arena, slice_of("$name"), &error);
    CHECK(template_eval(template, &bench.subject, &text));
    CHECK_EQ((const void *)text.data, find(&bench, "name")->name.data);
    bench_fini(&bench);
}

TEST(long_templates_are_whole)
{
    struct bench bench;
    char source[1000];
    const char *error;
    struct template *template;
    struct slice text;

    bench_init(&bench);
    for (size_t i = 0; i < 100; i++)
        memcpy(source + 7 * i, "-$name-", 7);
    template = template_compile(bench.variables, bench.arena, slice_make(source, 700), &error);
    CHECK(template != NULL);
    CHECK(template_eval(template, &bench.subject, &text));
    CHECK_EQ(text.len, 600);
    CHECK(slice_ends(text, slice_of("--name-")));
    CHECK_EQ(text.data[text.len], '\0', "ends in a NUL");
    bench_fini(&bench);
}

static const struct {
    const char *text;
    const char *error;
} bad_templates[] = {
    {"$", "invalid variable name at character 1"},
    {"ab$", "invalid variable name at character 3"},
    {"$-", "invalid variable name at character 1"},
    {"${}", "invalid variable name at character 1"},
    {"${name", "the closing bracket in \"name\" variable is missing"},
    {"${na-me}", "the closing bracket in \"na\" variable is missing"},
    {"$nothing", "unknown \"nothing\" variable"},
    {"$0", "unknown \"0\" variable"},
    {"${1}", "unknown \"1\" variable"},
};

TEST(bad_templates_are_refused)
{
    struct bench bench;

    bench_init(&bench);
    for (size_t i = 0; i < COUNT(bad_templates); i++) {
        const char *error = NULL;

        CHECK(template_compile(bench.variables, bench.arena, slice_of(bad_templates[i].text),
                               &error) == NULL,
              bad_templates[i].text);
        CHECK_STR(error, bad_templates[i].error, bad_templates[i].text);
    }
    bench_fini(&bench);
}
