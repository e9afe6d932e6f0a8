/* pelayan doctor: whether name servers answer, and names of peers resolve. Runs in: the process the
 * user started. */
#include "cli/doctor_internal.h"
#include "config/tree.h"
#include "event/address.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PORT_DNS = 53, PATIENCE_MS = 2000, TRIES = 2 };

/* Where are the name servers of the root? Any answer will do. */
static const unsigned char question[] = {0x50, 0x65, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1};

static bool answers(const struct address *server)
{
    int fd = socket(server->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    unsigned char answer[512];
    bool answered = false;

    if (fd < 0)
        return false;
    if (connect(fd, &server->any, server->len) == 0) {
        for (int i = 0; i < TRIES && !answered; i++) {
            answered = send(fd, question, sizeof question, MSG_NOSIGNAL) > 0 &&
                       poll(&wanted, 1, PATIENCE_MS / TRIES) == 1 &&
                       recv(fd, answer, sizeof answer, 0) > 2 && memcmp(answer, question, 2) == 0;
        }
    }
    close(fd);
    return answered;
}

static bool check_server(struct doctor *doctor, struct slice text, const char *whose)
{
    struct address server;

    if (!address_parse(text, PORT_DNS, &server) || server.any.sa_family == AF_UNIX)
        return true;
    if (answers(&server))
        return true;
    doctor_find(doctor, DOCTOR_BAD, "name server %.*s of %s does not answer", SLICE_ARG(text),
                whose);
    doctor_mend(doctor, "is it up, and is UDP to its port allowed? Peers that are named stay where"
                        " they were last seen");
    return false;
}

static void check_resolver(struct doctor *doctor, const struct node *node)
{
    if (!slice_eq(word_text(node->words[0]), slice_of("resolver")))
        return;
    for (unsigned i = 1; i < node->word_count; i++) {
        if (slice_find(word_text(node->words[i]), '=') < 0)
            (void)!check_server(doctor, word_text(node->words[i]), "\"resolver\"");
    }
}

static bool check_system(struct doctor *doctor)
{
    FILE *file = fopen("/etc/resolv.conf", "re");
    char line[256], text[ADDRESS_TEXT_BYTES], server[ADDRESS_TEXT_BYTES + 2];
    bool good = true;

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, " nameserver %127s", text) != 1)
            continue;
        snprintf(server, sizeof server, strchr(text, ':') == NULL ? "%s" : "[%s]", text);
        good = check_server(doctor, slice_of(server), "/etc/resolv.conf") && good;
    }
    if (file != NULL)
        fclose(file);
    return good;
}

/* A peer's name, if it is one that has to be looked up. */
static bool peer_name(const struct node *node, char *out, size_t out_bytes)
{
    struct slice text, host;
    struct address address;
    uint16_t port;

    if (!slice_eq(word_text(node->words[0]), slice_of("server")) || node->is_block ||
        node->word_count < 2)
        return false;
    text = word_text(node->words[1]);
    if (address_parse(text, 80, &address) || slice_find(text, '$') >= 0 ||
        !address_split_host_port(text, &host, &port) || host.len >= out_bytes)
        return false;
    snprintf(out, out_bytes, "%.*s", SLICE_ARG(host));
    return true;
}

static void check_peer(struct doctor *doctor, const struct node *node)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char name[256];
    int error;

    if (!peer_name(node, name, sizeof name))
        return;
    error = getaddrinfo(name, NULL, &hints, &found);
    if (error != 0) {
        doctor_find(doctor, DOCTOR_WARN, "peer %s does not resolve: %s (%s:%u)", name,
                    gai_strerror(error), doctor->tree->files[node->file].path, node->line);
        doctor_mend(doctor, "is the name right? It is looked up again and again while serving");
    } else {
        freeaddrinfo(found);
    }
}

static bool has_name(const struct node *node)
{
    char name[256];

    for (; node != NULL; node = node->next) {
        if (peer_name(node, name, sizeof name) || has_name(node->children))
            return true;
    }
    return false;
}

void doctor_names(struct doctor *doctor)
{
    doctor_walk(doctor, check_resolver);
    /* names are tried only where an answer can be hoped for: each would take its time-out */
    if (has_name(doctor->tree->first) && check_system(doctor))
        doctor_walk(doctor, check_peer);
}
