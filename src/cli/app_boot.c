/* pelayan startup|unstartup|init: apps after a reboot, and a first ecosystem file. Runs in: the
 * process the user started. */
#include "cli/app_boot.h"

#include "cli/home.h"
#include "daemon/options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char unit_name[] = "pelayan-apps.service";

struct unit {
    char folder[PATH_MAX]; /* of units */
    char path[PATH_MAX];
    char link[PATH_MAX]; /* what makes it start at boot */
    const char *target;
};

static bool complain(const char *what, const char *path)
{
    fprintf(stderr, "pelayan: cannot %s \"%s\": %s\n", what, path, strerror(errno));
    return false;
}

/* root's is the system's; others have a manager of their own. */
static bool find_folder(struct unit *unit, bool users)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    int len;

    if (!users)
        len = snprintf(unit->folder, PATH_MAX, "/etc/systemd/system");
    else if (config != NULL && config[0] == '/')
        len = snprintf(unit->folder, PATH_MAX, "%s/systemd/user", config);
    else
        len = snprintf(unit->folder, PATH_MAX, "%s/.config/systemd/user", home == NULL ? "" : home);
    return len > 0 && len < PATH_MAX;
}

static bool find_unit(struct unit *unit, bool users)
{
    unit->target = users ? "default.target" : "multi-user.target";
    return find_folder(unit, users) &&
           snprintf(unit->path, PATH_MAX, "%s/%s", unit->folder, unit_name) < PATH_MAX &&
           snprintf(unit->link, PATH_MAX, "%s/%s.wants/%s", unit->folder, unit->target, unit_name) <
               PATH_MAX;
}

/* All folders above the last part of `path`. */
static bool make_folders(const char *path)
{
    char folder[PATH_MAX];

    if (snprintf(folder, sizeof folder, "%s", path) >= PATH_MAX)
        return false;
    for (char *at = strchr(folder + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(folder, 0755) != 0 && errno != EEXIST)
            return complain("make", folder);
        *at = '/';
    }
    return true;
}

static bool write_file(const char *path, const char *text, int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    size_t len = strlen(text);
    bool written = fd >= 0 && write(fd, text, len) == (ssize_t)len;

    if (!written)
        complain("write", path);
    if (fd >= 0)
        close(fd);
    return written;
}

/* PATH as it is now: node may have been put there by a version manager, and the boot's is short. */
static bool write_unit(const struct unit *unit, const char *program)
{
    const char *path = getenv("PATH");
    char *text = NULL;
    bool written;

    if (asprintf(&text,
                 "[Unit]\nDescription=Apps run by Pelayan\nAfter=network.target\n\n"
                 "[Service]\nType=notify\nNotifyAccess=main\n"
                 "ExecStart=%s resurrect --no-daemon\nKillMode=mixed\nTimeoutStopSec=60\n"
                 "Restart=on-failure\nLimitNOFILE=infinity\n"
                 "Environment=\"PELAYAN_HOME=%s\"\nEnvironment=\"PATH=%s\"\n\n"
                 "[Install]\nWantedBy=%s\n",
                 program, home_path(), path == NULL ? "/usr/local/bin:/usr/bin:/bin" : path,
                 unit->target) < 0)
        return false;
    written = make_folders(unit->path) && write_file(unit->path, text, O_TRUNC);
    free(text);
    return written;
}

/* Its presence makes the runner write every change down. */
static bool mark(char out[PATH_MAX])
{
    return snprintf(out, PATH_MAX, "%s/autosave", home_path()) < PATH_MAX;
}

static bool wants_users(int argc, char **argv)
{
    return geteuid() != 0 || (argc > 1 && strcmp(argv[1], "--user") == 0);
}

int app_startup(const struct run_options *options, int argc, char **argv)
{
    char marker[PATH_MAX];
    struct unit unit;

    if (home_path() == NULL || !find_unit(&unit, wants_users(argc, argv)) || !mark(marker))
        return 1;
    if (!write_unit(&unit, options->program) || !make_folders(unit.link) || !make_folders(marker) ||
        !write_file(marker, "", 0))
        return 1;
    if (symlink(unit.path, unit.link) != 0 && errno != EEXIST)
        return !complain("make", unit.link);
    printf(
        "Apps of %s start with the system (%s).\nFrom now on each change of the list is saved.\n",
        home_path(), unit.path);
    if (geteuid() != 0)
        puts("To start before you log in: loginctl enable-linger");
    /* an empty list is saved too: there is nothing to bring back then */
    home_ask("save", json_pack("{s:b}", "force", 1), HOME_IF_RUNNING, NULL);
    return 0;
}

int app_unstartup(const struct run_options *options, int argc, char **argv)
{
    char marker[PATH_MAX];
    struct unit unit;

    (void)options;
    if (home_path() == NULL || !find_unit(&unit, wants_users(argc, argv)) || !mark(marker))
        return 1;
    unlink(marker);
    if ((unlink(unit.link) != 0 && errno != ENOENT) || (unlink(unit.path) != 0 && errno != ENOENT))
        return !complain("remove", unit.path);
    puts("Apps do not start with the system any more.");
    return 0;
}

int app_init(const struct run_options *options, int argc, char **argv)
{
    static const char text[] = "module.exports = {\n"
                               "  apps: [{\n"
                               "    name: 'app',\n"
                               "    script: './app.js',\n"
                               "    instances: 2,\n"
                               "    env: { NODE_ENV: 'development' },\n"
                               "    env_production: { NODE_ENV: 'production' },\n"
                               "  }],\n"
                               "};\n";

    (void)options;
    (void)argc;
    (void)argv;
    if (!write_file("ecosystem.config.js", text, O_EXCL))
        return 1;
    puts("ecosystem.config.js is written; edit it, then: pelayan start");
    return 0;
}
