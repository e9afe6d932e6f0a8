/* The server of this home's domains: the one that includes their files already, or one of our own
 * that runs on $PELAYAN_HOME/nginx.conf. Runs in: the process the user started. */
#pragma once

#include <stdbool.h>

struct run_options;
struct site;

/* Has the domains served as their files say: reloads the server that `options` lead to if it
 * includes `site`, else our own, which is started if need be. False: message printed; what was
 * served before still is. */
bool site_server_apply(const struct run_options *options, const struct site *site);

/* Starts our own server if this home has domains that nobody serves. False: message printed. */
bool site_server_bring_back(const struct run_options *options);

/* Ends our own server. True: there was one. */
bool site_server_stop(void);

/* Is there a server of our own that runs? */
bool site_server_runs(void);
