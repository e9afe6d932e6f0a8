/* Showing apps: the table of `ls`, the details of `describe`. Runs in: the process the user
 * started. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct list_look {
    bool colour;
    bool mini;      /* pm2's --mini-list: lines instead of a table */
    bool requests;  /* with how many and how fast, if any app is asked by a balancer */
    unsigned width; /* of the terminal; 0: as wide as need be */
};

/* `list` is in the shape of jlist. */
void app_list_print(FILE *out, json_t *list, const struct list_look *look);
void app_list_describe(FILE *out, json_t *instance);

/* Sorts by "FIELD" or "FIELD:desc"; NULL: by name, as pm2 does. False: there is no such field. */
bool app_list_sort(json_t *list, const char *by);

/* Bytes as a person reads them: "12.3mb". */
enum { LIST_CELL_BYTES = 160 };
void app_list_bytes(char out[LIST_CELL_BYTES], json_int_t bytes);
