/* proxy_store: a copy of what peers answer, kept as files. Runs in: load: any; storing: worker,
 * loop thread. */
#include "base/arena.h"
#include "base/list.h"
#include "config/loader.h"
#include "http/core_conf.h"
#include "http/features/proxy_internal.h"
#include "http/uri.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* One answer being written: to a file with a name of its own beside the others, renamed when it is
 * whole. */
struct proxy_store {
    int fd; /* owned */
    struct slice temp;
    struct slice path;
    bool failed;
};

/* ---- load */

bool proxy_set_store(struct conf_call *call)
{
    struct proxy_conf *conf = call->conf;
    struct slice text = conf_arg(call, 1);

    conf->store = NULL;
    conf->store_on = !slice_eq(text, slice_of("off"));
    if (!conf->store_on || slice_eq(text, slice_of("on")))
        return true;
    conf->store = proxy_template(call, 1, text);
    return conf->store != NULL;
}

static bool parse_rights(struct slice text, unsigned *rights)
{
    if (slice_eq(text, slice_of("r")))
        *rights = 4;
    else if (slice_eq(text, slice_of("w")))
        *rights = 2;
    else if (slice_eq(text, slice_of("rw")))
        *rights = 6;
    else
        return false;
    return true;
}

static bool parse_access(struct slice word, unsigned *mode)
{
    static const struct {
        struct slice who;
        unsigned shift;
    } whos[] = {{SLICE("user:"), 6}, {SLICE("group:"), 3}, {SLICE("all:"), 0}};
    unsigned rights;

    for (size_t i = 0; i < COUNT(whos); i++) {
        if (!slice_starts(word, whos[i].who))
            continue;
        if (!parse_rights(slice_skip(word, whos[i].who.len), &rights))
            return false;
        *mode |= rights << whos[i].shift;
        return true;
    }
    return false;
}

bool proxy_set_store_access(struct conf_call *call)
{
    struct proxy_conf *conf = call->conf;
    unsigned mode = 0600;

    for (size_t i = 1; i < conf_arg_count(call); i++)
        if (!parse_access(conf_arg(call, i), &mode))
            return conf_error(call, i, "invalid value \"%.*s\"", SLICE_ARG(conf_arg(call, i)));
    conf->store_mode = mode;
    conf->store_folder_mode = mode | (mode & 0444) >> 2; /* who may read may enter */
    return true;
}

/* ---- storing */

/* `proxy_store on`: where the location's own files would be. */
static struct slice path_below_root(struct relay *r)
{
    const struct path_conf *paths = paths_of(r->x);
    struct slice uri = r->x->request.uri;
    struct slice root;

    if (!template_eval(paths->root, &r->x->subject, &root))
        return slice_make(NULL, 0);
    if (paths->is_alias)
        uri = slice_skip(uri, paths->alias_location.len);
    return arena_printf(relay_arena(r), "%.*s%.*s", SLICE_ARG(root), SLICE_ARG(uri));
}

static struct slice target_path(struct relay *r)
{
    const struct proxy_conf *conf = proxy_state_of(r)->conf;
    struct slice path;

    if (conf->store == NULL)
        return path_below_root(r);
    if (!template_eval(conf->store, &r->x->subject, &path))
        return slice_make(NULL, 0);
    return arena_copy(relay_arena(r), path);
}

static bool is_file_path(struct slice path)
{
    return path.len > 1 && path.data[0] == '/' && path.data[path.len - 1] != '/' &&
           !uri_path_is_unsafe(path);
}

/* Makes the folders that are missing above the file; those there are left alone. */
static void make_folders(char *path, unsigned mode)
{
    for (char *at = path + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        (void)mkdir(path, mode); /* what cannot be made shows when the file is opened */
        *at = '/';
    }
}

static bool open_temp(struct relay *r, struct proxy_store *store)
{
    const struct proxy_conf *conf = proxy_state_of(r)->conf;

    store->path = target_path(r);
    if (store->path.data == NULL || !is_file_path(store->path))
        return false;
    store->temp = arena_printf(relay_arena(r), "%.*s.XXXXXX", SLICE_ARG(store->path));
    if (store->temp.data == NULL)
        return false;
    make_folders((char *)(uintptr_t)store->temp.data, conf->store_folder_mode);
    store->fd = mkostemp((char *)(uintptr_t)store->temp.data, O_CLOEXEC);
    if (store->fd < 0)
        log_about(&r->x->log, LOG_LEVEL_CRIT, errno, "cannot store \"%.*s\"",
                  SLICE_ARG(store->path));
    return store->fd >= 0;
}

/* The exchange may go before its answer is whole. */
static void forget(void *data)
{
    struct proxy_store *store = data;

    if (store->fd < 0)
        return;
    close(store->fd);
    unlink(store->temp.data);
    store->fd = -1;
}

void proxy_store_begin(struct relay *r)
{
    struct proxy_store *store;

    if (r->answer.status != 200 || r->x->request.method == METHOD_HEAD)
        return;
    store = arena_zalloc(relay_arena(r), sizeof *store);
    if (store == NULL || !open_temp(r, store))
        return;
    if (arena_on_drop(relay_arena(r), forget, store))
        proxy_state_of(r)->storing = store;
    else
        forget(store);
}

void proxy_store_bytes(struct relay *r, struct slice bytes)
{
    struct proxy_store *store = proxy_state_of(r)->storing;

    while (store != NULL && !store->failed && bytes.len > 0) {
        ssize_t n = write(store->fd, bytes.data, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            log_about(&r->x->log, LOG_LEVEL_CRIT, errno, "cannot store \"%.*s\"",
                      SLICE_ARG(store->path));
            store->failed = true;
            return;
        }
        bytes = slice_skip(bytes, (size_t)n);
    }
}

static bool put_in_place(const struct relay *r, const struct proxy_store *store)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};

    if (r->x->response.last_modified >= 0)
        times[1] = (struct timespec){.tv_sec = r->x->response.last_modified};
    return fchmod(store->fd, proxy_state_of(r)->conf->store_mode) == 0 &&
           futimens(store->fd, times) == 0 && rename(store->temp.data, store->path.data) == 0;
}

void proxy_store_end(struct relay *r, bool complete)
{
    struct proxy_store *store = proxy_state_of(r)->storing;

    if (store == NULL || store->fd < 0)
        return;
    if (!complete || store->failed) {
        forget(store);
        return;
    }
    if (!put_in_place(r, store)) {
        log_about(&r->x->log, LOG_LEVEL_CRIT, errno, "cannot store \"%.*s\"",
                  SLICE_ARG(store->path));
        unlink(store->temp.data);
    }
    close(store->fd);
    store->fd = -1;
}
