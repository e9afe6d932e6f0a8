/* The file that says which process is the master, and the control socket's name beside it. Runs in:
 * master; cli. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct diag;

/* Written beside and renamed, so that nobody ever reads half a number. False: message in `diag`. */
bool pid_file_write(const char *path, pid_t pid, struct diag *diag);

/* Removes it if it still names `pid`. */
void pid_file_remove(const char *path, pid_t pid);

/* False: message in `diag`, in nginx's words. */
bool pid_file_read(const char *path, pid_t *pid, struct diag *diag);

/* PATH.sock. False: too long for a socket's name. */
bool pid_file_socket(const char *path, char *out, size_t out_bytes);
