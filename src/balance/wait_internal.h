/* What pick.c asks of waiting. Runs in: worker, loop thread. */
#pragma once

#include "balance/pick.h"

/* Nobody is left to be asked: is it worth waiting for somebody? */
bool pick_hopes(const struct pick *pick);

/* Why there is nobody, when it is an app's fault: a sentence in the subject's arena. NULL: it is
 * not. */
const char *pick_app_why(const struct pick *pick);
