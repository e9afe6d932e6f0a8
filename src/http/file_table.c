#include "http/file_table.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUCKETS_FIRST = 64 };

void file_table_init(struct file_table *table)
{
    *table = (struct file_table){0};
    list_init(&table->recent);
}

void file_entry_unref(void *data)
{
    struct file_entry *entry = data;

    assert(entry->refs > 0);
    if (--entry->refs > 0)
        return;
    assert(!entry->listed);
    if (entry->file.fd >= 0)
        close(entry->file.fd);
    free((void *)(uintptr_t)entry->file.contents);
    free(entry);
}

static struct file_entry **place_of(struct file_table *table, uint64_t hash, struct slice path)
{
    struct file_entry **at = &table->buckets[hash & (table->bucket_count - 1)];

    while (*at != NULL && ((*at)->hash != hash || (*at)->path_len != path.len ||
                           memcmp((*at)->path, path.data, path.len) != 0))
        at = &(*at)->next;
    return at;
}

/* Twice the buckets. Without memory the chains are only longer. */
static bool grow(struct file_table *table)
{
    size_t count = table->bucket_count == 0 ? BUCKETS_FIRST : table->bucket_count * 2;
    struct file_entry **buckets = calloc(count, sizeof *buckets);

    if (buckets == NULL)
        return table->buckets != NULL;
    for (size_t i = 0; i < table->bucket_count; i++) {
        while (table->buckets[i] != NULL) {
            struct file_entry *entry = table->buckets[i];

            table->buckets[i] = entry->next;
            entry->next = buckets[entry->hash & (count - 1)];
            buckets[entry->hash & (count - 1)] = entry;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->bucket_count = count;
    return true;
}

static size_t content_bytes(const struct file_entry *entry)
{
    return entry->file.contents == NULL ? 0 : (size_t)entry->file.size;
}

void file_table_drop(struct file_table *table, struct file_entry *entry)
{
    struct slice path = slice_make(entry->path, entry->path_len);
    struct file_entry **at = place_of(table, entry->hash, path);

    assert(entry->listed);
    assert(*at == entry);
    *at = entry->next;
    list_remove(&entry->recent);
    table->count--;
    table->content_bytes -= content_bytes(entry);
    entry->listed = false;
    file_entry_unref(entry);
}

struct file_entry *file_table_find(struct file_table *table, struct slice path, uint64_t now_ms)
{
    if (table->count == 0)
        return NULL;
    struct file_entry *entry = *place_of(table, slice_hash(path), path);

    if (entry == NULL)
        return NULL;
    list_remove(&entry->recent);
    list_push_front(&table->recent, &entry->recent);
    entry->used_ms = now_ms;
    return entry;
}

/* Not yet in the table, so with one reference. */
static struct file_entry *entry_new(struct slice path, const struct file *file)
{
    struct file_entry *entry = calloc(1, sizeof *entry + path.len + 1);
    char *contents = NULL;

    if (entry == NULL)
        return NULL;
    if (file != NULL && file->contents != NULL) {
        contents = malloc((size_t)file->size + 1); /* one more: a file may be empty */
        if (contents == NULL) {
            free(entry);
            return NULL;
        }
        memcpy(contents, file->contents, (size_t)file->size);
    }
    entry->file = file == NULL ? (struct file){.fd = -1} : *file;
    entry->file.contents = contents;
    entry->known = file != NULL;
    entry->refs = 1;
    entry->uses = 1;
    entry->hash = slice_hash(path);
    entry->path_len = path.len;
    memcpy(entry->path, path.data, path.len);
    return entry;
}

struct file_entry *file_table_put(struct file_table *table, struct slice path,
                                  const struct file *file, uint64_t now_ms)
{
    if (table->count >= table->bucket_count && !grow(table))
        return NULL;
    struct file_entry *entry = entry_new(path, file);

    if (entry == NULL)
        return NULL;
    struct file_entry *old = *place_of(table, entry->hash, path);

    if (old != NULL) {
        entry->uses = old->uses;
        file_table_drop(table, old);
    }
    struct file_entry **bucket = &table->buckets[entry->hash & (table->bucket_count - 1)];

    entry->next = *bucket;
    *bucket = entry;
    list_push_front(&table->recent, &entry->recent);
    entry->listed = true;
    entry->checked_ms = now_ms;
    entry->used_ms = now_ms;
    table->count++;
    table->content_bytes += content_bytes(entry);
    return entry;
}

void file_table_trim(struct file_table *table, size_t count_max, size_t content_bytes_max,
                     uint64_t used_after_ms)
{
    while (table->count > 0) {
        struct file_entry *last = container_of(table->recent.prev, struct file_entry, recent);

        if (table->count <= count_max && table->content_bytes <= content_bytes_max &&
            last->used_ms >= used_after_ms)
            return;
        file_table_drop(table, last);
    }
}

void file_table_fini(struct file_table *table)
{
    file_table_trim(table, 0, 0, 0);
    free(table->buckets);
}
