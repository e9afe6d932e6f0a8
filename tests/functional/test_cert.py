"""pelayan cert: looking at certificates, and HTTPS on one's own machine without warnings."""

import json
import os
import shutil
import stat
import subprocess

import pytest
from harness.certs import Authority, openssl
from harness.wait import TIMEOUT
from test_tls_clients import server


@pytest.fixture
def cert(pelayan, tmp_path):
    """`pelayan cert ...` of a user whose home is below tmp_path."""
    home = tmp_path / "home"
    home.mkdir()

    def run(*args, place=None, **env):
        env = {"HOME": str(home), "PELAYAN_HOME": str(home / "state"), **env}
        if place is None:
            return pelayan.command("cert", *map(str, args), **env)
        return place.command("-c", str(place.conf), "-p", str(place.dir), "cert", *map(str, args), **env)
    run.home, run.state = home, home / "state"
    return run


def files_of(result):
    """The two lines for a configuration that were printed: (crt, key)."""
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()[:2]
    assert first.startswith("ssl_certificate ") and second.startswith("ssl_certificate_key ")
    return first.split()[1].rstrip(";"), second.split()[1].rstrip(";")


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_local_certificate(pelayan, cert):
    """Good for what trusts the authority; keys are for their owner alone."""
    crt, key = files_of(cert("local", "app.localhost", "api.test", "127.0.0.1"))
    ca = cert.state / "ca/local-ca.crt"
    assert mode(key) == mode(cert.state / "ca/local-ca.key") == 0o600
    assert mode(cert.state) == 0o700
    site = pelayan.run(http=server((crt, key), "return 200 fine;", "app.localhost"))
    told = subprocess.run(["curl", "-sS", "--cacert", ca, f"https://app.localhost:{site.port}/"],
                          capture_output=True, text=True, timeout=TIMEOUT, check=True)
    assert told.stdout == "fine"
    assert not [name for name in os.listdir(cert.state / "certs") if name.endswith(".new")]


def test_what_cannot_be_read_fails(cert):
    """Whatever was asked of it, and it is said."""
    for what in ("show", "check"):
        result = cert(what, "/no/such/file")
        assert result.returncode == 1 and "No such file or directory" in result.stdout


def test_authority_is_kept_and_certificates_are_new(cert):
    first, _ = files_of(cert("local"))
    ca, leaf = (cert.state / "ca/local-ca.crt").read_text(), open(first).read()
    second, _ = files_of(cert("local"))
    assert second == first
    assert (cert.state / "ca/local-ca.crt").read_text() == ca
    assert open(second).read() != leaf
    assert "localhost, 127.0.0.1, ::1" in cert("show", first).stdout


def test_authority_signs_for_local_names_only(cert, tmp_path):
    """Not by our command, and whoever steals its key has nothing: clients refuse the rest."""
    refused = cert("local", "example.com")
    assert refused.returncode == 1 and "example.com" in refused.stderr
    files_of(cert("local"))
    ca = cert.state / "ca/local-ca"
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "k", "-out", tmp_path / "csr",
            "-subj", "/CN=example.com")
    openssl("x509", "-req", "-in", tmp_path / "csr", "-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-CAcreateserial",
            "-out", tmp_path / "stolen.crt", "-extfile", "/dev/stdin", data="subjectAltName=DNS:example.com\n")
    told = openssl("verify", "-CAfile", f"{ca}.crt", tmp_path / "stolen.crt", check=False)
    assert told.returncode != 0 and "permitted subtree violation" in told.stdout + told.stderr


@pytest.mark.parametrize("name", ["", "-a.test", "a..test", "a b.test", "a,DNS:example.com", "x" * 64 + ".test", "a.test/../b"])
def test_bad_names_are_refused(cert, name):
    result = cert("selfsigned", "--", name) if name.startswith("-") else cert("selfsigned", name)
    assert result.returncode != 0
    assert not (cert.state / "certs").exists() or not os.listdir(cert.state / "certs")


@pytest.mark.parametrize("extra, kind", [([], "ECDSA prime256v1"), (["--rsa"], "RSA 2048")])
def test_selfsigned(pelayan, cert, tmp_path, extra, kind):
    crt, key = files_of(cert("selfsigned", "*.example.com", "example.com", "--days", "30", "--out", tmp_path, *extra))
    assert (crt, key) == (f"{tmp_path}/_.example.com.crt", f"{tmp_path}/_.example.com.key")
    shown = json.loads(cert("show", crt, "--key", key, "--json").stdout)[0]["chain"][0]
    assert (shown["self_signed"], shown["key"], shown["names"]) == (True, kind, "*.example.com, example.com")
    assert shown["days_left"] in (29, 30)
    site = pelayan.run(http=server((crt, key), "return 200 fine;", "*.example.com"))
    told = subprocess.run(["curl", "-sS", "--cacert", crt, "--connect-to", f"::127.0.0.1:{site.port}",
                           "https://a.example.com/"], capture_output=True, text=True, timeout=TIMEOUT, check=True)
    assert told.stdout == "fine"


def check(cert, *args, place=None):
    result = cert("check", *args, "--json", place=place)
    return result.returncode, [(it["status"], [x["text"] for x in it["findings"] if x["level"] != "note"])
                               for it in json.loads(result.stdout)]


def test_check_of_files(cert, authority, tmp_path):
    """0: good; 2: ends soon; 1: expired, of another key, out of order, no certificate, missing."""
    good, soon = authority.issue("good", days=90), authority.issue("soon", days=5)
    assert check(cert, good[0], "--key", good[1]) == (0, [("good", [])])
    assert check(cert, soon[0])[0] == 2
    assert check(cert, soon[0], "--days", "3")[0] == 0
    code, found = check(cert, good[0], "--key", soon[1])
    assert code == 1 and "the key is not that of the certificate" in found[0][1][0]
    mixed = tmp_path / "mixed.crt"
    mixed.write_text(good[0].read_text() + soon[0].read_text())
    code, found = check(cert, mixed)
    assert code == 1 and "did not issue" in str(found)
    code, found = check(cert, good[1], tmp_path / "missing")
    assert code == 1 and "no certificate" in str(found[0]) and "No such file" in str(found[1])
    assert cert("check", good[0], "--days", "x").returncode == 2
    assert cert("nothing").returncode == 2


def test_expired(cert, tmp_path):
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "k", "-out", tmp_path / "c",
            "-subj", "/CN=old.test", "-days", "1")
    faked = subprocess.run(["openssl", "x509", "-in", tmp_path / "c", "-signkey", tmp_path / "k", "-days", "-1"],
                           capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout
    (tmp_path / "c").write_text(faked)
    code, found = check(cert, tmp_path / "c")
    assert code == 1 and "has expired" in found[0][1][0]


def test_certificates_of_a_configuration(pelayan, cert, authority, localhost):
    """Who uses which; names that it does not cover; a broken one; those that depend on the connection."""
    other = authority.issue("one.test", "one.test", "*.one.test")
    place = pelayan.place(http=server(localhost, "return 200 a;")
                          + server(other, "return 200 b;", "one.test *.one.test")
                          + server(other, "return 200 c;", "two.test")
                          + server((other[0], localhost[1]), "return 200 d;", "mixed.test")
                          + server(("/etc/$ssl_server_name.crt", "/etc/$ssl_server_name.key"), "return 200 e;", "v.test"))
    listed = json.loads(cert("ls", "--json", place=place).stdout)
    assert [it.get("servers") for it in listed] == ["localhost", "one.test, two.test", "mixed.test", "v.test"]
    assert [it["status"] for it in listed] == ["good", "wrong", "wrong", "good"]
    assert [it["text"] for it in listed[1]["findings"]] == ['it is not for "two.test"']
    assert "the key is not that of the certificate" in str(listed[2]["findings"])
    assert cert("check", place=place).returncode == 1
    text = cert("ls", place=place)
    assert text.returncode == 0 and "(one.test, two.test)" in text.stdout and "varies" in text.stdout


def test_host(pelayan, cert, authority, localhost):
    """What a server shows, with the eyes of a client of this system."""
    site = pelayan.run(http=server(localhost, "return 200 a;"))
    code, found = check(cert, f"localhost:{site.port}")
    assert code == 1 and "does not trust" in found[0][1][0]
    assert "names        localhost, 127.0.0.1" in cert("show", f"127.0.0.1:{site.port}").stdout
    code, found = check(cert, f"other.localhost:{site.port}")
    assert code == 1 and 'not for "other.localhost"' in str(found)
    code, found = check(cert, "localhost:1")
    assert code == 1 and "no connection" in str(found)


SYSTEM = """mount -t tmpfs none /usr/local/share/ca-certificates && cp -a /etc/ssl/certs $DIR/certs &&
mount --bind $DIR/certs /etc/ssl/certs && cd / && "$@" cert trust --system && curl -sS $URL &&
"$@" cert check $HOST && "$@" cert untrust --system && ! curl -sS $URL"""


@pytest.mark.skipif(not os.path.isdir("/usr/local/share/ca-certificates") or subprocess.run(
    ["unshare", "-rm", "true"], check=False, capture_output=True).returncode != 0,
    reason="needs Debian's ca-certificates, and namespaces of its own")
def test_the_system_trusts(pelayan, cert, tmp_path):
    """curl without options; in a namespace, so that this machine's own store is left alone."""
    site = pelayan.run(http=server(files_of(cert("local", "localhost")), "return 200 'fine ';"))
    told = subprocess.run(["unshare", "-rm", "sh", "-ec", SYSTEM, "sh", os.environ["PELAYAN_BIN"]],
                          capture_output=True, text=True, timeout=TIMEOUT * 30, check=False,
                          env={**os.environ, "HOME": str(cert.home), "PELAYAN_HOME": str(cert.state),
                               "DIR": str(tmp_path), "URL": f"https://localhost:{site.port}/",
                               "HOST": f"localhost:{site.port}"})
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.count("fine") == 1


@pytest.mark.skipif(not (shutil.which("chromium") and shutil.which("certutil")),
                    reason="needs what tools/setup story brings")
def test_chromium_trusts(pelayan, cert):
    """A page over HTTP/2 without a warning, and not any more when the trust is taken back."""
    files = files_of(cert("local", "app.localhost"))
    site = pelayan.run(http="http2 on;" + server(
        files, "default_type text/html; return 200 '<p>fine over $http2</p>';", "app.localhost"))

    def page():
        return subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
                               f"https://app.localhost:{site.port}/"], capture_output=True, text=True, check=False,
                              timeout=TIMEOUT * 30, env={**os.environ, "HOME": str(cert.home)}).stdout

    trusted = cert("trust", "--browser")
    assert trusted.returncode == 0, trusted.stderr
    assert "<p>fine over h2</p>" in page()
    assert cert("untrust", "--browser").returncode == 0
    assert "fine over" not in page()


def test_another_authority_is_not_ours(cert, tmp_path):
    """Files that are broken are told, not replaced."""
    files_of(cert("local"))
    (cert.state / "ca/local-ca.key").write_text(Authority(tmp_path, "foreign").key.read_text())
    result = cert("local")
    assert result.returncode == 1 and "is broken" in result.stderr
