"""HTTP/2 to a backend that somebody else wrote: nghttp2's server, in clear text and over TLS."""

import os
import re
import subprocess

import pytest
from harness import h2
from harness.wait import TIMEOUT

BIG = os.urandom(3 << 20)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "html").mkdir()
    (tmp_path / "html/small").write_text("some text")
    (tmp_path / "html/big").write_bytes(BIG)
    return tmp_path / "html"


def proxied(pelayan, app, location="", scheme="http"):
    return pelayan.run(main="worker_processes 1;", http=f"""http2 on; client_max_body_size 10m;
        server {{ location / {{ proxy_pass {scheme}://127.0.0.1:{app.port}; proxy_http_version 2; {location} }} }}""")


@pytest.fixture(params=["http", "https"])
def site(pelayan, nghttpd, folder, authority, localhost, request):
    """As it is asked in the clear, and over TLS, where ALPN chooses HTTP/2."""
    crt, key = localhost
    more = {"key": key, "crt": crt} if request.param == "https" else {}
    verify = f"""proxy_ssl_trusted_certificate {authority.crt}; proxy_ssl_verify on; proxy_ssl_name localhost;"""
    return proxied(pelayan, nghttpd(folder, **more), verify, request.param)


def test_files(site):
    assert site.get("/small").text == "some text"
    assert site.get("/big").body == BIG
    assert site.get("/none").status == 404
    assert site.get("/small", method="HEAD").header("content-length") == "9"


@pytest.mark.parametrize("size", [0, 9, 70000, len(BIG)])
def test_what_is_uploaded_comes_back(site, size):
    answer = site.get("/echo", method="POST", body=BIG[:size])
    assert answer.status == 200 and answer.body == BIG[:size]


@pytest.mark.parametrize("words", [[], ["--no-content-length"]])
def test_trailers(pelayan, nghttpd, folder, words):
    """To a client of HTTP/2 always, to one of HTTP/1.1 where the length of the body is not known before."""
    site = proxied(pelayan, nghttpd(folder, "--trailer", "x-sum: 42", *words), "proxy_pass_trailers on;")
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.get("/small") + h2.field("te", "trailers")))
    assert wire.response(1).body == b"some text"
    last = [f for f in wire.log if f[2] == 1][-1]
    assert last[0] == h2.HEADERS and last[1] & h2.END_STREAM
    answer = site.get("/small", headers={"TE": "trailers"})
    assert answer.text == "some text" and answer.trailers.get("x-sum") == ("42" if words else None)


@pytest.mark.parametrize("words", [["--padding", "200"], ["--window-bits", "10", "--connection-window-bits", "11"],
                                   ["--header-table-size", "0"], ["--no-content-length"], ["--no-rfc7540-pri"]])
def test_its_ways_of_speaking(pelayan, nghttpd, folder, words):
    """Padding, windows of a kilobyte, no table for HPACK, bodies of unknown length."""
    site = proxied(pelayan, nghttpd(folder, *words))
    assert site.get("/big").body == BIG
    assert site.get("/echo", method="POST", body=BIG[:300000]).body == BIG[:300000]


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_an_answer_before_the_request_has_ended(pelayan, nghttpd, folder, buffering):
    """It answers when it has seen the head, and takes the body all the same."""
    site = proxied(pelayan, nghttpd(folder, "--early-response"), f"proxy_request_buffering {buffering};")
    for _ in range(3):
        assert site.get("/small", method="POST", body=BIG).status == 200
    assert site.get("/small").text == "some text"


@pytest.mark.parametrize("streams", [100, 7])
def test_a_hundred_at_once(pelayan, nghttpd, folder, streams):
    """From streams to streams; also when one connection to it takes seven only."""
    site = proxied(pelayan, nghttpd(folder, "-m", str(streams)))
    out = subprocess.run(["h2load", "-n", "2000", "-c", "4", "-m", "25", site.url + "/small"], capture_output=True,
                         text=True, timeout=TIMEOUT, check=True).stdout
    assert re.search(r"2000 succeeded, 0 failed, 0 errored", out), out
    assert site.get("/big").body == BIG


def test_many_large_ones_at_once(pelayan, nghttpd, folder):
    site = proxied(pelayan, nghttpd(folder))
    later = [site.get_later("/big") for _ in range(8)]
    assert all(it.result().body == BIG for it in later)


def test_it_is_killed_and_comes_back(pelayan, nghttpd, folder):
    """Kept connections are gone: nobody who asks afterwards hears of it."""
    app = nghttpd(folder)
    site = proxied(pelayan, app)
    assert site.get("/small").status == 200
    app.stop()
    app.start()
    assert site.get("/small").status == 200
    app.stop()
    assert site.get("/small").status == 502


def test_a_client_that_resets_while_bytes_come(pelayan, nghttpd, folder):
    """The stream to the peer is given up, its connection goes on."""
    site = proxied(pelayan, nghttpd(folder))
    wire = h2.Wire(site)
    for stream in range(1, 21, 2):
        wire.send(h2.headers(stream, h2.get("/big")))
        wire.until(lambda stream=stream: wire.answers.get(stream, h2.Answer()).body)
        wire.send(h2.reset(stream), h2.window(0, 65535))
    assert wire.is_alive()
    assert site.get("/big").body == BIG
