"""What a beginner does wrong, and that the answer says what to do."""

import os
import socket
import subprocess

import pytest
from harness import wait
from harness.site import program

PAGE = "server { return 200 hello; }"
NOBODY = 65534


def run_as_nobody(place, *args):
    if os.geteuid() == 0:
        for path in [place.dir, *place.dir.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        user = dict(user=NOBODY, group=NOBODY, extra_groups=[])
    else:
        user = {}
    env = {key: value for key, value in os.environ.items() if key != "XDG_RUNTIME_DIR"}
    return subprocess.run(
        [program(), *map(str, args)],
        capture_output=True, text=True, timeout=30, env=env, cwd=place.dir,
        stdin=subprocess.DEVNULL, **user,
    )  # fmt: skip


def test_the_file_is_looked_for_where_the_user_stands(pelayan):
    place = pelayan.place(http=PAGE)
    result = place.command("-t", "-c", "site.conf")
    assert result.returncode == 1
    assert f'open() "{place.dir}/site.conf" failed (2: No such file' in result.stderr


def test_a_port_in_use(pelayan):
    place = pelayan.place(http=PAGE)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", place.port_of("port")))
        taken.listen()
        result = place.command("-c", place.conf, "-p", place.dir)
    port = place.port_of("port")
    assert result.returncode == 1
    assert f"bind() to 127.0.0.1:{port} failed (98: Address already in use)" in result.stderr
    assert f"ss -ltnp 'sport = :{port}'" in result.stderr
    assert result.stderr.count("bind()") == 1


def test_a_port_of_root(pelayan):
    place = pelayan.place(http="server { listen 127.0.0.1:81; }")
    if int(open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read()) <= 81:
        pytest.skip("every port is everybody's here")
    result = run_as_nobody(place, "-c", place.conf, "-p", place.dir)
    assert result.returncode == 1
    assert "127.0.0.1:81 failed (13: Permission denied)" in result.stderr
    assert "ports below 1024" in result.stderr


def test_an_address_of_another_machine(pelayan):
    place = pelayan.place(http="server { listen 192.0.2.1:{port}; }")
    result = place.command("-c", place.conf, "-p", place.dir)
    assert result.returncode == 1 and "no interface of this machine" in result.stderr


def test_a_log_in_a_folder_that_is_not_there(pelayan):
    place = pelayan.place(http="access_log {dir}/nowhere/access.log; " + PAGE)
    result = place.command("-c", place.conf, "-p", place.dir)
    assert result.returncode == 1
    assert "nowhere/access.log" in result.stderr and "does not exist" in result.stderr


def test_the_commands_of_other_programs(pelayan):
    assert '"pelayan -s reload"' in pelayan.command("reload").stderr
    assert "ecosystem.config.js" in pelayan.command("start").stderr


def test_nobody_to_signal(pelayan):
    place = pelayan.place(http=PAGE)
    result = place.command("-s", "reload", "-c", place.conf, "-p", place.dir)
    assert result.returncode == 1 and "nothing runs with this -c and -p" in result.stderr


@pytest.mark.parametrize("with_prefix", [True, False])
def test_an_ordinary_user_needs_few_lines(pelayan, with_prefix):
    """README's example, typed where XDG_RUNTIME_DIR is not set: a container, cron, su."""
    place = pelayan.place(
        full="pid unused; error_log {dir}/error.log; events {} http { server { listen 127.0.0.1:{port}; return 200 x; } }"
    )
    place.conf.write_text(place.conf.read_text().replace("pid unused;", ""))
    (place.dir / "logs").rmdir()
    args = ["-c", place.conf] + (["-p", place.dir] if with_prefix else [])
    try:
        assert run_as_nobody(place, *args).returncode == 0
        assert (place.dir / "pelayan.pid").exists()
        assert run_as_nobody(place, *args, "-s", "reload").returncode == 0
    finally:
        assert run_as_nobody(place, *args, "-s", "stop").returncode == 0
        wait.until(lambda: not (place.dir / "pelayan.pid").exists(), "the end")


@pytest.mark.parametrize(
    "http, said",
    [
        ("server { lisen 80; }", 'did you mean "listen"?'),
        ("server { location / { proxy_pas http://a; } }", 'did you mean "proxy_pass"?'),
        ("server { listen 80 server_name a; }", "server_name"),
        ("server { location / { proxy_pass localhost:3000; } }", "invalid URL prefix"),
        ("server { location / { proxy_pass http://nosuch$x; } }", '"x" variable'),
        ("include batch21/missing.conf;", "batch21/missing.conf"),
        ("server { root /srv; ", "expecting"),
        ("server { return 200; } }", 'unexpected "}"'),
        ("upstream a { } server { location / { proxy_pass http://a; } }", "no servers"),
        ("upstream a { server 127.0.0.1:99999; }", "port"),
        ("server { listen 127.0.0.1:{port}; listen 127.0.0.1:{port}; }", "duplicate listen"),
        ("server { client_max_body_size 10 MB; }", "client_max_body_size"),
        ("server { location { } }", "location"),
        ("server { location /a { alias /b; root /c; } }", '"root" and "alias"'),
        ("server { location /a { root /c; alias /b; } }", '"root" and "alias"'),
        ("proxy_pass http://127.0.0.1:1;", "not allowed here"),
        ("server { ssl on; }", '"listen 443 ssl;"'),
        ("brotli_types a/b;", "brotli module"),
        ("server { location / { content_by_lua x; } }", "Lua module"),
        ("server { location / { set $a $fastcgi_script_name; } }", "http_fastcgi module"),
        ("server { ssl_certificate a.pem; listen 443 ssl; }", "ssl"),
    ],
)
def test_typical_mistakes(pelayan, http, said):
    """Each is refused with its file, its line and a word that helps."""
    result = pelayan.check(http=http)
    assert result.returncode == 1
    assert said in result.stderr, result.stderr
    assert "nginx.conf:" in result.stderr


def test_what_is_switched_off_may_be_absent(pelayan):
    result = pelayan.check(http="server { location / { proxy_cache off; ssi off; auth_request off; } }")
    assert result.returncode == 0 and "warn" not in result.stderr


def test_what_is_absent_is_said_once(pelayan):
    """fastcgi_params alone would fill a screen. What is refused is told at each place."""
    result = pelayan.check(
        http="""proxy_cache_path /tmp/a keys_zone=a:1m; server { location / { fastcgi_param A a; fastcgi_param B b; }
            location /a { proxy_cache a; fastcgi_pass x; } location /b { proxy_cache a; } }"""
    )
    assert result.returncode == 1
    assert result.stderr.count('"fastcgi_param" has no effect') == 1
    assert result.stderr.count('"proxy_cache" of the http_proxy module is not supported') == 2
    assert result.stderr.count('"fastcgi_pass" belongs to the http_fastcgi module') == 1


def test_a_forgotten_semicolon_after_server_name(pelayan):
    """nginx takes the words of the next line for names, and says nothing."""
    result = pelayan.check(
        http="server { listen 127.0.0.1:{port}; server_name a.test\n root srv; }"
    )
    assert result.returncode == 0
    assert '"root" is taken for a name of this server' in result.stderr
    assert "is there a semicolon missing before it?" in result.stderr
    odd = pelayan.check(
        http='server { listen 127.0.0.1:{port}; server_name "a,b.test" ~^(a|b)$ root c.test; }'
    )
    assert 'server name "a,b.test" has suspicious symbols' in odd.stderr
    assert odd.stderr.count("suspicious") == 1
    plain = pelayan.check(http="server { listen 127.0.0.1:{port}; server_name root *.a.test _; }")
    assert "server name" not in plain.stderr and "taken for" not in plain.stderr
