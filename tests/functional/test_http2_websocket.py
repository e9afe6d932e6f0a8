"""WebSocket over HTTP/2 (RFC 8441): extended CONNECT from clients, and to backends."""

import base64
import hashlib
import struct
import time

import pytest
from harness import h2
from harness.backend import Answer
from harness.process import SANITIZED, memory_kib
from harness.wait import until


def connect(path="/ws", protocol="websocket", **more):
    return h2.field(":method", "CONNECT") + h2.field(":protocol", protocol) + h2.field(":scheme", "http") \
        + h2.field(":path", path) + h2.field(":authority", "localhost") + h2.field("sec-websocket-version", "13") \
        + b"".join(h2.field(name.replace("_", "-"), value) for name, value in more.items())


def passing(pelayan, url, location=""):
    return pelayan.run(main="worker_processes 1;", http=f"""http2 on; server {{ root {{dir}}/html;
        location / {{ proxy_pass {url}; {location} }} location /here {{ return 200 here; }} }}""")


def answered(wire, stream=1):
    wire.until(lambda: wire.answers.get(stream) and (wire.answers[stream].status or wire.answers[stream].reset))
    return wire.answers[stream]


def read(wire, count, stream=1):
    wire.until(lambda: len(wire.answers[stream].body) >= count)
    return wire.answers[stream].body


def test_the_setting_is_sent(pelayan):
    wire = h2.Wire(pelayan.run(http="http2 on; server { return 200 ok; }"))
    wire.until(lambda: wire.settings)
    assert wire.settings[8] == 1


def test_to_a_backend_of_http1(pelayan, backend):
    """It sees an ordinary Upgrade, with a key; the client sees a 200."""
    app = backend(answers=Answer(echo=True))
    wire = h2.Wire(passing(pelayan, app.url))
    wire.send(h2.headers(1, connect(), end=False))
    assert answered(wire).status == 200 and not wire.answers[1].ended
    for i in range(1, 11):
        wire.send(h2.data(1, b"ping"))
        assert read(wire, 4 * i) == b"ping" * i
    seen = app.requests[0]
    assert seen.method == "GET" and seen.target == "/ws" and seen.header("upgrade") == "websocket"
    assert seen.header("connection").lower() == "upgrade" and seen.header("sec-websocket-version") == "13"
    assert len(base64.b64decode(seen.header("sec-websocket-key"))) == 16


def test_bytes_that_come_before_the_answer(pelayan, backend):
    app = backend(answers=Answer(echo=True))
    wire = h2.Wire(passing(pelayan, app.url))
    wire.send(h2.headers(1, connect(), end=False), h2.data(1, b"early"))
    assert answered(wire).status == 200
    assert read(wire, 5) == b"early"


@pytest.mark.parametrize("size", [1 << 20])
def test_much_in_both_directions(pelayan, backend, size):
    """More than all windows: who does not read stops who writes."""
    app = backend(answers=Answer(echo=True))
    wire = h2.Wire(passing(pelayan, app.url), window=1 << 20)
    wire.send(h2.headers(1, connect(), end=False), h2.window(0, 1 << 24))
    assert answered(wire).status == 200
    wire.until(lambda: wire.settings)
    room, sent, data = wire.settings.get(4, 65535), 0, bytes(range(256)) * (size // 256)
    seen = 0
    while sent < size:
        for frame in wire.log[seen:]:
            if frame[0] == h2.WINDOW and frame[2] == 1:
                room += int.from_bytes(frame[3], "big")
        seen = len(wire.log)
        piece = data[sent : sent + min(room, 16384)]
        if not piece:
            wire.read_frame()
            continue
        wire.send(h2.data(1, piece))
        sent, room = sent + len(piece), room - len(piece)
    assert read(wire, size) == data


@pytest.mark.parametrize("end", ["client ends", "client resets", "client closes"])
def test_the_end_is_passed_on(pelayan, backend, end):
    app = backend(answers=Answer(echo=True))
    site = passing(pelayan, app.url)
    wire = h2.Wire(site)
    wire.send(h2.headers(1, connect(), end=False))
    assert answered(wire).status == 200
    if end == "client ends":
        wire.send(h2.data(1, b"bye", end=True))
        wire.until(lambda: wire.answers[1].ended)
        assert wire.answers[1].body == b"bye" and wire.answers[1].reset is None
    elif end == "client resets":
        wire.send(h2.reset(1))
    else:
        wire.close()
    app.wait_until_disconnected()
    assert '"GET /ws HTTP/2.0"' in site.access_log(lines=1) or "CONNECT" in site.access_log(lines=1)
    if end != "client closes":
        assert wire.is_alive()


def test_the_backend_ends(pelayan, raw_backend):
    def script(wire):
        wire.read_until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nlast words")

    wire = h2.Wire(passing(pelayan, raw_backend(script).url))
    wire.send(h2.headers(1, connect(), end=False))
    assert answered(wire).status == 200
    assert read(wire, 10) == b"last words"
    wire.send(h2.data(1, b"", end=True))
    wire.until(lambda: wire.answers[1].ended)
    assert wire.answers[1].ended and wire.is_alive()


def test_small_messages_to_a_client_that_does_not_read(pelayan, raw_backend):
    """What waits for it takes the room it needs: not a buffer for each message."""
    count, size = 2000, 20
    sent = []

    def script(wire):
        wire.read_until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        for i in range(count):
            wire.send(b"%020d" % i)
            sent.append(i)
            time.sleep(0.0002)

    site = passing(pelayan, raw_backend(script).url)
    wire = h2.Wire(site, window=0)
    wire.send(h2.headers(1, connect(), end=False))
    assert answered(wire).status == 200
    before = memory_kib(site.workers()[0])
    until(lambda: len(sent) == count, "the messages to be sent")
    assert wire.is_alive()
    assert SANITIZED or memory_kib(site.workers()[0]) - before < 2000
    wire.send(h2.window(1, 1 << 20))
    assert read(wire, count * size) == b"".join(b"%020d" % i for i in range(count))


def test_small_messages_to_a_peer_that_does_not_read(pelayan, h2_backend):
    """The other direction, to a peer of HTTP/2 whose window is shut."""
    count, size = 2000, 20

    def script(peer):
        for stream in peer:
            peer.send(h2.headers(stream, h2.field(":status", "200"), end=False))

    shut = h2.frame(h2.SETTINGS, 0, 0, struct.pack(">HIHI", 8, 1, 4, 0))
    app = h2_backend(script, before=shut)
    site = passing(pelayan, app.url, "proxy_http_version 2;")
    wire = h2.Wire(site)
    wire.send(h2.headers(1, connect(), end=False))
    assert answered(wire).status == 200
    before = memory_kib(site.workers()[0])
    for i in range(count):
        wire.send(h2.data(1, b"%020d" % i))
        time.sleep(0.0002)
    assert wire.is_alive()
    assert SANITIZED or memory_kib(site.workers()[0]) - before < 2000
    peer = app.peers[0]
    peer.send(h2.window(1, 1 << 20))
    until(lambda: len(peer.answers[1].body) == count * size, "all messages to come")
    assert peer.answers[1].body == b"".join(b"%020d" % i for i in range(count))


def test_who_refuses_is_heard(pelayan, backend):
    wire = h2.Wire(passing(pelayan, backend(answers=(403, "no")).url))
    wire.send(h2.headers(1, connect(), end=False))
    assert wire.response(1).status in (403, "403", "?") and wire.answers[1].body == b"no"


@pytest.mark.parametrize("path", ["/here", "/ws"])
def test_a_2xx_of_somebody_else_is_no_agreement(pelayan, backend, path):
    """A file, a `return`, a backend that does not know the protocol: the client must not think it has a tunnel."""
    wire = h2.Wire(passing(pelayan, backend(answers=(200, "page")).url))
    wire.send(h2.headers(1, connect(path), end=False))
    assert wire.response(1).status in (501, "501", "?")
    assert wire.is_alive()


def test_a_plain_connect_is_refused(pelayan):
    wire = h2.Wire(pelayan.run(http="http2 on; server { return 200 ok; }"))
    wire.send(h2.headers(1, h2.field(":method", "CONNECT") + h2.field(":authority", "a:1"), end=False))
    answer = wire.response(1)
    assert answer.status in (405, "405", 400, "?") or answer.reset == "PROTOCOL_ERROR"


def test_http2_on_both_sides(pelayan, node_h2):
    app = node_h2()
    wire = h2.Wire(passing(pelayan, f"http://127.0.0.1:{app.port}", "proxy_http_version 2;"))
    for stream in (1, 3):
        wire.send(h2.headers(stream, connect(), end=False), h2.data(stream, b"hello"))
        assert answered(wire, stream).status == 200
        assert read(wire, 5, stream) == b"hello"
    wire.send(h2.data(1, b"!", end=True))
    wire.until(lambda: wire.answers[1].ended)
    assert wire.answers[1].body == b"hello!"
    wire.send(h2.data(3, b"!"))
    assert read(wire, 6, 3) == b"hello!"


def test_a_client_of_http1_and_a_backend_of_http2(pelayan, node_h2):
    """The key is answered here: over HTTP/2 nobody else would."""
    app = node_h2()
    site = passing(pelayan, f"http://127.0.0.1:{app.port}", "proxy_http_version 2;")
    with site.connect() as client:
        answer = client.upgrade("/ws")
        assert answer.status == 101 and answer.header("upgrade") == "websocket"
        key = b"dGhlIHNhbXBsZSBub25jZQ==" + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        assert answer.header("sec-websocket-accept") == base64.b64encode(hashlib.sha1(key).digest()).decode()
        for _ in range(10):
            client.send(b"ping" * 1000)
            assert client.read(4000) == b"ping" * 1000


def test_a_backend_of_http2_that_does_not_take_it(pelayan, h2_backend):
    app = h2_backend(lambda peer: list(peer))
    site = passing(pelayan, app.url, "proxy_http_version 2;")
    with site.connect() as client:
        assert client.upgrade("/ws").status == 502
    site.wait_for_log("upstream does not take extended CONNECT")
