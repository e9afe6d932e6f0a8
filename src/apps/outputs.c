/* The pipes from an instance to its logs. Runs in: runner's loop. */
#include "apps/apps_internal.h"
#include "apps/handover.h"
#include "apps/handover_internal.h"
#include "base/diag.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void release_spec(void *owner)
{
    spec_unref(owner);
}

static void style_output(struct output *output, struct app_spec *spec, int id, bool errors)
{
    enum output_form form = OUTPUT_RAW;

    if (spec->log_type != NULL && strcmp(spec->log_type, "json") == 0)
        form = OUTPUT_JSON;
    else if (spec->time || spec->log_date_format != NULL)
        form = OUTPUT_STAMPED;
    output->style = (struct output_style){
        .form = form,
        .date_format = spec->log_date_format != NULL ? spec->log_date_format
                       : form == OUTPUT_STAMPED      ? "YYYY-MM-DDTHH:mm:ss"
                                                     : NULL,
        .app_name = spec->name,
        .type = errors ? "err" : "out",
        .process_id = id,
    };
    output->release = release_spec;
    output->owner = spec_ref(spec);
}

static struct sink *open_sink(struct apps *apps, const struct app_spec *spec, const char *path,
                              struct diag *diag)
{
    struct sink_limits limits = {.max_bytes = spec->log_max_bytes,
                                 .total_bytes = spec->log_total_bytes,
                                 .max_age_ms = spec->log_max_age_ms,
                                 .compress = spec->log_compress};

    return path == NULL ? NULL : sink_open(&apps->sinks, path, &limits, diag);
}

/* A pipe whose other end leads to the file. */
static bool open_output(struct instance *instance, struct diag *diag, bool errors, int *child_end)
{
    struct apps *apps = instance->app->apps;
    char *path = log_path(instance, errors);
    struct sink *combined = NULL;
    struct sink *sink = open_sink(apps, instance->spec, path, diag);
    struct output *output;
    int pair[2];

    free(path);
    if (sink == NULL)
        return false;
    if (instance->spec->log_file != NULL)
        combined = open_sink(apps, instance->spec, instance->spec->log_file, diag);
    if (pipe2(pair, O_CLOEXEC) != 0) {
        diag_errno(diag, "make a pipe for", instance->spec->name);
        sink_unref(sink);
        sink_unref(combined);
        return false;
    }
    *child_end = pair[1];
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    output = output_new(&apps->sinks, pair[0], sink, combined);
    if (output == NULL)
        return false;
    style_output(output, instance->spec, instance->id, errors);
    return true;
}

bool outputs_open(struct instance *instance, struct diag *diag, int *output, int *errors)
{
    if (instance->spec->disable_logs)
        return true;
    return open_output(instance, diag, false, output) && open_output(instance, diag, true, errors);
}

json_t *output_pack(const struct output *output, json_t *fds)
{
    json_t *object = json_pack("{s:o, s:i, s:s, s:b}", "fd", fd_pack(output->io.fd, fds), "id",
                               output->style.process_id, "path", output->sink->path, "errors",
                               strcmp(output->style.type, "err") == 0);

    if (output->combined != NULL)
        json_object_set_new(object, "combined", json_string(output->combined->path));
    if (output->partial_len > 0)
        json_object_set_new(object, "partial",
                            bytes_pack(slice_make(output->partial, output->partial_len)));
    return object;
}

bool output_unpack(struct apps *apps, struct app_spec *spec, const json_t *from)
{
    const char *combined_path = json_string_value(json_object_get(from, "combined"));
    const json_t *partial = json_object_get(from, "partial");
    int fd = (int)json_integer_value(json_object_get(from, "fd"));
    struct output *output = NULL;
    char line[OUTPUT_LINE_MAX];
    size_t len = 0;
    struct sink *sink;
    struct diag diag;

    diag_init(&diag);
    sink = open_sink(apps, spec, json_string_value(json_object_get(from, "path")), &diag);
    if (sink != NULL)
        output = output_new(&apps->sinks, fd, sink, open_sink(apps, spec, combined_path, &diag));
    else
        close(fd);
    diag_fini(&diag);
    if (output == NULL)
        return false;
    style_output(output, spec, (int)json_integer_value(json_object_get(from, "id")),
                 json_is_true(json_object_get(from, "errors")));
    if (partial != NULL)
        len = bytes_unpack(partial, line, sizeof line);
    return len == 0 || output_begin(output, slice_make(line, len));
}
