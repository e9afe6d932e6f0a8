/* pelayan doctor: what the kernel gives, the clock, what is left over. Runs in: the process the
 * user started. */
#include "base/diag.h"
#include "cli/doctor_internal.h"
#include "cli/process.h"
#include "daemon/manifest.h"
#include "daemon/options.h"
#include "daemon/pid_file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

enum {
    DESCRIPTORS_BESIDES = 64, /* logs, epoll, timers, files being sent */
    BACKLOG_DEFAULT = 511,
};

void doctor_descriptors(struct doctor *doctor)
{
    const struct manifest *manifest = doctor->manifest;
    unsigned long long needed = (unsigned long long)manifest->loop_count *
                                    manifest->worker_connections +
                                manifest->listener_count + manifest->logs.count +
                                DESCRIPTORS_BESIDES;
    long largest = doctor_number("/proc/sys/fs/nr_open", 1 << 20);
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    getrlimit(RLIMIT_NOFILE, &limit);
    if (manifest->rlimit_nofile > (unsigned long long)largest) {
        doctor_find(doctor, DOCTOR_BAD, "worker_rlimit_nofile %llu is more than the kernel allows",
                    (unsigned long long)manifest->rlimit_nofile);
        doctor_mend(doctor, "sysctl -w fs.nr_open=%llu",
                    (unsigned long long)manifest->rlimit_nofile);
    }
    if (manifest->rlimit_nofile > 0)
        limit.rlim_cur = manifest->rlimit_nofile;
    if (needed <= limit.rlim_cur)
        return;
    doctor_find(doctor, DOCTOR_WARN,
                "%u loops with %u connections each may need %llu descriptors, the limit here is"
                " %llu",
                manifest->loop_count, manifest->worker_connections, needed,
                (unsigned long long)limit.rlim_cur);
    doctor_mend(doctor,
                "\"worker_rlimit_nofile %llu;\" at the top of the configuration, or fewer"
                " worker_connections",
                needed);
}

void doctor_backlog(struct doctor *doctor)
{
    long largest = doctor_number("/proc/sys/net/core/somaxconn", BACKLOG_DEFAULT);

    for (size_t i = 0; i < doctor->manifest->listener_count; i++) {
        const struct manifest_listener *listener = &doctor->manifest->listeners[i];
        int wanted = listener->options.backlog;

        if (wanted <= 0)
            wanted = BACKLOG_DEFAULT;
        if (listener->loop > 0 || wanted <= largest)
            continue;
        doctor_find(doctor, DOCTOR_WARN,
                    "%.*s wants a backlog of %d, the kernel cuts it to net.core.somaxconn = %ld",
                    SLICE_ARG(listener->key), wanted, largest);
        doctor_mend(doctor, "sysctl -w net.core.somaxconn=%d", wanted);
    }
}

void doctor_clock(struct doctor *doctor)
{
    struct timex state = {.modes = 0};
    time_t now = time(NULL);
    struct stat file;

    if (stat(doctor->options->conf_path, &file) == 0 && file.st_mtime > now + 60) {
        doctor_find(doctor, DOCTOR_WARN, "%s was changed %lld s in the future",
                    doctor->options->conf_path, (long long)(file.st_mtime - now));
        doctor_mend(doctor, "set the clock: certificates, caches and cookies depend on it");
    }
    if (adjtimex(&state) == TIME_ERROR && (state.status & STA_UNSYNC) != 0) {
        doctor_find(doctor, DOCTOR_WARN, "nothing keeps the clock right");
        doctor_mend(doctor, "timedatectl set-ntp true, or install chrony; in a container this is"
                            " the host's business");
    }
}

/* ---- what is left over */

static void check_pid_file(struct doctor *doctor)
{
    const char *path = doctor->manifest->pid_path.data;
    struct diag diag;
    char name[64];
    pid_t pid = 0;

    diag_init(&diag);
    if (access(path, F_OK) != 0) {
        /* nothing runs, or nothing was left */
    } else if (!pid_file_read(path, &pid, &diag)) {
        doctor_find(doctor, DOCTOR_WARN, "%s", diag.first->message);
        doctor_mend(doctor, "rm %s, if nothing runs", path);
    } else {
        process_name(pid, name, sizeof name);
        bool ours = process_is_ours(pid);

        if (name[0] == '\0')
            doctor_find(doctor, DOCTOR_WARN, "%s names process %d, which is no more", path, pid);
        else if (!ours)
            doctor_find(doctor, DOCTOR_WARN, "%s names process %d, which is %s", path, pid, name);
        if (!ours)
            doctor_mend(doctor, "nothing: the next start replaces it; until then -s has nobody to"
                                " talk to");
    }
    diag_fini(&diag);
}

static long parent_of(long pid)
{
    char path[64], text[512] = "";
    const char *end;
    long parent = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fgets(text, sizeof text, file) != NULL && (end = strrchr(text, ')')) != NULL)
        (void)!sscanf(end + 1, " %*c %ld", &parent);
    fclose(file);
    return parent;
}

static void check_process(struct doctor *doctor, long pid)
{
    char name[64];

    process_name(pid, name, sizeof name);
    if (strcmp(name, "pelayan-worker") != 0)
        return;
    if (process_is_ours(parent_of(pid)))
        return;
    doctor_find(doctor, DOCTOR_WARN, "worker %ld has no master: it only finishes what it has", pid);
    doctor_mend(doctor, "wait, or kill %ld", pid);
}

void doctor_processes(struct doctor *doctor)
{
    DIR *folder = opendir("/proc");
    const struct dirent *entry;

    if (doctor->manifest != NULL)
        check_pid_file(doctor);
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0]))
            check_process(doctor, strtol(entry->d_name, NULL, 10));
    }
    if (folder != NULL)
        closedir(folder);
}
