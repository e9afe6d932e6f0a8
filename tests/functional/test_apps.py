"""The app runner with real apps that misbehave."""

import json
import os
import pty
from signal import SIGKILL, SIGUSR2
import socket
import subprocess
import threading
import time
import urllib.request

import pytest

from harness import wait
from harness.ports import Port
from harness.runner import Runner
from harness.site import program

SERVER = """
const http = require('http');
const server = http.createServer((q, r) => {
  setTimeout(() => r.end(VERSION + ' ' + process.pid), q.url === '/slow' ? 300 : 0);
});
server.listen(process.env.PORT, () => { console.log('listening'); });
process.on('SIGINT', () => process.exit(0));
"""


@pytest.fixture
def runner():
    runner = Runner()
    yield runner
    runner.finish()


@pytest.fixture
def port():
    claim = Port()
    number = claim.number
    claim.release()
    return number


def get(port, path="/", timeout=10):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout) as answer:
        return answer.read().decode()


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


def test_logs_rotate(runner):
    """A log over its limit is put aside compressed, and the oldest go."""
    runner.file("loud.sh", 'for i in $(seq 60000); do echo "line $i of the log of this app"; done')
    runner.ok("start", "loud.sh", "--no-autorestart", "--log-max-size", "200K",
              "--log-total-size", "30K")
    runner.wait_status("loud", "stopped")
    logs = runner.home / "logs"
    wait.until(
        lambda: (asides := [x for x in logs.iterdir() if x.name.startswith("loud-out.log.")])
        and all(x.name.endswith(".gz") for x in asides)
        and sum(x.stat().st_size for x in asides) <= 30 * 1024,
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


def test_cluster_shares_one_port(runner, port):
    """Several instances of a node app listen on one port, without a line changed."""
    runner.file("web.js", f"const VERSION='v1';{SERVER}")
    runner.ok("start", "web.js", "-i", "2", PORT=str(port))
    wait.until(lambda: runner.ok("logs", "--nostream", "--raw").count("listening") == 2, "both")
    pids = {get(port).split()[1] for _ in range(50)}
    assert pids == {str(app["pid"]) for app in runner.list()}
    if os.path.exists("/proc/net/if_inet6"):
        socket.create_connection(("::1", port), 5).close()


def test_stopped_cluster_refuses(runner, port):
    """Nobody waits in the backlog of an app that is stopped, or of a port it has left."""
    runner.file("web.js", f"const VERSION='v1';{SERVER}")
    runner.ok("start", "web.js", "-i", "2", PORT=str(port))
    wait.until(lambda: runner.ok("logs", "--nostream", "--raw").count("listening") == 2, "both")
    claim = Port()
    other = claim.number
    claim.release()
    runner.ok("reload", "web", "--update-env", PORT=str(other))
    assert get(other).startswith("v1 ")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), 2).close()
    runner.ok("stop", "web")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", other), 2).close()


def test_reload_of_a_cluster_that_never_listens(runner):
    """Workers of a queue have no port to become ready on."""
    runner.file("job.js", "setInterval(() => {}, 1000)")
    runner.ok("start", "job.js", "-i", "2")
    before = {app["pid"] for app in runner.list()}
    runner.ok("reload", "job")
    assert before.isdisjoint({app["pid"] for app in runner.list()})
    assert runner.status("job") == ["online", "online"]


def keep_asking(port, stop, failures, answers):
    while not stop.is_set():
        try:
            answers.append(get(port, "/slow" if len(answers) % 5 == 0 else "/").split()[0])
        except Exception as error:
            failures.append(repr(error))


def test_reload_loses_no_request(runner, port):
    """Under load: the new ones listen before the old ones leave, who finish what they began."""
    runner.file("web.js", f"const VERSION='v1';{SERVER}")
    runner.ok("start", "web.js", "-i", "2", PORT=str(port))
    wait.until(lambda: runner.ok("logs", "--nostream", "--raw").count("listening") == 2, "both")
    stop, failures, answers = threading.Event(), [], []
    asking = [
        threading.Thread(target=keep_asking, args=(port, stop, failures, answers))
        for _ in range(4)
    ]
    for thread in asking:
        thread.start()
    runner.file("web.js", f"const VERSION='v2';{SERVER}")
    try:
        runner.ok("reload", "web")
    finally:
        stop.set()
        for thread in asking:
            thread.join()
    assert failures == []
    assert get(port).startswith("v2 ") and "v1" in answers
    assert runner.status("web") == ["online", "online"]


def test_reload_of_a_broken_version(runner, port):
    """The rollout stops at the first new instance, the old ones stay, and the exit code is 1."""
    runner.file("web.js", f"const VERSION='v1';{SERVER}")
    runner.ok("start", "web.js", "-i", "2", PORT=str(port))
    wait.until(lambda: runner.ok("logs", "--nostream", "--raw").count("listening") == 2, "both")
    before = {app["pid"] for app in runner.list()}
    runner.file("web.js", "throw new Error('broken version')")
    error = runner.fails("reload", "web")
    assert "exited with code 1" in error and "broken version" in error
    assert {app["pid"] for app in runner.list()} == before
    assert get(port).startswith("v1 ")


def test_scale(runner):
    """Up, down, relative, and with variables of their own."""
    runner.ok("start", "sleep 1000", "--name", "s", "-i", "2", "--increment-var", "N")
    runner.ok("scale", "s", "+2")
    assert runner.status("s") == ["online"] * 4
    numbers = [
        next(x for x in runner.ok("env", i).splitlines() if x.startswith("N=")) for i in range(4)
    ]
    assert numbers == ["N=0", "N=1", "N=2", "N=3"]
    runner.ok("scale", "s", "1")
    wait.until(lambda: runner.status("s") == ["online"], "one")
    assert "needs a number" in runner.fails("scale", "s", "many")


ECOSYSTEMS = {
    "apps.json": '{"apps": [{"name": "e", "script": "env; sleep 1000", "env": {"A": "1", "B": 2},'
                 ' "env_production": {"A": "p"}, "max_restart": 3}]}',
    "apps.yaml": "apps:\n  - name: e\n    script: env; sleep 1000\n    env: {A: '1', B: 2}\n"
                 "    env_production:\n      A: p\n    max_restart: 3\n",
    "ecosystem.config.js": "console.log('noise'); module.exports = {apps: [{name: 'e', script:"
                           " 'env; sleep 1000', env: {A: '1', B: 2}, env_production: {A: 'p'},"
                           " max_restart: 3}]}",
    "ecosystem.config.cjs": "module.exports = () => [{name: 'e', script: 'env; sleep 1000',"
                            " env: {A: '1', B: 2}, env_production: {A: 'p'}, max_restart: 3}]",
    "ecosystem.config.mjs": "export default {apps: [{name: 'e', script: 'env; sleep 1000',"
                            " env: {A: '1', B: 2}, env_production: {A: 'p'}, max_restart: 3}]}",
}


@pytest.mark.parametrize("name", ECOSYSTEMS)
def test_ecosystem_files(runner, name):
    """Each form means the same, and an unknown key is named with the nearest one."""
    runner.file(name, ECOSYSTEMS[name])
    result = runner.run("start", name, "--env", "production", SHELL_VARIABLE="inherited")
    assert result.returncode == 0, result.stderr
    assert 'unknown key "max_restart" is ignored: did you mean "max_restarts"?' in result.stderr
    runner.wait_output("e", "NODE_APP_INSTANCE=0")
    lines = runner.output("e").splitlines()
    assert "A=p" in lines and "B=2" in lines and "SHELL_VARIABLE=inherited" in lines


def test_broken_ecosystem_files(runner):
    """Errors have a place."""
    runner.file("a.json", '{"apps": [\n  {"script": }]}')
    assert "a.json:2:" in runner.fails("start", "a.json")
    runner.file("a.yaml", "apps:\n - [")
    assert "a.yaml:" in runner.fails("start", "a.yaml")
    runner.file("a.config.js", "throw new Error('in the file')")
    assert "in the file" in runner.fails("start", "a.config.js")
    runner.ecosystem({"name": "x", "script": "true"}, {"name": "x", "script": "false"})
    assert "two apps are called" in runner.fails("start", "apps.json")
    assert runner.list() == []
    runner.file("b.json", "{}")
    assert 'has no "apps"' in runner.fails("start", "b.json")


def test_removed_variables_are_gone(runner):
    """The file is what counts: a variable taken out of it is not there after the restart."""
    runner.ecosystem({"name": "e", "script": "env; sleep 1000", "env": {"A": "1", "B": "2"}})
    runner.ok("start", "apps.json")
    runner.wait_output("e", "B=2\n")
    runner.ok("flush", "e")
    runner.ecosystem({"name": "e", "script": "env; sleep 1000", "env": {"A": "1"}})
    runner.ok("restart", "apps.json")
    runner.wait_output("e", "A=1\n")
    assert "B=2" not in runner.output("e")


def test_save_and_resurrect(runner):
    """What was saved comes back, stopped ones stopped; the file is private and has no secrets."""
    runner.ok("start", "sleep 1000", "--name", "a", "-i", "2", SECRET="of the shell")
    runner.ok("start", "sleep 1001", "--name", "b")
    runner.ok("stop", "b")
    runner.ok("save")
    dump = runner.home / "dump.json"
    assert dump.stat().st_mode & 0o777 == 0o600
    assert "of the shell" not in dump.read_text()
    runner.ok("kill")
    assert runner.alive() == []
    runner.ok("resurrect")
    assert runner.status("a") == ["online", "online"] and runner.status("b") == ["stopped"]


def test_watch(runner):
    """A changed file restarts, an ignored one does not, a new folder is seen."""
    runner.file("watched/app.py", "import time\ntime.sleep(1000)\n")
    runner.ok("start", "app.py", "--cwd", runner.dir / "watched", "--watch",
              "--ignore-watch", "*.tmp")
    pid = runner.app("app")["pid"]
    runner.file("watched/ignored.tmp", "1")
    runner.file("watched/sub/deep.py", "1")
    wait.until(lambda: runner.app("app")["pid"] not in (0, pid), "a restart")
    wait.until(lambda: runner.status("app") == ["online"], "online")
    pid = runner.app("app")["pid"]
    runner.file("watched/sub/deep.py", "2")
    wait.until(lambda: runner.app("app")["pid"] not in (0, pid), "another restart")


def test_max_memory_restart(runner):
    """More memory than allowed: replaced within seconds."""
    runner.file("leaks.py", "import time\ntime.sleep(0.5)\nx = bytearray(80_000_000)\n"
                            "time.sleep(1000)\n")
    runner.ok("start", "leaks.py", "--max-memory-restart", "60M")
    wait.until(lambda: runner.env("leaks")["restart_time"] >= 1, "a restart")


def test_unix_socket_as_port(runner):
    """socket: PORT is the path of a socket that the app listens on."""
    runner.file("web.js", f"const VERSION='v1';{SERVER}")
    runner.ok("start", "web.js", "--socket", "--ready", "http /")
    path = runner.env("web")["socket"]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"v1 " in client.recv(4096) + client.recv(4096)
    runner.ok("delete", "web")
    assert not os.path.exists(path)


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
    runner.ok("send", "hears", "good morning")
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


def test_init(runner):
    """An ecosystem file to begin with; a second one is refused."""
    runner.ok("init")
    assert "apps" in (runner.dir / "ecosystem.config.js").read_text()
    assert "cannot write" in runner.fails("init")


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
