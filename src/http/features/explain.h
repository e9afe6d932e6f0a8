/* How a config treats a request, told step by step with file and line, without sending anything.
 *
 * The real router, rewrites and header filters run on an exchange that has no connection.
 * Runs in: the process the user started; one thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct http_conf;

struct explain_request {
    const char *method;         /* "GET" */
    const char *url;            /* "http://host[:port]/path?args", or "/path" */
    const char *const *headers; /* "Name: value" */
    size_t header_count;
    /* Prints what an app called `name` has for peers. False: there is none, and it is not `surely`
     * one. NULL: apps are named only. */
    bool (*tell_app)(FILE *out, struct slice name, bool surely);
};

/* Prints to `out`. False: the URL or a header cannot be understood, or no memory (said on `out`).
 */
bool explain(const struct http_conf *conf, const struct explain_request *request, FILE *out);
