"""Logs that cannot be written, or not fast enough, cost lines and never the app."""

import json
import os
import subprocess
import time
from signal import SIGUSR2

import pytest
from harness import wait
from harness.site import program


LOUD = """
import os, sys
line = b"x" * 199 + b"\\n"
for _ in range(25): os.write(1, line * 1000)
sys.stderr.write("all written\\n")
sys.stderr.flush()
import time
time.sleep(1000)
"""


@pytest.mark.parametrize("more", [(), ("--time",)])
def test_full_disk(runner, more):
    """5 MB into a disk of 1 MB: the app goes on, the loss is counted and said, others still log."""
    if os.geteuid() != 0:
        pytest.skip("a small disk needs root")
    runner.file("loud.py", LOUD)
    disk = runner.dir / "disk"
    disk.mkdir()
    subprocess.run(
        ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=1m none "$1"; shift; exec "$@"', "sh",
         disk, program(), "start", "loud.py", "-o", disk / "out.log", *more],
        cwd=runner.dir, env=runner.environment(), check=True, capture_output=True)
    errors = runner.home / "logs/loud-error.log"
    wait.until(lambda: "all written" in runner.read(errors), "the app to get rid of its lines")
    wait.until(lambda: runner.env("loud").get("log_bytes_lost", 0) > 3_500_000,
               lambda: f"the loss: {runner.env('loud')}")
    assert "No space left on device" in runner.log()
    assert str(runner.env("loud")["log_bytes_lost"]) in runner.ok("describe", "loud")


def test_reader_that_does_not_read(runner):
    """The log is a named pipe whose reader sleeps: the app does not stand still with it."""
    runner.file("loud.py", LOUD)
    pipe = runner.dir / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        runner.ok("start", "loud.py", "-o", pipe)
        errors = runner.home / "logs/loud-error.log"
        wait.until(lambda: "all written" in runner.read(errors), "the app to get rid of its lines")
        assert runner.env("loud")["log_bytes_lost"] > 3_000_000
        assert os.read(reader, 200) == b"x" * 199 + b"\n"
        runner.ok("stop", "loud")
    finally:
        os.close(reader)


def test_rotation_and_compression_under_way(runner):
    """Every line is in some file, in order, while the log is put aside again and again."""
    runner.file("numbers.py", """
import sys
for n in range(60000): sys.stdout.write(f"{n:06}\\n")
""")
    runner.ok("start", "numbers.py", "--no-autorestart", "--log-max-size", "50K")
    runner.wait_status("numbers", "stopped")
    logs = runner.home / "logs"

    def lines():
        asides = sorted(logs.glob("numbers-out.log.*"), key=lambda path: path.stem)
        if not asides or any(path.suffix != ".gz" for path in asides):
            return []
        text = b"".join(subprocess.run(["zcat", path], capture_output=True).stdout
                        for path in asides)
        return (text + (logs / "numbers-out.log").read_bytes()).split()

    wait.until(lambda: lines() == [b"%06d" % n for n in range(60000)],
               lambda: f"all lines: {len(lines())} {sorted(os.listdir(logs))}", 30)


def test_many_writers_one_file(runner):
    """Eight instances, half of them in pieces, one file: no line is torn."""
    runner.file("writer.py", """
import os, sys
me = os.environ["NODE_APP_INSTANCE"]
for n in range(2000):
    os.write(1, b"%s-" % me.encode())
    os.write(1, b"%d" % n * 50 + b"\\n")
""")
    runner.ok("start", "writer.py", "-i", "8", "--merge-logs", "--no-autorestart")
    runner.wait_status("writer", *["stopped"] * 8)
    lines = runner.output("writer").splitlines()
    assert sorted(lines) == sorted(f"{me}-{str(n) * 50}" for me in range(8) for n in range(2000))


def test_100_megabytes_a_second_beside_commands(runner):
    """An app that writes without end: commands are answered, other apps log on, nothing is lost."""
    runner.ok("start", "yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "--name", "yes",
              "--log-max-size", "20M", "--log-total-size", "1M")
    runner.ok("start", "while :; do echo tick; sleep 0.05; done", "--name", "ticks")
    wait.until(lambda: list((runner.home / "logs").glob("yes-out.log.*")), "a rotation")
    count = runner.output("ticks").count("tick")
    wait.until(lambda: runner.output("ticks").count("tick") > count + 3, "the other app's lines")
    assert runner.status("yes") == ["online"]
    runner.ok("delete", "yes")


def test_logs_rotate(runner):
    """A log over its limit is put aside compressed, and the oldest go."""
    runner.file("loud.sh", 'for i in $(seq 60000); do echo "line $i of the log of this app"; done')
    runner.ok("start", "loud.sh", "--no-autorestart", "--log-max-size", "200K",
              "--log-total-size", "300K")
    runner.wait_status("loud", "stopped")
    logs = runner.home / "logs"
    wait.until(
        lambda: (asides := [x for x in logs.iterdir() if x.name.startswith("loud-out.log.")])
        and all(x.name.endswith(".gz") for x in asides)
        and sum(x.stat().st_size for x in asides) <= 300 * 1024,
        lambda: f"compressed logs: {list(logs.iterdir())}",
    )
    assert (logs / "loud-out.log").stat().st_size < 600 * 1024


def test_log_forms(runner):
    """Lines with a time before them, and as JSON."""
    runner.ok("start", "echo hello; sleep 1000", "--name", "dated", "--log-date-format", "YYYY")
    runner.wait_output("dated", f"{time.localtime().tm_year}: hello\n")
    runner.ok("start", 'echo "a \\"quote\\""; sleep 1000', "--name", "j", "--log-type", "json")
    runner.wait_output("j", "}\n")
    line = json.loads(runner.output("j"))
    assert line["message"] == 'a "quote"' and line["type"] == "out" and line["app_name"] == "j"


def test_logs_command(runner):
    """The last lines of several apps, labelled; --raw without."""
    runner.ok("start", "seq 30; echo oops >&2; sleep 1000", "--name", "n")
    runner.wait_output("n", "30\n")
    wait.until(lambda: "oops" in runner.ok("logs", "--nostream", "--err"), "standard error")
    assert runner.ok("logs", "n", "--nostream", "--out", "--lines", "2") == "0|n | 29\n0|n | 30\n"
    assert runner.ok("logs", "n", "--nostream", "--out", "--raw", "--lines", "1") == "30\n"


def test_logs_moved_away(runner):
    """SIGUSR2 to the runner, or reloadLogs, begins new files."""
    runner.ok("start", "while :; do echo x; sleep 0.05; done", "--name", "w")
    runner.wait_output("w", "x\n")
    path = runner.home / "logs/w-out.log"
    path.rename(f"{path}.old")
    runner.ok("reloadLogs")
    runner.wait_output("w", "x\n")
    path.rename(f"{path}.older")
    os.kill(runner.pid, SIGUSR2)
    runner.wait_output("w", "x\n")
