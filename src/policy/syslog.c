/* Syslog targets. Runs in: parse: load time; open: worker, before a snapshot is used. */
#include "policy/syslog.h"

#include "base/arena.h"
#include "base/diag.h"
#include "base/list.h"
#include "config/directive.h"
#include "config/loader.h"
#include "event/address.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <unistd.h>

enum { SYSLOG_PORT = 514, TAG_BYTES_MAX = 32, HOST_BYTES_MAX = 256 };

static const char *const facilities[] = {
    "kern",   "user",   "mail",     "daemon", "auth",   "intern", "lpr",    "news",
    "uucp",   "clock",  "authpriv", "ftp",    "ntp",    "audit",  "alert",  "cron",
    "local0", "local1", "local2",   "local3", "local4", "local5", "local6", "local7",
};

static const char *const severities[] = {
    "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug",
};

static const struct slice scheme = SLICE("syslog:");

bool syslog_is(struct slice word)
{
    return slice_starts(word, scheme);
}

static int find_word(const char *const *words, size_t count, struct slice word)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_eq(slice_of(words[i]), word))
            return (int)i;
    }
    return -1;
}

/* RFC 3164, 4.1.3: letters and digits, at most 32; the underscore is what people use besides. */
static bool is_tag(struct slice tag)
{
    if (tag.len == 0 || tag.len > TAG_BYTES_MAX)
        return false;
    for (size_t i = 0; i < tag.len; i++) {
        char c = ascii_lower(tag.data[i]);

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_')
            return false;
    }
    return true;
}

struct parts {
    struct slice tag;
    bool nohostname;
};

static bool parse_option(struct conf_call *call, size_t index, struct slice option,
                         struct syslog_target *target, struct parts *parts)
{
    struct slice rest = option;
    struct slice name;
    int number;

    slice_split(&rest, '=', &name);
    if (slice_eq(option, slice_of("nohostname"))) {
        parts->nohostname = true;
    } else if (slice_eq(name, slice_of("server"))) {
        target->server = rest;
    } else if (slice_eq(name, slice_of("facility"))) {
        number = find_word(facilities, COUNT(facilities), rest);
        if (number < 0)
            return conf_error(call, index, "unknown syslog facility \"%.*s\"", SLICE_ARG(rest));
        target->facility = number;
    } else if (slice_eq(name, slice_of("severity"))) {
        number = find_word(severities, COUNT(severities), rest);
        if (number < 0)
            return conf_error(call, index, "unknown syslog severity \"%.*s\"", SLICE_ARG(rest));
        target->severity = number;
    } else if (slice_eq(name, slice_of("tag"))) {
        if (!is_tag(rest))
            return conf_error(call, index, "syslog \"tag\" takes 1 to 32 letters, digits and _");
        parts->tag = rest;
    } else {
        return conf_error(call, index, "unknown syslog parameter \"%.*s\"", SLICE_ARG(option));
    }
    return true;
}

static bool make_prefix(struct conf_call *call, struct syslog_target *target,
                        const struct parts *parts)
{
    char host[HOST_BYTES_MAX] = "-";
    struct slice prefix;

    if (!parts->nohostname && gethostname(host, sizeof host - 1) != 0)
        memcpy(host, "-", 2);
    prefix = arena_printf(call->loader->arena, "%s%s%.*s: ", parts->nohostname ? "" : host,
                          parts->nohostname ? "" : " ", SLICE_ARG(parts->tag));
    target->prefix = prefix.data;
    return prefix.data != NULL || conf_error(call, 0, "no memory");
}

bool syslog_parse(struct conf_call *call, size_t index, struct syslog_target *target)
{
    struct slice rest = slice_skip(conf_arg(call, index), scheme.len);
    struct slice option;
    struct parts parts = {.tag = SLICE("nginx")}; /* what filters of existing set-ups look for */

    *target = (struct syslog_target){.facility = 23, .severity = 6};
    while (slice_split(&rest, ',', &option)) {
        if (!parse_option(call, index, option, target, &parts))
            return false;
    }
    if (target->server.len == 0)
        return conf_error(call, index, "no syslog server specified");
    target->server = arena_copy(call->loader->arena, target->server);
    if (target->server.data == NULL)
        return conf_error(call, index, "no memory");
    return make_prefix(call, target, &parts);
}

static bool look_up(struct slice server, struct address *address)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    struct slice host;
    uint16_t port;
    char name[HOST_BYTES_MAX];

    if (address_parse(server, SYSLOG_PORT, address))
        return true;
    if (!address_split_host_port(server, &host, &port) || host.len >= sizeof name)
        return false;
    snprintf(name, sizeof name, "%.*s", SLICE_ARG(host));
    if (getaddrinfo(name, NULL, &hints, &found) != 0)
        return false;
    address->len = found->ai_addrlen;
    memcpy(&address->any, found->ai_addr, found->ai_addrlen);
    address_set_port(address, port == 0 ? SYSLOG_PORT : port);
    freeaddrinfo(found);
    return true;
}

int syslog_open(const struct syslog_target *target, struct diag *diag)
{
    struct address address;
    int fd;

    if (!look_up(target->server, &address)) {
        diag_add(diag, DIAG_ERROR, NULL, "host not found in syslog server \"%.*s\"",
                 SLICE_ARG(target->server));
        return -1;
    }
    fd = socket(address.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        diag_errno(diag, "make a socket for", "syslog");
        return -1;
    }
    /* A syslog that is away now may come: lines are lost until then, the server is not stopped. */
    if (connect(fd, &address.any, address.len) != 0)
        diag_add(diag, DIAG_WARN, NULL, "cannot connect to syslog server \"%.*s\": %s",
                 SLICE_ARG(target->server), strerror(errno));
    return fd;
}
