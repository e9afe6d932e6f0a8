"""gRPC to backends: grpc_pass with a real client and real servers."""

import os
import re
import subprocess
import tempfile

import pytest
from harness import h2
from harness.grpc import GrpcClient, GrpcServer, fetch
from harness.wait import until


@pytest.fixture
def grpc_server():
    """grpc_server() starts one of @grpc/grpc-js."""
    fetch()
    started = []

    def start(*args, **options):
        started.append(GrpcServer(*args, **options))
        return started[-1]

    yield start
    for server in started:
        server.finish()


def passing(pelayan, target, location="", http="", **more):
    return pelayan.run(main="worker_processes 1;", http=f"""{http} server {{ http2 on; client_max_body_size 0;
        location / {{ grpc_pass {target}; {location} }} }}""", **more)


def test_unary_with_metadata(pelayan, grpc_server):
    """Metadata, also binary, goes there; initial metadata and trailers come back."""
    site = passing(pelayan, f"grpc://{grpc_server().address}", "grpc_set_header X-Front $server_protocol;")
    done = GrpcClient(site).call("unary")
    assert done["code"] == 0 and done["reply"]["text"] == "hello"
    assert done["head"]["x-first"] == "head" and done["trailers"]["x-last"] == "trailer"
    peer = done["reply"]["peer"]
    assert peer["x-mine"] == "yes" and peer["x-front"] == "HTTP/2.0"
    assert peer["x-raw-bin"] == {"type": "Buffer", "data": [0, 1, 254, 255]}


def test_an_error_is_trailers_only(pelayan, grpc_server):
    site = passing(pelayan, f"grpc://{grpc_server().address}")
    done = GrpcClient(site).call("fail")
    assert done["code"] == 9 and done["details"] == "not today: 100% no"
    assert done["trailers"]["x-why"] == "because"


def test_streams(pelayan, grpc_server):
    client = GrpcClient(passing(pelayan, grpc_server().address))  # the scheme may be left out
    assert client.call("count") == {"code": 0, "count": 500, "last": 499}
    done = client.call("sum")
    assert done["code"] == 0 and done["reply"] == {"total": 125250}


def test_messages_go_by_as_they_come(pelayan, grpc_server):
    """In a conversation each side waits for the other."""
    site = passing(pelayan, f"grpc://{grpc_server().address}")
    assert GrpcClient(site).call("chat") == {"code": 0, "answers": list(range(1, 51))}


@pytest.mark.parametrize("scenario, code", [("deadline", 4), ("cancel", 1)])
def test_who_is_in_a_hurry_or_gives_up_is_heard_by_the_server(pelayan, grpc_server, scenario, code):
    site = passing(pelayan, f"grpc://{grpc_server().address}")
    assert GrpcClient(site).call(scenario) == {"code": code, "heard": 1}


def test_large_messages(pelayan, grpc_server):
    site = passing(pelayan, f"grpc://{grpc_server().address}")
    assert GrpcClient(site).call("large") == {"code": 0, "same": True}


def test_many_at_once(pelayan, grpc_server):
    site = passing(pelayan, f"grpc://{grpc_server().address}")
    done = GrpcClient(site).call("together")
    assert done["codes"] == [0] * 50 and done["texts"] == [str(i) for i in range(50)]


def test_upstream_and_unix_socket(pelayan, grpc_server):
    folder = tempfile.mkdtemp(prefix="pelayan-test-")
    os.chmod(folder, 0o755)
    server = grpc_server(path=f"{folder}/grpc.sock")
    site = passing(pelayan, "grpc://app", http=f"upstream app {{ server {server.address}; }}")
    assert GrpcClient(site).call("unary")["code"] == 0
    site = passing(pelayan, f"grpc://{server.address}")
    assert GrpcClient(site).call("unary")["code"] == 0
    os.unlink(server.path) if os.path.exists(server.path) else None
    server.kill()
    os.rmdir(folder) if not os.listdir(folder) else None


def test_tls_on_both_sides(pelayan, grpc_server, authority, localhost):
    crt, key = localhost
    server = grpc_server("one", key, crt)
    site = pelayan.run(http=f"""server {{ listen 127.0.0.1:{{port}} ssl; http2 on; ssl_certificate {crt};
        ssl_certificate_key {key}; location / {{ grpc_pass grpcs://{server.address}; grpc_ssl_verify on;
        grpc_ssl_name localhost; grpc_ssl_server_name on; grpc_ssl_trusted_certificate {authority.crt}; }} }}""")
    done = GrpcClient(site, ca=authority.crt, host="localhost").call("unary")
    assert done["code"] == 0 and done["reply"]["text"] == "hello"


def test_a_certificate_for_another_name(pelayan, grpc_server, authority, localhost):
    crt, key = localhost
    server = grpc_server("one", key, crt)
    site = passing(pelayan, f"grpcs://{server.address}", f"""grpc_ssl_verify on; grpc_ssl_name other;
        grpc_ssl_trusted_certificate {authority.crt};""")
    assert GrpcClient(site).call("unary")["code"] == 14
    site.wait_for_log("certificate verify error: hostname mismatch")


def test_one_of_two_servers_is_killed_under_load(pelayan, grpc_server):
    """Calls go on; the few that ran on the dead one end as UNAVAILABLE, or as INTERNAL where their
    answer had begun: a reset with INTERNAL_ERROR is that to gRPC."""
    one, two = grpc_server("one"), grpc_server("two")
    site = passing(pelayan, "grpc://both", http=f"upstream both {{ server {one.address}; server {two.address}; }}")
    client = GrpcClient(site)
    load = client.load()
    until(lambda: len(site.access_log().splitlines()) > 100, "calls to be made")
    one.kill()
    killed_at = len(site.access_log().splitlines())
    until(lambda: len(site.access_log().splitlines()) > killed_at + 300, "calls to go on")
    done = client.finish_load(load)
    assert set(done["codes"]) <= {"0", "13", "14"}
    assert done["codes"].get("13", 0) + done["codes"].get("14", 0) <= 8  # as many as run at once
    assert done["names"]["two"] > done["names"]["one"] > 0


def test_a_server_that_leaves_politely_costs_no_call(pelayan, grpc_server):
    """GOAWAY: what it has not begun is sent to the other."""
    one, two = grpc_server("one"), grpc_server("two")
    site = passing(pelayan, "grpc://both", http=f"upstream both {{ server {one.address}; server {two.address}; }}")
    client = GrpcClient(site)
    load = client.load()
    until(lambda: len(site.access_log().splitlines()) > 100, "calls to be made")
    one.process.terminate()
    until(lambda: one.process.poll() is not None, "the server to leave")
    gone_at = len(site.access_log().splitlines())
    until(lambda: len(site.access_log().splitlines()) > gone_at + 200, "calls to go on")
    assert list(client.finish_load(load)["codes"]) == ["0"]


def test_error_pages_in_the_form_of_grpc(pelayan):
    """No server at all: 502, or what error_page makes of it."""
    site = pelayan.run(http="""server { http2 on; location / { grpc_pass grpc://127.0.0.1:1; }
        location /page { grpc_pass grpc://127.0.0.1:1; error_page 502 = /error502grpc; }
        location = /error502grpc { internal; default_type application/grpc; add_header grpc-status 14;
            add_header grpc-message unavailable; return 204; } }""")
    done = [subprocess.run(["nghttp", "-v", "-H:method: POST", "-Hte: trailers", "-Hcontent-type: application/grpc",
                            site.url + path], capture_output=True, text=True).stdout for path in ("/x", "/page")]
    assert ":status: 502" in done[0] and "grpc-status" not in done[0]
    assert ":status: 204" in done[1] and "grpc-status: 14" in done[1]


def test_an_answer_of_a_head_alone(pelayan, h2_backend):
    """It stays one: grpc-status in HEADERS that end the stream."""

    def script(peer):
        for stream in peer:
            peer.send(h2.headers(stream, h2.field(":status", "200") + h2.field("grpc-status", "0")))

    site = passing(pelayan, h2_backend(script).address)
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.request("POST", "/a.B/C%20d", te="trailers", content_type="application/grpc")))
    assert wire.response(1).status == 200 and wire.response(1).ended
    assert not any(frame[0] == h2.DATA for frame in wire.log)


def test_a_refused_call_is_made_again(pelayan, h2_backend):
    """A refused stream goes to another connection although it is a POST with a body under way."""

    def script(peer):
        for stream in peer:
            if peer.number == 1:
                peer.until(lambda: peer.answers[stream].ended)
                peer.send(h2.reset(stream, 7))
            else:
                peer.until(lambda: peer.answers[stream].ended)
                bodies.append(peer.answers[stream].body)
                peer.send(h2.headers(stream, h2.field(":status", "200") + h2.field("grpc-status", "0")))

    bodies = []
    site = passing(pelayan, h2_backend(script).address)
    wire = h2.Wire(site)
    wire.send(h2.headers(1, h2.request("POST", "/a.B/C", te="trailers"), end=False))
    wire.send(h2.data(1, b"\0\0\0\0\5hello", end=True))
    assert wire.response(1).status == 200
    assert bodies == [b"\0\0\0\0\5hello"]


@pytest.mark.parametrize("conf, why", [
    ("grpc_pass grpc://127.0.0.1:1/path;", "takes no path"),
    ("grpc_pass http://127.0.0.1:1;", "invalid|port"),
    ("grpc_pass grpcs://127.0.0.1:1; grpc_ssl_verify on;", "trusted_certificate"),
    ("grpc_buffer_size 10;", "grpc_buffer_size"),
])
def test_what_is_refused(pelayan, conf, why):
    checked = pelayan.check("-t", http=f"server {{ listen 127.0.0.1:{{port}}; location / {{ {conf} }} }}")
    assert checked.returncode != 0 and re.search(why, checked.stderr)
