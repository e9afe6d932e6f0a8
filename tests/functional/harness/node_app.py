"""A real Node app, and steady load with an account of how every request ended."""

import collections
import contextlib
import os
import signal
import subprocess
import threading
import time

from . import wait
from .client import Client
from .ports import Port
from .site import ROOT

APP = ROOT / "examples/hello/app.js"


class NodeApp:
    """examples/hello/app.js as a process of its own."""

    def __init__(self, name):
        self.name = name
        self.claim = Port()
        self.process = None
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.claim.number}"

    def start(self):
        """Returns at once; wait_until_ready() is for those who want the app to answer."""
        self.process = subprocess.Popen(
            ["node", APP],
            env=dict(os.environ, NAME=self.name, PORT=str(self.claim.number)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait_until_ready(self):
        def accepts():
            with contextlib.suppress(OSError):
                Client(("127.0.0.1", self.claim.number), 1).close()
                return True

        wait.until(accepts, f"app {self.name} to accept", wait.TIMEOUT * 3)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def finish(self):
        self.kill()
        self.claim.release()


class Load:
    """`rate` GETs a second to a site for as long as the block lasts. Half of the clients keep their
    connection, the others make a new one each time.

        with Load(site, rate=200) as load:
            ...
        assert load.failed == []
    """

    CLIENTS = 10

    def __init__(self, site, rate=200, path="/", **request):
        self.site = site
        self.pause = self.CLIENTS / rate
        self.path = path
        self.request = request
        self.ends = collections.Counter()  # status or kind of failure
        self.failed = []  # a text each
        self.slowest = 0.0
        self.begin = time.monotonic()
        self.enough = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(self.CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.enough.set()
        for thread in self.threads:
            thread.join()

    @property
    def count(self):
        return sum(self.ends.values())

    def run(self, number):
        keeps = number % 2 == 0
        address = self.site.address_of("port")
        client = None
        due = time.monotonic() + self.pause * number / self.CLIENTS
        while not self.enough.wait(max(0, due - time.monotonic())):
            due += self.pause
            client = self.ask(client, address)
            if client is not None and not keeps:
                client.close()
                client = None
        if client is not None:
            client.close()

    def ask(self, client, address):
        """One request; returns the connection if it can be used again."""
        begin = time.monotonic()
        try:
            if client is None:
                client = Client(address)
            answer = client.get(self.path, **self.request)
            self.note(answer.status, answer.status != 200 and f"status {answer.status}")
            if (answer.headers.get("Connection") or "").lower() == "close":
                client.close()
                client = None
        except Exception as error:
            self.note(type(error).__name__, repr(error))
            if client is not None:
                client.close()
            client = None
        self.slowest = max(self.slowest, time.monotonic() - begin)
        return client

    def note(self, end, failure):
        self.ends[end] += 1
        if failure:
            self.failed.append(f"{time.monotonic() - self.begin:.3f} s: {failure}")
