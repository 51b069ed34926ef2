# SPDX-License-Identifier: ISC
"""preforkctl import, what it prints, and a tree of files for it to read."""

import re
import tempfile
from pathlib import Path

import ctl
from checking import check, write

DATAERR = 65
NOINPUT = 66

LIMITS = {"workers_max", "per_source", "rate", "rate_per_source", "allow", "deny"}


class Service:
    """keys: their values as written; remarks: what stands behind them; off: why it is not enabled;
    notes: the other comments."""

    def __init__(self, name, lines):
        self.name = name
        self.keys, self.remarks = {}, {}
        self.off, self.notes = [], []
        for line in lines:
            self.take(line)

    def take(self, line):
        if line == "enabled = false":
            assert not self.keys
        elif line.startswith("# not enabled: "):
            self.off.append(line.removeprefix("# not enabled: "))
        elif line.startswith("# "):
            self.notes.append(line.removeprefix("# "))
        else:
            key, value = line.removeprefix("options { ").split(" = ", 1)
            value, _, self.remarks[key] = value.partition("   # ")
            assert key not in self.keys, key
            self.keys[key] = value.removesuffix(" }")

    @property
    def limits(self):
        return {key: value for key, value in self.keys.items() if key in LIMITS}

    def list(self, key):
        """The texts of a key, without their quotes."""
        found = re.findall(r'"([^"]*)"|\'((?:[^\'\\]|\\.)*)\'',
                           self.keys[key], re.S)
        return [double or re.sub(r"\\(.)", r"\1", single, flags=re.S) for double, single in found]

    @property
    def listen(self):
        return self.list("listen")

    def noted(self, text):
        return [note for note in self.notes if text in note]


class Import:
    """code; out; errors: the lines of standard error; services by name; origin: the comments above
    each; comments: the blocks of what is no service."""

    def __init__(self, *files, **options):
        result = ctl.run("import", *files, **options)
        self.code = result.returncode
        self.out = result.stdout.decode(errors="surrogateescape")
        self.errors = [line.removeprefix("preforkctl: ")
                       for line in result.stderr.decode(errors="replace").splitlines()]
        assert "Sanitizer" not in str(self.errors), self.errors
        self.head, *blocks = re.split(r"\n\n(?=#)", self.out.rstrip("\n"))
        # What is to be known about all services, its lines joined.
        self.told = re.sub(r"\n# (?=\S)", " ", self.head)
        self.services, self.comments, self.origin = {}, [], {}
        for block in blocks:
            self.take(block)

    def take(self, block):
        found = re.fullmatch(r'((?:# .*\n)+)service "([^"]+)" {\n(.*)\n}', block, re.S)
        if not found:
            assert all(line.startswith("#") for line in block.splitlines()), block
            self.comments.append(block)
            return
        origin, name, body = found.groups()
        assert name not in self.services
        self.origin[name] = [line.removeprefix("# ") for line in origin.splitlines()]
        self.services[name] = Service(name, re.split(r"\n\t", body.removeprefix("\t")))

    @property
    def only(self):
        service, = self.services.values()
        return service


def imported(*files, code=0):
    result = Import(*files)
    assert (result.code, result.errors) == (code, result.errors if code else []), result.errors
    return result


class Tree:
    """A folder with the files of another machine, and programs for them that do nothing. Not in
    tmp_path: the users of the programs must be able to reach them, and another pytest that starts
    meanwhile closes the folder above to all others."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="preforkd-import-")
        self.root = Path(self.folder.name)
        self.root.chmod(0o755)
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def put(self, name, text):
        path = write(self.root / name, text)
        for folder in path.relative_to(self.root).parents:
            (self.root / folder).chmod(0o755)
        return path

    def program(self, path="/usr/bin/prog", text="#!/bin/sh\n"):
        stub = self.put(path.lstrip("/"), text)
        stub.chmod(0o755)
        return stub

    def here(self, text):
        """The text with a program in this tree for each path of one."""
        return re.sub(r"(?<![\w./])/(?:usr|opt|bin|sbin)/[\w./@+-]*\w",
                      lambda path: str(self.program(path[0])), text)


def passes(programs, tmp_path, result, services=None):
    """preforkd --check takes what was printed: beside another service, since all may be off.
    services: how many are not."""
    folder = tmp_path / "checked"
    main = 'service "other" {\n\tlisten = {"unix://@preforkd-import"}\n\tbuiltin = "echo"\n}\n'
    write(folder / "conf.d/imported.conf", result.out)
    checked = check(programs, folder / "preforkd.conf", main)
    assert checked.code == 0, (checked.lines, result.out)
    enabled = sum(not service.off for service in result.services.values())
    ok, = checked.lines
    assert ok.endswith(f": ok, {enabled + 1} service{'s' if enabled else ''}"), (ok, result.out)
    assert services is None or enabled == services, result.out
