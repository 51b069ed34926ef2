# SPDX-License-Identifier: ISC
"""Programs that serve clients: what passes between the two, how programs end, what they say on
stderr."""

import os
import re
import signal
import socket
import threading
import time

import pytest
from daemon import connect, exchange, wait_until
from execs import (TCP, Watch, ask, daemon_of_programs, pid_in, python,  # noqa: F401
                   read_all, service, shell, wait_idle, wait_ledger)
from look import is_gone, pool, wait_gone, worker_pids

FAMILIES = ["tcp4://127.0.0.1:0", "tcp6://[::1]:0", "tcp://*:0", "unix://DIR/s",
            "unixpacket://DIR/s"]


@pytest.fixture
def start(daemon, tmp_path):
    """A service whose program is a shell script."""
    def go(script, keys="", address=TCP, workers=1, make=shell, **kwargs):
        return daemon(service(make(tmp_path / "prog", script),
                              address.replace("DIR", str(tmp_path)), workers=workers, keys=keys),
                      **kwargs)
    return go


def said(d):
    """What programs said on stderr: pid and text of each line."""
    pattern = (rf'<6>preforkd\[\d+\]: service "main" \[{re.escape(d.address())}\]: '
               r'prog\[(\d+)\]: (.*)\n')
    return [(int(pid), text) for pid, text in re.findall(pattern, d.log())]


def texts(d):
    return [text for _, text in said(d)]


# ---- both ways

@pytest.mark.parametrize("address", FAMILIES)
def test_an_echo(daemon, tmp_path, address):
    d = daemon(service("/bin/cat", address.replace("DIR", str(tmp_path)), workers=2))
    data = os.urandom(100_000 if "packet" not in address else 5_000)
    for _ in range(5):
        with connect(d.address()) as s:
            threading.Thread(target=send_and_end, args=(s, data)).start()
            assert read_all(s) == data
    wait_ledger(d, accepted=5, finished=5)
    assert d.status()["workers"][0]["pid"] in worker_pids(d)


def send_and_end(s, data):
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)


def test_a_conversation(start):
    """Lines come and go while both stay."""
    d = start('while read -r line; do echo "got $line"; done; echo end')
    with connect(d.address()) as s:
        for i in range(20):
            s.sendall(b"%d\n" % i)
            assert s.recv(99) == b"got %d\n" % i
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"end\n"


def test_a_program_that_speaks_first_and_one_that_says_nothing(start):
    d = start('test "$TCPREMOTEIP" = 127.0.0.1 && echo hello')
    assert ask(d.address()) == b"hello\n"
    with socket.create_connection(("127.0.0.1", d.port()), 10, ("127.0.0.3", 0)) as s:
        assert read_all(s) == b""
    wait_ledger(d, accepted=2, finished=2, program_failures=1)


def test_shutdown_by_the_program(start):
    """The real socket: it may half-close itself, and read on."""
    d = start("import os, socket, sys\ns = socket.socket(fileno=os.dup(0))\ns.sendall(b'done')\n"
              "s.shutdown(socket.SHUT_WR)\nrest = s.recv(99)\nsys.stderr.write(rest.decode())",
              make=python)
    with connect(d.address()) as s:
        assert read_all(s) == b"done"
        s.sendall(b"after the end\n")
        s.shutdown(socket.SHUT_WR)
        d.wait_log(r"\]: after the end\n")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "unix://DIR/s"])
def test_a_program_that_never_reads(start, address):
    """The client sends 1 MiB all the same: its reply arrives whole, without a reset."""
    d = start("head -c 300000 /dev/zero", address=address)
    for _ in range(3):
        watch = Watch()
        with connect(d.address()) as s:
            sender = threading.Thread(target=send_what_goes, args=(s, 1 << 20))
            sender.start()
            assert len(read_all(s)) == 300_000
            sender.join()
        assert watch.seconds() < 1.5, "it was held up"
    wait_ledger(d, accepted=3, finished=3)


def send_what_goes(s, size):
    try:
        s.sendall(b"x" * size)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the reader says whether that did harm


def test_a_client_that_goes_on_sending(start):
    """It does not hold the worker up for ever."""
    d = start("echo over")
    with connect(d.address()) as s:
        s.sendall(b"x")
        assert s.recv(99) == b"over\n"
        watch = Watch()
        with pytest.raises(OSError):
            while True:
                s.send(b"x" * 100)
                time.sleep(0.01)  # a slow client: this is its pace
        assert watch.seconds() < 4
    assert ask(d.address()) == b"over\n"


def test_much_to_a_slow_client(start):
    """64 MiB through small buffers; the program has ended long before the last byte is read."""
    d = start("head -c 67108864 /dev/zero")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        s.settimeout(30)
        s.connect(("127.0.0.1", d.port()))
        total, pause = 0, threading.Event()
        while piece := s.recv(1 << 16):
            total += len(piece)
            if total % (1 << 23) < len(piece):
                pause.wait(0.05)  # slow: now and then it does not read at all
    assert total == 1 << 26
    wait_ledger(d, accepted=1, finished=1)


def test_a_reply_that_is_read_late(start):
    """Longer after the end than the worker waits for the client."""
    d = start("head -c 200000 /dev/zero")
    with connect(d.address()) as s:
        wait_ledger(d, accepted=1, finished=1)
        assert len(read_all(s)) == 200_000


# ---- how it ends

def test_exit_0(start):
    d = start("echo bye", keys="log_connections = true")
    assert ask(d.address()) == b"bye\n"
    d.wait_log(r"client 127\.0\.0\.1:\d+: finished after \d+\.\d+ ms")
    wait_ledger(d, accepted=1, finished=1)


def test_another_status(start):
    d = start("echo bye; exit 3")
    assert ask(d.address()) == b"bye\n"
    wait_ledger(d, accepted=1, finished=1, program_failures=1)
    assert [w["connections"]["program_failures"] for w in d.status()["workers"]] == [1]


@pytest.mark.parametrize("name", ["SEGV", "ABRT", "KILL", "TERM", "HUP", "PIPE"])
def test_a_signal(start, name):
    d = start(f"echo bye; kill -{name} $$", keys="limit_core = 0")
    [worker] = worker_pids(d)
    assert ask(d.address()) == b"bye\n"
    wait_ledger(d, accepted=1, aborted_error=1, program_signals=1)
    assert worker_pids(d) == [worker]
    assert pool(d)["workers_died"] == 0


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "unix://DIR/s"])
def test_a_client_that_goes_away(start, tmp_path, address):
    """The program gets SIGPIPE, which nobody made it ignore."""
    d = start(f"echo begun; until test -e {tmp_path}/go; do sleep 0.01; done\n"
              "while :; do echo more; sleep 0.005; done", address=address)
    with connect(d.address()) as s:
        assert s.recv(9) == b"begun\n"
    (tmp_path / "go").touch()
    wait_ledger(d, accepted=1, aborted_error=1, program_signals=1)
    assert pool(d)["workers_died"] == 0


def test_a_client_that_resets(start):
    d = start("while read -r line; do echo $line; done; echo over >&2")
    with connect(d.address()) as s:
        s.sendall(b"line\n")
        assert s.recv(9) == b"line\n"
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    d.wait_log("over")
    wait_ledger(d, accepted=1, finished=1)


def test_a_program_that_closes_early(start, tmp_path):
    """The connection is over when the program is."""
    d = start(f"echo reply; exec <&- >&-; echo $$ >{tmp_path}/pid\n"
              f"until test -e {tmp_path}/go; do sleep 0.01; done; exit 4")
    with connect(d.address()) as s:
        assert s.recv(9) == b"reply\n"
        pid_in(tmp_path / "pid")
        assert pool(d)["busy"] == 1
        (tmp_path / "go").touch()
        assert s.recv(9) == b""
    wait_ledger(d, accepted=1, finished=1, program_failures=1)


# ---- stderr

def test_lines_on_stderr(start):
    d = start('echo "$$"; echo one >&2; printf "two\\n\\nthree\\r\\nfour" >&2; echo out\n'
              'echo " five  " >&2; printf last >&2')
    pid = int(ask(d.address()).split()[0])
    d.wait_log(r"\]: last\n")
    assert said(d) == [(pid, t) for t in ("one", "two", "", "three", "four five  ", "last")]
    assert "out" not in texts(d)


def test_a_line_in_pieces_and_one_of_a_child(start):
    d = start("printf 'a' >&2; sleep 0.05; printf 'b' >&2; sleep 0.05; (echo c >&2); echo d >&2")
    ask(d.address())
    d.wait_log(r"\]: d\n")
    assert texts(d) == ["abc", "d"]


@pytest.mark.parametrize("size", [1023, 1024, 1025, 5000, 200_000])
def test_long_lines(start, size):
    """At most 1024 bytes, and "..." where there was more; the next line is a new one."""
    d = start(f"head -c {size} /dev/zero | tr '\\0' x >&2; echo >&2; echo next >&2")
    ask(d.address())
    d.wait_log(r"\]: next\n")
    assert texts(d) == ["x" * min(size, 1024) + ("..." if size > 1024 else ""), "next"]


def test_a_long_line_without_an_end(start):
    d = start("head -c 5000 /dev/zero | tr '\\0' x >&2")
    ask(d.address())
    d.wait_log(r"xxx\.\.\.\n")
    ask(d.address())
    wait_until("both", lambda: len(said(d)) == 2)
    assert texts(d) == ["x" * 1024 + "..."] * 2


def test_what_is_no_text_is_made_safe(start):
    data = (b"\x1b[2Jred\x00\x07\xff\xc3\xa4\xe2\x80\xae\t\\back\r.\x7f<3>forged\n"
            b"<0>preforkd[1]: forged\n")
    d = start(f"import os\nos.write(2, {data!r})", make=python)
    ask(d.address())
    d.wait_log(r"prog\[\d+\]: <0>preforkd\[1\]: forged\n")
    log = d.log_file.read_bytes()
    assert not set(log) & (set(range(32)) - {10} | {127})
    log.decode()  # it is text
    first, second = texts(d)
    assert first == ("\\x1b[2Jred\\x00\\x07\\xffä\\xe2\\x80\\xae\\t\\back\\x0d.\\x7f<3>forged")
    assert second == "<0>preforkd[1]: forged"


def test_a_long_line_of_binary(start):
    """What it becomes is bounded too, and the lines around it are not harmed."""
    d = start("echo before >&2; head -c 4000 /dev/zero >&2; echo >&2; echo after >&2")
    ask(d.address())
    d.wait_log(r"\]: after\n")
    first, line, last = texts(d)
    assert (first, last) == ("before", "after")
    assert line.startswith("\\x00" * 200) and line.endswith("...") and len(line) < 4200


FLOOD = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i + 1)); done >&2"


def suppressed(d):
    return [int(n) for n in re.findall(r"prog: (\d+) lines of stderr suppressed", d.log())]


def test_a_flood_is_limited_and_counted(start):
    """Every line is in the log or in the count, which comes when the second is over."""
    d = start(FLOOD + "; sleep 1.1; echo over >&2")
    ask(d.address())
    d.wait_log(r"\]: over\n")
    lines = [t for t in texts(d) if t.startswith("line")]
    assert lines[:100] == [f"line {i}" for i in range(100)]
    assert len(lines) + sum(suppressed(d)) == 3000
    assert len(suppressed(d)) <= 1 + len(lines) // 100


def test_a_flood_is_told_of_though_nothing_comes_after(start):
    """An administrator who looks sees that something is missing."""
    d = start(FLOOD)
    ask(d.address())
    wait_until("the count", lambda: suppressed(d), 5)
    assert len(texts(d)) + sum(suppressed(d)) == 3000


def test_a_flood_is_told_of_at_the_end(start):
    d = start(FLOOD)
    ask(d.address())
    wait_idle(d)
    assert d.stop() == 0
    assert len(texts(d)) + sum(suppressed(d)) == 3000


def test_a_flood_does_not_hold_the_program_up_nor_a_stop(start):
    d = start("echo begun; while :; do echo line; done >&2")
    with connect(d.address()) as s:
        assert s.recv(9) == b"begun\n"
        wait_until("suppression", lambda: suppressed(d))
        watch = Watch()
        d.signal(signal.SIGTERM)
        d.wait_log("stopping")
        d.signal(signal.SIGTERM)
        assert d.wait() == 0
        assert watch.seconds() < 3


def test_stderr_to_the_client(start):
    d = start("echo out; echo err >&2; echo out", keys='stderr = "client"')
    assert ask(d.address()) == b"out\nerr\nout\n"
    wait_ledger(d, accepted=1, finished=1)
    assert said(d) == [] and "err" not in d.log()


def test_the_log_level_is_for_programs_too(daemon, tmp_path):
    program = shell(tmp_path / "prog", "echo quiet >&2; echo done")
    d = daemon('log_level = "notice"\n' + service(program, f"unix://{tmp_path}/s"))
    assert ask(f"unix://{tmp_path}/s") == b"done\n"
    wait_idle(d)
    assert "quiet" not in d.log()


# ---- what a program leaves behind

def test_a_child_that_holds_the_socket(start, tmp_path):
    """It is told to end with the program; the client sees the end, and the worker serves on."""
    d = start(f"sleep 100 & echo $! >{tmp_path}/pid; echo reply")
    for i in range(1, 4):
        watch = Watch()
        assert ask(d.address()) == b"reply\n"
        assert watch.seconds() < 1.5, "TERM should have ended it"
        wait_ledger(d, accepted=i, finished=i)
        wait_gone([pid_in(tmp_path / "pid")])


def test_a_child_that_ignores_term_is_killed(start, tmp_path):
    d = start(f"sh -c 'trap \"\" TERM; echo $$ >{tmp_path}/pid; exec sleep 100' &\n"
              f"until test -s {tmp_path}/pid; do sleep 0.01; done; echo reply")
    watch = Watch()
    assert ask(d.address()) == b"reply\n"
    assert watch.seconds() < 1, "the client need not wait for it"
    wait_gone([pid_in(tmp_path / "pid")])
    wait_ledger(d, accepted=1, finished=1)
    assert 1.5 < watch.seconds() < 4


def test_a_grandchild_ends_with_the_group(start, tmp_path):
    d = start(f"sh -c 'sleep 100 & echo $! >{tmp_path}/pid; sleep 100' &\n"
              f"until test -s {tmp_path}/pid; do :; done; echo reply")
    assert ask(d.address()) == b"reply\n"
    wait_gone([pid_in(tmp_path / "pid")])
    wait_ledger(d, accepted=1, finished=1)


def test_a_child_that_left_the_group(start, tmp_path):
    """With setsid() it lives on; nobody waits for it, and it takes nothing from the clients."""
    d = start(f"rm -f {tmp_path}/pid; setsid sh -c 'echo $$ >{tmp_path}/pid; exec sleep 100' &\n"
              f"until test -s {tmp_path}/pid; do sleep 0.01; done; echo reply")
    escaped = []
    for _ in range(3):
        watch = Watch()
        assert ask(d.address()) == b"reply\n"
        assert watch.seconds() < 1.5
        escaped.append(pid_in(tmp_path / "pid"))
    wait_ledger(d, accepted=3, finished=3)
    assert [is_gone(pid) for pid in escaped] == [False] * 3
    for pid in escaped:
        os.kill(pid, signal.SIGKILL)
    # Nor do they stay as zombies of their worker, which got them.
    wait_until("all reaped", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in escaped))


def test_a_child_that_ends_with_its_program(start):
    """Both at the same moment, as a privileged and its unprivileged half: nobody waits for what has
    ended already."""
    d = start("(sleep 0.02; exit) & sleep 0.02")
    for _ in range(20):
        watch = Watch()
        assert exchange(d.address(), b"") == b""
        wait_idle(d)
        assert watch.seconds() < 1.5
