"""Handshakes that are expensive: their keys work in threads; an address may not have too many at once."""

import os
import socket
import ssl
import subprocess

import pytest
from harness.certs import exchange
from harness.wait import TIMEOUT, until
from test_tls_clients import pair, server


def threads(site):
    return len(os.listdir(f"/proc/{site.workers()[0]}/task"))


@pytest.fixture(scope="module")
def rsa(authority):
    return authority.issue("rsa", "localhost", kind="rsa")


@pytest.mark.parametrize("version, ciphers", [
    ("TLSv1_3", None), ("TLSv1_2", "ECDHE-RSA-AES128-GCM-SHA256"), ("TLSv1_2", "AES128-GCM-SHA256"),
    ("TLSv1_2", "DHE-RSA-AES128-GCM-SHA256")])
def test_expensive_keys_work_in_threads(pelayan, authority, rsa, version, ciphers):
    """Signing and (without forward secrecy) decrypting; a session that is resumed needs neither."""
    site = pelayan.run(main="worker_processes 1;", http=server(rsa, "return 200 $ssl_session_reused;"))
    before = threads(site)
    context = authority.context(maximum_version=getattr(ssl.TLSVersion, version))
    if ciphers:
        context.set_ciphers(ciphers)
    session = None
    for want in (b".", b"r", b"r"):
        with authority.connect(site, context=context, session=session) as secure:
            assert exchange(secure)[2] == want
            session = secure.session
    assert threads(site) == before + 1


def test_cheap_keys_do_not(pelayan, authority, localhost):
    site = pelayan.run(main="worker_processes 1;", http=server(localhost, "return 200 ok;"))
    before = threads(site)
    for _ in range(3):
        assert authority.get(site)[2] == b"ok"
    assert threads(site) == before


def test_both_kinds(pelayan, authority, localhost, rsa):
    site = pelayan.run(http=server(localhost, pair(rsa) + "http2 on; return 200 ok;"))
    for kind in ("ECDSA+SHA256", "rsa_pss_rsae_sha256"):
        told = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{site.port}", "-servername",
                               "localhost", "-alpn", "h2", "-sigalgs", kind], input=b"", capture_output=True,
                              timeout=TIMEOUT, check=False).stdout
        assert b"ALPN protocol: h2" in told


def hello(authority):
    """A client's first message."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = authority.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        secure.do_handshake()
    return outgoing.read()


def test_clients_that_leave_while_the_key_works(pelayan, authority, rsa):
    """Politely or not, at once or when the answer comes: everybody else is served."""
    site = pelayan.run(main="worker_processes 2;", http=server(rsa, "return 200 ok;"))
    first = hello(authority)
    for i in range(120):
        with socket.create_connection(site.address_of("port"), TIMEOUT) as client:
            if i % 3 == 0:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            client.sendall(first)
            if i % 5 == 0:
                client.recv(1)
        if i % 20 == 0:
            assert authority.get(site)[2] == b"ok"
    assert authority.get(site)[2] == b"ok"


def test_a_stop_does_not_wait_for_handshakes(pelayan, authority, rsa):
    site = pelayan.run(http=server(rsa, "return 200 ok;"))
    first = hello(authority)
    clients = [socket.create_connection(site.address_of("port"), TIMEOUT) for _ in range(20)]
    for client in clients:
        client.sendall(first)
    site.stop()
    for client in clients:
        client.close()


def test_handshakes_of_one_address_are_limited(pelayan, authority, localhost):
    """The one too many is closed at once; who ends makes room; who is through does not count."""
    site = pelayan.run(main="worker_processes 1;", http=server(localhost, "ssl_handshake_limit 3; return 200 ok;"))
    with authority.connect(site) as through:
        slow = [socket.create_connection(site.address_of("port"), TIMEOUT) for _ in range(3)]
        for client in slow:
            client.sendall(hello(authority)[:7])

        def refused():
            with socket.create_connection(site.address_of("port"), TIMEOUT) as client:
                client.sendall(b"\x16")
                client.settimeout(0.2)
                try:
                    return client.recv(1) == b""
                except ConnectionResetError:
                    return True
                except TimeoutError:
                    return False

        until(refused, "the refusal")
        site.wait_for_log("more than 3 TLS handshakes at once: the connection is closed, client: 127.0.0.1")
        slow.pop().close()

        def served():
            try:
                return authority.get(site)[2] == b"ok"
            except OSError:
                return False

        until(served, "a handshake when there is room")
        assert exchange(through)[0] == 200
    for client in slow:
        client.close()
