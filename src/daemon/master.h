/* The master: opens sockets and logs, has configs checked, supervises the worker, answers
 * operators.
 *
 * It reads nothing from the network and holds no config. Single-threaded, on one event loop.
 * Runs in: master. */
#pragma once

struct run_options;

/* The environment variable that hands the state over to the next program at an upgrade: the number
 * of a descriptor. */
#define MASTER_STATE_VARIABLE "PELAYAN_STATE"

/* From start to end of the service: the exit code. With `daemon on` the caller's process exits
 * inside. */
int master_run(const struct run_options *options);
