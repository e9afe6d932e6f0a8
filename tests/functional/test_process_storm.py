"""Reloads, upgrades and deaths that meet each other."""

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import threading
import time

import pytest
from harness import wait
from harness.process import SANITIZED, descriptors, memory_kib, worker_of
from harness.site import program


def page(text):
    return f'server {{ location / {{ return 200 "{text}"; }} }}'


class Load:
    """Clients that ask all the time; `failures` has what was not 200."""

    def __init__(self, site, clients=2):
        self.site, self.failures, self.served = site, [], 0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.stop.is_set():
            try:
                answer = self.site.get("/")
                if answer.status != 200:
                    self.failures.append(answer)
                self.served += 1
            except Exception as error:
                self.failures.append(error)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        return self.failures


@contextlib.contextmanager
def under_load(site):
    load = Load(site)
    try:
        yield load
    finally:
        load.end()


def test_reloads_that_change_everything(pelayan, backend):
    """Listeners, upstreams, logs, numbers of loops change under load; nobody is refused."""
    apps = [backend(), backend()]
    random.seed(7)

    def conf(number):
        app = apps[number % 2]
        more = "".join(
            f"server {{ listen 127.0.0.1:{{port{i}}}; return 200 {i}; }}"
            for i in random.sample(range(2, 8), 3)
        )
        return {
            "main": f"worker_processes {1 + number // 5 % 3};",
            "http": f"""access_log {{dir}}/logs/a{number % 3}.log combined {"buffer=8k" if number % 2 else ""};
                upstream u{number % 4} {{ server {app.address}; keepalive 4; }}
                server {{ listen 127.0.0.1:{{port}}; {"error_log {dir}/logs/e.log;" if number % 2 else ""}
                    location / {{ proxy_pass http://u{number % 4}; }} }} {more}""",
        }

    site = pelayan.run(**conf(0))
    site.wait_for_log("configuration 1 is served")
    with under_load(site) as load:
        for number in range(1, 31):
            site.reload(**conf(number))
    assert load.served > 0 and load.failures == []
    wait.until(lambda: len(site.workers()) == 1, "one worker")


def test_deaths_during_reloads(pelayan):
    """The checking child or the worker is killed at any moment: every reload is answered, and in the
    end the last good configuration is served."""
    site = pelayan.run(http=page("0"))
    site.wait_for_log("configuration 1 is served")
    site.tolerate("exited on signal 9|workers die at start|cannot be handed")
    random.seed(3)
    stop = threading.Event()

    def kill():
        while not stop.is_set():
            time.sleep(random.random() * 0.08)
            with contextlib.suppress(OSError, IndexError):
                os.kill(random.choice(site.workers()), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    for number in range(1, 25):
        result = site.reload(check=False, http=page(str(number)))
        assert result.returncode in (0, 1)
        assert result.returncode == 0 or result.stderr != ""
    stop.set()
    thread.join()
    site.reload(http=page("last"))
    assert site.get("/").text == "last"
    wait.until(lambda: len(site.workers()) == 1, "one worker")


def test_the_master_is_killed_during_a_reload(pelayan):
    site = pelayan.run(http=page("here"))
    site.wait_for_log("configuration 1 is served")
    os.kill(site.pid, signal.SIGHUP)
    os.kill(site.pid, signal.SIGKILL)
    site.wait_exit()
    wait.until(lambda: not site.processes(), lambda: f"all to leave: {site.processes()}")
    # what it left behind does not stop the next one
    site.start()
    assert site.get("/").text == "here"


@pytest.mark.parametrize("new", ["garbage", "#!/bin/sh\nexit 1\n", "#!/bin/sh\nkill -9 $$\n"])
def test_an_upgrade_to_something_broken(pelayan, monkeypatch, new):
    """A program that cannot even test the configuration is not let in."""
    place = pelayan.place(http=page("here"))
    copy = place.dir / "pelayan-copy"
    shutil.copy(program(), copy)
    monkeypatch.setenv("PELAYAN_BIN", str(copy))
    site = pelayan.run(http=page("here"))
    site.wait_for_log("configuration 1 is served")
    os.unlink(copy)
    copy.write_text(new)
    copy.chmod(0o755)
    site.tolerate("no upgrade|execve")
    for _ in range(2):
        os.kill(site.pid, signal.SIGUSR2)
    site.wait_for_log("no upgrade")
    assert site.get("/").text == "here"
    os.unlink(copy)
    monkeypatch.undo()


def test_upgrades_one_after_the_other_under_load(pelayan):
    """Also two signals at once, and one during a reload."""
    site = pelayan.run(http=page("here"))
    site.wait_for_log("configuration 1 is served")
    with under_load(site) as load:
        for number in range(4):
            [worker] = site.workers()[-1:]
            os.kill(site.pid, signal.SIGUSR2)
            os.kill(site.pid, signal.SIGHUP if number % 2 else signal.SIGUSR2)
            wait.until(lambda: worker not in site.workers() and site.workers(), "a new worker")
            site.reload()
    assert load.failures == []
    wait.until(lambda: len(site.workers()) == 1, "one worker")
    assert site.get("/").text == "here"


def test_winch_during_a_reload(pelayan):
    site = pelayan.run(http=page("here"))
    site.wait_for_log("configuration 1 is served")
    for _ in range(5):
        os.kill(site.pid, signal.SIGHUP)
        os.kill(site.pid, signal.SIGWINCH)
    site.reload()
    assert site.get("/").text == "here"


def test_quit_does_not_wait_for_a_hanging_websocket_longer_than_told(pelayan, backend):
    from harness.backend import Answer

    app = backend(answers=Answer(echo=True))
    site = pelayan.run(
        main="worker_shutdown_timeout 1s;", http=f"server {{ location / {{ proxy_pass {app.url}; }} }}"
    )
    site.wait_for_log("configuration 1 is served")
    client = site.connect()
    client.upgrade("/")
    begin = time.monotonic()
    os.kill(site.pid, signal.SIGQUIT)
    assert site.wait_exit() == 0
    assert 0.8 < time.monotonic() - begin < 5


def test_a_full_disk_under_the_logs(pelayan):
    """Lines are lost, requests are not; when there is room again lines are written."""
    if os.geteuid() != 0:
        pytest.skip("needs mount()")
    place = pelayan.place(http="")
    full = place.dir / "full"
    full.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", full]).returncode:
        pytest.skip("no mount() here")
    try:
        site = pelayan.run(
            http=f"access_log {full}/access.log; client_body_buffer_size 1k; client_body_temp_path {full}/t;"
            f"server {{ location / {{ return 200 ok; }} }}"
        )
        site.tolerate("lines are lost|No space left")
        os.system(f"dd if=/dev/zero of={full}/ballast bs=1k count=100 status=none 2>/dev/null")
        for _ in range(50):
            assert site.get("/" + "x" * 2000).text == "ok"
        site.wait_for_log("No space left")
        os.unlink(full / "ballast")
        site.get("/again")
        wait.until(lambda: "/again" in site.read(full / "access.log"), "the line")
        site.stop()
    finally:
        subprocess.run(["umount", "-l", full])


def test_thousands_of_includes(pelayan):
    site = pelayan.place(http="include {dir}/sites/*.conf;")
    for number in range(3000):
        site.file(f"sites/{number:05}.conf", f"server {{ listen 127.0.0.1:1; server_name s{number}; }}\n")
    result = site.check()
    assert result.returncode == 0, result.stderr
    (site.dir / "sites/00007.conf").unlink()
    os.symlink("nowhere", site.dir / "sites/00007.conf")
    result = site.check()
    assert result.returncode == 1 and "00007.conf" in result.stderr


def test_paths_of_unix_listeners(pelayan):
    site = pelayan.place(http="server { listen unix:{dir}/" + "x" * 120 + "; }")
    result = site.check()
    assert result.returncode == 1 and "nginx.conf:" in result.stderr


CONNECTIONS = int(os.environ.get("PELAYAN_STORM_CONNECTIONS", "300" if SANITIZED else "2000"))
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def room():
    """Descriptors for so many clients, in us and in what we start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CONNECTIONS + 1000:
        pytest.skip(f"{CONNECTIONS} connections need more than {hard} descriptors (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, CONNECTIONS + 1000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_storm_of_reloads_over_many_connections(pelayan, room):
    """Half of the clients are idle, the others in the middle of a head: none is disconnected by any
    of the reloads, each request is answered by the configuration it began in, and it costs no memory
    that stays. PELAYAN_STORM_CONNECTIONS says how many."""

    def conf(text):
        return {
            "events": f"worker_connections {CONNECTIONS + 500};",
            "main": f"worker_rlimit_nofile {CONNECTIONS + 1000};",
            "http": f"keepalive_timeout 600s; client_header_timeout 600s; {page(text)}",
        }

    def answers(clients):
        texts = set()
        for client in clients:
            texts.add(client.read_response().text)
        return texts

    site = pelayan.run(**conf("first"))
    worker = worker_of(site)
    clients = [site.connect() for _ in range(CONNECTIONS)]
    for client in clients:
        client.send(REQUEST)
    assert answers(clients) == {"first"}
    for client in clients[::2]:
        client.send(REQUEST[:20])
    for _ in range(5):
        site.reload()
    before = memory_kib(worker), descriptors(worker)
    for number in range(30):
        os.kill(site.pid, signal.SIGHUP)
        if number % 3 == 0:
            site.reload()  # nobody reads the file any more while it is written
            site.reload(**conf(str(number)))
    site.reload()
    site.reload(**conf("last"))
    for client in clients[::2]:
        client.send(REQUEST[20:])
    for client in clients[1::2]:
        client.send(REQUEST)
    assert answers(clients[::2]) == {"first"}
    assert answers(clients[1::2]) == {"last"}
    assert site.workers() == [worker]
    after = memory_kib(worker), descriptors(worker)
    assert after[1] <= before[1] + 4
    assert SANITIZED or after[0] < before[0] + 4096 + CONNECTIONS // 2, (before, after)
    for client in clients:
        client.close()
