/* What the master needs of a loaded config. Runs in: the validating child. */
#include "balance/upstream.h"
#include "base/arena.h"
#include "base/log.h"
#include "config/snapshot.h"
#include "daemon/apps_conf.h"
#include "daemon/core_conf.h"
#include "daemon/cpu.h"
#include "daemon/file_watch.h"
#include "daemon/load.h"
#include "daemon/manifest.h"
#include "daemon/options.h"
#include "daemon/runner_apps.h"
#include "daemon/runner_home.h"
#include "http/features/ssl.h"
#include "http/server.h"
#include "policy/error_log.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

static struct slice keep(struct manifest *manifest, struct slice text)
{
    return arena_copy(manifest->arena, text);
}

/* Without a group of its own in the config: the one named like the user, else the user's. */
static bool find_group(struct manifest *manifest, struct slice name, gid_t fallback,
                       struct diag *diag)
{
    const struct group *group;
    struct slice text = keep(manifest, name.len > 0 ? name : manifest->user);

    errno = 0;
    group = text.data == NULL ? NULL : getgrnam(text.data);
    manifest->gid = group == NULL ? fallback : group->gr_gid;
    if (group != NULL || name.len == 0)
        return true;
    diag_add(diag, DIAG_ERROR, NULL, "group \"%.*s\" of the directive \"user\" does not exist",
             SLICE_ARG(name));
    return false;
}

static bool find_user(struct manifest *manifest, const struct core_conf *core, struct diag *diag)
{
    const struct passwd *user;

    manifest->user = keep(manifest, core->user);
    if (geteuid() != 0) {
        if (core->user.len > 0 && !slice_eq(core->user, slice_of("nobody")))
            diag_add(diag, DIAG_WARN, NULL,
                     "the \"user\" directive makes sense only if the master"
                     " process runs with super-user privileges, ignored");
        return true;
    }
    errno = 0;
    user = manifest->user.data == NULL ? NULL : getpwnam(manifest->user.data);
    if (user == NULL) {
        diag_add(diag, DIAG_ERROR, NULL, "user \"%.*s\" of the directive \"user\" does not exist",
                 SLICE_ARG(core->user));
        return false;
    }
    manifest->switch_user = true;
    manifest->uid = user->pw_uid;
    return find_group(manifest, core->group, user->pw_gid, diag);
}

static bool add_affinity(struct manifest *manifest, const struct core_conf *core)
{
    size_t count = 0;

    for (const struct core_mask *mask = core->affinity; mask != NULL; mask = mask->next)
        count++;
    if (core->affinity_auto)
        count = manifest->loop_count;
    manifest->affinity = arena_zalloc(manifest->arena, count * sizeof(cpu_set_t) + 1);
    if (manifest->affinity == NULL)
        return false;
    manifest->affinity_count = count;
    if (core->affinity_auto) {
        cpu_set_t allowed = core->affinity_allowed;

        if (CPU_COUNT(&allowed) == 0 && sched_getaffinity(0, sizeof allowed, &allowed) != 0)
            count = manifest->affinity_count = 0;
        for (size_t i = 0; i < count; i++)
            cpu_mask_auto(&allowed, (unsigned)i, &manifest->affinity[i]);
        return true;
    }
    count = 0;
    for (const struct core_mask *mask = core->affinity; mask != NULL; mask = mask->next)
        manifest->affinity[count++] = mask->cpus;
    return true;
}

static bool make_room(struct manifest *manifest, struct manifest_texts *texts, size_t count)
{
    texts->items = arena_zalloc(manifest->arena, count * sizeof *texts->items + 1);
    return texts->items != NULL;
}

static bool add_texts(struct manifest *manifest, const struct core_conf *core,
                      const struct snapshot *snapshot)
{
    size_t count = 0;

    for (const struct core_list *item = core->env; item != NULL; item = item->next)
        count++;
    if (!make_room(manifest, &manifest->env, count))
        return false;
    for (const struct core_list *item = core->env; item != NULL; item = item->next)
        manifest->env.items[manifest->env.count++] = keep(manifest, item->text);

    count = 0;
    for (const struct log_file *file = snapshot->log_files; file != NULL; file = file->next)
        count++;
    if (!make_room(manifest, &manifest->logs, count))
        return false;
    for (const struct log_file *file = snapshot->log_files; file != NULL; file = file->next)
        manifest->logs.items[manifest->logs.count++] = keep(manifest, file->path);

    count = 0;
    for (const struct work_dir *dir = snapshot->work_dirs; dir != NULL; dir = dir->next)
        count++;
    if (!make_room(manifest, &manifest->work_dirs, count))
        return false;
    for (const struct work_dir *dir = snapshot->work_dirs; dir != NULL; dir = dir->next)
        manifest->work_dirs.items[manifest->work_dirs.count++] = keep(manifest, dir->path);
    return true;
}

/* Certificates that are to be loaded by themselves when they are renewed. */
static bool add_watched(struct manifest *manifest, const struct snapshot *snapshot)
{
    size_t count = 0;

    for (const struct watched_file *it = snapshot->watched; it != NULL; it = it->next)
        count++;
    if (!make_room(manifest, &manifest->watched, count))
        return false;
    for (const struct watched_file *it = snapshot->watched; it != NULL; it = it->next) {
        struct slice path = keep(manifest, it->path);

        if (path.data == NULL)
            return false;
        manifest->watched.items[manifest->watched.count++] = path;
    }
    manifest->watched_look = file_watch_look(&manifest->watched);
    manifest->broken_count = snapshot->http == NULL ? 0 : ssl_broken_count(snapshot->http);
    return true;
}

/* Which log a target writes to: the one that was promised to tell it its descriptor. */
static unsigned log_of_target(const struct snapshot *snapshot, const struct log_target *target)
{
    unsigned index = 0;

    for (const struct log_file *file = snapshot->log_files; file != NULL; file = file->next) {
        for (const struct log_user *user = file->users; user != NULL; user = user->next) {
            if (user->fd == &target->fd)
                return index;
        }
        index++;
    }
    return MANIFEST_STDERR;
}

/* The master writes to the main level's files; if there are none, to its standard error. */
static bool add_sinks(struct manifest *manifest, const struct snapshot *snapshot)
{
    const struct log *log = error_log_of(snapshot->root.settings);
    size_t count = 0;

    for (const struct log_target *target = log->targets; target != NULL; target = target->next)
        count++;
    manifest->sinks = arena_zalloc(manifest->arena, count * sizeof *manifest->sinks + 1);
    if (manifest->sinks == NULL)
        return false;
    for (const struct log_target *target = log->targets; target != NULL; target = target->next)
        manifest->sinks[manifest->sink_count++] = (struct manifest_sink){
            log_of_target(snapshot, target), target->level};
    return true;
}

static bool add_listener(struct manifest *manifest, const struct listen_spec *spec, unsigned index,
                         unsigned loop)
{
    struct manifest_listener *listener = &manifest->listeners[manifest->listener_count++];

    *listener = (struct manifest_listener){
        .options = spec->options,
        .key = loop == 0 ? keep(manifest, spec->text)
                         : arena_printf(manifest->arena, "%.*s#%u", SLICE_ARG(spec->text), loop),
        .file = keep(manifest, spec->file),
        .line = spec->line,
        .spec = index,
        .loop = loop,
    };
    return listener->key.data != NULL && listener->file.data != NULL;
}

/* With `reuseport` every loop has a socket of its own, and the kernel spreads connections over
 * them. */
static bool add_listeners(struct manifest *manifest, const struct snapshot *snapshot)
{
    size_t spec_count;
    const struct listen_spec *specs = http_listen_specs(snapshot, &spec_count);
    size_t count = 0;

    for (size_t i = 0; i < spec_count; i++)
        count += specs[i].options.reuseport ? manifest->loop_count : 1;
    manifest->listeners = arena_zalloc(manifest->arena, count * sizeof *manifest->listeners + 1);
    if (manifest->listeners == NULL)
        return false;
    for (size_t i = 0; i < spec_count; i++) {
        unsigned sockets = specs[i].options.reuseport ? manifest->loop_count : 1;

        for (unsigned loop = 0; loop < sockets; loop++) {
            if (!add_listener(manifest, &specs[i], (unsigned)i, loop))
                return false;
        }
    }
    return true;
}

static void add_process(struct manifest *manifest, const struct core_conf *core,
                        const struct run_options *options)
{
    manifest->daemon = core->daemon;
    manifest->master_process = core->master_process;
    manifest->loop_count = core->worker_processes > 0 ? (unsigned)core->worker_processes
                                                      : cpu_count_usable();
    manifest->worker_connections = (unsigned)core->worker_connections;
    manifest->pool_threads = (unsigned)core->pool_threads;
    manifest->pool_queue = (unsigned)core->pool_queue;
    manifest->rlimit_nofile = (uint64_t)core->rlimit_nofile;
    manifest->rlimit_core = core->rlimit_core;
    manifest->rlimit_core_given = core->rlimit_core_given;
    manifest->priority = core->priority;
    manifest->seccomp = (unsigned)core->seccomp;
    manifest->shutdown_timeout_ms = core->shutdown_timeout_ms;
    manifest->reload_timeout_ms = core->reload_timeout_ms;
    manifest->pid_path = keep(manifest,
                              core->pid.len > 0 ? core->pid : slice_of(options->pid_path));
    manifest->working_directory = keep(manifest, core->working_directory);
}

static bool keep_apps(struct manifest *manifest, const struct snapshot *snapshot)
{
    const struct apps_conf *conf = snapshot->apps;
    const char *home = runner_home();
    char *list = conf == NULL ? NULL : json_dumps(conf->apps, JSON_COMPACT);

    manifest->apps_follow = conf != NULL || upstreams_mention_apps(snapshot->http_upstreams);
    manifest->apps_home = keep(manifest, conf != NULL && conf->home.len > 0 ? conf->home
                                         : home != NULL                     ? slice_of(home)
                                                                            : slice_of(""));
    manifest->apps = keep(manifest, slice_of(list == NULL ? "[]" : list));
    free(list);
    return manifest->apps.data != NULL && manifest->apps_home.data != NULL;
}

struct manifest *load_manifest(const struct load *load, const struct run_options *options,
                               struct diag *diag)
{
    const struct core_conf *core = settings_at(load->snapshot->root.settings, core_index);
    const struct apps_conf *apps = load->snapshot->apps;
    struct manifest *manifest = manifest_new();

    if (manifest == NULL) {
        diag_add(diag, DIAG_ERROR, NULL, "no memory");
        return NULL;
    }
    add_process(manifest, core, options);
    if (options->strict)
        upstreams_check(load->snapshot->http_upstreams,
                        &(struct app_lookup){runner_has_app, load->snapshot}, diag);
    if (!find_user(manifest, core, diag) ||
        (apps != NULL && !apps_conf_check(apps, &load->tree, diag))) {
        manifest_free(manifest);
        return NULL;
    }
    if (manifest->pid_path.data == NULL || manifest->working_directory.data == NULL ||
        !add_affinity(manifest, core) || !add_texts(manifest, core, load->snapshot) ||
        !add_watched(manifest, load->snapshot) || !add_sinks(manifest, load->snapshot) ||
        !add_listeners(manifest, load->snapshot) || !keep_apps(manifest, load->snapshot)) {
        diag_add(diag, DIAG_ERROR, NULL, "no memory");
        manifest_free(manifest);
        return NULL;
    }
    return manifest;
}
