"""What is measured. A scenario gives, for each program, the figures of its rounds."""

import subprocess
import time
import urllib.request
from dataclasses import dataclass, field

from load import Cannot, Held, cost, interleaved, load
from secure import idle_secure_memory, per_secure_request
from servers import SMALL, free_port

ALL = ("floor", "pelayan", "nginx", "haproxy", "h2o")
NO_FLOOR = ("pelayan", "nginx", "haproxy", "h2o")
FILES = ("pelayan", "nginx", "h2o")
TWINS = ("pelayan", "nginx")
SECURE = ("pelayan", "nginx", "haproxy")


@dataclass
class Scenario:
    key: str
    title: str
    unit: str
    programs: tuple
    goal: float = 0  # at most so many times what `against` takes; 0: `limit`, or no goal
    against: str = "floor"  # a program, or "best": the best of the others
    limit: float = 0  # an absolute goal, in `unit`
    run: object = None
    path: str = "/small/128"
    connections: int = 64
    requests: int = 20000  # in a quick round; a full one has five times as many
    mode: tuple = ()
    floor: tuple = ()
    conf: dict = field(default_factory=dict)


def per_request(scenario, bench, rounds, factor):
    """CPU per request."""
    servers = {}
    others = [n for n in bench.programs if "-" in n and n.split("-")[0] in scenario.programs]
    for name in (*scenario.programs, *others):
        if name == "floor" or name in bench.programs:
            servers[name] = bench.serve(name, floor=scenario.floor, **scenario.conf)
    count = scenario.requests * factor
    bench.let_files_age()

    def measure(program, port, warming_up):
        n = max(scenario.connections, count // 10) if warming_up else count
        return cost(program, port, scenario.path, scenario.connections, n, *scenario.mode)

    return interleaved(bench, servers, rounds, measure)


def idle_memory(scenario, bench, rounds, factor):
    """Bytes of private memory for each connection that has had an answer and waits."""
    figures = {}
    for name in scenario.programs:
        if name not in bench.programs:
            continue
        program, port = bench.serve(name)
        load(port, "/return", 64, 1000)
        before = program.memory()
        try:
            held = Held(port, "/return", scenario.connections)
        except Cannot as why:
            print(f"    {name}: {why}")
            bench.stop(program)
            continue
        figures[name] = [(program.memory() - before) / scenario.connections]
        held.close()
        bench.stop(program)
    return figures


PLAIN = "location / { } location /static/ { } location /api/ { }"
PASSED = "location / { proxy_pass http://u#; } location /static/ { } location /api/ { proxy_pass http://u#; }"


def many_servers(count, locations):
    block = (
        "upstream u# { server 127.0.0.1:1; }"
        " server { listen 127.0.0.1:@; server_name s#.example; " + locations + " }"
    )
    return "\n".join(block.replace("#", str(i)) for i in range(count))


def start_with(name, bench, scenario, what):
    port = free_port()  # the blocks listen on the same port as the first one
    more = many_servers(scenario.requests, scenario.mode[0]).replace("@", str(port))
    if name.startswith("nginx"):
        more = "server_names_hash_max_size 1048576;\n" + more
    command = bench.command(name, bench.configure(name, port, more=more))
    begin = time.monotonic()
    program = bench.run(command, 0)
    bench.wait(port, "/return")
    took = time.monotonic() - begin
    figure = took if what == "seconds" else program.memory("VmHWM") / 1e6
    bench.stop(program)
    return figure


def server_blocks(scenario, bench, rounds, factor, what="seconds"):
    """Start with many server blocks: until the first answer, or the worker's peak of memory."""
    figures = {}
    for name in scenario.programs:
        if name not in bench.programs or (name != "pelayan" and factor == 1):
            continue
        for _ in range(min(rounds, 5) if name == "pelayan" else 1):
            figures.setdefault(name, []).append(start_with(name, bench, scenario, what))
    return figures


def server_blocks_memory(scenario, bench, rounds, factor):
    return server_blocks(scenario, bench, rounds, factor, "memory")


def latency(scenario, bench, rounds, factor):
    """A percentile at a fixed rate, counted from when each request was due."""
    figures = {}
    rate = 8000
    for name in scenario.programs:
        if name != "floor" and name not in bench.programs:
            continue
        program, port = bench.serve(name)
        load(port, scenario.path, 64, 2000)
        for _ in range(rounds):
            got = load(port, scenario.path, 64, rate * factor, rate)
            figures.setdefault(name, []).append(got[scenario.mode[0]])
        bench.stop(program)
    return figures


def loops(scenario, bench, rounds, factor):
    """What two loops use for a request, as a multiple of what one uses; not pinned."""
    figures = {}
    for name in scenario.programs:
        if name not in bench.programs:
            continue
        one, port_one = bench.serve(name)
        two, port_two = bench.serve(name, core="0,1", loops=2)
        for _ in range(rounds):
            a = cost(one, port_one, scenario.path, 64, scenario.requests * factor)
            b = cost(two, port_two, scenario.path, 64, scenario.requests * factor)
            figures.setdefault(name, []).append(b / a)
        bench.stop(one)
        bench.stop(two)
    return figures


def balance(scenario, bench, rounds, factor):
    """The share of the busier of two loops: 50 is even."""
    figures = {}
    for name in scenario.programs:
        if name not in bench.programs:
            continue
        program, port = bench.serve(name, core="0,1", loops=2)
        for _ in range(rounds):
            before = program.cpu_of_tasks()
            load(port, scenario.path, 64, scenario.requests * factor)
            used = [ns - before.get(task, 0) for task, ns in program.cpu_of_tasks().items()]
            figures.setdefault(name, []).append(100 * max(used) / max(1, sum(used)))
        bench.stop(program)
    return figures


def start(scenario, bench, rounds, factor):
    """Milliseconds from the command to the first answer."""
    figures = {}
    for name in scenario.programs:
        for _ in range(rounds):
            if name not in bench.programs:
                continue
            begin = time.monotonic()
            program, port = bench.serve(name)
            bench.wait(port, "/return")
            figures.setdefault(name, []).append((time.monotonic() - begin) * 1000)
            bench.stop(program)
    return figures


def reload(scenario, bench, rounds, factor):
    """Milliseconds from `-s reload` to the first answer by the new configuration."""
    figures = {}
    for name in scenario.programs:
        if name not in bench.programs:
            continue
        program, port = bench.serve(name)
        for turn in range(rounds):
            text = f"{turn}{SMALL.strip()}"
            command = bench.command(name, bench.configure(name, port, text=text))
            begin = time.monotonic()
            subprocess.run([str(w) for w in command] + ["-s", "reload"], check=True)
            while not get(port, "/return").startswith(text):
                if time.monotonic() > begin + 10:
                    raise Cannot("the new configuration does not come")
            figures.setdefault(name, []).append((time.monotonic() - begin) * 1000)
        bench.stop(program)
    return figures


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return answer.read().decode()


US, MS = "us CPU per request", "ms"
LOGGED = {"log": True}
SCENARIOS = [
    Scenario("proxy-64", "proxy, 64 connections", US, ALL, goal=1.10),
    Scenario("proxy-512", "proxy, 512 connections", US, ALL, goal=1.15, connections=512),
    Scenario(
        "unix", "backend on a unix socket", US, ALL, goal=1.10, path="/local/128", floor=("local",)
    ),
    Scenario(
        "fresh", "new connection per request", US, ALL, goal=0.85, against="nginx",
        requests=5000, mode=("close",), floor=("once",),
    ),
    Scenario(
        "64k", "proxy, 64 KiB body", US, ALL, goal=1.0, path="/big/65536", requests=5000
    ),
    Scenario(
        "1m", "proxy, 1 MiB body", US, ALL, goal=1.0, against="h2o", path="/big/1048576",
        connections=16, requests=500,
    ),
    Scenario(
        "log", "proxy, 64 connections, access log", US, TWINS, goal=0.85, against="nginx",
        conf=LOGGED,
    ),
    Scenario(
        "static-1k", "static 1 KiB file", US, FILES, goal=0.70, against="nginx",
        path="/static/1k.html",
    ),
    Scenario(
        "static-100k", "static 100 KiB file", US, FILES, goal=0.95, against="best",
        path="/static/100k.html", requests=5000,
    ),
    Scenario("return", "return 200", US, TWINS, goal=0.85, against="nginx", path="/return"),
    Scenario(
        "tls-h1", "HTTP/1.1 over TLS, proxied", US, SECURE, goal=0.85, against="nginx",
        run=per_secure_request, mode=("h1", 1),
    ),
    Scenario(
        "tls-h2", "HTTP/2, 16 x 16 streams, proxied", US, SECURE, goal=0.95, against="haproxy",
        run=per_secure_request, connections=16, mode=("h2", 16),
    ),
    Scenario(
        "tls-h2-local", "HTTP/2, 16 x 16 streams, return", US, SECURE, goal=1.0, against="haproxy",
        run=per_secure_request, connections=16, mode=("h2", 16), path="/return",
    ),
    Scenario(
        "handshake", "TLS handshake + 1 request", US, SECURE, goal=0.95, against="nginx",
        run=per_secure_request, requests=1000, mode=("handshake", 1),
    ),
    Scenario(
        "tls-idle", "idle TLS connection", "bytes", SECURE, goal=1.0, against="best",
        run=idle_secure_memory, connections=2000,
    ),
    Scenario(
        "idle", "idle keep-alive connection", "bytes", TWINS, limit=512,
        run=idle_memory, connections=10000,
    ),
    Scenario(
        "servers-time", "40,000 server blocks, start", "s", TWINS, limit=0.5,
        run=server_blocks, requests=40000, mode=(PASSED,),
    ),
    Scenario(
        "servers-memory", "40,000 server blocks, worker's peak", "MB", TWINS, limit=150,
        run=server_blocks_memory, requests=40000, mode=(PLAIN,),
    ),
    Scenario(
        "servers-passed", "the same, two of three locations passed on", "MB", TWINS, limit=150,
        run=server_blocks_memory, requests=40000, mode=(PASSED,),
    ),
    Scenario("p50", "latency at 8000/s, p50", "us", ALL, run=latency, mode=("p50",)),
    Scenario("p99", "latency at 8000/s, p99", "us", ALL, run=latency, mode=("p99",)),
    Scenario("p99.9", "latency at 8000/s, p99.9", "us", ALL, run=latency, mode=("p99.9",)),
    Scenario("loops", "two loops against one", "times", TWINS, run=loops),
    Scenario("balance", "busier of two loops", "%", TWINS, run=balance),
    Scenario("start", "start", MS, TWINS, run=start),
    Scenario("reload", "reload", MS, TWINS, run=reload),
]
