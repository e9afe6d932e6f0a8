/* Goal: only the attribute that a rule is about changes in a cookie, whatever else stands in it.
 * Method: one rule of each kind, written by hand, on a table of cookies. */
#include "tests/unit/check.h"

#include "base/arena.h"
#include "base/list.h"
#include "http/features/proxy_internal.h"

static struct template text(const char *source)
{
    return (struct template){.source = slice_of(source), .constant = true};
}

static const struct {
    const char *in;
    const char *out; /* NULL: unchanged */
} cases[] = {
    {"a=b", NULL},
    {"", NULL},
    {";", NULL},
    {"a=b; Path=/two/x", "a=b; Path=/x"},
    {"a=b;path = /two/x;Secure", "a=b; path=/x; Secure"},
    {"a=b; Path=/one", NULL},
    {"a=b; Path", NULL},
    {"Path=/two/; Max-Age=5", NULL}, /* a cookie that is called so */
    {"a=b; Domain=.OLD.test", "a=b; Domain=new.test"},
    {"a=b; Domain=old.test.com", NULL},
    {"a=b; Domain=old.test; Path=/two/", "a=b; Domain=new.test; Path=/"},
    {"s=1; HttpOnly", "s=1; Secure; SameSite=Lax"},
    {"s=1; samesite=None; secure", "s=1; SameSite=Lax; Secure"},
    {"S=1", "S=1; Secure; SameSite=Lax"},
    {"a=b;c;d;e;f;g;h;i;j;k;l;m;n;o;p;q;r;s;t;u;v;w;x;y;z;1;2;3;4;5;6;7;8; Path=/two/", NULL},
};

TEST(attributes)
{
    struct template old_domain = text("old.test"), new_domain = text("new.test");
    struct template old_path = text("/two/"), new_path = text("/");
    struct template name = text("s"), secure = text("secure"), lax = text("samesite=lax"),
                    no_http_only = text("nohttponly");
    struct proxy_rule domain = {
        .match = MATCH_WHOLE_NOCASE, .from = &old_domain, .to = &new_domain};
    struct proxy_rule path = {.match = MATCH_PREFIX, .from = &old_path, .to = &new_path};
    struct proxy_cookie_rule flags = {.name = &name, .flags = {&secure, &lax, &no_http_only}};
    struct proxy_conf conf = {
        .cookie_domains = &domain, .cookie_paths = &path, .cookie_flags = &flags};
    struct exchange x = {.subject.arena = arena_new(4096)};

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice value = slice_of(cases[i].in);
        enum rewrite result = proxy_rewrite_cookie(&x, &conf, &value);

        CHECK_EQ(result, cases[i].out == NULL ? REWRITE_NONE : REWRITE_DONE, cases[i].in);
        CHECK_SLICE(value, cases[i].out == NULL ? cases[i].in : cases[i].out, cases[i].in);
    }
    arena_drop(x.subject.arena);
}

TEST(nothing_configured_costs_nothing)
{
    struct proxy_conf conf = {0};
    struct exchange x = {0};
    struct slice value = slice_of("a=b; Path=/");

    CHECK_EQ(proxy_rewrite_cookie(&x, &conf, &value), REWRITE_NONE);
    CHECK_SLICE(value, "a=b; Path=/");
}
