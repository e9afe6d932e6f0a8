"""The rules of the house. Each takes the tree and yields Violations; docs say why elsewhere.

A rule that is broken is fixed in the code. What was there before a rule came is in ratchet.json by
name and value: it may get better and disappear, it cannot get worse or gain company.
"""

import os
import re
import statistics
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scan import Source

ROOT = Path(__file__).resolve().parents[2]

FUNCTION_LINES_MAX = 70
FUNCTION_LINES_MEDIAN = 15
FUNCTION_LINES_P90 = 45
DEPTH_MAX = 3
DEEP_SHARE_MAX = 0.03
FILE_LINES_MAX = 1000
PARAMS_MAX = 5
REACHED_HEADERS_MEDIAN = 25

LOWER = ["base", "event", "config", "tls", "policy", "balance"]
ROOMS = {
    "base": [],
    "event": ["base"],
    "config": ["base", "event"],
    "tls": ["base", "event", "config"],
    "policy": ["base", "event", "config"],
    "balance": ["base", "event", "config", "tls"],
    "http": LOWER,
    "stream": LOWER,
    "apps": ["base", "event", "config"],
    "cluster": ["base", "event", "config"],
    "control": LOWER + ["http", "stream", "apps", "cluster"],
    "daemon": LOWER + ["http", "stream", "apps", "cluster", "control"],
    "cli": LOWER + ["http", "stream", "apps", "cluster", "control", "daemon"],
}

BANNED_CALLS = (
    "strcpy stpcpy strndup strcat strncat sprintf vsprintf strtok atoi atol atoll atof alloca gets"
).split()
# spelled so that this file does not break its own rule
DOUBTS = [re.compile(word) for word in (r"\bTO" r"DO\b", r"\bFIX" r"ME\b", r"\bXX" r"X\b")]
EXCUSES = re.compile(r"\bfor " r"now\b|\bplace" r"holder\b|\bnot " r"implemented\b", re.I)


@dataclass(frozen=True)
class Violation:
    where: str  # file, or file:function: what the ratchet calls it
    line: int
    what: str
    value: float = 1

    def __str__(self):
        file = self.where.split(":")[0]
        return f"{file}:{self.line}: {self.what}"


class Tree:
    def __init__(self, root=ROOT):
        self.root = Path(root)
        self.src = self.root / "src"

    def read(self, folder):
        paths = sorted((self.root / folder).rglob("*.[ch]"))
        return [Source(path, self.root) for path in paths]

    @cached_property
    def sources(self):
        return self.read("src")

    @cached_property
    def tests(self):
        return self.read("tests/unit") + self.read("tests/fuzz")

    @cached_property
    def by_include(self):
        """"base/slice.h" -> Source"""
        return {source.name.removeprefix("src/"): source for source in self.sources}

    @cached_property
    def headers(self):
        return [source for source in self.sources if source.name.endswith(".h")]

    @cached_property
    def functions(self):
        return [
            (source, function)
            for source in self.sources
            if source.name.endswith(".c")
            for function in source.functions
        ]


def room_of(name):
    """"src/http/h1/parse.c" -> "http"; "src/main.c" -> "main.c\""""
    return name.split("/")[1]


# ---- includes


def include_arrows(tree):
    for source in tree.sources:
        room = room_of(source.name)
        allowed = ROOMS.get(room, list(ROOMS))
        for line, path in source.includes:
            target = path.split("/")[0]
            if target in ROOMS and target != room and target not in allowed:
                yield Violation(source.name, line, f"{room}/ may not include {path}")


def unknown_rooms(tree):
    for source in tree.sources:
        room = room_of(source.name)
        if room not in ROOMS and source.name != "src/main.c":
            yield Violation(source.name, 1, f"there is no room {room}/ in the house")


def include_paths(tree):
    """Quoted paths start at src/, and what they name exists."""
    for source in tree.sources:
        for line, path in source.includes:
            if path not in tree.by_include:
                yield Violation(source.name, line, f'"{path}" is no file below src/')


def include_cycles(tree):
    done, stack, seen = set(), [], set()

    def visit(path):
        if path in stack:
            cycle = stack[stack.index(path) :]
            key = frozenset(cycle)
            if key not in seen:
                seen.add(key)
                yield Violation("src/" + path, 1, "include cycle: " + " -> ".join(cycle + [path]))
            return
        if path in done or path not in tree.by_include:
            return
        stack.append(path)
        for _, target in tree.by_include[path].includes:
            yield from visit(target)
        stack.pop()
        done.add(path)

    for path in sorted(tree.by_include):
        yield from visit(path)


def internal_headers(tree):
    """x_internal.h is for its folder, what lies below it, and its unit tests."""
    for source in tree.sources + tree.tests:
        home = os.path.dirname(re.sub(r"^(src|tests/unit|tests/fuzz)/", "", source.name))
        for line, path in source.includes:
            owner = os.path.dirname(path)
            inside = home == owner or home.startswith(owner + "/")
            fuzz = source.name.startswith("tests/fuzz/")
            if path.endswith("_internal.h") and not inside and not fuzz:
                yield Violation(source.name, line, f"{path} is only for {owner}/")


def headers_alone(tree):
    compiler = os.environ.get("CC", "cc")
    flags = f"-std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -I{tree.src} -xc -"

    def compile_alone(source):
        result = subprocess.run(
            [compiler, *flags.split()],
            input=f'#include "{source.name.removeprefix("src/")}"\n',
            capture_output=True,
            text=True,
            cwd=tree.root,
        )
        return source, result

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, result in pool.map(compile_alone, tree.headers):
            if result.returncode:
                why = next((x for x in result.stderr.splitlines() if "error" in x), result.stderr)
                yield Violation(source.name, 1, f"does not compile alone: {why}")


def reached_headers(tree):
    """How many of our own headers a .c sees, in the median: what a reader must know first."""

    def reach(path, found):
        for _, target in tree.by_include[path].includes:
            if target in tree.by_include and target not in found:
                found.add(target)
                reach(target, found)
        return found

    counts = [len(reach(path, set())) for path in tree.by_include if path.endswith(".c")]
    median = statistics.median(counts) if counts else 0
    if median > REACHED_HEADERS_MEDIAN:
        yield Violation("src", 1, f"a .c reaches {median} own headers in the median", median)


# ---- proportions


def function_lines(tree):
    for source, function in tree.functions:
        if function.lines > FUNCTION_LINES_MAX:
            yield Violation(
                f"{source.name}:{function.name}",
                function.line,
                f"{function.name}() has {function.lines} lines, at most {FUNCTION_LINES_MAX}",
                function.lines,
            )


def function_proportions(tree):
    lines = sorted(function.lines for _, function in tree.functions)
    if len(lines) < 20:
        return
    median = statistics.median(lines)
    p90 = lines[int(len(lines) * 0.9)]
    if median > FUNCTION_LINES_MEDIAN:
        yield Violation("src:median", 1, f"the median function has {median} lines", median)
    if p90 > FUNCTION_LINES_P90:
        yield Violation("src:p90", 1, f"one function in ten has {p90} lines or more", p90)


def nesting(tree):
    for source, function in tree.functions:
        if function.depth > DEPTH_MAX:
            yield Violation(
                f"{source.name}:{function.name}",
                function.line,
                f"{function.name}() nests {function.depth} blocks, at most {DEPTH_MAX}",
                function.depth,
            )


def deep_lines(tree):
    total = deep = 0
    for source in tree.sources:
        total += source.line_count
        # with the body's own brace this is brace depth 4, as STYLE counts it
        deep += sum(depth >= DEPTH_MAX for depth in source.blocks.depth_of_line.values())
    share = deep / total if total else 0
    if share >= DEEP_SHARE_MAX:
        yield Violation("src", 1, f"{share:.1%} of the lines lie {DEPTH_MAX} blocks deep", share)


def file_lines(tree):
    for source in tree.sources + tree.tests:
        if source.line_count > FILE_LINES_MAX:
            text = f"{source.line_count} lines, at most {FILE_LINES_MAX}"
            yield Violation(source.name, 1, text, source.line_count)


def parameters(tree):
    for source, function in tree.functions:
        if function.params > PARAMS_MAX:
            yield Violation(
                f"{source.name}:{function.name}",
                function.line,
                f"{function.name}() takes {function.params} parameters; use a struct",
                function.params,
            )


# ---- words


def banned_calls(tree):
    pattern = rf"(?<![\w.>])({'|'.join(BANNED_CALLS)})\s*\("
    for source in tree.sources + tree.tests:
        for line, match in source.find(pattern, source.code):
            yield Violation(source.name, line, f"{match.group(1)}() is not used here")


def doubts(tree):
    for source in tree.sources + tree.tests:
        for pattern in DOUBTS:
            for line, match in source.find(pattern.pattern, source.text):
                text = f"{match.group()}: find out, or write an issue"
                yield Violation(source.name, line, text)
        for line, comment in source.comments:
            match = EXCUSES.search(comment)
            if match:
                yield Violation(source.name, line, f'a comment says "{match.group()}"')


def typedefs(tree):
    for source in tree.sources:
        for line, _ in source.find(r"\btypedef\s+(struct|union|enum)\b"):
            yield Violation(source.name, line, "structs, unions and enums keep their word")


def labels(tree):
    for source in tree.sources:
        for line, match in source.find(r"\bgoto\s+(\w+)"):
            if match.group(1) != "out":
                yield Violation(source.name, line, f"goto {match.group(1)}: the one label is out")


def conditionals(tree):
    for source in tree.sources:
        if room_of(source.name) == "base":
            continue
        for line, match in source.find(r"^[ \t]*#[ \t]*(ifdef|ifndef|if)\b", source.code):
            yield Violation(source.name, line, f"#{match.group(1)} belongs into base/")


def header_form(tree):
    for source in tree.headers:
        first = source.comments[0] if source.comments else (0, "")
        if first[0] != 1:
            yield Violation(source.name, 1, "a header begins with what it is")
        elif "Runs in:" not in first[1]:
            yield Violation(source.name, 1, 'the first comment lacks its "Runs in:" line')
        if not re.search(r"^#pragma once$", source.text, re.M):
            yield Violation(source.name, 1, "lacks #pragma once")


def own_prefix(tree):
    for source, function in tree.functions:
        if function.name.startswith("pelayan"):
            where = f"{source.name}:{function.name}"
            yield Violation(where, function.line, f"{function.name}: no project prefix in names")


RULES = [
    include_arrows,
    unknown_rooms,
    include_paths,
    include_cycles,
    internal_headers,
    headers_alone,
    reached_headers,
    function_lines,
    function_proportions,
    nesting,
    deep_lines,
    file_lines,
    parameters,
    banned_calls,
    doubts,
    typedefs,
    labels,
    conditionals,
    header_form,
    own_prefix,
]
