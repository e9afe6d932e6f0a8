"""Directives of the core and of proxying that few configurations have."""

import base64
import socket
import struct
import time

import pytest
from harness.backend import Answer

WRONG = {"Authorization": "Basic " + base64.b64encode(b"anna:wrong").decode()}
RIGHT = {"Authorization": "Basic " + base64.b64encode(b"anna:secret").decode()}


def with_password(site):
    site.file("htpasswd", "anna:{PLAIN}secret\n")


@pytest.mark.parametrize("satisfy", ["all", "any"])
def test_auth_delay_makes_guessing_slow(pelayan, satisfy):
    """401 comes late; whom it is not about, on the same loop, and the right password do not wait."""
    site = pelayan.run(
        prepare=with_password,
        main="worker_processes 1;",
        http=f"""server {{ satisfy {satisfy}; auth_delay 400ms; auth_basic x;
            auth_basic_user_file {{dir}}/htpasswd; deny 127.0.0.2;
            location / {{ return 200 never; }} location /secret {{ stub_status; }}
            location /open {{ auth_basic off; stub_status; }} }}""",
    )
    begin = time.monotonic()
    refused = site.get_later("/secret", headers=WRONG)
    assert site.get("/open").status == 200
    assert site.get("/secret", headers=RIGHT).status == 200
    answer = refused.result()
    assert answer.status == 401
    assert answer.header("WWW-Authenticate") == 'Basic realm="x"'
    assert time.monotonic() - begin >= 0.4
    site.wait_for_log("password mismatch")
    assert site.error_log().count("password mismatch") == 1


def test_auth_delay_is_over_before_an_error_page_is_asked_for(pelayan):
    site = pelayan.run(
        prepare=with_password,
        http="""server { auth_basic x; auth_basic_user_file {dir}/htpasswd; auth_delay 50ms;
            location / { stub_status; error_page 401 = /sorry; }
            location /sorry { auth_basic off; return 418 sorry; } }""",
    )
    assert site.get("/").text == "sorry"


def test_a_client_that_leaves_while_auth_delay_holds_it(pelayan):
    site = pelayan.run(
        prepare=with_password,
        http="""server { auth_basic x; auth_basic_user_file {dir}/htpasswd; auth_delay 1h;
            location / { stub_status; } location /open { auth_basic off; stub_status; } }""",
    )
    client = site.connect()
    client.request("/", headers=WRONG)
    site.wait_for_log("password mismatch")
    client.close()
    assert '" 499 ' in site.access_log(lines=1)


@pytest.mark.parametrize("values, passed", [("$arg_x 1", True), ('0 ""', False), ("$arg_x", False)])
def test_early_hints_says_who_gets_103(pelayan, backend, values, passed):
    app = backend(answers=Answer(interim=[(103, {"Link": "</a.css>; rel=preload"})]))
    site = pelayan.run(
        http=f"""server {{ location / {{ early_hints {values}; proxy_pass {app.url}; }}
            location /always {{ proxy_pass {app.url}; }} }}"""
    )
    assert [i.status for i in site.get("/").interim] == ([103] if passed else [])
    assert [i.status for i in site.get("/?x=1").interim] == ([103] if "1" in values or "$" in values else [])
    assert [i.status for i in site.get("/always").interim] == [103]


@pytest.mark.parametrize("conf, small", [("", False), ("proxy_socket_rcvbuf 4k;", True)])
def test_proxy_socket_rcvbuf_is_what_the_backend_may_send_ahead(pelayan, raw_backend, conf, small):
    windows = []

    def talk(wire):
        wire.read_until(b"\r\n\r\n")
        info = wire.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
        windows.append(struct.unpack_from("I", info, 228)[0])  # tcpi_snd_wnd
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    app = raw_backend(talk)
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; {conf} }} }}")
    assert site.get("/").text == "ok"
    assert (windows[0] <= 8192) == small, windows


def test_rows_that_have_nothing_to_tune_are_accepted(pelayan):
    result = pelayan.check(
        http="""open_file_cache_events on; subrequest_output_buffer_size 8k;
            server { location / { proxy_socket_rcvbuf 64k; proxy_socket_sndbuf 64k; } }"""
    )
    assert result.returncode == 0, result.stderr
    assert "successful" in result.stderr
