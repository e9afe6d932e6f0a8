"""Node's HTTP/2 as a backend."""

import subprocess

from .ports import Port
from .site import ROOT

APP = ROOT / "tests/functional/harness/node/h2_app.js"


class NodeH2:
    """harness/node/h2_app.js; with `key` and `crt` over TLS, where it speaks HTTP/1.1 as well."""

    def __init__(self, key=None, crt=None):
        self.claim = Port()
        more = [str(key), str(crt)] if key else []
        self.process = subprocess.Popen(
            ["node", APP, str(self.port), *more], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert self.process.stdout.readline() == b"listening\n"

    @property
    def port(self):
        return self.claim.number

    def finish(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.claim.release()
