/* The hosts file, parsed once and again when it changes. Runs in: any process, any thread. */
#include "balance/resolver_internal.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CHECK_EVERY_MS = 1000,
    FILE_BYTES_MAX = 64 << 20,
};

struct host_address {
    struct host_address *next;
    struct address address;
    bool checked; /* for IPv6: whether there is a route to it has been found out */
    bool unreachable;
};

/* Of one name: in the order of the file. */
struct host {
    struct host_address *first;
    struct host_address **last;
};

static struct {
    pthread_mutex_t lock;
    struct arena *arena; /* owned; NULL: nothing read yet */
    struct map names;
    struct timespec changed;
    off_t bytes;
    ino_t inode;
    uint64_t checked_ms;
} hosts = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool host_name_valid(struct slice name)
{
    size_t label = 0;

    if (name.len > 0 && name.data[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > 253)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.data[i]);
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';

        if (c == '.' ? label == 0 : !letter || label == 63)
            return false;
        label = c == '.' ? 0 : label + 1;
    }
    return label > 0;
}

static bool next_word(struct slice *line, struct slice *word)
{
    size_t start = 0, end;

    while (start < line->len && (line->data[start] == ' ' || line->data[start] == '\t'))
        start++;
    end = start;
    while (end < line->len && line->data[end] != ' ' && line->data[end] != '\t' &&
           line->data[end] != '\r' && line->data[end] != '#')
        end++;
    *word = slice_make(line->data + start, end - start);
    if (end < line->len && (line->data[end] == '#' || line->data[end] == '\r'))
        end = line->len;
    *line = slice_skip(*line, end);
    return word->len > 0;
}

static void add_name(struct slice name, const struct address *address)
{
    struct host *host = map_get(&hosts.names, name);
    struct host_address *entry = arena_zalloc(hosts.arena, sizeof(*entry));

    if (host == NULL) {
        host = arena_zalloc(hosts.arena, sizeof(*host));
        if (host == NULL || !map_put(&hosts.names, name, host, NULL))
            return;
        host->last = &host->first;
    }
    if (entry == NULL)
        return;
    entry->address = *address;
    *host->last = entry;
    host->last = &entry->next;
}

static void parse_line(struct slice line)
{
    struct slice word;
    struct address address;

    if (line.len == 0 || !next_word(&line, &word) || slice_find(word, '/') >= 0 ||
        !address_parse(word, 0, &address))
        return;
    while (line.data != NULL && next_word(&line, &word)) {
        if (host_name_valid(word))
            add_name(word, &address);
    }
}

static struct slice read_file(int fd, size_t bytes)
{
    char *text = arena_bytes(hosts.arena, bytes + 1);
    size_t filled = 0;

    while (text != NULL && filled < bytes) {
        ssize_t got = read(fd, text + filled, bytes - filled);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        filled += (size_t)got;
    }
    return slice_make(text, text == NULL ? 0 : filled);
}

static void reload(int fd, const struct stat *st)
{
    struct slice rest, line;

    arena_drop(hosts.arena);
    hosts.arena = arena_new(4096);
    map_init(&hosts.names, hosts.arena, true);
    hosts.changed = st->st_mtim;
    hosts.bytes = st->st_size;
    hosts.inode = st->st_ino;
    if (hosts.arena == NULL || st->st_size > FILE_BYTES_MAX)
        return;
    rest = read_file(fd, (size_t)st->st_size);
    while (rest.data != NULL && slice_split(&rest, '\n', &line))
        parse_line(line);
}

/* Looks at most once a second whether the file has changed. Under the lock. */
static void refresh(void)
{
    uint64_t now_ms = clock_monotonic_ms();
    struct stat st;
    int fd;

    if (hosts.arena != NULL && now_ms < hosts.checked_ms + CHECK_EVERY_MS)
        return;
    hosts.checked_ms = now_ms;
    if (hosts.arena != NULL && stat("/etc/hosts", &st) == 0 && st.st_ino == hosts.inode &&
        st.st_size == hosts.bytes && st.st_mtim.tv_sec == hosts.changed.tv_sec &&
        st.st_mtim.tv_nsec == hosts.changed.tv_nsec)
        return;
    fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0)
        reload(fd, &st);
    close(fd);
}

bool address_reachable(const struct address *address)
{
    bool reachable;
    int fd;

    if (address->any.sa_family != AF_INET6)
        return true;
    /* Connecting a datagram socket sends nothing: it only asks for a route. */
    fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno != EAFNOSUPPORT;
    reachable = connect(fd, &address->any, address->len) == 0 ||
                (errno != ENETUNREACH && errno != EADDRNOTAVAIL && errno != EHOSTUNREACH);
    close(fd);
    return reachable;
}

static bool usable(struct host_address *entry)
{
    struct address probe = entry->address;

    if (!entry->checked) {
        address_set_port(&probe, 9);
        entry->unreachable = !address_reachable(&probe);
        entry->checked = true;
    }
    return !entry->unreachable;
}

/* IPv4 before IPv6, as nginx orders what getaddrinfo gives. */
static size_t collect(const struct host *host, uint16_t port, struct address *out, size_t max)
{
    static const int families[] = {AF_INET, AF_INET6};
    size_t count = 0;

    for (size_t f = 0; f < COUNT(families); f++) {
        for (struct host_address *it = host->first; it != NULL && count < max; it = it->next) {
            if (it->address.any.sa_family != families[f] || !usable(it))
                continue;
            out[count] = it->address;
            address_set_port(&out[count++], port);
        }
    }
    return count;
}

bool host_is_local(struct slice name)
{
    struct slice ending = SLICE(".localhost");

    if (name.len > 0 && name.data[name.len - 1] == '.')
        name.len--;
    if (name.len > ending.len)
        name = slice_skip(name, name.len - ending.len);
    else
        ending = slice_skip(ending, 1);
    return slice_eq_nocase(name, ending);
}

size_t hosts_find(struct slice name, uint16_t port, struct address *out, size_t max)
{
    const struct host *host;
    size_t count = 0;

    if (max == 0)
        return 0;
    pthread_mutex_lock(&hosts.lock);
    refresh();
    host = hosts.arena == NULL ? NULL : map_get(&hosts.names, name);
    if (host != NULL)
        count = collect(host, port, out, max);
    pthread_mutex_unlock(&hosts.lock);
    /* RFC 6761, 6.3: these names are never asked of the DNS. */
    if (count == 0 && host_is_local(name) &&
        address_parse((struct slice)SLICE("127.0.0.1"), port, out)) {
        count = 1;
    }
    return count;
}
