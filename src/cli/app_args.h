/* The command line of app commands: pm2's flags, from the same rows as an ecosystem file's keys.
 * Runs in: the process the user started. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { APP_WORDS_MAX = 256 };

/* What a command takes besides the flags that all of them take. */
enum args_group {
    ARGS_PLAIN = 0,
    ARGS_SPECS = 1, /* the keys of apps, and where the app is to be found */
    ARGS_LOGS = 2,
    ARGS_BOOT = 4,
    ARGS_SERVE = 8,
    ARGS_DELETE = 16,
    ARGS_HOSTS = 32,
    ARGS_STATE = 64,
    ARGS_LIST = 128,
    ARGS_SEND = 256,
};

struct app_args {
    json_t *spec; /* owned: keys given as flags, and "args" from behind "--" */
    const char *words[APP_WORDS_MAX];
    size_t word_count;
    bool force, update_env, json, silent, no_daemon, no_color, mini_list, attach, auto_exit;
    bool err, out, raw, nostream; /* of logs */
    bool spa, ftp;                /* of serve */
    bool tree;                    /* of slist */
    bool write;                   /* of hosts */
    bool pm2;                     /* of resurrect */
    bool message;                 /* of send */
    const char *timestamp;        /* of logs: its format, empty for the usual one */
    const char *env_name;
    const char *only;
    const char *parallel;
    const char *sort;
    const char *lines;
    const char *highlight;
    const char *format; /* of logs: pm2's word for "key=value" lines */
    /* of startup; `user` empty: --user alone, systemd's manager of the user */
    const char *user, *user_home, *service_name, *root;
    const char *domain, *path, *listen; /* of start; domain also of delete */
    bool tls;                           /* of start, as the next two */
    const char *certificate, *certificate_key;
    const char *port, *login, *password, *file; /* of serve; file of hosts, resurrect */
};

/* `groups`: of enum args_group, or'ed. False: message printed. Ends with app_args_fini() either
 * way. */
bool app_args_parse(struct app_args *args, int argc, char **argv, unsigned groups);
void app_args_fini(struct app_args *args);

/* Calls `put` with every "--flag" of these groups: for completion. */
void app_args_each(unsigned groups, void (*put)(void *context, const char *flag), void *context);
