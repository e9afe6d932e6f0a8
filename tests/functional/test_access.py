"""allow, deny, limit_except, auth_basic, auth_basic_user_file, satisfy: who may ask."""

import base64

HTPASSWD = """# people
u:{PLAIN}p
sha:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=
apr1:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/
five:$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.
"""


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_the_first_rule_decides(pelayan):
    site = pelayan.run(
        http="""server { location /a { allow 127.0.0.0/8; deny all; stub_status; }
            location /d { deny 127.0.0.1; allow all; stub_status; }
            location /six { allow ::1; deny all; stub_status; } }"""
    )
    assert [site.get(path).status for path in ("/a", "/d", "/six")] == [200, 403, 403]
    site.wait_for_log("access forbidden by rule")


def test_limit_except(pelayan):
    site = pelayan.run(http="server { location / { limit_except GET { deny all; } stub_status; } }")
    assert site.get("/").status == 200
    assert site.get("/", method="HEAD").status == 200
    assert site.get("/", method="POST").status == 403


def test_passwords(pelayan):
    site = pelayan.run(
        http="""server { auth_basic "the back office"; auth_basic_user_file {dir}/htpasswd;
            location / { stub_status; } location /open { auth_basic off; stub_status; }
            location /none { auth_basic_user_file {dir}/none; stub_status; }
            location /var { auth_basic_user_file {dir}/$arg_f; stub_status; } }""",
        prepare=lambda site: site.file("htpasswd", HTPASSWD),
    )
    refused = site.get("/")
    assert refused.status == 401
    assert refused.header("www-authenticate") == 'Basic realm="the back office"'
    assert site.get("/open").status == 200
    for user, password in (("u", "p"), ("sha", "secret"), ("apr1", "secret"), ("five", "secret")):
        assert site.get("/", headers=basic(user, password)).status == 200, user
        assert site.get("/", headers=basic(user, "wrong")).status == 401, user
    assert site.get("/", headers=basic("nobody", "p")).status == 401
    assert site.get("/", headers={"Authorization": "Basic !"}).status == 401
    assert site.get("/none", headers=basic("u", "p")).status == 403
    assert site.get("/var?f=htpasswd", headers=basic("u", "p")).status == 200


def test_satisfy_any(pelayan):
    site = pelayan.run(
        http="""server { auth_basic x; auth_basic_user_file {dir}/htpasswd;
            location /any { satisfy any; deny all; stub_status; }
            location /local { satisfy any; allow 127.0.0.1; deny all; stub_status; }
            location /all { satisfy all; allow 127.0.0.1; deny all; stub_status; } }""",
        prepare=lambda site: site.file("htpasswd", HTPASSWD),
    )
    assert site.get("/any").status == 401
    assert site.get("/any", headers=basic("u", "p")).status == 200
    assert site.get("/local").status == 200
    assert site.get("/all").status == 401
    assert site.get("/all", headers=basic("u", "p")).status == 200


def test_realip(pelayan):
    """set_real_ip_from, real_ip_header, real_ip_recursive."""
    site = pelayan.run(
        http="""set_real_ip_from 127.0.0.0/8; set_real_ip_from 10.0.0.0/8;
            server { location / { return 200 "$remote_addr $realip_remote_addr"; }
            location /acl { real_ip_header X-Forwarded-For; deny 9.9.9.9; stub_status; } }
            server { listen 127.0.0.1:{port2}; real_ip_header X-Forwarded-For; real_ip_recursive on;
            location / { return 200 "$remote_addr"; } }"""
    )
    assert site.get("/").text == "127.0.0.1 127.0.0.1"
    assert site.get("/", headers={"X-Real-IP": "1.2.3.4"}).text == "1.2.3.4 127.0.0.1"
    assert site.get("/", headers={"X-Real-IP": "junk"}).text == "127.0.0.1 127.0.0.1"
    assert site.get("/acl", headers={"X-Forwarded-For": "1.1.1.1, 9.9.9.9"}).status == 403
    forwarded = {"X-Forwarded-For": "8.8.8.8, 9.9.9.9, 10.0.0.2"}
    assert site.get("/", port="port2", headers=forwarded).text == "9.9.9.9"


def test_referers(pelayan):
    """valid_referers, referer_hash_max_size, referer_hash_bucket_size."""
    site = pelayan.run(
        http="""server { server_name a.test; referer_hash_max_size 1024; referer_hash_bucket_size 64;
            valid_referers none server_names *.ok.test/p ~good;
            if ($invalid_referer) { return 403; } return 200 ok; }"""
    )

    def status(referer):
        return site.get("/", headers={"Referer": referer} if referer else {}).status

    assert [status(r) for r in (None, "http://a.test/x", "http://b.ok.test/p1", "http://x/good")] == [
        200
    ] * 4
    assert [status(r) for r in ("http://b.ok.test/x", "http://evil.test/", "junk")] == [403] * 3
