"""Reads C as far as the rules of tests/structure need: comments, includes, functions, blocks.

Not a parser: it relies on what clang-format and the compiler have made sure of already (balanced
braces, one declaration at a time). What it cannot know it leaves out rather than guesses.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

CONTROL = {"if", "for", "while", "switch"}
NOT_CALLS = CONTROL | {"return", "sizeof", "_Generic", "_Alignof", "__typeof__", "typeof"}
ATTRIBUTE = re.compile(r"__attribute__\s*\(\(")


@dataclass(frozen=True)
class Function:
    name: str
    line: int  # of the first line of its declaration
    end: int  # of the closing brace
    params: int
    depth: int  # blocks inside blocks; the body itself is 0
    body: str = field(repr=False, compare=False)

    @property
    def lines(self):
        return self.end - self.line + 1


def blank(text):
    """Spaces instead of everything but the line ends."""
    return re.sub(r"[^\n]", " ", text)


TOKEN = re.compile(
    r"""/\*.*?\*/ | //(?:\\\n|[^\n])* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'""",
    re.S | re.X,
)


def without_comments(text):
    """The code alone: comments and the insides of strings are blanked, positions stay."""

    def replace(match):
        token = match.group()
        if token[0] == "/":
            return blank(token)
        return token[0] + blank(token[1:-1]) + token[-1]

    return TOKEN.sub(replace, text)


def comments(text):
    """(line, text) of every comment."""
    for match in TOKEN.finditer(text):
        if match.group()[0] == "/":
            yield text.count("\n", 0, match.start()) + 1, match.group()


DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.M)


def without_directives(code):
    return DIRECTIVE.sub(lambda match: blank(match.group()), code)


def matching_open(code, close):
    """The position of the '(' that the ')' at `close` ends, or -1."""
    depth = 0
    for at in range(close, -1, -1):
        if code[at] == ")":
            depth += 1
        elif code[at] == "(":
            depth -= 1
            if depth == 0:
                return at
    return -1


def word_before(code, at):
    match = re.search(r"(\w+)\s*$", code[max(0, at - 80) : at])
    return match.group(1) if match else ""


def opens_block(code, at, parent_is_initialiser):
    """True if the '{' at `at`, inside a function, begins a block and not a list of values."""
    before = code[:at].rstrip()
    last = before[-1:]
    if last == "{":
        return not parent_is_initialiser
    if last == ")":
        open_at = matching_open(before, len(before) - 1)
        word = word_before(before, open_at)
        # `LIST_EACH(...) {` is a loop; `return (struct x){`, `f((struct x){` are values
        return word != "" and word not in NOT_CALLS - CONTROL
    if last in ";}:":
        return True
    return word_before(before, len(before)) in ("else", "do")


def split_params(text):
    depth = 0
    count = 1
    for char in text:
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "," and depth == 0:
            count += 1
    return 0 if text.strip() in ("", "void") else count


def declared_function(head):
    """(name, parameters) if `head`, the text before a '{' at file level, declares a function."""
    head = head.rstrip()
    while head.endswith("))"):
        start = head.rfind("__attribute__")
        if start < 0 or matching_open(head, len(head) - 1) < start:
            break
        head = head[:start].rstrip()
    if not head.endswith(")"):
        return None
    open_at = matching_open(head, len(head) - 1)
    name = word_before(head, open_at)
    outside = re.sub(r"\([^()]*\)", "", ATTRIBUTE.sub("((", head))
    if not name or name in CONTROL or "=" in outside:
        return None
    return name, split_params(head[open_at + 1 : -1])


# How many parameters a callback of nghttp2 has is nghttp2's affair.
LIBRARY_CALLBACK = re.compile(r"\(nghttp2_session \*session,.*\*user_data\)\s*$", re.S)


class Blocks:
    """Walks braces; knows for each line how many blocks of a function it lies in."""

    def __init__(self, code):
        self.code = code
        self.functions = []
        self.depth_of_line = {}
        self.walk()

    def walk(self):
        start = 0
        for match in re.finditer(r"[{};]", self.code):
            if match.start() < start:
                continue
            if match.group() != "{":
                start = match.end()
                continue
            declared = declared_function(self.code[start : match.start()])
            end = self.body(match.start(), declared is not None)
            if declared:
                self.add(declared, start, match.start(), end)
                start = end + 1
            else:
                # a table or a type: it goes on to its semicolon
                start = self.code.find(";", end) + 1 or len(self.code)

    def body(self, at, is_function):
        """The position of the brace that closes the one at `at`; notes depths on the way."""
        stack = []
        self.deepest = 0
        line = self.code.count("\n", 0, at) + 1
        last = at
        for match in re.finditer(r"[{}\n]", self.code[at:]):
            char, here = match.group(), at + match.start()
            if char == "\n":
                line += 1
            elif char == "{":
                inner = bool(stack) and not stack[-1]
                stack.append(not stack or opens_block(self.code, here, inner))
            else:
                stack.pop()
                if not stack:
                    return here
            last = here
            if is_function:
                blocks = sum(stack) - 1
                self.deepest = max(self.deepest, blocks)
                if char == "\n":
                    self.depth_of_line[line] = blocks
        return last

    def add(self, declared, start, brace, end):
        name, params = declared
        head = self.code[start:brace]
        params = 0 if LIBRARY_CALLBACK.search(head) else params
        start += len(head) - len(head.lstrip())
        self.functions.append(
            Function(
                name=name,
                line=self.code.count("\n", 0, start) + 1,
                end=self.code.count("\n", 0, end) + 1,
                params=params,
                depth=self.deepest,
                body=self.code[brace : end + 1],
            )
        )


class Source:
    """One .c or .h file."""

    def __init__(self, path, root):
        self.path = Path(path)
        self.name = self.path.relative_to(root).as_posix()
        self.text = self.path.read_text(encoding="utf-8")

    @cached_property
    def code(self):
        return without_comments(self.text)

    @cached_property
    def plain(self):
        """Code without comments and preprocessor lines."""
        return without_directives(self.code)

    @cached_property
    def blocks(self):
        return Blocks(self.plain)

    @property
    def functions(self):
        return self.blocks.functions

    @cached_property
    def comments(self):
        return list(comments(self.text))

    @cached_property
    def line_count(self):
        return self.text.count("\n")

    @cached_property
    def includes(self):
        """(line, path) of every #include "path"."""
        found = re.finditer(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', self.text, re.M)
        return [(self.line_at(match.start()), match.group(1)) for match in found]

    def line_at(self, position):
        return self.text.count("\n", 0, position) + 1

    def find(self, pattern, code=None):
        """(line, match) wherever `pattern` is in the code."""
        code = self.plain if code is None else code
        for match in re.finditer(pattern, code, re.M):
            yield code.count("\n", 0, match.start()) + 1, match
