/* Parts of the handover that belong to the owners of what is handed over. Runs in: runner's loop.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct channel;
struct cluster;
struct instance;
struct loop;
struct output;

/* A descriptor as JSON, remembered in `fds`. */
json_t *fd_pack(int fd, json_t *fds);

/* process.c: its process, channel and socket of notes. False: the process is not ours any more. */
json_t *process_pack(const struct instance *instance, json_t *fds);
bool process_unpack(struct instance *instance, const json_t *from);

/* outputs.c: one pipe to a log; `spec` is kept by it. */
struct app_spec;
struct apps;
json_t *output_pack(const struct output *output, json_t *fds);
bool output_unpack(struct apps *apps, struct app_spec *spec, const json_t *from);

/* channel.c. Its callbacks are set by the caller. */
json_t *channel_pack(const struct channel *channel, json_t *fds);
bool channel_unpack(struct channel *channel, struct loop *loop, const json_t *from);

/* cluster.c */
json_t *cluster_pack(const struct cluster *cluster, json_t *fds);
bool cluster_unpack(struct cluster *cluster, const json_t *from);
