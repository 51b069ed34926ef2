# SPDX-License-Identifier: ISC
"""Services whose clients are served by copies of a program that accepts for itself."""

import contextlib
import os
import re
import signal
from pathlib import Path

from daemon import connect, exchange, wait_until
from look import is_gone, stat_fields

TCP = "tcp://127.0.0.1:0"
PYTHON = "/usr/bin/python3"
PROGRAM = Path(os.environ.get("SRCDIR", Path(__file__).resolve().parents[2])) \
    / "tests/programs/acceptor.py"


def quoted(*values):
    return "{" + ", ".join("'" + str(v).replace("\\", "\\\\").replace("'", "\\'") + "'"
                           for v in values) + "}"


def service(*listen, name="a", workers=2, ready="notify", program=None, keys="", **told):
    """The text of a service. It runs tests/programs/acceptor.py, which is told `told`, unless there
    is another program. ready: "notify" is at once, "alive" after a second."""
    if program is None:
        program = [PYTHON, "-ISB", PROGRAM, *(f"{k}={v}" for k, v in told.items())]
    options = f"options {{ ready = {ready} }}" if ready else ""
    return f"""
service "{name}" {{
    listen   = {quoted(*(listen or [TCP]))}
    acceptor = {quoted(*program)}
    workers  = {workers}
    {options}
    {keys}
}}
"""


def shell(script, *listen, **kwargs):
    """The same with a shell script; it is given time to live on by itself."""
    return service(*listen, program=["/bin/sh", "-c", script], **{"ready": "alive", **kwargs})


# -- clients


def ask(address, line):
    return exchange(address, line.encode() + b"\n").decode()


def pid_of(address):
    """Of the copy that served us."""
    return int(ask(address, "pid"))


def hold(address):
    """A client that a copy serves until it sends something, and that copy."""
    s = connect(address)
    s.sendall(b"hold\n")
    return s, int(s.recv(64))


def let_go(s):
    """The client that was held gets its reply and a clean end."""
    with s:
        s.sendall(b"at last")
        assert b"".join(iter(lambda: s.recv(64), b"")) == b"at last"


def silent_for(s, seconds):
    """Nothing comes for so long: what a thing that must not happen would have needed."""
    s.settimeout(seconds)
    with contextlib.suppress(TimeoutError):
        raise AssertionError(s.recv(64))
    s.settimeout(30)


# -- what is seen of copies


def copies(d, name=None):
    """Pids of those that are ready and not told to leave."""
    return {w["pid"] for w in d.status()["workers"]
            if w["state"] == "running" and not w["leaving"] and name in (None, w["service"])}


def wait_copies(d, count, name=None, but=()):
    """So many, none of them of `but`."""
    return wait_until(f"{count} copies",
                      lambda: (lambda found: found if len(found) == count
                               and not found & set(but) else None)(copies(d, name)))


def said(d, name="a"):
    """What copies wrote: pid and text of each line."""
    return [(int(pid), text) for pid, text in re.findall(
        rf'<6>preforkd\[\d+\]: service "{name}" \[[^\]]*\]: \S+\[(\d+)\]: (.*)\n', d.log())]


def texts(d, name="a"):
    return [text for _, text in said(d, name)]


def wait_said(d, pattern, count=1):
    """The count-th line that a copy wrote and that matches."""
    def look():
        found = [m for m in (re.fullmatch(pattern, t) for t in texts(d)) if m]
        return found[count - 1] if len(found) >= count else None
    return wait_until(f"a copy says {pattern!r}", look)


def told_to_leave(d, pid, number=signal.SIGTERM):
    """How often a copy said so."""
    return said(d).count((pid, f"told to leave by {int(number)}"))


def status_of(pid):
    """The fields of /proc/PID/status."""
    text = Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines())


def environment_of(pid):
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().rstrip("\0").split("\0")
    names = [e.split("=", 1)[0] for e in entries]
    assert len(names) == len(set(names)), f"a name is there twice: {sorted(names)}"
    return dict(e.split("=", 1) for e in entries)


def descriptors_of(pid):
    """By number; without what is closed meanwhile."""
    found = {}
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found[int(fd.name)] = os.readlink(fd)
    return found


def does_not_block(pid, fd=3):
    """Whether a socket is so, for all who share it."""
    text = Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
    return bool(int(re.search(r"flags:\s*(\d+)", text)[1], 8) & os.O_NONBLOCK)


def group_of(pid):
    return int(stat_fields(pid)[2])


def written(path):
    """The pid that a child of a copy wrote there."""
    return int(wait_until(f"{path}", lambda: path.exists() and path.read_text().endswith("\n")
                          and path.read_text()))


def wait_end(pid):
    wait_until(f"end of {pid}", lambda: is_gone(pid))
