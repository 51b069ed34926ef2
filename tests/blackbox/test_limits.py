# SPDX-License-Identifier: ISC
"""How many at once, and how fast: per_source, rate_per_source and rate. Over its own limit a source
is refused, over the service's its clients wait; nobody is switched off, and what a dead worker held
refuses nobody."""

import contextlib
import os
import random
import signal
import socket
import threading
import time

import netns
import pytest
from daemon import connect, wait_until
from execs import daemon_of_programs, public  # noqa: F401
from limits import STREAMS, as_user, bound, come, is_refused, limited, plain, served
from look import (at_rest_counts, busy_workers, cpu_seconds, stat_fields, wait_counts,
                  worker_pids)
from prestarts import switches
from support import answer, descriptors, finish, rewrite, say

TCP = "tcp://127.0.0.1:0"
ADDRESSES = [TCP, "tcp://*:0"]


@pytest.fixture(name="start")
def start_limited(daemon, tmp_path, programs):
    def go(kind="builtin", address=TCP, workers=4, instance="main", **keys):
        return daemon(limited(programs, tmp_path, kind, address.replace("DIR", str(tmp_path)),
                              workers=workers, workers_max=workers, **keys), name=instance)
    return go


def hold(d, host="127.0.0.1", **how):
    """A client that is being served."""
    s = come(d, host, **how)
    say(s, b"held\n")
    return s


def held_is_over(d, count):
    wait_until(f"{count} that are served", lambda: len(busy_workers(d)) == count)


# ---- per_source

@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("address", ADDRESSES)
def test_per_source(start, kind, address):
    d = start(kind, address, per_source=2, busy_message="too many\n")
    first, second = hold(d, "127.0.0.2"), hold(d, "127.0.0.2")
    for _ in range(3):
        assert is_refused(d, "127.0.0.2") == b"too many\n"
    assert served(d, "127.0.0.3")
    finish(first)
    first.close()
    held_is_over(d, 1)
    third = hold(d, "127.0.0.2")
    assert is_refused(d, "127.0.0.2") == b"too many\n"
    finish(second)
    finish(third)
    wait_counts(d, accepted=8, finished=4, refused_per_source=4)


@pytest.mark.parametrize("kind", STREAMS)
def test_per_source_of_users(daemon, public, programs, is_root, kind):  # noqa: F811
    d = daemon(limited(programs, public, kind, f"unix://{public}/s", workers=4, socket_mode="0777",
                       per_source=1))
    with hold(d, user=(1, 1)) as one:
        assert is_refused(d, user=(1, 2)) == b""
        assert served(d, user=(2, 1))
        finish(one)
    held_is_over(d, 0)
    assert served(d, user=(1, 1))


def test_per_source_of_networks(daemon, programs, tmp_path):
    """An IPv6 source is its /64."""
    hosts = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "2001:db8:1::1"]
    setup = "".join(f"ip address add {host}/128 dev lo nodad\n" for host in hosts)
    d = daemon(limited(programs, tmp_path, "builtin", "tcp://*:0", workers=4, per_source=1),
               wrapper=netns.wrapper(setup))
    one = netns.inside(d.pid, hold, d, hosts[0])
    assert netns.inside(d.pid, is_refused, d, hosts[0]) == b""
    assert netns.inside(d.pid, is_refused, d, hosts[1]) == b""
    assert netns.inside(d.pid, served, d, hosts[2])
    assert netns.inside(d.pid, served, d, hosts[3])
    finish(one)


def test_per_source_counts_for_the_service(daemon, tmp_path, programs):
    """At whichever of its addresses; of another service it is another count."""
    other = limited(programs, tmp_path, "builtin", TCP, name="other", workers=2, per_source=1)
    text = limited(programs, tmp_path, "builtin", 'tcp://127.0.0.1:0", "tcp://127.0.0.5:0',
                   workers=2, per_source=1)
    d = daemon(text + other)
    with connect(d.address("main", 0)) as one:
        say(one, b"x")
        with connect(d.address("main", 1)) as two:
            assert two.recv(9) == b""
        with connect(d.address("other")) as three:
            say(three, b"x")


@pytest.mark.parametrize("kind", STREAMS)
def test_one_after_the_other_is_never_refused(daemon, programs, tmp_path, kind):
    """A client that has seen the end of one connection may come again at once."""
    text = limited(programs, tmp_path, kind, TCP, workers=4, per_source=1)
    d = daemon(text)
    for i in range(300):
        with connect(d.address()) as s:
            s.sendall(b"%d" % i)
            s.shutdown(socket.SHUT_WR)
            assert answer(s) == b"%d" % i, i
    wait_counts(d, accepted=300, finished=300)


def test_never_more_than_the_limit(start):
    """Ten sources, each with more clients than it may have."""
    d = start(workers=16, per_source=2)
    lock, over = threading.Lock(), threading.Event()
    inside, most, served_count, failures = {}, {}, {}, []

    def client(host):
        try:
            while not over.is_set():
                with come(d, host) as s:
                    s.sendall(b"x")
                    if s.recv(9) != b"x":
                        continue
                    with lock:
                        inside[host] = inside.get(host, 0) + 1
                        most[host] = max(most.get(host, 0), inside[host])
                        served_count[host] = served_count.get(host, 0) + 1
                    time.sleep(random.random() / 100)
                    with lock:
                        inside[host] -= 1
        except Exception as failure:  # pylint: disable=broad-except
            failures.append(failure)

    hosts = [f"127.0.0.{i}" for i in range(11, 21)]
    threads = [threading.Thread(target=client, args=(host,)) for host in hosts for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_until("clients of all", lambda: failures or len(served_count) == 10
                   and min(served_count.values()) >= 20)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures and max(most.values()) <= 2, (failures, most)
    found = at_rest_counts(d)
    assert found["accepted"] == found["finished"] + found.get("refused_per_source", 0)
    assert found["refused_per_source"] > 0


@pytest.mark.parametrize("kind", STREAMS)
def test_the_dead_hold_nothing(start, kind):
    """Workers are killed with clients; all places are free again, and no more than those."""
    d = start(kind, workers=4, per_source=2)
    for _ in range(6):
        clients = [hold(d, "127.0.0.2") for _ in range(2)]
        before = busy_workers(d)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        if random.random() < 0.5:
            os.kill(before[1], signal.SIGKILL)
        for s in clients:
            s.close()
        wait_until("4 workers", lambda: len(worker_pids(d)) == 4 and not busy_workers(d))
    clients = [hold(d, "127.0.0.2") for _ in range(2)]
    assert is_refused(d, "127.0.0.2") == b""
    for s in clients:
        finish(s)
    found = at_rest_counts(d)
    endings = sum(n for name, n in found.items()
                  if name != "accepted" and not name.startswith("program"))
    assert found["accepted"] == endings


@pytest.mark.parametrize("kind", STREAMS)
def test_a_reload_forgives_nothing(daemon, programs, tmp_path, kind):
    def text(umask):
        return limited(programs, tmp_path, kind, TCP, workers=2, workers_max=4, umask=umask,
                       per_source=2, rate_per_source="4/h")
    d = daemon(text("022"))
    one, two = hold(d, "127.0.0.2"), hold(d, "127.0.0.2")
    rewrite(d, text("027"))
    assert is_refused(d, "127.0.0.2") == b""
    finish(one)
    finish(two)
    one.close()
    two.close()
    wait_until("the end of the old", lambda: len(d.status()["pools"]) == 1
               and not busy_workers(d) and at_rest_counts(d)["finished"] == 2)
    assert served(d, "127.0.0.2") and served(d, "127.0.0.2")
    assert is_refused(d, "127.0.0.2") == b""
    assert served(d, "127.0.0.3")
    wait_counts(d, accepted=7, finished=5, refused_per_source=1, refused_rate=1)


def test_datagrams_per_source(daemon, programs, tmp_path, start):
    """A second datagram while the first is being answered."""
    program = tmp_path / "slow"
    program.write_text("#!/bin/sh\nread x\ntest -e %s/go || sleep 100\necho fine\n" % tmp_path)
    program.chmod(0o755)
    text = limited(programs, tmp_path, "exec", "udp://127.0.0.1:0", workers=3, per_source=1,
                   stop_timeout="500ms")
    d = daemon(text.replace("/bin/cat", str(program)))
    with bound("127.0.0.2", socket.SOCK_DGRAM) as s, bound("127.0.0.3", socket.SOCK_DGRAM) as t:
        s.sendto(b"1\n", ("127.0.0.1", d.port()))
        held_is_over(d, 1)
        (tmp_path / "go").touch()
        s.sendto(b"2\n", ("127.0.0.1", d.port()))
        t.sendto(b"3\n", ("127.0.0.1", d.port()))
        assert t.recv(99) == b"fine\n"
        wait_until("a refusal", lambda: at_rest_counts(d, False).get("refused_per_source") == 1)
        s.setblocking(False)
        with pytest.raises(BlockingIOError):
            s.recv(9)


# ---- rate_per_source

@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("address", ADDRESSES)
def test_rate_per_source(start, kind, address):
    d = start(kind, address, rate_per_source="3/h", busy_message="too fast\n")
    for _ in range(3):
        assert served(d, "127.0.0.2")
    for _ in range(3):
        assert is_refused(d, "127.0.0.2") == b"too fast\n"
    assert served(d, "127.0.0.3")
    wait_counts(d, accepted=7, finished=4, refused_rate=3)


@pytest.mark.parametrize("kind", ["builtin", "module", "exec"])
@pytest.mark.parametrize("address", ["udp://127.0.0.1:0", "udp://*:0", "udp6://[::1]:0"])
def test_rate_per_source_of_datagrams(start, kind, address):
    d = start(kind, address, workers=1, rate_per_source="3/h", busy_message="no answer")
    host = "::1" if "6" in address else "127.0.0.2"
    with bound(host, socket.SOCK_DGRAM) as s:
        for i in range(5):
            s.sendto(b"%d" % i, ("::1" if ":" in host else "127.0.0.1", d.port()))
        assert [s.recv(9) for _ in range(3)] == [b"0", b"1", b"2"]
        wait_counts(d, accepted=5, finished=3, refused_rate=2)
        s.setblocking(False)
        with pytest.raises(BlockingIOError):
            s.recv(9)


def run_clients(d, hosts, seconds, per_host=1):
    """Clients one after the other from each; how many were served, how many not, and how long from
    before the first to after the last."""
    counts, lock = {host: [0, 0] for host in hosts}, threading.Lock()
    failures = []
    begun = time.monotonic()

    def run(host):
        try:
            while time.monotonic() < begun + seconds:
                fine = served(d, host)
                with lock:
                    counts[host][0 if fine else 1] += 1
        except Exception as failure:  # pylint: disable=broad-except
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(host,)) for host in hosts
               for _ in range(per_host)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    return counts, time.monotonic() - begun


def test_rate_per_source_is_exact(start):
    """A full bucket, and what flows into it."""
    d = start(rate_per_source="20/s")
    counts, seconds = run_clients(d, ["127.0.0.2", "127.0.0.3"], 2.5)
    for fine, refused in counts.values():
        assert 20 + 20 * seconds * 0.9 - 1 <= fine <= 20 + 20 * seconds + 1
        assert refused > 0


# ---- rate

@pytest.mark.parametrize("kind", STREAMS)
def test_rate_is_exact(start, kind):
    """Nobody is refused, and there are not more than may be."""
    d = start(kind, workers=6, rate="40/s", stop_timeout="1s")
    counts, seconds = run_clients(d, ["127.0.0.2", "127.0.0.3"], 2.2, 4)
    fine = sum(n for n, _ in counts.values())
    assert not any(refused for _, refused in counts.values())
    assert 40 + 40 * (seconds - 0.3) * 0.9 <= fine <= 40 + 40 * seconds + 1
    wait_counts(d, accepted=fine, finished=fine)


@pytest.mark.parametrize("kind", ["builtin", "module", "exec"])
def test_rate_of_datagrams(start, kind):
    d = start(kind, "udp://127.0.0.1:0", workers=2, rate="20/s", stop_timeout="1s")
    begun = time.monotonic()
    with bound("127.0.0.2", socket.SOCK_DGRAM) as s:
        for i in range(60):
            s.sendto(b"%d" % i, ("127.0.0.1", d.port()))
        for _ in range(60):
            assert s.recv(9)
    assert 1.9 < time.monotonic() - begun < 4
    wait_counts(d, accepted=60, finished=60)


@pytest.mark.parametrize("kind", STREAMS)
def test_clients_wait_without_a_spin(start, kind):
    """Eight workers, twenty clients that wait: nobody runs, and nobody is refused."""
    d = start(kind, workers=8, rate="2/h", stop_timeout="500ms")
    assert served(d) and served(d)
    waiting = [connect(d.address()) for _ in range(20)]
    pids = worker_pids(d)
    time.sleep(0.3)
    before = sum(map(switches, pids)), sum(map(cpu_seconds, pids))
    time.sleep(1)
    assert sum(map(switches, pids)) - before[0] <= 20 * len(pids)
    assert sum(map(cpu_seconds, pids)) - before[1] <= 0.05
    assert not any(name.startswith("refused") for name in at_rest_counts(d, False))
    begun = time.monotonic()
    assert d.stop(10) == 0
    assert time.monotonic() - begun < 5
    for s in waiting:
        s.close()


@pytest.mark.parametrize("kind", STREAMS)
def test_clients_wait_in_the_queue(start, kind):
    """A burst of more than there are tokens: workers do not take clients that they may not serve yet,
    but for one or two who come to it at the same moment."""
    d = start(kind, workers=8, rate="3/h", stop_timeout="500ms")
    waiting = [connect(d.address()) for _ in range(12)]
    for s in waiting:
        s.sendall(b"x")
        s.shutdown(socket.SHUT_WR)
    for s in waiting[:3]:
        assert answer(s) == b"x"
    waiting[3].settimeout(0.5)
    with pytest.raises(TimeoutError):
        waiting[3].recv(9)
    found = at_rest_counts(d, False)
    assert found["finished"] == 3 and found["accepted"] <= 5
    d.stop(10)
    for s in waiting:
        s.close()


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s"])
def test_a_worker_that_is_stopped_keeps_no_token(start, address):
    """The one whose turn it is does not run: another one takes its place."""
    d = start("builtin", address, workers=3, rate="2/h", stop_timeout="500ms")
    stopped = worker_pids(d)[:2]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        # Else one could take a client with it.
        wait_until("a stop", lambda: all(stat_fields(pid)[0] == "T" for pid in stopped))
        assert served(d) and served(d)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("kind", STREAMS)
def test_who_waits_leaves_at_once(daemon, programs, tmp_path, kind):
    """Workers that wait for a token are replaced like any others; who they serve for is not lost."""
    def text(umask, **rate):
        return limited(programs, tmp_path, kind, TCP, workers=4, workers_max=4, umask=umask, **rate)
    d = daemon(text("022", rate="1/h"))
    old = worker_pids(d)
    assert served(d)
    # One that a worker has taken and owes, others in the queue.
    waiting = [connect(d.address()) for _ in range(8)]
    for s in waiting:
        s.sendall(b"waits\n")
        s.shutdown(socket.SHUT_WR)
    rewrite(d, text("027"))
    for s in waiting:
        assert answer(s) == b"waits\n"
    wait_until("the end of the old", lambda: not set(worker_pids(d)) & set(old), 10)
    wait_counts(d, accepted=9, finished=9)


def test_a_faster_rate_takes_effect_at_once(daemon, programs, tmp_path):
    def text(rate):
        return limited(programs, tmp_path, "builtin", TCP, workers=2, workers_max=2, rate=rate)
    d = daemon(text("1/h"))
    assert served(d)
    rewrite(d, text("100/s"))
    begun = time.monotonic()
    for _ in range(50):
        assert served(d)
    assert time.monotonic() - begun < 3


def test_killed_workers_take_no_tokens_along(start):
    """Those that wait for their turn are killed again and again: the rate stays what it is."""
    d = start(workers=4, rate="50/s", stop_timeout="1s")
    over, failures, fine = threading.Event(), [], []

    def run():
        while not over.is_set():
            try:
                fine.append(served(d))
            except OSError:
                failures.append(1)  # its worker was killed

    threads = [threading.Thread(target=run) for _ in range(6)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    while time.monotonic() < begun + 2.5:
        found = worker_pids(d)
        if found:
            os.kill(random.choice(found), signal.SIGKILL)
        time.sleep(0.1)
    over.set()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    count = sum(fine)
    assert count <= 50 + 50 * seconds + 1
    assert count + len(failures) + fine.count(False) >= 50 + 50 * seconds * 0.6


# ---- upgrades

@pytest.mark.parametrize("changed", [False, True])
def test_an_upgrade_forgets_no_source(start, changed):
    """Who has connections has them still, and who came too often did."""
    d = start(workers=6, per_source=2, rate_per_source="3/h")
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(come(d, "127.0.0.2")) for _ in range(2)]
        for s in held:
            say(s, b"held")
        for _ in range(3):
            assert served(d, "127.0.0.3")
        if changed:
            text = d.config_file.read_text()
            d.write_config(text.replace("listen", "idle_timeout = \"59s\"\n\tlisten"))
        for _ in range(2):
            d.ctl("upgrade")
            is_refused(d, "127.0.0.2")
            is_refused(d, "127.0.0.3")
        assert served(d, "127.0.0.4")
        finish(held.pop())
        wait_until("its end", lambda: d.status()["connections"]["open"] == 1)
        assert served(d, "127.0.0.2")
        is_refused(d, "127.0.0.2")  # the third within the hour was the last
        finish(held.pop())
    # Nothing piles up.
    held = [fd for fd in descriptors(d.pid) if "preforkd-sources" in fd]
    assert len(held) == 1


def test_an_upgrade_fills_no_bucket(start):
    d = start(workers=2, rate="4/h", stop_timeout="300ms")
    for _ in range(4):
        assert served(d)
    d.ctl("upgrade")
    with contextlib.closing(come(d, "127.0.0.2")) as late:
        late.sendall(b"late")
        late.settimeout(1)
        with pytest.raises(TimeoutError):
            late.recv(9)


# ---- all together

def test_all_of_them(start):
    """The ledger adds up."""
    d = start(workers=8, per_source=1, rate_per_source="20/s", rate="100/s", stop_timeout="1s",
              deny=["127.0.0.9"], queue_timeout="5s")
    counts, _ = run_clients(d, ["127.0.0.2", "127.0.0.3", "127.0.0.9"], 1.5, 3)
    found = at_rest_counts(d)
    assert found["finished"] == sum(n for n, _ in counts.values())
    assert found["refused_access"] == counts["127.0.0.9"][1] > 0
    refused = sum(found.get(f"refused_{why}", 0) for why in ("access", "rate", "per_source"))
    assert refused == sum(n for _, n in counts.values())
    assert found["accepted"] == found["finished"] + refused


def test_a_unix_client_has_one_source(daemon, public, programs, is_root):  # noqa: F811
    d = daemon(limited(programs, public, "builtin", f"unix://{public}/s", workers=2,
                       socket_mode="0777", rate_per_source="2/h"))
    for user, fine in (((1, 1), True), ((1, 5), True), ((1, 1), False), ((2, 1), True)):
        s = as_user(user, plain, d.address())
        s.sendall(b"x")
        s.shutdown(socket.SHUT_WR)
        assert answer(s) == (b"x" if fine else b"")
