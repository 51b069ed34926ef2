# SPDX-License-Identifier: ISC
"""workers, workers_max, spare, shrink_after, workers_total: a pool is as big as the load needs it,
and nobody loses a client over it."""

import contextlib
import os
import pwd
import re
import resource
import signal
import subprocess
import time

import pytest
from daemon import connect, wait_until
from pools import TCP, SHRINK, busy, crowd, least_and_most, pool, size, still_served, wait_size
from support import Clients, at_rest, finish, gate, hold, pids, rewrite, service, wait_gone, workers


def elastic(name="a", address=TCP, low=2, high=64, **keys):
    keys = {"spare": 2, "shrink_after": SHRINK, **keys}
    return service(name, address, workers=low, workers_max=high, **keys)


# -- growing


def test_it_begins_with_workers(daemon):
    d = daemon(elastic(low=3))
    assert size(d) == 3
    assert "listening on" in d.log() and "(3 to 64 workers)" in d.log()


def test_clients_that_come_at_once_are_all_served(daemon):
    d = daemon(elastic())
    with crowd(d.address(), 60) as clients:
        wait_until("each has a worker", lambda: busy(d) == 60)
        wait_size(d, 62)
        still_served(clients)
    assert at_rest(d)["finished"] == 60


@pytest.mark.parametrize("address", ["unix://DIR/s", "unixpacket://DIR/s", "tcp://[::1]:0"])
def test_by_other_addresses(daemon, tmp_path, address):
    """Where the kernel tells only that somebody waits, not how many."""
    d = daemon(elastic(address=address.replace("DIR", str(tmp_path))))
    with crowd(d.address(), 30):
        wait_size(d, 32)


def test_datagrams(daemon, tmp_path):
    """A program for each, which takes its time."""
    go = tmp_path / "go"
    script = tmp_path / "slow"
    script.write_text(f"#!/bin/sh\nread line\nwhile [ ! -e {go} ]; do sleep 0.01; done\necho $line\n")
    script.chmod(0o755)
    d = daemon(elastic(address="udp://127.0.0.1:0", exec=[script], user="root"
                       if os.geteuid() == 0 else ""))
    clients = [connect(d.address()) for _ in range(12)]
    for number, client in enumerate(clients):
        client.send(b"%d\n" % number)
    wait_until("all are answered at once", lambda: busy(d) == 12)
    go.touch()
    assert [client.recv(100) for client in clients] == [b"%d\n" % n for n in range(12)]
    for client in clients:
        client.close()


@pytest.mark.parametrize("keys", [{}, {"prestart": "true"}])
def test_programs(daemon, keys):
    d = daemon(elastic(exec=["/bin/cat"], **keys))
    with crowd(d.address(), 20) as clients:
        wait_size(d, 22)
        still_served(clients)
    wait_size(d, 2)


def test_each_takes_a_spare_one(daemon):
    """Ahead of the load: whoever comes finds an idle worker."""
    d = daemon(elastic(low=1, spare=3))
    clients = []
    for count in range(1, 11):
        clients.append(hold(d.address()))
        wait_size(d, count + 3)
    for client in clients:
        client.close()
    wait_size(d, 1)


def test_without_spare(daemon):
    """It grows only for those who wait."""
    d = daemon(elastic(low=1, spare=0))
    with crowd(d.address(), 10):
        wait_size(d, 10)


def test_a_full_pool_is_told_however_late_somebody_waits(daemon):
    """It has been full for a while, and nothing else happens."""
    d = daemon(elastic(high=3))
    with crowd(d.address(), 3):
        wait_size(d, 3)
        time.sleep(1.5)  # longer than a measurement is good for, and than from one look to the next
        with connect(d.address()) as s:
            s.sendall(b"x")
            d.wait_log(r"all 3 workers have a client, 1 wait", 10)


def test_never_more_than_workers_max(daemon):
    d = daemon(elastic(high=5))
    with crowd(d.address(), 5):
        waiting = [connect(d.address()) for _ in range(20)]
        for client in waiting:
            client.sendall(b"x")
        d.wait_log(r"all 5 workers have a client, \d+ wait.*workers_max")
        assert size(d) == 5
        assert pool(d, "a")["full"] >= 1
    for client in waiting:
        assert client.recv(1) == b"x"
        client.close()
    assert len(re.findall("have a client", d.log())) == 1


def test_a_pool_of_one_size(daemon):
    d = daemon(service("a", TCP, workers=3))
    before = pids(d)
    with crowd(d.address(), 3):
        waiting = [connect(d.address()) for _ in range(10)]
        assert least_and_most(d, 0.3) == (3, 3)
    for client in waiting:
        client.close()
    assert pids(d) == before


def test_fast_clients_need_no_more_workers(daemon):
    """Short ones, many at once: workers that are done at once are not multiplied."""
    d = daemon(elastic(low=8, high=500))
    with Clients(d.address(), 16) as clients:
        clients.more(300)
        assert size(d) <= 24


# -- shrinking


def test_it_shrinks_to_workers(daemon):
    d = daemon(elastic())
    with crowd(d.address(), 40):
        wait_size(d, 42)
    wait_size(d, 2)
    # And stays: nothing comes and goes.
    before = pids(d)
    assert least_and_most(d, 1) == (2, 2)
    assert pids(d) == before


def test_it_shrinks_by_halves(daemon):
    d = daemon("log_level = \"debug\"\n" + elastic(shrink_after="500ms"))
    with crowd(d.address(), 30):
        wait_size(d, 32)
    wait_size(d, 2)
    steps = re.findall(r"pool shrinks: size (\d+), was (\d+);.* let go [1-9]", d.log())
    for new, was in steps:
        # The first window may still have seen clients: then less.
        assert int(was) - int(new) <= (int(was) - 2 + 1) // 2, steps
    assert 5 <= len(steps) <= 7, steps


def test_who_is_served_keeps_its_worker(daemon):
    d = daemon(elastic())
    with hold(d.address()) as long, crowd(d.address(), 30) as clients:
        pid = {w["pid"] for w in workers(d) if w["state"] == "busy"}
        for client in clients:
            client.close()
        wait_size(d, 3)
        assert len(pid & pids(d)) >= 1
        still_served([long])
    wait_size(d, 2)


def test_shrink_after_0_is_never(daemon):
    d = daemon(elastic(shrink_after="0"))
    with crowd(d.address(), 20):
        wait_size(d, 22)
    assert least_and_most(d, 1) == (22, 22)


def test_no_client_is_lost_when_it_breathes(daemon):
    """All the time some workers leave and others start."""
    d = daemon(elastic(low=1, spare=1, shrink_after="20ms"))
    with Clients(d.address(), 4) as clients:
        for _ in range(20):
            with crowd(d.address(), 12):
                pass
            wait_until("some leave", lambda: size(d) <= 8)
            clients.more(5)
    totals = at_rest(d)
    assert totals["accepted"] == totals["finished"] == clients.total() + 240
    wait_size(d, 1)
    started = pool(d, "a")["workers_started"]
    assert started > 20, started
    assert pool(d, "a")["workers_died"] == 0


# -- what goes wrong


def test_dead_workers_are_replaced_and_counted_right(daemon):
    """kill -9, idle or busy: afterwards the pool grows and shrinks as before."""
    d = daemon(elastic())
    for _ in range(3):
        with crowd(d.address(), 10) as clients:
            wait_size(d, 12)
            killed = [w["pid"] for w in workers(d)[::2]]
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            wait_gone(killed)
        with crowd(d.address(), 20):
            wait_size(d, 22)
    wait_size(d, 2)
    # The spare ones are still kept ahead: nothing is miscounted.
    with hold(d.address()), hold(d.address()):
        wait_size(d, 4)


def test_fork_fails(daemon, is_root, tmp_path):
    """At the limit of processes: those there are serve on, and when there is room it grows."""
    uid = pwd.getpwnam("games").pw_uid  # nobody else's here
    directory = tmp_path / "main"
    directory.mkdir()
    os.chown(directory, uid, uid)

    def become():
        resource.setrlimit(resource.RLIMIT_NPROC, (15, 15))
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)

    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    # Ten are somebody else's.
    with contextlib.ExitStack() as others:
        for _ in range(10):
            other = subprocess.Popen(["/bin/sleep", "1000"], user=uid)
            others.callback(other.wait)
            others.callback(other.kill)
        d = daemon(elastic(), preexec=become, expect_ready=False)
        d.wait_log("is ready")
        others = others.pop_all()
    with others, crowd(d.address(), 4) as clients:
        waiting = [connect(d.address()) for _ in range(5)]
        d.wait_log("starting a worker: Resource temporarily unavailable", count=2)
        still_served(clients)
        assert pool(d, "a")["backoff_usec"] > 0
        assert pool(d, "a")["fork_errors"] < 20
        others.close()
        for client in waiting:
            finish(client)
        d.wait_log("healthy again")
    assert len(re.findall("degraded", d.log())) >= 1


def test_a_worker_that_cannot_start(daemon, programs, tmp_path):
    """Growth backs off; who was served is served on."""
    fails = tmp_path / "fails"
    d = daemon(gate(programs, "a", TCP, workers=2, workers_max=10, spare=1, shrink_after=SHRINK,
                    sandbox="off", options={"enter_fails": fails}))
    fails.touch()
    with crowd(d.address(), 2) as clients:
        waiting = connect(d.address())
        waiting.sendall(b"later\n")
        d.wait_log(r"before it was ready", count=3)
        still_served(clients)
        fails.unlink()
        assert waiting.recv(100) == b"later\n"
        waiting.close()
        started = pool(d, "a")["workers_started"]
        assert started < 40, started


# -- reloads


def test_a_reload_of_its_size_keeps_its_workers(daemon):
    d = daemon(elastic(low=4, high=10))
    before = pids(d)
    rewrite(d, elastic(low=6, high=20, spare=3, shrink_after="1s"))
    wait_size(d, 6)
    assert before < pids(d)
    assert "1 kept" in d.log()
    with crowd(d.address(), 17) as clients:
        wait_size(d, 20)
        before = pids(d)
        # Fewer than have a client: those are served.
        rewrite(d, elastic(low=2, high=8))
        assert busy(d) == 17
        still_served(clients)
    wait_size(d, 2)


def test_a_reload_makes_a_fixed_pool_smaller_and_bigger(daemon):
    d = daemon(service("a", TCP, workers=6))
    before = pids(d)
    rewrite(d, service("a", TCP, workers=3))
    wait_size(d, 3)
    assert pids(d) < before
    rewrite(d, service("a", TCP, workers=5))
    wait_size(d, 5)
    assert len(pids(d) & before) == 3


def test_a_fixed_pool_becomes_elastic(daemon):
    d = daemon(service("a", TCP, workers=2))
    rewrite(d, elastic())
    with crowd(d.address(), 10):
        wait_size(d, 12)
        rewrite(d, service("a", TCP, workers=2))
    wait_size(d, 2)


def test_what_replaces_a_pool_is_as_big(daemon):
    """Another setting under load: the new pool begins with what the load needs."""
    d = daemon(elastic(idle_timeout="1m"))
    with crowd(d.address(), 20) as clients:
        wait_size(d, 22)
        before = pids(d)
        rewrite(d, elastic(idle_timeout="2m"))
        fresh = [w for w in workers(d) if w["generation"] == 2]
        assert len(fresh) >= 20, len(fresh)
        assert not {w["pid"] for w in fresh} & before
        still_served(clients)
    wait_size(d, 2)


def test_recycle_of_a_grown_pool(daemon):
    d = daemon(elastic())
    with crowd(d.address(), 10) as clients:
        wait_size(d, 12)
        before = pids(d)
        d.ctl("recycle")
        assert not pids(d) & before
        assert size(d) == 12
        still_served(clients)
    wait_size(d, 2)


def test_upgrade_of_a_grown_pool(daemon):
    d = daemon(elastic())
    with crowd(d.address(), 10) as clients:
        wait_size(d, 12)
        d.ctl("upgrade")
        still_served(clients)
        with crowd(d.address(), 10):
            pass
    wait_size(d, 2)


# -- all pools together


def test_workers_total(daemon):
    text = 'workers_total = 12\n'
    d = daemon(text + elastic("a") + elastic("b"))
    with crowd(d.address("a"), 8):
        wait_size(d, 10, "a")
        with crowd(d.address("b"), 2) as clients:
            late = connect(d.address("b"))
            late.sendall(b"late\n")
            assert least_and_most(d, 0.5) == (12, 12)
            still_served(clients)
            # More are allowed: no reload of the pools.
            rewrite(d, 'workers_total = 20\n' + elastic("a") + elastic("b"))
            assert late.recv(100) == b"late\n"
            late.close()
    wait_size(d, 4)


def test_a_reload_while_workers_total_is_used_up(daemon):
    """Those that replace others are ready before these leave: it is not counted against them, nor
    is any client kept waiting for it."""
    def text(idle):
        return 'workers_total = 12\n' + elastic("a", idle_timeout=idle) + \
            elastic("b", idle_timeout=idle)

    d = daemon(text("50s"))
    with crowd(d.address("a"), 6) as first, crowd(d.address("b"), 4) as second:
        wait_until("all that there may be", lambda: len(workers(d)) == 12)
        before = pids(d)
        rewrite(d, text("51s"))
        assert not pids(d) & before
        # With a client from before in each that leaves, there are workers for as many again.
        with crowd(d.address("a"), 2), crowd(d.address("b"), 2):
            still_served(first + second)
        d.ctl("recycle")
        still_served(first + second)
    wait_gone(before)
    wait_size(d, 4)
    assert at_rest(d)["finished"] == 14


# -- what it says


def test_every_decision_is_in_the_log(daemon):
    d = daemon("log_level = \"debug\"\n" + elastic())
    with crowd(d.address(), 5):
        wait_size(d, 7)
    wait_size(d, 2)
    grown = re.findall(r"service \"a\" \[tcp://127\.0\.0\.1:\d+\]: pool grows: size (\d+), was (\d+); "
                       r"(\d+) ready, (\d+) starting, \d+ old, \d+ leaving; (\d+) idle, at least \d+; "
                       r"(\d+) queued; \d+ end in 5 ms; start (\d+), let go 0", d.log())
    # One that has just left the queue may be counted twice.
    assert sum(int(start) for *_, start in grown) in (5, 6)
    for new, was, *_, start in grown:
        assert int(new) - int(was) == int(start)
    assert "pool shrinks" in d.log()
    # At rest it says nothing, and does nothing.
    lines = d.log().count("\n")
    assert least_and_most(d, 0.5) == (2, 2)
    assert d.log().count("\n") == lines


def test_at_rest_it_sleeps(daemon):
    """No look without need: the master's time stands still."""
    d = daemon(elastic(), env={"NOTIFY_SOCKET": ""}, expect_ready=False)
    d.wait_log("is ready")
    with crowd(d.address(), 5):
        pass
    wait_size(d, 2)

    def switches():
        text = open(f"/proc/{d.pid}/status", encoding="ascii").read()
        return int(re.search(r"voluntary_ctxt_switches:\s+(\d+)", text)[1])

    before = switches()
    signal.sigtimedwait([], 1)
    assert switches() - before <= 2


def test_status_shows_how_far_it_may_grow(daemon):
    d = daemon(elastic(low=2, high=9))
    assert re.search(r"^a\s+\S+\s+echo\s+2/9\s+0 ", d.ctl("status").stdout, re.M)
    assert pool(d, "a")["workers_max"] == 9
    assert pool(d, "a")["workers_wanted"] == 2
    with crowd(d.address(), 3):
        wait_size(d, 5)
        assert re.search(r"^a\s+\S+\s+echo\s+5/9\s+3 ", d.ctl("status").stdout, re.M)


def test_status_line(daemon):
    d = daemon(elastic())
    with crowd(d.address(), 5):
        wait_size(d, 7)
        d.wait_notification("STATUS=1 service, 5/7 busy")
    d.wait_notification("STATUS=1 service, 0/2 busy")
