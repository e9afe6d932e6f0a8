"""What the compiler and the linker were told to do against exploits is in the program."""

import os
import re
import subprocess

import pytest
from harness.process import SANITIZED
from harness.site import ROOT, program

RELEASE = program() == str(ROOT / "build/pelayan") or "release" in os.environ.get("PELAYAN_BIN", "")


def tool(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def path():
    path = program()
    if open(path, "rb").read(4) != b"\x7fELF":
        pytest.skip("not a program of its own")
    return path


def test_it_can_be_anywhere_in_memory(path):
    assert re.search(r"Type:\s+DYN", tool("readelf", "-hW", path))
    assert "PIE" in tool("readelf", "-dW", path)


def test_addresses_of_functions_cannot_be_overwritten(path):
    """Full RELRO: all are found at start, and the table is read-only then."""
    assert "GNU_RELRO" in tool("readelf", "-lW", path)
    dynamic = tool("readelf", "-dW", path)
    assert re.search(r"FLAGS_1.*\bNOW\b", dynamic) and "TEXTREL" not in dynamic


def test_data_is_not_executed(path):
    segments = tool("readelf", "-lW", path)
    (stack,) = re.findall(r"GNU_STACK.*", segments)
    assert re.search(r"\bRW\b", stack) and "E " not in stack.replace("GNU_STACK", "")
    assert not re.search(r"LOAD.*\bRWE\b", segments)


def test_nothing_is_loaded_from_odd_places(path):
    assert not re.search(r"RPATH|RUNPATH", tool("readelf", "-dW", path))


def test_overwritten_stacks_are_noticed(path):
    assert "__stack_chk_fail" in tool("nm", "-D", path)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="CET is x86's")
def test_functions_begin_where_jumps_may_land(path):
    """Indirect branch tracking: exported and address-taken functions begin with endbr64."""
    text = tool("objdump", "-d", "--no-show-raw-insn", "--disassemble=main", path)
    if "<main>:" not in text:
        pytest.skip("its symbols are in a file of their own")
    assert "endbr64" in text.partition("<main>:")[2].splitlines()[1]


@pytest.mark.skipif(SANITIZED or not RELEASE, reason="only what users run is fortified")
def test_library_calls_know_how_large_things_are(path):
    assert len(re.findall(r"\bU __\w+_chk\b", tool("nm", "-D", path))) >= 5


def test_what_it_is_linked_with_has_a_reason(path):
    """docs/dependencies.md has a row for each library; the rest is glibc's."""
    rows = (ROOT / "docs/dependencies.md").read_text()
    known = {
        "libpcre2-8": "PCRE2", "libcares": "c-ares", "libz": "zlib", "libssl": "libssl",
        "libcrypto": "libcrypto", "libnghttp2": "nghttp2", "libcrypt": "libcrypt",
        "libjansson": "jansson", "libyaml-0": "libyaml", "libseccomp": "libseccomp",
    }  # fmt: skip
    glibc = {"libc", "libm", "ld-linux-x86-64", "libpthread", "libdl", "librt", "libresolv", "libgcc_s"}
    sanitizers = {"libasan", "libubsan", "libtsan", "libstdc++"}
    for name in re.findall(r"NEEDED.*\[(.+?)\.so", tool("readelf", "-dW", path)):
        assert name in glibc | sanitizers or f"| {known.get(name)}" in rows, name


def test_symbols_are_in_a_file_of_their_own(tmp_path):
    """As `make install` and the package leave it: a debugger finds them beside the program."""
    if not RELEASE or not (ROOT / "build/release/build.ninja").exists():
        pytest.skip("only what users run is installed")
    env = dict(os.environ, DESTDIR=str(tmp_path))
    subprocess.run(
        ["cmake", "--install", ROOT / "build/release"], check=True, capture_output=True, env=env
    )
    (installed,) = tmp_path.rglob("bin/pelayan")
    symbols = installed.parent / ".debug/pelayan.debug"
    sections = tool("readelf", "-SW", installed)
    assert ".symtab" not in sections and ".debug_info" not in sections
    assert ".gnu_debuglink" in sections
    assert ".debug_info" in tool("readelf", "-SW", symbols)
    assert subprocess.run([installed, "-v"], capture_output=True).returncode == 0
