"""Header fields on their way to the peer and back."""

import pytest
from harness.backend import Answer


def run(pelayan, app, conf="", outer=""):
    return pelayan.run(
        http=f"{outer} server {{ location / {{ proxy_pass {app.url}; {conf} }} }}"
    )


def test_defaults_to_the_peer(pelayan, backend):
    """Host is the peer's; nothing of the client's connection is passed on, all else is."""
    app = backend()
    site = run(pelayan, app)
    site.get(
        "/",
        host="public.test",
        headers={"Connection": "close, X-Mine", "X-Mine": "1", "Keep-Alive": "timeout=5",
                 "TE": "trailers", "Proxy-Connection": "x", "X-Kept": "2", "Cookie": "a=b"},
    )
    seen = app.requests[0]
    assert seen.version == "HTTP/1.1"
    assert seen.header("host") == app.address
    assert seen.header("x-kept") == "2" and seen.header("cookie") == "a=b"
    for name in ("connection", "x-mine", "keep-alive", "te", "proxy-connection", "content-length"):
        assert name not in seen.headers, name


def test_set_header(pelayan, backend):
    """Replaces the client's field, adds, drops by an empty value; lists are inherited whole or not at all."""
    app = backend()
    site = pelayan.run(
        http=f"""proxy_set_header X-Outer outer; proxy_set_header Host $host:$server_port;
            server {{ location / {{ proxy_pass {app.url}; }}
            location /own {{ proxy_pass {app.url}; proxy_set_header X-Own "$request_method own";
                proxy_set_header Accept-Encoding ""; proxy_set_header X-Empty $arg_none;
                proxy_set_header User-Agent mine; }} }}"""
    )
    headers = {"X-Own": "client", "Accept-Encoding": "gzip", "X-Empty": "client", "User-Agent": "u"}
    site.get("/", host="h.test", headers=headers)
    site.get("/own", host="h.test", headers=headers)
    first, second = app.requests
    assert first.header("host") == f"h.test:{site.port}" and first.header("x-outer") == "outer"
    assert first.header("x-own") == "client"
    assert second.header("host") == app.address and "x-outer" not in second.headers
    assert second.headers.all("X-Own") == ["GET own"]
    assert second.headers.all("User-Agent") == ["mine"]
    assert "accept-encoding" not in second.headers and "x-empty" not in second.headers


def test_forwarded_for_and_via(pelayan, backend):
    app = backend()
    site = run(
        pelayan, app,
        """proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
           proxy_set_header X-Peer $proxy_host|$proxy_port; proxy_set_header Via $proxy_add_via;""",
    )
    site.get("/")
    site.get("/", headers=[("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "2.2.2.2"),
                           ("Via", "1.0 fred")])
    first, second = app.requests
    assert first.header("x-forwarded-for") == "127.0.0.1"
    assert second.header("x-forwarded-for") == "1.1.1.1, 2.2.2.2, 127.0.0.1"
    assert first.header("x-peer") == f"{app.address}|{app.port}"
    assert first.header("via") == "1.1 pelayan" and second.header("via") == "1.0 fred, 1.1 pelayan"


def test_a_value_cannot_begin_another_field(pelayan, backend):
    app = backend()
    site = pelayan.run(
        http=f"""server {{ location ~ ^/(?<part>[^?]*)$ {{ proxy_pass {app.url};
            proxy_set_header X-Part $part; }} }}"""
    )
    site.get("/a%0d%0aX-Evil:%201")
    assert "x-evil" not in app.requests[0].headers
    assert app.requests[0].target == "/a%0d%0aX-Evil:%201"


def test_method_body_and_switches(pelayan, backend):
    app = backend(answers=lambda request: (200, request.method))
    site = pelayan.run(
        http=f"""server {{
            location /method {{ proxy_pass {app.url}; proxy_method $arg_m; }}
            location /body {{ proxy_pass {app.url}; proxy_set_body "uri=$uri"; }}
            location /nobody {{ proxy_pass {app.url}; proxy_pass_request_body off; }}
            location /nohead {{ proxy_pass {app.url}; proxy_pass_request_headers off; }}
            location /old {{ proxy_pass {app.url}; proxy_http_version 1.0; }} }}"""
    )
    assert site.get("/method?m=PUT").text == "PUT"
    site.get("/body", method="POST", body="client's")
    site.get("/nobody", method="POST", body="client's")
    site.get("/nohead", headers={"X-A": "1"})
    site.get("/old", method="POST", body=[b"pieces", b" joined"])
    _, body, nobody, nohead, old = app.requests
    assert body.body == b"uri=/body" and body.header("content-length") == "9"
    assert nobody.body == b"" and "content-length" not in nobody.headers
    assert "x-a" not in nohead.headers and "host" in nohead.headers
    assert old.version == "HTTP/1.0" and old.body == b"pieces joined" and not old.chunked


def test_lengths_as_they_came(pelayan, backend):
    app = backend()
    site = run(pelayan, app)
    site.get("/", method="POST", body="")
    site.get("/", method="DELETE")
    assert app.requests[0].header("content-length") == "0"
    assert "content-length" not in app.requests[1].headers


# ---- answers


def test_hidden_and_passed(pelayan, backend):
    """Date, Server and X-Accel-* are ours; hide and pass change that; hop-by-hop fields never pass."""
    fields = {"Server": "theirs", "X-Powered-By": "php", "X-Own": "1", "X-Pad": "p",
              "X-Accel-Expires": "5", "Connection": "close, X-Hop", "X-Hop": "h",
              "Keep-Alive": "timeout=3", "Trailer": "X-T"}
    app = backend(answers=Answer(headers=fields))
    site = pelayan.run(
        http=f"""server {{ location / {{ proxy_pass {app.url}; }}
            location /x {{ proxy_pass {app.url}; proxy_hide_header X-Powered-By;
                proxy_hide_header x-own; proxy_pass_header Server; proxy_pass_header X-Accel-Expires; }}
            }}"""
    )
    plain, changed = site.get("/"), site.get("/x")
    assert plain.header("server").startswith("pelayan") and plain.header("x-powered-by") == "php"
    for name in ("x-pad", "x-accel-expires", "x-hop", "trailer"):
        assert name not in plain.headers, name
    assert changed.headers.all("Server") == ["theirs"] and changed.header("x-accel-expires") == "5"
    assert "x-powered-by" not in changed.headers and "x-own" not in changed.headers


def test_order_and_repetition_are_kept(pelayan, backend):
    fields = [("Set-Cookie", "a=1"), ("X-A", "1"), ("Set-Cookie", "b=2"), ("X-A", "2")]
    app = backend(answers=Answer(headers=fields, status=207, reason="Many Of Them"))
    answer = run(pelayan, app).get("/")
    assert answer.headers.all("Set-Cookie") == ["a=1", "b=2"]
    assert answer.headers.all("X-A") == ["1", "2"]
    assert (answer.status, answer.reason) == (207, "Many Of Them")


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_body(pelayan, backend, status):
    app = backend(answers=Answer(status=status, headers={"ETag": '"x"'}))
    with run(pelayan, app).connect() as client:
        for _ in range(2):
            answer = client.get("/")
            assert (answer.status, answer.body, answer.header("etag")) == (status, b"", '"x"')
    assert app.connections == 1


def test_head(pelayan, backend):
    app = backend(answers=Answer(body=b"x" * 1000))
    with run(pelayan, app).connect() as client:
        answer = client.get("/", method="HEAD")
        assert answer.header("content-length") == "1000" and answer.body == b""
        assert client.get("/").body == b"x" * 1000
    assert app.connections == 1 and app.requests[0].method == "HEAD"


def test_interim_answers_are_passed_on(pelayan, backend):
    app = backend(answers=Answer(interim=[(100, {}), (103, {"Link": "</a.css>; rel=preload"})]))
    answer = run(pelayan, app).get("/")
    assert [i.status for i in answer.interim] == [103]
    assert answer.interim[0].header("link") == "</a.css>; rel=preload" and answer.text == ""


def test_trailers(pelayan, backend):
    app = backend(answers=Answer(body=[b"a", b"b"], trailers={"X-Sum": "7"}))
    site = pelayan.run(
        http=f"""log_format t "[$upstream_trailer_x_sum]"; access_log {{dir}}/logs/t.log t;
            server {{ location / {{ proxy_pass {app.url}; }}
            location /t {{ proxy_pass {app.url}; proxy_pass_trailers on; }} }}"""
    )
    assert "x-sum" not in site.get("/").trailers
    assert site.get("/t").trailers["X-Sum"] == "7"
    site.wait_for_log(r"\[7\]", "logs/t.log")


@pytest.mark.parametrize(
    "method, condition",
    [
        ("GET", {"If-None-Match": '"v2"'}),
        ("GET", {"If-Modified-Since": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        ("GET", {"If-Unmodified-Since": "Tue, 20 Oct 2015 07:28:00 GMT"}),
        ("PUT", {"If-Match": '"v1"'}),
    ],
)
def test_conditions_are_for_the_peer(pelayan, backend, method, condition):
    """It has seen them and has answered 200: to say 304 or 412 instead would be wrong."""
    fields = {"ETag": '"v2"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
    app = backend(answers=Answer(body="new", headers=fields))
    site = run(pelayan, app)
    answer = site.get("/", method=method, headers=condition)
    assert (answer.status, answer.text, answer.header("etag")) == (200, "new", '"v2"')


def test_type_of_nothing(pelayan, backend):
    """A 204 of the peer keeps its fields; one of our own has no Content-Type."""
    app = backend(answers=Answer(status=204, headers={"Content-Type": "application/json"}))
    site = run(pelayan, app, outer="server { server_name own; return 204; }")
    assert site.get("/", host="other").header("content-type") is None
    site = run(pelayan, app)
    assert site.get("/").header("content-type") == "application/json"
