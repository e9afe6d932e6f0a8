"""From the few lines that a test is about to a whole configuration.

Added unless the test says its own: pid, logs, events, worker_processes, temp paths, and
`listen 127.0.0.1:{port};` in every http server block that has no listen. Replaced: {port}, {port2},
... by free ports, the same for the same name; {dir} by the test's own directory.
"""

import re

TEMP_PATHS = ("client_body", "proxy")
TOKEN = re.compile(r"""\s+|\#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{};]|(?:\\.|[^\s{};"'\\]|\$\{\w+\})+""", re.S)


def tokens(text):
    """(position, token), quoted strings and ${variables} as one; blanks and comments left out."""
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        at, token = (match.end(), match.group()) if match else (at + 1, text[at])
        if not token.isspace() and not token.startswith("#"):
            yield at - len(token), token


def blocks(text, name):
    """(start, end) of the insides of the `name` blocks at the top level of `text`."""
    depth, words, start = 0, [], None
    for at, token in tokens(text):
        if token == "{":
            if depth == 0 and words[:1] == [name]:
                start = at + 1
            depth, words = depth + 1, []
        elif token == "}":
            depth, words = depth - 1, []
            if depth == 0 and start is not None:
                yield start, at
                start = None
        elif token == ";":
            words = []
        else:
            words.append(token)


def has(text, *names):
    """True if a directive of one of these names stands at the top level of `text`."""
    depth, first = 0, True
    for _, token in tokens(text):
        if token == "{":
            depth += 1
        elif token == "}":
            depth -= 1
        elif depth == 0 and first and token in names:
            return True
        first = token in "{};"
    return False


def with_listen(http):
    for start, end in reversed(list(blocks(http, "server"))):
        if not has(http[start:end], "listen"):
            http = http[:start] + " listen 127.0.0.1:{port};" + http[start:]
    return http


def defaults(text, *lines):
    """`lines` (directive, rest) that `text` does not have already."""
    return "".join(f"{name} {rest};\n" for name, rest in lines if not has(text, name))


def compose(http=None, main="", events="", stream=None, full=None):
    """The text of a configuration, with {port} and {dir} still in it."""
    if full is not None:
        return defaults(full, ("pid", "{dir}/pelayan.pid")) + full
    text = defaults(
        main,
        ("pid", "{dir}/pelayan.pid"),
        ("error_log", "{dir}/logs/error.log info"),
        ("worker_processes", "2"),
    )
    text += main + "\n"
    text += "events {\n" + defaults(events, ("worker_connections", "1024")) + events + "\n}\n"
    if http is not None:
        temp = [(f"{name}_temp_path", f"{{dir}}/tmp/{name}") for name in TEMP_PATHS]
        text += "http {\n" + defaults(http, ("access_log", "{dir}/logs/access.log"), *temp)
        text += with_listen(http) + "\n}\n"
    if stream is not None:
        text += "stream {\n" + stream + "\n}\n"
    return text


def fill_in(text, directory, port_of):
    """`port_of("port2")` gives the number for that name."""
    text = re.sub(r"\{(port\d*)\}", lambda match: str(port_of(match.group(1))), text)
    return text.replace("{dir}", str(directory))
