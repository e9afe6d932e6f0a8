/* What a loop remembers of files: open descriptors (open_file_cache), and contents of small files.
 *
 * Entries are counted: one that is forgotten while it is being sent lives until its last user has
 * gone. Runs in: worker, the thread of the table's loop. */
#pragma once

#include "base/list.h"
#include "http/file.h"

struct file_entry {
    struct file file; /* fd and contents owned */
    struct list recent;
    struct file_entry *next; /* in its bucket */
    uint64_t hash;
    unsigned refs; /* the table's and its users' */
    int uses;      /* since it was first asked for */
    bool listed;   /* the table has it */
    bool known;    /* false: only counts uses so far */
    uint64_t checked_ms;
    uint64_t used_ms;
    size_t path_len;
    char path[]; /* terminated */
};

struct file_table {
    struct file_entry **buckets; /* heap; NULL until the first entry */
    size_t bucket_count;         /* power of two */
    size_t count;
    size_t content_bytes;
    struct list recent; /* most recently used first */
};

void file_table_init(struct file_table *table);
void file_table_fini(struct file_table *table);

/* Marks it as used now. NULL: none. */
struct file_entry *file_table_find(struct file_table *table, struct slice path, uint64_t now_ms);

/* Puts `file` in place of what was there for `path`, or NULL to only count uses. Takes file->fd
 * over and copies its contents. NULL: no memory; then the fd is still the caller's. */
struct file_entry *file_table_put(struct file_table *table, struct slice path,
                                  const struct file *file, uint64_t now_ms);

/* Forgets it. */
void file_table_drop(struct file_table *table, struct file_entry *entry);

/* Forgets the least recently used until no more than that is left; and those not used since
 * `used_after_ms`. */
void file_table_trim(struct file_table *table, size_t count_max, size_t content_bytes_max,
                     uint64_t used_after_ms);

static inline struct file_entry *file_entry_ref(struct file_entry *entry)
{
    entry->refs++;
    return entry;
}

/* The last one closes the file. Fits arena_on_drop(). */
void file_entry_unref(void *data);
