"""What is sent and typed reaches an app's standard input, and never holds up anybody."""

import contextlib
import os
import pty
import select
import subprocess
from signal import SIGINT

from harness import wait
from harness.site import program

NODE = """
const lines = require('readline').createInterface({ input: process.stdin });
lines.on('line', (line) => console.log(`node ${process.env.NODE_APP_INSTANCE} heard ${line}`));
lines.on('close', () => console.log('the end of input'));
console.log('listening');
"""

PYTHON = """
import sys
print("> ", end="", flush=True)
for line in sys.stdin:
    print("python heard " + line, end="", flush=True)
    print("oh", file=sys.stderr, flush=True)
print("the end of input", flush=True)
"""

C = """
#include <stdio.h>
int main(void)
{
    char line[8192];

    setbuf(stdout, NULL);
    puts("listening");
    while (fgets(line, sizeof line, stdin) != NULL)
        printf("c heard %s", line);
    puts("the end of input");
    for (;;)
        if (getchar() == 1)
            return 0;
}
"""


def compiled(runner, name, text):
    source = runner.file(f"{name}.c", text)
    subprocess.run(["cc", "-o", runner.dir / name, source], check=True)
    return f"./{name}"


@contextlib.contextmanager
def attached(runner, *words):
    """`pelayan attach` on a terminal: what it shows so far is in .seen."""

    class Terminal:
        def __init__(self):
            self.parent, child = pty.openpty()
            self.seen = ""
            self.process = subprocess.Popen(
                [program(), "attach", *words], stdin=child, stdout=child, stderr=child,
                cwd=runner.dir, env=runner.environment(), start_new_session=True,
            )
            os.close(child)

        def read(self):
            while select.select([self.parent], [], [], 0)[0]:
                try:
                    self.seen += os.read(self.parent, 65536).decode(errors="replace")
                except OSError:
                    return
            return

        def wait_for(self, text):
            def there():
                self.read()
                return text in self.seen

            wait.until(there, lambda: f"{text!r} in {self.seen!r}, {runner.log()}")

        def type(self, text):
            os.write(self.parent, text.encode())

    terminal = Terminal()
    try:
        yield terminal
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.parent)


def test_send_to_every_language(runner):
    """A line arrives whole, and input does not end while nobody sends."""
    runner.file("node.js", NODE)
    runner.file("python.py", PYTHON)
    runner.ok("start", "node.js", "python.py", compiled(runner, "c", C))
    for name in ("node", "python", "c"):
        runner.ok("send", name, "good \"morning\" \\ grün")
        runner.wait_output(name, "heard good \"morning\" \\ grün\n")
        runner.ok("send", str(runner.app(name)["pm_id"]), "x" * 4000)
        runner.wait_output(name, "heard " + "x" * 4000 + "\n")
        assert "the end of input" not in runner.output(name)


def test_send_to_all_instances(runner, port):
    """Workers of a cluster read too."""
    runner.file("web.js", NODE + "require('http').createServer().listen(process.env.PORT);")
    runner.ok("start", "web.js", "-i", "2", PORT=str(port))
    logs = [runner.home / "logs" / f"web-out-{i}.log" for i in (0, 1)]
    for log in logs:
        wait.until(lambda log=log: "listening" in runner.read(log), "both")
    runner.ok("send", "web", "everybody")
    for index, log in enumerate(logs):
        wait.until(lambda i=index, log=log: f"node {i} heard everybody" in runner.read(log), "it")


def test_what_does_not_read(runner):
    """A pipe that is full is said so; nothing is torn, and the runner answers all the while."""
    runner.file("deaf.py", "import time\nprint('here', flush=True)\ntime.sleep(1000)\n")
    runner.file("shut.py", "import os, time\nos.close(0)\nprint('here', flush=True)\n"
                           "time.sleep(1000)\n")
    runner.ok("start", "deaf.py", "shut.py")
    runner.wait_output("shut", "here")
    assert "has closed its standard input" in runner.fails("send", "shut", "hello")
    said = []
    for number in range(40):
        answer = runner.ask(command="app", do="send", target="deaf", text="x" * 4000 + "\n")
        if not answer["ok"]:
            said.append(answer["result"]["message"])
    assert len(said) >= 20 and set(said) == {"app deaf (0) does not read its standard input"}
    runner.ok("stop", "deaf")
    assert "app deaf (0) is not running" in runner.fails("send", "deaf", "hello")
    assert "up to 4096 bytes" in runner.fails("send", "shut", "x" * 5000)
    assert 'no app "nobody"' in runner.fails("send", "nobody", "hello")
    assert "usage: pelayan send" in runner.fails("send", "shut")


def test_a_message_needs_a_channel(runner):
    """--message is for node apps; another app says that it has none."""
    runner.ok("start", "sleep 1000", "--name", "s")
    assert "has no channel for messages" in runner.fails("send", "s", "hello", "--message")


def test_input_goes_on_over_an_update(runner):
    """The next program writes to the same pipe; no end of file comes in between."""
    runner.file("python.py", PYTHON)
    runner.ok("start", "python.py")
    for number in range(3):
        runner.ok("send", "python", f"before {number}")
        runner.ok("update")
        runner.ok("send", "python", f"after {number}")
        runner.wait_output("python", f"heard after {number}")
    heard = [line for line in runner.output("python").splitlines() if "heard" in line]
    assert [line.split("heard ")[1] for line in heard] == [
        f"{when} {number}" for number in range(3) for when in ("before", "after")]
    assert "the end" not in runner.output("python")
    runner.ok("restart", "python")
    runner.ok("send", "python", "and again")
    runner.wait_output("python", "heard and again")


def test_attach(runner):
    """Output is shown live, also a prompt; what is typed arrives; Ctrl-C leaves the app alone."""
    runner.file("python.py", PYTHON)
    runner.ok("start", "python.py")
    before = runner.app("python")["pid"]
    with attached(runner, "python") as terminal:
        terminal.wait_for("attached to python (0)")
        terminal.type("one\n")
        terminal.wait_for("python heard one")
        terminal.wait_for("oh")
        runner.ok("restart", "python")
        terminal.wait_for("> ")
        terminal.type("two\n")
        terminal.wait_for("python heard two")
        terminal.process.send_signal(SIGINT)
        assert terminal.process.wait(wait.TIMEOUT) == 0
    assert runner.status("python") == ["online"] and runner.app("python")["pid"] != before
    assert "the end" not in runner.output("python")


def test_attach_to_one_of_several(runner):
    """By id, or by name and index; a name alone is not enough."""
    runner.file("python.py", PYTHON)
    runner.ok("start", "python.py", "-i", "2")
    assert 'are 2 instances' in runner.fails("attach", "python")
    assert 'has no instance 7' in runner.fails("attach", "python", "7")
    with attached(runner, "python", "1") as terminal:
        terminal.wait_for("attached to python (1)")
        terminal.type("you\n")
        terminal.wait_for("python heard you")
    assert "you" not in runner.read(runner.home / "logs" / "python-out-0.log")


def test_attach_ends(runner):
    """With its own input, or with the app; a separator takes the place of the line's end."""
    runner.file("python.py", PYTHON)
    runner.ok("start", "python.py")
    for text, separator in (("a\nb", "\n"), ("c\nd\n", ";\n")):
        result = subprocess.run(
            [program(), "attach", "0", *([separator] if separator != "\n" else [])], input=text,
            capture_output=True, text=True, cwd=runner.dir, env=runner.environment(), check=False)
        assert result.returncode == 0, result.stderr
    runner.wait_output("python", "heard d;")
    assert runner.output("python").count("heard") == 4
    with attached(runner, "python") as terminal:
        terminal.wait_for("attached")
        runner.ok("stop", "python")
        terminal.wait_for("it is stopped")
        assert terminal.process.wait(wait.TIMEOUT) == 1
    assert "no app" in runner.fails("attach", "nobody")
    assert "usage: pelayan attach" in runner.fails("attach")
