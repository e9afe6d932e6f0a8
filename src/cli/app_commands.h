/* The app runner's commands, rows of cli_commands. Runs in: the process the user started. */
#pragma once

struct run_options;

int app_start(const struct run_options *options, int argc, char **argv);
int app_change(const struct run_options *options, int argc, char **argv); /* stop, restart, ... */
int app_scale(const struct run_options *options, int argc, char **argv);
int app_list(const struct run_options *options, int argc, char **argv);
int app_jlist(const struct run_options *options, int argc, char **argv);
int app_why(const struct run_options *options, int argc, char **argv);
int app_describe(const struct run_options *options, int argc, char **argv);
int app_env(const struct run_options *options, int argc, char **argv);
int app_pid(const struct run_options *options, int argc, char **argv);
int app_logs(const struct run_options *options, int argc, char **argv);
int app_monit(const struct run_options *options, int argc, char **argv);
int app_flush(const struct run_options *options, int argc, char **argv);
int app_signal(const struct run_options *options, int argc, char **argv);

/* app_attach.c */
int app_send(const struct run_options *options, int argc, char **argv);
int app_attach(const struct run_options *options, int argc, char **argv);

/* app_state.c */
int app_simple(const struct run_options *options, int argc, char **argv); /* save, ping, ... */
int app_resurrect(const struct run_options *options, int argc, char **argv);
int app_kill(const struct run_options *options, int argc, char **argv);
int app_update(const struct run_options *options, int argc, char **argv);

/* app_report.c */
int app_report(const struct run_options *options, int argc, char **argv);
int app_slist(const struct run_options *options, int argc, char **argv);
