/* From JSON to a spec. */
#include "apps/spec.h"
#include "base/diag.h"
#include "base/list.h"
#include "tests/unit/check.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct app_spec *parse(const char *text, struct diag *diag)
{
    json_t *json = json_loads(text, 0, NULL);
    struct app_spec *spec;

    CHECK(json != NULL, text);
    diag_init(diag);
    spec = spec_new(json, NULL, NULL, diag);
    json_decref(json);
    return spec;
}

TEST(defaults_are_pm2s)
{
    struct diag diag;
    struct app_spec *spec = parse("{\"script\":\"app.js\",\"cwd\":\"/srv\"}", &diag);

    CHECK(spec != NULL);
    CHECK_STR(spec->name, "app");
    CHECK_STR(spec->namespace, "default");
    CHECK_EQ(spec->min_uptime_ms, 1000);
    CHECK_EQ(spec->max_restarts, 16);
    CHECK_EQ(spec->kill_timeout_ms, 1600);
    CHECK_EQ(spec->kill_number, SIGINT);
    CHECK_EQ(spec->listen_timeout_ms, 3000);
    CHECK_STR(spec->instance_var, "NODE_APP_INSTANCE");
    CHECK(spec->autorestart && spec->treekill && spec->autostart && !spec->merge_logs);
    CHECK_EQ(diag.warning_count, 0);
    diag_fini(&diag);
    spec_unref(spec);
}

TEST(every_spelling)
{
    struct diag diag;
    struct app_spec *spec = parse(
        "{\"exec\":\"a.py\",\"cwd\":\"/\",\"maxMemoryRestart\":\"300M\",\"min_uptime\":\"5m\","
        "\"node_args\":\"--a 'b c' d\\\\ e\",\"stopExitCodes\":[0,3],\"instances\":\"max\","
        "\"watch\":[\"src\",\"lib\"],\"filter_env\":\"SECRET\",\"combine_logs\":\"true\","
        "\"max-restarts\":\"4\",\"error\":\"/tmp/e\",\"ready\":\"http /health\"}",
        &diag);

    CHECK(spec != NULL);
    CHECK_EQ(spec->max_memory_bytes, 300 << 20);
    CHECK_EQ(spec->min_uptime_ms, 300000);
    CHECK_EQ(spec->node_args.count, 3);
    CHECK_STR(spec->node_args.items[1], "b c");
    CHECK_STR(spec->node_args.items[2], "d e");
    CHECK_EQ(spec->stop_exit_codes.items[1], 3);
    CHECK(spec->watch.on && spec->watch.words.count == 2);
    CHECK(spec->filter_env.on && spec->merge_logs);
    CHECK_EQ(spec->max_restarts, 4);
    CHECK_STR(spec->error_file, "/tmp/e");
    CHECK_EQ(spec->ready_kind, READY_HTTP);
    CHECK_STR(spec->ready_argument, "/health");
    CHECK_EQ(spec->listen_timeout_ms, 30000);
    diag_fini(&diag);
    spec_unref(spec);
}

TEST(unknown_keys_are_named_with_the_nearest)
{
    struct diag diag;
    struct app_spec *spec = parse(
        "{\"script\":\"a.js\",\"cwd\":\"/\",\"max_restart\":3,\"vizion\":true}", &diag);

    CHECK(spec != NULL);
    CHECK_EQ(diag.warning_count, 2);
    CHECK_STR(diag.first->message, "unknown key \"max_restart\" is ignored");
    CHECK_STR(diag.first->hint, "did you mean \"max_restarts\"?");
    diag_fini(&diag);
    spec_unref(spec);
}

TEST(what_does_not_fit_is_refused)
{
    static const char *const cases[] = {
        "{}",
        "{\"script\":\"\",\"cwd\":\"/\"}",
        "{\"script\":\"a\"}",
        "{\"script\":\"a\",\"cwd\":\"relative\"}",
        "{\"script\":\"a\",\"cwd\":\"/\",\"max_restarts\":-1}",
        "{\"script\":\"a\",\"cwd\":\"/\",\"max_restarts\":\"many\"}",
        "{\"script\":\"a\",\"cwd\":\"/\",\"kill_timeout\":\"soon\"}",
        "{\"script\":\"a\",\"cwd\":\"/\",\"kill_signal\":\"SIGNONE\"}",
        "{\"script\":\"a\",\"cwd\":\"/\",\"instances\":\"some\"}",
        "{\"script\":\"a\",\"cwd\":\"/\",\"env\":[1]}",
        "{\"script\":\"a\",\"cwd\":\"/\",\"env\":{\"A=B\":\"1\"}}",
        "{\"script\":\"a\",\"cwd\":\"/\",\"cron_restart\":\"often\"}",
        "{\"script\":\"a\",\"cwd\":\"/\",\"ready\":\"maybe\"}",
        "{\"script\":\"a\",\"cwd\":\"/\",\"umask\":\"999\"}",
        "{\"script\":\"a\",\"cwd\":\"/\",\"autorestart\":\"perhaps\"}",
        "{\"script\":\"a\",\"cwd\":\"/\",\"port\":70000}",
        "{\"script\":\"a\",\"cwd\":\"/\",\"name\":\"two\\nlines\"}",
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct diag diag;

        CHECK(parse(cases[i], &diag) == NULL, cases[i]);
        CHECK(diag_failed(&diag), cases[i]);
        diag_fini(&diag);
    }
}

TEST(env_of_a_name_lies_over_env)
{
    json_t *json = json_loads("{\"script\":\"a\",\"cwd\":\"/\",\"env\":{\"A\":\"1\",\"B\":\"2\"},"
                              "\"env_production\":{\"B\":\"3\"}}",
                              0, NULL);
    struct diag diag;
    struct app_spec *spec;

    diag_init(&diag);
    spec = spec_new(json, "production", NULL, &diag);
    CHECK(spec != NULL);
    CHECK_STR(json_string_value(json_object_get(spec->env, "A")), "1");
    CHECK_STR(json_string_value(json_object_get(spec->env, "B")), "3");
    diag_fini(&diag);
    spec_unref(spec);
    json_decref(json);
}

/* Goal: each row's default is accepted by its own parser, and each row is found and explained. */
TEST(the_table_is_sound)
{
    for (size_t i = 0; i < app_option_count; i++) {
        const struct option *option = &app_options[i];

        CHECK(option_find(option->name) == option, option->name);
        CHECK(option->doc != NULL && option->doc[0] != '\0', option->name);
        CHECK(option->min <= option->max, option->name);
    }
}

TEST(instance_counts)
{
    static const struct {
        const char *text;
        int count; /* 0: no number */
    } cases[] = {{"1", 1}, {"7", 7}, {"max", 4}, {"0", 4}, {"-1", 3}, {"-9", 1}, {"x", 0}, {"", 0}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        int count = 0;

        CHECK_EQ(spec_instance_count(cases[i].text, 4, &count), cases[i].count != 0, cases[i].text);
        CHECK_EQ(count, cases[i].count, cases[i].text);
    }
}
