# SPDX-License-Identifier: ISC
"""What preforkd bound itself is kept by systemd: a restart, a crash and a stuck master refuse
nobody. And a stop, after which nobody keeps it: who waits in the queue is served before it closes.

MACHINE_ROUNDS=N in the environment: so many restarts, kills and stops in place of the usual few."""

import contextlib
import fcntl
import os
import re
import selectors
import socket
import subprocess
import time

import pytest
import machine  # noqa: F401  makes support.py known
from daemon import exchange
from support import answer, finish, hold, queue, say, service

ROUNDS = os.environ.get("MACHINE_ROUNDS")
CONF = "/etc/preforkd/preforkd.conf"
UNIT = "preforkd.service"
RUNTIME = "/run/preforkd/main"
TCP, OTHER = "tcp://127.0.0.1:7080", "tcp://127.0.0.1:7081"
UDP = "udp://127.0.0.1:7080"
UNIX, PACKET = f"unix://{RUNTIME}/s", f"unixpacket://{RUNTIME}/p"
GRAM = f"unixgram://{RUNTIME}/g"
STREAMS = [TCP, UNIX, PACKET]
EVERY = [*STREAMS, UDP, GRAM]
DROPPED = "kept across the restart, but no service listens there any more; closed"


def rounds(usual):
    return int(ROUNDS or usual)


def echo(name, *listen, **keys):
    """The text of a service that echoes, for anybody who can reach it."""
    return service(name, *listen, **{"user": "nobody", "workers": 3, "socket_mode": "0666", **keys})


class Running:
    """preforkd.service with one configuration after the other."""

    def __init__(self, machine, *services, dropin=None):
        self.machine = machine
        if dropin:
            machine.dropin(UNIT, f"[Service]\n{dropin}\n")
        self.write(*services)
        machine.systemctl("start", "preforkd")

    def write(self, *services):
        self.machine.write(CONF, 'user = "nobody"\n' + "".join(services))

    def systemctl(self, verb, *options):
        self.machine.systemctl(verb, *options, "preforkd")

    def reload(self, *services):
        self.write(*services)
        self.systemctl("reload")

    def kill(self, whom, name="KILL"):
        """As an administrator would; systemd's own words for whom: main, all."""
        self.systemctl("kill", f"--signal={name}", f"--kill-whom={whom}")

    def wait_next(self, pid):
        """Another main process than this, and it is ready."""
        self.machine.wait_show(UNIT, MainPID=rf"(?!({pid}|0)$)\d+", ActiveState="active")

    def pid(self):
        return self.machine.main_pid()

    def pools(self):
        return {pool["address"]: pool for pool in self.machine.status()["pools"]}

    # -- the store

    def count(self):
        return int(self.machine.show(UNIT, "NFileDescriptorStore")["NFileDescriptorStore"])

    def each_once(self):
        """As many in the store as there are listeners, once those that were dropped have served
        who was waiting."""
        self.machine.wait("the store", lambda: self.count() == len(self.pools()) > 0)

    def sockets(self):
        """By kind and where they are bound, the inodes of what listens: a socket that was bound
        anew is another one."""
        found = {}
        for line in self.machine.run("ss", "-Hltune").stdout.splitlines():
            where = re.match(r"(tcp|udp) .* 127\.0\.0\.1:(70\d\d) .*ino:(\d+)", line)
            if where:
                found.setdefault(where[1] + where[2], []).append(where[3])
        for line in self.machine.run("cat", "/proc/net/unix").stdout.splitlines():
            # Not the accepted ones, which have the path of their listener.
            where = re.match(rf"\S+ \S+ \S+ (\S+) (\S+) \S+ +(\d+) {RUNTIME}/(\w)$", line)
            if where and (where[1] == "00010000" or where[2] == "0002"):
                found.setdefault(where[4], []).append(where[3])
        return found

    def paths(self):
        text = self.machine.run("sh", "-c", f"stat -c '%n %i %a' {RUNTIME}/? 2>&-",
                                check=False).stdout
        return sorted(text.splitlines())

    def complaints(self):
        """Of preforkd and of systemd about it."""
        return [m["MESSAGE"] for m in self.machine.journal("preforkd") if int(m["PRIORITY"]) <= 4]


@pytest.fixture
def run(machine):
    return lambda *services, **kwargs: Running(machine, *services, **kwargs)


def all_served(c):
    assert c.outcomes == {"ok": c.served}, (c.outcomes, c.failures)


def only_cut(c, most):
    """Nobody was refused; of connections at most so many broke off."""
    assert set(c.outcomes) <= {"ok", "reset", "short"}, (c.outcomes, c.failures)
    cut = sum(c.outcomes.values()) - c.served
    assert cut <= most, (c.outcomes, c.failures)


def is_served(machine, address, text=b"hello"):
    assert machine.exchange(address, text) == text


# -- restart


def test_restart(machine, run):
    """Of every kind of listener; nobody is refused, nothing is bound anew."""
    r = run(echo("echo", *EVERY))
    sockets, paths = r.sockets(), r.paths()
    assert len(sockets) == 5 and len(paths) == 3
    pid, most = r.pid(), rounds(20)
    with machine.clients(EVERY, count=12, slow=0.3) as c:
        c.more(50)
        for _ in range(most):
            r.systemctl("restart")
            c.more(10)
            assert r.pid() != pid
            pid = r.pid()
            r.each_once()
            assert r.sockets() == sockets
    all_served(c)
    print(f"\n{most} restarts, {c.served} clients: worst delay {c.worst * 1000:.0f} ms")
    assert c.worst < 5
    assert r.paths() == paths
    assert r.complaints() == []


def test_restart_leaves_the_queue_to_the_next(machine, run):
    """It does not drain: who waits is served by the next process, and its board says so."""
    r = run(echo("echo", TCP, UNIX, workers=1))
    for address in (TCP, UNIX):
        held = machine.inside(hold, address)
        waiting = [machine.inside(queue, address, b"waits %d" % i) for i in range(5)]
        pid = r.pid()
        r.systemctl("restart", "--no-block")
        machine.wait_state(UNIT, "deactivating")
        # One that comes meanwhile is no exception.
        waiting.append(machine.inside(queue, address, b"waits 5"))
        finish(held)
        assert [answer(s) for s in waiting] == [b"waits %d" % i for i in range(6)]
        r.wait_next(pid)
        machine.wait("count", lambda: r.pools()[address]["connections"]["finished"] == 6)
    assert r.complaints() == []


def test_restart_with_a_bad_file(machine, run):
    """It is down until somebody corrects it; the clients wait for that."""
    r = run(echo("echo", TCP, UNIX))
    sockets = r.sockets()
    with machine.clients([TCP, UNIX], count=12) as c:
        c.more(20)
        r.write(echo("echo", TCP, UNIX), "nonsense = 1\n")
        assert machine.systemctl("restart", "preforkd", check=False).returncode != 0
        # Not at the first try either.
        machine.wait_show(UNIT, NRestarts=r"[1-9]\d*", ExecMainStatus="78")
        r.write(echo("echo", TCP, UNIX))
        machine.wait_state(UNIT, "active")
        c.more(20)
    all_served(c)
    assert r.sockets() == sockets
    r.each_once()


def test_reload_and_reexec_of_systemd(machine, run):
    r = run(echo("echo", *EVERY))
    sockets = r.sockets()
    with machine.clients(STREAMS, count=12) as c:
        for verb in ("daemon-reload", "daemon-reexec"):
            machine.systemctl(verb)
            r.each_once()
            r.systemctl("restart")
            c.more(10)
            assert r.sockets() == sockets
            r.each_once()
    all_served(c)


def test_stop_empties_the_store(machine, run):
    r = run(echo("echo", *EVERY))
    r.each_once()
    r.systemctl("stop")
    assert r.count() == 0
    assert r.sockets() == {}
    r.systemctl("start")
    r.each_once()
    assert r.complaints() == []


# -- crash


@pytest.mark.parametrize("whom", ["main", "all"])
def test_kill(machine, run, whom):
    r = run(echo("echo", *STREAMS, workers=2))
    sockets, paths = r.sockets(), r.paths()
    with machine.clients(STREAMS, count=12, slow=0.5) as c:
        for number in range(1, rounds(3) + 1):
            c.more_of_any(50)
            pid = r.pid()
            r.kill(whom)
            r.wait_next(pid)
            c.more_of_any(20)
            # Two workers at each of three addresses, each with one client.
            only_cut(c, number * 6)
            r.each_once()
    assert r.sockets() == sockets and r.paths() == paths
    assert machine.show(UNIT, "Result", "NRestarts") == {"Result": "success",
                                                         "NRestarts": str(number)}
    assert not [m for m in r.complaints() if "kept across" in m]


def test_a_client_in_the_queue_of_the_killed(machine, run):
    """Only who was being served is cut."""
    r = run(echo("echo", TCP, UNIX, workers=1))
    held = [machine.inside(hold, address) for address in (TCP, UNIX)]
    waiting = [machine.inside(queue, address, b"waits") for address in (TCP, UNIX)]
    r.kill("all")
    assert [answer(s) for s in waiting] == [b"waits"] * 2
    for s in held:
        with s, contextlib.suppress(ConnectionResetError):
            assert s.recv(1) == b""


def test_watchdog(machine, run):
    """A master whose loop is stuck is aborted, and another one takes the listeners."""
    r = run(echo("echo", *STREAMS, workers=2), dropin="WatchdogSec=2s")
    sockets, pid = r.sockets(), r.pid()
    with machine.clients(STREAMS, count=12, slow=0.5) as c:
        c.more(20)
        r.kill("main", "STOP")
        # Workers do not need the master to serve.
        c.more(20)
        r.wait_next(pid)
        c.more_of_any(20)
    only_cut(c, 6)
    machine.wait_journal(r"Watchdog timeout", "preforkd")
    machine.wait_journal(r"code=\w+, status=6/ABRT", "preforkd")
    assert machine.show(UNIT, "NRestarts")["NRestarts"] == "1"
    assert r.sockets() == sockets
    r.each_once()


def test_the_watchdog_is_content_with_a_master_that_lives(machine, run):
    """However long the workers are busy, and though one of them is stuck."""
    r = run(echo("echo", TCP, UNIX, workers=1), dropin="WatchdogSec=2s")
    pid = r.pid()
    [worker] = [w["pid"] for w in machine.status()["workers"] if w["address"] == UNIX]
    held = machine.inside(hold, TCP)
    machine.kill(worker, "STOP")
    selectors.DefaultSelector().select(3)  # the time is what is tested
    machine.kill(worker, "CONT")
    finish(held)
    is_served(machine, UNIX)
    assert r.pid() == pid
    assert machine.show(UNIT, "NRestarts")["NRestarts"] == "0"


# -- what is in the store


def test_what_is_dropped_leaves_it(machine, run):
    """With the reload. And what comes is there once, whatever happens."""
    r = run(echo("a", TCP), echo("b", OTHER), echo("u", UNIX))
    bound = r.sockets()["tcp7080"]
    steps = [
        [echo("a", TCP), echo("u", UNIX)],  # one is dropped
        [echo("a", TCP), echo("b", OTHER), echo("u", UNIX, PACKET, GRAM)],  # others come
        [echo("a", TCP, workers=2), echo("b", OTHER)],  # others settings
        [echo("renamed", TCP), echo("b", OTHER)],
        [echo("b", TCP), echo("renamed", OTHER)],
        [echo("one", TCP, OTHER, UDP)],
    ]
    with machine.clients(TCP, count=4) as c:
        for services in steps:
            for step in (r.reload, lambda *_: r.systemctl("restart")):
                step(*services)
                c.more(2)
                r.each_once()
    all_served(c)
    assert len(r.sockets()) == 3
    assert r.sockets()["tcp7080"] == bound
    assert r.complaints() == []
    assert not [m for m in machine.journal("preforkd") if "kept across" in m["MESSAGE"]]


def test_dropped_while_it_was_down(machine, run):
    """A restart with another file: closed, removed, and said."""
    r = run(echo("a", TCP), echo("b", OTHER), echo("u", UNIX))
    with machine.clients(TCP, count=4) as c:
        r.write(echo("a", TCP))
        r.systemctl("restart")
        c.more(10)
    all_served(c)
    r.each_once()
    assert r.count() == 1
    said = [m for m in machine.journal("preforkd") if DROPPED in m["MESSAGE"]]
    assert {m["MESSAGE"].split(": ")[0] for m in said} == {OTHER, UNIX}
    assert all("MESSAGE_ID" in m for m in said) and len(said) == 2
    with pytest.raises(ConnectionRefusedError):
        machine.connect(OTHER)
    assert r.paths() == []
    r.systemctl("restart")
    assert len([m for m in machine.journal("preforkd") if DROPPED in m["MESSAGE"]]) == 2


def test_renamed_while_it_was_down(machine, run):
    """The address finds it."""
    r = run(echo("a", TCP), echo("b", OTHER))
    sockets = r.sockets()
    with machine.clients([TCP, OTHER], count=4) as c:
        for services in ([echo("x", OTHER), echo("y", TCP)], [echo("y", OTHER), echo("x", TCP)]):
            r.write(*services)
            r.systemctl("restart")
            c.more(10)
            assert r.sockets() == sockets
            r.each_once()
    all_served(c)
    assert r.complaints() == []


def module(machine, name):
    """A module of the tests, built and installed."""
    file = machine.build / f"tests/modules/.libs/{name}.so"
    lock = os.open(machine.build, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
        subprocess.run(["make", "-s", "-C", machine.build, f"tests/modules/{name}.la"], env=env,
                       check=True, stdin=subprocess.DEVNULL)
    finally:
        os.close(lock)
    machine.copy(file, f"/usr/lib/preforkd/{name}.so")
    return f"/usr/lib/preforkd/{name}.so"


def test_workers_do_not_see_it(machine, run):
    """Neither the variables of systemd nor another's listener."""
    env = module(machine, "env")
    r = run(service("env", TCP, module=env, workers=2), echo("b", OTHER), echo("u", UNIX))
    r.systemctl("restart")
    secret = {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_USEC",
              "WATCHDOG_PID"}
    told = machine.exchange(TCP, b"").decode()
    assert f"ppid={r.pid()} " in told
    seen = set(re.search(r" env=(\S*) ", told)[1].split(","))
    assert "RUNTIME_DIRECTORY" in seen and not seen & secret, seen
    sockets = r.sockets()
    held = set(re.findall(r"=socket:\[(\d+)\]", told))
    assert held & {*sockets["tcp7080"]}
    assert not held & {*sockets["tcp7081"], *sockets["s"]}, (told, sockets)
    for worker in machine.status()["workers"]:
        text = machine.run("cat", f"/proc/{worker['pid']}/environ").stdout
        assert not any(f"{name}=" in text for name in secret), text


# -- stop


def test_stop_serves_who_waits(machine, run):
    """Of a listener that nobody keeps the queue is served, and nobody new comes in."""
    r = run(echo("echo", TCP, UNIX, workers=1))
    held = [machine.inside(hold, address) for address in (TCP, UNIX)]
    waiting = [machine.inside(queue, address, b"waits %d" % i) for i in range(5)
               for address in (TCP, UNIX)]
    r.systemctl("stop", "--no-block")
    machine.wait_show(UNIT, ActiveState="deactivating", StatusText="stopping: .*")
    machine.wait("the path is gone", lambda: machine.run("test", "-e", f"{RUNTIME}/s",
                                                         check=False).returncode)
    with pytest.raises(FileNotFoundError):
        machine.connect(UNIX)
    # Refused or, where a filter drops the handshake, without an answer.
    with pytest.raises((ConnectionRefusedError, socket.timeout)):
        machine.connect(TCP, 0.3)
    for s in held:
        finish(s)
    assert [answer(s) for s in waiting] == [b"waits %d" % i for i in range(5) for _ in "12"]
    machine.wait_show(UNIT, ActiveState="inactive", Result="success")
    with pytest.raises(ConnectionRefusedError):
        machine.connect(TCP)


def test_stop_under_load(machine, run):
    """Who was connected is answered, who comes later is refused; there is nothing between."""
    r = run(echo("echo", *STREAMS, workers=2))
    with machine.clients(STREAMS, count=12, slow=0.5) as c:
        for _ in range(rounds(5)):
            goal = c.served + 50
            machine.wait("clients", lambda goal=goal: c.served >= goal)
            r.systemctl("stop")
            assert r.count() == 0
            before = c.outcomes.get("refused", 0)
            machine.wait("refused", lambda n=before: c.outcomes.get("refused", 0) > n)
            r.systemctl("start")
    assert set(c.outcomes) == {"ok", "refused"}, (c.outcomes, c.failures)
    assert r.complaints() == []


def test_stop_timeout_is_the_limit(machine, run):
    """And not that of the unit, which is told to wait longer."""
    r = run(echo("echo", TCP, workers=2, stop_timeout="4s"), dropin="TimeoutStopSec=2s")
    finishes, stays = machine.inside(hold, TCP), machine.inside(hold, TCP)
    begin = time.monotonic()
    r.systemctl("stop", "--no-block")
    machine.wait_state(UNIT, "deactivating")
    # One says something all the time, until well after the limit of the unit.
    while time.monotonic() < begin + 3:
        say(finishes, b"still here\n")
        selectors.DefaultSelector().select(0.1)
    finish(finishes)
    with stays, contextlib.suppress(ConnectionResetError):
        assert stays.recv(1) == b""
    assert 3.9 < time.monotonic() - begin < 7
    machine.wait_show(UNIT, ActiveState="inactive", Result="success")
    machine.wait_journal(r"worker \d+ did not leave within its stop_timeout; killed", "preforkd")
    assert not [m for m in r.complaints() if "timed out" in m.lower()]


@pytest.mark.parametrize("whom", ["main", "all"])
def test_a_second_term_ends_at_once(machine, run, whom):
    """In a stop that would take its stop_timeout; sent to the master, or to all as by default."""
    r = run(echo("echo", TCP, UNIX, workers=1, stop_timeout="1m"))
    held = [machine.inside(hold, address) for address in (TCP, UNIX)]
    waiting = machine.inside(queue, TCP, b"waits")
    r.systemctl("stop", "--no-block")
    machine.wait_show(UNIT, ActiveState="deactivating", StatusText="stopping: .*")
    begin = time.monotonic()
    r.kill(whom, "TERM")
    machine.wait_show(UNIT, ActiveState="inactive", Result="success")
    assert time.monotonic() - begin < 10
    machine.wait_journal(r"SIGTERM: stopping at once", "preforkd")
    for s in (*held, waiting):
        with s, contextlib.suppress(ConnectionResetError):
            assert s.recv(1) == b""


def test_nothing_is_left_behind(machine, run):
    """What a module started beside the workers ends with the unit too."""
    gate = module(machine, "gate")
    r = run(service("gate", TCP, module=gate, options={"open_leaves": "/run/never"}))
    group = machine.show(UNIT, "ControlGroup")["ControlGroup"]
    processes = machine.run("cat", f"/sys/fs/cgroup{group}/cgroup.procs").stdout.split()
    assert len(processes) > 1 + len(machine.status()["workers"])
    is_served(machine, TCP)
    r.systemctl("stop")
    assert machine.run("test", "-e", f"/sys/fs/cgroup{group}", check=False).returncode == 1
    for pid in processes:
        assert machine.run("test", "-e", f"/proc/{pid}", check=False).returncode == 1
    assert machine.show(UNIT, "Result")["Result"] == "success"


def test_stop_of_a_restart_that_waits(machine, run):
    """A restart was asked for, and a stop while it still waits for a client."""
    r = run(echo("echo", TCP, workers=1))
    held = machine.inside(hold, TCP)
    waiting = machine.inside(queue, TCP, b"waits")
    r.systemctl("restart", "--no-block")
    machine.wait_show(UNIT, ActiveState="deactivating", StatusText="stopping: .*")
    r.systemctl("stop", "--no-block")
    finish(held)
    machine.wait_show(UNIT, ActiveState="inactive", Result="success")
    with waiting, contextlib.suppress(ConnectionResetError):
        assert waiting.recv(100) in (b"", b"waits")
    with pytest.raises(ConnectionRefusedError):
        machine.inside(exchange, TCP, b"x")
