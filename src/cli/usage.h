/* The help text. Runs in: the process the user started. */
#pragma once

#include <stdio.h>

void usage_print(FILE *out);
