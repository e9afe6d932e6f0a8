"""HTTP/2 to backends: the program is its own backend, on a second port; and Node's http2."""

import json
import os
import subprocess
import time

import pytest
from harness import h2
from harness.client import BadMessage
from harness.process import SANITIZED, memory_kib
from harness.wait import TIMEOUT, until

BACK = """server {{ listen 127.0.0.1:{{port2}} http2{tls}; root {{dir}}/html; client_max_body_size 100m; {back}
    location /facts {{ return 200 "$server_protocol $connection $connection_requests $request_method $host"; }}
    location /len {{ proxy_pass http://127.0.0.1:{{port3}}; }} }}
    server {{ listen 127.0.0.1:{{port3}}; client_max_body_size 100m; location / {{ proxy_pass http://127.0.0.1:{{port3}}/end; }}
    location /end {{ return 200 $content_length; }} }}"""


def conf(location="", back="", tls="", scheme="http", front=""):
    return f"""client_max_body_size 100m; upstream back {{ server localhost:{{port2}}; {front} }}
        server {{ listen 127.0.0.1:{{port}}; listen 127.0.0.1:{{port4}} http2; location / {{ proxy_pass {scheme}://back; proxy_http_version 2;
            {location} }} }}""" + BACK.format(back=back, tls=tls)


def run(pelayan, data=b"", **more):
    return pelayan.run(lambda it: it.file("html/x", data), main="worker_processes 1;", http=conf(**more))


def test_requests_share_a_connection(pelayan):
    site = run(pelayan)
    answers = [site.get("/facts").text.split() for _ in range(3)]
    assert [answer[0] for answer in answers] == ["HTTP/2.0"] * 3
    assert [answer[2] for answer in answers] == ["1", "2", "3"]
    assert len({answer[1] for answer in answers}) == 1
    assert answers[0][3:] == ["GET", "back"]


@pytest.mark.parametrize("size", [0, 100, 70000, 3 << 20])
def test_bodies_in_both_directions(pelayan, size):
    data = os.urandom(size)
    site = run(pelayan, data)
    assert site.get("/x").body == data
    assert site.get("/len", method="POST", body=data).text == str(size or "0")


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_a_body_of_unknown_length(pelayan, buffering):
    site = run(pelayan, location=f"proxy_request_buffering {buffering};")
    assert site.get("/len", method="POST", body=[b"a" * 1000, b"b" * 100000]).text == "101000"


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_a_client_of_http2(pelayan, buffering):
    """From stream to stream, with a body larger than all windows."""
    site = run(pelayan, location=f"proxy_request_buffering {buffering}; proxy_buffering {buffering};")
    wire = h2.Wire(site, port="port4", window=1 << 20)
    wire.send(h2.headers(1, h2.request("POST", "/len", content_length="60000"), end=False))
    wire.send(h2.data(1, b"x" * 16384), h2.data(1, b"x" * 16384), h2.data(1, b"x" * 16384))
    wire.send(h2.data(1, b"x" * (60000 - 3 * 16384), end=True))
    assert wire.response(1).body == b"60000"


# ---- Node


def proxied(pelayan, target, location="", **more):
    return pelayan.run(main="worker_processes 1;", http=f"""http2 on; client_max_body_size 10m; server {{
        location / {{ proxy_pass {target}; proxy_http_version 2; {location} }} }}""", **more)


def test_what_the_backend_sees(pelayan, node_h2):
    site = proxied(pelayan, f"http://127.0.0.1:{node_h2().port}", "proxy_set_header X-Own $request_id-own;"
                   "proxy_set_header TE trailers; proxy_set_header Connection close;")
    seen = site.get("/a%20b?c=d", headers={"Cookie": "a=1; b=2", "Keep-Alive": "1", "X-Client": "Y"}).json()
    assert seen["version"] == "2.0" and seen["path"] == "/a%20b?c=d" and seen["method"] == "GET"
    assert seen["headers"]["x-own"].endswith("-own") and seen["headers"]["x-client"] == "Y"
    assert seen["headers"]["te"] == "trailers" and seen["headers"]["cookie"] == "a=1; b=2"
    assert not {"connection", "keep-alive", "host", "transfer-encoding"} & set(seen["headers"])


def test_trailers_of_the_answer(pelayan, node_h2):
    site = proxied(pelayan, f"http://127.0.0.1:{node_h2().port}", "proxy_pass_trailers on;")
    answer = site.get("/echo", method="POST", body=b"some text", headers={"TE": "trailers"})
    assert answer.body == b"some text" and answer.header("x-kind") == "echo"
    assert answer.trailers.get("x-sum") == "42"


@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize("client", ["h1", "h2"])
def test_trailers_of_the_request(pelayan, node_h2, client, buffering):
    """What may not stand in trailers is left out."""
    site = proxied(pelayan, f"http://127.0.0.1:{node_h2().port}", f"proxy_request_buffering {buffering};")
    if client == "h1":
        with site.connect() as wire:
            wire.send(b"POST /trailers HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"2\r\nab\r\n0\r\nx-sum: 1\r\nHost: evil\r\n\r\n")
            body = wire.read_response().body
    else:
        wire = h2.Wire(site)
        wire.send(h2.headers(1, h2.request("POST", "/trailers"), end=False), h2.data(1, b"ab"))
        wire.send(h2.headers(1, h2.field("x-sum", "1") + h2.field("host", "evil")))
        body = wire.response(1).body
    assert json.loads(body) == {"x-sum": "1"}


def test_early_hints(pelayan, node_h2):
    site = proxied(pelayan, f"http://127.0.0.1:{node_h2().port}")
    with site.connect() as client:
        answer = client.get("/hints")
        assert [(it.status, it.header("link")) for it in answer.interim] == [
            (103, "</style.css>; rel=preload; as=style")]
        assert answer.json()["path"] == "/hints"


@pytest.mark.parametrize("size", [10, 100000, 3 << 20])
@pytest.mark.parametrize("buffering", ["on", "off"])
def test_echo_at_once(pelayan, node_h2, size, buffering):
    """The answer begins before the request has ended."""
    site = proxied(pelayan, f"http://127.0.0.1:{node_h2().port}",
                   f"proxy_request_buffering {buffering}; proxy_buffering {buffering};")
    data = os.urandom(size)
    out = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "--data-binary", "@-", site.url + "/echo"],
                         input=data, capture_output=True, timeout=TIMEOUT)
    assert out.stdout == data, out.stderr


def test_the_peer_chooses_by_tls(pelayan, node_h2, authority, localhost):
    """`proxy_http_version 2` offers both; Node takes HTTP/2."""
    crt, key = localhost
    app = node_h2(key, crt)
    site = proxied(pelayan, f"https://127.0.0.1:{app.port}", f"proxy_ssl_trusted_certificate {authority.crt};"
                   "proxy_ssl_verify on; proxy_ssl_name localhost; proxy_ssl_server_name on;")
    assert [site.get(f"/{i}").json()["version"] for i in range(3)] == ["2.0"] * 3


def test_a_peer_of_http1_only(pelayan, authority, localhost):
    """ALPN chooses nothing else: the connection that was opened is used, and kept."""
    crt, key = localhost
    site = pelayan.run(main="worker_processes 1;", http=f"""server {{ listen 127.0.0.1:{{port}};
        location / {{ proxy_pass https://127.0.0.1:{{port2}}; proxy_http_version 2; }} }}
        server {{ listen 127.0.0.1:{{port2}} ssl; ssl_certificate {crt}; ssl_certificate_key {key};
        return 200 "$server_protocol $connection_requests"; }}""")
    assert [site.get("/", method="POST", body="x").text for _ in range(2)] == ["HTTP/1.1 1", "HTTP/1.1 2"]
    assert [site.get("/").text.split()[0] for _ in range(3)] == ["HTTP/1.1"] * 3
    later = [site.get_later("/") for _ in range(20)]
    assert all(it.result().status == 200 for it in later)


def test_the_certificate_is_verified(pelayan, node_h2, authority, localhost):
    crt, key = localhost
    app = node_h2(key, crt)
    site = proxied(pelayan, f"https://127.0.0.1:{app.port}", f"proxy_ssl_trusted_certificate {authority.crt};"
                   "proxy_ssl_verify on; proxy_ssl_name other;")
    assert site.get("/").status == 502
    site.wait_for_log("certificate verify error: hostname mismatch.*SSL handshaking to upstream")


# ---- frame by frame


def answer_all(peer):
    for stream in peer:
        peer.answer(stream, str(peer.number))


def test_many_requests_at_once_share_a_connection(pelayan, h2_backend):
    """None is answered before all have come."""

    def script(peer):
        streams = []
        for stream in peer:
            streams.append(stream)
            if len(streams) == 20:
                for each in reversed(streams):
                    peer.answer(each, str(each))

    app = h2_backend(script)
    site = proxied(pelayan, app.url)
    later = [site.get_later("/") for _ in range(20)]
    assert sorted(int(it.result().text) for it in later) == list(range(1, 41, 2))
    assert app.connections == 1


def test_a_further_connection_when_the_peer_takes_no_more(pelayan, h2_backend):
    def script(peer):
        held = []
        for stream in peer:
            if peer.number == 1 and not held:
                held.append(stream)
                continue
            peer.answer(stream, str(peer.number))
            if peer.number > 1:
                first = app.peers[0]
                first.answer(1, "1")

    app = h2_backend(script, before=h2.settings(streams=1))
    site = proxied(pelayan, app.url)
    one = site.get_later("/")
    until(lambda: app.peers and (h2.SETTINGS, h2.ACK, 0, b"") in app.peers[0].log, "SETTINGS to be seen")
    assert site.get("/").text == "2"
    assert one.result().text == "1"
    assert app.connections == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("how", ["refused", "goaway"])
def test_what_was_not_processed_is_sent_again(pelayan, h2_backend, method, how):
    """The peer says so: then also a POST goes to another connection, and nobody notices."""

    def script(peer):
        for stream in peer:
            if peer.number > 1:
                peer.answer(stream, str(peer.number))
            elif how == "refused":
                peer.send(h2.reset(stream, 7))
            else:
                peer.send(h2.frame(h2.GOAWAY, 0, 0, b"\0" * 8))

    app = h2_backend(script)
    site = proxied(pelayan, app.url)
    assert site.get("/", method=method, body=b"text" if method == "POST" else None).text == "2"


@pytest.mark.parametrize("method, status", [("GET", 200), ("POST", 502)])
def test_what_may_have_been_processed_is_not(pelayan, h2_backend, method, status):
    """A reset without that promise: another peer is asked only for methods that may be repeated."""

    def script(peer):
        for stream in peer:
            peer.send(h2.reset(stream, 2))

    bad, good = h2_backend(script), h2_backend(answer_all)
    site = pelayan.run(http=f"""upstream both {{ server {bad.address}; server {good.address} backup; }}
        server {{ location / {{ proxy_pass http://both; proxy_http_version 2; }} }}""")
    assert site.get("/", method=method, body=b"text" if method == "POST" else None).status == status
    site.wait_for_log("upstream reset the stream: INTERNAL_ERROR")


def test_goaway_lets_what_runs_go_on(pelayan, h2_backend):
    """No further request comes over that connection, and it is closed behind the last answer."""

    def script(peer):
        for stream in peer:
            if peer.number == 1:
                peer.send(h2.headers(stream, h2.field(":status", "200"), end=False))
                peer.send(h2.frame(h2.GOAWAY, 0, 0, stream.to_bytes(4, "big") + b"\0" * 4))
                peer.send(h2.data(stream, b"whole", end=True))
            else:
                peer.answer(stream, "second")

    app = h2_backend(script)
    site = proxied(pelayan, app.url)
    assert site.get("/").text == "whole"
    assert site.get("/").text == "second"
    app.wait_for(lambda: 1 not in app.wires, "the first connection to end")


def test_a_closed_connection_is_replaced(pelayan, h2_backend):
    app = h2_backend(answer_all)
    site = proxied(pelayan, app.url)
    assert site.get("/").text == "1"
    app.close_connections()
    app.wait_until_disconnected()
    assert site.get("/", method="POST", body="x").text == "2"


def test_keepalive_limits(pelayan, h2_backend):
    app = h2_backend(answer_all)
    site = pelayan.run(main="worker_processes 1;", http=f"""upstream app {{ server {app.address}; keepalive 2; keepalive_requests 2; }}
        server {{ location / {{ proxy_pass http://app; proxy_http_version 2; }} }}""")
    assert [site.get("/").text for _ in range(4)] == ["1", "1", "2", "2"]


def test_a_slow_reader_stops_its_own_stream_only(pelayan, h2_backend):
    """The peer's window for the one is empty, while the other's answer comes over the same connection."""
    sent = []

    def script(peer):
        for stream in peer:
            if stream > 1:
                peer.answer(stream, "quick")
                continue
            peer.send(h2.headers(stream, h2.field(":status", "200"), end=False))
            while len(sent) < 3 * 65535 // 16384 and sum(sent) + 16384 <= 65535:
                peer.send(h2.data(stream, b"x" * 16384))
                sent.append(16384)

    app = h2_backend(script)
    site = proxied(pelayan, app.url, "proxy_buffering off;")
    slow = site.connect()
    slow.request("/slow")
    until(lambda: len(sent) >= 3, "DATA to be sent")
    assert site.get("/").text == "quick"
    assert app.connections == 1


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_small_pieces_to_a_client_that_does_not_read(pelayan, h2_backend, buffering):
    """What waits for it takes the room it needs: not a buffer for each DATA frame."""
    count, size = 2000, 20
    sent = []

    def script(peer):
        for stream in peer:
            peer.send(h2.headers(stream, h2.field(":status", "200"), end=False))
            for i in range(count):
                peer.send(h2.data(stream, b"%020d" % i))
                sent.append(i)
                time.sleep(0.0002)
            peer.send(h2.data(stream, b"", end=True))

    site = proxied(pelayan, h2_backend(script).url, f"proxy_buffering {buffering};")
    wire = h2.Wire(site, window=0)
    wire.send(h2.headers(1, h2.get("/")))
    wire.until(lambda: wire.answers.get(1, h2.Answer()).status)
    before = memory_kib(site.workers()[0])
    until(lambda: len(sent) == count, "the pieces to be sent")
    assert wire.is_alive()
    assert SANITIZED or memory_kib(site.workers()[0]) - before < 1500
    wire.send(h2.window(1, 1 << 20))
    assert wire.response(1).body == b"".join(b"%020d" % i for i in range(count))


def test_why_a_connection_ended_is_known_to_slow_streams(pelayan, h2_backend):
    """A stream may outlive its connection: its client still takes what came before the fault."""

    def script(peer):
        for stream in peer:
            peer.send(h2.headers(stream, h2.field(":status", "200"), end=False))
            peer.send(*[h2.data(stream, b"x" * 16384) for _ in range(3)], h2.frame(h2.DATA, 0, 0, b"x"))

    app = h2_backend(script)
    site = proxied(pelayan, app.url, "proxy_buffering off; proxy_buffers 4 4k;")
    wire = h2.Wire(site, window=10)
    wire.send(h2.headers(1, h2.get("/")))
    wire.until(lambda: len(wire.answers.get(1, h2.Answer()).body) == 10)
    until(lambda: app.peers and app.peers[0].goaway, "GOAWAY to be sent")
    wire.send(h2.settings(window=1 << 20))
    assert wire.response(1).reset == "INTERNAL_ERROR"
    site.wait_for_log(r"upstream broke the rules of HTTP/2: PROTOCOL_ERROR while")


HOSTILE = {
    "garbage": lambda peer, stream: peer.send(b"HTTP/1.1 200 OK\r\n\r\n" * 10),
    "data before a head": lambda peer, stream: peer.send(h2.data(stream, b"x", end=True)),
    "upper case": lambda peer, stream: peer.answer(stream, b"x", "200", h2.field("X-Up", "1")),
    "CR LF": lambda peer, stream: peer.answer(stream, b"x", "200", h2.field("x", "a\r\nset-cookie: b")),
    "NUL": lambda peer, stream: peer.answer(stream, b"x", "200", h2.field("x", "a\0b")),
    "connection": lambda peer, stream: peer.answer(stream, b"x", "200", h2.field("connection", "close")),
    "no status": lambda peer, stream: peer.send(h2.headers(stream, h2.field("x", "y"))),
    "status 101": lambda peer, stream: peer.answer(stream, b"x", "101"),
    "status below 100": lambda peer, stream: peer.answer(stream, b"x", "099"),
    "status of letters": lambda peer, stream: peer.answer(stream, b"x", "abc"),
    "request pseudo": lambda peer, stream: peer.answer(stream, b"x", "200", h2.field(":path", "/")),
    "bad length": lambda peer, stream: peer.answer(stream, b"x", "200", h2.field("content-length", "a")),
    "large head": lambda peer, stream: peer.answer(stream, b"x", "200", h2.field("x", "y" * 5000)),
    "too many fields": lambda peer, stream: peer.answer(stream, b"x", "200", h2.field("x", "y") * 2000),
    "HPACK": lambda peer, stream: peer.send(h2.headers(stream, b"\xff\xff\xff\xff\xff\xff")),
    "push": lambda peer, stream: peer.send(h2.frame(h2.PUSH, 4, stream, b"\0\0\0\2" + h2.get())),
    "frame too large": lambda peer, stream: peer.send(h2.frame(h2.DATA, 0, stream, b"x" * 20000)),
    "unknown stream": lambda peer, stream: peer.answer(stream + 2, b"x"),
    "endless interim": lambda peer, stream: peer.send(h2.headers(stream, h2.field(":status", "103"), end=False) * 100),
    "endless continuation": lambda peer, stream: peer.send(
        h2.headers(stream, h2.field(":status", "200"), whole=False)
        + h2.frame(h2.CONTINUATION, 0, stream, h2.field("x", "y")) * 1000),
    "goaway": lambda peer, stream: peer.send(h2.frame(h2.GOAWAY, 0, 0, b"\0" * 8)),
    "closes": lambda peer, stream: peer.sock.close(),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_backends(pelayan, h2_backend, what):
    """The client gets 502, a sentence is logged, and another peer's answers are not disturbed."""

    def script(peer):
        for stream in peer:
            HOSTILE[what](peer, stream)

    bad, good = h2_backend(script), h2_backend(answer_all)
    site = pelayan.run(http=f"""server {{ location / {{ proxy_pass {bad.url}; proxy_http_version 2; }}
        location /good {{ proxy_pass {good.url}; proxy_http_version 2; }} }}""")
    answer = site.get("/")
    assert answer.status == 502 and answer.header("set-cookie") is None
    assert site.get("/good").text == "1"
    site.wait_for_log("while.*upstream: ")


@pytest.mark.parametrize("declared, sent", [("5", b"abc"), ("2", b"abc")])
def test_a_body_of_another_length_than_declared(pelayan, h2_backend, declared, sent):
    """It breaks off, as if the connection had."""

    def script(peer):
        for stream in peer:
            peer.send(h2.headers(stream, h2.field(":status", "200") + h2.field("content-length", declared), end=False))
            peer.send(h2.data(stream, sent, end=True))

    site = proxied(pelayan, h2_backend(script).url)
    try:
        assert site.get("/").status == 502
    except BadMessage:
        pass
    site.wait_for_log("upstream broke the rules|Violation in HTTP messaging|violation")


FLOODS = {
    "ping": h2.frame(h2.PING, 0, 0, b"x" * 8),
    "settings": h2.settings(),
    "empty data": h2.data(1),
    "window": h2.window(1, 1),
    "priority": h2.frame(h2.PRIORITY, 0, 1, b"\0\0\0\3\1"),
}


@pytest.mark.parametrize("what", FLOODS)
def test_floods_end_the_connection(pelayan, h2_backend, what):
    def script(peer):
        for stream in peer:
            peer.send(h2.headers(stream, h2.field(":status", "200"), end=False))
            while True:
                peer.send(FLOODS[what] * 1000)

    site = proxied(pelayan, h2_backend(script).url)
    try:
        site.get("/")
    except BadMessage:
        pass
    site.wait_for_log("too many|flood")


def test_a_peer_that_opens_no_window_times_out(pelayan, h2_backend):
    app = h2_backend(lambda peer: list(peer), before=h2.settings(window=0))
    site = proxied(pelayan, app.url, "proxy_send_timeout 300ms;")
    assert site.get("/", method="POST", body="x" * 200000).status == 504


def test_a_peer_that_is_silent_times_out(pelayan, h2_backend):
    app = h2_backend(lambda peer: list(peer))
    site = proxied(pelayan, app.url, "proxy_read_timeout 300ms;")
    assert site.get("/").status == 504
    until(lambda: app.peers[0].answers[1].reset == "CANCEL", "RST_STREAM")
