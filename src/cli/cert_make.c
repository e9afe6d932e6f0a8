/* Certificates for local work, and the authority that signs them. Keys are for their owner's eyes
 * only, and every file is whole or not there. Runs in: the process the user started. */
#include "base/file.h"
#include "cli/cert_internal.h"
#include "cli/home.h"
#include "tls/issue.h"
#include "tls/keypair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    AUTHORITY_DAYS = 3650,
    LEAF_DAYS = 397, /* browsers refuse those of more than 398 */
    RENEW_DAYS = 30, /* one with less than this is made anew */
    TEXT_BYTES_MAX = 16384,
};

static const char *const default_names[] = {"localhost", "127.0.0.1", "::1"};

static bool refuse(const char *what, const char *path)
{
    fprintf(stderr, "pelayan: cannot %s \"%s\": %s\n", what, path, strerror(errno));
    return false;
}

/* ---- files */

static bool write_file(const char *path, const char *text, mode_t mode)
{
    return file_replace(path, slice_of(text), mode) || refuse("write", path);
}

/* `folder` NULL: NAME below this user's state. */
static bool folder_of(const char *folder, const char *name, char *out)
{
    const char *home = home_path();
    int len;

    if (folder == NULL && home == NULL)
        return false;
    if (folder == NULL && !file_folders(home, 0700))
        return refuse("use", home);
    len = folder != NULL ? snprintf(out, PATH_MAX, "%s", folder)
                         : snprintf(out, PATH_MAX, "%s/%s", home, name);
    if (len < 0 || len >= PATH_MAX - 300)
        return refuse("use the folder", folder != NULL ? folder : home);
    if (mkdir(out, folder != NULL ? 0755 : 0700) != 0 && errno != EEXIST)
        return refuse("create", out);
    return true;
}

/* A "*" is no good name for a file. */
static bool paths_of(const char *folder, const char *below, const char *name,
                     struct cert_paths *paths)
{
    char where[PATH_MAX];
    char file[300];

    if (!folder_of(folder, below, where))
        return false;
    snprintf(file, sizeof file, "%s", name);
    for (char *at = file; *at != '\0'; at++)
        if (*at == '*' || *at == ':')
            *at = '_';
    int len = snprintf(paths->certificate, PATH_MAX, "%s/%s.crt", where, file);

    return len < PATH_MAX && snprintf(paths->key, PATH_MAX, "%s/%s.key", where, file) < PATH_MAX;
}

static bool write_pair(const struct cert_paths *paths, const struct issued *issued)
{
    return write_file(paths->key, issued->key, 0600) &&
           write_file(paths->certificate, issued->certificate, 0644);
}

static bool cannot_make(void)
{
    char text[256];

    fprintf(stderr, "pelayan: cannot make the certificate (%s)\n",
            tls_error_text(text, sizeof text));
    return false;
}

/* ---- the authority */

bool cert_authority(struct cert_paths *paths)
{
    struct issued issued = {0};
    char name[128];
    char host[64] = "";
    bool ok;

    if (!paths_of(NULL, "ca", "local-ca", paths))
        return false;
    if (access(paths->certificate, F_OK) == 0 && access(paths->key, F_OK) == 0)
        return true;
    gethostname(host, sizeof host - 1);
    snprintf(name, sizeof name, "Pelayan local authority of %s", host);
    ok = issue_authority(name, AUTHORITY_DAYS, &issued) || cannot_make();
    ok = ok && write_pair(paths, &issued);
    issued_fini(&issued);
    return ok;
}

/* One reference; NULL: message printed. */
static struct keypair *load_authority(void)
{
    struct cert_paths paths;
    struct keypair *pair = NULL;
    size_t certificate_len = 0;
    size_t key_len = 0;
    char why[400];

    if (!cert_authority(&paths))
        return NULL;
    char *certificate = file_read(paths.certificate, TEXT_BYTES_MAX, &certificate_len);
    char *key = file_read(paths.key, TEXT_BYTES_MAX, &key_len);

    if (certificate == NULL || key == NULL)
        refuse("read", certificate == NULL ? paths.certificate : paths.key);
    else if ((pair = keypair_parse(slice_make(certificate, certificate_len),
                                   slice_make(key, key_len), NULL, why, sizeof why)) == NULL)
        fprintf(stderr, "pelayan: the authority in \"%s\" is broken: %s\n", paths.certificate, why);
    free(certificate);
    if (key != NULL)
        OPENSSL_cleanse(key, key_len);
    free(key);
    return pair;
}

/* ---- certificates */

static bool check_names(const struct issue_wish *wish, bool local)
{
    for (size_t i = 0; i < wish->name_count; i++) {
        if (!issue_name_is_good(wish->names[i])) {
            fprintf(stderr, "pelayan: \"%s\" is no host name and no IP address\n", wish->names[i]);
            return false;
        }
        if (!local || issue_name_is_local(wish->names[i]))
            continue;
        fprintf(stderr,
                "pelayan: the local authority signs only for names that are nobody's: localhost, "
                "*.localhost,\n         *.test, *.internal, *.local, *.home.arpa and private "
                "addresses, not for \"%s\".\n         pelayan cert selfsigned %s makes one that "
                "stands for itself.\n",
                wish->names[i], wish->names[i]);
        return false;
    }
    return true;
}

static void tell(const struct cert_paths *paths, bool local)
{
    printf("ssl_certificate     %s;\nssl_certificate_key %s;\n", paths->certificate, paths->key);
    if (local && isatty(STDERR_FILENO))
        fputs("Browsers and curl take it without a warning after: pelayan cert trust\n", stderr);
}

/* What is in a file; NULL: no certificate. */
static struct cert_subject *read_subject(const char *path, const char *key)
{
    struct cert_subject *subject = NULL;

    if (cert_subject_of_file(path, key, RENEW_DAYS, &subject) && subject->chain != NULL)
        return subject;
    cert_subjects_free(subject);
    return NULL;
}

/* Is it there, for this name, with its key, for a while yet, and signed by the authority that we
 * have now? */
static bool is_good(const struct cert_paths *paths, const char *name)
{
    struct cert_subject *subject = read_subject(paths->certificate, paths->key);
    struct cert_subject *issuer = NULL;
    struct cert_paths authority;
    bool good = false;

    if (subject != NULL && cert_authority(&authority))
        issuer = read_subject(authority.certificate, NULL);
    if (issuer != NULL) {
        X509 *leaf = sk_X509_value(subject->chain, 0);

        inspect_name(leaf, slice_of(name), &subject->findings);
        good = cert_worst(&subject->findings) == CERT_FINE &&
               X509_verify(leaf, X509_get0_pubkey(sk_X509_value(issuer->chain, 0))) == 1;
    }
    cert_subjects_free(issuer);
    cert_subjects_free(subject);
    return good;
}

/* False: message printed. */
static bool make_pair(const struct issue_wish *wish, const struct cert_paths *paths)
{
    struct issued issued = {0};
    bool ok = (issue_leaf(wish, &issued) || cannot_make()) && write_pair(paths, &issued);

    issued_fini(&issued);
    return ok;
}

bool cert_for_local_name(const char *name, struct cert_paths *paths)
{
    struct issue_wish wish = {.names = &name, .name_count = 1, .days = LEAF_DAYS};
    struct keypair *authority = NULL;
    bool ok = check_names(&wish, true) && paths_of(NULL, "certs", name, paths);

    if (ok && is_good(paths, name))
        return true;
    ok = ok && (authority = load_authority()) != NULL;
    wish.issuer = authority;
    ok = ok && make_pair(&wish, paths);
    keypair_unref(authority);
    return ok;
}

int cert_make(const struct cert_args *args, bool local)
{
    struct issue_wish wish = {.names = args->word_count > 0 ? args->words : default_names,
                              .name_count = args->word_count > 0 ? args->word_count : 3,
                              .days = args->days > 0 ? args->days : LEAF_DAYS,
                              .rsa = args->rsa};
    struct keypair *authority = NULL;
    struct cert_paths paths;
    bool ok = check_names(&wish, local) && paths_of(args->out, "certs", wish.names[0], &paths) &&
              (!local || (authority = load_authority()) != NULL);

    wish.issuer = authority;
    ok = ok && make_pair(&wish, &paths);
    if (ok)
        tell(&paths, local);
    keypair_unref(authority);
    return ok ? 0 : 1;
}
