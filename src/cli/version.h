/* -v and -V. Runs in: the process the user started. */
#pragma once

#include <stdio.h>

void version_print(FILE *out);
void version_print_configure(FILE *out);
