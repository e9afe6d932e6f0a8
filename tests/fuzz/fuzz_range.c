/* Goal: no Range field crashes its parser, and the ranges it gives lie inside the body. */
#include "http/features/range.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make((const char *)data + 1, size == 0 ? 0 : size - 1);
    uint64_t length = size == 0 ? 0 : (uint64_t)data[0] * 1001;
    struct byte_range *ranges = malloc((size + 1) * sizeof *ranges);
    uint64_t total = 0;
    size_t count;

    if (ranges == NULL || size == 0) {
        free(ranges);
        return 0;
    }
    if (parse_ranges(text, length, 20, ranges, &count) == RANGES_OK) {
        assert(count > 0 && count <= 20);
        for (size_t i = 0; i < count; i++) {
            assert(ranges[i].start < ranges[i].end && ranges[i].end <= length);
            total += ranges[i].end - ranges[i].start;
        }
        assert(total <= length);
    }
    free(ranges);
    return 0;
}
