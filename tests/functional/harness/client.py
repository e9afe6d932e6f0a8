"""An HTTP/1.1 client that sends exactly what a test says and is strict about what comes back."""

import json
import socket
import struct

from .wait import TIMEOUT, TooLong


class BadMessage(AssertionError):
    """The bytes received are no well-formed HTTP/1 message."""


class Headers:
    """Fields in their order; names compare without case. h["Name"] is one joined value."""

    def __init__(self, pairs=()):
        self.pairs = list(pairs)

    def all(self, name):
        return [value for key, value in self.pairs if key.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return ", ".join(values) if values else default

    def __getitem__(self, name):
        value = self.get(name)
        if value is None:
            raise KeyError(f"no {name} in {self.pairs}")
        return value

    def __contains__(self, name):
        return bool(self.all(name))

    def __iter__(self):
        return iter(self.pairs)

    def __len__(self):
        return len(self.pairs)

    def __repr__(self):
        return f"Headers({self.pairs})"


def pairs_of(headers):
    """A dict, a list of pairs or None, as a list of pairs."""
    if headers is None:
        return []
    return list(headers.items()) if hasattr(headers, "items") else list(headers)


def as_bytes(value):
    return value.encode() if isinstance(value, str) else bytes(value)


class Wire:
    """Buffered reading and writing on one socket; both ends of a test use it.

    `raw` keeps every byte that was received.
    """

    def __init__(self, sock, timeout=TIMEOUT):
        self.socket = sock
        self.timeout = timeout
        self.raw = bytearray()
        self.at = 0  # first byte of raw not yet consumed
        self.ended = False

    def send(self, data):
        self.socket.settimeout(self.timeout)
        self.socket.sendall(as_bytes(data))

    def fill(self):
        """Receives something; False at the end of the stream."""
        self.socket.settimeout(self.timeout)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            rest = bytes(self.raw[self.at :])[-2000:]
            raise TooLong(f"waited {self.timeout:g} s for more bytes after {rest!r}") from None
        self.raw += data
        self.ended = not data
        return not self.ended

    def take(self, count):
        data = bytes(self.raw[self.at : self.at + count])
        self.at += count
        return data

    def read(self, count):
        """Exactly `count` bytes, or what there was before the end."""
        while len(self.raw) - self.at < count and self.fill():
            pass
        return self.take(min(count, len(self.raw) - self.at))

    def read_some(self):
        """Whatever comes next; b"" at the end."""
        if self.at == len(self.raw):
            self.fill()
        return self.take(len(self.raw) - self.at)

    def read_until(self, mark):
        """Up to and with `mark`, or what there was before the end."""
        start = self.at
        while True:
            found = self.raw.find(mark, start)
            if found >= 0:
                return self.take(found + len(mark) - self.at)
            start = max(self.at, len(self.raw) - len(mark) + 1)
            if not self.fill():
                return self.take(len(self.raw) - self.at)

    def read_all(self):
        """Up to the end of the stream."""
        while self.fill():
            pass
        return self.take(len(self.raw) - self.at)

    def read_all_or_reset(self):
        """Up to the end, whichever way it ends."""
        try:
            return self.read_all()
        except ConnectionResetError:
            return self.take(len(self.raw) - self.at)

    def waits(self):
        """True if nothing has come, not even the end."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            pass
        return False

    def read_line(self):
        line = self.read_until(b"\n")
        if not line.endswith(b"\r\n"):
            raise BadMessage(f"a line that does not end with CRLF: {line!r}")
        return line[:-2]

    def read_fields(self):
        pairs = []
        while True:
            line = self.read_line()
            if not line:
                return Headers(pairs)
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip():
                raise BadMessage(f"no header field: {line!r}")
            pairs.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))

    def read_chunked(self, on_trailers):
        body = b""
        while True:
            line = self.read_line()
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:
                raise BadMessage(f"no chunk size: {line!r}") from None
            if size == 0:
                on_trailers(self.read_fields())
                return body
            piece = self.read(size)
            if len(piece) < size or self.read(2) != b"\r\n":
                raise BadMessage(f"a chunk of {size} bytes was cut off after {len(piece)}")
            body += piece

    def shutdown_write(self):
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with RST instead of FIN."""
        linger = struct.pack("ii", 1, 0)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        finally:
            self.socket.close()


class Response:
    """One response. `interim` holds the 1xx ones before it."""

    def __init__(self, version, status, reason, headers):
        self.version = version
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = b""
        self.trailers = Headers()
        self.interim = []

    def header(self, name, default=None):
        return self.headers.get(name, default)

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<Response {self.status} {self.headers.pairs} {self.body[:200]!r}>"


class Client(Wire):
    """A connection to the program under test."""

    def __init__(self, address, timeout=TIMEOUT, source=None):
        if isinstance(address, str):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(timeout)
            sock.connect(address)
        else:
            sock = socket.create_connection(address, timeout, source)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, timeout)
        self.default_host = "localhost"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def get(self, path, **request):
        """Sends a request and reads its response; the connection stays open."""
        try:
            self.request(path, **request)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it had seen enough of the request, and may have answered
        return self.read_response(method=request.get("method", "GET"))

    def request(self, path, method="GET", headers=None, body=None, host=None, version="HTTP/1.1"):
        """Sends a request. `body` may be bytes, text, or a list that is sent chunked."""
        pairs = pairs_of(headers)
        names = {name.lower() for name, _ in pairs}
        if "host" not in names and host != "":
            pairs.insert(0, ("Host", host or self.default_host))
        payload = b""
        if isinstance(body, (list, tuple)):
            pairs.append(("Transfer-Encoding", "chunked"))
            payload = b"".join(chunk(as_bytes(piece)) for piece in body) + b"0\r\n\r\n"
        elif body is not None:
            payload = as_bytes(body)
            if not names & {"content-length", "transfer-encoding"}:
                pairs.append(("Content-Length", str(len(payload))))
        head = f"{method} {path} {version}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in pairs)
        self.send(head.encode("latin-1") + b"\r\n" + payload)

    def read_head(self):
        line = self.read_line()
        parts = line.split(b" ", 2)
        if len(parts) < 3 or not parts[0].startswith(b"HTTP/1.") or len(parts[1]) != 3:
            raise BadMessage(f"no status line: {line!r}")
        version, status, reason = (part.decode("latin-1") for part in parts)
        return Response(version, int(status), reason, self.read_fields())

    def read_response(self, method="GET"):
        interim = []
        response = self.read_head()
        while 100 <= response.status < 200 and response.status != 101:
            interim.append(response)
            response = self.read_head()
        response.interim = interim
        response.body = self.read_body(response, method)
        return response

    def read_body(self, response, method):
        lengths = response.headers.all("Content-Length")
        coding = response.headers.get("Transfer-Encoding")
        if lengths and coding:
            raise BadMessage(f"both lengths in {response.headers}")
        if method == "HEAD" or response.status in (101, 204, 304):
            return b""
        if coding is not None:
            if coding != "chunked":
                raise BadMessage(f"Transfer-Encoding: {coding}")
            return self.read_chunked(lambda fields: setattr(response, "trailers", fields))
        if lengths:
            body = self.read(int(lengths[0]))
            if len(set(lengths)) > 1 or len(body) < int(lengths[0]):
                raise BadMessage(f"{len(body)} bytes of a body of {lengths}")
            return body
        return self.read_all()

    def upgrade(self, path, protocol="websocket", headers=None, host=None):
        """Asks to switch protocols; after a 101 send() and read() speak the new one."""
        pairs = [("Connection", "Upgrade"), ("Upgrade", protocol)] + pairs_of(headers)
        if protocol == "websocket" and not headers:
            pairs += [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")]
        return self.get(path, headers=pairs, host=host)

    def is_closed(self):
        """True once the other side has closed; waits for that."""
        try:
            return self.read_some() == b""
        except ConnectionResetError:
            return True


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""
