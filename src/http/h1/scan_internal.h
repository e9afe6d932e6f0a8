/* Finding the byte that ends something: 16 at a time where the processor can.
 *
 * Each scan gives the first byte of [at, end) that stops it, or `end`. Its scalar twin is the
 * definition; tests and fuzzers hold the two against each other. Nothing outside [at, end) is read.
 * Runs in: any process, any thread. */
#pragma once

#include <stdbool.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* Header values and reason phrases: everything below a blank but the tab, and DEL. */
static inline bool stops_value(unsigned char c)
{
    return (c < ' ' && c != '\t') || c == 127;
}

/* Header names: a colon, and all that is not visible. */
static inline bool stops_name(unsigned char c)
{
    return c <= ' ' || c == ':' || c == 127;
}

/* Request targets: all that is not visible. */
static inline bool stops_target(unsigned char c)
{
    return c <= ' ' || c == 127;
}

#define SCALAR_SCAN(kind)                                                                          \
    static inline const char *scan_##kind##_scalar(const char *at, const char *end)                \
    {                                                                                              \
        while (at < end && !stops_##kind((unsigned char)*at))                                      \
            at++;                                                                                  \
        return at;                                                                                 \
    }
SCALAR_SCAN(value)
SCALAR_SCAN(name)
SCALAR_SCAN(target)
#undef SCALAR_SCAN

#if defined(__SSE2__)

/* 0xff in each byte that is not above `limit`. */
static inline __m128i up_to(__m128i bytes, char limit)
{
    __m128i all = _mm_set1_epi8(limit);

    return _mm_cmpeq_epi8(_mm_max_epu8(bytes, all), all);
}

static inline __m128i equal_to(__m128i bytes, char c)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c));
}

static inline __m128i stops_value_16(__m128i bytes)
{
    __m128i low = _mm_andnot_si128(equal_to(bytes, '\t'), up_to(bytes, ' ' - 1));

    return _mm_or_si128(low, equal_to(bytes, 127));
}

static inline __m128i stops_target_16(__m128i bytes)
{
    return _mm_or_si128(up_to(bytes, ' '), equal_to(bytes, 127));
}

static inline __m128i stops_name_16(__m128i bytes)
{
    return _mm_or_si128(stops_target_16(bytes), equal_to(bytes, ':'));
}

/* Runs of 8 and more bytes end with a load that overlaps the one before, not byte by byte. */
#define WIDE_SCAN(kind)                                                                            \
    static inline unsigned mask_##kind##_16(const char *at)                                        \
    {                                                                                              \
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);                        \
                                                                                                   \
        return (unsigned)_mm_movemask_epi8(stops_##kind##_16(bytes));                              \
    }                                                                                              \
    static inline unsigned mask_##kind##_8(const char *at)                                         \
    {                                                                                              \
        __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)at);                        \
                                                                                                   \
        return (unsigned)_mm_movemask_epi8(stops_##kind##_16(bytes)) & 0xff;                       \
    }                                                                                              \
    static inline const char *scan_##kind##_short(const char *at, const char *end)                 \
    {                                                                                              \
        unsigned mask;                                                                             \
                                                                                                   \
        if (end - at < 8)                                                                          \
            return scan_##kind##_scalar(at, end);                                                  \
        mask = mask_##kind##_8(at) | mask_##kind##_8(end - 8) << (end - at - 8);                   \
        return mask == 0 ? end : at + __builtin_ctz(mask);                                         \
    }                                                                                              \
    static inline const char *scan_##kind(const char *at, const char *end)                         \
    {                                                                                              \
        unsigned mask = 0;                                                                         \
                                                                                                   \
        if (end - at < 16)                                                                         \
            return scan_##kind##_short(at, end);                                                   \
        while (end - at >= 16 && (mask = mask_##kind##_16(at)) == 0)                               \
            at += 16;                                                                              \
        if (mask == 0 && at < end) {                                                               \
            at = end - 16;                                                                         \
            mask = mask_##kind##_16(at);                                                           \
        }                                                                                          \
        return mask == 0 ? end : at + __builtin_ctz(mask);                                         \
    }
#else
#define WIDE_SCAN(kind)                                                                            \
    static inline const char *scan_##kind(const char *at, const char *end)                         \
    {                                                                                              \
        return scan_##kind##_scalar(at, end);                                                      \
    }
#endif
WIDE_SCAN(value)
WIDE_SCAN(name)
WIDE_SCAN(target)
#undef WIDE_SCAN
