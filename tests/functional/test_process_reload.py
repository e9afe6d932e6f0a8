"""Reload: a snapshot swap in the running worker; a bad file changes nothing."""

import os
import threading
from pathlib import Path

import pytest
from harness import wait


def page(text):
    return f'server {{ location / {{ return 200 "{text}"; }} }}'


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def test_an_idle_connection_lives_on_and_sees_the_new_config(pelayan):
    site = pelayan.run(http=page("old"))
    site.wait_for_log("configuration 1 is served")
    worker = site.workers()
    with site.connect() as client:
        assert client.get("/").text == "old"
        site.reload(http=page("new"))
        assert client.get("/").text == "new"
    wait.until(lambda: site.workers() == worker, "the same worker")


def test_a_bad_file_is_refused_with_all_its_errors(pelayan):
    site = pelayan.run(http=page("good"))
    bad = "server { no_such_one 1; location / { no_such_two 2; } }"
    result = site.reload(http=bad, check=False)
    assert result.returncode == 1
    assert "no_such_one" in result.stderr and "no_such_two" in result.stderr
    assert "nginx.conf:" in result.stderr and "^" in result.stderr
    site.wait_for_log(r"\[emerg\].*no_such_one")
    assert site.get("/").text == "good"
    site.reload(http=page("better"))
    assert site.get("/").text == "better"


def test_an_address_in_use_refuses_the_reload(pelayan):
    first = pelayan.run(http=page("first"))
    site = pelayan.run(http=page("good"))
    taken = f"server {{ listen 127.0.0.1:{first.port}; return 200 x; }}"
    result = site.reload(http=page("changed") + taken, check=False)
    assert result.returncode == 1 and "Address already in use" in result.stderr
    assert site.get("/").text == "good"
    assert first.get("/").text == "first"


def test_listeners_come_and_go(pelayan):
    two = """server { listen 127.0.0.1:{port}; return 200 one; }
        server { listen 127.0.0.1:{port2}; return 200 two; }"""
    site = pelayan.run(http=two)
    assert site.get("/", port="port2").text == "two"
    site.reload(http="server { listen 127.0.0.1:{port}; return 200 one; }")
    with pytest.raises(OSError):
        site.connect("port2")
    site.reload(http=two)
    assert site.get("/", port="port2").text == "two"
    assert site.get("/").text == "one"


def test_reuseport_may_be_added(pelayan):
    site = pelayan.run(http="server { listen 127.0.0.1:{port}; return 200 one; }")
    site.reload(http="server { listen 127.0.0.1:{port} reuseport; return 200 two; }")
    assert {site.get("/").text for _ in range(20)} == {"two"}


def test_other_numbers_of_loops_need_another_worker(pelayan):
    site = pelayan.run(main="worker_processes 1;", http=page("one"))
    site.wait_for_log("configuration 1 is served")
    worker = site.workers()
    with site.connect() as client:
        assert client.get("/").text == "one"
        site.reload(main="worker_processes 3;", http=page("three"))
        wait.until(lambda: site.workers() and worker[0] not in site.workers(), "a new worker")
        wait.until(lambda: len(site.workers()) == 1, "only that")
    assert site.get("/").text == "three"
    threads = os.listdir(f"/proc/{site.workers()[0]}/task")
    assert len(threads) >= 3


def test_the_hangup_signal_reloads_too(pelayan):
    site = pelayan.run(http=page("old"))
    site.write(http=page("new"))
    os.kill(site.pid, 1)
    wait.until(lambda: site.get("/").text == "new", "the new configuration")


def test_reloads_at_the_same_time_all_get_an_answer(pelayan):
    site = pelayan.run(http=page("old"))
    site.write(http=page("new"))
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(site.reload(check=False).returncode))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [0] * 8
    assert site.get("/").text == "new"


def test_many_reloads_under_load_lose_nothing_and_leave_nothing(pelayan):
    """200 reloads: no failed request, no growth in descriptors or memory."""
    endless = "keepalive_requests 1000000000; "
    site = pelayan.run(http=endless + page("0"))
    site.wait_for_log("configuration 1 is served")
    master, [worker] = site.pid, site.workers()
    failures, stop, served = [], threading.Event(), [0]

    def load():
        with site.connect() as client:
            while not stop.is_set():
                try:
                    answer = client.get("/")
                    if answer.status != 200 or not answer.text.isdigit():
                        failures.append(answer)
                    served[0] += 1
                except Exception as error:
                    failures.append(error)
                    return

    def fresh():
        while not stop.is_set():
            try:
                if site.get("/").status != 200:
                    failures.append("fresh")
            except Exception as error:
                failures.append(error)

    for _ in range(20):
        site.reload()
    before = {pid: (descriptors(pid), resident_kib(pid)) for pid in (master, worker)}
    threads = [threading.Thread(target=run) for run in (load, load, fresh)]
    for thread in threads:
        thread.start()
    for number in range(200):
        site.reload(http=endless + page(str(number)))
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert served[0] > 0
    wait.until(lambda: site.workers() == [worker], "the same worker")
    assert site.get("/").text == "199"
    for pid, (fds, kib) in before.items():
        wait.until(lambda: descriptors(pid) <= fds, f"descriptors of {pid}: {descriptors(pid)} > {fds}")
        if "PELAYAN_BIN" not in os.environ or "san" not in os.environ["PELAYAN_BIN"]:
            assert resident_kib(pid) < kib + 2048
