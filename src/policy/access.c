#include "policy/access.h"

#include "base/arena.h"
#include "config/directive.h"
#include "config/loader.h"

static bool parse_network(struct conf_call *call, struct access_rule *rule)
{
    struct slice text = conf_arg(call, 1);
    bool had_host_bits = false;

    if (slice_eq(text, slice_of("all"))) {
        rule->everybody = true;
        return true;
    }
    if (!address_block_parse(text, &rule->block, &had_host_bits))
        return conf_error(call, 1, "invalid parameter \"%.*s\"", SLICE_ARG(text));
    if (had_host_bits)
        conf_warn(call, 1, "low address bits of %.*s are meaningless", SLICE_ARG(text));
    return true;
}

bool access_rules_add(struct conf_call *call, struct access_rules *rules, bool deny)
{
    struct access_rule *rule = arena_zalloc(call->loader->arena, sizeof *rule);

    if (rule == NULL)
        return conf_error(call, 0, "no memory");
    rule->deny = deny;
    if (!parse_network(call, rule))
        return false;
    if (rules->last == NULL)
        rules->first = rule;
    else
        rules->last->next = rule;
    rules->last = rule;
    return true;
}

enum access_verdict access_check(const struct access_rules *rules, const struct address *client)
{
    for (const struct access_rule *rule = rules->first; rule != NULL; rule = rule->next) {
        if (rule->everybody || address_block_has(&rule->block, client))
            return rule->deny ? ACCESS_DENIED : ACCESS_ALLOWED;
    }
    return ACCESS_SILENT;
}
