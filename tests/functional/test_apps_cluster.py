"""Instances behind one port, replaced without a lost request."""

import os
import socket
import threading

import pytest
from harness import wait
from harness.ports import Port
from harness.versions import SERVER, get


def keep_asking(port, stop, failures, answers):
    while not stop.is_set():
        try:
            answers.append(get(port, "/slow" if len(answers) % 5 == 0 else "/").split()[0])
        except Exception as error:
            failures.append(repr(error))


def test_cluster_shares_one_port(runner, port):
    """Several instances of a node app listen on one port, without a line changed."""
    runner.file("web.js", f"const VERSION='v1';{SERVER}")
    runner.ok("start", "web.js", "-i", "2", PORT=str(port))
    wait.until(lambda: runner.ok("logs", "--nostream", "--raw").count("listening") == 2, "both")
    pids = {get(port).split()[1] for _ in range(50)}
    assert pids == {str(app["pid"]) for app in runner.list()}
    if os.path.exists("/proc/net/if_inet6"):
        socket.create_connection(("::1", port), 5).close()


def test_stopped_cluster_refuses(runner, port):
    """Nobody waits in the backlog of an app that is stopped, or of a port it has left."""
    runner.file("web.js", f"const VERSION='v1';{SERVER}")
    runner.ok("start", "web.js", "-i", "2", PORT=str(port))
    wait.until(lambda: runner.ok("logs", "--nostream", "--raw").count("listening") == 2, "both")
    claim = Port()
    other = claim.number
    claim.release()
    runner.ok("reload", "web", "--update-env", PORT=str(other))
    assert get(other).startswith("v1 ")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), 2).close()
    runner.ok("stop", "web")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", other), 2).close()


def test_reload_of_a_cluster_that_never_listens(runner):
    """Workers of a queue have no port to become ready on."""
    runner.file("job.js", "setInterval(() => {}, 1000)")
    runner.ok("start", "job.js", "-i", "2")
    before = {app["pid"] for app in runner.list()}
    runner.ok("reload", "job")
    assert before.isdisjoint({app["pid"] for app in runner.list()})
    assert runner.status("job") == ["online", "online"]


def test_reload_loses_no_request(runner, port):
    """Under load: the new ones listen before the old ones leave, who finish what they began."""
    runner.file("web.js", f"const VERSION='v1';{SERVER}")
    runner.ok("start", "web.js", "-i", "2", PORT=str(port))
    wait.until(lambda: runner.ok("logs", "--nostream", "--raw").count("listening") == 2, "both")
    stop, failures, answers = threading.Event(), [], []
    asking = [
        threading.Thread(target=keep_asking, args=(port, stop, failures, answers))
        for _ in range(4)
    ]
    for thread in asking:
        thread.start()
    runner.file("web.js", f"const VERSION='v2';{SERVER}")
    try:
        runner.ok("reload", "web")
    finally:
        stop.set()
        for thread in asking:
            thread.join()
    assert failures == []
    assert get(port).startswith("v2 ") and "v1" in answers
    assert runner.status("web") == ["online", "online"]


def test_reload_of_a_broken_version(runner, port):
    """The rollout stops at the first new instance, the old ones stay, and the exit code is 1."""
    runner.file("web.js", f"const VERSION='v1';{SERVER}")
    runner.ok("start", "web.js", "-i", "2", PORT=str(port))
    wait.until(lambda: runner.ok("logs", "--nostream", "--raw").count("listening") == 2, "both")
    before = {app["pid"] for app in runner.list()}
    runner.file("web.js", "throw new Error('broken version')")
    error = runner.fails("reload", "web")
    assert "exited with code 1" in error and "broken version" in error
    assert {app["pid"] for app in runner.list()} == before
    assert get(port).startswith("v1 ")


def test_scale(runner):
    """Up, down, relative, and with variables of their own."""
    runner.ok("start", "sleep 1000", "--name", "s", "-i", "2", "--increment-var", "N")
    runner.ok("scale", "s", "+2")
    assert runner.status("s") == ["online"] * 4
    numbers = [
        next(x for x in runner.ok("env", i).splitlines() if x.startswith("N=")) for i in range(4)
    ]
    assert numbers == ["N=0", "N=1", "N=2", "N=3"]
    runner.ok("scale", "s", "1")
    wait.until(lambda: runner.status("s") == ["online"], "one")
    assert "needs a number" in runner.fails("scale", "s", "many")


def test_unix_socket_as_port(runner):
    """socket: PORT is the path of a socket that the app listens on."""
    runner.file("web.js", f"const VERSION='v1';{SERVER}")
    runner.ok("start", "web.js", "--socket", "--ready", "http /")
    path = runner.env("web")["socket"]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"v1 " in client.recv(4096) + client.recv(4096)
    runner.ok("delete", "web")
    assert not os.path.exists(path)
