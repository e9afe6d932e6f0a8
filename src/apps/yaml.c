/* YAML as far as configurations go: maps, lists, scalars, anchors, merge keys. Runs in: cli. */
#include "apps/ecosystem.h"
#include "base/diag.h"
#include "base/list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

enum { DEPTH_MAX = 32 };

struct reader {
    yaml_parser_t parser;
    const char *path;
    struct diag *diag;
    json_t *anchors; /* owned: name -> value */
    unsigned depth;
};

static bool fail(struct reader *reader, const char *what, size_t line)
{
    diag_add(reader->diag, DIAG_ERROR, NULL, "%s:%zu: %s", reader->path, line + 1, what);
    return false;
}

static bool next_event(struct reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event))
        return true;
    return fail(reader, reader->parser.problem == NULL ? "no memory" : reader->parser.problem,
                reader->parser.problem_mark.line);
}

/* YAML 1.2's core words; what is quoted is a text. */
static json_t *scalar(const yaml_event_t *event)
{
    static const char *const nothing[] = {"", "~", "null", "Null", "NULL"};
    const char *text = (const char *)event->data.scalar.value;
    char *end;
    long long whole;
    double real;

    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return json_stringn(text, event->data.scalar.length);
    for (size_t i = 0; i < COUNT(nothing); i++) {
        if (strcmp(text, nothing[i]) == 0)
            return json_null();
    }
    if (strcasecmp(text, "true") == 0 || strcasecmp(text, "false") == 0)
        return json_boolean(strcasecmp(text, "true") == 0);
    errno = 0;
    whole = strtoll(text, &end, 10);
    if (*end == '\0' && errno == 0)
        return json_integer(whole);
    if (strspn(text, "+-.0123456789eE") == strlen(text)) {
        real = strtod(text, &end);
        if (*end == '\0')
            return json_real(real);
    }
    return json_stringn(text, event->data.scalar.length);
}

static json_t *read_value(struct reader *reader, yaml_event_t *event);

static json_t *read_list(struct reader *reader)
{
    json_t *list = json_array();
    yaml_event_t event;

    while (next_event(reader, &event)) {
        bool last = event.type == YAML_SEQUENCE_END_EVENT;
        json_t *value = last ? NULL : read_value(reader, &event);

        yaml_event_delete(&event);
        if (last)
            return list;
        if (value == NULL)
            break;
        json_array_append_new(list, value);
    }
    json_decref(list);
    return NULL;
}

/* "<<": what is merged in does not replace what stands in the map itself. */
static void set_member(json_t *map, const char *key, json_t *value)
{
    if (strcmp(key, "<<") == 0 && json_is_object(value)) {
        json_object_update_missing(map, value);
        json_decref(value);
    } else {
        json_object_set_new(map, key, value);
    }
}

static json_t *read_map(struct reader *reader)
{
    json_t *map = json_object();
    yaml_event_t event;

    while (next_event(reader, &event)) {
        char *key = NULL;
        json_t *value = NULL;
        bool last = event.type == YAML_MAPPING_END_EVENT;

        if (event.type == YAML_SCALAR_EVENT)
            key = strdup((const char *)event.data.scalar.value);
        else if (!last)
            fail(reader, "a key must be a text", event.start_mark.line);
        yaml_event_delete(&event);
        if (last)
            return map;
        if (key != NULL && next_event(reader, &event)) {
            value = read_value(reader, &event);
            yaml_event_delete(&event);
        }
        if (value != NULL)
            set_member(map, key, value);
        free(key);
        if (value == NULL)
            break;
    }
    json_decref(map);
    return NULL;
}

static json_t *read_alias(struct reader *reader, const yaml_event_t *event)
{
    json_t *value = json_object_get(reader->anchors, (const char *)event->data.alias.anchor);

    if (value == NULL)
        fail(reader, "there is no such anchor", event->start_mark.line);
    return json_incref(value);
}

static json_t *read_nested(struct reader *reader, const yaml_event_t *event)
{
    bool map = event->type == YAML_MAPPING_START_EVENT;
    json_t *value;

    if (reader->depth == DEPTH_MAX) {
        fail(reader, "nested too deeply", event->start_mark.line);
        return NULL;
    }
    reader->depth++;
    value = map ? read_map(reader) : read_list(reader);
    reader->depth--;
    return value;
}

static json_t *read_value(struct reader *reader, yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL;
    json_t *value = NULL;

    switch (event->type) {
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        value = scalar(event);
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        value = read_nested(reader, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        value = read_nested(reader, event);
        break;
    case YAML_ALIAS_EVENT:
        return read_alias(reader, event);
    default:
        fail(reader, "a value is missing", event->start_mark.line);
        return NULL;
    }
    if (value != NULL && anchor != NULL)
        json_object_set(reader->anchors, (const char *)anchor, value);
    return value;
}

static json_t *read_document(struct reader *reader)
{
    yaml_event_t event;
    json_t *value = NULL;

    for (;;) {
        bool prologue;

        if (!next_event(reader, &event))
            return NULL;
        prologue = event.type == YAML_STREAM_START_EVENT || event.type == YAML_DOCUMENT_START_EVENT;
        if (!prologue)
            value = read_value(reader, &event);
        yaml_event_delete(&event);
        if (!prologue)
            return value;
    }
}

json_t *yaml_load(const char *path, struct diag *diag)
{
    struct reader reader = {.path = path, .diag = diag};
    FILE *file = fopen(path, "re");
    json_t *value = NULL;

    if (file == NULL || !yaml_parser_initialize(&reader.parser)) {
        diag_errno(diag, "read", path);
        if (file != NULL)
            fclose(file);
        return NULL;
    }
    reader.anchors = json_object();
    yaml_parser_set_input_file(&reader.parser, file);
    value = read_document(&reader);
    yaml_parser_delete(&reader.parser);
    json_decref(reader.anchors);
    fclose(file);
    return value;
}
