"""The runner becomes another program, and its apps do not notice."""

import os
import threading
import urllib.request
from signal import SIGKILL, SIGUSR1

from harness import wait

WEB = """
const http = require('http');
process.on('message', (m) => console.log('message', m));
http.createServer((q, r) => setTimeout(() => r.end('pid ' + process.pid), 5))
  .listen(process.env.PORT, () => console.log('listening'));
"""

COUNTER = """
import sys, time
number = 0
while True:
    sys.stdout.write(f"line {number} half")
    sys.stdout.flush()
    time.sleep(0.001)
    sys.stdout.write(f" and half {number}\\n")
    sys.stdout.flush()
    number += 1
"""


def descriptors(pid):
    return sorted(os.readlink(f"/proc/{pid}/fd/{fd}").split(":")[0]
                  for fd in os.listdir(f"/proc/{pid}/fd"))



def test_no_line_is_lost(runner):
    """Lines that are half written, with a time before them, arrive whole and in order."""
    runner.file("counter.py", COUNTER)
    runner.ok("start", "counter.py", "--log-date-format", "[at]")
    runner.wait_output("counter", "line 20 ")
    before = runner.app("counter")
    pid = runner.pid
    for _ in range(3):
        runner.ok("update")
    assert runner.pid == pid and runner.log().count("update: this is ") == 3
    reached = runner.output("counter").count("\n") + 20
    runner.wait_output("counter", f"line {reached} half and")
    after = runner.app("counter")
    assert after["pid"] == before["pid"]
    assert after["pm2_env"]["pm_uptime"] == before["pm2_env"]["pm_uptime"]
    runner.ok("stop", "counter")
    lines = runner.output("counter").splitlines()
    whole = [f"at: line {n} half and half {n}" for n in range(len(lines))]
    assert lines[:-1] == whole[:-1] and whole[-1].startswith(lines[-1])


def test_cluster_under_load(runner, port):
    """No request fails, workers keep their channel, and a later reload still rolls."""
    runner.file("web.js", WEB)
    runner.ok("start", "web.js", "-i", "2", PORT=str(port))
    wait.until(lambda: runner.ok("logs", "--nostream", "--raw").count("listening") == 2, "both")
    pids = {app["pid"] for app in runner.list()}
    stop, failures = threading.Event(), []

    def keep_asking():
        while not stop.is_set():
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).read()
            except Exception as error:
                failures.append(repr(error))

    asking = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(3):
            runner.ok("update")
        assert {app["pid"] for app in runner.list()} == pids
        runner.ok("send", "web", "still there", "--message")
        runner.ok("reload", "web")
    finally:
        stop.set()
        for thread in asking:
            thread.join()
    assert failures == []
    logs = runner.ok("logs", "--nostream", "--raw", "--lines", "100")
    assert logs.count("message still there") == 2
    assert pids.isdisjoint({app["pid"] for app in runner.list()})


def test_a_program_that_fails_its_check(runner):
    """Nothing happens, and it is said why: no such program, another program, one that crashes."""
    runner.ok("start", "sleep 1000", "--name", "s")
    before, pid = runner.app("s"), runner.pid
    crashes = runner.file("crashes", "#!/bin/sh\necho it is broken >&2\nexit 3\n", 0o755)
    for program, why in [("/no/such/program", "No such file"), ("/bin/true", "exit code 0"),
                         ("/bin/cat", "did not pass"), (str(crashes), "it is broken")]:
        answer = runner.ask(command="update", program=program)
        assert not answer["ok"] and why in answer["message"], answer
    assert runner.pid == pid and "update: this is " not in runner.log()
    assert runner.app("s")["pid"] == before["pid"]
    assert "everything stays as it is" in runner.log()


def test_every_state_goes_on(runner):
    """Waiting, starting, stopping, stopped, errored: counters, timers and sockets are kept."""
    runner.file("notifies.py", """
import os, socket, time
while not os.path.exists("go"): time.sleep(0.02)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b"READY=1", "\\0" + os.environ["NOTIFY_SOCKET"][1:])
time.sleep(1000)
""")
    runner.file("bad.sh", "exit 1")
    runner.run("start", "bad.sh", "--name", "bad", "--max-restarts", "2")
    runner.wait_status("bad", "errored")
    runner.run("start", "bad.sh", "--name", "waits", "--restart-delay", "600000")
    runner.wait_status("waits", "waiting restart")
    runner.ok("start", "sleep 1000", "--name", "stopped")
    runner.ok("stop", "stopped")
    runner.ok("start", "trap '' INT; echo up; while :; do sleep 0.1; done", "--name", "stubborn",
              "--kill-timeout", "600000")
    runner.wait_output("stubborn", "up")
    stopping = runner.popen("stop", "stubborn")
    runner.wait_status("stubborn", "stopping")
    starting = runner.popen("start", "notifies.py", "--ready", "notify")
    runner.wait_status("notifies", "launching")
    updating = runner.popen("update", "-s")
    wait.until(lambda: "executing" not in runner.log() and updating.poll() is None,
               "the update to wait for what is under way")
    os.kill(runner.app("stubborn")["pid"], SIGKILL)
    runner.file("go", "")
    results = [process.communicate(timeout=wait.TIMEOUT) and process.returncode
               for process in (stopping, starting, updating)]
    assert results == [0, 0, 0]
    assert [app["pm2_env"]["status"] for app in runner.list()] == [
        "errored", "waiting restart", "stopped", "stopped", "online"]
    assert runner.env("waits")["restart_time"] == 1
    assert "exited with code 1" in runner.env("bad")["reason"]
    os.kill(runner.app("notifies")["pid"], SIGKILL)
    wait.until(lambda: runner.env("notifies")["restart_time"] == 1, "its end to be noticed")


def test_by_signal_and_without_leaks(runner):
    """USR1 executes the program on the disk; descriptors are the same afterwards."""
    runner.file("web.js", WEB)
    runner.ok("start", "web.js", "-i", "2", "--socket")
    counts = []
    for count in range(1, 5):
        os.kill(runner.pid, SIGUSR1)
        wait.until(lambda: runner.log().count("update: this is") == count, "an update")
        counts.append(descriptors(runner.pid))
    assert counts[1] == counts[2] == counts[3]


def test_commands_during_updates(runner):
    """Whoever asks while the program changes gets an answer."""
    runner.ok("start", "sleep 1000", "--name", "s", "-i", "3")
    stop, failures = threading.Event(), []

    def keep_asking():
        while not stop.is_set():
            result = runner.run("jlist")
            if result.returncode != 0 or result.stdout.count('"online"') != 3:
                failures.append(result.stdout + result.stderr)

    asking = [threading.Thread(target=keep_asking) for _ in range(3)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(10):
            runner.ok("update", "-s")
    finally:
        stop.set()
        for thread in asking:
            thread.join()
    assert failures == []


def test_ends_while_the_program_changes(runner):
    """Processes that end, or lose a child, between two programs are noticed."""
    runner.ok("start", "sleep 0.0$((RANDOM % 9 + 1))", "--name", "short", "-i", "4",
              "--max-restarts", "100000", "--crash-window", "0")
    for _ in range(5):
        runner.ok("update", "-s")
    count = sum(app["pm2_env"]["restart_time"] for app in runner.list())
    wait.until(lambda: sum(app["pm2_env"]["restart_time"] for app in runner.list()) > count + 8,
               "restarts to go on")
    runner.ok("stop", "short")
    wait.until(lambda: runner.alive() == [runner.pid], lambda: f"no zombies: {runner.alive()}")


def test_nobody_to_update(runner):
    assert "no apps are running" in runner.fails("update")
