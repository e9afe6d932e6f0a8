/* What `ps` and `top` show as a process's command line, as nginx does it: "pelayan: worker
 * process".
 *
 * The kernel shows the memory where it put the arguments and, behind them, the environment; both
 * are moved away so that the title may take their place. Runs in: any process with one thread. */
#pragma once

/* First thing in main(): what to use instead of `argv` from now on; it lives as long as the
 * process. Without memory `argv` itself comes back, and titles are not set. */
char **process_title_prepare(int argc, char **argv);

/* Cut to what there is room for. */
void process_title_set(const char *format, ...) __attribute__((format(printf, 1, 2)));
