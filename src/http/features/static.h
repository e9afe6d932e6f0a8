/* Sending a file as a response. Runs in: worker, loop thread. */
#pragma once

#include "http/feature.h"

struct file;

extern struct feature static_feature;

/* Status, length, time and ETag of the response by the file. False: no memory. */
bool static_describe(struct exchange *x, const struct file *file)
    __attribute__((warn_unused_result));

/* Begins the response that static_describe() and the caller have filled, and sends the file. The
 * exchange may be gone afterwards: must be the last statement. */
void static_send(struct exchange *x, const struct file *file);
