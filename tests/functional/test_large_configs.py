"""Configurations with thousands of servers: what a server block costs in memory, and that each is found.

Bytes are counted, not times: they are the same on a busy machine."""

import os
from pathlib import Path

import pytest

SANITIZED = "san/" in os.environ.get("PELAYAN_BIN", "")
SERVERS = 300 if SANITIZED else 4000

PLAIN = """location / { } location /static/ { } location /api/ { }"""
PASSED = """location / { proxy_pass http://u@; } location /api/ { proxy_pass http://u@; }
    location /static/ { }"""
TOLD = """root /srv/s@.example;
    location / { proxy_pass http://u@; proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }
    location = /exact@ { proxy_pass http://u@/there/; proxy_set_header Host $host; }
    location /static@/ { root /srv/static/@; }"""

# Bytes of the worker at its peak for each server, its upstream and its text included. 40,000 of
# them are to take 150 MB, which is 3,750.
SHAPES = {"plain": (PLAIN, 2200), "passed": (PASSED, 2600), "told": (TOLD, 3750)}


def servers(locations, count):
    block = f"""upstream u@ {{ server 127.0.0.1:1; }}
        server {{ listen 127.0.0.1:{{port}}; server_name s@.example www.s@.example; {locations}
            location /who {{ return 200 "s@"; }} }}"""
    first = "server { listen 127.0.0.1:{port} default_server; return 404; }"
    return "\n".join([first, *(block.replace("@", str(i)) for i in range(count))])


def peak(site):
    site.wait_for_log("configuration 1 is served")
    text = Path(f"/proc/{site.workers()[0]}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM"))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_server_block_costs_little_memory(pelayan, shape):
    locations, allowed = SHAPES[shape]
    few, many = [pelayan.run(http=servers(locations, n)) for n in (1, SERVERS)]
    for name in (0, SERVERS // 2, SERVERS - 1):
        assert many.get("/who", host=f"s{name}.example").text == f"s{name}"
        assert many.get("/who", host=f"www.s{name}.example").text == f"s{name}"
    assert many.get("/who", host="s.example").status == 404
    used = (peak(many) - peak(few)) / SERVERS
    assert SANITIZED or used < allowed, f"{used:.0f} bytes for each server"
