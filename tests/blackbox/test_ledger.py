# SPDX-License-Identifier: ISC
"""The ledger: what became of every client, by generation and for the last reload, upgrade and stop;
it adds up through kills, and is what the clients counted."""

import contextlib
import json
import os
import re
import signal
import socket
import threading

import pytest
from daemon import connect, exchange, wait_until
from loss import Chaos
from loss import Clients as Crowd
from loss import pick_worker
from support import (ENDINGS, Clients, adds_up, at_rest, end_ctl, finish, hold, pids, queue,
                     rewrite, service, start_ctl, wait_gone, workers)
from upgrading import install, own_programs, upgrade  # noqa: F401 pylint: disable=unused-import

TCP = "tcp://127.0.0.1:0"


def non_zero(ledger):
    """What a ledger says beside 0."""
    found = {k: v for k, v in ledger["connections"].items() if v and k in ("accepted", "open",
                                                                         *ENDINGS)}
    if ledger["queued_at_close"]:
        found["queued_at_close"] = ledger["queued_at_close"]
    return found


def replaced(d, kind):
    ledger = d.status()["replaced"][kind]
    return ledger and non_zero(ledger)


def generations(d):
    return {g["generation"]: non_zero(g) for g in d.status()["generations"]}


def wait_generations(d, wanted):
    """A client has its end before its worker counts it."""
    try:
        wait_until("generations", lambda: generations(d) == wanted)
    except AssertionError:
        assert generations(d) == wanted


def check(status):
    """Each ledger adds up, and the generations are all there is."""
    sums = dict.fromkeys(("accepted", "open", *ENDINGS), 0)
    for ledger in [*status["generations"], *filter(None, status["replaced"].values())]:
        assert adds_up(ledger["connections"]), ledger
    for ledger in status["generations"]:
        for key in sums:
            sums[key] += ledger["connections"][key]
    return sums


def check_at_rest(d):
    """The totals once nobody is connected; the generations say the same."""
    at_rest(d)
    status = d.status()
    sums = check(status)
    totals = status["connections"]
    assert adds_up(totals) and totals["open"] == 0
    assert sums == {key: totals[key] for key in sums}
    return totals


def kill_busy(d, count=1):
    busy = [w["pid"] for w in workers(d) if w["state"] == "busy"]
    assert len(busy) == count
    for pid in busy:
        os.kill(pid, signal.SIGKILL)
    wait_gone(busy)


# ---- generations


def test_generations(daemon):
    d = daemon(service("a", TCP, workers=2))
    for _ in range(3):
        exchange(d.address(), b"x")
    wait_generations(d, {1: {"accepted": 3, "finished": 3}})
    assert "generation 1:" not in d.ctl("status").stdout, "it says the same as the totals"
    before = hold(d.address())
    rewrite(d, service("a", TCP, workers=2, idle_timeout="59s"))
    exchange(d.address(), b"x")
    with hold(d.address()):
        wait_generations(d, {1: {"accepted": 4, "finished": 3, "open": 1},
                            2: {"accepted": 2, "finished": 1, "open": 1}})
        text = d.ctl("status").stdout
        assert "\ngeneration 1: 4 clients: 3 finished, 1 open\n" in text
        assert "\ngeneration 2: 2 clients: 1 finished, 1 open\n" in text
    finish(before)
    before.close()
    wait_until("the workers of before", lambda: len(d.workers()) == 2)
    wait_generations(d, {1: {"accepted": 4, "finished": 4},
                        2: {"accepted": 2, "finished": 2}})
    check_at_rest(d)


def test_a_pool_that_is_kept_keeps_its_generation(daemon):
    d = daemon(service("a", TCP, workers=1) + service("b", TCP, workers=1))
    rewrite(d, service("a", TCP, workers=1) + service("b", TCP, workers=2, idle_timeout="59s"))
    exchange(d.address("a"), b"x")
    exchange(d.address("b"), b"x")
    wait_generations(d, {1: {"accepted": 1, "finished": 1}, 2: {"accepted": 1, "finished": 1}})


def test_more_generations_than_are_kept(daemon):
    d = daemon(service("a", TCP, workers=1))
    for i in range(12):
        exchange(d.address(), b"x")
        rewrite(d, service("a", TCP, workers=1, idle_timeout=f"{50 - i}s"))
        wait_until("the worker of before", lambda: len(d.workers()) == 1)
    exchange(d.address(), b"x")
    at_rest(d)
    found = generations(d)
    assert list(found) == [0, *range(6, 14)]
    assert found[0] == {"accepted": 5, "finished": 5}
    assert all(found[g] == {"accepted": 1, "finished": 1} for g in range(6, 14))
    assert "generations before: 5 clients: 5 finished\n" in d.ctl("status").stdout
    check_at_rest(d)


# ---- the last reload


def test_a_reload(daemon):
    """The clients that its workers of before had then, and how they ended."""
    d = daemon(service("a", TCP, workers=3))
    exchange(d.address(), b"done before")
    at_rest(d)
    assert d.status()["replaced"] == {"reload": None, "upgrade": None, "stop": None}
    one, two = hold(d.address()), hold(d.address())
    d.write_config(service("a", TCP, workers=3, idle_timeout="59s"))
    out = d.ctl("reload").stdout
    assert re.fullmatch(r"preforkctl: generation 2: .*\n"
                        r"preforkctl: the workers of before had 2 clients: 2 open\n", out)
    exchange(d.address(), b"a client of the new workers")
    assert replaced(d, "reload") == {"accepted": 2, "open": 2}
    finish(one)
    one.close()
    wait_until("its end", lambda: replaced(d, "reload") == {"accepted": 2, "finished": 1,
                                                            "open": 1})
    [busy] = [w["pid"] for w in d.status()["workers"] if w["leaving"]]
    os.kill(busy, signal.SIGKILL)
    with two:
        with contextlib.suppress(ConnectionResetError):
            assert two.recv(1) == b""
    wait_until("its end", lambda: replaced(d, "reload") == {"accepted": 2, "finished": 1,
                                                            "aborted_death": 1})
    assert re.search(r"\nlast reload, \d+s ago: the workers of before had 2 clients: "
                     r"1 finished, 1 aborted death\n", d.ctl("status").stdout)
    status = d.status()["replaced"]["reload"]
    assert (status["number"], status["workers"]) == (1, 0)
    check_at_rest(d)


def test_a_reload_that_replaces_nobody(daemon):
    d = daemon(service("a", TCP, workers=1))
    with hold(d.address()):
        out = d.ctl("reload").stdout
        assert out.count("\n") == 1, out
        assert replaced(d, "reload") == {}
        told = json.loads(d.ctl("reload", "--json").stdout)
        assert told["replaced"]["number"] == 2
        assert told["replaced"]["connections"]["accepted"] == 0
        assert "last reload" not in d.ctl("status").stdout


def test_a_reload_that_fails(daemon):
    """Nobody is replaced: what is there is of the one before."""
    d = daemon(service("a", TCP, workers=1))
    with hold(d.address()):
        rewrite(d, service("a", TCP, workers=1, idle_timeout="59s"))
        d.write_config("nonsense")
        result = d.ctl("reload", "--json", check=False)
        assert result.returncode == 1
        assert "replaced" not in json.loads(result.stdout)
        assert replaced(d, "reload") == {"accepted": 1, "open": 1}
        assert d.status()["replaced"]["reload"]["number"] == 1


def test_who_waits_in_a_queue_that_is_dropped(daemon):
    """They are served by the workers that leave, and count there; who is cut off is told apart."""
    text = service("b", TCP, workers=1)
    d = daemon(service("a", TCP, workers=1, stop_timeout="400ms") + text)
    with hold(d.address("a")) as busy:
        waits = queue(d.address("a"), b"waits")
        rewrite(d, text)
        wait_until("the end of its time", lambda: (replaced(d, "reload") or {}).get(
            "queued_at_close"))
        with contextlib.suppress(ConnectionResetError):
            assert busy.recv(1) == b""
        with contextlib.suppress(ConnectionResetError):
            assert waits.recv(1) == b""
        waits.close()
    wait_until("the end", lambda: replaced(d, "reload") == {
        "accepted": 1, "aborted_death": 1, "queued_at_close": 1})
    assert generations(d)[1] == {"accepted": 1, "aborted_death": 1, "queued_at_close": 1}


def test_who_is_served_from_a_queue_that_is_dropped(daemon):
    text = service("b", TCP, workers=1)
    d = daemon(service("a", TCP, workers=1) + text)
    busy = hold(d.address("a"))
    waits = [queue(d.address("a"), b"%d" % i) for i in range(3)]
    rewrite(d, text)
    finish(busy)
    for i, s in enumerate(waits):
        assert s.recv(10) == b"%d" % i
        s.close()
    busy.close()
    wait_until("the end", lambda: replaced(d, "reload") == {"accepted": 4, "finished": 4})


# ---- the last upgrade


def test_an_upgrade(daemon, programs):
    d = daemon(service("a", TCP, workers=2))
    for _ in range(5):
        exchange(d.address(), b"x")
    at_rest(d)
    with hold(d.address()) as client:
        install(programs.built, programs.preforkd)
        out = upgrade(d)
        assert "\npreforkctl: the workers of before had 1 client: 1 open\n" in out
        exchange(d.address(), b"x")
        assert replaced(d, "upgrade") == {"accepted": 1, "open": 1}
        assert replaced(d, "reload") is None
        finish(client)
    wait_until("the end", lambda: replaced(d, "upgrade") == {"accepted": 1, "finished": 1})
    wait_generations(d, {1: {"accepted": 6, "finished": 6}, 2: {"accepted": 1, "finished": 1}})
    check_at_rest(d)


def test_a_reload_before_an_upgrade(daemon, programs):
    """Its clients go on counting for it while the master executes itself anew."""
    d = daemon('stop_timeout = "0"\n' + service("a", TCP, workers=1))
    with hold(d.address()) as first:
        rewrite(d, 'stop_timeout = "0"\n' + service("a", TCP, workers=1, idle_timeout="59s"))
        with hold(d.address()) as second:
            install(programs.built, programs.preforkd)
            upgrade(d)
            assert replaced(d, "reload") == {"accepted": 1, "open": 1}
            assert replaced(d, "upgrade") == {"accepted": 1, "open": 1}
            finish(second)
        finish(first)
    for kind in ("reload", "upgrade"):
        wait_until("the end", lambda k=kind: replaced(d, k) == {"accepted": 1, "finished": 1})
    check_at_rest(d)


# ---- a stop


def test_a_stop(daemon):
    d = daemon(service("a", TCP, workers=2, stop_timeout="500ms"))
    for _ in range(5):
        exchange(d.address(), b"x")
    at_rest(d)
    first, second = hold(d.address()), hold(d.address())
    order = start_ctl(d, "stop")
    d.wait_notification("STOPPING=1")
    wait_until("the ledger", lambda: replaced(d, "stop") == {"accepted": 2, "open": 2})
    assert re.search(r"\nstop, \d+s ago: the workers had 2 clients: 2 open\n",
                     d.ctl("status", check=False).stdout)
    finish(first)
    first.close()
    code, out, _ = end_ctl(order)
    second.close()
    assert code == 0
    assert ("preforkctl: 7 accepted, 6 finished, 0 refused, 0 timed out, 1 aborted, 0 open\n"
            "preforkctl: meanwhile its workers had 2 clients: 1 finished, 1 aborted death\n") in out


def test_a_stop_in_json(daemon):
    d = daemon(service("a", TCP, workers=1))
    with hold(d.address()) as client:
        order = start_ctl(d, "stop", "--json")
        d.wait_notification("STOPPING=1")
        finish(client)
    told = json.loads(end_ctl(order)[1])
    assert non_zero(told["replaced"]) == {"accepted": 1, "finished": 1}
    assert told["connections"]["accepted"] == 1


def test_a_quiet_stop(daemon):
    """Nothing to tell: one line and the totals."""
    d = daemon(service("a", TCP, workers=1))
    exchange(d.address(), b"x")
    at_rest(d)
    assert d.ctl("stop").stdout.count("\n") == 2


# ---- it adds up, whatever happens


def test_in_every_snapshot(daemon):
    """Under load, with reloads and kills: each slot, each generation, each ledger."""
    d = daemon(service("a", TCP, workers=4))
    chaos = Chaos()
    chaos.every("kill", 0.1, kill_some_worker(d))
    chaos.every("reload", 0.2, reload_otherwise(d))
    crowd = Crowd(d.addresses(), 4000, processes=2)
    looks = 0
    while any(p.is_alive() for p in crowd.processes) and (
            looks < 150 or min(chaos.counts["kill"], chaos.counts["reload"]) <= 3):
        status = d.status()
        for worker in status["workers"]:
            assert worker["torn"] or adds_up(worker["connections"]), worker
        check(status)
        looks += 1
    crowd.stop.set()
    crowd.wait()
    chaos.stop()
    assert looks > 20 and chaos.counts["kill"] > 3 and chaos.counts["reload"] > 3
    check_at_rest(d)


def kill_some_worker(d):
    def act(dice):
        pid = pick_worker(dice, d)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return act


def reload_otherwise(d):
    def act(dice):
        d.write_config(service("a", TCP, workers=dice.randrange(2, 6),
                               idle_timeout=f"{dice.randrange(10, 60)}s"))
        d.ctl("reload", check=False)
    return act


@pytest.mark.parametrize("also", ["", "reload", "recycle", "upgrade"])
def test_kills_under_load(daemon, programs, also):
    """Reconciled with what the clients counted: each kill may hide one, and cost one its reply.
    A kill may also hit a worker that a reload waits for, which is then refused."""
    d = daemon(service("a", TCP, workers=4))
    chaos = Chaos()
    chaos.every("kill", 0.05, kill_some_worker(d))
    if also == "reload":
        chaos.every(also, 0.1, reload_otherwise(d))
    elif also == "recycle":
        chaos.every(also, 0.2, lambda dice: d.ctl("recycle", check=False))
    elif also == "upgrade":
        install(programs.built, programs.preforkd)
        chaos.every(also, 0.5, lambda dice: upgrade(d, check=False))
    crowd = Crowd(d.addresses(), 100000, processes=3)
    wait_until("enough", lambda: chaos.counts["kill"] > 30 and
               (not also or chaos.counts[also] > 2))
    crowd.stop.set()
    outcomes = crowd.wait()
    chaos.stop()
    kills = chaos.counts["kill"]
    totals = check_at_rest(d)
    count = sum(outcomes.values())
    lost = count - outcomes["ok"]
    assert set(outcomes) <= {"ok", "reset", "short"}, outcomes
    assert lost <= kills
    assert count - kills <= totals["accepted"] <= count
    assert totals["finished"] <= outcomes["ok"] <= totals["finished"] + kills
    assert totals["aborted_death"] <= kills
    ended = totals["finished"] + totals["aborted_death"] + totals["aborted_error"]
    assert ended == totals["accepted"], totals


def test_a_stop_under_load(daemon):
    """All that it says at its end is what the clients got."""
    d = daemon(service("a", TCP, workers=3))
    crowd = Crowd(d.addresses(), 100000, processes=3)
    wait_until("some", lambda: d.status()["connections"]["finished"] > 200)
    told = json.loads(d.ctl("stop", "--json").stdout)
    crowd.stop.set()
    outcomes = crowd.wait()
    totals = told["connections"]
    assert adds_up(totals) and adds_up(told["replaced"]["connections"])
    assert totals["open"] == told["replaced"]["connections"]["open"] == 0
    assert totals["accepted"] == totals["finished"] == outcomes["ok"], (totals, outcomes)
    assert told["replaced"]["connections"]["accepted"] <= totals["accepted"]


def test_kills_in_the_middle_of_a_timeout(daemon):
    """A worker that is killed, by whomever, while its client is overdue: counted once."""
    d = daemon(service("a", TCP, workers=3, connection_timeout="100ms", idle_timeout="0"))
    stop = threading.Event()
    tried = []

    def silent():
        while not stop.is_set():
            with contextlib.suppress(OSError):
                with connect(d.address()) as s:
                    tried.append(1)
                    s.settimeout(10)
                    s.recv(1)

    threads = [threading.Thread(target=silent) for _ in range(3)]
    chaos = Chaos()
    for t in threads:
        t.start()
    chaos.every("kill", 0.15, kill_some_worker(d))
    wait_until("some", lambda: chaos.counts["kill"] > 40)
    chaos.stop()
    stop.set()
    for t in threads:
        t.join()
    totals = check_at_rest(d)
    assert len(tried) - chaos.counts["kill"] <= totals["accepted"] <= len(tried)
    assert totals["timed_out"] > 0 and totals["aborted_death"] > 0
    assert totals["timed_out"] + totals["aborted_death"] == totals["accepted"], totals


def test_a_loop_of_kills_and_clients(daemon):
    """The one that holds the client, each time: nothing is hidden then."""
    d = daemon(service("a", TCP, workers=2))
    for _ in range(10):
        with hold(d.address()) as s:
            kill_busy(d)
            with contextlib.suppress(ConnectionResetError):
                assert s.recv(1) == b""
        wait_until("two workers", lambda: len(pids(d)) == 2)
    totals = check_at_rest(d)
    assert (totals["accepted"], totals["aborted_death"]) == (10, 10)


def test_clients_that_reset(daemon):
    d = daemon(service("a", TCP, workers=2))
    for _ in range(20):
        s = hold(d.address())
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
    totals = check_at_rest(d)
    assert (totals["accepted"], totals["aborted_error"]) == (20, 20)


def test_many_services_at_once(daemon, tmp_path):
    """Streams and datagrams, built-ins and programs: one ledger."""
    d = daemon(service("a", TCP, workers=2) + service("u", "udp://127.0.0.1:0", workers=1) +
               service("x", f"unix://{tmp_path}/x", workers=1, exec=["/bin/cat"]))
    with contextlib.ExitStack() as stack:
        crowds = [stack.enter_context(Clients(d.address(name))) for name in ("a", "u", "x")]
        for crowd in crowds:
            crowd.more(30)
        d.ctl("recycle")
    totals = check_at_rest(d)
    assert totals["accepted"] == totals["finished"] == sum(c.total() for c in crowds)
