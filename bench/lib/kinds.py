# SPDX-License-Identifier: ISC
"""The kinds of load: who is measured by what, held to which target, and for how long."""
import dataclasses
import os
import tempfile
import contextlib

from . import own, peers
from .common import Trouble
from .process import orphans_end, servers_stop


@dataclasses.dataclass(frozen=True)
class Kind:
    """One that bench/load makes, in rounds."""

    title: str
    mode: str  # of bench/load
    clients: int
    size: int  # bytes
    target: tuple = ("cpu",)  # which figure, how, and how much, as a ratio to the first contender
    ours: tuple = ("bare", "preforkd")
    beside: tuple = ()  # ours too, but measured as seldom as a peer
    rounds: int = 40
    restarts: int = 4
    seconds: float = 0.2
    peer_every: int = 3  # a peer is measured in each so many rounds
    free: bool = False  # on all CPUs, by the clock
    ended: bool = False  # workers or programs end meanwhile, whose CPU time counts
    asked: bool = True  # measured even if it is not named
    note: str = ""


LOADS = {
    "echo": Kind("short connections, 64 clients, 16 bytes", "echo", 64, 16, ("cpu", "<=", 1.03),
                 rounds=80, restarts=8, peer_every=4),
    "keep": Kind("4 kept connections, 64 bytes and their reply", "keep", 4, 64, rounds=20),
    "daytime": Kind("server speaks first, 8 clients", "daytime", 8, 16, ("rate", ">=", 1.2),
                    peer_every=4),
    "daytime-2": Kind("server speaks first, 8 clients, on all CPUs, by the clock", "daytime", 8, 16,
                      ("rate", ">=", 1.2), free=True, peer_every=4),
    "unix": Kind("short connections to a Unix socket, 64 clients, 16 bytes", "echo", 64, 16,
                 rounds=16),
    "udp": Kind("4 clients, datagrams of 64 bytes", "udp", 4, 64, ("rate", ">=", 0.98), rounds=28,
                note="The own UDP echo of xinetd and openbsd-inetd answers nobody on 127.0.0.1."),
    "max": Kind("many workers: short connections, 64 clients, 16 bytes", "echo", 64, 16,
                ("rate", ">=", 1.0), ours=("bare", "preforkd-max"),
                beside=("bare-256", "bare-1000", "preforkd-256", "preforkd-1000"), rounds=32,
                ended=True),
    "program": Kind("a tiny program per connection, 8 clients", "program", 8, 16,
                    ("rate", ">=", 1.0), rounds=32, ended=True),
    "program-1": Kind("a tiny program per connection, 1 client", "program", 1, 16,
                      ("p50", "<=", 0.8), rounds=32, ended=True),
    "program-64": Kind("a tiny program per connection, 64 clients", "program", 64, 16, rounds=32,
                       ended=True, asked=False),
    "relay": Kind("4 kept connections to cat, 64 bytes: prestart beside exec, on all CPUs", "keep",
                  4, 64, ("rate", ">=", 0.75), ours=("preforkd", "preforkd-prestart"), rounds=20,
                  free=True, ended=True),
}
# The others: who of ours, and how many seconds they take (special.py, watch.py).
OTHERS = {
    "prestart": ("preforkd", "preforkd-prestart"),
    "default": ("preforkd-default",),
    "burst": ("bare-64", "preforkd-2", "preforkd-0"),
    "memory": ("bare", "preforkd"),
    "thousand": ("bare-256", "bare-1000", "preforkd-256", "preforkd-1000"),
    "watch": ("preforkd",),
    "status": ("preforkd-1000",),
    "scrape": ("preforkd",),
}
KINDS = (*LOADS, *OTHERS)
CONTENDERS = {**own.CONTENDERS, **{name: line[0] for name, line in peers.PEERS.items()}}
NAMES = {name: line[3] for name, line in peers.PEERS.items()}


def ours_of(options, kind):
    """The first is the one that the others are compared to."""
    if kind in OTHERS:
        return OTHERS[kind]
    if options.self_check:
        return ("bare", "bare-again")
    return LOADS[kind].ours


def beside_of(options, kind):
    more = LOADS[kind].beside if kind in LOADS and not options.self_check else ()
    return (*more, *(name for name in options.beside if peers.can(name, kind)))


def server_start(options, kind, name, place):
    return CONTENDERS[name](options, kind, name, place, options.server_cpus)


def one_line(trouble):
    """What happened and, of a server that did not start, the last it said."""
    lines = [line.strip() for line in str(trouble).splitlines() if line.strip()]
    last = [lines[-1]] if lines[0].endswith("its log:") and len(lines) > 1 else []
    return " ".join([lines[0], *last])[:300]


def leave_out(options, kind, name, trouble):
    """Ours must work; a peer need not."""
    if name not in peers.PEERS:
        raise trouble
    options.left_out.setdefault(kind, {})[name] = one_line(trouble)


def servers_start(options, kind, place, backwards=False, only=None):
    """(ours, beside): who can do this kind and starts, whatever the order they started in."""
    names = only or (*ours_of(options, kind), *beside_of(options, kind))
    names = [name for name in names if name not in options.left_out.get(kind, {})]
    servers = {}
    try:
        for name in names[::-1] if backwards else names:
            try:
                servers[name] = server_start(options, kind, name, place)
            except Trouble as trouble:
                leave_out(options, kind, name, trouble)
    except BaseException:
        servers_stop(servers.values())
        raise
    first = ours_of(options, kind)
    return ([servers[name] for name in names if name in servers and name in first],
            [servers[name] for name in names if name in servers and name not in first])


@contextlib.contextmanager
def servers_running(options, kind, backwards=False, only=None):
    with tempfile.TemporaryDirectory(prefix="preforkd-bench.") as place:
        os.chmod(place, 0o755)  # some of them change their user
        ours, beside = servers_start(options, kind, place, backwards, only)
        try:
            yield ours, beside
        finally:
            servers_stop([*ours, *beside])
            orphans_end()


@contextlib.contextmanager
def all_cpus(options, wanted=True):
    """For what a server does ahead or beside the client, which is worth nothing on one CPU."""
    had = options.affinity, options.load_cpus, options.server_cpus
    if wanted:
        options.affinity = "free"
        options.load_cpus = options.server_cpus = options.cpus
        os.sched_setaffinity(0, options.cpus)
    try:
        yield
    finally:
        options.affinity, options.load_cpus, options.server_cpus = had
        os.sched_setaffinity(0, options.load_cpus)
