"""What a worker has given up by the time it serves."""

import os
import signal
from pathlib import Path

import pytest
from harness import wait

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="nothing can be given up without root")

PAGE = 'server { location / { return 200 "here"; } }'


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def limits_of(pid):
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:].split()[0] for line in lines}


def worker_of(site):
    site.wait_for_log("configuration 1 is served")
    return site.workers()[0]


def threads_of(pid):
    return [int(name) for name in os.listdir(f"/proc/{pid}/task")]


def test_every_thread_of_the_worker_is_confined(pelayan):
    site = pelayan.run(main="worker_processes 3;", http=PAGE)
    worker = worker_of(site)
    assert len(threads_of(worker)) >= 3
    for thread in threads_of(worker):
        status = status_of(f"{worker}/task/{thread}")
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        if os.geteuid() == 0:
            for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                assert int(status[kind], 16) == 0, kind
            assert set(status["Uid"].split()) == {status["Uid"].split()[0]} != {"0"}
    assert site.get("/").text == "here"


@root_only
def test_the_worker_cannot_be_read_by_its_own_user(pelayan):
    """Not dumpable: neither a core file nor another process of the user shows its keys."""
    site = pelayan.run(http=PAGE)
    assert os.stat(f"/proc/{worker_of(site)}/mem").st_uid == 0
    site.reload(main="worker_rlimit_core 10m;", http=PAGE)
    worker = wait.until(lambda: len(site.workers()) == 1 and site.workers()[0], "the next worker")
    assert os.stat(f"/proc/{worker}/mem").st_uid == int(status_of(worker)["Uid"].split()[0])
    assert limits_of(worker)["Max core file size"] == str(10 << 20)


def test_limits_are_those_asked_for(pelayan):
    site = pelayan.run(main="worker_rlimit_nofile 512; worker_rlimit_core 0;", http=PAGE)
    limits = limits_of(worker_of(site))
    assert (limits["Max open files"], limits["Max core file size"]) == ("512", "0")


@pytest.mark.parametrize("mode, filtered", [("on", "2"), ("log", "2"), ("off", "0")])
def test_the_filter_can_be_turned_off(pelayan, mode, filtered):
    conf = {"main": f"worker_seccomp {mode};", "http": PAGE}
    warned = "may now make every system call" in pelayan.check(**conf).stderr
    assert warned == (mode != "on")
    site = pelayan.run(**conf)
    assert status_of(worker_of(site))["Seccomp"] == filtered


def test_another_filter_is_another_worker(pelayan):
    site = pelayan.run(http=PAGE)
    before = worker_of(site)
    site.reload(main="worker_seccomp off;", http=PAGE)
    after = wait.until(
        lambda: site.workers() != [before] and len(site.workers()) == 1 and site.workers()[0],
        "the next worker",
    )
    assert status_of(after)["Seccomp"] == "0"
    assert site.get("/").text == "here"


def test_the_master_is_not_confined(pelayan):
    """It starts workers, opens ports, becomes another program at an upgrade."""
    site = pelayan.run(http=PAGE)
    worker_of(site)
    assert status_of(site.pid)["Seccomp"] == "0"


def test_without_a_master_there_is_no_filter(pelayan):
    site = pelayan.run(main="master_process off;", http=PAGE)
    assert site.get("/").text == "here"
    assert status_of(site.pid)["Seccomp"] == "0"


def test_threads_that_come_later_are_confined(pelayan):
    """Those for files and for names begin when they are needed."""
    site = pelayan.run(
        http="server { root {dir}/html; aio threads; sendfile off; }",
        prepare=lambda site: site.file("html/big", os.urandom(3_000_000)),
    )
    worker = worker_of(site)
    before = threads_of(worker)
    assert len(site.get("/big").body) == 3_000_000
    later = set(threads_of(worker)) - set(before)
    assert later
    for thread in later:
        assert status_of(f"{worker}/task/{thread}")["Seccomp"] == "2"


def test_a_dead_worker_leaves_no_core_file(pelayan):
    site = pelayan.run(main="working_directory {dir}/tmp;", http=PAGE)
    (site.dir / "tmp").chmod(0o777)
    site.tolerate("exited on signal")
    worker = worker_of(site)
    os.kill(worker, signal.SIGABRT)
    wait.until(lambda: worker not in site.workers(), "its end")
    wait.until(lambda: site.get("/").text == "here", "an answer")
    assert not list((site.dir / "tmp").glob("core*"))
    assert "core dumped" not in site.error_log()
