/* From an app to a domain: `start --domain`, `delete --domain`. Runs in: the process the user
 * started. */
#pragma once

#include <stdbool.h>

struct app_args;
struct run_options;

/* Do --domain, --path and --listen make sense, together with an app of that name? To be asked
 * before anything is started. False: message printed. */
bool app_site_check(const struct app_args *args, const char *app);

/* Has --domain lead to `app`: writes the site's file and has it served. Says the address. False:
 * message printed, and what was served before still is. */
bool app_site_add(const struct run_options *options, const struct app_args *args, const char *app);

/* An app is gone: removes the sites that lead to it (`domain` as --domain says, empty: all), or
 * with NULL says which there are. False: message printed. */
bool app_site_remove(const struct run_options *options, const char *app, const char *domain);
