/* HTTP/2 spoken to peers: a relay's part. The connection's is in http/mux/. Runs in: worker, loop
 * thread. */
#include "base/arena.h"
#include "base/buf.h"
#include "http/mux/mux.h"
#include "http/relay/relay_internal.h"
#include "http/status.h"

#include <assert.h>

static void begin(struct relay *r)
{
    (void)r;
}

/* DATA frames are made by the session. */
static void frame(struct relay *r, uint64_t len, struct relay_frame *frame)
{
    (void)r;
    (void)len;
    frame->head_len = 0;
    frame->tail_len = 0;
}

/* nghttp2 has compared Content-Length with the body. An answer without one whose head is its end is
 * known to be empty, unless it was one to HEAD, or says with its head alone why there is none
 * (gRPC). */
static void find_length(struct relay *r, const struct mux_head *head)
{
    struct relay_answer *answer = &r->answer;
    struct slice length = header_list_value(answer->fields, HEADER_CONTENT_LENGTH);
    bool empty = head->ends && r->method_id != METHOD_HEAD &&
                 header_list_find(answer->fields, HEADER_GRPC_STATUS) == NULL;

    answer->has_length = slice_to_u64(length, &answer->body_bytes);
    answer->body_kind = answer->has_length ? BODY_LENGTH : BODY_CHUNKED;
    if (empty)
        answer->has_length = true;
    if (head->ends || status_has_no_body(answer->status))
        answer->body_kind = BODY_NONE;
}

static enum parse_result read_head(struct relay *r)
{
    const struct mux_head *head = mux_take_head(r->conn->stream);

    if (head == NULL)
        return PARSE_MORE;
    r->answer = (struct relay_answer){
        .status = head->status, .version = 20, .fields = head->fields, .keep_alive = true};
    find_length(r, head);
    if ((r->flags & RELAY_UPGRADE) != 0 && head->status >= 200 && head->status < 300 && !head->ends)
        r->answer.body_kind = BODY_TUNNEL; /* extended CONNECT was agreed to */
    return PARSE_OK;
}

static enum relay_body read_body(struct relay *r)
{
    struct slice bytes = {0};

    if (r->in != NULL) {
        bytes = slice_make(r->in->data + r->in->start, buf_used(r->in));
        r->in->start = r->in->end;
    }
    if (bytes.len > 0 && !relay_emit(r, bytes)) {
        r->broken = "no memory for the answer";
        return RELAY_BODY_BROKEN;
    }
    return mux_has_ended(r->conn->stream, &r->answer.trailers) ? RELAY_BODY_END : RELAY_BODY_MORE;
}

static bool ends_with_close(struct relay *r)
{
    (void)r;
    return false;
}

const struct upstream_codec upstream_h2 = {
    .name = "HTTP/2",
    .begin = begin,
    .frame = frame,
    .read_head = read_head,
    .read_body = read_body,
    .ends_with_close = ends_with_close,
};
