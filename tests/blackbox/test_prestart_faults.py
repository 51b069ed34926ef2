# SPDX-License-Identifier: ISC
"""Programs that do not wait for their client, that hang, or are gone; clients that are gone."""

import os
import re
import signal
import socket
import threading

import pytest
from daemon import connect, wait_until
from execs import (DEAF, HANG, Watch, ask, begin, children, daemon_of_programs, pid_in,  # noqa: F401
                   left_over_group, read_all, wait_idle, wait_ledger)
from look import busy_worker, cpu_seconds, is_gone, pool, wait_gone, worker_pids
from prestarts import (kill_program, programs_of, start_ahead, the_program)  # noqa: F401
from support import descriptors
from test_exec_faults import set_soft_limit, soft_limit

RESET = b"\1\0\0\0\0\0\0\0"


# ---- programs that end before a client comes

def starts(tmp_path):
    path = tmp_path / "starts"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_one_that_ends_early_is_replaced(start):
    d = start("read -r line; echo $$ $line")
    first = kill_program(d)
    d.wait_log(rf"<4>.*prog\[{first}\] was killed by SIGKILL before a client came; "
               r"another is started in 100 ms")
    for i in range(3):
        waiting = the_program(d)
        pid, text = ask(d.address(), b"%d\n" % i).split()
        assert (int(pid), text) == (waiting, b"%d" % i)
        the_program(d, but=waiting)
        kill_program(d)
    wait_until("all are counted", lambda: pool(d)["connections"]["program_signals"] == 4)
    assert pool(d)["workers_died"] == 0
    assert len(re.findall("before a client came", d.log())) == 1


def test_those_that_never_wait(start, tmp_path):
    """The pauses double, and each client gets one of its own, at once."""
    d = start(f"date +%s%N >>{tmp_path}/starts; echo here; exit 5")
    wait_until("five", lambda: len(starts(tmp_path)) >= 5)
    times = starts(tmp_path)
    pauses = [(b - a) / 1e9 for a, b in zip(times, times[1:])][:4]
    assert all(pause >= least for pause, least in zip(pauses, (0.1, 0.2, 0.4, 0.8))), pauses
    # The next would come after 1.6 s.
    watch = Watch()
    assert ask(d.address(), b"x") == b"here\n"
    assert watch.seconds() < 1.2
    assert len(re.findall("before a client came", d.log())) == 1
    d.wait_log(r"prog\[\d+\] exited with status 5 before a client came; another is started in 100 ms")


def test_what_the_dead_said_is_not_told(start, tmp_path):
    """A client gets what was said for it: the time of now, not of an hour ago."""
    d = start(f"date +%s%N >>{tmp_path}/starts; tail -n 1 {tmp_path}/starts")
    wait_until("three that ended", lambda: len(starts(tmp_path)) >= 3 and not programs_of(d))
    before = starts(tmp_path)
    assert int(ask(d.address())) > before[-1]


def test_dead_when_the_client_comes(start):
    """Both are seen at the same moment."""
    d = start("read -r line; echo $$ $line")
    for i in range(4):  # the pauses double
        [worker] = worker_pids(d)
        waiting = the_program(d)
        os.kill(worker, signal.SIGSTOP)
        os.kill(waiting, signal.SIGKILL)
        with connect(d.address()) as s:
            s.sendall(b"%d\n" % i)
            wait_until("its end", lambda: is_gone(waiting))
            os.kill(worker, signal.SIGCONT)
            pid, text = read_all(s).split()
        assert int(pid) != waiting and text == b"%d" % i
        wait_idle(d)


def test_one_that_closes_its_socket(start, tmp_path):
    """Nobody can be served by it any more: it is ended, and another started for the client."""
    d = start(f"test -e {tmp_path}/once || {{ touch {tmp_path}/once; exec <&- >&-; "
              "exec sleep 100; }; read -r line; echo $line")
    first = the_program(d)
    wait_until("the end of its input", lambda: not os.path.exists(f"/proc/{first}/fd/0"))
    watch = Watch()
    assert ask(d.address(), b"hello\n") == b"hello\n"
    assert watch.seconds() < 1.5
    wait_gone([first])


def test_healthy_again(start, tmp_path):
    """After a client that a waiting program served nothing is left of a bad time."""
    d = start(f"date +%s%N >>{tmp_path}/starts; test -e {tmp_path}/well || exit 1; read -r line; echo $line")
    wait_until("five", lambda: len(starts(tmp_path)) >= 5)
    (tmp_path / "well").touch()
    first = the_program(d)  # after 1.6 s
    assert ask(d.address(), b"x\n") == b"x\n"
    the_program(d, but=first)
    watch = Watch()
    the_program(d, but=kill_program(d))
    assert watch.seconds() < 1.5  # and not after 3.2 s


# ---- programs that cannot be executed

def test_a_program_that_is_removed(start, tmp_path):
    d = start("read -r line; echo here")
    [worker] = worker_pids(d)
    the_program(d)
    (tmp_path / "prog").rename(tmp_path / "away")
    assert ask(d.address(), b"\n") == b"here\n"  # that one had been executed
    for _ in range(5):
        assert ask(d.address(), b"unread") == b""
    d.wait_log(rf'<3>preforkd\[{worker}\]: service "main" \[.*\]: {tmp_path}/prog: No such file')
    wait_ledger(d, accepted=6, finished=1, aborted_error=5)
    (tmp_path / "away").rename(tmp_path / "prog")
    assert ask(d.address(), b"\n") == b"here\n"
    assert worker_pids(d) == [worker] and pool(d)["workers_died"] == 0


# ---- what there is too little of

def test_a_worker_without_descriptors(start):
    """It waits, says so, and serves who waited."""
    d = start(["/bin/cat"])
    [worker] = worker_pids(d)
    soft = soft_limit(worker, "Max open files")
    with connect(d.address()) as first, connect(d.address()) as waiting:
        first.sendall(b"1")
        assert first.recv(9) == b"1"
        set_soft_limit(worker, "nofile", 3)
        first.shutdown(socket.SHUT_WR)
        assert first.recv(9) == b""
        waiting.sendall(b"2")
        used = cpu_seconds(worker)
        wait_until("errors", lambda: pool(d)["connections"]["accept_errors"] >= 4)
        assert cpu_seconds(worker) - used < 0.2
        set_soft_limit(worker, "nofile", soft)
        assert waiting.recv(9) == b"2"
    wait_ledger(d, accepted=2, finished=2)
    assert worker_pids(d) == [worker]
    assert len(re.findall("Too many open files; trying again every 100 ms", d.log())) == 1


def test_a_fork_that_fails(start, is_root):
    """The clients wait, as for a worker that is busy."""
    d = start(["/bin/cat"], keys='user = "12345"\n group = "12345"')
    [worker] = worker_pids(d)
    the_program(d)
    soft = soft_limit(worker, "Max processes")
    set_soft_limit(worker, "nproc", 1)
    assert ask_and_end(d, b"by the one that was there") == b"by the one that was there"
    with connect(d.address()) as waiting:
        waiting.sendall(b"waiting")
        d.wait_log(r"clone: Resource temporarily unavailable; trying again every 100 ms")
        wait_until("more", lambda: pool(d)["connections"]["accept_errors"] >= 4)
        set_soft_limit(worker, "nproc", soft)
        assert waiting.recv(99) == b"waiting"
    wait_ledger(d, accepted=2, finished=2)


def ask_and_end(d, data):
    with connect(d.address()) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        return read_all(s)


# ---- programs that hang

@pytest.mark.parametrize("stays", [True, False])
def test_a_program_that_hangs(start, tmp_path, stays):
    d = start(HANG, keys="connection_timeout = 300ms", workers=2)
    watch = Watch()
    s, pid = begin(d)
    if not stays:
        s.close()
    wait_gone([pid])
    assert 0.25 < watch.seconds() < 1.5
    if stays:
        assert read_all(s) == b""
        s.close()
    wait_ledger(d, accepted=1, timed_out=1)
    d.wait_log(rf"{tmp_path}/prog\[{pid}\] for client 127\.0\.0\.1:\d+ was ended after its "
               r"connection_timeout: \d+\.\d+ s, \d+ bytes in, \d+ out; "
               r"it (was waiting|was at work|had ended)\n")


def test_a_program_that_hangs_and_ignores_term(start):
    d = start(f"(trap '' TERM; exec sleep 100) & {DEAF}", keys="connection_timeout = 200ms", workers=2)
    watch = Watch()
    s, _ = begin(d)
    with s:
        group = children(busy_worker(d))[0]
        wait_until("its end", lambda: not left_over_group(group))
        assert 2 < watch.seconds() < 4
    wait_ledger(d, accepted=1, timed_out=1)


def test_who_is_told_to_end_may_say_so(start):
    d = start("trap 'echo too late; exit' TERM; echo hello; while :; do sleep 0.01; done",
              keys="connection_timeout = 200ms")
    assert ask(d.address()) == b"hello\ntoo late\n"
    wait_ledger(d, accepted=1, timed_out=1)


def test_the_time_begins_with_the_client(start):
    """However long the program has waited for it."""
    d = start("read -r line; echo fine", keys="connection_timeout = 300ms")
    for _ in range(3):
        the_program(d)
        threading.Event().wait(0.4)  # longer than a client may take
        assert ask(d.address(), b"\n") == b"fine\n"
    wait_ledger(d, accepted=3, finished=3)
    assert "was ended" not in d.log()


def test_a_flood_on_stderr_does_not_delay_the_timeout(start):
    d = start("read -r line; while :; do echo flood; done >&2", keys="connection_timeout = 300ms")
    watch = Watch()
    assert ask(d.address(), b"\n") == b""
    assert watch.seconds() < 3
    wait_ledger(d, accepted=1, timed_out=1)


# ---- clients that are gone

def test_a_client_that_resets(start):
    """The program reads an end of file."""
    d = start("while read -r line; do echo $line; done; echo over >&2")
    with connect(d.address()) as s:
        s.sendall(b"line\n")
        assert s.recv(9) == b"line\n"
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    d.wait_log("over")
    wait_ledger(d, accepted=1, finished=1)


def test_a_client_that_resets_and_a_program_that_hangs(start):
    """Who does not notice is ended."""
    d = start(HANG)
    s, pid = begin(d)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    watch = Watch()
    s.close()
    wait_gone([pid])
    assert 1.5 < watch.seconds() < 4
    wait_ledger(d, accepted=1, aborted_error=1)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "unix://DIR/s"])
def test_a_client_that_goes_away(start, tmp_path, address):
    """The program gets SIGPIPE, which nobody made it ignore."""
    d = start(f"read -r line; echo begun; until test -e {tmp_path}/go; do sleep 0.01; done\n"
              "while :; do echo more; sleep 0.005; done", address=address)
    with connect(d.address()) as s:
        s.sendall(b"\n")
        assert s.recv(9) == b"begun\n"
    (tmp_path / "go").touch()
    wait_ledger(d, accepted=1, aborted_error=1, program_signals=1)


def test_a_client_that_takes_nothing_of_the_rest(start):
    """It holds its worker no longer than connection_timeout."""
    d = start("read -r line; head -c 1000000000 /dev/zero", keys="connection_timeout = 1s")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", d.port()))
        s.sendall(b"\n")
        wait_ledger(d, accepted=1, timed_out=1)


def sockets(pid):
    return sum(fd.startswith("socket:") for fd in descriptors(pid))


def test_a_client_that_stays_after_its_end(start):
    """The worker does not wait for it to close, and closes it for good 2 s later."""
    d = start("read -r line; echo $line")
    [worker] = worker_pids(d)
    the_program(d)
    before = sockets(worker)
    watch = Watch()
    with connect(d.address()) as first:
        first.sendall(b"first\n")
        assert read_all(first) == b"first\n"
        for i in range(3):
            assert ask(d.address(), b"%d\n" % i) == b"%d\n" % i
        assert watch.seconds() < 1.5
        wait_ledger(d, accepted=4, finished=4)
        wait_until("the last to go", lambda: sockets(worker) == before + 1)
        wait_until("its end", lambda: sockets(worker) == before, 5)
        assert 1.9 < watch.seconds()


def test_a_client_that_goes_on_sending(start):
    """While another one is served, what it sends is read, so that its reply is not lost; not for ever."""
    d = start("read -r line; echo $line")
    with connect(d.address()) as s, connect(d.address()) as other:
        s.sendall(b"over\n")
        other.sendall(b"held")
        assert s.recv(99) == b"over\n"
        s.sendall(b"x" * 300_000)  # more than fits into the buffers of the two
        watch = Watch()
        with pytest.raises(OSError):
            while True:
                s.send(b"x" * 100)
                threading.Event().wait(0.01)  # a slow client: this is its pace
        assert watch.seconds() < 4
        other.sendall(b"\n")
        assert read_all(other) == b"held\n"
    wait_ledger(d, accepted=2, finished=2)


def test_a_client_that_is_silent_costs_nothing(start):
    d = start(["/bin/cat"])
    with connect(d.address()) as s:
        s.sendall(b"x")
        assert s.recv(9) == b"x"
        used = cpu_seconds(busy_worker(d))
        threading.Event().wait(0.5)
        assert cpu_seconds(busy_worker(d)) - used < 0.1
        s.shutdown(socket.SHUT_WR)
        assert s.recv(9) == b""


# ---- what a program leaves behind

def test_a_child_that_holds_the_socket(start, tmp_path):
    d = start(f"read -r line; sleep 100 & echo $! >{tmp_path}/pid; echo reply")
    for i in range(1, 4):
        watch = Watch()
        assert ask(d.address(), b"\n") == b"reply\n"
        assert watch.seconds() < 1.5, "TERM should have ended it"
        wait_ledger(d, accepted=i, finished=i)
        wait_gone([pid_in(tmp_path / "pid")])


def test_a_child_that_left_the_group(start, tmp_path):
    """It lives on, and the client has its end all the same."""
    d = start(f"read -r line; setsid sh -c 'echo $$ >{tmp_path}/pid; exec sleep 100' &\n"
              f"read -r line; until test -s {tmp_path}/pid; do sleep 0.01; done; echo reply")
    watch = Watch()
    assert ask(d.address(), b"\n\n") == b"reply\n"
    assert watch.seconds() < 1.5
    wait_ledger(d, accepted=1, finished=1)
    escaped = pid_in(tmp_path / "pid")
    assert not is_gone(escaped)
    os.kill(escaped, signal.SIGKILL)
    wait_until("its end", lambda: not os.path.exists(f"/proc/{escaped}"))


def test_what_a_waiting_program_leaves_behind(start, tmp_path):
    """The same where it ends without a client."""
    d = start(f"sleep 100 & echo $! >>{tmp_path}/pids; read -r line; echo $line")
    wait_until("its child", lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text())
    kill_program(d)
    wait_gone([int((tmp_path / "pids").read_text().split()[0])])
    assert ask(d.address(), b"x\n") == b"x\n"
