# SPDX-License-Identifier: ISC
"""A machine that is short of something for everybody: no descriptor in the whole system (ENFILE), no
memory for a process (ENOMEM), as a preloaded library has it (tests/modules/shortage.c); and memory
that is limited. Clients wait, nothing spins, the log stays short, and all is well again without
help."""

import contextlib
import errno
import mmap
import os
import re
import resource
import struct
import time

import pytest
from daemon import exchange, wait_until
from look import cpu_seconds, pool, pools
from support import (adds_up, answer, at_rest, finish, hold, pids, queue, rewrite, service,
                     unchanged, wait_gone, workers)
from test_faults import OTHER, TCP, Probe, cpu

ACCEPT, DESCRIPTORS, PROCESSES = range(3)
KINDS = {"builtin": {}, "module": {}, "exec": {"exec": ["/bin/cat"]},
         "prestart": {"exec": ["/bin/cat"], "prestart": "true"}}


@pytest.fixture(name="sanitized", autouse=True)
def not_with_sanitizers(programs):
    """They have to be loaded first, and take all the address space there is."""
    if re.search(r"^#define WITH_SANITIZERS\b", (programs.build / "config.h").read_text(), re.M):
        pytest.skip("a build with sanitizers")


class Machine:
    """What it is short of, for every process of a daemon with .env."""

    def __init__(self, programs, path):
        path.write_bytes(bytes(mmap.PAGESIZE))
        path.chmod(0o666)
        with open(path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.env = {"LD_PRELOAD": str(programs.modules / "shortage.so"), "SHORTAGE": str(path)}

    def failed(self, what):
        return struct.unpack_from("I", self.page, 4 * (3 + what))[0]

    @contextlib.contextmanager
    def short_of(self, what, errnum):
        struct.pack_into("i", self.page, 4 * what, errnum)
        try:
            yield
        finally:
            struct.pack_into("i", self.page, 4 * what, 0)


@pytest.fixture(name="machine")
def a_machine(programs, tmp_path):
    return Machine(programs, tmp_path / "shortage")


def accept_errors(d, name):
    return pool(d, name)["connections"]["accept_errors"]


def lines(log, text):
    return log.count(text)


def is_calm(d):
    """For a second, which is what is measured: it neither spins nor floods the log."""
    used, before = cpu(d), len(d.log())
    time.sleep(1)
    assert cpu(d) - used < 0.3
    assert lines(d.log()[before:], "\n") < 10, d.log()


# ---- no descriptor in the system


@pytest.mark.parametrize("kind", KINDS)
def test_accept_without_descriptors(daemon, programs, machine, kind):
    """Once in 100 ms it is tried again; one line in a minute says so."""
    keys = {"module": programs.modules / "upper.so"} if kind == "module" else KINDS[kind]
    d = daemon(service("a", TCP, workers=2, **keys) + OTHER, env=machine.env)
    text = b"WAITS" if kind == "module" else b"waits"
    assert exchange(d.address("a"), b"waits") == text
    with machine.short_of(ACCEPT, errno.ENFILE):
        used, begin = cpu(d), time.monotonic()
        clients = [queue(d.address("a"), b"waits") for _ in range(3)]
        wait_until("errors", lambda: accept_errors(d, "a") >= 10)
        took = time.monotonic() - begin
        # Of two workers, both may have tried at once at the begin, and just now.
        assert accept_errors(d, "a") <= 2 * (2 + 10 * took)
        assert cpu(d) - used < 0.3 + took / 5
    # Whoever waits between two tries comes within one.
    begin = time.monotonic()
    for s in clients:
        assert answer(s) == text
    assert time.monotonic() - begin < 2
    log = d.log()
    said = lines(log, "Too many open files in system; trying again every 100 ms")
    assert 1 <= said <= 2, log
    at_end = accept_errors(d, "a")
    assert exchange(d.address("a"), b"waits") == text
    assert accept_errors(d, "a") == at_end
    totals = at_rest(d)
    assert adds_up(totals) and totals["accepted"] == totals["finished"]
    assert all(p["workers_died"] == 0 for p in pools(d))


@pytest.mark.parametrize("kind", KINDS)
def test_a_stop_without_descriptors(daemon, programs, machine, kind):
    keys = {"module": programs.modules / "upper.so"} if kind == "module" else KINDS[kind]
    d = daemon(service("a", TCP, workers=2, stop_timeout="1s", **keys), env=machine.env)
    with contextlib.ExitStack() as stack:
        stack.enter_context(machine.short_of(ACCEPT, errno.ENFILE))
        # One for each worker that waits in accept() already, and one more.
        for _ in range(3):
            stack.enter_context(queue(d.address("a"), b"x"))
        wait_until("errors", lambda: accept_errors(d, "a") >= 1)
        d.ctl("recycle")
        # Whoever waits in the queue is waited for, but not for ever.
        begin = time.monotonic()
        assert d.stop() == 0
        assert time.monotonic() - begin < 6


def test_the_master_without_descriptors(daemon, machine):
    """It starts no worker, as it could not see its end; those that are there serve on."""
    d = daemon(service("a", TCP, workers=2, workers_max=12, spare=2) + OTHER, env=machine.env)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(hold(d.address("a"))) for _ in range(2)]
        wait_until("spare ones", lambda: len(pids(d, "a")) >= 4)
        with machine.short_of(DESCRIPTORS, errno.ENFILE):
            used, before = cpu(d), len(d.log())
            there = len(pids(d, "a"))
            clients = [queue(d.address("a"), b"%d" % i) for i in range(4)]
            held += [stack.enter_context(hold(d.address("other")))]
            wait_until("it tries", lambda: machine.failed(DESCRIPTORS) >= 1 or
                       len(pids(d, "a")) == there)
            for i in range(4):
                assert answer(clients[i]) == b"%d" % i
            assert cpu(d) - used < 0.5
            assert lines(d.log()[before:], "\n") < 12, d.log()
        for s in held:
            finish(s)
    wait_until("healthy", lambda: not d.status()["degraded"])
    totals = at_rest(d)
    assert adds_up(totals) and totals["accepted"] == totals["finished"]
    wait_until("no zombie", lambda: all(os.path.exists(f"/proc/{w}/exe") for w in d.workers()))


def test_a_pool_cannot_grow_without_descriptors(daemon, machine):
    d = daemon(service("a", TCP, workers=1, workers_max=8, spare=1) + OTHER, env=machine.env)
    with contextlib.ExitStack() as stack:
        with machine.short_of(DESCRIPTORS, errno.ENFILE), Probe(d.address("other")):
            held = stack.enter_context(hold(d.address("a")))
            waits = [stack.enter_context(queue(d.address("a"), b"x")) for _ in range(3)]
            wait_until("it tries", lambda: pool(d, "a")["fork_errors"] >= 3)
            is_calm(d)
            assert "starting a worker: Too many open files in system" in d.log()
        # Now they come without a client having to leave.
        for s in waits:
            assert s.recv(1) == b"x"
        finish(held)
    wait_until("healthy", lambda: not d.status()["degraded"])
    totals = at_rest(d)
    assert adds_up(totals) and totals["accepted"] == totals["finished"]
    assert pool(d, "a")["workers_died"] == 0


def test_a_reload_without_any_descriptor(daemon, machine):
    text = service("a", TCP, workers=2)
    d = daemon(text, env=machine.env)
    d.write_config(text + service("b", TCP, workers=2))
    with unchanged(d), machine.short_of(DESCRIPTORS, errno.ENFILE):
        result = d.ctl("reload", check=False)
        assert result.returncode == 1
        assert "Too many open files in system" in result.stdout + result.stderr
        assert exchange(d.address("a"), b"x") == b"x"
    d.ctl("reload")
    assert exchange(d.address("b"), b"x") == b"x"


# ---- no memory for a process


def test_fork_without_memory(daemon, machine):
    d = daemon(service("a", TCP, workers=1, workers_max=8, spare=1) + OTHER, env=machine.env)
    with contextlib.ExitStack() as stack:
        with machine.short_of(PROCESSES, errno.ENOMEM), Probe(d.address("other")):
            held = stack.enter_context(hold(d.address("a")))
            waits = [stack.enter_context(queue(d.address("a"), b"x")) for _ in range(3)]
            wait_until("it tries", lambda: pool(d, "a")["fork_errors"] >= 3)
            assert d.status()["degraded"]
            is_calm(d)
            assert "starting a worker: Cannot allocate memory" in d.log()
        for s in waits:
            assert s.recv(1) == b"x"
        finish(held)
    wait_until("healthy", lambda: not d.status()["degraded"])
    totals = at_rest(d)
    assert adds_up(totals) and totals["accepted"] == totals["finished"]


def test_the_first_worker_cannot_be_forked(daemon, machine):
    """workers = 0: the client waits in the queue until there is memory for its worker."""
    d = daemon(service("a", TCP, workers=0, workers_max=4, spare=1) + OTHER, env=machine.env)
    with machine.short_of(PROCESSES, errno.ENOMEM), Probe(d.address("other")):
        waits = queue(d.address("a"), b"x")
        wait_until("it tries", lambda: pool(d, "a")["fork_errors"] >= 3)
        used = cpu(d)
        time.sleep(1)
        assert cpu(d) - used < 0.3
    assert answer(waits) == b"x"
    wait_until("healthy", lambda: not d.status()["degraded"])


@pytest.mark.parametrize("kind", ["exec", "prestart"])
def test_programs_without_memory(daemon, machine, kind):
    d = daemon(service("a", TCP, workers=1, **KINDS[kind]) + OTHER, env=machine.env)
    with machine.short_of(PROCESSES, errno.ENOMEM), Probe(d.address("other")):
        # The first by the process that waits for it already, if there is one yet.
        waits = [queue(d.address("a"), b"%d" % i) for i in range(2)]
        wait_until("it tries", lambda: accept_errors(d, "a") >= 5)
        assert lines(d.log(), "Cannot allocate memory") == 1, d.log()
    assert [answer(s) for s in waits] == [b"0", b"1"]
    totals = at_rest(d)
    assert adds_up(totals) and totals["accepted"] == totals["finished"]


def test_a_reload_without_memory_for_a_process(daemon, machine):
    """First for the one that loads, then for new workers."""
    text = service("a", TCP, workers=2)
    d = daemon(text, env=machine.env)
    d.write_config(text + service("b", TCP, workers=2))
    with unchanged(d), machine.short_of(PROCESSES, errno.ENOMEM):
        result = d.ctl("reload", check=False)
        assert result.returncode == 1
        assert "fork: Cannot allocate memory" in result.stdout + result.stderr
        assert exchange(d.address("a"), b"x") == b"x"
    d.ctl("reload")
    assert exchange(d.address("b"), b"x") == b"x"


# ---- memory that is limited


def address_space(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[0]) * mmap.PAGESIZE


RULES = [f"10.{i // 250}.{i % 250}.0/24" for i in range(20000)]


def test_a_reload_that_gets_no_memory(daemon):
    """Whatever there is too little for: it is refused, and the old generation goes on."""
    d = daemon(service("a", TCP, workers=2))
    d.write_config(service("a", TCP, workers=2, allow=["127.0.0.0/8", *RULES]))
    before, limit = pids(d), resource.prlimit(d.pid, resource.RLIMIT_AS)
    refused = 0
    for room in range(0, 24):
        most = address_space(d.pid) + (room << 20) // 2
        resource.prlimit(d.pid, resource.RLIMIT_AS, (most, limit[1]))
        result = d.ctl("reload", check=False)
        resource.prlimit(d.pid, resource.RLIMIT_AS, limit)
        assert d.process.poll() is None, (room, d.log())
        assert exchange(d.address(), b"x") == b"x"
        if result.returncode == 0:
            break
        assert "memory" in result.stdout + result.stderr, result
        refused += 1
        assert pids(d) == before
    assert refused > 0
    rewrite(d, service("a", TCP, workers=2, deny=RULES))
    assert exchange(d.address(), b"x") == b"x"
    wait_gone(before)


def test_a_handler_that_hoards(daemon, programs):
    """It comes to the end of limit_as, and the clients after that get a clean end; a recycle is the
    end of that. Nobody else notices."""
    d = daemon(service("a", TCP, workers=1, module=programs.modules / "hoard.so", limit_as="48M",
                       recycle_after=100) + OTHER)
    got = []
    with Probe(d.address("other")):
        for _ in range(150):
            got.append(exchange(d.address("a"), b"x"))
    assert set(got) == {b"x", b""}
    # It did not end for it: after the last that it could serve all were turned away, until it was
    # replaced.
    first = got.index(b"")
    assert b"x" in got[first:]
    totals = at_rest(d)
    assert adds_up(totals) and totals["aborted_error"] == got.count(b"")
    assert totals["aborted_death"] == 0
    assert pool(d, "a")["workers_died"] == 0


def test_a_program_that_hoards(daemon):
    d = daemon(service("a", TCP, workers=1, limit_as="64M",
                       exec=["/bin/sh", "-c", "dd bs=200M count=1 status=none; exec cat"]) + OTHER)
    [worker] = [w["pid"] for w in workers(d, "a")]
    with Probe(d.address("other")):
        for _ in range(3):
            assert exchange(d.address("a"), b"x") == b"x"
    assert "memory exhausted" in d.log()
    assert pids(d, "a") == {worker}
    assert cpu_seconds(d.pid) < 2
