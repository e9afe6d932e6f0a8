/* HTTP/1 spoken to peers. Runs in: worker, loop thread. */
#include "balance/pool.h"
#include "base/arena.h"
#include "base/buf.h"
#include "http/h1/chunked.h"
#include "http/relay/relay_internal.h"

#include <assert.h>
#include <string.h>

/* Smaller chunks are moved together: many tiny ones would cost a piece of memory and of an iovec
 * each. */
enum { MOVE_BYTES_MAX = 1024 };

struct h1_state {
    uint64_t left_bytes; /* of the body: BODY_LENGTH */
    bool in_head;        /* `head` holds a head that is not complete */
    struct chunked chunked;
    struct h1_response head;
    struct header_list trailers;
};

static void begin(struct relay *r)
{
    struct h1_state *state = r->codec_state;

    state->in_head = false;
}

static void frame(struct relay *r, uint64_t len, struct relay_frame *frame)
{
    (void)r;
    if (len == 0) {
        frame->head_len = sizeof CHUNK_LAST - 1;
        memcpy(frame->head, CHUNK_LAST, frame->head_len);
        frame->tail_len = 0;
        return;
    }
    _Static_assert((int)CHUNK_HEAD_MAX <= (int)RELAY_FRAME_MAX, "a chunk's head fits");
    frame->head_len = (uint8_t)chunk_write_head(frame->head, len);
    frame->tail_len = sizeof CHUNK_TAIL - 1;
    memcpy(frame->tail, CHUNK_TAIL, frame->tail_len);
}

static struct slice unread(const struct relay *r)
{
    return slice_make(r->in->data + r->in->start, buf_used(r->in));
}

/* "upstream sent ..." in the exchange's arena. */
static enum parse_result refuse_head(struct relay *r, enum h1_error error)
{
    struct slice text = arena_printf(relay_arena(r), "upstream sent %s", h1_error_text(error));

    switch (error) {
    case H1_LINE_TOO_LONG:
    case H1_HEADER_TOO_LONG:
    case H1_HEAD_TOO_LARGE:
        r->broken = "upstream sent too big header";
        break;
    default:
        r->broken = text.data == NULL ? "upstream sent an invalid answer" : text.data;
    }
    return PARSE_ERROR;
}

/* The peer's own limit, less what a request needs to arrive before it. */
static uint64_t idle_ms(uint64_t peer_seconds)
{
    uint64_t ms = peer_seconds * 1000;

    return ms >= 2000 ? ms - 1000 : ms / 2 + 1;
}

/* "Keep-Alive: timeout=5": the connection is given up earlier than that. */
static void heed_keep_alive(struct relay *r)
{
    struct slice value = header_list_value(r->answer.fields, HEADER_KEEP_ALIVE);
    struct slice name = slice_of("timeout=");
    struct slice token;
    uint64_t seconds;

    while (value.len > 0 && header_next_token(&value, &token))
        if (slice_starts(token, name) && slice_to_u64(slice_skip(token, name.len), &seconds) &&
            seconds < 86400)
            r->conn->idle_max_ms = idle_ms(seconds);
}

static enum parse_result take_head(struct relay *r, struct h1_state *state)
{
    struct h1_response *head = &state->head;
    enum h1_error error = h1_response_frame(head, r->method_id);

    if (error != H1_NONE)
        return refuse_head(r, error);
    r->answer = (struct relay_answer){.status = head->status,
                                      .version = head->version,
                                      .reason = head->reason,
                                      .fields = &head->headers,
                                      .body_kind = head->body_kind,
                                      .body_bytes = head->body_bytes,
                                      .has_length = head->has_length,
                                      .keep_alive = head->keep_alive};
    r->in->start += (uint32_t)head->head_bytes;
    state->in_head = false;
    state->left_bytes = head->body_bytes;
    if (head->body_kind == BODY_CHUNKED) {
        header_list_init(&state->trailers, relay_arena(r));
        chunked_init(&state->chunked, &r->conf->limits, &state->trailers);
        r->answer.trailers = &state->trailers;
    }
    heed_keep_alive(r);
    return PARSE_OK;
}

static enum parse_result read_head(struct relay *r)
{
    struct h1_state *state = r->codec_state;
    enum parse_result result;

    if (buf_used(r->in) == 0)
        return PARSE_MORE;
    if (!state->in_head)
        h1_response_init(&state->head, relay_arena(r));
    state->in_head = true;
    result = parse_response_head(unread(r), &r->conf->limits, &state->head);
    if (result == PARSE_OK)
        return take_head(r, state);
    if (result == PARSE_ERROR)
        return refuse_head(r, state->head.error);
    return buf_used(r->in) < r->conf->buffer_size ? PARSE_MORE : refuse_head(r, H1_HEAD_TOO_LARGE);
}

static enum relay_body no_memory(struct relay *r)
{
    r->broken = "no memory for the answer";
    return RELAY_BODY_BROKEN;
}

static enum relay_body read_length(struct relay *r, struct h1_state *state)
{
    struct slice bytes = unread(r);

    if (bytes.len > state->left_bytes)
        bytes.len = (size_t)state->left_bytes;
    r->in->start += (uint32_t)bytes.len;
    state->left_bytes -= bytes.len;
    if (bytes.len > 0 && !relay_emit(r, bytes))
        return no_memory(r);
    return state->left_bytes == 0 ? RELAY_BODY_END : RELAY_BODY_MORE;
}

/* Joins a small piece to the one before it, over the framing that stood between them. */
static bool join(struct slice *joined, struct slice piece)
{
    if (joined->len == 0 || piece.len > MOVE_BYTES_MAX)
        return false;
    memmove((char *)(uintptr_t)joined->data + joined->len, piece.data, piece.len);
    joined->len += piece.len;
    return true;
}

static enum relay_body read_chunked(struct relay *r, struct h1_state *state)
{
    struct slice joined = {0};
    enum chunked_result result;

    for (;;) {
        struct slice piece;
        size_t consumed;

        result = chunked_next(&state->chunked, unread(r), &piece, &consumed);
        r->in->start += (uint32_t)consumed;
        if (result != CHUNKED_DATA)
            break;
        if (join(&joined, piece))
            continue;
        if (joined.len > 0 && !relay_emit(r, joined))
            return no_memory(r);
        joined = piece;
    }
    if (joined.len > 0 && !relay_emit(r, joined))
        return no_memory(r);
    if (result == CHUNKED_ERROR)
        r->broken = "upstream sent invalid chunked response";
    return result == CHUNKED_END    ? RELAY_BODY_END
           : result == CHUNKED_MORE ? RELAY_BODY_MORE
                                    : RELAY_BODY_BROKEN;
}

static enum relay_body read_body(struct relay *r)
{
    struct h1_state *state = r->codec_state;
    struct slice bytes;

    if (r->in == NULL)
        return RELAY_BODY_MORE;
    switch (r->answer.body_kind) {
    case BODY_LENGTH:
        return read_length(r, state);
    case BODY_CHUNKED:
        return read_chunked(r, state);
    case BODY_UNTIL_CLOSE:
        bytes = unread(r);
        r->in->start = r->in->end;
        return bytes.len == 0 || relay_emit(r, bytes) ? RELAY_BODY_MORE : no_memory(r);
    case BODY_NONE:
    case BODY_TUNNEL:
        break;
    }
    return RELAY_BODY_END;
}

static bool ends_with_close(struct relay *r)
{
    return r->answer.body_kind == BODY_UNTIL_CLOSE;
}

const struct upstream_codec upstream_h1 = {
    .name = "HTTP/1.1",
    .state_bytes = sizeof(struct h1_state),
    .begin = begin,
    .frame = frame,
    .read_head = read_head,
    .read_body = read_body,
    .ends_with_close = ends_with_close,
};
