/* What logs and variables both say about a response. Runs in: worker, loop thread. */
#pragma once

struct exchange;

/* The status that went out or would have: 499 if the client left, 0 if there was no answer at all.
 */
unsigned response_final_status(const struct exchange *x);
