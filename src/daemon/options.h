/* What the user asked for on the command line, as the master, its children and the worker need it.
 *
 * Made once by cli/, never changed afterwards; all strings live as long as the process. Runs in:
 * any. */
#pragma once

#include <stdbool.h>

struct run_options {
    const char *conf_path;   /* absolute */
    const char *conf_prefix; /* its folder, ends with '/' */
    const char *prefix;      /* absolute, ends with '/': -p */
    const char *error_log;   /* absolute, or "stderr": -e or the default */
    const char *pid_path;    /* used when there is no `pid` directive */
    const char *directives;  /* -g, or NULL */
    bool error_log_given; /* -e: failing to open it is an error; the default falls back to stderr */
    bool strict;
    bool quiet;          /* -q: only errors */
    char *const *argv;   /* as the program was started: for USR2 */
    const char *program; /* absolute path of what to execute then */
};
