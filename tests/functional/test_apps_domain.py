"""From an app to a domain in one command."""

import contextlib
import os
import socket
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest

from harness import wait
from harness.ports import Port
from harness.site import Site, program

APP = """
const http = require('http');
http.createServer((q, r) => r.end(`NAME ${process.env.NODE_APP_INSTANCE} ${q.headers.host} ${q.url}`))
  .listen(process.env.PORT);
process.on('SIGINT', () => process.exit(0));
"""


def app(runner, name):
    return runner.file(f"{name}.js", APP.replace("NAME", name))


def get(port, path="/", host="shop.localhost"):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=wait.TIMEOUT) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code


def site_file(runner, domain="shop.localhost"):
    return runner.home / "sites" / f"{domain}.conf"


def test_one_command(runner, port):
    """An app with two instances behind a name; the same command again changes nothing."""
    app(runner, "shop")
    command = ("start", "shop.js", "-i", "2", "--domain", "shop.localhost", "--listen", port)
    out = runner.ok(*command)
    assert f"http://shop.localhost:{port}/ is served by \"shop\"" in out
    seen = {get(port) for _ in range(20)}
    assert seen == {f"shop {n} shop.localhost /" for n in (0, 1)}
    text = site_file(runner).read_text()
    assert "upstream shop {\n    app shop;\n}" in text and f"listen {port};" in text
    pids = [one["pid"] for one in runner.list()]
    runner.ok(*command)
    assert [one["pid"] for one in runner.list()] == pids
    assert site_file(runner).read_text() == text
    runner.ok("kill")
    with pytest.raises(OSError):
        get(port)


def test_several_apps_under_one_name(runner, port):
    """--path puts them into one server; an app may have several names, and its upstream stands once."""
    app(runner, "shop")
    app(runner, "api")
    runner.ok("start", "shop.js", "--domain", "shop.localhost", "--listen", port)
    runner.ok("start", "api.js", "--domain", "shop.localhost", "--path", "/api/")
    runner.ok("start", "api", "--domain", "api.localhost")
    assert get(port, "/x") == "shop 0 shop.localhost /x"
    assert get(port, "/api/y") == "api 0 shop.localhost /api/y"
    assert get(port, "/", "api.localhost") == "api 0 api.localhost /"
    assert site_file(runner).read_text().count("server {") == 1
    texts = site_file(runner).read_text() + site_file(runner, "api.localhost").read_text()
    assert texts.count("upstream api {") == 1 and texts.count(f"listen {port};") == 2


def test_an_edited_file_is_left_alone(runner, port):
    """What somebody has changed stays; what would be needed is said."""
    app(runner, "shop")
    app(runner, "api")
    runner.ok("start", "shop.js", "--domain", "shop.localhost", "--listen", port)
    edited = site_file(runner).read_text().replace("location / {", "location / {\n        # mine")
    site_file(runner).write_text(edited)
    message = runner.fails("start", "api.js", "--domain", "shop.localhost", "--path", "/api/")
    assert "left alone" in message and "location /api/ {\n        proxy_pass http://api;" in message
    runner.ok("start", "shop.js", "--domain", "shop.localhost")
    assert site_file(runner).read_text() == edited
    assert "left alone" in runner.ok("delete", "shop", "--domain")
    assert site_file(runner).read_text() == edited


def test_delete(runner, port):
    """delete says what still leads to the app; with --domain that goes too."""
    app(runner, "shop")
    app(runner, "api")
    runner.ok("start", "shop.js", "--domain", "shop.localhost", "--listen", port)
    runner.ok("start", "api.js", "--domain", "shop.localhost", "--path", "/api/")
    runner.ok("delete", "api", "--domain")
    assert "api" not in site_file(runner).read_text() and get(port, "/api/") == "shop 0 shop.localhost /api/"
    assert 'shop.localhost still leads to "shop"' in runner.ok("delete", "shop")
    assert get(port) == 502
    runner.ok("start", "shop.js", "--domain", "shop.localhost")
    assert get(port).startswith("shop")
    assert "does not lead" in runner.ok("delete", "shop", "--domain")
    assert not site_file(runner).exists()


def test_it_comes_back(runner, port):
    """resurrect brings apps and their server back; so does --no-daemon, and takes it along at its end."""
    app(runner, "shop")
    runner.ok("start", "shop.js", "--domain", "shop.localhost", "--listen", port)
    runner.ok("save")
    runner.ok("kill")
    runner.ok("resurrect")
    assert get(port).startswith("shop")
    runner.ok("kill")
    process = runner.popen("resurrect", "--no-daemon")

    def serves():
        with contextlib.suppress(OSError):
            return str(get(port)).startswith("shop")

    wait.until(serves, "the domain")
    process.terminate()
    process.communicate(timeout=wait.TIMEOUT)
    wait.until(lambda: not runner.alive(), lambda: f"all to end: {runner.alive()}")


def test_a_server_that_is_there(runner):
    """A running server that includes the folder is reloaded; no second one is started."""
    app(runner, "shop")
    (runner.home / "sites").mkdir(parents=True)
    runner.home.chmod(0o755)
    site = Site(http=f"include {runner.home}/sites/*.conf;", main=f"apps {{ home {runner.home}; }}")
    try:
        site.port_of("shop")
        site.start(wait_for=())
        number = site.port_of("shop")
        site.claims["shop"].release()
        runner.ok("-c", site.conf, "-p", site.dir, "start", "shop.js", "--domain", "shop.localhost",
                  "--listen", number)
        assert get(number).startswith("shop")
        assert not (runner.home / "nginx.conf").exists()
    finally:
        site.stop()


def test_what_does_not_fit(runner, port):
    """Said before anything is started, or taken back: the list and the sites are as before."""
    app(runner, "shop")
    domain = ("--domain", "shop.localhost")
    assert "is no domain" in runner.fails("start", "shop.js", "--domain", "a b")
    assert "is no path" in runner.fails("start", "shop.js", *domain, "--path", "x")
    assert "needs a --domain" in runner.fails("start", "shop.js", "--path", "/x")
    assert "nothing to listen on" in runner.fails("start", "shop.js", *domain, "--listen", "http")
    assert "give the app a --name" in runner.fails("start", "shop.js", *domain, "--name", "my shop")
    assert "about one app" in runner.fails("start", "shop.js", "shop.js", *domain)
    assert runner.list() == []
    claim = Port()
    try:
        result = runner.run("start", "shop.js", *domain, "--listen", "192.0.2.1:80")
        assert result.returncode == 1 and "192.0.2.1:80" in result.stderr
        assert "stays as it was" in result.stderr and not site_file(runner).exists()
    finally:
        claim.release()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes somebody without rights")
def test_without_rights(runner):
    """Where port 80 is not allowed another one is taken, and said."""
    app(runner, "shop")
    runner.dir.chmod(0o777)
    command = [program(), "start", "shop.js", "--domain", "shop.localhost"]
    strict = ["unshare", "--net", "sh", "-c",
              'ip link set lo up; exec setpriv --reuid=65534 --regid=65534 --clear-groups'
              ' --bounding-set=-all "$@"', "sh"]
    script = f"{' '.join(command)} && {program()} kill"
    result = subprocess.run(
        [*strict, "sh", "-c", script], capture_output=True, text=True, cwd=runner.dir,
        env=dict(runner.environment(), HOME=str(runner.dir)), stdin=subprocess.DEVNULL, check=False,
        timeout=wait.TIMEOUT * 4,
    )
    assert result.returncode == 0, result.stderr
    assert "Port 80 needs root's right: using 8080." in result.stdout
    assert "http://shop.localhost:8080/" in result.stdout


# ---- hosts

HOSTS = "127.0.0.1 localhost\n# kept\n10.0.0.9 else.test # by hand\n127.0.0.1\tthere.test"


def test_hosts(runner):
    """Names that need a line, those that are there, those that need none."""
    conf = runner.file("nginx.conf", """events {}
http {
    server { listen 80; server_name shop.test www.shop.test *.wild.test ~^x _ a.localhost; }
    server { listen 127.0.0.2:80; server_name two.test there.test else.test; }
    server { listen 127.0.0.1:81; server_name there.test; }
}
""")
    hosts = runner.file("hosts", HOSTS.replace("there.test", "there.test", 1))
    out = runner.ok("-c", conf, "hosts", "--file", hosts)
    assert out.splitlines() == [
        "127.0.0.1 shop.test",
        "127.0.0.1 www.shop.test",
        "# a.localhost needs no line: names that end in .localhost mean this machine",
        "127.0.0.2 two.test",
        "# there.test is there with another address: change that line yourself",
        "# else.test is there with another address: change that line yourself",
    ]
    assert hosts.read_text() == HOSTS
    runner.ok("-c", conf, "hosts", "--write", "--file", hosts)
    first = hosts.read_text()
    assert first.startswith(HOSTS + "\n")
    assert first[len(HOSTS) + 1:].splitlines()[1:-1] == [
        "127.0.0.1 shop.test", "127.0.0.1 www.shop.test", "127.0.0.2 two.test"]
    assert "has all of them" in runner.ok("-c", conf, "hosts", "--write", "--file", hosts)
    hosts.write_text(first + "::1 last.test\n")
    runner.ok("-c", conf, "hosts", "new.test", "--write", "--file", hosts)
    second = hosts.read_text()
    assert "two.test\n127.0.0.1 new.test\n# names" in second and second.endswith("::1 last.test\n")
    assert second.count("begin") == 1
    assert "cannot read" in runner.fails("-c", conf, "hosts", "--file", runner.dir)


def get_tls(runner, port, host="shop.localhost", authority=None):
    """As a client that trusts the runner's own authority, or the one given."""
    context = ssl.create_default_context(
        cafile=str(authority or runner.home / "ca" / "local-ca.crt"))
    with socket.create_connection(("127.0.0.1", int(str(port))), wait.TIMEOUT) as plain:
        with context.wrap_socket(plain, server_hostname=host) as client:
            client.sendall(f"GET /x HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            return client.makefile("rb").read().decode().partition("\r\n\r\n")[2]


def test_with_tls(runner, port):
    """--tls: a certificate of the local authority, kept while it is good; other paths keep it."""
    app(runner, "shop")
    app(runner, "api")
    command = ("start", "shop.js", "--domain", "shop.localhost", "--listen", port, "--tls")
    out = runner.ok(*command)
    assert f'https://shop.localhost:{port}/ is served by "shop"' in out and "cert trust" in out
    assert get_tls(runner, port) == "shop 0 shop.localhost /x"
    text = site_file(runner).read_text()
    assert f"listen {port} ssl;" in text and "http2 on;" in text
    key = runner.home / "certs" / "shop.localhost.key"
    assert key.stat().st_mode & 0o777 == 0o600 and str(key) in text
    before = (key.read_bytes(), runner.app("shop")["pid"])
    runner.ok(*command)
    assert (key.read_bytes(), runner.app("shop")["pid"]) == before
    assert site_file(runner).read_text() == text
    runner.ok("start", "api.js", "--domain", "shop.localhost", "--path", "/x")
    assert get_tls(runner, port) == "api 0 shop.localhost /x"
    runner.ok("start", "api", "--domain", "api.localhost", "--tls")
    assert f"listen {port} ssl;" in site_file(runner, "api.localhost").read_text()
    assert get_tls(runner, port, "api.localhost") == "api 0 api.localhost /x"


def test_tls_comes_to_a_domain_that_is_there(runner, port):
    """The plain port is left for a new one; an authority that is another one makes all anew."""
    app(runner, "shop")
    runner.ok("start", "shop.js", "--domain", "shop.localhost", "--listen", port)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        other = taken.getsockname()[1]
    runner.ok("start", "shop", "--domain", "shop.localhost", "--tls", "--listen", other)
    assert get_tls(runner, other) == "shop 0 shop.localhost /x"
    with pytest.raises(OSError):
        get(port)
    key = runner.home / "certs" / "shop.localhost.key"
    before = key.read_bytes()
    for file in (runner.home / "ca").iterdir():
        file.unlink()
    runner.ok("start", "shop", "--domain", "shop.localhost", "--tls")
    assert key.read_bytes() != before and get_tls(runner, other) == "shop 0 shop.localhost /x"


def test_tls_for_public_names(runner, port):
    """Our authority does not sign for them: it is said what to do, and a certificate can be named."""
    app(runner, "shop")
    start = ("start", "shop.js", "--domain", "shop.example", "--listen", port)
    refused = runner.fails(*start, "--tls")
    assert "public name" in refused and "--certificate FILE" in refused
    assert runner.list() == []
    assert "belong together" in runner.fails(*start, "--tls", "--certificate", "x.crt")
    assert "needs --tls" in runner.fails(
        *start, "--certificate", "x.crt", "--certificate-key", "x.key")
    assert "--tls needs a --domain" in runner.fails("start", "shop.js", "--tls")
    runner.ok("cert", "selfsigned", "shop.example", "--out", runner.dir)
    files = ("--certificate", "shop.example.crt", "--certificate-key", "shop.example.key")
    out = runner.ok(*start, "--tls", *files)
    assert f"https://shop.example:{port}/" in out and "cert trust" not in out
    assert get_tls(runner, port, "shop.example", runner.dir / "shop.example.crt") == (
        "shop 0 shop.example /x")
    assert 'cannot read "no.crt"' in runner.fails(
        *start, "--tls", "--certificate", "no.crt", "--certificate-key", "no.key")
    assert get_tls(runner, port, "shop.example", runner.dir / "shop.example.crt") == (
        "shop 0 shop.example /x")


def test_tls_and_an_edited_file(runner, port):
    """What would be needed is said, with the certificate."""
    app(runner, "shop")
    runner.ok("start", "shop.js", "--domain", "shop.localhost", "--listen", port)
    site_file(runner).write_text(site_file(runner).read_text() + "# mine\n")
    message = runner.fails("start", "shop", "--domain", "shop.localhost", "--listen", port, "--tls")
    assert f"listen {port} ssl;" in message and "ssl_certificate_key" in message
    assert get(port).startswith("shop")
