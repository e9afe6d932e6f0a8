/* HTTP/2 to peers: heads from one version to the other. Runs in: worker, loop thread. */
#pragma once

#include "base/slice.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>

struct arena;
struct relay;

/* Fields of a request as HTTP/2 wants them (RFC 9113, 8.3.1): names point into `text`, in any
 * case. */
struct h2_head {
    nghttp2_nv *fields; /* arena */
    size_t count;
};

/* How a head is to be read. */
struct h2_head_form {
    bool secure;  /* the scheme */
    bool upgrade; /* Upgrade becomes extended CONNECT (RFC 8441) */
};

/* From a head in the form of HTTP/1.1, as we write it. What concerns one connection is left out.
 * False: no memory, or it is no such head. */
bool h2_head_from_text(struct arena *arena, struct slice text, struct h2_head_form form,
                       struct h2_head *head);

/* Sends `text` over the relay's stream. False: it cannot be sent, mux_why() perhaps says why. */
bool h2_submit_head(struct relay *r, struct slice text, bool has_body);
