"""Starting: command line, foreground and background, one process or two, users."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from harness import wait
from harness.site import program

PAGE = "server { location / { return 200 here; } }"


def test_version_is_nginx_then_ours(pelayan):
    result = pelayan.command("-v")
    assert result.returncode == 0
    first, second = result.stderr.splitlines()
    assert first == "nginx version: nginx/1.31.5"
    assert re.fullmatch(r"pelayan version: pelayan/\d+\.\d+\.\d+", second)
    text = pelayan.command("-V").stderr
    assert "built with OpenSSL" in text and "configure arguments: --prefix=" in text


@pytest.mark.parametrize(
    "args, message",
    [
        (["-x"], 'invalid option: "x"'),
        (["-s"], 'option "-s" requires parameter'),
        (["-s", "jump"], 'invalid option: "-s jump"'),
        (["-c"], 'option "-c" requires file name'),
        (["nonsense"], 'invalid option: "nonsense"'),
    ],
)
def test_wrong_arguments(pelayan, args, message):
    result = pelayan.command(*args)
    assert result.returncode == 1 and message in result.stderr


def test_options_that_scripts_join(pelayan):
    """As nginx has it: -v with -t does both, and -g "$EXTRA" may be empty."""
    result = pelayan.place(http=PAGE).check("-v", "-g", "")
    assert result.returncode == 0, result.stderr
    assert "pelayan version" in result.stderr and "test is successful" in result.stderr


def test_help(pelayan):
    assert "-s signal" in pelayan.command("-h").stderr
    assert "help [directive" in pelayan.command("help").stdout
    text = pelayan.command("help", "directive", "worker_processes").stdout
    assert "worker_processes" in text and "main" in text


def test_a_good_configuration(pelayan):
    result = pelayan.check(http=PAGE) if False else pelayan.place(http=PAGE).check()
    assert result.returncode == 0, result.stderr
    assert "syntax is ok" in result.stderr and "test is successful" in result.stderr
    quiet = pelayan.place(http=PAGE).check("-q")
    assert quiet.returncode == 0 and quiet.stderr == ""


def test_a_bad_configuration(pelayan):
    result = pelayan.place(http="server { nonsense; }").check()
    assert result.returncode == 1
    assert "[emerg]" in result.stderr and "test failed" in result.stderr
    assert "syntax is ok" not in result.stderr


def test_dump(pelayan):
    place = pelayan.place(http="include more.conf; " + PAGE)
    place.file("more.conf", "# from more\n")
    result = place.command("-T", "-c", place.conf, "-p", place.dir)
    assert result.returncode == 0, result.stderr
    assert f"# configuration file {place.conf}:" in result.stdout
    assert f"# configuration file {place.dir}/more.conf:\n# from more\n" in result.stdout


def test_a_test_creates_nothing(pelayan):
    place = pelayan.place(main="error_log {dir}/logs/e.log; pid {dir}/x.pid;", http=PAGE)
    assert place.check().returncode == 0
    assert not (place.dir / "logs/e.log").exists() and not (place.dir / "x.pid").exists()
    place.write(main="error_log {dir}/none/e.log;", http=PAGE)
    assert "No such file" in place.check().stderr


def test_a_start_with_errors_prints_them(pelayan):
    place = pelayan.place(http="server { nonsense; }")
    result = place.command("-c", place.conf, "-p", place.dir)
    assert result.returncode == 1 and "nonsense" in result.stderr


@pytest.mark.parametrize("command", ["stop", "quit", "reload", "reopen"])
def test_signals_to_nobody(pelayan, command):
    place = pelayan.place(http=PAGE)
    args = ["-s", command, "-c", place.conf, "-p", place.dir]
    result = place.command(*args)
    assert result.returncode == 1
    assert 'pelayan.pid" failed (2: No such file or directory)' in result.stderr
    place.file("pelayan.pid", "what\n")
    assert "invalid PID number" in place.command(*args).stderr
    place.file("pelayan.pid", "2147483646\n")
    result = place.command(*args)
    assert result.returncode == 1 and "failed (3: No such process)" in result.stderr


@pytest.mark.parametrize("command", ["stop", "quit"])
def test_the_command_ends_it(pelayan, command):
    site = pelayan.run(http=PAGE)
    result = site.command("-s", command, "-c", site.conf, "-p", site.dir)
    assert result.returncode == 0 and result.stderr == ""
    if command == "stop":
        assert not (site.dir / "pelayan.pid").exists()
    assert site.wait_exit() == 0


def start_daemon(place):
    result = place.command("-c", place.conf, "-p", place.dir)
    assert result.returncode == 0, result.stderr
    return int((place.dir / "pelayan.pid").read_text())


def stop_daemon(place, pid):
    assert place.command("-s", "stop", "-c", place.conf, "-p", place.dir).returncode == 0
    wait.until(lambda: not os.path.exists(f"/proc/{pid}"), "the daemon to end")


def test_in_the_background_it_serves_when_the_command_returns(pelayan):
    site = pelayan.place(http=PAGE)
    pid = start_daemon(site)
    try:
        import urllib.request

        url = f"http://127.0.0.1:{site.port_of('port')}/"
        assert urllib.request.urlopen(url, timeout=5).read() == b"here"
        assert os.getsid(pid) != os.getsid(0)
    finally:
        stop_daemon(site, pid)


def test_in_the_background_a_taken_port_is_told(pelayan):
    first = pelayan.run(http=PAGE)
    place = pelayan.place(http=f"server {{ listen 127.0.0.1:{first.port}; return 204; }}")
    result = place.command("-c", place.conf, "-p", place.dir)
    assert result.returncode == 1 and "Address already in use" in result.stderr
    assert not (place.dir / "pelayan.pid").exists()


def test_one_process_alone(pelayan):
    site = pelayan.run(main="master_process off;", http=PAGE)
    assert site.workers() == []
    assert site.get("/").text == "here"
    site.reload(main="master_process off;", http="server { return 200 again; }")
    assert site.get("/").text == "again"
    site.signal(signal.SIGTERM)
    assert site.wait_exit() == 0


def test_an_ordinary_user(pelayan):
    if os.geteuid() != 0:
        pytest.skip("this is one")
    place = pelayan.place(main="daemon off; master_process on;", http=PAGE)
    for path in [place.dir, *place.dir.rglob("*")]:
        os.chown(path, 65534, 65534)
    process = subprocess.Popen(
        [program(), "-c", place.conf, "-p", place.dir],
        user=65534, group=65534, extra_groups=[], cwd="/",
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait.until((place.dir / "pelayan.pid").exists, "it to serve")
        reload = place.command("-s", "reload", "-c", place.conf, "-p", place.dir)
        assert reload.returncode == 0, reload.stderr
    finally:
        process.terminate()
        assert process.wait(10) == 0
        process.stderr.close()


def test_env_is_cleaned(pelayan):
    site = pelayan.run(
        env={"SECRET": "x", "KEPT": "y"}, main="env KEPT; env MADE=z;", http=PAGE
    )
    site.wait_for_log("configuration 1 is served")
    environment = Path(f"/proc/{site.workers()[0]}/environ")
    assert environment.exists()  # what was given at exec time is the master's; see the unit test
    assert site.get("/").status == 200


def test_only_folders_that_are_used_are_made(pelayan):
    """What `http` says stands in place of the default, whose folder may not be writable; what a
    server says stands beside it."""
    site = pelayan.run(
        http="client_body_temp_path {dir}/tmp/body; proxy_temp_path {dir}/tmp/proxy;"
        "server { proxy_temp_path {dir}/tmp/other; location / { return 200 here; } }"
    )
    assert site.get("/").text == "here"
    assert sorted(path.name for path in (site.dir / "tmp").iterdir()) == ["body", "other", "proxy"]
    assert not list(site.dir.glob("*_temp"))
    site.reload(http="server { client_body_temp_path {dir}/more; return 200 here; }")
    assert (site.dir / "more").is_dir() and not list(site.dir.glob("*_temp"))
