"""A stand-in for the runner, for what a real one never says: it answers who follows, and keeps what
they send."""

import contextlib
import fcntl
import json
import socket
import struct
import termios
import threading
from pathlib import Path

from . import wait


class FakeRunner:
    """`heard` are the messages of those who follow, parsed, oldest first."""

    def __init__(self, home):
        self.home = Path(home)
        self.home.mkdir(parents=True, exist_ok=True)
        self.path = self.home / "control.sock"
        self.apps = {}
        self.version = 0
        self.followers = []
        self.heard = []
        self.lock = threading.Lock()
        self.listener = None
        self.listen()

    def listen(self):
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.path.chmod(0o600)
        self.listener.listen()
        threading.Thread(target=self.accept, args=[self.listener], daemon=True).start()

    def accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                threading.Thread(target=self.serve, args=[client], daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError, ValueError):
            for line in client.makefile():
                self.answer(client, json.loads(line))
        with self.lock:
            if client in self.followers:
                self.followers.remove(client)

    def answer(self, client, message):
        with self.lock:
            self.heard.append(message)
            if message.get("do") == "follow":
                self.followers.append(client)
                for name in self.apps:
                    client.sendall(self.line(name))
                client.sendall(json.dumps({"apps": len(self.apps)}).encode() + b"\n")
            elif "command" in message:
                client.sendall(b'{"ok":true}\n')

    def line(self, name):
        return json.dumps({"app": name, **self.apps[name]}).encode() + b"\n"

    def say(self, name, status, *instances, desired=1, reason=""):
        """`instances`: (id, address) or (id, address, state)"""
        listed = [
            {"id": one[0], "address": one[1], "state": one[2] if len(one) > 2 else "ready"}
            for one in instances
        ]
        with self.lock:
            self.version += 1
            self.apps[name] = {
                "status": status,
                "desired": desired,
                "reason": reason,
                "instances": listed,
                "version": self.version,
            }
            self.tell(self.line(name))

    def say_raw(self, data):
        with self.lock:
            self.tell(data)

    def tell(self, data):
        """One that has left may not have been noticed yet."""
        for follower in self.followers:
            with contextlib.suppress(OSError):
                follower.sendall(data)

    def wait_read(self):
        """Until nothing that was said waits in a socket."""
        wait.until(lambda: not any(self.unread(one) for one in self.followers), "all to be read")

    @staticmethod
    def unread(follower):
        return struct.unpack("i", fcntl.ioctl(follower, termios.TIOCOUTQ, b"0000"))[0]

    def wait_followed(self, count=1):
        wait.until(lambda: len(self.followers) >= count, lambda: f"{count} to follow: {self.heard}")

    def said(self, do, name):
        return [one for one in list(self.heard) if one.get("do") == do and one.get("app") == name]

    def wait_said(self, do, name, true=lambda message: True):
        wait.until(
            lambda: any(true(message) for message in self.said(do, name)),
            lambda: f"{do} of {name}: {self.heard[-10:]}",
        )

    def drop_followers(self):
        with self.lock:
            for follower in self.followers:
                with contextlib.suppress(OSError):
                    follower.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()
        self.drop_followers()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
