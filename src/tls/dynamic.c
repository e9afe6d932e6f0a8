/* Certificates whose file or text depends on the connection. Runs in: worker, loop threads; the
 * cache is shared by all of them. */
#include "tls/dynamic_internal.h"

#include "base/list.h"
#include "config/variable.h"
#include "tls/conn_internal.h"
#include "tls/keypair.h"
#include "tls/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_BYTES_MAX = 65536, PATH_BYTES_MAX = 4096, BUCKETS = 1024 };

struct kept {
    struct kept *next; /* in its bucket */
    struct list age;   /* newest use first */
    struct keypair *pair;
    uint64_t hash;
    uint64_t made_ms;
    uint64_t used_ms;
    size_t name_len;
    char name[];
};

static struct {
    pthread_mutex_t lock;
    struct kept *buckets[BUCKETS];
    struct list age;
    unsigned count;
} cache = {.lock = PTHREAD_MUTEX_INITIALIZER, .age = {&cache.age, &cache.age}};

static struct kept **place_of(uint64_t hash, struct slice name)
{
    struct kept **place = &cache.buckets[hash % BUCKETS];

    while (*place != NULL && ((*place)->hash != hash ||
                              !slice_eq(slice_make((*place)->name, (*place)->name_len), name)))
        place = &(*place)->next;
    return place;
}

static void drop(struct kept **place)
{
    struct kept *kept = *place;

    *place = kept->next;
    list_remove(&kept->age);
    cache.count--;
    keypair_unref(kept->pair);
    free(kept);
}

static bool is_stale(const struct kept *kept, const struct tls_keep *keep, uint64_t now_ms)
{
    return now_ms - kept->made_ms >= keep->valid_ms || now_ms - kept->used_ms >= keep->inactive_ms;
}

static struct keypair *find(struct slice name, const struct tls_keep *keep, uint64_t now_ms)
{
    uint64_t hash = slice_hash(name);
    struct keypair *pair = NULL;

    pthread_mutex_lock(&cache.lock);
    struct kept **place = place_of(hash, name);

    if (*place != NULL && is_stale(*place, keep, now_ms)) {
        drop(place);
    } else if (*place != NULL) {
        (*place)->used_ms = now_ms;
        list_remove(&(*place)->age);
        list_push_front(&cache.age, &(*place)->age);
        pair = keypair_ref((*place)->pair);
    }
    pthread_mutex_unlock(&cache.lock);
    return pair;
}

static void keep_pair(struct slice name, struct keypair *pair, const struct tls_keep *keep,
                      uint64_t now_ms)
{
    struct kept *kept = malloc(sizeof *kept + name.len);

    if (kept == NULL)
        return;
    *kept = (struct kept){.pair = keypair_ref(pair),
                          .hash = slice_hash(name),
                          .made_ms = now_ms,
                          .used_ms = now_ms,
                          .name_len = name.len};
    memcpy(kept->name, name.data, name.len);
    pthread_mutex_lock(&cache.lock);
    struct kept **place = place_of(kept->hash, name);

    if (*place != NULL) /* another loop was quicker */
        drop(place);
    while (cache.count >= keep->max) {
        struct kept *oldest = container_of(cache.age.prev, struct kept, age);

        drop(place_of(oldest->hash, slice_make(oldest->name, oldest->name_len)));
    }
    place = place_of(kept->hash, name);
    *place = kept;
    list_push_front(&cache.age, &kept->age);
    cache.count++;
    pthread_mutex_unlock(&cache.lock);
}

/* ---- where the text comes from */

static bool set_why(struct tls_conn *conn, const char *path, const char *what)
{
    char *line;

    if (conn->why == NULL && asprintf(&line, "cannot load \"%s\": %s", path, what) >= 0)
        conn->why = line;
    return false;
}

static bool read_text(struct tls_conn *conn, const char *path, char *out, struct slice *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    ssize_t got = -1;

    if (fd < 0)
        return set_why(conn, path, strerror(errno));
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        got = read(fd, out, TEXT_BYTES_MAX);
    close(fd);
    if (got <= 0 || got == TEXT_BYTES_MAX)
        return set_why(conn, path, "not a file with a certificate or key");
    *text = slice_make(out, (size_t)got);
    return true;
}

struct spot { /* one of both, certificate or key */
    char name[PATH_BYTES_MAX];
    char *text; /* heap: TEXT_BYTES_MAX */
    struct slice pem;
};

static bool fill_name(struct tls_conn *conn, const struct tls_source *source, struct spot *spot)
{
    if (source->template == NULL) {
        snprintf(spot->name, sizeof spot->name, "%.*s", SLICE_ARG(source->name));
        spot->pem = source->bytes;
        return source->bytes.data != NULL;
    }
    if (!conn->choice->text(conn->owner, source->template, spot->name, sizeof spot->name))
        return set_why(conn, "", "its variables cannot be filled in");
    return spot->name[0] != '\0' || set_why(conn, "", "its variables are empty");
}

static bool fill_text(struct tls_conn *conn, const struct tls_source *source, struct spot *spot)
{
    struct slice name = slice_of(spot->name);

    if (source->template == NULL)
        return true;
    if (slice_starts(name, slice_of("data:"))) {
        spot->pem = slice_skip(name, strlen("data:"));
        return true;
    }
    return read_text(conn, spot->name, spot->text, &spot->pem);
}

static struct keypair *parse(struct tls_conn *conn, struct spot spots[2],
                             const struct tls_settings *settings)
{
    char why[300] = "";
    struct keypair *pair = keypair_parse(spots[0].pem, spots[1].pem, settings->passwords, why,
                                         sizeof why);

    if (pair == NULL)
        set_why(conn, spots[0].name, why);
    return pair;
}

static struct keypair *load(struct tls_conn *conn, const struct tls_settings *settings,
                            const struct tls_source *const sources[2], struct spot spots[2])
{
    uint64_t now_ms = loop_now_ms(conn->loop);
    struct keypair *pair = NULL;
    char both[2 * PATH_BYTES_MAX];

    if (!fill_name(conn, sources[0], &spots[0]) || !fill_name(conn, sources[1], &spots[1]))
        return NULL;
    int len = snprintf(both, sizeof both, "%s\n%s", spots[0].name, spots[1].name);
    struct slice name = slice_make(both, (size_t)len < sizeof both ? (size_t)len : sizeof both);

    if (settings->keep.max > 0 && (pair = find(name, &settings->keep, now_ms)) != NULL)
        return pair;
    if (fill_text(conn, sources[0], &spots[0]) && fill_text(conn, sources[1], &spots[1]))
        pair = parse(conn, spots, settings);
    if (pair != NULL && settings->keep.max > 0)
        keep_pair(name, pair, &settings->keep, now_ms);
    OPENSSL_cleanse(both, sizeof both); /* "data:" may hold a key */
    return pair;
}

struct keypair *dynamic_pair(struct tls_conn *conn, const struct tls_settings *settings,
                             const struct tls_item *certificate, const struct tls_item *key)
{
    const struct tls_source *const sources[2] = {&certificate->source, &key->source};
    struct spot *spots = calloc(2, sizeof *spots);
    struct keypair *pair = NULL;

    if (spots == NULL)
        return NULL;
    spots[0].text = malloc(TEXT_BYTES_MAX);
    spots[1].text = malloc(TEXT_BYTES_MAX);
    if (spots[0].text != NULL && spots[1].text != NULL)
        pair = load(conn, settings, sources, spots);
    if (spots[1].text != NULL)
        OPENSSL_cleanse(spots[1].text, TEXT_BYTES_MAX);
    free(spots[0].text);
    free(spots[1].text);
    OPENSSL_cleanse(spots, 2 * sizeof *spots);
    free(spots);
    return pair;
}
