/* From the control socket to apps. Runs in: master's loop. */
#include "control/app_commands.h"

#include "apps/apps.h"
#include "control/server.h"

#include <stdlib.h>

static void on_answer(void *context, bool ok, json_t *result)
{
    char *text = result == NULL ? NULL : json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY);

    control_answer_json(context, ok, slice_of(text == NULL ? "null" : text));
    free(text);
}

void app_command(struct apps *apps, struct control_request *request)
{
    json_t *body = json_loadb(request->line.data, request->line.len, 0, NULL);

    /* the word the server looked at has done its work */
    json_object_set(body, "command", json_object_get(body, "do"));
    if (!apps_ask(apps, body, on_answer, request))
        control_answer(request, false, slice_of("unknown app command"));
    json_decref(body);
}
