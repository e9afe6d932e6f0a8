/* Policies that http shares with stream: their rows, in http's list of features.
 * Runs in: load time. */
#include "http/feature.h"
#include "policy/geo.h"
#include "policy/split_clients.h"
#include "policy/value_map.h"

struct feature map_feature = {
    .conf = {.name = "http_map", .directives = map_directives, .directive_count = MAP_DIRECTIVES},
};

struct feature geo_feature = {
    .conf = {.name = "http_geo", .directives = geo_directives, .directive_count = GEO_DIRECTIVES},
};

struct feature split_clients_feature = {
    .conf = {.name = "http_split_clients",
             .directives = split_clients_directives,
             .directive_count = SPLIT_CLIENTS_DIRECTIVES},
};
