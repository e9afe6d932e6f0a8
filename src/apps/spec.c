/* From JSON to a spec, by the rows. Runs in: master; cli. */
#include "apps/spec.h"

#include "apps/cron.h"
#include "apps/launch.h"
#include "base/arena.h"
#include "base/diag.h"
#include "base/list.h"
#include "config/loader.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { WORDS_MAX = 4096, NAME_BYTES_MAX = 128 };

struct reading {
    struct app_spec *spec;
    struct diag *diag;
    const struct option *option;
    const char *key; /* as the user wrote it */
};

static bool wrong(struct reading *reading, const char *wanted)
{
    diag_add(reading->diag, DIAG_ERROR, NULL, "\"%s\" must be %s", reading->key, wanted);
    return false;
}

static void *field_of(struct reading *reading)
{
    return (char *)reading->spec + reading->option->offset;
}

static bool number_with_unit(const char *text, double *number, const char **unit)
{
    char *end;

    errno = 0;
    *number = strtod(text, &end);
    while (*end == ' ')
        end++;
    *unit = end;
    return end != text && errno == 0 && isfinite(*number) && *number >= 0;
}

static bool scale(const char *text, const char *units, const double *factors, uint64_t *value)
{
    double number;
    const char *unit;
    const char *at;

    if (!number_with_unit(text, &number, &unit))
        return false;
    at = *unit == '\0' ? units : strchr(units, tolower((unsigned char)*unit));
    if (at == NULL)
        return false;
    number *= factors[at - units];
    if (number > 1e18)
        return false;
    *value = (uint64_t)number;
    return true;
}

bool spec_parse_msec(const char *text, uint64_t *ms)
{
    static const double factors[] = {1, 1000, 60e3, 3600e3, 24 * 3600e3};
    size_t len = strlen(text);

    if (len > 2 && len < 32 && strcmp(text + len - 2, "ms") == 0) {
        char number[32];

        snprintf(number, sizeof number, "%.*s", (int)len - 2, text);
        return scale(number, " ", factors, ms);
    }
    if (len > 1 && isalpha((unsigned char)text[len - 2]))
        return false;
    return scale(text, " smhd", factors, ms);
}

bool spec_parse_bytes(const char *text, uint64_t *bytes)
{
    static const double factors[] = {1, 1024, 1048576, 1073741824};

    return scale(text, " kmg", factors, bytes);
}

/* Text of a text or number, in the spec's arena; NULL: something else. */
static char *text_of(struct reading *reading, const json_t *value)
{
    struct arena *arena = reading->spec->arena;
    struct slice text = {0};

    if (json_is_string(value))
        text = arena_copy(arena, slice_of(json_string_value(value)));
    else if (json_is_integer(value))
        text = arena_printf(arena, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        text = arena_printf(arena, "%.17g", json_real_value(value));
    return (char *)text.data;
}

static bool in_bounds(const struct option *option, double value)
{
    return (option->min == 0 && option->max == 0) ||
           (value >= (double)option->min && value <= (double)option->max);
}

static bool read_text(struct reading *reading, const json_t *value)
{
    char **field = field_of(reading);

    *field = text_of(reading, value);
    return *field != NULL || wrong(reading, "a text");
}

static bool read_bool(struct reading *reading, const json_t *value)
{
    static const char *const yes[] = {"true", "on", "yes", "1"};
    static const char *const no[] = {"false", "off", "no", "0", ""};
    bool *field = field_of(reading);
    const char *text = text_of(reading, value);

    if (json_is_boolean(value)) {
        *field = json_is_true(value);
        return true;
    }
    for (size_t i = 0; text != NULL && i < COUNT(yes); i++) {
        if (strcasecmp(text, yes[i]) == 0)
            return *field = true;
    }
    for (size_t i = 0; text != NULL && i < COUNT(no); i++) {
        if (strcasecmp(text, no[i]) == 0)
            return !(*field = false);
    }
    return wrong(reading, "true or false");
}

static bool read_whole(struct reading *reading, const json_t *value, int *number)
{
    const char *text = text_of(reading, value);
    char *end;
    long parsed;

    errno = 0;
    parsed = text == NULL ? -1 : strtol(text, &end, 10);
    if (text == NULL || end == text || *end != '\0' || errno != 0)
        return wrong(reading, "a whole number");
    if (!in_bounds(reading->option, (double)parsed) || parsed != (int)parsed) {
        diag_add(reading->diag, DIAG_ERROR, NULL, "\"%s\" must be between %lld and %lld",
                 reading->key, (long long)reading->option->min, (long long)reading->option->max);
        return false;
    }
    *number = (int)parsed;
    return true;
}

static bool read_int(struct reading *reading, const json_t *value)
{
    return read_whole(reading, value, field_of(reading));
}

static bool read_msec(struct reading *reading, const json_t *value)
{
    uint64_t *field = field_of(reading);
    const char *text = text_of(reading, value);

    if (text == NULL || !spec_parse_msec(text, field) ||
        !in_bounds(reading->option, (double)*field))
        return wrong(reading, "a time: a number of ms, or \"10s\", \"5m\", \"1h\"");
    return true;
}

static bool read_bytes(struct reading *reading, const json_t *value)
{
    const char *text = text_of(reading, value);

    if (text == NULL || !spec_parse_bytes(text, field_of(reading)))
        return wrong(reading, "a size: a number of bytes, or \"300M\", \"1G\"");
    return true;
}

static bool words_reserve(struct reading *reading, struct words *words, size_t count)
{
    *words = (struct words){0};
    if (count > WORDS_MAX)
        return wrong(reading, "a shorter list");
    words->items = arena_zalloc(reading->spec->arena, (count + 1) * sizeof *words->items);
    return words->items != NULL || wrong(reading, "smaller: there is no memory");
}

/* Blanks part words, except within quotes; a backslash keeps what follows. */
static const char *next_word(const char *text, char *out)
{
    char quote = '\0';
    size_t len = 0;

    while (*text == ' ' || *text == '\t')
        text++;
    if (*text == '\0')
        return NULL;
    for (; *text != '\0' && (quote != '\0' || (*text != ' ' && *text != '\t')); text++) {
        if (*text == quote)
            quote = '\0';
        else if (quote == '\0' && (*text == '"' || *text == '\''))
            quote = *text;
        else if (*text == '\\' && quote != '\'' && text[1] != '\0')
            out[len++] = *++text;
        else
            out[len++] = *text;
    }
    out[len] = '\0';
    return text;
}

static bool split_words(struct reading *reading, const char *text, struct words *words)
{
    size_t len = strlen(text);
    char *word = arena_bytes(reading->spec->arena, len + 1);

    if (word == NULL || !words_reserve(reading, words, len / 2 + 1))
        return false;
    while ((text = next_word(text, word)) != NULL) {
        words->items[words->count] = (char *)arena_copy(reading->spec->arena, slice_of(word)).data;
        if (words->items[words->count] == NULL)
            return false;
        words->count++;
    }
    return true;
}

static bool list_words(struct reading *reading, const json_t *value, struct words *words)
{
    size_t index;
    json_t *item;

    if (!words_reserve(reading, words, json_array_size(value)))
        return false;
    json_array_foreach(value, index, item)
    {
        char *text = text_of(reading, item);

        if (text == NULL)
            return wrong(reading, "a list of texts");
        words->items[words->count++] = text;
    }
    return true;
}

static bool read_words(struct reading *reading, const json_t *value)
{
    if (json_is_array(value))
        return list_words(reading, value, field_of(reading));
    if (json_is_string(value))
        return split_words(reading, json_string_value(value), field_of(reading));
    return wrong(reading, "a list or a text");
}

static bool read_codes(struct reading *reading, const json_t *value)
{
    struct codes *codes = field_of(reading);
    bool list = json_is_array(value);
    size_t count = list ? json_array_size(value) : 1;

    codes->items = arena_zalloc(reading->spec->arena, (count + 1) * sizeof *codes->items);
    if (codes->items == NULL || count > WORDS_MAX)
        return wrong(reading, "a shorter list");
    for (codes->count = 0; codes->count < count; codes->count++) {
        const json_t *item = list ? json_array_get(value, codes->count) : value;

        if (!read_whole(reading, item, &codes->items[codes->count]))
            return false;
    }
    return true;
}

static bool read_switch(struct reading *reading, const json_t *value)
{
    struct switch_words *field = field_of(reading);

    if (json_is_boolean(value)) {
        *field = (struct switch_words){.on = json_is_true(value)};
        return true;
    }
    if (json_is_string(value) && (strcmp(json_string_value(value), "true") == 0 ||
                                  strcmp(json_string_value(value), "false") == 0)) {
        *field = (struct switch_words){.on = json_string_value(value)[0] == 't'};
        return true;
    }
    if (json_is_array(value) && !list_words(reading, value, &field->words))
        return false;
    if (json_is_string(value) && !split_words(reading, json_string_value(value), &field->words))
        return false;
    if (!json_is_array(value) && !json_is_string(value))
        return wrong(reading, "true, false, a text or a list");
    field->on = field->words.count > 0;
    field->exact = json_is_string(value) && field->words.count == 1;
    return true;
}

static bool read_env(struct reading *reading, json_t *value)
{
    const char *name;
    json_t *item;

    if (reading->option != option_find("env"))
        return true;
    if (!json_is_object(value))
        return wrong(reading, "an object of variables");
    json_object_foreach(value, name, item)
    {
        if (name[0] == '\0' || strchr(name, '=') != NULL)
            return wrong(reading, "variables with names that have no \"=\"");
    }
    return true;
}

static bool read_value(struct reading *reading, json_t *value)
{
    switch (reading->option->kind) {
    case OPTION_TEXT:
        return read_text(reading, value);
    case OPTION_BOOL:
        return read_bool(reading, value);
    case OPTION_INT:
        return read_int(reading, value);
    case OPTION_MSEC:
        return read_msec(reading, value);
    case OPTION_BYTES:
        return read_bytes(reading, value);
    case OPTION_WORDS:
        return read_words(reading, value);
    case OPTION_CODES:
        return read_codes(reading, value);
    case OPTION_SWITCH:
        return read_switch(reading, value);
    case OPTION_OTHER:
        return read_env(reading, value);
    case OPTION_NOTHING:
        diag_add(reading->diag, DIAG_WARN, NULL, "\"%s\" has no effect: %s", reading->key,
                 reading->option->doc);
        return true;
    }
    return false;
}

static bool read_defaults(struct reading *reading)
{
    for (size_t i = 0; i < app_option_count; i++) {
        json_t *value;
        bool fits;

        if (app_options[i].def == NULL)
            continue;
        reading->option = &app_options[i];
        reading->key = app_options[i].name;
        value = json_string(app_options[i].def);
        fits = value != NULL && read_value(reading, value);
        json_decref(value);
        if (!fits)
            return false;
    }
    return true;
}

static void warn_unknown(struct diag *diag, const char *key)
{
    const char *names[128];
    const char *near;

    for (size_t i = 0; i < app_option_count && i < COUNT(names); i++)
        names[i] = app_options[i].name;
    near = nearest_name(slice_of(key), names,
                        app_option_count < COUNT(names) ? app_option_count : 128);
    diag_add(diag, DIAG_WARN, NULL, "unknown key \"%s\" is ignored", key);
    if (near != NULL)
        diag_hint(diag, "did you mean \"%s\"?", near);
}

/* One key: its value goes to the field and, under its own name, to spec->source. */
static bool read_key(struct reading *reading, const char *key, json_t *value)
{
    struct app_spec *spec = reading->spec;

    reading->key = key;
    reading->option = option_find(key);
    if (strncmp(key, "env_", 4) == 0) {
        if (!json_is_object(value))
            return wrong(reading, "an object of variables");
        return json_object_set(spec->source, key, value) == 0;
    }
    if (reading->option == NULL) {
        warn_unknown(reading->diag, key);
        return true;
    }
    if (json_is_null(value))
        return true;
    if (json_object_set(spec->source, reading->option->name, value) != 0)
        return false;
    return read_value(reading, value);
}

static bool derive_name(struct reading *reading)
{
    struct app_spec *spec = reading->spec;
    const char *base;
    const char *end;

    if (spec->name == NULL) {
        size_t first = strcspn(spec->script, " ");
        struct slice word = slice_make(spec->script, first);

        base = memrchr(word.data, '/', word.len);
        base = base == NULL ? word.data : base + 1;
        end = memrchr(base, '.', (size_t)(word.data + first - base));
        if (end == NULL || end == base)
            end = word.data + first;
        spec->name = (char *)arena_copy(spec->arena, slice_make(base, (size_t)(end - base))).data;
    }
    if (spec->name == NULL || spec->name[0] == '\0' || strlen(spec->name) > NAME_BYTES_MAX ||
        strpbrk(spec->name, "\n\r\t") != NULL) {
        reading->key = "name";
        return wrong(reading, "a text of 1 to 128 characters");
    }
    return json_object_set_new(spec->source, "name", json_string(spec->name)) == 0;
}

/* "http /path" into its parts. False: it is none of the kinds that are known here. */
static bool split_probe(char *text, bool from_inside, enum ready_kind *kind, char **argument)
{
    static const struct {
        const char *word;
        enum ready_kind kind;
        bool argument;
        bool from_inside; /* the app says so by itself */
    } kinds[] = {{"http", READY_HTTP, true, false},
                 {"tcp", READY_TCP, false, false},
                 {"exec", READY_EXEC, true, false},
                 {"ipc", READY_IPC, false, true},
                 {"notify", READY_NOTIFY, false, true}};
    size_t len = strcspn(text, " ");

    for (size_t i = 0; i < COUNT(kinds); i++) {
        if (strncmp(text, kinds[i].word, len) != 0 || kinds[i].word[len] != '\0' ||
            (kinds[i].from_inside && !from_inside))
            continue;
        *kind = kinds[i].kind;
        *argument = text + len + strspn(text + len, " ");
        if (kinds[i].kind == READY_HTTP && (*argument)[0] == '\0')
            *argument = "/";
        return kinds[i].argument == ((*argument)[0] != '\0');
    }
    return false;
}

static bool derive_ready(struct reading *reading)
{
    struct app_spec *spec = reading->spec;

    /* a change that is given up because a machine is busy helps nobody: pm2's 3 s are only for what
     * goes on regardless */
    spec->ready_kind = spec->wait_ready                ? READY_IPC
                       : spec->balance || spec->socket ? READY_TCP
                                                       : READY_SPAWNED;
    spec->trial_timeout_ms = spec->listen_timeout_ms == 0 ? 30000 : spec->listen_timeout_ms;
    if (spec->listen_timeout_ms == 0)
        spec->listen_timeout_ms = spec->ready == NULL && spec->ready_kind != READY_TCP ? 3000
                                                                                       : 30000;
    reading->key = "ready";
    return spec->ready == NULL ||
           split_probe(spec->ready, true, &spec->ready_kind, &spec->ready_argument) ||
           wrong(reading, "\"http /path\", \"tcp\", \"exec COMMAND\", \"ipc\" or \"notify\"");
}

/* "1024", "64K", "unlimited". */
static bool read_limit(struct slice text, uint64_t *value)
{
    char number[32];

    if (slice_eq(text, slice_of("unlimited")) || slice_eq(text, slice_of("infinity"))) {
        *value = UINT64_MAX;
        return true;
    }
    if (text.len == 0 || text.len >= sizeof number)
        return false;
    snprintf(number, sizeof number, "%.*s", SLICE_ARG(text));
    return spec_parse_bytes(number, value);
}

static bool derive_limits(struct reading *reading)
{
    struct app_spec *spec = reading->spec;
    const struct {
        const char *name;
        const char *text;
        int resource;
    } rows[] = {{"limit_nofile", spec->limit_nofile, RLIMIT_NOFILE},
                {"limit_nproc", spec->limit_nproc, RLIMIT_NPROC},
                {"limit_core", spec->limit_core, RLIMIT_CORE},
                {"limit_fsize", spec->limit_fsize, RLIMIT_FSIZE},
                {"limit_as", spec->limit_as, RLIMIT_AS},
                {"limit_stack", spec->limit_stack, RLIMIT_STACK},
                {"limit_memlock", spec->limit_memlock, RLIMIT_MEMLOCK}};

    spec->limits = arena_zalloc(spec->arena, COUNT(rows) * sizeof *spec->limits);
    if (spec->limits == NULL)
        return false;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice rest = slice_of(rows[i].text == NULL ? "" : rows[i].text);
        struct launch_limit *limit = &spec->limits[spec->limit_count];
        struct slice soft;

        if (rows[i].text == NULL)
            continue;
        reading->key = rows[i].name;
        slice_split(&rest, ':', &soft);
        limit->resource = rows[i].resource;
        if (!read_limit(soft, &limit->soft) ||
            !read_limit(rest.data == NULL ? soft : rest, &limit->hard) || limit->soft > limit->hard)
            return wrong(reading, "a limit: \"1024\", \"512:1024\" (soft:hard), \"unlimited\"");
        spec->limit_count++;
    }
    return true;
}

/* A job waits for its time and may end, unless it was said otherwise. */
static bool derive_job(struct reading *reading)
{
    struct app_spec *spec = reading->spec;

    if (spec->schedule == NULL)
        return true;
    reading->key = "schedule";
    if (spec->cron != NULL)
        return wrong(reading, "without \"cron_restart\": one starts a job, the other restarts");
    spec->is_job = true;
    spec->cron = spec->schedule;
    if (json_object_get(spec->source, "autostart") == NULL)
        spec->autostart = false;
    if (json_object_get(spec->source, "autorestart") == NULL)
        spec->autorestart = false;
    return true;
}

static bool derive_live(struct reading *reading)
{
    struct app_spec *spec = reading->spec;

    spec->live_kind = READY_SPAWNED;
    reading->key = "live";
    if (spec->live == NULL)
        return true;
    if (!split_probe(spec->live, false, &spec->live_kind, &spec->live_argument))
        return wrong(reading, "\"http /path\", \"tcp\" or \"exec COMMAND\"");
    if (spec->live_kind == READY_EXEC || !spec_is_cluster(spec))
        return true;
    diag_add(reading->diag, DIAG_ERROR, NULL,
             "\"live %s\" cannot tell the workers of a cluster apart, who share one port",
             spec->live);
    diag_hint(reading->diag, "give each one a socket of its own with \"socket\": true");
    return false;
}

static int signal_number(const char *name)
{
    if (strncmp(name, "SIG", 3) == 0)
        name += 3;
    for (int number = 1; number < NSIG; number++) {
        const char *known = sigabbrev_np(number);

        if (known != NULL && strcmp(known, name) == 0)
            return number;
    }
    return 0;
}

static bool derive_rest(struct reading *reading)
{
    struct app_spec *spec = reading->spec;
    struct cron cron;
    int min;
    int max;

    spec->kill_number = signal_number(spec->kill_signal);
    reading->key = "kill_signal";
    if (spec->kill_number == 0)
        return wrong(reading, "the name of a signal");
    reading->key = "exec_mode";
    if (spec->exec_mode != NULL && strncmp(spec->exec_mode, "fork", 4) != 0 &&
        strncmp(spec->exec_mode, "cluster", 7) != 0)
        return wrong(reading, "\"fork\" or \"cluster\"");
    reading->key = "balance";
    if (spec->balance && spec->port > 0)
        return wrong(reading, "off where there is a \"port\": each instance gets one of its own");
    if (spec->balance && spec->exec_mode != NULL && strncmp(spec->exec_mode, "cluster", 7) == 0)
        return wrong(reading, "off with exec_mode cluster, whose instances share their sockets");
    reading->key = "log_type";
    if (spec->log_type != NULL && strcmp(spec->log_type, "json") != 0 &&
        strcmp(spec->log_type, "raw") != 0)
        return wrong(reading, "\"json\" or \"raw\"");
    reading->key = "instances";
    if (spec->instances != NULL && !spec_instance_range(spec->instances, 1000, &min, &max))
        return wrong(reading, "a number, \"max\", or two as in 2..8");
    reading->key = "idle_timeout";
    if (spec->idle_timeout_ms > 0 && !spec->balance && !spec->socket)
        return wrong(reading, "given with \"balance\" or \"socket\": who else would wake the app?");
    reading->key = "umask";
    if (spec->umask != NULL && (strspn(spec->umask, "01234567") != strlen(spec->umask) ||
                                strlen(spec->umask) > 4 || spec->umask[0] == '\0'))
        return wrong(reading, "an octal number");
    if (spec->cron != NULL &&
        (spec->cron[0] == '\0' || strcmp(spec->cron, "0") == 0 || strcmp(spec->cron, "off") == 0))
        spec->cron = NULL;
    reading->key = spec->is_job ? "schedule" : "cron_restart";
    if (spec->cron != NULL && !cron_parse(spec->cron, &cron))
        return wrong(reading, "five fields: minute hour day month weekday");
    return true;
}

static bool derive(struct reading *reading)
{
    struct app_spec *spec = reading->spec;

    if (spec->script == NULL || spec->script[0] == '\0') {
        diag_add(reading->diag, DIAG_ERROR, NULL, "an app needs a \"script\"");
        return false;
    }
    if (spec->cwd == NULL || spec->cwd[0] != '/') {
        reading->key = "cwd";
        return wrong(reading, "an absolute path");
    }
    return derive_name(reading) && derive_ready(reading) && derive_live(reading) &&
           derive_limits(reading) && derive_job(reading) && derive_rest(reading);
}

/* env_NAME over env: a new object in the source under its own key, so that it lives as long. */
static bool choose_env(struct reading *reading, const char *env_name)
{
    struct app_spec *spec = reading->spec;
    struct slice key = {0};
    json_t *over;
    json_t *merged;

    spec->env = json_object_get(spec->source, "env");
    if (env_name == NULL || env_name[0] == '\0')
        return true;
    key = arena_printf(spec->arena, "env_%s", env_name);
    over = key.data == NULL ? NULL : json_object_get(spec->source, key.data);
    if (over == NULL) {
        diag_add(reading->diag, DIAG_WARN, NULL, "app \"%s\" has no \"env_%s\"", spec->name,
                 env_name);
        return true;
    }
    merged = spec->env == NULL ? json_object() : json_copy(spec->env);
    if (merged == NULL || json_object_update(merged, over) != 0 ||
        json_object_set_new(spec->source, "env", merged) != 0)
        return false;
    spec->env = merged;
    spec->env_in = (char *)key.data + 4;
    return true;
}

static struct app_spec *spec_alloc(json_t *inherited)
{
    struct app_spec *spec = calloc(1, sizeof *spec);

    if (spec == NULL)
        return NULL;
    spec->refs = 1;
    spec->arena = arena_new(2048);
    spec->source = json_object();
    spec->inherited = json_incref(inherited);
    if (spec->arena != NULL && spec->source != NULL)
        return spec;
    spec_unref(spec);
    return NULL;
}

bool option_fits(const struct option *option, json_t *value, struct diag *diag)
{
    struct app_spec *spec = spec_alloc(NULL);
    struct reading reading = {.spec = spec, .diag = diag, .option = option, .key = option->name};
    bool fits = spec != NULL && read_value(&reading, value);

    spec_unref(spec);
    return fits;
}

struct app_spec *spec_new(json_t *source, const char *env_name, json_t *inherited,
                          struct diag *diag)
{
    struct app_spec *spec = spec_alloc(inherited);
    struct reading reading = {.spec = spec, .diag = diag};
    bool good;
    const char *key;
    json_t *value;

    if (spec == NULL || !json_is_object(source)) {
        diag_add(diag, DIAG_ERROR, NULL, "an app must be an object");
        spec_unref(spec);
        return NULL;
    }
    good = read_defaults(&reading);
    json_object_foreach(source, key, value) good = read_key(&reading, key, value) && good;
    if (good && derive(&reading) && choose_env(&reading, env_name))
        return spec;
    spec_unref(spec);
    return NULL;
}

struct app_spec *spec_ref(struct app_spec *spec)
{
    spec->refs++;
    return spec;
}

void spec_unref(struct app_spec *spec)
{
    if (spec == NULL || --spec->refs > 0)
        return;
    json_decref(spec->source);
    json_decref(spec->inherited);
    arena_drop(spec->arena);
    free(spec);
}

bool spec_instance_range(const char *text, int cpus, int *min, int *max)
{
    const char *dots = strstr(text, "..");
    char first[16];

    if (dots == NULL) {
        *max = 0;
        return spec_instance_count(text, cpus, min) && (*max = *min) > 0;
    }
    if (snprintf(first, sizeof first, "%.*s", (int)(dots - text), text) >= (int)sizeof first)
        return false;
    if (!spec_instance_count(first, cpus, min) || !spec_instance_count(dots + 2, cpus, max))
        return false;
    if (*min <= *max)
        return true;
    *max = *min;
    return false;
}

bool spec_instance_count(const char *text, int cpus, int *count)
{
    char *end;
    long number;

    if (strcmp(text, "max") == 0) {
        *count = cpus;
        return true;
    }
    errno = 0;
    number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || number > 1000 || number < -1000)
        return false;
    if (number <= 0)
        number += cpus;
    *count = number < 1 ? 1 : (int)number;
    return true;
}

bool spec_is_cluster(const struct app_spec *spec)
{
    bool wanted = spec->exec_mode != NULL ? strncmp(spec->exec_mode, "cluster", 7) == 0
                                          : spec->instances != NULL;

    return wanted && !spec->socket && !spec->balance && launch_is_node(spec);
}
