# SPDX-License-Identifier: ISC
"""Recycles: every worker is replaced in turn, and no client notices."""

import json
import os
import signal

import pytest
from daemon import exchange, wait_until
from support import (Clients, at_rest, end_ctl, finish, gate, hold, pids, rewrite, say, service,
                     start_ctl, wait_gone, workers)

TCP = "tcp://127.0.0.1:0"


def test_every_pid_changes(daemon):
    d = daemon(service("a", TCP, workers=5) + service("b", TCP, workers=1) +
               service("u", "udp://127.0.0.1:0", workers=2))
    before = pids(d)
    assert d.ctl("recycle").stdout == "preforkctl: every worker was replaced\n"
    wait_gone(before)
    assert len(pids(d)) == 8
    assert {w["generation"] for w in workers(d)} == {1}
    assert d.status()["recycles"] == 1


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s", "udp://127.0.0.1:0"])
def test_no_client_is_lost(daemon, tmp_path, address):
    d = daemon(service("a", address.replace("DIR", str(tmp_path)), workers=3))
    with Clients(d.address(), 4) as clients:
        for _ in range(10):
            before = pids(d)
            d.ctl("recycle")
            assert not pids(d) & before
            clients.more()
    totals = at_rest(d)
    assert totals["accepted"] == totals["finished"] == clients.total()


def test_there_are_always_enough_workers(daemon):
    d = daemon(service("a", TCP, workers=8))
    before = pids(d)
    order = start_ctl(d, "recycle")
    while order.poll() is None:
        status = d.status()
        ready = [w for w in status["workers"]
                 if w["state"] in ("idle", "busy") and not w["leaving"]]
        assert len(ready) >= 8 or order.poll() is not None, status
    assert end_ctl(order)[0] == 0
    assert not pids(d) & before


def test_a_client_in_service_is_served_to_its_end(daemon):
    d = daemon(service("a", TCP, workers=2))
    with hold(d.address()) as client:
        [busy] = [w["pid"] for w in workers(d) if w["state"] == "busy"]
        d.ctl("recycle")
        assert busy not in pids(d)
        say(client, b"served by the old one")
        assert exchange(d.address(), b"and") == b"and"
        assert busy in d.workers()
        finish(client)
    wait_gone([busy])


@pytest.mark.parametrize("trouble", [False, True])
def test_new_workers_that_fail(daemon, programs, tmp_path, trouble):
    """The old ones stay, and whoever asked is told; also when one had died before."""
    trap = tmp_path / "trap"
    d = daemon(gate(programs, "a", TCP, workers=3, options={"enter_fails": trap}) +
               service("b", TCP, workers=1))
    if trouble:
        [pid] = pids(d, "b")
        os.kill(pid, signal.SIGKILL)
        wait_until("replacement", lambda: pids(d, "b") - {pid})
    before = pids(d, "a")
    trap.touch()
    result = d.ctl("recycle", check=False)
    assert result.returncode == 1
    assert "the old ones stay" in result.stderr
    assert "enter: Permission denied" in d.log()
    # It is over: no further one is tried, and with the old ones the pool is full and well.
    wait_until("health", lambda: d.ctl("status", check=False).returncode == 0)
    assert pids(d, "a") == before
    with Clients(d.address("a"), 3) as clients:
        clients.more(20)
    trap.unlink()
    d.ctl("recycle")
    assert not pids(d, "a") & before


def test_a_recycle_after_a_death_succeeds(daemon):
    """What died before has nothing to do with it."""
    d = daemon(service("a", TCP, workers=2))
    victim = min(pids(d))
    os.kill(victim, signal.SIGKILL)
    wait_until("replacement", lambda: len(pids(d) - {victim}) == 2)
    before = pids(d)
    d.ctl("recycle")
    assert not pids(d) & before


def test_verdicts_are_numbered(daemon):
    d = daemon(service("a", TCP))
    numbers = [json.loads(d.ctl("recycle", "--json").stdout)["number"] for _ in range(3)]
    assert numbers == [1, 2, 3]


def test_a_recycle_during_a_recycle(daemon, programs, tmp_path):
    """It begins anew: what was new a moment ago is old, and both are told of the same end."""
    door = tmp_path / "door"
    door.touch()
    d = daemon(gate(programs, "a", TCP, workers=2, options={"enter_waits": door}))
    before = pids(d)
    door.unlink()
    first = start_ctl(d, "recycle", "--json")
    young = wait_until("a new one", lambda: set(d.workers()) - before)
    second = start_ctl(d, "recycle", "--json")
    wait_until("second", lambda: d.status()["recycles"] == 2)
    door.touch()
    results = [end_ctl(order) for order in (first, second)]
    assert [code for code, _, _ in results] == [0, 0]
    assert [json.loads(out)["number"] for _, out, _ in results] == [2, 2]
    wait_gone(before | young)
    assert len(pids(d)) == 2


def test_a_reload_during_a_recycle(daemon, programs, tmp_path):
    door = tmp_path / "door"
    door.touch()
    d = daemon(gate(programs, "a", TCP, workers=2, options={"enter_waits": door}))
    before = pids(d)
    door.unlink()
    recycle = start_ctl(d, "recycle")
    wait_until("a new one", lambda: set(d.workers()) - before)
    rewrite(d, service("a", TCP, workers=3))
    assert end_ctl(recycle)[0] == 0
    assert not pids(d) & before
    assert len(pids(d)) == 3
    door.touch()
    wait_until("the others gone", lambda: len(d.workers()) == 3)


def test_recycle_after_so_many_connections(daemon):
    """recycle_after is per worker, with 10 % of jitter; nobody waits for it."""
    d = daemon(service("a", TCP, workers=1, recycle_after=20))
    served, last = {}, None
    for i in range(130):
        assert exchange(d.address(), b"%d" % i) == b"%d" % i
        status = at_rest(d) and d.status()
        for w in status["workers"]:
            served[w["pid"]] = w["connections"]["finished"]
            last = w["pid"]
    del served[last]
    assert len(served) >= 5
    # The last that a worker served may not have been seen any more.
    assert all(17 <= count <= 22 for count in served.values()), served
    assert d.status()["pools"][0]["workers_died"] == 0
