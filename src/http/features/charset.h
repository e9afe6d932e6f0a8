/* `charset`: the charset parameter of Content-Type. Runs in: worker, loop thread. */
#pragma once

#include "http/feature.h"

extern struct feature charset_feature;
