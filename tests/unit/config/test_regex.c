/* Goal: patterns match, capture and fail as nginx users expect, in any thread. */
#include "tests/unit/check.h"

#include "base/arena.h"
#include "base/list.h"
#include "config/regex.h"
#include "config/variable.h"

#include <pthread.h>
#include <string.h>

struct bench {
    struct arena *arena;
    struct variables *variables;
    struct regex_set *set;
    struct subject subject;
};

static void bench_init(struct bench *bench)
{
    *bench = (struct bench){.arena = arena_new(4096)};
    CHECK(bench->arena != NULL);
    bench->variables = variables_new(bench->arena);
    bench->set = regex_set_new(bench->arena, bench->variables);
    CHECK(bench->set != NULL);
    bench->subject = (struct subject){.arena = bench->arena, .variables = bench->variables};
}

static struct regex *compile(struct bench *bench, const char *pattern, bool nocase)
{
    const char *error;
    struct regex *regex = regex_compile(bench->set, slice_of(pattern), nocase, &error);

    CHECK(regex != NULL, "%s: %s", pattern, error);
    return regex;
}

static const struct {
    const char *pattern;
    bool nocase;
    const char *text;
    enum regex_match want;
} matches[] = {
    {"\\.php$", false, "/a.php", REGEX_YES},
    {"\\.php$", false, "/a.PHP", REGEX_NO},
    {"\\.php$", true, "/a.PHP", REGEX_YES},
    {"^/(a|b)/", false, "/b/c", REGEX_YES},
    {"^/(a|b)/", false, "/c/b/", REGEX_NO},
    {"", false, "", REGEX_YES},
    {"^$", false, "", REGEX_YES},
    {"\xc3\xa9", false, "caf\xc3\xa9", REGEX_YES},
    {"(?i)ABC", false, "xabc", REGEX_YES},
};

TEST(patterns_match)
{
    struct bench bench;

    bench_init(&bench);
    for (size_t i = 0; i < COUNT(matches); i++)
        CHECK_EQ(regex_match(compile(&bench, matches[i].pattern, matches[i].nocase),
                             slice_of(matches[i].text), &bench.subject),
                 matches[i].want, matches[i].pattern);
    CHECK_EQ(regex_match(compile(&bench, "^$", false), slice_make(NULL, 0), NULL), REGEX_YES);
    arena_drop(bench.arena);
}

TEST(captures_are_set)
{
    struct bench bench;
    const struct variable *name;
    struct slice text;

    bench_init(&bench);
    CHECK_EQ(regex_match(compile(&bench, "^/(a+)(b)?/(?<Name>c*)(?<none>d)?", false),
                         slice_of("/aa/ccx"), &bench.subject),
             REGEX_YES);
    CHECK_SLICE(bench.subject.captures[0], "/aa/cc");
    CHECK_SLICE(bench.subject.captures[1], "aa");
    CHECK_SLICE(bench.subject.captures[2], "");
    CHECK_SLICE(bench.subject.captures[3], "cc");
    name = variables_find(bench.variables, slice_of("name"));
    CHECK(name != NULL);
    CHECK(variable_value(&bench.subject, name, &text));
    CHECK_SLICE(text, "cc");
    CHECK(variable_value(&bench.subject, variables_find(bench.variables, slice_of("none")), &text));
    CHECK_EQ(text.len, 0);
    CHECK_EQ(regex_match(compile(&bench, "x", false), slice_of("y"), &bench.subject), REGEX_NO);
    CHECK_SLICE(bench.subject.captures[1], "aa", "a failed match changes nothing");
    CHECK_EQ(regex_match(compile(&bench, "x", false), slice_of("x"), &bench.subject), REGEX_YES);
    CHECK_EQ(bench.subject.capture_count, 1);
    arena_drop(bench.arena);
}

TEST(more_groups_than_captures_are_no_harm)
{
    struct bench bench;

    bench_init(&bench);
    CHECK_EQ(regex_match(compile(&bench, "(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(?<k>k)", false),
                         slice_of("abcdefghijk"), &bench.subject),
             REGEX_YES);
    CHECK_EQ(bench.subject.capture_count, SUBJECT_CAPTURES_MAX);
    CHECK_SLICE(bench.subject.captures[9], "i");
    arena_drop(bench.arena);
}

TEST(equal_patterns_are_compiled_once)
{
    struct bench bench;

    bench_init(&bench);
    CHECK_EQ(compile(&bench, "a", false), compile(&bench, "a", false));
    CHECK_NE(compile(&bench, "a", false), compile(&bench, "a", true));
    CHECK_NE(compile(&bench, "a", false), compile(&bench, "ia", false));
    arena_drop(bench.arena);
}

TEST(bad_patterns_are_explained)
{
    static const struct variable fixed = {.name = SLICE("fixed")};
    struct bench bench;
    const char *error;

    bench_init(&bench);
    CHECK(regex_compile(bench.set, slice_of("a(b"), false, &error) == NULL);
    CHECK_STR(error, "pcre2_compile() failed: missing closing parenthesis in \"a(b\" at \"\"");
    CHECK(regex_compile(bench.set, slice_of("*"), false, &error) == NULL);
    CHECK(variables_add(bench.variables, &fixed));
    CHECK(regex_compile(bench.set, slice_of("(?<fixed>a)"), false, &error) == NULL);
    CHECK_STR(error, "the duplicate \"fixed\" variable");
    arena_drop(bench.arena);
}

/* Goal: a pattern that backtracks for ever is stopped by the limit, soon. */
TEST(patterns_cannot_run_for_ever)
{
    struct bench bench;
    char text[41];

    bench_init(&bench);
    memset(text, 'a', 40);
    text[40] = 'b';
    CHECK_EQ(regex_match(compile(&bench, "^(a+)+$", false), slice_make(text, 41), NULL),
             REGEX_FAILED);
    CHECK_EQ(regex_match(compile(&bench, "^(a|aa)+$", false), slice_make(text, 41), NULL),
             REGEX_FAILED);
    arena_drop(bench.arena);
}

static void *match_often(void *data)
{
    const struct regex *regex = data;
    struct subject subject = {0};

    for (unsigned i = 0; i < 1000; i++) {
        if (regex_match(regex, slice_of("/b/c"), &subject) != REGEX_YES ||
            !slice_eq(subject.captures[1], slice_of("b")))
            return NULL;
    }
    return data;
}

TEST(threads_do_not_share_their_matches)
{
    struct bench bench;
    struct regex *regex;
    pthread_t threads[4];
    void *result;

    bench_init(&bench);
    regex = compile(&bench, "^/(a|b)/", false);
    for (size_t i = 0; i < COUNT(threads); i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, match_often, regex), 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], &result);
        CHECK(result == regex);
    }
    arena_drop(bench.arena);
}
