"""OCSP stapling: from a file, and asked for beside the traffic."""

import re
import subprocess

import pytest
from harness.certs import openssl
from harness.ports import Port
from harness.wait import TIMEOUT, until


def status(site, authority):
    """What openssl says about the staple of a new connection."""
    told = openssl("s_client", "-connect", f"127.0.0.1:{site.port}", "-servername", "localhost", "-status",
                   "-CAfile", authority.crt, data="", check=False).stdout
    found = re.search(r"Cert Status: (\w+)", told)
    return found.group(1) if found else None


@pytest.fixture
def index(authority, localhost, tmp_path):
    """The authority's list of what it issued, as openssl's responder reads it."""
    serial = openssl("x509", "-in", localhost[0], "-noout", "-serial").stdout.strip().split("=")[1]
    path = tmp_path / "index.txt"
    path.write_text(f"V\t360101000000Z\t\t{serial}\tunknown\t/CN=localhost\n")
    return path


def conf(authority, files, extra):
    return f"""server {{ listen 127.0.0.1:{{port}} ssl; ssl_certificate {files[0]}; ssl_certificate_key {files[1]};
        ssl_trusted_certificate {authority.crt}; ssl_stapling on; {extra} return 200 ok; }}"""


def test_answer_from_a_file(pelayan, authority, localhost, index, tmp_path):
    openssl("ocsp", "-index", index, "-CA", authority.crt, "-rsigner", authority.crt, "-rkey", authority.key,
            "-issuer", authority.crt, "-cert", localhost[0], "-ndays", "1", "-respout", tmp_path / "answer")
    site = pelayan.run(http=conf(authority, localhost,
                                 f"ssl_stapling_verify on; ssl_stapling_file {tmp_path}/answer;"))
    assert status(site, authority) == "good"


def test_answer_is_asked_for(pelayan, authority, localhost, index):
    """The first client gets none and is not kept waiting; later ones do."""
    claim = Port()
    responder = subprocess.Popen(
        ["openssl", "ocsp", "-index", index, "-CA", authority.crt, "-rsigner", authority.crt, "-rkey", authority.key,
         "-port", str(claim.number), "-ndays", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while b"waiting" not in responder.stderr.readline():  # a connection without a request ends it
            assert responder.poll() is None
        site = pelayan.run(http=conf(authority, localhost, f"""ssl_stapling_verify on;
            ssl_stapling_responder http://127.0.0.1:{claim.number}/;"""))
        until(lambda: status(site, authority) == "good", "a staple")
    finally:
        responder.kill()
        responder.wait(TIMEOUT)
        responder.stderr.close()
        claim.release()


def test_dead_responder_harms_nobody(pelayan, authority, localhost):
    site = pelayan.run(http=conf(authority, localhost, "ssl_stapling_responder http://127.0.0.1:1/;"))
    for _ in range(3):
        assert status(site, authority) is None
    assert authority.get(site)[2] == b"ok"


@pytest.mark.parametrize("extra, words", [
    ("", "no OCSP responder URL"), ("ssl_stapling_responder https://x/;", "only http://"),
    ("ssl_stapling_file {dir}/nginx.conf;", "does not say that the certificate is good")])
def test_what_cannot_be_stapled_is_a_warning(pelayan, authority, localhost, extra, words):
    result = pelayan.check(http=conf(authority, localhost, extra))
    assert result.returncode == 0 and "[warn]" in result.stderr and words in result.stderr
