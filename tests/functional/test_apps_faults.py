"""Apps that misbehave: each fault ends where it should, with a reason."""

import contextlib
import os
import subprocess
from signal import SIGKILL

import pytest
from harness import wait
from harness.versions import SERVER, get


def test_crash_at_start(runner):
    """It is tried, given up, and said why, with the last lines of its standard error."""
    runner.file("bad.js", "console.error('no database'); process.exit(3)")
    runner.run("start", "bad.js", "--max-restarts", "4")
    runner.wait_status("bad", "errored")
    text = runner.ok("describe", "bad")
    assert "exited with code 3" in text and "no database" in text


def test_crash_at_a_steady_rate(runner):
    """An app that lives longer than min_uptime each time is given up as well."""
    runner.file("dies.sh", "sleep 0.3; exit 1")
    runner.run("start", "dies.sh", "--max-restarts", "4", "--min-uptime", "100")
    runner.wait_status("dies", "errored")
    assert "crash_window" in runner.env("dies")["reason"]


def test_what_cannot_run(runner):
    """No such program, no such folder: an exit code and a reason."""
    assert "no program" in runner.fails("start", "nothing.js")
    assert "did you mean" in runner.fails("start", "x.js", "--max-restart", "3")
    assert "must be" in runner.fails("start", "x.js", "--kill-timeout", "soon")


def test_ignores_signals_and_forks(runner):
    """The whole tree ends, also what has a session of its own."""
    runner.file("stubborn.py", """
import os, signal, subprocess, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(["sleep", "1000"])
subprocess.Popen(["sleep", "1000"], start_new_session=True)
print("forked", flush=True)
while True: time.sleep(1)
""")
    runner.ok("start", "stubborn.py", "--kill-timeout", "100")
    runner.wait_output("stubborn", "forked")
    assert len(runner.alive()) == 4
    runner.ok("stop", "stubborn")
    wait.until(lambda: runner.alive() == [runner.pid], lambda: f"the tree to end: {runner.alive()}")


def test_exits_with_0(runner):
    """autorestart off and stop_exit_codes leave it stopped; else it is started again."""
    runner.ok("start", "true", "--name", "once", "--no-autorestart")
    runner.wait_status("once", "stopped")
    runner.ok("start", "sh -c 'exit 5'", "--name", "coded", "--stop-exit-codes", "5")
    runner.wait_status("coded", "stopped")
    assert runner.env("once")["restart_time"] == runner.env("coded")["restart_time"] == 0


def test_killed_is_replaced(runner):
    """kill -9: a new one at once, and the runner's own end takes its apps along."""
    runner.ok("start", "sleep 1000", "--name", "s")
    before = runner.app("s")["pid"]
    os.kill(before, SIGKILL)
    wait.until(lambda: runner.app("s")["pid"] not in (0, before), "a replacement")
    assert runner.env("s")["restart_time"] == 1
    assert "SIGKILL" in runner.env("s")["reason"]
    os.kill(runner.pid, SIGKILL)
    wait.until(lambda: not runner.alive(), "its apps to end with it")


def test_port_opened_late(runner, port):
    """start answers when the app does, with ready tcp and ready http."""
    runner.file("late.js", f"const VERSION='v';setTimeout(() => {{{SERVER}}}, 400)")
    runner.ok("start", "late.js", "--port", port, "--ready", "http /")
    assert get(port).startswith("v ")


def test_port_never_opened(runner, port):
    """Not ready in time is a failure with a reason."""
    error = runner.fails("start", "sleep 1000", "--name", "never", "--port", port,
                         "--ready", "tcp", "--listen-timeout", "200", "--max-restarts", "1")
    assert "not ready within 200 ms" in error
    runner.wait_status("never", "errored")


def test_100_megabytes_of_logs(runner):
    """All of it arrives, and the runner keeps none of it."""
    line = "x" * 99
    runner.file("loud.py", f"""
import sys
chunk = ("{line}" + "\\n") * 10000
for i in range(100): sys.stdout.write(chunk)
""")
    runner.ok("start", "loud.py", "--no-autorestart", "--log-max-size", "0")
    runner.wait_status("loud", "stopped")
    path = runner.home / "logs/loud-out.log"
    assert path.stat().st_size == 100_000_000
    peak = next(x for x in open(f"/proc/{runner.pid}/status") if x.startswith("VmHWM"))
    if not os.environ.get("PELAYAN_BIN", "").count("asan"):
        assert int(peak.split()[1]) < 16_000
    runner.ok("flush", "loud")
    assert path.stat().st_size == 0


def test_max_memory_restart(runner):
    """More memory than allowed: replaced within seconds."""
    runner.file("leaks.py", "import time\ntime.sleep(0.5)\nx = bytearray(80_000_000)\n"
                            "time.sleep(1000)\n")
    runner.ok("start", "leaks.py", "--max-memory-restart", "60M")
    wait.until(lambda: runner.env("leaks")["restart_time"] >= 1, "a restart")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs mount()")
def test_a_full_disk_under_the_list_of_apps(runner):
    """What was saved stays whole, the command says why the new list is not there, and apps go on."""
    runner.home.mkdir(mode=0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", runner.home]).returncode:
        pytest.skip("no mount() here")
    try:
        script = runner.file("sleep.sh", "#!/bin/sh\nexec sleep 1000\n", 0o755)
        runner.ok("start", script, "--name", "first")
        runner.ok("save")
        saved = (runner.home / "dump.json").read_bytes()
        with contextlib.suppress(OSError), open(runner.home / "ballast", "wb") as ballast:
            while True:
                ballast.write(bytes(4096))
        runner.ok("start", script, "--name", "second")
        assert "No space left" in runner.fails("save")
        assert (runner.home / "dump.json").read_bytes() == saved
        assert runner.status("first") == runner.status("second") == ["online"]
        (runner.home / "ballast").unlink()
        runner.ok("save")
        assert b"second" in (runner.home / "dump.json").read_bytes()
        runner.ok("kill")
    finally:
        subprocess.run(["umount", "-l", runner.home])
