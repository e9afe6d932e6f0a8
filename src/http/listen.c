/* `listen`: addresses, socket options, default servers, and which addresses get a socket.
 * Runs in: any process, at load time. */
#include "base/arena.h"
#include "base/diag.h"
#include "config/loader.h"
#include "http/core_conf.h"
#include "http/structure_internal.h"

#include <assert.h>
#include <netdb.h>
#include <stdlib.h>
#include <unistd.h>

enum { LISTEN_ADDRESSES_MAX = 16 }; /* of one host name */

/* What the first word names: the addresses of a host, and on each the ports from its own to
 * `last_port`. */
struct listen_target {
    struct address addresses[LISTEN_ADDRESSES_MAX];
    size_t count;
    unsigned last_port; /* 0: there is only one */
};

/* The words after the address, while one `listen` is read. */
struct listen_words {
    struct listen_options options;
    bool options_given;
    bool is_default;
    bool bind;
    bool proxy_protocol;
    bool ssl;
    bool http2;
};

static bool no_memory(struct conf_call *call)
{
    return conf_error(call, 0, "no memory for the configuration");
}

/* A host name in `listen` is looked up when the configuration is read, as everywhere. */
static bool resolve(struct conf_call *call, struct slice host, uint16_t port,
                    struct listen_target *target)
{
    struct slice name = arena_copy(call->loader->scratch, host);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;

    if (name.data == NULL)
        return no_memory(call);
    if (getaddrinfo(name.data, NULL, &hints, &found) != 0 || found == NULL) {
        conf_error(call, 1, "host not found in \"%.*s\" of the \"listen\" directive",
                   SLICE_ARG(conf_arg(call, 1)));
        conf_hint(call, "use an address of this machine, or only the port");
        return false;
    }
    for (struct addrinfo *item = found; item != NULL && target->count < LISTEN_ADDRESSES_MAX;
         item = item->ai_next) {
        struct address *address = &target->addresses[target->count++];

        memcpy(&address->any, item->ai_addr, item->ai_addrlen);
        address->len = item->ai_addrlen;
        address_set_port(address, port);
    }
    freeaddrinfo(found);
    return true;
}

static bool is_digits(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    return text.len > 0;
}

/* "8000-8010" at the end: takes "-8010" away. */
static struct slice split_range(struct slice text, unsigned *last_port)
{
    size_t at = text.len;
    uint64_t number;

    while (at > 0 && text.data[at - 1] != '-')
        at--;
    if (at < 2 || !is_digits(slice_skip(text, at)))
        return text;
    size_t begin = at - 1;

    while (begin > 0 && text.data[begin - 1] != ':')
        begin--;
    if (!is_digits(slice_make(text.data + begin, at - 1 - begin)) ||
        !slice_to_u64(slice_skip(text, at), &number))
        return text;
    *last_port = number > UINT16_MAX ? UINT16_MAX + 1 : (unsigned)number;
    return slice_head(text, at - 1);
}

static bool check_ports(struct conf_call *call, const struct listen_target *target)
{
    const struct address *first = &target->addresses[0];
    unsigned port = address_port(first);

    if (first->any.sa_family == AF_UNIX && target->last_port == 0)
        return true;
    if (port == 0 || target->last_port > UINT16_MAX ||
        (target->last_port != 0 && target->last_port < port))
        return conf_error(call, 1, "invalid port in \"%.*s\" of the \"listen\" directive",
                          SLICE_ARG(conf_arg(call, 1)));
    return true;
}

static bool read_address(struct conf_call *call, struct listen_target *target)
{
    struct slice text = conf_arg(call, 1);
    struct slice host;
    uint16_t port = 0;

    if (!slice_starts(text, slice_of("unix:")))
        text = split_range(text, &target->last_port);
    if (!slice_ends(text, slice_of(":")) && address_parse(text, 80, &target->addresses[0])) {
        target->count = 1;
        return check_ports(call, target);
    }
    if (slice_starts(text, slice_of("unix:")) || !address_split_host_port(text, &host, &port) ||
        host.len == 0 || (text.data[0] >= '0' && text.data[0] <= '9'))
        return conf_error(call, 1,
                          "invalid address or port in \"%.*s\" of the \"listen\" directive",
                          SLICE_ARG(text));
    return resolve(call, host, port == 0 ? 80 : port, target) && check_ports(call, target);
}

/* "idle:intvl:cnt", each may be empty. */
static bool read_keepalive(struct listen_words *words, struct slice value)
{
    int *const seconds[] = {&words->options.keepidle_s, &words->options.keepintvl_s};
    struct slice part;
    size_t at = 0;

    words->options.keepalive_set = true;
    if (conf_parse_flag(value, &words->options.keepalive))
        return true;
    words->options.keepalive = true;
    while (slice_split(&value, ':', &part)) {
        uint64_t number = 0;
        int64_t count = 0;

        if (at > 2)
            return false;
        if (part.len > 0 && at < 2 && (!conf_parse_sec(part, &number) || number > INT32_MAX))
            return false;
        if (part.len > 0 && at == 2 && !conf_parse_int(part, 1, INT32_MAX, &count))
            return false;
        if (part.len > 0 && at < 2)
            *seconds[at] = (int)number;
        if (part.len > 0 && at == 2)
            words->options.keepcnt = (int)count;
        at++;
    }
    return at > 1;
}

static bool read_number(struct slice value, int64_t min, int *target)
{
    int64_t number;

    if (!conf_parse_int(value, min, INT32_MAX, &number))
        return false;
    *target = (int)number;
    return true;
}

static bool read_bytes(struct slice value, int *target)
{
    size_t bytes;

    if (!conf_parse_bytes(value, &bytes) || bytes > INT32_MAX)
        return false;
    *target = (int)bytes;
    return true;
}

enum word_result { WORD_GOOD, WORD_BAD_VALUE, WORD_UNKNOWN };

static enum word_result good_if(bool good)
{
    return good ? WORD_GOOD : WORD_BAD_VALUE;
}

/* name=value */
static enum word_result read_setting(struct listen_words *words, struct slice name,
                                     struct slice value)
{
    words->options_given = true;
    if (slice_eq(name, slice_of("backlog")))
        return good_if(read_number(value, 1, &words->options.backlog));
    if (slice_eq(name, slice_of("fastopen")))
        return good_if(read_number(value, 0, &words->options.fastopen));
    if (slice_eq(name, slice_of("rcvbuf")))
        return good_if(read_bytes(value, &words->options.rcvbuf));
    if (slice_eq(name, slice_of("sndbuf")))
        return good_if(read_bytes(value, &words->options.sndbuf));
    if (slice_eq(name, slice_of("ipv6only")))
        return good_if(conf_parse_flag(value, &words->options.ipv6only));
    if (slice_eq(name, slice_of("so_keepalive")))
        return good_if(read_keepalive(words, value));
    return WORD_UNKNOWN;
}

static enum word_result read_word(struct listen_words *words, struct slice word)
{
    static const struct {
        struct slice word;
        size_t offset;
        bool is_option; /* belongs to the socket: may be given once per address */
    } flags[] = {
        {SLICE("default_server"), offsetof(struct listen_words, is_default), false},
        {SLICE("default"), offsetof(struct listen_words, is_default), false},
        {SLICE("bind"), offsetof(struct listen_words, bind), true},
        {SLICE("deferred"), offsetof(struct listen_words, options.deferred), true},
        {SLICE("reuseport"), offsetof(struct listen_words, options.reuseport), true},
        {SLICE("proxy_protocol"), offsetof(struct listen_words, proxy_protocol), false},
        {SLICE("ssl"), offsetof(struct listen_words, ssl), false},
        {SLICE("http2"), offsetof(struct listen_words, http2), false},
    };
    ptrdiff_t equal = slice_find(word, '=');

    if (equal > 0)
        return read_setting(words, slice_head(word, (size_t)equal),
                            slice_skip(word, (size_t)equal + 1));
    for (size_t i = 0; i < COUNT(flags); i++) {
        if (!slice_eq(word, flags[i].word))
            continue;
        *(bool *)((char *)words + flags[i].offset) = true;
        words->options_given = words->options_given || flags[i].is_option;
        return WORD_GOOD;
    }
    return WORD_UNKNOWN;
}

/* Parameters nginx has and this build or this system does not. */
static const char *why_not(struct slice word)
{
    static const struct {
        const char *prefix;
        const char *why;
    } known[] = {
        {"quic", "HTTP/3 is not a part of this build"},
        {"spdy", "SPDY is history"},
        {"setfib=", "only FreeBSD has it"},
        {"accept_filter=", "only FreeBSD has it; \"deferred\" does the like here"},
        {"multipath", "multipath TCP is not a part of this build"},
    };

    for (size_t i = 0; i < COUNT(known); i++)
        if (slice_starts(word, slice_of(known[i].prefix)))
            return known[i].why;
    return NULL;
}

static bool read_words(struct conf_call *call, struct listen_words *words)
{
    for (size_t i = 2; i < conf_arg_count(call); i++) {
        struct slice word = conf_arg(call, i);
        const char *why = why_not(word);
        enum word_result result = why != NULL ? WORD_UNKNOWN : read_word(words, word);

        if (why != NULL)
            return conf_error(call, i, "the \"%.*s\" parameter of \"listen\" cannot be used: %s",
                              SLICE_ARG(word), why);
        if (result == WORD_BAD_VALUE)
            return conf_error(call, i, "invalid value in parameter \"%.*s\" of \"listen\"",
                              SLICE_ARG(word));
        if (result == WORD_UNKNOWN)
            return conf_error(call, i, "invalid parameter \"%.*s\" of \"listen\"", SLICE_ARG(word));
    }
    words->options_given = words->options_given || words->bind;
    return true;
}

static struct listen_entry *entry_new(struct conf_call *call, const struct address *address,
                                      struct slice key)
{
    struct http_draft *draft = http_draft_of(call->loader);
    struct listen_entry *entry = arena_zalloc(call->loader->arena, sizeof *entry);
    struct slice text = arena_copy(call->loader->arena, key);
    struct origin origin = conf_origin(call);

    if (entry == NULL || text.data == NULL || !map_put(&draft->by_address, text, entry, NULL))
        return NULL;
    entry->listen.spec = (struct listen_spec){
        .options = {.address = *address, .backlog = -1, .fastopen = -1, .ipv6only = true},
        .text = text,
        .file = slice_of(origin.file),
        .line = origin.line,
    };
    *draft->last_listen = entry;
    draft->last_listen = &entry->next;
    draft->entry_count++;
    return entry;
}

/* The address in one spelling for all that mean the same. */
static struct listen_entry *entry_for(struct conf_call *call, const struct address *address)
{
    char text[ADDRESS_TEXT_BYTES];
    struct slice key = slice_make(text, address_text(address, text));
    struct listen_entry *entry = map_get(&http_draft_of(call->loader)->by_address, key);

    if (entry == NULL && (entry = entry_new(call, address, key)) == NULL)
        no_memory(call);
    return entry;
}

static bool take_options(struct conf_call *call, struct listen_entry *entry,
                         const struct listen_words *words)
{
    struct address address = entry->listen.spec.options.address;

    entry->listen.proxy_protocol = entry->listen.proxy_protocol || words->proxy_protocol;
    entry->listen.ssl = entry->listen.ssl || words->ssl;
    entry->listen.http2 = entry->listen.http2 || words->http2;
    if (!words->options_given)
        return true;
    if (entry->options_given)
        return conf_error(call, 1, "duplicate listen options for %.*s",
                          SLICE_ARG(entry->listen.spec.text));
    entry->options_given = true;
    entry->bind = true;
    entry->listen.spec.options = words->options;
    entry->listen.spec.options.address = address;
    return true;
}

static bool attach(struct conf_call *call, struct server_draft *server, struct listen_entry *entry,
                   bool is_default)
{
    struct server_listen *item = arena_zalloc(call->loader->arena, sizeof *item);
    struct server_listen **last = &server->listens;

    if (item == NULL)
        return no_memory(call);
    for (; *last != NULL; last = &(*last)->next)
        if ((*last)->listen == &entry->listen)
            return conf_error(call, 0, "a duplicate listen %.*s",
                              SLICE_ARG(entry->listen.spec.text));
    if (is_default && entry->has_default)
        return conf_error(call, 0, "a duplicate default server for %.*s",
                          SLICE_ARG(entry->listen.spec.text));
    item->listen = &entry->listen;
    item->is_default = is_default;
    *last = item;
    entry->server_count++;
    entry->has_default = entry->has_default || is_default;
    if (entry->listen.fallback == NULL || is_default)
        entry->listen.fallback = &server->server;
    return true;
}

static bool listen_on(struct conf_call *call, const struct address *address,
                      const struct listen_words *words)
{
    struct listen_entry *entry = entry_for(call, address);

    return entry != NULL && take_options(call, entry, words) &&
           attach(call, server_draft_of(call), entry, words->is_default);
}

bool conf_set_listen(struct conf_call *call)
{
    struct listen_words words = {.options = {.backlog = -1, .fastopen = -1, .ipv6only = true}};
    struct listen_target target = {.count = 0};

    if (!read_address(call, &target) || !read_words(call, &words))
        return false;
    for (size_t i = 0; i < target.count; i++) {
        struct address address = target.addresses[i];
        unsigned port = address_port(&address);
        unsigned last = target.last_port == 0 ? port : target.last_port;

        for (; port <= last; port++) {
            if (address.any.sa_family != AF_UNIX)
                address_set_port(&address, (uint16_t)port);
            if (!listen_on(call, &address, &words))
                return false;
        }
    }
    return true;
}

bool listen_add_default(struct conf_call *call, struct server_draft *server)
{
    struct address address;
    bool parsed = address_parse(slice_of(geteuid() == 0 ? "*:80" : "*:8000"), 80, &address);

    assert(parsed);
    struct listen_entry *entry = entry_for(call, &address);

    return entry != NULL && attach(call, server, entry, false);
}

/* ---- after the last server */

static void warn_conflict(struct loader *loader, const struct http_server *server,
                          const struct server_name *name, const struct listen_entry *entry)
{
    struct diag_place place = {.file = server->origin.file, .line = server->origin.line};

    diag_add(loader->diag, DIAG_WARN, &place, "conflicting server name \"%.*s\" on %.*s, ignored",
             SLICE_ARG(name->text), SLICE_ARG(entry->listen.spec.text));
}

static bool add_name(struct loader *loader, struct listen_entry *entry,
                     const struct http_server *server, const struct server_name *name)
{
    const struct http_server *taken = NULL;

    if (server_table_add(entry->table, name, server, &taken))
        return true;
    if (taken != NULL)
        warn_conflict(loader, server, name, entry);
    return taken != NULL;
}

/* A server without a name is the one for requests without Host, as if it were called "". */
static bool add_names(struct loader *loader, struct listen_entry *entry,
                      const struct http_server *server)
{
    static const struct server_name nameless = {.text = {.data = "", .len = 0}};

    if (server->name_count == 0)
        return add_name(loader, entry, server, &nameless);
    for (size_t i = 0; i < server->name_count; i++)
        if (!add_name(loader, entry, server, &server->names[i]))
            return false;
    return true;
}

/* One server needs no table, unless a regex is to give it captures. */
static bool needs_table(const struct listen_entry *entry)
{
    const struct http_server *only = entry->listen.fallback;

    if (entry->server_count > 1)
        return true;
    for (size_t i = 0; i < only->name_count; i++)
        if (only->names[i].kind == SERVER_NAME_REGEX)
            return true;
    return false;
}

static bool fill_tables(struct loader *loader, struct http_draft *draft)
{
    for (struct server_draft *server = draft->first; server != NULL; server = server->next) {
        for (struct server_listen *item = server->listens; item != NULL; item = item->next) {
            struct listen_entry *entry = container_of(item->listen, struct listen_entry, listen);

            if (!needs_table(entry))
                continue;
            if (entry->table == NULL)
                entry->table = server_table_new(loader->arena);
            if (entry->table == NULL || !add_names(loader, entry, &server->server))
                return false;
            entry->listen.table = entry->table;
        }
    }
    return true;
}

/* The wildcard of the same family and port, which takes this address's connections too. */
static struct http_listen *wildcard_for(struct http_conf *conf, const struct listen_entry *entry,
                                        const struct http_listen *self)
{
    const struct address *address = &self->spec.options.address;

    if (address->any.sa_family == AF_UNIX || address_is_wildcard(address) || entry->bind)
        return NULL;
    for (size_t i = 0; i < conf->listen_count; i++) {
        const struct address *other = &conf->listens[i].spec.options.address;

        if (other->any.sa_family == address->any.sa_family && address_is_wildcard(other) &&
            address_port(other) == address_port(address))
            return &conf->listens[i];
    }
    return NULL;
}

static bool add_narrower(struct loader *loader, struct http_listen *wildcard,
                         struct http_listen *listen)
{
    size_t count = wildcard->narrower_count;
    struct http_listen **larger = arena_alloc(loader->arena, (count + 1) * sizeof *larger);

    if (larger == NULL)
        return false;
    if (count > 0)
        memcpy(larger, wildcard->narrower, count * sizeof *larger);
    larger[count] = listen;
    wildcard->narrower = larger;
    wildcard->narrower_count = count + 1;
    return true;
}

static bool allocate(struct loader *loader, struct http_draft *draft)
{
    struct http_conf *conf = &draft->conf;
    size_t n = draft->entry_count + 1;

    conf->listens = arena_zalloc(loader->arena, n * sizeof *conf->listens);
    conf->specs = arena_zalloc(loader->arena, n * sizeof *conf->specs);
    conf->spec_listens = arena_zalloc(loader->arena, n * sizeof *conf->spec_listens);
    return conf->listens != NULL && conf->specs != NULL && conf->spec_listens != NULL;
}

/* After an error a server may have no settings. */
static bool wants_nodelay(const struct http_listen *listen)
{
    return listen->fallback->settings == NULL || server_core(listen->fallback)->tcp_nodelay;
}

static bool place_sockets(struct loader *loader, struct http_draft *draft)
{
    struct http_conf *conf = &draft->conf;
    unsigned at = 0;

    for (struct listen_entry *entry = draft->listens; entry != NULL; entry = entry->next)
        conf->listens[conf->listen_count++] = entry->listen;
    for (struct listen_entry *entry = draft->listens; entry != NULL; entry = entry->next, at++) {
        struct http_listen *wildcard = wildcard_for(conf, entry, &conf->listens[at]);

        if (wildcard != NULL && !add_narrower(loader, wildcard, &conf->listens[at]))
            return false;
        if (wildcard != NULL)
            continue;
        conf->specs[conf->spec_count] = conf->listens[at].spec;
        conf->specs[conf->spec_count].options.nodelay = wants_nodelay(&conf->listens[at]);
        conf->spec_listens[conf->spec_count++] = at;
    }
    return true;
}

bool listens_finish(struct loader *loader, struct http_draft *draft)
{
    bool ok = allocate(loader, draft) && fill_tables(loader, draft) && place_sockets(loader, draft);

    if (!ok)
        diag_add(loader->diag, DIAG_ERROR, NULL, "no memory for the configuration");
    return ok;
}
