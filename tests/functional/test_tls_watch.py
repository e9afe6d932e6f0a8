"""ssl_certificate_watch: renewed certificates are loaded by themselves, and only when they are good."""

import os
import shutil

import pytest
from harness.wait import until
from test_tls_clients import server


def serial(authority, site, name="localhost"):
    with authority.connect(site, name) as secure:
        return secure.getpeercert()["serialNumber"]


def swap(path, source):
    """As careful programs replace a file: whole, or not at all."""
    beside = path.with_name(path.name + ".new")
    shutil.copy(source, beside)
    os.rename(beside, path)


@pytest.fixture
def watched(pelayan, authority):
    """A site whose pair is c and k in `folder` of its directory, made by `place(folder, files)`."""
    def start(place, extra=""):
        files = authority.issue("first", "localhost")

        def prepare(site):
            (site.dir / "certs").mkdir()
            place(site.dir / "certs", files)
        return pelayan.run(prepare, http="ssl_certificate_watch on;" + server(
            ("{dir}/certs/c", "{dir}/certs/k"), "return 200 ok;") + extra)
    return start


def plain(folder, files):
    for name, source in zip("ck", files):
        shutil.copy(source, folder / name)


def test_files_that_are_replaced(watched, authority):
    site = watched(plain)
    before = serial(authority, site)
    for name, source in zip("ck", authority.issue("second", "localhost")):
        swap(site.dir / "certs" / name, source)
    until(lambda: serial(authority, site) != before, "the new certificate")
    site.wait_for_log("certificate files were exchanged: reloading")


def certbot(folder, files, version=1):
    """live/c is a link to archive/c1, c2, ..."""
    archive = folder.parent / "archive"
    archive.mkdir(exist_ok=True)
    for name, source in zip("ck", files):
        shutil.copy(source, archive / f"{name}{version}")
        link = folder / f"{name}.new"
        link.symlink_to(archive / f"{name}{version}")
        os.rename(link, folder / name)


def kubernetes(folder, files, version=1):
    """c is a link to ..data/c, and ..data one to a folder with a date."""
    data = folder / f"..{version}"
    data.mkdir()
    for name, source in zip("ck", files):
        shutil.copy(source, data / name)
        if version == 1:
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..new").symlink_to(data.name)
    os.rename(folder / "..new", folder / "..data")


@pytest.mark.parametrize("way", [certbot, kubernetes])
def test_links_that_are_exchanged(watched, authority, way):
    site = watched(way)
    for version in (2, 3):
        before = serial(authority, site)
        way(site.dir / "certs", authority.issue(f"v{version}", "localhost"), version)
        until(lambda old=before: serial(authority, site) != old, "the new certificate")


def test_half_of_a_pair_is_not_loaded(watched, authority):
    """The old one stays in use until the key has come, too."""
    site = watched(plain)
    before = serial(authority, site)
    crt, key = authority.issue("second", "localhost")
    swap(site.dir / "certs/c", crt)
    site.wait_for_log("new certificate files are not loaded before they are good")
    assert serial(authority, site) == before
    swap(site.dir / "certs/k", key)
    until(lambda: serial(authority, site) != before, "the new certificate")


def test_one_that_was_broken_before_is_no_hindrance(watched, authority, localhost):
    site = watched(plain, server((localhost[0], "{dir}/certs/missing"), "return 200 ok;", "broken.test"))
    before = serial(authority, site)
    for name, source in zip("ck", authority.issue("second", "localhost")):
        swap(site.dir / "certs" / name, source)
    until(lambda: serial(authority, site) != before, "the new certificate")


def test_off_by_default_and_after_a_reload(watched, authority, pelayan, localhost):
    """What a reload takes out is not watched any more."""
    site = watched(plain)
    conf = server(("{dir}/certs/c", "{dir}/certs/k"), "return 200 ok;")
    site.reload(http=conf)
    before = serial(authority, site)
    for name, source in zip("ck", authority.issue("second", "localhost")):
        swap(site.dir / "certs" / name, source)
    site.reload(http="ssl_certificate_watch on;" + conf)
    until(lambda: serial(authority, site) != before, "the certificate of the second reload")
    assert "were exchanged" not in site.error_log()
