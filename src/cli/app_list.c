/* Tables of apps. Runs in: the process the user started. */
#include "cli/app_list.h"

#include "base/list.h"
#include "base/slice.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CELL_BYTES = LIST_CELL_BYTES, COLUMNS = 15, SORTED_MAX = 4096 };

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

void app_list_bytes(char out[LIST_CELL_BYTES], json_int_t bytes)
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

static void cell_version(json_t *instance, char *out)
{
    const char *version = text_at(json_object_get(instance, "pm2_env"), "version");

    snprintf(out, CELL_BYTES, "%s", version[0] == '\0' ? "N/A" : version);
}

static void cell_user(json_t *instance, char *out)
{
    snprintf(out, CELL_BYTES, "%s", text_at(json_object_get(instance, "pm2_env"), "username"));
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
    app_list_bytes(out, number_at(json_object_get(instance, "monit"), "memory"));
}

static json_t *request_number(json_t *instance, const char *name)
{
    return json_object_get(json_object_get(instance, "requests"), name);
}

static void cell_requests(json_t *instance, char *out)
{
    double rate = json_number_value(request_number(instance, "per_second"));

    if (request_number(instance, "per_second") == NULL)
        snprintf(out, CELL_BYTES, "-");
    else
        snprintf(out, CELL_BYTES, rate < 10 ? "%.1f" : "%.0f", rate);
}

static void cell_latency(json_t *instance, char *out)
{
    double latency_ms = json_number_value(request_number(instance, "latency_ms"));

    if (latency_ms <= 0)
        snprintf(out, CELL_BYTES, "-");
    else
        snprintf(out, CELL_BYTES, latency_ms < 10 ? "%.2fms" : "%.0fms", latency_ms);
}

static void cell_watching(json_t *instance, char *out)
{
    bool on = json_is_true(json_object_get(json_object_get(instance, "pm2_env"), "watch"));

    snprintf(out, CELL_BYTES, "%s", on ? "enabled" : "disabled");
}

/* pm2's, in its order, and two that are shown on request. The least important go first where there
 * is little room. */
static const struct column {
    const char *title;
    void (*cell)(json_t *instance, char *out);
    unsigned importance;
} columns[COLUMNS] = {
    {"id", cell_id, 9},
    {"name", cell_name, 10},
    {"namespace", cell_namespace, 3},
    {"version", cell_version, 2},
    {"mode", cell_mode, 4},
    {"pid", cell_pid, 5},
    {"uptime", cell_uptime, 6},
    {"\xe2\x86\xba", cell_restarts, 7},
    {"status", cell_status, 9},
    {"cpu", cell_cpu, 8},
    {"mem", cell_memory, 8},
    {"req/s", cell_requests, 8},
    {"latency", cell_latency, 8},
    {"user", cell_user, 1},
    {"watching", cell_watching, 0},
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

/* The table's look: how wide each column is, and 0 for those that there is no room for. */
static void print_rule(FILE *out, const size_t *widths, const char *left, const char *middle,
                       const char *right)
{
    const char *before = left;

    for (size_t i = 0; i < COLUMNS; i++) {
        if (widths[i] == 0)
            continue;
        fputs(before, out);
        for (size_t dash = 0; dash < widths[i] + 2; dash++)
            fputs("\xe2\x94\x80", out);
        before = middle;
    }
    fprintf(out, "%s\n", right);
}

static void print_cell(FILE *out, const char *text, size_t width, const char *colour)
{
    fprintf(out, "\xe2\x94\x82 %s%s%s", colour, text, colour[0] == '\0' ? "" : "\033[0m");
    for (size_t at = width_of(text); at <= width; at++)
        fputc(' ', out);
}

static bool any_requests(json_t *list)
{
    json_t *instance;
    size_t index;

    json_array_foreach(list, index, instance)
    {
        if (json_object_get(instance, "requests") != NULL)
            return true;
    }
    return false;
}

static void measure(json_t *list, size_t *widths, bool requests)
{
    char text[CELL_BYTES];
    json_t *instance;
    size_t index;

    for (size_t i = 0; i < COLUMNS; i++) {
        widths[i] = 0;
        if (!requests && (columns[i].cell == cell_requests || columns[i].cell == cell_latency))
            continue;
        widths[i] = width_of(columns[i].title);
        json_array_foreach(list, index, instance)
        {
            columns[i].cell(instance, text);
            if (width_of(text) > widths[i])
                widths[i] = width_of(text);
        }
    }
}

static size_t total_width(const size_t *widths)
{
    size_t total = 1;

    for (size_t i = 0; i < COLUMNS; i++)
        total += widths[i] == 0 ? 0 : widths[i] + 3;
    return total;
}

static void make_fit(size_t *widths, unsigned width)
{
    for (unsigned importance = 0; importance < 10 && total_width(widths) > width; importance++) {
        for (size_t i = 0; i < COLUMNS; i++) {
            if (columns[i].importance == importance)
                widths[i] = 0;
        }
    }
}

static void print_row(FILE *out, json_t *instance, const size_t *widths, bool colour)
{
    char text[CELL_BYTES];

    for (size_t i = 0; i < COLUMNS; i++) {
        bool painted = colour && columns[i].cell == cell_status;

        if (widths[i] == 0)
            continue;
        columns[i].cell(instance, text);
        print_cell(out, text, widths[i], painted ? colour_of(text) : "");
    }
    fputs("\xe2\x94\x82\n", out);
}

static void print_mini(FILE *out, json_t *instance)
{
    static const struct {
        const char *title;
        void (*cell)(json_t *instance, char *out);
    } lines[] = {
        {"namespace", cell_namespace}, {"version", cell_version}, {"pid", cell_pid},
        {"pm2 id", cell_id},           {"status", cell_status},   {"mode", cell_mode},
        {"restarted", cell_restarts},  {"uptime", cell_uptime},   {"memory usage", cell_memory},
        {"watching", cell_watching}};
    char text[CELL_BYTES];

    fprintf(out, "+--- %s\n", text_at(instance, "name"));
    for (size_t i = 0; i < COUNT(lines); i++) {
        lines[i].cell(instance, text);
        fprintf(out, "%s : %s\n", lines[i].title, text);
    }
    fputc('\n', out);
}

void app_list_print(FILE *out, json_t *list, const struct list_look *look)
{
    size_t widths[COLUMNS];
    json_t *instance;
    size_t index;

    if (look->mini) {
        json_array_foreach(list, index, instance) print_mini(out, instance);
        return;
    }
    measure(list, widths, look->requests && any_requests(list));
    if (look->width > 0)
        make_fit(widths, look->width);
    print_rule(out, widths, "\xe2\x94\x8c", "\xe2\x94\xac", "\xe2\x94\x90");
    for (size_t i = 0; i < COLUMNS; i++) {
        if (widths[i] > 0)
            print_cell(out, columns[i].title, widths[i], look->colour ? "\033[1;36m" : "");
    }
    fputs("\xe2\x94\x82\n", out);
    print_rule(out, widths, "\xe2\x94\x9c", "\xe2\x94\xbc", "\xe2\x94\xa4");
    json_array_foreach(list, index, instance) print_row(out, instance, widths, look->colour);
    print_rule(out, widths, "\xe2\x94\x94", "\xe2\x94\xb4", "\xe2\x94\x98");
}

/* ---- order */

static json_t *field_name(json_t *instance)
{
    return json_object_get(instance, "name");
}

static json_t *field_id(json_t *instance)
{
    return json_object_get(instance, "pm_id");
}

static json_t *field_pid(json_t *instance)
{
    return json_object_get(instance, "pid");
}

static json_t *field_cpu(json_t *instance)
{
    return json_object_get(json_object_get(instance, "monit"), "cpu");
}

static json_t *field_memory(json_t *instance)
{
    return json_object_get(json_object_get(instance, "monit"), "memory");
}

static json_t *field_uptime(json_t *instance)
{
    return json_object_get(json_object_get(instance, "pm2_env"), "pm_uptime");
}

static json_t *field_status(json_t *instance)
{
    return json_object_get(json_object_get(instance, "pm2_env"), "status");
}

static json_t *field_restarts(json_t *instance)
{
    return json_object_get(json_object_get(instance, "pm2_env"), "restart_time");
}

static json_t *field_requests(json_t *instance)
{
    return request_number(instance, "per_second");
}

static json_t *field_latency(json_t *instance)
{
    return request_number(instance, "latency_ms");
}

static const struct {
    const char *names;
    json_t *(*get)(json_t *instance);
} fields[] = {
    {"name", field_name},         {"id pm_id", field_id},
    {"pid", field_pid},           {"cpu", field_cpu},
    {"memory mem", field_memory}, {"uptime", field_uptime},
    {"status", field_status},     {"restart restarts", field_restarts},
    {"requests", field_requests}, {"latency", field_latency},
};

struct order {
    json_t *(*get)(json_t *instance);
    int sign;
};

static int compare(const void *a, const void *b, void *data)
{
    const struct order *order = data;
    json_t *x = order->get(*(json_t *const *)a);
    json_t *y = order->get(*(json_t *const *)b);
    double difference = json_number_value(x) - json_number_value(y);
    int result = difference < 0 ? -1 : difference > 0;

    if (json_is_string(x) && json_is_string(y))
        result = strcmp(json_string_value(x), json_string_value(y));
    if (result != 0)
        return result * order->sign;
    difference = json_number_value(field_id(*(json_t *const *)a)) -
                 json_number_value(field_id(*(json_t *const *)b));
    return difference < 0 ? -1 : difference > 0;
}

bool app_list_sort(json_t *list, const char *by)
{
    struct order order = {.sign = 1};
    size_t count = json_array_size(list);
    json_t *sorted[SORTED_MAX];
    char name[32];

    snprintf(name, sizeof name, "%s", by == NULL ? "name" : by);
    name[strcspn(name, ":")] = '\0';
    if (by != NULL && strcmp(by + strcspn(by, ":"), ":desc") == 0)
        order.sign = -1;
    for (size_t i = 0; i < COUNT(fields); i++) {
        if (slice_has_word(fields[i].names, name))
            order.get = fields[i].get;
    }
    if (order.get == NULL)
        return false;
    if (count > SORTED_MAX)
        return true;
    for (size_t i = 0; i < count; i++)
        sorted[i] = json_incref(json_array_get(list, i));
    qsort_r(sorted, count, sizeof sorted[0], compare, &order);
    for (size_t i = 0; i < count; i++)
        json_array_set_new(list, i, sorted[i]);
    return true;
}

/* ---- one of them */

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
                                        "version",
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
                                        "log_bytes_lost",
                                        "pm_pid_path",
                                        "port",
                                        "socket",
                                        "watch",
                                        "autorestart",
                                        "username",
                                        "created_at",
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
    if (json_object_get(instance, "requests") != NULL) {
        describe_value(out, "requests", request_number(instance, "total"));
        cell_requests(instance, text);
        fprintf(out, "%-22s %s\n", "requests/s", text);
        cell_latency(instance, text);
        fprintf(out, "%-22s %s\n", "latency", text);
    }
    for (size_t i = 0; i < COUNT(names); i++)
        describe_value(out, names[i], json_object_get(env, names[i]));
    if (text_at(env, "last_error_lines")[0] != '\0')
        fprintf(out, "\nThe last lines of its standard error:\n%s",
                text_at(env, "last_error_lines"));
}
