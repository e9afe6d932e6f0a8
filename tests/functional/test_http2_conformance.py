"""What RFC 9113 and RFC 7541 demand of a server, frame by frame, in the order of their sections."""

import struct

import pytest
from harness import h2

UNKNOWN = 0x4B  # a type of frame that nobody has defined


@pytest.fixture
def site(pelayan, backend):
    """`/wait` is answered when its body is complete: until then its stream is open."""
    app = backend(answers=lambda request: (200, request.body))
    return pelayan.run(
        main="worker_processes 1;",
        http=f"""http2 on; server {{ root {{dir}}/html; location /wait {{ proxy_pass {app.url}; }}
            location /ok {{ return 200 ok; }} }}""",
        prepare=lambda site: site.file("html/big", b"x" * 200000),
    )


def get(stream, path="/ok"):
    return h2.headers(stream, h2.get(path))


def post(stream):
    """A request whose body is still to come."""
    return h2.headers(stream, h2.request("POST", "/wait"), end=False)


def setting(number, value):
    return h2.frame(h2.SETTINGS, 0, 0, struct.pack(">HI", number, value))


def goes_on(wire, stream=99):
    wire.send(get(stream))
    return wire.response(stream).body == b"ok"


# ---- what is to be ignored

IGNORED = {
    "4.1 a type nobody knows": h2.frame(UNKNOWN, 0, 0, b"12345678"),
    "4.1 such a one on a stream": post(1) + h2.frame(UNKNOWN, 0xFF, 1, b"12345678"),
    "4.1 flags nobody knows": h2.frame(h2.PING, 0xFE, 0, b"12345678"),
    "4.1 the reserved bit": h2.frame(h2.PING, 0, 1 << 31, b"12345678"),
    "5.1 PRIORITY of an idle stream": h2.frame(h2.PRIORITY, 0, 9, b"\0\0\0\0\x10"),
    "5.1 PRIORITY of a closed stream": post(1) + h2.reset(1) + h2.frame(h2.PRIORITY, 0, 1, b"\0\0\0\0\x10"),
    "5.1 WINDOW_UPDATE after RST_STREAM": post(1) + h2.reset(1) + h2.window(1, 10),
    "5.1.1 a stream older than the last": post(5) + get(3),
    "5.1 RST_STREAM twice": post(1) + h2.reset(1) + h2.reset(1),
    "6.1 DATA that is all padding": post(1) + h2.frame(h2.DATA, h2.PADDED, 1, b"\x03\0\0\0"),
    "6.5.2 a setting nobody knows": setting(0x4B4B, 1),
    "6.7 an answer to a PING that never was": h2.frame(h2.PING, h2.ACK, 0, b"12345678"),
    "9218 PRIORITY_UPDATE of an idle stream": h2.frame(h2.PRIORITY_UPDATE, 0, 0, b"\0\0\0\x0bu=1"),
    "9218 a priority that is none": h2.frame(h2.PRIORITY_UPDATE, 0, 0, b"\0\0\0\x0bu=\xff;;"),
}


@pytest.mark.parametrize("what", IGNORED)
def test_ignored(site, what):
    wire = h2.Wire(site)
    wire.send(IGNORED[what])
    assert goes_on(wire)
    assert wire.goaway is None


# ---- what ends the connection

BAD_SIZE, BAD, BAD_HPACK = "FRAME_SIZE_ERROR", "PROTOCOL_ERROR", "COMPRESSION_ERROR"
CONNECTION = {
    "4.2 HEADERS beyond the largest frame": (h2.frame(h2.HEADERS, 5, 1, h2.get() + b"\0" * 16385), BAD_SIZE),
    "4.3 another frame within a head": (h2.headers(1, h2.get(), whole=False) + h2.window(0, 1), BAD),
    "4.3 CONTINUATION of another stream": (
        h2.headers(1, h2.get(), whole=False) + h2.frame(h2.CONTINUATION, 4, 3), BAD),
    "5.1 DATA of an idle stream": (h2.data(1, b"x"), BAD),
    "5.1 WINDOW_UPDATE of an idle stream": (h2.window(1, 10), BAD),
    "5.5 an extension within a head": (h2.headers(1, h2.get(), whole=False) + h2.frame(UNKNOWN, 0, 1), BAD),
    "6.1 padding longer than its frame": (post(1) + h2.frame(h2.DATA, h2.PADDED, 1, b"\x05abcd"), BAD),
    "6.2 HEADERS of stream 0": (h2.headers(0, h2.get()), BAD),
    "6.2 padding longer than the head": (h2.frame(h2.HEADERS, 5 | h2.PADDED, 1, b"\xff" + h2.get()), BAD),
    "6.3 PRIORITY of 4 bytes": (h2.frame(h2.PRIORITY, 0, 1, b"\0\0\0\0"), BAD_SIZE),
    "6.4 RST_STREAM of stream 0": (h2.reset(0), BAD),
    "6.4 RST_STREAM of 3 bytes": (post(1) + h2.frame(h2.RST_STREAM, 0, 1, b"\0\0\0"), BAD_SIZE),
    "6.5 an acknowledgement with settings": (h2.frame(h2.SETTINGS, h2.ACK, 0, b"\0" * 6), BAD_SIZE),
    "6.5 SETTINGS of a stream": (h2.frame(h2.SETTINGS, 0, 1), BAD),
    "6.5.2 ENABLE_PUSH of 2": (setting(2, 2), BAD),
    "6.5.2 INITIAL_WINDOW_SIZE of 2^31": (setting(4, 1 << 31), "FLOW_CONTROL_ERROR"),
    "6.5.2 MAX_FRAME_SIZE of 16383": (setting(5, 16383), BAD),
    "6.5.2 MAX_FRAME_SIZE of 2^24": (setting(5, 1 << 24), BAD),
    "6.7 PING of a stream": (h2.frame(h2.PING, 0, 1, b"12345678"), BAD),
    "6.8 GOAWAY of a stream": (h2.frame(h2.GOAWAY, 0, 1, b"\0" * 8), BAD),
    "6.8 GOAWAY of 7 bytes": (h2.frame(h2.GOAWAY, 0, 0, b"\0" * 7), BAD_SIZE),
    "6.9 WINDOW_UPDATE of 0 bytes more": (h2.window(0, 0), BAD),
    "6.9 WINDOW_UPDATE of 3 bytes": (h2.frame(h2.WINDOW, 0, 0, b"\0\0\1"), BAD_SIZE),
    "6.10 CONTINUATION after the head's end": (post(1) + h2.frame(h2.CONTINUATION, 4, 1), BAD),
    "6.10 CONTINUATION of stream 0": (h2.headers(1, h2.get(), whole=False) + h2.frame(h2.CONTINUATION, 4, 0), BAD),
    "9218 PRIORITY_UPDATE of a stream": (h2.frame(h2.PRIORITY_UPDATE, 0, 1, b"\0\0\0\1u=1"), BAD),
    "HPACK: index 0": (h2.headers(1, b"\x80"), BAD_HPACK),
    "HPACK: an index beyond the table": (h2.headers(1, h2.get() + b"\xff\x00"), BAD_HPACK),
    "HPACK: a table larger than we allow": (h2.headers(1, h2.integer(65536, 5, 0x20) + h2.get()), BAD_HPACK),
    "HPACK: a change of the table after a field": (h2.headers(1, h2.get() + h2.integer(0, 5, 0x20)), BAD_HPACK),
    "HPACK: Huffman's end of text within": (h2.headers(1, b"\0\x01x\x84\xff\xff\xff\xff"), BAD_HPACK),
    "HPACK: Huffman's padding of 8 bits": (h2.headers(1, b"\0\x01x\x82\x1f\xff"), BAD_HPACK),
    "HPACK: a head that ends within a field": (h2.headers(1, b"\0\x05abc"), BAD_HPACK),
}


@pytest.mark.parametrize("what", CONNECTION)
def test_ends_the_connection(site, what):
    frames, error = CONNECTION[what]
    wire = h2.Wire(site)
    wire.try_send(frames)
    assert wire.read_to_end() == error
    assert site.get("/ok").status == 200


# ---- what ends a stream, or at the sender's choice the connection

STREAM = {
    "5.1 DATA after END_STREAM": (get(1, "/big") + h2.data(1, b"x"), "STREAM_CLOSED"),
    "5.1 HEADERS after END_STREAM": (get(1, "/big") + get(1), "STREAM_CLOSED"),
    "6.9 WINDOW_UPDATE of 0 bytes more": (post(1) + h2.window(1, 0), BAD),
    "6.9.1 a window beyond 2^31": (post(1) + h2.window(1, (1 << 31) - 1) + h2.window(1, 1), "FLOW_CONTROL_ERROR"),
    "6.9.2 settings that make one": (
        post(1) + h2.window(1, (1 << 31) - 1) + h2.settings(window=100), "FLOW_CONTROL_ERROR"),
    "8.1 a second head without an end": (post(1) + h2.headers(1, h2.field("x", "1"), end=False), BAD),
    "8.1 a pseudo field in trailers": (post(1) + h2.headers(1, h2.field(":path", "/")), BAD),
    "8.2.1 a field whose name has a space": (h2.headers(1, h2.get() + h2.field("a b", "1")), BAD),
    "8.2.1 a field with a line feed": (h2.headers(1, h2.get() + h2.field("a", "1\n2")), BAD),
    "8.3 a pseudo field of answers": (h2.headers(1, h2.get() + h2.field(":status", "200")), BAD),
    "8.3.1 an empty path": (h2.headers(1, h2.get("")), BAD),
    "8.3.1 no method": (h2.headers(1, h2.field(":scheme", "http") + h2.field(":path", "/")), BAD),
    "8.3.1 no scheme": (h2.headers(1, h2.field(":method", "GET") + h2.field(":path", "/")), BAD),
    "8.3.1 two paths": (h2.headers(1, h2.field(":path", "/") + h2.get()), BAD),
    "8.3.1 two schemes": (h2.headers(1, h2.field(":scheme", "http") + h2.get()), BAD),
}


@pytest.mark.parametrize("what", STREAM)
def test_ends_the_stream(site, what):
    frames, error = STREAM[what]
    wire = h2.Wire(site, window=0)
    wire.try_send(frames)
    if wire.response(1).reset is None:
        assert wire.goaway == error
    else:
        assert wire.answers[1].reset == error
        wire.send(h2.settings(window=65535))
        assert goes_on(wire)


@pytest.mark.parametrize("preread", ["64k", "1m"])
def test_5_1_what_was_on_its_way_to_a_stream_we_reset(pelayan, preread):
    """Bodies nobody waited for, as much of them as their windows allow: no misbehaviour."""
    site = pelayan.run(
        main="worker_processes 1;",
        http=f"http2 on; http2_body_preread_size {preread}; server {{ return 200 ok; }}",
    )
    wire = h2.Wire(site)
    wire.until(lambda: wire.settings)
    body = b"x" * wire.settings[4]
    pieces = [body[at : at + 16384] for at in range(0, len(body), 16384)]
    for stream in range(1, 21, 2):
        wire.send(h2.headers(stream, h2.request("POST", "/", content_length=str(len(body) + 1)), end=False))
        assert wire.response(stream).body == b"ok"
        assert wire.try_send(*[h2.data(stream, piece) for piece in pieces])
    assert goes_on(wire)


# ---- what is to be done


def test_6_5_3_settings_hold_from_their_acknowledgement(site):
    wire = h2.Wire(site, window=10)
    wire.send(get(1, "/big"))
    wire.until(lambda: len(wire.answers.get(1, h2.Answer()).body) == 10)
    wire.send(h2.settings(window=30, frame=16384 + 7))
    wire.until(lambda: len(wire.answers[1].body) == 30)
    acks = [at for at, f in enumerate(wire.log) if f[:2] == (h2.SETTINGS, h2.ACK)]
    data = [at for at, f in enumerate(wire.log) if f[0] == h2.DATA]
    assert len(acks) == 2 and acks[1] < data[1]


def test_6_7_a_ping_is_answered_with_its_bytes(site):
    wire = h2.Wire(site)
    wire.send(h2.frame(h2.PING, 0, 0, b"\x00abc\xff\n12"))
    assert wire.until(lambda: (h2.PING, h2.ACK, 0, b"\x00abc\xff\n12") in wire.log)


def test_6_9_2_a_window_below_nothing(site):
    """A smaller INITIAL_WINDOW_SIZE takes away what was sent already: nothing comes before it is above zero."""
    wire = h2.Wire(site, window=1000)
    wire.send(get(1, "/big"))
    wire.until(lambda: len(wire.answers.get(1, h2.Answer()).body) == 1000)
    wire.send(h2.settings(window=400), h2.window(1, 600))
    assert wire.is_alive()
    assert len(wire.answers[1].body) == 1000
    wire.send(h2.window(1, 1))
    wire.until(lambda: len(wire.answers[1].body) == 1001)


def test_6_9_the_window_of_the_connection_is_kept(site):
    wire = h2.Wire(site, window=1 << 20)
    wire.send(*[get(stream, "/big") for stream in (1, 3, 5)])

    def received():
        return sum(len(answer.body) for answer in wire.answers.values())

    wire.until(lambda: received() == 65535)
    assert wire.is_alive()
    assert received() == 65535
    wire.send(h2.window(0, 1 << 20))
    assert [len(wire.response(stream).body) for stream in (1, 3, 5)] == [200000] * 3


@pytest.mark.parametrize("size", [16384, 65536])
def test_4_2_frames_are_no_larger_than_allowed(site, size):
    wire = h2.Wire(site, window=1 << 20, frame=size)
    wire.send(h2.window(0, 1 << 20), get(1, "/big"))
    assert len(wire.response(1).body) == 200000
    assert max(wire.answers[1].pieces) <= size


def test_6_10_a_head_in_many_pieces(site):
    wire = h2.Wire(site)
    block = h2.get("/ok") + h2.field("x", "y" * 100)
    wire.send(h2.headers(1, block[:1], whole=False))
    wire.send(*[h2.frame(h2.CONTINUATION, 0, 1, block[at : at + 30]) for at in range(1, 121, 30)])
    wire.send(h2.frame(h2.CONTINUATION, 4, 1, block[121:]))
    assert wire.response(1).body == b"ok"


def test_6_2_padding_and_priority_in_a_head(site):
    wire = h2.Wire(site)
    block = b"\x07" + b"\0\0\0\0\x10" + h2.get("/ok") + b"\0" * 7
    wire.send(h2.frame(h2.HEADERS, h2.END_STREAM | h2.END_HEADERS | h2.PADDED | h2.WITH_PRIORITY, 1, block))
    assert wire.response(1).body == b"ok"


def test_6_8_after_the_clients_goaway_what_runs_is_answered(site):
    wire = h2.Wire(site)
    wire.send(post(1), h2.frame(h2.GOAWAY, 0, 0, b"\0" * 8), h2.data(1, b"the body", end=True))
    assert wire.response(1).body == b"the body"
    wire.read_to_end()


def test_6_9_padding_counts_for_the_windows(site):
    """Many times the window, of which much is padding: all of it is given back."""
    wire = h2.Wire(site)
    wire.until(lambda: wire.settings)
    wire.send(post(1))
    room, frames, size = wire.settings[4], 64, 16384

    def credit():
        return sum(int.from_bytes(f[3], "big") for f in wire.log if f[0] == h2.WINDOW and f[2] == 1)

    for sent in range(0, frames * size, size):
        wire.until(lambda sent=sent: room + credit() - sent >= size)
        wire.send(h2.frame(h2.DATA, h2.PADDED, 1, b"\xff" + b"x" * (size - 256) + b"\0" * 255))
    wire.send(h2.window(0, 1 << 24), h2.window(1, 1 << 24), h2.data(1, b"", end=True))
    assert len(wire.response(1).body) == frames * (size - 256)
