"""Fixtures of the functional tests. tests/functional/README.md shows how a test looks."""

import contextlib
import os

import pytest
from harness import site as site_module
from harness.backend import Backend, RawBackend
from harness.certs import Authority
from harness.nghttpd import Nghttpd
from harness.ports import Port
from harness.runner import Runner
from harness.h2 import H2Backend
from harness.node_h2 import NodeH2
from harness.site import ROOT, Place, Site


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the configuration and the log of what it ran."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for place in getattr(item.funcargs.get("pelayan"), "places", []):
        with contextlib.suppress(OSError):
            report.sections.append((f"{place.conf}", place.conf.read_text()))
            if isinstance(place, Site):
                report.sections.append(("stderr and error log", place.trouble()[-10000:]))


class Pelayan:
    """Starts programs; ends them, and asks how they fared, when the test is over."""

    def __init__(self):
        self.places = []

    def keep(self, place):
        self.places.append(place)
        return place

    def run(self, prepare=None, wait_for=None, **conf):
        """http=, main=, events=, stream= (each the inside of its block) or full=. See Site.

        `prepare(site)` may create files before the start: site.file("html/a.txt", "text")."""
        site = self.keep(Site(**conf))
        if prepare is not None:
            prepare(site)
        site.start(wait_for)
        return site

    def check(self, *args, **conf):
        """`pelayan -t` on such a configuration: .returncode, .stdout, .stderr."""
        return self.keep(Place(**conf)).check(*args)

    def place(self, **conf):
        """A directory with a configuration, for anything else: .command("-V"), .file(...)."""
        return self.keep(Place(**conf))

    def command(self, *args, **env):
        """The program with these arguments."""
        return self.keep(Place(full="")).command(*args, **env)

    def finish(self):
        try:
            each(Site.stop, [place for place in self.places if isinstance(place, Site)])
        finally:
            each(Place.remove, self.places)


def each(act, things):
    """act(thing) on all of them, whatever happens; then raises the first error."""
    errors = []
    for thing in things:
        try:
            act(thing)
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


@pytest.fixture
def pelayan():
    if not os.path.exists(site_module.program()):
        if not (ROOT / "src/main.c").exists():
            pytest.skip("there is no program yet")
        pytest.fail(f"{site_module.program()} is not built: run make")
    programs = Pelayan()
    yield programs
    programs.finish()


@pytest.fixture
def backend():
    """backend(answers=...) starts one; as many as wanted. See harness/backend.py."""
    yield from servers(Backend)


@pytest.fixture
def raw_backend():
    """raw_backend(script or bytes): a server whose every byte the test decides."""
    yield from servers(RawBackend)


@pytest.fixture
def h2_backend():
    """h2_backend(script): HTTP/2 frame by frame, see harness/h2.py."""
    yield from servers(H2Backend)


@pytest.fixture
def node_h2():
    """node_h2() or node_h2(key, crt): Node's http2 as a backend, see harness/node_h2.py."""
    yield from servers(NodeH2)


@pytest.fixture
def nghttpd():
    """nghttpd(folder, *words): nghttp2's server as a backend, see harness/nghttpd.py."""
    yield from servers(Nghttpd)


def servers(kind):
    started = []

    def start(*args, **options):
        started.append(kind(*args, **options))
        return started[-1]

    yield start
    each(kind.finish, started)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate authority, see harness/certs.py. What it issued stays for the whole run."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def localhost(authority):
    """(crt, key) for "localhost"; the key is for root's eyes only."""
    return authority.issue("localhost")


@pytest.fixture
def runner():
    """The app runner with a home of its own."""
    runner = Runner()
    yield runner
    runner.finish()


@pytest.fixture
def port():
    """A port that is free now."""
    claim = Port()
    number = claim.number
    claim.release()
    return number
