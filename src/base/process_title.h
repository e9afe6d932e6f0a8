/* What `ps` and `top` show as a process's command line, as nginx does it: "pelayan: worker
 * process".
 *
 * The kernel shows the memory where it put the arguments and, behind them, the environment; both
 * are moved away so that the title may take their place. Runs in: any process with one thread. */
#pragma once

/* First thing in main(): the strings of `argv` and of the environment are moved, for as long as the
 * process lives. Without memory they stay, and titles are not set. */
void process_title_prepare(char **argv);

/* Cut to what there is room for. */
void process_title_set(const char *format, ...) __attribute__((format(printf, 1, 2)));
