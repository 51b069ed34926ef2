# SPDX-License-Identifier: ISC
"""Programs that wait for their clients: what passes between the two, what they are executed with."""

import os
import re
import signal
import socket
import threading
import time

import pytest
from daemon import connect, wait_until
from execs import (Watch, ask, daemon_of_programs, facts, facts_program, python,  # noqa: F401
                   read_all, wait_idle, wait_ledger)
from look import pool, wait_gone, worker_pids
from prestarts import programs_of, start_ahead, switches, the_program  # noqa: F401
from support import descriptors

FAMILIES = ["tcp4://127.0.0.1:0", "tcp6://[::1]:0", "tcp://*:0", "unix://DIR/s", "unixpacket://DIR/s"]
STREAMS = ["tcp4://127.0.0.1:0", "unix://DIR/s"]


def send_and_end(s, data):
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)


def send_what_goes(s, data):
    try:
        send_and_end(s, data)
    except OSError:
        pass  # the reader says whether that did harm


# ---- before the client

def test_it_is_there_before_the_client(start, tmp_path):
    d = start(f"echo $$ >>{tmp_path}/started; read -r line; echo $$ $line")
    wait_until("its start", (tmp_path / "started").exists)
    pids = []
    for i in range(5):
        waiting = the_program(d)
        pid, text = ask(d.address(), b"%d\n" % i).split()
        assert (int(pid), text) == (waiting, b"%d" % i)
        pids.append(waiting)
        the_program(d, but=waiting)
    assert len(set(pids)) == 5
    wait_ledger(d, accepted=5, finished=5)


def test_every_worker_has_one(start):
    d = start(["/bin/cat"], workers=4)
    wait_until("four", lambda: len(programs_of(d)) == 4)
    with connect(d.address()) as s:
        s.sendall(b"x")
        assert s.recv(9) == b"x"
        assert len(programs_of(d)) == 4


def test_a_client_that_comes_while_it_starts(start, tmp_path):
    """It waits for the program, not for another one."""
    d = start(f"until test -e {tmp_path}/go; do sleep 0.01; done; read -r line; echo $$ $line")
    waiting = the_program(d)
    with connect(d.address()) as s:
        s.sendall(b"early\n")
        wait_until("busy", lambda: pool(d)["busy"] == 1)
        (tmp_path / "go").touch()
        assert read_all(s) == b"%d early\n" % waiting


def test_nothing_happens_without_a_client(start):
    """Neither wakes up, for a day if need be."""
    d = start(["/bin/cat"])
    both = [the_program(d), *worker_pids(d)]
    wait_until("sleep", lambda: rest(both))
    before = [switches(pid) for pid in both]
    time.sleep(1)  # what is tested is that nothing comes of it
    assert [switches(pid) for pid in both] == before
    assert ask_cat(d) == b"x"


def rest(pids):
    before = [switches(pid) for pid in pids]
    time.sleep(0.1)
    return before == [switches(pid) for pid in pids]


def ask_cat(d):
    with connect(d.address()) as s:
        send_and_end(s, b"x")
        return read_all(s)


# ---- both ways

@pytest.mark.parametrize("address", FAMILIES)
def test_an_echo(start, address):
    d = start(["/bin/cat"], address=address, workers=2)
    data = os.urandom(300_000 if "packet" not in address else 5_000)
    for _ in range(5):
        with connect(d.address()) as s:
            sender = threading.Thread(target=send_and_end, args=(s, data))
            sender.start()
            assert read_all(s) == data
            sender.join()
    wait_ledger(d, accepted=5, finished=5)


def test_a_conversation(start):
    d = start('while read -r line; do echo "got $line"; done; echo end')
    with connect(d.address()) as s:
        for i in range(50):
            s.sendall(b"%d\n" % i)
            assert s.recv(99) == b"got %d\n" % i
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"end\n"


def test_records_stay_records(start):
    d = start("import socket\ns = socket.socket(fileno=0)\n"
              "while data := s.recv(99):\n    s.send(b'<' + data + b'>')", make=python,
              address="unixpacket://DIR/s")
    with connect(d.address()) as s:
        for data in (b"one", b"two", b"three"):
            s.send(data)
        for data in (b"one", b"two", b"three"):
            assert s.recv(99) == b"<" + data + b">"
        s.shutdown(socket.SHUT_WR)
        assert s.recv(99) == b""


def test_a_program_that_speaks_first(start):
    d = start("echo 220 hello; read -r line; echo 221 $line")
    for _ in range(3):
        with connect(d.address()) as s:
            assert s.recv(99) == b"220 hello\n"
            s.sendall(b"bye\n")
            assert read_all(s) == b"221 bye\n"
    wait_ledger(d, accepted=3, finished=3)


def test_a_half_close_by_the_program(start):
    """It ends its output, and reads on."""
    d = start("import os, socket, sys\ns = socket.socket(fileno=os.dup(0))\ns.recv(99)\n"
              "s.sendall(b'done')\ns.shutdown(socket.SHUT_WR)\nrest = s.recv(99)\n"
              "sys.stderr.write(rest.decode())", make=python)
    with connect(d.address()) as s:
        s.sendall(b"x")
        assert read_all(s) == b"done"
        s.sendall(b"after the end\n")
        s.shutdown(socket.SHUT_WR)
        d.wait_log(r"\]: after the end\n")
    wait_ledger(d, accepted=1, finished=1)


def test_a_half_close_by_the_client(start, tmp_path):
    """The program reads the end, and has all the time it wants for its answer."""
    d = start(f"cat >{tmp_path}/in; until test -e {tmp_path}/go; do sleep 0.01; done; wc -c <{tmp_path}/in")
    with connect(d.address()) as s:
        send_and_end(s, b"x" * 200_000)
        wait_until("all", lambda: (tmp_path / "in").exists() and
                   (tmp_path / "in").stat().st_size == 200_000)
        (tmp_path / "go").touch()
        assert read_all(s).strip() == b"200000"
    wait_ledger(d, accepted=1, finished=1)


@pytest.mark.parametrize("address", STREAMS)
def test_a_program_that_never_reads(start, address):
    """The client sends 1 MiB all the same: its reply arrives whole, without a reset."""
    d = start("import os, select\nselect.select([0], [], [])\nos.write(1, b'x' * 100000)",
              address=address, make=python)
    for _ in range(5):
        with connect(d.address()) as s:
            sender = threading.Thread(target=send_what_goes, args=(s, b"x" * (1 << 20)))
            sender.start()
            assert len(read_all(s)) == 100_000
            sender.join()
    wait_ledger(d, accepted=5, finished=5)


def test_much_to_a_slow_client(start):
    """64 MiB through small buffers; the program has ended long before the last byte is read."""
    d = start("read -r line; head -c 67108864 /dev/zero")
    [worker] = worker_pids(d)
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        s.settimeout(30)
        s.connect(("127.0.0.1", d.port()))
        s.sendall(b"\n")
        total, pause, most = 0, threading.Event(), 0
        while piece := s.recv(1 << 16):
            total += len(piece)
            if total % (1 << 23) < len(piece):
                pause.wait(0.05)  # slow: now and then it does not read at all
                most = max(most, resident(worker))
    assert total == 1 << 26
    assert most < 16 << 20
    wait_ledger(d, accepted=1, finished=1)


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


def test_much_from_a_client(start):
    d = start(["/usr/bin/sha256sum"])
    data = os.urandom(1 << 20)
    with connect(d.address()) as s:
        for _ in range(64):
            s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        assert re.match(rb"[0-9a-f]{64} ", read_all(s))
    wait_ledger(d, accepted=1, finished=1)


def test_memory_is_given_back(start):
    """A worker that once moved much is as small as one that never did."""
    d = start(["/bin/cat"])
    [worker] = worker_pids(d)
    assert ask_cat(d) == b"x"
    before = anonymous(worker)
    data = os.urandom(8 << 20)
    with connect(d.address()) as s:
        sender = threading.Thread(target=send_and_end, args=(s, data))
        sender.start()
        assert read_all(s) == data
        sender.join()
    wait_idle(d)
    assert anonymous(worker) < before + 65536


def anonymous(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as smaps:
        return int(re.search(r"^Anonymous:\s+(\d+) kB", smaps.read(), re.M)[1]) * 1024


def test_a_reply_that_is_read_late(start):
    """Longer after the end than the worker waits for the client."""
    d = start("read -r line; head -c 100000 /dev/zero")
    with connect(d.address()) as s:
        s.sendall(b"\n")
        wait_ledger(d, accepted=1, finished=1)
        assert len(read_all(s)) == 100_000


# ---- how it is executed

def test_what_it_is_executed_with(start, facts_program):
    """No variable of a client, no other descriptor, one socket as input and output."""
    d = start([facts_program], keys='environment = {"ONE=1"}\nlog_connections = true')
    found = facts(d.address())
    names = set(found.environment())
    assert {"ONE", "PREFORKD_SERVICE", "PREFORKD_INSTANCE"} <= names
    assert not [n for n in names if n.startswith(("TCP", "IPC", "REMOTE_", "SERVER_")) or n == "PROTO"]
    for name in ("LISTEN_FDS", "NOTIFY_SOCKET", "WATCHDOG_USEC"):
        assert name not in names


def test_its_socket_is_one_of_a_pair(start):
    d = start("import os, socket\na, b = (socket.socket(fileno=os.dup(fd)) for fd in (0, 1))\n"
              "same = os.fstat(0).st_ino == os.fstat(1).st_ino\n"
              "print(a.family.name, a.type.name, same, repr(a.getpeername()), "
              "sorted(os.listdir('/proc/self/fd'))[:3], os.getpgid(0) == os.getpid(), flush=True)",
              make=python, keys="log_connections = true")
    assert ask(d.address()) == b"AF_UNIX SOCK_STREAM True '' ['0', '1', '2'] True\n"


def test_signals_and_descriptors(start):
    """Nothing of what the worker has."""
    d = start("grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status; ls /proc/$$/fd | wc -l; read -r line")
    with connect(d.address()) as s:
        s.sendall(b"\n")
        blocked, ignored, _, count = read_all(s).splitlines()
        assert int(blocked.split()[1], 16) == 0
        assert int(ignored.split()[1], 16) == 0
        assert int(count) <= 4  # the shell has its script open


def test_lines_on_stderr(start):
    """At once, with a client or without one."""
    d = start("echo started >&2; read -r line; echo got $line >&2; echo bye")
    first = the_program(d)
    d.wait_log(rf"prog\[{first}\]: started\n")
    assert ask(d.address(), b"it\n") == b"bye\n"
    d.wait_log(rf"prog\[{first}\]: got it\n")
    second = the_program(d, but=first)
    d.wait_log(rf"prog\[{second}\]: started\n")


def test_stderr_to_the_client(start):
    d = start("echo early >&2; read -r line; echo out; echo err >&2", keys='stderr = "client"')
    assert ask(d.address(), b"\n") == b"early\nout\nerr\n"
    assert "early" not in d.log()


def test_a_flood_on_stderr_does_not_keep_clients_out(start):
    d = start("(while :; do echo flood; done >&2) & read -r line; echo $line")
    for i in range(3):
        d.wait_log(r"lines of stderr suppressed", count=i + 1)
        watch = Watch()
        assert ask(d.address(), b"x\n") == b"x\n"
        assert watch.seconds() < 3


# ---- how it ends

def test_a_status_and_a_signal(start):
    d = start("read -r line; echo bye; eval $line")
    assert ask(d.address(), b"exit 3\n") == b"bye\n"
    wait_ledger(d, accepted=1, finished=1, program_failures=1)
    assert ask(d.address(), b"kill -SEGV $$\n") == b"bye\n"
    wait_ledger(d, accepted=2, finished=1, aborted_error=1, program_failures=1, program_signals=1)
    assert pool(d)["workers_died"] == 0


def test_log_connections(start):
    d = start(["/bin/cat"], keys="log_connections = true")
    assert ask_cat(d) == b"x"
    d.wait_log(r"client 127\.0\.0\.1:\d+: finished after \d+\.\d+ ms")


def test_recycle_after(start):
    """No program is started for a client that this worker will never have."""
    d = start(["/bin/cat"], keys="recycle_after = 3")
    seen = set()
    for _ in range(12):
        seen.update(worker_pids(d))
        assert ask_cat(d) == b"x"
    wait_until("others", lambda: pool(d)["workers_started"] >= 3)
    assert pool(d)["workers_died"] == 0


def test_a_stop_ends_those_that_wait(start):
    d = start(["/bin/cat"], workers=3)
    waiting = wait_until("three", lambda: len(programs_of(d)) == 3 and programs_of(d))
    watch = Watch()
    assert d.stop() == 0
    assert watch.seconds() < 2
    wait_gone(waiting)


def test_a_stop_serves_who_is_there(start):
    d = start('while read -r line; do echo "got $line"; done; echo end')
    with connect(d.address()) as s:
        s.sendall(b"1\n")
        assert s.recv(99) == b"got 1\n"
        d.signal(signal.SIGTERM)
        d.wait_log("stopping")
        s.sendall(b"2\n")
        assert s.recv(99) == b"got 2\n"
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"end\n"
    assert d.wait() == 0


def test_a_second_term_ends_all(start):
    d = start("trap '' TERM; echo $$; while :; do sleep 100; done")
    with connect(d.address()) as s:
        pid = int(s.recv(99))
        d.signal(signal.SIGTERM)
        d.wait_log("stopping")
        watch = Watch()
        d.signal(signal.SIGTERM)
        assert d.wait() == 0
        assert watch.seconds() < 3
        wait_gone([pid])


def test_no_descriptor_is_left(start):
    d = start(["/bin/cat"])
    [worker] = worker_pids(d)
    assert ask_cat(d) == b"x"
    wait_idle(d)
    first = the_program(d)
    before = [re.sub(r"\d+", "N", fd) for fd in descriptors(worker)]
    for _ in range(50):
        assert ask_cat(d) == b"x"
    wait_idle(d)
    the_program(d, but=first)
    assert [re.sub(r"\d+", "N", fd) for fd in descriptors(worker)] == before


def test_a_recycle_replaces_what_waits(start):
    d = start(["/bin/cat"], workers=2)
    before = set(wait_until("two", lambda: len(programs_of(d)) == 2 and programs_of(d)))
    d.ctl("recycle")
    wait_until("others", lambda: len(programs_of(d)) == 2 and not before & set(programs_of(d)))
    wait_gone(before)
    assert ask_cat(d) == b"x"
