/* What is in a folder, in the order of a listing: folders first, then by name.
 * Runs in: worker, any thread: touches nothing but its arguments. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct listing_entry {
    char *name; /* heap */
    size_t name_len;
    bool is_folder;
    bool is_regular;
    uint64_t size;
    time_t modified;
};

struct listing {
    struct listing_entry *entries; /* heap */
    size_t count;
    size_t room;
    bool cut;  /* there were more than fit */
    int error; /* errno of what failed, or 0 */
    const char *failed;
};

/* Names that begin with a dot are left out. Sets listing->error if the folder cannot be read. */
void listing_read(const char *path, struct listing *listing);
void listing_free(struct listing *listing);
