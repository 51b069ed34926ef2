# SPDX-License-Identifier: ISC
"""What every black-box test starts from: the real daemon, with a runtime directory of its own,
known to be ready because it says so on its own NOTIFY_SOCKET."""

import os

import pytest

from daemon import Daemon, find_programs


@pytest.fixture(scope="session")
def programs():
    """The programs under test: BUILDDIR (an out-of-tree build), else ../../build."""
    return find_programs()


@pytest.fixture
def daemon(tmp_path, programs):
    """A function that starts daemons; all are stopped, and looked after, at the end of the test."""
    started = []

    def start(config=None, *, args=(), name="main", expect_ready=True, **kwargs):
        d = Daemon(programs, tmp_path / name, config=config, args=args, name=name, **kwargs)
        started.append(d)
        d.start(expect_ready=expect_ready)
        return d

    yield start
    for d in started:
        d.finish()


@pytest.fixture
def is_root():
    if os.geteuid() != 0:
        pytest.skip("needs root: only root may change users")
