# SPDX-License-Identifier: ISC
"""Which worker is woken for a client: the one that served last, and never none."""

import os
import signal
import socket

import pytest
from daemon import connect, exchange, wait_until
from look import pool, worker_pids
from support import workers

MANY = 16


def config(builtin="echo", address="tcp://127.0.0.1:0", count=MANY):
    return f"""
service "main" {{
    listen  = {{"{address}"}}
    builtin = "{builtin}"
    workers = {count}
}}
"""


def served(d):
    """How many each worker has had, the most first."""
    return sorted((w["connections"]["accepted"] for w in workers(d)), reverse=True)


@pytest.mark.parametrize("builtin", ["echo", "daytime"])
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "unix://{}/s"])
def test_one_after_the_other_have_the_same_worker(daemon, tmp_path, builtin, address):
    """The others' caches are cold; strictly in turn each would have had two."""
    d = daemon(config(builtin, address.format(tmp_path)))
    for n in range(1, 2 * MANY + 1):
        assert exchange(d.address(), b"" if builtin == "daytime" else b"hello")
        wait_until("all idle", lambda n=n: pool(d)["connections"]["finished"] == n)
    # It may have been on its way back to the wait when the next one came.
    assert sum(served(d)[:3]) == 2 * MANY


@pytest.mark.parametrize("count", [2, MANY])
def test_all_at_once_have_a_worker_each(daemon, tmp_path, count):
    """However many come between two looks of the kernel: nobody waits while a worker idles."""
    d = daemon(config(address=f"unix://{tmp_path}/s", count=count))
    for _ in range(20):
        clients = [socket.socket(socket.AF_UNIX) for _ in range(count)]
        for s in clients:
            s.connect(f"{tmp_path}/s")
        # The last one first: its worker cannot have been one that had another before.
        for s in reversed(clients):
            s.sendall(b"here")
            s.settimeout(10)
            assert s.recv(9) == b"here"
        for s in clients:
            s.close()
    assert len(served(d)) == count


def test_who_is_told_to_leave_wakes_another(daemon, tmp_path):
    """It may have been the one that was woken for the client."""
    d = daemon(config(address=f"unix://{tmp_path}/s", count=2))
    for _ in range(50):
        before = set(worker_pids(d))
        with connect(d.address()) as s:
            os.kill(min(before), signal.SIGTERM)
            s.sendall(b"here")
            assert s.recv(9) == b"here"
        wait_until("another", lambda b=before: len(set(worker_pids(d)) - {min(b)}) == 2)
    assert pool(d)["workers_died"] == 0
