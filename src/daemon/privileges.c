/* What a worker gives up. Runs in: worker, before it has threads. */
#include "daemon/privileges.h"

#include "base/diag.h"
#include "daemon/manifest.h"
#include "daemon/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CAPABILITY_MAX = 63 };

static bool set_limit(int which, uint64_t value, const char *name, struct diag *diag)
{
    struct rlimit limit;

    if (getrlimit((__rlimit_resource_t)which, &limit) != 0)
        limit = (struct rlimit){0, 0};
    limit.rlim_cur = value;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < value)
        limit.rlim_max = value; /* may be refused: only root raises it */
    if (setrlimit((__rlimit_resource_t)which, &limit) == 0)
        return true;
    diag_add(diag, DIAG_WARN, NULL, "setrlimit(%s, %llu) failed: %s", name,
             (unsigned long long)value, strerror(errno));
    return false;
}

static void set_limits(const struct manifest *manifest, struct diag *diag)
{
    if (manifest->rlimit_nofile > 0)
        set_limit(RLIMIT_NOFILE, manifest->rlimit_nofile, "RLIMIT_NOFILE", diag);
    if (manifest->rlimit_core_given)
        set_limit(RLIMIT_CORE, manifest->rlimit_core, "RLIMIT_CORE", diag);
    if (manifest->priority != 0 && setpriority(PRIO_PROCESS, 0, manifest->priority) != 0)
        diag_add(diag, DIAG_WARN, NULL, "setpriority(%d) failed: %s", manifest->priority,
                 strerror(errno));
}

/* TZ always stays: log lines should not change their hour. */
static bool set_environment(const struct manifest *manifest)
{
    static char **kept; /* as long as the process */
    const char *zone = getenv("TZ");
    size_t count = 0;

    kept = calloc(manifest->env.count + 2, sizeof *kept);
    if (kept == NULL)
        return false;
    if (zone != NULL && asprintf(&kept[count++], "TZ=%s", zone) < 0)
        return false;
    for (size_t i = 0; i < manifest->env.count; i++) {
        struct slice text = manifest->env.items[i];
        const char *value = slice_find(text, '=') < 0 ? getenv(text.data) : NULL;

        if (slice_find(text, '=') >= 0) {
            kept[count] = strdup(text.data);
            if (kept[count++] == NULL)
                return false;
        } else if (value != NULL && asprintf(&kept[count++], "%s=%s", text.data, value) < 0) {
            return false;
        }
    }
    environ = kept;
    return true;
}

static bool become_user(const struct manifest *manifest, struct diag *diag)
{
    if (initgroups(manifest->user.data, manifest->gid) != 0) {
        diag_errno(diag, "set the groups of user", manifest->user.data);
        return false;
    }
    if (setresgid(manifest->gid, manifest->gid, manifest->gid) != 0 ||
        setresuid(manifest->uid, manifest->uid, manifest->uid) != 0) {
        diag_errno(diag, "become user", manifest->user.data);
        return false;
    }
    return true;
}

/* `user root` is the wish to read everything: then capabilities stay. */
static bool drop_capabilities(struct diag *diag)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};

    if (geteuid() == 0)
        return true;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &header, none) == 0)
        return true;
    diag_errno(diag, "drop", "capabilities");
    return false;
}

bool privileges_drop(const struct manifest *manifest, struct diag *diag)
{
    const char *folder = manifest->working_directory.data;

    set_limits(manifest, diag);
    if (!set_environment(manifest)) {
        diag_errno(diag, "set", "the environment");
        return false;
    }
    if (manifest->switch_user && manifest->uid != 0) {
        for (int capability = 0; capability <= CAPABILITY_MAX; capability++)
            prctl(PR_CAPBSET_DROP, capability, 0, 0, 0); /* fails where there is none */
    }
    if (manifest->switch_user && !become_user(manifest, diag))
        return false;
    if (manifest->working_directory.len > 0 && chdir(folder) != 0) {
        diag_errno(diag, "change to the working directory", folder);
        return false;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        diag_errno(diag, "forbid", "new privileges");
        return false;
    }
    prctl(PR_SET_DUMPABLE, manifest->rlimit_core_given && manifest->rlimit_core > 0, 0, 0, 0);
    return drop_capabilities(diag) &&
           sandbox_enter((enum sandbox_mode)manifest->seccomp, diag); /* last: it allows less */
}
