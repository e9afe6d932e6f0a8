/* Goal: what a worker says of an app's load is taken as numbers or not at all, and never more than
 * it said. */
#include "daemon/app_link_internal.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct worker_says says = {
        .active = json_object(), .answered = json_object(), .tunnels = json_object()};

    if (says.active != NULL && says.answered != NULL && says.tunnels != NULL &&
        worker_load_parse(slice_make((const char *)data, size), &says)) {
        assert(says.name.len > 0 && says.name.len < size);
        assert(json_object_size(says.active) * 4 <= size);
        assert(json_object_size(says.answered) <= json_object_size(says.active));
        assert(json_object_size(says.tunnels) <= json_object_size(says.active));
    }
    json_decref(says.active);
    json_decref(says.answered);
    json_decref(says.tunnels);
    return 0;
}
