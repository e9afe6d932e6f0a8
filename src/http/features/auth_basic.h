/* auth_basic: passwords from a file. Runs in: load: any; run: worker, loop thread. */
#pragma once

#include "http/feature.h"

extern struct feature auth_basic_feature;
