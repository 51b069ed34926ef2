# SPDX-License-Identifier: ISC
"""What must not hurt: odd surroundings, clients that do not read, reloads in the middle of others."""

import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from daemon import exchange, wait_until
from support import (end_ctl, finish, free_port, gate, hold, pids, reload, rewrite, service,
                     start_ctl, wait_gone)

TCP = "tcp://127.0.0.1:0"


# ---- reloads


def fixed(kind="tcp"):
    return f"{kind}://127.0.0.1:{free_port()}"


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_service_comes_back_while_its_last_client_is_served(daemon, kind):
    """Dropped with a client open, and added again: it takes its listener back."""
    address = fixed(kind)
    a, b = service("a", TCP), service("b", address, stop_timeout="0", workers=1)
    d = daemon(a + b)
    client = hold(address) if kind == "tcp" else None
    rewrite(d, a)
    rewrite(d, a + b)
    assert exchange(address, b"back again") == b"back again"
    if client:
        finish(client)


def test_a_pool_may_be_gone_before_the_reload_that_looked_at_it_is_done(daemon, programs, tmp_path):
    """Its last client ends between the plan and the commit."""
    enter = tmp_path / "enter"
    a, b = service("a", TCP), service("b", fixed(), workers=1)
    slow = gate(programs, "slow", TCP, options={"enter_waits": enter})
    d = daemon(a + b)
    client, leaving = hold(d.address("b")), pids(d, "b")
    rewrite(d, a)
    d.write_config(a + slow)
    ctl = start_ctl(d, "reload")
    wait_until("it starts workers", lambda: len(d.workers()) > 5)
    client.close()
    wait_gone(leaving)
    enter.touch()
    assert end_ctl(ctl)[0] == 0
    assert exchange(d.address("slow"), b"there") == b"there"
    assert exchange(d.address("a"), b"here") == b"here"
    assert d.stop() == 0


def test_each_service_has_its_own_start_timeout(daemon, programs, tmp_path):
    enter = tmp_path / "enter"
    quick = service("quick", TCP, start_timeout="500ms")
    slow = gate(programs, "slow", TCP, options={"enter_waits": enter}, start_timeout="20s")
    d = daemon(quick)
    d.write_config(quick + slow)
    ctl = start_ctl(d, "reload")
    # Longer than the other's: the time is what is tested.
    with pytest.raises(subprocess.TimeoutExpired):
        ctl.wait(timeout=1)
    enter.touch()
    assert end_ctl(ctl)[0] == 0
    assert exchange(d.address("slow"), b"in time") == b"in time"


def test_a_worker_that_hangs_before_it_is_ready_is_replaced(daemon, programs, tmp_path):
    """start_timeout holds for a later worker too, and the next one may do better."""
    enter = tmp_path / "enter"
    enter.touch()
    d = daemon(gate(programs, "g", TCP, options={"enter_waits": enter}, workers=1,
                    start_timeout="300ms"))
    [pid] = pids(d)
    enter.unlink()
    os.kill(pid, signal.SIGKILL)
    d.wait_log(r"was not ready within start_timeout")
    enter.touch()
    assert exchange(d.address(), b"at last") == b"at last"


def test_the_mode_is_not_set_on_what_a_link_leads_to(daemon, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    path = tmp_path / "s"
    d = daemon(service("a", f"unix://{path}"))
    path.unlink()
    path.symlink_to(secret)
    d.write_config(service("a", f"unix://{path}", socket_mode="0666"))
    result = d.ctl("reload", check=False)
    assert result.returncode == 1
    assert "replaced by something else" in result.stderr
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


# ---- surroundings


def test_sigchld_ignored_by_who_started_us(daemon):
    d = daemon(service("a", TCP, workers=1),
               preexec=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    [pid] = pids(d)
    exchange(d.address(), b"one")
    os.kill(pid, signal.SIGKILL)
    wait_until("another worker", lambda: pids(d) not in ([], [pid]))
    reload(d)
    assert exchange(d.address(), b"two") == b"two"
    assert d.stop() == 0


def test_without_standard_descriptors(daemon):
    """Nothing that is logged goes into a file that got the number 2 instead."""
    d = daemon(service("a", TCP, workers=1), preexec=lambda: os.closerange(0, 3))
    for _ in range(3):
        reload(d, "ctl")
    status = d.status()
    assert (status["generation"], status["pid"]) == (4, d.pid)
    assert exchange(status["pools"][0]["address"], b"quiet") == b"quiet"


def test_a_stalled_reader_of_the_log(daemon):
    """Its pipe is full: the daemon starts, serves, reloads and stops all the same."""
    r, w = os.pipe()
    os.set_blocking(w, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(w, b"x" * 4096)
    os.set_blocking(w, True)
    d = daemon(service("a", TCP, log_connections="true"), preexec=lambda: os.dup2(w, 2))
    address = d.status()["pools"][0]["address"]
    for i in range(20):
        assert exchange(address, b"%d" % i) == b"%d" % i
    d.ctl("reload")
    assert d.stop() == 0
    os.close(r)
    os.close(w)


# ---- clients


def test_a_unix_client_that_does_not_read_holds_nobody_up(daemon, tmp_path):
    path = tmp_path / "s"
    d = daemon(service("a", f"unixgram://{path}", workers=2))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lazy:
        lazy.bind("")
        count = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 100
        for _ in range(count):
            lazy.sendto(b"never read", str(path))  # of one that is connected the kernel takes more
        wait_until("all taken", lambda: d.status()["connections"]["accepted"] == count
                   and d.status()["connections"]["open"] == 0)
        assert exchange(d.address(), b"another") == b"another"
        assert d.status()["connections"]["timed_out"] > 0
    assert d.stop() == 0


def test_a_udp_port_is_ours_as_long_as_one_pool_has_it(daemon):
    """Two addresses, one port: the guard forgets it with the last."""
    port = free_port()
    one, two = (service(f"u{i}", f"udp://127.0.0.{i}:{port}", workers=1) for i in (1, 2))
    d = daemon(one + two + service("echo", "udp://127.0.0.1:0", workers=1))
    target = ("127.0.0.1", d.port("echo"))

    def refused():
        return sum(p["connections"]["refused_guard"] for p in d.status()["pools"])

    rewrite(d, one + service("echo", "udp://127.0.0.1:0", workers=1))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.9", port))
        s.sendto(b"a loop", target)
        wait_until("refused", lambda: refused() == 1)
    rewrite(d, service("echo", "udp://127.0.0.1:0", workers=1))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.9", port))
        s.settimeout(10)
        s.sendto(b"a client", target)
        assert s.recv(100) == b"a client"
