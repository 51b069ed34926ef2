# SPDX-License-Identifier: ISC
"""Nothing that is done to a daemon whose programs wait for their clients loses one, and nothing is
left of many.

PRESTART_CLIENTS, PRESTART_STOPS and PRESTART_RUNS are how many there are of each."""

import os
import random
import re
import signal
import threading
from pathlib import Path

import pytest
from daemon import connect, wait_until
from execs import (MARK, TCP, children, daemon_of_programs, marked, service,  # noqa: F401
                   wait_idle)
from look import is_gone, pool
from loss import Chaos, Clients, pick_worker, terminate_some_worker
from manager import manage  # noqa: F401 (a fixture)
from prestarts import KEY, executed
from support import descriptors

CLIENTS = int(os.environ.get("PRESTART_CLIENTS", "1500"))
STOPS = int(os.environ.get("PRESTART_STOPS", "100"))
RUNS = int(os.environ.get("PRESTART_RUNS", "2000"))


def config_of(address, workers=4, keys=""):
    return service("/bin/cat", address, workers=workers, keys=KEY + keys)


def totals(d):
    return d.status()["connections"]


def settled(d):
    wait_until("all connections closed", lambda: totals(d)["open"] == 0)
    return totals(d)


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
def test_everything_at_once(daemon, tmp_path, kind):
    address = {"tcp": TCP, "unix": f"unix://{tmp_path}/s"}[kind]
    d = daemon(config_of(address))
    clients = Clients(d.addresses(), CLIENTS)
    chaos = Chaos()
    chaos.every("reload", 0.1, other_settings(d, address))
    chaos.every("recycle", 0.3, lambda dice: d.ctl("recycle"))
    chaos.every("upgrade", 0.5, lambda dice: d.ctl("upgrade"))
    chaos.every("terminate", 0.01, terminate_some_worker(d))
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
    """The socket is its unit's: who was accepted is served to the end, who was not by the next
    start; and no program outlives its worker."""
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


def kill_some_program(d):
    """One that waits, or has had a client since a moment ago."""
    def act(dice):
        worker = pick_worker(dice, d)
        found = [pid for pid in (children(worker) if worker else []) if executed(pid)]
        if found:
            try:
                os.kill(found[0], signal.SIGKILL)
            except ProcessLookupError:
                pass
    return act


def test_programs_that_are_killed(daemon):
    """A client may be lost with its program, no other; each is in the ledger."""
    d = daemon(config_of(TCP, 6))
    clients = Clients(d.addresses(), CLIENTS)
    chaos = Chaos()
    chaos.every("program", 0.02, kill_some_program(d))
    outcomes = clients.wait()
    chaos.stop()
    kills = chaos.counts["program"]
    assert kills > 5
    lost = CLIENTS - outcomes.pop("ok")
    assert set(outcomes) <= {"reset", "short"}, (outcomes, d.log()[-2000:])
    assert lost <= kills
    ledger = settled(d)
    assert ledger["accepted"] == CLIENTS == ledger["finished"] + ledger["aborted_error"], ledger
    assert pool(d)["workers_died"] == 0
    wait_until("one program each", lambda: [len(children(w)) for w in d.workers()] == [1] * 6)


def memory(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    status = Path(f"/proc/{pid}/status").read_text()
    return {"own": int(re.search(r"^Anonymous:\s+(\d+) kB", text, re.M)[1]),
            "size": int(re.search(r"^VmSize:\s+(\d+) kB", status, re.M)[1])}


def picture(d):
    """What must not grow; at rest."""
    wait_idle(d)
    workers = sorted(d.workers())
    wait_until("one program each",
               lambda: [[executed(p) for p in children(w)] for w in workers] == [[True]] * len(workers))
    return {"workers": workers,
            "descriptors": {pid: len(descriptors(pid)) for pid in [d.pid, *workers]},
            "memory": {pid: memory(pid) for pid in [d.pid, *workers]},
            "zombies": [pid for w in workers for pid in children(w) if is_gone(pid)]}


def run_clients(d, count):
    for i in range(count):
        with connect(d.address()) as s:
            s.sendall(b"%d\n" % i)
            assert s.recv(99) == b"%d\n" % i
            s.shutdown(1)
            assert s.recv(99) == b""


def test_nothing_is_left_of_many_runs(daemon):
    """No descriptor, zombie or byte of the master and its workers."""
    d = daemon(service("/bin/cat", workers=2, keys=KEY + "connection_timeout = 1h"))
    run_clients(d, RUNS // 10)
    before = picture(d)
    run_clients(d, RUNS - RUNS // 10)
    after = picture(d)
    assert after["workers"] == before["workers"]
    assert after["descriptors"] == before["descriptors"]
    assert after["zombies"] == []
    # A sanitizer keeps back for a while what was freed.
    for pid, size in before["memory"].items() if "ASAN_OPTIONS" not in os.environ else ():
        for key, kilobytes in size.items():
            # The page of a counter or of a stack that was not touched before.
            assert after["memory"][pid][key] <= kilobytes + 16, (pid, key, before, after)
    ledger = settled(d)
    assert ledger["accepted"] == ledger["finished"] == RUNS
    assert ledger["program_failures"] == ledger["program_signals"] == 0
    assert d.stop() == 0
