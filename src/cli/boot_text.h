/* What makes apps start with the system: a systemd unit, an OpenRC service, a plain init script.
 * Pure: nothing is written. Runs in: the process the user started. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

/* What the texts are made of; all borrowed, none NULL but `user`. */
struct boot {
    const char *program;
    const char *home; /* PELAYAN_HOME */
    const char *path; /* PATH: node may have been put there by a version manager */
    const char *name; /* of the service */
    const char *user; /* NULL: who starts it */
    bool own_manager; /* systemd's of a user */
};

struct boot_system {
    const char *name;
    const char *others; /* pm2's words for it, separated by blanks */
    const char *sign;   /* this file or folder is there where the system is */
    const char *folder; /* of services */
    const char *suffix; /* of their files' names */
    unsigned mode;      /* of the file */
    /* where links to the file are put, and what stands before the service's name */
    const char *links[8];
    void (*print)(FILE *out, const struct boot *boot);
};

/* The system of that name, or with NULL the one that runs here. NULL: there is none. */
const struct boot_system *boot_find(const char *name);
