# SPDX-License-Identifier: ISC
"""The examples of a manual page, and somebody who does what they say.

Blocks are marked in the source of the page, and told at its top:

    .\\" machine: NAME                 the block behind it: `# /PATH` begins a file, `# COMMAND` is run
                                      as root and `$ COMMAND` as alice, any other line is one that
                                      the command before it prints
    .\\" machine: NAME script          the block is a shell script
    .\\" machine: NAME also COMMAND    a command that readers do not see

Those of one name are one example, in their order."""

import re
from pathlib import Path

import machine  # noqa: F401  makes roff.py known
from roff import unescaped

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


def unmarked_commands(text):
    """Literal blocks that look like commands but belong to no example."""
    shown = re.findall(r"^(\.\\\" machine: .*\n)?\.Bd -literal.*\n((?:(?!\.Ed).*\n)*)", text, re.M)
    assert len(shown) > 10
    return [block for mark, block in shown if not mark and re.search(r"^[#$] ", block, re.M)]


# -- the reader


class Reader:
    """manager: what alice does needs a manager of hers."""

    def __init__(self, machine, manager=True):
        self.machine = machine
        self.manager = manager
        self.units = []

    def follow(self, steps):
        for kind, *step in steps:
            if kind == "file":
                self.write(*step)
            else:
                self.run(*step)

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
        if user == USER and self.manager:
            self.machine.wait("a manager of the user's", self.user_is_there)
        done = self.machine.run("sh", "-ec", command, user=user if user == USER else None)
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
