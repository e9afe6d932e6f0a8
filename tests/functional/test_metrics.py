"""`metrics`: what is counted, for Prometheus."""

import re
import socket
import ssl

import pytest
from harness.wait import TIMEOUT, until
from test_tls_clients import pair

LINE = re.compile(r'^(pelayan_[a-z_]+(?:\{reason="[a-z]+"\})?) (\d+)$')


def metrics(site):
    text = site.get("/metrics").text
    found = [LINE.match(line) for line in text.splitlines() if not line.startswith("#")]
    assert all(found), text
    return {it[1].removeprefix("pelayan_"): int(it[2]) for it in found}


def failed(reason):
    return f'tls_handshakes_failed_total{{reason="{reason}"}}'


def grows(site, before, name, by=1):
    until(lambda: metrics(site)[name] == before[name] + by, f"{name} to grow")


@pytest.fixture
def site(pelayan, localhost):
    return pelayan.run(http=f"""client_header_timeout 500ms; ssl_handshake_limit 3; server {{ listen 127.0.0.1:{{port}};
        location = /metrics {{ metrics; }} }}
        server {{ listen 127.0.0.1:{{port2}} ssl; server_name localhost; {pair(localhost)} return 200 ok; }}
        server {{ listen 127.0.0.1:{{port2}} ssl; server_name none; ssl_reject_handshake on; }}""")


def test_requests_and_connections(site):
    answer = site.get("/metrics")
    assert answer.header("content-type") == "text/plain; version=0.0.4"
    for name in metrics(site):
        assert f"# TYPE pelayan_{name.partition('{')[0]} " in answer.text
    before = metrics(site)
    with site.connect() as held:
        held.get("/metrics")
        now = metrics(site)
        assert now["http_requests_total"] == before["http_requests_total"] + 2
        assert now["connections_active"] == 2 and now["connections_waiting"] == 1
    assert site.get("/metrics", method="POST").status == 405


def test_handshakes(site, authority):
    before = metrics(site)
    context, session = authority.context(), None
    for _ in range(3):
        with authority.connect(site, port="port2", context=context, session=session) as secure:
            secure.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert secure.recv(1000)
            session = secure.session
    grows(site, before, "tls_handshakes_total", 3)
    grows(site, before, "tls_handshakes_resumed_total", 2)
    assert all(count == before[name] for name, count in metrics(site).items() if "failed" in name)


def plain(site, data):
    wire = socket.create_connection(site.address_of("port2"), TIMEOUT)
    wire.sendall(data)
    return wire


@pytest.mark.parametrize("reason", ["protocol", "closed", "timeout", "limit", "name", "offer", "alert"])
def test_failures_have_their_reason(site, authority, reason):
    before = metrics(site)
    held = []
    context = authority.context()
    name = "localhost"
    if reason == "protocol":
        held = [plain(site, b"\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff")]
    elif reason == "closed":
        plain(site, b"\x16\x03\x01").close()
    elif reason == "timeout":
        held = [plain(site, b"\x16\x03\x01")]
    elif reason == "limit":
        held = [plain(site, b"\x16\x03\x01") for _ in range(4)]
    elif reason == "name":
        name = "none"
    elif reason == "offer":
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    else:
        context = ssl.create_default_context()
    if not held and reason != "closed":
        with pytest.raises(ssl.SSLError), socket.create_connection(site.address_of("port2"), TIMEOUT) as wire:
            context.wrap_socket(wire, server_hostname=name)
    grows(site, before, failed(reason))
    for wire in held:
        wire.close()
