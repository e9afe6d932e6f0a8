/* What is looked at: the certificates of a configuration, a file, a host. Runs in: the process the
 * user started. */
#include "base/arena.h"
#include "base/diag.h"
#include "base/file.h"
#include "cli/cert_internal.h"
#include "config/files.h"
#include "config/snapshot.h"
#include "daemon/load.h"
#include "http/conf.h"
#include "http/features/ssl.h"
#include "tls/keypair.h"
#include "tls/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20 };

struct cert_subject *cert_subject_add(struct cert_subject **list, const char *what, size_t len)
{
    struct cert_subject *subject = calloc(1, sizeof *subject);

    if (subject == NULL || (subject->what = slice_strdup(slice_make(what, len))) == NULL) {
        free(subject);
        return NULL;
    }
    while (*list != NULL)
        list = &(*list)->next;
    *list = subject;
    return subject;
}

void cert_subjects_free(struct cert_subject *list)
{
    while (list != NULL) {
        struct cert_subject *next = list->next;

        free(list->what);
        free(list->key);
        free(list->servers);
        sk_X509_pop_free(list->chain, X509_free);
        free(list);
        list = next;
    }
}

/* ---- of a configuration */

/* Names nobody can ask for, such as "_", are for what has no name. */
static bool is_askable(const struct server_name *name)
{
    size_t underscores = 0;

    while (underscores < name->text.len && name->text.data[underscores] == '_')
        underscores++;
    return name->kind != SERVER_NAME_REGEX && name->kind != SERVER_NAME_TAIL &&
           underscores < name->text.len;
}

static bool name_server(struct cert_subject *subject, const struct http_server *server)
{
    struct slice name = server->name.len > 0 ? server->name : slice_of("_");
    char *servers = NULL;

    if (subject->servers == NULL)
        servers = slice_strdup(name);
    else if (asprintf(&servers, "%s, %.*s", subject->servers, SLICE_ARG(name)) < 0)
        servers = NULL;
    if (servers == NULL)
        return false;
    free(subject->servers);
    subject->servers = servers;
    return true;
}

static struct cert_subject *find(struct cert_subject *list, struct slice what, struct slice key)
{
    for (; list != NULL; list = list->next)
        if (slice_eq(slice_of(list->what), what) && list->key != NULL &&
            slice_eq(slice_of(list->key), key))
            return list;
    return NULL;
}

static void read_pair(struct cert_subject *subject, const struct tls_settings *settings,
                      const struct tls_source *certificate, const struct tls_source *key)
{
    const struct tls_source *broken = certificate->why != NULL ? certificate : key;
    char why[400];

    if (certificate->bytes.data != NULL)
        subject->chain = pem_certificates(certificate->bytes);
    if (broken->why != NULL) {
        cert_find(&subject->findings, CERT_WRONG, "%s", broken->why);
        return;
    }
    struct keypair *pair = keypair_parse(certificate->bytes, key->bytes, settings->passwords, why,
                                         sizeof why);

    if (pair == NULL)
        cert_find(&subject->findings, CERT_WRONG, "%s", why);
    keypair_unref(pair);
}

static struct cert_subject *add_pair(struct cert_subject **list,
                                     const struct tls_settings *settings,
                                     const struct tls_item *certificate, const struct tls_item *key,
                                     int soon_days)
{
    struct slice what = certificate->source.name;
    struct cert_subject *subject = cert_subject_add(list, what.data, what.len);

    if (subject == NULL)
        return NULL;
    subject->key = slice_strdup(key->source.name);
    if (certificate->source.template == NULL && key->source.template == NULL)
        read_pair(subject, settings, &certificate->source, &key->source);
    inspect_chain(subject->chain, soon_days, &subject->findings);
    return subject->key == NULL ? NULL : subject;
}

static bool add_server(struct cert_subject **list, const struct http_server *server, int soon_days)
{
    const struct tls_settings *settings = ssl_settings_of(server);
    const struct tls_item *key = settings->keys;

    for (const struct tls_item *it = settings->certificates; it != NULL && key != NULL;
         it = it->next, key = key->next) {
        struct cert_subject *subject = find(*list, it->source.name, key->source.name);

        if (subject == NULL)
            subject = add_pair(list, settings, it, key, soon_days);
        if (subject == NULL || !name_server(subject, server))
            return false;
        for (size_t i = 0; i < server->name_count && subject->chain != NULL; i++)
            if (is_askable(&server->names[i]))
                inspect_name(sk_X509_value(subject->chain, 0), server->names[i].text,
                             &subject->findings);
    }
    return true;
}

bool cert_subjects_of_config(const struct run_options *options, int soon_days,
                             struct cert_subject **list)
{
    struct load load;
    bool ok = load_run(&load, options, config_files_from_disk());

    if (!ok)
        diag_print(&load.diag, stderr);
    else if (load.snapshot->http != NULL)
        for (size_t i = 0; ok && i < load.snapshot->http->server_count; i++)
            ok = add_server(list, load.snapshot->http->servers[i], soon_days);
    load_fini(&load);
    return ok;
}

/* ---- of a file */

static void check_key(struct cert_subject *subject, struct slice certificate)
{
    char why[400];
    size_t len = 0;
    char *text = file_read(subject->key, FILE_BYTES_MAX, &len);
    struct keypair *pair = NULL;

    if (text == NULL) {
        cert_find(&subject->findings, CERT_WRONG, "the key cannot be read: %s: %s", subject->key,
                  strerror(errno));
        return;
    }
    pair = keypair_parse(certificate, slice_make(text, len), NULL, why, sizeof why);
    if (pair == NULL)
        cert_find(&subject->findings, CERT_WRONG, "%s", why);
    keypair_unref(pair);
    OPENSSL_cleanse(text, len);
    free(text);
}

bool cert_subject_of_file(const char *path, const char *key, int soon_days,
                          struct cert_subject **list)
{
    struct cert_subject *subject = cert_subject_add(list, path, strlen(path));
    size_t len = 0;

    if (subject == NULL)
        return false;
    char *text = file_read(path, FILE_BYTES_MAX, &len);

    if (text == NULL) {
        cert_find(&subject->findings, CERT_WRONG, "it cannot be read: %s", strerror(errno));
        return true;
    }
    subject->chain = pem_certificates(slice_make(text, len));
    if (subject->chain == NULL)
        cert_find(&subject->findings, CERT_WRONG,
                  "there is no certificate (PEM) in it, or a broken one");
    subject->key = key == NULL ? NULL : strdup(key);
    if (subject->key != NULL && subject->chain != NULL)
        check_key(subject, slice_make(text, len));
    inspect_chain(subject->chain, soon_days, &subject->findings);
    if (subject->chain != NULL)
        inspect_trust(subject->chain, CERT_FINE, &subject->findings);
    OPENSSL_cleanse(text, len); /* a key may stand in the same file */
    free(text);
    return true;
}

/* ---- of a host */

bool cert_subject_of_host(const char *host, int soon_days, struct cert_subject **list)
{
    struct cert_subject *subject = cert_subject_add(list, host, strlen(host));

    if (subject == NULL)
        return false;
    subject->chain = cert_fetch(host, &subject->findings);
    if (subject->chain == NULL)
        return true;
    inspect_chain(subject->chain, soon_days, &subject->findings);
    inspect_trust(subject->chain, CERT_WRONG, &subject->findings);
    return true;
}
