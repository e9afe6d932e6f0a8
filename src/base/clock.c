/* Time and its texts. Days are counted by arithmetic, not with gmtime(): no lock and no time zone
 * file on the way to a header. Runs in: any; one thread per clock. */
#include "base/clock.h"

#include <assert.h>
#include <stdio.h>

static const char weekday_names[7][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                          "Thursday", "Friday", "Saturday"};
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

enum { DAY_SECONDS = 24 * 60 * 60, ERA_DAYS = 146097 /* 400 years */ };

/* The last second with a year of four digits: 9999-12-31 23:59:59. */
#define TIME_MAX ((time_t)253402300799)

struct date {
    int year;
    int month; /* from 1 */
    int day;   /* from 1 */
};

/* Days since 1970-01-01 of a date in the Gregorian calendar. Years begin in March here, so that the
 * leap day is the last one of a year and month lengths follow one line: (153 m + 2) / 5. */
static int64_t days_from_date(struct date date)
{
    int64_t year = date.month <= 2 ? date.year - 1 : date.year;
    int64_t month = date.month <= 2 ? date.month + 9 : date.month - 3;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * month + 2) / 5 + date.day - 1;

    return era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static struct date date_from_days(int64_t days)
{
    int64_t shifted = days + 719468; /* since 0000-03-01 */
    int64_t era = shifted / ERA_DAYS;
    int64_t day = shifted - era * ERA_DAYS;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t day_of_year = day - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * day_of_year + 2) / 153;

    assert(shifted >= 0);
    return (struct date){
        .year = (int)(year + era * 400 + (month >= 10)),
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .day = (int)(day_of_year - (153 * month + 2) / 5 + 1),
    };
}

uint64_t clock_monotonic_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

static char *put_digits(char *out, int value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + digits;
}

static char *put_text(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return out + len;
}

static char *put_time(char *out, int hour, int minute, int second)
{
    out = put_digits(out, hour, 2);
    *out++ = ':';
    out = put_digits(out, minute, 2);
    *out++ = ':';
    return put_digits(out, second, 2);
}

void clock_http_date(time_t when, char out[30])
{
    time_t bounded = when < 0 ? 0 : when > TIME_MAX ? TIME_MAX : when;
    int64_t days = bounded / DAY_SECONDS;
    int seconds = (int)(bounded % DAY_SECONDS);
    struct date date = date_from_days(days);

    out = put_text(out, weekday_names[(days + 4) % 7], 3); /* the first day was a Thursday */
    out = put_text(out, ", ", 2);
    out = put_digits(out, date.day, 2);
    *out++ = ' ';
    out = put_text(out, month_names[date.month - 1], 3);
    *out++ = ' ';
    out = put_digits(out, date.year, 4);
    *out++ = ' ';
    out = put_time(out, seconds / 3600, seconds / 60 % 60, seconds % 60);
    put_text(out, " GMT", 5);
}

/* `sign` and four digits, with `colon` between hours and minutes if it is not 0. */
static char *put_zone(char *out, long offset_s, char colon)
{
    long minutes = (offset_s < 0 ? -offset_s : offset_s) / 60;

    *out++ = offset_s < 0 ? '-' : '+';
    out = put_digits(out, (int)(minutes / 60 % 100), 2);
    if (colon != 0)
        *out++ = colon;
    return put_digits(out, (int)(minutes % 60), 2);
}

static char *put_date(char *out, const struct tm *tm, char separator)
{
    out = put_digits(out, tm->tm_year + 1900, 4);
    *out++ = separator;
    out = put_digits(out, tm->tm_mon + 1, 2);
    *out++ = separator;
    return put_digits(out, tm->tm_mday, 2);
}

/* 31/Jan/2026:12:00:00 +0700 */
static void make_log_local(const struct tm *tm, char *out)
{
    out = put_digits(out, tm->tm_mday, 2);
    *out++ = '/';
    out = put_text(out, month_names[tm->tm_mon], 3);
    *out++ = '/';
    out = put_digits(out, tm->tm_year + 1900, 4);
    *out++ = ':';
    out = put_time(out, tm->tm_hour, tm->tm_min, tm->tm_sec);
    *out++ = ' ';
    *put_zone(out, tm->tm_gmtoff, 0) = '\0';
}

/* 2026-01-31T12:00:00+07:00 */
static void make_log_iso(const struct tm *tm, char *out)
{
    out = put_date(out, tm, '-');
    *out++ = 'T';
    out = put_time(out, tm->tm_hour, tm->tm_min, tm->tm_sec);
    *put_zone(out, tm->tm_gmtoff, ':') = '\0';
}

/* 2026/01/31 12:00:00 */
static void make_log_error(const struct tm *tm, char *out)
{
    out = put_date(out, tm, '/');
    *out++ = ' ';
    *put_time(out, tm->tm_hour, tm->tm_min, tm->tm_sec) = '\0';
}

static void make_texts(struct clock *clock, time_t now)
{
    struct tm tm;

    clock->text_for = now;
    if (localtime_r(&now, &tm) == NULL)
        tm = (struct tm){.tm_mday = 1, .tm_year = 70};
    clock_http_date(now, clock->http_date);
    make_log_local(&tm, clock->log_local);
    make_log_iso(&tm, clock->log_iso);
    make_log_error(&tm, clock->log_error);
}

void clock_update(struct clock *clock)
{
    struct timespec wall;

    clock_gettime(CLOCK_REALTIME, &wall);
    clock->now_ms = clock_monotonic_ms();
    clock->wall_ms = (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000;
    if (wall.tv_sec != clock->text_for || clock->http_date[0] == '\0')
        make_texts(clock, wall.tv_sec);
}

/* ---- HTTP dates: each eat_* takes its part off the front of `*rest`, or answers false. */

static bool eat_text(struct slice *rest, const char *text)
{
    struct slice want = slice_of(text);

    if (!slice_starts(*rest, want))
        return false;
    *rest = slice_skip(*rest, want.len);
    return true;
}

static bool eat_number(struct slice *rest, size_t digits, int *value)
{
    uint64_t number;

    if (rest->len < digits || !slice_to_u64(slice_head(*rest, digits), &number))
        return false;
    *value = (int)number;
    *rest = slice_skip(*rest, digits);
    return true;
}

static bool eat_month(struct slice *rest, int *month)
{
    for (int i = 0; i < 12; i++) {
        if (eat_text(rest, month_names[i])) {
            *month = i + 1;
            return true;
        }
    }
    return false;
}

/* `length` letters of a weekday's name, or all of it if that is 0. Which day is not compared with
 * the date: recipients differ in that, and nothing depends on it. */
static bool eat_weekday(struct slice *rest, size_t length)
{
    for (int i = 0; i < 7; i++) {
        struct slice name = slice_of(weekday_names[i]);

        if (length != 0)
            name = slice_head(name, length);
        if (slice_starts(*rest, name)) {
            *rest = slice_skip(*rest, name.len);
            return true;
        }
    }
    return false;
}

static bool eat_time(struct slice *rest, int *seconds)
{
    int hour;
    int minute;
    int second;

    if (!eat_number(rest, 2, &hour) || !eat_text(rest, ":") || !eat_number(rest, 2, &minute) ||
        !eat_text(rest, ":") || !eat_number(rest, 2, &second))
        return false;
    if (hour > 23 || minute > 59 || second > 60) /* 60: a leap second */
        return false;
    *seconds = hour * 3600 + minute * 60 + second;
    return true;
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool parse_imf(struct slice rest, struct date *date, int *seconds)
{
    return eat_weekday(&rest, 3) && eat_text(&rest, ", ") && eat_number(&rest, 2, &date->day) &&
           eat_text(&rest, " ") && eat_month(&rest, &date->month) && eat_text(&rest, " ") &&
           eat_number(&rest, 4, &date->year) && eat_text(&rest, " ") && eat_time(&rest, seconds) &&
           eat_text(&rest, " GMT") && rest.len == 0;
}

/* Sunday, 06-Nov-94 08:49:37 GMT. The century follows a fixed pivot, as in POSIX strptime() of old:
 * a date of this form is from software older than the question, and a parser asks no clock. */
static bool parse_rfc850(struct slice rest, struct date *date, int *seconds)
{
    if (!eat_weekday(&rest, 0) || !eat_text(&rest, ", ") || !eat_number(&rest, 2, &date->day) ||
        !eat_text(&rest, "-") || !eat_month(&rest, &date->month) || !eat_text(&rest, "-") ||
        !eat_number(&rest, 2, &date->year) || !eat_text(&rest, " ") || !eat_time(&rest, seconds) ||
        !eat_text(&rest, " GMT") || rest.len != 0)
        return false;
    date->year += date->year < 70 ? 2000 : 1900;
    return true;
}

/* Sun Nov  6 08:49:37 1994 */
static bool parse_asctime(struct slice rest, struct date *date, int *seconds)
{
    size_t day_digits;

    if (!eat_weekday(&rest, 3) || !eat_text(&rest, " ") || !eat_month(&rest, &date->month) ||
        !eat_text(&rest, " "))
        return false;
    day_digits = eat_text(&rest, " ") ? 1 : 2;
    return eat_number(&rest, day_digits, &date->day) && eat_text(&rest, " ") &&
           eat_time(&rest, seconds) && eat_text(&rest, " ") && eat_number(&rest, 4, &date->year) &&
           rest.len == 0;
}

static bool date_exists(struct date date)
{
    struct date again;

    if (date.year < 1 || date.day < 1 || date.day > 31)
        return false;
    again = date_from_days(days_from_date(date));
    return again.day == date.day && again.month == date.month;
}

bool clock_parse_http_date(struct slice text, time_t *when)
{
    struct date date = {0};
    int seconds;

    if (!parse_imf(text, &date, &seconds) && !parse_rfc850(text, &date, &seconds) &&
        !parse_asctime(text, &date, &seconds))
        return false;
    if (!date_exists(date))
        return false;
    *when = (time_t)(days_from_date(date) * DAY_SECONDS + seconds);
    return true;
}
