/* TLS to the peers of proxy_pass https://. Runs in: load: any; the rest: worker, loop thread. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

struct conf_call;
struct relay;

/* A proxy_pass may go to https://: there are settings for it. False: reported. */
bool proxy_ssl_prepare(struct conf_call *call);

/* Makes the relay use TLS; `name`: the host of the URL. False: no memory. */
bool proxy_ssl_use(struct relay *r, struct slice name);
