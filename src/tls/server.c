/* What a server block is to TLS. Runs in: made by who loads; certificates are parsed in whatever
 * thread first needs them. */
#include "tls/server_internal.h"

#include "base/arena.h"
#include "base/diag.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>

static void store_drop(void *data)
{
    struct tls_store *store = data;
    struct map_entry *entry;
    size_t position = 0;

    while ((entry = map_next(&store->contexts, &position)) != NULL)
        SSL_CTX_free(entry->value);
    for (struct tls_pair *pair = store->first_pair; pair != NULL; pair = pair->next)
        keypair_unref(pair->loaded);
    pthread_mutex_destroy(&store->lock);
}

struct tls_store *tls_store_new(struct arena *arena)
{
    struct tls_store *store = arena_zalloc(arena, sizeof *store);

    if (store == NULL)
        return NULL;
    store->arena = arena;
    pthread_mutex_init(&store->lock, NULL);
    map_init(&store->contexts, arena, false);
    map_init(&store->pairs, arena, false);
    return arena_on_drop(arena, store_drop, store) ? store : NULL;
}

size_t tls_store_parsed(const struct tls_store *store)
{
    return store->parsed;
}

/* ---- certificates */

struct keypair *tls_pair_load(struct tls_store *store, struct tls_pair *pair, char *why,
                              size_t why_bytes)
{
    struct keypair *loaded = atomic_load_explicit(&pair->loaded, memory_order_acquire);

    if (loaded != NULL)
        return loaded;
    snprintf(why, why_bytes, "it was found to be broken before");
    pthread_mutex_lock(&store->lock);
    loaded = atomic_load_explicit(&pair->loaded, memory_order_acquire);
    if (loaded == NULL && !pair->broken) {
        loaded = keypair_parse(pair->certificate.bytes, pair->key.bytes, pair->passwords, why,
                               why_bytes);
        pair->broken = loaded == NULL;
        if (loaded != NULL && pair->staple.on)
            pair->stapled = staple_attach(loaded->leaf, loaded->chain, &pair->staple,
                                          &pair->staple_why);
        atomic_store_explicit(&pair->loaded, loaded, memory_order_release);
        store->parsed++;
    }
    pthread_mutex_unlock(&store->lock);
    return loaded;
}

static struct tls_pair *pair_new(struct tls_store *store, const struct tls_settings *settings,
                                 const struct tls_item *certificate, const struct tls_item *key)
{
    struct tls_pair *pair = arena_zalloc(store->arena, sizeof *pair);

    if (pair == NULL)
        return NULL;
    pair->certificate = certificate->source;
    pair->key = key->source;
    pair->passwords = settings->passwords;
    pair->staple = (struct staple_settings){.on = settings->stapling,
                                            .verify = settings->stapling_verify,
                                            .file = settings->staple_file.bytes,
                                            .responder = settings->staple_responder,
                                            .trusted = settings->trusted_ca.bytes};
    pair->next = store->first_pair;
    store->first_pair = pair;
    return pair;
}

/* The same files are parsed once, whoever names them; what is given as text is not shared. */
static struct tls_pair *pair_for(struct tls_store *store, const struct tls_settings *settings,
                                 const struct tls_item *certificate, const struct tls_item *key)
{
    struct slice name = arena_printf(
        store->arena, "%.*s\n%.*s\n%p %d%d %.*s %.*s %.*s", SLICE_ARG(certificate->source.name),
        SLICE_ARG(key->source.name), (const void *)settings->passwords, settings->stapling,
        settings->stapling_verify, SLICE_ARG(settings->staple_file.name),
        SLICE_ARG(settings->staple_responder), SLICE_ARG(settings->trusted_ca.name));
    bool is_text = slice_eq(certificate->source.name, slice_of("data:")) ||
                   slice_eq(key->source.name, slice_of("data:"));

    if (name.data == NULL)
        return NULL;
    struct tls_pair *pair = is_text ? NULL : map_get(&store->pairs, name);

    if (pair == NULL && (pair = pair_new(store, settings, certificate, key)) != NULL && !is_text &&
        !map_put(&store->pairs, name, pair, NULL))
        return NULL;
    return pair;
}

/* ---- what is wrong with a server */

struct making {
    struct tls_server *server;
    struct diag *diag;
    bool strict;
};

/* Only this server's names suffer. */
static void set_broken(struct making *making, const char *what, struct slice of)
{
    struct tls_server *server = making->server;
    struct diag_place place = {.file = server->settings->file, .line = server->settings->line};

    server->broken = true;
    diag_add(making->diag, making->strict ? DIAG_ERROR : DIAG_WARN,
             place.file == NULL ? NULL : &place, "%s: \"%.*s\"", what, SLICE_ARG(of));
    diag_hint(making->diag, "TLS handshakes for server \"%.*s\" are refused until it is mended",
              SLICE_ARG(server->label));
}

/* As nginx has it, a certificate without OCSP is no more than a warning. */
static void warn_of_staple(struct making *making, const struct tls_pair *pair)
{
    const struct tls_settings *s = making->server->settings;
    struct diag_place place = {.file = s->file, .line = s->line};

    diag_add(making->diag, DIAG_WARN, place.file == NULL ? NULL : &place,
             "\"ssl_stapling\" ignored, %s: \"%.*s\"", pair->staple_why,
             SLICE_ARG(pair->certificate.name));
}

static bool source_is_good(struct making *making, const struct tls_source *source)
{
    if (source->why == NULL)
        return true;
    set_broken(making, source->why, source->name);
    return false;
}

static void check_files(struct making *making)
{
    const struct tls_settings *s = making->server->settings;

    (void)(source_is_good(making, &s->client_ca) && source_is_good(making, &s->trusted_ca) &&
           source_is_good(making, &s->crl) && source_is_good(making, &s->dhparam) &&
           source_is_good(making, &s->staple_file));
    if (s->verify != TLS_VERIFY_OFF && s->verify != TLS_VERIFY_OPTIONAL_NO_CA &&
        s->client_ca.bytes.data == NULL && s->trusted_ca.bytes.data == NULL)
        set_broken(making,
                   "no ssl_client_certificate or ssl_trusted_certificate for "
                   "ssl_verify_client",
                   making->server->label);
}

static bool add_pair(struct making *making, const struct tls_item *certificate,
                     const struct tls_item *key)
{
    struct tls_server *server = making->server;
    char why[512];

    if (certificate->source.template != NULL || key->source.template != NULL) {
        server->has_templates = true;
        return true;
    }
    if (!source_is_good(making, &certificate->source) || !source_is_good(making, &key->source))
        return true;
    struct tls_pair *pair = pair_for(server->store, server->settings, certificate, key);

    if (pair == NULL)
        return false;
    server->pairs[server->pair_count++] = pair;
    if (server->store->parsed >= TLS_CHECKED_MAX)
        return true;
    if (tls_pair_load(server->store, pair, why, sizeof why) == NULL)
        set_broken(making, why, certificate->source.name);
    else if (pair->staple.on && !pair->stapled)
        warn_of_staple(making, pair);
    return true;
}

static bool add_pairs(struct making *making)
{
    struct tls_server *server = making->server;
    const struct tls_settings *s = server->settings;
    const struct tls_item *key = s->keys;
    size_t count = 0;

    for (const struct tls_item *it = s->certificates; it != NULL; it = it->next)
        count++;
    server->pairs = arena_zalloc(server->store->arena, (count + 1) * sizeof(struct tls_pair *));
    if (server->pairs == NULL)
        return false;
    for (const struct tls_item *it = s->certificates; it != NULL; it = it->next) {
        struct diag_place place = {.file = s->file, .line = s->line};

        if (key == NULL) {
            diag_add(making->diag, DIAG_ERROR, &place,
                     "no \"ssl_certificate_key\" is defined for certificate \"%.*s\"",
                     SLICE_ARG(it->source.name));
            return false;
        }
        if (!add_pair(making, it, key))
            return false;
        key = key->next;
    }
    return true;
}

/* ---- server */

static void hash_text(EVP_MD_CTX *hash, struct slice text)
{
    EVP_DigestUpdate(hash, &text.len, sizeof text.len);
    EVP_DigestUpdate(hash, text.data == NULL ? "" : text.data, text.len);
}

/* Sessions of other servers are not resumed: they may have asked less of the client. The same over
 * reloads that change nothing. */
static bool make_session_context(struct tls_server *server)
{
    const struct tls_settings *s = server->settings;
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool ok = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1;

    for (const struct tls_item *it = s->certificates; ok && it != NULL; it = it->next) {
        hash_text(hash, it->source.name);
        hash_text(hash, it->source.bytes);
    }
    if (ok) {
        EVP_DigestUpdate(hash, &s->verify, sizeof s->verify);
        EVP_DigestUpdate(hash, &s->verify_depth, sizeof s->verify_depth);
        hash_text(hash, s->client_ca.bytes);
        hash_text(hash, s->trusted_ca.bytes);
        hash_text(hash, s->crl.bytes);
        ok = EVP_DigestFinal_ex(hash, server->session_context, NULL) == 1;
    }
    EVP_MD_CTX_free(hash);
    return ok;
}

static struct tls_server *cannot(struct making *making, const char *what)
{
    const struct tls_settings *s = making->server->settings;
    struct diag_place place = {.file = s->file, .line = s->line};
    char text[300];

    diag_add(making->diag, DIAG_ERROR, place.file == NULL ? NULL : &place,
             "%s for server \"%.*s\" (%s)", what, SLICE_ARG(making->server->label),
             tls_error_text(text, sizeof text));
    return NULL;
}

/* A server that refuses handshakes needs a context, too: without what could not be read. */
static bool make_context(struct making *making, const char **what)
{
    struct tls_server *server = making->server;
    struct tls_settings bare = *server->settings;
    struct context_fault fault = {0};
    char text[300];

    if (!server->broken)
        server->context = tls_context_for(server->store, &bare, &fault);
    if (server->context == NULL && fault.in_files)
        set_broken(making, fault.what, slice_of(tls_error_text(text, sizeof text)));
    bare.client_ca = bare.trusted_ca = bare.crl = bare.dhparam = (struct tls_source){0};
    if (server->broken)
        server->context = tls_context_for(server->store, &bare, &fault);
    *what = fault.what;
    return server->context != NULL;
}

struct tls_server *tls_server_new(struct tls_store *store, const struct tls_settings *settings,
                                  struct slice label, bool strict, struct diag *diag)
{
    struct tls_server *server = arena_zalloc(store->arena, sizeof *server);
    struct making making = {.server = server, .diag = diag, .strict = strict};
    const char *what = "";

    if (server == NULL) {
        diag_add(diag, DIAG_ERROR, NULL, "no memory for the configuration");
        return NULL;
    }
    server->settings = settings;
    server->store = store;
    server->label = label;
    store->early_data = store->early_data || settings->early_data;
    check_files(&making);
    if (settings->certificates == NULL && !settings->reject_handshake)
        set_broken(&making, "no \"ssl_certificate\" is defined for \"listen ... ssl\" of server",
                   label);
    if (!add_pairs(&making))
        return diag_failed(diag) ? NULL : cannot(&making, "no memory");
    if (!make_context(&making, &what))
        return cannot(&making, what);
    return make_session_context(server) ? server : cannot(&making, "no memory");
}

bool tls_server_is_usable(const struct tls_server *server)
{
    return !server->broken && !server->settings->reject_handshake;
}

const struct tls_settings *tls_server_settings(const struct tls_server *server)
{
    return server->settings;
}
