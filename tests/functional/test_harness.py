"""The harness itself: what it starts, what it reads, and that it notices what goes wrong."""

import os
import threading
from pathlib import Path

import pytest
from conftest import Pelayan
from harness import config, wait
from harness.backend import Answer
from harness.client import BadMessage, Client
from harness.ports import Port

FAKE = Path(__file__).parent / "harness/fake_program.py"


# -- configuration


def test_server_without_listen_gets_one():
    text = config.with_listen(
        'upstream a { server 1.2.3.4; } server { location / { return 200 "} server {"; } }'
        " server { listen 81; } # server {\n"
    )
    assert text.count("listen") == 2
    assert 'upstream a { server 1.2.3.4; } server { listen 127.0.0.1:{port}; location' in text


def test_defaults_give_way():
    text = config.compose(http="access_log off;", main="worker_processes 7;", events="use epoll;")
    assert text.count("access_log") == 1 and text.count("worker_processes") == 1
    assert "use epoll;" in text and "pid {dir}/pelayan.pid;" in text
    assert "access_log" in config.compose(http="server { access_log off; }").split("server")[0]


def test_variables_in_braces_are_words():
    assert list(config.blocks("map ${a}b $c { } server { x; }", "server")) == [(25, 29)]


def test_ports_are_filled_in():
    numbers = {"port": 1, "port2": 2}
    text = config.fill_in("listen {port}; listen {port2}; {dir}/x {portal}", "/d", numbers.get)
    assert text == "listen 1; listen 2; /d/x {portal}"


def test_a_claimed_port_is_not_given_twice():
    ports = [Port() for _ in range(200)]
    assert len({port.number for port in ports}) == 200
    for port in ports:
        port.release()


def test_waiting_ends():
    with pytest.raises(wait.TooLong, match="for the moon"):
        wait.until(lambda: False, "the moon", timeout=0.01)


# -- backend and client against each other


def connect(server):
    return Client(server.path or ("127.0.0.1", server.port))


def test_plain_answers(backend):
    app = backend(name="one")
    with connect(app) as client:
        first = client.get("/a?b=c", headers={"X-A": "1"}, host="example.org")
        assert (first.status, first.text, first.header("x-backend")) == (200, "ok", "one")
        assert client.get("/", method="HEAD").body == b""
        assert client.get("/", method="POST", body=["ab", "c"]).status == 200
        assert client.get("/", method="PUT", body="four").status == 200
    one, _, three, four = app.requests
    assert (one.method, one.target, one.header("host")) == ("GET", "/a?b=c", "example.org")
    assert one.raw == b"GET /a?b=c HTTP/1.1\r\nHost: example.org\r\nX-A: 1\r\n\r\n"
    assert (three.chunked, three.body, four.chunked, four.body) == (True, b"abc", False, b"four")
    assert (app.count, app.connections) == (4, 1)


def test_scripted_answers(backend):
    answers = [
        (201, "made", {"X-Y": "z"}),
        404,
        Answer(body=iter(["a", b"b"]), trailers={"X-T": "end"}, interim=[(103, {"Link": "</x>"})]),
        Answer(body="to the end", framing="close"),
        lambda request: request.target,
    ]
    app = backend(answers=lambda request: answers[int(request.target[1:])])
    with connect(app) as client:
        made = client.get("/0")
        assert (made.status, made.text, made.header("x-y")) == (201, "made", "z")
        assert client.get("/1").status == 404
        streamed = client.get("/2")
        assert (streamed.text, streamed.trailers["X-T"]) == ("ab", "end")
        assert [(i.status, i.header("link")) for i in streamed.interim] == [(103, "</x>")]
        assert client.get("/3").text == "to the end"
        assert client.is_closed()


def test_answers_in_turn(backend):
    app = backend(answers=[500, "then this"])
    with connect(app) as client:
        assert [client.get("/").status for _ in range(3)] == [500, 200, 200]


def test_held_answers(backend):
    app = backend(answers="when released")
    with connect(app) as client, connect(app) as other:
        client.request("/")
        app.wait_until_asked()
        other.request("/")
        app.wait_until_asked(2)
        app.release(1)
        wait.until(lambda: app.released == 0, "one to go")
        app.release()
        assert client.read_response().text == other.read_response().text == "released"


def test_slow_body_is_the_tests_to_time(backend):
    go_on = threading.Event()

    def slowly():
        yield b"one"
        go_on.wait(wait.TIMEOUT)
        yield b"two"

    app = backend(answers=lambda request: Answer(body=slowly()))
    with connect(app) as client:
        client.request("/")
        assert client.read_head().header("transfer-encoding") == "chunked"
        assert client.read(8) == b"3\r\none\r\n"
        go_on.set()
        assert client.read(13) == b"3\r\ntwo\r\n0\r\n\r\n"


def test_truncated_and_reset_answers(backend):
    app = backend(answers=[Answer(body="short", length=10), Answer(body="x", reset=True)])
    with connect(app) as client, pytest.raises(BadMessage):
        client.get("/")
    with connect(app) as client:
        assert client.get("/").text == "x"
        with pytest.raises(ConnectionResetError):
            client.read_some()


def test_keepalive_ends_when_told(backend):
    app = backend(keepalive=2)
    with connect(app) as client:
        assert client.get("/").header("connection") is None
        assert client.get("/").header("connection") == "close"
        assert client.is_closed()
    app.close_connections()
    app.wait_until_disconnected()


def test_upgrade_and_echo(backend):
    app = backend(answers=Answer(echo=True))
    with connect(app) as client:
        assert client.upgrade("/ws").header("upgrade") == "websocket"
        client.send(b"\x81\x02hi")
        assert client.read(4) == b"\x81\x02hi"


def test_stopping_and_starting_again(backend):
    app = backend()
    idle = connect(app)
    assert idle.get("/").status == 200
    port = app.port
    app.stop()
    assert idle.is_closed()
    with pytest.raises(ConnectionRefusedError):
        connect(app)
    app.start()
    assert app.port == port
    with connect(app) as client:
        assert client.get("/").status == 200
    idle.close()


def test_unix_backends(backend, raw_backend):
    with connect(backend(unix=True)) as client:
        assert client.get("/").text == "ok"
    with connect(raw_backend(b"anything\r\n", unix=True)) as client:
        client.request("/")
        assert client.read_all() == b"anything\r\n"


def test_raw_backend_runs_a_script(raw_backend):
    def script(wire):
        assert wire.read_until(b"\r\n\r\n").startswith(b"GET /raw")
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ncut")
        wire.reset()

    app = raw_backend(script)
    with connect(app) as client:
        client.request("/raw")
        assert client.read_head().status == 200
        with pytest.raises(ConnectionResetError):
            client.read(99)
    assert app.received[1].startswith(b"GET /raw HTTP/1.1\r\n")


def test_client_is_strict(raw_backend):
    for bad in (
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200\r\n\r\n",
    ):
        with connect(raw_backend(bad)) as client, pytest.raises(BadMessage):
            client.get("/")


# -- the program's life, with a stand-in for it


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setenv("PELAYAN_BIN", str(FAKE))
    return Pelayan()


def test_a_run_leaves_nothing(fake):
    site = fake.run(http="server { location / { return 200; } }")
    assert site.get("/").text == "fake"
    assert site.get_later("/").result(wait.TIMEOUT).text == "fake"
    assert site.raw(b"GET / HTTP/1.1\r\n\r\n").endswith(b"fake")
    directory, session = site.dir, site.session
    assert site.workers() == []
    fake.finish()
    assert not directory.exists()
    assert site.process is None and not Path(f"/proc/{session}").exists()


def test_two_ports_and_files(fake):
    site = fake.run(
        http="server { listen 127.0.0.1:{port}; listen 127.0.0.1:{port2}; root {dir}/html; }",
        prepare=lambda site: site.file("html/index.html", "hello"),
    )
    assert site.port != site.port2
    assert site.get("/", port="port2").text == "fake"
    assert (site.dir / "html/index.html").read_text() == "hello"
    fake.finish()


@pytest.mark.parametrize(
    "trouble, says",
    [
        ("fake_exit 3;", "exit code 3"),
        ("fake_orphan;", "left behind"),
        ("fake_crash;", "AddressSanitizer"),
    ],
)
def test_trouble_is_noticed(fake, trouble, says):
    site = fake.run(main=trouble, http="server { }")
    session = site.session
    with pytest.raises(AssertionError, match=says):
        fake.finish()
    assert site.process is None
    wait.until(lambda: not os.path.exists(f"/proc/{session}"), "it to be gone")


def test_tolerated_trouble(fake):
    site = fake.run(main="fake_crash;", http="server { }")
    site.tolerate("heap-use-after-free")
    fake.finish()


def test_reload_reports(fake):
    site = fake.run(http="server { }")
    site.reload()
    port = site.port
    refused = site.reload(http="server { unknown; }", check=False)
    assert refused.returncode == 1 and "reload failed" in refused.stderr
    with pytest.raises(AssertionError):
        site.reload()
    assert site.port == port
    fake.finish()


def test_check_runs_the_test(fake):
    assert fake.check(http="server { }").returncode == 0
    assert fake.check(http="server { unknown; }").returncode == 1
    fake.finish()


def test_a_start_that_fails_says_why(fake, monkeypatch):
    monkeypatch.setenv("PELAYAN_BIN", "/bin/false")
    with pytest.raises(wait.TooLong, match="ended with 1"):
        fake.run(http="server { }")
    fake.finish()
