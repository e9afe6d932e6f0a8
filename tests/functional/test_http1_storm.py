"""Thousands of requests, most of them broken, in random cuts: it must stay alive and leak nothing.

What it leaves behind is judged at the end of the test, by the sanitizers too where they are in."""

import contextlib
import os
import random
import select
import socket
import time

import pytest

SECONDS = float(os.environ.get("PELAYAN_STORM_SECONDS", "2.5"))
AT_ONCE = 24

PARTS = [
    b"GET / HTTP/1.1\r\n", b"POST /app HTTP/1.1\r\n", b"HEAD /file HTTP/1.1\r\n", b"GET /dir HTTP/1.0\r\n",
    b"PUT /in HTTP/1.1\r\n", b"POST /stream HTTP/1.1\r\n", b"GET http://a/x?y HTTP/1.1\r\n",
    b"DELETE /app/%41%zz HTTP/1.1\r\n", b"POST /small HTTP/1.1\r\n", b"GET /rate HTTP/1.1\r\n",
    b"Host: a\r\n", b"Host: b.test\r\n", b"Host: \r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: 50\r\n", b"Content-Length: 70000\r\n", b"Content-Length: x\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Expect: 100-continue\r\n",
    b"Range: bytes=1-3\r\n", b"If-None-Match: *\r\n", b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    b"X: " + b"v" * 4000 + b"\r\n", b"X_Y: z\r\n", b"b@d: z\r\n", b" folded\r\n", b"no colon\r\n",
    b"\r\n", b"\r\n", b"\r\n", b"\n", b"\0", b"\x16\x03\x01",
    b"5\r\nabcde\r\n", b"0\r\n\r\n", b"1;x\r\nq\r\n", b"fff\r\n", b"abcde", b"x" * 5000, b"0\r\nT: v\r\n\r\n",
]  # fmt: skip

GOOD = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /file HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9,20-29\r\n\r\n",
    b"POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
    b"POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n3\r\nfgh\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + b"y" * 20000,
    b"POST /app HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nxyz",
    b"GET /gone HTTP/1.1\r\nHost: b.test\r\n\r\n",
    b"GET /rate HTTP/1.1\r\nHost: a\r\n\r\n",
]

CONF = """client_header_timeout 300ms; client_body_timeout 300ms; lingering_timeout 100ms; lingering_time 1s;
keepalive_timeout 300ms; send_timeout 300ms; client_body_buffer_size 1k;
server { root {dir}/html; client_max_body_size 30k; error_page 400 404 408 413 414 494 502 /in;
    location / { return 200 "here"; }
    location /file { }
    location /dir { try_files $uri /none @app; }
    location @app { proxy_pass http://127.0.0.1:{port2}; }
    location /app { proxy_pass http://127.0.0.1:{port2}; }
    location /stream { proxy_request_buffering off; proxy_buffering off; proxy_pass http://127.0.0.1:{port2}; }
    location /small { client_max_body_size 3; client_body_in_file_only clean; proxy_pass http://127.0.0.1:{port2}; }
    location /gone { return 444; }
    location /rate { limit_rate 20k; try_files /file =404; }
    location /in { internal; return 200 "page of $status"; } }
server { server_name b.test; keepalive_requests 2; underscores_in_headers on; ignore_invalid_headers off;
    location / { return 404; } location /gone { return 444; } }
server { listen 127.0.0.1:{port2}; client_max_body_size 0; location / { return 200 "answer"; }
    location /app/ { return 302 /else; } }"""


def some_bytes(dice):
    what = dice.random()
    if what < 0.4:
        return b"".join(dice.choices(GOOD, k=dice.randint(1, 4)))
    if what < 0.7:
        data = bytearray(b"".join(dice.choices(GOOD, k=dice.randint(1, 3))))
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(data))
            data[at : at + dice.randint(0, 3)] = bytes(dice.choices(b"\0\r\n :;0aF%/*\xff", k=dice.randint(0, 3)))
        return bytes(data) or b"\r\n"
    return dice.choice(PARTS[:10]) + b"".join(dice.choices(PARTS[10:], k=dice.randint(1, 12)))


class Caller:
    """A connection that sends its bytes in random cuts, reads sometimes, and leaves in some way."""

    def __init__(self, port, dice):
        self.dice = dice
        self.left = some_bytes(dice)
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.setblocking(False)
        if dice.random() < 0.1:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self.reads = dice.random() < 0.8
        self.until = time.monotonic() + dice.choice([0.01, 0.05, 0.2, 0.5])

    def step(self):
        """False: it is over."""
        with contextlib.suppress(BlockingIOError):
            if self.left:
                size = self.dice.choice([1, 2, 7, 100, len(self.left), len(self.left)])
                self.left = self.left[self.socket.send(self.left[:size]) :]
        with contextlib.suppress(BlockingIOError):
            if self.reads and self.socket.recv(65536) == b"":
                return False
        if not self.left and self.dice.random() < 0.2:
            return False
        return time.monotonic() < self.until

    def leave(self):
        with contextlib.suppress(OSError):
            if self.dice.random() < 0.3:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            elif self.dice.random() < 0.3:
                self.socket.shutdown(socket.SHUT_WR)
        self.socket.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm(pelayan, seed):
    site = pelayan.run(http=CONF, prepare=lambda site: site.file("html/file", "f" * 30000))
    site.tolerate(r"worker_connections are not enough")
    assert site.get("/").status == 200  # so there is a worker
    workers = site.workers()
    dice = random.Random(seed if SECONDS < 10 else None)
    callers = []
    count = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        while len(callers) < AT_ONCE:
            callers.append(Caller(site.port, dice))
            count += 1
        select.select([c.socket for c in callers], [], [], 0.001)
        for caller in list(callers):
            try:
                alive = caller.step()
            except OSError:
                alive = False
            if not alive:
                caller.leave()
                callers.remove(caller)
    for caller in callers:
        caller.leave()
    assert count > 50
    assert site.get("/").text == "here" and site.get("/app", method="POST", body="x").text == "answer"
    assert site.workers() == workers
