"""What is typed for apps: words, flags, tables, JSON, and what is said when something is wrong."""

import json
import os
import re
from signal import SIGKILL
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

from harness import wait
from harness.site import program
from harness.terminal import on_terminal


def sleeper(name, **more):
    return {"name": name, "script": "sleep 1000", **more}


# ---- words


def test_start_of_nothing(runner):
    """Without a word and without an ecosystem file it is said what to do."""
    result = runner.run("start")
    assert result.returncode == 1 and "pelayan init" in result.stderr


def test_several_words(runner):
    """start takes scripts, files and names at once; stop, restart and delete a file's apps."""
    runner.file("one.py", "import time\ntime.sleep(1000)\n")
    runner.file("two.py", "import time\ntime.sleep(1000)\n")
    runner.ecosystem(sleeper("a"), sleeper("b"))
    runner.ok("start", "one.py", "two.py", "apps.json")
    assert {app["name"] for app in runner.list()} == {"one", "two", "a", "b"}
    runner.ok("stop", "apps.json")
    assert runner.status("a") + runner.status("b") + runner.status("one") == [
        "stopped", "stopped", "online"]
    runner.ok("start", "a", "b")
    runner.ok("stop", "one", "two")
    assert runner.status("a") + runner.status("two") == ["online", "stopped"]
    runner.ok("delete", "apps.json", "--only", "a")
    assert {app["name"] for app in runner.list()} == {"one", "two", "b"}
    before = runner.env("b")["restart_time"]
    runner.ok("startOrRestart", "apps.json", "--only", "a,b")
    assert runner.status("a") == ["online"] and runner.env("b")["restart_time"] == before + 1
    runner.ok("startOrGracefulReload", "apps.json")
    assert runner.env("b")["restart_time"] == before + 2


def test_standard_input(runner):
    """"-" is a file too: JSON on standard input, for start and for delete."""
    text = json.dumps({"apps": [sleeper("piped")]})

    def pipe(*args):
        return subprocess.run(
            [program(), *args], input=text, capture_output=True, text=True, cwd=runner.dir,
            env=runner.environment(), check=False,
        )

    assert pipe("start", "-").returncode == 0
    assert runner.status("piped") == ["online"]
    assert pipe("delete", "-").returncode == 0
    assert runner.list() == []


def test_namespaces(runner):
    """A namespace starts, stops and deletes what is in it."""
    runner.ecosystem(sleeper("a", namespace="shop"), sleeper("b", namespace="shop"), sleeper("c"))
    runner.ok("start", "apps.json")
    runner.ok("stop", "shop")
    runner.ok("start", "shop")
    assert runner.status("a") + runner.status("b") == ["online", "online"]
    assert runner.env("c")["restart_time"] == 0
    runner.ok("delete", "shop")
    assert [app["name"] for app in runner.list()] == ["c"]


def test_wrong_words(runner):
    """What is not there is named, with the nearest that is; nothing is added to the list."""
    runner.ok("start", "sleep 1000", "--name", "worker")
    assert 'did you mean "worker"' in runner.fails("restart", "woker")
    assert 'did you mean "worker"' in runner.fails("scale", "woker", "2")
    assert 'did you mean "worker"' in runner.fails("start", "woker")
    assert len(runner.list()) == 1
    assert 'did you mean "pelayan restart"' in runner.fails("restrat", "worker")
    assert 'did you mean "--max-restarts"' in runner.fails("start", "x.py", "--max-restart", "3")
    assert "takes no value" in runner.fails("ls", "--json=yes")
    assert "--sort knows" in runner.fails("ls", "--sort", "colour")
    assert "no number of lines" in runner.fails("logs", "--lines", "many")
    for name in ("link", "plus", "install", "set", "logrotate", "trigger", "pull", "profile:cpu"):
        assert f'there is no "{name}" here: ' in runner.fails(name)


# ---- lists


def test_table(runner):
    """pm2's columns, sorted by name; --sort, --mini-list, --json, --silent."""
    runner.file("package.json", '{"version": "4.5.6"}')
    runner.ok("start", "sleep 1000", "--name", "b")
    out = runner.ok("start", "sleep 1001", "--name", "a", "--namespace", "n")
    header = [cell.strip() for cell in out.splitlines()[1].split("│")[1:-1]]
    assert header == ["id", "name", "namespace", "version", "mode", "pid", "uptime", "↺", "status",
                      "cpu", "mem", "user", "watching"]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines()[3:-1]]
    assert [row[:4] for row in rows] == [["1", "a", "n", "4.5.6"], ["0", "b", "default", "4.5.6"]]
    assert rows[0][8] == "online" and rows[0][12] == "disabled"
    sorted_out = runner.ok("ls", "--sort", "id:desc")
    assert sorted_out.index(" a ") < sorted_out.index(" b ")
    assert "+--- a\nnamespace : n\nversion : 4.5.6\npid : " in runner.ok("ls", "-m")
    assert [app["name"] for app in json.loads(runner.ok("ls", "--json"))] == ["a", "b"]
    assert runner.ok("restart", "a", "--silent") == ""


def test_jlist_shape(runner):
    """The fields that scripts made for pm2 read."""
    runner.file("app.py", "import time\ntime.sleep(1000)\n")
    runner.ok("start", "app.py", "--", "x")
    app = runner.app("app")
    env = app["pm2_env"]
    assert set(app) >= {"pid", "name", "pm_id", "monit", "pm2_env"}
    assert set(app["monit"]) == {"memory", "cpu"}
    assert env["pm_exec_path"] == str(runner.dir / "app.py") and env["pm_cwd"] == str(runner.dir)
    assert env["status"] == "online" and env["exec_mode"] == "fork_mode"
    assert env["exec_interpreter"] == "none" or env["exec_interpreter"]
    assert env["pm_uptime"] >= env["created_at"] > 1.6e12
    assert env["args"] == ["x"] and env["instances"] == 1 and env["restart_time"] == 0
    assert env["unstable_restarts"] == 0 and env["autorestart"] is True and env["watch"] is False
    assert env["pm_out_log_path"] == str(runner.home / "logs/app-out.log")
    assert env["pm_err_log_path"] == str(runner.home / "logs/app-error.log")
    assert env["pm_pid_path"] == str(runner.home / "pids/app-0.pid")
    assert env["username"] and env["namespace"] == "default" and env["version"] == "N/A"
    assert env["axm_monitor"] == {} and env["axm_actions"] == [] and env["axm_options"] == {}


def test_environment_as_pm2_has_it(runner):
    """What apps look at to find out that somebody runs them, and which instance they are."""
    runner.file("app.js", "console.log(JSON.stringify(process.env)); setInterval(() => {}, 1e3)")
    runner.ok("start", "app.js", "--name", "e")
    runner.wait_output("e", "}")
    env = json.loads(runner.output("e"))
    assert (env["name"], env["pm_id"], env["namespace"]) == ("e", "0", "default")
    assert env["exec_mode"] == "fork_mode" and env["pm_cwd"] == str(runner.dir)
    assert env["NODE_APP_INSTANCE"] == "0"


def test_restart_with_another_name_or_number(runner, port):
    """--name renames the app and its files, -i scales it; both are of whole apps."""
    runner.ok("start", "echo begun; sleep 1000", "--name", "old")
    runner.ok("start", "sleep 1000", "--name", "other")
    assert '"other" is there already' in runner.fails("restart", "old", "--name", "other")
    assert "one app at a time" in runner.fails("restart", "all", "--name", "x")
    runner.ok("restart", "old", "--name", "new")
    assert {app["name"]: app["pm_id"] for app in runner.list()} == {"new": 0, "other": 1}
    runner.wait_output("new", "begun")
    assert (runner.home / "pids/new-0.pid").exists()
    assert not (runner.home / "pids/old-0.pid").exists()
    runner.ok("restart", "new", "-i", "3")
    runner.wait_status("new", "online", "online", "online")
    assert "say its name" in runner.fails("restart", "0", "-i", "2")
    runner.ok("reload", "new", "-i", "2", "--name", "newer")
    runner.wait_status("newer", "online", "online")
    runner.ok("stop", "newer")
    runner.ok("start", "newer", "--kill-timeout", "777", "--name", "newest")
    assert runner.env("newest")["kill_timeout"] == 777 and runner.status("newer") == []
    runner.ok("start", "newest", "-i", "3")
    runner.wait_status("newest", "online", "online", "online")
    runner.ok("stop", "newest")
    runner.ok("restart", "newest", "-i", "1")
    runner.wait_status("newest", "online")
    runner.file("web.js", "require('http').createServer().listen(process.env.PORT)")
    runner.ecosystem({"name": "web", "script": "web.js", "instances": 2, "env": {"PORT": str(port)}})
    runner.ok("start", "apps.json")
    runner.ecosystem({"name": "web", "script": "web.js", "instances": 3, "env": {"PORT": str(port)}})
    runner.ok("restart", "apps.json")
    runner.wait_status("web", "online", "online", "online")
    runner.ecosystem({"name": "web", "script": "web.js", "instances": 1, "env": {"PORT": str(port)}})
    runner.ok("reload", "apps.json")
    runner.wait_status("web", "online")


def test_numbers_of_what_is_not_there(runner):
    """pid and id answer scripts: nothing, and an empty list."""
    runner.ok("start", "sleep 1000", "--name", "a")
    runner.ok("start", "sleep 1000", "--name", "b")
    assert runner.ok("id", "nobody") == "[]\n" and runner.ok("pid", "nobody") == ""
    assert runner.ok("id", "b") == "[ 1 ]\n" and runner.ok("id", "all") == "[ 0, 1 ]\n"
    assert runner.ok("pid", "a") == f"{runner.app('a')['pid']}\n"
    assert runner.ok("pid").count("\n") == 2


def test_rare_flags_of_pm2(runner):
    """They are taken, or say what there is instead."""
    runner.ok("start", "sleep 1000", "--name", "a", "-x", "-w", "--wait-ip", "--no-vizion")
    assert json.loads(runner.ok("slist", "-t"))
    assert "pelayan help" in runner.fails("examples")
    runner.ok("save")
    runner.ok("cleardump")
    runner.ok("cleardump")
    assert "no saved list" in runner.fails("resurrect")


def test_narrow_terminal(runner):
    """Where there is little room the less important columns go; colour is for terminals only."""
    runner.ok("start", "sleep 1000", "--name", "narrow")
    wide = on_terminal(runner, "ls", columns=200, until="┘")
    slim = on_terminal(runner, "ls", columns=60, until="┘")
    assert "watching" in wide and "watching" not in slim and "status" in slim
    assert "\033[32monline" in wide
    plain = re.sub(r"\033\[[0-9;]*m", "", slim)
    assert max(len(line) for line in plain.splitlines()) <= 60
    assert "\033[" not in on_terminal(runner, "ls", "--no-color", columns=200, until="┘")


# ---- logs


def test_logs_of_several_apps(runner):
    """Names are aligned; --highlight, --timestamp, --format and --json say the same in their ways."""
    runner.ok("start", "echo needle in hay; sleep 1000", "--name", "long-name")
    runner.ok("start", "echo other; sleep 1000", "--name", "b")
    runner.wait_output("long-name", "hay")
    runner.wait_output("b", "other")
    out = runner.ok("logs", "long-name", "b", "--nostream", "--out")
    assert out == "0|long-name | needle in hay\n1|b         | other\n"
    assert runner.ok("logs", "--nostream", "--out", "--highlight", "needle").startswith("* 0|")
    assert re.search(r"\| \d{4}-\d\d-\d\dT[\d:]{8}: other\n",
                     runner.ok("logs", "b", "--nostream", "--timestamp"))
    assert re.search(r"\| \d\d:\d\d: other\n",
                     runner.ok("logs", "b", "--nostream", "--timestamp", "HH:mm"))
    assert "app=b id=1 type=out message=other\n" in runner.ok("logs", "b", "--nostream", "--format")
    line = json.loads(runner.ok("logs", "b", "--nostream", "--json"))
    assert line["message"] == "other" and line["app_name"] == "b" and line["process_id"] == 1
    assert "no app" in runner.fails("logs", "nobody", "--nostream")


def test_logs_follow_what_comes_later(runner):
    """An instance that is added while the logs are followed is followed too, from its first line."""
    runner.ok("start", "echo begun; sleep 1000", "--name", "many", "--instances", "2")
    wait.until(lambda: runner.read(runner.home / "logs/many-out-0.log"), "the first line")
    wait.until(lambda: runner.read(runner.home / "logs/many-out-1.log"), "the other one's")
    process = runner.popen("logs", "many", "--raw", "--lines", "1")
    assert process.stdout.readline() + process.stdout.readline() == "begun\nbegun\n"
    runner.ok("scale", "many", "3")
    assert process.stdout.readline() == "begun\n"
    process.kill()
    process.communicate()


def test_auto_exit(runner):
    """--no-daemon --auto-exit ends with the last app, with 1 if that failed."""
    good = runner.run("start", "echo done", "--name", "g", "--no-autorestart", "--no-daemon",
                      "--auto-exit")
    assert good.returncode == 0 and "done" in good.stdout, good.stderr
    bad = runner.run("start", "sh -c 'exit 3'", "--name", "b", "--no-autorestart", "--no-daemon",
                     "--auto-exit")
    assert bad.returncode == 1


# ---- serve


def fetch(port, path, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=wait.TIMEOUT) as answer:
            return answer.status, answer.read().decode(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers["Content-Type"]


def test_serve(runner, port):
    """A folder behind a port: types, what is not there, one page for all, and a password."""
    runner.file("site/index.html", "<h1>home</h1>")
    runner.file("site/a.js", "1")
    out = runner.ok("serve", "site", port)
    name = f"static-page-server-{port}"
    assert f"http://localhost:{port}/" in out and runner.status(name) == ["online"]
    assert fetch(port, "/") == (200, "<h1>home</h1>", "text/html; charset=utf-8")
    assert fetch(port, "/a.js")[2].startswith("text/javascript")
    assert fetch(port, "/no/such")[0] == 404
    runner.wait_output(name, '"GET /no/such HTTP/1.1" 404')
    runner.ok("serve", "site", port, "--spa")
    assert fetch(port, "/no/such")[:2] == (200, "<h1>home</h1>")
    runner.file("site/more/b.txt", "2")
    assert fetch(port, "/more/")[0] == 403
    runner.ok("serve", "site", port, "--ftp")
    assert "b.txt" in fetch(port, "/more/")[1]
    runner.ok("serve", "site", port, "--basic-auth-username", "me", "--basic-auth-password", "word")
    assert fetch(port, "/")[0] == 401
    assert fetch(port, "/", Authorization="Basic bWU6d29yZA==")[0] == 200
    assert "word" not in (runner.home / f"serve/{name}.users").read_text().split(":")[1]
    assert "is no folder" in runner.fails("serve", "site/a.js", port)
    assert "is no port" in runner.fails("serve", "site", "many")


def test_serve_in_a_file(runner, port):
    """pm2's `script: "serve"` with its variables."""
    runner.file("site/start.html", "from a file")
    runner.ecosystem({"name": "pages", "script": "serve", "env": {
        "PM2_SERVE_PATH": "./site", "PM2_SERVE_PORT": port, "PM2_SERVE_SPA": "true",
        "PM2_SERVE_HOMEPAGE": "/start.html"}})
    runner.ok("start", "apps.json")
    assert runner.status("pages") == ["online"]
    assert fetch(port, "/deep/link")[:2] == (200, "from a file")


def test_serve_of_a_port_in_use(runner):
    """Somebody else has the port: an exit code and the reason."""
    runner.file("site/index.html", "x")
    with socket.create_server(("0.0.0.0", 0)) as taken:
        result = runner.run("serve", "site", taken.getsockname()[1], "--no-autorestart")
        assert result.returncode == 1 and "Address already in use" in result.stderr


# ---- small ones


def test_report_and_slist(runner):
    """What to send along has the versions, the list and the runner's last words."""
    runner.ok("start", "sleep 1000", "--name", "reported")
    out = runner.ok("report")
    assert "pelayan version" in out and "reported" in out and str(runner.home) in out
    assert json.loads(runner.ok("slist", "--json"))["CPUs"]["value"] >= 1


def test_completion(runner):
    """Commands, flags and names of apps; the scripts are good shell."""
    runner.ok("start", "sleep 1000", "--name", "completed")
    assert "restart" in runner.ok("completion", "words", "re").split()
    assert "completed" in runner.ok("completion", "words", "stop", "c").split()
    flags = runner.ok("completion", "words", "start", "--").split()
    assert {"--max-restarts", "--no-autorestart", "--domain", "--watch"} <= set(flags)
    assert "--nostream" in runner.ok("completion", "words", "log", "-").split()
    script = runner.file("completion.bash", runner.ok("completion", "bash"))
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    answer = subprocess.run(
        ["bash", "-c", f"pelayan() {{ {program()} \"$@\"; }}; . {script};"
                       " COMP_WORDS=(pelayan stop comp); COMP_CWORD=2; _pelayan;"
                       " echo ${COMPREPLY[@]}"],
        capture_output=True, text=True, env=runner.environment(), check=False,
    )
    assert answer.stdout == "completed\n", answer.stderr
    for shell in ("zsh", "fish"):
        assert "pelayan completion words" in runner.ok("completion", shell)
    assert "usage" in runner.fails("completion", "tcsh")


def test_help_of_a_command(runner):
    """--help behind a command says how it is used, and which flags it takes."""
    out = runner.ok("start", "--help")
    assert out.startswith("Usage: pelayan start ") and "--max-memory-restart" in out
    assert "--nostream" in runner.ok("log", "-h")
    assert runner.ok("version", "--help").startswith("Usage: pelayan version")


PM2_KEYS = {
    "name_prefix": "p", "kill_retry_time": 100, "watch_options": {}, "force": True,
    "append_env_to_name": True, "execute_command": True, "write": True, "vizion": False,
    "post_update": ["x"], "install_url": "x", "pmx": False, "automation": False, "trace": False,
    "disable_trace": True, "v8": False, "event_loop_inspector": False, "deep_monitoring": False,
    "io": {}, "source_map_support": True, "disable_source_map_support": True, "windowsHide": True,
    "wait_ip": "10.0.0.1",
}


def test_keys_without_effect(runner):
    """Every key of pm2's that does nothing here is named with the reason; none is unknown."""
    runner.ecosystem(sleeper("k", **PM2_KEYS))
    result = runner.run("start", "apps.json")
    assert result.returncode == 0
    assert "unknown key" not in result.stderr
    for key in PM2_KEYS:
        assert f'app k: "{key}" has no effect: ' in result.stderr, key


def test_init_simple(runner):
    """A short file, and the long one that has a deploy section: both can be started from."""
    runner.file("app.js", "setInterval(() => {}, 1000)")
    runner.ok("init", "simple")
    runner.ok("start")
    assert runner.status("app") == ["online"]


# ---- what goes wrong


def test_dead_runner(runner):
    """Killed with its socket left behind: asking says that nothing runs, starting starts anew."""
    runner.ok("start", "sleep 1000", "--name", "s")
    os.kill(runner.pid, SIGKILL)
    wait.until(lambda: not runner.alive(), "the apps to end with it")
    assert (runner.home / "control.sock").exists()
    assert "no apps are running" in runner.fails("restart", "s")
    runner.ok("start", "sleep 1000", "--name", "s")
    assert runner.status("s") == ["online"]


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's home needs two users")
def test_somebody_elses_home(runner):
    """Another user's runner: refused, and said so."""
    runner.ok("start", "sleep 1000", "--name", "s")
    for folder in (runner.dir, runner.home):
        folder.chmod(0o755)
    result = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", program(), "ls"], capture_output=True,
        text=True, env=runner.environment(), stdin=subprocess.DEVNULL, check=False,
    )
    assert result.returncode == 1
    assert "control.sock" in result.stderr and "Permission denied" in result.stderr
    runner.home.chmod(0o700)
    result = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", program(), "start", "sleep 1"],
        capture_output=True, text=True, env=runner.environment(), stdin=subprocess.DEVNULL,
        check=False, cwd="/",
    )
    assert result.returncode == 1 and "Permission denied" in result.stderr


def test_home_that_cannot_be(runner):
    """A file where the home should be, a path too long for a socket: said, with the place."""
    runner.file("home", "not a folder")
    assert "home" in runner.fails("start", "sleep 1000")
    runner.home.unlink()
    long = str(runner.dir / ("x" * 120))
    assert "too long" in runner.fails("start", "sleep 1000", PELAYAN_HOME=long)


# ---- monit


def test_monit_on_a_narrow_terminal(runner):
    """The list loses its less important columns, the log is cut at the edge, and nothing wraps."""
    runner.ok("start", "echo " + "word " * 40 + "; sleep 1000", "--name", "slim")
    runner.wait_output("slim", "word")
    text = on_terminal(runner, "monit", columns=50, until="word word")
    lines = re.sub(r"\033\[[0-9;?]*[a-zA-Z]", "", text).split("\r\n")
    assert any("slim" in line and "online" in line for line in lines)
    assert max(len(line) for line in lines) <= 50
