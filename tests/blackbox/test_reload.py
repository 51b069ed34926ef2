# SPDX-License-Identifier: ISC
"""Reloads that succeed: what is equal is not touched, what changed is replaced with nobody lost,
what is new listens, what is gone is served to its end."""

import contextlib
import json
import os
import signal
import socket
import stat
from pathlib import Path

import pytest
from daemon import connect, exchange, wait_until
from support import (Clients, answer, at_rest, descriptors, end_ctl, finish, free_port, gate, hold,
                     pids, queue, reload, rewrite, say, service, signal_was_taken, start_ctl,
                     wait_gone, workers)

TCP = "tcp://127.0.0.1:0"
ORDERS = pytest.mark.parametrize("how", ["hup", "ctl"])


def generation(d):
    return d.status()["generation"]


# ---- what the plan says


@ORDERS
def test_nothing_changed_keeps_every_worker(daemon, how):
    d = daemon(service("a", TCP) + service("b", TCP, builtin="discard"))
    before = pids(d)
    reload(d, how)
    assert pids(d) == before
    assert generation(d) == 2
    assert "2 kept, 0 replaced, 0 added, 0 dropped" in d.log()


@ORDERS
def test_add_a_service(daemon, how):
    d = daemon(service("a", TCP, workers=2))
    before = pids(d)
    rewrite(d, service("a", TCP, workers=2) + service("b", TCP, workers=3), how)
    assert pids(d, "a") == before
    assert len(pids(d, "b")) == 3
    assert exchange(d.address("b"), b"new") == b"new"
    assert exchange(d.address("a"), b"old") == b"old"


@ORDERS
def test_remove_a_service(daemon, how):
    d = daemon(service("a", TCP) + service("b", TCP))
    before, leaving, address = pids(d, "a"), pids(d, "b"), d.address("b")
    rewrite(d, service("a", TCP), how)
    assert pids(d) == before
    wait_gone(leaving)
    with pytest.raises(ConnectionRefusedError):
        connect(address)
    wait_until("pool gone", lambda: [p["service"] for p in d.status()["pools"]] == ["a"])


@ORDERS
def test_disabling_a_service_removes_it(daemon, how):
    d = daemon(service("a", TCP) + service("b", TCP))
    leaving = pids(d, "b")
    rewrite(d, service("a", TCP) + service("b", TCP, enabled="false"), how)
    wait_gone(leaving)
    with pytest.raises(ConnectionRefusedError):
        connect(d.address("b"))


@ORDERS
def test_change_a_service(daemon, how):
    d = daemon(service("a", TCP, workers=2) + service("b", TCP, workers=2))
    kept, replaced, address = pids(d, "a"), pids(d, "b"), d.address("b")
    rewrite(d, service("a", TCP, workers=2) + service("b", TCP, workers=3, builtin="discard"), how)
    assert pids(d, "a") == kept
    assert len(pids(d, "b")) == 3
    assert not pids(d, "b") & replaced
    assert {w["generation"] for w in workers(d, "a")} == {1}
    assert {w["generation"] for w in workers(d, "b")} == {2}
    wait_gone(replaced)
    assert exchange(address, b"swallowed") == b""


@ORDERS
def test_add_and_remove_an_address(daemon, how, tmp_path):
    one, two = f"unix://{tmp_path}/one", f"unix://{tmp_path}/two"
    d = daemon(service("a", one, workers=2))
    before = pids(d)
    rewrite(d, service("a", one, two, workers=2), how)
    assert before < pids(d)
    assert exchange(two, b"second") == b"second"
    rewrite(d, service("a", two, workers=2), how)
    wait_gone(before)
    assert not os.path.exists(f"{tmp_path}/one")
    assert exchange(two, b"second") == b"second"


def test_the_order_of_services_does_not_matter(daemon):
    d = daemon(service("a", TCP) + service("b", TCP))
    before = pids(d)
    rewrite(d, service("b", TCP) + service("a", TCP))
    assert pids(d) == before


def test_the_daemons_own_keys(daemon):
    """log_level is the master's: no worker is replaced for it."""
    d = daemon('log_level = "info"\n' + service("a", TCP))
    before = pids(d)
    rewrite(d, 'log_level = "error"\n' + service("a", TCP))
    assert pids(d) == before
    rewrite(d, 'log_level = "error"\n' + service("a", TCP) + service("b", TCP))
    assert len(pids(d, "b")) == 4
    assert len(d.addresses("b")) == 0, "said at level info"


def test_a_default_outside_of_the_services_changes_them(daemon):
    d = daemon(service("a", TCP) + service("b", TCP, idle_timeout="9s"))
    kept, replaced = pids(d, "b"), pids(d, "a")
    rewrite(d, 'idle_timeout = "7s"\n' + service("a", TCP) + service("b", TCP, idle_timeout="9s"))
    assert pids(d, "b") == kept
    assert not pids(d, "a") & replaced


# ---- replaced: nobody notices


def test_new_workers_are_ready_before_old_ones_leave(daemon, programs, tmp_path):
    """The new ones are held back: until they are let go, the old ones serve."""
    door = tmp_path / "door"
    d = daemon(gate(programs, "a", TCP, workers=2))
    old = pids(d)
    d.write_config(gate(programs, "a", TCP, workers=2, options={"enter_waits": door}))
    order = start_ctl(d, "reload")
    new = wait_until("new workers", lambda: len(d.workers()) == 4 and set(d.workers()) - old)
    for i in range(20):
        assert exchange(d.address(), b"%d" % i) == b"%d" % i
    assert {w["pid"] for w in workers(d) if w["state"] == "idle"} == old
    assert generation(d) == 1
    door.touch()
    assert end_ctl(order)[0] == 0
    assert pids(d) == new
    wait_gone(old)
    assert exchange(d.address(), b"after") == b"after"


def test_a_client_in_service_is_served_to_its_end(daemon):
    d = daemon(service("a", TCP, workers=2))
    with hold(d.address()) as client:
        old = pids(d)
        busy = {w["pid"] for w in workers(d) if w["state"] == "busy"}
        rewrite(d, service("a", TCP, workers=2, nodelay="false"))
        wait_gone(old - busy)
        for i in range(10):
            say(client, b"still here %d\n" % i)
        assert {w["pid"] for w in d.status()["workers"] if w["leaving"]} == busy
        finish(client)
    wait_gone(busy)
    totals = at_rest(d)
    assert (totals["accepted"], totals["finished"]) == (1, 1)


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s", "unix://@DIR", "unixpacket://DIR/s",
                                     "udp://127.0.0.1:0"])
def test_no_client_is_lost_while_pools_are_replaced(daemon, tmp_path, address):
    address = address.replace("DIR", str(tmp_path))
    d = daemon(service("a", address, workers=2))
    with Clients(d.address(), 4) as clients:
        for i in range(10):
            rewrite(d, service("a", address, workers=2 + i % 2))
            clients.more()
    totals = at_rest(d)
    assert totals["accepted"] == totals["finished"] == clients.total()
    assert generation(d) == 11


def test_a_client_behind_a_busy_pool_waits_for_the_new_one(daemon):
    """In the queue of the listener when the pool is replaced: the new workers serve it."""
    d = daemon(service("a", TCP, workers=1))
    with hold(d.address()) as client:
        waiting = [queue(d.address(), b"waiting %d" % i) for i in range(5)]
        rewrite(d, service("a", TCP, workers=1, keepalive="false"))
        assert [answer(s) for s in waiting] == [b"waiting %d" % i for i in range(5)]
        finish(client)


def test_another_service_takes_the_listener(daemon):
    """The same address under another name: no connect is refused."""
    address = f"tcp://127.0.0.1:{free_port()}"
    d = daemon(service("a", address, workers=2))
    with Clients(address, 4) as clients:
        for i in range(10):
            rewrite(d, service("ab"[i % 2], address, workers=2))
            clients.more()
    assert at_rest(d)["finished"] == clients.total()


def test_two_services_swap_their_addresses(daemon, tmp_path):
    one, two = f"unix://{tmp_path}/one", f"unix://{tmp_path}/two"
    d = daemon(service("a", one) + service("b", two, builtin="discard"))
    inodes = [os.stat(tmp_path / name).st_ino for name in ("one", "two")]
    rewrite(d, service("a", two) + service("b", one, builtin="discard"))
    assert exchange(one, b"x") == b""
    assert exchange(two, b"x") == b"x"
    assert [os.stat(tmp_path / name).st_ino for name in ("one", "two")] == inodes


# ---- sockets


@pytest.mark.parametrize("address", [TCP, "udp://127.0.0.1:0"])
def test_port_0_stays_the_port_it_became(daemon, address):
    d = daemon(service("a", address))
    port, before = d.port("a"), pids(d)
    reload(d)
    assert pids(d) == before
    rewrite(d, service("a", address, workers=2))
    assert d.port("a", -1) == port
    assert len(d.addresses("a")) == 2
    assert exchange(d.address("a", -1), b"same") == b"same"


def test_port_0_is_nobody_elses(daemon):
    """Another service that lets the kernel choose gets a port of its own."""
    d = daemon(service("a", TCP))
    rewrite(d, service("b", TCP))
    assert d.port("a") != d.port("b")
    wait_until("end of a", lambda: len(d.workers()) == 4)
    with pytest.raises(ConnectionRefusedError):
        connect(d.address("a"))


def test_socket_mode(daemon, tmp_path):
    path = tmp_path / "s"
    d = daemon(service("a", f"unix://{path}", socket_mode="0600"))
    before = os.stat(path)
    assert stat.S_IMODE(before.st_mode) == 0o600
    rewrite(d, service("a", f"unix://{path}", socket_mode="0622"))
    after = os.stat(path)
    assert stat.S_IMODE(after.st_mode) == 0o622
    assert after.st_ino == before.st_ino


# ---- dropped: the queue is served


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s", "unix://@DIR"])
@pytest.mark.parametrize("keys", [{}, {"recycle_after": 1}], ids=["", "recycled"])
def test_the_queue_of_a_dropped_service_is_served(daemon, tmp_path, address, keys):
    d = daemon(service("a", address.replace("DIR", str(tmp_path)), workers=1, **keys) +
               service("b", TCP))
    address = d.address("a")
    old = pids(d, "a")
    with hold(address) as client:
        waiting = [queue(address, b"waiting %d" % i) for i in range(5)]
        rewrite(d, service("b", TCP))
        with pytest.raises((ConnectionRefusedError, FileNotFoundError, socket.timeout,
                            BlockingIOError)):
            connect(address, timeout=0.3).close()
        finish(client)
        assert [answer(s) for s in waiting] == [b"waiting %d" % i for i in range(5)]
    wait_gone(old)
    wait_until("close", lambda: [p["service"] for p in d.status()["pools"]] == ["b"])
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        connect(address)
    totals = at_rest(d)
    assert (totals["accepted"], totals["finished"]) == (6, 6)


def test_a_service_comes_back_while_it_drains(daemon):
    address = f"tcp://127.0.0.1:{free_port()}"
    d = daemon(service("a", address, workers=1) + service("b", TCP))
    with hold(address) as client:
        waiting = queue(address, b"waiting")
        rewrite(d, service("b", TCP))
        rewrite(d, service("b", TCP) + service("a", address, workers=1))
        assert answer(waiting) == b"waiting"
        assert exchange(address, b"new") == b"new"
        finish(client)
    wait_until("old worker gone", lambda: len(d.workers()) == 5)
    assert exchange(address, b"later") == b"later"


@pytest.mark.parametrize("replaced", [0, 1, 2])
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:PORT", "unix://@DIR"])
def test_a_service_comes_back_while_clients_finish(daemon, tmp_path, address, replaced):
    """Its listener is shared by all the generations that leave."""
    address = address.replace("PORT", str(free_port())).replace("DIR", str(tmp_path))
    d = daemon(service("a", address, workers=1) + service("b", TCP))
    with contextlib.ExitStack() as clients:
        held = [clients.enter_context(hold(address))]
        for i in range(replaced):
            rewrite(d, service("a", address, workers=2 + i) + service("b", TCP))
            if i + 1 < replaced:
                held.append(clients.enter_context(hold(address)))
        rewrite(d, service("b", TCP))
        wait_until("end of the idle", lambda: len(d.workers()) == 4 + len(held))
        rewrite(d, service("b", TCP) + service("a", address, workers=1))
        assert exchange(address, b"new") == b"new"
        for client in held:
            finish(client)
    wait_until("end of the old", lambda: len(d.workers()) == 5)
    assert exchange(address, b"later") == b"later"


# ---- the order of reloads


def test_verdicts_are_numbered(daemon):
    d = daemon(service("a", TCP))
    good, bad = d.config_file.read_text(), "service { \n"
    results = []
    for text in (good, bad, good):
        d.write_config(text)
        out = d.ctl("reload", "--json", check=False)
        results.append((out.returncode, json.loads(out.stdout)))
    assert [r["number"] for _, r in results] == [1, 2, 3]
    assert [r["failed"] for _, r in results] == [False, True, False]
    assert [code for code, _ in results] == [0, 1, 0]
    status = d.status()
    assert (status["reloads"], status["reloads_failed"], status["generation"]) == (3, 1, 3)


def blocked_loader(d):
    """The child that loads, once it waits in a module's open: it has read the file then."""
    def look():
        for pid in set(d.workers()) - {w["pid"] for w in d.status()["workers"]}:
            with contextlib.suppress(OSError):
                if "gate.so" in Path(f"/proc/{pid}/maps").read_text():
                    return pid
        return None
    return wait_until("load", look)


def test_a_reload_during_a_reload_runs_after_it(daemon, programs, tmp_path):
    doors = [tmp_path / "door1", tmp_path / "door2"]
    d = daemon(service("a", TCP))
    d.write_config(gate(programs, "a", TCP, workers=1, options={"open_waits": doors[0]}))
    first = start_ctl(d, "reload", "--json")
    one = blocked_loader(d)
    d.write_config(gate(programs, "a", TCP, workers=3, options={"open_waits": doors[1]}))
    for _ in range(3):
        d.signal(signal.SIGHUP)
        wait_until("signal", lambda: signal_was_taken(d.pid, signal.SIGHUP))
    assert blocked_loader(d) == one
    assert generation(d) == 1
    doors[0].touch()
    code, out, _ = end_ctl(first)
    assert (code, json.loads(out)["number"]) == (0, 1)
    assert blocked_loader(d) != one
    assert len(pids(d)) == 1
    doors[1].touch()
    d.wait_log(r"reload: generation 3")
    # Three that came together were one.
    assert json.loads(d.ctl("reload", "--json").stdout)["number"] == 3
    assert len(pids(d)) == 3


def test_each_preforkctl_waits_for_its_own_result(daemon, programs, tmp_path):
    """The first reload succeeds; the second, of another file, fails."""
    doors = [tmp_path / "door1", tmp_path / "door2"]
    d = daemon(service("a", TCP))
    d.write_config(gate(programs, "a", TCP, options={"open_waits": doors[0]}))
    first = start_ctl(d, "reload")
    blocked_loader(d)
    d.write_config(gate(programs, "a", TCP, options={"open_waits": doors[1]}) +
                   service("b", TCP, module=programs.modules / "open_fails.so"))
    second = start_ctl(d, "reload")
    # It waits for the first to end; the reload of its own runs after that.
    wait_until("wait", lambda: "anon_inode:[pidfd]" in descriptors(second.pid))
    doors[0].touch()
    assert end_ctl(first)[0] == 0
    blocked_loader(d)
    assert second.poll() is None
    doors[1].touch()
    code, _, err = end_ctl(second)
    assert code == 1
    assert "this open always fails" in err
    assert generation(d) == 2
