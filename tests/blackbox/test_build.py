# SPDX-License-Identifier: ISC
"""The programs as they were linked: what an attacker would like to find is not there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

READELF = shutil.which("readelf")


def hardened(build):
    """Whether this build was asked for it: not with sanitizers, nor with --disable-hardening."""
    if re.search(r"^#define WITH_SANITIZERS\b", (build / "config.h").read_text(), re.M):
        return False
    options = subprocess.run([build / "config.status", "--config"], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
    return "--disable-hardening" not in options and "--enable-hardening=no" not in options


def elf(path):
    """The program itself: libtool may have put a script in its place, and the program in .libs."""
    for file in (path, path.parent / ".libs" / path.name):
        if file.exists() and file.read_bytes()[:4] == b"\x7fELF":
            return file
    raise AssertionError(f"{path}: no ELF file, nor is there one in .libs")


@pytest.fixture(params=["preforkd", "preforkctl"])
def readelf(request, programs):
    """A function that gives what readelf says of a program."""
    if not READELF:
        pytest.skip("there is no readelf (Debian: binutils)")
    if not hardened(programs.build):
        pytest.skip("a build with sanitizers, or without hardening")
    file = elf(Path(getattr(programs, request.param)))

    def run(*options):
        return subprocess.run([READELF, "--wide", *options, file], check=True, text=True,
                              stdout=subprocess.PIPE, env={"LC_ALL": "C"}).stdout

    return run


def segment(text, name):
    """The flags of the only segment of this type: R, W and E."""
    found = re.findall(rf"^ *{name} +(?:0x\w+ +){{5}}([RWE ]+?) +0x", text, re.M)
    assert len(found) == 1, text
    return found[0].replace(" ", "")


def test_it_is_position_independent(readelf):
    assert re.search(r"^ *Type: +DYN\b", readelf("--file-header"), re.M)
    assert re.search(r"\(FLAGS_1\).*\bPIE\b", readelf("--dynamic"))


def test_what_the_linker_wrote_is_read_only(readelf):
    assert segment(readelf("--program-headers"), "GNU_RELRO") == "R"
    # Only if no function waits for its first call, the table of their addresses is part of it.
    assert re.search(r"\(FLAGS\).*\bBIND_NOW\b|\(BIND_NOW\)|\(FLAGS_1\).*\bNOW\b",
                     readelf("--dynamic"))


def test_no_memory_is_both_written_and_run(readelf):
    text = readelf("--program-headers")
    assert segment(text, "GNU_STACK") == "RW"
    loads = re.findall(r"^ *LOAD +(?:0x\w+ +){5}([RWE ]+?) +0x", text, re.M)
    assert loads
    assert not [flags for flags in loads if {"W", "E"} <= set(flags)]


def test_the_stack_protector_is_used(readelf):
    assert re.search(r"\bUND __stack_chk_fail\b", readelf("--dyn-syms"))
