# SPDX-License-Identifier: ISC
"""The examples of preforkd-systemd(7), and of conf/web.conf, as a reader types them.

What is run is told at the top of the page's source: the blocks of one name are a test."""

import os
import re
from pathlib import Path

import pytest
from manual import Reader, examples, unmarked_commands

SOURCE = Path(os.environ.get("SRCDIR", Path(__file__).resolve().parents[2]))
TEXT = (SOURCE / "man/preforkd-systemd.7").read_text()
EXAMPLES = examples(TEXT)


@pytest.fixture
def reader(machine):
    r = Reader(machine)
    yield r
    r.leave()


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(reader, name):
    reader.follow(EXAMPLES[name])


def test_the_configuration_of_an_instance(reader):
    """What the comment at the top of conf/web.conf tells to do."""
    text = (SOURCE / "conf/web.conf").read_text()
    reader.write("/etc/preforkd/web.conf", text)
    commands = "\n".join(re.findall(r"^#   (.*)$", text, re.M))
    reader.run("root", commands, ["I got your message"])
    assert reader.machine.status("web")["connections"]["accepted"] == 1


def test_what_the_page_shows_is_run():
    """Nothing that looks like a command or a file of ours stands outside of an example."""
    assert not unmarked_commands(TEXT)
    assert {"quick", "demand", "listen", "package", "user", "accept"} <= set(EXAMPLES)


def test_a_wrong_example_would_be_seen(reader):
    reader.run("root", "echo one; echo two; echo three", ["one", "three"])
    for command, printed in (("false; true", []), ("echo one", ["two"]),
                             ("echo one; echo two", ["two", "one"])):
        with pytest.raises(AssertionError):
            reader.run("root", command, printed)
