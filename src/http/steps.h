/* The steps of an exchange, and the only driver that runs them (internal order of http/). Runs in:
 * worker, loop thread. */
#pragma once

#include "http/exchange.h"

/* Runs steps until one waits or the exchange is gone. Only through exchange_start() and
 * exchange_resume(). */
void exchange_run(struct exchange *x);

/* Ends "while ..." in log lines. */
const char *step_doing(enum step step);

/* Access logs and counters, at most once per exchange. */
void phase_log(struct exchange *x);

/* STEP_FAIL: what is shown for a status; may end the exchange. */
void error_page_answer(struct exchange *x, int status);

/* Gives the memory back; the codec calls it in its `done` and `abort`. */
void exchange_free(struct exchange *x);

/* At the end of a loop: gives back the pool. */
void exchange_free_spares(struct http_loop *http);
