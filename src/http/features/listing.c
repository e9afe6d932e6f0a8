#include "http/features/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ENTRIES_MAX = 100000, ENTRIES_FIRST = 64 };

static bool make_room(struct listing *listing)
{
    size_t room = listing->room == 0 ? ENTRIES_FIRST : listing->room * 2;
    struct listing_entry *entries;

    if (listing->count < listing->room)
        return true;
    entries = realloc(listing->entries, room * sizeof *entries);
    if (entries == NULL)
        return false;
    listing->entries = entries;
    listing->room = room;
    return true;
}

/* A name that has gone meanwhile is left out; a link to nothing is listed as what it is. */
static bool add(struct listing *listing, int folder, const char *name)
{
    struct stat st;

    if (fstatat(folder, name, &st, 0) != 0 && fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || errno == EACCES;
    if (!make_room(listing))
        return false;
    struct listing_entry *entry = &listing->entries[listing->count];

    entry->name = strdup(name);
    if (entry->name == NULL)
        return false;
    entry->name_len = strlen(name);
    entry->is_folder = S_ISDIR(st.st_mode);
    entry->is_regular = S_ISREG(st.st_mode);
    entry->size = st.st_size < 0 ? 0 : (uint64_t)st.st_size;
    entry->modified = st.st_mtim.tv_sec;
    listing->count++;
    return true;
}

static int by_kind_and_name(const void *a, const void *b)
{
    const struct listing_entry *left = a;
    const struct listing_entry *right = b;

    if (left->is_folder != right->is_folder)
        return left->is_folder ? -1 : 1;
    return strcmp(left->name, right->name);
}

static bool read_all(DIR *folder, struct listing *listing)
{
    for (;;) {
        struct dirent *found;

        errno = 0;
        found = readdir(folder);
        if (found == NULL)
            return errno == 0;
        if (found->d_name[0] == '.')
            continue;
        listing->cut = listing->count == ENTRIES_MAX;
        if (listing->cut)
            return true;
        if (!add(listing, dirfd(folder), found->d_name))
            return false;
    }
}

void listing_read(const char *path, struct listing *listing)
{
    DIR *folder = opendir(path);

    *listing = (struct listing){0};
    if (folder == NULL) {
        listing->error = errno;
        listing->failed = "opendir()";
        return;
    }
    if (!read_all(folder, listing)) {
        listing->error = errno;
        listing->failed = "readdir()";
    }
    closedir(folder);
    if (listing->count > 1)
        qsort(listing->entries, listing->count, sizeof *listing->entries, by_kind_and_name);
}

void listing_free(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free(listing->entries[i].name);
    free(listing->entries);
    *listing = (struct listing){0};
}
