"""What pm2's options mean here, one by one."""

import json
import os
from signal import SIGKILL

import pytest
from harness import wait

def variables(runner, target):
    return dict(line.split("=", 1) for line in runner.ok("env", target).splitlines() if "=" in line)


def test_order_of_the_environment(runner):
    """The shell's, over it `env`, over it env_NAME, over it what is the instance's own."""
    runner.ecosystem({"name": "e", "script": "sleep 1000", "port": 4001,
                      "env": {"A": "file", "B": "file", "N": 5, "O": {"x": [1]}, "T": True,
                              "pm_id": "77"},
                      "env_test": {"B": "test", "GONE": None}})
    runner.ok("start", "apps.json", "--env", "test", A="shell", S="shell", GONE="shell")
    env = variables(runner, "e")
    assert [env[name] for name in "ABSNT"] == ["file", "test", "shell", "5", "true"]
    assert json.loads(env["O"]) == {"x": [1]}
    assert env["PORT"] == "4001" and env["pm_id"] == "0" and env["name"] == "e"
    runner.ok("restart", "e", A="later", S="later")
    assert variables(runner, "e")["S"] == "shell"
    runner.ok("restart", "e", "--update-env", S="later")
    assert variables(runner, "e")["S"] == "later"


@pytest.mark.parametrize("wish, kept", [
    (True, set()), ("SECRET", {"PUBLIC", "MY_SECRETS_TOO"}), (["SECRET"], {"PUBLIC"}), (False, None)])
def test_filter_env(runner, wish, kept):
    """true: nothing of the shell's; a word: that variable; a list: all that hold one of its words."""
    runner.ecosystem({"name": "f", "script": "/bin/sleep", "args": "1000", "filter_env": wish,
                      "env": {"OWN": "1"}})
    shell = {"SECRET": "1", "MY_SECRETS_TOO": "1", "PUBLIC": "1"}
    runner.ok("start", "apps.json", **shell)
    env = variables(runner, "f")
    assert set(shell) & set(env) == (set(shell) if kept is None else kept)
    assert env["OWN"] == "1" and ("PATH" in env) == (wish is not True)


def test_numbers_of_instances(runner):
    """increment_var counts from its value in env; the lowest free index is given again."""
    runner.ecosystem({"name": "n", "script": "sleep 1000", "instances": 3, "increment_var": "PORT",
                      "instance_var": "WHICH", "env": {"PORT": 3000}})
    runner.ok("start", "apps.json")
    assert [(variables(runner, i)["PORT"], variables(runner, i)["WHICH"]) for i in range(3)] == [
        ("3000", "0"), ("3001", "1"), ("3002", "2")]
    runner.ok("delete", "1")
    runner.ok("scale", "n", "+1")
    assert (variables(runner, "3")["PORT"], variables(runner, "3")["WHICH"]) == ("3001", "1")


def test_no_treekill(runner):
    """Only the first process is signalled; the others are left alone."""
    runner.file("parent.sh", "sleep 987 & echo $!; wait")
    runner.ok("start", "parent.sh", "--no-treekill", "--interpreter", "bash")
    wait.until(lambda: runner.output("parent").strip(), "its child")
    child = int(runner.output("parent"))
    runner.ok("stop", "parent")
    assert child in runner.alive()
    os.kill(child, SIGKILL)


def test_wait_ready_in_vain(runner):
    """Without the message the app is online after listen_timeout all the same."""
    runner.file("mute.js", "setInterval(() => {}, 1000)")
    runner.ok("start", "mute.js", "--wait-ready", "--listen-timeout", "300")
    assert runner.status("mute") == ["online"]
    assert "did not say that it is ready" in runner.log()


def test_cron_starts_what_is_stopped(runner):
    """cron_restart, as in pm2, also starts; autostart off leaves it to that."""
    runner.ok("start", "sleep 1000", "--name", "c", "--no-autostart", "--cron-restart", "* * * * * *")
    runner.wait_status("c", "online")


def test_delays(runner):
    """restart_delay shows as waiting restart; the back-off grows by half and overrides it."""
    runner.run("start", "false", "--name", "d", "--restart-delay", "600000")
    runner.wait_status("d", "waiting restart")
    runner.ok("stop", "d")
    assert runner.status("d") == ["stopped"]
    runner.run("start", "false", "--name", "x", "--exp-backoff-restart-delay", "20",
               "--restart-delay", "600000")
    wait.until(lambda: runner.env("x")["restart_time"] >= 4, "some restarts")


def test_log_files(runner):
    """Names with the id, merged, one for both, none, JSON with a date; a pid file of its own."""
    say = "echo to out; echo to err >&2; sleep 1000"
    runner.ok("start", say, "--name", "two", "-i", "2")
    runner.ok("start", say, "--name", "merged", "-i", "2", "--merge-logs")
    both = runner.dir / "both.log"
    runner.ok("start", say, "--name", "one", "--log", both, "--pid", runner.dir / "one.pid")
    runner.ok("start", say, "--name", "none", "-o", "/dev/null", "-e", "/dev/null")
    runner.ok("start", say, "--name", "off", "--disable-logs")
    runner.ok("start", say, "--name", "json", "--log-type", "json", "--log-date-format", "[on] YYYY")
    logs = runner.home / "logs"
    wait.until(lambda: runner.read(logs / "json-error.log").endswith("}\n"), "the last one")
    wait.until(lambda: runner.read(both).count("to ") == 2, "both in one file")
    assert runner.read(logs / "two-out-0.log") == runner.read(logs / "two-out-1.log") == "to out\n"
    assert runner.read(logs / "two-error-1.log") == "to err\n"
    wait.until(lambda: runner.read(logs / "merged-out.log") == "to out\n" * 2, "merged")
    assert runner.read(runner.dir / "one.pid") == str(runner.app("one")["pid"])
    assert not list(logs.glob("none*")) and not list(logs.glob("off*"))
    line = json.loads(runner.read(logs / "json-error.log"))
    assert line["type"] == "err" and line["app_name"] == "json" and line["message"] == "to err"
    assert line["process_id"] == runner.app("json")["pm_id"] and line["timestamp"].startswith("on 2")


def test_watched_paths(runner):
    """Only what is named; several events in watch_delay are one restart."""
    for folder in ("src", "data"):
        runner.file(f"{folder}/file", "1")
    runner.ecosystem({"name": "w", "script": "sleep 1000", "watch": ["src"], "watch_delay": 200,
                      "ignore_watch": ["*.log"], "cwd": str(runner.dir)})
    runner.ok("start", "apps.json")
    runner.file("data/file", "2")
    runner.file("src/x.log", "2")
    runner.file("src/file", "2")
    runner.file("src/file", "3")
    wait.until(lambda: runner.env("w")["restart_time"] == 1, "a restart")
    runner.file("src/file", "4")
    wait.until(lambda: runner.env("w")["restart_time"] == 2, "another")


def test_watched_extensions(runner):
    """--ext: other files do not count, in new folders neither."""
    runner.file("src/app.js", "1")
    runner.file("src/notes.txt", "1")
    runner.ok("start", "sleep 1000", "--name", "w", "--watch", "src", "--ext", "js, .json")
    runner.file("src/notes.txt", "2")
    runner.file("src/deep/notes.txt", "2")
    runner.file("src/data.json", "2")
    wait.until(lambda: runner.env("w")["restart_time"] == 1, "a restart")
    runner.file("src/notes.txt", "3")
    runner.file("src/app.js", "3")
    wait.until(lambda: runner.env("w")["restart_time"] == 2, "another")


def test_why_it_was_given_up(runner):
    """errored names the rule, the way of the last end and the last lines it wrote."""
    runner.file("dies.py", "import sys, os\nprint('the last words', file=sys.stderr)\nos.abort()\n")
    runner.run("start", "dies.py", "--max-restarts", "2", "--min-uptime", "60s")
    runner.wait_status("dies", "errored")
    assert runner.env("dies")["reason"].startswith("ended by SIGABRT: too many unstable starts")
    assert "the last words" in runner.ok("describe", "dies")
    assert runner.env("dies")["unstable_restarts"] == 2
