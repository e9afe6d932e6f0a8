/* The runner behind check.h. Runs in: test binaries, main thread. */
#include "check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TESTS_MAX = 1000, CONTEXT_BYTES = 1024, SHOWN_BYTES = 2048 };

static struct CMUnitTest tests[TESTS_MAX];
static size_t test_count;
static char context_text[CONTEXT_BYTES];

/* cmocka takes SIGSEGV for itself and says no more than its number; under a sanitizer the report of
 * where it happened is wanted. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "handle_segv=2:handle_sigbus=2:handle_sigfpe=2:handle_sigill=2";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "handle_segv=2:handle_sigbus=2:handle_sigfpe=2:handle_sigill=2";
}

void check_register(const char *name, void (*run)(void **state))
{
    if (test_count == TESTS_MAX) {
        fprintf(stderr, "check: more than %d tests in one file\n", TESTS_MAX);
        _Exit(2);
    }
    tests[test_count++] = (struct CMUnitTest){.name = name, .test_func = run};
}

const char *check_context(int count, ...)
{
    va_list args;
    va_start(args, count);
    const char *first = count > 0 ? va_arg(args, const char *) : "";
    if (count > 1)
        vsnprintf(context_text, sizeof context_text, first, args);
    va_end(args);
    return count > 1 ? context_text : first;
}

struct check_value check_from_int(intmax_t i)
{
    return (struct check_value){.kind = CHECK_INT, .i = i};
}

struct check_value check_from_uint(uintmax_t u)
{
    return (struct check_value){.kind = CHECK_UINT, .u = u};
}

struct check_value check_from_double(double d)
{
    return (struct check_value){.kind = CHECK_DOUBLE, .d = d};
}

struct check_value check_from_pointer(const void *p)
{
    return (struct check_value){.kind = CHECK_POINTER, .p = p};
}

static void fail_at(const struct check_site *site)
{
    if (site->context != NULL && site->context[0] != '\0')
        print_error("    case: %s\n", site->context);
    _fail(site->file, site->line);
}

static const char *show_value(const struct check_value *value, char *out, size_t out_bytes)
{
    switch (value->kind) {
    case CHECK_INT:
        snprintf(out, out_bytes, "%" PRIdMAX " (%#" PRIxMAX ")", value->i, (uintmax_t)value->i);
        break;
    case CHECK_UINT:
        snprintf(out, out_bytes, "%" PRIuMAX " (%#" PRIxMAX ")", value->u, value->u);
        break;
    case CHECK_DOUBLE:
        snprintf(out, out_bytes, "%.17g", value->d);
        break;
    case CHECK_POINTER:
        snprintf(out, out_bytes, "%p", value->p);
        break;
    }
    return out;
}

static bool whole_numbers_equal(const struct check_value *a, const struct check_value *b)
{
    bool a_negative = a->kind == CHECK_INT && a->i < 0;
    bool b_negative = b->kind == CHECK_INT && b->i < 0;
    return a_negative == b_negative && a->u == b->u;
}

static double as_double(const struct check_value *value)
{
    if (value->kind == CHECK_DOUBLE)
        return value->d;
    return value->kind == CHECK_INT ? (double)value->i : (double)value->u;
}

static bool values_equal(const struct check_value *a, const struct check_value *b)
{
    if (a->kind == CHECK_POINTER || b->kind == CHECK_POINTER) {
        /* the other one may be a plain 0 that stands for NULL */
        uintmax_t left = a->kind == CHECK_POINTER ? (uintptr_t)a->p : a->u;
        uintmax_t right = b->kind == CHECK_POINTER ? (uintptr_t)b->p : b->u;
        return left == right;
    }
    if (a->kind == CHECK_DOUBLE || b->kind == CHECK_DOUBLE)
        return !(as_double(a) < as_double(b)) && !(as_double(a) > as_double(b));
    return whole_numbers_equal(a, b);
}

void check_true(struct check_site site, bool holds)
{
    if (holds)
        return;
    print_error("    check failed: %s\n", site.text);
    fail_at(&site);
}

void check_equal(struct check_site site, struct check_value actual, struct check_value expected)
{
    char left[64];
    char right[64];

    if (values_equal(&actual, &expected))
        return;
    print_error("    check failed: %s\n    got:  %s\n    want: %s\n", site.text,
                show_value(&actual, left, sizeof left), show_value(&expected, right, sizeof right));
    fail_at(&site);
}

void check_unequal(struct check_site site, struct check_value actual, struct check_value other)
{
    char left[64];

    if (!values_equal(&actual, &other))
        return;
    print_error("    check failed: %s\n    both: %s\n", site.text,
                show_value(&actual, left, sizeof left));
    fail_at(&site);
}

/* As a C string literal would be written, so that what differs can be seen. */
static const char *show_bytes(struct check_bytes bytes, char *out, size_t out_bytes)
{
    size_t used = 0;

    if (bytes.data == NULL)
        return "NULL";
    out[used++] = '"';
    for (size_t i = 0; i < bytes.len && used + 8 < out_bytes; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        if (c == '"' || c == '\\')
            used += (size_t)snprintf(out + used, out_bytes - used, "\\%c", c);
        else if (c >= ' ' && c < 0x7f)
            out[used++] = (char)c;
        else
            used += (size_t)snprintf(out + used, out_bytes - used,
                                     c == '\r'   ? "\\r"
                                     : c == '\n' ? "\\n"
                                                 : "\\x%02x",
                                     c);
    }
    out[used++] = '"';
    out[used] = '\0';
    return out;
}

void check_bytes(struct check_site site, struct check_bytes actual, struct check_bytes expected)
{
    static char left[SHOWN_BYTES];
    static char right[SHOWN_BYTES];

    if (actual.len == expected.len &&
        (actual.len == 0 || memcmp(actual.data, expected.data, actual.len) == 0))
        return;
    print_error("    check failed: %s\n    got:  %s (%zu bytes)\n    want: %s (%zu bytes)\n",
                site.text, show_bytes(actual, left, sizeof left), actual.len,
                show_bytes(expected, right, sizeof right), expected.len);
    fail_at(&site);
}

static struct check_bytes bytes_of(const char *text)
{
    return (struct check_bytes){text, text == NULL ? 0 : strlen(text)};
}

void check_strings(struct check_site site, const char *actual, const char *expected)
{
    if ((actual == NULL) == (expected == NULL)) {
        check_bytes(site, bytes_of(actual), bytes_of(expected));
        return;
    }
    print_error("    check failed: %s\n    got:  %s%s\n    want: %s%s\n", site.text,
                actual == NULL ? "" : "text: ", actual == NULL ? "NULL" : actual,
                expected == NULL ? "" : "text: ", expected == NULL ? "NULL" : expected);
    fail_at(&site);
}

static void keep_matching(const char *word)
{
    size_t kept = 0;

    for (size_t i = 0; i < test_count; i++) {
        if (strstr(tests[i].name, word) != NULL)
            tests[kept++] = tests[i];
    }
    test_count = kept;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        keep_matching(argv[1]);
    if (test_count == 0) {
        fprintf(stderr, "check: no test matches\n");
        return 1;
    }
    return _cmocka_run_group_tests(argv[0], tests, test_count, NULL, NULL) == 0 ? 0 : 1;
}
