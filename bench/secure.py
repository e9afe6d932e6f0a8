"""What TLS and HTTP/2 cost: asked by h2load, ECDSA P-256, TLS 1.3."""

import re
import socket
import ssl
import subprocess

from load import Cannot, interleaved
from servers import OTHER_CORE

H2LOAD = ["taskset", "-c", str(OTHER_CORE), "h2load", "-t", "1"]
DONE = re.compile(r"(\d+) succeeded, (\d+) failed, (\d+) errored")
HANDSHAKES_AT_ONCE = 100  # fewer than an address may have


def h2load(port, path, requests, *words):
    done = subprocess.run(
        [*H2LOAD, "-n", str(requests), *words, f"https://127.0.0.1:{port}{path}"],
        capture_output=True,
        text=True,
    )
    found = DONE.search(done.stdout)
    if done.returncode != 0 or not found or int(found[1]) < requests:
        raise Cannot((done.stdout + done.stderr).strip()[-300:])


def streams(scenario, port, requests):
    """Kept connections, with as many streams on each as the mode says."""
    protocol, at_once = scenario.mode
    words = ["--h1"] if protocol == "h1" else ["-m", str(at_once)]
    h2load(port, scenario.path, requests, "-c", str(scenario.connections), *words)


def handshakes(scenario, port, requests):
    """Each request on a connection of its own."""
    for begun in range(0, requests, HANDSHAKES_AT_ONCE):
        count = min(HANDSHAKES_AT_ONCE, requests - begun)
        h2load(port, scenario.path, count, "-c", str(count), "--h1")


def per_secure_request(scenario, bench, rounds, factor):
    """CPU per request, as per_request() does it in the clear."""
    ask = handshakes if scenario.mode[0] == "handshake" else streams
    servers = {
        name: bench.serve(name, tls=True) for name in scenario.programs if name in bench.programs
    }

    def measure(program, port, warming_up):
        count = scenario.requests // 10 if warming_up else scenario.requests * factor
        before = program.cpu()
        ask(scenario, port, count)
        return (program.cpu() - before) / count / 1000

    return interleaved(bench, servers, rounds, measure)


def hold(port, path, count):
    """Connections that have had an answer over TLS and wait."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    held = []
    for _ in range(count):
        secure = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10))
        secure.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        if not secure.recv(4096):
            raise Cannot("it does not hold so many connections")
        held.append(secure)
    return held


def idle_secure_memory(scenario, bench, rounds, factor):
    """Bytes of private memory for each TLS connection that has had an answer and waits."""
    figures = {}
    for name in scenario.programs:
        if name not in bench.programs:
            continue
        program, port = bench.serve(name, tls=True)
        try:
            for secure in hold(port, scenario.path, 50):
                secure.close()
            before = program.memory()
            held = hold(port, scenario.path, scenario.connections)
            figures[name] = [(program.memory() - before) / scenario.connections]
            for secure in held:
                secure.close()
        except (Cannot, OSError) as why:
            print(f"    {name}: {why}")
        bench.stop(program)
    return figures


