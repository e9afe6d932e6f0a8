/* Showing apps: the table of `ls`, the details of `describe`. Runs in: the process the user
 * started. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* `list` is in the shape of jlist. Colour only if `colour`. */
void app_list_print(FILE *out, json_t *list, bool colour);
void app_list_describe(FILE *out, json_t *instance);
