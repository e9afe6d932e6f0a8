"""Many deaths in a row leave the runner as it was. PELAYAN_CYCLES=10000 asks for more of them."""

import os
from pathlib import Path

from harness import wait

CYCLES = int(os.environ.get("PELAYAN_CYCLES", "300"))


def memory(pid):
    """Private bytes, in KiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def restarts(runner):
    return sum(app["pm2_env"]["restart_time"] for app in runner.list())


def test_crash_restart_cycles(runner):
    """Programs that end at once, restarted for ever: no descriptor, no memory, no zombie stays."""
    endless = ("--max-restarts", "1000000", "--min-uptime", "0", "--crash-window", "0")
    runner.ok("start", "/bin/false", "--name", "false", *endless)
    runner.ok("start", "/bin/true", "--name", "true", "-i", "2", *endless)
    wait.until(lambda: restarts(runner) > 100, "the first hundred")
    runner.ok("stop", "all")
    fds, kib, begun = descriptors(runner.pid), memory(runner.pid), restarts(runner)
    runner.run("start", "all")  # that some of them have ended by then is a failed start
    wait.until(lambda: restarts(runner) > begun + CYCLES,
               lambda: f"{CYCLES} cycles: {restarts(runner)}", wait.TIMEOUT + CYCLES / 20)
    runner.ok("stop", "all")
    # the connection of the last command may have been among the first ones
    wait.until(lambda: descriptors(runner.pid) <= fds,
               lambda: f"{fds} descriptors, not {descriptors(runner.pid)}")
    if "asan" not in os.environ.get("PELAYAN_BIN", ""):
        wait.until(lambda: memory(runner.pid) <= kib + 256,
                   lambda: f"{kib} KiB, not {memory(runner.pid)}")
    wait.until(lambda: runner.alive() == [runner.pid], "all to end")
    children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text()
    assert children == ""


def test_updates_leave_nothing(runner):
    """The same for updates in place: memory after twenty is that after two."""
    runner.ok("start", "sleep 1000", "--name", "s", "-i", "4")
    for _ in range(2):
        runner.ok("update", "-s")
    kib, fds = memory(runner.pid), descriptors(runner.pid)
    for _ in range(18):
        runner.ok("update", "-s")
    wait.until(lambda: descriptors(runner.pid) <= fds, "the same descriptors")
    if "asan" not in os.environ.get("PELAYAN_BIN", ""):
        wait.until(lambda: memory(runner.pid) <= kib + 256,
                   lambda: f"{kib} KiB, not {memory(runner.pid)}")
