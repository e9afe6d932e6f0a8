/* Patterns of time. Runs in: any. */
#include "apps/cron.h"

#include "base/list.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FIELDS = 6, FIELD_BYTES = 128, STEPS_MAX = 20000 };

static const struct {
    unsigned min, max;
    const char *names; /* three letters each, of `first_name` and those after it */
    unsigned first_name;
} fields[FIELDS] = {
    {0, 59, "", 0},
    {0, 59, "", 0},
    {0, 23, "", 0},
    {1, 31, "", 0},
    {1, 12, "janfebmaraprmayjunjulaugsepoctnovdec", 1},
    {0, 7, "sunmontuewedthufrisat", 0},
};

static bool parse_name(const char **text, unsigned field, unsigned *value)
{
    const char *names = fields[field].names;

    for (size_t i = 0; names[i] != '\0'; i += 3) {
        if (strncasecmp(*text, names + i, 3) == 0) {
            *value = fields[field].first_name + (unsigned)i / 3;
            *text += 3;
            return true;
        }
    }
    return false;
}

static bool parse_value(const char **text, unsigned field, unsigned *value)
{
    char *end;
    unsigned long number;

    if (!isdigit((unsigned char)**text))
        return parse_name(text, field, value);
    number = strtoul(*text, &end, 10);
    *text = end;
    *value = (unsigned)number;
    return number >= fields[field].min && number <= fields[field].max;
}

/* "*", "5", "1-5", each with "/step". */
static bool parse_range(const char **text, unsigned field, uint64_t *bits)
{
    unsigned from = fields[field].min;
    unsigned to = fields[field].max;
    unsigned step = 1;

    if (**text == '*' || **text == '?') {
        (*text)++;
    } else {
        if (!parse_value(text, field, &from))
            return false;
        to = from;
        if (**text == '-') {
            (*text)++;
            if (!parse_value(text, field, &to) || to < from)
                return false;
        } else if (**text == '/') {
            to = fields[field].max;
        }
    }
    if (**text == '/') {
        char *end;
        unsigned long number = strtoul(*text + 1, &end, 10);

        if (end == *text + 1 || number < 1 || number > 60)
            return false;
        step = (unsigned)number;
        *text = end;
    }
    for (; from <= to; from += step)
        *bits |= (uint64_t)1 << from;
    return true;
}

static bool parse_field(const char *text, unsigned field, uint64_t *bits)
{
    *bits = 0;
    for (;;) {
        if (!parse_range(&text, field, bits))
            return false;
        if (*text == '\0')
            return true;
        if (*text++ != ',')
            return false;
    }
}

static const char *short_form(const char *text)
{
    static const struct {
        const char *name, *text;
    } forms[] = {{"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
                 {"@weekly", "0 0 * * 0"},  {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
                 {"@annually", "0 0 1 1 *"}};

    for (size_t i = 0; i < COUNT(forms); i++) {
        if (strcmp(text, forms[i].name) == 0)
            return forms[i].text;
    }
    return text;
}

/* Splits at blanks. The number of fields, or 0 if one is too long or there are too many. */
static unsigned split(const char *text, char parts[FIELDS][FIELD_BYTES])
{
    unsigned count = 0;

    while (*(text += strspn(text, " \t")) != '\0') {
        size_t len = strcspn(text, " \t");

        if (count == FIELDS || len >= FIELD_BYTES)
            return 0;
        memcpy(parts[count], text, len);
        parts[count++][len] = '\0';
        text += len;
    }
    return count;
}

bool cron_parse(const char *text, struct cron *cron)
{
    char parts[FIELDS][FIELD_BYTES];
    uint64_t bits[FIELDS] = {1};
    unsigned count = split(short_form(text), parts);
    unsigned skip = FIELDS - count; /* without seconds: at second 0 */

    if (count < 5)
        return false;
    for (unsigned i = 0; i < count; i++) {
        if (!parse_field(parts[i], i + skip, &bits[i + skip]))
            return false;
    }
    bits[5] |= bits[5] >> 7 & 1; /* 7 is Sunday too */
    *cron = (struct cron){.seconds = bits[0],
                          .minutes = bits[1],
                          .hours = bits[2],
                          .days = bits[3],
                          .months = bits[4],
                          .weekdays = bits[5],
                          .any_day = parts[3 - skip][0] == '*' || parts[3 - skip][0] == '?',
                          .any_weekday = parts[5 - skip][0] == '*' || parts[5 - skip][0] == '?'};
    return true;
}

static bool has(uint64_t bits, int value)
{
    return (bits >> value & 1) != 0;
}

static bool day_fits(const struct cron *cron, const struct tm *when)
{
    bool day = has(cron->days, when->tm_mday);
    bool weekday = has(cron->weekdays, when->tm_wday);

    if (!cron->any_day && !cron->any_weekday)
        return day || weekday;
    return day && weekday;
}

/* Goes to the beginning of the next unit at the largest one that does not fit. True: all fit. */
static bool advance(const struct cron *cron, struct tm *when)
{
    if (!has(cron->months, when->tm_mon + 1)) {
        when->tm_mon++;
        when->tm_mday = 1;
        when->tm_hour = when->tm_min = when->tm_sec = 0;
    } else if (!day_fits(cron, when)) {
        when->tm_mday++;
        when->tm_hour = when->tm_min = when->tm_sec = 0;
    } else if (!has(cron->hours, when->tm_hour)) {
        when->tm_hour++;
        when->tm_min = when->tm_sec = 0;
    } else if (!has(cron->minutes, when->tm_min)) {
        when->tm_min++;
        when->tm_sec = 0;
    } else if (!has(cron->seconds, when->tm_sec)) {
        when->tm_sec++;
    } else {
        return true;
    }
    return false;
}

time_t cron_next(const struct cron *cron, time_t after)
{
    time_t at = after + 1;
    struct tm when;

    for (unsigned i = 0; i < STEPS_MAX; i++) {
        if (localtime_r(&at, &when) == NULL)
            return 0;
        if (advance(cron, &when))
            return at;
        when.tm_isdst = -1;
        time_t next = mktime(&when);

        /* an hour that a change to summer time leaves out must not lead back */
        at = next > at ? next : at + 1;
    }
    return 0;
}
