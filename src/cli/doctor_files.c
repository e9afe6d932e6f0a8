/* pelayan doctor: whether files can be reached by who needs them, room on disks, certificates.
 * Runs in: the process the user started. */
#include "cli/doctor_internal.h"
#include "config/tree.h"
#include "daemon/manifest.h"
#include "daemon/options.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum {
    SOON_DAYS = 14,
    DAY_SECONDS = 86400,
    LOW_MEGABYTES = 100,
    LOW_PERCENT = 5,
    DISKS_MAX = 16,
};

static bool is_word(const struct node *node, const char *name)
{
    return slice_eq(word_text(node->words[0]), slice_of(name));
}

/* Absolute; `prefix` ends with a slash. False: has variables, or is no path. */
static bool path_of(struct slice text, const char *prefix, char out[PATH_MAX])
{
    if (text.len == 0 || slice_find(text, '$') >= 0 || slice_find(text, ':') >= 0)
        return false;
    return snprintf(out, PATH_MAX, "%s%.*s", text.data[0] == '/' ? "" : prefix, SLICE_ARG(text)) <
           PATH_MAX;
}

/* ---- paths */

/* As the user that the worker will be. False: stays who we are. */
static bool become_worker(const struct manifest *manifest)
{
    return manifest->switch_user && initgroups(manifest->user.data, manifest->gid) == 0 &&
           setegid(manifest->gid) == 0 && seteuid(manifest->uid) == 0;
}

static void become_self(void)
{
    if (seteuid(getuid()) != 0 || setegid(getgid()) != 0)
        perror("pelayan: seteuid"); /* only root was somebody else, and root may */
}

/* The first folder on the way that is closed, or that is not there; in `path`, which is cut. */
static int closed_folder(char path[PATH_MAX])
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) != 0)
            return errno;
        *slash = '/';
    }
    return faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0 ? 0 : errno;
}

static void check_root(struct doctor *doctor, const struct node *node)
{
    const struct manifest *manifest = doctor->manifest;
    const char *user = manifest->switch_user ? manifest->user.data : "you";
    char path[PATH_MAX], wanted[PATH_MAX];
    bool other;
    int error;

    if ((!is_word(node, "root") && !is_word(node, "alias")) || node->word_count != 2 ||
        !path_of(word_text(node->words[1]), doctor->options->prefix, path))
        return;
    memcpy(wanted, path, sizeof wanted);
    other = become_worker(manifest);
    error = closed_folder(path);
    if (other || geteuid() != getuid())
        become_self();
    if (error == ENOENT) {
        doctor_find(doctor, DOCTOR_WARN, "%s is not there (%s:%u)", wanted,
                    doctor->tree->files[node->file].path, node->line);
        doctor_mend(doctor, "create it, or correct \"%.*s\"", SLICE_ARG(word_text(node->words[0])));
    } else if (error != 0) {
        doctor_find(doctor, DOCTOR_BAD, "%s is closed to %s, who is to read %s (%s:%u)", path, user,
                    wanted, doctor->tree->files[node->file].path, node->line);
        doctor_mend(doctor, "chmod o+rx %s, or put the files elsewhere", path);
    }
}

/* Leaves the folder that a file is, or will be, in. */
static void cut_to_folder(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash != NULL)
        slash[slash == path] = '\0';
}

static void check_written(struct doctor *doctor, const char *path, const char *what)
{
    char folder[PATH_MAX];

    if (strcmp(path, "stderr") == 0 || faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0)
        return;
    snprintf(folder, sizeof folder, "%s", path);
    cut_to_folder(folder);
    if (errno == ENOENT && faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0)
        return;
    doctor_find(doctor, DOCTOR_BAD, "%s %s cannot be written: %s", what, path, strerror(errno));
    doctor_mend(doctor, errno == ENOENT ? "mkdir -p %s" : "start as the owner of %s, or as root",
                folder);
}

void doctor_paths(struct doctor *doctor)
{
    const struct manifest *manifest = doctor->manifest;

    for (size_t i = 0; i < manifest->logs.count; i++)
        check_written(doctor, manifest->logs.items[i].data, "log");
    check_written(doctor, manifest->pid_path.data, "pid file");
    doctor_walk(doctor, check_root);
}

/* ---- disks */

/* What is there of a path that may be created later. */
static bool disk_of(const char *path, char found[PATH_MAX], struct statvfs *disk)
{
    snprintf(found, PATH_MAX, "%s", path);
    while (statvfs(found, disk) != 0) {
        if (strcmp(found, "/") == 0 || strchr(found, '/') == NULL)
            return false;
        cut_to_folder(found);
    }
    return true;
}

static void check_disk(struct doctor *doctor, const char *path, unsigned long *seen, size_t *count)
{
    char found[PATH_MAX];
    struct statvfs disk;
    unsigned long long megabytes;

    if (!disk_of(path, found, &disk))
        return;
    for (size_t i = 0; i < *count; i++) {
        if (seen[i] == disk.f_fsid)
            return;
    }
    if (*count < DISKS_MAX)
        seen[(*count)++] = disk.f_fsid;
    megabytes = (unsigned long long)disk.f_bavail * disk.f_frsize >> 20;
    if ((disk.f_flag & ST_RDONLY) != 0) {
        doctor_find(doctor, DOCTOR_BAD, "the disk of %s is read-only", found);
        doctor_mend(doctor, "mount -o remount,rw, or put logs and temporary files elsewhere");
    } else if (megabytes < LOW_MEGABYTES || disk.f_bavail < disk.f_blocks / 100 * LOW_PERCENT) {
        doctor_find(doctor, megabytes < LOW_MEGABYTES / 10 ? DOCTOR_BAD : DOCTOR_WARN,
                    "the disk of %s has %llu MB left", found, megabytes);
        doctor_mend(doctor, "make room: logs that cannot be written are lost, and large bodies are"
                            " answered with 500");
    } else if (disk.f_files > 0 && disk.f_favail < disk.f_files / 100) {
        doctor_find(doctor, DOCTOR_WARN, "the disk of %s has nearly no inodes left", found);
        doctor_mend(doctor, "delete small files on it");
    }
}

void doctor_disks(struct doctor *doctor)
{
    const struct manifest *manifest = doctor->manifest;
    unsigned long seen[DISKS_MAX] = {0};
    size_t count = 0;

    for (size_t i = 0; i < manifest->logs.count; i++) {
        if (strcmp(manifest->logs.items[i].data, "stderr") != 0)
            check_disk(doctor, manifest->logs.items[i].data, seen, &count);
    }
    for (size_t i = 0; i < manifest->work_dirs.count; i++)
        check_disk(doctor, manifest->work_dirs.items[i].data, seen, &count);
}

/* ---- certificates */

static void check_dates(struct doctor *doctor, const char *path, const X509 *certificate)
{
    int days = 0, seconds = 0;

    if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
        doctor_find(doctor, DOCTOR_BAD, "%s is not valid yet", path);
        doctor_mend(doctor, "is the clock right? \"date\" says what it is");
        return;
    }
    if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)))
        return;
    if (days < 0 || seconds < 0)
        doctor_find(doctor, DOCTOR_BAD, "%s expired %d days ago", path, -days);
    else if (days < SOON_DAYS)
        doctor_find(doctor, DOCTOR_WARN, "%s expires in %d days", path, days);
    else
        return;
    doctor_mend(doctor, "renew it, then pelayan -s reload");
}

static void check_certificate(struct doctor *doctor, const char *path)
{
    BIO *file = BIO_new_file(path, "r");
    X509 *certificate = file == NULL ? NULL : PEM_read_bio_X509(file, NULL, NULL, NULL);

    if (file == NULL) {
        doctor_find(doctor, DOCTOR_BAD, "%s cannot be read: %s", path, strerror(errno));
        doctor_mend(doctor, "correct the path or its rights; only who starts pelayan needs them");
    } else if (certificate == NULL) {
        doctor_find(doctor, DOCTOR_BAD, "%s holds no certificate in PEM form", path);
        doctor_mend(doctor, "it must begin with -----BEGIN CERTIFICATE-----");
    } else {
        check_dates(doctor, path, certificate);
    }
    X509_free(certificate);
    BIO_free(file);
}

static void check_key(struct doctor *doctor, const char *path)
{
    struct stat file;

    if (stat(path, &file) != 0) {
        doctor_find(doctor, DOCTOR_BAD, "%s cannot be read: %s", path, strerror(errno));
        doctor_mend(doctor, "correct the path or its rights; only who starts pelayan needs them");
    } else if ((file.st_mode & S_IRWXO) != 0) {
        doctor_find(doctor, DOCTOR_WARN, "everybody on this machine can read the key %s", path);
        doctor_mend(doctor, "chmod o-rwx %s", path);
    }
}

static void check_tls(struct doctor *doctor, const struct node *node)
{
    char path[PATH_MAX];
    bool is_key = is_word(node, "ssl_certificate_key");

    if ((!is_key && !is_word(node, "ssl_certificate")) || node->word_count != 2 ||
        !path_of(word_text(node->words[1]), doctor->options->conf_prefix, path))
        return;
    if (is_key)
        check_key(doctor, path);
    else
        check_certificate(doctor, path);
}

void doctor_certificates(struct doctor *doctor)
{
    doctor_walk(doctor, check_tls);
}
