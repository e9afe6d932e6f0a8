"""Files as people have them, in miniature: each loads without a word and does what it says.

configs/*.conf: lines that begin with "#>" are requests and what is expected of the answer:

    #> METHOD host path [Name:value ...] -> status [text in the body, or a header field]

{app} and {app2} are backends that answer "METHOD path"; a status of 444 is a close without answer.
"""

import re
import shlex
from pathlib import Path

import pytest
from harness.client import BadMessage
from harness.site import ROOT

CONFIGS = sorted(Path(__file__).parent.glob("configs/*.conf"))
FILES = {
    "html/index.html": "<p>welcome</p>",
    "html/50x.html": "an error",
    "html/404.html": "not here",
    "html/maintenance.html": "back soon",
    "html/.git/config": "secret",
    "html/.htaccess": "secret",
    "html/index.html~": "a backup",
    "html/pixel.png": "an image",
    "html/assets/app.js": "let x;",
    "html/bob/index.html": "bob's page",
    "html/.well-known/acme-challenge/token": "proof",
    "htpasswd": "bob:{PLAIN}secret\n",
}


def prepare(site):
    for name, text in FILES.items():
        site.file(name, text)
    site.file("mime.types", (ROOT / "packaging/mime.types").read_text())


def expectations(text):
    for line in re.findall(r"^#> (.*)$", text, re.M):
        request, _, expected = line.partition(" -> ")
        method, host, path, *fields = shlex.split(request)
        status, _, rest = expected.partition(" ")
        yield method, host, path, [tuple(field.split(":", 1)) for field in fields], int(status), rest


def ask(site, method, host, path, fields):
    try:
        return site.get(path, method=method, host=host, headers=fields)
    except BadMessage:
        return None


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config(pelayan, backend, path):
    def answer(request):
        return 200, f"{request.method} {request.target}"

    text = path.read_text()
    for token, app in (("{app}", backend(answer)), ("{app2}", backend(answer))):
        text = text.replace(token, app.address)
    site = pelayan.run(full=text, prepare=prepare)
    verdict = site.check()
    assert verdict.returncode == 0
    # copied along everywhere: it means nothing without proxy_cache, in nginx neither
    warnings = [line for line in verdict.stderr.splitlines() if "[warn]" in line]
    assert all('"proxy_cache_bypass" has no effect' in line for line in warnings), verdict.stderr
    for method, host, target, fields, status, rest in expectations(text):
        response = ask(site, method, host, target, fields)
        told = f"{method} {host}{target}: {response}"
        assert (444 if response is None else response.status) == status, told
        if rest and response is not None:
            head = [f"{name}: {value}".lower() for name, value in response.headers]
            found = rest in response.text or any(field.startswith(rest.lower()) for field in head)
            assert found, f"{told}: no {rest!r}"
