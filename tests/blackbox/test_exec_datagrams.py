# SPDX-License-Identifier: ISC
"""Programs that answer datagrams: one datagram is their input, their output is the reply."""

import os
import re
import signal
import socket

import pytest
from daemon import connect, exchange, wait_until
from execs import (Watch, children, daemon_of_programs, pid_in, service, shell,  # noqa: F401
                   wait_idle, wait_ledger)
from look import busy_worker, is_gone, pool, wait_gone, worker_pids
from support import descriptors

UDP = "udp://127.0.0.1:0"
FAMILIES = [UDP, "udp6://[::1]:0", "udp://*:0", "unixgram://DIR/s"]
UDP_MOST = 65507


@pytest.fixture(name="start")
def start_with_a_script(daemon, tmp_path):
    def go(program, keys="", address=UDP, workers=1, make=shell, **kwargs):
        if isinstance(program, str):
            program = make(tmp_path / "prog", program)
        return daemon(service(program, address.replace("DIR", str(tmp_path)), workers=workers,
                              keys=keys), **kwargs)
    return go


def variables(text):
    return dict(line.split("=", 1) for line in text.decode().splitlines())


def nothing_comes(s, seconds=0.3):
    s.settimeout(seconds)
    with pytest.raises(TimeoutError):
        s.recv(1 << 16)


# ---- what passes

@pytest.mark.parametrize("address", FAMILIES)
def test_an_echo(start, address):
    d = start(["/bin/cat"], address=address, workers=2)
    for size in (1, 100, 8000, 60000):
        data = os.urandom(size)
        assert exchange(d.address(), data) == data
    wait_ledger(d, accepted=4, finished=4)


def test_the_largest_there_is(start):
    d = start(["/bin/cat"])
    data = os.urandom(UDP_MOST)
    assert exchange(d.address(), data) == data
    wait_ledger(d, accepted=1, finished=1)


def test_an_empty_datagram(start):
    """An end of file at once; the reply may still be something."""
    d = start("wc -c")
    assert exchange(d.address(), b"").strip() == b"0"


def test_an_empty_reply_is_none(start):
    d = start("cat >/dev/null")
    with connect(d.address()) as s:
        s.send(b"x")
        wait_ledger(d, accepted=1, finished=1)
        nothing_comes(s)


def test_a_reply_in_pieces_is_one(start):
    d = start("echo one; sleep 0.1; cat; sleep 0.1; echo three")
    assert exchange(d.address(), b"two\n") == b"one\ntwo\nthree\n"


@pytest.mark.parametrize("size", [UDP_MOST + 1, 1_000_000])
def test_more_than_a_datagram(start, tmp_path, size):
    """An error in the log, and no reply; the next one is answered."""
    d = start("read -r n; head -c $n /dev/zero")
    with connect(d.address()) as s:
        s.send(b"%d\n" % size)
        d.wait_log(rf"<4>.* {tmp_path}/prog\[\d+\] for client 127\.0\.0\.1:{s.getsockname()[1]} "
                   r"wrote more than fits into a datagram: no reply\n")
        s.send(b"%d\n" % UDP_MOST)
        assert len(s.recv(1 << 16)) == UDP_MOST
    wait_until("both", lambda: pool(d)["busy"] == 0)
    found = pool(d)["connections"]
    assert (found["accepted"], found["aborted_error"], found["finished"]) == (2, 1, 1)


def test_stderr_goes_to_the_log(start):
    d = start("echo out; echo err >&2")
    assert exchange(d.address(), b"x") == b"out\n"
    d.wait_log(r"prog\[\d+\]: err\n")


def test_stderr_to_the_client(start):
    d = start("echo out; echo err >&2; echo out", keys='stderr = "client"')
    assert exchange(d.address(), b"x") == b"out\nerr\nout\n"
    assert "err" not in d.log()


# ---- what it is executed with

def test_variables_of_udp(start):
    d = start("env", keys='environment = {"ONE=1"}')
    with connect(d.address()) as s:
        s.send(b"x")
        found = variables(s.recv(1 << 16))
        port = str(s.getsockname()[1])
    assert found["PROTO"] == "UDP"
    assert (found["UDPREMOTEIP"], found["UDPREMOTEPORT"]) == ("127.0.0.1", port)
    assert (found["UDPLOCALIP"], found["UDPLOCALPORT"]) == ("127.0.0.1", str(d.port()))
    assert (found["REMOTE_ADDR"], found["REMOTE_HOST"]) == ("127.0.0.1", "127.0.0.1")
    assert found["REMOTE_PORT"] == port
    assert (found["SERVER_ADDR"], found["SERVER_PORT"]) == ("127.0.0.1", str(d.port()))
    assert (found["ONE"], found["PREFORKD_SERVICE"]) == ("1", "main")
    assert not [n for n in found if n.startswith(("TCP", "IPC", "LISTEN_", "NOTIFY_"))]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1"])
def test_the_address_it_came_to(start, host):
    """Of a wildcard too; the reply leaves from there, and an IPv4 address looks like one."""
    d = start("env", address="udp://*:0")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.sendto(b"x", (host, d.port()))
        text, source = s.recvfrom(1 << 16)
    found = variables(text)
    assert source[:2] == (host, d.port())
    assert (found["UDPLOCALIP"], found["SERVER_ADDR"]) == (host, host)
    assert (found["UDPLOCALPORT"], found["SERVER_PORT"]) == (str(d.port()),) * 2
    assert found["UDPREMOTEIP"] == ("::1" if ":" in host else "127.0.0.1")


def test_variables_of_unix(start, tmp_path):
    start("env", address="unixgram://DIR/s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.bind(str(tmp_path / "client"))
        s.connect(str(tmp_path / "s"))
        s.send(b"x")
        found = variables(s.recv(1 << 16))
    assert found["PROTO"] == "IPC"
    assert found["IPCLOCALPATH"] == str(tmp_path / "s")
    assert found["IPCREMOTEPATH"] == found["REMOTE_ADDR"] == str(tmp_path / "client")
    assert not [n for n in found if n.startswith(("TCP", "UDP", "SERVER_"))]


def test_a_client_without_an_address(start, tmp_path):
    """Its program runs; there is nobody to answer."""
    d = start(f"cat >{tmp_path}/got; echo reply", address="unixgram://DIR/s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(b"message", str(tmp_path / "s"))
    wait_ledger(d, accepted=1, finished=1)
    assert (tmp_path / "got").read_bytes() == b"message"


def test_signals_descriptors_and_group(start):
    d = start("grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/$$/fd | wc -l\n"
              "test $(ps -o pgid= -p $$) = $$ && echo leader")
    blocked, ignored, count, leader = exchange(d.address(), b"x").splitlines()
    assert int(blocked.split()[1], 16) == int(ignored.split()[1], 16) == 0
    assert int(count) <= 4  # the shell has its script open
    assert leader == b"leader"


# ---- how it ends

def test_a_status(start):
    d = start("echo reply; exit 3")
    assert exchange(d.address(), b"x") == b"reply\n"
    wait_ledger(d, accepted=1, finished=1, program_failures=1)


def test_a_signal(start):
    """It did not say all that it wanted to: no reply."""
    d = start("echo half; kill -KILL $$")
    with connect(d.address()) as s:
        s.send(b"x")
        wait_ledger(d, accepted=1, aborted_error=1, program_signals=1)
        nothing_comes(s)
    assert pool(d)["workers_died"] == 0


def test_a_program_that_never_reads(start):
    """However large the datagram."""
    d = start("echo fine")
    for _ in range(3):
        assert exchange(d.address(), b"x" * UDP_MOST) == b"fine\n"
    wait_ledger(d, accepted=3, finished=3)


def test_a_program_that_closes_its_input(start):
    d = start("exec <&-; sleep 0.05; echo fine")
    assert exchange(d.address(), b"x" * UDP_MOST) == b"fine\n"
    wait_ledger(d, accepted=1, finished=1)


def test_a_program_that_closes_its_output(start, tmp_path):
    """The reply is sent when it has ended."""
    d = start(f"echo fine; exec >&-; until test -e {tmp_path}/go; do sleep 0.01; done")
    with connect(d.address()) as s:
        s.send(b"x")
        busy_worker(d)
        (tmp_path / "go").touch()
        assert s.recv(99) == b"fine\n"


@pytest.mark.parametrize("script", ["exec sleep 100", "trap '' TERM; while :; do sleep 100; done",
                                    "while :; do echo flood; done >&2"])
def test_a_program_that_hangs(start, script):
    d = start("read -r line; " + script, keys="connection_timeout = 200ms")
    watch = Watch()
    with connect(d.address()) as s:
        s.send(b"x\n")
        wait_ledger(d, accepted=1, timed_out=1)
        assert watch.seconds() < (4 if "trap" in script else 1.8)
        nothing_comes(s)
    d.wait_log(r"prog\[\d+\] for client .* was ended after its connection_timeout")


def test_what_it_leaves_behind(start, tmp_path):
    d = start(f"sleep 100 & echo $! >{tmp_path}/pid; echo reply")
    watch = Watch()
    assert exchange(d.address(), b"x") == b"reply\n"
    assert watch.seconds() < 1.5
    wait_gone([pid_in(tmp_path / "pid")])
    wait_ledger(d, accepted=1, finished=1)


def test_a_child_that_left_the_group(start, tmp_path):
    """It holds the output open, which nobody waits for; it is reaped when it ends."""
    d = start(f"setsid sh -c 'echo $$ >{tmp_path}/pid; exec sleep 100' &\n"
              f"until test -s {tmp_path}/pid; do sleep 0.01; done; echo reply")
    watch = Watch()
    assert exchange(d.address(), b"x") == b"reply\n"
    assert watch.seconds() < 1.5
    escaped = pid_in(tmp_path / "pid")
    assert not is_gone(escaped)
    wait_idle(d)
    os.kill(escaped, signal.SIGKILL)
    wait_until("its end", lambda: not os.path.exists(f"/proc/{escaped}"))


def test_a_program_that_is_removed(start, tmp_path):
    d = start("echo here")
    assert exchange(d.address(), b"x") == b"here\n"
    (tmp_path / "prog").rename(tmp_path / "away")
    with connect(d.address()) as s:
        s.send(b"x")
        d.wait_log(rf"<3>.*{tmp_path}/prog: No such file")
        wait_ledger(d, accepted=2, finished=1, aborted_error=1)
        (tmp_path / "away").rename(tmp_path / "prog")
        s.send(b"x")
        assert s.recv(99) == b"here\n"


def test_log_connections(start):
    d = start(["/bin/cat"], keys="log_connections = true")
    assert exchange(d.address(), b"12345") == b"12345"
    d.wait_log(r"datagram of 5 bytes from 127\.0\.0\.1:\d+: finished")


# ---- loops

def test_a_port_of_servers_is_not_answered(start):
    """Two servers that answer each other would never stop."""
    d = start(["/bin/cat"], address="udp://*:0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as low:
        try:
            low.bind(("127.0.0.1", 1021))
        except OSError:
            pytest.skip("needs a port below 1024")
        low.connect(("127.0.0.1", d.port()))
        low.send(b"x")
        wait_ledger(d, accepted=1, refused_guard=1)
        nothing_comes(low)


def test_our_own_listeners_are_not_answered(daemon, tmp_path):
    """Whoever forges a datagram from one to the other."""
    port = free_udp_port()
    d = daemon(service(["/bin/cat"], "udp://127.0.0.1:0", name="one") +
               service(["/bin/cat"], f"udp://127.0.0.1:{port}", name="two"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.2", port))  # the port counts, whatever the address
        s.connect(("127.0.0.1", d.port("one")))
        s.send(b"x")
        wait_ledger(d, "one", accepted=1, refused_guard=1)
        nothing_comes(s)


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- stops

def test_a_stop_lets_it_finish(start, tmp_path):
    d = start(f"echo begun >&2; until test -e {tmp_path}/go; do sleep 0.01; done; cat")
    with connect(d.address()) as s:
        s.send(b"x")
        d.wait_log("begun")
        d.signal(signal.SIGTERM)
        d.wait_log("stopping")
        (tmp_path / "go").touch()
        assert s.recv(99) == b"x"
    assert d.wait() == 0
    assert "killed" not in d.log()


def test_a_second_term_ends_all(start):
    d = start("trap '' TERM; echo $$ >&2; while :; do sleep 100; done")
    with connect(d.address()) as s:
        s.send(b"x")
        pid = int(d.wait_log(r"prog\[\d+\]: (\d+)\n")[1])
        d.signal(signal.SIGTERM)
        d.wait_log("stopping")
        watch = Watch()
        d.signal(signal.SIGTERM)
        assert d.wait() == 0
        assert watch.seconds() < 3
        wait_gone([pid])


def test_an_idle_worker_stops_at_once(start):
    d = start(["/bin/cat"], workers=4)
    assert exchange(d.address(), b"x") == b"x"
    watch = Watch()
    assert d.stop() == 0
    assert watch.seconds() < 1.5


def test_recycled_while_clients_ask(start):
    """Every datagram that a worker took is answered."""
    d = start(["/bin/cat"], workers=3, keys="recycle_after = 20")
    with connect(d.address()) as s:
        for i in range(150):
            s.send(b"%d" % i)
            assert s.recv(99) == b"%d" % i
            if i % 50 == 0:
                d.ctl("recycle")
    wait_ledger(d, accepted=150, finished=150)
    assert pool(d)["workers_died"] == 0


def test_nothing_is_left_of_many(start):
    d = start(["/bin/cat"])
    [worker] = worker_pids(d)
    assert exchange(d.address(), b"x") == b"x"
    wait_idle(d)
    before = [re.sub(r"\d+", "N", fd) for fd in descriptors(worker)]
    with connect(d.address()) as s:
        for i in range(200):
            s.send(b"%d" % i)
            assert s.recv(99) == b"%d" % i
    wait_idle(d)
    assert [re.sub(r"\d+", "N", fd) for fd in descriptors(worker)] == before
    assert children(worker) == []
