"""HTTP/2 to backends: the program is its own backend, on a second port; and Node's http2."""

import os

import pytest

BACK = """server {{ listen 127.0.0.1:{{port2}} http2{tls}; root {{dir}}/html; client_max_body_size 100m; {back}
    location /facts {{ return 200 "$server_protocol $connection $connection_requests $request_method $host"; }}
    location /len {{ proxy_pass http://127.0.0.1:{{port3}}; }} }}
    server {{ listen 127.0.0.1:{{port3}}; client_max_body_size 100m; location / {{ proxy_pass http://127.0.0.1:{{port3}}/end; }}
    location /end {{ return 200 $content_length; }} }}"""


def conf(location="", back="", tls="", scheme="http", front=""):
    return f"""client_max_body_size 100m; upstream back {{ server localhost:{{port2}}; {front} }}
        server {{ listen 127.0.0.1:{{port}}; listen 127.0.0.1:{{port4}} http2; location / {{ proxy_pass {scheme}://back; proxy_http_version 2;
            {location} }} }}""" + BACK.format(back=back, tls=tls)


def run(pelayan, data=b"", **more):
    return pelayan.run(lambda it: it.file("html/x", data), main="worker_processes 1;", http=conf(**more))


def test_requests_share_a_connection(pelayan):
    site = run(pelayan)
    answers = [site.get("/facts").text.split() for _ in range(3)]
    assert [answer[0] for answer in answers] == ["HTTP/2.0"] * 3
    assert [answer[2] for answer in answers] == ["1", "2", "3"]
    assert len({answer[1] for answer in answers}) == 1
    assert answers[0][3:] == ["GET", "back"]


@pytest.mark.parametrize("size", [0, 100, 70000, 3 << 20])
def test_bodies_in_both_directions(pelayan, size):
    data = os.urandom(size)
    site = run(pelayan, data)
    assert site.get("/x").body == data
    assert site.get("/len", method="POST", body=data).text == str(size or "0")


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_a_body_of_unknown_length(pelayan, buffering):
    site = run(pelayan, location=f"proxy_request_buffering {buffering};")
    assert site.get("/len", method="POST", body=[b"a" * 1000, b"b" * 100000]).text == "101000"
