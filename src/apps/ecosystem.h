/* Ecosystem files: .json, .yaml and .yml are read here; JavaScript is evaluated once, by the user's
 * own node, to JSON. Runs in: cli. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct diag;

/* By its name: "ecosystem.config.js", "apps.json", "x.yaml", ... */
bool ecosystem_is_file(const char *path);

/* {"apps": [...], "deploy": {...}}, whatever of its forms the file has. "-" is JSON on standard
 * input. NULL: message in `diag`. The caller owns it. */
json_t *ecosystem_load(const char *path, struct diag *diag);

/* yaml.c: NULL: message in `diag`. */
json_t *yaml_load(const char *path, struct diag *diag);
