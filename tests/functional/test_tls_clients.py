"""HTTPS to clients: handshakes, names, certificates that are missing, sessions, client certificates."""

import os
import re
import shutil
import socket
import ssl
import subprocess

import pytest
from harness.backend import Answer
from harness.certs import Authority, exchange, openssl
from harness.wait import TIMEOUT, until


def pair(files):
    crt, key = files
    return f"ssl_certificate {crt}; ssl_certificate_key {key};"


def server(files, rest, name="localhost", port="port", listen="ssl"):
    return f"server {{ listen 127.0.0.1:{{{port}}} {listen}; server_name {name}; {pair(files)} {rest} }}"


def test_facts_of_a_connection(pelayan, authority, localhost):
    """$https, $scheme and what the handshake agreed on."""
    site = pelayan.run(http=server(localhost, """return 200
        "$scheme $https $ssl_protocol $ssl_cipher $ssl_server_name $ssl_alpn_protocol $ssl_session_reused";"""))
    context = authority.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    status, _, body = authority.get(site, context=context)
    assert (status, body.decode()) == (
        200, "https on TLSv1.3 TLS_AES_256_GCM_SHA384 localhost http/1.1 .")


def test_curl_agrees(pelayan, authority, localhost):
    """A client that is not Python's; several requests on one connection."""
    site = pelayan.run(http=server(localhost, 'return 200 "$connection_requests ";'))
    urls = [f"https://localhost:{site.port}/"] * 3
    result = subprocess.run(["curl", "-sS", "--cacert", authority.crt, *urls],
                            capture_output=True, text=True, timeout=TIMEOUT, check=True)
    assert result.stdout == "1 2 3 "


@pytest.mark.parametrize("size", [0, 1, 4096, 16384, 16385, 3 << 20])
@pytest.mark.parametrize("conf", ["", "ssl_buffer_size 16k;", "ssl_buffer_size 1400;", "sendfile on;"])
def test_bodies_arrive_whole(pelayan, authority, localhost, size, conf):
    data = os.urandom(size)
    site = pelayan.run(lambda it: it.file("html/x", data),
                       http=server(localhost, f"root {{dir}}/html; {conf}"))
    status, _, body = authority.get(site, "/x")
    assert status == 200
    assert body == data


def test_request_body_and_slow_reader(pelayan, authority, localhost, backend):
    """A large request goes through to the peer; its large answer waits for a client that reads late."""
    app = backend(answers=b"x" * (4 << 20))
    site = pelayan.run(http="client_max_body_size 10m;" + server(
        localhost, f"location / {{ proxy_pass {app.url}; }}"))
    data = os.urandom(2 << 20)
    with authority.connect(site) as secure:
        secure.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: "
                       + str(len(data)).encode() + b"\r\n\r\n" + data)
        answer = b""
        while piece := secure.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"x" * (4 << 20))


def test_plain_request_on_a_tls_port(pelayan, localhost):
    """nginx's 400, or what error_page 497 says."""
    site = pelayan.run(http=server(localhost, "return 200 ok;")
                       + server(localhost, "error_page 497 =301 https://$host$request_uri;", "other.test"))
    answer = site.get("/")
    assert answer.status == 400
    assert b"The plain HTTP request was sent to HTTPS port" in answer.body
    answer = site.get("/x", host="other.test")
    assert (answer.status, answer.headers["Location"]) == (301, "https://other.test/x")


def test_redirects_name_https(pelayan, authority, localhost):
    site = pelayan.run(http=server(localhost, "location /a { return 301 /b; }"))
    _, head, _ = authority.get(site, "/a")
    assert f"Location: https://localhost:{site.port}/b" in head or "Location: https://localhost/b" in head


def test_names_choose_certificates(pelayan, authority, localhost):
    """Exact, wildcard and regular names; a server without a certificate is served by the default's."""
    one, wild = authority.issue("one.test"), authority.issue("wild", "x.wild.test", "r1.regex.test")
    site = pelayan.run(http=server(localhost, "return 200 default;")
                       + server(one, "return 200 one;", "one.test")
                       + server(wild, "return 200 wild;", "*.wild.test")
                       + server(wild, "return 200 regex;", r"~^r\d+\.regex\.test$")
                       + "server { listen 127.0.0.1:{port} ssl; server_name bare.test; return 200 bare; }")
    for name, want in [("one.test", b"one"), ("x.wild.test", b"wild"), ("r1.regex.test", b"regex"),
                       ("localhost", b"default"), ("ONE.test", b"one")]:
        assert authority.get(site, name=name)[2] == want
    assert authority.get(site, name="bare.test", verify=False)[2] == b"bare"
    with authority.connect(site, "nobody.test", verify=False) as secure:
        assert b"localhost" in secure.getpeercert(binary_form=True)


def test_keys_of_two_kinds(pelayan, authority, localhost):
    """The client's signature algorithms choose between an RSA and an ECDSA certificate."""
    rsa = authority.issue("both", "localhost", kind="rsa")
    site = pelayan.run(http=server(localhost, pair(rsa) + "return 200 ok;"))
    for kind, want in [("ECDSA+SHA256", "id-ecPublicKey"), ("rsa_pss_rsae_sha256", "rsaEncryption")]:
        told = openssl("s_client", "-connect", f"127.0.0.1:{site.port}", "-servername", "localhost",
                       "-sigalgs", kind, data="", check=False).stdout
        cert = told[told.index("-----BEGIN"):told.index("-----END CERTIFICATE-----") + 26]
        assert want in openssl("x509", "-noout", "-text", data=cert).stdout


def test_protocols_and_ciphers_of_a_name(pelayan, authority, localhost):
    """ssl_protocols and ssl_ciphers count for the server that is asked for, not for the default one."""
    old = authority.issue("old.test")
    site = pelayan.run(http=server(localhost, "return 200 $ssl_protocol;") + server(
        old, "ssl_protocols TLSv1.2; ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256; return 200 $ssl_cipher;",
        "old.test"))
    assert authority.get(site)[2] == b"TLSv1.3"
    assert authority.get(site, name="old.test")[2] == b"ECDHE-ECDSA-AES128-GCM-SHA256"
    with pytest.raises(ssl.SSLError):
        authority.get(site, name="old.test", minimum_version=ssl.TLSVersion.TLSv1_3)


def test_rejected_names(pelayan, authority, localhost):
    """ssl_reject_handshake for names nobody has: no certificate is needed for that."""
    site = pelayan.run(http="server { listen 127.0.0.1:{port} ssl default_server; ssl_reject_handshake on; }"
                       + server(localhost, "return 200 ok;"))
    assert authority.get(site)[2] == b"ok"
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized"):
        authority.get(site, name="other.test")


@pytest.mark.parametrize("fault", ["missing", "garbage", "other key", "none"])
def test_broken_certificate_harms_its_names_only(pelayan, authority, localhost, fault):
    """The rest serves; the log, -t and the handshake say what is wrong; --strict makes it an error."""
    broken = authority.issue("broken.test")

    def prepare(site):
        crt, key = site.dir / "b.crt", site.dir / "b.key"
        shutil.copy(broken[0], crt)
        shutil.copy(localhost[1] if fault == "other key" else broken[1], key)
        if fault == "missing":
            crt.unlink()
        if fault == "garbage":
            crt.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")

    files = ("{dir}/b.crt", "{dir}/b.key")
    bad = server(files, "return 200 bad;", "broken.test")
    if fault == "none":  # of the default server, and nothing to fall back on
        bad = "server { listen 127.0.0.1:{port2} ssl; return 200 bad; }"
    site = pelayan.run(prepare, http=server(localhost, "return 200 ok;") + bad)
    assert authority.get(site)[2] == b"ok"
    with pytest.raises(ssl.SSLError, match="(?i)internal error"):
        authority.get(site, name="broken.test", port="port2" if fault == "none" else "port")
    site.wait_for_log("certificate of server .* is missing or broken.*SSL handshaking, client: 127")
    lenient, strict = site.check(), site.check("--strict")
    assert lenient.returncode == 0 and "[warn]" in lenient.stderr
    assert strict.returncode != 0 and "[emerg]" in strict.stderr


def test_reload_picks_up_new_certificates(pelayan, authority, localhost):
    site = pelayan.run(lambda it: [shutil.copy(f, it.dir / n) for f, n in zip(localhost, ("c", "k"))],
                       http=server(("{dir}/c", "{dir}/k"), "return 200 ok;"))
    fresh = authority.issue("fresh", "localhost")

    def serial():
        with authority.connect(site) as secure:
            return secure.getpeercert()["serialNumber"]

    before = serial()
    with authority.connect(site) as old:
        for source, name in zip(fresh, ("c", "k")):
            shutil.copy(source, site.dir / name)
        site.reload()
        until(lambda: serial() != before, "the new certificate")
        assert exchange(old)[0] == 200  # who is connected stays so


@pytest.mark.parametrize("tickets", ["on", "off"])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_sessions_survive_a_reload(pelayan, authority, localhost, tickets, version):
    """Resumed by tickets or by the shared cache, on any loop, before and after a reload."""
    conf = (f"ssl_session_tickets {tickets}; ssl_session_cache shared:S:1m;"
            + server(localhost, "return 200 $ssl_session_reused;"))
    main = "worker_processes 4;"
    site = pelayan.run(main=main, http=conf)
    context = authority.context(maximum_version=getattr(ssl.TLSVersion, version))

    def ask(session=None):
        with authority.connect(site, context=context, session=session) as secure:
            return exchange(secure)[2], secure.session

    answer, session = ask()
    assert answer == b"."
    for _ in range(4):
        answer, session = ask(session)
        assert answer == b"r"
    site.reload(main=main, http=conf + "# changed\n")
    assert ask(session)[0] == b"r"


def test_one_ticket_for_a_connection(pelayan, authority, localhost):
    """One ticket costs less than two; also who resumes gets a new one."""
    site = pelayan.run(http=server(localhost, "return 200 ok;"))
    request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    told = openssl("s_client", "-connect", f"127.0.0.1:{site.port}", "-servername", "localhost", "-ign_eof", "-msg",
                   data=request, check=False).stdout
    assert told.count("NewSessionTicket") == 1


def test_sessions_do_not_cross_servers(pelayan, authority, localhost):
    """A session of a server that asked for nothing does not open one that asks for a certificate."""
    other = authority.issue("strict.test")
    site = pelayan.run(http="ssl_session_cache shared:S:1m;" + server(localhost, "return 200 $ssl_session_reused;")
                       + server(other, f"""ssl_verify_client on; ssl_client_certificate {authority.crt};
                                return 200 $ssl_session_reused;""", "strict.test"))
    context = authority.context()
    with authority.connect(site, context=context) as secure:
        exchange(secure)
        session = secure.session
    with authority.connect(site, "strict.test", context=context, session=session) as secure:
        assert exchange(secure, host="strict.test")[0] == 400
    with authority.connect(site, context=context) as secure:
        assert exchange(secure, host="strict.test")[0] == 421


@pytest.mark.parametrize("mode, shown, want", [
    ("on", None, 400), ("on", "good", 200), ("on", "foreign", 400), ("optional", None, 200),
    ("optional", "foreign", 400), ("optional_no_ca", "foreign", 200), ("optional_no_ca", None, 200)])
def test_client_certificates(pelayan, authority, localhost, tmp_path, mode, shown, want):
    """495 and 496 are a 400 with nginx's words; the variables tell the rest."""
    files = {"good": authority.issue, "foreign": Authority(tmp_path, "foreign").issue}.get(shown)
    client = files("client") if files else None
    site = pelayan.run(http=server(localhost, f"""ssl_verify_client {mode};
        ssl_client_certificate {authority.crt};
        return 200 "$ssl_client_verify|$ssl_client_s_dn|$ssl_client_i_dn|$ssl_client_v_remain";"""))
    status, _, body = authority.get(site, client=client)
    assert status == want
    if want == 400:
        assert (b"No required SSL certificate" if shown is None else b"SSL certificate error") in body
    elif shown == "good":
        assert re.fullmatch(rb"SUCCESS\|CN=client\|CN=ca of tests\|(29|30)", body)
    else:
        assert body.startswith(b"NONE" if shown is None else b"FAILED:")


def test_revoked_client(pelayan, authority, localhost, tmp_path):
    """ssl_crl: who is on the list is refused, who is not is not."""
    bad, good = authority.issue("revoked"), authority.issue("fine")
    (tmp_path / "index.txt").write_text("")
    conf = tmp_path / "ca.conf"
    conf.write_text(f"[ca]\ndefault_ca=x\n[x]\ndatabase={tmp_path}/index.txt\ndefault_md=sha256\n"
                    "default_crl_days=30\n")
    signed = ["-config", conf, "-cert", authority.crt, "-keyfile", authority.key]
    openssl("ca", *signed, "-revoke", bad[0])
    openssl("ca", *signed, "-gencrl", "-out", tmp_path / "list.crl")
    site = pelayan.run(http=server(localhost, f"""ssl_verify_client on; ssl_crl {tmp_path}/list.crl;
        ssl_client_certificate {authority.crt}; return 200 ok;"""))
    assert authority.get(site, client=good)[0] == 200
    assert authority.get(site, client=bad)[0] == 400


def test_certificates_from_variables_and_text(pelayan, authority, localhost):
    """A file per name, read when it is asked for; "data:" has the text itself."""
    text = [path.read_text() for path in localhost]
    named = authority.issue("named.test")

    def prepare(site):
        for end, source in zip(("crt", "key"), named):
            shutil.copy(source, site.dir / f"named.test.{end}")
            (site.dir / f"named.test.{end}").chmod(0o644)

    site = pelayan.run(prepare, http=f"""
        server {{ listen 127.0.0.1:{{port}} ssl; server_name localhost; return 200 data;
            ssl_certificate "data:{text[0]}"; ssl_certificate_key "data:{text[1]}"; }}
        server {{ listen 127.0.0.1:{{port}} ssl; server_name ~.; return 200 named;
            ssl_certificate_cache max=10;
            ssl_certificate {{dir}}/$ssl_server_name.crt;
            ssl_certificate_key {{dir}}/$ssl_server_name.key; }}""")
    assert authority.get(site)[2] == b"data"
    for _ in range(2):
        assert authority.get(site, name="named.test")[2] == b"named"
    with pytest.raises(ssl.SSLError):
        authority.get(site, name="missing.test")
    site.wait_for_log("missing.test.crt.*No such file.*SSL handshaking")


def test_password_file(pelayan, authority):
    files = authority.issue("secret", "localhost", password="right")
    site = pelayan.run(lambda it: it.file("pass", "wrong\nright\n", 0o600),
                       http="ssl_password_file {dir}/pass;" + server(files, "return 200 ok;"))
    assert authority.get(site)[2] == b"ok"


def test_proxy_protocol_before_tls(pelayan, authority, localhost):
    """The PROXY line and the first message of TLS may come in one packet."""
    site = pelayan.run(http=server(localhost, "return 200 $proxy_protocol_addr;", listen="ssl proxy_protocol"))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = authority.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        secure.do_handshake()
    with socket.create_connection(("127.0.0.1", site.port), TIMEOUT) as plain:
        plain.sendall(b"PROXY TCP4 192.0.2.7 127.0.0.1 4000 443\r\n" + outgoing.read())
        for step in (secure.do_handshake, lambda: secure.write(
                b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")):
            while True:
                try:
                    step()
                    break
                except ssl.SSLWantReadError:
                    incoming.write(plain.recv(65536))
        plain.sendall(outgoing.read())
        answer = b""
        while piece := plain.recv(65536):
            incoming.write(piece)
        while piece := secure.read(65536):
            answer += piece
    assert answer.endswith(b"192.0.2.7")


def test_garbage_and_silence(pelayan, authority, localhost):
    """Broken messages end their connection; silence ends it after client_header_timeout."""
    site = pelayan.run(http="client_header_timeout 300ms;" + server(localhost, "return 200 ok;"))
    hello = b"\x16\x03\x01\x02\x00" + b"\x01\x00\x01\xfc\x03\x03"
    for data in (b"\x16", b"\x16\x03\x01\x00\x05hello", hello + os.urandom(506), b"\x80" * 100, b"\x16" * 40000,
                 b""):
        assert b"200" not in site.raw(data)
    assert authority.get(site)[2] == b"ok"


@pytest.mark.parametrize("conf, words", [
    ("ssl_ciphers NOSUCH;", "ssl_ciphers"), ("ssl_ecdh_curve nosuch;", "ssl_ecdh_curve"),
    ("ssl_conf_command No Such;", "ssl_conf_command"), ("ssl_protocols TLSv9;", "TLSv9"),
    ("ssl_session_cache shared:S;", "invalid session cache"), ("ssl_session_cache off none;", "alone|invalid"),
    ("ssl_session_cache shared:S:1k;", "too small"), ("ssl_verify_client maybe;", "maybe"),
    ("ssl_certificate_cache inactive=3;", "max"), ("ssl_certificate_cache max=x;", "max=x"),
    ("ssl_session_ticket_key {dir}/short;", "48 or 80 bytes"), ("ssl_password_file {dir}/none;", "No such file"),
    ("ssl_certificate {dir}/more.crt;", "ssl_certificate_key"), ("ssl_certificate $nosuch;", "nosuch")])
def test_bad_settings_are_errors(pelayan, localhost, conf, words):
    place = pelayan.place(http=server(localhost, conf))
    place.file("short", "x" * 47)
    result = place.check()
    assert result.returncode != 0
    assert re.search(words, result.stderr), result.stderr


def test_tunnel_through_tls_on_both_sides(pelayan, authority, localhost, backend):
    """WebSocket by wss: bytes of a tunnel go through both connections, more than a record at once."""
    app = backend(answers=Answer(echo=True))
    site = pelayan.run(http=server(localhost, "location / { proxy_pass https://127.0.0.1:{port2}; }")
                       + server(localhost, f"location / {{ proxy_pass {app.url}; }}", port="port2"))
    data = os.urandom(1 << 20)
    with authority.connect(site) as secure:
        secure.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert b"HTTP/1.1 101" in secure.recv(65536)
        for piece in (b"ping", b"pong"):
            secure.sendall(piece)
            assert secure.recv(4) == piece
        answer = b""
        for at in range(0, len(data), 50000):
            secure.sendall(data[at:at + 50000])
            while len(answer) < min(at + 50000, len(data)):
                answer += secure.recv(65536)
        assert answer == data
