"""map, map_hash_max_size, map_hash_bucket_size, geo, split_clients: values by tables."""

import pytest


def test_map(pelayan):
    site = pelayan.run(
        http="""map_hash_max_size 4096; map_hash_bucket_size 128;
            map $arg_q $m { default none; yes Y; ~^n(.)$ "N-$1"; ~*^up up; "\\default" d; '' empty; }
            map $arg_h $h { hostnames; default -; .a.test A; *.b.test B; www.c.* C; }
            map $arg_q $v { volatile; default "$m!"; }
            server { return 200 "$m $h $v"; }"""
    )
    for query, text in (
        ("?q=YES&h=a.test", "Y A Y!"),
        ("?q=nx&h=x.A.test.", "N-x A N-x!"),
        ("?q=UPPER&h=b.test", "up - up!"),
        ("?q=default&h=x.y.b.test", "d B d!"),
        ("?h=www.c.org", "empty C empty!"),
        ("?q=other", "none - none!"),
    ):
        assert site.get("/" + query).text == text, query


def test_geo(pelayan):
    site = pelayan.run(
        http="""geo $g { default out; 127.0.0.0/8 home; 127.0.0.1/32 here; proxy 127.0.0.0/8; }
            geo $arg_ip $net { default -; 10.0.0.0/8 ten; 10.1.0.0/16 ten-one; 10.1.2.0/24 x;
                delete 10.1.2.0/24; 2001:db8::/32 six; }
            geo $arg_ip $range { ranges; default -; 10.0.0.0-10.0.0.255 r1; 10.0.0.10-10.0.0.20 r2; }
            server { return 200 "$g $net $range"; }"""
    )
    assert site.get("/").text == "here - -"
    assert site.get("/", headers={"X-Forwarded-For": "1.2.3.4"}).text.startswith("out")
    assert site.get("/?ip=10.0.0.15").text == "here ten r2"
    assert site.get("/?ip=10.0.0.21").text == "here ten r1"
    assert site.get("/?ip=10.1.2.3").text == "here ten-one -"
    assert site.get("/?ip=2001:db8::5").text == "here six -"


def test_split_clients(pelayan):
    site = pelayan.run(
        http="""split_clients $arg_q $s { 20% a; 30.5% b; * c; } server { return 200 $s; }"""
    )
    with site.connect() as client:
        values = [client.get(f"/?q={number}").text for number in range(600)]
    assert 70 < values.count("a") < 170 and 130 < values.count("b") < 240
    assert site.get("/?q=7").text == values[7]


@pytest.mark.parametrize(
    "block, message",
    [
        ("map $uri $x { a 1; A 2; }", "conflicting parameter"),
        ("map $uri $x { ~( 1; }", "("),
        ("map $uri x { a 1; }", "invalid variable name"),
        ("map $uri $host { a 1; }", "duplicate"),
        ("map $uri $x { hostnames; a* 1; }", "invalid hostname or wildcard"),
        ("map $uri $x { a b c; }", "invalid number of the map parameters"),
        ("geo $x { 10.0.0.300 1; }", "invalid network"),
        ("geo $x { ranges; 10.0.0.0-10.0.0.9 a; 10.0.0.5-10.0.0.20 b; }", "overlap"),
        ("split_clients $uri $x { 60% a; 50% b; }", "greater than 100%"),
    ],
)
def test_mistakes_are_found(pelayan, block, message):
    result = pelayan.check(http=f"{block} server {{ return 200; }}")
    assert result.returncode != 0 and message in result.stderr
