/* The command line: nginx's letters together and apart, and every complaint. */
#include "tests/unit/check.h"

#include "base/list.h"
#include "cli/args.h"

static bool parse(struct args *args, char **argv)
{
    int argc = 0;

    while (argv[argc] != NULL)
        argc++;
    return args_parse(args, argc, argv);
}

TEST(letters_may_stand_together_and_values_follow_directly_or_apart)
{
    char *argv[] = {"pelayan", "-tq", "-c/x", "-p", "/y", "-g", "daemon off;", "--strict", NULL};
    struct args args;

    CHECK(parse(&args, argv), args.error);
    CHECK(args.test);
    CHECK(args.quiet);
    CHECK(args.strict);
    CHECK(!args.dump);
    CHECK_STR(args.conf, "/x");
    CHECK_STR(args.prefix, "/y");
    CHECK_STR(args.directives, "daemon off;");
    CHECK_EQ(args.command, 0);
}

TEST(a_dump_is_a_test)
{
    char *argv[] = {"pelayan", "-T", NULL};
    struct args args;

    CHECK(parse(&args, argv));
    CHECK(args.test);
    CHECK(args.dump);
}

TEST(the_first_word_is_the_subcommand_and_the_rest_is_its_own)
{
    char *argv[] = {"pelayan", "-c", "x", "help", "-z", NULL};
    struct args args;

    CHECK(parse(&args, argv), args.error);
    CHECK_EQ(args.command, 3);
}

TEST(complaints_are_nginx_s)
{
    static const struct {
        char *argv[4];
        const char *error;
    } cases[] = {
        {{"pelayan", "-x"}, "invalid option: \"x\""},
        {{"pelayan", "-"}, "invalid option: \"-\""},
        {{"pelayan", "--x"}, "invalid option: \"--x\""},
        {{"pelayan", "-c"}, "option \"-c\" requires file name"},
        {{"pelayan", "-p", ""}, "option \"-p\" requires directory name"},
        {{"pelayan", "-tg"}, "option \"-g\" requires parameter"},
        {{"pelayan", "-s", "jump"}, "invalid option: \"-s jump\""},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct args args;

        CHECK(!parse(&args, (char **)cases[i].argv), cases[i].error);
        CHECK_STR(args.error, cases[i].error);
    }
}

TEST(every_signal_of_nginx_is_known)
{
    static char *const names[] = {"stop", "quit", "reload", "reopen"};

    for (size_t i = 0; i < COUNT(names); i++) {
        char *argv[] = {"pelayan", "-s", names[i], NULL};
        struct args args;

        CHECK(parse(&args, argv), names[i]);
        CHECK_STR(args.signal, names[i]);
    }
}
