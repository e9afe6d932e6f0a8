"""Too much of everything: memory has a ceiling, and who behaves is served meanwhile."""

import gzip
import subprocess
import time

import pytest
from harness import wait
from harness.backend import Answer
from harness.process import SANITIZED, InNamespaces, memory_kib, worker_of
from test_process_faults import busy_clients

FEWER = 5 if SANITIZED else 1


def good(site, path="/good"):
    """A client that behaves is answered; far from any time-out, whatever else goes on."""
    begin = time.monotonic()
    assert site.get(path).text == "good"
    assert time.monotonic() - begin < wait.TIMEOUT / 2


def many(site, count, send=b""):
    """Connections that have sent something; a part of them if each costs that much more."""
    clients = [site.connect() for _ in range(count // FEWER)]
    for client in clients:
        client.send(send)
    return clients


class Ceiling:
    """For `with`: the worker's memory grows by no more than so many KiB. Sanitizers keep what was
    freed for a while: then there is nothing to measure."""

    def __init__(self, site, kib):
        self.worker, self.kib = worker_of(site), kib

    def __enter__(self):
        self.before = memory_kib(self.worker)
        return self

    def __exit__(self, kind, *_):
        if kind is None and not SANITIZED:
            grown = memory_kib(self.worker, "VmHWM") - self.before
            assert grown < self.kib, f"grew by {grown} KiB"


GOOD = "location = /good { return 200 good; }"


def test_slow_heads(pelayan):
    """Slowloris: a byte now and then does not put the end off."""
    site = pelayan.run(
        events="worker_connections 1000;",
        http=f"client_header_timeout 2s; server {{ {GOOD} }}",
    )
    good(site)
    with Ceiling(site, 300 * (16 + 4 * 8)):  # one buffer, and large_client_header_buffers
        clients = many(site, 300, b"GET / HTTP/1.1\r\nHost: a\r\n")
        begin = time.monotonic()
        while time.monotonic() - begin < 3:
            for number, client in enumerate(clients):
                try:
                    client.send(b"X-%d: y\r\n" % number)
                except OSError:
                    pass  # it has been let go
            good(site)
            time.sleep(0.02)  # or a quick machine sends more lines than a head may have
        for client in clients:
            client.read_all_or_reset()
    assert site.access_log(lines=len(clients)).count(" 408 ") == len(clients)


def test_slow_bodies(pelayan, backend):
    app = backend()
    site = pelayan.run(
        events="worker_connections 1000;",
        http=f"""client_body_timeout 1s; server {{ {GOOD} location / {{ proxy_pass {app.url}; }} }}""",
    )
    good(site)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx"
    with Ceiling(site, 20 * 1024):
        clients = many(site, 200, head)
        good(site)
        for client in clients:
            assert client.read_all_or_reset().startswith(b"HTTP/1.1 408 ")
    assert app.count == 0


def test_slow_readers(pelayan):
    """Who does not read is let go after send_timeout, and holds next to nothing until then."""
    site = pelayan.run(
        events="worker_connections 1000;",
        http=f"send_timeout 2s; server {{ root {{dir}}/html; {GOOD} }}",
        prepare=lambda site: site.file("html/big", b"x" * 20_000_000),
    )
    good(site)
    with Ceiling(site, 20 * 1024):
        clients = many(site, 150, b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        good(site)
        site.access_log(lines=len(clients) + 1)
    for client in clients:
        client.close()
    good(site)


def test_a_flood_of_connections(pelayan):
    """More than there is room for: the longest idle one makes place for each new one."""
    site = pelayan.run(
        main="worker_processes 1;",
        events="worker_connections 100;",
        http=f"server {{ {GOOD} }}",
    )
    with Ceiling(site, 8 * 1024):
        clients = many(site, 600 * FEWER)
        good(site)
        for client in clients[:400]:
            assert client.is_closed()


def test_giant_heads_that_do_not_end(pelayan):
    """Each may take what large_client_header_buffers allows, and no more."""
    site = pelayan.run(
        events="worker_connections 1000;",
        http=f"large_client_header_buffers 4 8k; server {{ {GOOD} }}",
    )
    good(site)
    head = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"v" * 7000) for i in range(4))
    with Ceiling(site, 200 * 80):
        clients = many(site, 200, head)
        good(site)
        for client in clients:
            client.send(b"Y: " + b"v" * 9000)
            assert client.read_all_or_reset().startswith(b"HTTP/1.1 400 ")


def test_tiny_chunks(pelayan, backend):
    """A byte a chunk, six bytes around it: the body counts, not its wrapping."""
    app = backend(answers=lambda request: str(len(request.body)))
    site = pelayan.run(
        http=f"client_max_body_size 1m; server {{ {GOOD} location / {{ proxy_pass {app.url}; }} }}"
    )
    good(site)
    count = 20_000 if SANITIZED else 100_000
    with Ceiling(site, 8 * 1024), site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10):
            client.send(b"1\r\nx\r\n" * (count // 10))
            good(site)
        client.send(b"0\r\n\r\n")
        assert client.read_response().text == str(count)


def test_a_zip_bomb(pelayan, backend):
    """gunzip makes no more than the client takes; a client that leaves ends it."""
    bomb = gzip.compress(bytes(300_000_000 // FEWER), 9)
    app = backend(answers=Answer(body=bomb, headers={"Content-Encoding": "gzip"}))
    site = pelayan.run(
        main="worker_processes 1;",
        http=f"server {{ {GOOD} location / {{ gunzip on; proxy_pass {app.url}; }} }}",
    )
    good(site)
    with Ceiling(site, 16 * 1024):
        clients = many(site, 5 * FEWER, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for client in clients:
            client.read_until(b"\r\n\r\n")
        good(site)
        for client in clients:
            client.reset()
        good(site)


@pytest.mark.parametrize("protocol", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("packed", ["whole", "in members", "in a file"])
def test_what_is_unpacked_arrives_whole(pelayan, backend, protocol, packed):
    """Also when it is much more than its packed form, and comes while the client takes it."""
    text = b"".join(b"%d " % number for number in range(1_000_000 // FEWER)) + bytes(10_000_000 // FEWER)
    half = len(text) // 2
    body = gzip.compress(text, 1)
    if packed == "in members":
        body = gzip.compress(text[:half], 1) + gzip.compress(text[half:], 1)
    app = backend(answers=Answer(body=body, headers={"Content-Encoding": "gzip"}))
    site = pelayan.run(
        http=f"""http2 on; gunzip on; server {{ root {{dir}}/html; location /app {{ proxy_pass {app.url}; }}
            location /file {{ gzip_static always; }} }}""",
        prepare=lambda site: site.file("html/file.gz", body),
    )
    path = "file" if packed == "in a file" else "app"
    got = subprocess.run(
        ["curl", "-sS", protocol, "--limit-rate", "40M", f"http://127.0.0.1:{site.port}/{path}"],
        check=True, capture_output=True, timeout=wait.TIMEOUT * 6,
    ).stdout  # fmt: skip
    assert got == text
    assert "gzip" not in site.error_log() and "broken" not in site.error_log()


def test_a_range_bomb(pelayan):
    """The whole file a thousand times: nobody wants that."""
    site = pelayan.run(
        http=f"server {{ root {{dir}}/html; {GOOD} }}",
        prepare=lambda site: site.file("html/file", b"x" * 1_000_000),
    )
    good(site)
    ranges = {
        "whole": "bytes=" + ",".join(["0-"] * 1000),
        "overlapping": "bytes=" + ",".join(f"{i}-" for i in range(1000)),
        "single bytes": "bytes=" + ",".join(f"{i}-{i}" for i in range(0, 1000, 2)),
    }
    with Ceiling(site, 16 * 1024):
        for value in ranges.values():
            answer = site.get("/file", headers={"Range": value})
            assert answer.status in (200, 206, 416)
            assert len(answer.body) < 2_000_000
        good(site)


def test_names_that_may_collide(pelayan):
    """As many fields, arguments and cookies as there may be, all alike: the seed is random, and
    the time stays that of reading them."""
    site = pelayan.run(
        http=f"""large_client_header_buffers 8 64k; max_headers 2000;
            server {{ {GOOD} location / {{ return 200 "$arg_none$cookie_none$http_none"; }} }}"""
    )
    fields = {f"{a}{b}{c}": "1" for a in "abcdefghij" for b in "klmnopqrst" for c in "uvwxyzabcd"}
    with site.connect() as client:
        for _ in range(20):
            arguments = "&".join(f"{name}=1" for name in fields)
            assert client.get("/?" + arguments, headers=fields).status == 200
    cookies = "; ".join(f"{name}=1" for name in fields)
    assert site.get("/", headers={"Cookie": cookies}).status == 200
    good(site)


@pytest.mark.parametrize(
    "conf",
    [
        'location ~ "^/(a+)+$" { return 403; }',
        'if ($uri ~ "^/(a+)+$") { return 403; }',
        'rewrite "^/(a+)+$" /403; location = /403 { return 403; }',
        'location / { location ~ "^/(a+)+$" { return 403; } }',
    ],
    ids=["location", "if", "rewrite", "nested"],
)
def test_an_expression_that_goes_back_and_back(pelayan, conf):
    """PCRE2's limit ends it within milliseconds. It may be the one that forbids: so it is 500, and
    the log says why."""
    place = "" if "location / " in conf else "location / { return 200 other; }"
    site = pelayan.run(main="worker_processes 1;", http=f"server {{ {GOOD} {conf} {place} }}")
    site.tolerate("gave up at a limit")
    answers = [site.get_later("/" + "a" * 200 + "!") for _ in range(5)]
    good(site)
    assert {answer.result().status for answer in answers} == {500}
    assert site.get("/aaa").status == 403
    site.wait_for_log(r'"\^/\(a\+\)\+\$" gave up at a limit')


@pytest.mark.parametrize(
    "use",
    [
        "if ($refused) { return 403; } return 200 other;",
        "if ($refused = 1) { return 403; } return 200 other;",
        "set $copy $refused; if ($copy) { return 403; } return 200 other;",
        "return 200 $refused;",
        'return 200 "refused: $refused";',
        "proxy_pass http://127.0.0.1:1; proxy_set_header X-Refused $refused;",
        "root {dir}/$refused;",
    ],
)
def test_a_map_whose_expression_gives_up(pelayan, use):
    """It may be the expression that forbids: nothing is decided by the default instead."""
    site = pelayan.run(
        http=f"""map $arg_q $refused {{ default 0; "~^(a+)+$" 1; }}
            server {{ {GOOD} location / {{ {use} }} }}"""
    )
    site.tolerate("gave up at a limit|Connection refused")
    assert site.get("/x?q=" + "a" * 200 + "!").status == 500
    site.wait_for_log(r'"~?\^\(a\+\)\+\$" gave up at a limit')
    assert site.get("/x?q=b").status != 500
    good(site)


def test_a_name_whose_expression_gives_up(pelayan):
    """The default server is not the one that was meant."""
    site = pelayan.run(
        http="""server { listen 127.0.0.1:{port}; server_name other; return 200 other; }
            server { listen 127.0.0.1:{port}; server_name "~^(a+)+$"; return 403; }"""
    )
    site.tolerate("gave up at a limit")
    assert site.get("/", host="a" * 200 + ".b").status == 500
    assert site.get("/", host="aaa").status == 403
    assert site.get("/", host="b").text == "other"
    site.wait_for_log('matching host "a+.b" gave up at a limit')


def test_a_flood_of_log_lines(pelayan):
    """What is told of a bad request is one line of bounded length, whatever it holds."""
    site = pelayan.run(http=f"server {{ {GOOD} }}")
    good(site)
    target = "/" + "%ff\x01"[:3] * 2500
    for _ in range(300):
        assert site.raw(f"GET {target} HTTP/1.1\r\nHost: a b\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    good(site)
    lines = site.error_log().splitlines()
    assert max(map(len, lines)) <= 4096
    assert sum("invalid host" in line for line in lines) == 300


def test_one_warning_a_second_without_descriptors(pelayan, backend):
    """Accepting pauses, and does not fill the log while it does."""
    app = backend(answers=lambda request: request.body)
    site = pelayan.run(
        main="worker_processes 1; worker_rlimit_nofile 64;",
        http=f"server {{ {GOOD} location / {{ proxy_pass {app.url}; }} }}",
    )
    worker_of(site)
    clients, waiting = busy_clients(site)
    clients += many(site, 20 * FEWER)
    site.wait_for_log("cannot accept")
    begin = time.monotonic()
    wait.until(lambda: time.monotonic() > begin + 2, "a while")
    passed = time.monotonic() - begin
    assert site.error_log().count("cannot accept") <= passed + 3
    for client in clients + waiting:
        client.close()
    wait.until(lambda: site.get("/good").text == "good", "an answer")


LIMITED = ["/bin/sh", "-c", 'ulimit -v 400000; exec "$@"', "sh"]


@pytest.mark.skipif(SANITIZED, reason="sanitizers reserve more memory than any limit allows")
def test_without_memory(pelayan, backend):
    """Requests fail, the worker does not; when they have gone all is as before."""
    app = backend(answers=lambda request: str(len(request.body)))
    with InNamespaces(*LIMITED):
        site = pelayan.run(
            main="worker_processes 1;",
            http=f"""client_max_body_size 0; client_body_buffer_size 64m; server {{ {GOOD}
                location / {{ proxy_pass {app.url}; }} }}""",
        )
    worker = worker_of(site)
    good(site)
    clients = []
    for _ in range(12):
        clients.append(site.connect(timeout=2))
        try:
            clients[-1].send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000000\r\n\r\n")
            clients[-1].send(bytes(50_000_000))
        except OSError:
            pass  # it was refused
    statuses = [client.read_all_or_reset()[9:12] for client in clients if not client.waits()]
    assert b"500" in statuses
    for client in clients:
        client.reset()
    wait.until(lambda: site.get("/good").text == "good", "an answer")
    assert site.get("/", method="POST", body=bytes(5_000_000)).text == "5000000"
    assert site.workers() == [worker]
