"""What an app is given and what it may not: process tree, limits, descriptors, sockets, jobs."""

import contextlib
import http.client
import os
import resource
import socket
import subprocess
from pathlib import Path
from signal import SIGKILL

import pytest
from harness import wait
from harness.site import program


def group_of(pid):
    """Its control group of version 2, as a folder, or None."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            for mount in Path("/proc/self/mountinfo").read_text().splitlines():
                if " - cgroup2 " in mount:
                    return Path(mount.split()[4] + line[3:])
    return None


def groups_work():
    group = group_of("self")
    return group is not None and os.access(group, os.W_OK) and (group / "cgroup.procs").exists()


FORKS_AWAY = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("away", flush=True)
        time.sleep(1000)
    os._exit(0)
os.wait()
time.sleep(1000)
"""


@pytest.mark.parametrize("groups", [True, False])
def test_a_double_fork_ends_with_its_app(runner, groups):
    """A daemon in a session of its own, whose parent is killed: it does not stay behind, with
    control groups or (where they are hidden) without."""
    runner.file("forks.py", FORKS_AWAY)
    hide = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys/fs/cgroup; exec "$@"', "sh"]
    subprocess.run([*([] if groups or os.geteuid() != 0 else hide), program(), "start", "forks.py"],
                   cwd=runner.dir, env=runner.environment(), check=True, capture_output=True)
    runner.wait_output("forks", "away")
    before = set(runner.alive())
    if not groups:
        group = group_of(runner.app("forks")["pid"])
        assert group is None or not group.name.startswith("forks-")
    os.kill(runner.app("forks")["pid"], SIGKILL)
    wait.until(lambda: runner.env("forks")["restart_time"] == 1, "a restart")
    wait.until(lambda: set(runner.alive()) & before == {runner.pid},
               lambda: f"the old tree to end: {set(runner.alive()) & before}")


def test_each_instance_has_its_group(runner):
    """A folder per process, and nothing left at the end."""
    if not groups_work():
        assert not group_of("self") or not os.access(group_of("self"), os.W_OK)
        return
    runner.ok("start", "sleep 1000 & sleep 1000 & wait", "--name", "s", "-i", "2")
    groups = {group_of(app["pid"]) for app in runner.list()}
    assert len(groups) == 2 and all(group.parent.name == f"pelayan-{runner.pid}"
                                    for group in groups)
    wait.until(lambda: all(len((g / "cgroup.procs").read_text().split()) == 3 for g in groups),
               "the trees")
    runner.ok("update", "-s")
    runner.ok("restart", "s")
    old, groups = groups, {group_of(app["pid"]) for app in runner.list()}
    assert len(groups) == 2 and not groups & old
    wait.until(lambda: not any(group.exists() for group in old), "the old ones to be removed")
    runner.ok("scale", "s", "1")
    wait.until(lambda: sum(group.exists() for group in groups) == 1, "one group to go")
    base = next(iter(groups)).parent
    runner.ok("kill")
    wait.until(lambda: not base.exists(), lambda: f"no groups: {list(base.iterdir())}")


def test_limits_of_the_kernel(runner):
    """limit_...: soft and hard, sizes, unlimited; one that cannot be set is said."""
    runner.ok("start", "ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -Hf; sleep 1000", "--name", "l",
              "--limit-nofile", "100:200", "--limit-core", "0", "--limit-fsize", "1G")
    runner.wait_output("l", "1048576\n")
    assert runner.output("l") == "100\n200\n0\n1048576\n"
    assert "must be a limit" in runner.fails("start", "x.js", "--limit-nofile", "many")
    assert "must be a limit" in runner.fails("start", "x.js", "--limit-nofile", "200:100")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2**30:
        error = runner.fails("start", "sleep 1", "--name", "m", "--limit-nofile", "4G")
        assert "set the limits of" in error


def test_limits_that_need_a_group(runner):
    """Obeyed where we may manage groups; else an error that says what to do."""
    result = runner.run("start", "sleep 1000 & sleep 1000 & sleep 1000 & wait", "--name", "few",
                        "--limit-processes", "3")
    if result.returncode == 0:
        group = group_of(runner.app("few")["pid"])
        assert (group / "pids.max").read_text() == "3\n"
    else:
        assert '"limit_processes" needs a control group' in result.stderr
        assert "Delegate=yes" in result.stderr and runner.status("few") == ["errored"]


def test_no_descriptor_is_inherited(runner):
    """Three of its own, also after an update; node has its channel too."""
    runner.ok("start", "ls -l /proc/self/fd; sleep 1000", "--name", "first")
    runner.ok("update", "-s")
    runner.ok("start", "ls -l /proc/self/fd; sleep 1000", "--name", "second")
    for name in ("first", "second"):
        runner.wait_output(name, "3 -> /proc")
        fds = [line.split()[8] for line in runner.output(name).splitlines()[1:]]
        assert fds == ["0", "1", "2", "3"]  # the last one is ls's own


def test_user_group_umask_and_home(runner):
    """uid and gid by name or number, HOME of that user, the umask for its files."""
    if os.geteuid() != 0:
        assert "only root" in runner.fails("start", "true", "--name", "u", "--uid", "nobody")
        return
    open_dir = runner.dir
    open_dir.chmod(0o777)
    runner.ok("start", f"id -un; id -Gn; echo $HOME; touch {open_dir}/made; sleep 1000", "--name",
              "u", "--uid", "nobody", "--gid", "daemon", "--umask", "027")
    home = subprocess.run(["getent", "passwd", "nobody"], capture_output=True,
                          text=True).stdout.split(":")[5]
    wait.until(lambda: (open_dir / "made").exists(), "its file")
    lines = runner.output("u").splitlines()
    assert lines[0] == "nobody" and lines[1].split()[0] == "daemon" and lines[2] == home
    assert (open_dir / "made").stat().st_mode & 0o777 == 0o640


ACTIVATED = """
import os, socket, time
assert os.environ["LISTEN_PID"] == str(os.getpid()), os.environ["LISTEN_PID"]
sockets = [socket.socket(fileno=3 + n) for n in range(int(os.environ["LISTEN_FDS"]))]
if os.path.exists("slow"): time.sleep(0.3)
print("up", flush=True)
while True:
    client, _ = sockets[0].accept()
    client.recv(4096)
    client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n%d of %d" % (os.getpid(), len(sockets)))
    client.close()
"""


def ask(port):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=wait.TIMEOUT)
    try:
        client.request("GET", "/")
        return client.getresponse().read().decode()
    finally:
        client.close()


def test_socket_activation(runner, port):
    """We listen; a client that comes while the app is restarted waits, and is served."""
    runner.file("activated.py", ACTIVATED)
    runner.ok("start", "activated.py", "--listen-fds", f"127.0.0.1:{port} unix:{runner.dir}/s")
    runner.wait_output("activated", "up")
    first = ask(port)
    assert first == f"{runner.app('activated')['pid']} of 2"
    runner.file("slow", "")
    killed = runner.app("activated")["pid"]
    os.kill(killed, SIGKILL)
    wait.until(lambda: runner.app("activated")["pid"] != killed, "the next one")
    assert ask(port) != first
    runner.ok("update", "-s")
    runner.ok("reload", "activated")
    assert ask(port).endswith("of 2")
    runner.ok("stop", "activated")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), 2).close()


SHARES = """
import os, socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind(("127.0.0.1", int(os.environ["PORT"])))
s.listen()
while True:
    client, _ = s.accept()
    client.recv(4096)
    client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n%d" % os.getpid())
    client.close()
"""


def answering(port):
    """Who answers. A socket that is closed loses what waits in its queue: so is SO_REUSEPORT."""
    pids = set()
    for _ in range(30):
        with contextlib.suppress(OSError):
            pids.add(ask(port))
    return pids


def test_reuse_port(runner, port):
    """Two on one port, and the new one starts beside the old one."""
    runner.file("shares.py", SHARES)
    runner.ok("start", "shares.py", "-i", "2", "--port", port, "--reuse-port", "--ready", "tcp")
    before = {str(app["pid"]) for app in runner.list()}
    wait.until(lambda: answering(port) == before, "both to answer")
    runner.ok("reload", "shares")
    wait.until(lambda: answering(port) == {str(a["pid"]) for a in runner.list()},
               "both new ones to answer")


def test_filled_in_everywhere(runner, port):
    """{port}, {instance}, {id}, {name} and {socket} in arguments, variables and probes."""
    runner.ecosystem({"name": "f", "script": "sh", "instances": 2, "port": port,
                      "args": ["-c", "echo $WHERE $0; touch up-{id}; sleep 1000", "{name}/{port}"],
                      "env": {"WHERE": "{instance}:{port} {other}"},
                      "ready": "exec test -e up-{id}"})
    runner.ok("start", "apps.json")
    logs = runner.ok("logs", "f", "--nostream", "--raw", "--out")
    assert sorted(logs.splitlines()) == [f"{n}:{port} {{other}} f/{port}" for n in (0, 1)]


def test_job(runner):
    """schedule starts what does not run, restarts nothing, and waits for no one."""
    runner.ok("start", "echo ran", "--name", "yearly", "--schedule", "0 0 29 2 *")
    assert runner.status("yearly") == ["stopped"] and runner.output("yearly") == ""
    runner.ok("start", "echo ran; exit 3", "--name", "job", "--schedule", "* * * * * *")
    wait.until(lambda: runner.output("job").count("ran") >= 2, "two runs")
    assert runner.env("job")["restart_time"] == 0
    runner.ok("start", "echo ran; sleep 1000", "--name", "long", "--schedule", "* * * * * *")
    runner.wait_output("long", "ran")
    wait.until(lambda: "still runs at its next time" in runner.log(), "the next time")
    assert runner.output("long") == "ran\n"
    assert "one starts a job" in runner.fails("start", "true", "--name", "x", "--schedule",
                                              "@daily", "--cron", "@daily")


def controllers():
    """What the kernel limits in our control group of version 2."""
    group = group_of("self")
    with contextlib.suppress(OSError, TypeError):
        return (group / "cgroup.controllers").read_text().split() if groups_work() else []
    return []


needs_pids = pytest.mark.skipif(
    "pids" not in controllers(), reason="cgroup v2 has no pids controller here, or is not ours")
needs_memory = pytest.mark.skipif(
    "memory" not in controllers(), reason="cgroup v2 has no memory controller here, or is not ours")

FORKS_WITHOUT_END = r"""
#include <stdio.h>
#include <unistd.h>
int main(void)
{
    long count = 0;
    for (;;) {
        pid_t pid = fork();
        if (pid == 0) { pause(); return 0; }
        if (pid < 0) break;
        count++;
    }
    printf("%ld and no more\n", count);
    fflush(stdout);
    pause();
}
"""


@needs_pids
@pytest.mark.parametrize("limit", [None, 50])
def test_a_fork_bomb_is_held(runner, limit):
    """It gets what its group may have, by default a part of what the machine has; the others and the
    runner go on, and all of it ends with its app."""
    source = runner.file("bomb.c", FORKS_WITHOUT_END)
    subprocess.run(["cc", "-o", runner.dir / "bomb", source], check=True)
    runner.ok("start", "./bomb", *(["--limit-processes", limit] if limit else []))
    runner.wait_output("bomb", "and no more")
    group = group_of(runner.app("bomb")["pid"])
    allowed = int((group / "pids.max").read_text())
    assert allowed == (limit or allowed) and allowed < int(
        Path("/proc/sys/kernel/threads-max").read_text()) // 2
    assert int(runner.output("bomb").split()[0]) < allowed
    runner.ok("start", "sleep 1000", "--name", "other")
    runner.ok("delete", "bomb")
    assert runner.status("other") == ["online"]


GROWS_AT_ONCE = """
import os, time
print("started", flush=True)
while not os.path.exists("grow"): time.sleep(0.02)
if not os.path.exists("grown"):
    open("grown", "w").close()
    keep = []
    while True: keep.append(b"x" * (1 << 20))
time.sleep(1000)
"""


@needs_memory
def test_what_grows_too_fast_is_slowed_and_replaced(runner):
    """The kernel holds it near max_memory_restart and says so at once: it is replaced, not killed."""
    runner.file("grows.py", GROWS_AT_ONCE)
    runner.ok("start", "grows.py", "--max-memory-restart", "100M")
    runner.wait_output("grows", "started")
    group = group_of(runner.app("grows")["pid"])
    assert int((group / "memory.high").read_text()) == 100 * 1024**2 * 125 // 100 // 4096 * 4096
    runner.ok("update")
    runner.file("grow", "")
    wait.until(lambda: runner.env("grows")["restart_time"] == 1, "it to be replaced")
    assert "more than max_memory_restart" in runner.log()
