/* The authority of this user in the stores of this machine: the system's (curl, Node with
 * --use-openssl-ca, ...) and those of browsers (NSS). Runs in: the process the user started. */
#include "base/file.h"
#include "base/list.h"
#include "cli/cert_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char nickname[] = "Pelayan local authority";

static int run_program(const char *const argv[])
{
    posix_spawn_file_actions_t actions;
    int status = -1;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    int error = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv,
                             environ);

    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        errno = error;
        return -1;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* ---- the system's store */

static const struct system_store {
    const char *folder;
    const char *update[3];
} system_stores[] = {
    {"/usr/local/share/ca-certificates", {"update-ca-certificates", NULL}},     /* Debian, Alpine */
    {"/etc/pki/ca-trust/source/anchors", {"update-ca-trust", "extract", NULL}}, /* Fedora */
    {"/etc/ca-certificates/trust-source/anchors", {"trust", "extract-compat", NULL}}, /* Arch */
};

static bool copy_file(const char *source, const char *target)
{
    size_t len = 0;
    char *text = file_read(source, 16384, &len);
    bool ok = text != NULL && file_replace(target, slice_make(text, len), 0644);

    free(text);
    return ok;
}

static bool change_system(const struct system_store *store, const char *certificate, bool trust)
{
    char target[PATH_MAX];

    snprintf(target, sizeof target, "%s/pelayan-local-%u.crt", store->folder, (unsigned)getuid());
    bool ok = trust ? copy_file(certificate, target) : unlink(target) == 0 || errno == ENOENT;

    if (!ok && (errno == EACCES || errno == EPERM)) {
        fprintf(stderr, "pelayan: the system's store is root's:\n  sudo %s %s %s && sudo %s\n",
                trust ? "cp" : "rm", trust ? certificate : "", target, store->update[0]);
        return false;
    }
    if (ok && run_program(store->update) == 0) {
        printf("the system's store: %s\n", trust ? "trusts it" : "does not know it any more");
        return true;
    }
    fprintf(stderr, "pelayan: the system's store (%s, %s): %s\n", target, store->update[0],
            ok ? "its program failed" : strerror(errno));
    return false;
}

static bool system_trust(const char *certificate, bool trust)
{
    struct stat status;

    for (size_t i = 0; i < COUNT(system_stores); i++)
        if (stat(system_stores[i].folder, &status) == 0)
            return change_system(&system_stores[i], certificate, trust);
    fputs("pelayan: no system store is known here; add it by hand:\n", stderr);
    fprintf(stderr, "  %s\n", certificate);
    return false;
}

/* ---- browsers */

static bool change_nss(const char *folder, const char *certificate, bool trust)
{
    char database[PATH_MAX + 8];

    snprintf(database, sizeof database, "sql:%s", folder);
    const char *const add[] = {"certutil", "-A",     "-d", database,    "-t", "C,,",
                               "-n",       nickname, "-i", certificate, NULL};
    const char *const drop[] = {"certutil", "-D", "-d", database, "-n", nickname, NULL};
    int code = run_program(trust ? add : drop);

    if (code < 0)
        fputs(
            "pelayan: browsers' stores are changed by \"certutil\" (Debian: libnss3-tools), which "
            "is not here\n",
            stderr);
    else if (code > 0 && trust)
        fprintf(stderr, "pelayan: certutil could not change \"%s\"\n", folder);
    else
        printf("%s: %s\n", folder, trust ? "trusts it" : "does not know it any more");
    return code == 0 || (code > 0 && !trust);
}

/* Chromium looks there, and makes nothing of its own as long as nobody adds anything. */
static bool make_nss(const char *folder)
{
    char database[PATH_MAX + 16];
    char above[PATH_MAX];
    struct stat status;

    snprintf(database, sizeof database, "%s/cert9.db", folder);
    if (stat(database, &status) == 0)
        return true;
    snprintf(above, sizeof above, "%s", folder);
    *strrchr(above, '/') = '\0';
    mkdir(above, 0700);
    mkdir(folder, 0700);
    snprintf(database, sizeof database, "sql:%s", folder);
    const char *const make[] = {"certutil", "-N", "-d", database, "--empty-password", NULL};

    return run_program(make) == 0;
}

static const char *users_home(void)
{
    const char *home = getenv("HOME");
    const struct passwd *user = home == NULL ? getpwuid(geteuid()) : NULL;

    return home != NULL ? home : user == NULL ? "/" : user->pw_dir;
}

/* Firefox has one store for each profile. */
static bool firefox_trust(const char *home, const char *certificate, bool trust)
{
    static const char *const places[] = {
        ".mozilla/firefox/*/cert9.db",
        "snap/firefox/common/.mozilla/firefox/*/cert9.db",
    };
    bool ok = true;

    for (size_t i = 0; i < COUNT(places); i++) {
        char pattern[PATH_MAX];
        glob_t found = {0};

        snprintf(pattern, sizeof pattern, "%s/%s", home, places[i]);
        glob(pattern, 0, NULL, &found);
        for (size_t j = 0; j < found.gl_pathc; j++) {
            *strrchr(found.gl_pathv[j], '/') = '\0';
            ok = change_nss(found.gl_pathv[j], certificate, trust) && ok;
        }
        globfree(&found);
    }
    return ok;
}

static bool browser_trust(const char *certificate, bool trust)
{
    const char *home = users_home();
    char folder[PATH_MAX];

    if (snprintf(folder, sizeof folder, "%s/.pki/nssdb", home) >= PATH_MAX)
        return false;
    if (trust)
        make_nss(folder); /* if it cannot be made, it cannot be changed: that is told */
    bool ok = change_nss(folder, certificate, trust);

    return ok && firefox_trust(home, certificate, trust);
}

int cert_trust(const struct cert_args *args, bool trust)
{
    bool all = !args->system && !args->browser;
    struct cert_paths paths;
    bool ok = true;

    if (!cert_authority(&paths))
        return 1;
    if (all || args->browser)
        ok = browser_trust(paths.certificate, trust) && ok;
    if (all || args->system)
        ok = system_trust(paths.certificate, trust) && ok;
    if (trust)
        printf("the authority: %s\n", paths.certificate);
    return ok ? 0 : 1;
}
