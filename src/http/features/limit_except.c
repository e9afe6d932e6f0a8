/* limit_except METHODS { allow ...; }: other settings for all methods but those named.
 * Runs in: load: any; run: worker, loop thread. */
#include "base/arena.h"
#include "config/loader.h"
#include "http/conf.h"

_Static_assert(METHOD_COUNT <= 32, "a set of methods is 32 bits");

struct limit_except_conf {
    const struct http_location *around; /* the location it stands in: others do not inherit it */
    const struct http_location *inside;
    unsigned allowed; /* bit per enum method */
};

static bool parse_methods(struct conf_call *call, unsigned *allowed)
{
    for (size_t i = 1; i < conf_arg_count(call); i++) {
        enum method method = method_of_nocase(conf_arg(call, i));

        if (method == METHOD_OTHER)
            return conf_error(call, i, "invalid method \"%.*s\"", SLICE_ARG(conf_arg(call, i)));
        *allowed |= 1u << method;
    }
    if (*allowed & 1u << METHOD_GET)
        *allowed |= 1u << METHOD_HEAD;
    return true;
}

static bool set_limit_except(struct conf_call *call)
{
    struct limit_except_conf *conf = call->conf;
    const struct http_location *around = conf_location(call);
    struct http_location *inside = arena_zalloc(call->loader->arena, sizeof *inside);
    struct scope child;
    bool loaded;

    if (inside == NULL)
        return conf_error(call, 0, "no memory");
    *inside = *around;
    inside->kind = LOCATION_IF;
    inside->parent = around;
    inside->nested = NULL;
    inside->content = (struct content_handler){0};
    inside->origin.line = call->node->line;
    *conf = (struct limit_except_conf){.around = around, .inside = inside};
    if (!parse_methods(call, &conf->allowed))
        return false;
    loaded = loader_block(call, CTX_LIMIT_EXCEPT, inside, &child);
    inside->settings = child.settings;
    if (inside->content.start == NULL)
        inside->content = around->content;
    return loaded;
}

static const struct directive directives[] = {
    {.name = "limit_except",
     .contexts = CTX_LOCATION,
     .field = CUSTOM,
     .args_min = 1,
     .args_max = 255,
     .block = true,
     .set = set_limit_except,
     .doc = "Settings inside apply to all methods but those named; GET includes HEAD.",
     .example = "limit_except GET {\n    allow 10.0.0.0/8;\n    deny all;\n}"},
};

static enum phase_verdict run(struct exchange *x);

struct feature limit_except_feature = {
    .conf = {.name = "http_limit_except",
             .conf_bytes = sizeof(struct limit_except_conf),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .idle_without = &limit_except_feature,
    .phase = STEP_REWRITE,
    .run = run,
};

/* Before rewrite, which then has nothing to run: as in nginx, the block has no rewrites of its own.
 */
static enum phase_verdict run(struct exchange *x)
{
    const struct limit_except_conf *conf = exchange_conf(x, limit_except_feature);

    if (conf->around == NULL || conf->around != x->location ||
        (conf->allowed & 1u << x->request.method) != 0)
        return PHASE_PASS;
    x->location = conf->inside;
    x->settings = conf->inside->settings;
    return PHASE_PASS;
}
