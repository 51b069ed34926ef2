# SPDX-License-Identifier: ISC
"""Where serving waits for nobody, as many workers as CPUs wait for clients: and if one of them is
stopped, killed, or kept by clients that do not go, another does."""

import contextlib
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from daemon import connect, exchange, wait_until
from look import pool, stat_fields, wait_counts, worker_pids
from support import descriptors, rewrite, wait_gone, workers

MANY = 8
TURNS = max(2, len(os.sched_getaffinity(0)))
pytestmark = pytest.mark.skipif(TURNS >= MANY, reason=f"each of {MANY} workers has its turn here")


def config(builtin="daytime", count=MANY, address="tcp://127.0.0.1:0", more=""):
    return f"""
service "main" {{
    listen  = {{"{address}"}}
    builtin = "{builtin}"
    workers = {count}
    {more}
}}
"""


def told(address):
    """What a client reads to the end, or is sent."""
    text = exchange(address, b"")
    assert text.endswith(b"\r\n"), text
    return text


def crowd(address, count):
    """So many clients, several at a time."""
    with ThreadPoolExecutor(MANY) as clients:
        return list(clients.map(told, [address] * count))


def serving(d):
    """The workers that have had clients."""
    return [w["pid"] for w in workers(d) if w["connections"]["accepted"]]


@pytest.fixture(params=["tcp://127.0.0.1:0", "udp://127.0.0.1:0"])
def address(request):
    return request.param


def test_as_few_as_cpus_serve_them_all(daemon, address):
    d = daemon(config(address=address))
    crowd(d.address(), 200)
    wait_counts(d, accepted=200, finished=200)
    assert 1 <= len(serving(d)) <= TURNS


def test_who_is_killed_gives_its_turn_away(daemon, address):
    d = daemon(config(address=address))
    for _ in range(2 * MANY):
        told(d.address())
        victim = wait_until("its worker", lambda: serving(d))[0]
        os.kill(victim, signal.SIGKILL)
        wait_gone([victim])


def test_one_that_is_stopped_is_no_loss(daemon, address):
    d = daemon(config(address=address))
    crowd(d.address(), 50)
    stopped = serving(d)[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        wait_until("stopped", lambda: stat_fields(stopped)[0] == "T")
        crowd(d.address(), 50)
    finally:
        os.kill(stopped, signal.SIGCONT)


def test_clients_that_stay_take_no_turn(daemon):
    """Each worker looks after 16 that were answered and do not close; then it is another's turn."""
    d = daemon(config())
    with contextlib.ExitStack() as held:
        for _ in range(16 * MANY):
            s = held.enter_context(connect(d.address()))
            while s.recv(100):
                pass
        assert len(serving(d)) > TURNS
        assert told(d.address())


def test_who_is_answered_is_let_go(daemon):
    """At once when it has closed, though no other client comes; after 2 s when it has not."""
    d = daemon(config(count=1))
    worker, = worker_pids(d)
    before = descriptors(worker)
    told(d.address())
    wait_until("closed", lambda: descriptors(worker) == before, 1)
    with connect(d.address()) as s:
        while s.recv(100):
            pass
        assert descriptors(worker) != before
        wait_until("closed", lambda: descriptors(worker) == before)


@pytest.mark.parametrize("more", ["", 'allow = {"127.0.0.0/8"}'])
@pytest.mark.parametrize("limit", [16, 20])
def test_few_descriptors_are_enough(daemon, more, limit):
    """Clients that have gone are let go, whether it waits in accept() or before it."""
    d = daemon(config(count=1, more=f"{more}\n    limit_nofile = {limit}"))
    for _ in range(5 * limit):
        told(d.address())
    assert d.stop(10) == 0


def test_what_a_client_says_late_does_it_no_harm(daemon):
    d = daemon(config(count=2))
    for _ in range(30):
        with connect(d.address()) as s:
            while s.recv(100):
                pass
            s.sendall(b"thank you")
            s.shutdown(socket.SHUT_WR)
            assert s.recv(1) == b""
            assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_recycled_workers_hand_over(daemon, address):
    d = daemon(config(address=address, more="recycle_after = 3"))
    crowd(d.address(), 100)
    assert pool(d)["workers_died"] == 0


def test_nobody_is_lost_while_generations_change(daemon, address):
    """Old and new workers have the same turns, those of another binary have others."""
    d = daemon(config(address=address))
    over = threading.Event()

    def come():
        count = 0
        while not over.is_set():
            told(d.address())
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool_of_clients:
        clients = [pool_of_clients.submit(come) for _ in range(4)]
        try:
            for n in range(1, 4):
                rewrite(d, config(address=address, more=f'idle_timeout = "{n}m"'))
                d.ctl("recycle")
                d.ctl("upgrade")
        finally:
            over.set()
        assert all(client.result() for client in clients)
    assert d.stop() == 0


def test_a_stop_reaches_those_who_wait_for_their_turn(daemon, address):
    d = daemon(config(address=address, count=64))
    told(d.address())
    assert d.stop(10) == 0


@pytest.mark.parametrize("first, then", [("daytime", "echo"), ("echo", "daytime"),
                                         ("daytime", "daytime")])
def test_the_next_generation_waits_as_it_wants(daemon, tmp_path, first, then):
    """Whether the socket blocks is the same for all who have it."""
    address = f"unix://{tmp_path}/s"
    d = daemon(config(first, address=address))
    other = {"daytime": b"", "echo": b"hello"}
    assert exchange(address, other[first])
    rewrite(d, config(then, count=MANY + 1, address=address))
    for _ in range(3 * MANY):
        assert exchange(address, other[then])
    wait_until("the old ones have gone", lambda: len(worker_pids(d)) == MANY + 1)
    for _ in range(3 * MANY):
        assert exchange(address, other[then])


def test_with_rules_nobody_waits_for_a_slow_header(daemon):
    """What a client is asked for may take long: then all wait for clients, not as few as CPUs."""
    d = daemon(config(more='proxy_protocol = "require"\n    proxy_from = {"127.0.0.0/8"}'))
    with contextlib.ExitStack() as held:
        for _ in range(MANY - 1):
            held.enter_context(connect(d.address()))
        with connect(d.address()) as s:
            s.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
            assert s.recv(100).endswith(b"GMT\r\n")
