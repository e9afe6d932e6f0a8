/* Memory events of control groups, here as files of a folder: who is told, and who no longer. */
#include "apps/pressure.h"
#include "event/loop.h"
#include "tests/unit/check.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct watcher {
    struct pressure pressure;
    int told[8];
    unsigned count;
};

static void on_high(struct pressure *pressure, int watch)
{
    struct watcher *watcher = container_of(pressure, struct watcher, pressure);

    watcher->told[watcher->count++ % COUNT(watcher->told)] = watch;
    loop_stop(pressure->loop);
}

static void say(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

TEST(each_watch_is_told_of_its_own)
{
    char folder[] = "/tmp/pressure-XXXXXX";
    char paths[2][64];
    int watches[2];
    struct watcher watcher = {.count = 0};

    CHECK(mkdtemp(folder) != NULL);
    watcher.pressure = (struct pressure){.loop = loop_new(0), .io = {.fd = -1}, .on_high = on_high};
    CHECK_EQ(pressure_add(&watcher.pressure, "/no/such/file"), -1);
    CHECK_EQ(pressure_add(&watcher.pressure, NULL), -1);
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%d", folder, i);
        say(paths[i], "high 0\n");
        watches[i] = pressure_add(&watcher.pressure, paths[i]);
        CHECK(watches[i] >= 0);
    }
    for (int i = 1; i >= 0; i--) {
        say(paths[i], "high 1\n");
        loop_run(watcher.pressure.loop);
        CHECK_EQ(watcher.told[watcher.count - 1], watches[i]);
    }
    pressure_remove(&watcher.pressure, watches[0]);
    pressure_remove(&watcher.pressure, -1);
    say(paths[0], "high 2\n");
    say(paths[1], "high 2\n");
    loop_run(watcher.pressure.loop);
    CHECK_EQ(watcher.told[watcher.count - 1], watches[1]);
    CHECK_EQ(watcher.count, 3u);
    pressure_fini(&watcher.pressure);
    pressure_fini(&watcher.pressure);
    loop_free(watcher.pressure.loop);
    for (int i = 0; i < 2; i++)
        unlink(paths[i]);
    rmdir(folder);
}
