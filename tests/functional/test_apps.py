"""The app runner: its commands, its life, and what apps are told."""

import fcntl
import os
import pty
import subprocess

from harness import wait
from harness.site import program


def test_start_stop_restart_delete(runner):
    """The everyday commands, their exit codes, and the list in pm2's shape."""
    runner.file("loop.py", "import time\nprint('begun')\nwhile True: time.sleep(1)\n")
    out = runner.ok("start", "loop.py", "--name", "looper", "--", "an", "argument")
    assert "looper" in out and "online" in out and "\033" not in out
    runner.wait_output("looper", "begun\n")
    app = runner.app("looper")
    assert app["pid"] > 0 and app["pm_id"] == 0 and app["monit"]["memory"] > 0
    assert app["pm2_env"]["args"] == ["an", "argument"]
    assert b"an\0argument\0" in open(f"/proc/{app['pid']}/cmdline", "rb").read()
    assert runner.ok("pid", "looper") == f"{app['pid']}\n"
    assert runner.ok("id", "looper") == "[ 0 ]\n"
    runner.ok("restart", "looper")
    assert runner.app("looper")["pid"] != app["pid"]
    assert runner.env("looper")["restart_time"] == 1
    runner.ok("stop", "0")
    assert runner.status("looper") == ["stopped"]
    assert "is there already" in runner.fails("start", "loop.py", "--name", "looper")
    runner.ok("start", "looper")
    assert runner.status("looper") == ["online"]
    assert "there is no app" in runner.fails("stop", "nobody")
    runner.ok("delete", "/^loop/")
    assert runner.list() == []


def test_asking_starts_nothing(runner):
    """Looking does not start the runner; the first start does."""
    assert runner.list() == []
    assert "no apps are running" in runner.fails("stop", "all")
    assert not runner.home.exists()


def test_two_commands_at_once_start_one_runner(runner):
    """Ten first commands at a time: one daemon, ten apps."""
    started = [runner.popen("start", "sleep 1000", "--name", f"s{i}") for i in range(10)]
    results = [(process.communicate()[1], process.returncode) for process in started]
    assert [code for _, code in results] == [0] * 10, results
    assert len(runner.list()) == 10
    assert len(runner.alive()) == 11


def test_ready_by_message_and_notify(runner):
    """process.send('ready'), NOTIFY_SOCKET, and an exec probe."""
    runner.file("says.js", "setTimeout(() => process.send('ready'), 200); setInterval(() => {}, 1e3)")
    runner.ok("start", "says.js", "--wait-ready")
    assert runner.status("says") == ["online"]
    runner.file("notifies.py", """
import os, socket, time
time.sleep(0.2)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b"STATUS=up\\nREADY=1", "\\0" + os.environ["NOTIFY_SOCKET"][1:])
time.sleep(1000)
""")
    runner.ok("start", "notifies.py", "--ready", "notify")
    flag = runner.dir / "flag"
    runner.ok("start", f"sleep 0.2; touch {flag}; sleep 1000", "--name", "flagged",
              "--ready", f"exec test -e {flag}")
    assert flag.exists()


def test_shutdown_message(runner):
    """shutdown_with_message asks a node app over its channel."""
    runner.file("polite.js", """
process.on('message', (m) => { console.log('told', m); process.exit(0); });
process.on('SIGINT', () => console.log('signalled'));
console.log('up');
""")
    runner.ok("start", "polite.js", "--shutdown-with-message")
    runner.wait_output("polite", "up")
    runner.ok("stop", "polite")
    assert runner.output("polite") == "up\ntold shutdown\n"


def test_signals_and_messages(runner):
    """sendSignal and send reach the app."""
    runner.file("hears.js", """
process.on('SIGUSR2', () => console.log('usr2'));
process.on('message', (m) => console.log('message', m));
console.log('up');
""")
    runner.ok("start", "hears.js")
    runner.wait_output("hears", "up")
    runner.ok("sendSignal", "SIGUSR2", "hears")
    runner.ok("send", "hears", "good morning", "--message")
    runner.wait_output("hears", "usr2")
    runner.wait_output("hears", "message good morning")
    assert "no signal" in runner.fails("sendSignal", "SIGNONE", "hears")


def test_cron_restart(runner):
    """Restarts at its times, here every second."""
    runner.ok("start", "sleep 1000", "--name", "timed", "--cron", "* * * * * *")
    wait.until(lambda: runner.env("timed")["restart_time"] >= 2, "two restarts")


def test_no_daemon(runner):
    """In the foreground: logs on standard output, and SIGTERM ends the apps, then the runner."""
    process = runner.popen("start", "echo hello; sleep 1000", "--name", "front", "--no-daemon")
    wait.until(lambda: "hello" in process.stdout.readline(), "its log")
    assert runner.status("front") == ["online"] and runner.pid == process.pid
    process.terminate()
    process.communicate(timeout=wait.TIMEOUT)
    assert process.returncode == 0
    wait.until(lambda: runner.alive() == [], "nothing to be left")
    failing = runner.run("start", "/no/such/program", "--no-daemon")
    assert failing.returncode == 1 and "No such file" in failing.stderr


def test_startup(runner):
    """A unit that brings the apps back, and every change saved from then on."""
    config = runner.dir / "config"
    runner.ok("startup", "--user", XDG_CONFIG_HOME=str(config))
    unit = config / "systemd/user/pelayan-apps.service"
    assert f"PELAYAN_HOME={runner.home}" in unit.read_text()
    assert (config / "systemd/user/default.target.wants/pelayan-apps.service").exists()
    runner.ok("start", "sleep 1000", "--name", "kept")
    runner.ok("kill")
    process = runner.popen("resurrect", "--no-daemon")
    runner.wait_status("kept", "online")
    process.terminate()
    assert process.wait(wait.TIMEOUT) == 0
    process.communicate()
    runner.ok("unstartup", "--user", XDG_CONFIG_HOME=str(config))
    assert not unit.exists() and not (runner.home / "autosave").exists()


def test_monit(runner):
    """The screen shows the list and the selected app's lines, nothing of them as control bytes."""
    assert "needs a terminal" in runner.fails("monit")
    runner.ok("start", "printf 'line\\033[2Jof it\\n'; sleep 1000", "--name", "shown")
    runner.wait_output("shown", "of it")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [program(), "monit"], stdin=slave, stdout=slave, stderr=slave, env=runner.environment()
    )
    os.close(slave)
    text = b""
    while b"of it" not in text:
        text += os.read(master, 65536)
    assert b"shown" in text and b"online" in text and b"line\033[2J" not in text
    os.write(master, b"jkq")
    assert process.wait(wait.TIMEOUT) == 0
    os.close(master)


def test_kill_answers_when_nothing_is_left(runner):
    """Socket and lock are gone by then: another runner may begin at once, in the same place."""
    for _ in range(5):
        runner.ok("start", "sleep 1000", "--name", "s", "-i", "20")
        with open(runner.home / "pelayan.pid", "rb") as lock:
            assert runner.ask(command="kill")["ok"]
            assert not (runner.home / "control.sock").exists()
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
