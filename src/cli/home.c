/* Asking the app runner, and starting it. Runs in: the process the user started. */
#include "cli/home.h"

#include "base/arena.h"
#include "base/slice.h"
#include "control/client.h"
#include "daemon/runner.h"
#include "daemon/runner_home.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *home_path(void)
{
    const char *path = runner_home();

    if (path == NULL)
        fputs("pelayan: PELAYAN_HOME is too long\n", stderr);
    return path;
}

json_t *home_environment(void)
{
    return runner_environment();
}

/* CLIENT_REFUSED: nobody was asked, and why has been printed. */
static enum client_result exchange(const char *line, enum home_wish wish, struct arena *arena,
                                   struct slice *answer)
{
    const char *home = home_path();
    char socket_path[PATH_MAX];
    enum client_result result;

    if (home == NULL || !runner_socket_path(home, socket_path, sizeof socket_path)) {
        fputs("pelayan: the path of PELAYAN_HOME is too long for a socket\n", stderr);
        return CLIENT_REFUSED;
    }
    result = client_exchange(socket_path, slice_of(line), arena, answer);
    if (result == CLIENT_NOBODY && (errno == EACCES || errno == EPERM)) {
        fprintf(stderr,
                "pelayan: cannot use \"%s\": %s: its apps are somebody else's; PELAYAN_HOME names"
                " another place\n",
                socket_path, strerror(errno));
        return CLIENT_REFUSED;
    }
    if (result != CLIENT_NOBODY || wish != HOME_START)
        return result;
    if (!runner_start(home, false))
        return CLIENT_REFUSED;
    return client_exchange(socket_path, slice_of(line), arena, answer);
}

static int take_answer(struct slice answer, json_t **result)
{
    json_t *body = json_loadb(answer.data, answer.len, 0, NULL);
    json_t *value = json_object_get(body, "result");
    const char *message = json_string_value(json_object_get(value, "message"));
    int code = json_is_true(json_object_get(body, "ok")) ? 0 : 1;

    if (message == NULL)
        message = json_string_value(json_object_get(body, "message"));
    if (code != 0)
        fprintf(stderr, "pelayan: %s\n", message == NULL ? "no answer" : message);
    if (result != NULL)
        *result = code == 0 && !json_is_null(value) ? json_incref(value) : NULL;
    json_decref(body);
    return code;
}

static char *as_line(const char *what, json_t *request)
{
    char *text;
    char *line = NULL;

    json_object_set_new(request, "command", json_string("app"));
    json_object_set_new(request, "do", json_string(what));
    text = json_dumps(request, JSON_COMPACT);
    if (text == NULL || asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    free(text);
    return line;
}

int home_ask(const char *what, json_t *request, enum home_wish wish, json_t **result)
{
    struct arena *arena = arena_new(16384);
    char *line = as_line(what, request);
    enum client_result asked = CLIENT_LOST;
    struct slice answer = slice_of("");
    int code = 1;

    if (result != NULL)
        *result = NULL;
    if (arena != NULL && line != NULL)
        asked = exchange(line, wish, arena, &answer);
    if (asked == CLIENT_OK)
        code = take_answer(answer, result);
    else if (asked == CLIENT_NOBODY)
        code = 2;
    else if (asked == CLIENT_LOST)
        fputs("pelayan: the app runner left before it answered\n", stderr);
    arena_drop(arena);
    free(line);
    json_decref(request);
    return code;
}

int home_kill(void)
{
    struct arena *arena = arena_new(1024);
    struct slice answer;
    enum client_result asked = CLIENT_LOST;

    if (arena != NULL)
        asked = exchange("{\"command\":\"kill\"}\n", HOME_IF_RUNNING, arena, &answer);
    arena_drop(arena);
    return asked == CLIENT_NOBODY ? 2 : asked == CLIENT_OK || asked == CLIENT_LOST ? 0 : 1;
}

int home_update(void)
{
    struct arena *arena = arena_new(PATH_MAX);
    enum client_result asked = CLIENT_LOST;
    json_t *request = json_object();
    struct slice answer = slice_of("");
    char program[PATH_MAX];
    char *text = NULL;
    char *line = NULL;
    int code = 1;

    if (realpath("/proc/self/exe", program) != NULL)
        json_object_set_new(request, "program", json_string(program));
    json_object_set_new(request, "command", json_string("update"));
    text = json_dumps(request, JSON_COMPACT);
    if (arena != NULL && text != NULL && asprintf(&line, "%s\n", text) >= 0)
        asked = exchange(line, HOME_IF_RUNNING, arena, &answer);
    if (asked == CLIENT_OK)
        code = take_answer(answer, NULL);
    else if (asked == CLIENT_NOBODY)
        code = 2;
    else if (asked == CLIENT_LOST)
        fputs("pelayan: the app runner ended before it answered\n", stderr);
    arena_drop(arena);
    json_decref(request);
    free(text);
    free(line);
    return code;
}
