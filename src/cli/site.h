/* Domains of apps: one file per domain in $PELAYAN_HOME/sites that a person can read and edit.
 *
 * The first line of a file holds a checksum of the rest: as long as it fits, the file is ours to
 * change. One that somebody has edited is read, and left alone. Runs in: the process the user
 * started. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { SITE_ROUTES_MAX = 64, SITE_NAME_BYTES = 256 };

/* `location PATH { proxy_pass http://APP; }` */
struct site_route {
    char path[SITE_NAME_BYTES];
    char app[SITE_NAME_BYTES];
    bool upstream; /* an upstream block of that name stands in the same file */
};

struct site {
    char file[PATH_MAX];
    char domain[SITE_NAME_BYTES];
    char listen[SITE_NAME_BYTES];
    bool tls; /* with these two */
    char certificate[PATH_MAX];
    char certificate_key[PATH_MAX];
    struct site_route routes[SITE_ROUTES_MAX];
    size_t route_count;
    bool exists;
    bool edited; /* by a person */
};

/* Can `text` stand for that in a configuration? Apps: also in the host of an URL. */
bool site_domain_fits(const char *text);
bool site_path_fits(const char *text);
bool site_app_fits(const char *text);
bool site_file_fits(const char *text);

/* What the file of this domain says; an empty site if there is none. False: message printed. */
bool site_load(struct site *site, const char *home, const char *domain);

/* Calls `fn` with each site there is, in the order of their files' names. False: message printed,
 * or `fn` gave false. */
bool site_each(const char *home, bool (*fn)(void *context, struct site *site), void *context);

/* The route of this path, or NULL. */
struct site_route *site_find(struct site *site, const char *path);

/* The lines of a server block that say where it listens, and with which certificate. */
void site_print_listen(FILE *out, const struct site *site);

/* Its file as text, malloc'ed; NULL: no memory. An upstream block is written for the apps for which
 * no other site of this home has one. */
char *site_text(const struct site *site, const char *home);
