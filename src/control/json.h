/* JSON (RFC 8259) as a tree, for small messages on the control socket. Runs in: master; cli. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stdio.h>

struct arena;

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_kind kind;
    bool truth;         /* of JSON_BOOL */
    double number;      /* of JSON_NUMBER */
    struct slice text;  /* of JSON_STRING: unescaped UTF-8 */
    struct slice name;  /* when it is a member of an object */
    struct json *first; /* of arrays and objects */
    struct json *next;  /* in its array or object */
};

enum { JSON_DEPTH_MAX = 16 };

/* The whole text must be one value, nested JSON_DEPTH_MAX deep at most. NULL: it is not, or no
 * memory. */
struct json *json_parse(struct arena *arena, struct slice text);

/* The member, or NULL; the last one of equal names. */
const struct json *json_member(const struct json *object, const char *name);

/* The member's string, or the empty slice. */
struct slice json_member_text(const struct json *object, const char *name);

/* "text" with quotes and escapes. Bytes that are no UTF-8 pass as they are. */
void json_write_text(FILE *out, struct slice text);
