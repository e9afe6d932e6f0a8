/* Values as bytes between processes. Runs in: any. */
#include "daemon/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void pack_bytes(struct packer *packer, const void *bytes, size_t len)
{
    if (packer->failed)
        return;
    if (len > packer->capacity - packer->len) {
        size_t capacity = (packer->capacity + len) * 2;
        char *data = realloc(packer->data, capacity);

        if (data == NULL) {
            packer->failed = true;
            return;
        }
        packer->data = data;
        packer->capacity = capacity;
    }
    if (len > 0)
        memcpy(packer->data + packer->len, bytes, len);
    packer->len += len;
}

void pack_u64(struct packer *packer, uint64_t value)
{
    pack_bytes(packer, &value, sizeof value);
}

void pack_text(struct packer *packer, struct slice text)
{
    pack_u64(packer, text.len);
    pack_bytes(packer, text.data, text.len);
}

void pack_free(struct packer *packer)
{
    free(packer->data);
    *packer = (struct packer){.data = NULL};
}

int pack_memfd(const struct packer *packer, const char *name)
{
    int fd;

    if (packer->failed) {
        errno = ENOMEM;
        return -1;
    }
    fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    for (size_t done = 0; done < packer->len;) {
        ssize_t written = write(fd, packer->data + done, packer->len - done);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            close(fd);
            return -1;
        }
        done += (size_t)written;
    }
    /* Who gets it may rely on it: nobody can change it any more. */
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

uint64_t unpack_u64(struct unpacker *unpacker)
{
    uint64_t value = 0;

    if (unpacker->failed || unpacker->rest.len < sizeof value) {
        unpacker->failed = true;
        return 0;
    }
    memcpy(&value, unpacker->rest.data, sizeof value);
    unpacker->rest = slice_skip(unpacker->rest, sizeof value);
    return value;
}

uint64_t unpack_u64_max(struct unpacker *unpacker, uint64_t max)
{
    uint64_t value = unpack_u64(unpacker);

    if (value <= max)
        return value;
    unpacker->failed = true;
    return 0;
}

struct slice unpack_text(struct unpacker *unpacker)
{
    uint64_t len = unpack_u64(unpacker);
    struct slice text;

    if (unpacker->failed || len > unpacker->rest.len) {
        unpacker->failed = true;
        return slice_make("", 0);
    }
    text = slice_head(unpacker->rest, len);
    unpacker->rest = slice_skip(unpacker->rest, len);
    return text;
}

size_t unpack_count(struct unpacker *unpacker, size_t item_bytes)
{
    return unpack_u64_max(unpacker, unpacker->rest.len / item_bytes);
}

struct slice unpack_memfd(int fd, size_t bytes_max)
{
    struct stat info;
    char *data;
    size_t len;

    if (fstat(fd, &info) != 0)
        return slice_make(NULL, 0);
    len = (size_t)info.st_size;
    if (info.st_size < 0 || len > bytes_max) {
        errno = EFBIG;
        return slice_make(NULL, 0);
    }
    data = malloc(len + 1); /* never of size 0 */
    if (data == NULL)
        return slice_make(NULL, 0);
    if (pread(fd, data, len, 0) != (ssize_t)len) {
        free(data);
        errno = EIO;
        return slice_make(NULL, 0);
    }
    return slice_make(data, len);
}
