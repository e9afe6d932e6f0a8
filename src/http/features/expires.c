#include "http/features/expires.h"

#include "base/arena.h"
#include "base/clock.h"
#include "config/directive.h"
#include "config/loader.h"
#include "event/loop.h"
#include "http/exchange.h"

#include <inttypes.h>

enum { DAY_S = 24 * 60 * 60 };

bool parse_expires(struct slice text, bool modified, struct expires_rule *rule)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    bool positive = text.len > 0 && text.data[0] == '+';
    bool daily = text.len > 0 && text.data[0] == '@';
    uint64_t seconds;

    *rule = (struct expires_rule){.kind = modified ? EXPIRES_MODIFIED : EXPIRES_ACCESS};
    if (!modified && (slice_eq(text, slice_of("epoch")) || slice_eq(text, slice_of("max")) ||
                      slice_eq(text, slice_of("off")))) {
        rule->kind = text.data[0] == 'e'   ? EXPIRES_EPOCH
                     : text.data[0] == 'm' ? EXPIRES_MAX
                                           : EXPIRES_OFF;
        return true;
    }
    if (daily && modified)
        return false;
    if (!conf_parse_sec(slice_skip(text, negative || positive || daily ? 1 : 0), &seconds) ||
        seconds > INT32_MAX || (daily && seconds > DAY_S))
        return false;
    if (daily)
        rule->kind = EXPIRES_DAILY;
    rule->seconds = negative ? -(int64_t)seconds : (int64_t)seconds;
    if (negative && !modified && seconds == 0)
        rule->seconds = -1;
    return true;
}

bool expires_parse(struct conf_call *call, struct expires_conf *conf)
{
    size_t last = conf_arg_count(call) - 1;
    struct slice text = conf_arg(call, last);
    const char *error;

    *conf = (struct expires_conf){.modified = last == 2};
    if (last == 2 && !slice_eq(conf_arg(call, 1), slice_of("modified")))
        return conf_error(call, 1, "invalid value \"%.*s\"", SLICE_ARG(conf_arg(call, 1)));
    if (slice_find(text, '$') >= 0) {
        conf->text = template_compile(call->loader->variables, call->loader->arena, text, &error);
        return conf->text != NULL || conf_error(call, last, "%s", error);
    }
    return parse_expires(text, conf->modified, &conf->rule) ||
           conf_error(call, last, "invalid value \"%.*s\"", SLICE_ARG(text));
}

/* The next time that the local clock shows so many seconds after midnight. */
static int64_t until_time_of_day(time_t now, int64_t seconds)
{
    struct tm midnight;
    time_t next;

    localtime_r(&now, &midnight);
    midnight.tm_hour = 0;
    midnight.tm_min = 0;
    midnight.tm_sec = 0;
    next = mktime(&midnight) + seconds;
    if (next <= now)
        next += DAY_S;
    return next - now;
}

struct lifetime expires_lifetime(const struct expires_rule *rule, time_t now, time_t modified)
{
    int64_t seconds = rule->seconds;

    switch (rule->kind) {
    case EXPIRES_MAX: /* "Thu, 31 Dec 2037 23:55:55 GMT", and ten years */
        return (struct lifetime){.max_age = 315360000, .until = 2145916555};
    case EXPIRES_EPOCH:
        return (struct lifetime){.max_age = -1, .until = 1};
    case EXPIRES_DAILY:
        seconds = until_time_of_day(now, seconds);
        break;
    case EXPIRES_MODIFIED:
        if (modified >= 0)
            seconds += modified - now;
        break;
    default:
        break;
    }
    return (struct lifetime){.max_age = seconds, .until = now + (time_t)seconds};
}

static bool set_fields(struct exchange *x, struct lifetime lifetime)
{
    struct header_list *headers = &x->response.headers;
    struct arena *arena = x->subject.arena;
    struct slice cache = slice_of("no-cache");
    char date[30];

    clock_http_date(lifetime.until, date);
    if (lifetime.max_age >= 0)
        cache = arena_printf(arena, "max-age=%" PRId64, lifetime.max_age);
    struct slice expires = arena_copy(arena, slice_of(date));

    return cache.data != NULL && expires.data != NULL &&
           header_list_set(headers, HEADER_EXPIRES, expires) != NULL &&
           header_list_set(headers, HEADER_CACHE_CONTROL, cache) != NULL;
}

bool expires_apply(const struct expires_conf *conf, struct exchange *x)
{
    struct expires_rule rule = conf->rule;
    time_t now = (time_t)(loop_clock(x->loop)->wall_ms / 1000);
    struct slice text;

    if (conf->text != NULL && (!template_eval(conf->text, &x->subject, &text) ||
                               !parse_expires(text, conf->modified, &rule)))
        return true; /* a value that is no time changes nothing */
    if (rule.kind == EXPIRES_OFF)
        return true;
    return set_fields(x, expires_lifetime(&rule, now, x->response.last_modified));
}
