/* Goal: what a worker says of an app's load is taken as numbers or not at all, and never more than
 * it said. */
#include "daemon/app_link_internal.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *active = json_object();
    uint64_t numbers[3];
    struct slice name;

    if (active != NULL &&
        worker_load_parse(slice_make((const char *)data, size), &name, numbers, active)) {
        assert(name.len > 0 && name.len < size);
        assert(json_object_size(active) * 4 <= size);
    }
    json_decref(active);
    return 0;
}
