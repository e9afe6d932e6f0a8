/* Running rewrite, return, set, break and if. Runs in: worker, loop thread. */
#include "http/features/rewrite.h"

#include "base/arena.h"
#include "config/regex.h"
#include "http/conf.h"
#include "http/response.h"
#include "http/uri.h"

#include <assert.h>

static _Thread_local rewrite_observer *observer;

void rewrite_observe(rewrite_observer *wanted)
{
    observer = wanted;
}

static void tell(struct exchange *x, const struct rewrite_step *step)
{
    if (observer != NULL)
        observer(x, step);
}

/* What a step says about the steps after it. */
enum outcome {
    OUTCOME_NEXT,
    OUTCOME_STOP,     /* no more steps of this block */
    OUTCOME_ANSWERED, /* the exchange has its answer: x may not be touched */
    OUTCOME_MOVED,    /* an error page is asked for elsewhere */
    OUTCOME_FAILED,   /* no memory, or a regex that gave up */
};

/* ---- the text a rule makes */

struct made {
    char *data;
    size_t len;
    size_t path_len; /* up to the last '?' of the replacement */
    bool args;       /* there was one */
};

/* A capture is escaped again where it would change its meaning: in arguments and in redirects, if
 * the request's URI was escaped itself. */
static bool must_escape(const struct exchange *x, const struct rewrite_rule *rule, bool in_args)
{
    if (!in_args && rule->redirect == 0)
        return false;
    return slice_find(x->request.path, '%') >= 0 || slice_find(x->request.path, '+') >= 0;
}

static struct slice capture_of(const struct exchange *x, unsigned index)
{
    return index < x->subject.capture_count ? x->subject.captures[index] : slice_make("", 0);
}

/* The value of every part, each asked for once, and an upper bound of their bytes together. */
static struct slice *part_values(struct exchange *x, const struct rewrite_rule *rule, size_t *bytes)
{
    struct slice *values = arena_zalloc(x->subject.arena, (rule->part_count + 1) * sizeof *values);

    *bytes = 0;
    for (size_t i = 0; values != NULL && i < rule->part_count; i++) {
        const struct replacement_part *part = &rule->parts[i];

        values[i] = part->text;
        if (part->kind == PART_VARIABLE)
            (void)variable_value(&x->subject, part->variable, &values[i]);
        if (part->kind == PART_CAPTURE) {
            values[i] = capture_of(x, part->capture);
            *bytes += 2 * uri_escape_count(values[i], ESCAPE_ARGS);
        }
        *bytes += values[i].len;
    }
    return values;
}

static void add_value(struct made *made, struct slice value, bool escape)
{
    if (escape) {
        made->len += uri_escape(made->data + made->len, value, ESCAPE_ARGS);
    } else if (value.len > 0) {
        memcpy(made->data + made->len, value.data, value.len);
        made->len += value.len;
    }
}

/* `made->data` has room for the request's arguments and their separator behind the text. */
static bool make(struct exchange *x, const struct rewrite_rule *rule, struct made *made)
{
    size_t bytes;
    const struct slice *values = part_values(x, rule, &bytes);

    if (values == NULL)
        return false;
    *made = (struct made){.data = arena_bytes(x->subject.arena, bytes + 1 + x->request.args.len)};
    if (made->data == NULL)
        return false;
    for (size_t i = 0; i < rule->part_count; i++) {
        const struct replacement_part *part = &rule->parts[i];

        if (part->kind == PART_ARGS) {
            made->args = true;
            made->path_len = made->len;
        } else {
            add_value(made, values[i],
                      part->kind == PART_CAPTURE && must_escape(x, rule, made->args));
        }
    }
    assert(made->len <= bytes);
    return true;
}

/* ---- what is done with it */

static int hex_value(char c)
{
    char lower = ascii_lower(c);

    if (c >= '0' && c <= '9')
        return c - '0';
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Visible bytes that were escaped without need are plain again in a redirect's path; the rest keeps
 * its escape. */
static size_t unescape_redirect(char *text, size_t len)
{
    size_t out = 0;
    size_t in = 0;

    while (in < len && text[in] != '?') {
        int high = in + 2 < len && text[in] == '%' ? hex_value(text[in + 1]) : -1;
        int low = high < 0 ? -1 : hex_value(text[in + 2]);
        int byte = low < 0 ? -1 : high * 16 + low;

        if (byte > '%' && byte < 0x7f && byte != '?') {
            text[out++] = (char)byte;
            in += 3;
        } else {
            text[out++] = text[in++];
        }
    }
    memmove(text + out, text + in, len - in);
    return out + len - in;
}

static enum outcome redirect(struct exchange *x, const struct rewrite_rule *rule, struct made *made)
{
    struct slice args = x->request.args;

    made->len = unescape_redirect(made->data, made->len);
    if (rule->keep_args && args.len > 0) {
        made->data[made->len++] = rule->has_args ? '&' : '?';
        memcpy(made->data + made->len, args.data, args.len);
        made->len += args.len;
    }
    response_redirect(x, rule->redirect, slice_make(made->data, made->len));
    return OUTCOME_ANSWERED;
}

/* "path?new" takes the request's arguments behind its own. */
static void set_uri(struct exchange *x, const struct rewrite_rule *rule, struct made *made)
{
    struct slice args = x->request.args;
    size_t path_len = made->args ? made->path_len : made->len;

    if (!made->args) {
        x->request.args.len = rule->keep_args ? args.len : 0;
    } else {
        if (rule->keep_args && args.len > 0) {
            made->data[made->len++] = '&';
            memcpy(made->data + made->len, args.data, args.len);
            made->len += args.len;
        }
        x->request.args = slice_make(made->data + path_len, made->len - path_len);
    }
    x->request.uri = slice_make(made->data, path_len);
    x->request.uri_plain = false;
    x->request.uri_moved = true;
    x->flags |= X_INTERNAL; /* who rewrites to an internal location means it */
}

static void log_match(struct exchange *x, const struct rewrite_rule *rule, bool matches)
{
    log_about(&x->log, LOG_LEVEL_NOTICE, 0, "\"%.*s\" %s \"%.*s\"", SLICE_ARG(rule->pattern),
              matches ? "matches" : "does not match", SLICE_ARG(x->request.uri));
}

static enum outcome run_rule(struct exchange *x, const struct rewrite_step *step,
                             const struct rewrite_conf *conf)
{
    const struct rewrite_rule *rule = &step->rule;
    enum regex_match match = regex_match(rule->regex, x->request.uri, &x->subject);
    struct made made;

    if (match == REGEX_FAILED) {
        log_about(&x->log, LOG_LEVEL_ALERT, 0, "matching \"%.*s\" gave up at a limit",
                  SLICE_ARG(rule->pattern));
        return OUTCOME_FAILED;
    }
    if (conf->log)
        log_match(x, rule, match == REGEX_YES);
    if (match != REGEX_YES)
        return OUTCOME_NEXT;
    if (!make(x, rule, &made))
        return OUTCOME_FAILED;
    if (rule->redirect != 0) {
        if (conf->log)
            log_about(&x->log, LOG_LEVEL_NOTICE, 0, "rewritten redirect: \"%.*s\"", (int)made.len,
                      made.data);
        tell(x, step);
        return redirect(x, rule, &made);
    }
    set_uri(x, rule, &made);
    tell(x, step);
    if (conf->log)
        log_about(&x->log, LOG_LEVEL_NOTICE, 0, "rewritten data: \"%.*s\", args: \"%.*s\"",
                  SLICE_ARG(x->request.uri), SLICE_ARG(x->request.args));
    if (x->request.uri.len == 0) {
        log_about(&x->log, LOG_LEVEL_ERROR, 0, "the rewritten URI has a zero length");
        return OUTCOME_FAILED;
    }
    x->request.uri_changed = rule->flag != REWRITE_BREAK;
    if (rule->flag == REWRITE_BREAK)
        x->request.uri_detached = true;
    return rule->flag == REWRITE_GO_ON ? OUTCOME_NEXT : OUTCOME_STOP;
}

static bool is_redirect_status(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static enum outcome run_return(struct exchange *x, const struct rewrite_return *answer)
{
    struct slice text = slice_make("", 0);

    if (answer->text != NULL && (x->flags & X_STATUS_FIXED) == 0)
        x->response.status = answer->status; /* for $status in the text */
    if (answer->text != NULL && !template_eval(answer->text, &x->subject, &text))
        return OUTCOME_FAILED;
    if (is_redirect_status(answer->status))
        response_redirect(x, answer->status, text);
    else if (answer->text == NULL && answer->status >= 400)
        return exchange_fail(x, answer->status) == PHASE_MOVED ? OUTCOME_MOVED : OUTCOME_ANSWERED;
    else
        response_send(x, answer->status, response_type_for(x, x->request.uri), text);
    return OUTCOME_ANSWERED;
}

static enum outcome run_set(struct exchange *x, const struct rewrite_set *set)
{
    struct slice text;

    if (!template_eval(set->value, &x->subject, &text) ||
        !variable_assign(&x->subject, set->variable, text))
        return OUTCOME_FAILED;
    return OUTCOME_NEXT;
}

/* False: its steps are not run. A condition that cannot be decided may be one that forbids. */
static bool enter_if(struct exchange *x, const struct rewrite_if *branch,
                     const struct rewrite_conf *conf, bool *failed)
{
    if (!condition_holds(&branch->condition, x, conf, failed) || *failed)
        return false;
    if (branch->location != NULL) {
        x->location = branch->location;
        x->settings = branch->location->settings;
    }
    return true;
}

static enum outcome run_step(struct exchange *x, const struct rewrite_step *step,
                             const struct rewrite_conf *conf)
{
    switch (step->kind) {
    case STEP_IS_RULE:
        return run_rule(x, step, conf);
    case STEP_IS_RETURN:
        tell(x, step);
        return run_return(x, &step->answer);
    case STEP_IS_SET:
        return run_set(x, &step->set);
    case STEP_IS_BREAK:
        x->request.uri_changed = false;
        return OUTCOME_STOP;
    case STEP_IS_IF:
        return OUTCOME_NEXT; /* entered by run_list() */
    }
    return OUTCOME_NEXT;
}

/* Those inside an `if` hold no further one: nginx allows `if` only in server and location. */
static enum outcome run_list(struct exchange *x, const struct rewrite_list *list,
                             const struct rewrite_conf *conf)
{
    for (const struct rewrite_step *step = list->first; step != NULL; step = step->next) {
        enum outcome outcome;
        bool failed = false;

        if (step->kind == STEP_IS_IF && enter_if(x, &step->branch, conf, &failed)) {
            tell(x, step);
            outcome = run_list(x, &step->branch.steps, conf);
        } else {
            outcome = failed ? OUTCOME_FAILED : run_step(x, step, conf);
        }
        if (outcome != OUTCOME_NEXT)
            return outcome;
    }
    return OUTCOME_NEXT;
}

enum phase_verdict rewrite_run(const struct rewrite_conf *conf, struct exchange *x)
{
    switch (run_list(x, &conf->steps, conf)) {
    case OUTCOME_ANSWERED:
        return PHASE_RESPONDS;
    case OUTCOME_MOVED:
        return PHASE_MOVED;
    case OUTCOME_FAILED:
        return exchange_fail(x, 500);
    default:
        return PHASE_PASS;
    }
}
