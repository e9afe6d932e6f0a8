"""Every rule finds what it is for, in a small tree made to break it, and only that."""

import pytest
import ratchet
import rules
from scan import Source

TITLE = "/* What it is.\n *\n * Runs in: any process. */\n#pragma once\n"


@pytest.fixture
def tree(tmp_path):
    def plant(**files):
        for name, text in files.items():
            folder, _, file = name.partition("__")
            path = tmp_path / "src" / folder / (file[:-2] + "." + file[-1])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return rules.Tree(tmp_path)

    return plant


def broken(rule, tree):
    return [violation.what for violation in rule(tree)]


def test_a_clean_tree_breaks_nothing(tree):
    clean = tree(
        base__slice_h=TITLE + "struct slice {\n    int len;\n};\n",
        http__page_c='#include "base/slice.h"\n\nint page(void)\n{\n    return 0;\n}\n',
    )
    assert [name for rule in rules.RULES for name in broken(rule, clean)] == []


def test_arrows_go_one_way(tree):
    up = tree(
        base__a_c='#include "http/b.h"\n', http__b_h=TITLE, stream__c_c='#include "http/b.h"\n'
    )
    assert broken(rules.include_arrows, up) == [
        "base/ may not include http/b.h",
        "stream/ may not include http/b.h",
    ]


def test_paths_start_at_src(tree):
    found = broken(rules.include_paths, tree(base__a_h=TITLE, base__a_c='#include "a.h"\n'))
    assert found == ['"a.h" is no file below src/']


def test_cycles_are_found_once(tree):
    loop = tree(
        base__a_h=TITLE + '#include "base/b.h"\n', base__b_h=TITLE + '#include "base/a.h"\n'
    )
    assert broken(rules.include_cycles, loop) == ["include cycle: base/a.h -> base/b.h -> base/a.h"]


def test_internal_headers_stay_inside(tree):
    outside = tree(
        base__map_internal_h=TITLE,
        base__map_c='#include "base/map_internal.h"\n',
        http__x_c='#include "base/map_internal.h"\n',
    )
    assert [v.where for v in rules.internal_headers(outside)] == ["src/http/x.c"]


def test_headers_compile_alone(tree):
    found = list(rules.headers_alone(tree(base__a_h=TITLE + "size_t length;\n", base__b_h=TITLE)))
    assert [v.where for v in found] == ["src/base/a.h"]


def long_function(lines):
    return "int long_one(void)\n{\n" + "    run();\n" * (lines - 3) + "}\n"


def test_long_functions(tree):
    assert broken(rules.function_lines, tree(base__a_c=long_function(70))) == []
    found = list(rules.function_lines(tree(base__a_c="\n\n" + long_function(71))))
    assert [(v.where, v.line, v.value) for v in found] == [("src/base/a.c:long_one", 3, 71)]


def test_depth_counts_blocks_and_not_values(tree):
    values = """static const struct x table[] = {{1, {2, {3, {4}}}}};
void f(struct x *x)
{
    if (x) {
        LIST_EACH(x, y) {
            struct x local = {.a = {{1}, {2}}};
            g((struct x){.a = {{{1}}}}, x ? 1 : 2);
            *x = (struct x){1};
            switch (x->y) {
            case 1: {%s
            }
            }
        }
    }
}
"""
    three = values.replace("case 1: {%s\n            }", "case 1:\n                break;")
    assert broken(rules.nesting, tree(base__a_c=three)) == []
    assert broken(rules.nesting, tree(base__a_c=values % "")) == [
        "f() nests 4 blocks, at most 3"
    ]


def test_parameters(tree):
    many = "void f(int a, void (*b)(int, int), int c, int d, int e, int f)\n{\n}\n"
    assert broken(rules.parameters, tree(base__a_c=many)) == ["f() takes 6 parameters; use a struct"]


def test_banned_calls_but_not_their_relatives(tree):
    text = (
        "/* sprintf(x) */\nvoid f(void)\n{\n    snprintf(a, 1, \"gets(\");\n"
        "    x->gets(1);\n    my_atoi(a);\n    sprintf(a, b);\n}\n"
    )
    found = list(rules.banned_calls(tree(base__a_c=text)))
    assert [(v.line, v.what) for v in found] == [(7, "sprintf() is not used here")]


def test_words(tree):
    doubt = "TO" + "DO"
    text = f'/* {doubt} */\nstatic const char *reason = "Not Implemented";\nint fd; /* XXXXXX */\n'
    assert len(broken(rules.doubts, tree(base__a_c=text))) == 1
    assert len(broken(rules.doubts, tree(base__a_c="/* good enough for " + "now */\n"))) == 1


def test_forms(tree):
    assert broken(rules.typedefs, tree(base__a_c="typedef struct a { int b; } c;\n"))
    assert not broken(rules.typedefs, tree(base__a_c="typedef void run(struct a *a);\n"))
    assert broken(rules.labels, tree(base__a_c="void f(void)\n{\n    goto fail;\n}\n"))
    assert not broken(rules.labels, tree(base__a_c="void f(void)\n{\n    goto out;\n}\n"))
    assert broken(rules.header_form, tree(base__a_h="#pragma once\n"))
    assert broken(rules.conditionals, tree(http__a_c="#ifdef __linux__\n#endif\n"))
    assert [v.where for v in rules.conditionals(tree(base__a_c="#if 1\n#endif\n"))] == ["src/http/a.c"]


def test_ratchet_forgives_only_what_it_names(tree):
    two = tree(base__a_c=long_function(80), base__b_c=long_function(90))
    book = {"src/base/a.c:long_one": 80, "src/base/b.c:long_one": 89, "src/base/c.c:gone": 99}
    left = list(ratchet.unforgiven(rules.function_lines, two, book))
    assert [v.where for v in left] == ["src/base/b.c:long_one"]
    assert ratchet.tightened(rules.function_lines, two, book) == {
        "src/base/a.c:long_one": 80,
        "src/base/b.c:long_one": 89,
    }


def scanned(tmp_path, text):
    path = tmp_path / "x.c"
    path.write_text(text)
    return [(f.name, f.line, f.lines, f.params) for f in Source(path, tmp_path).functions]


def test_functions_are_recognised(tmp_path):
    text = """#define EACH(x) \\
    for (;;) {
static int table[] = {1, 2};
struct a { int b; };
enum { ONE, TWO };
__attribute__((noreturn)) static void
stop(void)
{
}
const char *name(int a, char c) __attribute__((pure))
{
    char brace = '{'; /* } */
    return "}";
}
TEST(one)
{
}
static const struct f functions[] = {{"a", run(1)}};
int (*picker(void))(int)
{
    return 0;
}
"""
    assert scanned(tmp_path, text)[:3] == [("stop", 6, 4, 0), ("name", 10, 5, 2), ("TEST", 15, 3, 1)]
