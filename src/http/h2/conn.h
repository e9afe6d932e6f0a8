/* HTTP/2 connections of clients: one nghttp2 session each, whose streams become exchanges.
 * Runs in: worker, the thread of the loop that accepted. */
#pragma once

#include "event/address.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct client_conn;
struct http_listener;
struct proxy_protocol;
struct tls_conn;

/* A connection that turned out to speak HTTP/2, from the hands of http/h1. */
struct h2_handover {
    struct client_conn *from;       /* its place in the loop's list goes over */
    struct http_listener *listener; /* its count goes over */
    struct buf *in;                 /* bytes received already, or NULL; the reference goes over */
    struct proxy_protocol *proxy;   /* heap, or NULL; goes over */
    struct tls_conn *tls;           /* or NULL; goes over */
    struct address peer;
    uint64_t id;
    uint64_t start_ms;
    int fd; /* not watched any more; goes over */
};

/* False: no memory, nothing went over. The connection may be closed when it returns. */
bool h2_conn_take(const struct h2_handover *handover) __attribute__((warn_unused_result));
