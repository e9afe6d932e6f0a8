/* Set-Cookie of an answer: its domain, its path and its flags. Runs in: load: any; rewriting:
 * worker, loop thread. */
#include "base/arena.h"
#include "base/list.h"
#include "config/loader.h"
#include "config/regex.h"
#include "config/snapshot.h"
#include "http/features/proxy_internal.h"

#include <assert.h>

enum { ATTRIBUTES_MAX = 32 }; /* of one cookie; what is beyond stays as it is */

/* One cookie in pieces: "name=value" and "Attribute" or "Attribute=value". */
struct cookie {
    struct slice parts[ATTRIBUTES_MAX]; /* [0] is the pair; empty: removed */
    size_t count;
    struct slice rest; /* too many attributes: kept unread */
    bool changed;
};

static const struct {
    struct slice word;
    enum cookie_flag flag;
    const char *text; /* as it is sent; NULL: nothing is */
} flag_words[] = {
    {SLICE("secure"), COOKIE_SECURE, "Secure"},
    {SLICE("nosecure"), COOKIE_NO_SECURE, NULL},
    {SLICE("httponly"), COOKIE_HTTP_ONLY, "HttpOnly"},
    {SLICE("nohttponly"), COOKIE_NO_HTTP_ONLY, NULL},
    {SLICE("samesite=strict"), COOKIE_SAME_SITE, "SameSite=Strict"},
    {SLICE("samesite=lax"), COOKIE_SAME_SITE, "SameSite=Lax"},
    {SLICE("samesite=none"), COOKIE_SAME_SITE, "SameSite=None"},
    {SLICE("nosamesite"), COOKIE_NO_SAME_SITE, NULL},
};

static ptrdiff_t find_flag(struct slice word)
{
    for (size_t i = 0; i < COUNT(flag_words); i++)
        if (slice_eq_nocase(flag_words[i].word, word))
            return (ptrdiff_t)i;
    return -1;
}

/* ---- load */

static bool set_name(struct conf_call *call, struct proxy_cookie_rule *rule)
{
    struct slice text = conf_arg(call, 1);
    struct snapshot *snapshot = call->loader->context;
    const char *error = NULL;

    if (text.len > 0 && text.data[0] == '~') {
        rule->regex = regex_compile(snapshot->regexes, slice_skip(text, 1), true, &error);
        return rule->regex != NULL || conf_error(call, 1, "%s", error);
    }
    rule->name = proxy_template(call, 1, text);
    return rule->name != NULL;
}

static bool set_flags(struct conf_call *call, struct proxy_cookie_rule *rule)
{
    size_t count = conf_arg_count(call) - 2;

    if (count > COUNT(rule->flags) - 1)
        return conf_error(call, 0, "too many flags");
    for (size_t i = 0; i < count; i++) {
        struct slice word = conf_arg(call, i + 2);

        rule->flags[i] = proxy_template(call, i + 2, word);
        if (rule->flags[i] == NULL)
            return false;
        if (rule->flags[i]->constant && find_flag(word) < 0)
            return conf_error(call, i + 2, "invalid parameter \"%.*s\"", SLICE_ARG(word));
    }
    return true;
}

bool proxy_set_cookie_flags(struct conf_call *call)
{
    struct proxy_conf *conf = call->conf;
    const struct proxy_cookie_rule **last = &conf->cookie_flags;
    struct proxy_cookie_rule *rule;

    if (call->first)
        conf->cookie_flags = NULL;
    if (conf_arg_count(call) == 2) {
        if (slice_eq(conf_arg(call, 1), slice_of("off")))
            return true;
        return conf_error(call, 1, "invalid parameter \"%.*s\": \"off\", or a cookie and flags",
                          SLICE_ARG(conf_arg(call, 1)));
    }
    rule = arena_zalloc(call->loader->arena, sizeof *rule);
    if (rule == NULL)
        return conf_error(call, 0, "no memory");
    if (!set_name(call, rule) || !set_flags(call, rule))
        return false;
    while (*last != NULL)
        last = (const struct proxy_cookie_rule **)(uintptr_t) & (*last)->next;
    *last = rule;
    return true;
}

/* ---- taking apart, putting together */

static void parse_cookie(struct slice text, struct cookie *cookie)
{
    struct slice part;

    *cookie = (struct cookie){.count = 0};
    while (cookie->count < ATTRIBUTES_MAX && slice_split(&text, ';', &part))
        cookie->parts[cookie->count++] = slice_trim(part);
    cookie->rest = text;
}

static struct slice cookie_name(const struct cookie *cookie)
{
    ptrdiff_t equals = slice_find(cookie->parts[0], '=');

    return equals < 0 ? cookie->parts[0] : slice_head(cookie->parts[0], (size_t)equals);
}

/* The attribute called `name`, or 0: there is none (the pair is no attribute). */
static size_t find_attribute(const struct cookie *cookie, struct slice name)
{
    for (size_t i = 1; i < cookie->count; i++) {
        struct slice part = cookie->parts[i];
        ptrdiff_t equals = slice_find(part, '=');
        struct slice key = equals < 0 ? part : slice_trim(slice_head(part, (size_t)equals));

        if (slice_eq_nocase(key, name))
            return i;
    }
    return 0;
}

static enum rewrite compose(struct exchange *x, const struct cookie *cookie, struct slice *value)
{
    size_t room = cookie->rest.len + 2;
    size_t len = 0;
    char *out;

    for (size_t i = 0; i < cookie->count; i++)
        room += cookie->parts[i].len + 2;
    out = arena_bytes(x->subject.arena, room);
    if (out == NULL)
        return REWRITE_FAILED;
    for (size_t i = 0; i < cookie->count; i++) {
        struct slice part = cookie->parts[i];

        if (part.len == 0)
            continue;
        if (len > 0) {
            memcpy(out + len, "; ", 2);
            len += 2;
        }
        memcpy(out + len, part.data, part.len);
        len += part.len;
    }
    if (cookie->rest.len > 0) {
        out[len++] = ';';
        memcpy(out + len, cookie->rest.data, cookie->rest.len);
        len += cookie->rest.len;
    }
    *value = slice_make(out, len);
    return REWRITE_DONE;
}

/* ---- rewriting */

/* False: no memory. */
static bool rewrite_attribute(struct exchange *x, const struct proxy_rule *rules,
                              struct cookie *cookie, struct slice name)
{
    size_t at = rules == NULL ? 0 : find_attribute(cookie, name);
    struct slice key;
    struct slice value;
    size_t offset;
    enum rewrite result;

    if (at == 0)
        return true;
    offset = (size_t)(slice_find(cookie->parts[at], '=') + 1);
    if (offset == 0)
        return true;
    key = slice_trim(slice_head(cookie->parts[at], offset - 1)); /* as it was spelt */
    value = slice_trim(slice_skip(cookie->parts[at], offset));
    if (rules->match != MATCH_PREFIX && value.len > 0 && value.data[0] == '.')
        value = slice_skip(value, 1);
    result = proxy_apply_rules(x, rules, 0, &value);
    if (result != REWRITE_DONE)
        return result == REWRITE_NONE;
    cookie->parts[at] = arena_printf(x->subject.arena, "%.*s=%.*s", SLICE_ARG(key),
                                     SLICE_ARG(value));
    cookie->changed = true;
    return cookie->parts[at].data != NULL;
}

static void put_attribute(struct cookie *cookie, struct slice name, const char *text)
{
    size_t at = find_attribute(cookie, name);

    if (at == 0 && text == NULL)
        return;
    if (at == 0 && cookie->count < ATTRIBUTES_MAX)
        at = cookie->count++;
    if (at == 0)
        return;
    cookie->parts[at] = slice_of(text == NULL ? "" : text);
    cookie->changed = true;
}

static void apply_flag(struct cookie *cookie, size_t index)
{
    const char *text = flag_words[index].text;

    switch (flag_words[index].flag) {
    case COOKIE_SECURE:
    case COOKIE_NO_SECURE:
        put_attribute(cookie, slice_of("Secure"), text);
        break;
    case COOKIE_HTTP_ONLY:
    case COOKIE_NO_HTTP_ONLY:
        put_attribute(cookie, slice_of("HttpOnly"), text);
        break;
    case COOKIE_SAME_SITE:
    case COOKIE_NO_SAME_SITE:
        put_attribute(cookie, slice_of("SameSite"), text);
        break;
    }
}

static bool rule_fits(struct exchange *x, const struct proxy_cookie_rule *rule, struct slice name)
{
    struct slice want;

    if (rule->regex != NULL)
        return regex_match(rule->regex, name, &x->subject) == REGEX_YES;
    return template_eval(rule->name, &x->subject, &want) && slice_eq_nocase(want, name);
}

/* The first rule that fits the cookie's name is the one. */
static void rewrite_flags(struct exchange *x, const struct proxy_cookie_rule *rule,
                          struct cookie *cookie)
{
    struct slice name = cookie_name(cookie);

    while (rule != NULL && !rule_fits(x, rule, name))
        rule = rule->next;
    for (size_t i = 0; rule != NULL && rule->flags[i] != NULL; i++) {
        struct slice word;
        ptrdiff_t index = -1;

        if (template_eval(rule->flags[i], &x->subject, &word) && word.len > 0)
            index = find_flag(word);
        if (index >= 0)
            apply_flag(cookie, (size_t)index);
    }
}

enum rewrite proxy_rewrite_cookie(struct exchange *x, const struct proxy_conf *conf,
                                  struct slice *value)
{
    struct cookie cookie;

    if (conf->cookie_domains == NULL && conf->cookie_paths == NULL && conf->cookie_flags == NULL)
        return REWRITE_NONE;
    parse_cookie(*value, &cookie);
    if (!rewrite_attribute(x, conf->cookie_domains, &cookie, slice_of("Domain")) ||
        !rewrite_attribute(x, conf->cookie_paths, &cookie, slice_of("Path")))
        return REWRITE_FAILED;
    rewrite_flags(x, conf->cookie_flags, &cookie);
    return cookie.changed ? compose(x, &cookie, value) : REWRITE_NONE;
}
