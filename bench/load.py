"""Asks for load and measures what it costs."""

import json
import os
import resource
import statistics
import subprocess

from servers import OTHER_CORE, TOOLS


class Cannot(Exception):
    """This program does not do this, or did it wrong; it gets no figure."""


def load_command(port, path, connections, *rest):
    words = ["taskset", "-c", OTHER_CORE, TOOLS / "load", port, path, connections, *rest]
    return [str(word) for word in words]


def load(port, path, connections, requests, *mode):
    done = subprocess.run(
        load_command(port, path, connections, requests, *mode), capture_output=True, text=True
    )
    if done.returncode != 0:
        raise Cannot(done.stderr.strip()[-300:])
    answer = json.loads(done.stdout)
    if answer["failed"] > requests / 1000:
        raise Cannot(f"{answer['failed']} of {requests} requests failed")
    return answer


def cost(program, port, path, connections, requests, *mode):
    """Microseconds on CPU for each request."""
    before = program.cpu()
    load(port, path, connections, requests, *mode)
    return (program.cpu() - before) / requests / 1000


class Held:
    """Connections that have had one answer and stay."""

    def __init__(self, port, path, connections):
        self.process = subprocess.Popen(
            load_command(port, path, connections, "hold"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if not self.process.stdout.readline():
            raise Cannot("it does not hold so many connections")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def raise_limits():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    uname = os.uname()
    return f"{model}, {os.cpu_count()} cores, {uname.sysname} {uname.release}"


def summary(values):
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "rounds": len(values),
    }


def interleaved(bench, servers, rounds, measure):
    """The figures of each of `servers` (name -> (program, port)), which are asked in turn, round after
    round, so that all share the weather, and stopped at the end. `measure(program, port, warming_up)`
    gives one figure; the first round only warms up."""
    figures = {}
    for turn in range(rounds + 1):
        for name, (program, port) in list(servers.items()):
            try:
                used = measure(program, port, turn == 0)
            except Cannot as why:
                print(f"    {name}: {why}")
                figures.pop(name, None)
                bench.stop(servers.pop(name)[0])
                continue
            if turn > 0:
                figures.setdefault(name, []).append(used)
    for program, _ in servers.values():
        bench.stop(program)
    return figures
