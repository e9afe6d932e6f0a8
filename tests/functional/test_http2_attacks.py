"""What a hostile HTTP/2 client may try, frame by frame; each attack ends its own connection only."""

import struct

import pytest
from harness import h2
from harness.process import SANITIZED, memory_kib


@pytest.fixture
def site(pelayan, backend):
    app = backend(answers="when released")
    site = pelayan.run(
        http=f"""http2 on; error_log {{dir}}/logs/attack.log info; large_client_header_buffers 2 2k;
            server {{ root {{dir}}/html; location /wait {{ proxy_pass {app.url}; }}
            location /ok {{ return 200 ok; }} }}""",
        prepare=lambda site: site.file("html/big", b"x" * 1000000),
    )
    yield site
    app.release()


def calmed(site, wire, why):
    assert wire.read_to_end() == "ENHANCE_YOUR_CALM"
    assert why in (site.dir / "logs/attack.log").read_text()
    assert site.get("/ok").status == 200


def flood(wire, make, count=3000, batch=100):
    """make(i) -> frames. Ends early when the connection was closed."""
    for at in range(0, count, batch):
        if not wire.try_send(*[make(i) for i in range(at, at + batch)]):
            return


def test_rapid_reset(site):
    """CVE-2023-44487: requests that are cancelled at once, without end."""
    wire = h2.Wire(site)
    flood(wire, lambda i: h2.headers(2 * i + 1, h2.get("/wait")) + h2.reset(2 * i + 1))
    calmed(site, wire, "too many requests were reset")


def test_a_page_that_is_left_is_no_attack(site):
    wire = h2.Wire(site)
    flood(wire, lambda i: h2.headers(2 * i + 1, h2.get("/wait")) + h2.reset(2 * i + 1), 100)
    assert wire.is_alive()


def test_continuation_flood(site):
    """CVE-2024-27316: a head that never ends."""
    wire = h2.Wire(site)
    wire.try_send(h2.headers(1, h2.get("/ok"), whole=False))
    flood(wire, lambda i: h2.frame(h2.CONTINUATION, 0, 1, h2.field(f"x-{i}", "y" * 100)), 2000)
    calmed(site, wire, "CONTINUATION")


@pytest.mark.parametrize(
    "make, why",
    [
        (lambda i: h2.frame(h2.PING, 0, 0, struct.pack(">Q", i)), "PING"),
        (lambda i: h2.settings(streams=100 + i % 2), "SETTINGS"),
        (lambda i: h2.window(0, 1), "WINDOW_UPDATE"),
        (lambda i: h2.frame(h2.PRIORITY, 0, 1 + 2 * (i % 50), b"\0\0\0\0\x10"), "priority"),
        (lambda i: h2.frame(h2.PRIORITY_UPDATE, 0, 0, b"\0\0\0\1u=%d" % (i % 8)), "priority"),
        (lambda i: h2.frame(200, 0, 0, b"?" * 100), "ignored"),
        (lambda i: h2.data(1), "empty frames"),
    ],
    ids=["ping", "settings", "window", "priority", "priority-update", "unknown", "empty"],
)
def test_floods(site, make, why):
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.request("POST", "/wait"), end=False))
    flood(wire, make, 12000)
    calmed(site, wire, why)


def test_hpack_bomb(site):
    """A kilobyte in the table, named again and again by one byte each."""
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.get("/ok") + h2.indexed_field("x-bomb", "b" * 1000)))
    wire.response(1)
    bomb = h2.get("/ok") + b"\xbe" * 10000
    wire.send(h2.headers(3, bomb))
    assert wire.response(3).status == 400
    flood(wire, lambda i: h2.headers(2 * i + 5, bomb), 60, 10)
    calmed(site, wire, "too large headers")


def test_crumbs_of_cookies(pelayan, backend):
    """A byte of HPACK each, joined to one field: what is held grows with the field, not with its square."""
    app = backend(answers="when released")
    site = pelayan.run(
        main="worker_processes 1;", http=f"http2 on; server {{ location / {{ proxy_pass {app.url}; }} }}"
    )
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.request("POST", "/") + h2.indexed_field("cookie", "c" * 34), end=False))
    assert wire.is_alive()
    before = memory_kib(site.workers()[0])
    block = h2.request("POST", "/") + b"\xbe" * 800
    wire.send(*[h2.headers(stream, block, end=False) for stream in range(3, 203, 2)])
    assert wire.is_alive()
    assert SANITIZED or memory_kib(site.workers()[0]) - before < 100 * 300
    app.release()


def test_large_trailers_are_refused(site):
    """A part of them must not pass for all."""
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.request("POST", "/wait"), end=False))
    assert wire.is_alive()
    wire.send(h2.headers(1, b"".join(h2.field(f"x-{i}", "y" * 1000) for i in range(6))))
    assert wire.response(1).status == 400
    assert wire.is_alive()


def test_large_headers_are_refused(site):
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.get("/ok") + h2.field("x", "y" * 3000)), h2.headers(3, h2.get("/ok")))
    assert wire.response(1).status == 400
    assert wire.response(3).status == 200


def test_a_window_that_stays_shut(pelayan):
    """Zero-window stall: the stream ends after send_timeout, the connection goes on."""
    site = pelayan.run(
        http="http2 on; send_timeout 300ms; server { root {dir}/html; location /ok { return 200 ok; } }",
        prepare=lambda site: site.file("html/big", b"x" * 1000000),
    )
    wire = h2.Wire(site, window=0)
    wire.send(h2.headers(1, h2.get("/big")))
    assert wire.response(1).reset == "CANCEL"
    wire.send(h2.settings(window=1000), h2.headers(3, h2.get("/ok")))
    assert wire.response(3).body == b"ok"


def test_a_socket_that_is_not_read(pelayan):
    """The windows are open and the client does not read: memory stays, and send_timeout ends it."""
    site = pelayan.run(
        main="worker_processes 1;",
        http="http2 on; send_timeout 300ms; keepalive_timeout 300ms; server { root {dir}/html; }",
        prepare=lambda site: site.file("html/big", b"x" * 20000000),
    )
    wire = h2.Wire(site, window=(1 << 31) - 1)
    wire.send(h2.window(0, (1 << 30)), *[h2.headers(i, h2.get("/big")) for i in range(1, 41, 2)])
    site.wait_for_log(r"(?s)(/big.*){20}", "logs/access.log")
    assert site.get("/none").status == 404


def test_more_streams_than_allowed(pelayan, backend):
    app = backend(answers="when released")
    site = pelayan.run(
        http=f"http2 on; http2_max_concurrent_streams 4; server {{ location / {{ proxy_pass {app.url}; }} }}"
    )
    wire = h2.Wire(site)
    wire.send(*[h2.headers(i, h2.get("/")) for i in range(1, 11, 2)])
    assert wire.response(9).reset == "REFUSED_STREAM"
    app.wait_until_asked(4)
    app.release()
    assert wire.response(1).status == 200


CONNECTION_ERRORS = {
    "DATA on stream 0": (h2.frame(h2.DATA, 0, 0, b"x"), "PROTOCOL_ERROR"),
    "HEADERS on an even stream": (h2.headers(2, h2.get("/ok")), "PROTOCOL_ERROR"),
    "PUSH_PROMISE": (h2.frame(h2.PUSH, 4, 1, b"\0\0\0\2"), "PROTOCOL_ERROR"),
    "PING of 7 bytes": (h2.frame(h2.PING, 0, 0, b"1234567"), "FRAME_SIZE_ERROR"),
    "SETTINGS of 5 bytes": (h2.frame(h2.SETTINGS, 0, 0, b"12345"), "FRAME_SIZE_ERROR"),
    "a frame of 20000 bytes": (h2.frame(h2.DATA, 0, 1, b"x" * 20000), "FRAME_SIZE_ERROR"),
    "a window beyond 2^31": (h2.window(0, (1 << 31) - 1), "FLOW_CONTROL_ERROR"),
    "broken HPACK": (h2.headers(1, b"\xff\xff\xff\xff\xff\xff"), "COMPRESSION_ERROR"),
    "a lonely CONTINUATION": (h2.frame(h2.CONTINUATION, 4, 1, b""), "PROTOCOL_ERROR"),
    "RST_STREAM of an idle stream": (h2.reset(7), "PROTOCOL_ERROR"),
}


@pytest.mark.parametrize("what", CONNECTION_ERRORS)
def test_errors_of_the_connection(site, what):
    frames, error = CONNECTION_ERRORS[what]
    wire = h2.Wire(site)
    wire.try_send(frames)
    assert wire.read_to_end() == error
    assert site.get("/ok").status == 200


def test_garbage_after_the_preface(site):
    wire = h2.Wire(site, preface=h2.PREFACE + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
    wire.read_to_end()
    assert site.get("/ok").status == 200
