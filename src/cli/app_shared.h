/* What the app commands have in common. Runs in: the process the user started. */
#pragma once

#include "cli/app_list.h"

#include <jansson.h>
#include <stdbool.h>

struct app_args;
struct run_options;

/* From what home_ask() returns to an exit code; says so when there is no runner. */
int app_code(int asked);

/* After a change that went well: the list, as wanted. Returns the exit code. */
int app_show_after(int asked, const struct app_args *args);

/* Standard output is a terminal that likes colour. */
bool app_colour(const struct app_args *args);

/* How a list is to look on standard output. */
struct list_look app_look(const struct app_args *args);

/* Does `word` mean this instance, as the runner would understand it: name, number, namespace,
 * /regex/, "all"? */
bool app_is_selected(json_t *instance, const char *word);

/* The instances that the words of `logs` name, in jlist's shape. The exit code. */
int app_logs_list(const struct app_args *args, json_t **list);

/* --no-daemon: this process becomes the runner, does `what` (request taken over) and what follows
 * for `app` if a --domain was given, and shows the logs. Returns when the runner ends: the exit
 * code. */
int app_run_here(const struct run_options *options, const char *what, json_t *request,
                 const struct app_args *args, const char *app);
