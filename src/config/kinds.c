/* The parsers of numbers, times and sizes: nginx's forms. Runs in: any process, at load time. */
#include "config/directive.h"

#include <limits.h>

/* Decimal digits up to `max`; an empty text is no number. */
static bool parse_digits(struct slice text, int64_t max, int64_t *value)
{
    int64_t total = 0;

    for (size_t i = 0; i < text.len; i++) {
        int digit = text.data[i] - '0';

        if (digit < 0 || digit > 9 || total > (max - digit) / 10)
            return false;
        total = total * 10 + digit;
    }
    *value = total;
    return text.len > 0;
}

bool conf_parse_int(struct slice text, int64_t min, int64_t max, int64_t *value)
{
    int64_t number;

    if (max < 0 || !parse_digits(text, INT64_MAX, &number) || number < min || number > max)
        return false;
    *value = number;
    return true;
}

bool conf_parse_flag(struct slice text, bool *on)
{
    if (slice_eq_nocase(text, (struct slice)SLICE("on")))
        *on = true;
    else if (slice_eq_nocase(text, (struct slice)SLICE("off")))
        *on = false;
    else
        return false;
    return true;
}

bool conf_parse_bytes(struct slice text, size_t *bytes)
{
    int64_t scale = 1;
    int64_t number;

    if (text.len == 0)
        return false;
    switch (text.data[text.len - 1]) {
    case 'k':
    case 'K':
        scale = 1 << 10;
        break;
    case 'm':
    case 'M':
        scale = 1 << 20;
        break;
    case 'g':
    case 'G':
        scale = 1 << 30;
        break;
    default:
        break;
    }
    if (scale > 1)
        text.len--;
    if (!parse_digits(text, INT64_MAX / scale, &number))
        return false;
    *bytes = (size_t)(number * scale);
    return true;
}

/* Units from large to small; each may stand once, and only after larger ones. */
struct time_unit {
    char letter;
    int rank;
    int64_t seconds;
};

enum { RANK_NONE, RANK_YEAR, RANK_MONTH, RANK_SECOND = 7, RANK_MSEC, RANK_PLAIN };

static const struct time_unit time_units[] = {
    {'y', RANK_YEAR, 365 * 86400},
    {'M', RANK_MONTH, 30 * 86400},
    {'w', 3, 7 * 86400},
    {'d', 4, 86400},
    {'h', 5, 3600},
    {'m', 6, 60},
    {'s', RANK_SECOND, 1},
    {' ', RANK_SECOND, 1},
};

static const struct time_unit msec_unit = {'m', RANK_MSEC, 0};

/* Cuts a unit off the front of `*rest`. "ms" is only one where milliseconds are counted. */
static const struct time_unit *take_unit(struct slice *rest, bool in_msec)
{
    if (slice_starts(*rest, (struct slice)SLICE("ms"))) {
        *rest = slice_skip(*rest, 2);
        return in_msec ? &msec_unit : NULL;
    }
    for (size_t i = 0; i < COUNT(time_units); i++) {
        if (time_units[i].letter == rest->data[0]) {
            *rest = slice_skip(*rest, 1);
            return &time_units[i];
        }
    }
    return NULL;
}

static bool add_scaled(int64_t *total, int64_t number, int64_t scale)
{
    return !__builtin_mul_overflow(number, scale, &number) &&
           !__builtin_add_overflow(*total, number, total);
}

static size_t digits_at_front(struct slice text)
{
    size_t count = 0;

    while (count < text.len && text.data[count] >= '0' && text.data[count] <= '9')
        count++;
    return count;
}

/* nginx's rules: milliseconds know no years and months; a number without a unit is seconds and
 * comes last; blanks may stand after a unit. */
static bool parse_time(struct slice text, bool in_msec, int64_t *value)
{
    int64_t per_second = in_msec ? 1000 : 1;
    int rank = in_msec ? RANK_MONTH : RANK_NONE;
    int64_t total = 0;
    bool any = false;

    while (text.len > 0) {
        struct slice digits = slice_head(text, digits_at_front(text));
        const struct time_unit *unit = &time_units[RANK_SECOND];
        int64_t number = 0;

        if (digits.len > 0 && !parse_digits(digits, INT64_MAX, &number))
            return false;
        any = any || digits.len > 0;
        text = slice_skip(text, digits.len);
        if (text.len > 0) {
            unit = take_unit(&text, in_msec);
            if (unit == NULL || unit->rank <= rank)
                return false;
            rank = unit->letter == ' ' ? RANK_PLAIN : unit->rank;
        }
        if (!add_scaled(&total, number, unit == &msec_unit ? 1 : unit->seconds * per_second))
            return false;
        while (text.len > 0 && text.data[0] == ' ')
            text = slice_skip(text, 1);
    }
    *value = total;
    return any;
}

bool conf_parse_msec(struct slice text, uint64_t *ms)
{
    int64_t value;

    if (!parse_time(text, true, &value))
        return false;
    *ms = (uint64_t)value;
    return true;
}

bool conf_parse_sec(struct slice text, uint64_t *seconds)
{
    int64_t value;

    if (!parse_time(text, false, &value))
        return false;
    *seconds = (uint64_t)value;
    return true;
}
