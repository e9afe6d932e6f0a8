/* Pelayan: a web server, reverse proxy and load balancer that runs an nginx.conf. Everything begins
 * in cli/. */
#include "base/process_title.h"
#include "base/slice.h"
#include "cli/cli.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

/* Before any table is made: what clients send must not choose its places (see slice.h). */
static void seed_hashes(void)
{
    uint64_t seed = (uint64_t)time(NULL);

    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed ^= (uint64_t)(uintptr_t)&seed;
    slice_hash_seed(seed);
}

int main(int argc, char **argv)
{
    seed_hashes();
    process_title_prepare(argv);
    return cli_main(argc, argv);
}
