/* A manifest survives the trip; what was cut or changed on the way is refused. */
#include "tests/unit/check.h"

#include "base/arena.h"
#include "base/list.h"
#include "daemon/manifest.h"
#include "daemon/pack.h"

#include <stdlib.h>

static struct manifest *example(void)
{
    static struct slice logs[] = {SLICE("/var/log/a"), SLICE("/var/log/b")};
    static struct slice env[] = {SLICE("PATH")};
    static struct manifest_sink sinks[] = {{1, 4}, {MANIFEST_STDERR, 8}};
    static struct manifest_listener listener = {
        .options = {.backlog = -1, .fastopen = -1, .reuseport = true},
        .key = SLICE("127.0.0.1:80#1"),
        .file = SLICE("/etc/x.conf"),
        .line = 7,
        .loop = 1,
    };
    struct manifest *manifest = manifest_new();

    CHECK(address_parse(slice_of("127.0.0.1:80"), 0, &listener.options.address));
    manifest->daemon = true;
    manifest->loop_count = 2;
    manifest->priority = -5;
    manifest->pid_path = slice_of("/run/x.pid");
    manifest->logs = (struct manifest_texts){logs, COUNT(logs)};
    manifest->env = (struct manifest_texts){env, COUNT(env)};
    manifest->sinks = sinks;
    manifest->sink_count = COUNT(sinks);
    manifest->listeners = &listener;
    manifest->listener_count = 1;
    return manifest;
}

TEST(everything_survives_the_trip)
{
    struct packer packer = {.data = NULL};
    struct manifest *sent = example();
    struct manifest *got;

    manifest_pack(sent, &packer);
    got = manifest_unpack(slice_make(packer.data, packer.len));
    CHECK(got != NULL);
    CHECK(got->daemon);
    CHECK_EQ(got->priority, -5);
    CHECK_SLICE(got->pid_path, "/run/x.pid");
    CHECK_SLICE(got->logs.items[1], "/var/log/b");
    CHECK_EQ(got->sinks[1].log, (unsigned)MANIFEST_STDERR);
    CHECK_SLICE(got->listeners[0].key, "127.0.0.1:80#1");
    CHECK_EQ(got->listeners[0].options.backlog, -1);
    CHECK(address_equal(&got->listeners[0].options.address, &sent->listeners[0].options.address));
    CHECK(!manifest_needs_new_worker(sent, got));
    got->loop_count = 3;
    CHECK(manifest_needs_new_worker(sent, got));
    manifest_free(got);
    manifest_free(sent);
    pack_free(&packer);
}

TEST(cut_anywhere_it_is_refused)
{
    struct packer packer = {.data = NULL};
    struct manifest *sent = example();

    manifest_pack(sent, &packer);
    for (size_t cut = 0; cut < packer.len; cut++)
        CHECK(manifest_unpack(slice_make(packer.data, cut)) == NULL, "%zu bytes", cut);
    pack_u64(&packer, 0);
    CHECK(manifest_unpack(slice_make(packer.data, packer.len)) == NULL, "one word too many");
    manifest_free(sent);
    pack_free(&packer);
}

TEST(no_changed_byte_does_harm)
{
    struct packer packer = {.data = NULL};
    struct manifest *sent = example();

    manifest_pack(sent, &packer);
    for (size_t i = 0; i < packer.len; i++) {
        char before = packer.data[i];

        packer.data[i] = (char)~before;
        manifest_free(manifest_unpack(slice_make(packer.data, packer.len)));
        packer.data[i] = before;
    }
    manifest_free(sent);
    pack_free(&packer);
}
