"""HTTPS to backends: the program is its own backend, on a second port."""

import os

import pytest
from harness.certs import Authority


def conf(authority, files, location, back="", extra=""):
    crt, key = files
    return f"""
        server {{ listen 127.0.0.1:{{port}}; {extra} location / {{ proxy_pass https://localhost:{{port2}};
            proxy_ssl_trusted_certificate {authority.crt}; {location} }} }}
        server {{ listen 127.0.0.1:{{port2}} ssl; ssl_certificate {crt}; ssl_certificate_key {key};
            root {{dir}}/html; {back}
            location /facts {{ return 200 "$ssl_protocol|$ssl_server_name|$ssl_session_reused|$ssl_client_s_dn|$connection_requests"; }} }}"""


def test_requests_over_kept_connections(pelayan, authority, localhost):
    """One handshake serves many requests; tickets that come meanwhile do not end a connection."""
    site = pelayan.run(main="worker_processes 1;", http=conf(authority, localhost, ""))
    with site.connect() as client:
        answers = [client.get("/facts").text.split("|") for _ in range(3)]
    assert [answer[4] for answer in answers] == ["1", "2", "3"]
    assert answers[0][:4] == ["TLSv1.3", "", ".", ""]


@pytest.mark.parametrize("size", [0, 100, 70000, 3 << 20])
def test_bodies_in_both_directions(pelayan, authority, localhost, size):
    """Answers arrive whole, and so do requests, from memory and from a file."""
    data = os.urandom(size)
    site = pelayan.run(lambda it: it.file("html/x", data), http="client_max_body_size 10m;" + conf(
        authority, localhost, "", back="location /put { proxy_pass https://localhost:{port2}/len; } "
        "location /len { client_body_buffer_size 8k; proxy_pass http://127.0.0.1:{port3}; }",
        extra="") + """server { listen 127.0.0.1:{port3}; location / { proxy_pass http://127.0.0.1:{port3}/end; }
            location /end { return 200 $content_length; } }""")
    assert site.get("/x").body == data
    assert site.get("/put", method="POST", body=data).text == str(size or "0")


@pytest.mark.parametrize("name, location, want", [
    ("localhost", "", 200), ("localhost", "proxy_ssl_name other.test;", 502),
    ("other.test", "", 502), ("other.test", "proxy_ssl_name other.test;", 200),
    ("other.test", "proxy_ssl_name $arg_name;", 200)])
def test_verification(pelayan, authority, name, location, want):
    """proxy_ssl_verify: the certificate must be for the name of the URL or of proxy_ssl_name."""
    files = authority.issue(f"back-{name}", name)
    site = pelayan.run(http=conf(authority, files, "proxy_ssl_verify on; " + location))
    assert site.get("/facts?name=other.test").status == want
    if want == 502:
        site.wait_for_log("certificate verify error: hostname mismatch.*SSL handshaking to upstream")


def test_foreign_authority_is_refused(pelayan, authority, tmp_path):
    foreign = Authority(tmp_path, "foreign").issue("localhost")
    site = pelayan.run(http=conf(authority, foreign, "proxy_ssl_verify on;"))
    assert site.get("/facts").status == 502
    site.wait_for_log("certificate verify error: unable to get local issuer")


def test_name_by_sni(pelayan, authority, localhost):
    site = pelayan.run(http=conf(authority, localhost, "proxy_ssl_server_name on; proxy_ssl_name a.test;"))
    assert site.get("/facts").text.split("|")[1] == "a.test"


@pytest.mark.parametrize("reuse, want", [("on", "r"), ("off", ".")])
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_sessions_are_resumed(pelayan, authority, localhost, reuse, want, version):
    site = pelayan.run(main="worker_processes 1;", http=conf(
        authority, localhost, f"proxy_ssl_session_reuse {reuse}; proxy_ssl_protocols {version}; "
        "proxy_set_header Connection close;"))
    first, *others = [site.get("/facts").text.split("|") for _ in range(3)]
    assert first[:3] == [version, "", "."]
    assert [other[2] for other in others] == [want] * 2


def test_client_certificate(pelayan, authority, localhost):
    crt, key = authority.issue("front")
    site = pelayan.run(http=conf(
        authority, localhost, f"proxy_ssl_certificate {crt}; proxy_ssl_certificate_key {key};",
        back=f"ssl_verify_client on; ssl_client_certificate {authority.crt};"))
    assert site.get("/facts").text.split("|")[3] == "CN=front"


def test_scheme_from_a_variable(pelayan, authority, localhost):
    site = pelayan.run(http=conf(authority, localhost, "") + """
        server { listen 127.0.0.1:{port3}; location / { set $s https; proxy_pass $s://127.0.0.1:{port2}; } }""")
    assert site.get("/facts", port="port3").text.startswith("TLSv1.3")


def test_plain_peer_is_an_error_and_the_next_is_asked(pelayan, authority, localhost):
    """A peer that does not speak TLS fails its handshake; the answer comes from the other one."""
    site = pelayan.run(http="upstream both { server 127.0.0.1:{port3}; server 127.0.0.1:{port2} backup; }"
                       + conf(authority, localhost, "").replace("https://localhost:{port2}", "https://both")
                       + "server { listen 127.0.0.1:{port3}; return 200 plain; }")
    assert site.get("/facts").status == 200
    site.wait_for_log("trying the next peer: SSL_do_handshake.. failed")


@pytest.mark.parametrize("location, words", [
    ("proxy_ssl_ciphers NOSUCH;", "ciphers"), ("proxy_ssl_certificate {dir}/none.crt; proxy_ssl_certificate_key x;", "No such file"),
    ("proxy_ssl_trusted_certificate {dir}/nginx.conf;", "trusted certificates")])
def test_bad_settings_are_errors(pelayan, authority, localhost, location, words):
    text = conf(authority, localhost, "").replace(f"proxy_ssl_trusted_certificate {authority.crt};", location)
    result = pelayan.check(http=text)
    assert result.returncode != 0 and words in result.stderr
