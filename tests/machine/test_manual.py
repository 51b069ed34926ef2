# SPDX-License-Identifier: ISC
"""The examples of preforkd-systemd(7), and of conf/web.conf, as a reader types them.

What is run is told at the top of the page's source: the blocks of one name are a test."""

import os
import re
from pathlib import Path

import pytest
import machine  # noqa: F401  makes roff.py known
from roff import unescaped

SOURCE = Path(os.environ.get("SRCDIR", Path(__file__).resolve().parents[2]))
PAGE = SOURCE / "man/preforkd-systemd.7"
USER, UID = "alice", 1000


# -- the page: lists of steps, ("file", path, text) or ("run", user, command, lines printed)


def steps_of_block(text):
    """In the order of the block."""
    steps = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if re.match(r"# [/~]\S+$", line):
            steps.append(("file", line[2:], []))
        elif steps and steps[-1][0] == "file":
            steps[-1][2].append(line + "\n")
        elif line[:2] in ("# ", "$ "):
            steps.append(("run", "root" if line[0] == "#" else USER, line[2:], []))
        else:
            steps[-1][3].append(line.strip())
    return [(*step[:2], "".join(step[2])) if step[0] == "file" else step for step in steps]


def steps_of_mark(kind, rest, after):
    """Of one `machine:` line; after: the page behind it."""
    if kind == "also":
        return [("run", "root", rest, [])]
    macro, block = after.split("\n", 1)
    assert macro.startswith(".Bd -literal"), macro
    lines = block[:block.index(".Ed\n")].splitlines(True)
    text = "".join(map(unescaped, lines))
    return [("run", "root", text, [])] if kind == "script" else steps_of_block(text)


def examples(text):
    """By name."""
    found = {}
    for mark in re.finditer(r'^\.\\" machine: (\w+)(?: (\w+))?(?: (.*))?\n', text, re.M):
        name, kind, rest = mark.groups()
        found.setdefault(name, []).extend(steps_of_mark(kind, rest, text[mark.end():]))
    return found


EXAMPLES = examples(PAGE.read_text())


# -- the reader


class Reader:
    def __init__(self, machine):
        self.machine = machine
        self.units = []

    def write(self, path, text):
        if path.startswith("~"):
            path = path.replace("~", f"/home/{USER}")
            self.machine.write(path, text)
            self.machine.run("chown", "-R", f"{USER}:", f"/home/{USER}")
            return
        self.machine.write(path, text)
        if re.fullmatch(r"/etc/systemd/system/[^/]*", path):
            self.units.append(Path(path).name)

    def run(self, user, command, printed):
        env = {}
        if user == USER:
            env = {"HOME": f"/home/{USER}", "XDG_RUNTIME_DIR": f"/run/user/{UID}"}
            self.machine.wait("a manager of the user's", self.user_is_there)
        done = self.machine.run("sh", "-ec", command, user=user if user == USER else None, env=env)
        lines = iter([line.strip() for line in done.stdout.splitlines()])
        for line in printed:
            assert line in lines, (command, line, done.stdout)

    def user_is_there(self):
        return self.machine.run("test", "-S", f"/run/user/{UID}/systemd/private",
                                check=False).returncode == 0

    def leave(self):
        """What the machine does not clean by itself: units that are not preforkd's, and a user's."""
        for unit in self.units:
            if "@." not in unit:
                self.machine.systemctl("disable", "--now", unit, check=False)
        if self.user_is_there():
            self.machine.run("loginctl", "disable-linger", USER)
            self.machine.systemctl("stop", f"user@{UID}")
            self.machine.run("rm", "-rf", f"/home/{USER}/.config")


@pytest.fixture
def reader(machine):
    r = Reader(machine)
    yield r
    r.leave()


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(reader, name):
    for kind, *step in EXAMPLES[name]:
        if kind == "file":
            reader.write(*step)
        else:
            reader.run(*step)


def test_the_configuration_of_an_instance(reader):
    """What the comment at the top of conf/web.conf tells to do."""
    text = (SOURCE / "conf/web.conf").read_text()
    reader.write("/etc/preforkd/web.conf", text)
    commands = "\n".join(re.findall(r"^#   (.*)$", text, re.M))
    reader.run("root", commands, ["I got your message"])
    assert reader.machine.status("web")["connections"]["accepted"] == 1


def test_what_the_page_shows_is_run():
    """Nothing that looks like a command or a file of ours stands outside of an example."""
    text = PAGE.read_text()
    shown = re.findall(r"^(\.\\\" machine: .*\n)?\.Bd -literal.*\n((?:(?!\.Ed).*\n)*)", text, re.M)
    assert len(shown) > 10
    for mark, block in shown:
        assert mark or not re.search(r"^[#$] ", block, re.M), block
    assert {"quick", "demand", "listen", "package", "user", "accept"} <= set(EXAMPLES)


def test_a_wrong_example_would_be_seen(reader):
    reader.run("root", "echo one; echo two; echo three", ["one", "three"])
    for command, printed in (("false; true", []), ("echo one", ["two"]),
                             ("echo one; echo two", ["two", "one"])):
        with pytest.raises(AssertionError):
            reader.run("root", command, printed)
