"""Apps that come back: after a reboot with each kind of init, and from pm2's list."""

import json
import os
import shutil
import subprocess

import pytest

from harness import wait
from harness.runner import Runner
from harness.site import program


@pytest.fixture
def runner():
    runner = Runner()
    yield runner
    runner.finish()


def test_openrc_service(runner):
    """A service that supervises the runner, and a link in the default runlevel; unstartup removes both."""
    root = runner.dir / "root"
    runner.ok("startup", "openrc", "--root", root)
    service = root / "etc/init.d/pelayan-apps"
    text = service.read_text()
    assert text.startswith("#!/sbin/openrc-run\n") and "supervisor=supervise-daemon" in text
    assert f'export PELAYAN_HOME="{runner.home}"' in text and f'command="{program()}"' in text
    assert os.access(service, os.X_OK)
    assert subprocess.run(["sh", "-n", service], check=False).returncode == 0
    link = root / "etc/runlevels/default/pelayan-apps"
    assert os.readlink(link) == "/etc/init.d/pelayan-apps"
    assert (runner.home / "autosave").exists()
    runner.ok("unstartup", "openrc", "--root", root)
    assert not service.exists() and not link.is_symlink() and not (runner.home / "autosave").exists()


def test_plain_init_script(runner):
    """The script starts what was saved, says what there is, and ends it."""
    root = runner.dir / "root"
    runner.ok("startup", "sysv", "--root", root)
    script = root / "etc/init.d/pelayan-apps"
    assert (root / "etc/rc2.d/S99pelayan-apps").is_symlink()
    assert (root / "etc/rc6.d/K01pelayan-apps").is_symlink()
    runner.ok("start", "sleep 1000", "--name", "kept")
    runner.ok("kill")

    def call(word):
        return subprocess.run(
            [script, word], env=runner.environment(), capture_output=True, text=True,
            stdin=subprocess.DEVNULL, check=False,
        )

    started = call("start")
    assert started.returncode == 0, started.stderr
    assert runner.status("kept") == ["online"]
    assert "kept" in call("status").stdout
    assert call("stop").returncode == 0 and runner.alive() == []
    assert call("dance").returncode == 2


def test_startup_before_the_first_app(runner):
    """Nothing was started yet: that is an empty list at boot, not a failure."""
    runner.ok("startup", "sysv", "--root", runner.dir / "root")
    runner.ok("resurrect")
    assert runner.list() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="units of others need root")
def test_startup_for_another_user(runner):
    """root can have the apps of somebody else come back: their home, their name."""
    place = runner.dir / "nobodys"
    place.mkdir()
    shutil.chown(place, "nobody")
    runner.dir.chmod(0o755)
    root = runner.dir / "root"
    environment = {"PELAYAN_HOME": ""}
    runner.ok("startup", "systemd", "--root", root, "-u", "nobody", "--hp", place, **environment)
    text = (root / "etc/systemd/system/pelayan-apps-nobody.service").read_text()
    assert "User=nobody\n" in text
    home = place / ".local/state/pelayan"
    assert f"PELAYAN_HOME={home}" in text
    assert (home / "autosave").owner() == "nobody" and home.owner() == "nobody"
    assert "no user" in runner.fails("startup", "systemd", "--root", root, "-u", "nobody-at-all")
    assert "is not known" in runner.fails("startup", "launchd")


DUMP = [
    {
        "name": "web", "namespace": "shop", "pm_exec_path": "/bin/sh", "pm_cwd": "/tmp",
        "args": ["-c", "env; sleep 1000"], "node_args": [], "exec_interpreter": "none",
        "exec_mode": "fork_mode", "instances": 2, "autorestart": True, "max_restarts": 7,
        "kill_timeout": 300, "status": "online", "pm_id": identity, "vizion": True,
        "pm_out_log_path": "/root/.pm2/logs/web-out.log", "unique_id": "4c2b",
        "env": {"DATABASE": "db.internal", "PWD": "/tmp", "SSH_TTY": "/dev/pts/1", "PM2_HOME": "/x",
                "SAME": "as here", "web": {}},
    }
    for identity in (0, 1)
] + [{"name": "off", "pm_exec_path": "/bin/sleep", "args": ["1000"], "pm_cwd": "/tmp",
      "exec_interpreter": "none", "exec_mode": "fork_mode", "status": "stopped", "env": {}}]


def test_pm2_list(runner):
    """pm2's dump becomes our apps: instances counted, the shell's variables left behind."""
    pm2 = runner.dir / "pm2"
    runner.file("pm2/dump.pm2", json.dumps(DUMP))
    hint = runner.fails("resurrect", PM2_HOME=str(pm2))
    assert "pelayan resurrect --pm2" in hint
    out = runner.ok("resurrect", "--pm2", PM2_HOME=str(pm2), SAME="as here")
    assert "web: from pm2's list, with these variables: DATABASE\n" in out
    assert runner.status("web") == ["online", "online"] and runner.status("off") == ["stopped"]
    env = runner.env("web")
    assert env["namespace"] == "shop" and env["pm_cwd"] == "/tmp"
    assert env["env"] == {"DATABASE": "db.internal"}
    wait.until(
        lambda: "DATABASE=db.internal" in runner.read(runner.home / "logs/web-out-0.log"), "its env"
    )
    assert "SSH_TTY=/dev/pts/1" not in runner.read(runner.home / "logs/web-out-0.log")
    assert "is there already" in runner.fails("resurrect", "--pm2", PM2_HOME=str(pm2))
    runner.file("broken", "{")
    assert "no list of pm2's" in runner.fails("resurrect", "--pm2", "--file", "broken")
