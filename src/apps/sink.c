/* Log files and pipes. Runs in: master. */
#include "apps/sink.h"

#include "apps/stamp.h"
#include "base/diag.h"
#include "base/log.h"
#include "base/slice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PIPE_BYTES = 256 * 1024,
    CHUNK_BYTES = 64 * 1024,
    LINES_BYTES = 256 * 1024,
    TURN_BYTES = 4 * 1024 * 1024, /* then others get their turn */
    WARN_EVERY_MS = 60 * 1000,
};

void sinks_init(struct sinks *sinks, struct loop *loop, const struct log *log)
{
    *sinks = (struct sinks){.loop = loop, .log = log};
    list_init(&sinks->all);
    list_init(&sinks->outputs);
    list_init(&sinks->chores);
}

static void output_free(struct output *output);

void sinks_fini(struct sinks *sinks)
{
    if (sinks->loop == NULL)
        return;
    list_each(it, keep, &sinks->outputs) output_free(container_of(it, struct output, link));
    sinks_end_chores(sinks);
    assert(list_empty(&sinks->all));
    free(sinks->scratch);
    free(sinks->lines);
}

/* To append: somebody else may empty it. */
static bool open_file(struct sink *sink)
{
    struct stat stat_;
    int fd = open(sink->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                  0640);

    if (fd < 0)
        return false;
    if (sink->fd >= 0)
        close(sink->fd);
    sink->fd = fd;
    sink->size_bytes = 0;
    sink->began_ms = loop_clock(sink->sinks->loop)->wall_ms;
    if (fstat(fd, &stat_) == 0 && S_ISREG(stat_.st_mode) && stat_.st_size > 0) {
        sink->size_bytes = (uint64_t)stat_.st_size;
        sink->began_ms = (uint64_t)stat_.st_ctim.tv_sec * 1000;
    }
    return true;
}

static struct sink *find(struct sinks *sinks, const char *path)
{
    list_each(it, keep, &sinks->all)
    {
        struct sink *sink = container_of(it, struct sink, link);

        if (strcmp(sink->path, path) == 0)
            return sink;
    }
    return NULL;
}

static bool is_nowhere(const char *path)
{
    return strcmp(path, "/dev/null") == 0 || strcmp(path, "NULL") == 0;
}

struct sink *sink_open(struct sinks *sinks, const char *path, const struct sink_limits *limits,
                       struct diag *diag)
{
    struct sink *sink = find(sinks, path);

    if (sink != NULL) {
        sink->limits = *limits;
        sink->refs++;
        return sink;
    }
    sink = calloc(1, sizeof *sink);
    if (sink == NULL) {
        diag_errno(diag, "allocate the log", path);
        return NULL;
    }
    *sink = (struct sink){.sinks = sinks, .refs = 1, .fd = -1, .limits = *limits};
    list_push_back(&sinks->all, &sink->link);
    sink->path = strdup(path);
    if (sink->path != NULL && (is_nowhere(path) || open_file(sink)))
        return sink;
    diag_errno(diag, "open the log", path);
    sink_unref(sink);
    return NULL;
}

void sink_unref(struct sink *sink)
{
    if (sink == NULL || --sink->refs > 0)
        return;
    list_remove(&sink->link);
    if (sink->fd >= 0)
        close(sink->fd);
    free(sink->path);
    free(sink);
}

bool sink_flush(struct sinks *sinks, const char *path)
{
    struct sink *sink = find(sinks, path);

    if (sink == NULL || sink->fd < 0)
        return truncate(path, 0) == 0;
    sink->size_bytes = 0;
    return ftruncate(sink->fd, 0) == 0;
}

uint64_t sinks_dropped(struct sinks *sinks, const char *path)
{
    const struct sink *sink = path == NULL ? NULL : find(sinks, path);

    return sink == NULL ? 0 : sink->dropped_bytes;
}

static void warn(struct sink *sink, const char *what, int os_error)
{
    uint64_t now_ms = loop_now_ms(sink->sinks->loop);

    if (sink->warned_ms != 0 && now_ms - sink->warned_ms < WARN_EVERY_MS)
        return;
    sink->warned_ms = now_ms;
    log_write(sink->sinks->log, LOG_LEVEL_ERROR, os_error, "cannot %s the app log \"%s\"", what,
              sink->path);
}

void sinks_reopen(struct sinks *sinks)
{
    list_each(it, keep, &sinks->all)
    {
        struct sink *sink = container_of(it, struct sink, link);

        if (!is_nowhere(sink->path) && !open_file(sink))
            warn(sink, "reopen", errno);
    }
}

/* What cannot be written is lost, and counted. */
static void sink_write(struct sink *sink, const char *data, size_t len)
{
    if (sink == NULL || sink->fd < 0)
        return;
    while (len > 0) {
        ssize_t wrote = write(sink->fd, data, len);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            warn(sink, "write to", errno);
            sink->dropped_bytes += len;
            return;
        }
        data += wrote;
        len -= (size_t)wrote;
        sink->size_bytes += (uint64_t)wrote;
    }
}

static void on_pipe(struct io *io, unsigned events);
static void on_more(struct deadline *deadline);

struct output *output_new(struct sinks *sinks, int fd, struct sink *sink, struct sink *combined)
{
    struct output *output = calloc(1, sizeof *output);

    if (output == NULL) {
        sink_unref(sink);
        sink_unref(combined);
        close(fd);
        return NULL;
    }
    *output = (struct output){.sinks = sinks,
                              .io = {.fd = fd, .on_ready = on_pipe},
                              .sink = sink,
                              .combined = combined,
                              .more = {.on_expire = on_more}};
    list_push_back(&sinks->outputs, &output->link);
    fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);
    if (loop_watch(sinks->loop, &output->io))
        return output;
    output_free(output);
    return NULL;
}

static void output_free(struct output *output)
{
    if (output->io.loop != NULL)
        loop_unwatch(&output->io);
    deadline_disarm(&output->more);
    close(output->io.fd);
    list_remove(&output->link);
    sink_unref(output->sink);
    sink_unref(output->combined);
    free(output->partial);
    if (output->release != NULL)
        output->release(output->owner);
    free(output);
}

static bool have_room(struct sinks *sinks)
{
    if (sinks->scratch == NULL)
        sinks->scratch = malloc(OUTPUT_LINE_MAX + CHUNK_BYTES);
    if (sinks->lines == NULL)
        sinks->lines = malloc(LINES_BYTES);
    return sinks->scratch != NULL && sinks->lines != NULL;
}

/* Nothing to add, and nobody else's lines to mind. */
static bool is_passed_on(const struct output *output)
{
    return output->style.form == OUTPUT_RAW && output->combined == NULL &&
           output->sink->refs == 1 && output->sink->fd >= 0 && output->partial_len == 0;
}

/* As read(): bytes, 0 at the end, -1 with errno. Copied, not spliced: that costs a third more, and
 * the app waits for it. */
static ssize_t pass_on(struct output *output)
{
    struct sinks *sinks = output->sinks;
    ssize_t got;

    if (!have_room(sinks)) {
        errno = ENOMEM;
        return -1;
    }
    got = read(output->io.fd, sinks->lines, LINES_BYTES);
    if (got > 0)
        sink_write(output->sink, sinks->lines, (size_t)got);
    return got;
}

static void write_lines(struct output *output, size_t *len)
{
    sink_write(output->sink, output->sinks->lines, *len);
    sink_write(output->combined, output->sinks->lines, *len);
    *len = 0;
}

static void add_line(struct output *output, struct slice line, size_t *len)
{
    struct sinks *sinks = output->sinks;

    if (LINES_BYTES - *len < STAMP_BYTES_MAX + line.len * STAMP_GROWTH + 2)
        write_lines(output, len);
    *len += stamp_line(&output->style, loop_clock(sinks->loop)->wall_ms, line, sinks->lines + *len);
}

static bool keep_partial(struct output *output, struct slice rest)
{
    if (rest.len > 0 && output->partial == NULL)
        output->partial = malloc(OUTPUT_LINE_MAX);
    if (rest.len > 0 && output->partial == NULL)
        return false;
    if (rest.len > 0)
        memmove(output->partial, rest.data, rest.len);
    output->partial_len = rest.len;
    return true;
}

bool output_begin(struct output *output, struct slice line)
{
    assert(output->partial == NULL && line.len <= OUTPUT_LINE_MAX);
    return keep_partial(output, line);
}

/* Complete lines go out; the rest waits, unless it is too long or the last there will be. */
static void take_lines(struct output *output, struct slice bytes, bool last)
{
    size_t len = 0;
    ptrdiff_t end;

    while ((end = slice_find(bytes, '\n')) >= 0) {
        add_line(output, slice_head(bytes, (size_t)end), &len);
        bytes = slice_skip(bytes, (size_t)end + 1);
    }
    while (bytes.len > OUTPUT_LINE_MAX || (last && bytes.len > 0)) {
        add_line(output, slice_head(bytes, OUTPUT_LINE_MAX), &len);
        bytes = slice_skip(bytes, OUTPUT_LINE_MAX);
    }
    write_lines(output, &len);
    if (!keep_partial(output, bytes))
        output->sink->dropped_bytes += bytes.len;
}

static ssize_t move_lines(struct output *output)
{
    struct sinks *sinks = output->sinks;
    ssize_t got;

    if (!have_room(sinks)) {
        errno = ENOMEM;
        return -1;
    }
    got = read(output->io.fd, sinks->scratch + output->partial_len, CHUNK_BYTES);
    if (got < 0)
        return got;
    if (output->partial_len > 0)
        memcpy(sinks->scratch, output->partial, output->partial_len);
    take_lines(output, slice_make(sinks->scratch, output->partial_len + (size_t)got), got == 0);
    return got;
}

/* A file that takes nothing: the pipe must not fill, or the app would stand still. */
static ssize_t throw_away(struct output *output)
{
    char bytes[16384];
    ssize_t got = read(output->io.fd, bytes, sizeof bytes);

    if (got > 0)
        output->sink->dropped_bytes += (uint64_t)got;
    return got;
}

static ssize_t move_some(struct output *output)
{
    if (is_passed_on(output))
        return pass_on(output);
    return output->sink->fd < 0 && output->combined == NULL ? throw_away(output)
                                                            : move_lines(output);
}

/* True: the pipe is empty. False: it has ended, and `output` is gone, or more comes later. */
static bool pump(struct output *output)
{
    size_t total = 0;

    while (total < TURN_BYTES) {
        ssize_t moved = move_some(output);

        if (moved < 0 && errno == EINTR)
            continue;
        if (moved < 0 && errno == EAGAIN)
            return true;
        if (moved <= 0) {
            output_free(output);
            return false;
        }
        total += (size_t)moved;
        sink_rotate_if_due(output->sink);
        if (output->combined != NULL)
            sink_rotate_if_due(output->combined);
    }
    deadline_arm(output->sinks->loop, &output->more, 0);
    return false;
}

static void output_pump(struct output *output)
{
    if (pump(output))
        output->io.ready &= ~(unsigned)IO_READ;
}

static void on_pipe(struct io *io, unsigned events)
{
    struct output *output = container_of(io, struct output, io);

    (void)events;
    if (!deadline_armed(&output->more))
        output_pump(output);
}

static void on_more(struct deadline *deadline)
{
    output_pump(container_of(deadline, struct output, more));
}

void sinks_pump(struct sinks *sinks, int process_id)
{
    list_each(it, keep, &sinks->outputs)
    {
        struct output *output = container_of(it, struct output, link);

        if (output->style.process_id == process_id)
            output_pump(output);
    }
}
