# SPDX-License-Identifier: ISC
"""Nothing that is done to a daemon of programs loses a client, and nothing is left of many runs.

EXEC_CLIENTS, EXEC_STOPS and EXEC_RUNS are how many there are of each; EXEC_RUNS=100000 takes
minutes."""

import collections
import os
import random
import re
import signal
import socket
import threading
from pathlib import Path

import pytest
from daemon import connect, wait_until
from execs import (MARK, TCP, children, daemon_of_programs, facts, facts_program,  # noqa: F401
                   install, marked, name_of, service, shell, wait_idle,
                   waiting_children)
from look import is_gone, pool
from loss import Chaos, Clients, pick_worker, terminate_some_worker
from manager import manage  # noqa: F401 (a fixture)
from support import descriptors

CLIENTS = int(os.environ.get("EXEC_CLIENTS", "2000"))
STOPS = int(os.environ.get("EXEC_STOPS", "200"))
RUNS = int(os.environ.get("EXEC_RUNS", "5000"))


def config_of(address, workers=4, keys=""):
    return service("/bin/cat", address, workers=workers, keys=keys)


def totals(d):
    return d.status()["connections"]


def settled(d):
    wait_until("all connections closed", lambda: totals(d)["open"] == 0)
    return totals(d)


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def some_waiting_child(dice, d):
    """A process that waits for a client, or has one since a moment ago."""
    worker = pick_worker(dice, d)
    return next(iter(waiting_children(worker)), None) if worker else None


def signal_some_waiting_child(d, *numbers):
    def act(dice):
        pid = some_waiting_child(dice, d)
        if pid:
            send(pid, dice.choice(numbers))
    return act


def other_settings(d, address):
    """A reload that replaces the pool."""
    def act(dice):
        new = d.config_file.with_suffix(".new")
        new.write_text(config_of(address, dice.randrange(2, 7),
                                 f"umask = 00{dice.randrange(8)}7\n"
                                 f"recycle_after = {dice.choice([0, 0, 20])}"))
        new.rename(d.config_file)
        d.ctl("reload")
    return act


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_no_client_is_lost(daemon, tmp_path, kind):
    """Reloads that replace the pool, recycles, upgrades, signals to workers and waiting children."""
    address = {"tcp": TCP, "unix": f"unix://{tmp_path}/s"}[kind]
    d = daemon(config_of(address))
    clients = Clients(d.addresses(), CLIENTS)
    chaos = Chaos()
    chaos.every("reload", 0.1, other_settings(d, address))
    chaos.every("recycle", 0.3, lambda dice: d.ctl("recycle"))
    chaos.every("upgrade", 0.5, lambda dice: d.ctl("upgrade"))
    chaos.every("terminate", 0.01, terminate_some_worker(d))
    # Only what does a program no harm that was executed a moment before.
    chaos.every("child", 0.005, signal_some_waiting_child(d, signal.SIGURG, signal.SIGWINCH))
    outcomes = clients.wait()
    chaos.stop()
    assert outcomes == {"ok": CLIENTS}, (outcomes, chaos.counts, d.log()[-3000:])
    assert min(chaos.counts.values()) >= 2, chaos.counts
    ledger = settled(d)
    assert ledger["accepted"] == ledger["finished"] == CLIENTS, ledger
    assert ledger["program_failures"] == ledger["program_signals"] == 0
    assert d.stop() == 0


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s"])
def test_stops_at_any_moment(manage, tmp_path, address):
    """The socket is its unit's, so that nobody is refused: who was accepted is served to the end,
    who was not by the next start."""
    dice = random.Random(address)
    d = manage(config_of("systemd://web", 3), ("web", address.replace("DIR", str(tmp_path))),
               env={MARK: str(tmp_path)})
    clients = Clients(d.unit_addresses, 10_000_000, processes=3, first_loss=True)
    for i in range(STOPS // 2):
        threading.Event().wait(dice.random() * 0.004)  # the moment is the point
        assert d.stop() == 0, (i, d.log()[-2000:])
        assert marked(str(tmp_path)) == [], (i, d.log()[-2000:])
        assert not clients.stop.is_set(), (i, clients.wait(), d.log()[-2000:])
        d.start()
    clients.stop.set()
    outcomes = clients.wait()
    assert set(outcomes) == {"ok"}, (outcomes, d.log()[-2000:])
    assert outcomes["ok"] > STOPS // 2
    assert "killed" not in d.log()


# What pkill does. A child that waits may have executed its program a moment before, for which
# nobody can do anything: of those only signals that do a program no harm.
HARMLESS = {signal.SIGURG, signal.SIGWINCH}


def send_to_all(d, number):
    workers = d.workers()
    found = [pid for w in workers for pid in children(w)] if number in HARMLESS else []
    for pid in [*found, *workers, d.pid]:
        send(pid, number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_for_every_process_at_once(daemon, tmp_path, number):
    for i in range(8):
        address = f"unix://{tmp_path}/{i}" if i else TCP
        d = daemon(config_of(address), name=f"round{i}")
        clients = Clients(d.addresses(), 100_000, processes=4, first_loss=True)
        wait_until("some are served", lambda d=d, i=i: totals(d)["finished"] > 20 + 7 * i)
        send_to_all(d, number)
        outcomes = clients.wait()
        assert d.wait() == 0
        assert outcomes.pop("ok") > 20
        assert set(outcomes) <= {"refused"}, (i, outcomes, d.log())


def test_other_signals_for_every_process_at_once(daemon):
    d = daemon(config_of(TCP))
    clients = Clients(d.addresses(), 100_000, processes=4, first_loss=True)
    for number in [signal.SIGHUP, signal.SIGUSR1, signal.SIGURG, signal.SIGWINCH, signal.SIGPIPE,
                   signal.SIGUSR2] * 2:
        send_to_all(d, number)
        goal = totals(d)["finished"] + 50
        wait_until("more", lambda goal=goal: clients.stop.is_set() or
                   totals(d)["finished"] > goal)
    assert not clients.stop.is_set(), (clients.wait(), d.log())
    clients.stop.set()
    assert set(clients.wait()) == {"ok"}, d.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_for_waiting_children_too(daemon, number):
    """Programs that run are none of them; they are served to their end."""
    d = daemon(config_of(TCP))
    held = [connect(d.address()) for _ in range(2)]
    for s in held:
        s.sendall(b"begin ")
        assert s.recv(9) == b"begin "
    workers = d.workers()

    waiting = wait_until("two that wait", lambda: the_two([
        pid for w in workers for pid in waiting_children(w)]))
    for pid in [*waiting, *workers, d.pid]:
        send(pid, number)
    d.wait_log("stopping")
    for s in held:
        with s:
            s.sendall(b"end")
            s.shutdown(socket.SHUT_WR)
            assert s.recv(9) == b"end"
            assert s.recv(9) == b""
    assert d.wait() == 0
    assert "killed" not in d.log()


def the_two(found):
    return found if len(found) == 2 else None


def test_kills_at_any_moment(daemon, tmp_path):
    """Workers and waiting children: their clients are lost, others are not. The ledger knows all
    but those that were taken in the instant of a kill."""
    d = daemon(config_of(TCP, 6))

    def kill_worker(dice):
        pid = pick_worker(dice, d)
        if pid:
            send(pid, signal.SIGKILL)

    clients = Clients(d.addresses(), CLIENTS)
    chaos = Chaos()
    chaos.every("worker", 0.1, kill_worker)
    chaos.every("child", 0.1, signal_some_waiting_child(d, signal.SIGKILL))
    outcomes = clients.wait()
    chaos.stop()
    kills = sum(chaos.counts.values())
    assert kills > 5
    lost = CLIENTS - outcomes.pop("ok")
    assert set(outcomes) <= {"reset", "short"}, (outcomes, d.log()[-2000:])
    assert lost <= kills
    ledger = settled(d)
    assert ledger["accepted"] == (ledger["finished"] + ledger["aborted_death"] +
                                  ledger["aborted_error"]), ledger
    assert CLIENTS - kills <= ledger["accepted"] <= CLIENTS
    wait_until("full pools", lambda: pool(d)["workers_ready"] == 6 and not pool(d)["degraded"])
    # Nothing is left but the workers and their waiting children.
    assert len(d.workers()) == 6
    wait_until("one child each", lambda: [len(children(w)) for w in d.workers()] == [1] * 6)
    assert name_of_all(marked(str(tmp_path))) == {}


def name_of_all(pids):
    """Of programs: a daemon's own processes have another name."""
    names = (name_of(pid).strip() for pid in pids)
    return dict(collections.Counter(n for n in names if n and not n.startswith("preforkd")))


def test_a_stop_leaks_no_descriptor(daemon, facts_program):
    """Whatever the moment at which the stop meets the child, its program has 0, 1 and 2."""
    d = daemon(service(facts_program, workers=2))
    chaos = Chaos()
    chaos.every("child", 0.0005, signal_some_waiting_child(d, signal.SIGURG))
    try:
        for i in range(300):
            fds = facts(d.address()).all("fd")
            assert len(fds) == 3, (i, fds)
    finally:
        chaos.stop()


def test_programs_that_change_while_clients_come(daemon, tmp_path):
    """A script that is replaced again and again: each client gets one whole answer, old or new."""
    program = shell(tmp_path / "prog", "echo 0; exit 0")
    d = daemon(service(program, workers=3))
    seen = []
    for i in range(1, 60):
        with connect(d.address()) as s:
            install(program, f"#!/bin/sh\necho {i}; exit 0\n")
            seen.append(int(s.recv(99)))
            assert seen[-1] in (i - 1, i)
    ledger = settled(d)
    assert ledger["accepted"] == ledger["finished"] == 59


# ---- many runs


def memory(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    status = Path(f"/proc/{pid}/status").read_text()
    return {"own": int(re.search(r"^Anonymous:\s+(\d+) kB", text, re.M)[1]),
            "size": int(re.search(r"^VmSize:\s+(\d+) kB", status, re.M)[1])}


def picture(d):
    """What must not grow; at rest."""
    wait_idle(d)
    workers = sorted(d.workers())
    wait_until("one child each", lambda: [len(children(w)) for w in workers] == [1] * len(workers))
    return {"workers": workers,
            "descriptors": {pid: len(descriptors(pid)) for pid in [d.pid, *workers]},
            "memory": {pid: memory(pid) for pid in [d.pid, *workers]},
            "zombies": [pid for w in workers for pid in children(w) if is_gone(pid)]}


def run_clients(d, count):
    """Two at a time, which is what this machine has; each demands the whole answer."""
    shares, failures = [count // 2, count - count // 2], []

    def run(share):
        try:
            for _ in range(share):
                with connect(d.address()) as s:
                    assert s.recv(99) == b"hello\n"
                    assert s.recv(99) == b""
        except Exception as failure:  # told below: a thread has nobody else to tell
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_nothing_is_left_of_many_runs(daemon, tmp_path):
    """No descriptor, zombie, process or byte of the master and its workers."""
    d = daemon(service(["/bin/echo", "hello"], workers=2, keys="connection_timeout = 1h"))
    new = picture(d)
    run_clients(d, RUNS // 10)
    before = picture(d)
    run_clients(d, RUNS - RUNS // 10)
    # A worker may hold the sockets of its last clients for two seconds.
    wait_until("closed sockets", lambda: picture(d)["descriptors"] == new["descriptors"], 10)
    after = picture(d)
    assert after["workers"] == before["workers"]
    assert after["zombies"] == []
    # A sanitizer keeps back for a while what was freed.
    for pid, size in before["memory"].items() if "ASAN_OPTIONS" not in os.environ else ():
        for key, kilobytes in size.items():
            # The page of a counter or of a stack that was not touched before.
            assert after["memory"][pid][key] <= kilobytes + 16, (pid, key, before, after)
    ledger = settled(d)
    assert ledger["accepted"] == ledger["finished"] == RUNS
    assert ledger["program_failures"] == ledger["program_signals"] == 0
    assert name_of_all(marked(str(tmp_path))) == {}
    assert d.stop() == 0
