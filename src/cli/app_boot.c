/* pelayan startup|unstartup|init: apps after a reboot, and a first ecosystem file. Runs in: the
 * process the user started. */
#include "cli/app_boot.h"

#include "base/file.h"
#include "base/list.h"
#include "cli/app_args.h"
#include "cli/boot_text.h"
#include "cli/home.h"
#include "daemon/options.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char service_name[] = "pelayan-apps";

/* One way to start with the system, decided. */
struct plan {
    const struct boot_system *system;
    const char *root; /* "" or the folder that stands for "/" */
    char folder[PATH_MAX];
    char name[128];
    char home[PATH_MAX];
    bool own_manager;
    const struct passwd *user; /* whose apps; NULL: those of who asks */
};

static bool complain(const char *what, const char *path)
{
    fprintf(stderr, "pelayan: cannot %s \"%s\": %s\n", what, path, strerror(errno));
    return false;
}

/* Systemd has a manager for each user, whose units stand in their home. */
static bool own_folder(struct plan *plan)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    int len;

    if (config != NULL && config[0] == '/')
        len = snprintf(plan->folder, PATH_MAX, "%s/systemd/user", config);
    else
        len = snprintf(plan->folder, PATH_MAX, "%s/.config/systemd/user", home == NULL ? "" : home);
    return len > 0 && len < PATH_MAX;
}

static bool choose_system(struct plan *plan, const struct app_args *args)
{
    const char *word = args->word_count > 0 ? args->words[0] : NULL;

    if (word == NULL && args->user != NULL && args->user[0] == '\0')
        word = "systemd"; /* nothing else has managers of users */
    plan->system = boot_find(word);
    if (plan->system == NULL && word == NULL)
        fputs("pelayan: neither systemd, OpenRC nor init scripts are here: say which one with"
              " \"pelayan startup systemd|openrc|sysv\"\n",
              stderr);
    else if (plan->system == NULL)
        fprintf(stderr, "pelayan: \"%s\" is not known: systemd, openrc or sysv\n", word);
    return plan->system != NULL;
}

static bool choose_user(struct plan *plan, const struct app_args *args)
{
    const char *given = getenv("PELAYAN_HOME");
    int len;

    if (args->user == NULL || args->user[0] == '\0') {
        len = snprintf(plan->home, PATH_MAX, "%s", home_path());
        return len > 0 && len < PATH_MAX;
    }
    plan->user = getpwnam(args->user);
    if (plan->user == NULL) {
        fprintf(stderr, "pelayan: there is no user \"%s\"\n", args->user);
        return false;
    }
    if (given != NULL && given[0] != '\0')
        len = snprintf(plan->home, PATH_MAX, "%s", home_path());
    else
        len = snprintf(plan->home, PATH_MAX, "%s/.local/state/pelayan",
                       args->user_home != NULL ? args->user_home : plan->user->pw_dir);
    return len > 0 && len < PATH_MAX;
}

static bool needs_root(const struct plan *plan, const struct app_args *args)
{
    const char *user = getenv("USER");

    if (plan->own_manager || geteuid() == 0 || args->root != NULL)
        return false;
    fprintf(stderr,
            "pelayan: root's right is needed: sudo env PELAYAN_HOME=%s %s startup %s -u %s\n",
            plan->home, "pelayan", plan->system->name, user == NULL ? "YOU" : user);
    return true;
}

static bool make_plan(struct plan *plan, const struct app_args *args)
{
    *plan = (struct plan){.root = args->root == NULL ? "" : args->root};
    if (home_path() == NULL || !choose_system(plan, args) || !choose_user(plan, args))
        return false;
    plan->own_manager = strcmp(plan->system->name, "systemd") == 0 && plan->user == NULL &&
                        ((args->user != NULL && args->user[0] == '\0') ||
                         (geteuid() != 0 && args->root == NULL));
    if (needs_root(plan, args))
        return false;
    if (args->service_name != NULL)
        snprintf(plan->name, sizeof plan->name, "%s", args->service_name);
    else
        snprintf(plan->name, sizeof plan->name, "%s%s%s", service_name,
                 plan->user == NULL ? "" : "-", plan->user == NULL ? "" : plan->user->pw_name);
    if (plan->own_manager)
        return own_folder(plan);
    return snprintf(plan->folder, PATH_MAX, "%s%s", plan->root, plan->system->folder) < PATH_MAX;
}

static bool service_path(const struct plan *plan, char out[PATH_MAX])
{
    return snprintf(out, PATH_MAX, "%s/%s%s", plan->folder, plan->name, plan->system->suffix) <
           PATH_MAX;
}

/* The name of the link number `index`. False: there is none. */
static bool link_path(const struct plan *plan, size_t index, char out[PATH_MAX])
{
    const char *before = index < COUNT(plan->system->links) ? plan->system->links[index] : NULL;

    if (plan->own_manager)
        return index == 0 && snprintf(out, PATH_MAX, "%s/default.target.wants/%s%s", plan->folder,
                                      plan->name, plan->system->suffix) < PATH_MAX;
    return before != NULL && snprintf(out, PATH_MAX, "%s%s%s%s", plan->root, before, plan->name,
                                      plan->system->suffix) < PATH_MAX;
}

static bool make_folder_of(const char *path, char folder[PATH_MAX])
{
    snprintf(folder, PATH_MAX, "%s", path);
    *strrchr(folder, '/') = '\0';
    return file_folders(folder, 0755) || complain("make", folder);
}

static bool write_service(const struct plan *plan, const char *program, char path[PATH_MAX])
{
    const char *search = getenv("PATH");
    struct boot boot = {.program = program,
                        .home = plan->home,
                        .path = search == NULL ? "/usr/local/bin:/usr/bin:/bin" : search,
                        .name = plan->name,
                        .user = plan->user == NULL ? NULL : plan->user->pw_name,
                        .own_manager = plan->own_manager};
    char folder[PATH_MAX];
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    bool written;

    if (out == NULL)
        return complain("write", plan->folder);
    plan->system->print(out, &boot);
    fclose(out);
    written = service_path(plan, path) && make_folder_of(path, folder) &&
              (file_replace(path, slice_make(text, len), plan->system->mode) ||
               complain("write", path));
    free(text);
    return written;
}

static bool make_links(const struct plan *plan, const char *path)
{
    const char *target = path + strlen(plan->root);
    char link[PATH_MAX];
    char folder[PATH_MAX];

    for (size_t i = 0; link_path(plan, i, link); i++) {
        if (!make_folder_of(link, folder))
            return false;
        if (symlink(plan->own_manager ? path : target, link) != 0 && errno != EEXIST)
            return complain("make", link);
    }
    return true;
}

static bool mark_home(const struct plan *plan)
{
    char marker[PATH_MAX];

    if (snprintf(marker, sizeof marker, "%s/autosave", plan->home) >= PATH_MAX)
        return false;
    return (file_folders(plan->home, 0700) && file_replace(marker, slice_of(""), 0600)) ||
           complain("write", marker);
}

/* Its presence makes the runner write every change down. In a user's home it is the user who
 * writes. */
static bool mark(const struct plan *plan)
{
    int status = 1;
    pid_t pid;

    if (plan->user == NULL || plan->user->pw_uid == geteuid())
        return mark_home(plan);
    pid = fork();
    if (pid == 0)
        _exit(initgroups(plan->user->pw_name, plan->user->pw_gid) == 0 &&
                      setgid(plan->user->pw_gid) == 0 && setuid(plan->user->pw_uid) == 0 &&
                      mark_home(plan)
                  ? 0
                  : 1);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return pid > 0 && status == 0;
}

static int run_startup(const struct run_options *options, const struct app_args *args)
{
    struct plan plan;
    char path[PATH_MAX];

    if (!make_plan(&plan, args) || !write_service(&plan, options->program, path) ||
        !make_links(&plan, path) || !mark(&plan))
        return 1;
    printf(
        "Apps of %s start with the system (%s).\nFrom now on each change of the list is saved.\n",
        plan.home, path);
    if (plan.own_manager)
        puts("To start before you log in: loginctl enable-linger");
    /* an empty list is saved too: there is nothing to bring back then */
    if (plan.user == NULL)
        home_ask("save", json_pack("{s:b}", "force", 1), HOME_IF_RUNNING, NULL);
    return 0;
}

int app_startup(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    int code = 1;

    if (app_args_parse(&args, argc, argv, ARGS_BOOT))
        code = run_startup(options, &args);
    app_args_fini(&args);
    return code;
}

static int run_unstartup(const struct app_args *args)
{
    struct plan plan;
    char path[PATH_MAX];
    char link[PATH_MAX];
    char marker[PATH_MAX];

    if (!make_plan(&plan, args) || !service_path(&plan, path))
        return 1;
    if (snprintf(marker, sizeof marker, "%s/autosave", plan.home) < PATH_MAX)
        unlink(marker);
    for (size_t i = 0; link_path(&plan, i, link); i++) {
        if (unlink(link) != 0 && errno != ENOENT)
            return !complain("remove", link);
    }
    if (unlink(path) != 0 && errno != ENOENT)
        return !complain("remove", path);
    puts("Apps do not start with the system any more.");
    return 0;
}

int app_unstartup(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    int code = 1;

    (void)options;
    if (app_args_parse(&args, argc, argv, ARGS_BOOT))
        code = run_unstartup(&args);
    app_args_fini(&args);
    return code;
}

static const char full_file[] = "module.exports = {\n"
                                "  apps: [{\n"
                                "    name: 'app',\n"
                                "    script: './app.js',\n"
                                "    instances: 2,\n"
                                "    env: { NODE_ENV: 'development' },\n"
                                "    env_production: { NODE_ENV: 'production' },\n"
                                "  }],\n"
                                "\n"
                                "  // pelayan deploy production setup, then: update\n"
                                "  deploy: {\n"
                                "    production: {\n"
                                "      user: 'me',\n"
                                "      host: 'server.example',\n"
                                "      ref: 'origin/main',\n"
                                "      repo: 'git@git.example:me/app.git',\n"
                                "      path: '/srv/app',\n"
                                "      'post-deploy': 'npm ci && pelayan reload"
                                " ecosystem.config.js --env production',\n"
                                "    },\n"
                                "  },\n"
                                "};\n";

static const char simple_file[] = "module.exports = {\n"
                                  "  apps: [{ name: 'app', script: './app.js' }],\n"
                                  "};\n";

int app_init(const struct run_options *options, int argc, char **argv)
{
    static const char path[] = "ecosystem.config.js";
    const char *text = argc > 1 && strcmp(argv[1], "simple") == 0 ? simple_file : full_file;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    (void)options;
    if (fd >= 0)
        close(fd);
    if (!written)
        return !complain("write", path);
    puts("ecosystem.config.js is written; edit it, then: pelayan start");
    return 0;
}
