/* Events of control groups' memory. Runs in: runner's loop. */
#include "apps/pressure.h"

#include <stdbool.h>
#include <sys/inotify.h>
#include <unistd.h>

static void on_events(struct io *io, unsigned events)
{
    struct pressure *pressure = container_of(io, struct pressure, io);
    _Alignas(struct inotify_event) char bytes[4096];
    ssize_t got;

    (void)events;
    while ((got = read(io->fd, bytes, sizeof bytes)) > 0) {
        ssize_t at = 0;

        while (at < got) {
            const struct inotify_event *event = (const void *)(bytes + at);

            if ((event->mask & IN_MODIFY) != 0)
                pressure->on_high(pressure, event->wd);
            at += (ssize_t)(sizeof *event + event->len);
        }
    }
    io->ready &= ~(unsigned)IO_READ;
}

static bool open_once(struct pressure *pressure)
{
    if (pressure->io.loop != NULL)
        return true;
    pressure->io = (struct io){.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC),
                               .on_ready = on_events};
    if (pressure->io.fd >= 0 && loop_watch(pressure->loop, &pressure->io))
        return true;
    if (pressure->io.fd >= 0)
        close(pressure->io.fd);
    pressure->io = (struct io){.fd = -1};
    return false;
}

int pressure_add(struct pressure *pressure, const char *events_path)
{
    if (events_path == NULL || !open_once(pressure))
        return -1;
    return inotify_add_watch(pressure->io.fd, events_path, IN_MODIFY);
}

void pressure_remove(struct pressure *pressure, int watch)
{
    if (watch >= 0 && pressure->io.loop != NULL)
        inotify_rm_watch(pressure->io.fd, watch);
}

void pressure_fini(struct pressure *pressure)
{
    if (pressure->io.loop == NULL)
        return;
    loop_unwatch(&pressure->io);
    close(pressure->io.fd);
    pressure->io = (struct io){.fd = -1};
}
