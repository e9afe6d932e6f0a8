"""pelayan doctor: each trouble it knows is made, found, and comes with a way to mend it."""

import json
import os
import signal
import socket
import subprocess
import threading

import pytest
from harness import wait

PAGE = 'server { location / { return 200 "here"; } }'


def doctor(place, code=None):
    """What it found, by area: [(grade, what, mend)]."""
    result = place.command("-c", place.conf, "-p", place.dir, "doctor", "--json")
    told = json.loads(result.stdout)
    assert (result.returncode != 0) == (told["problems"] > 0), result
    assert code is None or result.returncode == code, result.stdout
    found = {}
    for finding in told["findings"]:
        found.setdefault(finding["area"], []).append(
            (finding["grade"], finding["what"], finding.get("mend"))
        )
    return found


def found(place, area, words, grade):
    for at, what, mend in doctor(place)[area]:
        if words in what:
            assert at == grade and mend, (at, what, mend)
            return f"{what} -> {mend}"
    raise AssertionError(f"{words!r} is not among {doctor(place)[area]}")


def test_a_machine_where_all_is_well(pelayan):
    place = pelayan.place(main="worker_rlimit_nofile 20000;", http=PAGE)
    areas = doctor(place)
    for area in ("configuration", "descriptors", "addresses", "paths", "certificates"):
        assert areas[area][0][0] == "ok", areas[area]
    text = place.command("-c", place.conf, "-p", place.dir, "doctor").stdout
    assert "ok       addresses      all are free" in text
    assert text.splitlines()[-1].startswith("0 problems, ")


def test_a_running_server_is_no_trouble(pelayan):
    site = pelayan.run(http=PAGE)
    assert doctor(site)["addresses"] == [("ok", "all are free, or ours already", None)]
    assert not [what for _, what, _ in doctor(site)["processes"] if str(site.pid) in what]


def test_words_it_does_not_know(pelayan):
    place = pelayan.place(http=PAGE)
    result = place.command("-c", place.conf, "-p", place.dir, "doctor", "--yaml")
    assert result.returncode == 1 and "usage: pelayan doctor" in result.stderr


def test_a_broken_configuration(pelayan):
    place = pelayan.place(http="server { no_such_thing on; }")
    text = found(place, "configuration", "no_such_thing", "problem")
    assert f"{place.conf}:" in text
    assert "addresses" not in doctor(place) and "clock" in doctor(place)


def test_a_port_that_is_taken(pelayan):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        place = pelayan.place(http=f"server {{ listen 127.0.0.1:{port}; return 204; }}")
        text = found(place, "addresses", f"127.0.0.1:{port} is taken by", "problem")
        assert f"(process {os.getpid()})" in text and f"{place.conf}:" in text


def test_an_address_of_another_machine(pelayan):
    place = pelayan.place(http="server { listen 192.0.2.1:{port}; return 204; }")
    found(place, "addresses", "192.0.2.1", "problem")


def test_a_unix_socket_that_is_taken(pelayan):
    place = pelayan.place(http="server { listen unix:{dir}/web.sock; return 204; }")
    assert doctor(place)["addresses"][0][0] == "ok"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place.dir / "web.sock"))
        other.listen(1)
        found(place, "addresses", "web.sock", "problem")


def test_limits(pelayan):
    place = pelayan.place(
        main="worker_processes 4; worker_rlimit_nofile 1000;",
        events="worker_connections 5000;",
        http="server { listen 127.0.0.1:{port} backlog=100000000; return 204; }",
    )
    text = found(place, "descriptors", "5000 connections each", "warning")
    assert "worker_rlimit_nofile 20" in text
    assert "net.core.somaxconn=100000000" in found(place, "backlog", "backlog of 100000000", "warning")


def test_more_descriptors_than_there_can_be(pelayan):
    place = pelayan.place(main="worker_rlimit_nofile 1073741824;", http=PAGE)
    if int(open("/proc/sys/fs/nr_open").read()) >= 1 << 30:
        pytest.skip("here the kernel allows any number")
    assert "fs.nr_open=1073741824" in found(place, "descriptors", "more than the kernel", "problem")


def test_folders(pelayan):
    place = pelayan.place(
        main="error_log {dir}/nowhere/error.log;",
        http="server { root {dir}/closed/html; } server { listen {port2}; root {dir}/gone; }",
    )
    place.file("closed/html/index.html", "x")
    assert "mkdir -p" in found(place, "paths", "nowhere/error.log cannot be written", "problem")
    found(place, "paths", f"{place.dir}/gone is not there", "warning")
    (place.dir / "closed").chmod(0o700)
    if os.geteuid() == 0:
        text = found(place, "paths", "/closed is closed to", "problem")
        assert f"chmod o+rx {place.dir}/closed" in text


def test_certificates(pelayan, localhost, tmp_path):
    crt, key = localhost
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", tmp_path / "key", "-out", tmp_path / "soon", "-days", "3", "-subj", "/CN=a"],
        check=True, capture_output=True,
    )  # fmt: skip
    place = pelayan.place(
        http=f"""server {{ listen 127.0.0.1:{{port}} ssl; ssl_certificate {crt};
                ssl_certificate_key {key}; }}
            server {{ listen 127.0.0.1:{{port2}} ssl; ssl_certificate {tmp_path}/soon;
                ssl_certificate_key {tmp_path}/key; }}
            server {{ listen 127.0.0.1:{{port3}} ssl; ssl_certificate {tmp_path}/none;
                ssl_certificate_key {tmp_path}/key; }}"""
    )
    (tmp_path / "key").chmod(0o644)
    assert "reload" in found(place, "certificates", "soon expires in ", "warning")
    found(place, "certificates", f"{tmp_path}/none cannot be read", "problem")
    found(place, "certificates", "everybody on this machine can read the key", "warning")
    assert not [what for _, what, _ in doctor(place)["certificates"] if str(crt) in what]


def test_name_servers(pelayan):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, socket.socket(
        socket.AF_INET, socket.SOCK_DGRAM
    ) as talking:
        silent.bind(("127.0.0.1", 0))
        talking.bind(("127.0.0.1", 0))

        def answer():
            question, asker = talking.recvfrom(512)
            talking.sendto(question[:2] + b"\x81\x80" + question[4:], asker)

        threading.Thread(target=answer, daemon=True).start()
        one, two = silent.getsockname()[1], talking.getsockname()[1]
        place = pelayan.place(
            http=f"resolver 127.0.0.1:{one} 127.0.0.1:{two} valid=10s; server {{ return 204; }}"
        )
        names = doctor(place)["names"]
    assert [(grade, what) for grade, what, _ in names] == [
        ("problem", f'name server 127.0.0.1:{one} of "resolver" does not answer')
    ]


def test_what_is_left_over(pelayan):
    gone = subprocess.Popen(["true"])
    gone.wait()
    place = pelayan.place(http=PAGE)
    place.file("pelayan.pid", f"{gone.pid}\n")
    found(place, "processes", "which is no more", "warning")
    place.file("pelayan.pid", f"{os.getpid()}\n")
    found(place, "processes", f"which is {open('/proc/self/comm').read().strip()}", "warning")
    place.file("pelayan.pid", "nonsense\n")
    found(place, "processes", "invalid PID number", "warning")


def test_a_worker_without_its_master(pelayan, backend):
    app = backend(answers="when released")
    site = pelayan.run(http=f"server {{ location / {{ proxy_pass {app.url}; }} }}")
    later = site.get_later("/")
    app.wait_until_asked()
    worker = site.workers()[0]
    os.kill(site.pid, signal.SIGKILL)
    site.process.wait()
    text = wait.until(
        lambda: [what for _, what, _ in doctor(site)["processes"] if f"worker {worker} " in what],
        "the finding",
    )
    assert "has no master" in text[0]
    app.release()
    assert later.result().status == 200
    wait.until(lambda: not site.processes(), "the worker's end")
    site.process = None


def test_a_clock_that_is_behind(pelayan):
    place = pelayan.place(http=PAGE)
    os.utime(place.conf, (4e9, 4e9))
    assert "clock" in found(place, "clock", "in the future", "warning")
