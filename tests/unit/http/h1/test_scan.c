/* The wide scans find what their scalar twins find. */
#include "http/h1/scan_internal.h"
#include "tests/unit/check.h"

#include <string.h>

/* Method: every byte at every place of runs of every length around the width of a register. */
#define COMPARE(kind)                                                                              \
    TEST(scan_##kind##_is_its_twin)                                                                \
    {                                                                                              \
        char text[64];                                                                             \
                                                                                                   \
        for (size_t len = 0; len <= 40; len++) {                                                   \
            for (size_t at = 0; at < len; at++) {                                                  \
                for (int c = 0; c < 256; c++) {                                                    \
                    memset(text, 'a', sizeof text);                                                \
                    text[at] = (char)c;                                                            \
                    text[len] = '\r';                                                              \
                    CHECK_EQ(scan_##kind(text, text + len),                                        \
                             scan_##kind##_scalar(text, text + len), "%zu: %d", at, c);            \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
COMPARE(value)
COMPARE(name)
COMPARE(target)
