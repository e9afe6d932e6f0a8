"""HTTP/2 byte by byte: frames as a test wants them, also such as no library would send.

    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.get("/")))
    assert wire.response(1).status == 200
"""

import socket
import struct

from .backend import Listener
from .wait import TIMEOUT

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
PRIORITY_UPDATE = 16
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32
ERRORS = {
    0: "NO_ERROR", 1: "PROTOCOL_ERROR", 2: "INTERNAL_ERROR", 3: "FLOW_CONTROL_ERROR",
    5: "STREAM_CLOSED", 6: "FRAME_SIZE_ERROR", 7: "REFUSED_STREAM", 8: "CANCEL",
    9: "COMPRESSION_ERROR", 11: "ENHANCE_YOUR_CALM",
}  # fmt: skip
# What nghttp2 makes of a status: an entry of HPACK's static table, or a literal.
STATUS_BYTES = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def integer(value, prefix, first=0):
    """HPACK's integer (RFC 7541, 5.1)."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytearray([first | most]), value - most
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes(out + bytes([value]))


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return integer(len(value), 7) + value


def field(name, value):
    """A literal that is not put into the table."""
    return b"\x00" + text(name) + text(value)


def indexed_field(name, value):
    """A literal that is: index 62 afterwards."""
    return b"\x40" + text(name) + text(value)


def request(method, path, authority="localhost", scheme="http", **more):
    out = field(":method", method) + field(":scheme", scheme)
    if path is not None:
        out += field(":path", path)
    if authority is not None:
        out += field(":authority", authority)
    return out + b"".join(field(name.replace("_", "-"), value) for name, value in more.items())


def get(path="/", **more):
    return request("GET", path, **more)


def headers(stream, block, end=True, whole=True):
    flags = (END_STREAM if end else 0) | (END_HEADERS if whole else 0)
    return frame(HEADERS, flags, stream, block)


def data(stream, payload=b"", end=False):
    return frame(DATA, END_STREAM if end else 0, stream, payload)


def settings(**values):
    ids = {"table": 1, "push": 2, "streams": 3, "window": 4, "frame": 5, "list": 6}
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", ids[k], v) for k, v in values.items()))


def reset(stream, code=8):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def window(stream, bytes_more):
    return frame(WINDOW, 0, stream, struct.pack(">I", bytes_more))


class Answer:
    """What came on one stream."""

    def __init__(self):
        self.status = None
        self.body = b""
        self.pieces = []  # lengths of DATA frames
        self.reset = None
        self.ended = False


class Frames:
    """A connection. Frames are read when something is waited for; PING is answered, SETTINGS are
    acknowledged; `log` has (kind, flags, stream, payload) of everything that came."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""
        self.log = []
        self.answers = {}
        self.goaway = None
        self.last_stream = None
        self.settings = {}
        self.mute = False  # in the midst of a head no other frame may be sent

    def send(self, *frames):
        self.sock.sendall(b"".join(frames))

    def try_send(self, *frames):
        """False: the other side has closed already."""
        if self.mute:
            return False
        try:
            self.send(*frames)
            return True
        except OSError:
            return False

    def close(self):
        self.sock.close()

    def read_frame(self):
        """None at the end."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not more:
                return None
            self.buffer += more
        size = int.from_bytes(self.buffer[:3], "big")
        kind, flags = self.buffer[3], self.buffer[4]
        stream = int.from_bytes(self.buffer[5:9], "big")
        payload, self.buffer = self.buffer[9 : 9 + size], self.buffer[9 + size :]
        self.log.append((kind, flags, stream, payload))
        self.note(kind, flags, stream, payload)
        return kind, flags, stream, payload

    def note(self, kind, flags, stream, payload):
        answer = self.answers.setdefault(stream, Answer())
        if kind == HEADERS and answer.status is None:
            answer.status = STATUS_BYTES.get(payload[0])
            if payload[0] == 0x48:  # literal :status, Huffman or not
                answer.status = payload[2:5].decode() if payload[1] == 3 else "?"
        if kind == DATA:
            answer.body += payload
            answer.pieces.append(len(payload))
        if kind == RST_STREAM:
            answer.reset = ERRORS.get(int.from_bytes(payload, "big"))
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            answer.ended = True
        if kind == GOAWAY:
            self.last_stream = int.from_bytes(payload[:4], "big")
            self.goaway = ERRORS.get(int.from_bytes(payload[4:8], "big"))
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[at : at + 6])
                self.settings[name] = value
            self.try_send(frame(SETTINGS, ACK, 0))
        if kind == PING and not flags & ACK:
            self.try_send(frame(PING, ACK, 0, payload))

    def until(self, condition):
        """Reads until it is true; False: the connection ended before."""
        while not condition():
            if self.read_frame() is None:
                return False
        return True

    def response(self, stream):
        answer = self.answers.setdefault(stream, Answer())
        self.until(lambda: answer.ended or answer.reset is not None)
        return answer

    def read_to_end(self):
        """Everything until the other side closes; returns the GOAWAY's error."""
        while self.read_frame() is not None:
            pass
        return self.goaway

    def is_alive(self):
        """A PING is answered."""
        token = struct.pack(">Q", len(self.log))
        if not self.try_send(frame(PING, 0, 0, token)):
            return False
        return self.until(lambda: any(f[0] == PING and f[3] == token for f in self.log[-8:]))


class Wire(Frames):
    """A client's connection to a site."""

    def __init__(self, site, preface=PREFACE, port="port", **values):
        super().__init__(socket.create_connection(site.address_of(port), TIMEOUT))
        self.sock.settimeout(TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(preface + (settings(**values) if preface else b""))
        site.clients.append(self)


class Peer(Frames):
    """A backend's side of a connection. Iterating gives the ids of requests as their heads come."""

    def __init__(self, sock, number, before=None):
        super().__init__(sock)
        self.number = number
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while len(self.buffer) < len(PREFACE):
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionResetError("no preface came")
            self.buffer += more
        assert self.buffer.startswith(PREFACE), self.buffer[:100]
        self.buffer = self.buffer[len(PREFACE) :]
        self.send(settings() if before is None else before)

    def __iter__(self):
        while (frame := self.read_frame()) is not None:
            if frame[0] == HEADERS:
                yield frame[2]

    def answer(self, stream, body=b"ok", status="200", *fields):
        body = body.encode() if isinstance(body, str) else body
        block = field(":status", status) + b"".join(fields)
        self.send(headers(stream, block, end=not body), data(stream, body, end=True) if body else b"")


class H2Backend(Listener):
    """An HTTP/2 server in clear text that does with every connection what `script(peer)` does.
    `before`: frames it begins with instead of empty SETTINGS."""

    def __init__(self, script, before=None):
        self.script = script
        self.before = before
        self.peers = []
        super().__init__()

    def serve(self, wire, number):
        peer = Peer(wire.socket, number, self.before)
        self.peers.append(peer)
        self.script(peer)
