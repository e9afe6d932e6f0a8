/* What happens when an exchange ends with an error status: error_page, or a page of our own.
 * Runs in: worker, loop thread. */
#include "base/arena.h"
#include "http/core_conf.h"
#include "http/response.h"
#include "http/status.h"
#include "http/steps.h"
#include "http/uri.h"

#include <assert.h>

/* After these the connection cannot go on: the request was not read to its end, or cannot be
 * trusted. */
static bool closes_connection(int status)
{
    switch (status) {
    case 400:
    case 413:
    case 414:
    case 494:
    case 495:
    case 496:
    case 497:
    case 500:
    case 501:
        return true;
    default:
        return false;
    }
}

static const struct error_page *page_for(const struct exchange *x, int status)
{
    const struct core_conf *core = core_of(x);

    if ((x->flags & X_ERROR_PAGE) != 0 && !core->recursive_error_pages)
        return NULL;
    for (const struct error_page *page = core->error_pages; page != NULL; page = page->next)
        if (page->status == status)
            return page;
    return NULL;
}

/* An error page is asked for with GET, whatever the request was. */
static void become_get(struct exchange *x)
{
    if (x->request.method == METHOD_HEAD)
        return;
    x->request.method = METHOD_GET;
    x->request.method_name = slice_of("GET");
}

static void fix_status(struct exchange *x, const struct error_page *page, int status)
{
    x->flags &= ~(unsigned)(X_STATUS_FIXED | X_STATUS_ANY);
    if (page->overwrite < 0) {
        x->flags |= X_STATUS_ANY;
        return;
    }
    x->flags |= X_STATUS_FIXED;
    x->error_status = page->overwrite > 0 ? page->overwrite : status;
}

static bool is_redirect_status(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static enum phase_verdict redirect_elsewhere(struct exchange *x, const struct error_page *page,
                                             struct slice url)
{
    int status = is_redirect_status(page->overwrite) ? page->overwrite : 302;

    x->flags &= ~(unsigned)(X_STATUS_FIXED | X_STATUS_ANY);
    response_redirect(x, status, url);
    return PHASE_RESPONDS;
}

static enum phase_verdict follow(struct exchange *x, const struct error_page *page, int status)
{
    struct slice uri;
    struct slice args = {0};

    x->flags |= X_ERROR_PAGE;
    if (!template_eval(page->uri, &x->subject, &uri))
        return exchange_fail(x, 500);
    if (uri.len > 0 && uri.data[0] == '/') {
        ptrdiff_t mark = slice_find(uri, '?');

        if (mark >= 0) {
            args = slice_skip(uri, (size_t)mark + 1);
            uri = slice_head(uri, (size_t)mark);
        }
        fix_status(x, page, status);
        become_get(x);
        return exchange_redirect(x, uri, args);
    }
    if (uri.len == 0 || uri.data[0] != '@')
        return redirect_elsewhere(x, page, uri);
    if (x->request.uri.len == 0) { /* the request could not be understood so far */
        log_about(&x->log, LOG_LEVEL_ERROR, 0, "empty URI on the way to location \"%.*s\"",
                  SLICE_ARG(uri));
        return exchange_fail(x, 500);
    }
    fix_status(x, page, status);
    return exchange_redirect_named(x, uri);
}

/* What a handler said about its response before it gave up is not true of the error's. */
static void forget_response(struct exchange *x)
{
    struct response *response = &x->response;

    response->reason = slice_make(NULL, 0);
    response->of_peer = false;
    response->charset = slice_make(NULL, 0);
    response->content_length = -1;
    response->last_modified = -1;
    response->allow_ranges = false;
    (void)header_list_remove_id(&response->headers, HEADER_ETAG);
    (void)header_list_remove_id(&response->headers, HEADER_ACCEPT_RANGES);
    (void)header_list_remove_id(&response->headers, HEADER_CONTENT_ENCODING);
}

enum phase_verdict exchange_fail(struct exchange *x, int status)
{
    assert(!x->response.begun);
    x->on_abort = NULL;
    x->fail_status = status;
    x->step = STEP_FAIL;
    return PHASE_RESPONDS;
}

void error_page_answer(struct exchange *x, int status)
{
    if (status == STATUS_NO_RESPONSE) {
        x->response.status = status;
        exchange_abort(x, false); /* frees `x` */
        return;
    }
    if (closes_connection(status))
        x->flags |= X_CLOSE_AFTER;
    forget_response(x);
    if (x->settings == NULL)
        x->settings = x->server->settings;
    const struct error_page *page = page_for(x, status);

    if (page != NULL) {
        (void)follow(x, page, status);
        return;
    }
    x->flags &= ~(unsigned)(X_STATUS_FIXED |
                            X_STATUS_ANY); /* an error of the error's page is told */
    x->error_status = status;
    response_error_page(x, status);
}
