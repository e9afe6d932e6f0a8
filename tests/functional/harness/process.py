"""What the kernel knows about the program's processes."""

import os
import signal
import subprocess
from pathlib import Path

from . import site as site_module
from . import wait

SANITIZED = "san/" in os.environ.get("PELAYAN_BIN", "")


def worker_of(site):
    """The pid of the only worker, once it serves."""
    site.wait_for_log("configuration 1 is served")
    return site.workers()[0]


def memory_kib(pid, what="VmRSS"):
    """VmRSS is what it holds now, VmHWM the most it ever held."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1])
    return 0


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def freeze(pid):
    """SIGSTOP, and until it has stopped: of several threads some may go on for a while."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    wait.until(lambda: all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T"
                           for task in tasks.iterdir()), "all threads to stop")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def allowed(*command):
    """Whether the machine lets us do this, e.g. make a namespace."""
    return subprocess.run(command, capture_output=True).returncode == 0


class InNamespaces:
    """For `with`: sites are started by these words, e.g. unshare -m sh -c '... exec "$@"' sh."""

    def __init__(self, *words):
        self.words = list(words)

    def __enter__(self):
        self.program = site_module.program
        real, words = self.program(), self.words
        self.popen = site_module.subprocess.Popen

        def popen(command, *args, **more):
            return self.popen(words + command if command[0] == real else command, *args, **more)

        site_module.subprocess.Popen = popen

    def __exit__(self, *_):
        site_module.subprocess.Popen = self.popen
