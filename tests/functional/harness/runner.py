"""The app runner under test: a home of its own, commands, and what it left behind."""

import contextlib
import json
import os
import re
from pathlib import Path
from signal import SIGKILL
import shutil
import socket
import subprocess
import tempfile

from . import wait
from .site import ALARMS, program

MARK = "PELAYAN_TEST_MARK"


def processes_marked(mark):
    """Living processes with this mark in their environment, whoever started them, and the runner: its
    title stands where its environment was."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                marked = f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0")
                titled = f"/{mark}/".encode() in (entry / "cmdline").read_bytes()
                if state not in "ZX" and (marked or titled):
                    found.append(int(entry.name))
    return found


class Runner:
    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="pla-"))
        self.home = self.dir / "home"
        self.mark = self.dir.name
        (self.dir / "reports").mkdir()

    def environment(self):
        env = dict(os.environ, PELAYAN_HOME=str(self.home), **{MARK: self.mark})
        env.pop("PORT", None)
        for tool in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            env[tool] = ":".join(
                filter(None, [env.get(tool), f"log_path={self.dir}/reports/sanitizer"])
            )
        return env

    def popen(self, *args, **more):
        return subprocess.Popen(
            [program(), *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.dir,
            env=dict(self.environment(), **more),
        )

    def run(self, *args, **more):
        """The CompletedProcess, whatever its exit code."""
        process = self.popen(*args, **more)
        out, err = process.communicate(timeout=wait.TIMEOUT * 4)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def ok(self, *args, **more):
        """Standard output of a command that must succeed."""
        result = self.run(*args, **more)
        assert result.returncode == 0, f"{args}: {result.stdout}{result.stderr}{self.log()}"
        return result.stdout

    def fails(self, *args, **more):
        """Standard error of a command that must fail with 1."""
        result = self.run(*args, **more)
        assert result.returncode == 1, f"{args}: {result.stdout}{result.stderr}"
        return result.stderr

    def ask(self, **request):
        """The runner's answer to one line on its socket, parsed."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(wait.TIMEOUT)
            client.connect(str(self.home / "control.sock"))
            client.sendall(json.dumps(request).encode() + b"\n")
            return json.loads(client.makefile().readline())

    def file(self, name, text, mode=0o644):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def ecosystem(self, *apps, name="apps.json"):
        return self.file(name, json.dumps({"apps": apps}))

    def list(self):
        return json.loads(self.ok("jlist"))

    def status(self, name):
        return [app["pm2_env"]["status"] for app in self.list() if app["name"] == name]

    def app(self, name, index=0):
        return [app for app in self.list() if app["name"] == name][index]

    def env(self, name, index=0):
        return self.app(name, index)["pm2_env"]

    def wait_status(self, name, *wanted):
        wait.until(
            lambda: self.status(name) == list(wanted),
            lambda: f"{wanted} of {name}: {self.status(name)}, {self.log()}",
        )

    def output(self, name):
        """What is in its log of standard output."""
        return self.read(self.home / "logs" / f"{name}-out.log")

    def wait_output(self, name, text):
        wait.until(lambda: text in self.output(name), lambda: f"{text!r} of {name}: {self.log()}")

    def read(self, path):
        with contextlib.suppress(FileNotFoundError):
            return Path(path).read_text(errors="replace")
        return ""

    def log(self):
        reports = [path.read_text(errors="replace") for path in (self.dir / "reports").iterdir()]
        return "\n".join([self.read(self.home / "pelayan.log"), *reports])

    @property
    def pid(self):
        return int(self.read(self.home / "pelayan.pid"))

    def alive(self):
        return processes_marked(self.mark)

    def finish(self):
        """Ends it, and holds it to what is true of every run: nothing is left."""
        try:
            self.run("kill")
            with contextlib.suppress(wait.TooLong):
                wait.until(lambda: not self.alive(), "processes to end", 3)
            left = [
                (pid, Path(f"/proc/{pid}/cmdline").read_bytes())
                for pid in self.alive()
                if Path(f"/proc/{pid}").exists()
            ]
            log = self.log()
            assert not left, f"processes left behind: {left}"
            assert not any(re.search(alarm, log) for alarm in ALARMS), log
        finally:
            for pid in self.alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, SIGKILL)
            shutil.rmtree(self.dir, ignore_errors=True)
