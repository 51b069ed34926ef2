# SPDX-License-Identifier: ISC
"""preforkctl bench against servers whose times are known by arithmetic: rates, percentiles, and
that a server which stalls cannot hide it. A busy machine makes things later, never earlier: the
bounds above are wide, those below are not."""

import json
import os
import signal
import threading
import time

import pytest

import ctl
from daemon import wait_until
from benching import Server, bench, check_good, children, echo_datagram, read_all, slow

SERVICE = 0.020  # seconds
MSEC = 1000  # microseconds
# A histogram's accuracy, and a sleep that the kernel rounds.
LOW = 0.93
HIGH = 3


@pytest.mark.parametrize("keep", [False, True], ids=["each", "kept"])
def test_closed(tmp_path, keep):
    """Four clients, each of which gets a reply in 20 ms: 200 a second, never more."""
    with Server(tmp_path, slow(SERVICE)) as server:
        report = bench(server.address, "-n", 100, "-c", 4, *["--keep"] * keep)
    check_good(report, 100)
    assert 100 < report["rate"] <= 4 / SERVICE
    assert report["rate"] == pytest.approx(100 / report["seconds"], rel=0.01)
    for name in ("p50_usec", "p90_usec"):
        assert LOW * 20 * MSEC <= report["total"][name] <= HIGH * 20 * MSEC
    assert report["total"]["mean_usec"] >= 20 * MSEC
    assert report["connect"]["p50_usec"] < 5 * MSEC
    assert report["schedule"] is None


def test_duration(tmp_path):
    """The rate is of the time asked for, not of that in which the last replies came too."""
    with Server(tmp_path, slow(0.7)) as server:
        report = bench(server.address, "-d", "1s", "-c", 5)
    check_good(report, 10)
    assert report["seconds"] == 1.0
    assert report["rate"] == 5.0  # half of them came in time


def test_order_of_percentiles(tmp_path):
    """Nine in ten take 5 ms, the others 50 ms."""
    def serve(connection, number):
        data = read_all(connection)
        time.sleep(0.050 if number % 10 == 0 else 0.005)
        connection.sendall(data)

    with Server(tmp_path, serve) as server:
        report = bench(server.address, "-n", 200, "-c", 2)
    check_good(report, 200)
    total = report["total"]
    assert LOW * 5 * MSEC <= total["p50_usec"] <= HIGH * 5 * MSEC
    assert LOW * 50 * MSEC <= total["p99_usec"] <= HIGH * 50 * MSEC
    assert total["p90_usec"] <= total["p99_usec"] <= total["p999_usec"] <= total["max_usec"]
    assert total["mean_usec"] >= 0.9 * 5 * MSEC + 0.1 * 50 * MSEC


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("keep", [False, True], ids=["each", "kept"])
def test_constant_rate(tmp_path, keep, processes):
    """Every 10 ms one, however long the replies take."""
    arrived = []

    def serve(connection, _number):
        for data in iter(lambda: connection.recv(4096), b""):
            arrived.append(time.monotonic())
            time.sleep(SERVICE)
            connection.sendall(data)

    with Server(tmp_path, serve) as server:
        report = bench(server.address, "-r", 100, "-n", 100, "-c", 16, "--processes", processes,
                       *["--keep"] * keep)
    check_good(report, 100)
    # The last one is due after 0.99 s.
    assert 0.99 + SERVICE <= report["seconds"] < 1.5
    assert arrived[-1] - arrived[0] < 1.5  # the first one may be late, not the last one early
    gaps = sorted(b - a for a, b in zip(arrived, arrived[1:]))
    assert gaps[len(gaps) // 2] == pytest.approx(0.010, abs=0.003)
    assert LOW * 20 * MSEC <= report["total"]["p50_usec"] <= HIGH * 20 * MSEC
    assert report["schedule"]["rate"] == 100
    assert (report["schedule"]["due"], report["schedule"]["not_sent"]) == (100, 0)


def test_slow_rate(tmp_path):
    """300 a minute are five a second, the first of them at once."""
    with Server(tmp_path, slow(0)) as server:
        report = bench(server.address, "-r", "300/m", "-d", "1s")
    check_good(report, 5)
    assert report["rate"] == 5.0


class Stall:
    """An echo that stands still once, for a second, from its n-th request on."""

    def __init__(self, after):
        self.after = after
        self.count = 0
        self.lock = threading.Lock()

    def __call__(self, connection, _number):
        for data in iter(lambda: connection.recv(4096), b""):
            with self.lock:
                self.count += 1
                if self.count == self.after:
                    time.sleep(1)
            connection.sendall(data)


def test_stall_is_seen(tmp_path):
    """A hundred requests become due during the second; they wait from a whole second down to
    nothing, and with four clients only four of them are on their way. Of all 300 a tenth, 30, have
    waited longer than 0.7 s, and 50 longer than 0.5 s."""
    with Server(tmp_path, Stall(50)) as server:
        report = bench(server.address, "-r", 100, "-n", 300, "-c", 4, "--keep")
    check_good(report, 300)
    total = report["total"]
    assert 0.95 * MSEC * MSEC <= total["max_usec"] <= 1.3 * MSEC * MSEC
    assert LOW * 700 * MSEC <= total["p90_usec"] <= 1.3 * 700 * MSEC
    assert total["p99_usec"] >= LOW * 970 * MSEC
    assert total["p50_usec"] <= 50 * MSEC
    # All that became due in it but the four: they are late by the server's fault.
    assert 90 <= report["schedule"]["late_clients_busy"] <= 150
    assert report["schedule"]["not_sent"] == 0


def test_stall_is_hidden_without_a_rate(tmp_path):
    """What the constant rate is for: the same server, and a closed loop has four that were slow."""
    with Server(tmp_path, Stall(50)) as server:
        report = bench(server.address, "-n", 300, "-c", 4, "--keep")
    check_good(report, 300)
    assert report["total"]["p90_usec"] <= 100 * MSEC
    assert report["total"]["max_usec"] >= 950 * MSEC


def test_stall_with_datagrams(tmp_path):
    stalls = threading.Event()

    def serve(s, data, peer, number):
        if number == 30:
            time.sleep(0.5)
            stalls.set()
        echo_datagram(s, data, peer, number)

    with Server(tmp_path, serve, "udp") as server:
        report = bench(server.address, "-r", 100, "-n", 100, "-c", 2, "--timeout", "2s")
    assert stalls.is_set()
    check_good(report, 100)
    assert report["total"]["p90_usec"] >= LOW * 400 * MSEC


def test_server_that_cannot_keep_up(tmp_path):
    """50 a second is all it can; 100 are asked for. What is not sent is said."""
    with Server(tmp_path, slow(SERVICE)) as server:
        report = bench(server.address, "-r", 100, "-d", "2s", "-c", 1, "--keep")
    check_good(report, report["good"])
    assert report["good"] <= 101
    assert 30 < report["rate"] <= 50
    schedule = report["schedule"]
    assert schedule["due"] == 200
    assert schedule["not_sent"] == 200 - report["good"]
    assert schedule["begun"] == report["good"]
    # The last one that is sent was due after 1 s.
    assert LOW * 1000 * MSEC <= report["total"]["max_usec"] <= 1.7 * MSEC * MSEC
    assert schedule["late_clients_busy"] >= 0.9 * report["good"]
    assert report["generator"]["limited"] is False


def test_generator_that_comes_too_late(tmp_path):
    """Its process stands still for half a second: 50 requests are late by its own fault."""
    with Server(tmp_path, slow(0)) as server:
        process = ctl.start("bench", server.address, "-r", 100, "-n", 150, "-c", 4, "--keep",
                            "--json", "--processes", 1)
        wait_until("the load", lambda: server.count == 4)
        [child] = children(process.pid)
        os.kill(child, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(child, signal.SIGCONT)
        report = json.loads(process.communicate(timeout=ctl.HANG)[0])
    check_good(report, 150)
    assert report["schedule"]["late_generator"] >= 45
    assert report["schedule"]["late_clients_busy"] <= 10
    assert report["generator"]["limited"] is True
    assert report["total"]["max_usec"] >= 450 * MSEC


def test_generator_that_rests(tmp_path):
    with Server(tmp_path, slow(SERVICE)) as server:
        report = bench(server.address, "-n", 20, "-c", 2)
    assert report["generator"]["limited"] is False
    assert report["generator"]["busy"] < 0.5


def test_generator_that_never_rests(daemon):
    """The server answers at once, and a process of its own has two hundred clients."""
    d = daemon(args=["--listen", "unix://" + "@bench-%d" % os.getpid(), "--builtin", "echo",
                     "--workers", "2"])
    report = bench(d.address(), "-d", "500ms", "-c", 100, "--processes", 1)
    assert report["failed"] == 0
    assert report["generator"]["busy"] > 0.5
