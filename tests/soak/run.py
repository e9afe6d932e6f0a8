#!/usr/bin/python3
"""Everything at once for SOAK_SECONDS (600): keep-alive, churn, WebSockets, uploads, downloads,
reloads, an app that is deployed anew and killed. Ends with 0 if

- every request is accounted for: sent = answered + failures that have a name,
- none failed but what a killed app had in its hands (and those are few),
- the worker holds no more descriptors than before,
- its memory is within 2% of what it was in the middle of the run (and a megabyte, for short runs).
"""

import collections
import json
import os
import random
import statistics
import sys
import threading
import time
from pathlib import Path
from signal import SIGKILL

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/functional"))
os.environ.setdefault("PELAYAN_BIN", str(ROOT / "build/pelayan"))

from harness import wait  # noqa: E402
from harness.backend import Answer, Backend  # noqa: E402
from harness.ports import Port  # noqa: E402
from harness.process import descriptors, memory_kib  # noqa: E402
from harness.runner import Runner  # noqa: E402
from harness.site import Site  # noqa: E402

SECONDS = int(os.environ.get("SOAK_SECONDS", "600"))
GROWTH = 0.02
GROWTH_KIB = 1024
APP = """
const http = require('http');
http.createServer((q, r) => r.end('app ' + process.pid)).listen(process.env.PORT);
process.on('SIGINT', () => process.exit(0));
"""
FILE = bytes(range(256)) * 8192


class Account:
    """What was sent and how it ended, by kind."""

    def __init__(self):
        self.lock = threading.Lock()
        self.sent = collections.Counter()
        self.ends = collections.Counter()

    def run(self, kind, act):
        """act() does one request; its exception is the name of the failure."""
        with self.lock:
            self.sent[kind] += 1
        try:
            end = act() or "answered"
        except Exception as error:
            end = f"{type(error).__name__}: {str(error)[:80]}"
        with self.lock:
            self.ends[kind, end] += 1


class Soak:
    def __init__(self):
        self.over = threading.Event()
        self.account = Account()
        self.samples = []
        self.runner = Runner()
        self.app_port = Port()
        self.backend = Backend(self.answer)
        self.start_app()
        self.site = Site(**self.conf(0))
        self.site.file("html/file", FILE)
        self.site.start()
        self.site.wait_for_log("configuration 1 is served")
        self.worker = self.site.workers()[0]

    # -- the cast

    def answer(self, request):
        if request.target.startswith("/ws"):
            return Answer(status=101, echo=True)
        if request.target.startswith("/upload"):
            return str(len(request.body))
        return "backend"

    def start_app(self):
        self.runner.file("web.js", APP)
        self.runner.ok("start", "web.js", "-i", "2", PORT=str(self.app_port.number))
        self.runner.wait_status("web", "online", "online")

    def conf(self, generation):
        return dict(
            main="worker_processes 2;",
            events="worker_connections 1024;",
            http=f"""client_max_body_size 0; keepalive_timeout 5s;
                upstream app {{ server 127.0.0.1:{self.app_port.number} max_fails=0;
                    keepalive_timeout 1s; }}
                upstream backend {{ server {self.backend.address} max_fails=0; keepalive_timeout 1s; }}
                server {{ root {{dir}}/html; location = /generation {{ return 200 {generation}; }}
                    location /file {{ gzip off; }}
                    location /app {{ proxy_pass http://app; proxy_next_upstream_tries 0; }}
                    location / {{ proxy_pass http://backend; }} }}""",
        )

    # -- the parts; each is a loop of its own thread

    def keep_alive(self):
        with self.site.connect() as client:
            for _ in range(100):
                if self.over.is_set():
                    return
                self.account.run("keep-alive", lambda: self.want(client.get("/"), "backend"))
                self.account.run("file head", lambda: self.want(client.get("/file", method="HEAD"), ""))
        self.site.clients.remove(client)

    def churn(self):
        def once():
            with self.site.connect() as client:
                self.want(client.get("/"), "backend")
            self.site.clients.remove(client)

        self.account.run("churn", once)

    def websocket(self):
        def once():
            with self.site.connect() as client:
                answer = client.upgrade("/ws")
                assert answer.status == 101, answer.status
                for _ in range(20):
                    piece = random.randbytes(random.randrange(1, 5000))
                    client.send(piece)
                    assert client.read(len(piece)) == piece
            self.site.clients.remove(client)

        self.account.run("websocket", once)

    def upload(self):
        def once():
            size = random.choice((100, 30_000, 2_000_000))
            body = bytes(size) if random.random() < 0.5 else [bytes(size // 4)] * 4
            with self.site.connect() as client:
                self.want(client.get("/upload", method="POST", body=body), str(size))
            self.site.clients.remove(client)

        self.account.run("upload", once)

    def download(self):
        def once():
            with self.site.connect() as client:
                assert client.get("/file").body == FILE
            self.site.clients.remove(client)

        self.account.run("download", once)

    def ask_app(self):
        def once():
            with self.site.connect() as client:
                answer = client.get("/app")
            self.site.clients.remove(client)
            if answer.status in (502, 504):
                return f"{answer.status} while an app was down"
            assert answer.status == 200 and answer.text.startswith("app "), answer

        self.account.run("app", once)

    def reload(self, pause=2):
        for generation in range(1, 1 << 30):
            if self.over.wait(pause):
                return
            self.site.reload(**self.conf(generation))
            self.account.run(
                "reload", lambda: self.want(self.site.get("/generation"), str(generation))
            )

    def deploy(self, pause=10):
        while not self.over.wait(pause):
            self.account.run("deploy", lambda: self.runner.ok("reload", "web") and None)

    def kill(self, pause=7):
        while not self.over.wait(pause):
            pids = [app["pid"] for app in self.runner.list() if app["pid"]]
            if len(pids) == 2:
                os.kill(random.choice(pids), SIGKILL)

    def sample(self):
        while not self.over.wait(0.5):
            self.samples.append(memory_kib(self.worker))

    @staticmethod
    def want(answer, text):
        assert answer.status == 200 and (not text or answer.text == text), answer

    # -- the run

    def again(self, act):
        while not self.over.is_set():
            act()

    def run(self):
        parts = [self.keep_alive] * 2 + [self.churn, self.websocket, self.upload, self.download]
        threads = [threading.Thread(target=self.again, args=(part,)) for part in parts + [self.ask_app]]
        threads += [
            threading.Thread(target=part)
            for part in (self.reload, self.deploy, self.kill, self.sample)
        ]
        self.site.get("/")
        before = descriptors(self.worker)
        for thread in threads:
            thread.start()
        self.over.wait(SECONDS)
        self.over.set()
        for thread in threads:
            thread.join()
        self.check(before)

    def check(self, before):
        account, failures = self.account, []
        sent, ended = account.sent, collections.Counter()
        for (kind, _), count in account.ends.items():
            ended[kind] += count
        if sent != ended:
            failures.append(f"sent {dict(sent)}, ended {dict(ended)}")
        bad = {f"{kind}: {end}": n for (kind, end), n in account.ends.items() if end != "answered"}
        unexplained = {end: n for end, n in bad.items() if "while an app was down" not in end}
        if unexplained:
            failures.append(f"failed without a reason: {unexplained}")
        if sum(bad.values()) > sent["app"] * 0.02 + 2:
            failures.append(f"too many failures for a killed app: {bad}")
        try:
            wait.until(lambda: descriptors(self.worker) <= before + 4, "descriptors", wait.TIMEOUT * 2)
        except wait.TooLong:
            failures.append(f"descriptors: {before} before, {descriptors(self.worker)} after")
        if self.site.workers() != [self.worker]:
            failures.append(f"worker {self.worker} became {self.site.workers()}")
        tenth = max(1, len(self.samples) // 10)
        middle = statistics.median(self.samples[len(self.samples) // 2 - tenth :][: 2 * tenth])
        end = statistics.median(self.samples[-tenth:])
        if end > middle * (1 + GROWTH) + GROWTH_KIB:
            failures.append(f"memory: {middle:.0f} KiB in the middle, {end:.0f} KiB at the end")
        summary = dict(
            seconds=SECONDS, sent=dict(sent), not_answered=bad, memory_kib=[middle, end],
            descriptors=[before, descriptors(self.worker)], failures=failures,
        )  # fmt: skip
        print(json.dumps(summary, indent=2))
        self.failed = bool(failures)

    def finish(self):
        try:
            self.site.stop()
        finally:
            self.site.remove()
            self.backend.finish()
            self.runner.finish()
            self.app_port.release()


def main():
    soak = Soak()
    try:
        soak.run()
    finally:
        soak.over.set()
        soak.finish()
    return 1 if soak.failed else 0


if __name__ == "__main__":
    sys.exit(main())
