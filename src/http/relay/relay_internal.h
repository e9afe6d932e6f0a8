/* What the files of relay/ share. Runs in: worker, loop thread. */
#pragma once

#include "balance/pool.h"
#include "base/buf.h"
#include "http/relay/relay.h"
#include "http/relay/tries.h"

struct io_result;

/* Why an attempt failed, and what that means for what comes next. */
struct failure {
    enum outcome outcome;
    unsigned cause;   /* enum next_upstream: the bits that must all be set to try another peer */
    int status;       /* for the client, if nobody else is asked */
    int os_error;     /* 0: none */
    const char *what; /* "upstream timed out" */
};

/* For who goes on after a call that may end the relay:
 *     bool gone = false;
 *     bool *outer = relay_guard(r, &gone);
 *     something(r);
 *     if (!relay_unguard(r, &gone, outer))
 *         return; */
static inline bool *relay_guard(struct relay *r, bool *gone)
{
    bool *outer = r->gone;

    r->gone = gone;
    return outer;
}

static inline bool relay_unguard(struct relay *r, const bool *gone, bool *outer)
{
    if (!*gone)
        r->gone = outer;
    else if (outer != NULL)
        *outer = true;
    return !*gone;
}

/* ---- relay.c: from peer to peer */

/* Picks and connects until a peer is being asked, or answers with an error. `r` may be gone
 * afterwards. */
void relay_connect(struct relay *r);

/* The attempt under way has failed before anything was passed on: it is repeated on a new
 * connection, made at the next peer, or the client is answered. `r` may be gone afterwards. */
void relay_lost(struct relay *r, const struct failure *failure);

/* Another peer may be asked after `cause`. */
bool relay_may_go_on(const struct relay *r, unsigned cause);

/* Ends the attempt's entry in the log of tries. */
void relay_end_try(struct relay *r, unsigned status);

/* Gives the connection back (`reuse`) or closes it, and says how the attempt ended. */
void relay_release_peer(struct relay *r, bool reuse, enum outcome outcome);

/* The answer breaks off after it was begun: what is there is sent, then the client's connection is
 * closed. `r` is gone afterwards. */
void relay_break_off(struct relay *r, const char *why, int os_error);

/* Lets go of everything but the memory; the exchange goes on without the relay. Twice is fine. */
void relay_fini(struct relay *r);

/* Arms the deadline for what is awaited from the peer. */
void relay_await(struct relay *r, uint64_t timeout_ms);

/* There is nobody to ask: answers with `status`; the log gets `prefix` and the reason. `r` may be
 * gone afterwards. */
void relay_no_peer(struct relay *r, int status, const char *prefix);

/* ---- connect.c: a connection to the picked peer */

/* Opens or takes one. False: errno. */
bool relay_open_conn(struct relay *r);

/* Waits until it is connected, or asks. `r` may be gone afterwards. */
void relay_go_on_connected(struct relay *r);

/* No connection to this peer. `r` may be gone afterwards. */
void relay_give_up_peer(struct relay *r, int os_error);

/* Gives it back (`reuse`) or closes it; none is fine. */
void relay_close_conn(struct relay *r, bool reuse);

/* Nothing of the request was read by the peer. */
bool relay_nobody_read_it(const struct relay *r);

/* Both directions at once: the answer's beginning does not end the request. */
static inline bool relay_is_duplex(const struct relay *r)
{
    return r->conn != NULL && r->conn->stream != NULL;
}

/* ---- wait.c: for an instance */

/* pick_next() said PICK_WAIT. True: it waits, or the client has been answered and `r` may be gone.
 * False: pick_next() is to be asked again. */
bool relay_wait(struct relay *r) __attribute__((warn_unused_result));

/* It has waited too long. `r` may be gone afterwards. */
void relay_wait_over(struct relay *r);

/* ---- send.c: the request */

/* For mux_ops: the next bytes of the body. */
ssize_t relay_pull(void *user, char *out, size_t max, bool *last);

/* ... and what follows its last byte; NULL: nothing. */
const struct header_list *relay_trailers(void *user);

/* The answer has begun and the request may go on. False: `r` is gone. */
bool relay_ask_on(struct relay *r) __attribute__((warn_unused_result));

/* Connected: begins to send. `r` may be gone afterwards. */
void relay_ask(struct relay *r);

/* The peer's socket is ready for something. `r` may be gone afterwards. */
void relay_ask_more(struct relay *r);

/* Sends what the socket takes. False: the peer takes no more (RELAY_SEND_BROKEN is set). */
bool relay_send(struct relay *r);

/* Queues a copy of bytes of a tunnel. False: no memory. */
bool relay_out_copy(struct relay *r, struct slice bytes);

/* The request will not be sent again. */
void relay_out_forget(struct relay *r);

/* Can the request still be sent whole? */
bool relay_can_repeat(const struct relay *r);

/* Forgets what was queued for the peer. */
void relay_out_clear(struct relay *r);

/* Nobody reads the rest of a streamed body. */
void relay_leave_stream(struct relay *r);

/* The client's body is no longer wanted: the answer came first. */
void relay_stop_asking(struct relay *r);

/* ---- receive.c: bytes of the answer */

/* What was received and not understood. */
static inline size_t relay_unread(const struct relay *r)
{
    return r->in == NULL ? 0 : buf_used(r->in);
}

/* Receives once into r->in, at most `max` bytes. IO_FAILED with ENOMEM: no buffer. */
struct io_result relay_receive(struct relay *r, size_t max);

/* Reads the head of the answer as far as it has come and does what it says. `r` may be gone
 * afterwards, or with the next peer. */
void relay_read_head(struct relay *r);

/* The peer has closed before it said enough (`result` NULL: its stream says why). `r` may be gone
 * afterwards. */
void relay_closed_early(struct relay *r, const struct io_result *result);

/* ---- answer.c: what the head says. */

/* The head is held back until the body begins to come, or a moment has passed. `r` may be gone
 * afterwards. */
void relay_hold(struct relay *r);
void relay_end_hold(struct relay *r);

/* An interim answer (1xx but 101): passed on if the client understands it. False: too many. */
bool relay_pass_interim(struct relay *r);

/* The final one. `r` may be gone afterwards. */
void relay_take_answer(struct relay *r);

/* Copies the fields that are for the client into the response. False: no memory. */
bool relay_copy_fields(struct relay *r);

/* ---- body.c: the body to the client. */

/* Reads and passes on as much as there is and fits. `r` may be gone afterwards. */
void relay_read_body(struct relay *r);

/* Sends what is queued to the client. False: `r` is gone. */
bool relay_flush(struct relay *r) __attribute__((warn_unused_result));

/* ---- spool.c: the body in a file */

static inline bool relay_spooled(const struct relay *r)
{
    return r->spool.sent < r->spool.end;
}

/* Takes bytes that the client has no room for. False: it cannot (no file, full): the peer must
 * wait. */
bool relay_spool_bytes(struct relay *r, struct slice bytes);

/* Queues for the client from the file as much as there is room for. False: no memory or the file
 * cannot be read. */
bool relay_spool_feed(struct relay *r);

void relay_spool_fini(struct relay *r);

/* Would the file take more? */
bool relay_spool_open(const struct relay *r);

/* ---- upgrade.c: 101. `r` may be gone afterwards. */
void relay_upgrade(struct relay *r);
