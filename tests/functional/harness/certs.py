"""A certificate authority of the test's own, made by openssl, and TLS clients that trust it."""

import contextlib
import socket
import ssl
import subprocess
from pathlib import Path

from .wait import TIMEOUT

KINDS = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}


def openssl(*args, data=None, check=True):
    """Runs openssl; returns the CompletedProcess, its output as text."""
    return subprocess.run(["openssl", *map(str, args)], input=data, capture_output=True, text=True,
                          timeout=TIMEOUT, check=check)


class Authority:
    """Files below `folder`: NAME.crt and NAME.key of whatever was issued; ca.crt of itself."""

    def __init__(self, folder, name="ca"):
        self.dir, self.name = Path(folder), name
        self.crt, self.key = self.dir / f"{name}.crt", self.dir / f"{name}.key"
        openssl("req", "-x509", "-newkey", *KINDS["ec"], "-nodes", "-keyout", self.key,
                "-out", self.crt, "-days", 30, "-subj", f"/CN={name} of tests")

    def issue(self, name, *hosts, kind="ec", days=30, password=None):
        """A certificate for `hosts` (the name itself, if none); returns (crt, key)."""
        crt, key, csr = (self.dir / f"{name}.{end}" for end in ("crt", "key", "csr"))
        secret = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        openssl("req", "-newkey", *KINDS[kind], *secret, "-keyout", key, "-out", csr,
                "-subj", f"/CN={name}")
        names = ",".join(f"DNS:{host}" for host in hosts or [name])
        openssl("x509", "-req", "-in", csr, "-CA", self.crt, "-CAkey", self.key, "-CAcreateserial",
                "-days", days, "-out", crt, "-extfile", "/dev/stdin",
                data=f"subjectAltName={names},IP:127.0.0.1\n")
        key.chmod(0o600)
        return crt, key

    def context(self, client=None, verify=True, **attributes):
        """An SSLContext that trusts this authority; `client` is a pair of files to show."""
        context = ssl.create_default_context(cafile=self.crt)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if client:
            context.load_cert_chain(*client)
        for name, value in attributes.items():
            setattr(context, name, value)
        return context

    @contextlib.contextmanager
    def connect(self, site, name="localhost", port="port", context=None, session=None, **options):
        """A TLS socket to a port of `site` that asks for `name`."""
        context = context or self.context(**options)
        with socket.create_connection(site.address_of(port), TIMEOUT) as plain:
            with context.wrap_socket(plain, server_hostname=name, session=session) as secure:
                yield secure

    def get(self, site, path="/", name="localhost", headers="", **options):
        """One request; returns (status, headers as text, body)."""
        with self.connect(site, name, **options) as secure:
            return exchange(secure, path, options.pop("host", name), headers)


def exchange(secure, path="/", host="localhost", headers=""):
    """A request on a connection, which is closed by the answer."""
    secure.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
                   .encode())
    answer = b""
    while piece := secure.recv(65536):
        answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), head.decode(), body
