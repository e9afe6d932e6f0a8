"""The life of a client's connection: keep-alive, pipelining, the ends of it."""

import socket
import time

import pytest

OK = 'location / { return 200 "$connection_requests $uri"; }'


def site_of(pelayan, inside="", locations=OK, **conf):
    return pelayan.run(http=f"server {{ {inside} {locations} }}", **conf)


def took(act):
    start = time.monotonic()
    act()
    return time.monotonic() - start


@pytest.mark.parametrize(
    "version, sent, kept",
    [
        ("HTTP/1.1", None, True),
        ("HTTP/1.1", "close", False),
        ("HTTP/1.1", "Close, x", False),
        ("HTTP/1.1", "keep-alive, close", False),
        ("HTTP/1.0", None, False),
        ("HTTP/1.0", "Keep-Alive", True),
    ],
)
def test_who_keeps_a_connection(pelayan, version, sent, kept):
    site = site_of(pelayan)
    with site.connect() as client:
        headers = {"Connection": sent} if sent else None
        answer = client.get("/a", version=version, headers=headers)
        assert answer.version == "HTTP/1.1" and answer.text == "1 /a"
        assert answer.header("connection") == ("keep-alive" if kept else "close")
        if kept:
            assert client.get("/b").text == "2 /b"
        else:
            assert client.is_closed()


def test_limits_of_a_connection(pelayan):
    site = site_of(
        pelayan,
        locations=OK
        + """ location /three { keepalive_requests 3; return 200 a; }
            location /off { keepalive_timeout 0; return 200 a; }
            location /told { keepalive_timeout 60s 33s; return 200 a; }
            location /short { keepalive_timeout 100ms; return 200 a; }
            location /old { keepalive_time 1ms; return 200 a; }""",
    )
    with site.connect() as client:
        said = [client.get("/three").header("connection") for _ in range(3)]
        assert said == ["keep-alive", "keep-alive", "close"] and client.is_closed()
    with site.connect() as client:
        assert client.get("/off").header("connection") == "close" and client.is_closed()
    with site.connect() as client:
        assert client.get("/told").header("keep-alive") == "timeout=33"
        assert client.get("/short").header("keep-alive") is None
        assert took(client.is_closed) < 3
    with site.connect() as client:
        for _ in range(100):
            if client.get("/old").header("connection") == "close":
                break
        assert client.is_closed()


MSIE6 = "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)"
SV1 = "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)"
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_6) AppleWebKit/533 Version/5.0 Safari/533"
CHROME = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_6) AppleWebKit/537 Chrome/120 Safari/537"


@pytest.mark.parametrize(
    "path, method, agent, kept",
    [
        ("/", "POST", MSIE6, False),
        ("/", "GET", MSIE6, True),
        ("/", "POST", SV1, True),
        ("/", "GET", SAFARI, True),
        ("/safari", "GET", SAFARI, False),
        ("/safari", "GET", CHROME, True),
        ("/safari", "POST", MSIE6, True),
        ("/none", "POST", MSIE6, True),
    ],
)
def test_browsers_of_the_past(pelayan, path, method, agent, kept):
    site = site_of(
        pelayan,
        locations=OK
        + """ location /safari { keepalive_disable safari; return 200 a; }
            location /none { keepalive_disable none; return 200 a; }""",
    )
    answer = site.get(path, method=method, headers={"User-Agent": agent})
    assert answer.header("connection") == ("keep-alive" if kept else "close")


def test_pipelined_requests_are_answered_in_order(pelayan):
    site = site_of(pelayan)
    with site.connect() as client:
        many = [f"GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n" for i in range(300)]
        client.send("".join(many))
        assert [client.read_response().text for _ in many] == [f"{i + 1} /{i}" for i in range(300)]
        # what is behind a request that closes is not answered, and costs the answer nothing
        client.send("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + "".join(many))
        assert client.read_response().text == "301 /x"
        assert client.is_closed()


def test_pipelined_requests_with_bodies(pelayan, backend):
    app = backend(answers=lambda request: request.body or b"none")
    site = site_of(pelayan, locations=OK + f"location /app {{ proxy_pass {app.url}; }}")
    sized = "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde"
    chunked = "POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfg\r\n3;x=y\r\nhij\r\n0\r\nT: v\r\n\r\n"
    with site.connect() as client:
        # "/" does not read its body: it must not be taken for the next request
        client.send(sized % "/app" + chunked % "/" + chunked % "/app" + sized % "/" + "\r\n" + sized % "/app")
        bodies = [client.read_response().text for _ in range(5)]
        assert bodies == ["abcde", "2 /", "fghij", "4 /", "abcde"]


def test_a_body_nobody_wants_may_come_late(pelayan):
    site = site_of(pelayan)
    with site.connect() as client:
        for body in (b"x" * 10, b"y" * 300000):
            head = f"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
            client.send(head)
            answer = client.read_response()
            assert answer.status == 200 and answer.header("connection") == "keep-alive"
            client.send(body + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.read_response().text.endswith(" /next")
        client.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.read_response().status == 200
        client.send(b"5\r\nabcde\r\n0\r\n")
        client.send(b"\r\nGET /last HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.read_response().text.endswith(" /last")
        client.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.read_response().status == 200
        client.send(b"no chunk\r\n")
        assert client.is_closed()


def test_a_body_nobody_wants_has_its_time(pelayan):
    site = site_of(pelayan, "lingering_timeout 100ms;")
    with site.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        assert client.read_response().status == 200
        assert client.is_closed()


def test_half_closed_clients_get_their_answers(pelayan, backend):
    app = backend(answers=b"from afar")
    site = site_of(pelayan, locations=OK + f"location /app {{ proxy_pass {app.url}; }}")
    with site.connect() as client:
        client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n")
        client.shutdown_write()
        assert [client.read_response().text for _ in "ab"] == ["1 /a", "2 /b"]
        assert client.is_closed()


def test_heads_in_pieces(pelayan):
    site = site_of(pelayan)
    head = b"GET /cut HTTP/1.1\r\nHost: a\r\nX-Long: " + b"v" * 300 + b"\r\n\r\n"
    with site.connect() as client:
        for at in range(1, len(head)):
            client.send(head[:at])
            client.send(head[at:])
            assert client.read_response().text == f"{at} /cut"


def test_empty_lines_before_a_request(pelayan):
    site = site_of(pelayan)
    with site.connect() as client:
        client.send("\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.read_response().text == "1 /a"


def test_late_clients(pelayan):
    site = pelayan.run(
        http="""server { client_header_timeout 150ms; client_body_timeout 150ms;
            location / { proxy_pass http://127.0.0.1:{port2}; } }
        server { listen 127.0.0.1:{port2}; return 200 "back"; }"""
    )
    with site.connect() as client:  # says nothing at all
        assert client.read_all() == b""
    with site.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: ")
        assert client.read_response().status == 408
        assert client.is_closed()
    with site.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        answer = client.read_response()
        assert answer.status == 408 and answer.header("connection") == "close"
        assert client.is_closed()
    log = site.access_log(lines=2)
    assert '"GET / HTTP/1.1" 408' in log and '"POST / HTTP/1.1" 408' in log


def test_late_heads_can_be_reset(pelayan):
    site = site_of(pelayan, "client_header_timeout 100ms; reset_timedout_connection on;")
    with site.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: ")
        with pytest.raises(ConnectionResetError):
            while client.fill():
                pass


def test_a_client_that_takes_nothing_is_let_go(pelayan):
    site = pelayan.run(
        http="""server { root {dir}/html; send_timeout 200ms; reset_timedout_connection on; }""",
        prepare=lambda site: site.file("html/big", b"x" * 30_000_000),
    )
    with site.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        site.wait_for_log("client timed out: it takes no more")
    assert '"GET /big HTTP/1.1" 200' in site.access_log(lines=1)


def test_a_slow_reader_is_not_late(pelayan):
    site = pelayan.run(
        http="""server { root {dir}/html; send_timeout 1s; sendfile_max_chunk 64k; }""",
        prepare=lambda site: site.file("html/big", b"x" * 3_000_000),
    )
    assert len(site.get("/big").body) == 3_000_000


def test_rates(pelayan):
    site = pelayan.run(
        http="""server { root {dir}/html;
            location /slow/ { alias {dir}/html/; limit_rate 100k; limit_rate_after 50k; }
            location /var/ { alias {dir}/html/; set $limit_rate 100k; limit_rate_after 70k; } }""",
        prepare=lambda site: site.file("html/a", b"x" * 80_000),
    )
    assert took(lambda: site.get("/a")) < 0.2
    assert 0.1 < took(lambda: site.get("/slow/a")) < 3
    assert took(lambda: site.get("/var/a")) < 3
    assert len(site.get("/slow/a").body) == 80_000


def test_lingering(pelayan):
    """An answer to somebody who is still sending arrives: his bytes are read, not reset."""
    site = site_of(pelayan, "client_max_body_size 10;")
    body = b"x" * 3_000_000
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
        client.send(body)
        answer = client.read_response()
        assert answer.status == 413 and answer.header("connection") == "close"
        assert client.is_closed()


def test_a_tunnel_of_garbage_ends(pelayan):
    """Who never stops sending after an error is closed when lingering_time is over."""
    site = site_of(pelayan, "lingering_time 1s; lingering_timeout 500ms; client_max_body_size 10;")
    with site.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        assert client.read_response().status == 413

        def push():
            with pytest.raises(OSError):
                while True:
                    client.send(b"x" * 65536)

        assert took(push) < 6


def test_keepalive_min_timeout_outlives_a_graceful_end(pelayan):
    from signal import SIGQUIT

    site = site_of(pelayan, "keepalive_min_timeout 1s;")
    with site.connect() as client:
        assert client.get("/a").status == 200
        site.signal(SIGQUIT)
        site.wait_for_log("gracefully shutting down")
        assert client.get("/b").text == "2 /b"
        assert client.is_closed()
