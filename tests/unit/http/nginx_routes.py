#!/usr/bin/python3
"""Asks a real nginx which server and which location requests get, and writes its choices as a table.

Run it after a change here: tests/unit/http/nginx_routes.py > tests/unit/http/nginx_routes.inc
A choice is named by the line on which its block begins: every block answers with that number."""

import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time

SERVERS = 70
GROUPS = 30
FIRST_PORT = 10000
REGEX = "regex"  # inside such a location nginx allows no others

PATHS = ["/", "/a", "/a/", "/ab", "/a/b", "/a/b/", "/a/bc", "/b", "/b/", "/a-b", "/a.b", "/c/d/", "/c", "/a/b/c/"]
REGEXES = ["~ a", "~ ^/a/b", "~* B", "~ \\.php$", "~ /$", "~ b/", "~ ^/c", "~* ^/A$", "~ x"]
URIS = PATHS + ["/A/B", "/x.php", "/a/x.php", "/b/a/b/", "/zzz", "/a/b/c", "/c/d", "/abx", "/a/bx", "/c/d/e", "/bx", "/a-", "/a/b/x"]

NAMES = ["a.test", "*.a.test", ".a.test", "b.test", "*.test", "a.*", "www.*", "www.a.*", "*.b.a.test", ".b.test", '""',
         "~^a", "~b\\.test$", "~^(?<n>.+)\\.re$", "A.test", "_", "x.y", "*.x.y", "x.*"]  # fmt: skip
HOSTS = ["a.test", "A.Test", "b.test", "c.a.test", "d.c.a.test", "x.b.a.test", "q.test", "a.org", "www.a.org",
         "www.b", "www.a.test", "me.re", "x.y", "z.x.y", "x.z", "", "nobody", "a.test.", "a", "b.test:81"]  # fmt: skip


class Text:
    def __init__(self):
        self.lines = []

    def add(self, line):
        self.lines.append(line)
        return len(self.lines)

    def block(self, opening):
        """Opens a block that answers with the number of its line."""
        number = self.add(opening + " {")
        self.add(f'return 200 "{number}";')
        return number


def add_locations(text, dice, outer=None, depth=0):
    seen = set()
    for _ in range(dice.randint(1, 6 if depth == 0 else 3)):
        what = dice.choice(["", "", "", "=", "^~", REGEX, REGEX]) if outer != REGEX else REGEX
        if what == REGEX:
            opening = dice.choice(REGEXES)
        else:
            path = dice.choice(PATHS)
            key = (what == "=", path)
            if key in seen or (outer is not None and not path.startswith(outer)):
                continue
            seen.add(key)
            opening = f"{what} {path}".strip()
        text.block(f"location {opening}")
        if dice.random() < 0.4:
            text.add("proxy_pass http://127.0.0.1:1;")
        if what != "=" and depth < 2 and dice.random() < 0.5:
            add_locations(text, dice, REGEX if what == REGEX else path, depth + 1)
        text.add("}")


def add_servers(text, dice, port):
    default = dice.choice([None, 0, 1, 2, 3])
    for i in range(5):
        text.block("server")
        text.lines.pop()  # the answer comes behind the names
        number = len(text.lines)
        text.add(f"listen @{port}@{' default_server' if i == default else ''};")
        for _ in range(dice.randint(0, 2)):
            text.add(f"server_name {' '.join(dice.sample(NAMES, dice.randint(1, 2)))};")
        text.add(f'return 200 "{number}";')
        text.add("}")


def generate(dice):
    text = Text()
    text.add("events {}")
    text.add("http {")
    port = FIRST_PORT
    for _ in range(SERVERS):
        text.add("server {")
        text.add(f"listen @{port}@;")
        add_locations(text, dice)
        text.add("}")
        port += 1
    for _ in range(GROUPS):
        add_servers(text, dice, port)
        port += 1
    text.add("}")
    return "\n".join(text.lines) + "\n"


def ask(path, request):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(path)
        client.sendall(request.encode())
        answer = b""
        while data := client.recv(65536):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    if status == 301:
        return -1
    return int(body) if status == 200 else 0


def rows(directory, dice):
    for i in range(SERVERS):
        for uri in dice.sample(URIS, 12):
            request = f"GET {uri} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            yield "routes", FIRST_PORT + i, uri, ask(f"{directory}/{FIRST_PORT + i}", request)
    for i in range(GROUPS):
        port = FIRST_PORT + SERVERS + i
        for host in dice.sample(HOSTS, 12):
            field = f"Host: {host}\r\n" if host else ""
            request = f"GET / HTTP/1.0\r\n{field}\r\n"
            host = host.lower().split(":")[0].rstrip(".")
            yield "names", port, host, ask(f"{directory}/{port}", request)


def literal(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def main():
    dice = random.Random(22)
    text = generate(dice)
    with tempfile.TemporaryDirectory() as directory:
        conf = f"{directory}/nginx.conf"
        with open(conf, "w") as file:
            file.write(re.sub(r"@(\d+)@", rf"unix:{directory}/\1", text))
        os.chmod(directory, 0o755)
        args = ["nginx", "-c", conf, "-p", directory, "-e", "stderr"]
        options = f"daemon off; master_process off; pid {directory}/pid; error_log stderr error;"
        nginx = subprocess.Popen(args + ["-g", options], stderr=open(f"{directory}/said", "wb"))
        try:
            while not os.path.exists(f"{directory}/{FIRST_PORT + SERVERS + GROUPS - 1}"):
                assert nginx.poll() is None, open(f"{directory}/said").read()
                time.sleep(0.05)
            time.sleep(0.2)
            found = list(rows(directory, dice))
        finally:
            nginx.terminate()
            nginx.wait()
    print("/* Made by nginx_routes.py from the choices of nginx 1.22; do not edit. */")
    print("/* clang-format off */\n")
    print("static const char conf[] =")
    for line in re.sub(r"@(\d+)@", r"127.0.0.1:\1", text).splitlines():
        print("    " + literal(line + "\n").replace("\n", "\\n"))
    print("    ;\n")
    for table in ("routes", "names"):
        print(f"static const struct choice {table}[] = {{")
        for name, port, key, line in found:
            if name == table:
                print(f"    {{{port}, {literal(key)}, {line}}},")
        print("};\n")


if __name__ == "__main__":
    sys.exit(main())
