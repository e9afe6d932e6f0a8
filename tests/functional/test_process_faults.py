"""What happens when something runs out, is abused, or comes at the wrong moment."""

import json
import os
import re
import signal
import socket
import time
from pathlib import Path

from harness import wait
from harness.process import freeze


def page(text):
    return f'server {{ location / {{ return 200 "{text}"; }} }}'


def worker_of(site):
    site.wait_for_log("configuration 1 is served")
    return site.workers()[0]


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def control(site):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(site.dir / "pelayan.pid.sock"))
    client.settimeout(wait.TIMEOUT)
    return client


def busy_clients(site):
    """As many as the worker has descriptors for, each in the middle of a request; and two more."""
    clients = []
    while len(clients) < 100:
        clients.append(site.connect())
        clients[-1].send(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n"
            "Expect: 100-continue\r\n\r\n"
        )
        if len(clients) > 2 and "cannot accept" in site.error_log():
            break
        clients[-1].timeout = 1
        try:
            clients[-1].read_until(b"100 Continue\r\n\r\n")
        except wait.TooLong:
            break
    clients.append(site.connect())
    return clients[:-2], clients[-2:]


def test_without_descriptors_the_loops_rest(pelayan, backend):
    """Who cannot be accepted waits in the backlog, without a loop that turns around him; a place
    that becomes free is used."""
    app = backend(answers=lambda request: request.body)
    site = pelayan.run(
        main="worker_rlimit_nofile 64;",
        http=f"server {{ location / {{ proxy_pass {app.url}; }} location /own {{ return 200 own; }} }}",
    )
    worker = worker_of(site)
    clients, waiting = busy_clients(site)
    site.wait_for_log("cannot accept a connection")
    before, begin = cpu_seconds(worker), time.monotonic()
    wait.until(lambda: time.monotonic() > begin + 1.5, "a while")
    assert cpu_seconds(worker) - before < 0.5
    for client in clients:
        client.send("abcd")
        assert client.read_response().status in (200, 500)
        client.close()
    waiting[0].timeout = wait.TIMEOUT
    waiting[0].send("abcd")
    assert waiting[0].read_until(b"abcd").count(b" 200 ") == 1
    wait.until(lambda: site.get("/own").text == "own", "an answer")
    assert len(re.findall("cannot accept", site.error_log())) < 100


def test_without_descriptors_idle_connections_make_place(pelayan):
    site = pelayan.run(main="worker_rlimit_nofile 64;", http=page("here"))
    worker_of(site)
    clients = []
    for _ in range(100):
        clients.append(site.connect())
        assert clients[-1].get("/").text == "here"
    assert clients[0].is_closed()


def test_no_descriptor_for_a_peer_is_not_the_peers_fault(pelayan, backend):
    """The request fails; the peer stays in rotation."""
    app = backend()
    site = pelayan.run(
        main="worker_processes 1; worker_rlimit_nofile 64;",
        http=f"""upstream two {{ server {app.address} max_fails=1 fail_timeout=1h;
                                 server 127.0.0.1:1 down; }}
            server {{ location / {{ proxy_pass http://two; }} }}""",
    )
    worker_of(site)
    clients, waiting = busy_clients(site)
    site.wait_for_log("cannot accept a connection")
    clients[0].send("abcd")
    assert clients[0].read_response().status == 500
    site.wait_for_log(r"\[crit\].*no connection can be opened .24: Too many open files")
    for client in clients + waiting:
        client.close()
    wait.until(lambda: site.get("/").status == 200, "an answer")
    assert "[warn]" not in site.error_log()


def test_held_back_lines_go_into_the_file_before_it_is_reopened(pelayan):
    site = pelayan.run(
        http="""access_log {dir}/logs/held.log combined buffer=64k flush=1h;
            server { location / { return 200 ok; } }""",
    )
    worker_of(site)
    clients = [site.connect() for _ in range(8)]  # so that every loop holds some
    for number in range(80):
        clients[number % 8].get(f"/{number}")
    assert site.read("logs/held.log") == ""
    os.rename(site.dir / "logs/held.log", site.dir / "logs/old.log")
    result = site.command("-s", "reopen", "-c", site.conf, "-p", site.dir)
    assert result.returncode == 0, result.stderr
    assert site.read("logs/old.log").count("\n") == 80
    assert site.read("logs/held.log") == ""
    for number in range(8):
        clients[number].get("/new")
    os.kill(site.pid, signal.SIGUSR1)
    wait.until(lambda: site.read("logs/held.log").count("/new") == 8, "the lines of the new file")
    assert "/new" not in site.read("logs/old.log")


def test_a_reload_opens_logs_that_were_moved(pelayan):
    """Some rotate by a reload, which is enough for nginx."""
    site = pelayan.run(http=page("here"))
    site.get("/before")
    site.access_log(lines=1)
    os.rename(site.dir / "logs/access.log", site.dir / "logs/old.log")
    site.reload()
    site.get("/after")
    assert "/after" in site.access_log(lines=1)
    assert "/after" not in site.read("logs/old.log")


def test_reopen_while_a_reload_is_on_its_way(pelayan):
    """Whatever the order in which the two come to the worker: lines end in the new file."""
    site = pelayan.run(http=page("here"))
    worker_of(site)
    for number in range(20):
        old = site.dir / f"logs/old{number}.log"
        wait.until((site.dir / "logs/access.log").exists, "the log")
        os.kill(site.pid, signal.SIGHUP)
        os.rename(site.dir / "logs/access.log", old)
        result = site.command("-s", "reopen", "-c", site.conf, "-p", site.dir)
        assert result.returncode == 0, result.stderr
        site.reload()
        site.get(f"/{number}")
        wait.until(lambda: f"/{number} " in site.read("logs/access.log"), "the line")
        assert f"/{number} " not in old.read_text()


def test_very_many_errors_are_told_and_cut(pelayan):
    site = pelayan.run(http=page("good"))
    worker_of(site)
    bad = "".join(f"no_such_directive_{number} some value;\n" for number in range(20000))
    result = site.reload(http=page("bad") + bad, check=False)
    assert result.returncode == 1
    assert "no_such_directive_0" in result.stderr
    assert result.stderr.endswith("19900 more errors\n")
    assert site.get("/").text == "good"


def test_the_control_socket_takes_abuse(pelayan):
    """Lines without end, garbage, many clients, clients that leave: the next one is served."""
    site = pelayan.run(http=page("here"))
    worker_of(site)
    with control(site) as client:
        try:
            client.sendall(b'{"command":"' + b"x" * (16 << 20))
            assert client.recv(100) == b""
        except (ConnectionResetError, BrokenPipeError):
            pass
    for line in (b"\n", b"[[[[[[\n", b"[" * 16000 + b"\n", b'{"command":7}\n', b"null\n", b"\xff\x00\n"):
        with control(site) as client:
            client.sendall(line)
            assert json.loads(client.makefile().readline())["ok"] is False
    clients = [control(site) for _ in range(60)]
    for client in clients[:30]:
        client.sendall(b'{"command":"reload"}\n')
    for client in clients:
        client.close()
    site.reload()
    assert site.get("/").text == "here"


def test_the_control_socket_runs_lines_one_after_the_other(pelayan):
    site = pelayan.run(http=page("here"))
    worker_of(site)
    with control(site) as client:
        client.sendall(b'{"command":"reload"}\n{"command":"no"}\n{"command":"reopen"}\n')
        lines = client.makefile()
        assert [json.loads(lines.readline())["ok"] for _ in range(3)] == [True, False, True]


def test_stub_status_tells_reading_writing_waiting(pelayan, backend):
    app = backend(answers="when released")
    site = pelayan.run(
        http=f"server {{ location / {{ proxy_pass {app.url}; }} location /status {{ stub_status; }} }}"
    )
    worker_of(site)
    asking, idle, silent = site.get_later("/"), site.connect(), site.connect()
    idle.get("/status")
    silent.send("GET / HT")
    app.wait_until_asked()

    def counts():
        return re.search(r"Reading: (\d+) Writing: (\d+) Waiting: (\d+)", site.get("/status").text)

    wait.until(lambda: counts().groups() == ("1", "2", "1"), lambda: counts().group())
    app.release()
    asking.result()
    silent.close()
    idle.close()
    wait.until(lambda: counts().groups() == ("0", "1", "0"), lambda: counts().group())
    text = site.get("/status").text
    assert re.match(r"Active connections: \d \nserver accepts handled requests\n \d+ \d+ \d+ \n", text)


def test_a_worker_that_hangs_does_not_hold_a_reload_up(pelayan):
    """The command ends with 1 and says so; what was asked for comes when the worker goes on."""
    conf = dict(main="reload_timeout 4s;")
    site = pelayan.run(http="server { listen 127.0.0.1:{port}; return 200 one; }", **conf)
    worker = site.workers()[0]
    freeze(worker)
    try:
        two = "server { listen 127.0.0.1:{port}; return 200 two; }"
        result = site.reload(check=False, http=two, **conf)
        assert result.returncode == 1
        assert "has not taken the configuration within reload_timeout" in result.stderr
        assert site.reload(check=False, http=two, **conf).returncode == 1
    finally:
        os.kill(worker, signal.SIGCONT)
    wait.until(lambda: site.get("/").body == b"two", "the worker to go on")
    site.wait_for_log("configuration 3 is served")  # the second one was put off, not forgotten
    site.reload(http="server { listen 127.0.0.1:{port}; return 200 three; }", **conf)
    assert site.get("/").body == b"three"
    assert site.workers() == [worker]
