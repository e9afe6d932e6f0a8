/* The blocks of http: `http`, `server`, `location`, and what finds them: `listen`, `server_name`.
 * Runs in: any process, at load time. */
#pragma once

#include "http/feature.h"

extern struct feature http_structure_feature;
