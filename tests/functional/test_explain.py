"""`pelayan explain`: server, location, rewrites, upstream and headers, each with file and line."""

import pytest
from harness.fake_runner import FakeRunner

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


def test_apps_are_told_with_their_instances(pelayan, tmp_path, monkeypatch):
    """As the runner knows them; without one, that none answers."""
    home = tmp_path / "home"
    monkeypatch.setenv("PELAYAN_HOME", str(home))
    place = pelayan.place(
        http="""upstream group { app web; server 127.0.0.1:3001; }
        server { listen 127.0.0.1:{port}; location /group { proxy_pass http://group; }
            location / { proxy_pass http://web; } location /dns { proxy_pass http://other; } }"""
    )

    def explain(path):
        result = place.command("-c", place.conf, "-p", place.dir, "explain", path)
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert "app       web is not looked at, because no runner answers" in explain("/group")
    runner = FakeRunner(home)
    try:
        runner.say("web", "online", (3, "127.0.0.1:4001"), (4, "unix:/run/x", "draining"))
        told = explain("/group")
        assert "app       web is online\n" in told and "peer      127.0.0.1:3001\n" in told
        assert "peer      127.0.0.1:4001, instance 3, ready\n" in told
        assert "peer      unix:/run/x, instance 4, draining\n" in told
        assert "app       web is online\n" in explain("/")
        assert "peer      other\n" in explain("/dns")
        runner.say("web", "failed", reason="exited with code 3")
        assert "app       web is failed: exited with code 3\n" in explain("/")
    finally:
        runner.close()


def test_strict_knows_apps(pelayan, tmp_path, monkeypatch):
    """An app that nobody declares and no runner has is an error of -t --strict only."""
    home = tmp_path / "home"
    monkeypatch.setenv("PELAYAN_HOME", str(home))
    http = """upstream group { app web; }
        server { listen 127.0.0.1:{port}; location / { proxy_pass http://group; } }"""
    assert pelayan.check(http=http).returncode == 0
    strict = pelayan.check("--strict", http=http)
    assert strict.returncode == 1
    assert 'app "web" of upstream "group" is not known' in strict.stderr
    runner = FakeRunner(home)
    try:
        runner.say("web", "idle")
        assert pelayan.check("--strict", http=http).returncode == 0
    finally:
        runner.close()
