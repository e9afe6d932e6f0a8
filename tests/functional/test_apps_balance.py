"""Apps as upstreams: their instances come and go, and requests wait for one that is on its way."""

import contextlib
import json
import os
import socket
import threading
from signal import SIGCONT, SIGQUIT

import pytest
from harness import wait
from harness.backend import Answer
from harness.fake_runner import FakeRunner
from harness.process import freeze


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """A stand-in for the runner, in the home that the program looks at."""
    monkeypatch.setenv("PELAYAN_HOME", str(tmp_path / "home"))
    runner = FakeRunner(tmp_path / "home")
    yield runner
    runner.close()


def at(*backends):
    return [(number, one.address) for number, one in enumerate(backends)]


def serve(pelayan, runner, conf="proxy_pass http://web;", before=""):
    site = pelayan.run(
        http=f"""{before}
        server {{ listen 127.0.0.1:{{port}}; location / {{ {conf} }} }}"""
    )
    runner.wait_followed()
    return site


def test_an_app_is_an_upstream_by_its_name(pelayan, runner, backend):
    """Ready instances are asked; one that drains or is not listed any more is not."""
    one, two = backend(answers="one"), backend(answers="two", unix=True)
    runner.say("web", "online", *at(one, two))
    site = serve(pelayan, runner)
    wait.until(lambda: site.get("/").status == 200, "the app to be known")
    assert {site.get("/").body for _ in range(4)} == {b"one", b"two"}
    runner.say("web", "online", (0, one.address), (1, two.address, "draining"))
    wait.until(lambda: {site.get("/").body for _ in range(4)} == {b"one"}, "the other one to leave")
    assert {site.get("/").body for _ in range(4)} == {b"one"}
    runner.say("web", "online", (1, two.address))
    wait.until(lambda: site.get("/").body == b"two", "the other instance")


def test_a_worker_that_was_busy_hears_later_that_an_app_is_gone(pelayan, runner, backend):
    """Also if nothing else is said afterwards: its instances may be somebody else's by then."""
    one = backend(answers="one")
    runner.say("web", "online", *at(one))
    site = serve(pelayan, runner)
    wait.until(lambda: site.get("/").status == 200, "the app to be known")
    [worker] = site.workers()
    freeze(worker)
    for number in range(200):  # more than the socket to the worker takes
        runner.say("other", "online", (number, one.address), reason=f"{number} " + "x" * 8000)
    runner.say("web", "gone")
    runner.wait_read()
    os.kill(worker, SIGCONT)
    wait.until(lambda: site.get("/").status == 502, "the app to be gone")


@pytest.mark.parametrize("line", ["app web;", "app web weight=2 max_fails=2 slow_start=1s;"])
def test_an_upstream_block_has_apps_and_servers(pelayan, runner, backend, line):
    app, server = backend(answers="app"), backend(answers="server")
    runner.say("web", "online", *at(app))
    site = serve(
        pelayan,
        runner,
        "proxy_pass http://both;",
        f"upstream both {{ {line} server {server.address}; }}",
    )
    wait.until(
        lambda: {site.get("/").body for _ in range(6)} == {b"app", b"server"}, "both to be asked"
    )
    runner.say("web", "failed", reason="it has crashed")
    wait.until(lambda: {site.get("/").body for _ in range(3)} == {b"server"}, "the app to leave")


def test_requests_wait_for_an_idle_app(pelayan, runner, backend):
    """The runner is asked once, however many wait; a body is kept meanwhile."""
    app = backend(answers=lambda request: request.body or b"started")
    runner.say("web", "idle")
    site = serve(pelayan, runner)
    waiting = [site.get_later("/") for _ in range(5)]
    posted = site.get_later("/", method="POST", body=b"x" * 5000)
    runner.wait_said("wake", "web")
    runner.say("web", "starting")
    runner.wait_said("load", "web", lambda load: load["waiting"] == 6)
    runner.say("web", "online", *at(app))
    assert [one.result().body for one in waiting] == [b"started"] * 5
    assert posted.result().body == b"x" * 5000
    assert len(runner.said("wake", "web")) == 1


def test_nobody_waits_for_an_app_that_has_failed(pelayan, runner, backend):
    runner.say("web", "starting")
    site = serve(pelayan, runner)
    waiting = site.get_later("/")
    runner.wait_said("load", "web", lambda load: load["waiting"] == 1)
    runner.say("web", "failed", reason="exited with code 3 at once")
    assert waiting.result().status == 502
    assert site.get("/").status == 502
    site.wait_for_log(r'app "web" is failed: exited with code 3 at once')


def test_who_waits_too_long_or_in_too_long_a_queue(pelayan, runner):
    """504 after app_wait, 503 beyond app_queue."""
    runner.say("web", "starting")
    site = serve(
        pelayan,
        runner,
        """proxy_pass http://web; app_wait 1500ms; app_queue 1; }
        location /at-once { proxy_pass http://web; app_wait 0;""",
    )
    wait.until(lambda: site.get("/at-once").status == 504, "the app to be known")
    asked = [site.get_later("/") for _ in range(3)]
    assert sorted(one.result().status for one in asked) == [503, 503, 504]
    site.wait_for_log(r'no instance became ready in time: app "web" is starting')
    site.wait_for_log(r'app_queue requests wait already: app "web" is starting')


def test_a_client_that_leaves_is_forgotten(pelayan, runner):
    runner.say("web", "starting")
    site = serve(pelayan, runner)
    client = site.connect()
    client.request("/left")
    runner.wait_said("load", "web", lambda load: load["waiting"] == 1)
    client.close()
    site.wait_for_log(r'"GET /left HTTP/1.1" 499', "logs/access.log")
    runner.wait_said("load", "web", lambda load: load is runner.said("load", "web")[-1] and
                     load["waiting"] == 0)


def test_a_dead_instance_is_replaced_under_a_request(pelayan, runner, raw_backend, backend):
    """A GET whose only instance dies waits for the next one; a POST that was read gets 502."""
    dying = raw_backend(lambda wire: wire.read_until(b"\r\n\r\n"))
    runner.say("web", "online", *at(dying))
    site = serve(pelayan, runner)
    waiting = site.get_later("/")
    runner.wait_said("load", "web", lambda load: load["waiting"] == 1)
    runner.say("web", "starting")
    runner.say("web", "online", (1, backend(answers="next").address))
    assert waiting.result().body == b"next"
    runner.say("web", "online", (2, dying.address))
    wait.until(lambda: site.get("/", method="POST", body=b"x").status == 502, "the other instance")


def test_reload_keeps_those_who_wait(pelayan, runner, backend):
    runner.say("web", "starting")
    site = serve(pelayan, runner)
    waiting = site.get_later("/")
    runner.wait_said("load", "web", lambda load: load["waiting"] == 1)
    site.reload()
    runner.say("web", "online", *at(backend(answers="ready")))
    assert waiting.result().body == b"ready"
    assert site.get("/").body == b"ready"


def test_a_worker_that_leaves_answers_who_waits(pelayan, runner, backend):
    runner.say("web", "starting")
    site = serve(pelayan, runner)
    waiting = site.get_later("/")
    runner.wait_said("load", "web", lambda load: load["waiting"] == 1)
    site.signal(SIGQUIT)
    runner.say("web", "online", *at(backend(answers="ready")))
    assert waiting.result().body == b"ready"


def test_idle_connections_to_an_instance_that_leaves_are_closed(pelayan, runner, backend):
    app, other = backend(answers="app"), backend(answers="other")
    runner.say("web", "online", *at(app))
    site = serve(pelayan, runner)
    wait.until(lambda: site.get("/").status == 200, "the app to be known")
    assert len(app.wires) >= 1
    runner.say("web", "online", (0, app.address, "draining"), (1, other.address))
    wait.until(lambda: not app.wires, "the idle connection to be closed")
    assert site.get("/").body == b"other"


def test_a_tunnel_counts_until_it_ends(pelayan, runner, backend):
    """A WebSocket stays open on an instance that drains, and the runner knows."""
    app = backend(answers=Answer(status=101, headers={"Upgrade": "x", "Connection": "upgrade"},
                                 echo=True))
    runner.say("web", "online", *at(app))
    site = serve(pelayan, runner)
    client = site.connect()
    assert client.upgrade("/", "x").status == 101
    runner.wait_said("load", "web", lambda load: load["active"].get("0") == 1
                     and load["tunnels"] == {"0": 1})
    runner.say("web", "online", (0, app.address, "draining"))
    client.send(b"still here")
    assert client.read(10) == b"still here"
    client.close()
    runner.wait_said("load", "web", lambda load: load["active"].get("0") == 0
                     and load["tunnels"] == {})


def test_a_variable_may_name_an_app(pelayan, runner, backend):
    runner.say("web", "online", *at(backend(answers="web")))
    runner.say("blog", "online", *at(backend(answers="blog")))
    site = serve(pelayan, runner, "proxy_pass http://$arg_app;", "upstream x { app web; }")
    wait.until(lambda: site.get("/?app=web").body == b"web", "the app to be known")
    assert site.get("/?app=blog").body == b"blog"
    assert site.get("/?app=none").status == 502


def test_what_makes_no_sense_disturbs_nobody(pelayan, runner, backend):
    """Lines that are no messages, apps without end, and a runner that comes and goes."""
    app = backend(answers="app")
    runner.say("web", "online", *at(app))
    site = serve(pelayan, runner)
    site.tolerate("the master tells of an app")
    wait.until(lambda: site.get("/").status == 200, "the app to be known")
    runner.say_raw(b'{"app":"web","status":"odd"}\n{"app":3}\nnonsense\n')
    runner.say_raw(json.dumps({"app": "x" * 3000, "status": "online", "desired": 1,
                               "instances": []}).encode() + b"\n")
    runner.wait_followed()
    runner.say("huge", "online", *[(i, f"127.0.0.1:{i + 1}") for i in range(3000)])
    assert site.get("/").body == b"app"
    runner.drop_followers()
    wait.until(lambda: len(runner.followers) >= 1, "the master to come again")
    assert site.get("/").body == b"app"


def test_more_instances_than_fit_a_message(pelayan, runner):
    """2000 of one app: each is asked, and what they have to do is told of all."""
    count, first = 2000, 2_000_000_000
    asked = set()

    def serve_all(listener):
        with contextlib.suppress(OSError):
            while True:
                with listener.accept()[0] as connection:
                    asked.add(connection.getsockname()[0])
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    with socket.create_server(("0.0.0.0", 0), backlog=256) as listener:
        threading.Thread(target=serve_all, args=[listener], daemon=True).start()
        port = listener.getsockname()[1]
        instances = [(first + n, f"127.1.{n // 250}.{n % 250 + 1}:{port}") for n in range(count)]
        runner.say("web", "online", *instances)
        site = serve(pelayan, runner, "proxy_pass http://web; keepalive_requests 10000;")
        wait.until(lambda: site.get("/").status == 204, "the app to be known")
        with site.connect() as client:
            assert all(client.get("/").status == 204 for _ in range(count))
        assert len(asked) == count
        wait.until(lambda: any(len(load["active"]) == count and load["requests"] > count
                               for load in runner.said("load", "web")), "all to be reported")
        runner.say("web", "online", instances[0])
        wait.until(lambda: site.get("/").status == 204 and len(
            runner.said("load", "web")[-1]["active"]) == 1, "the others to leave")
