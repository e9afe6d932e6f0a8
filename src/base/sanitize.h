/* Is this build watched by AddressSanitizer? Then memory is not recycled by pools and arenas, so
 * that every overrun and every use after the end is seen. Runs in: any. */
#pragma once

#include <stdbool.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN true
#endif
#endif

#ifndef WITH_ASAN
#define WITH_ASAN false
#endif
