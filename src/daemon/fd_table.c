/* Descriptors found by name and counted. Runs in: any thread. */
#include "daemon/fd_table.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void fd_table_init(struct fd_table *table)
{
    pthread_mutex_init(&table->lock, NULL);
    map_init(&table->map, NULL, false);
}

void fd_table_fini(struct fd_table *table)
{
    struct map_entry *entry;
    size_t position = 0;

    while ((entry = map_next(&table->map, &position)) != NULL) {
        struct shared_fd *shared = entry->value;

        if (shared->fd >= 0)
            close(shared->fd);
        free(shared);
    }
    map_fini(&table->map);
    pthread_mutex_destroy(&table->lock);
}

/* One allocation: the struct, then the name. */
static struct shared_fd *add_name(struct fd_table *table, struct slice name)
{
    struct shared_fd *shared = malloc(sizeof *shared + name.len + 1);
    char *text;

    if (shared == NULL)
        return NULL;
    text = (char *)(shared + 1);
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    *shared = (struct shared_fd){.fd = -1, .name = slice_make(text, name.len)};
    if (map_put(&table->map, shared->name, shared, NULL))
        return shared;
    free(shared);
    return NULL;
}

struct shared_fd *fd_table_ref(struct fd_table *table, struct slice name)
{
    struct shared_fd *shared;

    pthread_mutex_lock(&table->lock);
    shared = map_get(&table->map, name);
    if (shared != NULL && shared->fd < 0)
        shared = NULL;
    if (shared != NULL)
        shared->refs++;
    pthread_mutex_unlock(&table->lock);
    return shared;
}

struct shared_fd *fd_table_adopt(struct fd_table *table, struct slice name, int fd)
{
    struct shared_fd *shared;

    assert(fd >= 0);
    pthread_mutex_lock(&table->lock);
    shared = map_get(&table->map, name);
    if (shared == NULL)
        shared = add_name(table, name);
    if (shared != NULL && shared->fd < 0) {
        assert(shared->refs == 0);
        shared->fd = fd;
        fd = -1;
    }
    if (shared != NULL)
        shared->refs++;
    pthread_mutex_unlock(&table->lock);
    if (fd >= 0)
        close(fd);
    return shared;
}

bool fd_table_unref(struct fd_table *table, struct shared_fd *shared)
{
    bool last;

    if (shared == NULL)
        return false;
    pthread_mutex_lock(&table->lock);
    assert(shared->refs > 0);
    last = --shared->refs == 0;
    if (last) {
        close(shared->fd);
        shared->fd = -1;
    }
    pthread_mutex_unlock(&table->lock);
    return last;
}

bool shared_fd_replace(struct shared_fd *shared, int fd)
{
    bool replaced = dup3(fd, shared->fd, O_CLOEXEC) >= 0;
    int os_error = errno;

    close(fd);
    errno = os_error;
    return replaced;
}
