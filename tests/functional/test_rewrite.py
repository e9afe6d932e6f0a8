"""rewrite, return, set, break, if, rewrite_log, uninitialized_variable_warn: as nginx runs them."""

import pytest

SITE = """server { server_name a.test;
    set $v "v-$host";
    rewrite ^/srv/(.*)$ /r/$1;
    rewrite ^/last/(.*)$ /final/$1 last;
    if ($arg_stop) { return 402 "stopped"; }
    if ($arg_br) { rewrite ^/x/(.*) /final/br-$1 break; }
    location / { return 200 "root $uri $args $v"; }
    location /r/ { rewrite ^/r/(.*)$ /final/$1?x=1 last; return 500; }
    location /q/ { rewrite ^/q/(.*)$ /final/$1? last; return 500; }
    location /cap/ { rewrite ^/cap/([^/]*)/(.*)$ /final/p?a=$1&b=$2 last; }
    location /final/ { return 200 "final $uri?$args"; }
    location /loop { rewrite ^ /loop last; }
    location /brk { set $z 1; break; set $z 2; return 500; }
    location /err { error_page 404 /final/err; return 404; }
    location /custom { error_page 404 /final/err; return 404 "mine"; }
    location ~ ^/rx/(?<name>[a-z]+)/([0-9]+) { return 200 "$name $1 $2"; }
}"""


@pytest.fixture(scope="module")
def answers():
    return {
        "/?q=1": "root / q=1 v-a.test",
        "/srv/abc?k=1": "final /final/abc?x=1&k=1",
        "/srv/a%20b%2Bc": "final /final/a b+c?x=1",
        "/last/abc": "final /final/abc?",
        "/x/abc?br=1": "final /final/br-abc?br=1",
        "/q/abc?z": "final /final/abc?",
        "/cap/a%26b/c%2Bd%20e?m=1": "final /final/p?a=a%26b&b=c%2Bd%20e&m=1",
        "/cap/ab/cd": "final /final/p?a=ab&b=cd",
        "/rx/abc/12": "abc abc 12",
    }


def test_rewrites_change_the_uri(pelayan, answers):
    site = pelayan.run(http=SITE)
    for path, text in answers.items():
        assert site.get(path, host="a.test").text == text, path


def test_return_ends_the_request(pelayan):
    site = pelayan.run(http=SITE)
    assert (site.get("/?stop=1").status, site.get("/?stop=1").text) == (402, "stopped")
    assert site.get("/err").status == 404 and site.get("/err").text == "final /final/err?"
    assert (site.get("/custom").status, site.get("/custom").text) == (404, "mine")
    assert site.get("/brk").status == 404


def test_a_rewrite_cycle_ends_with_500(pelayan):
    site = pelayan.run(http=SITE)
    assert site.get("/loop").status == 500
    site.wait_for_log("rewrite or internal redirection cycle")


def test_redirects(pelayan):
    site = pelayan.run(
        http="""server {
        location /p { rewrite ^/p/(.*)$ /to/$1 permanent; return 404; }
        location /r { rewrite ^/r http://other.test/$arg_q? redirect; }
        location /u { rewrite ^/u(.*)$ http://other.test$1; }
        location /ret { return 307 https://y.test$request_uri; }
        location /url { return http://x.test/; } }"""
    )
    for path, status, location in (
        ("/p/a%20b?z=1", 301, "/to/a%20b?z=1"),
        ("/r?q=v", 302, "http://other.test/v"),
        ("/u/a?b", 302, "http://other.test/a?b"),
        ("/ret?a=b", 307, "https://y.test/ret?a=b"),
        ("/url", 302, "http://x.test/"),
    ):
        answer = site.get(path)
        assert answer.status == status
        assert answer.header("location").endswith(location), path


def test_conditions_of_if(pelayan):
    site = pelayan.run(
        http="""server { location / { set $x 0;
            if ($arg_a = 1) { set $x one; }
            if ($arg_b != "") { set $x "$x-b"; }
            if ($http_x_a ~* "^(ab)c") { set $x "re-$1"; }
            if ($http_x_a !~ a) { set $x "$x-noa"; }
            if (-d {dir}) { set $x "$x-dir"; }
            if (!-f {dir}) { set $x "$x-nofile"; }
            if (-e {dir}/none) { set $x bad; }
            return 200 $x; } }"""
    )
    assert site.get("/").text == "0-noa-dir-nofile"
    assert site.get("/?a=1").text == "one-noa-dir-nofile"
    assert site.get("/?b=1").text == "0-b-noa-dir-nofile"
    assert site.get("/", headers={"X-A": "ABCa"}).text == "re-AB-dir-nofile"


def test_if_is_a_location_of_its_own(pelayan):
    site = pelayan.run(
        http="""server { location / { add_header X-Out o; if ($arg_a) { add_header X-In i; }
            stub_status; } }"""
    )
    assert site.get("/").header("x-out") == "o"
    inside = site.get("/?a=1")
    assert (inside.status, inside.header("x-in"), inside.header("x-out")) == (200, "i", None)


def test_order_is_that_of_the_file(pelayan):
    site = pelayan.run(
        http="""server { location / { set $x 1; if ($x = 1) { set $y first; } set $x 2;
            if ($x = 2) { set $y "$y-second"; } return 200 $y; } }"""
    )
    assert site.get("/").text == "first-second"


def test_args_and_limit_rate_can_be_set(pelayan):
    site = pelayan.run(
        http="""server { location / { set $args n=1; set $limit_rate 100k;
            return 200 "$args $is_args $query_string $limit_rate"; } }"""
    )
    assert site.get("/?a=1").text == "n=1 ? n=1 102400"


def test_rewrite_log_and_warnings(pelayan):
    site = pelayan.run(
        main="error_log {dir}/logs/error.log notice;",
        http="""rewrite_log on; server { location / { if ($arg_q) { set $u 1; }
            rewrite ^/(a)$ /b$u; return 200 "$uri"; } }
            server { listen 127.0.0.1:{port2}; uninitialized_variable_warn off; return 200 x; }""",
    )
    assert site.get("/a").status == 200
    site.wait_for_log(r'"\^/\(a\)\$" matches "/a"')
    site.wait_for_log('rewritten data: "/b", args: ""')
    site.wait_for_log('using uninitialized "u" variable')


@pytest.mark.parametrize(
    "line, message",
    [
        ("if ($x ~ ( ) { }", "if"),
        ("if (foo) { }", 'invalid condition "foo"'),
        ("return 9999;", "invalid return code"),
        ("return abc;", "invalid return code"),
        ("set x 1;", 'invalid variable name "x"'),
        ("set $host 1;", "cannot be changed"),
        ("rewrite ( /x;", "("),
        ("rewrite ^ /x sometimes;", 'invalid parameter "sometimes"'),
    ],
)
def test_mistakes_are_found(pelayan, line, message):
    result = pelayan.check(http=f"server {{ location / {{ {line} }} }}")
    assert result.returncode != 0 and message in result.stderr
