"""Where apps are described: ecosystem files, saved lists, watched folders."""


import pytest
from harness import wait


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


def test_init(runner):
    """An ecosystem file to begin with; a second one is refused."""
    runner.ok("init")
    assert "apps" in (runner.dir / "ecosystem.config.js").read_text()
    assert "cannot write" in runner.fails("init")
