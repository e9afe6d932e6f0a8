/* The directives of the rewrite feature. Runs in: load time. */
#include "http/features/rewrite.h"

#include "base/arena.h"
#include "config/loader.h"
#include "config/regex.h"
#include "config/snapshot.h"
#include "http/conf.h"

#include <limits.h>

/* ---- lists of steps */

static bool is_simple_step(const struct node *node)
{
    static const char *const names[] = {"rewrite", "return", "set", "break"};

    for (size_t i = 0; i < COUNT(names); i++) {
        if (slice_eq(word_text(node->words[0]), slice_of(names[i])))
            return true;
    }
    return false;
}

/* Blocks are loaded after the simple directives of their parent, but an `if` runs where it stands:
 * before the first step whose directive comes after it. */
static struct rewrite_step **place_of(struct rewrite_list *list, const struct node *node)
{
    const struct node *after = node->next;

    while (after != NULL && !is_simple_step(after))
        after = after->next;
    if (after == NULL)
        return list->last;
    for (struct rewrite_step **at = &list->first; *at != NULL; at = &(*at)->next) {
        if ((*at)->node == after)
            return at;
    }
    return list->last;
}

static struct rewrite_list *own_list(struct conf_call *call)
{
    struct rewrite_conf *conf = call->conf;

    if (conf->block != call->scope->block) {
        conf->block = call->scope->block;
        conf->steps.first = NULL;
        conf->steps.last = &conf->steps.first;
    }
    return &conf->steps;
}

static struct rewrite_step *add_step(struct conf_call *call, bool is_block)
{
    struct rewrite_list *list = own_list(call);
    struct rewrite_step *step = arena_zalloc(call->loader->arena, sizeof *step);
    struct rewrite_step **at = is_block ? place_of(list, call->node) : list->last;

    if (step == NULL) {
        (void)conf_error(call, 0, "no memory");
        return NULL;
    }
    step->node = call->node;
    step->origin = conf_origin(call);
    step->next = *at;
    *at = step;
    if (step->next == NULL)
        list->last = &step->next;
    return step;
}

static bool compile(struct conf_call *call, size_t index, struct slice text,
                    struct template **result)
{
    const char *error;

    *result = template_compile(call->loader->variables, call->loader->arena, text, &error);
    return *result != NULL || conf_error(call, index, "%s", error);
}

/* ---- rewrite */

static bool is_name_byte(char c)
{
    char lower = ascii_lower(c);

    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* "$1", "$name", "${name}" at the beginning of `*text`. */
static bool take_reference(struct conf_call *call, struct slice *text,
                           struct replacement_part *part)
{
    bool braces = text->len > 1 && text->data[1] == '{';
    struct slice rest = slice_skip(*text, braces ? 2 : 1);
    size_t n = 0;

    if (rest.len > 0 && rest.data[0] >= '1' && rest.data[0] <= '9')
        n = 1;
    while (n < rest.len && is_name_byte(rest.data[n]) &&
           !(n == 1 && rest.data[0] >= '1' && rest.data[0] <= '9'))
        n++;
    if (n == 0 || (braces && (n == rest.len || rest.data[n] != '}')))
        return conf_error(call, 2, "invalid variable name");
    *text = slice_skip(rest, n + (braces ? 1 : 0));
    if (n == 1 && rest.data[0] >= '1' && rest.data[0] <= '9') {
        part->kind = PART_CAPTURE;
        part->capture = (unsigned)(rest.data[0] - '0');
        return true;
    }
    part->kind = PART_VARIABLE;
    part->variable = variables_find(call->loader->variables, slice_head(rest, n));
    return part->variable != NULL ||
           conf_error(call, 2, "unknown \"%.*s\" variable", (int)n, rest.data);
}

/* In a redirect a '?' is a byte like others; in a URI it separates the arguments. */
static struct slice take_text(struct slice *text, bool redirect)
{
    size_t n = 0;

    while (n < text->len && text->data[n] != '$' && (redirect || text->data[n] != '?'))
        n++;
    struct slice piece = slice_head(*text, n);

    *text = slice_skip(*text, n);
    return piece;
}

static bool compile_replacement(struct conf_call *call, struct slice text,
                                struct rewrite_rule *rule)
{
    /* Every part takes at least one byte. */
    rule->parts = arena_zalloc(call->loader->arena, (text.len + 1) * sizeof *rule->parts);
    if (rule->parts == NULL)
        return conf_error(call, 0, "no memory");
    rule->has_args = slice_find(text, '?') >= 0;
    while (text.len > 0) {
        struct replacement_part *part = &rule->parts[rule->part_count++];

        if (text.data[0] == '$') {
            if (!take_reference(call, &text, part))
                return false;
        } else if (text.data[0] == '?' && rule->redirect == 0) {
            part->kind = PART_ARGS;
            text = slice_skip(text, 1);
        } else {
            part->kind = PART_TEXT;
            part->text = take_text(&text, rule->redirect != 0);
        }
    }
    return true;
}

static bool parse_flag(struct conf_call *call, struct rewrite_rule *rule)
{
    struct slice flag = conf_arg(call, 3);

    if (slice_eq(flag, slice_of("last")))
        rule->flag = REWRITE_LAST;
    else if (slice_eq(flag, slice_of("break")))
        rule->flag = REWRITE_BREAK;
    else if (slice_eq(flag, slice_of("redirect")))
        rule->redirect = 302;
    else if (slice_eq(flag, slice_of("permanent")))
        rule->redirect = 301;
    else
        return conf_error(call, 3, "invalid parameter \"%.*s\"", SLICE_ARG(flag));
    return true;
}

static bool is_url(struct slice text)
{
    return slice_starts(text, slice_of("http://")) || slice_starts(text, slice_of("https://")) ||
           slice_starts(text, slice_of("$scheme"));
}

static bool set_rewrite(struct conf_call *call)
{
    const struct snapshot *snapshot = call->loader->context;
    struct rewrite_step *step = add_step(call, false);
    struct slice replacement = arena_copy(call->loader->arena, conf_arg(call, 2));
    struct rewrite_rule *rule;
    const char *error;

    if (step == NULL || replacement.data == NULL)
        return false;
    rule = &step->rule;
    step->kind = STEP_IS_RULE;
    rule->pattern = arena_copy(call->loader->arena, conf_arg(call, 1));
    rule->regex = regex_compile(snapshot->regexes, conf_arg(call, 1), false, &error);
    if (rule->regex == NULL)
        return conf_error(call, 1, "%s", error);
    if (is_url(replacement))
        rule->redirect = 302;
    if (conf_arg_count(call) == 4 && !parse_flag(call, rule))
        return false;
    rule->keep_args = !slice_ends(replacement, slice_of("?"));
    if (!rule->keep_args)
        replacement.len--;
    return compile_replacement(call, replacement, rule);
}

/* ---- return, set, break */

static bool set_return(struct conf_call *call)
{
    struct rewrite_step *step = add_step(call, false);
    struct slice first = conf_arg(call, 1);
    int64_t status = 302;

    if (step == NULL)
        return false;
    step->kind = STEP_IS_RETURN;
    if (!conf_parse_int(first, 1, 999, &status)) {
        if (conf_arg_count(call) == 3 || !is_url(first))
            return conf_error(call, 1, "invalid return code \"%.*s\"", SLICE_ARG(first));
        step->answer.status = 302;
        return compile(call, 1, first, &step->answer.text);
    }
    step->answer.status = (int)status;
    return conf_arg_count(call) == 2 || compile(call, 2, conf_arg(call, 2), &step->answer.text);
}

static bool set_set(struct conf_call *call)
{
    struct rewrite_step *step = add_step(call, false);
    struct slice name = conf_arg(call, 1);

    if (step == NULL)
        return false;
    step->kind = STEP_IS_SET;
    if (name.len < 2 || name.data[0] != '$')
        return conf_error(call, 1, "invalid variable name \"%.*s\"", SLICE_ARG(name));
    name = slice_skip(name, 1);
    step->set.variable = variables_declare(call->loader->variables, name);
    if (step->set.variable == NULL)
        return conf_error(call, 1, "the variable \"%.*s\" cannot be changed", SLICE_ARG(name));
    return compile(call, 2, conf_arg(call, 2), &step->set.value);
}

static bool set_break(struct conf_call *call)
{
    struct rewrite_step *step = add_step(call, false);

    if (step != NULL)
        step->kind = STEP_IS_BREAK;
    return step != NULL;
}

/* ---- if */

/* What an `if` of a location makes: a location of its own for the settings inside it, with the
 * content handler of the one around it unless it has another. */
static struct http_location *if_location(struct conf_call *call)
{
    const struct http_location *around = conf_location(call);
    struct http_location *inside = arena_zalloc(call->loader->arena, sizeof *inside);

    if (inside == NULL)
        return NULL;
    inside->kind = LOCATION_IF;
    inside->name = around->name;
    inside->parent = around;
    inside->server = around->server;
    inside->regex = around->regex;
    inside->origin = conf_origin(call);
    inside->auto_redirect = around->auto_redirect;
    return inside;
}

static bool load_if_in_location(struct conf_call *call, struct rewrite_step *step,
                                struct scope *child)
{
    struct http_location *inside = if_location(call);
    bool loaded;

    if (inside == NULL)
        return conf_error(call, 0, "no memory");
    loaded = loader_block(call, CTX_LOCATION_IF, inside, child);
    inside->settings = child->settings;
    if (inside->content.start == NULL)
        inside->content = conf_location(call)->content;
    step->branch.location = inside;
    return loaded;
}

static bool set_if(struct conf_call *call)
{
    struct rewrite_step *step = add_step(call, true);
    const struct rewrite_conf *inside;
    struct scope child = *call->scope;
    bool in_server = call->scope->context == CTX_SERVER;
    bool loaded;

    if (step == NULL)
        return false;
    step->kind = STEP_IS_IF;
    if (!condition_parse(call, &step->branch.condition))
        return false;
    if (in_server)
        loaded = loader_block(call, CTX_SERVER_IF, step, &child);
    else
        loaded = load_if_in_location(call, step, &child);
    if (!loaded)
        return false;
    inside = settings_at(child.settings, rewrite_feature.index);
    if (inside->block == child.block)
        step->branch.steps = inside->steps;
    return true;
}

enum { REWRITE_CONTEXTS = CTX_SERVER | CTX_LOCATION | CTX_SERVER_IF | CTX_LOCATION_IF };

static const struct directive directives[] = {
    {.name = "rewrite",
     .contexts = REWRITE_CONTEXTS,
     .field = CUSTOM,
     .args_min = 2,
     .args_max = 3,
     .repeatable = true,
     .set = set_rewrite,
     .doc = "Changes the URI if it matches a regular expression. last: stop here and choose the "
            "location anew; break: stop here and stay; redirect, permanent: answer 302, 301 "
            "instead, as a replacement that begins with http://, https:// or $scheme does. The "
            "request's arguments are appended unless the replacement ends with a question mark.",
     .example = "rewrite ^/user/(\\d+)$ /profile?id=$1 last;"},
    {.name = "return",
     .contexts = REWRITE_CONTEXTS,
     .field = CUSTOM,
     .args_min = 1,
     .args_max = 2,
     .repeatable = true,
     .set = set_return,
     .doc = "Ends the request with a status code and, if given, a text (its location for 301, 302, "
            "303, 307 and 308). A URL alone is a 302 to it. 444 closes the connection without an "
            "answer.",
     .example = "return 301 https://$host$request_uri;"},
    {.name = "set",
     .contexts = REWRITE_CONTEXTS,
     .field = CUSTOM,
     .args_min = 2,
     .args_max = 2,
     .repeatable = true,
     .set = set_set,
     .doc = "Gives a variable a value, which may contain variables.",
     .example = "set $mobile_root /srv/mobile;"},
    {.name = "break",
     .contexts = REWRITE_CONTEXTS,
     .field = CUSTOM,
     .args_min = 0,
     .args_max = 0,
     .repeatable = true,
     .set = set_break,
     .doc =
         "Ends the processing of rewrite, return, set and if of this block; the location stays."},
    {.name = "if",
     .contexts = CTX_SERVER | CTX_LOCATION,
     .field = CUSTOM,
     .args_min = 1,
     .args_max = 255,
     .block = true,
     .repeatable = true,
     .set = set_if,
     .doc =
         "Runs the directives inside if the condition holds: a variable (neither empty nor 0), "
         "a comparison (=, !=), a regular expression (~, ~*, !~, !~*), or a test of a file (-f, "
         "-d, -e, -x, or with a ! before it). In a location the settings inside apply as if they "
         "were those of the location.",
     .example = "if ($request_method = POST) {\n    return 405;\n}"},
    {.name = "rewrite_log",
     .contexts = CTX_HTTP | REWRITE_CONTEXTS,
     .field = FLAG(struct rewrite_conf, log),
     .def = "off",
     .doc = "Writes what rewrite and if do to the error log, at level notice."},
    {.name = "uninitialized_variable_warn",
     .contexts = CTX_HTTP | REWRITE_CONTEXTS,
     .field = FLAG(struct rewrite_conf, warn_uninitialized),
     .def = "on",
     .doc = "Warns in the error log when a variable of set is read before it was given a value."},
};

static enum phase_verdict run_location(struct exchange *x)
{
    const struct rewrite_conf *conf = exchange_conf(x, rewrite_feature);

    return conf->block == x->location ? rewrite_run(conf, x) : PHASE_PASS;
}

static enum phase_verdict run_server(struct exchange *x)
{
    const struct rewrite_conf *conf = settings_at(x->server->settings, rewrite_feature.index);

    return conf->block == x->server ? rewrite_run(conf, x) : PHASE_PASS;
}

static void warn_unset(struct subject *subject, const struct variable *variable)
{
    struct exchange *x = exchange_of(subject);
    const struct rewrite_conf *conf = x->settings == NULL ? NULL
                                                          : exchange_conf(x, rewrite_feature);

    if (conf != NULL && conf->warn_uninitialized)
        log_about(&x->log, LOG_LEVEL_WARN, 0, "using uninitialized \"%.*s\" variable",
                  SLICE_ARG(variable->name));
}

static bool finish_http(struct loader *loader, struct http_conf *http)
{
    (void)http;
    variables_on_unset(loader->variables, warn_unset);
    return true;
}

struct feature server_rewrite_feature = {
    .conf = {.name = "http_server_rewrite"},
    .idle_without = &rewrite_feature,
    .phase = STEP_SERVER_REWRITE,
    .run = run_server,
};

struct feature rewrite_feature = {
    .conf = {.name = "http_rewrite",
             .conf_bytes = sizeof(struct rewrite_conf),
             .frequent = true,
             .directives = directives,
             .directive_count = COUNT(directives)},
    .idle_without = &rewrite_feature,
    .phase = STEP_REWRITE,
    .run = run_location,
    .finish_http = finish_http,
};
