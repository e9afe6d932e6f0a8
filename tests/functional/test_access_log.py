"""access_log, log_format, open_log_file_cache: one line per request, whole and in time."""

import gzip
import json
import socket

import pytest
from harness import wait


def log_lines(site, name, count):
    """The lines of a log, as soon as there are `count`."""

    def lines():
        found = site.read(f"logs/{name}").splitlines()
        return found if len(found) >= count else None

    return wait.until(lines, f"{count} lines in {name}")


def test_formats_and_escapes(pelayan):
    site = pelayan.run(
        http="""log_format plain '$remote_addr|$request|$status|$http_x_a|$http_none|$arg_q';
            log_format json escape=json '{"a": "$http_x_a", "none": "$http_none"}';
            log_format none escape=none '$http_x_a' '|${status}x';
            access_log {dir}/logs/plain.log plain; access_log {dir}/logs/json.log json;
            access_log {dir}/logs/none.log none;
            server { location / { return 200 ok; } }"""
    )
    assert site.get("/?q=1", headers={"X-A": 'a"b\\'}).status == 200
    assert log_lines(site, "plain.log", 1) == [
        r"127.0.0.1|GET /?q=1 HTTP/1.1|200|a\x22b\x5C|-|1"
    ]
    assert json.loads(log_lines(site, "json.log", 1)[0]) == {"a": 'a"b\\', "none": ""}
    assert log_lines(site, "none.log", 1) == ['a"b\\|200x']


def test_levels_replace_each_other_and_conditions_hold(pelayan):
    site = pelayan.run(
        http="""log_format short '$uri'; map $status $failed { ~^[45] 1; default 0; }
            access_log {dir}/logs/http.log short;
            server { location / { return 200; }
            location /own { access_log {dir}/logs/own.log short; return 200; }
            location /off { access_log off; return 200; }
            location /if { access_log {dir}/logs/if.log short if=$failed; if ($arg_f) { return 400; }
                return 200; } }"""
    )
    for path in ("/own", "/off", "/if", "/if?f=1", "/last"):
        site.get(path)
    assert log_lines(site, "http.log", 1) == ["/last"]
    assert log_lines(site, "own.log", 1) == ["/own"]
    assert log_lines(site, "if.log", 1) == ["/if"]


def test_buffered_lines_wait_for_flush(pelayan):
    site = pelayan.run(
        main="worker_processes 1;",
        http="""log_format short '$uri'; access_log {dir}/logs/b.log short buffer=64k flush=1s;
            access_log {dir}/logs/small.log short buffer=8;
            server { return 200; }"""
    )
    for number in range(5):
        site.get(f"/{number}")
    assert (site.dir / "logs/b.log").read_text() == ""
    assert log_lines(site, "small.log", 2)[:2] == ["/0", "/1"]
    assert log_lines(site, "b.log", 5) == [f"/{number}" for number in range(5)]


def test_gzip_members_make_a_gzip_file(pelayan):
    site = pelayan.run(
        http="""log_format short '$uri'; access_log {dir}/logs/z.gz short gzip=9 flush=50ms;
            server { return 200; }"""
    )
    site.get("/one")
    wait.until(lambda: (site.dir / "logs/z.gz").stat().st_size > 0, "the log")
    site.get("/two")
    size = (site.dir / "logs/z.gz").stat().st_size
    wait.until(lambda: (site.dir / "logs/z.gz").stat().st_size > size, "the log")
    assert gzip.decompress((site.dir / "logs/z.gz").read_bytes()) == b"/one\n/two\n"


@pytest.mark.parametrize("cache", ["off", "max=2 inactive=10s valid=1m min_uses=1"])
def test_paths_with_variables(pelayan, cache):
    site = pelayan.run(
        http=f"""log_format short '$uri'; open_log_file_cache {cache};
            access_log {{dir}}/tmp/$arg_n.log short; server {{ return 200; }}""",
        prepare=lambda site: (site.dir / "tmp").chmod(0o777),
    )
    for name in "abcab":
        site.get(f"/{name}?n={name}")
    site.get("/evil?n=x/../../evil")
    # each line comes after its answer, and the loops are in no order
    for name, text in (("a", "/a\n/a\n"), ("b", "/b\n/b\n"), ("c", "/c\n")):
        wait.until(lambda: site.read(f"tmp/{name}.log") == text, f"the log {name}")
    assert not (site.dir / "evil.log").exists()


def test_no_root_no_log(pelayan):
    """A path with variables is written only if the request's root is there, as nginx does."""
    site = pelayan.run(
        http="""log_format short '$uri'; server { root {dir}/$arg_r;
            access_log {dir}/tmp/$arg_n.log short; return 200; }""",
        prepare=lambda site: (site.dir / "tmp").chmod(0o777),
    )
    site.get("/?n=a&r=none")
    site.get("/?n=b&r=html")
    wait.until(lambda: (site.dir / "tmp/b.log").exists(), "the log")
    assert not (site.dir / "tmp/a.log").exists()


def test_syslog(pelayan):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        port = server.getsockname()[1]
        site = pelayan.run(
            http=f"""log_format short '$uri';
            access_log syslog:server=127.0.0.1:{port},facility=local0,severity=notice,tag=shop,nohostname short;
            server {{ return 200; }}"""
        )
        site.get("/a")
        line = server.recv(2000).decode()
    assert line.startswith("<133>") and line.endswith(" shop: /a")


@pytest.mark.parametrize(
    "line, message",
    [
        ("access_log {dir}/a.log nosuch;", 'unknown log format "nosuch"'),
        ("access_log {dir}/a.log combined flush=5s;", "no buffer is defined"),
        ("access_log {dir}/$uri.log combined buffer=4k;", "cannot have variables"),
        ("access_log {dir}/a.log combined gzip=12;", "invalid value"),
        ("access_log {dir}/a.log combined nonsense;", "invalid parameter"),
        ("log_format combined x;", "duplicate"),
        ("log_format f escape=x y;", "unknown log format escaping"),
        ("log_format f '$nosuchvariable';", 'unknown "nosuchvariable" variable'),
        ("open_log_file_cache inactive=5s;", "max"),
    ],
)
def test_mistakes_are_found(pelayan, line, message):
    result = pelayan.check(http=f"{line} server {{ return 200; }}")
    assert result.returncode != 0 and message in result.stderr
