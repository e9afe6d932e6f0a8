"""Instances that hang or grow are replaced, gracefully where another can take over."""

import http.client
import socket

from harness import wait
from harness.process import freeze

WEB = """
const http = require('http');
const server = http.createServer((q, r) => {
  if (q.url === '/hang') { r.end('hanging', () => { for (;;); }); return; }
  if (q.url === '/sick') { sick = true; r.end(); return; }
  r.statusCode = sick && q.url === '/health' ? 503 : 200;
  r.end('pid ' + process.pid);
});
let sick = process.env.ILL === '1' && require('fs').existsSync('ill');
server.listen(process.env.PORT);
process.on('SIGINT', () => server.close(() => process.exit(0)));
"""


def ask(path, where):
    """The status of a GET over a unix socket or a port."""
    client = http.client.HTTPConnection("localhost", timeout=wait.TIMEOUT)
    if isinstance(where, int):
        client.sock = socket.create_connection(("127.0.0.1", where), wait.TIMEOUT)
    else:
        client.sock = socket.socket(socket.AF_UNIX)
        client.sock.settimeout(wait.TIMEOUT)
        client.sock.connect(where)
    client.request("GET", path, headers={"Connection": "close"})
    status = client.getresponse().status
    client.close()
    return status


LIVE = ("--live-interval", "50", "--live-timeout", "5000", "--live-failures", "2")
HANG = ("--live-interval", "50", "--live-timeout", "1500", "--live-failures", "2")


def test_hung_http(runner, port):
    """An endless loop: no answer in time, so often; another one comes, and it is said why."""
    runner.file("web.js", WEB)
    runner.ok("start", "web.js", "--port", port, "--ready", "tcp", "--live", "http /health", *HANG,
              "--kill-timeout", "200")
    first = runner.app("web")["pid"]
    assert ask("/hang", port) == 200
    wait.until(lambda: runner.app("web")["pid"] not in (0, first), "another process")
    runner.wait_status("web", "online")
    assert runner.env("web")["restart_time"] >= 1
    assert 'hung: "live http /health" failed 2 times' in runner.env("web")["reason"]
    assert ask("/health", port) == 200


def test_one_of_two_is_replaced_beside(runner):
    """Each has a socket: the successor is ready before the hung one goes; the other one stays."""
    runner.file("web.js", WEB)
    runner.ok("start", "web.js", "-i", "2", "--socket", "--ready", "http /", "--live",
              "http /health", *LIVE, "--kill-timeout", "200")
    first, second = (app["pid"] for app in runner.list())
    path = runner.env("web")["socket"]
    ask("/sick", path)
    wait.until(lambda: runner.env("web")["socket"] != path, lambda: f"a successor: {runner.list()} {runner.log()}")
    runner.wait_status("web", "online", "online")
    assert runner.app("web")["pid"] != first and runner.app("web", 1)["pid"] == second
    wait.until(lambda: first not in runner.alive(), "the sick one to go")
    assert "hung" in runner.env("web")["reason"] and runner.env("web")["restart_time"] == 1


def test_successors_that_fail(runner):
    """If no successor becomes ready, the one that is ill is at last restarted itself."""
    runner.file("web.js", WEB)
    runner.ok("start", "web.js", "--socket", "--ready", "http /health", "--live", "http /health",
              *LIVE, "--listen-timeout", "3000", "--kill-timeout", "200", ILL="1")
    first = runner.app("web")["pid"]
    runner.file("ill", "")
    ask("/sick", runner.env("web")["socket"])
    wait.until(lambda: "the change was given up" in runner.log(), "a successor to fail")
    wait.until(lambda: first not in runner.alive(), "the first one to be stopped")
    (runner.dir / "ill").unlink()
    wait.until(lambda: runner.status("web") == ["online"], "a healthy one")


def test_live_exec_and_update(runner):
    """A command tells; that goes on after the update of the runner."""
    flag = runner.file("well", "")
    runner.ok("start", "sleep 1000", "--name", "s", "--live", f"exec test -e {flag}", *LIVE)
    first = runner.app("s")["pid"]
    runner.ok("update", "-s")
    assert runner.app("s")["pid"] == first
    flag.unlink()
    wait.until(lambda: runner.env("s")["restart_time"] >= 1, "a restart")
    flag.touch()


def test_stopped_by_somebody(runner, port):
    """A process that was frozen accepts, for the kernel does that, but never answers."""
    runner.file("web.js", WEB)
    runner.ok("start", "web.js", "--port", port, "--ready", "tcp", "--live", "http /", *HANG,
              "--kill-timeout", "100")
    first = runner.app("web")["pid"]
    freeze(first)
    wait.until(lambda: runner.app("web")["pid"] not in (0, first), "another process")


def test_what_live_cannot_be(runner):
    assert "must be" in runner.fails("start", "x.js", "--live", "notify")
    assert "needs a" in runner.fails("start", "sleep 9", "--name", "s", "--live", "tcp")
    runner.file("w.js", "")
    error = runner.fails("start", "w.js", "-i", "2", "--port", "1", "--live", "http /")
    assert "cannot tell the workers of a cluster apart" in error and "socket" in error


LEAKS = """
import os, socket, sys, time
sock = socket.socket(socket.AF_UNIX)
sock.bind(os.environ["PORT"]); sock.listen()
kept = []
while not os.path.exists("leak"): time.sleep(0.05)
kept.append(bytearray(50_000_000))
time.sleep(1000)
"""


def test_large_one_is_replaced_beside(runner):
    """More than one sample over max_memory_restart: a successor first, then it goes."""
    runner.file("leaks.py", LEAKS)
    runner.ok("start", "leaks.py", "--socket", "--ready", "tcp", "--max-memory-restart", "40M")
    first = runner.app("leaks")["pid"]
    flag = runner.file("leak", "")
    wait.until(lambda: runner.app("leaks")["pid"] not in (0, first), "a successor")
    flag.unlink()
    wait.until(lambda: first not in runner.alive(), "the large one to go")
    assert "more than max_memory_restart" in runner.env("leaks")["reason"]


def test_a_peak_is_no_reason(runner):
    """Large for less than two samples: it goes on."""
    runner.file("peak.py", """
import time
for _ in range(3):
    x = bytearray(40_000_000)
    del x
    time.sleep(0.7)
print("done", flush=True)
time.sleep(1000)
""")
    runner.ok("start", "peak.py", "--max-memory-restart", "35M")
    first = runner.app("peak")["pid"]
    runner.wait_output("peak", "done")
    assert runner.app("peak")["pid"] == first
