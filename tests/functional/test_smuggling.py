"""Messages that two readers could understand differently: smuggling_cases.py has them all.

Whatever comes is refused, or exactly one meaning of it is written to the backend. A request follows
each case on the same connection: behind a refused one nothing is read any more, behind one that was
taken it is the next message, whole."""

import re

import pytest
import smuggling_cases as cases
from harness import h2
from harness.backend import Backend, RawBackend
from harness.client import BadMessage

NEXT = b"GET /next HTTP/1.1\r\nHost: next\r\nConnection: close\r\n\r\n"
NEXT_SEEN = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n"


class Recorder(Backend):
    """Answers what it understands, and keeps every byte of every connection, understood or not."""

    def __init__(self):
        self.streams = []
        super().__init__(keepalive=False)

    def serve(self, wire, number):
        self.streams.append(wire.raw)
        super().serve(wire, number)

    def take(self):
        self.wait_until_disconnected()
        seen, self.streams = b"".join(map(bytes, self.streams)), []
        return seen


@pytest.fixture
def recorder():
    backend = Recorder()
    yield backend
    backend.finish()


def answers(raw):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", raw)]


def judge(site, recorder, sent, outcome):
    """None, or what went wrong."""
    wanted = outcome if isinstance(outcome, tuple) else (outcome,)
    raw = site.raw(sent.encode("latin-1") + NEXT)
    seen, statuses = recorder.take(), answers(raw)
    if len(statuses) == 1 and statuses[0] >= 400:
        good = seen == b"" and statuses[0] in wanted
    else:
        texts = [want.encode("latin-1") for want in wanted if isinstance(want, str)]
        good = set(statuses) == {200} and len(statuses) == seen.count(b" HTTP/1.1\r\nHost: ")
        good = good and seen in [text + NEXT_SEEN for text in texts] + [
            text for text in texts if len(statuses) == 1
        ]
    return None if good else f"answered {statuses}, the backend saw {seen!r}"


@pytest.mark.parametrize("group", cases.REQUESTS)
def test_requests(pelayan, recorder, group):
    site = pelayan.run(
        http=f"""server {{ server_name site;
            location / {{ proxy_pass {recorder.url}; proxy_set_header Host $host; }} }}"""
    )
    wrong = []
    for name, sent, outcome in cases.REQUESTS[group]:
        trouble = judge(site, recorder, sent, outcome)
        if trouble is not None:
            wrong.append(f"{name}: {sent[:300]!r}: {trouble}")
    assert not wrong, "\n".join(wrong)


def h2_outcome(site, recorder, pairs, body):
    wire = h2.Wire(site)
    block = b"".join(
        h2.field(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs
    )
    wire.send(h2.headers(1, block, end=body is None))
    if body is not None:
        wire.send(h2.data(1, body.encode("latin-1"), end=True))
    answer = wire.response(1)
    outcome = answer.reset or wire.goaway or int(answer.status)
    # the connection is as it was: what follows is a request of its own
    if wire.goaway is None:
        wire.send(h2.headers(3, h2.get("/next", authority="next")))
        assert wire.response(3).status == 200, outcome
    wire.close()
    seen = recorder.take().decode("latin-1")
    return outcome, seen.removesuffix(NEXT_SEEN.decode()) if wire.goaway is None else seen


def test_requests_over_h2(pelayan, recorder):
    site = pelayan.run(
        http=f"""server {{ http2 on;
            location / {{ proxy_pass {recorder.url}; proxy_set_header Host $host; }} }}"""
    )
    wrong = []
    for name, pairs, body, outcome in cases.H2:
        wanted = outcome if isinstance(outcome, tuple) else (outcome,)
        result, seen = h2_outcome(site, recorder, pairs, body)
        # what is found to be wrong behind its head may have been passed on by then, but whole
        good = result == 200 or result in wanted
        if not good or (seen or result) not in wanted:
            wrong.append(f"{name}: {pairs} {body!r}: {result}, the backend saw {seen!r}")
    assert not wrong, "\n".join(wrong)


class Misbehaving(RawBackend):
    """The first connection gets the case's bytes, any other request an answer that is fresh."""

    def __init__(self):
        self.sent = b""
        self.ends = False
        super().__init__(self.play)

    def play(self, wire):
        while wire.read_until(b"\r\n\r\n").endswith(b"\r\n\r\n"):
            sent, self.sent = self.sent, None
            wire.send(FRESH if sent is None else sent)
            if sent is not None and self.ends:
                return

    def next(self, sent, ends):
        self.sent, self.ends = sent.encode("latin-1"), ends


FRESH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh"


@pytest.fixture
def misbehaving():
    backend = Misbehaving()
    yield backend
    backend.finish()


def fetch(client, method):
    """What the client makes of the answer."""
    try:
        answer = client.get("/", method=method)
    except BadMessage:
        return "cut", False
    result = answer.text if answer.status == 200 else answer.status
    if method == "HEAD":
        result = f"HEAD {answer.status}"
        assert not answer.body
    return result, answer.header("connection") != "close"


def judge_response(site, backend, sent, outcome):
    ends = outcome == "cut" or str(outcome).startswith("close ") or sent.endswith("Le") or not sent
    method = "HEAD" if str(outcome).startswith("HEAD") else "GET"
    backend.next(sent, ends)
    with site.connect() as client:
        result, stays = fetch(client, method)
        assert backend.sent is None, "the backend was not asked"
        if stays:
            assert fetch(client, "GET")[0] == "fresh", "what the backend sent behind was taken"
        else:
            assert client.read_some() == b"", "bytes behind the answer"
    for _ in range(2):
        assert site.get("/").text == "fresh", "what the backend sent behind was taken"
    wanted = outcome if isinstance(outcome, tuple) else (outcome,)
    assert result in wanted or f"close {result}" in wanted


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_responses(pelayan, misbehaving, buffering):
    site = pelayan.run(
        main="worker_processes 1;",
        http=f"""upstream app {{ server {misbehaving.address} max_fails=0; keepalive 8; }}
            server {{ location / {{ proxy_pass http://app; proxy_buffering {buffering};
                proxy_next_upstream off; }} }}""",
    )
    wrong = []
    for name, sent, outcome in cases.RESPONSES:
        try:
            judge_response(site, misbehaving, sent, outcome)
        except Exception as error:
            wrong.append(f"{name}: {sent[:300]!r}: {str(error)[:300]}")
    assert not wrong, "\n".join(wrong)
