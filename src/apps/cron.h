/* Times of day that come again: "minute hour day month weekday", as cron has it.
 *
 * Fields are *, numbers, ranges, lists and steps ("0-30/5,45"), names of months and weekdays; also
 * "@hourly", "@daily", "@weekly", "@monthly", "@yearly", and six fields with seconds first. When
 * both day and weekday are restricted, either will do. Runs in: any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct cron {
    uint64_t seconds, minutes, hours, days, months, weekdays; /* bit n: at n */
    bool any_day, any_weekday;
};

/* False: not of that form. */
bool cron_parse(const char *text, struct cron *cron);

/* The next time after `after` in local time, or 0 if there is none within eight years. */
time_t cron_next(const struct cron *cron, time_t after);
