"""Bodies in both directions: buffered, streamed, large, slow."""

import pytest
from harness.backend import Answer

BIG = bytes(range(256)) * 8192  # 2 MiB


@pytest.mark.parametrize("conf", ["", "proxy_buffering off;", "proxy_max_temp_file_size 0;",
                                  "proxy_limit_rate 20m;", "proxy_buffers 8 16k; proxy_buffer_size 32k;"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_large_answers(pelayan, backend, conf, framing):
    """However they are framed and buffered they arrive whole, to a client that begins to read late."""
    app = backend(answers=Answer(body=BIG, framing=framing))
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; {conf} }} }}")
    with site.connect() as client:
        client.request("/")
        app.wait_until_received()
        assert client.read_response().body == BIG
        assert client.get("/").body == BIG


def test_temp_file_is_used_and_gone(pelayan, backend):
    """What the client does not take goes to a file; the peer does not wait for the client."""
    app = backend(answers=Answer(body=BIG * 8))
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; }} }}")
    with site.connect() as client:
        client.request("/")
        site.wait_for_log("buffered to a temporary file")
        assert client.read_response().body == BIG * 8
    assert not list((site.dir / "tmp/proxy").iterdir())


def test_unbuffered_pieces_arrive_at_once(pelayan, backend):
    """A piece is passed on although the peer has not finished: buffered or not."""
    app = backend()

    def pieces():
        yield b"first"
        app.hold()
        yield b"second"

    app.answers = lambda request: Answer(body=pieces())
    site = pelayan.run(
        http=f"""server {{ location / {{ proxy_pass {app.url}; proxy_buffering off; }}
            location /on {{ proxy_pass {app.url}; }} }}"""
    )
    for path in ("/", "/on"):
        with site.connect() as client:
            client.request(path)
            assert client.read_until(b"first").endswith(b"first")
            app.release(1)
            assert client.read_until(b"second").endswith(b"second")


def test_accel_buffering(pelayan, backend):
    app = backend(answers=Answer(body=BIG, headers={"X-Accel-Buffering": "no"}))
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; }} }}")
    answer = site.get("/")
    assert answer.body == BIG and "x-accel-buffering" not in answer.headers
    assert "temporary file" not in site.error_log()


@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize("body", [b"", b"small", BIG, [b"in", b" pieces"], [BIG, BIG]],
                         ids=["empty", "small", "big", "chunked", "big chunked"])
def test_request_bodies(pelayan, backend, buffering, body):
    app = backend(answers=lambda request: str(len(request.body)))
    site = pelayan.run(
        http=f"""client_max_body_size 0; server {{ location / {{ proxy_pass {app.url};
            proxy_request_buffering {buffering}; }} }}"""
    )
    whole = b"".join(body) if isinstance(body, list) else body
    with site.connect() as client:
        for _ in range(2):
            assert client.get("/", method="POST", body=body).text == str(len(whole))
    assert [r.body == whole for r in app.requests] == [True, True]
    assert app.requests[0].chunked == (isinstance(body, list) and buffering == "off")


def test_streamed_body_begins_before_it_ends(pelayan, backend):
    """With proxy_request_buffering off the peer gets the first piece while the client holds the second."""
    app = backend()
    site = pelayan.run(
        http=f"""server {{ location / {{ proxy_pass {app.url}; proxy_request_buffering off; }} }}"""
    )
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        app.wait_until_asked()
        client.send(b"def")
        assert client.read_response().status == 200
    assert app.requests[0].body == b"abcdef"


def test_expect_continue(pelayan, backend):
    app = backend(answers=lambda request: request.body)
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; }} }}")
    with site.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        client.read_until(b"100 Continue\r\n\r\n")
        client.send(b"abc")
        assert client.read_response().body == b"abc"
    assert "expect" not in app.requests[0].headers


def test_force_ranges(pelayan, backend):
    app = backend(answers=Answer(body="0123456789"))
    site = pelayan.run(
        http=f"""server {{ location / {{ proxy_pass {app.url}; }}
            location /r {{ proxy_pass {app.url}; proxy_force_ranges on;
                proxy_set_header Range ""; }} }}"""
    )
    assert site.get("/", headers={"Range": "bytes=2-4"}).status == 200
    answer = site.get("/r", headers={"Range": "bytes=2-4"})
    assert (answer.status, answer.text) == (206, "234")


def test_pipelined_requests(pelayan, backend):
    app = backend(answers=lambda request: request.target)
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; }} }}")
    with site.connect() as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(20)))
        assert [client.read_response().text for _ in range(20)] == [f"/{i}" for i in range(20)]
    assert app.connections == 1
