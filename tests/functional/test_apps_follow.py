"""What the runner tells a balancer of its apps, and what it makes of the balancer's reports."""

import http.client
import json
import os
import socket
import subprocess
from signal import SIGKILL

import pytest

from harness import wait
from harness.follower import Follower
from harness.runner import Runner

NODE = """
const http = require('http');
http.createServer((q, r) => r.end('node ' + process.pid)).listen(process.env.PORT);
"""
PYTHON = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"python %d" % os.getpid()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
PLAIN_C = r"""
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[argc - 1]))};
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    char in[4096], body[64], out[256];

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 64) != 0)
        return 1;
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (fd < 0 || read(fd, in, sizeof in) <= 0) {
            close(fd);
            continue;
        }
        snprintf(body, sizeof body, "c %d", (int)getpid());
        snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
        write(fd, out, strlen(out));
        close(fd);
    }
}
"""


@pytest.fixture
def runner():
    runner = Runner()
    yield runner
    runner.finish()


@pytest.fixture
def follow(runner):
    followers = []

    def make():
        followers.append(Follower(runner))
        return followers[-1]

    yield make
    for follower in followers:
        follower.close()


def ask(address):
    """The body of GET / at an address as the runner tells it."""
    if address.startswith("unix:"):
        client = http.client.HTTPConnection("localhost", timeout=10)
        client.sock = socket.socket(socket.AF_UNIX)
        client.sock.connect(address[5:])
    else:
        client = http.client.HTTPConnection(address, timeout=10)
    client.request("GET", "/")
    body = client.getresponse().read().decode()
    client.close()
    return body


def compile_c(runner, name="plain"):
    source = runner.file(f"{name}.c", PLAIN_C)
    subprocess.run(["cc", "-w", "-o", runner.dir / name, source], check=True)


def test_every_runtime_gets_addresses_of_its_own(runner, follow):
    """Node, Python and C: two instances each, at different addresses, ready when they accept."""
    runner.file("web.js", NODE)
    runner.file("web.py", PYTHON)
    compile_c(runner)
    runner.ok("start", "web.js", "--name", "n", "-i", "2", "--balance")
    runner.ok("start", "web.py", "--name", "p", "-i", "2", "--balance")
    runner.ok("start", "./plain", "--name", "c", "-i", "2", "--balance", "--", "{port}")
    runner.ok("start", "web.js", "--name", "s", "-i", "2", "--socket")
    follower = follow()
    seen = set()
    for name, word in (("n", "node"), ("p", "python"), ("c", "c"), ("s", "node")):
        instances = follower.wait_instances(name, 2)
        assert follower.status(name) == "online" and follower.states[name]["desired"] == 2
        answers = {ask(instance["address"]) for instance in instances}
        assert answers == {f"{word} {app['pid']}" for app in runner.list() if app["name"] == name}
        seen.update(instance["address"] for instance in instances)
    assert len(seen) == 8


def test_dead_and_deleted_leave_at_once(runner, follow):
    """kill -9 takes an instance out before its replacement is ready; a deleted app is gone."""
    runner.file("web.js", NODE)
    runner.ok("start", "web.js", "-i", "2", "--balance")
    follower = follow()
    before = follower.wait_instances("web", 2)
    os.kill(runner.app("web")["pid"], SIGKILL)
    wait.until(lambda: len(follower.lines) >= 3, "two changes")
    assert len(follower.lines[1]["instances"]) == 1 and follower.lines[1]["status"] == "online"
    after = follower.wait_instances("web", 2)
    assert {x["id"] for x in before} != {x["id"] for x in after}
    runner.ok("stop", "web")
    follower.wait_status("web", "failed")
    assert follower.states["web"]["reason"] == "it was stopped"
    runner.ok("delete", "web")
    follower.wait_status("web", "gone")


def test_starting_and_failed(runner, follow):
    """Between a crash and the next start there is hope; afterwards there is a reason."""
    runner.file("bad.js", "setTimeout(() => process.exit(3), 100)")
    follower = None
    process = runner.popen("start", "bad.js", "--balance", "--max-restarts", "2")
    wait.until(lambda: (runner.home / "control.sock").exists(), "the runner")
    follower = follow()
    follower.wait_status("bad", "starting")
    follower.wait_status("bad", "failed")
    assert "exited with code 3" in follower.states["bad"]["reason"]
    process.communicate()


def test_without_an_address(runner, follow):
    """An app that no balancer can reach says what to do; a fixed port is an address."""
    runner.ok("start", "sleep 1000", "--name", "s")
    follower = follow()
    follower.wait_status("s", "failed")
    assert "--balance" in follower.states["s"]["reason"]
    runner.ok("delete", "s")
    follower.wait_status("s", "gone")
    assert "port" in runner.fails("start", "sleep 1", "--balance", "--port", "5000")


def test_drains_before_it_is_signalled(runner, follow):
    """A reload waits for the requests on the old instance, as reported by who goes by the newest
    state; an older report that nothing is left is not believed."""
    runner.file("web.js", NODE)
    runner.ok("start", "web.js", "--balance")
    follower = follow()
    old, = follower.wait_instances("web", 1)
    follower.load("web", {old["id"]: 2})
    stale = follower.states["web"]["version"]
    reload = runner.popen("reload", "web")
    draining, = follower.wait_instances("web", 1, "draining")
    assert draining == dict(old, state="draining")
    new, = follower.wait_instances("web", 1)
    assert new["id"] != old["id"] and new["address"] != old["address"]
    follower.load("web", {old["id"]: 0}, version=stale)
    follower.load("web", {old["id"]: 1, new["id"]: 5})
    with pytest.raises(subprocess.TimeoutExpired):
        reload.wait(1)
    assert ask(old["address"]).startswith("node ")
    follower.load("web", {old["id"]: 0, new["id"]: 5})
    assert reload.wait(wait.TIMEOUT) == 0
    follower.wait_instances("web", 0, "draining")


def test_drain_has_a_budget(runner, follow):
    """drain_timeout ends the waiting for requests that never end."""
    runner.file("web.js", NODE)
    runner.ok("start", "web.js", "--balance", "--drain-timeout", "500")
    follower = follow()
    old, = follower.wait_instances("web", 1)
    follower.load("web", {old["id"]: 1})
    runner.ok("reload", "web")
    assert follower.wait_instances("web", 1)[0]["id"] != old["id"]


def test_websockets_have_a_budget_of_their_own(runner, follow):
    """Alone they hold an instance back only for drain_websocket_timeout; with a request, for
    drain_timeout."""
    runner.file("web.js", NODE)
    runner.ok("start", "web.js", "--balance", "--drain-timeout", "60s",
              "--drain-websocket-timeout", "300")
    follower = follow()
    old, = follower.wait_instances("web", 1)
    follower.load("web", {old["id"]: 3}, tunnels={old["id"]: 2})
    reload = runner.popen("reload", "web")
    follower.wait_instances("web", 1, "draining")
    with pytest.raises(subprocess.TimeoutExpired):
        reload.wait(1)
    follower.load("web", {old["id"]: 2}, tunnels={old["id"]: 2})
    assert reload.wait(wait.TIMEOUT) == 0
    follower.wait_instances("web", 0, "draining")


def test_all_followers_are_waited_for(runner, follow):
    """Two balancers: both must be done; one that dies with requests under way leaves the budget."""
    runner.file("web.js", NODE)
    runner.ok("start", "web.js", "--balance", "--drain-timeout", "60s")
    one, two = follow(), follow()
    old, = one.wait_instances("web", 1)
    two.wait_instances("web", 1)
    one.load("web", {old["id"]: 1})
    two.load("web", {old["id"]: 1})
    reload = runner.popen("reload", "web")
    one.wait_instances("web", 1, "draining")
    two.wait_instances("web", 1, "draining")
    one.load("web", {old["id"]: 0})
    with pytest.raises(subprocess.TimeoutExpired):
        reload.wait(1)
    two.load("web", {old["id"]: 0})
    assert reload.wait(wait.TIMEOUT) == 0


def test_wakes_what_is_not_started(runner, follow):
    """autostart off: idle until somebody asks for it; stopped by hand: not woken."""
    runner.file("web.js", NODE)
    runner.ok("start", "web.js", "--balance", "--no-autostart")
    follower = follow()
    follower.wait_status("web", "idle")
    follower.send(do="wake", app="web")
    follower.send(do="wake", app="web")
    follower.wait_instances("web", 1)
    assert runner.env("web")["restart_time"] == 0
    runner.ok("stop", "web")
    follower.wait_status("web", "failed")
    follower.send(do="wake", app="web")
    assert runner.status("web") == ["stopped"]


def test_who_does_not_read_is_dropped(runner, follow):
    """A follower that lets its lines pile up is left behind; the others go on."""
    deaf = socket.socket(socket.AF_UNIX)
    runner.file("web.js", NODE)
    runner.ok("start", "web.js", "--balance", "--no-autostart")
    deaf.connect(str(runner.home / "control.sock"))
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.sendall(b'{"command":"app","do":"follow"}\n')
    good = follow()
    for i in range(40):
        name = "x" * 100 + str(i)
        apps = [{"name": f"{name}-{j}", "script": "sleep 1000", "autostart": False}
                for j in range(100)]
        runner.ecosystem(*apps)
        runner.ok("start", "apps.json")
        runner.ok("delete", f"/^{name}/")
    deaf.settimeout(wait.TIMEOUT)
    size = 0
    while chunk := deaf.recv(1 << 20):
        size += len(chunk)
    deaf.close()
    assert 0 < size < 2 << 20
    good.wait_status("web", "idle")
    assert not good.ended


def test_nonsense_from_a_follower(runner, follow):
    """What makes no sense is nothing."""
    runner.ok("start", "sleep 1000", "--name", "s")
    follower = follow()
    follower.wait_status("s", "failed")
    for line in (b"{", b"[]", b'{"do":"load"}', b'{"do":"load","app":"s","active":[1]}',
                 b'{"do":"load","app":"s","active":{"x":-1,"0":9e99},"requests":"many"}',
                 b'{"do":"wake","app":7}', b"\0\xff"):
        follower.socket.sendall(line + b"\n")
    assert runner.status("s") == ["online"]
    assert not follower.ended


def apply(runner, source, *apps, **more):
    """What a balancer asks for its configuration's apps: (done, reason)."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(runner.home / "control.sock"))
    client.settimeout(wait.TIMEOUT * 4)
    request = dict(command="app", do="apply", source=source, apps=apps, **more)
    client.sendall(json.dumps(request).encode() + b"\n")
    with client.makefile() as lines:
        answer = json.loads(lines.readline())
    client.close()
    return answer["ok"], (answer.get("result") or answer).get("message", "")


def spec(runner, name, script="web.js", **more):
    return dict(name=name, script=script, cwd=str(runner.dir), balance=True, **more)


def pids(runner, name):
    return [app["pid"] for app in runner.list() if app["name"] == name]


def test_apply_makes_it_so(runner):
    """New apps start, changed ones roll, counts change by the difference, the rest is left alone;
    what is not named goes, and what others have started does not matter."""
    runner.file("web.js", NODE)
    runner.ok("start", "sleep 1000", "--name", "mine")
    one, two = spec(runner, "one"), spec(runner, "two", instances=2)
    assert apply(runner, "/a.conf", one, two) == (True, "")
    before = {name: pids(runner, name) for name in ("one", "two", "mine")}
    assert [len(found) for found in before.values()] == [1, 2, 1]
    assert apply(runner, "/a.conf", one, two) == (True, "")
    assert {name: pids(runner, name) for name in before} == before
    assert apply(runner, "/a.conf", dict(one, env={"A": "1"}), dict(two, instances=3)) == (True, "")
    assert set(pids(runner, "two")) > set(before["two"]) and len(pids(runner, "two")) == 3
    assert pids(runner, "one") != before["one"]
    assert apply(runner, "/b.conf", spec(runner, "three")) == (True, "")
    assert apply(runner, "/a.conf", two) == (True, "")
    assert {app["name"] for app in runner.list()} == {"two", "three", "mine"}
    assert pids(runner, "mine") == before["mine"]
    done, why = apply(runner, "/a.conf", two, spec(runner, "mine"), spec(runner, "three"))
    assert not done and "the command line" in why and "/b.conf" in why
    runner.ok("save")
    saved = json.loads((runner.home / "dump.json").read_text())
    assert [app["spec"]["name"] for app in saved["apps"]] == ["mine"]


def test_apply_of_a_broken_version(runner):
    """The old instances stay, the reason is told with the last lines, and the same is tried again
    by the next apply."""
    runner.file("web.js", NODE)
    runner.ok("ping")
    good = spec(runner, "web", instances=2)
    assert apply(runner, "/a.conf", good) == (True, "")
    before = pids(runner, "web")
    runner.file("bad.js", "console.error('no such table'); process.exit(7)")
    for _ in range(2):
        done, why = apply(runner, "/a.conf", dict(good, script="bad.js"))
        assert not done and "exited with code 7" in why and "no such table" in why
        assert pids(runner, "web") == before
    assert apply(runner, "/a.conf", good) == (True, "")
    assert pids(runner, "web") == before


def test_rolls_in_parallel(runner, follow):
    """--parallel 3: three at a time, and never fewer ready than there were."""
    runner.file("web.js", NODE)
    runner.ok("start", "web.js", "-i", "4", "--balance")
    follower = follow()
    before = {x["id"] for x in follower.wait_instances("web", 4)}
    runner.ok("reload", "web", "--parallel", "3")
    follower.wait_instances("web", 4)
    ready = [sum(x["state"] == "ready" for x in line["instances"]) for line in follower.lines]
    assert min(ready) == 4 and max(ready) > 4
    assert before.isdisjoint({x["id"] for x in follower.instances("web")})


def test_restart_of_one_rolls(runner, follow):
    """An app with an address of its own has its successor beside it, also when there is only one."""
    runner.file("web.js", NODE)
    runner.ok("start", "web.js", "--balance")
    follower = follow()
    follower.wait_instances("web", 1)
    runner.ok("restart", "web")
    assert all(line["status"] == "online" for line in follower.lines)
    runner.file("web.js", "process.exit(1)")
    assert "exited with code 1" in runner.fails("restart", "web")
    assert ask(follower.instances("web")[0]["address"]).startswith("node ")


def test_why(runner, follow):
    """pelayan why, and what a balancer's log will say: instance, exit code, memory, last lines."""
    runner.file("bad.py", "import sys\nsys.exit('no database')")
    runner.run("start", "bad.py", "--balance", "--max-restarts", "1")
    runner.ok("start", "sleep 1000", "--name", "good")
    runner.wait_status("bad", "errored")
    text = runner.ok("why", "bad")
    assert "bad (0): errored" in text and "exited with code 1" in text
    assert "no database" in text and "MB of memory" in text
    assert "nothing has gone wrong" in runner.ok("why")
    end = json.loads(runner.ok("why", "bad", "--json"))[0]["pm2_env"]["last_end"]
    assert end["memory_peak"] > 1 << 20 and end["ended_at"] >= end["started_at"]
    follower = follow()
    follower.wait_status("bad", "failed")
    reason = follower.states["bad"]["reason"]
    assert "instance 0: exited with code 1" in reason and '"no database"' in reason
    assert "MB of memory" in reason
    runner.ok("stop", "good")
    assert "somebody stopped it" in runner.ok("why", "good")


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="this machine has no IPv6")
def test_an_app_on_localhost_may_be_on_six_only(runner, follow):
    """What listens on ::1 alone is found and told there."""
    runner.file("web.js", NODE.replace("process.env.PORT", "process.env.PORT, '::1'"))
    runner.ok("start", "web.js", "--balance")
    follower = follow()
    instance, = follower.wait_instances("web", 1)
    assert instance["address"].startswith("[::1]:")
    assert ask(instance["address"]).startswith("node ")
