# SPDX-License-Identifier: ISC
"""What goes wrong in a worker: it is short of descriptors, its client vanishes, it dies, it is
replaced all the time, its master dies. Others are not harmed, and every connection is counted."""

import json
import os
import re
import resource
import signal
import socket
import struct
from collections import Counter
from pathlib import Path

import pytest

from daemon import connect, exchange, wait_until
from look import (busy_worker, counts, cpu_seconds, facts, pool, wait_counts, wait_gone,
                  worker_pids)

CONFIG = """
service "%s" {
    listen  = {"%s"}
    %s = "%s"
    workers = %d
    %s
}
"""


def builtin(name="main", handler="echo", address="tcp://127.0.0.1:0", workers=1, keys=""):
    return CONFIG % (name, address, "builtin", handler, workers, keys)


def module(programs, handler, name="main", address="tcp://127.0.0.1:0", workers=1, keys=""):
    path = programs.modules / f"{handler}.so"
    return CONFIG % (name, address, "module", path, workers, keys)


def held(address):
    """A client that its worker waits for."""
    s = connect(address)
    s.sendall(b"held")
    assert s.recv(9) == b"held"
    return s


def end(s):
    s.shutdown(socket.SHUT_WR)
    assert s.recv(9) == b""
    s.close()


def reset(s):
    """Closes with a reset."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def wait_workers(d, number, service=None, without=()):
    """Until so many take clients, and none of those."""
    def look():
        pids = worker_pids(d, service)
        return pids if len(pids) == number and not set(pids) & set(without) else None
    return wait_until(f"{number} workers", look)


# ---- clients that vanish

def test_a_client_that_leaves_before_accept(daemon):
    d = daemon(builtin())
    first = held(d.address())
    for data in (b"", b"some"):
        s = connect(d.address())
        s.sendall(data)
        reset(s)
    with connect(d.address()) as last:
        last.sendall(b"last")
        end(first)
        assert last.recv(9) == b"last"
        last.shutdown(socket.SHUT_WR)
        assert last.recv(9) == b""
    # The kernel hands a reset client out, or does not: it is never counted as served.
    wait_until("rest", lambda: pool(d)["busy"] == 0)
    found = counts(d)
    assert found["finished"] == 2
    assert found["accepted"] == 2 + found.get("aborted_error", 0)
    assert pool(d)["workers_died"] == 0 and pool(d)["connections"]["accept_errors"] == 0


def test_a_client_that_breaks_off(daemon):
    d = daemon(builtin())
    reset(held(d.address()))
    wait_counts(d, accepted=1, aborted_error=1)
    assert exchange(d.address(), b"next") == b"next"
    wait_counts(d, accepted=2, aborted_error=1, finished=1)
    assert pool(d)["workers_died"] == 0


def test_a_client_that_leaves_chargen_is_done(daemon):
    """There is no other way to end it."""
    d = daemon(builtin(handler="chargen"))
    for n in range(1, 11):
        with connect(d.address()) as s:
            assert s.recv(72)
        wait_counts(d, accepted=n, finished=n)


# ---- descriptors

def set_limit(pid, soft):
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def test_a_worker_without_descriptors_waits_and_recovers(daemon):
    d = daemon(builtin())
    first = held(d.address())
    pid = busy_worker(d)
    soft = resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
    # Nothing from 3 up is to be had any more; what is open stays open.
    with connect(d.address()) as waiting:
        waiting.sendall(b"waiting")
        set_limit(pid, 3)
        start, used = os.times().elapsed, cpu_seconds(pid)
        end(first)
        wait_until("ten errors", lambda: pool(d)["connections"]["accept_errors"] >= 10)
        took = os.times().elapsed - start
        assert took > 0.8, "it does not wait 100 ms"
        assert cpu_seconds(pid) - used < 0.2 * took
        assert pool(d)["connections"]["accept_errors"] < 12 + 10 * took
        set_limit(pid, soft)
        assert waiting.recv(9) == b"waiting"
    wait_counts(d, accepted=2, finished=2)
    assert worker_pids(d) == [pid] and pool(d)["workers_died"] == 0
    assert len(re.findall(r"accept: Too many open files", d.log())) == 1
    assert re.search(rf'preforkd\[{pid}\]: service "main" \[{re.escape(d.address())}\]: '
                     "accept: Too many open files; trying again every 100 ms\n", d.log())


def test_a_worker_without_descriptors_can_be_stopped(daemon):
    d = daemon(builtin())
    first = held(d.address())
    pid = busy_worker(d)
    set_limit(pid, 3)
    end(first)
    with connect(d.address()) as waiting:
        wait_until("errors", lambda: pool(d)["connections"]["accept_errors"] >= 2)
        set_limit(pid, 64)
        waiting.sendall(b"!")
        assert waiting.recv(9) == b"!"
        set_limit(pid, 3)
    assert d.stop() == 0
    assert d.log().count("killed") == 0


# ---- deaths

def test_a_worker_killed_in_service(daemon):
    d = daemon(builtin(workers=2) + builtin("other"))
    victim = held(d.address("main"))
    pid = busy_worker(d)
    spared, elsewhere = held(d.address("main")), held(d.address("other"))
    os.kill(pid, signal.SIGKILL)
    with victim:
        try:
            assert victim.recv(9) == b""
        except ConnectionResetError:
            pass
    wait_workers(d, 2, "main", without=[pid])
    for s in (spared, elsewhere):
        s.sendall(b"!")
        assert s.recv(9) == b"!"
        end(s)
    for i in range(10):
        assert exchange(d.address("main"), b"%d" % i) == b"%d" % i
    wait_counts(d, "main", accepted=12, finished=11, aborted_death=1)
    wait_counts(d, "other", accepted=1, finished=1)
    assert pool(d, "main")["workers_died"] == 1 and pool(d, "other")["workers_died"] == 0
    assert not d.status()["degraded"]
    d.wait_log(rf'service "main" \[.*\]: worker {pid} killed by SIGKILL.* while it served a client')


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "unix://DIR/s"])
def test_a_module_that_crashes(daemon, programs, tmp_path, address):
    keys = "limit_core = 0"
    d = daemon(module(programs, "crash_serve", address=address.replace("DIR", str(tmp_path)),
                      keys=keys))
    assert exchange(d.address(), b"fine") == b"fine"
    [pid] = worker_pids(d)
    with connect(d.address()) as s:
        s.send(b"crash")
        d.wait_log(rf'worker {pid} killed by SIGSEGV while it served a client\n')
        if s.type == socket.SOCK_STREAM:
            assert s.recv(9) == b""
    assert exchange(d.address(), b"again") == b"again"
    wait_counts(d, accepted=3, finished=2, aborted_death=1)
    # It had served before: that is no reason to wait.
    assert pool(d)["backoff_usec"] == 0 and pool(d)["workers_died"] == 1


def test_workers_that_die_before_their_first_client(daemon):
    """The pool backs off, says so, and is well again after all; the other serves all the time."""
    d = daemon(builtin() + builtin("other", workers=2))
    known, pauses = [], []
    for n in range(5):
        [pid] = wait_workers(d, 1, "main", without=known)
        known.append(pid)
        os.kill(pid, signal.SIGKILL)
        d.wait_log(rf'service "main" \[.*\]: worker {pid} killed by SIGKILL')
        pauses.append(wait_until("the death on the board", lambda n=n: [
            p["backoff_usec"] for p in [pool(d, "main")] if p["workers_died"] == n + 1])[0])
        assert exchange(d.address("other"), b"x") == b"x"
    # 100 ms doubling, less a quarter at most.
    for n, pause in enumerate(pauses):
        # The first pauses may be over before a look.
        assert 75_000 << n <= pause <= 100_000 << n or (n < 2 and pause == 0), pauses
    status = d.ctl("status", "--json", check=False)
    assert status.returncode == 1 and json.loads(status.stdout)["degraded"]
    d.wait_notification("STATUS=degraded")
    assert not pool(d, "other")["degraded"]
    with connect(d.address("main")) as waiting:
        waiting.sendall(b"waiting")
        assert waiting.recv(9) == b"waiting"
    wait_workers(d, 1, "main", without=known)
    wait_until("health", lambda: not pool(d, "main")["degraded"])
    assert d.ctl("status").returncode == 0
    while "degraded" in d.wait_notification("STATUS="):
        pass
    # Nor is it held against those that come later.
    assert "every worker was replaced" in d.ctl("recycle").stdout
    assert pool(d, "other")["workers_died"] == 0


def test_a_worker_that_never_becomes_ready(daemon, programs):
    d = daemon(builtin("other") + module(programs, "exit_enter"), expect_ready=False)
    assert d.wait() == os.EX_UNAVAILABLE
    assert re.search(r'service "main" \[tcp://127.0.0.1:\d+\]: a worker failed before it was '
                     "ready: handler exit_enter: enter: Permission denied", d.log())


# ---- recycling by count

@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "unix://DIR/s"])
def test_recycle_after(daemon, programs, tmp_path, address):
    d = daemon(module(programs, "env", address=address.replace("DIR", str(tmp_path)), workers=2,
                      keys="recycle_after = 50"))
    served = Counter(facts(d.address())["pid"] for _ in range(1000))
    alive = set(wait_workers(d, 2))
    left = {pid: n for pid, n in served.items() if pid not in alive}
    assert len(left) >= 1000 // 55 - 2
    assert all(45 <= n <= 55 for n in left.values()), left
    assert len(set(left.values())) > 1, "they leave all at once"
    wait_counts(d, accepted=1000, finished=1000)
    assert pool(d)["workers_died"] == 0 and pool(d)["backoff_usec"] == 0
    assert "<4>" not in d.log() and "<3>" not in d.log()


@pytest.mark.parametrize("after", [1, 3])
def test_recycle_after_few(daemon, programs, after):
    d = daemon(module(programs, "env", keys=f"recycle_after = {after}"))
    served = [facts(d.address())["pid"] for _ in range(5 * after)]
    assert list(Counter(served).values()) == [after] * 5


# ---- the master's death

def test_workers_go_when_their_master_is_killed(daemon):
    d = daemon(builtin(workers=3) + builtin("datagrams", address="udp://127.0.0.1:0"))
    pids = worker_pids(d)
    assert len(pids) == 4
    with held(d.address("main")) as s:
        pid = busy_worker(d)
        d.process.kill()
        d.wait()
        wait_gone(set(pids) - {pid})
        for i in range(10):
            s.sendall(b"%d" % i)
            assert s.recv(9) == b"%d" % i
        end(s)
    wait_gone(pids)
    with pytest.raises(ConnectionRefusedError):
        connect(d.address("main"))
    assert d.ctl("status", check=False).returncode == 3


def test_the_dead_masters_place_can_be_taken(daemon, tmp_path):
    """Its board and its socket are still there."""
    text = builtin(address=f"unix://{tmp_path}/s")
    d = daemon(text)
    pids = worker_pids(d)
    d.process.kill()
    d.wait()
    wait_gone(pids)
    assert Path(tmp_path / "s").is_socket()
    d.start()
    assert exchange(f"unix://{tmp_path}/s", b"x") == b"x"
    wait_counts(d, accepted=1, finished=1)
    assert d.stop() == 0
