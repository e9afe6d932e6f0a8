"""Request bodies in files: client_body_in_file_only and what is too large for memory."""

import pytest


@pytest.mark.parametrize("how, stays", [("on", True), ("clean", False)])
def test_every_body_in_a_file(pelayan, backend, how, stays):
    seen = []

    def answer(request):
        name = request.header("x-file", "")
        with open(name, "rb") as file:
            seen.append((name, file.read(), request.body))
        return 200

    app = backend(answers=answer)
    site = pelayan.run(
        main="user root;",
        http=f"""client_body_in_file_only {how}; server {{ location / {{ proxy_pass {app.url};
            proxy_set_header X-File $request_body_file; proxy_pass_request_body off;
            proxy_set_header Content-Length ""; }}
            location /none {{ return 200 "$request_body_file"; }} }}""",
    )
    for body in (b"x", b"y" * 100_000, [b"in ", b"pieces"]):
        assert site.get("/", method="POST", body=body).status == 200
    assert [contents for _, contents, _ in seen] == [b"x", b"y" * 100_000, b"in pieces"]
    assert {passed for *_, passed in seen} == {b""} and len({name for name, *_ in seen}) == 3
    folder = site.dir / "tmp/client_body"
    site.access_log(lines=3)
    assert len(list(folder.iterdir())) == (3 if stays else 0)
    assert site.get("/none", method="POST", body=b"z").text == ""


def test_a_large_body_goes_to_a_file_and_leaves_none(pelayan, backend):
    app = backend(answers=lambda request: request.body[::-1])
    site = pelayan.run(
        http=f"client_body_buffer_size 4k; server {{ client_max_body_size 10m; location / {{ proxy_pass {app.url}; }} }}"
    )
    body = bytes(range(256)) * 8000
    assert site.get("/", method="POST", body=body).body == body[::-1]
    assert site.get("/", method="POST", body=[body, body]).body == (body + body)[::-1]
    site.wait_for_log("a client request body is buffered to a temporary file")
    assert list((site.dir / "tmp/client_body").iterdir()) == []


def test_no_file_without_a_body(pelayan, backend):
    app = backend()
    site = pelayan.run(
        http=f"client_body_in_file_only on; server {{ location / {{ proxy_pass {app.url}; }} }}"
    )
    assert site.get("/").status == 200
    assert site.get("/", method="POST", body=b"").status == 200
    assert list((site.dir / "tmp/client_body").iterdir()) == []
