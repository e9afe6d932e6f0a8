"""Apps that a configuration declares: started, changed, removed with it; checked by -t."""

import os
from signal import SIGKILL, SIGQUIT, SIGTERM, SIGUSR2

import pytest

from harness import wait
from harness.follower import Follower
from harness.runner import Runner

NODE = """
const http = require('http');
http.createServer((q, r) => r.end('node ' + process.pid)).listen(process.env.PORT);
"""
SERVER = "server { location / { return 204; } }"


@pytest.fixture
def runner():
    runner = Runner()
    runner.file("web.js", NODE)
    yield runner
    runner.finish()


@pytest.fixture
def run(runner, pelayan):
    """A site whose apps block has this inside; its runner's home is the test's."""

    def start(apps, **more):
        return pelayan.run(main=block(runner, apps), http=SERVER, env=runner.environment(), **more)

    return start


def block(runner, apps):
    return f"apps {{ home {runner.home}; {apps} }}"


def app(runner, name, more=""):
    return f"app {name} {{ directory {runner.dir}; command node web.js; {more} }}"


def reload(site, runner, apps, check=True):
    return site.reload(check, main=block(runner, apps), http=SERVER)


def pids(runner, name):
    return [app["pid"] for app in runner.list() if app["name"] == name]


def wait_online(runner, name, count=1):
    wait.until(lambda: (runner.home / "control.sock").exists(), "the runner")
    runner.wait_status(name, *["online"] * count)


def test_declared_apps_live_with_their_configuration(run, runner):
    """They start with it, follow it at each reload, and go when it ends; so does a runner that was
    started for them."""
    site = run(app(runner, "one") + app(runner, "two", "instances 2; env A 'b c';"))
    wait_online(runner, "one")
    wait_online(runner, "two", 2)
    before = pids(runner, "two")
    assert b"A=b c\0" in open(f"/proc/{before[0]}/environ", "rb").read()
    reload(site, runner, app(runner, "two", "instances 3; env A 'b c';"))
    assert len(pids(runner, "two")) == 3 and set(pids(runner, "two")) > set(before)
    assert pids(runner, "one") == []
    reload(site, runner, app(runner, "two", "instances 3; env A changed;"))
    assert set(pids(runner, "two")).isdisjoint(before)
    reload(site, runner, "")
    assert runner.list() == []
    reload(site, runner, app(runner, "three"))
    assert runner.status("three") == ["online"]
    site.stop()
    wait.until(lambda: not runner.alive(), lambda: f"all to end: {runner.alive()}")


def test_stop_removes_only_its_own(run, runner):
    """The runner was there before, and has another app: both stay."""
    runner.ok("start", "sleep 1000", "--name", "mine")
    site = run(app(runner, "web"))
    wait_online(runner, "web")
    site.stop(SIGTERM)
    assert [app["name"] for app in runner.list()] == ["mine"]


def test_reload_tells_what_an_app_died_of(run, runner):
    """A broken new version: the reload says so with its last lines, and the old one stays."""
    site = run(app(runner, "web", "instances 2;"))
    wait_online(runner, "web", 2)
    before = pids(runner, "web")
    runner.file("bad.js", "console.error('no such table'); process.exit(7)")
    bad = f"app web {{ directory {runner.dir}; command node bad.js; instances 2; }}"
    result = reload(site, runner, bad, check=False)
    assert result.returncode == 1
    assert "exited with code 7" in result.stderr and "no such table" in result.stderr
    assert pids(runner, "web") == before
    assert reload(site, runner, bad, check=False).returncode == 1
    reload(site, runner, app(runner, "web", "instances 2;"))
    assert pids(runner, "web") == before


def test_the_runner_dies(run, runner):
    """Its apps die with it; the master starts another one, and the apps come again."""
    run(app(runner, "web"))
    wait_online(runner, "web")
    before = pids(runner, "web")
    os.kill(runner.pid, SIGKILL)
    wait.until(lambda: runner.run("jlist").stdout.count('"web"') and pids(runner, "web") != before
               and runner.status("web") == ["online"], lambda: f"it to come again: {runner.log()}")


def test_the_master_dies(run, runner, pelayan):
    """kill -9: the apps stay with the runner; the next master finds them as they are."""
    site = run(app(runner, "web"))
    wait_online(runner, "web")
    before = pids(runner, "web")
    site.signal(SIGKILL)
    site.process.wait()
    site.kill_all()
    assert pids(runner, "web") == before
    site.start()
    site.reload()
    assert pids(runner, "web") == before


@pytest.mark.parametrize("after", ["no block", "an empty block", "a block with another app"])
def test_apps_that_were_taken_out_while_no_master_ran(run, runner, after):
    """The next master of the same configuration removes them, and nothing else."""
    runner.ok("start", "sleep 1000", "--name", "mine")
    site = run(app(runner, "web", "instances 2;"))
    wait_online(runner, "web", 2)
    mine = pids(runner, "mine")
    site.signal(SIGKILL)
    site.process.wait()
    site.kill_all()
    assert runner.status("web") == ["online"] * 2
    more = {"no block": "", "an empty block": block(runner, ""),
            "a block with another app": block(runner, app(runner, "other"))}[after]
    site.write(main=more, http="server { location / { return 204; } }")
    site.start()
    wait.until(lambda: not runner.status("web"), lambda: f"them to go: {runner.log()}")
    assert pids(runner, "mine") == mine
    site.reload()
    assert pids(runner, "mine") == mine


def test_a_runner_that_has_lost_its_configuration_ends(run, runner):
    """One that was started for apps that are not configured any more goes with them."""
    site = run(app(runner, "web"))
    wait_online(runner, "web")
    site.signal(SIGKILL)
    site.process.wait()
    site.kill_all()
    site.write(main="", http="server { location / { return 204; } }")
    site.start()
    wait.until(lambda: not (runner.home / "control.sock").exists(),
               lambda: f"the runner to leave: {runner.log()}")


def test_upgrade_touches_no_app(run, runner):
    """USR2: the new program follows the same runner; no process is replaced."""
    site = run(app(runner, "web", "instances 2;"))
    wait_online(runner, "web", 2)
    before = pids(runner, "web")
    site.signal(SIGUSR2)
    site.wait_for_log("configuration 2 is served")
    site.reload()
    assert pids(runner, "web") == before
    site.stop()
    wait.until(lambda: not runner.alive(), lambda: f"all to end: {runner.alive()}")


def test_an_app_of_the_same_name(run, runner):
    """What somebody else has started is not taken over, and the reload says who has."""
    runner.ok("start", "sleep 1000", "--name", "web")
    before = pids(runner, "web")
    site = run(app(runner, "other"))
    wait_online(runner, "other")
    result = reload(site, runner, app(runner, "web"), check=False)
    assert result.returncode == 1 and "the command line" in result.stderr
    assert pids(runner, "web") == before


@pytest.mark.parametrize(
    ("inside", "message", "line", "column"),
    [
        ("app a { command no-such-program; }", "no program", 3, 18),
        ("app a { directory /no/such/folder; command sleep 1; }", "No such file", 3, 20),
        ("app a { command sleep 1; instances many; }", "must be a number", 3, 37),
        ("app a { command sleep 1; kill_timeout soon; }", "a time is expected", 3, 40),
        ("app a { command sleep 1; kill_timeout 2h; }", "must be a time", 3, 40),
        ("app a { command sleep 1; max_memory_restart big; }", "a size is expected", 3, 46),
        ("app a { command sleep 1; socket maybe; }", "on or off", 3, 34),
        ("app a { command sleep 1; port 70000; }", "between 0 and 65535", 3, 32),
        ("app a { command sleep 1; ready soon; }", "\"ready\"", 3, 33),
        ("app a { command sleep 1; instanzes 2; }", "unknown directive", 3, 27),
        ("app a { instances 2; }", "script", 3, 6),
        ("app a { command sleep 1; user no-such-user; }", "no user", 3, 32),
        ("app a { command sleep 1; env A=b c; }", "no \"=\"", 3, 31),
        ("app a { command sleep 1; port 8080; balance on; }", "\"balance\"", 3, 46),
        ("app a { command sleep 1; } app a { command sleep 2; }", "two apps", 3, 33),
        ("app 'a b' { command sleep 1; }", "no blank", 3, 6),
        ("app a { command sleep 1; command sleep 2; }", "duplicate", 3, 27),
        ("app a { command sleep 1; script sleep; }", "given twice", 3, 27),
        ("app a { command sleep 1; kill_signal SIGNONE; }", "signal", 3, 39),
        ("app a { command sleep 1; cron_restart '99 * * * *'; }", "five fields", 3, 40),
    ],
)
def test_what_is_wrong_is_shown(pelayan, inside, message, line, column):
    """-t checks all of the block, each error at its place."""
    result = pelayan.check(full=f"apps {{\n {inside}\n}}\nevents {{ }}\n")
    assert result.returncode == 1
    assert message in result.stderr, result.stderr
    assert f"nginx.conf:{line}:{column}" in result.stderr, result.stderr


def test_every_key_of_a_file_is_a_directive(pelayan, runner):
    """The rows of apps are those of ecosystem files, with nginx's units."""
    result = pelayan.check(full=f"""
        apps {{ home {runner.home};
            app all {{
                directory {runner.dir}; command node "web.js" --flag; instances max; namespace shop;
                umask 022; socket on; autorestart off; stop_exit_codes 0 3; restart_delay 2s;
                exp_backoff_restart_delay 100ms; min_uptime 5s; max_restarts 3; crash_window 1m;
                kill_timeout 3; kill_signal SIGTERM; treekill off; listen_timeout 20s;
                ready http /health; max_memory_restart 300m; cron_restart "0 3 * * *";
                watch src lib; ignore_watch tmp; env A 1; env B "two words"; filter_env SECRET;
                out_file out.log; error_file err.log; merge_logs on; time on; log_max_size 10m;
                log_compress off; drain_timeout 10s; instance_var NUMBER; increment_var COUNT;
            }}
        }}
        events {{ }}""")
    assert result.returncode == 0, result.stderr
    text = pelayan.command("help", "directive", "kill_timeout").stdout
    assert "1600ms" in text and "app" in text


def test_master_follows_and_workers_hear(run, runner):
    """A follower of the same runner sees what the master sees: addresses of their own."""
    run(app(runner, "web", "instances 2; ready http /;"))
    wait_online(runner, "web", 2)
    follower = Follower(runner)
    assert len({x["address"] for x in follower.wait_instances("web", 2)}) == 2
    follower.close()
