# SPDX-License-Identifier: ISC
"""Clients that waited too long, and what the refused are told: queue_timeout and busy_message."""

import os
import socket
import threading
import time

import pytest
from daemon import connect, wait_until
from execs import daemon_of_programs  # noqa: F401
from limits import STREAMS, bound, come, is_refused, limited, served
from look import at_rest_counts, busy_workers, wait_counts, worker_pids
from support import answer, finish, say

TCP = "tcp://127.0.0.1:0"
UNIX = "unix://DIR/s"
MESSAGE = "busy, come again\n"
PLACES = pytest.mark.parametrize("address", [TCP, "tcp6://[::1]:0", "tcp://*:0", UNIX])
KINDS = pytest.mark.parametrize("kind", STREAMS)
# A tick of the kernel's clock, and a worker that comes late.
TIMEOUT = 0.4


@pytest.fixture(name="start")
def start_limited(daemon, tmp_path, programs):
    def go(kind="builtin", address=TCP, workers=1, instance="main", **keys):
        keys = {"queue_timeout": "400ms", "busy_message": MESSAGE, **keys}
        return daemon(limited(programs, tmp_path, kind, address.replace("DIR", str(tmp_path)),
                              workers=workers, workers_max=workers, **keys), name=instance)
    return go


def hold(d):
    s = connect(d.address())
    say(s, b"held\n")
    return s


def queue(d, text=b"hello"):
    """A client that has said all it will, and waits."""
    s = connect(d.address())
    s.sendall(text)
    s.shutdown(socket.SHUT_WR)
    return s


def let_time_pass(seconds):
    """What is tested is time itself."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


# ---- queue_timeout

@PLACES
@KINDS
def test_who_waited_too_long(start, kind, address):
    d = start(kind, address)
    for _ in range(2):
        with hold(d) as first:
            waiting = [queue(d) for _ in range(3)]
            let_time_pass(2 * TIMEOUT)
            finish(first)
        for s in waiting:
            assert answer(s) == MESSAGE.encode()
        assert answer(queue(d)) == b"hello"
    wait_counts(d, accepted=10, finished=4, refused_queue=6)
    d.wait_log(r"refused, it has waited longer than queue_timeout")


@PLACES
@KINDS
def test_who_waited_less(start, kind, address):
    d = start(kind, address, queue_timeout="20s")
    with hold(d) as first:
        waiting = [queue(d) for _ in range(3)]
        let_time_pass(0.3)
        finish(first)
    for s in waiting:
        assert answer(s) == b"hello"
    wait_counts(d, accepted=4, finished=4)


def test_what_it_sends_meanwhile_makes_it_no_younger(start):
    d = start()
    with hold(d) as first, connect(d.address()) as s:
        for _ in range(8):
            s.sendall(b"x")
            let_time_pass(TIMEOUT / 4)
        finish(first)
        s.shutdown(socket.SHUT_WR)
        assert answer(s) == MESSAGE.encode()


@pytest.mark.parametrize("address", [TCP, UNIX])
@pytest.mark.parametrize("workers", [1, 3])
@KINDS
def test_nobody_waits_for_an_idle_worker(start, kind, address, workers):
    """However long it was idle; and whatever wakes it meanwhile."""
    d = start(kind, address, workers=workers)
    for _ in range(3):
        assert answer(queue(d)) == b"hello"
        let_time_pass(1.5 * TIMEOUT)
    wait_counts(d, accepted=3, finished=3)


def test_some_are_busy_for_long(start):
    """One that was held up says nothing of those that the other workers take."""
    d = start("builtin", UNIX, workers=2)
    with hold(d) as s:
        let_time_pass(2 * TIMEOUT)
        for _ in range(20):
            assert answer(queue(d)) == b"hello"
        finish(s)
    wait_counts(d, accepted=21, finished=21)


@pytest.mark.parametrize("address", [TCP, UNIX])
def test_those_who_come_in_time_are_served(start, address):
    """The first have waited too long, the last have not."""
    d = start("builtin", address)
    with hold(d) as first:
        early = queue(d)
        let_time_pass(2 * TIMEOUT)
        late = queue(d)
        finish(first)
    assert answer(early) == MESSAGE.encode()
    assert answer(late) == b"hello"
    assert answer(queue(d)) == b"hello"


@pytest.mark.parametrize("kind", ["builtin", "prestart"])
@pytest.mark.parametrize("address", [TCP, UNIX])
def test_a_queue_that_is_never_empty(start, kind, address):
    """Twice as many clients as workers, for much longer than queue_timeout: each waits a moment."""
    d = start(kind, address, workers=2)
    failures, over, served_count = [], threading.Event(), [0]

    def client():
        while not over.is_set():
            with connect(d.address()) as s:
                say(s, b"x")
                let_time_pass(0.02)
                s.shutdown(socket.SHUT_WR)
                if answer(s) != b"":
                    failures.append(s)
            served_count[0] += 1

    def run():
        try:
            client()
        except (AssertionError, OSError) as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    let_time_pass(4 * TIMEOUT)
    over.set()
    for thread in threads:
        thread.join()
    assert not failures and served_count[0] > 40
    found = at_rest_counts(d)
    assert found["accepted"] == found["finished"]


@pytest.mark.parametrize("address", ["udp://127.0.0.1:0", "udp://*:0", "unixgram://DIR/s"])
def test_datagrams(start, tmp_path, programs, address):
    """One that waited too long is not answered."""
    d = start("module", address, recycle_after=1000)
    [worker] = worker_pids(d)
    with connect(d.address()) as s:
        os.kill(worker, 19)
        s.send(b"early")
        let_time_pass(2 * TIMEOUT)
        s.send(b"late")
        os.kill(worker, 18)
        assert s.recv(99) == b"late"
    wait_counts(d, accepted=2, finished=1, refused_queue=1)


@pytest.mark.parametrize("address", ["udp://127.0.0.1:0", "udp://*:0", "unixgram://DIR/s"])
def test_datagrams_for_programs(start, address):
    d = start("exec", address)
    with connect(d.address()) as s:
        for text in (b"one", b"two"):
            s.send(text)
            assert s.recv(99) == text
    wait_counts(d, accepted=2, finished=2)


@KINDS
def test_with_a_rate(start, kind):
    """Who waits for the service's bucket waits in the queue: too long is too long there as well."""
    d = start(kind, workers=2, rate="2/h", stop_timeout="500ms", queue_timeout="400ms")
    assert served(d) and served(d)
    waiting = [queue(d) for _ in range(4)]
    let_time_pass(2 * TIMEOUT)
    assert at_rest_counts(d, False)["finished"] == 2
    d.stop(10)
    for s in waiting:
        s.close()


# ---- busy_message

@KINDS
def test_a_long_message(start, kind):
    message = "x" * 4000
    d = start(kind, deny=["127.0.0.4"], busy_message=message)
    assert is_refused(d, "127.0.0.4") == message.encode()


@KINDS
def test_bytes_of_a_message(start, kind):
    """As in the file: with line ends as a protocol wants them."""
    d = start(kind, deny=["127.0.0.4"], busy_message="421 later\\r\\n\\t\u00e4\\n")
    assert is_refused(d, "127.0.0.4") == "421 later\r\n\t\u00e4\n".encode()


@KINDS
def test_without_a_message(start, kind):
    """A clean end all the same, whatever the client said."""
    d = start(kind, deny=["127.0.0.4"], busy_message="")
    for _ in range(10):
        assert is_refused(d, "127.0.0.4") == b""


def test_packets(start):
    d = start("builtin", "unixpacket://DIR/s", deny=[f"uid:{os.getuid()}"])
    with connect(d.address()) as s:
        assert s.recv(99) == MESSAGE.encode()
        assert s.recv(99) == b""


def test_who_does_not_read(start):
    """The message goes as far as it goes; nobody waits."""
    d = start("builtin", "unix://DIR/s", deny=[f"uid:{os.getuid()}"], busy_message="y" * 4000)
    stay = [connect(d.address()) for _ in range(30)]
    wait_counts(d, accepted=30, refused_access=30)
    wait_until("idle workers", lambda: not busy_workers(d))
    for s in stay:
        s.close()


def test_one_refusal_costs_little(start):
    """Hundreds of them in a second, by one worker, while others of them stay."""
    d = start(deny=["127.0.0.4"])
    stay = []
    begun = time.monotonic()
    for _ in range(300):
        s = bound("127.0.0.4")
        s.connect(("127.0.0.1", d.port()))
        stay.append(s)
    for s in stay:
        assert s.recv(99) == MESSAGE.encode()
    assert time.monotonic() - begun < 5
    with come(d, "127.0.0.1") as s:
        say(s, b"x")
    for s in stay:
        s.close()
    wait_counts(d, accepted=301, finished=1, refused_access=300)
