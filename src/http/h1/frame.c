/* Framing: where a body ends, and whether a connection goes on (RFC 9112, 6 and 9). Runs in:
 * worker, loop thread. */
#include "http/h1/frame_internal.h"

#include "http/status.h"

#include <assert.h>

/* Whether there is more than one line of that name. */
static bool is_repeated(const struct header_list *headers, enum header_id id)
{
    uint32_t at = 0;

    return header_list_next_id(headers, id, &at) != NULL &&
           header_list_next_id(headers, id, &at) != NULL;
}

static enum h1_error read_coding(const struct header_list *headers, unsigned version)
{
    struct slice coding = header_list_value(headers, HEADER_TRANSFER_ENCODING);

    if (is_repeated(headers, HEADER_TRANSFER_ENCODING))
        return H1_DUPLICATE_HEADER;
    if (version < 11)
        return H1_CODING_IN_HTTP10;
    if (!slice_eq_nocase(coding, slice_make("chunked", 7)))
        return H1_UNKNOWN_CODING;
    return H1_NONE;
}

enum h1_error read_framing(const struct header_list *headers, unsigned version,
                           struct framing *framing)
{
    const struct header *length = header_list_find(headers, HEADER_CONTENT_LENGTH);

    *framing = (struct framing){.chunked = false};
    if (length == NULL && !header_list_has(headers, HEADER_TRANSFER_ENCODING))
        return H1_NONE;
    if (length != NULL) {
        if (is_repeated(headers, HEADER_CONTENT_LENGTH))
            return H1_DUPLICATE_LENGTH;
        framing->has_length = slice_to_u64(length->value, &framing->length);
        if (!framing->has_length || framing->length > INT64_MAX)
            return H1_BAD_LENGTH;
    }
    if (header_list_find(headers, HEADER_TRANSFER_ENCODING) != NULL) {
        if (length != NULL)
            return H1_LENGTH_AND_CODING;
        framing->chunked = true;
        return read_coding(headers, version);
    }
    return H1_NONE;
}

static unsigned option_of(struct slice token)
{
    static const struct {
        struct slice name;
        unsigned option;
    } options[] = {
        {SLICE("keep-alive"), CONNECTION_KEEP_ALIVE},
        {SLICE("close"), CONNECTION_CLOSE},
        {SLICE("upgrade"), CONNECTION_UPGRADE},
    };

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (slice_eq_nocase(token, options[i].name))
            return options[i].option;
    }
    return 0;
}

unsigned connection_options(const struct header_list *headers)
{
    unsigned options = 0;
    uint32_t at = 0;

    if (!header_list_has(headers, HEADER_CONNECTION))
        return 0;
    for (const struct header *h;
         (h = header_list_next_id(headers, HEADER_CONNECTION, &at)) != NULL;) {
        struct slice rest = h->value, token;
        unsigned alone = option_of(rest); /* mostly it is one word */

        options |= alone;
        while (alone == 0 && header_next_token(&rest, &token))
            options |= option_of(token);
    }
    return options;
}

bool connection_persists(unsigned options, unsigned version)
{
    if ((options & CONNECTION_CLOSE) != 0)
        return false;
    return version >= 11 || (options & CONNECTION_KEEP_ALIVE) != 0;
}

/* RFC 9112, 6.3, in its order. */
static enum body_kind response_body(const struct h1_response *response, enum method method,
                                    const struct framing *framing)
{
    if (response->status == 101)
        return BODY_TUNNEL;
    if (method == METHOD_CONNECT && response->status / 100 == 2)
        return BODY_TUNNEL;
    if (method == METHOD_HEAD || status_has_no_body(response->status))
        return BODY_NONE;
    if (framing->chunked)
        return BODY_CHUNKED;
    if (!framing->has_length)
        return BODY_UNTIL_CLOSE;
    return framing->length == 0 ? BODY_NONE : BODY_LENGTH;
}

enum h1_error h1_response_frame(struct h1_response *response, enum method method)
{
    struct framing framing;
    enum h1_error error = read_framing(&response->headers, response->version, &framing);

    if (error != H1_NONE)
        return error;
    assert(response->status >= 100);
    response->body_kind = response_body(response, method, &framing);
    response->has_length = framing.has_length;
    response->body_bytes = framing.length;
    response->keep_alive = connection_persists(connection_options(&response->headers),
                                               response->version) &&
                           response->body_kind != BODY_UNTIL_CLOSE &&
                           response->body_kind != BODY_TUNNEL;
    return H1_NONE;
}
