/* Ecosystem files, JSON and YAML: no text crashes the readers, and whatever objects it holds, what
 * becomes of them is an app or a message. */
#include "apps/ecosystem.h"
#include "apps/spec.h"
#include "base/diag.h"

#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *read_yaml(const uint8_t *data, size_t size, struct diag *diag)
{
    int fd = memfd_create("ecosystem", MFD_CLOEXEC);
    char path[64];
    json_t *value = NULL;

    assert(fd >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (write(fd, data, size) == (ssize_t)size)
        value = yaml_load(path, diag);
    close(fd);
    return value;
}

static void try_app(json_t *source, struct diag *diag)
{
    size_t errors = diag->error_count;
    struct app_spec *spec;
    int count = 0;

    if (!json_is_object(source))
        return;
    spec = spec_new(source, "production", NULL, diag);
    if (spec == NULL) {
        assert(diag->error_count > errors);
        return;
    }
    assert(spec->name != NULL && spec->script != NULL);
    if (spec->instances != NULL && spec_instance_count(spec->instances, 4, &count))
        assert(count >= 1);
    spec_unref(spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *value, *app;
    struct diag diag;
    size_t index;

    if (size == 0)
        return 0;
    diag_init(&diag);
    value = (data[0] & 1) != 0 ? read_yaml(data + 1, size - 1, &diag)
                               : json_loadb((const char *)data + 1, size - 1, 0, NULL);
    try_app(value, &diag);
    json_array_foreach(json_is_array(value) ? value : json_object_get(value, "apps"), index, app)
        try_app(app, &diag);
    json_decref(value);
    diag_fini(&diag);
    return 0;
}
