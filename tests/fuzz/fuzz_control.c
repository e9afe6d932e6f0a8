/* Goal: whatever a client of the control socket sends, in whatever pieces, each line gets one
 * answer in the order of the lines, or makes a stream whose lines are heard whole; nothing is left
 * of a client that goes, also when its answer comes later. */
#include "base/arena.h"
#include "control/json.h"
#include "control/server.h"
#include "event/loop.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECE_BYTES = 97, ANSWERS_BYTES = 1 << 20 };

static struct loop *loop;
static struct control_server *server;
static struct list later;
static struct control_stream *stream;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run_echo(struct control_request *request, void *context)
{
    const struct json *text = json_member(request->body, "text");

    (void)context;
    assert(request->line.len > 0 && memchr(request->line.data, '\n', request->line.len) == NULL);
    control_answer(request, true,
                   text != NULL && text->kind == JSON_STRING ? text->text : slice_of(""));
}

static void run_later(struct control_request *request, void *context)
{
    (void)context;
    list_push_back(&later, &request->link);
}

static void on_line(void *context, struct slice line)
{
    (void)context;
    assert(stream != NULL && memchr(line.data, '\n', line.len) == NULL);
    control_stream_send(stream, slice_of("{\"heard\":1}\n"));
}

static void on_end(void *context)
{
    (void)context;
    stream = NULL;
}

/* One at a time: the next one is answered with an error. */
static void run_follow(struct control_request *request, void *context)
{
    static const struct control_listener listener = {.on_line = on_line, .on_end = on_end};

    (void)context;
    if (stream != NULL)
        control_answer_json(request, false, slice_of("[1]"));
    else
        stream = control_stream_open(request, &listener);
}

static const struct control_command commands[] = {
    {"echo", run_echo, ""}, {"later", run_later, ""}, {"follow", run_follow, ""}};

static void set_up(void)
{
    char path[60];

    snprintf(path, sizeof path, "/tmp/pelayan-fuzz-control-%d.sock", (int)getpid());
    loop = loop_new(0);
    assert(loop != NULL);
    server = control_server_new(loop, control_listen(path), commands, 3, NULL);
    assert(server != NULL);
    unlink(path);
    list_init(&later);
}

/* All that came is whole lines of JSON, but for what was cut off by the end. */
static void check_answers(char *answers, size_t len)
{
    struct slice rest = slice_make(answers, len);
    ptrdiff_t end;

    while ((end = slice_find(rest, '\n')) >= 0) {
        struct arena *arena = arena_new(1024);
        const struct json *value = json_parse(arena, slice_head(rest, (size_t)end));

        assert(value != NULL && value->kind == JSON_OBJECT);
        rest = slice_skip(rest, (size_t)end + 1);
        arena_drop(arena);
    }
}

static size_t take(int fd, char *answers, size_t len)
{
    ssize_t got;

    while (len < ANSWERS_BYTES &&
           (got = recv(fd, answers + len, ANSWERS_BYTES - len, MSG_DONTWAIT)) > 0)
        len += (size_t)got;
    return len;
}

static void answer_later(void)
{
    while (!list_empty(&later)) {
        struct control_request *request = container_of(later.next, struct control_request, link);

        list_remove(&request->link);
        control_answer(request, false, slice_of("later\nin two lines"));
    }
}

/* The first byte says whether the client leaves before its last answer comes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char answers[ANSWERS_BYTES];
    size_t len = 0;
    int pair[2];

    if (loop == NULL)
        set_up();
    if (size == 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        return 0;
    control_server_adopt(server, pair[0], slice_make(NULL, 0));
    for (size_t at = 1, n; at < size; at += n) {
        n = size - at < PIECE_BYTES ? size - at : PIECE_BYTES;
        if (send(pair[1], data + at, n, MSG_NOSIGNAL) < 0)
            break;
        loop_turn(loop, 0);
        len = take(pair[1], answers, len);
        if (data[0] % 4 == 1)
            answer_later();
    }
    if (data[0] % 2 == 0)
        close(pair[1]);
    answer_later();
    loop_turn(loop, 0);
    if (data[0] % 2 != 0) {
        len = take(pair[1], answers, len);
        close(pair[1]);
    }
    for (int i = 0; i < 8 || !list_empty(&later); i++) {
        answer_later();
        loop_turn(loop, 0);
    }
    check_answers(answers, len);
    assert(stream == NULL);
    return 0;
}
