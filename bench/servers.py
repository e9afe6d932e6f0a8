"""The programs that are compared: their configurations, and what the kernel says they used."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "build/bench"
SERVER_CORE, OTHER_CORE = 0, 1
SMALL = "x" * 127 + "\n"

NGINX = """
daemon off; worker_processes {loops}; worker_rlimit_nofile 20000; pid {dir}/{name}.pid;
error_log {dir}/{name}.err;
events {{ worker_connections 16384; }}
http {{
    {log}
    keepalive_requests 100000000;
    upstream tcp {{ server 127.0.0.1:{backend}; keepalive 512; keepalive_requests 100000000; }}
    upstream local {{ server unix:{socket}; keepalive 512; keepalive_requests 100000000; }}
    proxy_http_version 1.1; proxy_set_header Connection "";
    client_body_temp_path {dir}/{name}-body; proxy_temp_path {dir}/{name}-proxy;
    {temp}
    {certificate}
    server {{ listen 127.0.0.1:{port}{tls}; location / {{ proxy_pass http://tcp; }}
        location /local/ {{ proxy_pass http://local; }}
        location /static/ {{ alias {dir}/static/; }}
        location /return {{ return 200 "{text}"; }} }}
    {more}
}}
"""

HAPROXY = """
global
    nbthread {loops}
    maxconn 8000
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
    http-reuse always
frontend main
    bind 127.0.0.1:{port}{tls}
    http-request return status 200 content-type text/plain string {text} if {{ path_beg /return }}
    use_backend local if {{ path_beg /local/ }}
    default_backend tcp
backend tcp
    server a 127.0.0.1:{backend}
backend local
    server a unix@{socket}
"""

H2O = """
num-threads: {loops}
user: root
error-log: {dir}/{name}.err
hosts:
  default:
    listen: {{ host: 127.0.0.1, port: {port} }}
    paths:
      /: {{ proxy.reverse.url: "http://127.0.0.1:{backend}/" }}
      /local: {{ proxy.reverse.url: "http://[unix:{socket}]/local" }}
      /static: {{ file.dir: {dir}/static }}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def build_tools():
    TOOLS.mkdir(parents=True, exist_ok=True)
    for source in sorted((ROOT / "bench/tools").glob("*.c")):
        program = TOOLS / source.stem
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            flags = ["-std=gnu17", "-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra"]
            subprocess.run(["cc", *flags, "-o", program, source], check=True)


def find(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def pids_of_session(session):
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            state = (entry / "stat").read_text().rpartition(")")[2].split()
            if entry.name.isdigit() and int(state[3]) == session and state[0] not in "ZX":
                yield int(entry.name)


class Program:
    """A running process and its children, in a session of their own."""

    def __init__(self, command, core=None):
        if core is not None:
            command = ["taskset", "-c", str(core), *command]
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def pids(self):
        return list(pids_of_session(self.process.pid))

    def cpu_of_tasks(self):
        """On-CPU nanoseconds of every thread."""
        used = {}
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    used[task.name] = int((task / "schedstat").read_text().split()[0])
        return used

    def cpu(self):
        return sum(self.cpu_of_tasks().values())

    def memory(self, field="RssAnon"):
        """Bytes, of the process that has most: the worker."""
        most = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith(field + ":"):
                        most = max(most, int(line.split()[1]) * 1024)
        return most

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            pass
        for pid in self.pids():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


class Bench:
    """A directory, a backend, and servers in front of it."""

    def __init__(self, dir, programs):
        self.dir = Path(dir)
        self.dir.chmod(0o755)
        self.programs = programs  # name -> path
        self.running = []
        self.backend_port = free_port()
        self.socket = self.dir / "backend.sock"
        (self.dir / "static").mkdir()
        (self.dir / "static/1k.html").write_text("x" * 1024)
        (self.dir / "static/100k.html").write_text("x" * 102400)
        self.born = time.monotonic()
        self.run([TOOLS / "backend", self.backend_port, self.socket], OTHER_CORE)
        self.wait(self.backend_port)
        self.socket.chmod(0o777)

    def let_files_age(self):
        """A file that changed a moment ago may change again unseen: nobody keeps it in memory."""
        time.sleep(max(0.0, self.born + 3 - time.monotonic()))

    def run(self, command, core):
        program = Program(command, core)
        self.running.append(program)
        return program

    def wait(self, port, path=None, seconds=90):
        """Until something accepts, or answers."""
        end = time.monotonic() + seconds
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=seconds) as s:
                    if path is None:
                        return
                    s.sendall(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
                    if s.recv(4096):
                        return
            except OSError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.002)

    def make_certificate(self):
        """tls.crt, tls.key, and both in tls.pem as HAProxy wants them."""
        crt, key = self.dir / "tls.crt", self.dir / "tls.key"
        if not crt.exists():
            kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
            subprocess.run(
                ["openssl", "req", "-x509", *kind, "-subj", "/CN=localhost", "-keyout", key,
                 "-out", crt],
                check=True, capture_output=True,
            )
            (self.dir / "tls.pem").write_text(crt.read_text() + key.read_text())

    def words_of_tls(self, kind):
        self.make_certificate()
        if kind == "haproxy":
            return {"tls": f" ssl crt {self.dir}/tls.pem alpn h2,http/1.1", "certificate": ""}
        pair = (
            f"ssl_protocols TLSv1.3; "  # Debian's nginx has 1.2 by default
            f"ssl_certificate {self.dir}/tls.crt; ssl_certificate_key {self.dir}/tls.key;"
        )
        return {"tls": " ssl http2", "certificate": pair}

    def configure(
        self, name, port, *, loops=1, log=False, more="", text=SMALL.strip(), tls=False
    ):
        kind = "nginx" if name.startswith(("nginx", "pelayan")) else name
        template = {"nginx": NGINX, "haproxy": HAPROXY, "h2o": H2O}[kind]
        temp = ""
        if name.startswith("nginx"):
            words = ("fastcgi", "uwsgi", "scgi")
            temp = " ".join(f"{word}_temp_path {self.dir}/{name}-{word};" for word in words)
        words = self.words_of_tls(kind) if tls else {"tls": "", "certificate": ""}
        conf = self.dir / f"{name}-{port}.conf"
        conf.write_text(
            template.format(
                dir=self.dir,
                name=f"{name}-{port}",
                port=port,
                backend=self.backend_port,
                socket=self.socket,
                loops=loops,
                log=f"access_log {self.dir}/{name}.log;" if log else "access_log off;",
                temp=temp,
                text=text,
                more=more,
                **words,
            )
        )
        return conf

    def command(self, name, conf):
        path = self.programs[name]
        if name == "haproxy":
            return [path, "-db", "-f", conf]
        if name == "h2o":
            return [path, "-c", conf]
        return [path, "-c", conf, "-p", self.dir]

    def serve(self, name, *, core=SERVER_CORE, floor=(), **conf):
        """Starts one of `programs`, or "floor"; gives it and its port."""
        port = free_port()
        if name == "floor":
            backend = self.socket if "local" in floor else self.backend_port
            once = ["once"] if "once" in floor else []
            program = self.run([TOOLS / "relay", port, backend, *once], core)
        else:
            command = self.command(name, self.configure(name, port, **conf))
            program = self.run(command, core)
        self.wait(port)
        return program, port

    def stop(self, program):
        self.running.remove(program)
        program.stop()

    def close(self):
        for program in list(self.running):
            self.stop(program)
