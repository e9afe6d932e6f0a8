"""Disks that are full or cannot be written, files that are gone, and clocks that jump."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from harness import wait
from harness.process import SANITIZED, InNamespaces, allowed, worker_of

PAGE = 'server { location / { return 200 "here"; } }'

mounts = pytest.mark.skipif(
    not allowed("unshare", "-m", "true"), reason="mount namespaces are not allowed here"
)


@pytest.fixture
def folder():
    """One that the worker can reach too, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="pelayan-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def with_mount(command):
    """Sites are started in a mount namespace of their own, after this command."""
    return InNamespaces("unshare", "-m", "sh", "-c", f'{command} && exec "$@"', "sh")


@mounts
def test_a_full_disk_under_bodies(pelayan, backend, folder):
    """A body that does not fit is answered with 500; those that fit are served meanwhile, and
    nothing is left of it."""
    app = backend(answers=lambda request: str(len(request.body)))
    full = folder / "full"
    full.mkdir()
    with with_mount(f"mount -t tmpfs -o size=1m,mode=777 none {full}"):
        site = pelayan.run(
            http=f"""client_max_body_size 0; client_body_buffer_size 16k; client_body_temp_path {full}/t;
                server {{ location / {{ proxy_pass {app.url}; }} }}"""
        )
    for _ in range(3):
        wait.until(
            lambda: site.get("/", method="POST", body=bytes(600_000)).text == "600000", "room again"
        )
        assert site.get("/", method="POST", body=bytes(5_000_000)).status == 500
    assert site.get("/", method="POST", body=b"abc").text == "3"
    site.wait_for_log(r"\[(crit|alert|error)\].*No space left")


@mounts
def test_a_full_disk_under_answers(pelayan, backend, folder):
    """What does not fit into the file waits at the backend: nobody loses a byte."""
    app = backend(answers=lambda request: os.urandom(1) * 4_000_000)
    full = folder / "full"
    full.mkdir()
    with with_mount(f"mount -t tmpfs -o size=200k,mode=777 none {full}"):
        site = pelayan.run(
            http=f"""proxy_buffers 4 8k; proxy_temp_path {full}/t;
                server {{ location / {{ proxy_pass {app.url}; }} }}"""
        )
    site.tolerate("No space left")
    clients = [site.connect() for _ in range(3)]
    for client in clients:
        client.request("/")
    app.wait_until_asked(3)
    for client in clients:
        body = client.read_response().body
        assert len(body) == 4_000_000 and body == body[:1] * 4_000_000


@mounts
def test_a_read_only_disk(pelayan, folder):
    """Logs that cannot be opened refuse the start, and say so."""
    frozen = folder / "frozen"
    frozen.mkdir()
    command = f"mount -t tmpfs none {frozen} && mount -o remount,ro {frozen}"
    place = pelayan.place(main=f"error_log {frozen}/error.log;", http=PAGE)
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{command} && exec "$@"', "sh",
         os.environ["PELAYAN_BIN"], "-c", place.conf, "-p", place.dir, "-g", "daemon off;"],
        capture_output=True, text=True, timeout=wait.TIMEOUT * 2,
    )  # fmt: skip
    assert result.returncode == 1
    assert re.search(r"frozen/error.log.*Read-only file system", result.stderr)


def test_the_configuration_vanishes(pelayan):
    """A reload is refused, what is served stays, and a worker that dies is replaced from the record."""
    site = pelayan.run(http=PAGE)
    worker = worker_of(site)
    kept = site.conf.read_text()
    site.conf.unlink()
    result = site.reload(check=False)
    assert result.returncode == 1 and "No such file" in result.stderr
    site.tolerate("exited on signal 9")
    os.kill(worker, signal.SIGKILL)
    wait.until(lambda: site.workers() not in ([worker], []), "another worker")
    with site.connect(site.port) as client:
        assert client.get("/").text == "here"
    site.conf.write_text(kept.replace("here", "there"))
    site.reload()
    assert site.get("/").text == "there"


def test_a_stale_pid_file_is_replaced(pelayan):
    gone = subprocess.Popen(["true"])
    gone.wait()
    site = pelayan.run(http=PAGE, prepare=lambda site: site.file("pelayan.pid", f"{gone.pid}\n"))
    wait.until(lambda: site.read("pelayan.pid").strip() == str(site.pid), "our pid")
    site.reload()


def test_a_pid_that_is_somebody_elses_now(pelayan):
    """Commands do not signal a process only because a stale file names it."""
    other = subprocess.Popen(["sleep", "1000"])
    try:
        place = pelayan.place(http=PAGE)
        place.file("pelayan.pid", f"{other.pid}\n")
        for command in ("stop", "quit", "reload", "reopen"):
            result = place.command("-s", command, "-c", place.conf, "-p", place.dir)
            assert result.returncode != 0, command
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_rotation_under_load(pelayan):
    """Every request is one line in exactly one of the files."""
    site = pelayan.run(http=f"keepalive_requests 1000000; {PAGE}")
    worker_of(site)
    answered, over = [], threading.Event()

    def ask(name):
        count = 0
        with site.connect() as client:
            while not over.is_set():
                assert client.get(f"/{name}-{count}").text == "here"
                count += 1
        answered.append(count)

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for number in range(8):
        os.rename(site.dir / "logs/access.log", site.dir / f"logs/old{number}.log")
        result = site.command("-s", "reopen", "-c", site.conf, "-p", site.dir)
        assert result.returncode == 0, result.stderr
    over.set()
    for thread in threads:
        thread.join()
    files = [f"logs/old{number}.log" for number in range(8)] + ["logs/access.log"]
    assert len(answered) == 4

    def lines():
        return "".join(site.read(name) for name in files).splitlines()

    wait.until(lambda: len(lines()) >= sum(answered), lambda: f"{sum(answered)} lines: {len(lines())}")
    paths = [line.split('"')[1].split()[1] for line in lines()]
    assert len(set(paths)) == len(paths) == sum(answered)


def test_a_storm_of_signals(pelayan):
    """HUP and USR1, hundreds of them in any order: requests are served, and the last file counts."""
    site = pelayan.run(http=PAGE)
    worker = worker_of(site)
    for number in range(200):
        os.kill(site.pid, signal.SIGHUP if number % 3 else signal.SIGUSR1)
        if number % 20 == 0:
            assert site.get("/").text == "here"
    site.write(http=PAGE.replace("here", "last"))
    os.kill(site.pid, signal.SIGHUP)
    wait.until(lambda: site.get("/").text == "last", "the last configuration")
    assert site.workers().count(worker) == 1
    site.reload()


JUMP = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t which, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    long days = 0;
    FILE *file;
    int result;
    if (real == NULL)
        real = dlsym(RTLD_NEXT, "clock_gettime");
    result = real(which, now);
    if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE) {
        file = fopen(getenv("JUMP_DAYS"), "re");
        if (file != NULL) {
            if (fscanf(file, "%ld", &days) == 1)
                now->tv_sec += days * 86400;
            fclose(file);
        }
    }
    return result;
}
"""


@pytest.mark.skipif(SANITIZED, reason="sanitizers want to be loaded first")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler")
def test_the_clock_jumps(pelayan, folder):
    """Ten years there and back: connections, time-outs and answers do not care; dates follow."""
    (folder / "jump.c").write_text(JUMP)
    library, days = folder / "jump.so", folder / "days"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", library, folder / "jump.c", "-ldl"], check=True
    )
    days.write_text("0")
    with InNamespaces("env", f"LD_PRELOAD={library}", f"JUMP_DAYS={days}"):
        site = pelayan.run(
            main=f"env LD_PRELOAD; env JUMP_DAYS={days};",
            http='keepalive_timeout 60s; server { location / { return 200 "$time_iso8601"; } }',
        )
    year = time.gmtime().tm_year
    with site.connect() as client:
        for jump, wanted in ((0, year), (3660, year + 10), (-3660, year - 10), (0, year)):
            days.write_text(str(jump))
            wait.until(
                lambda: abs(int(client.get("/").text[:4]) - wanted) <= 1, f"the year {wanted}"
            )
            assert abs(int(client.get("/").header("date").split()[3]) - wanted) <= 1
    assert site.get("/").status == 200
