# SPDX-License-Identifier: ISC
"""What the machine tests start from; see machine.py."""

import os
from pathlib import Path

import pytest

import root
from machine import Machine

SOURCE = Path(os.environ.get("SRCDIR", Path(__file__).resolve().parents[2]))


@pytest.fixture(scope="session")
def booted(tmp_path_factory):
    try:
        place = root.obtain()
    except root.Impossible as e:
        pytest.skip(str(e))
    build = os.environ.get("BUILDDIR", SOURCE / "build-machine")
    m = Machine(place, build, tmp_path_factory.mktemp("machine") / "console.log")
    try:
        yield m.start()
    finally:
        m.finish()


@pytest.fixture
def machine(booted):
    booted.begin()
    yield booted
    # After the report of the test was made, which wants the journal as it was.
    booted.clean()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    m = getattr(item, "funcargs", {}).get("machine")
    if report.failed and m:
        report.sections.append(("journal", m.journal_text()))
