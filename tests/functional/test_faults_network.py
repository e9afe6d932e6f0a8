"""Peers that stop, vanish, or break off in the middle; name servers that fail, lie and stall."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from harness import wait
from harness.backend import Answer
from harness.ports import Port
from harness.process import InNamespaces, allowed, descriptors, freeze, worker_of

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"real")
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


def test_a_backend_that_is_stopped(pelayan, backend):
    """SIGSTOP: its kernel still accepts. Requests go to the other one after the time-out, to both
    again when it goes on."""
    other, port = backend(name="other"), Port()
    process = subprocess.Popen([sys.executable, "-c", SERVER, "127.0.0.1", str(port.number)])
    try:
        site = pelayan.run(
            main="worker_processes 1;",
            http=f"""upstream app {{ server 127.0.0.1:{port.number} max_fails=1 fail_timeout=1s;
                    server {other.address}; }}
                proxy_read_timeout 500ms; proxy_connect_timeout 500ms;
                server {{ location / {{ proxy_pass http://app; }} }}""",
        )

        def texts(count):
            return {site.get("/").text for _ in range(count)}

        wait.until(lambda: texts(4) == {"real", "ok"}, "both backends")
        freeze(process.pid)
        for _ in range(6):
            assert site.get("/").text == "ok"
        os.kill(process.pid, signal.SIGCONT)
        wait.until(lambda: "real" in texts(2), "its return")
    finally:
        process.kill()
        process.wait()
        port.release()


# ---- a black hole: packets vanish, no FIN, no RST

NAMESPACES = pytest.mark.skipif(
    not allowed("sh", "-c", "unshare -n true && ip -V"), reason="network namespaces are not allowed here"
)


@pytest.fixture
def networks():
    """Two network namespaces with a cable between them: (near, far), addresses 10.9.0.1 and .2."""
    near, far = (f"pelayan-{os.getpid()}-{name}" for name in ("near", "far"))

    def ip(*words):
        subprocess.run(["ip", *words], check=True, capture_output=True)

    for name in (near, far):
        ip("netns", "add", name)
    try:
        ip("-n", near, "link", "add", "near0", "type", "veth", "peer", "name", "far0", "netns", far)
        for name, link, address in ((near, "near0", "10.9.0.1/24"), (far, "far0", "10.9.0.2/24")):
            ip("-n", name, "address", "add", address, "dev", link)
            ip("-n", name, "link", "set", link, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield near, far
    finally:
        for name in (near, far):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


@NAMESPACES
def test_a_peer_in_a_black_hole(pelayan, networks):
    """The cable is cut under a connection that was kept: the request goes to the next peer after the
    time-out, and when the cable is mended the peer is used again."""
    near, far = networks
    enter = ["ip", "netns", "exec"]
    peers = [
        subprocess.Popen([*enter, far, sys.executable, "-c", SERVER, "10.9.0.2", "8000"]),
        subprocess.Popen([*enter, near, sys.executable, "-c", SERVER.replace("real", "next"), "127.0.0.1", "8000"]),
    ]
    try:
        with InNamespaces(*enter, near):
            site = pelayan.run(
                main="worker_processes 1;",
                http="""upstream app { server 10.9.0.2:8000 max_fails=1 fail_timeout=1s;
                        server 127.0.0.1:8000 backup; keepalive 4; }
                    proxy_connect_timeout 500ms; proxy_read_timeout 500ms;
                    server { listen unix:{dir}/web.sock; location / { proxy_pass http://app; } }""",
            )
        path = str(site.dir / "web.sock")
        site.wait_for_log("configuration 1 is served")

        def text():
            return site.get("/", port=path).text

        wait.until(lambda: text() == "real", "the far peer")
        cut = ["ip", "-n", far, "link", "set", "far0"]
        subprocess.run([*cut, "down"], check=True)
        for _ in range(5):
            assert text() == "next"
        subprocess.run([*cut, "up"], check=True)
        wait.until(lambda: text() == "real", "the far peer again")
    finally:
        for peer in peers:
            peer.kill()
            peer.wait()


# ---- ends in every phase

CLIENT_PHASES = {
    "nothing sent": b"",
    "in the line": b"GET /slow HT",
    "in the head": b"GET /slow HTTP/1.1\r\nHost: a\r\nX-",
    "behind the head": b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n",
    "in a body": b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
    "in a streamed body": b"POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
    "in a chunk": b"POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
    "in a large answer": b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
    "in pipelined requests": b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n" * 20,
    "in a tunnel": b"GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc",
}


def client_faults(request):
    if request.target == "/tunnel":
        return Answer(status=101, echo=True)
    if request.target == "/large":
        return b"x" * 3_000_000
    time.sleep(0.05)
    return "slow"


@pytest.mark.parametrize("how", ["reset", "close", "half-close"])
def test_clients_that_end_in_every_phase(pelayan, backend, how):
    """Nothing is left of them, and nobody else notices."""
    app = backend(answers=client_faults)
    site = pelayan.run(
        main="worker_processes 1;",
        http=f"""client_header_timeout 2s; client_body_timeout 2s; send_timeout 2s;
            proxy_read_timeout 2s; proxy_send_timeout 2s;
            server {{ location / {{ proxy_pass {app.url}; }}
            location /stream {{ proxy_pass {app.url}; proxy_request_buffering off; }}
            location /status {{ stub_status; }} }}""",
    )
    worker = worker_of(site)
    site.get("/slow")
    before = descriptors(worker)
    for phase, data in CLIENT_PHASES.items():
        for _ in range(5):
            client = site.connect()
            client.send(data)
            if "large" in phase or "tunnel" in phase:
                client.read_until(b"\r\n\r\n")
            if how == "reset":
                client.reset()
            elif how == "close":
                client.close()
            else:
                client.shutdown_write()
        assert site.get("/slow").text == "slow", phase
    if how == "half-close":
        for client in site.clients:
            client.close()
    wait.until(
        lambda: "Active connections: 1 " in site.get("/status").text,
        lambda: f"the end of all connections: {site.get('/status').text}",
    )
    wait.until(lambda: descriptors(worker) <= before + 8, lambda: f"{descriptors(worker)} of {before}")
    assert site.workers() == [worker]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
BACKEND_PHASES = {
    "before the request": (None, {502}),
    "behind the request": (b"", {502}),
    "in the status line": (b"HTTP/1.1 20", {502}),
    "in the head": (b"HTTP/1.1 200 OK\r\nContent-Le", {502}),
    "behind an interim answer": (b"HTTP/1.1 103 Early Hints\r\n\r\n", {502}),
    "behind the head": (HEAD, {200, 502}),
    "in the body": (HEAD + b"x" * 50, {200}),
    "in a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", {200}),
    "behind the body": (HEAD + b"x" * 100, {200}),
}


@pytest.mark.parametrize("how", ["reset", "close", "half-close"])
@pytest.mark.parametrize("phase", BACKEND_PHASES)
def test_backends_that_end_in_every_phase(pelayan, raw_backend, phase, how):
    """502 before the head; an answer that ends early can be told from a whole one."""
    sent, statuses = BACKEND_PHASES[phase]
    released = threading.Event()

    def script(wire):
        if sent is not None:
            wire.read_until(b"\r\n\r\n")
            wire.send(sent)
        if how == "reset":
            wire.reset()
        elif how == "half-close":
            wire.shutdown_write()
            released.wait(wait.TIMEOUT)

    app = raw_backend(script)
    site = pelayan.run(
        main="worker_processes 1;",
        http=f"""proxy_read_timeout 2s; server {{ location = /good {{ return 200 good; }}
            location / {{ proxy_pass {app.url}; proxy_next_upstream off; }} }}""",
    )
    worker_of(site)
    for _ in range(3):
        raw = site.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        status = int(re.findall(rb"^HTTP/1.1 (\d+)", raw, re.M)[-1])
        # a reset may overtake what was sent before it
        assert status in statuses or (how == "reset" and status == 502), raw[:200]
        body = raw.partition(b"\r\n\r\n")[2]
        if status == 200 and phase != "behind the body":
            assert len(body) < 100 and b"0\r\n\r\n" not in body
    released.set()
    assert site.get("/good").text == "good"


# ---- name servers


class NameServer:
    """Answers questions over UDP as `answer(question, question_end)` says: bytes, or None."""

    def __init__(self, answer):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.answer = answer
        self.asked = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                data, sender = self.socket.recvfrom(512)
                self.asked += 1
                reply = self.answer(data, data.index(b"\0", 12) + 5)
                if reply is not None:
                    self.socket.sendto(reply, sender)
            except OSError:
                return


def record(address=b"\x7f\0\0\1", name=b"\xc0\x0c", ttl=60):
    return name + b"\0\1\0\1" + ttl.to_bytes(4, "big") + b"\0\4" + address


def reply(data, end, records=(), flags=b"\x81\x80", number=None):
    """An answer to an A question with these records; to any other none."""
    if data[end - 3] != 1:
        records = ()
    head = (number or data[:2]) + flags + b"\0\1" + len(records).to_bytes(2, "big") + b"\0" * 4
    return head + data[12:end] + b"".join(records)


LIES = {
    "says no such name": lambda data, end: reply(data, end, flags=b"\x81\x83"),
    "fails": lambda data, end: reply(data, end, flags=b"\x81\x82"),
    "refuses": lambda data, end: reply(data, end, flags=b"\x81\x85"),
    "has no address": lambda data, end: reply(data, end),
    "stalls": lambda data, end: None,
    "answers another question": lambda data, end: reply(data, end, [record()], number=b"\x12\x34"),
    "answers for another name": lambda data, end: data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
    + b"\4evil\4test\0\0\1\0\1" + record(),
    "points a name at itself": lambda data, end: data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + data[12:end]
    + b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\2\xc0\x0c",
    "compresses in circles": lambda data, end: reply(data, end, [record(name=b"\xc0" + bytes([end]))]),
    "is cut off": lambda data, end: reply(data, end, [record()])[:-3],
    "counts wrongly": lambda data, end: reply(data, end, [record()])[:6] + b"\xff\xff" + reply(data, end)[8:],
    "sends noise": lambda data, end: data[:2] + random.Random(1).randbytes(300),
    "sends one byte": lambda data, end: b"x",
    "sends an answer of four addresses bytes": lambda data, end: reply(
        data, end, [b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\x10" + b"\1" * 16]
    ),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_name_servers_that_fail_lie_and_stall(pelayan, backend, lie):
    """502 within resolver_timeout; names that were found before, and all else, are served."""
    app, names = backend(), NameServer(LIES[lie])
    try:
        site = pelayan.run(
            http=f"""resolver 127.0.0.1:{names.port} ipv6=off valid=1s; resolver_timeout 2s;
                server {{ location /good {{ return 200 good; }}
                location / {{ set $to name.test; proxy_pass http://$to:{app.port}; }} }}"""
        )
        answers = [site.get_later("/") for _ in range(5)]
        assert site.get("/good").text == "good"
        assert {answer.result().status for answer in answers} <= {502, 504}
        assert app.count == 0 and names.asked > 0
        names.answer = lambda data, end: reply(data, end, [record()])
        wait.until(lambda: site.get("/").status == 200, "the name to be found")
    finally:
        names.socket.close()


def test_a_name_that_was_found_is_kept_while_its_server_is_gone(pelayan, backend):
    app = backend()
    names = NameServer(lambda data, end: reply(data, end, [record(ttl=1)]))
    site = pelayan.run(
        http=f"""resolver 127.0.0.1:{names.port} ipv6=off; resolver_timeout 1s;
            upstream app {{ zone z 64k; resolver 127.0.0.1:{names.port} ipv6=off; server name.test:{app.port} resolve; }}
            server {{ location / {{ proxy_pass http://app; }} }}"""
    )
    wait.until(lambda: site.get("/").status == 200, "the name to be found")
    names.socket.close()
    begin = time.monotonic()
    while time.monotonic() - begin < 3:
        assert site.get("/").status == 200
