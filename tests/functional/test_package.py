"""The Debian package, made from what users run: what is in it, and that it is the same every time."""

import os
import shutil
import subprocess

import pytest
from harness.site import ROOT, program

pytestmark = [
    pytest.mark.skipif(
        program() != str(ROOT / "build/pelayan") or not (ROOT / "build/release/build.ninja").exists(),
        reason="only what users run is packed",
    ),
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb"),
]


def tool(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def pack(output):
    output.mkdir()
    return tool(ROOT / "tools/package", ROOT / "build/release", output).split()


def field(package, name):
    return tool("dpkg-deb", "--field", package, name).strip()


def test_it_is_the_same_every_time(tmp_path):
    first, second = pack(tmp_path / "first"), pack(tmp_path / "second")
    assert len(first) == len(second) == 2
    for one, other in zip(first, second):
        assert open(one, "rb").read() == open(other, "rb").read(), one


def test_what_is_in_it(tmp_path):
    packages = pack(tmp_path / "packages")
    tree, symbols = tmp_path / "tree", tmp_path / "symbols"
    for package, folder in zip(packages, (tree, symbols)):
        tool("dpkg-deb", "--raw-extract", package, folder)

    # the program runs, without symbols, and without the folder it was built in: else two builds in
    # different folders would not be the same
    (installed,) = tree.rglob("bin/pelayan")
    sections = tool("readelf", "-SW", installed)
    assert ".symtab" not in sections and ".debug_info" not in sections
    said = subprocess.run([installed, "-v"], capture_output=True, text=True).stderr
    assert f"pelayan/{field(packages[0], 'Version')}" in said
    assert os.fsencode(ROOT) not in installed.read_bytes()

    # the symbols are found by the number of the build, which is in both
    (debug,) = symbols.rglob("*.debug")
    number = tool("readelf", "-n", installed).partition("Build ID: ")[2].split()[0]
    assert debug.parent.name + debug.stem == number
    assert str(debug.parent.parent).endswith("/usr/lib/debug/.build-id")
    assert ".debug_info" in tool("readelf", "-SW", debug)

    depends = field(packages[0], "Depends")
    assert "libc6 (>= 2." in depends and "libssl3" in depends
    assert field(packages[1], "Depends") == f"pelayan (= {field(packages[0], 'Version')})"

    # what the scripts do is for a machine to see; that a shell understands them is for us
    for name in ("postinst", "prerm", "postrm"):
        script = tree / "DEBIAN" / name
        assert os.access(script, os.X_OK)
        subprocess.run(["sh", "-n", script], check=True)
    kept = {path.rpartition("/")[2] for path in (tree / "DEBIAN/conffiles").read_text().split()}
    assert kept == {"nginx.conf", "mime.types", "default.conf", "pelayan"}
