/* Goal: no text crashes the parser of dates, and a date it takes is written and read back the same.
 */
#include "base/clock.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[30];
    time_t when;
    time_t again;

    if (!clock_parse_http_date(slice_make((const char *)data, size), &when))
        return 0;
    assert(size >= 24);
    if (when < 0) /* before 1970 nothing is written */
        return 0;
    clock_http_date(when, text);
    assert(clock_parse_http_date(slice_of(text), &again));
    assert(again == when || again == 253402300799); /* 9999-12-31 23:59:60 is bounded */
    return 0;
}
