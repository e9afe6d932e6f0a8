"""Servers for the program to talk to. What they answer, and when, is the test's to say."""

import contextlib
import os
import shutil
import socket
import tempfile
import threading
from dataclasses import dataclass, field

from . import wait
from .client import BadMessage, Headers, Wire, as_bytes, chunk, pairs_of
from .ports import Port
from .wait import TIMEOUT

REASONS = {200: "OK", 204: "No Content", 206: "Partial Content", 304: "Not Modified"}
GONE = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError, ConnectionRefusedError)


@dataclass
class Answer:
    """One response. An iterable `body` is sent chunked, each piece as it is produced."""

    status: int = 200
    body: object = b""
    headers: object = None  # a dict or a list of pairs
    reason: str = None
    version: str = "HTTP/1.1"
    interim: list = field(default_factory=list)  # [(103, {"Link": "..."})]
    trailers: object = None
    length: int = None  # claims this length instead of the true one
    framing: str = "auto"  # auto, chunked, length, or close: the body ends with the connection
    close: bool = False  # says and does so after this answer
    reset: bool = False  # ends with RST
    raw: bytes = None  # these bytes and nothing else
    echo: bool = False  # after the head: sends back whatever comes, until it ends


def answer_of(value):
    """What a test may write for an Answer: a status, a body, or (status, body[, headers])."""
    if isinstance(value, Answer):
        return value
    if isinstance(value, int):
        return Answer(status=value)
    if isinstance(value, tuple):
        return Answer(*value)
    return Answer(body=value)


class Request:
    """What the program sent."""

    def __init__(self, method, target, version, headers):
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.body = b""
        self.trailers = Headers()
        self.chunked = False
        self.raw = b""  # every byte of it
        self.connection = 0  # which accepted connection, from 1
        self.backend = None

    def header(self, name, default=None):
        return self.headers.get(name, default)

    def __repr__(self):
        return f"<Request {self.method} {self.target} {self.headers.pairs}>"


class Listener:
    """Accepts connections and gives each a thread that runs serve(wire, number)."""

    def __init__(self, unix=False):
        self.port_claim = None if unix else Port()
        self.path = None
        if unix:
            directory = tempfile.mkdtemp(prefix="pelayan-test-")
            os.chmod(directory, 0o755)  # the worker is another user when the suite runs as root
            self.path = f"{directory}/backend.sock"
        self.changed = threading.Condition()
        self.wires = {}  # number -> Wire, while open
        self.connections = 0
        self.errors = []
        self.listening = None
        self.start()

    # -- where it is

    @property
    def port(self):
        return self.port_claim.number

    @property
    def address(self):
        """What `server` in an upstream block takes."""
        return f"unix:{self.path}" if self.path else f"127.0.0.1:{self.port}"

    @property
    def url(self):
        """What proxy_pass takes."""
        return f"http://{self.address}"

    # -- life

    def start(self):
        """Listens, again if it was stopped, at the same address."""
        if self.path:
            self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.listening.bind(self.path)
            os.chmod(self.path, 0o777)
        else:
            self.listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listening.bind(("127.0.0.1", self.port))
        self.listening.listen(1024)
        self.acceptor = threading.Thread(target=self.accept, args=(self.listening,), daemon=True)
        self.acceptor.start()

    def stop(self, reset=False):
        """As a killed process: nobody listens, every connection ends (with `reset`, by RST)."""
        listening, self.listening = self.listening, None
        if listening is not None:
            # close() alone would leave the acceptor, and so the port, alive in accept()
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()
            self.acceptor.join(TIMEOUT)
            if self.path:
                os.unlink(self.path)
        with self.changed:
            self.changed.notify_all()  # who holds an answer lets it go
        self.close_connections(reset)

    def close_connections(self, reset=False):
        with self.changed:
            wires = list(self.wires.values())
        for wire in wires:
            with contextlib.suppress(OSError):
                wire.reset_later = wire.reset_later or reset
                # for a reset only the thread is woken: a FIN must not go out before its RST
                wire.socket.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)

    def finish(self):
        """The end of the test: everything is closed; what went wrong in a thread is raised."""
        self.stop()
        wait.until(lambda: not self.wires, lambda: f"threads of {self.wires} to end")
        if self.port_claim:
            self.port_claim.release()
        if self.path:
            shutil.rmtree(os.path.dirname(self.path), ignore_errors=True)
        if self.errors:
            raise self.errors[0]

    def accept(self, listening):
        while True:
            try:
                accepted, _ = listening.accept()
            except OSError:
                return
            wire = Wire(accepted, timeout=None)
            wire.reset_later = False
            with self.changed:
                self.connections += 1
                number = self.connections
                self.wires[number] = wire
                self.changed.notify_all()
            threading.Thread(target=self.run, args=(wire, number), daemon=True).start()

    def run(self, wire, number):
        try:
            self.serve(wire, number)
        except GONE:
            pass  # the program may leave when it likes; tests look at what it did
        except OSError as error:
            if wire.socket.fileno() >= 0 and self.listening is not None:
                self.errors.append(error)
        except Exception as error:  # raised again by finish()
            self.errors.append(error)
        finally:
            with contextlib.suppress(OSError):
                wire.reset() if wire.reset_later else wire.close()
            with self.changed:
                del self.wires[number]
                self.changed.notify_all()

    # -- waiting

    @property
    def open_connections(self):
        return len(self.wires)

    def wait_for(self, condition, what):
        with self.changed:
            if not self.changed.wait_for(condition, TIMEOUT):
                raise wait.TooLong(f"waited {TIMEOUT:g} s for {what}")

    def wait_for_connections(self, count=1):
        """Until `count` connections have been accepted since the beginning."""
        self.wait_for(lambda: self.connections >= count, f"{count} connections to the backend")

    def wait_until_disconnected(self):
        """Until no connection is open."""
        self.wait_for(lambda: not self.wires, "all connections to the backend to end")


class Backend(Listener):
    """An HTTP/1.1 server.

    `answers` is one of: an Answer (or what answer_of takes); a function from Request to that; a
    list, used up one by one, its last one for ever; or "when released": a plain 200 as soon as
    release() is called.
    """

    def __init__(self, answers="ok", name=None, unix=False, keepalive=True):
        self.answers = list(answers) if isinstance(answers, list) else answers
        self.name = name
        self.keepalive = keepalive  # False: every answer says close; a number: after so many
        self.requests = []
        self.asked = 0  # requests whose head has come, answered or not
        self.released = 0
        self.release_all = False
        super().__init__(unix)

    @property
    def count(self):
        return len(self.requests)

    def wait_until_asked(self, count=1):
        """Until the heads of `count` requests have arrived."""
        self.wait_for(lambda: self.asked >= count, f"request {count} at the backend")

    def wait_until_received(self, count=1):
        """Until `count` requests have arrived whole, bodies included."""
        self.wait_for(lambda: self.count >= count, f"the whole of request {count} at the backend")

    def release(self, count=None):
        """Lets held answers go: `count` of them, or all, those to come too."""
        with self.changed:
            self.released += count or 0
            self.release_all = self.release_all or count is None
            self.changed.notify_all()

    def hold(self):
        """Blocks the calling answer until release(). For answer functions and body generators."""
        with self.changed:
            self.changed.wait_for(
                lambda: self.released > 0 or self.release_all or self.listening is None
            )
            if not self.release_all:
                self.released -= 1
            if self.listening is None:
                raise ConnectionAbortedError("stopped while an answer was held")

    # -- one connection

    def serve(self, wire, number):
        served = 0
        while True:
            request = self.read_request(wire, number)
            if request is None:
                return
            served += 1
            answer = self.answer(request)
            # an answer may be used many times, so what is decided here is not written into it
            last = answer.close or self.keepalive is False
            if self.keepalive not in (True, False):
                last = last or served >= self.keepalive
            stay = self.write(wire, request, answer, last)
            if answer.reset:
                wire.reset_later = True
            if not stay or last or answer.reset:
                return

    def read_request(self, wire, number):
        begin = wire.at
        line = wire.read_until(b"\r\n")
        if not line:
            return None
        parts = line.rstrip(b"\r\n").decode("latin-1").split(" ")
        if len(parts) != 3:
            raise BadMessage(f"no request line: {line!r}")
        request = Request(*parts, wire.read_fields())
        request.connection = number
        request.backend = self
        with self.changed:
            self.asked += 1
            self.changed.notify_all()
        if request.header("Expect", "").lower() == "100-continue":
            wire.send("HTTP/1.1 100 Continue\r\n\r\n")
        coding, length = request.header("Transfer-Encoding"), request.header("Content-Length")
        if coding is not None:
            if coding != "chunked" or length is not None:
                raise BadMessage(f"ambiguous framing towards the backend: {request}")
            request.chunked = True
            request.body = wire.read_chunked(lambda fields: setattr(request, "trailers", fields))
        elif length is not None:
            request.body = wire.read(int(length))
            if len(request.body) < int(length):
                return None  # the client left; the program passed that on
        request.raw = bytes(wire.raw[begin : wire.at])
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
        return request

    def answer(self, request):
        answers = self.answers
        if isinstance(answers, str) and answers == "when released":
            self.hold()
            answers = "released"
        elif isinstance(answers, list):
            with self.changed:
                answers = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer_of(answers(request) if callable(answers) else answers)

    def write(self, wire, request, answer, last):
        """False if the connection cannot be used again."""
        if answer.raw is not None:
            wire.send(answer.raw)
            return True
        for status, headers in answer.interim:
            wire.send(self.head(answer, status, pairs_of(headers)))
        if answer.echo:
            wire.send(self.head(answer, 101, self.fields(request, answer, "none", 0, False)))
            while data := wire.read_some():
                wire.send(data)
            return False
        body = answer.body
        streamed = not isinstance(body, (bytes, bytearray, str))
        framing = answer.framing
        if framing == "auto":
            framing = "chunked" if streamed or answer.trailers else "length"
        pieces = body if streamed else [as_bytes(body)]
        length = 0 if streamed else len(as_bytes(body))
        no_body = request.method == "HEAD" or answer.status in (204, 304)
        fields = self.fields(request, answer, framing, length, last or framing == "close")
        wire.send(self.head(answer, answer.status, fields))
        if not no_body:
            for piece in pieces:
                wire.send(chunk(as_bytes(piece)) if framing == "chunked" else piece)
            if framing == "chunked":
                trailers = "".join(f"{k}: {v}\r\n" for k, v in pairs_of(answer.trailers))
                wire.send("0\r\n" + trailers + "\r\n")
        return framing != "close" and answer.length is None

    def fields(self, request, answer, framing, length, last):
        pairs = pairs_of(answer.headers)
        names = {name.lower() for name, _ in pairs}
        if self.name is not None:
            pairs.append(("X-Backend", self.name))
        if answer.echo and "upgrade" not in names:
            pairs += [("Connection", "Upgrade"), ("Upgrade", request.header("Upgrade", "echo"))]
        if framing == "chunked":
            pairs.append(("Transfer-Encoding", "chunked"))
        elif framing == "length" and "content-length" not in names and answer.status != 204:
            if answer.status != 304 or answer.length is not None:
                pairs.append(("Content-Length", str(length if answer.length is None else answer.length)))
        if last and "connection" not in names:
            pairs.append(("Connection", "close"))
        return pairs

    def head(self, answer, status, pairs):
        reason = answer.reason if answer.reason is not None else REASONS.get(status, "Status")
        lines = [f"{answer.version} {status} {reason}"] + [f"{k}: {v}" for k, v in pairs]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class RawBackend(Listener):
    """Runs `script(wire)` on every connection, or sends fixed bytes after each request head.

    A script has wire.read_until(b"..."), read(n), read_some(), send(b"..."), reset(); when it
    returns the connection is closed. `received` has what each connection sent, by number.
    """

    def __init__(self, script, unix=False):
        self.script = script
        self.received = {}
        super().__init__(unix)

    def serve(self, wire, number):
        self.received[number] = wire.raw
        if callable(self.script):
            self.script(wire)
            return
        wire.read_until(b"\r\n\r\n")
        wire.send(self.script)
