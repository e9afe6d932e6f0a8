/* `autoindex`: listings of folders. Runs in: worker, loop thread. */
#pragma once

#include "http/feature.h"

extern struct feature autoindex_feature;
