/* Asking the master. Runs in: cli. */
#include "control/client.h"

#include "base/arena.h"
#include "control/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_BYTES_MAX = 64 << 20, SILENCE_S = 3 };

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    int fd;
    int os_error;

    if (len >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, len);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    os_error = errno;
    close(fd);
    errno = os_error;
    return -1;
}

static bool send_command(int fd, const char *command)
{
    char *line = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&line, &len);
    bool sent;

    if (out == NULL)
        return false;
    fputs("{\"command\":", out);
    json_write_text(out, slice_of(command));
    fputs("}\n", out);
    fclose(out);
    sent = send(fd, line, len, MSG_NOSIGNAL) == (ssize_t)len;
    free(line);
    return sent;
}

/* One line, without its end. False: the connection ended first. */
static bool receive_line(int fd, FILE *out)
{
    char bytes[4096];
    size_t total = 0;

    while (total < ANSWER_BYTES_MAX) {
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        const char *end = got > 0 ? memchr(bytes, '\n', (size_t)got) : NULL;

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        fwrite(bytes, 1, end == NULL ? (size_t)got : (size_t)(end - bytes), out);
        if (end != NULL)
            return true;
        total += (size_t)got;
    }
    return false;
}

bool client_stream(const char *socket_path, struct slice request,
                   bool (*on_line)(void *data, struct slice line), void *data)
{
    const struct timeval patience = {.tv_sec = SILENCE_S};
    int fd = connect_to(socket_path);
    FILE *in = fd < 0 ? NULL : fdopen(fd, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    bool done = false;

    if (in == NULL) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (send(fd, request.data, request.len, MSG_NOSIGNAL) == (ssize_t)request.len) {
        while (!done && (len = getline(&line, &room, in)) > 0)
            done = !on_line(data, slice_make(line, (size_t)len - (line[len - 1] == '\n')));
    }
    free(line);
    fclose(in);
    return done;
}

static enum client_result receive_answer(int fd, struct arena *arena, struct slice *answer)
{
    char *line = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&line, &len);
    enum client_result result = CLIENT_LOST;
    bool complete;

    if (out == NULL)
        return result;
    complete = receive_line(fd, out);
    fclose(out);
    if (complete) {
        const struct json *body = json_parse(arena, slice_make(line, len));
        const struct json *ok = json_member(body, "ok");

        *answer = json_member_text(body, "message");
        result = ok != NULL && ok->truth ? CLIENT_OK : CLIENT_REFUSED;
    }
    free(line);
    return result;
}

enum client_result client_ask(const char *socket_path, const char *command, struct arena *arena,
                              struct slice *answer)
{
    int fd = connect_to(socket_path);
    enum client_result result = CLIENT_LOST;

    *answer = slice_make("", 0);
    if (fd < 0)
        return CLIENT_NOBODY;
    if (send_command(fd, command))
        result = receive_answer(fd, arena, answer);
    close(fd);
    return result;
}

static bool send_all(int fd, struct slice text)
{
    while (text.len > 0) {
        ssize_t sent = send(fd, text.data, text.len, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        text = slice_skip(text, (size_t)sent);
    }
    return true;
}

enum client_result client_exchange(const char *socket_path, struct slice request,
                                   struct arena *arena, struct slice *answer)
{
    int fd = connect_to(socket_path);
    enum client_result result = CLIENT_LOST;
    char *line = NULL;
    size_t len = 0;
    FILE *out;

    *answer = slice_make("", 0);
    if (fd < 0)
        return CLIENT_NOBODY;
    out = open_memstream(&line, &len);
    if (out != NULL) {
        bool complete = send_all(fd, request) && receive_line(fd, out);

        fclose(out);
        *answer = arena_copy(arena, slice_make(line, len));
        result = complete && answer->data != NULL ? CLIENT_OK : CLIENT_LOST;
        free(line);
    }
    close(fd);
    return result;
}

bool client_listens(const char *socket_path)
{
    int fd = connect_to(socket_path);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}
