"""Files: static, index, try_files, autoindex, conditions, ranges, compression, caches of files."""

import gzip
import json
import os
import re
import shutil
import subprocess
import threading
import zlib
from xml.etree import ElementTree

import pytest
from harness import wait
from harness.backend import Answer
from harness.ports import Port

BIG = os.urandom(1024) * 700


def files(**contents):
    """prepare= for files below html/: double underscores stand for slashes."""

    def prepare(site):
        for name, content in contents.items():
            site.file("html/" + name.replace("__", "/").replace("_", "."), content)

    return prepare


def test_root_and_types(pelayan):
    site = pelayan.run(
        http="""default_type application/x-unknown; types { text/html html; text/plain txt; }
            server { root {dir}/html;
                location /down/ { types { } default_type application/octet-stream; } }""",
        prepare=files(a_txt="text", b_bin="?", down__a_txt="text"),
    )
    answer = site.get("/a.txt")
    assert (answer.status, answer.text) == (200, "text")
    assert answer.header("content-type") == "text/plain"
    assert re.fullmatch(r'"[0-9a-f]+-4"', answer.header("etag"))
    assert answer.header("accept-ranges") == "bytes" and "last-modified" in answer.headers
    assert site.get("/b.bin").header("content-type") == "application/x-unknown"
    assert site.get("/down/a.txt").header("content-type") == "application/octet-stream"
    assert site.get("/a.txt", method="HEAD").header("content-length") == "4"
    assert site.get("/a.txt", method="PUT", body="x").status == 405
    assert site.get("/a.txt", method="POST", body="x").status == 405


@pytest.mark.parametrize("extra", ["", "aio threads;", "directio 4k;", "sendfile on;", "gzip on;"])
def test_large_files(pelayan, extra):
    """Whether the kernel, a thread or the loop reads a file: the bytes are the same."""
    site = pelayan.run(
        http=f"server {{ root {{dir}}/html; {extra} gzip_types *; }}",
        prepare=files(big_bin=BIG, small_bin=BIG[:16320], middle_bin=BIG[:16321], empty_bin=""),
    )
    with site.connect() as client:
        for name, want in [("big", BIG), ("small", BIG[:16320]), ("middle", BIG[:16321]),
                           ("empty", b"")]:
            answer = client.get(f"/{name}.bin", headers={"Accept-Encoding": "gzip"})
            body = answer.body
            if answer.header("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert answer.status == 200 and body == want
        part = client.get("/big.bin", headers={"Range": "bytes=5000-600000"})
        assert part.status == 206 and part.body == BIG[5000:600001]


def test_alias(pelayan):
    """alias replaces the location's name; in a regex location it is the whole path."""
    site = pelayan.run(
        http="""server { root {dir}/html;
            location /pictures/ { alias {dir}/html/img/; }
            location = /logo { alias {dir}/html/img/a.txt; }
            location ~ ^/user/(.+)/(.+)$ { alias {dir}/html/$1/$2; } }""",
        prepare=files(img__a_txt="picture", joe__b_txt="joe's"),
    )
    assert site.get("/pictures/a.txt").text == "picture"
    assert site.get("/logo").text == "picture"
    assert site.get("/user/joe/b.txt").text == "joe's"
    assert site.get("/user/joe/none.txt").status == 404


def test_folders_get_a_slash(pelayan):
    site = pelayan.run(
        http="server { root {dir}/html; absolute_redirect off; }",
        prepare=files(**{"sub dir__index_html": "inside"}),
    )
    answer = site.get("/sub%20dir?a=b")
    assert (answer.status, answer.header("location")) == (301, "/sub%20dir/?a=b")
    assert site.get("/sub%20dir/").text == "inside"


def test_index(pelayan):
    site = pelayan.run(
        http="""server { root {dir}/html; index $arg_i.html index.html index.htm /last.html;
            location = /last.html { return 200 "last"; }
            location /none/ { index index.html; } }""",
        prepare=files(one__index_htm="htm", one__x_html="by name", two__a="", none__a=""),
    )
    assert site.get("/one/").text == "htm"
    assert site.get("/one/?i=x").text == "by name"
    assert site.get("/two/").text == "last"
    assert site.get("/none/").status == 403
    site.wait_for_log("directory index of \"/none/\" is forbidden")
    assert site.get("/missing/").status == 404


def test_try_files(pelayan):
    site = pelayan.run(
        http="""server { root {dir}/html;
            location / { try_files $uri $uri/ /app.html?from=$uri; }
            location = /app.html { add_header X-Args $args; }
            location /code/ { try_files $uri =418; }
            location /named/ { try_files $uri @fallback; }
            location @fallback { return 200 "named $uri"; }
            location /al/ { alias {dir}/html/sub/; try_files $uri $uri/ =404; } }""",
        prepare=files(a_txt="a", app_html="app", sub__index_html="index", sub__b_txt="b"),
    )
    assert site.get("/a.txt").text == "a"
    assert site.get("/sub/").text == "index"
    assert site.get("/sub").status == 301
    answer = site.get("/some/route")
    assert (answer.text, answer.header("x-args")) == ("app", "from=/some/route")
    assert site.get("/code/x").status == 418
    assert site.get("/named/x").text == "named /named/x"
    assert site.get("/al/b.txt").text == "b"
    assert site.get("/al/none").status == 404


def test_log_not_found(pelayan):
    site = pelayan.run(
        http="""server { root {dir}/html; location /quiet/ { log_not_found off; }
            location /loud/ { log_not_found on; } }"""
    )
    assert site.get("/quiet/x").status == 404
    assert site.get("/loud/x").status == 404
    site.wait_for_log(r'open\(\) ".*/html/loud/x" failed \(2: No such file or directory\)')
    assert "/quiet/x\" failed" not in site.trouble()


def test_disable_symlinks(pelayan):
    def prepare(site):
        site.file("html/real.txt", "real")
        (site.dir / "html/link.txt").symlink_to("real.txt")

    site = pelayan.run(
        http="""server { root {dir}/html; location / { disable_symlinks on from=$document_root; } }
            server { listen 127.0.0.1:{port2}; root {dir}/html;
                disable_symlinks if_not_owner from={dir}; }
            server { listen 127.0.0.1:{port3}; root {dir}/html; disable_symlinks off; }""",
        prepare=prepare,
    )
    assert site.get("/real.txt").text == "real"
    assert site.get("/link.txt").status == 403
    assert site.get("/link.txt", port="port2").text == "real"
    assert site.get("/link.txt", port="port3").text == "real"


def test_a_changed_file_is_seen_at_once(pelayan):
    """Small files are kept in memory and compared with the disk at each use."""
    site = pelayan.run(http="server { root {dir}/html; }", prepare=files(a_txt="before"))
    path = site.dir / "html/a.txt"
    os.utime(path, (1, 1))
    for text in ("before", "later."):
        path.write_text(text)
        for _ in range(3):
            assert site.get("/a.txt").text == text
    path.unlink()
    assert site.get("/a.txt").status == 404


def test_open_file_cache(pelayan):
    """What is cached is used until it is no longer valid, errors too; then changes are seen."""
    site = pelayan.run(
        main="worker_processes 1;",
        http="""server { root {dir}/html; open_file_cache max=10 inactive=10s;
            open_file_cache_valid 1s; open_file_cache_errors on; open_file_cache_min_uses 1;
            location /off/ { open_file_cache off; } }""",
        prepare=files(a_txt="first", b_bin=BIG),
    )
    assert site.get("/a.txt").text == "first"
    assert site.get("/new.txt").status == 404
    assert site.get("/b.bin").body == BIG
    site.file("html/new.txt", "new")
    replaced = site.file("html/other", "other text")
    os.replace(replaced, site.dir / "html/a.txt")
    wait.until(lambda: site.get("/a.txt").text == "other text", "the file to be looked at again")
    wait.until(lambda: site.get("/new.txt").text == "new", "the file to be found")
    for i in range(30):
        site.file(f"html/{i}.txt", str(i))
        assert site.get(f"/{i}.txt").text == str(i)


def test_conditions(pelayan):
    site = pelayan.run(
        http="""server { root {dir}/html;
            location /before/ { if_modified_since before; alias {dir}/html/; }
            location /off/ { if_modified_since off; alias {dir}/html/; }
            location /noetag/ { etag off; alias {dir}/html/; } }""",
        prepare=files(a_txt="text"),
    )
    head = site.get("/a.txt").headers
    etag, date = head["etag"], head["last-modified"]
    late = "Fri, 31 Dec 2100 23:59:59 GMT"

    def status(path="/a.txt", **headers):
        return site.get(path, headers={k.replace("_", "-"): v for k, v in headers.items()}).status

    assert status(If_None_Match=etag) == 304
    assert status(If_None_Match=f'"x", W/{etag}') == 304
    assert status(If_None_Match="*") == 304
    assert status(If_None_Match='"x"') == 200
    assert status(If_Modified_Since=date) == 304
    assert status(If_Modified_Since=late) == 200
    assert status("/before/a.txt", If_Modified_Since=late) == 304
    assert status("/off/a.txt", If_Modified_Since=date) == 200
    assert status(If_Match=etag) == 200
    assert status(If_Match='"x"') == 412
    assert status(If_Unmodified_Since=date) == 200
    assert status(If_Unmodified_Since="Thu, 01 Jan 1970 00:00:10 GMT") == 412
    assert "etag" not in site.get("/noetag/a.txt").headers
    answer = site.get("/a.txt", headers={"If-None-Match": etag})
    assert answer.body == b"" and answer.header("etag") == etag
    assert "content-length" not in answer.headers


def test_ranges(pelayan):
    site = pelayan.run(
        http="""server { root {dir}/html; location /one/ { max_ranges 1; alias {dir}/html/; }
            location /no/ { max_ranges 0; alias {dir}/html/; } }""",
        prepare=files(a_txt="0123456789"),
    )

    def get(ranges, path="/a.txt", **more):
        return site.get(path, headers={"Range": f"bytes={ranges}", **more})

    for ranges, want, where in [("0-1", "01", "0-1"), ("-3", "789", "7-9"), ("8-", "89", "8-9"),
                                ("5-100", "56789", "5-9")]:
        answer = get(ranges)
        assert (answer.status, answer.text) == (206, want)
        assert answer.header("content-range") == f"bytes {where}/10"
    for bad in ("10-", "-0", "x", "2-1"):
        answer = get(bad)
        assert answer.status == 416 and answer.header("content-range") == "bytes */10"
    several = get("0-0,-2")
    assert several.status == 206
    boundary = several.header("content-type").removeprefix("multipart/byteranges; boundary=")
    parts = several.text.split(f"\r\n--{boundary}")
    assert [part.partition("\r\n\r\n")[2] for part in parts[1:-1]] == ["0", "89"]
    assert "Content-Range: bytes 8-9/10" in parts[2] and parts[3] == "--\r\n"
    assert get("0-0,2-2", "/one/a.txt").status == 200
    assert get("0-0", "/no/a.txt").status == 200
    assert "accept-ranges" not in get("0-0", "/no/a.txt").headers
    etag = site.get("/a.txt").header("etag")
    assert get("0-0", **{"If-Range": etag}).status == 206
    assert get("0-0", **{"If-Range": '"other"'}).status == 200


def test_gzip(pelayan):
    text = "a line that repeats itself\n" * 5000
    site = pelayan.run(
        http="""log_format ratio "$uri $gzip_ratio"; access_log {dir}/logs/ratio.log ratio;
            server { root {dir}/html; gzip on; gzip_types text/plain; gzip_comp_level 6;
            gzip_min_length 100; gzip_vary on; gzip_proxied no-store; gzip_http_version 1.1;
            gzip_disable "BadBot"; gzip_buffers 16 8k;
            location /private/ { alias {dir}/html/; add_header Cache-Control no-store; }
            location /public/ { alias {dir}/html/; add_header Cache-Control max-age=9; } }""",
        prepare=files(a_txt=text, small_txt="tiny"),
    )

    def get(path="/a.txt", accept="gzip", **headers):
        return site.get(path, headers={"Accept-Encoding": accept, **headers})

    answer = get()
    assert answer.header("content-encoding") == "gzip" and answer.header("vary") == "Accept-Encoding"
    assert answer.header("etag").startswith('W/"') and "accept-ranges" not in answer.headers
    assert gzip.decompress(answer.body).decode() == text and len(answer.body) < len(text) / 50
    assert "content-encoding" not in get("/small.txt").headers
    for accept in ("gzip;q=0", "identity", "deflate"):
        answer = get(accept=accept)
        assert "content-encoding" not in answer.headers and answer.text == text
        assert answer.header("vary") == "Accept-Encoding"
    assert "content-encoding" in get(accept="br, GZIP;q=0.5").headers
    assert "content-encoding" not in get("/public/a.txt", Via="1.1 proxy").headers
    assert "content-encoding" in get("/private/a.txt", Via="1.1 proxy").headers
    assert "content-encoding" not in get(**{"User-Agent": "a badbot"}).headers


def test_gzip_of_a_stream_arrives_in_time(pelayan, backend):
    """Events that a backend sends one by one are not held back until there are enough of them."""
    seen = threading.Event()

    def events():
        yield b"data: one\n\n"
        assert seen.wait(wait.TIMEOUT)
        yield b"data: two\n\n"

    app = backend(answers=lambda _: Answer(body=events(), headers={"Content-Type": "text/event-stream"}))
    site = pelayan.run(
        http=f"""gzip on; gzip_types text/event-stream;
            server {{ location / {{ proxy_pass {app.url}; }} }}"""
    )
    with site.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        assert b"Content-Encoding: gzip" in client.read_until(b"\r\n\r\n")
        inflate = zlib.decompressobj(wbits=31)
        text = b""
        while b"\n\n" not in text:
            text += inflate.decompress(client.read(int(client.read_line(), 16)))
            client.read_line()
        assert text == b"data: one\n\n"
        seen.set()


def test_gzip_static_and_gunzip(pelayan):
    """A packed file is sent as it is to who accepts it, and unpacked for the others."""
    text = b"some text " * 9000
    site = pelayan.run(
        http="""types { text/plain txt; } gzip_vary on; server { root {dir}/html;
            location /on/ { gzip_static on; }
            location /always/ { gzip_static always; gunzip on; gunzip_buffers 4 4k; }
            location /both/ { alias {dir}/html/always/; gzip_static always; gunzip on; gzip on;
                gzip_types text/plain; } }""",
        prepare=files(on__a_txt="plain", on__a_txt_gz=gzip.compress(text), on__b_txt="b",
                      always__a_txt_gz=gzip.compress(text) + gzip.compress(b"more"),
                      always__broken_txt_gz=gzip.compress(text)[:-20]),
    )

    def get(path, accept):
        return site.get(path, headers={"Accept-Encoding": accept})

    answer = get("/on/a.txt", "gzip")
    assert answer.header("content-encoding") == "gzip" and gzip.decompress(answer.body) == text
    assert answer.header("content-type") == "text/plain"
    assert answer.header("vary") == "Accept-Encoding"
    answer = get("/on/a.txt", "identity")
    assert answer.text == "plain" and answer.header("vary") == "Accept-Encoding"
    answer = get("/on/b.txt", "gzip")
    assert answer.text == "b" and "vary" not in answer.headers
    assert gzip.decompress(get("/always/a.txt", "gzip").body) == text + b"more"
    answer = get("/always/a.txt", "identity")
    assert answer.body == text + b"more" and "content-encoding" not in answer.headers
    assert answer.header("etag").startswith("W/")
    assert get("/both/a.txt", "").body == text + b"more"
    with pytest.raises(AssertionError):
        get("/always/broken.txt", "identity")
    site.wait_for_log("a compressed response ends too early")


def test_empty_gif_and_random_index(pelayan):
    site = pelayan.run(
        http="""server { root {dir}/html; location = /_.gif { empty_gif; }
            location /any/ { random_index on; } location /any/none/ { random_index on; } }""",
        prepare=files(any__a_txt="a", any__b_txt="b", any__none__folder__x=""),
    )
    picture = site.get("/_.gif")
    assert picture.header("content-type") == "image/gif" and len(picture.body) == 43
    assert picture.header("last-modified") == "Thu, 01 Jan 1970 12:00:00 GMT"
    assert site.get("/_.gif", method="POST", body="x").status == 405
    wait.until(lambda: {site.get("/any/").text for _ in range(20)} == {"a", "b"}, "both files")
    assert site.get("/any/none/").status == 403


def test_types_of_one_block_add_up(pelayan):
    """`include mime.types;` and some of one's own; a block inside begins anew."""
    site = pelayan.run(
        http="""server { root {dir}/html; types { a/one one; a/two two; } types { b/two two; b/own own; }
            location /anew/ { alias {dir}/html/; types { c/one one; } default_type d/d; } }""",
        prepare=files(x_one="1", x_two="2", x_own="3"),
    )

    def type_of(path):
        return site.get(path).header("content-type")

    assert [type_of("/x.one"), type_of("/x.two"), type_of("/x.own")] == ["a/one", "b/two", "b/own"]
    assert [type_of("/anew/x.one"), type_of("/anew/x.two")] == ["c/one", "d/d"]


def test_type_is_that_of_the_uri(pelayan):
    """Not of the file that `alias` names: default_type says what /key is."""
    site = pelayan.run(
        http="""server { types { text/html html; image/png png; } default_type a/b;
            location = /key { alias {dir}/html/key.html; default_type text/plain; }
            location = /old.png { alias {dir}/html/key.html; } }""",
        prepare=files(key_html="1"),
    )
    assert site.get("/key").header("content-type") == "text/plain"
    assert site.get("/old.png").header("content-type") == "image/png"


def test_pages_of_errors_tell_no_age(pelayan):
    site = pelayan.run(
        http="""server { root {dir}/html; error_page 404 /none.html; error_page 403 =200 /none.html;
            location /denied { deny all; } }""",
        prepare=files(none_html="none"),
    )
    assert site.get("/none.html").header("last-modified")
    lost = site.get("/missing")
    assert (lost.status, lost.text, lost.header("last-modified")) == (404, "none", None)
    assert site.get("/denied").header("last-modified")


def test_charset(pelayan, backend):
    app = backend(answers=(200, "text", {"Content-Type": "text/html; charset=koi8-r"}))
    site = pelayan.run(
        http=f"""server {{ root {{dir}}/html; charset utf-8; types {{ text/plain txt; a/b bin; }}
            location /to/ {{ return 301 /a.txt; }}
            location /off/ {{ alias {{dir}}/html/; charset off; }}
            location /all/ {{ alias {{dir}}/html/; charset $arg_c; charset_types *; }}
            location /app/ {{ proxy_pass {app.url}; }}
            location /over/ {{ proxy_pass {app.url}; override_charset on; }} }}""",
        prepare=files(a_txt="text", b_bin="?"),
    )

    def type_of(path):
        return site.get(path).header("content-type")

    assert type_of("/a.txt") == "text/plain; charset=utf-8"
    assert type_of("/b.bin") == "a/b"
    assert type_of("/none") == "text/html; charset=utf-8"
    assert type_of("/to/") == "text/html"
    beyond = site.get("/b.bin", headers={"Range": "bytes=99-"})
    assert (beyond.status, beyond.header("content-type")) == (416, "text/html; charset=utf-8")
    assert type_of("/off/a.txt") == "text/plain"
    assert type_of("/all/b.bin?c=latin1") == "a/b; charset=latin1"
    assert type_of("/all/b.bin") == "a/b"
    assert type_of("/app/") == "text/html; charset=koi8-r"
    assert type_of("/over/") == "text/html; charset=utf-8"


def test_autoindex(pelayan):
    odd = "<b>&\"ü?#%.txt"
    site = pelayan.run(
        http="""server { root {dir}/html; autoindex on;
            location /json/ { autoindex_format json; aio threads; }
            location /jsonp/ { alias {dir}/html/json/; autoindex_format jsonp; }
            location /xml/ { alias {dir}/html/json/; autoindex_format xml; }
            location /short/ { alias {dir}/html/json/; autoindex_exact_size off;
                autoindex_localtime on; }
            location /no/ { autoindex off; } }""",
        prepare=files(**{"json__zfolder__x": "", f"json__{odd[:-4]}_txt": "12345",
                         "json__big": BIG, "json__.hidden": "", "no__a": ""}),
    )
    page = site.get("/json/../json/?x").text
    entries = json.loads(page)
    assert [entry["name"] for entry in entries] == ["zfolder", odd, "big"]
    assert [entry["type"] for entry in entries] == ["directory", "file", "file"]
    assert entries[1]["size"] == 5
    script = site.get("/jsonp/?callback=my.fn")
    assert script.header("content-type") == "application/javascript"
    assert script.text == f"/* callback */\r\nmy.fn({page});"
    assert site.get("/jsonp/?callback=alert(1)").status == 400
    tree = ElementTree.fromstring(site.get("/xml/").body)
    assert [(e.tag, e.text) for e in tree] == [("directory", "zfolder"), ("file", odd),
                                               ("file", "big")]
    html = site.get("/short/").text
    assert '<a href="zfolder/">zfolder/</a>' in html and ".hidden" not in html
    assert "%3Cb%3E%26%22%C3%BC%3F%23%25.txt" in html and "<b>" not in html
    assert re.search(r"big</a> +\d\d-\w{3}-\d{4} \d\d:\d\d +700K", html)
    assert site.get("/no/").status == 403


def test_dav(pelayan):
    """PUT, MKCOL, COPY, MOVE and DELETE do what they say, and nothing to what is in the way."""
    site = pelayan.run(
        main="user root; worker_processes 1;" if os.geteuid() == 0 else "",
        http="""server { root {dir}/html; client_body_buffer_size 1k; client_max_body_size 2m;
            dav_methods PUT DELETE MKCOL COPY MOVE; create_full_put_path on;
            dav_access user:rw group:r all:r; min_delete_depth 2;
            location /ro/ { dav_methods off; }
            location /strict/ { create_full_put_path off; } }""",
    )
    url = f"http://localhost:{site.port}"

    def ask(method, path, to=None, **more):
        headers = {**({"Destination": url + to} if to else {}), **more}
        return site.get(path, method=method, headers=headers, host=f"localhost:{site.port}").status

    def put(path, body):
        return site.get(path, method="PUT", body=body).status

    assert put("/a/b/one.txt", "first") == 201
    assert put("/a/b/one.txt", b"second") == 204
    assert site.get("/a/b/one.txt").text == "second"
    assert (site.dir / "html/a/b/one.txt").stat().st_mode & 0o777 == 0o644
    assert put("/a/big.bin", BIG) == 201 and site.get("/a/big.bin").body == BIG
    assert put("/a/", "x") == 409 and put("/a/b", "x") == 409
    assert put("/strict/none/x", "x") == 409
    assert put("/ro/x", "x") == 405
    assert ask("PUT", "/a/x", **{"Content-Range": "bytes 0-0/1", "Content-Length": "0"}) == 501
    assert ask("MKCOL", "/new/") == 201 and ask("MKCOL", "/new/") == 405
    assert ask("MKCOL", "/new") == 409 and ask("MKCOL", "/no/where/") == 409
    assert ask("COPY", "/a/b/one.txt", "/a/two%2Etxt") == 201
    assert ask("COPY", "/a/b/one.txt", "/a/two.txt") == 204
    assert ask("COPY", "/a/b/one.txt", "/a/two.txt", Overwrite="F") == 412
    assert ask("COPY", "/a/b/one.txt", "/../../x") == 400
    assert ask("COPY", "/a/", "/a/b/c/") == 403
    assert ask("COPY", "/a/", "/copy/") == 201
    assert site.get("/copy/b/one.txt").text == "second"
    assert ask("MOVE", "/copy/", "/moved/") == 201
    assert site.get("/moved/two.txt").text == "second" and site.get("/copy/two.txt").status == 404
    assert ask("MOVE", "/none", "/other") == 404
    assert ask("MOVE", "/a/two.txt") == 400
    assert ask("DELETE", "/moved/b") == 409
    assert ask("DELETE", "/moved/", Depth="1") == 409  # too near the root
    assert ask("DELETE", "/moved/b/", Depth="1") == 400
    assert ask("DELETE", "/moved/b/") == 204 and site.get("/moved/b/one.txt").status == 404
    assert ask("DELETE", "/a/two.txt") == 204 and ask("DELETE", "/a/two.txt") == 404
    assert not list(site.dir.glob("html/**/*.??????"))


# -- beside nginx

CONF = """
    types { text/html html; text/plain txt; image/png png; } default_type application/x-any;
    server { listen 127.0.0.1:{port}; root {dir}/html; absolute_redirect off;
        location /gz/ { alias {dir}/html/; gzip on; gzip_types text/plain; gzip_vary on;
            gzip_proxied expired no-cache; }
        location /al/ { alias {dir}/html/sub/; try_files $uri $uri/ =404; }
        location ~ ^/re/(.*)$ { alias {dir}/html/$1; }
        location /try/ { try_files $uri $uri/ /a.txt; }
        location /cs/ { alias {dir}/html/; charset utf-8; autoindex on; autoindex_format json; } }
"""

REQUESTS = [
    (path, headers)
    for path in ("/", "/a.txt", "/none", "/sub", "/sub/", "/sub?x=1", "/al/b.txt", "/al/", "/al/x",
                 "/re/a.txt", "/re/none", "/try/x", "/cs/", "/cs/a.txt", "/gz/long.txt", "/a.txt/")
    for headers in ({},)
] + [
    ("/a.txt", {"Range": f"bytes={ranges}"})
    for ranges in ("0-1", "-2", "3-", "0-0,2-3", "4-5,0-1", "100-", "0-9,0-9", "-0", "x", "1-x",
                   "0-1,", " 0 - 1", "0-99999999999999999999", "5-2", "-99999")
] + [
    ("/gz/long.txt", {"Accept-Encoding": accept, **more})
    for accept in ("gzip", "gzip;q=0", "deflate, gzip", "gzip;q=0.1", "*", "xgzip")
    for more in ({}, {"Via": "x"}, {"Range": "bytes=0-1"})
] + [
    ("/a.txt", {name: value})
    for name in ("If-Modified-Since", "If-Unmodified-Since", "If-Range")
    for value in ("Thu, 01 Jan 2020 00:00:00 GMT", "Wed, 01 Jan 2020 00:00:01 GMT", "nonsense")
] + [
    ("/a.txt", {name: value})
    for name in ("If-Match", "If-None-Match")
    for value in ('"5e0be100-a"', 'W/"5e0be100-a"', '"x", "5e0be100-a"', "*", '"x"')
]


@pytest.fixture
def nginx(tmp_path):
    """nginx beside us with the same http block; asks it what it answers."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed: nothing to compare with")
    port = Port()
    running = []

    def start(conf, folder):
        file = tmp_path / "nginx.conf"
        text = conf.replace("{port}", str(port.number)).replace("{dir}", str(folder))
        paths = "".join(f"{name}_temp_path {tmp_path}/{name};"
                        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        file.write_text(f"daemon off; master_process off; pid {tmp_path}/pid;"
                        f"error_log {tmp_path}/error.log;"
                        f"events {{}} http {{ access_log off; {paths} {text} }}")
        running.append(subprocess.Popen(["nginx", "-e", f"{tmp_path}/error.log", "-c", file],
                                        stderr=subprocess.DEVNULL))
        return port.number

    yield start
    for process in running:
        process.terminate()
        process.wait()
    port.release()


def test_the_same_answers_as_nginx(pelayan, nginx):
    """Status, fields and, of successful answers, bodies are those of nginx."""

    def prepare(site):
        for name, text in {"a.txt": "0123456789", "long.txt": "long " * 500, "sub/b.txt": "b",
                           "sub/index.html": "index"}.items():
            os.utime(site.file(f"html/{name}", text), (1577836800, 1577836800))

    site = pelayan.run(http=CONF, prepare=prepare)
    other = nginx(CONF, site.dir)

    def reachable():
        try:
            return site.get("/a.txt", port=other).status == 200
        except OSError:
            return False

    wait.until(reachable, "nginx to accept")

    def facts(answer):
        fields = {name.lower(): re.sub(r"boundary=\d+", "boundary=N", value)
                  for name, value in answer.headers
                  if name.lower() not in ("date", "server", "connection", "transfer-encoding")}
        body = re.sub(rb"--\d{20}", b"--N", answer.body)
        if answer.header("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if answer.status >= 300 or "/cs/" in path:
            fields.pop("content-length", None) # our pages have words of their own
        return answer.status, fields, body if answer.status < 300 else b""

    for path, headers in REQUESTS:
        ours = facts(site.get(path, headers=headers))
        theirs = facts(site.get(path, port=other, headers=headers))
        assert ours == theirs, (path, headers)
