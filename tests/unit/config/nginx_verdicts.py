#!/usr/bin/python3
"""Asks a real nginx what it thinks of odd configs, and writes its verdicts as a table for the unit tests.

Run it after adding a case: tests/unit/config/nginx_verdicts.py > tests/unit/config/nginx_verdicts.inc
Every text is preceded by one line, `events {}`. "@FILL:n@" stands for n times the letter a.
"""
import re
import subprocess
import sys
import tempfile

GRAMMAR = [
    "", "\n\n", "# only a comment", "env A;", "env A;\r\n\r\nenv B;\r\n", "env A; # x ; { }\nenv B;",
    "\tenv\tA\t;", "env A ;", "env\nA\n;\n", "env A;env B;env C;", "env A;;", ";", "{", "}", "{}", "{ env A; }",
    "env A", "env A # c;", "env", "env;", "env A B;", "env A }", "env A {}", "env A { env B; }", "events {", "events;",
    "user", "user a b c;", "user;", "daemon maybe;", "daemon ON;", "daemon Off;", "daemon on; daemon on;", "daemon on off;",
    'env "A";', "env 'A';", 'env "A"B;', 'env "A"\'B\';', 'env "A")x;', 'env "A") x;', 'env "A"#;', 'env "A";env B;',
    'env "A"{', 'env "A" ;', 'env "A"\n;', 'env "A"};', 'env "A"$;', 'env ""; ', "env '';", 'env "A', "env 'A;\nenv B;",
    'env "A\\";', 'env "A\\"";', "env 'A\\'B';", "env A\"B;", "env A'B;", "env A\"B C\";", 'env "A B" ;', 'env "A;B";',
    'env "A{B";', 'env "A}B";', "env A}B;", "env A{B;", "env ${A};", "env ${A;", "env $A{B;", "env $A{B};", "env A${B}C;",
    "env ${{A};", "env $ {A};", "env $;", "env $$;", "env \\;", "env \\;A;", "env \\{A;", "env A\\ B;", "env A\\\nB;",
    "env \\\"A;", "env A\\", "env A\\;", "env A#B;", "env A #B;\n;", "env #B;\nA;", "# c\\\nenv A;", "#", "env A;#",
    "\xef\xbb\xbf", "e\\nv A;", "zzz A;", "zzz;", "zzz {}", "zzz A { env B; }", '"env" A;', "'env' A;", '"zzz" A;', "ENV A;",
    "http { server { listen 1; listen 1 }", "http { zzz; }", "http { env A; }", "http {", "http { server { }", "http { } }",
    "http x { }", "http;", "http { server x { } }", "http { server; }", "http { location / { } }", "server { }",
    "http { server { location { } } }", "http { server { location / ; } }", "http { server { location a b c { } } }",
    "http { types { text/html html; } }", "http { types { a { } } }", "http { types { a b c d; } }", "http { types { a; } }",
    "http { map $uri $x { default 0; a 1; } }", "http { map $uri $x { a { b; } } }", "http { map $uri { } }",
    "http { map $uri $x { a 1 } }", "http { map $uri $x { a 1;", "http { geo $g { default 0; 127.0.0.1 1; } }",
    "http { log_format a '$uri'; }", "http { log_format a '$zzz_nope'; }", "http { log_format a '${uri'; }",
    "http { log_format a '$'; }", "http { server { return 200 'a$'; } }", "http { server { return 200 '${uri}'; } }",
    "http { server { return 200 '${uri'; } }", "http { server { return 200 '$-'; } }", "http { server { return 200 '${}'; } }",
    "http { server { return 200 '$1$2x'; } }", "http { server { return 200 '$0'; } }", "http { server { return 200 '${1}'; } }",
    "http { server { set $a $b; set $b 1; } }", "http { server { set $a $b; } }", "http { server { set $uri 1; } }",
    "http { server { set $http_foo 1; } }", "http { server { set $args 1; } }", "http { server { set a 1; } }",
    "http { server { set $x $http_a$arg_b$cookie_c; } }", "http { server { set $x $HTTP_A$URI; } }",
    "http { server { set $x 1; return 200 $X; } }", "http { server { if ($zzz) { } } }",
    "include @nothing@;", "include @nothing@/*.conf;", "include;", "include a b;", "include {}", "include",
    "env @FILL:4090@;", "env @FILL:4095@;", "env @FILL:4096@;", "env @FILL:5000@;", 'env "@FILL:4095@";', 'env "@FILL:4096@";',
    'env "@FILL:5000@";', "env '@FILL:5000@", "env @FILL:4000@\\;@FILL:94@;", "env @FILL:4000@\\;@FILL:95@;",
    'env "@FILL:100@', "env @FILL:100@", "env @FILL:4095@", "env @FILL:4096@",
]

WORDS = [
    "plain", "'single'", '"double"', '"a b"', "a\\ b", '"a\\"b"', "'a\\'b'", '"a\\\\b"', '"a\\tb"', '"a\\rb"', '"a\\nb"',
    '"a\\db"', "a\\tb", "a\\nb", "a\\\\b", "\\.php$", "~^/(a|b)\\.c$", "a\\;b", "a\\{b", "a\\}b", "a\\#b", "\\#b", "a#b", "a}b",
    "${x}", "a${x}b", "$x", "a$", "a$b{2}", "a'b'", 'a"b c', '"\'"', "'\"'", "\\'a", '\\"a', "a\\'b", 'a\\"b', '"a\'b"',
    "\\\\", "'\\\\'", "a\\\\\\;b", "'a\nb'", "'a\r\nb'", "a\\\nb", "=", "~*", "@x", "*.a.b", "a=b", "a,b", "(a)", '"\\$x"',
    "\\$x", "'a\\'", "\\", "\xc3\xa9", "'\xc3\xa9'", "a\\q", "'${a b}'", "${a{b}", "$a{", "$$a",
]

TIMES = [
    "0", "1", "60", "1s", "500ms", "1m", "1h", "1d", "1w", "1M", "1y", "1h30m", "1h 30m", "1h  30m ", " 1h", "30m1h", "1h1h", "1.5s", "1,5s",
    "-1", "+1", "", " ", "s", "ms", "h", "1 ", "1 30", "1 s", "1s 5", "1s5", "5ms5", "5ms 5", "5ms1s", "1hm", "1S", "1H", "1min", "1sec", "1mss",
    "1m s", "1ms1m", "1w1d1h1m1s1ms", "1y1M1w1d1h1m1s", "1M1y", "1y1y", "9223372036854775807", "9223372036854775", "9223372036854776",
    "9223372036854775808", "99999999999999999999", "292471208y", "292471209y", "106751991167d", "106751991168d", "9223372036854775807ms",
    "9223372036854775806s 1", "9223372036854775807s 1", "0x10", "1e3", "1_0", "1\\t", "'1\t1'", "on", "off",
]

SIZES = [
    "0", "1", "1024", "1k", "1K", "1m", "1M", "8kb", "k", "m", "", " 1k", "1 k", "1k ", "-1", "+1k", "1.5k", "0x10", "1kk", "1t", "1b",
    "9223372036854775807", "9223372036854775808", "9007199254740991k", "9007199254740992k", "8796093022207m", "8796093022208m",
    "18446744073709551616", "99999999999999999999k",
]

NUMBERS = ["0", "1", "10", "", "-1", "+1", "1.0", "1k", "abc", "0x1", " 1", "1 ", "9223372036854775807", "9223372036854775808", "0000000001"]

FLAGS = ["on", "off", "ON", "oFf", "yes", "no", "1", "0", "", "true", "on "]


def expand(text):
    return re.sub(r"@FILL:(\d+)@", lambda m: "a" * int(m.group(1)), text)


def verdict(text):
    with tempfile.NamedTemporaryFile("wb", suffix=".conf") as conf:
        conf.write(("events {}\n" + expand(text)).encode("latin-1"))
        conf.flush()
        run = subprocess.run(["nginx", "-t", "-e", "stderr", "-c", conf.name], capture_output=True)
    said = run.stderr.decode("latin-1")
    found = re.search(r"\[emerg\] \d+#\d+: (.*?)(?: in \S+\.conf:\d+)?\n(?:\d{4}/|nginx: )", said, re.S)
    if found is None:
        assert run.returncode == 0, said
        return None
    return found.group(1)


def literal(text):
    out = ""
    for byte in text.encode("latin-1"):
        char = chr(byte)
        if char in '"\\?':
            out += "\\" + char
        elif 32 <= byte < 127:
            out += char
        else:
            out += f"\\{byte:03o}"
    return f'"{out}"'


def quoted(value):
    return value if value.startswith(("'", '"')) else "'" + value + "'"


def table(name, rows):
    print(f"static const struct verdict {name}[] = {{")
    for text, want in rows:
        print(f"    {{{literal(text)},\n     {'NULL' if want is None else literal(want)}}},")
    print("};\n")


def main():
    version = subprocess.run(["nginx", "-v"], capture_output=True).stderr.decode().strip()
    print(f"/* Made by nginx_verdicts.py from the verdicts of {version.split(': ')[1]}; do not edit. */")
    print("/* clang-format off */\n")
    table("grammar", [(text, verdict(text)) for text in GRAMMAR])
    words = []
    for word in WORDS:
        said = verdict("zzz_" + word + ";") if word[:1] not in "'\"" else verdict(word + ";")
        words.append((("zzz_" if word[:1] not in "'\"" else "") + word + ";", said))
    table("words", words)
    for name, values, form in (
            ("times_ms", TIMES, "http { client_body_timeout %s; }"),
            ("times_s", TIMES, "http { open_file_cache_valid %s; }"),
            ("sizes", SIZES, "http { client_body_buffer_size %s; }"),
            ("numbers", NUMBERS, "http { keepalive_requests %s; }"),
            ("flags", FLAGS, "http { sendfile %s; }")):
        table(name, [(value, verdict(form % quoted(value))) for value in values])
    return 0


if __name__ == "__main__":
    sys.exit(main())
