"""pelayan, pm2 and supervisord with the same few verbs, each in a folder of its own."""

import json
import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from load import Cannot


class Manager:
    can_cluster = True

    def __init__(self, folder):
        self.folder = Path(folder) / self.name
        self.folder.mkdir()
        self.env = dict(os.environ)

    def run(self, *args, **env):
        done = subprocess.run([*self.command, *map(str, args)], env=dict(self.env, **env),
                              cwd=self.folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise Cannot(f"{args[0]} failed: {done.stdout[-300:]}{done.stderr[-300:]}")
        return done.stdout

    def pss(self):
        """Bytes of memory that are the daemon's, shared pages by their share."""
        text = Path(f"/proc/{self.pid()}/smaps_rollup").read_text()
        return int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1)) * 1024

    def cpu(self):
        """Seconds of CPU that the daemon's threads have used, to the nanosecond."""
        tasks = Path(f"/proc/{self.pid()}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def logged(self, name):
        with suppress(FileNotFoundError):
            return self.log(name).stat().st_size
        return 0

    def wait_gone(self, pid):
        for _ in range(2000):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)


class Pelayan(Manager):
    name = "pelayan"

    def __init__(self, folder, program):
        super().__init__(folder)
        self.command = [program]
        self.home = self.folder / "home"
        self.env["PELAYAN_HOME"] = str(self.home)

    def version(self):
        done = subprocess.run([*self.command, "-v"], capture_output=True, text=True)
        return re.search(r"pelayan/(\S+)", done.stdout + done.stderr).group(1)

    def begin(self):
        pass

    def end(self):
        with suppress(Cannot):
            self.run("kill")

    def pid(self):
        return int((self.home / "pelayan.pid").read_text())

    def start(self, name, words, once=False):
        more = ["--no-autorestart", "--log-max-size", "0"] if once else []
        self.run("start", words[0], "--name", name, *more, "--", *words[1:])

    def start_cluster(self, name, script, count, port):
        self.run("start", script, "--name", name, "-i", count, PORT=str(port))

    def list(self):
        self.run("ls")

    def reload(self, name):
        self.run("reload", name)

    def delete(self, name):
        self.run("delete", name)

    def log(self, name):
        return self.home / f"logs/{name}-out.log"


class Pm2(Manager):
    name = "pm2"

    def __init__(self, folder):
        super().__init__(folder)
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix",
                        self.folder, "pm2"], check=True)
        self.command = [str(self.folder / "node_modules/.bin/pm2")]
        self.home = self.folder / "home"
        self.env["PM2_HOME"] = str(self.home)

    def version(self):
        """Not by asking: that starts its daemon."""
        package = self.folder / "node_modules/pm2/package.json"
        return json.loads(package.read_text())["version"]

    def begin(self):
        pass

    def end(self):
        with suppress(Cannot):
            self.run("kill")

    def pid(self):
        return int((self.home / "pm2.pid").read_text())

    def start(self, name, words, once=False):
        more = ["--no-autorestart"] if once else []
        self.run("start", words[0], "--name", name, "--interpreter", "none", *more, "--",
                 *words[1:])

    def start_cluster(self, name, script, count, port):
        self.run("start", script, "--name", name, "-i", count, PORT=str(port))

    def list(self):
        self.run("ls")

    def reload(self, name):
        self.run("reload", name)

    def delete(self, name):
        self.run("delete", name)

    def log(self, name):
        return self.home / f"logs/{name}-out.log"


CONF = """[supervisord]
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
childlogdir={folder}
[unix_http_server]
file={folder}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{folder}/supervisor.sock
[include]
files={folder}/apps/*.conf
"""

PROGRAM = """[program:{name}]
command={command}
autorestart={restart}
startsecs=0
stdout_logfile={folder}/{name}-out.log
stdout_logfile_maxbytes=0
"""


class Supervisord(Manager):
    """Debian's package, unpacked into the folder: nothing is installed."""

    name = "supervisord"
    can_cluster = False

    def __init__(self, folder):
        super().__init__(folder)
        subprocess.run("apt-get -q download supervisor && dpkg -x supervisor_*.deb .", shell=True,
                       cwd=self.folder, check=True, capture_output=True)
        self.env["PYTHONPATH"] = str(self.folder / "usr/lib/python3/dist-packages")
        self.conf = self.folder / "supervisord.conf"
        self.conf.write_text(CONF.format(folder=self.folder))
        self.command = ["/usr/bin/python3", str(self.folder / "usr/bin/supervisorctl"), "-c",
                        str(self.conf)]

    def version(self):
        return re.search(r"supervisor_([\d.]+)",
                         " ".join(p.name for p in self.folder.glob("*.deb"))).group(1)

    def begin(self):
        """Its daemon does not start by itself."""
        (self.folder / "apps").mkdir(exist_ok=True)
        for old in (self.folder / "apps").iterdir():
            old.unlink()
        self.begun = False

    def end(self):
        pid = self.pid() if self.begun else 0
        with suppress(Cannot):
            self.run("shutdown")
        if pid > 0:
            self.wait_gone(pid)

    def pid(self):
        return int((self.folder / "supervisord.pid").read_text())

    def start(self, name, words, once=False):
        (self.folder / f"apps/{name}.conf").write_text(PROGRAM.format(
            name=name, command=" ".join(words), folder=self.folder,
            restart="false" if once else "true"))
        if not self.begun:
            subprocess.run(["/usr/bin/python3", str(self.folder / "usr/bin/supervisord"), "-c",
                            str(self.conf)], env=self.env, check=True, capture_output=True)
            self.begun = True
        else:
            self.run("update", name)

    def list(self):
        self.run("status")

    def reload(self, name):
        self.run("restart", name)

    def delete(self, name):
        (self.folder / f"apps/{name}.conf").unlink()
        self.run("update", name)

    def log(self, name):
        return self.folder / f"{name}-out.log"
