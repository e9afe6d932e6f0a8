/* pelayan serve: a folder of files behind a port, by our own server that runs as an app. Runs in:
 * the process the user started. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct run_options;

int app_serve(const struct run_options *options, int argc, char **argv);

/* `app` of an ecosystem file with `script: "serve"` and pm2's variables (PM2_SERVE_PATH, _PORT,
 * _SPA, _HOMEPAGE, _BASIC_AUTH_USERNAME, _BASIC_AUTH_PASSWORD) becomes what runs our server; any
 * other is left as it is. Its cwd is absolute. False: message printed. */
bool app_serve_expand(const struct run_options *options, json_t *app);
