"""Location, Refresh and cookies of answers, X-Accel-*, intercepted errors, stored copies."""

import pytest
from harness.backend import Answer

REDIRECTS = [
    # directive, Location of the peer, Location for the client ({a}: the peer's address, {s}: ours)
    ("", "http://{a}/x", "http://{s}/x"),
    ("proxy_redirect default;", "http://{a}/x", "http://{s}/x"),
    ("proxy_redirect off;", "http://{a}/x", "http://{a}/x"),
    ("proxy_redirect http://{a}/two/ /one/;", "http://{a}/two/x", "http://{s}/one/x"),
    ("proxy_redirect http://{a}/ https://public.test/;", "http://{a}/x", "https://public.test/x"),
    (r"proxy_redirect ~^http://[^:]+:\d+(/.+)$ https://p.test$1;", "http://q:1/x", "https://p.test/x"),
    ("proxy_redirect ~*^HTTP://Q/ /q/;", "http://q/x", "/q/"),
    ("proxy_redirect http://$proxy_host/ /;", "http://{a}/x", "http://{s}/x"),
    ("", "http://elsewhere.test/x", "http://elsewhere.test/x"),
    ("", "/relative", "/relative"),
]


@pytest.mark.parametrize("conf, given, wanted", REDIRECTS)
def test_redirect(pelayan, backend, conf, given, wanted):
    app = backend()
    site = pelayan.run(
        http=f"server {{ location / {{ proxy_pass {app.url}; {conf.replace('{a}', app.address)} }} }}"
    )
    app.answers = Answer(302, headers={"Location": given.replace("{a}", app.address)})
    host = f"localhost:{site.port}"
    location = site.get("/", host=host).header("location")
    wanted = wanted.replace("{a}", app.address).replace("{s}", host)
    if wanted == "/q/":
        wanted = f"http://{host}/q/"
    assert location == wanted


def test_default_redirect_with_uri_and_refresh(pelayan, backend):
    app = backend()
    site = pelayan.run(http=f"server {{ location /one/ {{ proxy_pass {app.url}/two/; }} }}")
    app.answers = Answer(headers={"Refresh": f"5; url=http://{app.address}/two/x"})
    assert site.get("/one/").header("refresh") == "5; url=/one/x"


COOKIES = [
    ("proxy_cookie_domain localhost example.org;", "a=b; Domain=.localhost; Path=/",
     "a=b; Domain=example.org; Path=/"),
    ("proxy_cookie_domain localhost example.org;", "a=b; domain=other", "a=b; domain=other"),
    (r"proxy_cookie_domain ~\.?internal\.(\w+)$ public.$1;", "a=b; Domain=x.internal.net",
     "a=b; Domain=public.net"),
    ("proxy_cookie_path /two/ /;", "a=b; Path=/two/x; Secure", "a=b; Path=/x; Secure"),
    ("proxy_cookie_path ~*^/User/([^/]+) /u/$1;", "a=b; path=/user/joe", "a=b; path=/u/joe"),
    ("proxy_cookie_path /two/ /; proxy_cookie_path off;", "a=b; Path=/two/", None),
    ("proxy_cookie_flags a secure httponly samesite=strict;", "a=b; Path=/",
     "a=b; Path=/; Secure; HttpOnly; SameSite=Strict"),
    ("proxy_cookie_flags ~ nosecure samesite=lax;", "a=b; Secure; SameSite=None",
     "a=b; SameSite=Lax"),
    ("proxy_cookie_flags other secure;", "a=b", "a=b"),
    ("proxy_cookie_flags ~^a nohttponly; proxy_cookie_flags a secure;", "a=b; HttpOnly", "a=b"),
]


@pytest.mark.parametrize("conf, given, wanted", [c for c in COOKIES if c[2] is not None])
def test_cookies(pelayan, backend, conf, given, wanted):
    app = backend(answers=Answer(headers={"Set-Cookie": given}))
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; {conf} }} }}")
    assert site.get("/").headers.all("Set-Cookie") == [wanted]


def test_accel_redirect(pelayan, backend):
    """To a file of ours, a named location, not outside; the facts the backend knows are kept."""
    app = backend(
        answers=lambda r: Answer(body="not this", headers={
            "X-Accel-Redirect": {"/f": "/files/a%20b.bin?x", "/n": "@named", "/e": "/files/../../x"}
            .get(r.target, "/files/none"),
            "Content-Type": "application/pdf", "Content-Disposition": "attachment",
            "Set-Cookie": "a=b", "X-Other": "lost"})
    )
    site = pelayan.run(
        http=f"""server {{ location / {{ proxy_pass {app.url}; }}
            location /files/ {{ internal; root {{dir}}/html; }}
            location @named {{ return 200 "named $uri"; }}
            location /ignored {{ proxy_pass {app.url}; proxy_ignore_headers X-Accel-Redirect; }} }}""",
        prepare=lambda site: site.file("html/files/a b.bin", "the file"),
    )
    answer = site.get("/f", method="POST", body="x")
    assert (answer.status, answer.text) == (200, "the file")
    assert answer.header("content-type") == "application/pdf"
    assert answer.header("content-disposition") == "attachment"
    assert answer.header("set-cookie") == "a=b" and "x-other" not in answer.headers
    assert site.get("/n").text == "named /n"
    assert site.get("/e").status == 404 and site.get("/m").status == 404
    assert site.get("/ignored").text == "not this"
    assert site.get("/files/a%20b.bin").status == 404


def test_accel_charset_and_limit_rate(pelayan, backend):
    app = backend(answers=Answer(body="x", headers={"X-Accel-Charset": "koi8-r",
                                 "X-Accel-Limit-Rate": "100000", "Content-Type": "text/plain"}))
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; }} }}")
    answer = site.get("/")
    assert answer.header("content-type") == "text/plain; charset=koi8-r"
    assert "x-accel-limit-rate" not in answer.headers


def test_intercept_errors(pelayan, backend):
    """Only statuses that error_page names are replaced; 401 keeps its challenge."""
    app = backend(answers=lambda r: Answer(int(r.target[1:]), body="theirs",
                                           headers={"WWW-Authenticate": "Basic realm=x"}))
    site = pelayan.run(
        http=f"""server {{ error_page 404 401 /own; error_page 503 =200 /own;
            location / {{ proxy_pass {app.url}; proxy_intercept_errors on; }}
            location /raw/ {{ proxy_pass {app.url}/; }}
            location = /own {{ internal; return 200 "own page"; }} }}"""
    )
    assert site.get("/500").text == "theirs" and site.get("/200").text == "theirs"
    assert (site.get("/404").status, site.get("/404").text) == (404, "own page")
    assert (site.get("/503").status, site.get("/503").text) == (200, "own page")
    assert site.get("/401").header("www-authenticate") == "Basic realm=x"
    assert site.get("/raw/404").text == "theirs"


def test_error_page_for_a_dead_peer(pelayan, backend):
    """A 502 of ours goes to another location, whose own peer answers; variables show both."""
    app = backend(answers="fallback")
    dead = backend()
    dead.stop()
    site = pelayan.run(
        http=f"""log_format u "$upstream_addr|$upstream_status"; access_log {{dir}}/logs/u.log u;
            server {{ location / {{ proxy_pass {dead.url}; error_page 502 = @fallback; }}
            location @fallback {{ proxy_pass {app.url}; }} }}"""
    )
    assert (site.get("/").status, site.get("/").text) == (200, "fallback")
    site.wait_for_log(rf"{dead.address} : {app.address}\|502 : 200", "logs/u.log")


def test_store(pelayan, backend):
    """Copies of answers with 200 are kept, whole ones only."""
    app = backend(answers=lambda r: Answer(404 if "none" in r.target else 200, body=r.target * 100))
    site = pelayan.run(
        http=f"""server {{ location / {{ proxy_pass {app.url}; proxy_store {{dir}}/tmp/store$uri;
            proxy_store_access user:rw group:r all:r; }} }}""",
        prepare=lambda site: ((site.dir / "tmp/store").mkdir(), (site.dir / "tmp/store").chmod(0o777)),
    )
    assert site.get("/sub/a.txt").status == 200
    assert site.get("/none").status == 404
    kept = site.dir / "tmp/store/sub/a.txt"
    assert kept.read_text() == "/sub/a.txt" * 100 and kept.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in (site.dir / "tmp/store").rglob("*") if p.is_file()] == ["a.txt"]
