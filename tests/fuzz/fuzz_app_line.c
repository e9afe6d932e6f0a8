/* Goal: whatever line a runner says of an app, what the master makes of it for its workers is told
 * in one piece, of that app, and with no more instances than the line has: no part of a text
 * becomes an instance of its own. */
#include "balance/app_notice_internal.h"
#include "base/log.h"
#include "daemon/app_link_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Up to a NUL; NULL: not a text of JSON. */
static json_t *next_text(struct slice *rest)
{
    struct slice text;

    if (!slice_split(rest, '\0', &text))
        return NULL;
    return json_stringn(text.data, text.len);
}

/* "STATUS\0REASON\0ADDRESS\0STATE\0ADDRESS\0STATE...": the JSON itself is another's work. */
static json_t *line_of(struct slice rest)
{
    json_t *line = json_object();
    json_t *instances = json_array();

    json_object_set_new(line, "status", next_text(&rest));
    json_object_set_new(line, "reason", next_text(&rest));
    while (rest.data != NULL) {
        json_t *instance = json_object();

        json_object_set_new(instance, "id", json_integer((json_int_t)rest.len));
        json_object_set_new(instance, "address", next_text(&rest));
        json_object_set_new(instance, "state", next_text(&rest));
        json_array_append_new(instances, instance);
    }
    json_object_set_new(line, "instances", instances);
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct log log = {.targets = NULL};
    json_t *said = line_of(slice_make((const char *)data, size));
    char *text = linked_app_text(&log, "web", said);
    struct app_notice notice;
    const char *error = NULL;

    if (text != NULL && app_notice_parse(slice_of(text), &notice, &error)) {
        assert(slice_eq(notice.name, slice_of("web")));
        assert(notice.instance_count <= json_array_size(json_object_get(said, "instances")));
    }
    free(text);
    json_decref(said);
    return 0;
}
