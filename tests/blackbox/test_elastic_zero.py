# SPDX-License-Identifier: ISC
"""workers = 0: nobody is there until a client comes; that one is served, and so is everybody after
it, whatever happens to the daemon meanwhile."""

import os
import random
import signal
import socket
import time

import pytest
from daemon import connect, exchange, wait_until
from manager import manage  # noqa: F401 (a fixture)
from pools import TCP, SHRINK, busy, crowd, least_and_most, pool, size, still_served, wait_size
from support import Clients, answer, at_rest, gate, hold, pids, queue, rewrite, service


def zero(name="a", address=TCP, **keys):
    keys = {"workers": 0, "workers_max": 20, "shrink_after": SHRINK, "spare": 1, **keys}
    return service(name, address, **keys)


def test_ready_without_a_worker(daemon):
    d = daemon(zero())
    assert d.workers() == [] and size(d) == 0
    assert "(0 to 20 workers)" in d.log()
    assert d.ctl("status").returncode == 0


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s", "unixpacket://DIR/s", "udp://127.0.0.1:0",
                                     "unixgram://DIR/s"])
@pytest.mark.parametrize("times", [3])
def test_the_first_client_is_served(daemon, tmp_path, address, times):
    d = daemon(zero(address=address.replace("DIR", str(tmp_path))))
    for number in range(times):
        assert exchange(d.address(), b"number %d" % number) == b"number %d" % number
        wait_size(d, 0)
    assert at_rest(d)["finished"] == times


@pytest.mark.parametrize("keys", [{"exec": ["/bin/cat"]},
                                  {"exec": ["/bin/cat"], "prestart": "true"}])
def test_programs(daemon, keys):
    d = daemon(zero(**keys))
    assert exchange(d.address(), b"to a cat") == b"to a cat"
    wait_size(d, 0)


def test_many_at_once(daemon):
    d = daemon(zero(workers_max=64))
    with crowd(d.address(), 60) as clients:
        wait_until("each has a worker", lambda: busy(d) == 60)
        still_served(clients)
    wait_size(d, 0)
    assert at_rest(d)["finished"] == 60


def test_nobody_is_started_for_nothing(daemon):
    d = daemon(zero())
    exchange(d.address(), b"x")
    wait_size(d, 0)
    started = pool(d, "a")["workers_started"]
    assert least_and_most(d, 1) == (0, 0)
    assert pool(d, "a")["workers_started"] == started


def test_clients_that_come_when_the_last_leaves(daemon):
    """Again and again at the worst moment."""
    d = daemon(zero(spare=0, shrink_after="1ms"))
    dice = random.Random(1)
    for number in range(300):
        signal.sigtimedwait([], dice.random() * 0.004)
        assert exchange(d.address(), b"%d" % number) == b"%d" % number
    assert at_rest(d)["finished"] == 300
    assert pool(d, "a")["workers_started"] > 10


def test_several_services(daemon):
    """Only the one that is asked wakes."""
    d = daemon(zero("a") + zero("b") + service("c", TCP, workers=1))
    with hold(d.address("b")):
        assert size(d, "a") == 0
        assert 1 <= size(d, "b") <= 2
    wait_size(d, 0, "b")


def test_reload(daemon):
    d = daemon(zero())
    rewrite(d, zero(idle_timeout="2m"))
    wait_size(d, 0)
    assert exchange(d.address(), b"after") == b"after"
    with hold(d.address()) as client:
        rewrite(d, zero(idle_timeout="3m"))
        still_served([client])
        assert exchange(d.address(), b"new") == b"new"
    wait_size(d, 0)
    rewrite(d, zero(idle_timeout="3m", workers=2))
    wait_size(d, 2)
    rewrite(d, zero(idle_timeout="3m"))
    wait_size(d, 0)
    assert exchange(d.address(), b"and again") == b"and again"


def test_clients_during_reloads(daemon):
    d = daemon(zero())
    with Clients(d.address(), 2) as clients:
        for number in range(10):
            rewrite(d, zero(idle_timeout=f"{number + 2}m"))
            clients.more(2)
    totals = at_rest(d)
    assert totals["accepted"] == totals["finished"] == clients.total()


def test_recycle(daemon):
    d = daemon(zero())
    assert "every worker was replaced" in d.ctl("recycle").stdout
    wait_size(d, 0)
    with hold(d.address()) as client:
        before = pids(d)
        d.ctl("recycle")
        assert not pids(d) & before
        still_served([client])
    wait_size(d, 0)


def test_stop_serves_who_waits(daemon):
    """Nobody is there, and somebody is in the queue: the master has to start a worker to stop."""
    d = daemon(zero())
    os.kill(d.pid, signal.SIGSTOP)
    clients = [queue(d.address(), b"%d" % number) for number in range(5)]
    os.kill(d.pid, signal.SIGTERM)
    os.kill(d.pid, signal.SIGCONT)
    assert [answer(client) for client in clients] == [b"%d" % n for n in range(5)]
    assert d.wait() == 0


def test_stop_without_anybody(daemon):
    d = daemon(zero())
    assert d.stop() == 0


def test_dropped_while_somebody_waits(daemon):
    d = daemon(zero("a") + service("b", TCP, workers=1))
    address = d.address("a")
    os.kill(d.pid, signal.SIGSTOP)
    client = queue(address, b"the last one")
    d.write_config(service("b", TCP, workers=1))
    os.kill(d.pid, signal.SIGHUP)
    os.kill(d.pid, signal.SIGCONT)
    assert answer(client) == b"the last one"
    d.wait_log("1 dropped")


def test_upgrade(daemon):
    d = daemon(zero())
    d.ctl("upgrade")
    assert exchange(d.address(), b"after") == b"after"
    wait_size(d, 0)
    with hold(d.address()) as client:
        d.ctl("upgrade")
        still_served([client])
    wait_size(d, 0)
    assert exchange(d.address(), b"after") == b"after"


def test_an_upgrade_that_cannot_load_serves_on(daemon):
    """Who is left over cannot start a worker: one is there before."""
    d = daemon(zero())
    # What --check accepts and the load does not: the port is taken by then.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        d.write_config(zero() + service("b", f"tcp://127.0.0.1:{port}", workers=1))
        assert d.ctl("upgrade", check=False).returncode == 1
        assert exchange(d.address("a"), b"left over") == b"left over"
        assert exchange(d.address("a"), b"left over") == b"left over"
    d.ctl("reload")
    assert exchange(d.address("a"), b"again") == b"again"
    wait_size(d, 0, "a")


def test_a_worker_that_cannot_start(daemon, programs, tmp_path):
    """It is tried with pauses, and the client that waits is served in the end."""
    fails = tmp_path / "fails"
    fails.touch()
    d = daemon(gate(programs, "a", TCP, workers=0, workers_max=5, spare=0, shrink_after=SHRINK,
                    options={"enter_fails": fails}))
    client = connect(d.address())
    client.sendall(b"patience\n")
    d.wait_log("before it was ready", count=2)
    assert pool(d, "a")["workers_started"] < 10
    assert "degraded" in d.log()
    assert d.ctl("status", check=False).returncode == 1
    fails.unlink()
    assert client.recv(100) == b"patience\n"
    client.close()
    wait_size(d, 0)


def test_the_only_worker_is_killed(daemon):
    d = daemon(zero(spare=0))
    client = hold(d.address())
    [pid] = pids(d)
    os.kill(pid, signal.SIGKILL)
    assert client.recv(10) == b""
    client.close()
    assert exchange(d.address(), b"another") == b"another"
    wait_size(d, 0)


def test_exit_idle(manage):
    """No worker is there before the end: what counts is when the last client was."""
    d = manage('exit_idle = "2s"\n' + zero(address="systemd://a", shrink_after="50ms"), ("a", TCP))
    for _ in range(4):
        assert exchange(d.unit_addresses[0], b"x") == b"x"
        wait_size(d, 0)
        signal.sigtimedwait([], 0.8)
    last = time.monotonic()
    assert exchange(d.unit_addresses[0], b"x") == b"x"
    assert d.wait() == 0
    assert time.monotonic() - last >= 2
    assert "no client for 2s" in d.log()


def test_on_demand(manage):
    """The client that has systemd start the daemon is the first one of a pool without workers."""
    d = manage('exit_idle = "500ms"\n' + zero(address="systemd://a"), ("a", TCP))
    assert d.wait() == 0
    client = queue(d.unit_addresses[0], b"wakes everybody")
    d.start()
    assert answer(client) == b"wakes everybody"
    assert d.wait() == 0
