/* What the master says of one app. Runs in: worker, first loop. */
#include "balance/app_notice_internal.h"

#include "base/list.h"

#include <stdlib.h>

static const struct {
    struct slice word;
    enum app_status status;
} statuses[] = {
    {SLICE("idle"), APP_IDLE},     {SLICE("starting"), APP_STARTING}, {SLICE("online"), APP_ONLINE},
    {SLICE("failed"), APP_FAILED}, {SLICE("gone"), APP_GONE},
};

static bool parse_number(struct slice text, unsigned *number)
{
    uint64_t value;

    if (!slice_to_u64(text, &value) || value > INT32_MAX)
        return false;
    *number = (unsigned)value;
    return true;
}

/* The last word of `*text`, which is left with what stands before it. */
static bool cut_last_word(struct slice *text, struct slice *word)
{
    size_t at = text->len;

    while (at > 0 && text->data[at - 1] != ' ')
        at--;
    if (at < 2)
        return false;
    *word = slice_skip(*text, at);
    *text = slice_head(*text, at - 1);
    return true;
}

static bool is_printable(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return true;
}

/* From the right: a name may have blanks. */
static bool parse_head(struct slice line, struct app_notice *notice)
{
    struct slice number, word;
    bool known = false;

    if (!cut_last_word(&line, &number) || !parse_number(number, &notice->desired) ||
        !cut_last_word(&line, &word))
        return false;
    for (size_t i = 0; i < COUNT(statuses); i++) {
        if (!slice_eq(word, statuses[i].word))
            continue;
        notice->status = statuses[i].status;
        known = true;
    }
    notice->name = line;
    return known && line.len > 0 && line.len <= APP_NAME_MAX && is_printable(line);
}

/* An address of its own: not a wildcard, with a port. */
static bool parse_address(struct slice text, struct address *address)
{
    if (!address_parse(text, 0, address) || address_is_wildcard(address))
        return false;
    return address->any.sa_family == AF_UNIX ? text.len > strlen("unix:/")
                                             : address_port(address) != 0;
}

/* From both ends: the path of a socket may have blanks. */
static bool parse_line(struct slice text, struct app_line *line)
{
    ptrdiff_t blank = slice_find(text, ' ');
    struct slice state;

    if (blank <= 0 || !is_printable(text) ||
        !parse_number(slice_head(text, (size_t)blank), &line->id))
        return false;
    text = slice_skip(text, (size_t)blank + 1);
    if (!cut_last_word(&text, &state))
        return false;
    line->ready = slice_eq(state, (struct slice)SLICE("ready"));
    if (!line->ready && !slice_eq(state, (struct slice)SLICE("draining")))
        return false;
    return parse_address(text, &line->address);
}

static int by_number(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a;
    unsigned y = *(const unsigned *)b;

    return x < y ? -1 : x > y;
}

static bool is_repeated(unsigned *ids, unsigned count)
{
    /* cppcheck-suppress uninitvar ; all `count` of them are set */
    qsort(ids, count, sizeof *ids, by_number);
    for (unsigned i = 1; i < count; i++) {
        if (ids[i] == ids[i - 1])
            return true;
    }
    return false;
}

/* `rest`: after the head. */
static const char *parse_rest(struct slice rest, struct app_notice *notice)
{
    const char *start = rest.data;
    unsigned ids[APP_INSTANCES_MAX];
    struct slice text;
    struct app_line line;

    while (rest.len > 0 && rest.data[0] != '!') {
        size_t before = (size_t)(rest.data - start);

        slice_split(&rest, '\n', &text);
        if (!parse_line(text, &line))
            return "an instance that cannot be understood";
        if (notice->instance_count == APP_INSTANCES_MAX)
            return "too many instances";
        ids[notice->instance_count++] = line.id;
        notice->lines = slice_make(start, before + text.len);
    }
    if (is_repeated(ids, notice->instance_count))
        return "an instance that is there twice";
    if (rest.len == 0)
        return NULL;
    slice_split(&rest, '\n', &text);
    notice->reason = slice_head(slice_trim(slice_skip(text, 1)), APP_REASON_MAX);
    return rest.len == 0 && is_printable(notice->reason) ? NULL : "a reason of more than one line";
}

bool app_notice_parse(struct slice text, struct app_notice *notice, const char **error)
{
    struct slice head;

    *notice = (struct app_notice){0};
    if (!slice_split(&text, '\n', &head) || !parse_head(head, notice))
        *error = "a first line that is not \"NAME STATUS DESIRED\"";
    else
        *error = parse_rest(text, notice);
    return *error == NULL;
}

bool app_notice_next(struct slice *lines, struct app_line *line)
{
    struct slice text;

    return slice_split(lines, '\n', &text) && parse_line(text, line);
}
