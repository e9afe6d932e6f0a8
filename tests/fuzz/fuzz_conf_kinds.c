/* Goal: numbers, times and sizes agree with each other, and never overflow. */
#include "config/directive.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_times(struct slice text)
{
    uint64_t ms = 0;
    uint64_t seconds = 0;
    bool in_ms = conf_parse_msec(text, &ms);
    bool in_s = conf_parse_sec(text, &seconds);

    assert(!in_ms || ms <= INT64_MAX);
    assert(!in_s || seconds <= INT64_MAX);
    if (in_ms && in_s)
        assert(ms == seconds * 1000);
}

static void check_numbers(struct slice text)
{
    uint64_t plain = 0;
    int64_t value = 0;
    size_t bytes = 0;
    uint64_t seconds = 0;

    if (!conf_parse_int(text, 0, INT64_MAX, &value))
        return;
    assert(value >= 0);
    assert(slice_to_u64(text, &plain));
    assert(plain == (uint64_t)value);
    assert(conf_parse_bytes(text, &bytes));
    assert(bytes == (size_t)value);
    assert(conf_parse_sec(text, &seconds));
    assert(seconds == (uint64_t)value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make((const char *)data, size);
    size_t bytes = 0;
    bool on;

    check_times(text);
    check_numbers(text);
    if (conf_parse_bytes(text, &bytes))
        assert(bytes <= INT64_MAX);
    if (conf_parse_flag(text, &on))
        assert(size == (on ? 2u : 3u));
    return 0;
}
