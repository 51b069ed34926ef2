# SPDX-License-Identifier: ISC
"""What a machine and its clients do to a daemon: no processes, no descriptors, workers that stand
still, clients that say nothing, next to nothing, or break off. Other services are not harmed, all
is well again without help, nothing spins, and the log stays short."""

import contextlib
import errno
import os
import resource
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest
from daemon import Daemon, connect, exchange, wait_until
from look import cpu_seconds
from support import (adds_up, answer, at_rest, finish, hold, pids, queue, rewrite, service,
                     wait_gone, workers)

TCP = "tcp://127.0.0.1:0"
ALL = resource.getrlimit(resource.RLIMIT_NPROC)[1]
SOMEBODY = 61987  # a user with no other process: RLIMIT_NPROC counts all of a user's
OTHER = service("other", TCP, workers=1)


class Probe:
    """A client of another service that comes again and again while the block runs: each is served,
    and in time."""

    def __init__(self, address, seconds=2):
        self.address = address
        self.seconds = seconds
        self.over = threading.Event()
        self.served = 0
        self.slowest = 0
        self.failure = None
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while True:
            begin = time.monotonic()
            try:
                assert exchange(self.address, b"probe") == b"probe"
            except Exception as failure:  # pylint: disable=broad-except
                self.failure = failure
                return
            self.slowest = max(self.slowest, time.monotonic() - begin)
            self.served += 1
            if self.over.wait(0.01):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *failure):
        self.over.set()
        self.thread.join()
        if failure[0] is None:
            assert self.failure is None and self.served > 0, self.failure
            assert self.slowest < self.seconds, self.slowest


def cpu(d):
    """Of the master and its workers."""
    return sum(cpu_seconds(pid) for pid in [d.pid, *d.workers()])


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


@contextlib.contextmanager
def limited(pid, what, value):
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (value, before[1]))
    yield
    resource.prlimit(pid, what, before)


# ---- no more processes


def set_processes(pid, count):
    """As who may: another user, even root, may lack the right to."""
    most = "unlimited" if count < 0 else count
    subprocess.run(["prlimit", "--pid", str(pid), f"--nproc={most}:"], check=True, timeout=30,
                   user=SOMEBODY, group=SOMEBODY, extra_groups=[])


@pytest.fixture(name="somebodys")
def somebodys_daemon(programs, tmp_path, is_root):  # pylint: disable=unused-argument
    """A daemon of a user other than root, whom limits bind."""
    started = []

    def become():
        os.setgroups([])
        os.setgid(SOMEBODY)
        os.setuid(SOMEBODY)

    def start(config):
        for directory in [tmp_path, *tmp_path.parents][:3]:
            directory.chmod(0o755)
        d = Daemon(programs, tmp_path / "main", config=config, preexec=become)
        os.chown(d.directory, SOMEBODY, SOMEBODY)
        started.append(d)
        d.start(expect_ready=False)
        # Its notifications need what it may write.
        os.chmod(d.notify_path, 0o777)
        wait_until("ready", lambda: "is ready" in d.log())
        return d

    yield start
    for d in started:
        d.finish()


def test_fork_fails(somebodys):
    """A pool that cannot grow serves with what it has, and grows as soon as it can."""
    d = somebodys(service("a", TCP, workers=2, workers_max=12, spare=2) + OTHER)
    wait_until("all workers", lambda: len(d.workers()) == 3)
    most = len(d.workers()) + 1 + 2
    # Of the user's processes each counts; a worker has the limit too, but forks nothing.
    set_processes(d.pid, most)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(hold(d.address("a"))) for _ in range(4)]
        clients = [queue(d.address("a"), b"%d" % i) for i in range(4)]
        wait_until("it tries", lambda: next(
            p for p in d.status()["pools"] if p["service"] == "a")["fork_errors"] >= 3)
        before, used = len(d.log()), cpu(d)
        with Probe(d.address("other")):
            time.sleep(2)
        assert cpu(d) - used < 0.5
        assert d.log()[before:].count("\n") < 12, d.log()
        assert "starting a worker: Resource temporarily unavailable" in d.log()
        # Who leaves makes room for who waits.
        finish(held.pop())
        assert answer(clients[0]) == b"0"
        set_processes(d.pid, ALL)
        for i in range(1, 4):
            assert answer(clients[i]) == b"%d" % i
        for s in held:
            finish(s)
    wait_until("healthy", lambda: not d.status()["degraded"])
    totals = at_rest(d)
    assert adds_up(totals) and totals["accepted"] == totals["finished"]


def test_fork_fails_for_programs(somebodys):
    """A program that cannot be started costs its clients time, and nobody else anything."""
    d = somebodys(service("a", TCP, workers=2, exec=["/bin/cat"]) + OTHER)
    # Each of the two workers has its waiting child: all is there for two clients.
    wait_until("children", lambda: exchange(d.address("a"), b"x") == b"x")
    for worker in pids(d, "a"):
        set_processes(worker, 1)
    # Those that wait still serve; then nobody can be started.
    exchange(d.address("a"), b"x")
    exchange(d.address("a"), b"x")
    used, before = cpu(d), len(d.log())
    with contextlib.closing(queue(d.address("a"), b"waits")) as waits, Probe(d.address("other")):
        time.sleep(1.5)
        assert cpu(d) - used < 0.6
        assert d.log()[before:].count("\n") < 12, d.log()
        for worker in pids(d, "a"):
            set_processes(worker, ALL)
        assert waits.recv(10) == b"waits"


# ---- no more descriptors


def test_the_master_has_no_descriptor_left(daemon):
    """It needs one for each new worker; those that are there serve on."""
    d = daemon(service("a", TCP, workers=2, workers_max=16, spare=2) + OTHER)
    now = max(int(fd) for fd in os.listdir(f"/proc/{d.pid}/fd")) + 1
    with contextlib.ExitStack() as stack:
        with limited(d.pid, resource.RLIMIT_NOFILE, now), Probe(d.address("other")):
            held = [stack.enter_context(hold(d.address("a"))) for _ in range(2)]
            waits = [stack.enter_context(queue(d.address("a"), b"x")) for _ in range(6)]
            used, before = cpu(d), len(d.log())
            time.sleep(2)
            assert cpu(d) - used < 0.5
            assert d.log()[before:].count("\n") < 15, d.log()
        for s in waits:
            assert s.recv(1) == b"x"
        for s in held:
            finish(s)
    wait_until("healthy", lambda: not d.status()["degraded"])
    totals = at_rest(d)
    assert adds_up(totals) and totals["accepted"] == totals["finished"]
    assert not [w for w in d.workers() if not os.path.exists(f"/proc/{w}/exe")], "zombies"


def test_a_reload_without_descriptors_is_refused(daemon):
    d = daemon(service("a", TCP, workers=2))
    now = max(int(fd) for fd in os.listdir(f"/proc/{d.pid}/fd")) + 1
    before = pids(d)
    d.write_config(service("a", TCP, workers=2, idle_timeout="59s"))
    with limited(d.pid, resource.RLIMIT_NOFILE, now):
        assert d.ctl("reload", check=False).returncode == 1
        assert exchange(d.address(), b"x") == b"x"
    assert pids(d) == before
    d.ctl("reload")
    assert exchange(d.address(), b"x") == b"x"


# ---- workers that stand still


def test_a_stopped_idle_worker_gets_no_client(daemon):
    """The kernel gives clients to those who wait; a pool that grows makes up for it."""
    d = daemon(service("a", TCP, workers=2) + OTHER)
    stopped = sorted(pids(d, "a"))[0]
    os.kill(stopped, signal.SIGSTOP)
    with Probe(d.address("other")):
        for i in range(50):
            assert exchange(d.address("a"), b"%d" % i) == b"%d" % i
    os.kill(stopped, signal.SIGCONT)
    assert at_rest(d)["aborted_death"] == 0


def test_a_stopped_worker_holds_no_reload_up(daemon):
    d = daemon(service("a", TCP, workers=2, stop_timeout="500ms"))
    with hold(d.address()):
        everybody = pids(d)
        [busy] = [w["pid"] for w in workers(d) if w["state"] == "busy"]
        os.kill(busy, signal.SIGSTOP)
        begin = time.monotonic()
        rewrite(d, service("a", TCP, workers=2, stop_timeout="500ms", idle_timeout="59s"))
        assert time.monotonic() - begin < 2
        assert exchange(d.address(), b"x") == b"x"
        wait_gone(everybody)
    totals = at_rest(d)
    assert (totals["accepted"], totals["finished"], totals["aborted_death"]) == (2, 1, 1)


def test_stopped_workers_of_a_pool_that_grows(daemon):
    """All of the least that it has stand still with their clients: others come."""
    d = daemon(service("a", TCP, workers=2, workers_max=8, spare=1) + OTHER)
    with hold(d.address("a")), hold(d.address("a")), Probe(d.address("other")):
        busy = [w["pid"] for w in workers(d, "a") if w["state"] == "busy"]
        assert len(busy) == 2
        for pid in busy:
            os.kill(pid, signal.SIGSTOP)
        for i in range(20):
            assert exchange(d.address("a"), b"%d" % i) == b"%d" % i
        for pid in busy:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("stopped,spare", [(1, 1), (2, 1), (3, 2)])
def test_stopped_idle_workers_of_a_pool_that_grows(daemon, stopped, spare):
    """They look as if they were there for the next client: that none takes it is seen within two
    looks of once a second, and from then on they do not count."""
    d = daemon(service("a", TCP, workers=3, workers_max=12, spare=spare) + OTHER)
    idle = sorted(pids(d, "a"))
    with contextlib.ExitStack() as stack, Probe(d.address("other")):
        for pid in idle[:stopped]:
            os.kill(pid, signal.SIGSTOP)
        held = [stack.enter_context(hold(d.address("a"))) for _ in range(5)]
        # And now at once.
        begin = time.monotonic()
        held += [stack.enter_context(hold(d.address("a"))) for _ in range(2)]
        assert time.monotonic() - begin < 0.7
        assert not any(w["state"] == "busy" for w in workers(d, "a") if w["pid"] in idle[:stopped])
        for pid in idle[:stopped]:
            os.kill(pid, signal.SIGCONT)
        for s in held:
            finish(s)
    totals = at_rest(d)
    assert adds_up(totals) and totals["accepted"] == totals["finished"]
    assert exchange(d.address("a"), b"x") == b"x"


def test_handlers_that_loop(daemon, programs):
    """With all its workers at it the service stands still, but no other; and not for ever."""
    d = daemon(service("a", TCP, workers=2, module=programs.modules / "stay.so",
                       connection_timeout="500ms") + OTHER)
    with Probe(d.address("other")), contextlib.ExitStack() as stack:
        for _ in range(2):
            s = stack.enter_context(connect(d.address("a")))
            s.sendall(b"l")
        assert exchange(d.address("a"), b"x") == b"x"
    totals = at_rest(d)
    assert totals["timed_out"] == 2 and adds_up(totals)
    wait_until("healthy", lambda: len(pids(d, "a")) == 2 and not d.status()["degraded"])


# ---- clients


def test_a_thousand_that_say_nothing(daemon):
    """Each is let go after its time; who comes then is served."""
    count = 1000
    d = daemon(service("a", TCP, workers=2, workers_max=32, spare=2, idle_timeout="150ms",
                       backlog=4096) + OTHER)
    before = len(d.log())
    with Probe(d.address("other")), contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(connect(d.address("a")))
        wait_until("their end", lambda: d.status()["connections"]["timed_out"] >= count,
                   deadline=60)
        assert exchange(d.address("a"), b"x") == b"x"
    totals = at_rest(d)
    assert adds_up(totals)
    assert totals["timed_out"] == count
    assert d.log()[before:].count("\n") < 20, d.log()
    assert cpu_seconds(d.pid) < 5


@pytest.fixture(name="many")
def many_descriptors():
    """So many for this process, and those that it starts."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 10500
    if before[1] != resource.RLIM_INFINITY and before[1] < wanted:
        pytest.skip(f"needs {wanted} descriptors: the limit is {before[1]}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, before[1]))
    yield 10000
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def silent(address):
    """A client that may never be connected: whoever does not fit into the queue comes again and
    again, at its kernel's pace."""
    s = socket.socket()
    s.setblocking(False)
    host, port = address.split("://")[1].rsplit(":", 1)
    assert s.connect_ex((host, int(port))) in (0, errno.EINPROGRESS)
    return s


def test_ten_thousand_that_say_nothing(daemon, many):
    """They take what workers_max and backlog let them have: who comes then waits for that, but
    nobody spins, other services have their own, and when they leave all is as before."""
    d = daemon(service("a", TCP, workers=2, workers_max=16, spare=2, idle_timeout="0",
                       backlog=1000) + OTHER)
    with contextlib.ExitStack() as stack, Probe(d.address("other")):
        # First those that have a worker.
        for _ in range(16):
            stack.enter_context(hold(d.address("a")))
        clients = [stack.enter_context(silent(d.address("a"))) for _ in range(many)]
        wait_until("a pool that is full", lambda: "all 16 workers have a client" in d.log())
        before, used = len(d.log()), cpu(d)
        time.sleep(3)
        # With what the other service's clients cost, of which it has a hundred a second.
        assert cpu(d) - used < 0.4
        assert d.log()[before:].count("\n") < 5, d.log()
        assert d.status()["connections"]["open"] <= 17
        for i, s in enumerate(clients):
            if i % 2:
                reset(s)
            else:
                s.close()
    assert exchange(d.address("a"), b"x") == b"x"
    totals = at_rest(d)
    assert adds_up(totals) and totals["timed_out"] == totals["aborted_death"] == 0
    assert d.log().count("\n") < 25, d.log()
    time.sleep(0.5)
    used = cpu(d)
    time.sleep(1)
    assert cpu(d) - used <= 0.03


def test_clients_that_never_read(daemon):
    d = daemon(service("a", TCP, workers=2, workers_max=16, builtin="chargen",
                       connection_timeout="1s", idle_timeout="0") + OTHER)
    with Probe(d.address("other")), contextlib.ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(connect(d.address("a")))
        wait_until("their end", lambda: d.status()["connections"]["timed_out"] >= 30)
    totals = at_rest(d)
    assert adds_up(totals) and totals["timed_out"] == 30
    # A line for each that was cut off, and little else.
    assert d.log().count("was ended by connection_timeout") == 30
    assert d.log().count("\n") < 30 + 20


def test_a_byte_now_and_then(daemon):
    """Thirty of them hold no more than the pool may grow to, for no longer than they may."""
    d = daemon(service("a", TCP, workers=2, workers_max=8, idle_timeout="500ms",
                       connection_timeout="1s") + OTHER)
    over = threading.Event()

    def drip(s):
        with contextlib.suppress(OSError):
            while not over.wait(0.1):
                s.sendall(b"x")

    with Probe(d.address("other")), contextlib.ExitStack() as stack:
        drops = [stack.enter_context(connect(d.address("a"))) for _ in range(16)]
        threads = [threading.Thread(target=drip, args=(s,)) for s in drops]
        for t in threads:
            t.start()
        wait_until("their end", lambda: d.status()["connections"]["timed_out"] >= 16)
        over.set()
        for t in threads:
            t.join()
    assert adds_up(at_rest(d))
    assert exchange(d.address("a"), b"x") == b"x"


def test_clients_that_reset(daemon):
    d = daemon(service("a", TCP, workers=2, workers_max=16) + OTHER)
    everybody = pids(d, "other")
    before = len(d.log())
    with Probe(d.address("other")):
        for i in range(300):
            s = connect(d.address("a"))
            if i % 3 == 0:
                s.sendall(b"x" * 1000)
            if i % 3 == 1:
                hold(d.address("a")).close()
            reset(s)
    totals = at_rest(d)
    assert adds_up(totals)
    assert totals["aborted_death"] == totals["timed_out"] == 0
    assert pids(d, "other") == everybody
    assert d.log()[before:].count("\n") < 20, d.log()
    assert exchange(d.address("a"), b"x") == b"x"


# ---- nobody at all


def test_an_idle_daemon_does_nothing(daemon, tmp_path):
    """With every kind of service, and timeouts to look after."""
    d = daemon(service("a", TCP, workers=2, workers_max=16, connection_timeout="1s",
                       shrink_after="1s") +
               service("u", "udp://127.0.0.1:0", workers=1, connection_timeout="1s") +
               service("x", f"unix://{tmp_path}/x", workers=1, exec=["/bin/cat"],
                       connection_timeout="1s") +
               service("p", TCP, workers=1, exec=["/bin/cat"], prestart="true"))
    for name in ("a", "u", "x", "p"):
        exchange(d.address(name), b"x")
    at_rest(d)
    time.sleep(1.5)
    used = cpu(d)
    time.sleep(3)
    assert cpu(d) - used <= 0.03
