"""proxy_pass in all its forms: which peer is asked, and for what."""

import pytest
from harness import wait

TARGETS = [
    # location, what stands behind the address, asked for, passed on
    ("/", "", "/a%2Fb/c?x=%20y", "/a%2Fb/c?x=%20y"),
    ("/", "", "//double//slash", "//double//slash"),
    ("/api/", "/", "/api/users?id=1", "/users?id=1"),
    ("/api/", "/v2/", "/api/users", "/v2/users"),
    ("/api", "/v2", "/api/users", "/v2/users"),
    ("/api/", "/v2/", "/api/with%20blank", "/v2/with%20blank"),
    ("/api/", "/v2/", "/api/a%2Fb", "/v2/a/b"),
    ("/api/", "/v2/", "/api/100%25", "/v2/100%25"),
    ("/api/", "/v2/", "/api/caf%C3%A9?q", "/v2/caf%C3%A9?q"),
    ("= /one", "/other", "/one?a=1", "/other?a=1"),
    ("~ ^/r(.*)", "", "/rest?a", "/rest?a"),
]


@pytest.mark.parametrize("location, uri, asked, passed", TARGETS)
def test_uri(pelayan, backend, location, uri, asked, passed):
    """The part of the path that the location matched is replaced; without a URI nothing is."""
    app = backend()
    site = pelayan.run(http=f"server {{ location {location} {{ proxy_pass {app.url}{uri}; }} }}")
    assert site.get(asked).status == 200
    assert app.requests[0].target.rstrip("?") == passed


def test_rewritten_uri_is_passed_on(pelayan, backend):
    """After a rewrite it is not the client's URI that counts; with `break` not the location's prefix."""
    app = backend()
    site = pelayan.run(
        http=f"""server {{
            location /a/ {{ rewrite ^/a/(.*) /new/$1?z=1 break; proxy_pass {app.url}; }}
            location /b/ {{ rewrite ^/b/(.*) /new%20/$1 break; proxy_pass {app.url}/ignored/; }}
            location /c/ {{ set $args x=9; proxy_pass {app.url}; }} }}"""
    )
    site.get("/a/1?q=2")
    site.get("/b/1")
    site.get("/c/1?q=2")
    assert [r.target for r in app.requests] == ["/new/1?z=1&q=2", "/new%2520/1", "/c/1?x=9"]


def test_variables_choose_the_peer(pelayan, backend):
    """An upstream's name, an address, a name to be resolved, with and without a path."""
    one, two = backend(name="one"), backend(name="two")
    site = pelayan.run(
        http=f"""upstream first {{ server {one.address}; }}
            server {{ location / {{ proxy_pass http://$arg_to; }}
                      location /path {{ proxy_pass http://$arg_to/fixed; }} }}"""
    )
    assert site.get("/x?to=first").header("x-backend") == "one"
    assert site.get(f"/x?to={two.address}").header("x-backend") == "two"
    assert site.get(f"/x?to=localhost:{two.port}").header("x-backend") == "two"
    assert site.get("/path?to=first").status == 200
    assert [r.target for r in one.requests] == ["/x?to=first", "/fixed"]
    assert site.get("/x?to=").status == 500
    assert two.requests[0].header("host") == two.address


def test_unknown_name_is_502(pelayan):
    site = pelayan.run(http="server { location / { proxy_pass http://$arg_to; } }")
    assert site.get("/?to=no-such-host.invalid").status == 502
    site.wait_for_log("could not be resolved")


def test_unix_socket(pelayan, backend):
    app = backend(unix=True)
    site = pelayan.run(
        http=f"""server {{ location / {{ proxy_pass http://{app.address}; }}
            location /x/ {{ proxy_pass http://{app.address}:/y/; }} }}"""
    )
    assert site.get("/plain").status == site.get("/x/1").status == 200
    assert [r.target for r in app.requests] == ["/plain", "/y/1"]
    assert app.requests[0].header("host") == "localhost"


def test_missing_slash_is_added(pelayan, backend):
    """/api is redirected to /api/ when only the latter is passed on, arguments kept."""
    app = backend()
    site = pelayan.run(http=f"server {{ location /api/ {{ proxy_pass {app.url}; }} }}")
    answer = site.get("/api?a=1")
    assert answer.status == 301 and answer.header("location").endswith("/api/?a=1")
    assert app.count == 0


def test_named_location_if_and_limit_except(pelayan, backend):
    one, two, three = backend(name="named"), backend(name="if"), backend(name="except")
    site = pelayan.run(
        http=f"""server {{
            location / {{ error_page 418 = @app; return 418; }}
            location @app {{ proxy_pass {one.url}; }}
            location /if {{ if ($arg_x) {{ proxy_pass {two.url}; }} proxy_pass {one.url}; }}
            location /only {{ limit_except GET {{ proxy_pass {three.url}; }} return 200 own; }} }}"""
    )
    assert site.get("/a?b").header("x-backend") == "named"
    assert one.requests[0].target == "/a?b"
    assert site.get("/if?x=1").header("x-backend") == "if" and site.get("/if").header("x-backend") == "named"
    assert site.get("/only", method="PUT").header("x-backend") == "except"
    assert site.get("/only").text == "own"


WRONG = [
    ("location ~ ^/a { proxy_pass http://127.0.0.1:1/uri; }", "cannot have URI part"),
    ("location @a { proxy_pass http://127.0.0.1:1/; }", "cannot have URI part"),
    ("location / { if ($arg_a) { proxy_pass http://127.0.0.1:1/; } }", "cannot have URI part"),
    ("location / { proxy_pass 127.0.0.1:1; }", "invalid URL prefix"),
    ("location / { proxy_pass http://127.0.0.1:99999; }", "invalid port"),
    ("location / { proxy_pass http://; }", "no host"),
    ("location / { proxy_pass http://a; proxy_pass http://b; }", "duplicate"),
    ("proxy_pass http://127.0.0.1:1;", "proxy_pass"),
    ("location / { proxy_pass http://127.0.0.1:1; proxy_http_version 3; }", "invalid value"),
    ("proxy_buffers 1 4k;", "at least 2"),
    ("proxy_busy_buffers_size 1k;", "must be equal to or greater than"),
    ("proxy_busy_buffers_size 1m;", "must be less than the size of all"),
    ("proxy_temp_file_write_size 1k;", "proxy_temp_file_write_size"),
    ("proxy_max_temp_file_size 1k;", "proxy_max_temp_file_size"),
    ("proxy_next_upstream error nonsense;", "nonsense"),
    ("proxy_ignore_headers X-Nonsense;", "X-Nonsense"),
    ("proxy_cookie_flags a nonsense;", "nonsense"),
    ("proxy_redirect nonsense;", "nonsense"),
    ("proxy_redirect ~( x;", "proxy_redirect"),
    ("proxy_store_access user:x;", "user:x"),
    ("proxy_bind nonsense;", "nonsense"),
    ("proxy_limit_rate nonsense;", "nonsense"),
    ("proxy_temp_path a 9;", "level"),
    ("proxy_set_header X $no_such_variable;", "no_such_variable"),
]


@pytest.mark.parametrize("conf, said", WRONG)
def test_mistakes_are_named(pelayan, conf, said):
    result = pelayan.check(http=f"server {{ listen 127.0.0.1:{{port}}; {conf} }}")
    assert result.returncode != 0 and said in result.stderr, result.stderr


def test_accepted_without_effect(pelayan, backend):
    """Sizes of tables that we have no use for are quiet."""
    app = backend()
    site = pelayan.run(
        http=f"""proxy_headers_hash_max_size 1024; proxy_headers_hash_bucket_size 128;
            proxy_send_lowat 0; server {{ location / {{ proxy_pass {app.url}; }} }}"""
    )
    assert site.get("/").status == 200
    assert "warn" not in site.error_log()


class NameServer:
    """Answers every question for an A record with 127.0.0.1, over UDP."""

    def __init__(self):
        import socket
        import threading

        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.asked = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                data, sender = self.socket.recvfrom(512)
            except OSError:
                return
            end = data.index(b"\0", 12) + 5
            is_a = data[end - 3] == 1
            self.asked.append(data[12:end])
            head = data[:2] + b"\x81\x80" + data[4:6] + (b"\0\1" if is_a else b"\0\0") + b"\0" * 4
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if is_a else b""
            self.socket.sendto(head + data[12:end] + answer, sender)


def test_resolver_is_asked(pelayan, backend):
    """A name that only the given name server knows."""
    names, app = NameServer(), backend()
    site = pelayan.run(
        http=f"""resolver 127.0.0.1:{names.port} valid=10s; resolver_timeout 2s;
            server {{ location / {{ set $to only-there.test; proxy_pass http://$to:{app.port}; }} }}"""
    )
    for _ in range(3):
        assert site.get("/").status == 200
    assert app.requests[0].header("host") == f"only-there.test:{app.port}"
    assert 1 <= len(names.asked) <= 4
    names.socket.close()


def test_the_resolver_of_http_is_asked_for_upstreams(pelayan, backend):
    """A server with `resolve` whose name only the given name server knows."""
    names, app = NameServer(), backend()
    site = pelayan.run(
        http=f"""upstream app {{ zone app 64k; server only-there.test:{app.port} resolve; }}
            server {{ location / {{ proxy_pass http://app; }} }}
            resolver 127.0.0.1:{names.port} valid=10s;"""
    )
    wait.until(lambda: site.get("/").status == 200, "the name to be resolved")
    assert names.asked
    names.socket.close()
