/* What `expires` says and does. Runs in: parse: load time; apply: worker, loop thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct conf_call;
struct exchange;
struct template;

enum expires_kind {
    EXPIRES_OFF,
    EXPIRES_ACCESS, /* seconds from now, negative: not to be cached */
    EXPIRES_MODIFIED,
    EXPIRES_DAILY,
    EXPIRES_EPOCH,
    EXPIRES_MAX,
};

struct expires_rule {
    enum expires_kind kind;
    int64_t seconds;
};

struct expires_conf {
    struct expires_rule rule;
    struct template *text; /* with variables: parsed for each response; NULL: `rule` holds */
    bool modified;         /* the word `modified` stood before the text */
};

/* "24h", "-1", "@15h30m", "epoch", "max", "off". False: not of that form. Pure. */
bool parse_expires(struct slice text, bool modified, struct expires_rule *rule);

bool expires_parse(struct conf_call *call, struct expires_conf *conf);

/* Sets Expires and Cache-Control of the response. False: no memory. */
bool expires_apply(const struct expires_conf *conf, struct exchange *x);

/* Seconds a response may be kept, and when that ends; `max_age` < 0: not at all. Pure. */
struct lifetime {
    int64_t max_age;
    time_t until;
};
struct lifetime expires_lifetime(const struct expires_rule *rule, time_t now, time_t modified);
