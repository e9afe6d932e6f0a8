/* PCRE2 behind one small face. Runs in: compile: load time; match: any thread. */
#include "config/regex.h"

#include "base/arena.h"
#include "base/map.h"
#include "config/variable.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <assert.h>
#include <pcre2.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    GROUPS_MAX = 255, /* capturing groups of one pattern */
    MATCH_LIMIT = 1000 *
                  1000,    /* steps: a pattern that backtracks for ever ends within milliseconds */
    HEAP_LIMIT_KIB = 4096, /* only where there is no JIT */
    JIT_STACK_FIRST = 32 * 1024,
    JIT_STACK_MAX = 512 * 1024,
};

struct capture_name {
    uint32_t group;
    const struct variable *variable; /* borrowed from the set's variables */
};

struct regex {
    struct regex *next; /* in the set */
    pcre2_code *code;   /* owned; freed with the set */
    const struct regex_set *set;
    uint32_t name_count;
    struct capture_name *names; /* arena */
};

struct regex_set {
    struct arena *arena;         /* borrowed */
    struct variables *variables; /* borrowed; NULL: named captures set nothing */
    struct map by_pattern;       /* flag byte and pattern -> struct regex */
    struct regex *first;
    pcre2_match_context *limits; /* owned; read-only once made, so shared by the threads */
};

/* What matching needs, once per thread that ever matched; freed when the thread ends. */
struct scratch {
    pcre2_match_data *match;
    pcre2_jit_stack *stack;
};

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static bool scratch_key_made;
static _Thread_local struct scratch *scratch;

static void scratch_free(void *data)
{
    struct scratch *old = data;

    if (old == NULL)
        return;
    pcre2_match_data_free(old->match);
    pcre2_jit_stack_free(old->stack);
    free(old);
    scratch = NULL;
}

static void make_key(void)
{
    scratch_key_made = pthread_key_create(&scratch_key, scratch_free) == 0;
}

static struct scratch *scratch_get(void)
{
    struct scratch *fresh;

    if (scratch != NULL)
        return scratch;
    pthread_once(&scratch_once, make_key);
    fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL)
        return NULL;
    fresh->match = pcre2_match_data_create(GROUPS_MAX + 1, NULL);
    fresh->stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MAX, NULL);
    if (fresh->match == NULL || !scratch_key_made || pthread_setspecific(scratch_key, fresh) != 0) {
        scratch_free(fresh);
        return NULL;
    }
    scratch = fresh;
    return fresh;
}

/* Asked by PCRE2 at each match. NULL makes it use 32 KiB of the thread's own stack. */
static pcre2_jit_stack *current_stack(void *data)
{
    (void)data;
    return scratch == NULL ? NULL : scratch->stack;
}

static void set_fini(void *data)
{
    struct regex_set *set = data;

    for (struct regex *regex = set->first; regex != NULL; regex = regex->next)
        pcre2_code_free(regex->code);
    pcre2_match_context_free(set->limits);
}

struct regex_set *regex_set_new(struct arena *arena, struct variables *variables)
{
    struct regex_set *set = arena_zalloc(arena, sizeof *set);

    if (set == NULL)
        return NULL;
    set->arena = arena;
    set->variables = variables;
    map_init(&set->by_pattern, arena, false);
    set->limits = pcre2_match_context_create(NULL);
    if (set->limits == NULL)
        return NULL;
    pcre2_set_match_limit(set->limits, MATCH_LIMIT);
    pcre2_set_heap_limit(set->limits, HEAP_LIMIT_KIB);
    pcre2_jit_stack_assign(set->limits, current_stack, NULL);
    if (!arena_on_drop(arena, set_fini, set)) {
        pcre2_match_context_free(set->limits);
        return NULL;
    }
    return set;
}

static void *fail(const char **error, struct slice message)
{
    *error = message.data == NULL ? "no memory" : message.data;
    return NULL;
}

static pcre2_code *compile(struct regex_set *set, struct slice pattern, bool nocase,
                           const char **error)
{
    uint32_t options = nocase ? PCRE2_CASELESS : 0;
    PCRE2_UCHAR reason[128];
    PCRE2_SIZE offset = 0;
    uint32_t groups = 0;
    int code = 0;
    pcre2_code *result = pcre2_compile((PCRE2_SPTR)pattern.data, pattern.len, options, &code,
                                       &offset, NULL);

    if (result == NULL) {
        pcre2_get_error_message(code, reason, sizeof reason);
        return fail(error,
                    arena_printf(set->arena, "pcre2_compile() failed: %s in \"%.*s\" at \"%.*s\"",
                                 (const char *)reason, SLICE_ARG(pattern),
                                 SLICE_ARG(slice_skip(pattern, offset))));
    }
    pcre2_pattern_info(result, PCRE2_INFO_CAPTURECOUNT, &groups);
    if (groups > GROUPS_MAX) {
        pcre2_code_free(result);
        return fail(error, arena_printf(set->arena, "more than %d captures in \"%.*s\"", GROUPS_MAX,
                                        SLICE_ARG(pattern)));
    }
    /* Without JIT (a kernel that forbids executable pages) the interpreter does the same, slower.
     */
    (void)pcre2_jit_compile(result, PCRE2_JIT_COMPLETE);
    return result;
}

/* The table of names: entries of `entry_bytes`: two bytes of group number, the name, a NUL. */
static bool declare_names(struct regex *regex, const char **error)
{
    struct regex_set *set = (struct regex_set *)(uintptr_t)regex->set;
    uint32_t count = 0;
    uint32_t entry_bytes = 0;
    PCRE2_SPTR table = NULL;

    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMECOUNT, &count);
    if (count == 0 || set->variables == NULL)
        return true;
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMEENTRYSIZE, &entry_bytes);
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMETABLE, &table);
    regex->names = arena_zalloc(set->arena, count * sizeof *regex->names);
    if (regex->names == NULL)
        return fail(error, slice_make(NULL, 0)) != NULL;
    for (uint32_t i = 0; i < count; i++) {
        PCRE2_SPTR entry = table + (size_t)i * entry_bytes;
        struct slice name = slice_of((const char *)entry + 2);

        regex->names[i].group = (uint32_t)entry[0] << 8 | entry[1];
        regex->names[i].variable = variables_declare_capture(set->variables, name);
        if (regex->names[i].variable == NULL)
            return fail(error, arena_printf(set->arena, "the duplicate \"%.*s\" variable",
                                            SLICE_ARG(name))) != NULL;
    }
    regex->name_count = count;
    return true;
}

static struct slice key_of(struct arena *arena, struct slice pattern, bool nocase)
{
    return arena_printf(arena, "%c%.*s", nocase ? 'i' : 'c', SLICE_ARG(pattern));
}

struct regex *regex_compile(struct regex_set *set, struct slice pattern, bool nocase,
                            const char **error)
{
    struct slice key = key_of(set->arena, pattern, nocase);
    struct regex *regex;

    *error = "no memory";
    if (key.data == NULL)
        return NULL;
    regex = map_get(&set->by_pattern, key);
    if (regex != NULL)
        return regex;
    regex = arena_zalloc(set->arena, sizeof *regex);
    if (regex == NULL)
        return NULL;
    regex->set = set;
    regex->code = compile(set, slice_skip(key, 1), nocase, error);
    if (regex->code == NULL)
        return NULL;
    regex->next = set->first; /* owned by the set from here on */
    set->first = regex;
    if (!declare_names(regex, error) || !map_put(&set->by_pattern, key, regex, NULL))
        return NULL;
    *error = NULL;
    return regex;
}

/* Groups that took no part in the match are empty. */
static struct slice group(const pcre2_match_data *match, struct slice text, uint32_t index)
{
    const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer((pcre2_match_data *)(uintptr_t)match);
    PCRE2_SIZE start = bounds[2 * index];
    PCRE2_SIZE end = bounds[2 * index + 1];

    /* \K within a lookahead can put the start behind the end. */
    if (start == PCRE2_UNSET || end > text.len || start > end)
        return slice_make("", 0);
    return slice_make(text.data + start, end - start);
}

static void set_captures(const struct regex *regex, const struct scratch *own, struct slice text,
                         struct subject *subject, uint32_t matched)
{
    subject->capture_count = 0;
    while (subject->capture_count < matched && subject->capture_count < SUBJECT_CAPTURES_MAX) {
        subject->captures[subject->capture_count] = group(own->match, text, subject->capture_count);
        subject->capture_count++;
    }
    for (uint32_t i = 0; i < regex->name_count; i++) {
        const struct capture_name *name = &regex->names[i];
        struct slice value = slice_make("", 0);

        if (name->group < matched)
            value = group(own->match, text, name->group);
        (void)variable_assign(subject, name->variable, value);
    }
}

enum regex_match regex_match(const struct regex *regex, struct slice text, struct subject *subject)
{
    struct scratch *own = scratch_get();
    PCRE2_SPTR bytes = (PCRE2_SPTR)(text.data == NULL ? "" : text.data);
    int matched;

    if (own == NULL)
        return REGEX_FAILED;
    matched = pcre2_match(regex->code, bytes, text.len, 0, 0, own->match, regex->set->limits);
    if (matched == PCRE2_ERROR_NOMATCH)
        return REGEX_NO;
    if (matched < 0)
        return REGEX_FAILED;
    assert(matched > 0); /* 0: too many groups for the room, which compiling refused */
    if (subject != NULL)
        set_captures(regex, own, text, subject, (uint32_t)matched);
    return REGEX_YES;
}
