"""TLS 1.3 early data: requests in a client's first message, answered a round trip earlier, and only once."""

import socket
import subprocess
import threading

import pytest
from harness.backend import Answer
from harness.certs import openssl
from harness.h2 import PREFACE, headers, settings
from harness.h2 import request as frames_of
from harness.wait import TIMEOUT, until
from test_tls_clients import server


class Early:
    """openssl s_client, which first gets a session and then sends a request as early data."""

    def __init__(self, site, authority, folder, *options):
        self.common = ["-servername", "localhost", "-CAfile", authority.crt, *options]
        self.address = "%s:%d" % site.address_of("port")
        self.session, self.request = folder / "session", folder / "request"
        self.session.unlink(missing_ok=True)
        with self.client(self.address, "-sess_out", self.session) as process:
            until(self.session.exists, "a session")
            process.stdin.close()
            process.wait(TIMEOUT)

    def client(self, address, *more):
        return subprocess.Popen(["openssl", "s_client", "-connect", address, *map(str, self.common), *map(str, more)],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def send(self, request, address=None, wanted=b"\r\n\r\n"):
        """What s_client says, up to `wanted` in the answer and to the end of the connection."""
        self.request.write_bytes(request)
        with self.client(address or self.address, "-sess_in", self.session, "-early_data", self.request) as process:
            told = b""
            while wanted not in told and (piece := process.stdout.read1(65536)):
                told += piece
            process.stdin.close()
            told += process.stdout.read()
            process.wait(TIMEOUT)
        return told


def request(method="GET", path="/", fields="", body=b"", host="localhost"):
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}{length}\r\n".encode() + body


@pytest.fixture
def early_site(pelayan, localhost, backend):
    def start(location, extra="", answers=b"from the peer"):
        app = backend(answers=answers)
        site = pelayan.run(http="log_format early $ssl_early_data; access_log {dir}/logs/early early;" + server(
            localhost, f"ssl_early_data on; {extra} location / {{ {location.replace('APP', app.url)} }}"))
        site.app = app
        return site
    return start


def test_safe_requests_are_answered_early(early_site, authority, tmp_path):
    """$ssl_early_data is 1, and the peer is told."""
    site = early_site("proxy_pass APP;")
    told = Early(site, authority, tmp_path).send(request(), wanted=b"from the peer")
    assert b"Early data was accepted" in told and b"HTTP/1.1 200" in told and b"from the peer" in told
    assert site.app.requests[-1].header("Early-Data") == "1"
    until(lambda: (site.dir / "logs/early").read_text() == "1\n", "the log's line")


def test_ordinary_requests_are_not_early(early_site, authority):
    site = early_site("proxy_pass APP;")
    assert authority.get(site)[0] == 200
    assert site.app.requests[-1].header("Early-Data") is None
    until(lambda: (site.dir / "logs/early").read_text() == "-\n", "the log's line")


@pytest.mark.parametrize("location, sent, want", [
    ("proxy_set_header Early-Data $ssl_early_data; proxy_pass APP;", "", ["1"]),
    ('proxy_set_header Early-Data ""; proxy_pass APP;', "", []),
    ("proxy_pass APP;", "Early-Data: 1\r\n", ["1"])])
def test_the_peer_is_told_once(early_site, authority, tmp_path, location, sent, want):
    """What a configuration says, or a proxy before us, takes the place of our own field."""
    site = early_site(location)
    Early(site, authority, tmp_path).send(request(fields=sent), wanted=b"from the peer")
    assert [value for name, value in site.app.requests[-1].headers.pairs if name.lower() == "early-data"] == want


def test_a_peer_may_refuse(early_site, authority, tmp_path):
    """Its 425 goes to the client, who knows what to do."""
    site = early_site("proxy_pass APP;", answers=lambda it: 425 if it.header("Early-Data") else 200)
    assert b"HTTP/1.1 425" in Early(site, authority, tmp_path).send(request())
    assert authority.get(site)[0] == 200


def test_requests_that_change_something_come_too_early(early_site, authority, tmp_path):
    """425, and the same connection serves the same request when the handshake is over."""
    site = early_site("proxy_pass APP;")
    told = Early(site, authority, tmp_path).send(request("POST", body=b"pay"), wanted=b"</html>")
    assert b"Early data was accepted" in told and b"HTTP/1.1 425 Too Early" in told
    assert site.app.requests == []
    with authority.connect(site) as secure:
        secure.sendall(request("POST", fields="Connection: close\r\n", body=b"pay"))
        assert secure.recv(65536).startswith(b"HTTP/1.1 200")


def test_large_answers_to_early_requests(early_site, authority, tmp_path):
    """More than fits into the socket before the handshake has ended."""
    site = early_site("proxy_pass APP;", answers=b"x" * (3 << 20) + b"THE END")
    assert Early(site, authority, tmp_path).send(request(), wanted=b"THE END").count(b"x") >= 3 << 20


@pytest.mark.parametrize("extra", ["", "ssl_session_tickets off; ssl_session_cache shared:S:1m;"])
def test_a_replayed_first_message_is_not_accepted(early_site, authority, tmp_path, extra):
    """Who has listened sends the same bytes again: the request in them is not looked at."""
    site = early_site("proxy_pass APP;", extra)
    early = Early(site, authority, tmp_path)
    taken = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def listen():
            client, _ = listener.accept()
            with client, socket.create_connection(site.address_of("port"), TIMEOUT) as up:
                taken.append(client.recv(65536))
                while b"\x17\x03\x03" not in taken[0]:
                    taken[0] += client.recv(65536)
                up.sendall(taken[0])
                back = threading.Thread(target=pump, args=(up, client))
                back.start()
                pump(client, up)
                back.join(TIMEOUT)

        thread = threading.Thread(target=listen)
        thread.start()
        told = early.send(request(), "127.0.0.1:%d" % listener.getsockname()[1], wanted=b"from the peer")
        thread.join(TIMEOUT)
    assert b"Early data was accepted" in told
    assert len(site.app.requests) == 1
    with socket.create_connection(site.address_of("port"), TIMEOUT) as again:
        again.sendall(taken[0])
        assert again.recv(65536).startswith(b"\x16\x03\x03")  # a handshake that goes its long way
        again.shutdown(socket.SHUT_WR)
        while again.recv(65536):
            pass
    assert len(site.app.requests) == 1


def pump(source, target):
    while piece := source.recv(65536):
        target.sendall(piece)
    target.shutdown(socket.SHUT_WR)


def test_off_by_default(pelayan, authority, localhost, tmp_path):
    """A session does not even invite to it."""
    site = pelayan.run(http=server(localhost, "return 200 ok;"))
    early = Early(site, authority, tmp_path)
    told = openssl("sess_id", "-in", early.session, "-noout", "-text").stdout
    assert "Max Early Data: 0" in told


def test_names_differ(pelayan, authority, localhost, tmp_path):
    """Of two names on a port, only one accepts early data."""
    other = authority.issue("other.test")
    site = pelayan.run(http=server(localhost, "return 200 ok;") + server(
        other, "ssl_early_data on; return 200 ok$ssl_early_data;", "other.test"))
    told = Early(site, authority, tmp_path, "-servername", "other.test").send(
        request(host="other.test"), wanted=b"ok1")
    assert b"Early data was accepted" in told
    assert "Max Early Data: 0" in openssl("sess_id", "-noout", "-text", "-in",
                                          Early(site, authority, tmp_path).session).stdout


@pytest.mark.parametrize("method, status, body", [("GET", "200", b"my answer"), ("POST", "425", b"</html>")])
def test_http2(pelayan, authority, localhost, backend, tmp_path, method, status, body):
    """The preface, settings and a request come in the first message; the log tells what came of it."""
    app = backend(answers=Answer(200, b"my answer"))
    site = pelayan.run(http="log_format x $status; access_log {dir}/logs/x x; http2 on;"
                       + server(localhost, f"ssl_early_data on; location / {{ proxy_pass {app.url}; }}"))
    block = frames_of(method, "/", scheme="https")
    told = Early(site, authority, tmp_path, "-alpn", "h2").send(PREFACE + settings() + headers(1, block),
                                                                wanted=body)
    assert b"Early data was accepted" in told
    until(lambda: (site.dir / "logs/x").read_text() == f"{status}\n", "the log's line")
    assert [it.header("Early-Data") for it in app.requests] == (["1"] if status == "200" else [])
