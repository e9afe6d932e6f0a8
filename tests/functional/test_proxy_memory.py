"""Large bodies and slow clients: what waits is bounded."""

import os
import threading
from pathlib import Path

import pytest
from harness import wait
from harness.backend import Answer

PIECE = b"x" * 65536
SANITIZED = "san/" in os.environ.get("PELAYAN_BIN", "")


def resident_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def worker_of(site):
    site.wait_for_log("configuration 1 is served")
    return site.workers()[0]


def sink(wire):
    """Reads a request of any length, and answers how much came."""
    head = wire.read_until(b"\r\n\r\n").lower()
    got = 0
    if b"content-length: " in head:
        left = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        left -= len(wire.raw) - wire.at
        while left > 0:
            data = wire.socket.recv(1 << 20)
            if not data:
                return
            left -= len(data)
            got += len(data)
    else:
        tail = b""
        while not tail.endswith(b"0\r\n\r\n"):
            data = wire.socket.recv(1 << 20)
            if not data:
                return
            tail = (tail + data)[-5:]
            got += len(data)
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_large_upload_streams_through(pelayan, raw_backend, framing):
    app = raw_backend(sink)
    site = pelayan.run(
        http=f"""client_max_body_size 0; server {{ location / {{ proxy_pass {app.url};
            proxy_request_buffering off; }} }}"""
    )
    worker = worker_of(site)
    before = resident_kib(worker)
    count = 500 if SANITIZED else 8000
    with site.connect() as client:
        if framing == "length":
            client.send(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {count * len(PIECE)}\r\n\r\n")
            for _ in range(count):
                client.send(PIECE)
        else:
            client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(count):
                client.send(b"10000\r\n" + PIECE + b"\r\n")
            client.send(b"0\r\n\r\n")
        assert client.read_response().body == b"ok"
    assert SANITIZED or resident_kib(worker) - before < 32 * 1024


@pytest.mark.parametrize("conf", ["", "proxy_buffering off;", "proxy_max_temp_file_size 0;",
                                  "proxy_max_temp_file_size 4m;"])
def test_slow_clients_do_not_fill_the_memory(pelayan, backend, conf):
    """Twenty clients that read nothing of 8 MiB each, and then all of it."""
    body = os.urandom(1 << 20) * 8
    app = backend(answers=Answer(body=body))
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; {conf} }} }}")
    worker = worker_of(site)
    before = resident_kib(worker)
    clients = [site.connect() for _ in range(20)]
    for client in clients:
        client.request("/")
    app.wait_until_received(20)
    for client in clients:
        assert client.read_response().body == body
        client.close()
    assert SANITIZED or resident_kib(worker) - before < 24 * 1024
    assert not list((site.dir / "tmp/proxy").glob("*"))


def test_a_tunnel_whose_client_does_not_read(pelayan, raw_backend):
    """Back-pressure reaches the peer; when the client reads, all arrives."""
    sent = []

    def talk(wire):
        wire.read_until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        for _ in range(500):
            wire.send(PIECE)
            sent.append(1)

    app = raw_backend(talk)
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; }} }}")
    worker = worker_of(site)
    before = resident_kib(worker)
    with site.connect() as client:
        client.upgrade("/", protocol="x")
        steady = [-1, 0]

        def stuck():
            steady[1] = steady[1] + 1 if steady[0] == len(sent) else 0
            steady[0] = len(sent)
            return steady[1] > 20

        wait.until(stuck, "the peer to be held up")
        assert len(sent) < 500
        total = 0
        while data := client.read_some():
            total += len(data)
        assert total == 500 * len(PIECE)
    assert SANITIZED or resident_kib(worker) - before < 2048


def test_many_clients_leave_at_every_point(pelayan, backend):
    """Whatever moment a client chooses to leave or reset: nothing is left of it."""
    app = backend(answers=lambda request: Answer(body=PIECE * 20))
    site = pelayan.run(
        http=f"""server {{ location / {{ proxy_pass {app.url}; }}
            location /s {{ proxy_pass {app.url}; proxy_request_buffering off; proxy_buffering off; }} }}"""
    )
    worker = worker_of(site)
    whole = b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + b"y" * 300000
    before = len(os.listdir(f"/proc/{worker}/fd"))

    def leave(path, at, reset):
        client = site.connect()
        client.send((whole % path)[:at])
        if at > 300000:
            client.read_some()
        (client.reset if reset else client.close)()

    threads = [
        threading.Thread(target=leave, args=(path, at, reset))
        for path in (b"", b"s")
        for at in (1, 10, 40, 60, 70, 1000, 20000, 200000, 300100)
        for reset in (False, True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert site.get("/").status == 200
    site.clients.clear()
    wait.until(
        lambda: len(os.listdir(f"/proc/{worker}/fd")) <= before + 34, "descriptors to be closed"
    )
