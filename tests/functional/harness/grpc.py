"""A real client and a real server of gRPC: Node's @grpc/grpc-js, fetched once into build/."""

import fcntl
import json
import os
import subprocess

import pytest

from .ports import Port
from .site import ROOT
from .wait import TIMEOUT

HERE = ROOT / "tests/functional/harness/node"
CACHE = ROOT / "build/grpc-js"
VERSION = "1.14.0"


def fetch():
    """Fails if npm does, unless the registry cannot be reached: then the tests are skipped."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers of pytest may come at once
        if (CACHE / "node_modules/@grpc/grpc-js/package.json").exists():
            return
        done = subprocess.run(
            ["npm", "install", "--prefix", CACHE, "--no-audit", "--no-fund", "--ignore-scripts",
             "--fetch-retries=1", f"@grpc/grpc-js@{VERSION}"],
            capture_output=True, text=True, cwd=CACHE,
        )  # fmt: skip
        unreachable = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ECONNRESET")
        if done.returncode != 0 and any(word in done.stderr for word in unreachable):
            pytest.skip("npm cannot reach its registry, and @grpc/grpc-js is not in build/grpc-js")
        assert done.returncode == 0, done.stderr


def node(script, *args, **more):
    env = dict(os.environ, NODE_PATH=str(CACHE / "node_modules"))
    return subprocess.Popen(
        ["node", HERE / script, *map(str, args)], env=env, stdout=subprocess.PIPE, text=True, **more
    )


class GrpcServer:
    """harness/node/grpc_server.js, on a port or at a unix socket."""

    def __init__(self, name="one", key=None, crt=None, path=None):
        self.name = name
        self.claim = Port()
        self.path = path
        self.more = [key, crt] if key else []
        self.process = None
        self.start()

    @property
    def address(self):
        return f"unix:{self.path}" if self.path else f"127.0.0.1:{self.claim.number}"

    def start(self):
        self.process = node("grpc_server.js", self.address, self.name, *self.more, stdin=subprocess.DEVNULL)
        assert self.process.stdout.readline() == "listening\n"
        if self.path:
            os.chmod(self.path, 0o777)  # the worker is another user when the suite runs as root

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def finish(self):
        if self.process.poll() is None:
            self.kill()
        self.claim.release()


class GrpcClient:
    """harness/node/grpc_client.js: `call("unary")` gives what it printed."""

    def __init__(self, site, port="port", ca=None, host="127.0.0.1"):
        self.args = [f"{host}:{site.port_of(port)}"] + ([ca] if ca else [])

    def call(self, scenario):
        process = node("grpc_client.js", scenario, *self.args, stdin=subprocess.DEVNULL)
        out, _ = process.communicate(timeout=TIMEOUT * 4)
        return json.loads(out)

    def load(self):
        """Calls without end, until finish_load()."""
        process = node("grpc_client.js", "load", *self.args, stdin=subprocess.PIPE)
        assert process.stdout.readline() == "begun\n"
        return process

    @staticmethod
    def finish_load(process):
        out, _ = process.communicate(timeout=TIMEOUT * 4)
        return json.loads(out)
