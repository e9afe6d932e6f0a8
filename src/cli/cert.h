/* `pelayan cert ...`: looking at certificates, and making those for local work. Runs in: the
 * process the user started. */
#pragma once

#include <limits.h>
#include <stdbool.h>

struct run_options;

struct cert_paths { /* of a certificate and its key */
    char certificate[PATH_MAX];
    char key[PATH_MAX];
};

/* A certificate of this user's own authority for a name that is nobody's: the one that is there and
 * good for a month yet, else a new one. False: message printed. */
bool cert_for_local_name(const char *name, struct cert_paths *paths);

/* The exit code: 0: good; 1: something is wrong; 2: something will be, soon (check), or the command
 * is not understood. */
int cert_command(const struct run_options *options, int argc, char **argv);
