# SPDX-License-Identifier: ISC
"""connection_timeout: however slow or stuck a client or its handler is, the client is ended, its
worker serves the next one, it is counted once, and the log says what it was."""

import mmap
import os
import re
import signal
import socket
import struct
import threading
import time

import pytest
from daemon import connect, exchange, wait_until
from support import SOURCE, at_rest, finish, hold, pids, rewrite, service, wait_gone, workers

TCP = "tcp://127.0.0.1:0"
UDP = "udp://127.0.0.1:0"
ENDED = r"client (\S+) was ended by connection_timeout: (\d+\.\d+) s"
BYTES = r", (\d+) bytes in, (\d+) out"


def stay(programs, *listen, name="a", timeout="300ms", **keys):
    """Does what its client says (tests/modules/stay.c)."""
    return service(name, *listen, module=programs.modules / "stay.so",
                   connection_timeout=timeout, **keys)


def ends(s):
    """Whether it was ended, in one way or the other."""
    try:
        while s.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def counts(d):
    totals = at_rest(d)
    return {k: totals[k] for k in totals
            if totals[k] and (k in ("accepted", "finished", "timed_out", "open")
                              or k.startswith(("refused_", "aborted_")))}


# ---- a client that does nothing, or too little


@pytest.mark.parametrize("address", [TCP, "tcp://[::1]:0", "unix://DIR/s", "unixpacket://DIR/p"])
def test_a_silent_client(daemon, tmp_path, address):
    d = daemon(service("a", address.replace("DIR", str(tmp_path)), workers=1,
                       connection_timeout="300ms"))
    worker = pids(d)
    begin = time.monotonic()
    with connect(d.address()) as s:
        assert ends(s)
    assert 0.29 < time.monotonic() - begin < 2
    line = d.wait_log(ENDED + rf"({BYTES})?; its worker was waiting for input")
    assert 0.3 <= float(line[2]) < 2
    if address.startswith("tcp"):
        assert (line[4], line[5]) == ("0", "0")
    assert counts(d) == {"accepted": 1, "timed_out": 1}
    assert exchange(d.address(), b"next") == b"next"
    assert pids(d) == worker, "the same worker serves on"


def test_the_line_of_the_log(daemon):
    d = daemon(service("a", TCP, workers=1, connection_timeout="300ms"))
    with connect(d.address()) as s:
        client = "127.0.0.1:%d" % s.getsockname()[1]
        s.sendall(b"seven..")
        assert s.recv(100) == b"seven.."
        assert ends(s)
    line = d.wait_log(rf'service "a" \[{re.escape(d.address())}\]: {ENDED}{BYTES}; '
                      r"its worker was waiting for input")
    assert (line[1], line[3], line[4]) == (client, "7", "7")


def test_a_byte_now_and_then_is_no_reason_to_stay(daemon):
    """idle_timeout never strikes: connection_timeout does."""
    d = daemon(service("a", TCP, workers=1, idle_timeout="200ms", connection_timeout="600ms"))
    begin = time.monotonic()
    with connect(d.address()) as s:
        with pytest.raises(OSError):
            while True:
                s.sendall(b"x")
                if s.recv(1) == b"":
                    raise ConnectionResetError
                time.sleep(0.05)
    assert 0.55 < time.monotonic() - begin < 2.5
    d.wait_log(ENDED)
    assert counts(d) == {"accepted": 1, "timed_out": 1}


def test_a_client_that_never_reads(daemon):
    d = daemon(service("a", TCP, workers=1, builtin="chargen", idle_timeout="0",
                       connection_timeout="500ms"))
    with connect(d.address()) as s:
        d.wait_log(ENDED + BYTES + r"; its worker was waiting for it to take output")
        assert counts(d) == {"accepted": 1, "timed_out": 1}
        assert ends(s)


def test_who_is_done_in_time_is_not_touched(daemon):
    d = daemon(service("a", TCP, workers=2, connection_timeout="2s"))
    for _ in range(200):
        assert exchange(d.address(), b"x") == b"x"
    assert counts(d) == {"accepted": 200, "finished": 200}
    assert "connection_timeout" not in d.log()


def test_each_client_has_its_own_time(daemon):
    """One after the other through the same worker, each shorter than the timeout."""
    d = daemon(service("a", TCP, workers=1, connection_timeout="400ms"))
    end = time.monotonic() + 1.5
    done = 0
    while time.monotonic() < end:
        with connect(d.address()) as s:
            time.sleep(0.15)
            s.sendall(b"x")
            assert s.recv(1) == b"x"
            s.shutdown(socket.SHUT_WR)
            assert s.recv(1) == b""
        done += 1
    assert counts(d) == {"accepted": done, "finished": done}


def test_without_it_nothing_ends(daemon):
    d = daemon(service("a", TCP, workers=1, idle_timeout="0") +
               service("b", TCP, workers=1, connection_timeout="200ms"))
    with hold(d.address("a")) as stays:
        with connect(d.address("b")) as s:
            assert ends(s)
        stays.sendall(b"on")
        assert stays.recv(2) == b"on"


# ---- idle_timeout: no byte for so long


def test_each_byte_begins_it_anew(daemon):
    d = daemon(service("a", TCP, workers=1, idle_timeout="400ms"))
    with connect(d.address()) as s:
        for _ in range(12):
            time.sleep(0.1)
            s.sendall(b"x")
            assert s.recv(1) == b"x"
        assert ends(s)
    assert counts(d) == {"accepted": 1, "timed_out": 1}


def test_a_slow_reader_is_not_idle(daemon):
    """It takes some now and then; when it stops it is let go."""
    d = daemon(service("a", TCP, workers=1, builtin="chargen", idle_timeout="500ms"))
    with connect(d.address()) as s:
        for _ in range(10):
            time.sleep(0.15)
            got = 0
            while got < 1 << 20:
                piece = s.recv(1 << 20)
                assert piece
                got += len(piece)
        assert d.status()["connections"]["open"] == 1
        wait_until("its end", lambda: counts(d) == {"accepted": 1, "timed_out": 1})


def test_both_at_once(daemon):
    """Counted once, whichever was first."""
    d = daemon(service("a", TCP, workers=3, idle_timeout="100ms", connection_timeout="100ms"))
    for _ in range(10):
        held = [connect(d.address()) for _ in range(3)]
        for s in held:
            assert ends(s)
            s.close()
    assert counts(d) == {"accepted": 30, "timed_out": 30}


def test_a_client_of_a_worker_that_leaves_is_timed(daemon):
    d = daemon('stop_timeout = "0"\n' + service("a", TCP, workers=1, idle_timeout="500ms"))
    with hold(d.address()) as s:
        rewrite(d, 'stop_timeout = "0"\n' + service("a", TCP, workers=1, idle_timeout="1m"))
        assert ends(s)
    assert counts(d) == {"accepted": 1, "timed_out": 1}


# ---- a handler that does not let go


@pytest.mark.parametrize("what, doing", [(b"l", "was at work"), (b"s", "was waiting"),
                                         (b"a", "was waiting")])
def test_a_handler_that_stays(daemon, programs, what, doing):
    """KILL 2 s later; the other worker, and the other service, notice nothing."""
    d = daemon(stay(programs, TCP, workers=2, timeout="200ms") + service("b", TCP, workers=1))
    others = pids(d)
    begin = time.monotonic()
    with connect(d.address("a")) as s:
        client = "127.0.0.1:%d" % s.getsockname()[1]
        s.sendall(what)
        line = d.wait_log(ENDED + rf"({BYTES})?; its worker (\d+) {doing}, and is killed")
        assert ends(s)
    assert 2.15 < time.monotonic() - begin < 5
    assert line[1] == client and float(line[2]) >= 2.2
    if what != b"a":
        assert (line[4], line[5]) == ("1", "0")
    dead = int(line[6])
    wait_gone([dead])
    assert exchange(d.address("b"), b"on") == b"on"
    wait_until("a new worker", lambda: len(pids(d)) == 3)
    assert len(pids(d) & others) == 2
    assert exchange(d.address("a"), b"x") == b"x"
    assert counts(d) == {"accepted": 3, "finished": 2, "timed_out": 1}
    d.wait_log(rf"worker {dead} killed: its client stayed after its connection_timeout")
    assert not d.status()["degraded"]


def test_a_handler_that_writes_for_ever(daemon, programs):
    d = daemon(stay(programs, TCP, workers=1))
    worker = pids(d)
    with connect(d.address()) as s:
        s.sendall(b"w")
        assert ends(s)
    assert counts(d) == {"accepted": 1, "timed_out": 1}
    assert pids(d) == worker


def test_a_stopped_worker(daemon):
    d = daemon(service("a", TCP, workers=2, connection_timeout="300ms"))
    with hold(d.address()) as s:
        [busy] = [w["pid"] for w in workers(d) if w["state"] == "busy"]
        os.kill(busy, signal.SIGSTOP)
        d.wait_log(ENDED + rf"; its worker {busy} was stopped, and is killed")
        assert ends(s)
    wait_gone([busy])
    wait_until("a new worker", lambda: len(pids(d)) == 2)
    assert counts(d) == {"accepted": 1, "timed_out": 1}
    assert exchange(d.address(), b"on") == b"on"


def test_a_worker_that_was_stopped_for_a_while(daemon):
    """The signal waits for it; by then its client may be another one, which is not meant."""
    d = daemon(service("a", TCP, workers=1, connection_timeout="300ms"))
    with hold(d.address()) as s:
        [busy] = pids(d)
        os.kill(busy, signal.SIGSTOP)
        time.sleep(1)
        os.kill(busy, signal.SIGCONT)
        assert ends(s)
    with hold(d.address()) as s:
        s.sendall(b"another")
        assert s.recv(7) == b"another"
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""
    assert counts(d) == {"accepted": 2, "finished": 1, "timed_out": 1}
    assert pids(d) == {busy}


def test_what_its_handler_started_goes_too(daemon, programs):
    """A worker of programs that is stopped itself: the master ends it, and the program with it."""
    d = daemon(service("a", TCP, workers=1, exec=["/bin/sleep", "1000"],
                       connection_timeout="200ms"))
    with connect(d.address()) as s:
        [worker] = wait_until("busy", lambda: [w["pid"] for w in workers(d)
                                               if w["state"] == "busy"])
        os.kill(worker, signal.SIGSTOP)
        d.wait_log(ENDED + rf"; its worker {worker} was stopped, and is killed", deadline=30)
        assert ends(s)
    wait_gone([worker])
    assert counts(d) == {"accepted": 1, "timed_out": 1}


# ---- datagrams


@pytest.mark.parametrize("what, killed", [(b"t", False), (b"s", True), (b"l", True)])
def test_a_datagram_that_hangs(daemon, programs, what, killed):
    d = daemon(stay(programs, UDP, workers=1, timeout="200ms"))
    worker = pids(d)
    with connect(d.address()) as s:
        s.send(what)
        end = "and is killed" if killed else "was at work$"
        d.wait_log(rf"(?m){ENDED}.*{end}")
        if killed:
            wait_gone(worker)
        assert counts(d) == {"accepted": 1, "timed_out": 1}
        wait_until("a worker", lambda: len(pids(d)) == 1)
        s.send(b"x")
        assert s.recv(10) == b"x"
    assert (pids(d) == worker) == (not killed)


# ---- a board that lies

FIELDS = re.findall(r"^(?:CONNECTION|ENDING)_FIELD\((\w+)",
                    (SOURCE / "src/board/fields.def").read_text(), re.M)
SLOT, STATE, VALUES, BUSY = 256, 4, 8, 3


class Liar:
    """Writes into the slots, all the time, that each has had the same client since the machine was
    started; and what a worker writes there comes in between."""

    def __init__(self, d, slots, number=None):
        self.map = mmap.mmap(os.open(d.runtime / "board", os.O_RDWR), 0)
        self.slots = slots
        self.number = number
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def write(self):
        since = VALUES + 8 * len(FIELDS)
        for i in range(self.slots):
            at = SLOT * (1 + i)
            self.map[at + STATE:at + STATE + 4] = struct.pack("=I", BUSY)
            self.map[at + since:at + since + 8] = struct.pack("=Q", 1)
            if self.number is not None:
                self.map[at + VALUES:at + VALUES + 8] = struct.pack("=Q", self.number)

    def run(self):
        while not self.over.wait(0.001):
            self.write()

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *failure):
        self.over.set()
        self.thread.join()


@pytest.mark.parametrize("number", [None, 0, 1, 7, 2**64 - 1])
def test_nobody_is_ended_for_what_another_wrote(daemon, number):
    """Any worker can write into any slot: those who know better are asked, and not killed."""
    d = daemon(service("a", TCP, workers=3, connection_timeout="1s"))
    before = pids(d)
    with Liar(d, 3, number):
        end = time.monotonic() + 4.5
        while time.monotonic() < end:
            with hold(d.address("a")) as held:
                time.sleep(0.4)
                finish(held)
    assert set(d.workers()) == before
    assert "is killed" not in d.log() and "was ended by" not in d.log()


# ---- programs: their own way, the same content


@pytest.mark.parametrize("prestart", ["false", "true"])
def test_a_program(daemon, prestart):
    d = daemon(service("a", TCP, workers=1, exec=["/bin/cat"], prestart=prestart,
                       connection_timeout="300ms"))
    with connect(d.address()) as s:
        client = "127.0.0.1:%d" % s.getsockname()[1]
        s.sendall(b"four")
        assert s.recv(10) == b"four"
        assert ends(s)
    line = d.wait_log(r"/bin/cat\[\d+\] for client (\S+) was ended after its connection_timeout: "
                      rf"(\d\.\d+) s{BYTES}; it was waiting")
    assert (line[1], line[3], line[4]) == (client, "4", "4")
    assert counts(d) == {"accepted": 1, "timed_out": 1}


def test_a_program_for_a_datagram(daemon):
    d = daemon(service("a", UDP, workers=1, exec=["/bin/sleep", "1000"],
                       connection_timeout="300ms"))
    with connect(d.address()) as s:
        s.send(b"four")
        d.wait_log(r"/bin/sleep\[\d+\] for client (\S+) was ended after its connection_timeout: "
                   r"\d\.\d+ s, 4 bytes in, 0 out; it was waiting")
    assert counts(d) == {"accepted": 1, "timed_out": 1}


# ---- through a change of the master


def test_workers_that_leave_are_timed_too(daemon):
    """A reload lets them finish, but not longer than they may."""
    text = service("a", TCP, workers=1, connection_timeout="1s", idle_timeout="0")
    d = daemon(text + 'stop_timeout = "0"\n')
    with hold(d.address()) as s:
        d.ctl("recycle", "--no-wait")
        assert ends(s)
    d.wait_log(ENDED)
    assert counts(d) == {"accepted": 1, "timed_out": 1}


def test_through_an_upgrade(daemon):
    d = daemon('stop_timeout = "0"\n' +
               service("a", TCP, workers=1, connection_timeout="2s", idle_timeout="0"))
    with hold(d.address()) as s:
        d.ctl("upgrade")
        assert ends(s)
    d.wait_log(ENDED)
    assert counts(d) == {"accepted": 1, "timed_out": 1}


def test_a_new_timeout(daemon):
    """For clients that come after the reload; those of before keep theirs."""
    d = daemon('stop_timeout = "0"\n' +
               service("a", TCP, workers=1, connection_timeout="1h", idle_timeout="0"))
    with hold(d.address()) as before:
        rewrite(d, 'stop_timeout = "0"\n' + service(
            "a", TCP, workers=1, connection_timeout="200ms", idle_timeout="0"))
        with connect(d.address()) as s:
            assert ends(s)
        before.sendall(b"still")
        assert before.recv(5) == b"still"
