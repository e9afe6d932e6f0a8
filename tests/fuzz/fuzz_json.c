/* Goal: no text crashes the JSON parser, and a string it takes is written and read back the same.
 */
#include "base/arena.h"
#include "control/json.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(1024);
    const struct json *value = json_parse(arena, slice_make((const char *)data, size));
    char *line = NULL;
    size_t len = 0;

    if (value != NULL && value->kind == JSON_STRING) {
        FILE *out = open_memstream(&line, &len);
        const struct json *again;

        json_write_text(out, value->text);
        fclose(out);
        again = json_parse(arena, slice_make(line, len));
        assert(again != NULL);
        assert(slice_eq(again->text, value->text));
        free(line);
    }
    arena_drop(arena);
    return 0;
}
