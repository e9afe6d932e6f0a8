/* Control groups: where they are, and what is written there. */
#include "apps/group.h"
#include "base/diag.h"
#include "base/list.h"
#include "tests/unit/check.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNIFIED "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
#define PROC "22 28 0:20 / /proc rw,nosuid - proc proc rw\n"

static const struct {
    const char *mountinfo;
    const char *membership;
    const char *want; /* NULL: none */
} cases[] = {
    {PROC UNIFIED, "0::/system.slice/pelayan-apps.service\n",
     "/sys/fs/cgroup/system.slice/pelayan-apps.service"},
    {UNIFIED, "0::/\n", "/sys/fs/cgroup"},
    {PROC "40 24 0:30 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n",
     "4:memory:/a\n1:name=systemd:/b\n0::/b\n", "/sys/fs/cgroup/unified/b"},
    {"40 24 0:30 /docker/1 /sys/fs/cgroup rw - cgroup2 none rw\n", "0::/docker/1/x\n",
     "/sys/fs/cgroup/x"},
    {PROC, "0::/a\n", NULL},
    {UNIFIED, "4:memory:/a\n", NULL},
    {"", "", NULL},
};

TEST(the_folder_of_a_group)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *folder = group_folder(cases[i].mountinfo, cases[i].membership);

        CHECK_EQ(folder == NULL, cases[i].want == NULL, cases[i].membership);
        if (folder != NULL)
            CHECK_EQ(strcmp(folder, cases[i].want), 0, folder);
        free(folder);
    }
}

static void put(const char *folder, const char *name, const char *text)
{
    char path[256];
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text), name);
    close(fd);
}

static void get(const char *folder, const char *name, char *out, size_t bytes)
{
    char path[256];
    ssize_t got;
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    got = read(fd, out, bytes - 1);
    CHECK(got >= 0);
    out[got] = '\0';
    close(fd);
}

static void forget(const char *folder)
{
    char command[300];

    snprintf(command, sizeof command, "rm -r '%s'", folder);
    CHECK_EQ(system(command), 0, command);
}

/* Method: a plain folder in the place of the kernel's files, with all controllers. */
TEST(limits_and_measures_are_files)
{
    char base[] = "/tmp/pelayan-group-XXXXXX";
    struct group_limits limits = {.memory_bytes = 1 << 20, .processes = 7, .cpu_percent = 150};
    struct groups groups = {.memory = true, .pids = true, .cpu = true};
    struct diag diag;
    uint64_t bytes = 0;
    char folder[256];
    char text[64];
    char *name;

    CHECK(mkdtemp(base) != NULL);
    groups.base = base;
    name = group_new(&groups, "a/b", 3);
    CHECK(name != NULL);
    CHECK_EQ(strcmp(name, "a_b-3-0"), 0, name);
    snprintf(folder, sizeof folder, "%s/%s", base, name);
    put(folder, "memory.max", "");
    put(folder, "pids.max", "");
    put(folder, "cpu.max", "");
    put(folder, "memory.stat", "anon 1000\nfile 5000000\nshmem 24\n");
    put(folder, "memory.events", "low 0\noom 4\noom_kill 2\n");
    diag_init(&diag);
    CHECK(group_limit(&groups, name, &limits, &diag));
    get(folder, "memory.max", text, sizeof text);
    CHECK_EQ(strcmp(text, "1048576"), 0, text);
    get(folder, "pids.max", text, sizeof text);
    CHECK_EQ(strcmp(text, "7"), 0, text);
    get(folder, "cpu.max", text, sizeof text);
    CHECK_EQ(strcmp(text, "150000 100000"), 0, text);
    CHECK(group_memory(&groups, name, &bytes));
    CHECK_EQ(bytes, 1024, "anon and shmem, not the page cache");
    CHECK_EQ(group_oom_kills(&groups, name), 2, "oom_kill");
    groups.pids = false;
    CHECK(!group_limit(&groups, name, &limits, &diag));
    CHECK(strstr(diag.first->message, "limit_processes") != NULL);
    diag_fini(&diag);
    free(name);
    forget(base);
}

TEST(without_a_folder_there_are_no_groups)
{
    struct groups groups = {.base = NULL};
    struct group_limits none = {.processes = 0};
    struct group_limits some = {.processes = 1};
    struct diag diag;

    diag_init(&diag);
    CHECK(group_new(&groups, "a", 0) == NULL);
    CHECK(group_limit(&groups, NULL, &none, &diag));
    CHECK(!group_limit(&groups, NULL, &some, &diag));
    diag_fini(&diag);
}
