#!/usr/bin/python3
"""What a polite client notices of each attack: its p99 with the attack, and without.

Prints a table; asserts nothing, as times are the machine's. ATTACK_SECONDS (5) for each. The
attackers run in processes of their own, at a lower priority: what is measured is what they do to
the server, not to the processor they share with the client."""

import multiprocessing
import os
import socket
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/functional"))
os.environ.setdefault("PELAYAN_BIN", str(ROOT / "build/pelayan"))

from harness import h2  # noqa: E402
from harness.backend import Backend  # noqa: E402
from harness.process import memory_kib  # noqa: E402
from harness.site import Site  # noqa: E402

SECONDS = float(os.environ.get("ATTACK_SECONDS", "5"))
PROCESSES = 2
CLIENTS = 200  # of each process, where an attack is many slow ones


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def crowd(port, begin, drip):
    """Many connections that send `begin`, then `drip` now and then; who is let go comes again."""
    clients = []
    while True:
        while len(clients) < CLIENTS:
            client = connect(port)
            client.sendall(begin)
            clients.append(client)
        for client in list(clients):
            try:
                client.send(drip)
            except OSError:
                clients.remove(client)
        time.sleep(0.05)


def slow_heads(port):
    crowd(port, b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n")


def slow_bodies(port):
    crowd(port, b"POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", b"x")


def slow_readers(port):
    crowd(port, b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n", b"")


def flood(port):
    """Connections as fast as they can be made."""
    clients = []
    while True:
        clients.append(connect(port))
        if len(clients) > 500:
            clients.pop(0).close()


def again(port, request):
    """One request after the other on kept connections, all answers thrown away."""
    while True:
        with connect(port) as client:
            try:
                for _ in range(100):
                    client.sendall(request)
                    client.recv(1 << 20)
            except OSError:
                pass


def range_bombs(port):
    ranges = ",".join(f"{i}-" for i in range(500))
    again(port, f"GET /big HTTP/1.1\r\nHost: a\r\nRange: bytes={ranges}\r\n\r\n".encode())


def tiny_chunks(port):
    head = b"POST /app HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    again(port, head + b"1\r\nx\r\n" * 10000 + b"0\r\n\r\n")


def regexes(port):
    again(port, b"GET /re/" + b"a" * 200 + b"! HTTP/1.1\r\nHost: a\r\n\r\n")


def streams(port):
    """HTTP/2 connections that open streams and reset them; who is let go comes again."""
    while True:
        with connect(port) as client:
            try:
                client.sendall(h2.PREFACE + h2.settings())
                for stream in range(1, 2001, 2):
                    client.sendall(h2.headers(stream, h2.get("/good")) + h2.reset(stream))
            except OSError:
                pass


def nothing(port):
    """Only the processor is busy: what the others are to be compared with."""
    while True:
        pass


ATTACKS = [nothing, slow_heads, slow_bodies, slow_readers, flood, streams, range_bombs, tiny_chunks, regexes]


def p99_ms(site):
    """Of a client that keeps its connection, over SECONDS."""
    times, end = [], time.monotonic() + SECONDS
    while time.monotonic() < end:
        client = site.connect()
        for _ in range(50):
            begin = time.monotonic()
            answer = client.get("/good")
            times.append(time.monotonic() - begin)
            assert answer.text == "good", answer
        client.close()
        site.clients.remove(client)
    times.sort()
    return times[len(times) * 99 // 100] * 1000, len(times)


def under(attack, site):
    def run():
        os.nice(10)
        attack(site.port)

    attackers = [multiprocessing.Process(target=run, daemon=True) for _ in range(PROCESSES)]
    for attacker in attackers:
        attacker.start()
    try:
        time.sleep(1)
        return p99_ms(site)
    finally:
        for attacker in attackers:
            attacker.kill()
            attacker.join()


def main():
    backend = Backend(lambda request: "backend")
    site = Site(
        main="worker_processes 2;",
        events="worker_connections 1000;",
        http=f"""http2 on; client_header_timeout 5s; client_body_timeout 5s; send_timeout 5s;
            error_log /dev/null; server {{ root {{dir}}/html; location = /good {{ return 200 good; }}
            location /app {{ proxy_pass http://{backend.address}; }}
            location ~ "^/re/(a+)+$" {{ return 403; }} }}""",
    )
    site.file("html/big", bytes(10_000_000))
    try:
        site.start()
        site.get("/good")
        print("attack         p99 without      p99 with  ratio  requests      memory")
        for attack in ATTACKS:
            normal, _ = p99_ms(site)
            attacked, count = under(attack, site)
            memory = memory_kib(site.workers()[0])
            print(f"{attack.__name__:14} {normal:9.2f} ms {attacked:9.2f} ms {attacked / normal:6.2f}"
                  f" {count:9} {memory:7} KiB", flush=True)  # fmt: skip
    finally:
        site.stop()
        site.remove()
        backend.finish()


if __name__ == "__main__":
    main()
