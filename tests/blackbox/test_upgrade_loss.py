# SPDX-License-Identifier: ISC
"""Upgrades in a row, under load: nobody is lost, and the ledger says so.

LOSS_UPGRADES is how many there are; clients come as long as it takes."""

import os

import pytest
from daemon import wait_until
from loss import Chaos, Clients, terminate_some_worker
from manager import manage  # noqa: F401 (a fixture)
from support import Clients as Echo
from support import at_rest, service
from upgrading import identity, install, kinds, own_programs, upgrade, wait_alone

UPGRADES = int(os.environ.get("LOSS_UPGRADES", "20"))
ENOUGH = 10 ** 7


def addresses(kind, tmp_path):
    return {"tcp": ["tcp://127.0.0.1:0"],
            "unix": [f"unix://{tmp_path}/s", f"unix://@preforkd-upgrade-loss-{os.getpid()}"],
            "udp": ["udp://127.0.0.1:0"]}[kind]


def upgrade_all(d, programs, count=UPGRADES):
    was = identity(d)
    for number in range(count):
        install(programs.other if number % 5 == 4 and d.mixed else programs.built,
                programs.preforkd)
        text = upgrade(d)
        assert f"generation {number + 2}: " in text, text
    assert identity(d)[:2] == was[:2]
    return was


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_no_client_is_lost(daemon, programs, tmp_path, kind):
    """With TERM to workers at any moment beside it."""
    d = daemon(service("echo", *addresses(kind, tmp_path), workers=4))
    d.mixed = False
    first = len(d.addresses("echo"))
    clients = Clients(d.addresses("echo"), ENOUGH, processes=4)
    chaos = Chaos()
    chaos.every("terminate", 0.01, terminate_some_worker(d))
    try:
        was = upgrade_all(d, programs)
    finally:
        chaos.stop()
        clients.stop.set()
        outcomes = clients.wait()
    assert set(outcomes) == {"ok"}, (outcomes, d.log()[-3000:])
    assert outcomes["ok"] > 10 * UPGRADES
    assert chaos.counts["terminate"] > UPGRADES
    assert identity(d) == was
    totals = at_rest(d)
    assert totals["accepted"] == totals["finished"] == outcomes["ok"], totals
    wait_alone(d, 4 * first)
    assert d.stop() == 0


def test_no_datagram_is_lost(daemon, programs, tmp_path):
    """On loopback none is, if nobody who read it forgets to answer."""
    d = daemon(service("echo", *addresses("udp", tmp_path), workers=3))
    d.mixed = False
    with Echo(d.address(), 3) as clients:
        upgrade_all(d, programs)
    totals = at_rest(d)
    assert totals["accepted"] == totals["finished"] == clients.total(), totals


def test_no_client_is_lost_between_layouts(daemon, programs, tmp_path):
    """Every fifth program has another board: what the totals were is gone, but no client."""
    d = daemon(service("echo", *addresses("tcp", tmp_path), workers=4))
    d.mixed = True
    clients = Clients(d.addresses("echo"), ENOUGH, processes=4)
    try:
        upgrade_all(d, programs)
    finally:
        clients.stop.set()
        outcomes = clients.wait()
    assert set(outcomes) == {"ok"}, (outcomes, d.log()[-3000:])
    wait_alone(d, 4)
    assert d.stop() == 0


def test_totals_never_go_down(daemon, programs):
    d = daemon(service("echo", "tcp://127.0.0.1:0", workers=3))
    last = dict.fromkeys(("accepted", "finished"), 0)
    with Echo(d.address(), 2) as clients:
        for goal in range(2, 2 + UPGRADES // 2):
            d.ctl("upgrade", "--no-wait")
            while d.status()["generation"] < goal and not clients.failures:
                now = d.status()["connections"]
                for name, number in last.items():
                    assert now[name] >= number, (name, now, last)
                last = {name: now[name] for name in last}
            d.wait_log(rf"upgrade: version \S+, generation {goal}: ")
        clients.more()
    assert at_rest(d)["finished"] == clients.total()


def test_the_store_after_many(manage, programs, tmp_path):
    d = manage(service("echo", "tcp://127.0.0.1:0", f"unix://{tmp_path}/s", workers=1))
    d.mixed = False
    wait_until("store", lambda: len(d.stored()) == 2)
    stored, before = d.stored(), kinds(d.pid)
    upgrade_all(d, programs, 10)
    assert d.stored() == stored
    assert not [told for told in d.told if told[0] in ("twice", "remove")]
    wait_alone(d, 2)
    wait_until("as many descriptors", lambda: kinds(d.pid) == before)
