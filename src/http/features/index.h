/* `index`: which file stands for a folder. Runs in: worker, loop thread. */
#pragma once

#include "http/feature.h"

extern struct feature index_feature;
