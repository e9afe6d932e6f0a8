"""error_page in all its forms, and redirects that name ourselves."""

import pytest

CONF = """server { server_name site.test; root {dir}/html; error_log {dir}/logs/error.log info;
    error_page 404 /404.html;
    error_page 403 =410 /gone.html;
    error_page 500 502 503 504 /50x.html;
    error_page 405 = /plain;
    error_page 401 @named;
    error_page 402 =200 @named;
    error_page 406 = @named;
    error_page 409 http://else.test/where?x;
    error_page 412 =307 https://$host/$uri;
    error_page 415 =204 /plain;
    error_page 416 =418 /missing.html;
    error_page 418 $arg_to;
    error_page 494 400 /bad;
    location / { }
    location = /404.html { internal; }
    location /return/403 { return 403; }
    location /return/500 { return 500; }
    location /return/503 { return 503; }
    location /return/405 { return 405; }
    location /return/401 { return 401; }
    location /return/402 { return 402; }
    location /return/406 { return 406; }
    location /return/409 { return 409; }
    location /return/412 { return 412; }
    location /return/415 { return 415; }
    location /return/416 { return 416; }
    location /return/418 { return 418; }
    location /return/444 { return 444; }
    location = /own { error_page 404 /own.html; return 404; }
    location /none { recursive_error_pages on; error_page 404 /none; return 404; }
    location /first { recursive_error_pages on; error_page 404 = /second; return 404; }
    location /second { recursive_error_pages on; error_page 503 = /third; return 503; }
    location /third { return 200 "the third"; }
    location /not-first { error_page 404 = /not-second; return 404; }
    location /not-second { error_page 503 = /third; return 503; }
    location /plain { return 200 "plain $request_method $uri $args"; }
    location /bad { return 200 "bad $status"; }
    location @named { return 202 "named $uri $request_method"; }
    location @nobody { internal; }
    location /to-nowhere { error_page 404 @nowhere; return 404; }
}
server { server_name empty.test; error_page 400 @named; location @named { return 200 x; } }
"""


@pytest.fixture
def site(pelayan):
    def prepare(site):
        site.file("html/404.html", "not here")
        site.file("html/50x.html", "broken")
        site.file("html/gone.html", "gone")
        site.file("html/own.html", "own")

    return pelayan.run(http=CONF, prepare=prepare)


@pytest.mark.parametrize(
    "path, method, status, text",
    [
        ("/nothing", "GET", 404, "not here"),
        ("/nothing", "HEAD", 404, ""),
        ("/404.html", "GET", 404, "not here"),
        ("/return/403", "GET", 410, "gone"),
        ("/return/500", "GET", 500, "broken"),
        ("/return/503", "POST", 503, "broken"),
        ("/return/405", "GET", 200, "plain GET /plain "),
        ("/return/405?a=b", "DELETE", 200, "plain GET /plain "),
        ("/return/401", "DELETE", 401, "named /return/401 DELETE"),
        ("/return/402", "GET", 200, "named /return/402 GET"),
        ("/return/406", "GET", 202, "named /return/406 GET"),
        ("/return/416", "GET", 404, None),
        ("/return/418?to=/plain%3fx=y", "GET", 418, None),
        ("/own", "GET", 404, "own"),
        ("/first", "GET", 200, "the third"),
        ("/not-first", "GET", 503, None),
        ("/none", "GET", 500, None),
        ("/to-nowhere", "GET", 500, None),
    ],
)
def test_pages(site, path, method, status, text):
    answer = site.get(path, method=method, host="site.test")
    assert answer.status == status
    if text is not None:
        assert answer.text == text
    elif status not in (418,):
        assert f"<title>{status} " in answer.text


@pytest.mark.parametrize(
    "path, status, location",
    [
        ("/return/409", 302, "http://else.test/where?x"),
        ("/return/412", 307, "https://site.test//return/412"),
    ],
)
def test_pages_elsewhere(site, path, status, location):
    answer = site.get(path, host="site.test")
    assert (answer.status, answer.header("location")) == (status, location)


def test_statuses_of_pages(site):
    answer = site.get("/return/415", host="site.test")
    assert answer.status == 204 and answer.body == b""
    with site.connect() as client:
        client.request("/return/444", host="site.test")
        assert client.read_all() == b""
    assert '"GET /return/444 HTTP/1.1" 444 0' in site.access_log(lines=2)


def test_pages_for_what_is_no_request(site):
    raw = site.raw(b"GET / HTTP/1.1\r\nHost: site.test\r\nContent-Length: x\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 400 ") and raw.endswith(b"bad 400")
    raw = site.raw(b"GET / HTTP/1.1\r\nHost: empty.test\r\nContent-Length: x\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 ")  # there is no URI to go to a named location with
    assert site.get("/", host="site.test", headers={"X": "v" * 9000}).text == "bad 494"


def test_errors_close_or_keep(site):
    with site.connect() as client:
        assert client.get("/nothing", host="site.test").header("connection") == "keep-alive"
        assert client.get("/return/503", host="site.test").header("connection") == "keep-alive"
        assert client.get("/return/500", host="site.test").header("connection") == "close"


@pytest.mark.parametrize("tokens, name", [("on", "pelayan/"), ("off", "pelayan")])
def test_who_says_so(pelayan, tokens, name):
    site = pelayan.run(http=f"server {{ server_tokens {tokens}; return 404; }}")
    answer = site.get("/")
    assert answer.header("server").startswith(name)
    assert (answer.header("server") == name) == (tokens == "off")
    assert answer.header("content-type") == "text/html" and "<h1>404 Not Found</h1>" in answer.text


def test_redirects_name_us(pelayan, backend):
    app = backend()
    site = pelayan.run(
        http=f"""absolute_redirect on; server {{ server_name first.test second.test;
            location /slash/ {{ proxy_pass {app.url}; }}
            location /sp%20ace\\ d/ {{ proxy_pass {app.url}; }}
            location = /exact/ {{ proxy_pass {app.url}; }}
            location /both {{ return 200 both; }}
            location /both/ {{ proxy_pass {app.url}; }}
            location /named/ {{ server_name_in_redirect on; proxy_pass {app.url}; }}
            location /no-port/ {{ port_in_redirect off; proxy_pass {app.url}; }}
            location /relative/ {{ absolute_redirect off; proxy_pass {app.url}; }}
            location /return {{ return 302 /there; }} }}"""
    )

    def location(path, **request):
        answer = site.get(path, **request)
        return answer.status, answer.header("location")

    port = site.port
    assert location("/slash?a=b") == (301, f"http://localhost:{port}/slash/?a=b")
    assert location("/slash", host="Other.Test:123") == (301, f"http://other.test:{port}/slash/")
    assert location("/slash", host="", version="HTTP/1.0") == (301, f"http://127.0.0.1:{port}/slash/")
    assert location("/exact") == (301, f"http://localhost:{port}/exact/")
    assert site.get("/both").text == "both"
    assert location("/named", host="second.test") == (301, f"http://first.test:{port}/named/")
    assert location("/no-port") == (301, "http://localhost/no-port/")
    assert location("/relative") == (301, "/relative/")
    assert location("/return") == (302, f"http://localhost:{port}/there")


def test_a_page_of_a_peer_has_our_status_and_phrase(pelayan, backend):
    """The peer's 200 OK is the page's; the client is told 404 Not Found."""
    app = backend(answers="sorry")
    site = pelayan.run(
        http=f"""server {{ error_page 404 /sorry; location / {{ return 404; }}
            location /sorry {{ proxy_pass {app.url}; }} }}"""
    )
    answer = site.raw(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert answer.endswith(b"sorry")


def test_an_intercepted_error_of_a_page_is_told_by_us(pelayan, backend):
    """No page of a page: but what proxy_intercept_errors is to hide stays hidden."""
    app = backend(answers=(500, "a stack trace"))
    site = pelayan.run(
        http=f"""server {{ error_page 404 @app; location / {{ return 404; }}
            location @app {{ proxy_pass {app.url}; proxy_intercept_errors on; error_page 500 /x; }} }}"""
    )
    answer = site.get("/")
    assert answer.status == 500
    assert "stack trace" not in answer.text


def test_the_page_of_a_method_that_is_refused(pelayan):
    """The page is asked for with GET, and whoever asks which method it is hears so."""
    site = pelayan.run(
        http="""server { error_page 405 /why; if ($request_method = PURGE) { return 405; }
            location / { return 200 no; } location /why { return 200 "$request_method $status"; } }"""
    )
    answer = site.get("/", method="PURGE")
    assert (answer.status, answer.text) == (405, "GET 405")


def test_the_status_in_a_text_is_its_own(pelayan):
    site = pelayan.run(
        http="""server { error_page 404 = /found; error_page 403 /hidden; location / { return 201 "$status"; }
            location /none { return 404; } location /found { return 202 "$status"; }
            location /no { return 403; } location /hidden { return 200 "$status"; } }"""
    )
    said = [(site.get(path).status, site.get(path).text) for path in ("/", "/none", "/no")]
    assert said == [(201, "201"), (202, "202"), (403, "403")]
