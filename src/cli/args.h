/* The command line as nginx has it: letters may stand together ("-tq"), a value may follow its
 * letter directly ("-cFILE"). Pure: nothing is opened or printed. Runs in: the process the user
 * started. */
#pragma once

#include <stdbool.h>

struct args {
    bool help;              /* -h -? --help */
    bool version;           /* -v */
    bool configure;         /* -V */
    bool test;              /* -t, -T */
    bool dump;              /* -T */
    bool quiet;             /* -q */
    bool strict;            /* --strict */
    const char *conf;       /* -c; NULL: not given, as all that follow */
    const char *prefix;     /* -p */
    const char *error_log;  /* -e */
    const char *directives; /* -g */
    const char *signal;     /* -s */
    int command;     /* index in argv of the subcommand, 0: none; what follows it is its own */
    char error[256]; /* empty, or what is wrong */
};

/* True if -s takes this word. */
bool args_is_signal(const char *word);

/* False: see `error`. Strings point into argv. */
bool args_parse(struct args *args, int argc, char *const *argv);
