/* Apps after a reboot, and a first ecosystem file. Runs in: the process the user started. */
#pragma once

struct run_options;

/* Writes a systemd unit (root's, or with --user or as another user the user's own) and has every
 * change of the list saved from then on. The exit code. */
int app_startup(const struct run_options *options, int argc, char **argv);
int app_unstartup(const struct run_options *options, int argc, char **argv);

/* ecosystem.config.js in this folder, unless there is one. */
int app_init(const struct run_options *options, int argc, char **argv);
