/* proxy_redirect, proxy_cookie_domain, proxy_cookie_path: parts of an answer's fields that name the
 * backend's own world. Runs in: load: any; applying: worker, loop thread. */
#include "base/arena.h"
#include "config/loader.h"
#include "config/regex.h"
#include "config/snapshot.h"
#include "http/features/proxy_internal.h"

#include <assert.h>

/* ---- load */

static bool append(struct conf_call *call, const struct proxy_rule **list, struct proxy_rule *rule)
{
    const struct proxy_rule **last = list;

    (void)call;
    while (*last != NULL)
        last = (const struct proxy_rule **)(uintptr_t) & (*last)->next;
    *last = rule;
    return true;
}

/* "~re", "~*re": a regular expression; else a text that may have variables. */
static bool set_from(struct conf_call *call, struct proxy_rule *rule, enum proxy_match match)
{
    struct slice text = conf_arg(call, 1);
    struct snapshot *snapshot = call->loader->context;
    const char *error = NULL;

    rule->match = match;
    if (text.len == 0 || text.data[0] != '~') {
        if (match == MATCH_WHOLE_NOCASE && text.len > 0 && text.data[0] == '.')
            text = slice_skip(text, 1); /* a leading dot means nothing any more (RFC 6265) */
        rule->from = proxy_template(call, 1, text);
        return rule->from != NULL;
    }
    bool nocase = match == MATCH_WHOLE_NOCASE || (text.len > 1 && text.data[1] == '*');

    rule->match = MATCH_REGEX;
    text = slice_skip(text, text.len > 1 && text.data[1] == '*' ? 2 : 1);
    rule->regex = regex_compile(snapshot->regexes, text, nocase, &error);
    return rule->regex != NULL || conf_error(call, 1, "%s", error);
}

static bool is_off(const struct conf_call *call)
{
    return conf_arg_count(call) == 2 && slice_eq(conf_arg(call, 1), slice_of("off"));
}

static bool set_rule(struct conf_call *call, const struct proxy_rule **list, enum proxy_match match)
{
    struct proxy_rule *rule = arena_zalloc(call->loader->arena, sizeof *rule);

    if (rule == NULL)
        return conf_error(call, 0, "no memory");
    if (!set_from(call, rule, match))
        return false;
    rule->to = proxy_template(call, 2, conf_arg(call, 2));
    return rule->to != NULL && append(call, list, rule);
}

static bool set_default(struct conf_call *call, struct proxy_conf *conf)
{
    struct proxy_rule *rule = arena_zalloc(call->loader->arena, sizeof *rule);

    if (rule == NULL)
        return conf_error(call, 0, "no memory");
    rule->is_default = true;
    return append(call, &conf->redirects, rule);
}

bool proxy_set_redirect(struct conf_call *call)
{
    struct proxy_conf *conf = call->conf;

    if (call->first) {
        conf->redirects = NULL;
        conf->redirect_default = false;
    }
    if (is_off(call))
        return true;
    if (conf_arg_count(call) == 3)
        return set_rule(call, &conf->redirects, MATCH_PREFIX);
    if (!slice_eq(conf_arg(call, 1), slice_of("default")))
        return conf_error(call, 1, "invalid parameter \"%.*s\": \"default\", \"off\", or two words",
                          SLICE_ARG(conf_arg(call, 1)));
    return set_default(call, conf);
}

static bool set_cookie_rule(struct conf_call *call, const struct proxy_rule **list,
                            enum proxy_match match)
{
    if (call->first)
        *list = NULL;
    if (is_off(call))
        return true;
    if (conf_arg_count(call) != 3)
        return conf_error(call, 1, "invalid parameter \"%.*s\": \"off\", or two words",
                          SLICE_ARG(conf_arg(call, 1)));
    return set_rule(call, list, match);
}

bool proxy_set_cookie_domain(struct conf_call *call)
{
    struct proxy_conf *conf = call->conf;

    return set_cookie_rule(call, &conf->cookie_domains, MATCH_WHOLE_NOCASE);
}

bool proxy_set_cookie_path(struct conf_call *call)
{
    struct proxy_conf *conf = call->conf;

    return set_cookie_rule(call, &conf->cookie_paths, MATCH_PREFIX);
}

/* ---- applying */

/* "kept before" + replacement + "kept behind". */
static enum rewrite put_together(struct exchange *x, struct slice before, struct slice middle,
                                 struct slice behind, struct slice *value)
{
    size_t len = before.len + middle.len + behind.len;
    char *out = arena_bytes(x->subject.arena, len + 1);

    if (out == NULL)
        return REWRITE_FAILED;
    *value = slice_make(out, len);
    if (before.len > 0)
        memcpy(out, before.data, before.len);
    if (middle.len > 0)
        memcpy(out + before.len, middle.data, middle.len);
    if (behind.len > 0)
        memcpy(out + before.len + middle.len, behind.data, behind.len);
    return REWRITE_DONE;
}

static enum rewrite apply_regex(struct exchange *x, const struct proxy_rule *rule, size_t offset,
                                struct slice *value)
{
    struct slice text = slice_skip(*value, offset);
    struct slice to;

    if (regex_match(rule->regex, text, &x->subject) != REGEX_YES)
        return REWRITE_NONE;
    if (!template_eval(rule->to, &x->subject, &to))
        return REWRITE_FAILED;
    return put_together(x, slice_head(*value, offset), to, slice_make(NULL, 0), value);
}

static enum rewrite apply_text(struct exchange *x, const struct proxy_rule *rule, size_t offset,
                               struct slice *value)
{
    struct slice text = slice_skip(*value, offset);
    struct slice from;
    struct slice to;
    bool fits;

    if (!template_eval(rule->from, &x->subject, &from))
        return REWRITE_FAILED;
    fits = rule->match == MATCH_PREFIX ? slice_starts(text, from) : slice_eq_nocase(text, from);
    if (!fits)
        return REWRITE_NONE;
    if (!template_eval(rule->to, &x->subject, &to))
        return REWRITE_FAILED;
    return put_together(x, slice_head(*value, offset), to, slice_skip(text, from.len), value);
}

enum rewrite proxy_apply_rules(struct exchange *x, const struct proxy_rule *rules, size_t offset,
                               struct slice *value)
{
    for (const struct proxy_rule *rule = rules; rule != NULL; rule = rule->next) {
        enum rewrite result = rule->match == MATCH_REGEX ? apply_regex(x, rule, offset, value)
                                                         : apply_text(x, rule, offset, value);

        if (result != REWRITE_NONE)
            return result;
    }
    return REWRITE_NONE;
}

/* The URL of proxy_pass becomes the location it stands in; without a path, it is what "/" is. */
static enum rewrite apply_default(struct relay *r, size_t offset, struct slice *value)
{
    const struct proxy_pass *pass = proxy_state_of(r)->pass;
    struct slice text = slice_skip(*value, offset);
    struct slice rest = slice_skip(text, pass->text.len);
    struct slice to = pass->location;

    if (pass->text.len == 0 || !slice_starts(text, pass->text))
        return REWRITE_NONE;
    if (pass->url.uri.len == 0) {
        if (!slice_starts(rest, slice_of("/")))
            return REWRITE_NONE;
        to = slice_make(NULL, 0);
    }
    return put_together(r->x, slice_head(*value, offset), to, rest, value);
}

static enum rewrite rewrite_location(struct relay *r, size_t offset, struct slice *value)
{
    const struct proxy_conf *conf = proxy_state_of(r)->conf;

    if (conf->redirect_default)
        return apply_default(r, offset, value);
    for (const struct proxy_rule *rule = conf->redirects; rule != NULL; rule = rule->next) {
        struct proxy_rule alone = *rule;
        enum rewrite result;

        alone.next = NULL;
        result = rule->is_default ? apply_default(r, offset, value)
                                  : proxy_apply_rules(r->x, &alone, offset, value);
        if (result != REWRITE_NONE)
            return result;
    }
    return REWRITE_NONE;
}

/* "Refresh: 5; url=http://..." */
static enum rewrite rewrite_refresh(struct relay *r, struct slice *value)
{
    for (size_t at = 0; at + 4 <= value->len; at++)
        if (slice_eq_nocase(slice_head(slice_skip(*value, at), 4), slice_of("url=")))
            return rewrite_location(r, at + 4, value);
    return REWRITE_NONE;
}

enum rewrite proxy_rewrite(struct relay *r, enum header_id id, struct slice *value)
{
    switch (id) {
    case HEADER_LOCATION:
        return rewrite_location(r, 0, value);
    case HEADER_REFRESH:
        return rewrite_refresh(r, value);
    case HEADER_SET_COOKIE:
        return proxy_rewrite_cookie(r->x, proxy_state_of(r)->conf, value);
    default:
        return REWRITE_NONE;
    }
}
