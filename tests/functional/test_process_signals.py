"""Signals and accidents: crashes, kills, upgrades, rotation."""

import os
import signal
import threading
from pathlib import Path

import pytest
from harness import wait
from harness.site import alive


def page(text):
    return f'server {{ location / {{ return 200 "{text}"; }} }}'


def serving(pelayan, **conf):
    """Runs, and waits for the worker: the port alone is the master's."""
    site = pelayan.run(**conf)
    site.wait_for_log("configuration 1 is served")
    return site


def new_worker(site, old):
    return wait.until(
        lambda: [pid for pid in site.workers() if pid != old], "a new worker"
    )[0]


def test_a_killed_worker_is_replaced_at_once(pelayan):
    site = serving(pelayan, http=page("here"))
    site.tolerate("exited on signal 9|workers die at start")
    for _ in range(3):
        [worker] = site.workers()
        os.kill(worker, signal.SIGKILL)
        wait.until(lambda: not alive(worker), "its death")
        assert site.get("/").text == "here"
        new_worker(site, worker)
    assert len(site.workers()) == 1
    site.wait_for_log(r"worker process \d+ exited on signal 9")


def test_a_replaced_worker_serves_the_last_good_config(pelayan):
    site = serving(pelayan, http=page("old"))
    site.tolerate("exited on signal 9")
    site.reload(http=page("good"))
    site.reload(http="server { nonsense; }", check=False)
    [worker] = site.workers()
    os.kill(worker, signal.SIGKILL)
    wait.until(lambda: not alive(worker), "its death")
    assert site.get("/").text == "good"


def test_the_worker_leaves_when_the_master_is_killed(pelayan):
    site = serving(pelayan, http=page("here"))
    [worker] = site.workers()
    os.kill(site.pid, signal.SIGKILL)
    assert site.wait_exit() == -signal.SIGKILL
    wait.until(lambda: not alive(worker), "the worker to leave")
    site.kill_all()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signals_end_it(pelayan, how):
    site = serving(pelayan, http=page("here"))
    with site.connect() as client:
        client.get("/")
        site.signal(how)
        assert site.wait_exit() == 0
    assert not (site.dir / "pelayan.pid").exists()
    assert not (site.dir / "pelayan.pid.sock").exists()


def test_quit_lets_a_running_request_finish_and_accepts_no_other(pelayan, backend):
    app = backend(answers="when released")
    site = serving(pelayan, http=f"server {{ location / {{ proxy_pass {app.url}; }} }}")
    first = site.get_later("/")
    app.wait_until_asked()
    site.signal(signal.SIGQUIT)

    def refused():
        try:
            site.connect().close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            pass  # it was waiting in the backlog when the socket was closed

    wait.until(refused, "connections to be refused")
    app.release()
    assert first.result(10).status == 200
    assert site.wait_exit() == 0


def test_worker_shutdown_timeout_ends_the_patience(pelayan, backend):
    app = backend(answers="when released")
    site = serving(pelayan, 
        main="worker_shutdown_timeout 200ms;",
        http=f"server {{ location / {{ proxy_pass {app.url}; }} }}",
    )
    first = site.get_later("/")
    app.wait_until_asked()
    site.signal(signal.SIGQUIT)
    assert site.wait_exit() == 0
    with pytest.raises((OSError, AssertionError, ValueError, EOFError)):
        first.result(5)


def test_logs_are_reopened_for_rotation(pelayan):
    site = serving(pelayan, http=page("here"))
    site.get("/before")
    site.access_log(lines=1)
    os.rename(site.dir / "logs/access.log", site.dir / "logs/access.log.1")
    os.rename(site.dir / "logs/error.log", site.dir / "logs/error.log.1")
    result = site.command("-s", "reopen", "-c", site.conf, "-p", site.dir)
    assert result.returncode == 0, result.stderr
    site.get("/after")
    assert "/after" in site.access_log(lines=1)
    assert "/after" not in site.read("logs/access.log.1")
    assert (site.dir / "logs/error.log").exists()
    os.rename(site.dir / "logs/access.log", site.dir / "logs/access.log.2")
    site.signal(signal.SIGUSR1)
    wait.until((site.dir / "logs/access.log").exists, "the log to be opened anew")


def test_winch_lets_the_worker_go_and_hup_brings_one_back(pelayan):
    site = serving(pelayan, http=page("here"))
    [worker] = site.workers()
    site.signal(signal.SIGWINCH)
    wait.until(lambda: not alive(worker), "the worker to leave")
    assert site.process.poll() is None
    later = site.get_later("/", timeout=20)  # waits in the backlog of the master's socket
    site.signal(signal.SIGHUP)
    assert later.result(20).text == "here"
    assert len(site.workers()) == 1


def test_upgrade_keeps_the_pid_and_refuses_nobody(pelayan):
    site = serving(pelayan, http=page("here"))
    [worker] = site.workers()
    failures, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            try:
                if site.get("/").status != 200:
                    failures.append("status")
            except Exception as error:
                failures.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    pid = site.pid
    for _ in range(3):
        site.signal(signal.SIGUSR2)
        worker = new_worker(site, worker)
        wait.until(lambda: site.workers() == [worker], "the old worker to leave")
    stop.set()
    thread.join()
    assert not failures
    assert site.process.poll() is None and site.pid == pid
    assert (site.dir / "pelayan.pid").read_text() == f"{pid}\n"
    site.reload(http=page("after"))
    assert site.get("/").text == "after"


def test_an_upgrade_with_a_broken_config_changes_nothing(pelayan):
    site = serving(pelayan, http=page("here"))
    site.tolerate("no upgrade")
    workers = site.workers()
    site.write(http="server { nonsense; }")
    site.signal(signal.SIGUSR2)
    site.wait_for_log("no upgrade")
    assert site.get("/").text == "here"
    assert site.workers() == workers


def test_the_worker_has_no_privileges(pelayan):
    if os.geteuid() != 0:
        pytest.skip("only root has some to give up")
    site = serving(pelayan, main="user nobody;", http=page("here"))
    status = Path(f"/proc/{site.workers()[0]}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert set(fields["Uid"].split()) == {"65534"}
    assert fields["CapEff"] == fields["CapPrm"] == fields["CapBnd"] == "0000000000000000"
    assert fields["NoNewPrivs"] == "1"


def title_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()


def test_processes_say_what_they_are(pelayan):
    """In what ps shows; the environment stays what it was, although its place is taken."""
    site = serving(pelayan, main="env KEPT=yes;", http=page("one"))
    [worker] = site.workers()
    assert title_of(site.pid).startswith("pelayan: master process ")
    assert str(site.conf) in title_of(site.pid)
    assert title_of(worker) == "pelayan: worker process"
    with site.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
        os.kill(site.pid, signal.SIGWINCH)
        wait.until(lambda: title_of(worker) == "pelayan: worker process is shutting down", "the title")


@pytest.mark.parametrize("how", ["upgrade", "reload"])
def test_a_worker_that_leaves_writes_to_the_new_logs(pelayan, backend, how):
    """A request may go on for hours in the worker it began in; the rotated file is compressed and
    deleted meanwhile."""
    app = backend(answers="when released")
    http = f"server {{ location / {{ proxy_pass {app.url}; }} }}"
    site = serving(pelayan, main="worker_processes 1;", http=http)
    [worker] = site.workers()
    slow = site.get_later("/slow")
    app.wait_until_asked()
    if how == "upgrade":
        site.signal(signal.SIGUSR2)
    else:
        site.reload(main="worker_processes 2;", http=http)
    new_worker(site, worker)
    wait.until(lambda: "gracefully shutting down" in site.error_log(), "the old worker to leave")
    os.rename(site.dir / "logs/access.log", site.dir / "logs/access.log.1")
    result = site.command("-s", "reopen", "-c", site.conf, "-p", site.dir)
    assert result.returncode == 0, result.stderr

    def open_files():
        return [os.readlink(path) for path in Path(f"/proc/{worker}/fd").iterdir()]

    wait.until(lambda: not any("access.log.1" in path for path in open_files()), "the new logs")
    app.release()
    assert slow.result(20).status == 200
    assert "/slow" in site.access_log(lines=1)
    assert "/slow" not in site.read("logs/access.log.1")
