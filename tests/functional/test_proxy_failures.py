"""What peers can do wrong, and what a client sees of it."""

import pytest
from harness.backend import Answer

FORMAT = """log_format u "$status|$upstream_addr|$upstream_status|$upstream_response_length|$upstream_http_x_a";
    access_log {dir}/logs/u.log u;"""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def two(pelayan, one, other, conf="", main=""):
    """`one` is asked first, `other` after it."""
    return pelayan.run(
        main="worker_processes 1;",
        http=f"""{FORMAT} {main} upstream app {{ server {one.address} weight=1000 max_fails=0;
            server {other.address} max_fails=0; }}
            server {{ location / {{ proxy_pass http://app; {conf} }} }}""",
    )


def single(pelayan, app, conf=""):
    return pelayan.run(
        main="worker_processes 1;",
        http=f"{FORMAT} server {{ location / {{ proxy_pass {app.url}; {conf} }} }}",
    )


BROKEN = {
    "closes at once": b"",
    "half a status line": b"HTTP/1.1 20",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\na",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 1\n\na",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\na",
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
    "nul": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
    "unasked 101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "endless 1xx": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100 + OK,
    "too big a head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 5000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_answers_are_502(pelayan, raw_backend, what):
    app = raw_backend(BROKEN[what])
    site = single(pelayan, app)
    with site.connect() as client:
        assert client.get("/").status == 502
        assert client.get("/").status == 502  # our client's connection is none the worse
    if what == "too big a head":
        site.wait_for_log("upstream sent too big header")


def test_larger_buffer_takes_larger_heads(pelayan, raw_backend):
    app = raw_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: " + b"a" * 30000 + b"\r\n\r\n")
    site = single(pelayan, app, "proxy_buffer_size 40k; proxy_buffers 8 40k;")
    assert len(site.get("/").header("x-a")) == 30000


CUT = {
    "short of its length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
    "invalid chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n",
}


@pytest.mark.parametrize("what", CUT)
def test_cut_bodies_close_the_client(pelayan, raw_backend, what):
    """The client must see that the answer is not whole."""
    site = single(pelayan, raw_backend(CUT[what]))
    got = site.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert got.endswith(b"short") or got.endswith(b"5\r\nshort\r\n")
    site.wait_for_log("closing the client's connection: upstream")


def test_more_than_the_length_is_not_reused(pelayan, raw_backend):
    """Bytes behind an answer never become the next one's."""
    app = raw_backend(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL")
    site = single(pelayan, app)
    with site.connect() as client:
        assert [client.get("/").text for _ in range(3)] == ["ok"] * 3
    assert app.connections == 3
    site.wait_for_log("more data than its answer has")


def test_keepalive_of_http10_peers(pelayan, raw_backend):
    app = raw_backend(b"HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nuntil close")
    assert single(pelayan, app).get("/").text == "until close"


# ---- the next peer


def test_next_peer_on_errors(pelayan, backend, raw_backend):
    """Refused, reset and closed connections cost nothing; the log has both."""
    good = backend(name="good")
    for bad in (raw_backend(b""), backend()):
        bad.stop() if bad.__class__.__name__ == "Backend" else None
        site = two(pelayan, bad, good)
        answer = site.get("/")
        assert (answer.status, answer.header("x-backend")) == (200, "good")
        site.wait_for_log(rf"200\|{bad.address}, {good.address}\|502, 200\|0, 2", "logs/u.log")


@pytest.mark.parametrize("method, again", [("GET", True), ("PUT", True), ("POST", False), ("PATCH", False)])
def test_only_idempotent_requests_are_repeated(pelayan, backend, raw_backend, method, again):
    """A peer that took the request and died may have acted on it."""
    good = backend(name="good")
    bad = raw_backend(lambda wire: wire.read_until(b"\r\n\r\n"))
    site = two(pelayan, bad, good)
    assert site.get("/", method=method).status == (200 if again else 502)
    assert good.count == (1 if again else 0)


def test_non_idempotent_if_wanted(pelayan, backend, raw_backend):
    good = backend(name="good")
    bad = raw_backend(lambda wire: wire.read_until(b"end"))
    site = two(pelayan, bad, good, "proxy_next_upstream error timeout non_idempotent;")
    assert site.get("/", method="POST", body=b"the end").status == 200
    assert good.requests[0].body == b"the end"


def test_posts_go_on_after_a_refused_connection(pelayan, backend):
    good, bad = backend(name="good"), backend()
    bad.stop()
    site = two(pelayan, bad, good)
    assert site.get("/", method="POST", body=b"x" * 100000).status == 200
    assert good.requests[0].body == b"x" * 100000


@pytest.mark.parametrize("status", [500, 502, 503, 504, 403, 404, 429])
def test_next_peer_on_statuses(pelayan, backend, status):
    good, bad = backend(name="good"), backend(name="bad", answers=Answer(status, body="bad"))
    site = two(pelayan, bad, good, f"proxy_next_upstream http_{status};")
    assert site.get("/").header("x-backend") == "good"
    last = two(pelayan, bad, bad, f"proxy_next_upstream http_{status};")
    assert (last.get("/").status, last.get("/").text) == (status, "bad")
    plain = two(pelayan, bad, good)
    assert plain.get("/").status == status


def test_off_tries_and_timeout(pelayan, backend):
    good, bad, worse = backend(), backend(), backend()
    bad.stop()
    worse.stop()
    assert two(pelayan, bad, good, "proxy_next_upstream off;").get("/").status == 502
    assert two(pelayan, bad, good, "proxy_next_upstream_tries 1;").get("/").status == 502
    assert two(pelayan, bad, good, "proxy_next_upstream_tries 2;").get("/").status == 200
    assert two(pelayan, bad, worse, "proxy_next_upstream_tries 9;").get("/").status == 502


def test_invalid_header_goes_to_the_next_if_wanted(pelayan, backend, raw_backend):
    good, bad = backend(), raw_backend(b"nonsense\r\n\r\n")
    assert two(pelayan, bad, good).get("/").status == 502
    assert two(pelayan, bad, good, "proxy_next_upstream invalid_header;").get("/").status == 200


# ---- time


def test_read_timeout(pelayan, backend):
    app = backend(answers="when released")
    site = single(pelayan, app, "proxy_read_timeout 200ms;")
    assert site.get("/").status == 504
    site.wait_for_log(r"upstream timed out \(110: Connection timed out\) while reading response header")
    site.wait_for_log(rf"504\|{app.address}\|504", "logs/u.log")


def test_read_timeout_within_the_body(pelayan, raw_backend):
    def script(wire):
        wire.read_until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        wire.read_some()

    site = single(pelayan, raw_backend(script), "proxy_read_timeout 200ms;")
    assert site.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").endswith(b"half")
    site.wait_for_log("upstream timed out")


def test_timeout_goes_to_the_next_peer(pelayan, backend):
    slow, good = backend(answers="when released"), backend(name="good")
    site = two(pelayan, slow, good, "proxy_read_timeout 200ms;")
    assert site.get("/").header("x-backend") == "good"
    site.wait_for_log(r"\|504, 200\|", "logs/u.log")


def test_connect_timeout(pelayan):
    """An address that swallows packets."""
    site = pelayan.run(
        http="server { location / { proxy_pass http://192.0.2.1; proxy_connect_timeout 200ms; } }"
    )
    assert site.get("/").status in (502, 504)  # 502: a machine without a route


def test_send_timeout(pelayan, raw_backend):
    """A peer that takes nothing of a large body."""
    app = raw_backend(lambda wire: wire.hold() if hasattr(wire, "hold") else wire.read_until(b"never"))

    def script(wire):
        import threading
        stop.wait(10)

    import threading
    stop = threading.Event()
    app.script = script
    site = single(pelayan, app, "proxy_send_timeout 300ms; client_max_body_size 0;")
    try:
        assert site.get("/", method="POST", body=b"x" * 20_000_000).status == 504
    finally:
        stop.set()


# ---- keep-alive


def test_connections_are_reused(pelayan, backend):
    app = backend()
    site = single(pelayan, app)
    with site.connect() as client:
        for _ in range(5):
            client.get("/")
    assert app.connections == 1 and "connection" not in app.requests[0].headers


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stale_connection_costs_nothing(pelayan, raw_backend, method):
    """The peer closes an idle connection just as it is used again: the request is sent once more."""

    def script(wire):
        wire.read_until(b"\r\n\r\n")
        wire.send(OK)

    app = raw_backend(script)
    site = single(pelayan, app)
    with site.connect() as client:
        for _ in range(30):
            assert client.get("/", method=method).status == 200


def test_reset_of_a_used_connection_is_replayed(pelayan, raw_backend):
    """Kept alive, then the next request is read and answered by a reset: only safe methods again."""
    seen = []

    def script(wire):
        wire.read_until(b"\r\n\r\n")
        wire.send(OK)
        seen.append(wire.read_until(b"\r\n\r\n"))
        if seen[-1]:
            wire.reset()

    site = single(pelayan, raw_backend(script))
    with site.connect() as client:
        assert client.get("/").status == 200
        assert client.get("/").status == 200  # replayed on a new connection
    with site.connect() as client:
        assert client.get("/").status in (200, 502)
        assert client.get("/", method="POST", body=b"x").status in (200, 502)


def test_early_answer(pelayan, raw_backend):
    """A final answer while the body is still being sent: passed on, the connection is not kept."""

    def script(wire):
        wire.read_until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nmuch")
        wire.shutdown_write()
        wire.read_some()

    app = raw_backend(script)
    site = single(pelayan, app, "client_max_body_size 0;")
    answer = site.get("/", method="POST", body=b"x" * 10_000_000)
    assert (answer.status, answer.text) == (413, "much")


# ---- the client leaves


def test_client_abort_closes_the_peer(pelayan, backend):
    app = backend(answers="when released")
    site = single(pelayan, app)
    client = site.connect()
    client.request("/")
    app.wait_until_asked()
    client.close()
    site.wait_for_log(r"^499\|", "logs/u.log")
    app.release()
    app.wait_until_disconnected()


def test_client_abort_within_the_body(pelayan, backend):
    """Also when the answer has begun and the peer says nothing."""
    app = backend()

    def pieces():
        yield b"first"
        app.hold()

    app.answers = lambda request: Answer(body=pieces())
    site = single(pelayan, app)
    client = site.connect()
    client.request("/")
    client.read_until(b"first")
    client.close()
    site.wait_for_log(r"^200\|", "logs/u.log")
    app.release()
    app.wait_until_disconnected()


def test_ignore_client_abort(pelayan, backend):
    app = backend(answers="when released")
    site = single(pelayan, app, "proxy_ignore_client_abort on;")
    client = site.connect()
    client.request("/")
    app.wait_until_asked()
    client.close()
    app.release()
    site.wait_for_log(rf"\|{app.address}\|200", "logs/u.log")


def test_client_abort_within_a_streamed_body(pelayan, backend):
    app = backend()
    site = single(pelayan, app, "proxy_request_buffering off;")
    client = site.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\npart")
    app.wait_until_asked()
    client.close()
    app.wait_until_disconnected()
    assert app.count == 0


def test_kill_and_return(pelayan, backend):
    """Of two peers one dies and comes back, again and again, under load: nobody notices."""
    import threading

    peers = [backend(name="a"), backend(name="b")]
    site = pelayan.run(
        http=f"""upstream app {{ server {peers[0].address}; server {peers[1].address}; }}
            server {{ location / {{ proxy_pass http://app; }} }}"""
    )
    stop, statuses = threading.Event(), []

    def load():
        with site.connect() as client:
            while not stop.is_set():
                try:
                    statuses.append(client.get("/").status)
                except Exception as error:  # the assertion below shows it
                    statuses.append(repr(error))
                    return
                stop.wait(0.01)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(6):
        peer = peers[turn % 2]
        peer.stop(reset=True)
        stop.wait(0.2)
        peer.start()
        before = peer.count
        for _ in range(300):
            if peer.count > before:
                break
            stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200} and len(statuses) > 100
    for peer in peers:
        peer.stop()
    assert site.get("/").status == 502
    peers[0].start()
    for _ in range(100):
        if site.get("/").status == 200:
            break
    else:
        pytest.fail("the peer's return was not noticed")


def test_a_peer_that_closes_within_a_streamed_body(pelayan, raw_backend):
    """The rest of the body must not be taken for the next request: that connection ends."""
    app = raw_backend(lambda wire: wire.read_until(b"\r\n\r\n"))
    site = single(pelayan, app, "proxy_request_buffering off;")
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\npart")
        answer = client.read_response()
        assert answer.status == 502 and answer.header("connection") == "close"
        client.send(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.read_all() == b""
    assert app.connections == 1


def test_interim_answers_while_a_streamed_body_is_sent(pelayan, raw_backend):
    """103 and 100 from the peer do not stop the body."""

    def script(wire):
        wire.read_until(b"\r\n\r\n")
        for _ in range(5):
            wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n")
            wire.read(400_000)
        wire.send(OK)

    site = single(pelayan, raw_backend(script), "proxy_request_buffering off; client_max_body_size 0;")
    answer = site.get("/", method="POST", body=b"x" * 2_000_000)
    assert answer.status == 200 and len(answer.interim) == 5


def test_next_upstream_timeout(pelayan, backend):
    """Another peer is not tried after that time."""
    slow, good = backend(answers="when released"), backend(name="good")
    site = two(
        pelayan, slow, good, "proxy_read_timeout 300ms; proxy_next_upstream_timeout 100ms;"
    )
    assert site.get("/").status == 504
    assert good.count == 0


def test_source_address_and_tcp_keepalive(pelayan, raw_backend):
    """proxy_bind chooses where connections come from; those of different sources are not mixed."""
    sources = []

    def script(wire):
        sources.append(wire.socket.getpeername()[0])
        while wire.read_until(b"\r\n\r\n"):
            wire.send(OK)

    app = raw_backend(script)
    site = pelayan.run(
        main="worker_processes 1;",
        http=f"""server {{ location / {{ proxy_pass {app.url}; proxy_bind $arg_from; proxy_socket_keepalive on; }}
            location /fixed {{ proxy_pass {app.url}; proxy_bind 127.0.0.9; }} }}""",
    )
    for path in ("/?from=127.0.0.2", "/?from=127.0.0.3", "/?from=127.0.0.2", "/fixed", "/"):
        assert site.get(path).status == 200
    assert sources == ["127.0.0.2", "127.0.0.3", "127.0.0.9", "127.0.0.1"]
    assert site.get("/?from=nonsense").status == 502


def test_a_streamed_body_survives_a_stale_connection(pelayan, raw_backend):
    """What was taken from the client and not sent goes to the new connection."""
    bodies = []

    def script(wire):
        wire.read_until(b"\r\n\r\n")
        bodies.append(wire.read(300_000))
        wire.send(OK)  # and closes, as if it were idle for too long

    site = single(pelayan, raw_backend(script), "proxy_request_buffering off; client_max_body_size 0;")
    for _ in range(20):
        assert site.get("/", method="PUT", body=b"x" * 300_000).status == 200
    assert [len(b) for b in bodies] == [300_000] * 20
