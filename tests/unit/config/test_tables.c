/* Goal: the walk over feature tables accepts what is right (that it refuses the rest is seen when a
 * table is wrong: it is used for every list of features). */
#include "tests/unit/config/fixture.h"
#include "tests/unit/table_walk.h"

TEST(the_fixtures_own_tables_hold)
{
    struct world world;
    struct table_walk walk;

    CHECK(world_init(&world));
    walk = (struct table_walk){.features = fixture_features,
                               .count = FIXTURE_FEATURES,
                               .arena = world.arena,
                               .variables = world.loader.variables};
    table_walk(&walk);
    world_fini(&world);
}
