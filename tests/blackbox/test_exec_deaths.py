# SPDX-License-Identifier: ISC
"""Workers of programs and their children that are killed, held up or told to leave; a daemon that
ends, reloads or is upgraded while programs run."""

import os
import signal
import socket

import pytest
from daemon import connect, exchange, wait_until
from execs import (DEAF, HANG, MARK, TCP, Watch, ask, begin, children,  # noqa: F401
                   daemon_of_programs, left_over_group, pid_in, read_all, service,
                   start_with_a_script, waiting_child, wait_ledger)
from look import busy_worker, is_gone, pool, stat_fields, wait_gone, worker_pids
from manager import manage  # noqa: F401 (a fixture)
from support import signal_was_taken

HARMLESS = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
            signal.SIGPIPE, signal.SIGWINCH]
# The leader ends by TERM; its child and grandchild do not.
FAMILY = "sh -c \"trap '' TERM; sleep 100 & echo \\$\\$; wait; sleep 100\" & wait"


def wait_replaced(d, old, workers=1):
    wait_until("other workers", lambda: len(worker_pids(d)) == workers and
               not set(old) & set(worker_pids(d)))


def heard(pid, number):
    try:
        return signal_was_taken(pid, number)
    except (FileNotFoundError, ProcessLookupError):
        return True


def state(pid):
    return (stat_fields(pid) or "X")[0]

# ---- signals from elsewhere

def test_signals_for_all_do_no_harm(start):
    """To the worker, and to its child that waits: pkill means neither."""
    d = start("exec cat", workers=2)
    workers = worker_pids(d)
    for number in HARMLESS:
        for pid in [*workers, *(waiting_child(w) for w in workers)]:
            os.kill(pid, number)
    for i in range(6):
        assert exchange(d.address(), b"%d" % i) == b"%d" % i
    wait_ledger(d, accepted=6, finished=6)
    with connect(d.address()) as s:
        s.sendall(b"held")
        assert s.recv(9) == b"held"
        for number in HARMLESS:
            os.kill(busy_worker(d), number)
        s.sendall(b"still")
        assert s.recv(9) == b"still"
    wait_ledger(d, accepted=7, finished=7)
    assert worker_pids(d) == workers
    assert d.status()["reloads"] == d.status()["recycles"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGURG])
def test_a_waiting_child_that_is_told_to_leave(start, number):
    """Its worker leaves with it, and another comes."""
    d = start("exec cat")
    before = worker_pids(d)
    os.kill(waiting_child(before[0]), number)
    assert exchange(d.address(), b"x") == b"x"
    wait_replaced(d, before)
    wait_ledger(d, accepted=1, finished=1)
    assert pool(d)["workers_died"] == 0


def test_sigalrm_ends_the_program(start):
    """What the master sends: TERM to the group. Idle workers have nothing to end."""
    d = start(HANG, workers=2)
    s, pid = begin(d)
    with s:
        os.kill(busy_worker(d), signal.SIGALRM)
        assert read_all(s) == b""
    wait_gone([pid])
    wait_ledger(d, accepted=1, aborted_error=1, program_signals=1)
    told = worker_pids(d)
    for worker in told:
        os.kill(worker, signal.SIGALRM)
    wait_until("the signal", lambda: all(heard(w, signal.SIGALRM) for w in told))
    s, pid = begin(d)
    with s:
        os.kill(pid, signal.SIGKILL)
        assert read_all(s) == b""
    wait_until("two workers", lambda: len(worker_pids(d)) == 2)
    assert pool(d)["workers_died"] == 0


def test_sigvtalrm_kills_at_once(start):
    d = start(DEAF)
    worker, watch = worker_pids(d)[0], Watch()
    s, pid = begin(d)
    with s:
        os.kill(worker, signal.SIGVTALRM)
        wait_gone([pid, worker])
        assert watch.seconds() < 1.5
    wait_replaced(d, [worker])
    wait_ledger(d, accepted=1, aborted_error=1, program_signals=1)


# ---- deaths

def test_a_waiting_child_that_is_killed(start):
    """Nobody knows whether it had a client: the worker goes, and the next one serves."""
    d = start("exec cat")
    assert exchange(d.address(), b"0") == b"0"
    for i in range(1, 4):
        before = worker_pids(d)
        os.kill(waiting_child(before[0]), signal.SIGKILL)
        wait_gone(before)
        assert exchange(d.address(), b"x") == b"x"
    wait_ledger(d, accepted=4, finished=4)
    d.wait_log("the process that waits for the next client was killed by SIGKILL")


def test_a_worker_that_is_killed(start):
    """Its program dies with it, whatever that ignores; its client sees the end."""
    d = start(DEAF)
    s, pid = begin(d)
    with s:
        before = worker_pids(d)
        os.kill(before[0], signal.SIGKILL)
        try:
            assert s.recv(9) == b""
        except ConnectionResetError:
            pass
        wait_gone([pid, *before])
    wait_replaced(d, before)
    wait_ledger(d, accepted=1, aborted_death=1)
    child = waiting_child(worker_pids(d)[0])
    os.kill(worker_pids(d)[0], signal.SIGKILL)
    wait_gone([child])


def test_what_a_program_started_dies_with_the_worker(start, tmp_path):
    """The whole group."""
    d = start(f"sh -c 'echo $$ >{tmp_path}/pid; exec sleep 100' &\n"
              f"until test -s {tmp_path}/pid; do sleep 0.01; done; {HANG}")
    s, pid = begin(d)
    with s:
        os.kill(busy_worker(d), signal.SIGKILL)
        wait_gone([pid])
        wait_until("the end of the group", lambda: not left_over_group(pid), 5)


def test_a_master_that_is_killed(start):
    """Who is served is served, then nothing is left."""
    d = start("exec cat", workers=3)
    workers = worker_pids(d)
    waiting = [waiting_child(w) for w in workers]
    with connect(d.address()) as s:
        s.sendall(b"one")
        assert s.recv(9) == b"one"
        busy = busy_worker(d)
        d.process.kill()
        d.wait()
        wait_gone([pid for pid in workers if pid != busy])
        s.sendall(b"two")
        assert s.recv(9) == b"two"
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b""
    wait_gone([*workers, *waiting])


# ---- the end

def test_an_idle_daemon_stops_at_once(start):
    d = start("exec cat", workers=20)
    watch = Watch()
    assert d.stop() == 0
    assert watch.seconds() < 1.5


def test_a_stop_waits_for_programs(start):
    """They are served to their end, and so is who waits in the queue."""
    d = start("exec cat", workers=2)
    held = [connect(d.address()) for _ in range(2)]
    for s in held:
        s.sendall(b"begin ")
        assert s.recv(9) == b"begin "
    waiting = connect(d.address())
    waiting.sendall(b"waiting")
    waiting.shutdown(socket.SHUT_WR)
    d.signal(signal.SIGTERM)
    d.wait_log("SIGTERM: stopping")
    for s in held:
        s.sendall(b"end")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"end"
    assert read_all(waiting) == b"waiting"
    assert d.wait() == 0
    assert "killed" not in d.log()


@pytest.mark.parametrize("script", [HANG, DEAF, FAMILY], ids=["hang", "deaf", "family"])
@pytest.mark.parametrize("how", ["stop_timeout", "second"])
def test_a_program_that_hangs_does_not_outlive_the_daemon(start, script, how):
    """Not after stop_timeout, nor after a second TERM: nothing of its group does."""
    d = start(script, keys="stop_timeout = 300ms" if how == "stop_timeout" else "")
    s, _ = begin(d)
    with s:
        group = children(busy_worker(d))[0]
        watch = Watch()
        d.signal(signal.SIGTERM)
        d.wait_log("SIGTERM: stopping")
        if how == "second":
            d.signal(signal.SIGTERM)
        d.wait()
        assert watch.seconds() < 2.5
        assert not left_over_group(group)
        assert s.recv(9) == b""


@pytest.mark.parametrize("script", [HANG, FAMILY], ids=["hang", "family"])
def test_a_worker_that_stands_still(start, script):
    """SIGSTOP: it cannot end its program, so it goes by force; its pool goes on."""
    d = start(script, keys="stop_timeout = 300ms", workers=2)
    s, pid = begin(d)
    with s:
        worker = busy_worker(d)
        group = children(worker)[0]
        os.kill(worker, signal.SIGSTOP)
        wait_until("standstill", lambda: state(worker) == "T")
        other, its = begin(d)
        os.kill(its, signal.SIGKILL)
        other.close()
        watch = Watch()
        d.stop()
        assert watch.seconds() < 3
        wait_gone([worker, pid])
        wait_until("the end of the group", lambda: not left_over_group(group), 5)


def test_a_worker_that_stood_still_for_a_while(start):
    d = start("exec cat")
    [worker] = worker_pids(d)
    waiting_child(worker)
    os.kill(worker, signal.SIGSTOP)
    wait_until("standstill", lambda: state(worker) == "T")
    with connect(d.address()) as s:
        # Its child does not need it.
        s.sendall(b"served")
        assert s.recv(9) == b"served"
        s.shutdown(socket.SHUT_WR)
        wait_until("the program's end", lambda: state(children(worker)[0]) == "Z")
        os.kill(worker, signal.SIGCONT)
        assert read_all(s) == b""
    wait_ledger(d, accepted=1, finished=1)


def test_recycle_after(start):
    d = start("echo $PPID", keys="recycle_after = 3")
    served = [int(ask(d.address())) for _ in range(12)]
    assert sorted(served.count(pid) for pid in set(served)) == [3] * 4
    wait_until("the ledger", lambda: pool(d)["connections"]["finished"] == 12)
    assert pool(d)["workers_died"] == 0


def test_a_waiting_child_that_stands_still(start):
    """It cannot hear that it is to leave: it is ended with the time."""
    d = start("exec cat", keys="stop_timeout = 300ms")
    child = waiting_child(worker_pids(d)[0])
    os.kill(child, signal.SIGSTOP)
    wait_until("standstill", lambda: state(child) == "T")
    watch = Watch()
    d.stop()
    assert watch.seconds() < 2 and is_gone(child)


# ---- while it goes on

def test_a_program_goes_on_through_an_upgrade(start):
    d = start("exec cat", workers=2)
    with connect(d.address()) as s:
        s.sendall(b"before")
        assert s.recv(9) == b"before"
        worker = busy_worker(d)
        d.ctl("upgrade")
        assert exchange(d.address(), b"meanwhile") == b"meanwhile"
        s.sendall(b"after")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"after"
    wait_gone([worker])
    wait_ledger(d, accepted=2, finished=2)


@pytest.mark.parametrize("verb", ["upgrade", "reload", "recycle"])
def test_a_program_of_before_that_hangs(start, verb):
    """Its worker was told to leave: it may go on for stop_timeout, then all of its group is ended.
    Other clients do not wait for that."""
    d = start("read -r x || exit 1; " + FAMILY, keys="stop_timeout = 400ms\n umask = 0027")
    with connect(d.address()) as s:
        s.sendall(b"x\n")
        assert s.recv(9)
        worker = busy_worker(d)
        group = children(worker)[0]
        if verb == "reload":
            d.write_config(d.config_file.read_text().replace("0027", "0077"))
        watch = Watch()
        d.ctl(verb)
        assert exchange(d.address(), b"") == b""
        assert not is_gone(worker)
        wait_gone([worker])
        assert 0.3 < watch.seconds() < 2
        wait_until("the end of the group", lambda: not left_over_group(group), 2)
        assert s.recv(9) == b""
    d.wait_log(f"worker {worker} did not leave within its stop_timeout; killed")
    wait_until("the ledger", lambda: d.status()["connections"]["open"] == 0)
    found = d.status()["connections"]
    assert found["accepted"] == 2 == found["finished"] + found["aborted_error"] + found[
        "aborted_death"]


@pytest.mark.parametrize("upgrade", [False, True])
def test_who_left_the_group_outlives_the_worker(start, tmp_path, upgrade):
    """It has its own session, so it is let alone; when it ends it leaves no zombie."""
    d = start(f"setsid sh -c 'echo $$ >{tmp_path}/pid; exec sleep 100' >&- <&- 2>&- &\n"
              f"until test -s {tmp_path}/pid; do sleep 0.01; done; echo reply")
    before = worker_pids(d)
    assert ask(d.address()) == b"reply\n"
    pid = pid_in(tmp_path / "pid")
    if upgrade:
        d.ctl("upgrade")
    os.kill(before[0], signal.SIGKILL) if not upgrade else None
    wait_gone(before)
    wait_until("another worker", lambda: worker_pids(d))
    assert not is_gone(pid)
    os.kill(pid, signal.SIGKILL)
    wait_until("no zombie", lambda: not os.path.exists(f"/proc/{pid}"))
    assert d.stop() == 0


def test_a_program_that_kills_its_worker(start):
    """It may: they are of one user. Nothing but its own client is lost."""
    d = start("read -r x || exit 0; kill -KILL $PPID; exec sleep 100", workers=2)
    assert exchange(d.address(), b"") == b""
    for i in range(1, 4):
        assert ask(d.address(), b"x\n") == b""
        wait_until("two workers", lambda: len(worker_pids(d)) == 2)
        wait_ledger(d, accepted=1 + i, finished=1, aborted_death=i)
    assert exchange(d.address(), b"") == b""


def test_many_that_a_program_started(start):
    """Three hundred that ignore TERM: all are gone with the program, and no zombie is left."""
    d = start("trap '' TERM; i=0; while [ $i -lt 300 ]; do sleep 100 & i=$((i + 1)); done; "
              "echo $$; exec sleep 100")
    s, pid = begin(d)
    with s:
        os.kill(worker_pids(d)[0], signal.SIGVTALRM)
        wait_until("the end of all", lambda: not left_over_group(pid), 5)
    wait_until("another", lambda: worker_pids(d))
    s, pid = begin(d)
    with s:
        os.kill(worker_pids(d)[0], signal.SIGKILL)
        wait_until("the end of all", lambda: not left_over_group(pid), 5)
    wait_until("no zombie", lambda: not any(state(p) == "Z" for p in children(d.pid)))


def test_exit_idle(manage, tmp_path):
    """On demand: while a program runs the daemon is not idle."""
    d = manage("exit_idle = 500ms\n" + service("/bin/cat", "systemd://web", workers=2),
               ("web", TCP), env={MARK: str(tmp_path)})
    with connect(d.unit_addresses[0]) as s:
        s.sendall(b"x")
        assert s.recv(9) == b"x"
        watch = Watch()
        # Twice the time it may be idle for.
        with pytest.raises(AssertionError):
            wait_until("an end", lambda: d.process.poll() is not None, 1)
        s.sendall(b"y")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"y"
    assert d.wait() == 0
    assert watch.seconds() > 1.4
