# SPDX-License-Identifier: ISC
"""Programs that hang, are gone or cannot be started; clients that are gone; too little of
everything."""

import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from daemon import connect, exchange, wait_until
from execs import (DEAF, HANG, Watch, ask, begin, children, daemon_of_programs,  # noqa: F401
                   left_over_group, read_all, service, shell, start_with_a_script,
                   waiting_child, wait_ledger)
from look import busy_worker, cpu_seconds, is_gone, pool, wait_gone, worker_pids

# ---- connection_timeout

@pytest.mark.parametrize("stays", [True, False])
def test_a_program_that_hangs(start, tmp_path, stays):
    """With its client, or after that has gone: TERM after connection_timeout."""
    d = start(HANG, keys="connection_timeout = 500ms", workers=2)
    workers = set(worker_pids(d))
    watch = Watch()
    s, pid = begin(d)
    if not stays:
        s.close()
    wait_gone([pid])
    assert 0.45 < watch.seconds() < 3
    if stays:
        assert read_all(s) == b""
        s.close()
    wait_ledger(d, accepted=1, timed_out=1)
    d.wait_log(rf"<4>preforkd\[\d+\]: service \"main\" \[.*\]: {tmp_path}/prog\[{pid}\] for client "
               r"127\.0\.0\.1:\d+ was ended after its connection_timeout: \d+\.\d+ s, "
               r"\d+ bytes in, \d+ out; it (was waiting|was at work|had ended)\n")
    assert set(worker_pids(d)) == workers


def test_a_program_that_hangs_and_ignores_term(start):
    """KILL 2 s later, for all of its group; other clients are served meanwhile."""
    d = start(f"(trap '' TERM; exec sleep 100) & {DEAF}", workers=2,
              keys="connection_timeout = 500ms")
    watch = Watch()
    s, _ = begin(d)
    with s:
        group = children(busy_worker(d))[0]
        wait_until("its end", lambda: not left_over_group(group))
        assert 2.4 < watch.seconds() < 5
    wait_ledger(d, accepted=1, timed_out=1)


def test_a_program_that_was_stopped(start):
    d = start(HANG, keys="connection_timeout = 500ms")
    s, pid = begin(d)
    with s:
        os.kill(pid, signal.SIGSTOP)
        wait_gone([pid])
    wait_ledger(d, accepted=1, timed_out=1)


def test_who_is_told_to_end_may_say_so(start):
    """TERM comes first, so that a server can tell its client why."""
    d = start("trap 'echo too late; exit' TERM; echo hello; read -r line",
              keys="connection_timeout = 500ms")
    assert ask(d.address()) == b"hello\ntoo late\n"
    wait_ledger(d, accepted=1, timed_out=1)


def test_the_time_begins_with_the_client(start):
    """Not when the worker begins to wait for one; and one that is in time is not late."""
    d = start("echo fine", keys="connection_timeout = 500ms")
    for _ in range(3):
        assert ask(d.address()) == b"fine\n"
        threading.Event().wait(0.6)  # longer than a client may take
    wait_ledger(d, accepted=3, finished=3)
    assert "was ended" not in d.log()


def test_a_program_that_leaves_its_group(start):
    """A leader cannot have a session of its own, but it can join another group."""
    d = start("exec perl -e 'setpgrp(0, getpgrp(getppid)) or die; $| = 1; print \"$$\\n\";\n"
              "sleep 100'",
              keys="connection_timeout = 500ms")
    s, pid = begin(d)
    with s:
        assert os.getpgid(pid) != pid
        wait_until("its end", lambda: is_gone(pid), 6)
    wait_ledger(d, accepted=1, timed_out=1)


# ---- programs that cannot be executed

def test_a_program_that_is_removed(start, tmp_path):
    """Its clients get an end of file, each is counted; when it is back all is well."""
    d = start("echo here")
    [worker] = worker_pids(d)
    assert ask(d.address()) == b"here\n"
    # The next process exists already, but has not looked for the program yet.
    (tmp_path / "prog").rename(tmp_path / "away")
    for _ in range(5):
        assert ask(d.address(), b"unread") == b""
    d.wait_log(rf'<3>preforkd\[{worker}\]: service "main" \[.*\]: {tmp_path}/prog: No such file')
    wait_ledger(d, accepted=6, finished=1, aborted_error=5)
    (tmp_path / "away").rename(tmp_path / "prog")
    assert ask(d.address()) == b"here\n"
    (tmp_path / "prog").chmod(0o644)
    assert ask(d.address()) == b""
    (tmp_path / "prog").chmod(0o755)
    assert ask(d.address()) == b"here\n"
    wait_ledger(d, accepted=9, finished=3, aborted_error=6)
    assert worker_pids(d) == [worker] and pool(d)["workers_died"] == 0


def test_a_program_that_is_replaced(start, tmp_path):
    """Each start loads it anew: its new text is served at once."""
    d = start("echo one")
    assert ask(d.address()) == b"one\n"
    shell(tmp_path / "prog", "echo two")
    assert ask(d.address()) == b"two\n"
    d.ctl("recycle")
    assert ask(d.address()) == b"two\n"


# ---- what there is too little of

def set_soft_limit(pid, name, value):
    """As the user of the process: root may not everywhere."""
    status = os.stat(f"/proc/{pid}")
    subprocess.run(["prlimit", "--pid", str(pid), f"--{name}={value}:"], check=True,
                   user=status.st_uid, group=status.st_gid, extra_groups=[])


def soft_limit(pid, what):
    text = Path(f"/proc/{pid}/limits").read_text()
    return re.search(rf"^{what}\s+(\S+)", text, re.M)[1]


def test_a_worker_without_descriptors(start):
    """It waits, says so, and serves who waited."""
    d = start("exec cat")
    [worker] = worker_pids(d)
    soft = soft_limit(worker, "Max open files")
    with connect(d.address()) as first, connect(d.address()) as waiting:
        first.sendall(b"1")
        assert first.recv(9) == b"1"
        set_soft_limit(worker, "nofile", 4)  # no less: poll() wants as many as it looks at
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


@pytest.fixture(name="start_reachable")
def start_reachable_programs(daemon):
    return lambda keys: daemon(service("/bin/cat", keys=keys))


def test_a_fork_that_fails(start_reachable, is_root):
    """The clients wait, as for a worker that is busy."""
    d = start_reachable('user = "12345"\n group = "12345"')
    [worker] = worker_pids(d)
    waiting_child(worker)
    soft = soft_limit(worker, "Max processes")
    set_soft_limit(worker, "nproc", 1)
    assert exchange(d.address(), b"by the child that was there") == b"by the child that was there"
    with connect(d.address()) as waiting:
        waiting.sendall(b"waiting")
        used = cpu_seconds(worker)
        d.wait_log(r"clone: Resource temporarily unavailable; trying again every 100 ms")
        wait_until("more", lambda: pool(d)["connections"]["accept_errors"] >= 4)
        assert cpu_seconds(worker) - used < 0.2
        set_soft_limit(worker, "nproc", soft)
        assert waiting.recv(99) == b"waiting"
    wait_ledger(d, accepted=2, finished=2)
    assert worker_pids(d) == [worker] and pool(d)["workers_died"] == 0


def test_a_stop_while_forks_fail(start_reachable, is_root):
    d = start_reachable('user = "12345"\n group = "12345"')
    [worker] = worker_pids(d)
    waiting_child(worker)
    set_soft_limit(worker, "nproc", 1)
    assert exchange(d.address(), b"x") == b"x"
    wait_until("errors", lambda: pool(d)["connections"]["accept_errors"] >= 2)
    watch = Watch()
    assert d.stop() == 0
    assert watch.seconds() < 2 and "killed" not in d.log()


def test_a_program_that_may_not_fork(daemon, is_root):
    """limit_nproc is for programs; their worker can always start the next."""
    d = daemon(service(["/bin/sh", "-c", "(echo never); echo never"],
                       keys='user = "12346"\n group = "12346"\n limit_nproc = 1'))
    for _ in range(3):
        assert ask(d.address()) == b""
    wait_ledger(d, accepted=3, finished=3, program_failures=3)
    assert re.search("sh.*[Cc]annot fork", d.log()), d.log()


def test_a_program_that_gets_no_memory(start):
    """It dies while it is loaded; that is the program's end, not the worker's."""
    d = start("echo never", keys="limit_as = 100K\n limit_core = 0")
    [worker] = worker_pids(d)
    for _ in range(3):
        assert ask(d.address()) == b""
    found = wait_until("three", lambda: pool(d)["connections"]["accepted"] == 3 and
                       pool(d)["busy"] == 0 and pool(d)["connections"])
    assert found["program_signals"] + found["program_failures"] == 3
    assert worker_pids(d) == [worker]


# ---- clients that are gone

def test_a_client_that_was_gone_before_it_was_accepted(start):
    """A reset in the queue: its program finds that out, like any that reads or writes."""
    d = start("echo $TCPREMOTEIP $TCPLOCALIP >&2; exec cat")
    first = connect(d.address())
    first.sendall(b"held")
    assert first.recv(9) == b"held"
    for data in (b"", b"some"):
        with connect(d.address()) as s:
            s.sendall(data)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    first.close()
    assert exchange(d.address(), b"next") == b"next"
    found = wait_until("rest", lambda: pool(d)["busy"] == 0 and pool(d)["connections"])
    assert found["accepted"] == found["finished"] + found["aborted_error"]
    # The kernel hands such clients out, or does not.
    assert 2 <= found["accepted"] <= 4
    said = re.findall(r"prog\[\d+\]: (.*)", d.log())
    assert {t for t in said if not t.startswith("cat:")} == {"127.0.0.1 127.0.0.1"}
    assert pool(d)["workers_died"] == 0


# ---- a daemon that was started by hand

def test_no_controlling_terminal(start):
    """A program that asks for a password on /dev/tty must not stop the one who started the
    daemon, nor hang for ever."""
    master, slave = os.openpty()

    def own_terminal():
        os.setsid()
        os.close(os.open(os.ttyname(slave), os.O_RDWR))

    d = start("if (: </dev/tty) 2>/dev/null; then echo terminal; else echo none; fi",
              preexec=own_terminal)
    try:
        assert ask(d.address()) == b"none\n"
    finally:
        d.stop()
        os.close(slave)
        os.close(master)
