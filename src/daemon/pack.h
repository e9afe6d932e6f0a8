/* Values as bytes between processes of one machine: 8-byte numbers and length-prefixed texts, in a
 * fixed order.
 *
 * What is read may come from an attacked worker or another version: every read is checked, and
 * after the first one that does not fit all others give zeros. Runs in: any. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct packer {
    char *data; /* owned: pack_free() */
    size_t len;
    size_t capacity;
    bool failed; /* no memory; what was packed is not complete */
};

void pack_u64(struct packer *packer, uint64_t value);
void pack_text(struct packer *packer, struct slice text);
void pack_free(struct packer *packer);

/* A sealed memfd with what was packed. -1: errno. */
int pack_memfd(const struct packer *packer, const char *name);

struct unpacker {
    struct slice rest;
    bool failed;
};

uint64_t unpack_u64(struct unpacker *unpacker);

/* At most `max`, else the whole input is bad. */
uint64_t unpack_u64_max(struct unpacker *unpacker, uint64_t max);

/* A view into the input. */
struct slice unpack_text(struct unpacker *unpacker);

/* Number of items that follow, each of at least `item_bytes` bytes: no more than the input can
 * hold. */
size_t unpack_count(struct unpacker *unpacker, size_t item_bytes);

/* The whole of a memfd in memory that the caller frees; at most `bytes_max`. `.data` NULL: errno.
 */
struct slice unpack_memfd(int fd, size_t bytes_max);
