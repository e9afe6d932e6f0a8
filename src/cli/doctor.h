/* pelayan doctor: what on this machine stands in the configuration's way, and how to mend it.
 * Nothing is changed. Runs in: the process the user started. */
#pragma once

struct run_options;

/* [--json]. 0: nothing is wrong (there may be warnings); 1: something is. */
int doctor_command(const struct run_options *options, int argc, char **argv);
