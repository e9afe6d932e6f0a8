"""What a command shows on a terminal of some width."""

import os
import pty
import subprocess

from .site import program


def on_terminal(runner, *args, columns, until):
    """The output on a terminal of that width, until a text is in it."""
    master, slave = pty.openpty()
    environment = runner.environment()
    environment.pop("NO_COLOR", None)
    subprocess.run(["stty", "cols", str(columns), "rows", "20"], stdin=slave, check=True)
    process = subprocess.Popen(
        [program(), *args], stdin=slave, stdout=slave, stderr=slave, env=environment
    )
    os.close(slave)
    text = b""
    while until.encode() not in text:
        text += os.read(master, 65536)
    process.kill()
    process.wait()
    os.close(master)
    return text.decode()
