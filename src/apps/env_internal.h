/* The environment of an instance. Later wins: what is inherited (filtered), the user's home, `env`
 * with env_NAME laid over, what belongs to this instance. Computed anew at each start, so that a
 * variable taken out of the file is gone. Runs in: master. */
#pragma once

#include <stdbool.h>

struct app_spec;
struct arena;
struct launch;
struct place;

/* Fills launch->envp. False: no memory. */
bool env_build(struct launch *launch, const struct app_spec *spec, const struct place *place,
               struct arena *arena);
