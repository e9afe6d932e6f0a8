"""deploy with a local repository and an ssh that does not leave the machine."""

import json
import subprocess

import pytest

from harness.runner import Runner

SSH = """#!/bin/sh
# what it was called with, without the last word, which is the command
echo "$@" | sed 's/ if command.*//' >> "$SSH_CALLS"
for last; do :; done
exec sh -c "$last"
"""


class Deployment:
    def __init__(self, runner):
        self.runner = runner
        self.repo = runner.dir / "repo"
        self.target = runner.dir / "srv/app"
        self.calls = runner.dir / "calls"
        runner.file("bin/ssh", SSH, 0o755)
        self.repo.mkdir()
        self.git("init", "-q", "-b", "main")
        self.commit("one")
        self.describe()

    def git(self, *args):
        return subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@t.example", "-C", self.repo, *args],
            check=True, capture_output=True, text=True,
        ).stdout.strip()

    def commit(self, text):
        (self.repo / "version").write_text(text)
        self.git("add", "version")
        self.git("commit", "-q", "-m", text)
        return self.git("rev-parse", "--short", "HEAD")

    def describe(self, **more):
        production = {
            "user": "deployer", "host": ["one.example", "two.example"], "port": 2222,
            "key": "/keys/id", "ssh_options": "StrictHostKeyChecking=no", "ref": "origin/main",
            "repo": str(self.repo), "path": str(self.target), "env": {"STAGE": "it's live"},
            "post-deploy": "echo \"deployed $(cat version) for $STAGE\" >> ../shared/logs/deploys",
            **more,
        }
        self.runner.file("apps.json", json.dumps({"apps": [], "deploy": {"production": production}}))

    def environment(self):
        environment = self.runner.environment()
        return {"PATH": f"{self.runner.dir}/bin:{environment['PATH']}", "SSH_CALLS": str(self.calls)}

    def ok(self, *args):
        return self.runner.ok("deploy", "apps.json", "production", *args, **self.environment())

    def fails(self, *args):
        return self.runner.fails("deploy", "apps.json", *args, **self.environment())


@pytest.fixture
def deployment():
    runner = Runner()
    yield Deployment(runner)
    runner.finish()


def test_from_setup_to_revert(deployment):
    """setup, update, a ref, revert, curr, prev, list, exec: on one host."""
    deployment.describe(host="one.example")
    deployment.ok("setup")
    assert (deployment.target / "current/version").read_text() == "one"
    assert (deployment.target / "shared/pids").is_dir()
    first = deployment.git("rev-parse", "--short", "HEAD")
    deployment.ok("update")
    second = deployment.commit("two")
    deployment.ok()
    assert (deployment.target / "current/version").read_text() == "two"
    logs = (deployment.target / "shared/logs/deploys").read_text()
    assert logs == "deployed one for it's live\ndeployed two for it's live\n"
    assert deployment.ok("curr").strip() == second and deployment.ok("prev").strip() == first
    deployment.ok("revert")
    assert (deployment.target / "current/version").read_text() == "one"
    assert deployment.ok("list").split() == ["0", first, "1", second, "2", first]
    deployment.ok(second)
    assert (deployment.target / "current/version").read_text() == "two"
    assert deployment.ok("exec", "cat", "version") == "two"
    assert deployment.calls.read_text().splitlines()[0] == (
        "-o StrictHostKeyChecking=no -p 2222 -i /keys/id deployer@one.example")


def test_several_hosts(deployment):
    """One after the other; the first failure ends it, and is named."""
    deployment.target.mkdir(parents=True)
    (deployment.target / "current").symlink_to(deployment.repo)
    out = deployment.ok("exec", "cat version")
    assert out == "--- one.example\none--- two.example\none"
    assert "deployer@one.example: exit code 1" in deployment.fails("production", "exec", "false")
    assert len(deployment.calls.read_text().splitlines()) == 3


def test_what_is_missing(deployment):
    """Errors name the file's part, and local hooks come first."""
    assert "production" in deployment.fails("staging", "setup")
    assert "usage" in deployment.fails()
    deployment.describe(repo=None, host="one.example")
    assert 'has no "repo"' in deployment.fails("production", "update")
    deployment.describe(**{"pre-deploy-local": "exit 7", "host": "one.example"})
    assert "pre-deploy-local failed" in deployment.fails("production", "update")
    deployment.describe(host="one.example")
    deployment.ok("setup")
    assert "is there already" in deployment.fails("production", "setup")
    deployment.ok("update")
    assert "no deployment 3" in deployment.fails("production", "revert", "3")


def test_not_committed(deployment):
    """What is seen here would not be what is deployed there: refused, unless --force."""
    deployment.describe(host="one.example")
    deployment.ok("setup")
    here = deployment.runner.dir
    subprocess.run(["git", "init", "-q", here], check=True)
    subprocess.run(["git", "-C", here, "add", "apps.json"], check=True)
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t.example", "-C", here, "commit",
                    "-q", "-m", "x"], check=True)
    (here / "apps.json").write_text((here / "apps.json").read_text() + "\n")
    assert "not committed" in deployment.fails("production", "update")
    deployment.ok("update", "--force")
