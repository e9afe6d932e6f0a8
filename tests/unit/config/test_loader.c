/* Goal: rows are loaded, inherited and refused as directive.h says, and errors tell what to do. */
#include "tests/unit/check.h"

#include "tests/unit/config/fixture.h"

static void load(struct world *world, const char *text)
{
    CHECK(world_init(world));
    world_load(world, slice_of(text));
}

static void load_clean(struct world *world, const char *text)
{
    load(world, text);
    CHECK(world->diag.first == NULL, "%s: %s", text,
          world->diag.first == NULL ? "" : world->diag.first->message);
}

TEST(defaults_are_parsed_by_the_users_parser)
{
    struct world world;
    const struct sample *sample;

    load_clean(&world, "");
    sample = settings_at(world.root.settings, 0);
    CHECK(sample->flag);
    CHECK_EQ(sample->number, 100);
    CHECK_EQ(sample->timeout_ms, 60000);
    CHECK_EQ(sample->valid_s, 60);
    CHECK_EQ(sample->size, 8192);
    CHECK_SLICE(sample->text, "a b");
    CHECK_EQ(sample->word, 2);
    CHECK_EQ(sample->bits, 5);
    CHECK_SLICE(sample->template->source, "html/$host");
    CHECK_EQ(sample->buffers.count, 8);
    CHECK_EQ(sample->buffers.bytes, 4096);
    CHECK_EQ(sample->finished, 1);
    CHECK(((const struct daemon_sample *)settings_at(world.root.settings, 2))->daemon);
    world_fini(&world);
}

TEST(a_block_that_overrides_nothing_shares_its_parents_settings)
{
    struct world world;

    load_clean(&world, "http { server { listen 1; location / { } } }");
    CHECK_EQ(world.seen_count, 3);
    for (size_t i = 0; i < 3; i++)
        CHECK_EQ((const void *)world.seen[i].address, settings_at(world.root.settings, 0));
    CHECK_EQ(world.seen[0].sample.finished, 1);
    world_fini(&world);
}

TEST(settings_below_a_block_are_inherited_by_it)
{
    struct world world;

    load_clean(&world, "http { server { location / { keepalive_requests 7; } sendfile off; } "
                       "keepalive_requests 5; word four; }");
    CHECK_EQ(world.seen[0].context, CTX_LOCATION);
    CHECK_EQ(world.seen[0].sample.number, 7);
    CHECK(!world.seen[0].sample.flag);
    CHECK_EQ(world.seen[0].sample.word, 4);
    CHECK_EQ(world.seen[1].sample.number, 5);
    CHECK(!world.seen[1].sample.flag);
    CHECK(world.seen[2].sample.flag);
    CHECK_EQ(((const struct sample *)settings_at(world.root.settings, 0))->number, 100);
    CHECK_EQ(world.seen[0].sample.finished, 4);
    world_fini(&world);
}

TEST(a_list_begins_anew_in_the_block_that_adds_to_it)
{
    struct world world;

    load_clean(&world, "add m; http { add a; add b; server { } server { add c; } }");
    CHECK_EQ(world.seen[0].sample.list_count, 2);
    CHECK_STR(world.seen[0].sample.list[1], "b");
    CHECK_EQ(world.seen[1].sample.list_count, 1);
    CHECK_STR(world.seen[1].sample.list[0], "c");
    CHECK_EQ(world.seen[2].sample.list_count, 2);
    CHECK_EQ(((const struct sample *)settings_at(world.root.settings, 0))->list_count, 1);
    world_fini(&world);
}

TEST(an_early_block_is_a_setting)
{
    struct world world;

    load_clean(&world, "http { server { } bits two; }  ");
    CHECK_EQ(world.seen[0].sample.bits, 2);
    world_fini(&world);
    load_clean(&world, "http { server { } early { x; } }");
    CHECK_EQ(world.seen[0].sample.bits, 5 | 2);
    world_fini(&world);
}

struct complaint {
    const char *text;
    const char *message;
    const char *hint; /* NULL: none wanted */
    unsigned line;
    unsigned column;
};

static const struct complaint complaints[] = {
    {"sendfil on;", "unknown directive \"sendfil\"", "did you mean \"sendfile\"?", 1, 1},
    {"http {\n lisen 80; }", "unknown directive \"lisen\"", "did you mean \"listen\"?", 2, 2},
    {"qqqqqqqq;", "unknown directive \"qqqqqqqq\"", NULL, 1, 1},
    {"http { fastcgi_pass x; }",
     "directive \"fastcgi_pass\" belongs to the http_fastcgi module, which this build does not have",
     NULL, 1, 8},
    {"http { fastcgi_index x; }",
     "\"fastcgi_index\" has no effect: it is a setting of \"fastcgi_pass\", which this build does "
     "not have",
     NULL, 1, 8},
    {"mail { server { a; } }",
     "directive \"mail\" belongs to the mail_core module, which this build does not have", NULL, 1,
     1},
    {"listen 80;", "\"listen\" directive is not allowed here", "it may stand in: server", 1, 1},
    {"events { sendfile on; }", "\"sendfile\" directive is not allowed here",
     "it may stand in: main, http, server, location", 1, 10},
    {"sendfile on;\nsendfile on;", "\"sendfile\" directive is duplicate",
     "it stands at /tmp/main.conf:1 already", 2, 1},
    {"sendfile on\nkeepalive_requests 3;", "invalid number of arguments in \"sendfile\" directive",
     "is the \";\" missing before \"keepalive_requests\" in line 2?", 1, 1},
    {"sendfile;", "invalid number of arguments in \"sendfile\" directive", NULL, 1, 1},
    {"sendfile maybe;",
     "invalid value \"maybe\" in \"sendfile\" directive, it must be \"on\" or \"off\"", NULL, 1,
     10},
    {"keepalive_requests x;", "\"keepalive_requests\" directive invalid number",
     "a whole number is expected", 1, 20},
    {"keepalive_requests 0;", "value must be between 1 and 1000", NULL, 1, 20},
    {"client_body_timeout 0;", "value must be equal to or greater than 1", NULL, 1, 21},
    {"client_body_timeout 1.5s;", "\"client_body_timeout\" directive invalid value",
     "a time is written like \"30s\", \"500ms\" or \"1h 30m\"", 1, 21},
    {"client_body_buffer_size 3;", "an even size is expected", NULL, 1, 25},
    {"word three;", "invalid value \"three\"", "it may be: one, two, four", 1, 6},
    {"bits one\n three;", "invalid value \"three\"", "it may be: one, two, four", 2, 2},
    {"bits one one;", "duplicate value \"one\"", NULL, 1, 10},
    {"root \"$\";", "invalid variable name at character 1", NULL, 1, 6},
    {"root ${host;", "the closing bracket in \"host\" variable is missing", NULL, 1, 6},
    {"root a/$hots;", "unknown \"hots\" variable", "did you mean \"$host\"?", 1, 6},
    {"proxy_buffers 8;", "invalid number of arguments in \"proxy_buffers\" directive", NULL, 1, 1},
    {"proxy_buffers 1 4k;", "value must be equal to or greater than 2", NULL, 1, 15},
    {"proxy_buffers 8 0;", "\"proxy_buffers\" directive invalid value",
     "a number and a size are expected: \"8 4k\"", 1, 15},
    {"http;", "directive \"http\" has no opening \"{\"", NULL, 1, 1},
    {"sendfile on { }", "directive \"sendfile\" is not terminated by \";\"", NULL, 1, 1},
    {"events { multi_accept on; }",
     "\"multi_accept\" has no effect here: all waiting connections are always taken.", NULL, 1, 10},
};

static void check_hint(const struct complaint *complaint, const struct diag_entry *entry)
{
    if (complaint->hint == NULL)
        CHECK(entry->hint == NULL, "%s: %s", complaint->text, entry->hint);
    else
        CHECK_STR(entry->hint, complaint->hint, complaint->text);
}

TEST(complaints_say_where_and_what_to_do)
{
    for (size_t i = 0; i < COUNT(complaints); i++) {
        const struct complaint *complaint = &complaints[i];
        struct world world;

        load(&world, complaint->text);
        CHECK_EQ(world.diag.error_count + world.diag.warning_count, 1, complaint->text);
        CHECK_STR(world.diag.first->message, complaint->message, complaint->text);
        CHECK_EQ(world.diag.first->place.line, complaint->line, complaint->text);
        CHECK_EQ(world.diag.first->place.column, complaint->column, complaint->text);
        check_hint(complaint, world.diag.first);
        world_fini(&world);
    }
}

TEST(all_complaints_come_in_the_order_of_the_text)
{
    struct world world;
    unsigned line = 0;

    load(&world,
         "http {\n server {\n  lissen 1;\n  sendfile x;\n }\n word 1;\n root $nope;\n}\nx;");
    CHECK_EQ(world.diag.error_count, 5);
    for (const struct diag_entry *it = world.diag.first; it != NULL; it = it->next) {
        CHECK(it->place.line > line, it->message);
        line = it->place.line;
    }
    world_fini(&world);
}

TEST(variables_may_be_used_above_their_definition)
{
    struct world world;

    load_clean(&world, "http { log_format a '$x $y'; root /$x/$y; server { set $x 1; } "
                       "map $x $y { a b; } }");
    world_fini(&world);
}

TEST(quiet_rows_are_quiet)
{
    struct world world;

    load_clean(&world, "http { server_names_hash_max_size 512; }");
    world_fini(&world);
}

TEST(paths_start_at_their_prefix)
{
    struct world world;

    load_clean(&world, "");
    CHECK_SLICE(loader_path(&world.loader, (struct slice)SLICE("logs/x")), "/srv/logs/x");
    CHECK_SLICE(loader_path(&world.loader, (struct slice)SLICE("/x")), "/x");
    CHECK_SLICE(loader_conf_path(&world.loader, (struct slice)SLICE("x")), "/etc/x");
    world_fini(&world);
}

TEST(the_nearest_name_is_near)
{
    static const char *const names[] = {"server", "server_name", "listen"};

    CHECK_STR(nearest_name((struct slice)SLICE("sevrer"), names, 3), "server");
    CHECK_STR(nearest_name((struct slice)SLICE("Server_Nam"), names, 3), "server_name");
    CHECK(nearest_name((struct slice)SLICE("proxy_pass"), names, 3) == NULL);
    CHECK(nearest_name((struct slice)SLICE(""), names, 3) == NULL);
}

static const char *help(const char *name, bool *found)
{
    static char text[8192];
    FILE *out = fmemopen(text, sizeof text, "w");

    *found = directive_help(fixture_features, FIXTURE_FEATURES, name, out);
    fclose(out);
    return text;
}

TEST(help_is_made_from_rows)
{
    bool found;

    CHECK_STR(help("keepalive_requests", &found),
              "Syntax:    keepalive_requests number;\n"
              "Default:   keepalive_requests 100;\n"
              "Range:     from 1 to 1000\n"
              "Contexts:  main, http, server, location\n"
              "Module:    sample\n\n"
              "A number between bounds. And a second sentence.\n\n"
              "Example:\n    keepalive_requests 100;\n");
    CHECK(found);
    CHECK(strstr(help("word", &found), "Syntax:    word one | two | four;\n") != NULL);
    CHECK(strstr(help("location", &found), "Syntax:    location argument [argument] { ... }\n") !=
          NULL);
    CHECK_STR(help("sendfiel", &found),
              "there is no directive \"sendfiel\"\ndid you mean \"sendfile\"?\n");
    CHECK(!found);
    CHECK(strstr(help("include", &found), "Contexts:  any block\n") != NULL && found);
    CHECK(strstr(help("ssl_ciphers", &found), "http_ssl module") != NULL);
    CHECK(strstr(help(NULL, &found), "A number between bounds.\n") != NULL);
    CHECK(found);
}
