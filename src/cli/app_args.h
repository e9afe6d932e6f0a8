/* The command line of app commands: pm2's flags, from the same rows as an ecosystem file's keys.
 * Runs in: the process the user started. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { APP_WORDS_MAX = 256 };

struct app_args {
    json_t *spec; /* owned: keys given as flags, and "args" from behind "--" */
    const char *words[APP_WORDS_MAX];
    size_t word_count;
    bool force, update_env, json, silent, no_daemon, no_color;
    bool err, out, raw, timestamp, nostream; /* of logs */
    const char *env_name;
    const char *only;
    const char *lines;
    const char *highlight;
};

/* `specs`: are flags of specs taken? False: message printed. Ends with app_args_fini() either way.
 */
bool app_args_parse(struct app_args *args, int argc, char **argv, bool specs);
void app_args_fini(struct app_args *args);
