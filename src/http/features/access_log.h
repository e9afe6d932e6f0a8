/* access_log and log_format: one line per exchange. Runs in: load: any; log: worker, loop thread.
 */
#pragma once

#include "http/feature.h"

extern struct feature access_log_feature;
