# SPDX-License-Identifier: ISC
"""What tests of a living daemon share: services as text, clients that stay, clients that never
stop coming, and what to look at before and after."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

from daemon import DEADLINE, connect, exchange, wait_until


def value_text(value):
    """A list is in braces."""
    if isinstance(value, (list, tuple)):
        return "{%s}" % ", ".join(f'"{v}"' for v in value)
    return f'"{value}"'


def service(name, *listen, options=None, **keys):
    """The text of a service that echoes, unless keys say otherwise."""
    if not keys.keys() & {"builtin", "module", "exec", "acceptor"}:
        keys["builtin"] = "echo"
    lines = [f'service "{name}" {{', f"\tlisten = {value_text(listen)}"]
    lines += [f"\t{key} = {value_text(value)}" for key, value in keys.items()]
    if options:
        lines += ["\toptions {", *(f'\t\t{k} = "{v}"' for k, v in options.items()), "\t}"]
    return "\n".join([*lines, "}", ""])


def gate(programs, name, *listen, options=None, **keys):
    """The same with the module that waits for files (tests/modules/gate.c)."""
    return service(name, *listen, module=programs.modules / "gate.so", options=options, **keys)


def free_port():
    """A port that was free a moment ago; of the ephemeral ones, so that nobody else wants it."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# -- reloads


def reload(d, how="ctl"):
    """A reload that must succeed, and its result."""
    if how == "ctl":
        d.ctl("reload")
        return
    done = len(re.findall(r"reload: ", d.log()))
    d.signal(signal.SIGHUP)
    line = d.wait_log(r"reload: (.*)", count=done + 1)
    assert line[1].startswith("generation "), line[1]


def rewrite(d, text, how="ctl"):
    d.write_config(text)
    reload(d, how)


def start_ctl(d, *args):
    """preforkctl in the background; its end is the caller's to wait for."""
    return subprocess.Popen(
        [d.programs.preforkctl, "--runtime-directory", str(d.runtime), *args],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end_ctl(process):
    out, err = process.communicate(timeout=DEADLINE)
    return process.returncode, out, err


# -- what it looks like


def workers(d, name=None):
    """Workers on the board, of a service, that were not told to leave."""
    return [w for w in d.status()["workers"]
            if name in (None, w["service"]) and not w["leaving"]]


def pids(d, name=None):
    return {w["pid"] for w in workers(d, name)}


def picture(d):
    """All that a failed reload must not change."""
    status = d.status()
    return {"generation": status["generation"],
            "state": status["state"],
            "workers": sorted((w["service"], w["address"], w["pid"]) for w in status["workers"]),
            "children": sorted(d.workers()),
            "sockets": sockets(d)}


def descriptors(pid):
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.readlink(fd))
    return sorted(found)


def sockets(d):
    """The master's sockets and pipes: nothing may be left open, or lost."""
    return [fd for fd in descriptors(d.pid) if fd.startswith(("socket:", "pipe:"))]


@contextlib.contextmanager
def unchanged(d):
    # A notification takes the master a socket of its own for a moment.
    wait_until("rest", lambda: picture(d) == picture(d))
    before = picture(d)
    yield
    with contextlib.suppress(AssertionError):
        wait_until("the state of before", lambda: picture(d) == before)
    now = picture(d)
    assert now == before, [(before[key], now[key]) for key in now if now[key] != before[key]]


def at_rest(d):
    """The totals once no connection is open."""
    def look():
        totals = d.status()["connections"]
        return totals if totals["open"] == 0 else None
    return wait_until("no open connection", look)


SOURCE = Path(os.environ.get("SRCDIR", Path(__file__).resolve().parents[2]))
# How a connection ends: from the table that the layout of the board is made of.
ENDINGS = tuple(re.findall(r"^ENDING_FIELD\((\w+)", (SOURCE / "src/board/fields.def").read_text(),
                           re.M))


def adds_up(counts):
    """Whether accepted is what has ended and what is open."""
    return counts["accepted"] == sum(counts[name] for name in ENDINGS) + counts["open"]


def gone(pid):
    return not Path(f"/proc/{pid}").exists()


def wait_gone(who):
    wait_until(f"end of {who}", lambda: all(gone(pid) for pid in who))


def signal_was_taken(pid, number):
    """Whether the master has read a signal that was sent: it is no longer pending."""
    status = Path(f"/proc/{pid}/status").read_text()
    pending = [int(mask, 16) for mask in re.findall(r"(?:SigPnd|ShdPnd):\s*(\w+)", status)]
    return not any(mask >> (number - 1) & 1 for mask in pending)


# -- clients


def say(s, text):
    """One exchange with an echo on a connection that stays."""
    s.sendall(text)
    got = b""
    while len(got) < len(text):
        piece = s.recv(65536)
        assert piece, (text, got)
        got += piece
    assert got == text


def hold(address):
    """A client that a worker serves, until it is closed."""
    s = connect(address)
    say(s, b"held\n")
    return s


def queue(address, text):
    """A client that has said all it will; it may wait in the queue. answer() reads the reply."""
    s = connect(address)
    s.sendall(text)
    if s.type == socket.SOCK_STREAM:
        s.shutdown(socket.SHUT_WR)
    return s


def answer(s):
    with s:
        if s.type != socket.SOCK_STREAM:
            return s.recv(65536)
        return b"".join(iter(lambda: s.recv(65536), b""))


def finish(s):
    """The client is done, and gets a clean end."""
    say(s, b"still served\n")
    s.shutdown(socket.SHUT_WR)
    assert answer(s) == b""


class Clients:
    """Clients that come one after the other, each with a token of its own, while the block runs.
    The first that does not get its token back ends the test."""

    def __init__(self, address, count=1):
        self.address = address
        self.served = [0] * count
        self.failures = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(count)]

    def run(self, i):
        while not self.over.is_set():
            token = b"client %d.%d\n" % (i, self.served[i])
            try:
                reply = exchange(self.address, token)
                assert reply == token, reply
            except Exception as failure:  # pylint: disable=broad-except
                self.failures.append((token, failure))
                return
            self.served[i] += 1

    def total(self):
        return sum(self.served)

    def more(self, count=10):
        """So many more were served."""
        goal = self.total() + count
        wait_until(f"{count} clients", lambda: self.failures or self.total() >= goal)
        assert not self.failures

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.more(len(self.threads))
        return self

    def __exit__(self, *failure):
        self.over.set()
        for thread in self.threads:
            thread.join(DEADLINE)
        if failure[0] is None:
            assert not self.failures
