# SPDX-License-Identifier: ISC
"""Services whose clients are served by programs, and what those programs tell and leave behind."""

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest

from daemon import connect, wait_until
from look import counts, is_gone, wait_gone, worker_pids
from support import rewrite

TCP = "tcp://127.0.0.1:0"
# In the environment of each daemon, and so of all that it starts.
MARK = "TEST_DAEMON"


def service(program, address=TCP, name="main", workers=1, keys=""):
    """The text of a service; the program with its arguments is a list, or one path."""
    program = [program] if isinstance(program, (str, Path)) else program
    return f"""
service "{name}" {{
    listen  = {{"{address}"}}
    exec    = {{{", ".join(f'"{a}"' for a in program)}}}
    workers = {workers}
    {keys}
}}
"""


def install(path, text):
    """A script that is there at once, or changes at once."""
    path = Path(path)
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.chmod(0o755)
    new.rename(path)
    return path


def shell(path, text):
    return install(path, f"#!/bin/sh\n{text}\n")


def python(path, text):
    return install(path, f"#!/usr/bin/python3 -ISB\n{text}\n")


@pytest.fixture
def public():
    """A folder that every user can reach, which pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="preforkd-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def renew(d, text):
    """A reload with another text; no worker of before takes a client any more."""
    old = worker_pids(d)
    rewrite(d, text)
    wait_gone(old)


# -- clients


def read_all(s):
    """Until a clean end of file."""
    return b"".join(iter(lambda: s.recv(1 << 20), b""))


def ask(address, data=b""):
    """All that a program says to a client. Nobody half-closes, so that its end is the program's."""
    with connect(address) as s:
        if data:
            s.sendall(data)
        return read_all(s)


# -- what the program tests/programs/facts tells


class Facts:
    def __init__(self, text):
        assert text.endswith(b"\0"), text
        self.records = [r.split("=", 1) for r in text[:-1].decode().split("\0")]

    def all(self, key):
        return [value for name, value in self.records if name == key]

    def __getitem__(self, key):
        [value] = self.all(key)
        return value

    def number(self, key):
        return int(self[key])

    def numbers(self, key):
        return [int(value) for value in self.all(key)]

    def environment(self):
        pairs = [text.split("=", 1) for text in self.all("env")]
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), f"a name is there twice: {sorted(names)}"
        return dict(pairs)

    def limit(self, name):
        [both] = [text.split(",")[1:] for text in self.all("limit") if text.startswith(name + ",")]
        return tuple(int(value) for value in both)


@pytest.fixture
def facts_program(programs):
    path = programs.build / "tests/programs/facts"
    if not path.exists():
        pytest.fail(f"{path} is missing; make check builds it")
    return path


def facts_of(s):
    return Facts(read_all(s))


def facts(address):
    with connect(address) as s:
        return facts_of(s)


# -- the ledger


def wait_ledger(d, service=None, **expected):
    """As look.wait_counts(); how programs ended is counted beside how connections did."""
    try:
        wait_until(f"{expected}", lambda: counts(d, service) == expected, 10)
    except AssertionError:
        raise AssertionError(f"{counts(d, service)}, not {expected}:\n{d.log()}") from None
    endings = [n for name, n in expected.items()
               if name != "accepted" and not name.startswith("program_")]
    assert expected["accepted"] == sum(endings)


def wait_idle(d, deadline=10):
    wait_until("idle workers", lambda: all(p["busy"] == 0 for p in d.status()["pools"]), deadline)


# -- processes


def marked(mark):
    """Pids of what the daemon's programs are and have left behind."""
    found = []
    wanted = f"{MARK}={mark}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return [pid for pid in found if not is_gone(pid)]


def children(pid):
    """Also of a process that ends meanwhile."""
    try:
        return [int(p) for p in
                Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def name_of(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def waiting_children(worker):
    """Those of a worker that have no client yet: a program has another name. Whether one was executed
    a moment ago cannot be told, so no client should come meanwhile."""
    return [pid for pid in children(worker)
            if name_of(pid).startswith("preforkd") and not is_gone(pid)]


def waiting_child(worker):
    return wait_until("a waiting child", lambda: waiting_children(worker))[0]


@pytest.fixture(name="daemon")
def daemon_of_programs(daemon, tmp_path):
    """In the place of conftest's: nothing that a program started may be left at the end."""
    mark = str(tmp_path)
    started = []

    def start(*args, env=None, **kwargs):
        d = daemon(*args, env={MARK: mark, **(env or {})}, **kwargs)
        started.append(d)
        return d

    yield start
    for d in started:
        d.finish()
        d.process = None
    try:
        wait_until("the end of all programs", lambda: not marked(mark), 10)
    finally:
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)


# Says its pid, then nothing; a client may leave, it does not look.
HANG = "echo $$; exec sleep 100"
DEAF = "trap '' TERM; echo $$; while :; do sleep 100; done"


@pytest.fixture(name="start")
def start_with_a_script(daemon, tmp_path):
    """A service whose program is a shell script."""
    def go(script, keys="", address=TCP, workers=1, make=shell, **kwargs):
        return daemon(service(make(tmp_path / "prog", script),
                              address.replace("DIR", str(tmp_path)), workers=workers, keys=keys),
                      **kwargs)
    return go


def begin(d):
    """A client whose program has said its pid."""
    s = connect(d.address())
    text = s.recv(99)
    assert text.endswith(b"\n"), (text, d.log())
    return s, int(text)


class Watch:
    """How long something takes."""

    def __init__(self):
        self.begun = time.monotonic()

    def seconds(self):
        return time.monotonic() - self.begun


def pid_in(path):
    """A pid that a script wrote into a file."""
    text = wait_until(f"a pid in {path}", lambda: path.exists() and path.read_text().strip())
    return int(text)


def left_over_group(pgid):
    """Whether a process group still has members."""
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    return True
