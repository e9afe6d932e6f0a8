/* allow, deny: who may ask, by address. Runs in: load: any; run: worker, loop thread. */
#include "policy/access.h"

#include "http/feature.h"

struct access_conf {
    const struct access_conf
        *self; /* whose rules these are: a copy made for a block inside differs */
    struct access_rules rules;
};

static bool add_rule(struct conf_call *call, bool deny)
{
    struct access_conf *conf = call->conf;

    if (conf->self != conf) {
        conf->self = conf;
        conf->rules = (struct access_rules){0};
    }
    return access_rules_add(call, &conf->rules, deny);
}

static bool set_allow(struct conf_call *call)
{
    return add_rule(call, false);
}

static bool set_deny(struct conf_call *call)
{
    return add_rule(call, true);
}

static enum phase_verdict run(struct exchange *x);

#define RULE(name_, set_, doc_, example_)                                                          \
    {                                                                                              \
        .name = name_, .contexts = CTX_HTTP_ALL | CTX_LIMIT_EXCEPT, .field = CUSTOM,               \
        .args_min = 1, .args_max = 1, .repeatable = true, .set = set_, .doc = doc_,                \
        .example = example_                                                                        \
    }

static const struct directive directives[] = {
    RULE("allow", set_allow,
         "Lets clients of an address, a network, unix: or all in. The first rule of allow and deny "
         "that has the client decides; a block's rules replace those above it.",
         "allow 192.168.0.0/16;"),
    RULE("deny", set_deny, "Refuses clients of an address, a network, unix: or all with 403.",
         "deny all;"),
};

struct feature access_feature = {
    .conf = {.name = "http_access",
             .conf_bytes = sizeof(struct access_conf),
             .frequent = true,
             .directives = directives,
             .directive_count = COUNT(directives)},
    .idle_without = &access_feature,
    .phase = STEP_ACCESS,
    .run = run,
};

static enum phase_verdict run(struct exchange *x)
{
    const struct access_conf *conf = exchange_conf(x, access_feature);

    if (conf->rules.first == NULL || x->subject.client == NULL)
        return PHASE_PASS;
    switch (access_check(&conf->rules, x->subject.client)) {
    case ACCESS_ALLOWED:
        return PHASE_ALLOW;
    case ACCESS_DENIED:
        log_about(&x->log, LOG_LEVEL_ERROR, 0, "access forbidden by rule");
        return exchange_deny(x, 403);
    default:
        return PHASE_PASS;
    }
}
