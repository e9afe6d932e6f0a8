"""Apps and the balancer together: under a steady stream of requests no change of an app loses one."""

import collections
import os
import re
import subprocess
import threading
from signal import SIGKILL, SIGUSR2

import pytest

from harness import wait
from harness.client import Client
from harness.runner import Runner
from harness.terminal import on_terminal

# Each answers with its pid and what was posted, after a moment.
NODE = """
const http = require('http');
http.createServer((q, r) => {
  let body = '';
  q.on('data', (d) => body += d);
  q.on('end', () => setTimeout(() => r.end(process.pid + ' ' + body), DELAY));
}).listen(process.env.PORT);
"""
PYTHON = """
import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(DELAY / 1000)
        body = b"%d %s" % (os.getpid(), body)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
PLAIN_C = r"""
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
static void serve(int fd)
{
    static char in[65536], out[66000];
    size_t len = 0, wanted = 0;
    char *body = NULL;

    while (len < sizeof in - 1) {
        ssize_t got = read(fd, in + len, sizeof in - 1 - len);
        if (got <= 0)
            return;
        in[len += (size_t)got] = 0;
        if (body == NULL && (body = strstr(in, "\r\n\r\n")) != NULL) {
            char *length = strcasestr(in, "\r\ncontent-length:");
            wanted = length == NULL ? 0 : (size_t)strtoul(length + 17, NULL, 10);
            body += 4;
        }
        if (body != NULL && len >= (size_t)(body - in) + wanted)
            break;
    }
    usleep(DELAY * 1000);
    char text[64];
    int pid = snprintf(text, sizeof text, "%d ", (int)getpid());
    int n = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s%.*s",
                     (size_t)pid + wanted, text, (int)wanted, body);
    if (write(fd, out, (size_t)n) != n)
        return;
}
int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(getenv("PORT")))};
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

    signal(SIGPIPE, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 128) != 0)
        return 1;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0) {
            serve(fd);
            close(fd);
        }
    }
}
"""
RUNTIMES = ("node", "python", "c")


class Traffic:
    """GETs and POSTs in turn from some clients, as long as the block lasts; each that does not come
    back with 200 and its own body is in `failed`."""

    CLIENTS = 6
    PAUSE = 0.02

    def __init__(self, site):
        self.address = site.address_of("port")
        self.failed = []  # (method, what happened)
        self.counts = collections.Counter()
        self.enough = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True)
                        for i in range(self.CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait.until(lambda: self.counts["GET"] > 5 and self.counts["POST"] > 5, "traffic")
        return self

    def __exit__(self, *_):
        self.more(20)
        self.enough.set()
        for thread in self.threads:
            thread.join()

    def more(self, count):
        """Waits for so many requests more."""
        until = sum(self.counts.values()) + count
        wait.until(lambda: sum(self.counts.values()) >= until, "more traffic")

    def run(self, number):
        client = None
        turn = number
        while not self.enough.wait(self.PAUSE):
            method = ("GET", "POST")[turn % 2]
            turn += 1
            client = self.ask(client, method, f"{number}-{turn}" if method == "POST" else "")
            if client is not None and turn % 5 == 0:
                client.close()
                client = None
        if client is not None:
            client.close()

    def ask(self, client, method, body):
        try:
            client = client or Client(self.address, wait.TIMEOUT * 2)
            answer = client.get("/", method=method, body=body.encode() if body else None)
            if answer.status != 200 or answer.text.split(" ", 1)[1] != body:
                self.failed.append((method, f"{answer.status} {answer.text[:80]!r}"))
            if (answer.headers.get("Connection") or "").lower() == "close":
                client.close()
                client = None
        except Exception as error:
            self.failed.append((method, repr(error)))
            if client is not None:
                client.close()
            client = None
        self.counts[method] += 1
        return client


@pytest.fixture
def runner():
    runner = Runner()
    yield runner
    runner.finish()


@pytest.fixture
def balanced(runner, pelayan):
    """balanced(runtime, more directives): a site whose / is the app "web"."""

    def start(runtime, more="instances 2;", delay=2):
        main = f"apps {{ home {runner.home}; app web {{ directory {runner.dir}; {more} " \
               f"{command(runner, runtime, delay)} }} }}"
        site = pelayan.run(main=main, http="server { location / { proxy_pass http://web; } }",
                           env=runner.environment())
        wait.until(lambda: site.get("/", timeout=wait.TIMEOUT * 3).status == 200,
                   "the first answer", wait.TIMEOUT * 3)
        return site

    return start


def command(runner, runtime, delay=2):
    if runtime == "node":
        runner.file("web.js", f"const DELAY = {delay};{NODE}")
        return "command node web.js;"
    if runtime == "python":
        runner.file("web.py", f"DELAY = {delay}\n{PYTHON}")
        return "command python3 web.py;"
    source = runner.file("web.c", f"#define _GNU_SOURCE\n#define DELAY {delay}\n{PLAIN_C}")
    subprocess.run(["cc", "-w", "-o", runner.dir / "web", source], check=True)
    return "command ./web;"


def pids(runner):
    return {app["pid"] for app in runner.list() if app["name"] == "web"}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_changes_lose_no_request(balanced, runner, runtime):
    """reload, restart, scale up and down: all of a stream of GETs and POSTs are answered."""
    site = balanced(runtime)
    before = pids(runner)
    with Traffic(site) as traffic:
        runner.ok("reload", "web")
        traffic.more(20)
        assert before.isdisjoint(pids(runner))
        runner.ok("restart", "web")
        runner.ok("scale", "web", "4")
        traffic.more(20)
        runner.ok("scale", "web", "1")
        traffic.more(40)
    assert traffic.failed == [], site.error_log()[-3000:]
    assert runner.status("web") == ["online"]


def test_a_new_configuration_loses_no_request(balanced, runner):
    """A changed app in the file: reload replaces its instances under load."""
    site = balanced("node")
    before = pids(runner)
    text = site.conf.read_text()
    with Traffic(site) as traffic:
        for value in ("one", "two"):
            site.conf.write_text(text.replace("instances 2;", f"instances 2; env A {value};"))
            site.reload()
            traffic.more(10)
    assert traffic.failed == [], site.error_log()[-3000:]
    assert before.isdisjoint(pids(runner))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_kill_9_loses_no_request_that_may_be_repeated(balanced, runner, runtime):
    """GETs on a killed instance are asked of another one; a POST that it may have had is a 502."""
    site = balanced(runtime, "instances 2; min_uptime 0;", delay=10)
    with Traffic(site) as traffic:
        for _ in range(3):
            os.kill(min(pids(runner) - {0}), SIGKILL)
            wait.until(lambda: runner.status("web") == ["online", "online"], "a replacement")
            traffic.more(10)
    assert [end for end in traffic.failed if end[0] == "GET"] == [], site.error_log()[-3000:]
    assert all(what.startswith("502") for _, what in traffic.failed), traffic.failed
    assert len(traffic.failed) <= 3 * Traffic.CLIENTS


def test_the_only_instance_dies(balanced, runner):
    """Requests wait for its replacement."""
    site = balanced("node", "instances 1; min_uptime 0;")
    os.kill(min(pids(runner)), SIGKILL)
    assert site.get("/").status == 200


def test_sleeps_and_is_woken_once(balanced, runner):
    """idle_timeout stops it; requests that come at once are held, start it once, and are answered."""
    site = balanced("node", "instances 1; idle_timeout 1s;")
    runner.wait_status("web", "stopped")
    restarts = runner.env("web")["restart_time"]
    answers = [site.get_later("/") for _ in range(8)]
    results = [answer.result(wait.TIMEOUT * 2) for answer in answers]
    assert [result.status for result in results] == [200] * 8
    assert len({result.text.split()[0] for result in results}) == 1
    assert runner.env("web")["restart_time"] == restarts
    runner.ok("stop", "web")
    assert site.get("/").status == 502
    site.wait_for_log("it was stopped")


def test_grows_and_shrinks(balanced, runner):
    """instances 1..3: more while requests pile up, one again after quiet; none is lost."""
    site = balanced("node", "instances 1..3; scale_up_at 1; scale_down_after 2s;", delay=100)
    with Traffic(site) as traffic:
        wait.until(lambda: len(runner.status("web")) >= 2, "it to grow", wait.TIMEOUT * 2)
    assert traffic.failed == [], site.error_log()[-3000:]
    wait.until(lambda: runner.status("web") == ["online"], "it to shrink", wait.TIMEOUT * 2)
    with Traffic(site) as traffic:
        traffic.more(5)
    assert traffic.failed == []


def test_an_upstream_of_apps(runner, pelayan):
    """upstream { app NAME; } with an app that somebody else has started."""
    runner.ok("start", command_line(runner), "--name", "mine", "--balance", "-i", "2")
    site = pelayan.run(
        main=f"apps {{ home {runner.home}; }}",
        http="upstream u { app mine; } server { location / { proxy_pass http://u; } }",
        env=runner.environment())
    wait.until(lambda: site.get("/").status == 200, "the first answer")
    found = {site.get("/").text.split()[0] for _ in range(20)}
    assert found == {str(app["pid"]) for app in runner.list()}
    before = found
    with Traffic(site) as traffic:
        runner.ok("reload", "mine")
    assert traffic.failed == [], site.error_log()[-3000:]
    assert before.isdisjoint({str(app["pid"]) for app in runner.list()})
    site.stop()
    assert len(runner.status("mine")) == 2


def command_line(runner):
    command(runner, "node")
    return "web.js"


def test_upgrade_of_the_master(balanced, runner):
    """USR2 under load: the new program follows the same runner; no request and no process is lost."""
    site = balanced("node")
    before = pids(runner)
    with Traffic(site) as traffic:
        site.signal(SIGUSR2)
        site.wait_for_log("configuration 2 is served")
        traffic.more(20)
    assert traffic.failed == [], site.error_log()[-3000:]
    assert pids(runner) == before


def test_update_of_the_runner(balanced, runner):
    """pelayan update under load: the master follows the runner that takes over."""
    site = balanced("node")
    before = pids(runner)
    with Traffic(site) as traffic:
        runner.ok("update")
        traffic.more(20)
        runner.ok("reload", "web")
    assert traffic.failed == [], site.error_log()[-3000:]
    assert before.isdisjoint(pids(runner))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_how_many_requests_and_how_fast(balanced, runner, runtime):
    """Each instance's requests are counted, over an update of the runner too; their rate and mean
    latency are shown by monit, on a narrow screen too, and by describe."""
    site = balanced(runtime, "instances 2;", delay=20)

    def requests(key):
        return [app["requests"][key] for app in runner.list()]

    with Traffic(site) as traffic:
        wait.until(lambda: min(requests("per_second")) > 0, "a rate")
        assert min(requests("latency_ms")) >= 20 and max(requests("latency_ms")) < 10000
        runner.ok("update")
        assert min(requests("total")) > 0
        traffic.more(50)
        for columns in (200, 60):
            text = on_terminal(runner, "monit", columns=columns, until="quit")
            assert "req/s" in text and "latency" in text and "ms " in text
        assert re.search(r"latency +[0-9.]+ms", runner.ok("describe", "web"))
    assert traffic.failed == []
    answered = traffic.counts["GET"] + traffic.counts["POST"]
    wait.until(lambda: answered * 0.5 < sum(requests("total")) <= answered + 2, "all to be counted")
    wait.until(lambda: max(requests("per_second")) == 0, "silence", wait.TIMEOUT * 2)
    assert runner.ok("ls", "--sort", "requests:desc").count("web") == 2
    assert "req/s" not in runner.ok("ls")


# Echoes what comes over a WebSocket (here without its frames); closes it when it is told to stop.
SOCKETS = """
const http = require('http');
const open = new Set();
const server = http.createServer((q, r) => r.end(process.pid + ' '));
server.on('upgrade', (q, socket) => {
  open.add(socket);
  socket.on('error', () => {}).on('end', () => socket.end()).on('close', () => open.delete(socket));
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: echo\\r\\n' +
               'Connection: Upgrade\\r\\n\\r\\n');
  socket.on('data', (d) => socket.write(process.pid + ' ' + d));
});
process.on('SIGINT', () => { for (const s of open) s.end('bye'); server.close(() => process.exit(0)); });
server.listen(process.env.PORT);
"""


def test_a_websocket_does_not_hold_up_a_reload(runner, pelayan):
    """It goes on while its instance drains, until drain_websocket_timeout; then the app closes it as
    it likes, and new ones are the new instance's."""
    runner.file("sockets.js", SOCKETS)
    site = pelayan.run(
        main=f"""apps {{ home {runner.home}; app web {{ directory {runner.dir}; command node sockets.js;
            drain_timeout 10m; drain_websocket_timeout 1500ms; }} }}""",
        http="server { location / { proxy_pass http://web; } }", env=runner.environment())
    wait.until(lambda: site.get("/", timeout=wait.TIMEOUT * 3).status == 200, "the first answer",
               wait.TIMEOUT * 3)
    old, = pids(runner)
    with site.connect() as client:
        assert client.upgrade("/", "echo").status == 101
        reload = runner.popen("reload", "web")
        wait.until(lambda: site.get("/").text != f"{old} ", "the new instance")
        client.send(b"still")
        assert client.read(len(f"{old} still")) == f"{old} still".encode()
        assert client.read_all() == b"bye"
    assert reload.wait(wait.TIMEOUT * 2) == 0
    reload.communicate()
    new, = pids(runner)
    with site.connect() as client:
        assert new != old and client.upgrade("/", "echo").status == 101
        client.send(b"hello")
        assert client.read(len(f"{new} hello")) == f"{new} hello".encode()
