"""Protocol switches: WebSocket and others, through a tunnel."""

import pytest
from harness.backend import Answer

CONFS = ["", "proxy_set_header Connection '';",
         "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"]


@pytest.mark.parametrize("conf", CONFS)
def test_websocket_without_and_with_the_two_lines(pelayan, backend, conf):
    app = backend(answers=Answer(echo=True))
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; {conf} }} }}")
    with site.connect() as client:
        answer = client.upgrade("/ws", headers={"Sec-WebSocket-Key": "k"})
        assert answer.status == 101 and answer.header("upgrade") == "websocket"
        assert answer.header("connection").lower() == "upgrade"
        for _ in range(10):
            client.send(b"ping")
            assert client.read(4) == b"ping"
    seen = app.requests[0]
    assert seen.header("connection").lower() == "upgrade" and seen.header("upgrade") == "websocket"
    assert seen.header("sec-websocket-key") == "k"


def test_much_in_both_directions(pelayan, backend):
    import threading

    app = backend(answers=Answer(echo=True))
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; }} }}")
    data = bytes(range(256)) * 16384
    with site.connect() as client:
        client.upgrade("/ws")
        sender = threading.Thread(target=client.send, args=(data,))
        sender.start()
        assert client.read(len(data)) == data
        sender.join()


def test_bytes_that_come_with_the_heads(pelayan, raw_backend):
    """The client's behind its request, the peer's behind its 101."""

    def script(wire):
        wire.read_until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 101 X\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\nhello")
        wire.send(wire.read(5))

    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {raw_backend(script).url}; }} }}")
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: chat\r\nConnection: upgrade\r\n\r\nearly")
        assert client.read_head().status == 101
        assert client.read_all() == b"helloearly"


def test_half_close(pelayan, raw_backend):
    """One side's end is passed on; the other may still speak."""

    def script(wire):
        wire.read_until(b"\r\n\r\n")
        wire.send(b"HTTP/1.1 101 X\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n")
        said = wire.read_all()
        wire.send(b"you said " + said)

    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {raw_backend(script).url}; }} }}")
    with site.connect() as client:
        client.upgrade("/", protocol="chat")
        client.send(b"bye")
        client.shutdown_write()
        assert client.read_all() == b"you said bye"


def test_refused_upgrade_is_a_normal_answer(pelayan, backend):
    app = backend(answers=(400, "no"))
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; }} }}")
    with site.connect() as client:
        client.request("/", headers={"Upgrade": "websocket", "Connection": "Upgrade"})
        answer = client.read_response()
        assert (answer.status, answer.text) == (400, "no")
        assert client.get("/").status == 400


def test_http2_cannot_be_smuggled(pelayan, backend):
    """`Upgrade: h2c` would open a way past every rule of the configuration."""
    app = backend()
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; }} }}")
    headers = {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAMA"}
    assert site.get("/", headers=headers).status == 200
    for name in ("upgrade", "connection", "http2-settings"):
        assert name not in app.requests[0].headers


def test_silence_ends_the_tunnel(pelayan, backend):
    app = backend(answers=Answer(echo=True))
    site = pelayan.run(
        http=f"""log_format u "$status $bytes_sent $upstream_bytes_received"; access_log {{dir}}/logs/u.log u;
            server {{ location / {{ proxy_pass {app.url}; proxy_read_timeout 300ms; }} }}"""
    )
    with site.connect() as client:
        client.upgrade("/ws")
        client.send(b"ping")
        assert client.read(4) == b"ping"
        assert client.read_all() == b""
    site.wait_for_log("closing the tunnel: upstream timed out")
    site.wait_for_log(r"^101 \d+ \d+", "logs/u.log")


def test_either_side_may_end(pelayan, backend):
    app = backend(answers=Answer(echo=True))
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; }} }}")
    client = site.connect()
    client.upgrade("/ws")
    client.close()
    app.wait_until_disconnected()
    client = site.connect()
    client.upgrade("/ws")
    app.stop(reset=True)
    try:
        assert client.read_all() == b""
    except ConnectionResetError:
        pass
