/* Where config text comes from: the disk, or a bundle that another process read from the disk
 * before.
 *
 * The master's throw-away child reads with its privileges and records what it read; the worker
 * replays the record and touches no file. Runs in: any process, at load time. */
#pragma once

#include "base/slice.h"

struct config_files;
struct diag;

/* Reads from the disk and records. `prefix`: relative include paths start at the folder of the main
 * file (nginx: the conf prefix). */
struct config_files *config_files_from_disk(void);

/* Replays a record made by config_files_write(); keeps `fd` mapped until freed. NULL: not a record
 * (message in `diag`). */
struct config_files *config_files_from_record(int fd, struct diag *diag);

/* Text given directly (standard input, tests), as if it were the file `path`. */
bool config_files_add(struct config_files *files, const char *path, struct slice text);

void config_files_free(struct config_files *files);

/* The text of a file, valid until config_files_free(). False: message in `diag`. Files are read
 * once. Limit 256 MiB, NUL bytes refused. */
bool config_files_read(struct config_files *files, const char *path, struct slice *text,
                       struct diag *diag);

/* The bytes of a key, a certificate or the like, which only who reads the disk may be able to open.
 * Kept in the record for the process that replays it, but not listed as the configuration's text.
 * Valid until config_files_free(). False: message in `diag`. */
bool config_files_secret(struct config_files *files, const char *path, struct slice *bytes,
                         struct diag *diag);

/* Paths that match a glob, sorted by name (as glob(3) without GLOB_NOSORT); none is not an error.
 */
bool config_files_glob(struct config_files *files, const char *pattern, const char *const **paths,
                       size_t *count, struct diag *diag);

/* Writes all that was read and every glob's answer to a memfd. -1: errno. The caller owns the fd.
 */
int config_files_record(struct config_files *files);

/* In the order of first reading: for -T. */
size_t config_files_count(const struct config_files *files);
const char *config_files_path(const struct config_files *files, size_t index);
struct slice config_files_text(const struct config_files *files, size_t index);
