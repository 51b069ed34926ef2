# SPDX-License-Identifier: ISC
"""Upgrades of a daemon whose program is a file of its own, which the test may replace."""

import collections
import contextlib
import copy
import re
import shutil
import signal
from pathlib import Path

import pytest
from daemon import find_programs, wait_until
from look import stat_fields
from support import descriptors

START_TICKS = 19


@pytest.fixture(name="programs")
def own_programs(tmp_path):
    """In the place of conftest's: preforkd is a copy, `built` the one that was built."""
    programs = copy.copy(find_programs())
    programs.built = programs.preforkd
    programs.other = str(programs.build / "tests/upgrade/preforkd-other")
    programs.preforkd = str(tmp_path / "bin" / "preforkd")
    Path(programs.preforkd).parent.mkdir()
    install(programs.built, programs.preforkd)
    return programs


# -- what is put in its place, as a package does it: by rename


def install(source, program):
    shutil.copy(source, f"{program}.new")
    Path(f"{program}.new").rename(program)


def install_text(program, text, mode=0o755):
    new = Path(f"{program}.new")
    new.write_text(text)
    new.chmod(mode)
    new.rename(program)


def install_checked(programs, *commands):
    """A new binary whose --check does all this first: a script, that puts the program that was built
    in its own place at the end."""
    program = programs.preforkd
    shutil.copy(programs.built, f"{program}.next")
    install_text(program, "\n".join(
        ["#!/bin/sh", *commands, f"mv '{program}.next' '{program}'", "exit 0", ""]))


def wait_for_file(path):
    return f"while [ ! -e '{path}' ]; do sleep 0.005; done"


# -- upgrades


def upgrade(d, **kwargs):
    """One that must succeed; what preforkctl said."""
    return d.ctl("upgrade", **kwargs).stdout


def refused(d):
    """One that must not; the reason."""
    result = d.ctl("upgrade", check=False)
    assert (result.returncode, result.stdout) == (1, ""), (result, d.log())
    return result.stderr


def count_upgrades(d):
    return len(re.findall(r"upgrade: version \S+, generation", d.log()))


# -- what must not change


def start_ticks(pid):
    return stat_fields(pid)[START_TICKS]


def board_files(d):
    return {name: (d.runtime / name).stat().st_ino for name in ("master", "board")}


def identity(d):
    return d.pid, start_ticks(d.pid), board_files(d)


def kinds(pid):
    """How many descriptors of which kind."""
    return collections.Counter(re.sub(r"\d+", "", fd) for fd in descriptors(pid))


def zombies(d):
    return [pid for pid in d.workers() if (stat_fields(pid) or "?")[0] == "Z"]


def wait_alone(d, count):
    """Until the workers of before have gone, and nobody was left behind."""
    wait_until(f"{count} workers", lambda: len(d.workers()) == count)
    assert zombies(d) == []


@contextlib.contextmanager
def stopped(d):
    """The master stands still in the block; what comes meanwhile comes at once afterwards."""
    d.signal(signal.SIGSTOP)
    wait_until("standstill", lambda: stat_fields(d.pid)[0] == "T")
    yield
    d.signal(signal.SIGCONT)
