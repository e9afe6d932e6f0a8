"""Which server a request gets: addresses, names, defaults; and what a listener is told."""

import re
import socket

import pytest


def test_names(pelayan):
    names = ["a.test", "*.a.test", ".b.test", "www.*", "~^(?<who>\\w+)\\.re\\.test$", "*.x.a.test", "mail.*", '""']
    site = pelayan.run(
        http="server { listen {port} default_server; server_name _; return 200 default; }"
        + "".join(f"server {{ listen {{port}}; server_name {n}; return 200 '{i}:$server_name:$who'; }}" for i, n in enumerate(names))
    )

    def chosen(host):
        return site.get("/", host=host).text.split(":")[0]

    assert chosen("a.test") == "0" and chosen("A.TEST:99") == "0" and chosen("a.test.") == "0"
    assert chosen("q.a.test") == "1" and chosen("p.q.a.test") == "1" and chosen("p.x.a.test") == "5"
    assert chosen("b.test") == "2" and chosen("p.q.b.test") == "2" and chosen("xb.test") == "default"
    assert chosen("www.a.test") == "1"  # the wildcard in front is longer than the one behind
    assert chosen("www.else") == "3" and chosen("www.else.com") == "3" and chosen("mail.x.y") == "6"
    assert site.get("/", host="me.re.test").text.endswith(":me")
    assert chosen("nobody") == "default"
    assert site.get("/", host="", version="HTTP/1.0").text.startswith("7:")


def test_defaults_and_conflicts(pelayan):
    http = """server { server_name one.test; return 200 one; }
        server { listen 127.0.0.1:{port} default_server; server_name two.test; return 200 two; }
        server { server_name two.test three.test; return 200 three; }"""
    site = pelayan.run(http=http)
    assert site.get("/", host="x").text == "two"
    assert site.get("/", host="two.test").text == "two"
    assert site.get("/", host="three.test").text == "three"
    warning = pelayan.check(http=http)
    assert warning.returncode == 0
    assert re.search(r'conflicting server name "two.test" on 127.0.0.1:\d+, ignored', warning.stderr)


def test_a_wildcard_beside_an_address(pelayan):
    site = pelayan.run(
        http="""server { listen {port}; return 200 any; }
            server { listen 127.0.0.1:{port}; return 200 v4; }
            server { listen 127.0.0.1:{port}; server_name named.test; return 200 named; }
            server { listen 127.0.0.2:{port}; return 200 second; }
            server { listen 127.0.0.3:{port}; return 200 own; }"""
    )

    def at(address, host="x"):
        client = site.connect()
        client.close()
        client.socket = socket.create_connection((address, site.port))
        with client:
            return client.get("/", host=host).text

    assert at("127.0.0.1") == "v4" and at("127.0.0.1", "named.test") == "named"
    assert at("127.0.0.2") == "second" and at("127.0.0.3") == "own" and at("127.0.0.4") == "any"


def test_one_server_on_many_addresses(pelayan):
    site = pelayan.run(
        http="""server { listen 127.0.0.1:{port}; listen [::1]:{port2}; listen unix:{dir}/tmp/sock;
            return 200 "$server_addr $server_port"; }"""
    )
    assert site.get("/").text == f"127.0.0.1 {site.port}"
    assert site.get("/", port="port2").text == f"::1 {site.port2}"
    assert site.get("/", port=str(site.dir / "tmp/sock")).text.startswith("unix:")


def test_options_of_sockets(pelayan):
    site = pelayan.run(
        http="""server { listen 127.0.0.1:{port} reuseport backlog=7 deferred fastopen=5
                rcvbuf=64k sndbuf=64k so_keepalive=10m::5;
            listen [::]:{port2} ipv6only=off so_keepalive=on default_server; return 200 "$remote_addr"; }"""
    )
    assert [site.get("/").status for _ in range(20)] == [200] * 20
    with socket.create_connection(("127.0.0.1", site.port2)) as v4:
        v4.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert v4.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_every_address_of_a_name(pelayan):
    addresses = {info[4][0] for info in socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)}
    site = pelayan.run(http="server { listen localhost:{port}; return 200 here; }", wait_for=())
    for address in addresses:
        site.wait_for_log("start worker process")
        client = site.connect() if address == "127.0.0.1" else None
        if client is not None:
            assert client.get("/").text == "here"
    text = pelayan.check(http="server { listen localhost:8000; listen 127.0.0.1:8000; }").stderr
    assert "a duplicate listen" in text or "127.0.0.1" not in addresses


def test_ranges_of_ports(pelayan):
    from harness.ports import Port

    first = Port()
    try:
        number = first.number
        site = pelayan.run(http=f"server {{ listen {{port}}; listen 127.0.0.9:{number}-{number}; return 200 $server_port; }}")
        with socket.create_connection(("127.0.0.9", number)) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.recv(1000).endswith(str(number).encode())
        assert site.get("/").text == str(site.port)
    finally:
        first.release()


def test_the_proxy_protocol(pelayan):
    site = pelayan.run(
        http="""server { listen 127.0.0.1:{port} proxy_protocol;
            return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port"; }""",
        wait_for=(),
    )
    site.wait_for_log("start worker process")
    get = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    line = b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n"
    assert site.raw(line + get).endswith(b"192.0.2.1 1234 443")
    two = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 7, 192, 0, 2, 8]) + b"\x00\x63\x01\xbb"
    assert site.raw(two + get).endswith(b"192.0.2.7 99 443")
    assert site.raw(get) == b"" and site.raw(b"PROXY nonsense\r\n" + get) == b""
    with site.connect() as client:
        for at in range(len(line)):
            client.send(line[at : at + 1])
        assert client.get("/").text == "192.0.2.1 1234 443"
    site.wait_for_log("broken PROXY header")


def test_slashes_and_dots(pelayan):
    site = pelayan.run(
        http="""server { location / { return 200 "$uri"; } location = /%41%20b { return 200 odd; } }
            server { listen 127.0.0.1:{port2}; merge_slashes off; location / { return 200 "$uri"; } }"""
    )

    def uri(path, port="port"):
        return site.get(path, port=port).text

    assert uri("//a///b//") == "/a/b/" and uri("//a///b//", "port2") == "//a///b//"
    assert uri("/a/./b/../c/%2e%2E/d") == "/a/d" and uri("/a/b/..") == "/a/"
    assert uri("/%41%42?x=%41") == "/AB" and uri("/a%2fb") == "/a/b" and uri("/a%2F%2Fb") == "/a/b"
    assert uri("/a%2F%2Fb", "port2") == "/a//b" and uri("/a+b") == "/a+b" and uri("/a#b") == "/a"
    assert site.get("/a/../..").status == 400


def test_internal(pelayan):
    site = pelayan.run(
        http="""server { location /in { internal; return 200 in; location /in/side { return 200 side; } }
            location /go { rewrite ^ /in last; } location /error { error_page 404 /in; return 404; } }"""
    )
    assert site.get("/in").status == 404 and site.get("/in/side").status == 404
    assert site.get("/go").text == "in" and site.get("/error").text == "in"
