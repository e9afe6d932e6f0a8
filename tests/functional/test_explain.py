"""`pelayan explain`: server, location, rewrites, upstream and headers, each with file and line."""

import pytest

CONF = """upstream app { server 127.0.0.1:3001; server 127.0.0.1:3002 backup; }
server { listen 127.0.0.1:{port}; server_name a.test;
    rewrite ^/old/(.*)$ /new/$1;
    location / { try_files $uri /index.html; add_header X-A a; }
    location /new/ { proxy_pass http://app; }
    location ~ [.]php$ { return 403; }
    location /err { error_page 404 @named; return 404; }
    location @named { return 200 "named"; }
    location /gone { return 444; }
}
server { listen 127.0.0.1:{port}; server_name b.test; return 301 https://$host$request_uri; }"""


@pytest.fixture
def explain(pelayan):
    site = pelayan.run(http=CONF)

    def run(*words):
        result = site.command("-c", site.conf, "-p", site.dir, "explain", *words)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def test_what_a_request_takes(explain):
    told = explain("http://a.test/old/x?q=1")
    assert 'server    "a.test", for host "a.test"' in told and "nginx.conf:" in told
    assert "-> /new/x?q=1" in told
    assert "location  /new/ for /new/x, the longest prefix" in told
    assert "upstream  app" in told
    assert "peer      127.0.0.1:3001\n" in told and "peer      127.0.0.1:3002, backup" in told


def test_files_and_headers(explain):
    told = explain("http://a.test/x.html")
    assert "try       /x.html" in told and "try       /index.html" in told
    assert "header    X-A: a" in told


def test_answers_of_the_config_itself(explain):
    assert "answer    301, Location: https://b.test/y?z" in explain("http://b.test/y?z")
    assert "answer    301" in explain("GET", "/y", "-H", "Host: b.test")
    named = explain("http://a.test/err")
    assert "location  @named" in named and "return    200" in named
    assert "the connection is closed" in explain("http://a.test/gone")


def test_mistakes(pelayan):
    site = pelayan.run(http=CONF)
    assert site.command("-c", site.conf, "explain").returncode == 1
    assert site.command("-c", site.conf, "explain", "nonsense").returncode == 1
