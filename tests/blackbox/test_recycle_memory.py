# SPDX-License-Identifier: ISC
"""recycle_memory: a worker that has come to hold more memory leaves, between two clients."""

import re

import pytest
from daemon import connect, exchange, wait_until
from pools import TCP, busy, crowd, pool, size, still_served, wait_size
from support import Clients, at_rest, hold, pids, service


def hoard(programs, **keys):
    """Each client makes its worker a MiB bigger."""
    return service("a", TCP, module=programs.modules / "hoard.so", **keys)


def ask_pid(d):
    return int(exchange(d.address(), b"pid"))


def test_a_worker_that_grows_leaves(daemon, programs):
    d = daemon(hoard(programs, workers=1, recycle_memory="20M"))
    first = ask_pid(d)
    served = 1
    while ask_pid(d) == first:
        served += 1
        assert served < 500
    # Looked at only now and then, and never in the middle of a client.
    assert served >= 20
    said = d.wait_log(r"leaves after (\d+) clients: (\d+) kB of private memory are more than")
    assert int(said[1]) == served and int(said[2]) > 18 * 1024
    totals = at_rest(d)
    assert totals["accepted"] == totals["finished"] == served + 1
    assert d.status()["pools"][0]["workers_died"] == 0


def test_nobody_leaves_below(daemon, programs):
    d = daemon(hoard(programs, workers=1, recycle_memory="400M"))
    assert len({ask_pid(d) for _ in range(200)}) == 1


def test_an_echo_never_does(daemon):
    d = daemon(service("a", TCP, workers=2, recycle_memory="1M"))
    before = pids(d)
    with Clients(d.address(), 4) as clients:
        clients.more(400)
    assert pids(d) == before


@pytest.mark.parametrize("keys", [{"chroot": "DIR"}, {"user": "nobody"}, {"sandbox": "off"},
                                  {"sandbox": "strict"}])
def test_whatever_becomes_of_the_worker(daemon, programs, is_root, tmp_path, keys):
    """What tells of its memory was opened before."""
    keys = {key: value.replace("DIR", str(tmp_path)) for key, value in keys.items()}
    tmp_path.chmod(0o755)
    d = daemon(hoard(programs, workers=1, recycle_memory="10M", **keys))
    first = ask_pid(d)
    wait_until("another worker", lambda: ask_pid(d) != first)
    assert "leaves after" in d.log()


def test_no_client_is_lost_and_not_all_leave_at_once(daemon, programs):
    d = daemon(hoard(programs, workers=8, recycle_memory="40M"))
    with Clients(d.address(), 4) as clients:
        clients.more(900)
        assert size(d) >= 6
    totals = at_rest(d)
    assert totals["accepted"] == totals["finished"] == clients.total()
    assert len(re.findall(r"leaves after \d+ clients", d.log())) >= 8


def test_a_grown_pool_keeps_what_the_load_needs(daemon, programs):
    d = daemon(service("a", TCP, workers=1, workers_max=20, spare=2, recycle_after=3))
    with crowd(d.address(), 10) as clients:
        wait_size(d, 12)
        for _ in range(30):
            assert exchange(d.address(), b"x") == b"x"
        assert busy(d) == 10
        # With each of those it may have had eleven clients.
        wait_until("what the load needs", lambda: size(d) in (12, 13))
        assert pool(d, "a")["workers_started"] >= 20
        still_served(clients)
