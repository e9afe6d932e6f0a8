/* Tables of apps. Runs in: the process the user started. */
#include "cli/app_list.h"

#include "base/list.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CELL_BYTES = 160, COLUMNS = 11 };

static const char *text_at(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

static json_int_t number_at(json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static bool runs(json_t *instance)
{
    return number_at(instance, "pid") > 0;
}

static void print_since(char *out, json_int_t wall_ms)
{
    json_int_t seconds = (json_int_t)time(NULL) - wall_ms / 1000;

    if (seconds < 0)
        seconds = 0;
    if (seconds < 60)
        snprintf(out, CELL_BYTES, "%" PRId64 "s", (int64_t)seconds);
    else if (seconds < 3600)
        snprintf(out, CELL_BYTES, "%" PRId64 "m", (int64_t)seconds / 60);
    else if (seconds < 48 * 3600)
        snprintf(out, CELL_BYTES, "%" PRId64 "h", (int64_t)seconds / 3600);
    else
        snprintf(out, CELL_BYTES, "%" PRId64 "D", (int64_t)seconds / 86400);
}

static void print_bytes(char *out, json_int_t bytes)
{
    if (bytes < 1024 * 1024)
        snprintf(out, CELL_BYTES, "%.1fkb", (double)bytes / 1024);
    else if (bytes < 1024 * 1024 * 1024)
        snprintf(out, CELL_BYTES, "%.1fmb", (double)bytes / 1048576);
    else
        snprintf(out, CELL_BYTES, "%.1fgb", (double)bytes / 1073741824);
}

static void cell_id(json_t *instance, char *out)
{
    snprintf(out, CELL_BYTES, "%d", (int)number_at(instance, "pm_id"));
}

static void cell_name(json_t *instance, char *out)
{
    snprintf(out, CELL_BYTES, "%s", text_at(instance, "name"));
}

static void cell_namespace(json_t *instance, char *out)
{
    snprintf(out, CELL_BYTES, "%s", text_at(json_object_get(instance, "pm2_env"), "namespace"));
}

static void cell_mode(json_t *instance, char *out)
{
    const char *mode = text_at(json_object_get(instance, "pm2_env"), "exec_mode");

    snprintf(out, CELL_BYTES, "%s", strcmp(mode, "cluster_mode") == 0 ? "cluster" : "fork");
}

static void cell_pid(json_t *instance, char *out)
{
    snprintf(out, CELL_BYTES, "%d", (int)number_at(instance, "pid"));
}

static void cell_uptime(json_t *instance, char *out)
{
    if (runs(instance))
        print_since(out, number_at(json_object_get(instance, "pm2_env"), "pm_uptime"));
    else
        snprintf(out, CELL_BYTES, "0");
}

static void cell_restarts(json_t *instance, char *out)
{
    snprintf(out, CELL_BYTES, "%d",
             (int)number_at(json_object_get(instance, "pm2_env"), "restart_time"));
}

static void cell_status(json_t *instance, char *out)
{
    snprintf(out, CELL_BYTES, "%s", text_at(json_object_get(instance, "pm2_env"), "status"));
}

static void cell_cpu(json_t *instance, char *out)
{
    json_t *monit = json_object_get(instance, "monit");

    snprintf(out, CELL_BYTES, "%.1f%%", json_number_value(json_object_get(monit, "cpu")));
}

static void cell_memory(json_t *instance, char *out)
{
    print_bytes(out, number_at(json_object_get(instance, "monit"), "memory"));
}

static void cell_watching(json_t *instance, char *out)
{
    bool on = json_is_true(json_object_get(json_object_get(instance, "pm2_env"), "watch"));

    snprintf(out, CELL_BYTES, "%s", on ? "enabled" : "disabled");
}

static const struct {
    const char *title;
    void (*cell)(json_t *instance, char *out);
} columns[COLUMNS] = {
    {"id", cell_id},
    {"name", cell_name},
    {"namespace", cell_namespace},
    {"mode", cell_mode},
    {"pid", cell_pid},
    {"uptime", cell_uptime},
    {"\xe2\x86\xba", cell_restarts},
    {"status", cell_status},
    {"cpu", cell_cpu},
    {"mem", cell_memory},
    {"watching", cell_watching},
};

/* Columns on a terminal: bytes that begin a character. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static const char *colour_of(const char *status)
{
    if (strcmp(status, "online") == 0)
        return "\033[32m";
    return strcmp(status, "errored") == 0 ? "\033[31m" : "\033[33m";
}

static void print_rule(FILE *out, const size_t *widths, const char *left, const char *middle,
                       const char *right)
{
    fputs(left, out);
    for (size_t i = 0; i < COLUMNS; i++) {
        for (size_t dash = 0; dash < widths[i] + 2; dash++)
            fputs("\xe2\x94\x80", out);
        fputs(i + 1 < COLUMNS ? middle : right, out);
    }
    fputc('\n', out);
}

static void print_cell(FILE *out, const char *text, size_t width, const char *colour)
{
    fprintf(out, "\xe2\x94\x82 %s%s%s", colour, text, colour[0] == '\0' ? "" : "\033[0m");
    for (size_t at = width_of(text); at <= width; at++)
        fputc(' ', out);
}

static void measure(json_t *list, size_t *widths)
{
    char text[CELL_BYTES];
    json_t *instance;
    size_t index;

    for (size_t i = 0; i < COLUMNS; i++) {
        widths[i] = width_of(columns[i].title);
        json_array_foreach(list, index, instance)
        {
            columns[i].cell(instance, text);
            if (width_of(text) > widths[i])
                widths[i] = width_of(text);
        }
    }
}

void app_list_print(FILE *out, json_t *list, bool colour)
{
    size_t widths[COLUMNS];
    json_t *instance;
    size_t index;

    measure(list, widths);
    print_rule(out, widths, "\xe2\x94\x8c", "\xe2\x94\xac", "\xe2\x94\x90");
    for (size_t i = 0; i < COLUMNS; i++)
        print_cell(out, columns[i].title, widths[i], colour ? "\033[1;36m" : "");
    fputs("\xe2\x94\x82\n", out);
    print_rule(out, widths, "\xe2\x94\x9c", "\xe2\x94\xbc", "\xe2\x94\xa4");
    json_array_foreach(list, index, instance)
    {
        for (size_t i = 0; i < COLUMNS; i++) {
            char text[CELL_BYTES];
            bool painted = colour && columns[i].cell == cell_status;

            columns[i].cell(instance, text);
            print_cell(out, text, widths[i], painted ? colour_of(text) : "");
        }
        fputs("\xe2\x94\x82\n", out);
    }
    print_rule(out, widths, "\xe2\x94\x94", "\xe2\x94\xb4", "\xe2\x94\x98");
}

static void describe_value(FILE *out, const char *name, json_t *value)
{
    char *text;

    if (value == NULL)
        return;
    if (json_is_string(value)) {
        fprintf(out, "%-22s %s\n", name, json_string_value(value));
        return;
    }
    text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(4));
    fprintf(out, "%-22s %s\n", name, text == NULL ? "" : text);
    free(text);
}

void app_list_describe(FILE *out, json_t *instance)
{
    static const char *const names[] = {"status",
                                        "name",
                                        "namespace",
                                        "pm_id",
                                        "restart_time",
                                        "unstable_restarts",
                                        "reason",
                                        "exit_code",
                                        "exit_signal",
                                        "pm_exec_path",
                                        "args",
                                        "exec_interpreter",
                                        "node_args",
                                        "exec_mode",
                                        "instances",
                                        "pm_cwd",
                                        "pm_out_log_path",
                                        "pm_err_log_path",
                                        "pm_pid_path",
                                        "port",
                                        "socket",
                                        "watch",
                                        "autorestart",
                                        "max_memory_restart",
                                        "cron_restart",
                                        "env"};
    json_t *env = json_object_get(instance, "pm2_env");
    char text[CELL_BYTES];

    fprintf(out, "%-22s %d\n", "pid", (int)number_at(instance, "pid"));
    cell_uptime(instance, text);
    fprintf(out, "%-22s %s\n", "uptime", text);
    cell_memory(instance, text);
    fprintf(out, "%-22s %s\n", "memory", text);
    for (size_t i = 0; i < COUNT(names); i++)
        describe_value(out, names[i], json_object_get(env, names[i]));
    if (text_at(env, "last_error_lines")[0] != '\0')
        fprintf(out, "\nThe last lines of its standard error:\n%s",
                text_at(env, "last_error_lines"));
}
