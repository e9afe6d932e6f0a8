"""A balancer's place at the runner: follows all apps, and says how busy it is."""

import json
import socket
import threading

from . import wait


class Follower:
    """`states[name]` is the last line about an app, `lines` are all."""

    def __init__(self, runner):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(runner.home / "control.sock"))
        self.states = {}
        self.lines = []
        self.ended = False
        self.send(command="app", do="follow")
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def send(self, **message):
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def read(self):
        try:
            for line in self.socket.makefile():
                state = json.loads(line)
                if "app" not in state:
                    continue
                self.states[state["app"]] = state
                self.lines.append(state)
        except OSError:
            pass
        self.ended = True

    def load(self, name, active, version=None, requests=0, waiting=0, queue_us=0,
             tunnels=None):
        """`active`: {id: requests under way}; `tunnels`: those of them that are WebSockets"""
        if version is None:
            version = self.states[name]["version"]
        self.send(do="load", app=name, version=version, requests=requests, waiting=waiting,
                  queue_us=queue_us, active={str(key): value for key, value in active.items()},
                  tunnels={str(key): value for key, value in (tunnels or {}).items()})

    def status(self, name):
        return self.states.get(name, {}).get("status")

    def instances(self, name, state="ready"):
        found = self.states.get(name, {}).get("instances", [])
        return [instance for instance in found if instance["state"] == state]

    def wait_status(self, name, status):
        wait.until(lambda: self.status(name) == status,
                   lambda: f"{name} to be {status}: {self.lines}")

    def wait_instances(self, name, count, state="ready"):
        wait.until(lambda: len(self.instances(name, state)) == count,
                   lambda: f"{count} instances of {name} {state}: {self.lines[-5:]}")
        return self.instances(name, state)

    def close(self):
        self.socket.close()
