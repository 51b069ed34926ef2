# SPDX-License-Identifier: ISC
"""A stand-in for systemd as a daemon sees it: the sockets of .socket units, which stay open between
starts, a NOTIFY_SOCKET and an FD store. Needs neither root nor a booted systemd."""

import contextlib
import os
import random
import selectors
import socket
import sys
import threading

import pytest
from daemon import DEADLINE, Daemon

TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "unix": socket.SOCK_STREAM,
         "unixgram": socket.SOCK_DGRAM, "unixpacket": socket.SOCK_SEQPACKET}

# Puts the descriptors where LISTEN_FDS wants them, and goes on as the daemon in the same process.
# First out of the way: a source may be where another one has to go.
EXEC = """
import fcntl, os, sys
count = int(sys.argv[1])
fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 3 + count) for fd in sys.argv[2:2 + count]]
for fd in sys.argv[2:2 + count]:
    os.set_inheritable(int(fd), False)
for number, fd in enumerate(fds):
    os.dup2(fd, 3 + number)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2 + count], sys.argv[2 + count:])
"""


def passing(fds):
    """What goes before a command that gets these; they must be in its pass_fds, too."""
    return [sys.executable, "-ISc", EXEC, str(len(fds)), *map(str, fds)]


def bound(address):
    """A socket as systemd makes it for an address: bound and listening, and it does not block."""
    kind, rest = address.split("://", 1)
    type_ = TYPES[kind.rstrip("46")] | socket.SOCK_NONBLOCK
    if kind.startswith("unix"):
        s = socket.socket(socket.AF_UNIX, type_)
        s.bind("\0" + rest[1:] if rest.startswith("@") else rest)
    else:
        host, port = rest.rsplit(":", 1)
        host = {"*": "::"}.get(host, host.strip("[]"))
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, type_)
        if ":" in host:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, kind.endswith("6"))
        s.bind((host, int(port)))
    if s.type != socket.SOCK_DGRAM:
        s.listen(128)
    return s


FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)


def address_of(s):
    """Where it is bound, as the configuration writes it; None where that says nothing."""
    names = {socket.SOCK_STREAM: ("tcp", "unix"), socket.SOCK_DGRAM: ("udp", "unixgram"),
             socket.SOCK_SEQPACKET: (None, "unixpacket")}
    if not isinstance(s, socket.socket) or s.family not in FAMILIES or s.type not in names:
        return None
    names = names[s.type]
    where = s.getsockname()
    if s.family == socket.AF_UNIX:
        name = "@" + where[1:].decode() if isinstance(where, bytes) else where
        return f"{names[1]}://{name}"
    if s.family == socket.AF_INET:
        return f"{names[0]}://{where[0]}:{where[1]}"
    if where[0] == "::" and not s.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return f"{names[0]}://*:{where[1]}"
    only = "6" if where[0] == "::" else ""
    return f"{names[0]}{only}://[{where[0]}]:{where[1]}"


def inode(fd):
    return os.fstat(fd).st_ino


class Managed(Daemon):
    """units: name and socket of each .socket unit; they are the manager's, and stay open.
    store: name and descriptor of what the daemon stored. told: what it said, in order."""

    def __init__(self, programs, directory, config=None, units=(), **kwargs):
        super().__init__(programs, directory, config=config, **kwargs)
        self.units = list(units)
        self.store = []
        self.told = []
        self.readers = []
        self.dice = None
        self.notify = None

    # -- starts

    def start(self, expect_ready=True):
        self.hear_all()
        if self.notify:
            self.notify.close()
        passed = [(n, s.fileno()) for n, s in self.units] + self.store
        if self.dice:
            self.dice.shuffle(passed)
        fds = [fd for _, fd in passed]
        self.told.append(("start", [name for name, _ in passed]))
        self.pass_fds = fds
        self.wrapper = []
        self.env = {k: v for k, v in self.env.items() if not k.startswith("LISTEN_")}
        if passed:
            self.wrapper = passing(fds)
            self.env.update(LISTEN_FDS=str(len(fds)),
                            LISTEN_FDNAMES=":".join(name for name, _ in passed))
        return super().start(expect_ready)

    def restart(self, expect_ready=True):
        assert self.stop() == 0, self.log()
        return self.start(expect_ready)

    def shuffled(self, seed):
        """The order of what is passed is another at each start from now on."""
        self.dice = random.Random(seed)
        return self

    def crash(self, number=9):
        os.kill(self.pid, number)
        self.wait()

    def hear_all(self):
        """All that it said before it ended; and nothing listens to it any more."""
        if self.notify:
            self.notify.shutdown(socket.SHUT_RDWR)
        for reader in self.readers:
            reader.join(DEADLINE)
            assert not reader.is_alive()
        self.readers = []

    def finish(self):
        super().finish()
        for _, fd in self.store:
            os.close(fd)
        self.store = []

    # -- what it says

    def read_notifications(self, notify, inbox):
        self.readers.append(threading.current_thread())
        with contextlib.suppress(OSError):
            while True:
                text, fds, _, _ = socket.recv_fds(notify, 8192, 8)
                if not text:
                    break
                self.hear(text.decode(), fds)
                inbox.put(text.decode())

    def hear(self, text, fds):
        said = dict(line.split("=", 1) for line in text.split("\n") if line)
        name = said.get("FDNAME", "stored")
        if "FDSTORE" in said:
            assert said.get("FDPOLL") == "0", text
            assert len(fds) == 1, (text, fds)
            self.told.append(("store", name))
        elif fds:
            self.told.append(("descriptors without FDSTORE", text))
        for fd in fds:
            # systemd ignores a second copy of the same open file.
            if inode(fd) in [inode(other) for _, other in self.store]:
                self.told.append(("twice", name))
                os.close(fd)
            else:
                self.store.append((name, fd))
        if "FDSTOREREMOVE" in said:
            self.told.append(("remove", name))
            for entry in [e for e in self.store if e[0] == name]:
                self.store.remove(entry)
                os.close(entry[1])
        for state in ("READY", "STOPPING", "RELOADING"):
            if state in said:
                self.told.append((state,))

    def stored(self):
        """The names in the store, sorted, with the inode of what is stored."""
        return {name: inode(fd) for name, fd in self.store}

    def since_start(self):
        """What was told since the last start, without the order of the store."""
        at = max(i for i, told in enumerate(self.told) if told[0] == "start")
        return self.told[at + 1:]

    # -- on demand

    def has_client(self, deadline):
        """Whether one comes to a socket of a unit: when systemd would start the service."""
        with selectors.DefaultSelector() as selector:
            for _, s in self.units:
                selector.register(s, selectors.EVENT_READ)
            return bool(selector.select(deadline))


@pytest.fixture
def manage(tmp_path, programs):
    """A function that makes managed daemons. Units are pairs of a name and an address, or a socket
    of any kind; <A0> in the configuration is the address of the first one."""
    made, sockets = [], []

    def start(config, *units, expect_ready=True, started=True, **kwargs):
        opened = [(name, bound(s) if isinstance(s, str) else s) for name, s in units]
        sockets.extend(s for _, s in opened)
        addresses = [address_of(s) for _, s in opened]
        for i, address in enumerate(addresses):
            config = config.replace(f"<A{i}>", address or "")
        d = Managed(programs, tmp_path / f"d{len(made)}", config=config, units=opened, **kwargs)
        d.unit_addresses = addresses
        made.append(d)
        if started:
            d.start(expect_ready)
        return d

    yield start
    for d in made:
        d.finish()
    for s in sockets:
        s.close()
