"""add_header, add_trailer, add_header_inherit, add_trailer_inherit, expires."""

import pytest


def test_fields_are_added_to_successes(pelayan):
    site = pelayan.run(
        http="""server { add_header X-A $arg_q; add_header X-B b always;
            location / { return 200 ok; } location /no { return 404; }
            location /own { add_header X-C c; return 200 ok; } }"""
    )
    found = site.get("/?q=1")
    assert (found.header("x-a"), found.header("x-b")) == ("1", "b")
    assert site.get("/").header("x-a") is None
    lost = site.get("/no?q=1")
    assert (lost.status, lost.header("x-a"), lost.header("x-b")) == (404, None, "b")
    own = site.get("/own?q=1")
    assert (own.header("x-a"), own.header("x-b"), own.header("x-c")) == (None, None, "c")


def test_inheritance(pelayan):
    site = pelayan.run(
        http="""add_header X-H h; server { add_header X-S s; add_header_inherit merge;
            add_trailer X-T t; add_trailer_inherit merge;
            location / { add_header X-L l; stub_status; }
            location /off { add_header_inherit off; add_trailer_inherit off; stub_status; }
            location /on { add_header_inherit on; add_header X-L l; stub_status; } }"""
    )

    def fields(path):
        answer = site.get(path)
        return [answer.header(name) for name in ("x-h", "x-s", "x-l")]

    assert fields("/") == ["h", "s", "l"]
    assert fields("/off") == [None, None, None]
    assert fields("/on") == [None, None, "l"]


@pytest.mark.parametrize(
    "line, cache",
    [
        ("1h", "max-age=3600"),
        ("+1y", "max-age=31536000"),
        ("0", "max-age=0"),
        ("-1", "no-cache"),
        ("epoch", "no-cache"),
        ("max", "max-age=315360000"),
        ("off", None),
        ("$arg_e", "max-age=10"),
    ],
)
def test_expires(pelayan, line, cache):
    site = pelayan.run(http=f"server {{ expires {line}; location / {{ stub_status; }} }}")
    answer = site.get("/?e=10")
    assert answer.header("cache-control") == cache
    assert (answer.header("expires") is None) == (cache is None)


def test_expires_and_add_header_cache_control(pelayan):
    site = pelayan.run(
        http="""server { expires @23h59m; add_header Cache-Control private;
            location / { stub_status; } location /no { return 404; } }"""
    )
    assert "private" in site.get("/").header("cache-control")
    assert "max-age=" in site.get("/").header("cache-control")
    assert site.get("/no").header("expires") is None


def test_mistakes_are_found(pelayan):
    for line in ("expires soon;", "expires modified epoch;", "expires @25h;", "add_header A b maybe;"):
        assert pelayan.check(http=f"server {{ {line} }}").returncode != 0, line
