"""nghttp2's own server as a backend: files of a folder, and what is uploaded comes back."""

import os
import shutil
import socket
import subprocess

from .ports import Port
from .wait import until

PROGRAM = shutil.which("nghttpd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Nghttpd:
    """`words` go to nghttpd; with `key` and `crt` it speaks TLS."""

    def __init__(self, folder, *words, key=None, crt=None):
        self.claim = Port()
        ends = [str(self.port), str(key), str(crt)] if key else ["--no-tls", str(self.port)]
        self.command = [PROGRAM, "-a", "127.0.0.1", "-d", str(folder), "--echo-upload", *words, *ends]
        self.start()

    @property
    def port(self):
        return self.claim.number

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until(self.answers, "nghttpd to listen")

    def answers(self):
        assert self.process.poll() is None, "nghttpd ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.process.kill()
        self.process.wait()

    def finish(self):
        self.stop()
        self.claim.release()
