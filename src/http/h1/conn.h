/* HTTP/1 connections of clients. Runs in: worker, the thread of the loop that accepted. */
#pragma once

struct address;
struct http_listener;

/* Takes over an accepted socket; closes it if there is no memory or no place for it. */
void h1_conn_accept(struct http_listener *listener, int fd, const struct address *peer);

/* Gives back what connections of `http` left in its pool; at the end of the loop. */
struct http_loop;
void h1_conn_free_spares(struct http_loop *http);
