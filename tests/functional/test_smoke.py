"""A little of everything, once: what any build, however slow, must be able to do."""

import pytest
from harness.backend import Answer

pytestmark = pytest.mark.smoke


def test_a_file_is_served(pelayan):
    site = pelayan.run(
        http="server { root {dir}/html; }",
        prepare=lambda site: site.file("html/a.txt", "some text"),
    )
    answer = site.get("/a.txt")
    assert (answer.status, answer.text, answer.header("content-length")) == (200, "some text", "9")
    assert site.get("/none.txt").status == 404
    assert site.get("/a.txt", method="HEAD").body == b""
    assert '"GET /a.txt HTTP/1.1" 200 9' in site.access_log(lines=3)


def test_requests_take_turns(pelayan, backend):
    one, two = backend(name="one"), backend(name="two")
    site = pelayan.run(
        main="worker_processes 1;",
        http=f"""upstream app {{ server {one.address}; server {two.address}; }}
            server {{ location / {{ proxy_pass http://app; }} }}""",
    )
    with site.connect() as client:
        names = [client.get("/").header("x-backend") for _ in range(4)]
    assert sorted(names) == ["one", "one", "two", "two"]
    assert one.requests[0].header("host") == "app"


def test_a_body_reaches_the_backend_and_returns(pelayan, backend):
    app = backend(answers=lambda request: (200, request.body[::-1]))
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; }} }}")
    body = bytes(range(256)) * 400
    assert site.get("/", method="POST", body=body).body == body[::-1]
    assert site.get("/", method="POST", body=[b"in ", b"pieces"]).body == b"seceip ni"


def test_a_dead_backend_is_502_and_its_return_is_noticed(pelayan, backend):
    app = backend()
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; }} }}")
    assert site.get("/").status == 200
    app.stop()
    assert site.get("/").status == 502
    site.wait_for_log("Connection refused")
    app.start()
    assert site.get("/").status == 200


def test_a_websocket_passes(pelayan, backend):
    app = backend(answers=Answer(echo=True))
    site = pelayan.run(
        http=f"""server {{ location / {{ proxy_pass {app.url}; proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }} }}"""
    )
    with site.connect() as client:
        assert client.upgrade("/ws").status == 101
        client.send(b"\x81\x02hi")
        assert client.read(4) == b"\x81\x02hi"


def test_names_choose_servers(pelayan):
    site = pelayan.run(
        http="""server { server_name one.test; return 200 "one"; }
            server { server_name two.test; return 200 "two"; }"""
    )
    assert site.get("/", host="two.test").text == "two"
    assert site.get("/", host="other.test").text == "one"


def test_a_reload_applies_and_a_bad_one_does_not(pelayan):
    site = pelayan.run(http='server { return 200 "old"; }')
    assert site.get("/").text == "old"
    site.reload(http='server { return 200 "new"; }')
    assert site.get("/").text == "new"
    refused = site.reload(http="server { no_such_directive; }", check=False)
    assert refused.returncode == 1 and "no_such_directive" in refused.stderr
    assert site.get("/").text == "new"


def test_garbage_is_refused(pelayan):
    site = pelayan.run(http="server { return 204; }")
    assert site.raw(b"no request\r\n\r\n").startswith(b"HTTP/1.1 400 ")
