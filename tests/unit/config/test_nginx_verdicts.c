/* Goal: what nginx accepts is accepted, what nginx refuses is refused, in its words.
 * Method: a table of odd configs with the verdicts of a real nginx (nginx_verdicts.py makes it).
 * All our errors are collected, nginx stops at its first: that one must be among ours. */
#include "tests/unit/check.h"

#include "tests/unit/config/fixture.h"

#include <stdlib.h>

struct verdict {
    const char *text;
    const char *want; /* nginx's message; NULL: accepted */
};

#include "tests/unit/config/nginx_verdicts.inc"

/* Where we differ, and why. */
static const struct verdict deviations[] = {
    {"http { log_format a '$'; }", "invalid variable name"}, /* log_format's own parser says it */
};

static const struct verdict *deviation(const char *text)
{
    for (size_t i = 0; i < COUNT(deviations); i++) {
        if (strcmp(deviations[i].text, text) == 0)
            return &deviations[i];
    }
    return NULL;
}

/* "events {}", a line end, and the text with its @FILL:n@ filled. Heap. */
static char *expand(const char *text)
{
    char *out = calloc(1, strlen(text) + 20000);
    size_t len = 0;

    CHECK(out != NULL);
    len = (size_t)snprintf(out, 16, "events {}\n");
    while (*text != '\0') {
        if (strncmp(text, "@FILL:", 6) == 0) {
            char *end;
            size_t count = strtoul(text + 6, &end, 10);

            memset(out + len, 'a', count);
            len += count;
            text = end + 1;
            continue;
        }
        out[len++] = *text++;
    }
    return out;
}

/* nginx names the folder of its own temporary file: the same as ours. */
static void check_config(const struct verdict *verdict)
{
    const struct verdict *ours = deviation(verdict->text);
    const char *want = ours == NULL ? verdict->want : ours->want;
    char *text = expand(verdict->text);
    struct world world;

    CHECK(world_init(&world));
    world_load(&world, slice_of(text));
    if (want == NULL)
        CHECK_EQ(world.diag.error_count, 0, "%s: %s", verdict->text,
                 world.diag.first == NULL ? "" : world.diag.first->message);
    else
        CHECK(world_says(&world, want) != NULL, "%s: \"%s\", but we say \"%s\"", verdict->text,
              want, world.diag.first == NULL ? "nothing" : world.diag.first->message);
    world_fini(&world);
    free(text);
}

TEST(grammar_is_nginxs)
{
    for (size_t i = 0; i < COUNT(grammar); i++)
        check_config(&grammar[i]);
}

TEST(words_are_nginxs)
{
    for (size_t i = 0; i < COUNT(words); i++)
        check_config(&words[i]);
}

/* As the word would reach a directive: without quotes. */
static struct slice bare(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && text[0] == '\'' ? slice_make(text + 1, len - 2) : slice_of(text);
}

TEST(times_are_nginxs)
{
    uint64_t value;

    for (size_t i = 0; i < COUNT(times_ms); i++)
        CHECK_EQ(conf_parse_msec(bare(times_ms[i].text), &value), times_ms[i].want == NULL,
                 times_ms[i].text);
    for (size_t i = 0; i < COUNT(times_s); i++)
        CHECK_EQ(conf_parse_sec(bare(times_s[i].text), &value), times_s[i].want == NULL,
                 times_s[i].text);
}

TEST(sizes_are_nginxs)
{
    size_t value;

    for (size_t i = 0; i < COUNT(sizes); i++)
        CHECK_EQ(conf_parse_bytes(bare(sizes[i].text), &value), sizes[i].want == NULL,
                 sizes[i].text);
}

TEST(numbers_are_nginxs)
{
    int64_t value;

    for (size_t i = 0; i < COUNT(numbers); i++)
        CHECK_EQ(conf_parse_int(bare(numbers[i].text), 0, INT64_MAX, &value),
                 numbers[i].want == NULL, numbers[i].text);
}

TEST(flags_are_nginxs)
{
    bool value;

    for (size_t i = 0; i < COUNT(flags); i++)
        CHECK_EQ(conf_parse_flag(bare(flags[i].text), &value), flags[i].want == NULL,
                 flags[i].text);
}
