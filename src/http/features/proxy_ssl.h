/* TLS to the peers of proxy_pass https:// and grpc_pass grpcs://. Runs in: load: any; the rest:
 * worker, loop thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

struct conf_call;
struct feature;
struct relay;

/* Whose settings they are. */
extern struct feature proxy_ssl_feature;
extern struct feature grpc_ssl_feature;

/* A directive may make us use TLS: there are settings for it. False: reported. */
bool proxy_ssl_prepare(struct conf_call *call, const struct feature *feature);

/* Makes the relay use TLS; `name`: the host of the URL. False: no memory. */
bool proxy_ssl_use(struct relay *r, const struct feature *feature, struct slice name);
