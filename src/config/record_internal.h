/* The inside of struct config_files, shared by the reader of the disk and the record.
 * Runs in: any process, at load time. */
#pragma once

#include "base/map.h"
#include "base/slice.h"

struct arena;

struct file_entry {
    struct file_entry *next; /* of the secrets */
    const char *path;        /* arena */
    struct slice text;       /* heap, arena or the mapping */
    bool heap;               /* `text` is freed with the files */
};

struct glob_entry {
    struct glob_entry *next;
    const char *pattern; /* arena */
    const char **paths;  /* arena: [count] */
    size_t count;
};

struct config_files {
    struct arena *arena;       /* owned */
    struct map by_path;        /* path -> file_entry */
    struct map by_pattern;     /* pattern -> glob_entry */
    struct map by_secret;      /* path -> file_entry */
    struct file_entry **files; /* arena: [file_count], in the order of first reading */
    struct file_entry *first_secret;
    struct file_entry **last_secret;
    size_t secret_count;
    size_t file_capacity;
    struct glob_entry *first_glob;
    struct glob_entry **last_glob;
    size_t file_count;
    size_t glob_count;
    void *mapping; /* owned; NULL: these files come from the disk */
    size_t mapping_bytes;
};

/* Both append an entry whose names are copies; NULL: no memory. The glob's paths are left NULL. */
struct file_entry *files_put(struct config_files *files, struct slice path, struct slice text);
struct file_entry *files_put_secret(struct config_files *files, struct slice path,
                                    struct slice bytes);
struct glob_entry *files_put_glob(struct config_files *files, struct slice pattern, size_t count);
