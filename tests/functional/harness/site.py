"""The program under test, running on a configuration of the test's own."""

import atexit
import contextlib
import functools
import os
import re
import shutil
from signal import SIGKILL, SIGQUIT
import socket
import subprocess
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path

from . import config, wait
from .client import Client
from .ports import Port
from .wait import TIMEOUT

ROOT = Path(__file__).resolve().parents[3]

# What no run may leave in its error log or on its standard error.
ALARMS = [
    r"ERROR: \w+Sanitizer",
    r"WARNING: ThreadSanitizer",
    r"SUMMARY: \w+Sanitizer",
    r"runtime error:",
    r"Assertion .* failed",
    r"exited on signal \d+",
    r"\[alert\]",
]


def program():
    """The program under test; a copy of it, where other users could not reach the original."""
    return reachable(os.environ.get("PELAYAN_BIN") or str(ROOT / "build/pelayan"))


def is_program(path):
    return os.path.isfile(path) and Path(path).open("rb").read(4) == b"\x7fELF"


@functools.cache
def reachable(path):
    """Tests that run as root start it as an ordinary user too, and root's home is closed to others."""
    folders = Path(path).resolve().parents
    if os.geteuid() != 0 or not is_program(path) or all(f.stat().st_mode & 0o001 for f in folders):
        return path
    folder = Path(tempfile.mkdtemp(prefix="pelayan-program-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    return shutil.copy(path, folder / "pelayan")


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def is_worker(pid):
    """Not so: a child of the master that checks a configuration, and one that is no more."""
    try:
        return Path(f"/proc/{pid}/comm").read_text() == "pelayan-worker\n" and alive(pid)
    except OSError:
        return False


def processes_of_session(session):
    """Living processes that were started in this session, by pid."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(state[3]) == session and state[0] not in "ZX":
                    found.append(int(entry.name))
    return found


class Place:
    """A directory, ports and a configuration: enough for -t, and what a Site runs on."""

    def __init__(self, **conf):
        self.dir = Path(tempfile.mkdtemp(prefix="pelayan-test-"))
        self.dir.chmod(0o755)  # the worker is another user when the suite runs as root
        for name in ("logs", "tmp", "html", "reports"):
            (self.dir / name).mkdir()
        (self.dir / "reports").chmod(0o777)
        self.conf = self.dir / "nginx.conf"
        self.claims = {}
        self.write(**conf)

    def write(self, **conf):
        """Replaces the configuration; ports keep their names and numbers."""
        self.conf.write_text(config.fill_in(config.compose(**conf), self.dir, self.port_of))

    def file(self, path, content="", mode=0o644):
        """Creates a file below the directory, e.g. "html/index.html"; returns its path."""
        path = self.dir / path
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(data)
        path.chmod(mode)
        return path

    def port_of(self, name):
        if name not in self.claims:
            self.claims[name] = Port()
        return self.claims[name].number

    def new_ports(self):
        for name, claim in self.claims.items():
            self.claims[name] = Port()
            claim.release()

    def environment(self, **more):
        env = dict(os.environ, **more)
        reports = f"log_path={self.dir}/reports/sanitizer"
        for tool in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            env[tool] = ":".join(filter(None, [env.get(tool), reports]))
        return env

    def command(self, *args, timeout=TIMEOUT * 2, **more):
        """Runs the program with these arguments and returns the CompletedProcess, texts decoded."""
        return subprocess.run(
            [program(), *map(str, args)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            cwd=self.dir,
        )

    def check(self, *args):
        """pelayan -t on the configuration."""
        return self.command("-t", "-c", self.conf, "-p", self.dir, *args)

    def remove(self):
        for claim in self.claims.values():
            claim.release()
        shutil.rmtree(self.dir, ignore_errors=True)


class Site(Place):
    """`args` are more command line arguments, `env` more environment; the rest is for config.py.

    Nothing runs before start()."""

    def __init__(self, args=(), env=None, **conf):
        self.args = list(args)
        self.env = env or {}
        self.conf_text = conf
        self.clients = []
        self.tolerated = []
        self.process = None
        super().__init__(**conf)

    # -- life

    def start(self, wait_for=None):
        """`wait_for` names the ports that must accept before the test goes on: all, if not said
        otherwise; () for none."""
        for attempt in range(5):
            self.spawn()
            try:
                self.wait_until_accepting(wait_for)
                self.wait_until_served()
                return
            except wait.TooLong:
                self.kill_all()
                if "Address already in use" not in self.trouble() or attempt == 4:
                    raise
            # somebody outside the suite was faster
            self.new_ports()
            self.write(**self.conf_text)

    def spawn(self):
        stderr = open(self.dir / "stderr", "ab")
        self.process = subprocess.Popen(
            [program(), "-c", self.conf, "-p", self.dir, "-g", "daemon off;", *self.args],
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            cwd=self.dir,
            env=self.environment(**self.env),
            start_new_session=True,
        )
        stderr.close()
        self.session = self.process.pid

    def wait_until_accepting(self, names):
        for name in self.tcp_ports() if names is None else names:

            def accepts():
                if self.process.poll() is not None:
                    raise wait.TooLong(f"it ended with {self.process.returncode}: {self.trouble()}")
                with contextlib.suppress(OSError):
                    socket.create_connection(self.address_of(name), 1).close()
                    return True

            wait.until(accepts, lambda: f"port {name} to accept: {self.trouble()}")

    def wait_until_served(self):
        """The sockets are the master's, and accept before there is a worker: where the log is the
        suite's own, it says when the worker has settled."""
        log = self.dir / "logs/error.log"
        if f"error_log {log} info;" in self.conf.read_text() and log.exists():
            with contextlib.suppress(wait.TooLong):
                wait.until(lambda: "is served by" in log.read_text(errors="replace"), "a worker", 3)

    def tcp_ports(self):
        """Names of the ports in a `listen` that is not udp."""
        text = self.conf.read_text()
        return [
            name
            for name, claim in self.claims.items()
            if re.search(rf"listen\s+[^;]*\b{claim.number}\b(?![^;]*\budp\b)[^;]*;", text)
        ]

    def address_of(self, name):
        number = self.claims[name].number
        text = self.conf.read_text()
        six = re.search(rf"listen\s+\[[^;\]]*\]:{number}\b", text)
        four = re.search(rf"listen\s+(?:127[\d.]+:|\*:|localhost:|0\.0\.0\.0:)?{number}\b", text)
        return ("::1" if six and not four else "127.0.0.1", number)

    def signal(self, what):
        os.kill(self.process.pid, what)

    def wait_exit(self, timeout=TIMEOUT):
        """Waits for the master to end; returns its exit code (minus the signal, if it was one)."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise wait.TooLong(f"waited {timeout:g} s for the end of {self.pid}") from None

    def stop(self, how=SIGQUIT):
        """Ends the program and holds it to what is true of every run. Once is enough."""
        if self.process is None:
            return
        for client in self.clients:
            client.close()
        try:
            if self.process.poll() is None:
                self.signal(how)
            code = self.wait_exit()
            with contextlib.suppress(wait.TooLong):
                wait.until(lambda: not self.processes(), "children to end", 2)
            left = self.processes()
        finally:
            self.kill_all()
        assert code == 0, f"exit code {code}: {self.trouble()}"
        assert not left, f"processes left behind: {left}"
        self.assert_quiet()

    def processes(self):
        return processes_of_session(self.session)

    def kill_all(self):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)
        if self.process is not None:
            self.process.wait()
        self.process = None

    def assert_quiet(self):
        text = self.trouble()
        for line in text.splitlines():
            if any(re.search(alarm, line) for alarm in ALARMS):
                assert any(re.search(pattern, line) for pattern in self.tolerated), text

    def tolerate(self, pattern):
        """The test makes this happen: an alarm in the log whose line matches is not a failure."""
        self.tolerated.append(pattern)

    # -- requests

    @property
    def pid(self):
        """Of the master."""
        return self.process.pid

    def workers(self):
        """Pids of the master's children that serve."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in path.read_text().split() if is_worker(pid)]

    @property
    def port(self):
        return self.claims["port"].number

    @property
    def port2(self):
        return self.claims["port2"].number

    @property
    def url(self):
        return f"http://localhost:{self.port}"

    def connect(self, port="port", timeout=TIMEOUT, source=None):
        """A new connection: a Client. `port` is a name, a number, or the path of a unix socket."""
        if isinstance(port, str) and port.startswith("/"):
            client = Client(port, timeout)
        elif isinstance(port, str):
            client = Client(self.address_of(port), timeout, source)
        else:
            client = Client(("127.0.0.1", port), timeout, source)
        self.clients.append(client)
        return client

    def get(self, path, port="port", timeout=TIMEOUT, **request):
        """One request on a connection of its own: method=, headers=, body=, host=, version=."""
        client = self.connect(port, timeout)
        try:
            return client.get(path, **request)
        finally:
            client.close()

    def get_later(self, path, **request):
        """Sends in a thread; returns a Future: .result(), .done()."""
        future = Future()

        def run():
            try:
                future.set_result(self.get(path, **request))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future

    def raw(self, data, port="port", timeout=TIMEOUT):
        """Sends these bytes and returns all that comes back until the program closes."""
        with self.connect(port, timeout) as client:
            client.send(data)
            try:
                return client.read_all()
            except ConnectionResetError:
                return bytes(client.raw)

    # -- configuration

    def reload(self, check=True, **conf):
        """Runs `-s reload`, after writing a new configuration if one is given.

        Returns the CompletedProcess; with check, a failure is a failure of the test."""
        if conf:
            self.conf_text = conf
            self.write(**conf)
        result = self.command("-s", "reload", "-c", self.conf, "-p", self.dir)
        if check:
            assert result.returncode == 0, f"reload: {result.stderr}\n{self.trouble()}"
        return result

    # -- what it wrote

    def read(self, path):
        with contextlib.suppress(FileNotFoundError):
            return (self.dir / path).read_text(errors="replace")
        return ""

    def error_log(self):
        return self.read("logs/error.log")

    def access_log(self, lines=0):
        """The text of the access log, once it has that many lines: they come after the answers."""
        text = wait.until(
            lambda: (log := self.read("logs/access.log")).count("\n") >= lines and (log,),
            lambda: f"{lines} lines in the access log: {self.read('logs/access.log')!r}",
        )
        return text[0]

    def wait_for_log(self, pattern, path="logs/error.log"):
        """Until a line matches; returns the match."""
        return wait.until(
            lambda: re.search(pattern, self.read(path), re.M),
            lambda: f"{pattern!r} in {path}: {self.read(path)[-3000:]!r}",
        )

    def stderr(self):
        return self.read("stderr")

    def trouble(self):
        """All that a failure may want to say."""
        reports = [path.read_text(errors="replace") for path in (self.dir / "reports").iterdir()]
        return "\n".join([self.stderr(), self.error_log(), *reports])
