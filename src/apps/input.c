/* The pipe to an app's standard input.
 *
 * It stays open for as long as the process lives, so that an app that reads gets no end of file
 * because nobody has typed anything yet. A line is short enough for the kernel to take all of it or
 * nothing: an app that does not read is told nothing more, and never keeps the runner waiting.
 * Runs in: runner's loop. */
#include "apps/apps_internal.h"
#include "base/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

/* What is written to a pipe at once, or not at all. */
static_assert(INPUT_BYTES_MAX <= PIPE_BUF, "a line must fit whole");

bool input_open(struct instance *instance, struct diag *diag, int *child_end)
{
    int pair[2];

    assert(instance->input < 0);
    if (pipe2(pair, O_CLOEXEC) != 0) {
        diag_errno(diag, "make a pipe for", instance->spec->name);
        return false;
    }
    fcntl(pair[1], F_SETFL, O_NONBLOCK); /* ours alone: the app's end has flags of its own */
    *child_end = pair[0];
    instance->input = pair[1];
    return true;
}

void input_close(struct instance *instance)
{
    if (instance->input >= 0)
        close(instance->input);
    instance->input = -1;
}

const char *input_send(const struct instance *instance, struct slice text)
{
    ssize_t wrote;

    assert(text.len <= INPUT_BYTES_MAX);
    if (instance->pid == 0)
        return "is not running";
    if (instance->input < 0)
        return "was started without an input: restart it";
    do
        wrote = write(instance->input, text.data, text.len);
    while (wrote < 0 && errno == EINTR);
    if (wrote == (ssize_t)text.len)
        return NULL;
    return errno == EPIPE ? "has closed its standard input" : "does not read its standard input";
}
