"""secure_link, secure_link_md5, secure_link_secret: links that only we can make."""

import base64
import hashlib
import time


def test_secure_link(pelayan):
    site = pelayan.run(
        http="""server { location / { secure_link $arg_md5,$arg_expires;
            secure_link_md5 "$secure_link_expires$uri word"; return 200 "[$secure_link]"; }
            location /p/ { secure_link_secret word; return 200 "[$secure_link]"; } }"""
    )

    def ask(expires, path="/file", word="word"):
        text = f"{expires}{path} {word}".encode()
        md5 = base64.urlsafe_b64encode(hashlib.md5(text).digest()).decode().rstrip("=")
        return site.get(f"{path}?md5={md5}&expires={expires}").text

    later, before = int(time.time()) + 1000, 1000000000
    assert ask(later) == "[1]"
    assert ask(before) == "[0]"
    assert ask(later, word="guess") == "[]"
    assert site.get("/file").text == "[]"
    assert site.get("/file?md5=x,y&expires=z").text == "[]"
    right = hashlib.md5(b"a/linkword").hexdigest()
    assert site.get(f"/p/{right}/a/link").text == "[a/link]"
    assert site.get(f"/p/{right}/a/other").text == "[]"
