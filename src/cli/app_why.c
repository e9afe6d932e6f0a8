/* pelayan why: what apps died of. Runs in: the process the user started. */
#include "base/list.h"
#include "cli/app_args.h"
#include "cli/app_commands.h"
#include "cli/app_shared.h"
#include "cli/home.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *text_at(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

static void print_time(const char *before, json_int_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    char text[64] = "";
    struct tm parts;

    if (wall_ms > 0 && localtime_r(&seconds, &parts) != NULL)
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
    printf("%s%s", before, text);
}

static void print_lines(const char *lines)
{
    while (*lines != '\0') {
        size_t len = strcspn(lines, "\n");

        printf("    %.*s\n", (int)len, lines);
        lines += len + (lines[len] == '\n');
    }
}

static void explain(json_t *instance)
{
    json_t *env = json_object_get(instance, "pm2_env");
    json_t *end = json_object_get(env, "last_end");
    json_int_t memory = json_integer_value(json_object_get(end, "memory_peak"));
    const char *lines = text_at(env, "last_error_lines");

    printf("%s (%d): %s", text_at(instance, "name"),
           (int)json_integer_value(json_object_get(instance, "pm_id")), text_at(env, "status"));
    if (text_at(env, "reason")[0] == '\0') {
        puts(strcmp(text_at(env, "status"), "stopped") == 0
                 ? ", because somebody stopped it"
                 : ", and nothing has gone wrong since it was started");
        return;
    }
    printf("\n  reason: %s\n", text_at(env, "reason"));
    if (end != NULL) {
        print_time("  lived:  ", json_integer_value(json_object_get(end, "started_at")));
        print_time(" to ", json_integer_value(json_object_get(end, "ended_at")));
        printf(", with at most %.1f MB of memory\n", (double)memory / 1048576);
    }
    if (lines[0] != '\0') {
        puts("  its last error lines:");
        print_lines(lines);
    }
}

int app_why(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    json_t *list = NULL;
    json_t *instance;
    size_t index;
    int code = 1;

    (void)options;
    if (app_args_parse(&args, argc, argv, ARGS_PLAIN)) {
        const char *target = args.word_count > 0 ? args.words[0] : "all";

        code = app_code(
            home_ask("list", json_pack("{s:s}", "target", target), HOME_IF_RUNNING, &list));
    }
    if (code == 0 && args.json) {
        json_dumpf(list, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (code == 0) {
        json_array_foreach(list, index, instance) explain(instance);
    }
    json_decref(list);
    app_args_fini(&args);
    return code;
}
