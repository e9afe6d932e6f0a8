/* From the control socket to apps. Runs in: master's loop. */
#include "control/app_commands.h"

#include "apps/apps.h"
#include "control/server.h"

#include <stdlib.h>
#include <string.h>

static void on_answer(void *context, bool ok, json_t *result)
{
    char *text = result == NULL ? NULL : json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY);

    control_answer_json(context, ok, slice_of(text == NULL ? "null" : text));
    free(text);
}

/* ---- a balancer that follows */

struct follow {
    struct control_stream *stream;
    struct follower *follower;
};

static void on_tell(void *context, struct slice line)
{
    const struct follow *follow = context;

    control_stream_send(follow->stream, line);
}

static void on_apps_ended(void *context)
{
    struct follow *follow = context;

    control_stream_close(follow->stream);
    free(follow);
}

static void on_said(void *context, struct slice line)
{
    const struct follow *follow = context;
    json_t *said = json_loadb(line.data, line.len, 0, NULL);

    follower_hear(follow->follower, said);
    json_decref(said);
}

static void on_left(void *context)
{
    struct follow *follow = context;

    apps_unfollow(follow->follower);
    free(follow);
}

static void follow_apps(struct apps *apps, struct control_request *request)
{
    struct follow *follow = calloc(1, sizeof *follow);
    struct control_listener heard = {.on_line = on_said, .on_end = on_left, .context = follow};
    struct apps_listener told = {.tell = on_tell, .ended = on_apps_ended, .context = follow};

    if (follow == NULL) {
        control_answer(request, false, slice_of("no memory"));
        return;
    }
    follow->stream = control_stream_open(request, &heard);
    if (follow->stream == NULL) {
        free(follow);
        return;
    }
    follow->follower = apps_follow(apps, &told);
    if (follow->follower != NULL)
        return;
    control_stream_close(follow->stream);
    free(follow);
}

void app_command(struct apps *apps, struct control_request *request)
{
    json_t *body = json_loadb(request->line.data, request->line.len, 0, NULL);
    const char *what = json_string_value(json_object_get(body, "do"));

    if (what != NULL && strcmp(what, "follow") == 0) {
        json_decref(body);
        follow_apps(apps, request);
        return;
    }
    /* the word the server looked at has done its work */
    json_object_set(body, "command", json_object_get(body, "do"));
    if (!apps_ask(apps, body, on_answer, request))
        control_answer(request, false, slice_of("unknown app command"));
    json_decref(body);
}
