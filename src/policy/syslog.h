/* "syslog:server=ADDRESS,facility=F,tag=T,severity=S,nohostname": where log lines go besides files.
 *
 * Shared by error_log and access_log. Runs in: parse: load time; open: worker, before a snapshot is
 * used. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

struct conf_call;
struct diag;

struct syslog_target {
    struct slice server; /* arena of the config: address, "unix:/path", or a host name with an
                            optional port */
    const char *prefix;  /* arena: "host tag: " or "tag: " */
    int facility;        /* 0 .. 23 */
    int severity;        /* 0 .. 7: of access log lines; the error log takes that of the line */
};

bool syslog_is(struct slice word);

/* Parses word `index` of the call. False: an error has been reported. */
bool syslog_parse(struct conf_call *call, size_t index, struct syslog_target *target);

/* A connected, non-blocking datagram socket that the caller closes; a host name is looked up
 * (blocks). -1: message in `diag`. */
int syslog_open(const struct syslog_target *target, struct diag *diag);
