"""HTTP/2 to clients, in clear text with prior knowledge."""

import json
import struct
import subprocess

import pytest
from harness import h2
from harness.backend import Answer
from harness.wait import TIMEOUT

BIG = bytes(range(256)) * 4096


def curl(site, *args, expect=0):
    done = subprocess.run(
        ["curl", "-sS", "--http2-prior-knowledge", "--max-time", str(int(TIMEOUT)), *args],
        capture_output=True,
    )
    assert done.returncode == expect, done.stderr
    return done.stdout


def with_files(site):
    site.file("html/a.txt", "some text")
    site.file("html/big", BIG)


@pytest.fixture
def files(pelayan):
    return pelayan.run(http="http2 on; server { root {dir}/html; }", prepare=with_files)


def test_a_file(files):
    head, _, body = curl(files, "-i", files.url + "/a.txt").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/2 200") and b"content-length: 9" in head
    assert b"connection:" not in head and body == b"some text"
    assert '"GET /a.txt HTTP/2.0" 200 9' in files.access_log(lines=1)


def test_large_bodies_arrive_whole(files):
    assert curl(files, files.url + "/big") == BIG
    assert curl(files, "-r", "100000-199999", files.url + "/big") == BIG[100000:200000]


def test_head_and_errors(files):
    assert b"content-length: 9" in curl(files, "-I", files.url + "/a.txt")
    assert b"HTTP/2 404" in curl(files, "-i", files.url + "/none")
    head = curl(files, "-i", files.url + "/a.txt")
    tag = next(line.split()[1] for line in head.splitlines() if line.startswith(b"etag"))
    again = curl(files, "-i", "-H", b"If-None-Match: " + tag, files.url + "/a.txt")
    assert again.startswith(b"HTTP/2 304") and again.endswith(b"\r\n\r\n")


def test_http1_goes_on_at_the_same_port(files):
    assert files.get("/a.txt").text == "some text"


@pytest.mark.parametrize("listen", ["{port}", "{port} http2"])
def test_without_http2_the_preface_is_refused(pelayan, listen):
    """`listen ... http2` is nginx's old spelling of `http2 on`."""
    site = pelayan.run(http=f"server {{ listen {listen}; return 200 ok; }}")
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.get("/")))
    if "http2" in listen:
        assert wire.response(1).status == 200
    else:
        assert wire.sock.recv(100).startswith(b"HTTP/1.1 505")


def test_a_preface_in_pieces(pelayan):
    site = pelayan.run(http="server { http2 on; return 200 ok; }")
    wire = h2.Wire(site, preface=b"")
    for byte in h2.PREFACE + h2.settings() + h2.headers(1, h2.get("/")):
        wire.send(bytes([byte]))
    assert wire.response(1).status == 200


def test_a_proxied_body(pelayan, backend):
    app = backend(answers=lambda request: (200, request.body[::-1]))
    site = pelayan.run(
        http=f"http2 on; client_max_body_size 8m; server {{ location / {{ proxy_pass {app.url}; }} }}"
    )
    out = subprocess.run(
        ["curl", "-sS", "--http2-prior-knowledge", "--data-binary", "@-", site.url],
        input=BIG, capture_output=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert out.stdout == BIG[::-1]
    assert app.requests[0].header("content-length") == str(len(BIG))
    # of unknown length, as a stream
    out = subprocess.run(
        ["curl", "-sS", "--http2-prior-knowledge", "-T", "-", site.url + "/x"],
        input=BIG, capture_output=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert out.stdout == BIG[::-1]


def test_what_the_backend_sees(pelayan, backend):
    """:authority is its Host, crumbs of cookies are one field again."""
    app = backend()
    site = pelayan.run(
        http=f"""http2 on; server {{ location / {{ proxy_pass {app.url}; proxy_set_header Host $host;
            proxy_set_header X-Proto "$server_protocol $http2 $scheme"; }} }}"""
    )
    wire = h2.Wire(site)
    block = h2.get("/p?q=1", authority="Example.COM:81") + h2.field("cookie", "a=1")
    wire.send(h2.headers(1, block + h2.field("x-own", "v") + h2.field("cookie", "b=2")))
    assert wire.response(1).status == 200
    seen = app.requests[0]
    assert seen.target == "/p?q=1" and seen.header("host") == "example.com"
    assert seen.header("cookie") == "a=1; b=2" and seen.header("x-own") == "v"
    assert seen.header("x-proto") == "HTTP/2.0 h2c http"


def test_many_streams_at_once(pelayan, backend):
    """All of them run; they end in the order of their backends."""
    app = backend(answers="when released")
    site = pelayan.run(
        http=f"""http2 on; server {{ location /wait {{ proxy_pass {app.url}; }}
            location / {{ return 200 ok; }} }}"""
    )
    wire = h2.Wire(site)
    wire.send(*[h2.headers(i, h2.get("/wait")) for i in range(1, 21, 2)], h2.headers(21, h2.get("/")))
    assert wire.response(21).body == b"ok"
    app.wait_until_asked(10)
    app.release()
    assert [wire.response(i).status for i in range(1, 21, 2)] == [200] * 10


def test_one_stream_that_is_not_read_does_not_block_another(files):
    wire = h2.Wire(files, window=1000)
    wire.send(h2.headers(1, h2.get("/big")))
    wire.until(lambda: len(wire.answers.get(1, h2.Answer()).body) == 1000)
    wire.send(h2.headers(3, h2.get("/a.txt")))
    assert wire.response(3).body == b"some text"
    wire.send(h2.window(0, 2000000), h2.window(1, 2000000))
    assert wire.response(1).body == BIG


def test_an_upload_that_is_not_taken_stops_at_its_window(pelayan, backend):
    app = backend(answers="when released")
    site = pelayan.run(
        http=f"""http2 on; http2_body_preread_size 10000; client_max_body_size 0;
            server {{ location / {{ proxy_pass {app.url}; }} location /a {{ return 200 ok; }} }}"""
    )
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.request("POST", "/", content_length="1000000"), end=False))
    wire.until(lambda: 4 in wire.settings)
    assert wire.settings[4] == 10000
    wire.send(h2.data(1, b"x" * 10000), h2.headers(3, h2.get("/a")))
    assert wire.response(3).body == b"ok"


@pytest.mark.parametrize("size", [1, 1000, 16384])
def test_http2_chunk_size(pelayan, size):
    site = pelayan.run(
        http=f"http2 on; http2_chunk_size {size}; server {{ root {{dir}}/html; }}", prepare=with_files
    )
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.get("/a.txt" if size == 1 else "/big")), h2.window(0, 1 << 24), h2.window(1, 1 << 24))
    answer = wire.response(1)
    assert len(answer.body) == (9 if size == 1 else len(BIG))
    assert max(answer.pieces) <= size


def test_settings_come_from_the_configuration(pelayan):
    site = pelayan.run(
        http="""http2 on; http2_max_concurrent_streams 7; http2_body_preread_size 1234;
            large_client_header_buffers 2 4k; server { return 200 ok; }"""
    )
    wire = h2.Wire(site)
    wire.until(lambda: wire.settings)
    assert wire.settings[3] == 7 and wire.settings[4] == 1234 and wire.settings[6] >= 8192
    assert wire.settings[9] == 1  # priorities are those of RFC 9218


def test_urgent_answers_come_first(files):
    """Priority: u= of RFC 9218; and PRIORITY_UPDATE changes it."""
    wire = h2.Wire(files, window=0)
    later = h2.get("/big") + h2.field("priority", "u=6")
    wire.send(h2.headers(1, later), h2.headers(3, later), h2.headers(5, h2.get("/a.txt") + h2.field("priority", "u=0")))
    wire.send(h2.frame(h2.PRIORITY_UPDATE, 0, 0, b"\0\0\0\3u=1"))
    assert wire.is_alive()
    wire.send(h2.window(0, 1 << 24), h2.settings(window=1 << 21))
    for stream in (1, 3, 5):
        wire.response(stream)
    ends = [f[2] for f in wire.log if f[0] == h2.DATA and f[1] & h2.END_STREAM]
    assert ends == [5, 3, 1]


def data_order(wire, *streams):
    """The streams of all DATA frames with bytes, in order."""
    for stream in streams:
        assert len(wire.response(stream).body) == len(BIG)
    return [f[2] for f in wire.log if f[0] == h2.DATA and f[3]]


@pytest.mark.parametrize("how", ["a field", "PRIORITY_UPDATE", "PRIORITY_UPDATE before its request"])
def test_incremental_answers_share(files, how):
    """`i`: who can use a part of it gets its turn with the others (RFC 9218, 4.2); without it one after the other."""
    wire = h2.Wire(files, window=0)
    updates = [h2.frame(h2.PRIORITY_UPDATE, 0, 0, struct.pack(">I", stream) + b"u=2, i") for stream in (1, 3)]
    more = h2.field("priority", "u=2, i") if how == "a field" else b""
    requests = [h2.headers(stream, h2.get("/big") + more) for stream in (1, 3)]
    if how == "PRIORITY_UPDATE":
        requests += updates
    if how == "PRIORITY_UPDATE before its request":
        requests = updates + requests
    wire.send(*requests)
    assert wire.is_alive()
    wire.send(h2.window(0, 1 << 24), h2.settings(window=1 << 21))
    order = data_order(wire, 1, 3)
    turns = sum(a != b for a, b in zip(order, order[1:]))
    assert turns > len(order) // 2


def test_others_come_one_after_the_other(files):
    """Of the same urgency, in the order of their requests; below them what is less urgent."""
    wire = h2.Wire(files, window=0)
    wire.send(h2.headers(1, h2.get("/big") + h2.field("priority", "u=5, i")), h2.headers(3, h2.get("/big")),
              h2.headers(5, h2.get("/big")))
    assert wire.is_alive()
    wire.send(h2.window(0, 1 << 24), h2.settings(window=1 << 21))
    order = data_order(wire, 1, 3, 5)
    assert order == sorted(order, key=[3, 5, 1].index)


def test_an_update_while_the_answer_is_under_way(files):
    """The one that was last is the first when it becomes urgent."""
    wire = h2.Wire(files, window=1 << 21)
    wire.send(h2.headers(1, h2.get("/big")), h2.headers(3, h2.get("/big")))
    wire.until(lambda: len(wire.answers.get(1, h2.Answer()).body) == 65535)
    wire.send(h2.frame(h2.PRIORITY_UPDATE, 0, 0, b"\0\0\0\3u=0"))
    assert wire.is_alive()
    wire.send(h2.window(0, 1 << 24))
    order = data_order(wire, 1, 3)
    rest = order[order.index(3):]
    assert rest == sorted(rest, reverse=True) and len(set(rest)) == 2


def test_limit_rate(pelayan):
    import time

    site = pelayan.run(
        http="http2 on; server { root {dir}/html; limit_rate 400k; }",
        prepare=lambda site: site.file("html/x", b"x" * 200000),
    )
    begin = time.monotonic()
    assert len(curl(site, site.url + "/x")) == 200000
    assert 0.3 < time.monotonic() - begin < TIMEOUT


def test_continue(pelayan, backend):
    app = backend(answers=lambda request: (200, request.body))
    site = pelayan.run(http=f"http2 on; server {{ location / {{ proxy_pass {app.url}; }} }}")
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.request("POST", "/", expect="100-continue", content_length="2"), end=False))
    wire.until(lambda: 1 in wire.answers and wire.answers[1].status)
    assert not wire.answers[1].ended
    wire.send(h2.data(1, b"ok", end=True))
    assert wire.response(1).body == b"ok"


def test_trailers_of_a_request_are_read(pelayan, backend):
    app = backend(answers=lambda request: (200, request.body))
    site = pelayan.run(http=f"http2 on; server {{ location / {{ proxy_pass {app.url}; }} }}")
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.request("POST", "/"), end=False), h2.data(1, b"body"))
    wire.send(h2.headers(1, h2.field("x-sum", "1")))
    assert wire.response(1).body == b"body"


REFUSED = {
    "upper case": h2.get() + h2.field("X-Up", "1"),
    "connection": h2.get() + h2.field("connection", "close"),
    "transfer-encoding": h2.get() + h2.field("transfer-encoding", "chunked"),
    "te": h2.get() + h2.field("te", "gzip"),
    "no path": h2.request("GET", None),
    "pseudo after regular": h2.field("x", "1") + h2.get(),
    "unknown pseudo": h2.field(":x", "1") + h2.get(),
    "no authority": h2.get(authority=None),
    "path in authority": h2.get(authority="a/b"),
    "two methods": h2.field(":method", "GET") + h2.get(),
}


@pytest.mark.parametrize("what", REFUSED)
def test_malformed_requests_are_reset(pelayan, what):
    site = pelayan.run(http="http2 on; server { return 200 ok; }")
    wire = h2.Wire(site)
    wire.send(h2.headers(1, REFUSED[what]), h2.headers(3, h2.get()))
    assert wire.response(1).reset == "PROTOCOL_ERROR"
    assert wire.response(3).status == 200


@pytest.mark.parametrize(
    "block",
    [
        h2.get(authority="a") + h2.field("host", "b"),
        h2.get(authority="a..b"),
        h2.get(path="/%zz"),
        h2.get(path="/../x"),
        h2.request("OPTIONS", "*"),
    ],
)
def test_bad_requests_are_400(pelayan, block):
    site = pelayan.run(http="http2 on; server { return 200 ok; }")
    wire = h2.Wire(site)
    wire.send(h2.headers(1, block))
    assert wire.response(1).status == 400
    assert wire.is_alive()


@pytest.mark.parametrize("length", [1, 5])
def test_a_body_of_another_length_than_declared(pelayan, backend, length):
    app = backend()
    site = pelayan.run(http=f"http2 on; server {{ location / {{ proxy_pass {app.url}; }} }}")
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.request("POST", "/", content_length=str(length)), end=False))
    wire.send(h2.data(1, b"abc", end=True))
    assert wire.response(1).reset == "PROTOCOL_ERROR"


def test_a_body_that_is_too_large(pelayan, backend):
    app = backend()
    site = pelayan.run(
        http=f"http2 on; client_max_body_size 1000; server {{ location / {{ proxy_pass {app.url}; }} }}"
    )
    declared = h2.Wire(site)
    declared.send(h2.headers(1, h2.request("POST", "/", content_length="1001"), end=False))
    assert declared.response(1).status in (413, "413", "?")
    grown = h2.Wire(site)
    grown.send(h2.headers(1, h2.request("POST", "/"), end=False), h2.data(1, b"x" * 1001, end=True))
    assert grown.response(1).status in (413, "413", "?")
    assert app.requests == []


def test_keepalive_requests_ends_with_goaway(pelayan):
    site = pelayan.run(http="http2 on; keepalive_requests 3; server { return 200 $connection_requests; }")
    wire = h2.Wire(site)
    for stream in (1, 3, 5):
        wire.send(h2.headers(stream, h2.get()))
        assert wire.response(stream).body == str(stream // 2 + 1).encode()
    assert wire.read_to_end() == "NO_ERROR" and wire.last_stream == 5


def test_keepalive_timeout_ends_with_goaway(pelayan):
    site = pelayan.run(http="http2 on; keepalive_timeout 200ms; server { return 200 ok; }")
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.get()))
    assert wire.response(1).status == 200
    assert wire.read_to_end() == "NO_ERROR"


def test_a_request_that_does_not_come(pelayan):
    site = pelayan.run(http="http2 on; client_header_timeout 200ms; server { return 200 ok; }")
    silent, half = h2.Wire(site), h2.Wire(site)
    half.send(h2.headers(1, h2.get(), whole=False))
    half.mute = True
    assert half.read_to_end() == "NO_ERROR"
    assert silent.read_to_end() == "NO_ERROR"


def test_a_body_that_does_not_come(pelayan, backend):
    app = backend()
    site = pelayan.run(
        http=f"http2 on; client_body_timeout 200ms; server {{ location / {{ proxy_pass {app.url}; }} }}"
    )
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.request("POST", "/", content_length="10"), end=False), h2.data(1, b"x"))
    answer = wire.response(1)
    assert answer.status in (408, "408", "?") or answer.reset == "CANCEL"
    assert wire.is_alive()


def test_a_reset_ends_the_request_at_the_backend(pelayan, backend):
    app = backend(answers="when released")
    site = pelayan.run(http=f"http2 on; server {{ location / {{ proxy_pass {app.url}; }} }}")
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.get()))
    app.wait_until_asked()
    wire.send(h2.reset(1))
    assert wire.is_alive()
    site.wait_for_log('"GET / HTTP/2.0" 499', "logs/access.log")
    app.release()


@pytest.mark.parametrize("end", ["reset", "close"])
def test_ignore_client_abort(pelayan, backend, end):
    """Who does not mind goes on without a client; the others of the same connection end."""

    def pieces():
        app.hold()
        for _ in range(20):
            yield b"x" * 65536

    app, other = backend(answers=lambda request: Answer(body=pieces())), backend(answers="when released")
    site = pelayan.run(
        http=f"""http2 on; log_format u "$uri $status $upstream_response_length $server_addr"; access_log {{dir}}/logs/u.log u; server {{
            location /stays {{ proxy_pass {app.url}; proxy_ignore_client_abort on; }}
            location /ends {{ proxy_pass {other.url}; }} }}"""
    )
    wire = h2.Wire(site)
    wire.send(*[h2.headers(stream, h2.get("/stays")) for stream in (1, 3)], h2.headers(5, h2.get("/ends")))
    app.wait_until_asked(2)
    other.wait_until_asked()
    if end == "reset":
        wire.send(*[h2.reset(stream) for stream in (1, 3, 5)])
        assert wire.is_alive()
    else:
        wire.close()
    site.wait_for_log("/ends 499", "logs/u.log")
    other.release()
    app.release()
    site.wait_for_log(r"(?s)(/stays 200 1310720 127.0.0.1\n.*){2}", "logs/u.log")
    assert site.get("/none").status == 404


def test_a_quit_lets_streams_end(pelayan, backend):
    """GOAWAY first; what is under way is answered; then the connection ends."""
    from signal import SIGQUIT

    app = backend(answers="when released")
    site = pelayan.run(http=f"http2 on; server {{ location / {{ proxy_pass {app.url}; }} }}")
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.get()))
    app.wait_until_asked()
    site.signal(SIGQUIT)
    assert wire.until(lambda: wire.goaway == "NO_ERROR")
    app.release()
    assert wire.response(1).status == 200
    assert wire.read_to_end() == "NO_ERROR" and wire.last_stream == 1
    assert site.wait_exit() == 0


def test_a_reload_keeps_the_connection_and_new_streams_see_it(pelayan):
    site = pelayan.run(http="http2 on; server { return 200 old; }")
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.get()))
    assert wire.response(1).body == b"old"
    site.reload(http="http2 on; server { return 200 new; }")

    def answer(stream):
        wire.send(h2.headers(stream, h2.get()))
        return wire.response(stream).body

    assert any(answer(stream) == b"new" for stream in range(3, 2003, 2))
    assert wire.goaway is None


NODE = """
const http2 = require("node:http2");
const client = http2.connect(process.argv[1]);
client.on("error", (error) => { console.log(JSON.stringify({error: String(error)})); });
const results = [];
let left = 50;
for (let i = 0; i < 50; i++) {
    const body = "x".repeat(i * 1000);
    const stream = client.request({":path": "/n" + i, ":method": "POST", "cookie": ["a=1", "b=2"]});
    let got = "", status = 0;
    stream.on("response", (headers) => { status = headers[":status"]; });
    stream.setEncoding("utf8");
    stream.on("data", (piece) => { got += piece; });
    stream.on("close", () => {
        results.push([status, got === body]);
        if (--left === 0) { client.close(); console.log(JSON.stringify(results)); }
    });
    stream.end(body);
}
"""


def test_node_as_client(pelayan, backend):
    app = backend(answers=lambda request: (200, request.body))
    site = pelayan.run(http=f"http2 on; server {{ location / {{ proxy_pass {app.url}; }} }}")
    out = subprocess.run(
        ["node", "-e", NODE, site.url], capture_output=True, text=True, timeout=TIMEOUT * 3
    )
    assert json.loads(out.stdout) == [[200, True]] * 50, out.stderr


def test_h2load(pelayan, backend):
    app = backend()
    site = pelayan.run(
        http=f"""http2 on; keepalive_requests 100000; server {{ location / {{ return 200 ok; }}
            location /app {{ proxy_pass {app.url}; }} }}"""
    )
    for path, count in (("/", 5000), ("/app", 300)):
        out = subprocess.run(
            ["h2load", "-n", str(count), "-c", "4", "-m", "10", site.url + path],
            capture_output=True, text=True, timeout=TIMEOUT * 3,
        ).stdout  # fmt: skip
        assert f"{count} succeeded, 0 failed" in out, out


def secure(files, rest):
    crt, key = files
    return f"""server {{ listen 127.0.0.1:{{port}} ssl; server_name localhost;
        ssl_certificate {crt}; ssl_certificate_key {key}; {rest} }}"""


def test_over_tls(pelayan, authority, localhost):
    """ALPN chooses it; large bodies pass both ways."""
    site = pelayan.run(
        http="http2 on; " + secure(localhost, """root {dir}/html;
            location /facts { return 200 "$http2 $scheme $ssl_alpn_protocol $server_protocol"; }"""),
        prepare=with_files,
    )  # fmt: skip
    url = f"https://localhost:{site.port}"

    def get(path, *more):
        return subprocess.run(
            ["curl", "-sS", "--cacert", authority.crt, *more, url + path],
            capture_output=True, timeout=TIMEOUT, check=True,
        ).stdout  # fmt: skip

    assert get("/facts", "--http2") == b"h2 https h2 HTTP/2.0"
    assert get("/facts", "--http1.1") == b" https http/1.1 HTTP/1.1"
    assert get("/big", "--http2") == BIG


def test_over_tls_with_node(pelayan, backend, authority, localhost):
    app = backend(answers=lambda request: (200, request.body))
    site = pelayan.run(
        http="http2 on; " + secure(localhost, f"location / {{ proxy_pass {app.url}; }}")
    )
    script = NODE.replace("process.argv[1]", 'process.argv[1], {ca: require("fs").readFileSync(process.argv[2])}')
    out = subprocess.run(
        ["node", "-e", script, f"https://localhost:{site.port}", str(authority.crt)],
        capture_output=True, text=True, timeout=TIMEOUT * 3,
    )  # fmt: skip
    assert json.loads(out.stdout) == [[200, True]] * 50, out.stderr


def test_http2_is_not_offered_unless_on(pelayan, authority, localhost):
    site = pelayan.run(http=secure(localhost, 'return 200 "$server_protocol";'))
    out = subprocess.run(
        ["curl", "-sS", "--http2", "--cacert", authority.crt, f"https://localhost:{site.port}/"],
        capture_output=True, timeout=TIMEOUT, check=True,
    )  # fmt: skip
    assert out.stdout == b"HTTP/1.1"
