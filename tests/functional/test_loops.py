"""Several loops in a worker: who accepts what."""

import contextlib
import socket
from collections import Counter

import pytest

LOOPS = 4


def loop_of(client):
    """A connection's number tells who accepted it."""
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    return int(client.recv(65536).rpartition(b"\r\n\r\n")[2]) % LOOPS


@pytest.mark.parametrize("burst", [False, True], ids=["one by one", "at once"])
@pytest.mark.parametrize("options", ["", "reuseport"])
def test_connections_are_shared(pelayan, options, burst):
    """None of the loops gets nearly all, and none nearly nothing."""
    site = pelayan.run(main=f"worker_processes {LOOPS};", http=f"server {{ listen 127.0.0.1:{{port}} {options}; return 200 $connection; }}")
    site.wait_for_log("configuration 1 is served")
    count = Counter()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.socket()) for _ in range(200)]
        for client in clients:
            client.settimeout(30)
            client.connect(site.address_of("port"))
            if not burst:
                count[loop_of(client)] += 1
        if burst:
            count.update(map(loop_of, clients))
    assert len(count) == LOOPS and min(count.values()) > 10 and max(count.values()) < 150, count
