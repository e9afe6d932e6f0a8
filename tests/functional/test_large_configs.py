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

# Bytes of the worker at its peak for each server, its upstream and its text included, with room for
# some fields more. 40,000 of the first two are to take 150 MB, which is 3,750; the third one has twice
# as much text.
SHAPES = {"plain": (PLAIN, 2600), "passed": (PASSED, 3100), "told": (TOLD, 4300)}


def servers(locations, count):
    block = f"""upstream u@ {{ server 127.0.0.1:1; }}
        server {{ listen 127.0.0.1:{{port}}; server_name s@.example www.s@.example; {locations} }}"""
    first = """server { listen 127.0.0.1:{port} default_server; return 404; }
        server { listen 127.0.0.1:{port}; server_name first.example; return 200 first; }"""
    return "\n".join([first, *(block.replace("@", str(i)) for i in range(count))])


def peak(site):
    site.wait_for_log("configuration 1 is served")
    text = Path(f"/proc/{site.workers()[0]}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM"))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_server_block_costs_little_memory(pelayan, shape):
    locations, allowed = SHAPES[shape]
    few, many = [pelayan.run(http=servers(locations, n)) for n in (1, SERVERS)]
    assert many.get("/", host="first.example").text == "first"
    assert many.get("/", host=f"s{SERVERS}.example").status == 404
    used = (peak(many) - peak(few)) / SERVERS
    assert SANITIZED or used < allowed, f"{used:.0f} bytes for each server"


def test_each_of_many_servers_and_locations_is_found(pelayan):
    block = """server {{ listen 127.0.0.1:{{port}}; server_name s{0}.example *.w{0}.example;
        location / {{ return 200 "s{0}"; }} location = /own{0} {{ return 200 "own{0}"; }}
        location /deep{0}/ {{ return 200 "deep{0}"; }} }}"""
    locations = " ".join(f"location /l{i}/ {{ return 200 l{i}; }}" for i in range(SERVERS))
    many = "server { listen 127.0.0.1:{port}; server_name many.example; " + locations + " }"
    site = pelayan.run(http="\n".join([many, *(block.format(i) for i in range(SERVERS))]))
    with site.connect() as client:
        for i in (0, 1, SERVERS // 2, SERVERS - 1):
            assert client.get("/", host=f"s{i}.example").text == f"s{i}"
            assert client.get(f"/own{i}", host=f"a.w{i}.example").text == f"own{i}"
            assert client.get(f"/deep{i}/x", host=f"s{i}.example").text == f"deep{i}"
            assert client.get(f"/deep{i + 1}/x", host=f"s{i}.example").text == f"s{i}"
            assert client.get(f"/l{i}/x", host="many.example").text == f"l{i}"
