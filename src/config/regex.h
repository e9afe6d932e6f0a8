/* Regular expressions by PCRE2 with JIT; equal patterns of one config are compiled once.
 * Runs in: compile: load time; match: any thread (match data is per thread). */
#pragma once

#include "base/slice.h"

struct arena;
struct regex;
struct regex_set; /* those of one config; frees them at the drop of its arena */
struct subject;
struct variables;

struct regex_set *regex_set_new(struct arena *arena, struct variables *variables);

/* Named captures (?<name>...) are declared as variables. NULL: `*error` (arena) says what and at
 * which offset. */
struct regex *regex_compile(struct regex_set *set, struct slice pattern, bool nocase,
                            const char **error);

enum regex_match {
    REGEX_NO,
    REGEX_YES,
    REGEX_FAILED, /* a limit was hit (match limit, depth): logged by the caller, who decides nothing
                     by it */
};

/* Matches and, when `subject` is given, sets $0..$9 and the named captures, which point into `text`
 * (that must live as long as the subject). */
enum regex_match regex_match(const struct regex *regex, struct slice text, struct subject *subject);
