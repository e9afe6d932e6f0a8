/* `try_files`: the first of several files that is there. Runs in: worker, loop thread. */
#pragma once

#include "http/feature.h"

extern struct feature try_files_feature;
