"""A smoke run under valgrind: it sees reads of what was never written, which sanitizers of gcc do not."""

import re
import shutil
import signal

import pytest
from harness import wait
from harness.process import SANITIZED, InNamespaces
from harness.wait import TIMEOUT

# Children that only ask end without giving back: of leaks only those count that live long.
VALGRIND = ["valgrind", "--quiet", "--trace-children=yes", "--vgdb=no", "--leak-check=full",
            "--show-leak-kinds=definite"]  # fmt: skip
SLOW = TIMEOUT * 6


@pytest.mark.skipif(SANITIZED, reason="two kinds of shadow memory do not go together")
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="no valgrind")
def test_a_smoke_run(pelayan, backend, tmp_path):
    app = backend(answers=lambda request: request.body or b"answer" * 1000)
    with InNamespaces(*VALGRIND, f"--log-file={tmp_path}/valgrind.%p"):
        # valgrind makes system calls of its own, in the worker's name
        site = pelayan.run(
            main="worker_processes 2; worker_seccomp off;",
            http=f"""http2 on; map $uri $m {{ ~^/m(.)$ $1; default none; }} gzip on; gzip_min_length 1;
                server {{ root {{dir}}/html; location /app {{ proxy_pass {app.url}; }}
                location ~ ^/r/(.*)$ {{ rewrite ^ /file last; }}
                location /m {{ return 200 "$m $request_id"; }} }}""",
            prepare=lambda site: site.file("html/file", b"x" * 50_000),
            wait_for=(),
        )
    wait.until(lambda: "is served by" in site.error_log(), "a worker", SLOW)
    with site.connect(timeout=SLOW) as client:
        for path in ("/file", "/r/x", "/m1", "/none", "/app"):
            for headers in ({}, {"Accept-Encoding": "gzip"}, {"Range": "bytes=1-5"}):
                assert client.get(path, headers=headers).status in (200, 206, 404), path
        assert len(client.get("/app", method="POST", body=[b"x" * 9000] * 9).body) == 81_000
    site.reload()
    lasting = {str(pid) for pid in (site.pid, *site.workers())}
    assert site.get("/file", timeout=SLOW).status == 200
    assert site.raw(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", timeout=SLOW).startswith(b"HTTP/1.1 400")
    site.signal(signal.SIGQUIT)
    assert site.wait_exit(SLOW) == 0
    said = {path.suffix[1:]: path.read_text(errors="replace") for path in tmp_path.glob("valgrind.*")}
    for pid, text in said.items():
        assert pid not in lasting or "==" not in text, text
        assert not re.search(r"==\d+== (Invalid|Use of|Conditional|Syscall|Source and|Mismatched)", text), text
    assert lasting <= said.keys()
