# SPDX-License-Identifier: ISC
"""Copies of a program that accepts for itself: what each gets, and who it is."""

import os
import re
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from acceptors import (PROGRAM, PYTHON, TCP, ask, copies, descriptors_of, environment_of, group_of,
                       hold, let_go, pid_of, said, service, shell, silent_for, status_of,
                       wait_copies, wait_end, wait_said)
from checking import CONFIG, USAGE, check, preforkd
from daemon import connect, exchange, wait_until
from look import cpu_seconds
from manager import manage  # noqa: F401 (a fixture)


@pytest.fixture
def public():
    """A folder that every user can reach, which pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="preforkd-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


# ---- the sockets


def test_copies_serve(daemon):
    d = daemon(service(workers=3))
    assert len(copies(d)) == 3 == len(d.workers())
    clients = [hold(d.address()) for _ in range(3)]
    assert {pid for _, pid in clients} == copies(d)
    for s, _ in clients:
        let_go(s)
    assert {group_of(pid) for pid in copies(d)} == copies(d), "each leads a group of its own"
    assert d.stop() == 0


def test_of_the_command_line(daemon):
    d = daemon(args=["--listen", TCP, "--workers", "2", "--set", "options.ready=notify",
                     "--acceptor", "--", PYTHON, "-ISB", str(PROGRAM)])
    assert pid_of(d.address()) in copies(d)
    assert ask(d.address(), "hello") == "hello\n"


@pytest.mark.parametrize("address", [TCP, "tcp://*:0", "tcp6://[::1]:0", "unix://DIR/s",
                                     "unix://@DIR/s"])
def test_one_socket_of_every_family(daemon, tmp_path, address):
    d = daemon(service(address.replace("DIR", str(tmp_path))))
    assert pid_of(d.address()) in copies(d)


def test_datagrams(daemon, tmp_path):
    for number, address in enumerate(["udp://127.0.0.1:0", "unixgram://DIR/s"]):
        d = daemon(service(address.replace("DIR", str(tmp_path))), name=f"d{number}")
        pid, text = exchange(d.address(), b"hello").split(b" ", 1)
        assert (int(pid) in copies(d), text) == (True, b"hello")


def test_each_copy_gets_every_socket_of_the_service(daemon, tmp_path):
    listen = ["tcp://127.0.0.1:0", f"unix://{tmp_path}/s", "udp://127.0.0.1:0", "tcp6://[::1]:0"]
    d = daemon(service(*listen, name="all", workers=3))
    assert len(copies(d)) == 3, "workers is the number for the service, not for each address"
    [pool] = d.status()["pools"]
    assert pool["address"].split(" ") == d.addresses("all")
    assert (pool["workers_wanted"], pool["workers_ready"]) == (3, 3)
    port = [d.port("all", i) for i in range(4) if i != 1]
    expected = [f"('127.0.0.1', {port[0]})", f"{tmp_path}/s", f"('127.0.0.1', {port[1]})",
                f"('::1', {port[2]}, 0, 0)"]
    for index in (0, 1, 3):
        pid, names, rest = ask(d.address("all", index), "sockets").split(" ", 2)
        assert (names, rest) == ("all:all:all:all", " ".join(expected))
        assert int(pid) in copies(d)
    assert exchange(d.address("all", 2), b"x").endswith(b" x")
    assert d.stop() == 0
    assert not (tmp_path / "s").exists()


def test_more_sockets_than_the_master_has_low_numbers_for(daemon, tmp_path):
    """Where a socket is in the master is where another one has to go in the copy."""
    names = [f"unix://{tmp_path}/{i:02}" for i in range(40)]
    d = daemon(service(*names, workers=1))
    [pid] = copies(d)
    for i in (0, 1, 20, 39):
        found = ask(names[i], "sockets").split(" ")
        assert found[2:] == [n.removeprefix("unix://") for n in names]
    sockets = [fd for fd, what in descriptors_of(pid).items() if what.startswith("socket:")]
    assert sorted(sockets)[:40] == list(range(3, 43))
    # A reload keeps the sockets, and so their numbers in the master.
    d.write_config(service(*reversed(names), workers=1))
    d.ctl("reload")
    wait_copies(d, 1, but={pid})
    for i in (0, 1, 20, 39):
        found = ask(names[i], "sockets").split(" ")
        assert found[2:] == [n.removeprefix("unix://") for n in reversed(names)]


def test_a_long_list_of_addresses_is_cut(daemon, tmp_path):
    names = [f"unix://{tmp_path}/{i:02}" for i in range(40)]
    d = daemon(service(*names, workers=1))
    address = d.status()["pools"][0]["address"]
    assert len(address) == 299
    assert address.endswith("...")
    assert address.startswith(names[0] + " " + names[1])


def test_names_of_systemd_sockets(manage):  # noqa: F811
    mine = f"unix://@preforkd-names-{os.getpid()}"
    d = manage(service("systemd://web", mine, "systemd://admin"),
               ("web", TCP), ("admin", "tcp://127.0.0.1:0"), ("web", "tcp://[::1]:0"))
    pid, names, _ = ask(d.unit_addresses[1], "sockets").split(" ", 2)
    assert names == "web:web:a:admin"
    assert int(pid) in copies(d)
    for address in d.unit_addresses:
        assert ask(address, "hello") == "hello\n"
    assert d.stop() == 0


def test_sockets_are_handed_over_blocking(manage):  # noqa: F811
    """As systemd does it, whatever they are in the unit."""
    d = manage(service("systemd://web", workers=1, blocking=1), ("web", TCP))
    assert ask(d.unit_addresses[0], "one") == "one\n"
    assert ask(d.unit_addresses[0], "two") == "two\n"


def test_a_socket_as_stdin(daemon, tmp_path):
    for number, address in enumerate(["tcp://127.0.0.1:0", f"unix://{tmp_path}/s"]):
        d = daemon(service(address, keys="pass_as = stdin"), name=f"d{number}")
        pid = pid_of(d.address())
        assert pid in copies(d)
        fds = descriptors_of(pid)
        assert fds[0].startswith("socket:")
        assert fds[1] == fds[2] != fds[0]
        assert fds[1].startswith("pipe:"), "a word there would be the end of it otherwise"
        assert not [name for name in environment_of(pid) if name.startswith("LISTEN_")]
        assert d.stop() == 0


def test_a_datagram_socket_as_stdin_is_stdout_too(daemon):
    """A program of inetd's: reads from 0, writes to 1."""
    script = "import os, socket\n" \
        "s = socket.socket(fileno=0)\n" \
        "text, peer = s.recvfrom(100)\n" \
        "s.connect(peer)\n" \
        "os.write(1, b'%d ' % os.getpid() + text)\n" \
        "s.recvfrom(100)\n"
    d = daemon(service("udp://127.0.0.1:0", program=[PYTHON, "-ISc", script], workers=1,
                       ready="alive", keys="pass_as = stdin"))
    [pid] = copies(d)
    assert exchange(d.address(), b"hello") == b"%d hello" % pid
    fds = descriptors_of(pid)
    assert fds[0] == fds[1] != fds[2]


# ---- what it is executed with


def test_no_other_descriptor(daemon, tmp_path):
    """Of a program that opens none itself; not even one that leaked to the daemon."""
    leak = os.open("/dev/null", os.O_RDONLY)
    d = daemon(shell("exec sleep 1000", TCP, f"unix://{tmp_path}/s", workers=4),
               preexec=lambda: os.dup2(leak, 1500))
    os.close(leak)
    for pid in copies(d):
        fds = descriptors_of(pid)
        assert sorted(fds) == [0, 1, 2, 3, 4]
        assert fds[0] == "/dev/null"
        assert fds[1] == fds[2]
        assert fds[1].startswith("pipe:")
        assert fds[3].startswith("socket:")
        assert fds[4].startswith("socket:")
    assert len({descriptors_of(pid)[2] for pid in copies(d)}) == 4, "a pipe for each"


def test_the_environment(daemon):
    inherited = {"LISTEN_FDNAMES": "x", "WATCHDOG_USEC": "1000000000", "WATCHDOG_PID": "1",
                 "JOURNAL_STREAM": "1:2", "INVOCATION_ID": "0", "REMOTE_ADDR": "1.2.3.4",
                 "KEPT": "1"}
    d = daemon(shell("exec sleep 1000", keys='environment = {"A=1", "B=x y"}'),
               env=inherited)
    for pid in copies(d):
        found = environment_of(pid)
        assert found["LISTEN_PID"] == str(pid)
        assert found["LISTEN_FDS"] == "1"
        assert found["LISTEN_FDNAMES"] == "a"
        assert found["A"] == "1"
        assert found["B"] == "x y"
        assert found["KEPT"] == "1"
        assert found["PREFORKD_SERVICE"] == "a"
        assert found["PREFORKD_INSTANCE"] == "main"
        assert not found.keys() & {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                   "JOURNAL_STREAM", "INVOCATION_ID", "REMOTE_ADDR"}


def test_a_notify_socket_of_its_own(daemon):
    d = daemon(service(workers=3))
    names = {environment_of(pid)["NOTIFY_SOCKET"] for pid in copies(d)}
    assert len(names) == 3
    assert str(d.notify_path) not in names


def test_signals_are_as_by_default(daemon):
    """systemd starts daemons with PIPE ignored; a shell or nohup(1) may have ignored others."""
    def ignore():
        for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
    d = daemon(shell("exec sleep 1000"), preexec=ignore)
    for pid in copies(d):
        found = status_of(pid)
        for field in ("SigIgn", "SigBlk", "SigCgt", "SigPnd", "ShdPnd"):
            assert int(found[field], 16) == 0, (field, found[field])


def test_who_it_becomes(daemon, is_root, public):  # noqa: ARG001
    (public / "sub").mkdir()
    d = daemon(shell("exec sleep 1000", workers=1, keys=f"""
        user = "nobody"
        directory = "{public}/sub"
        umask = "0027"
        nice = 5
        limit_nofile = 77
        limit_core = 0
    """))
    [pid] = copies(d)
    found = status_of(pid)
    assert set(found["Uid"].split()) == {"65534"}
    assert set(found["Gid"].split()) == {"65534"}
    assert found["Groups"].split() == ["65534"]
    assert found["Umask"] == "0027"
    assert found["NoNewPrivs"] == "1"
    assert os.readlink(f"/proc/{pid}/cwd") == f"{public}/sub"
    assert os.getpriority(os.PRIO_PROCESS, pid) == 5
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"Max open files +77 +77 ", limits)
    assert re.search(r"Max core file size +0 +0 ", limits)
    found = environment_of(pid)
    assert (found["USER"], found["HOME"]) == ("nobody", "/nonexistent")


def test_a_program_that_may_gain_rights(daemon):
    d = daemon(shell("exec sleep 1000", workers=1, keys="sandbox = off"))
    [pid] = copies(d)
    assert status_of(pid)["NoNewPrivs"] == "0"


def test_in_a_chroot_of_another_user(daemon, is_root, public):  # noqa: ARG001
    busybox = "/bin/busybox"
    if not os.path.exists(busybox):
        pytest.skip("no static program to put there: busybox")
    subprocess.run(["cp", busybox, public / "sh"], check=True)
    d = daemon(service(program=["/sh", "sh", "-c", "sleep 1000"], workers=1, ready="alive",
                       keys=f'chroot = "{public}"\n user = "nobody"'))
    [pid] = copies(d)
    assert os.readlink(f"/proc/{pid}/root") == str(public)


def test_it_ends_with_the_master_but_not_before_its_client(daemon):
    d = daemon(service(workers=2))
    pids = copies(d)
    s, busy = hold(d.address())
    d.signal(signal.SIGKILL)
    d.wait()
    [idle] = pids - {busy}
    wait_end(idle)
    let_go(s)
    wait_end(busy)


def test_the_stop_signal_is_that_of_the_masters_death_too(daemon):
    """A program that ignores TERM."""
    d = daemon(service(workers=1, deaf=1, keys="stop_signal = QUIT"))
    [pid] = copies(d)
    d.signal(signal.SIGKILL)
    d.wait()
    wait_end(pid)


# ---- what is wrong with it is found when it is loaded


def test_a_program_that_is_not_there(programs, tmp_path):
    result = check(programs, tmp_path / "c", service(program=["/nowhere/at/all"]))
    assert result.code == CONFIG
    assert result.lines == [f'{tmp_path}/c:4: service "a": acceptor: /nowhere/at/all: '
                            "No such file or directory"]


def test_the_number_of_workers_is_the_services(programs, tmp_path):
    listen = [f"unix://{tmp_path}/{i}" for i in range(3)]
    assert check(programs, tmp_path / "c", service(*listen, workers=8000)).code == 0
    two = service(*listen, workers=8000) + service(f"unix://{tmp_path}/b", name="b", workers=193)
    result = check(programs, tmp_path / "c", two)
    assert result.code == CONFIG
    assert "all services together want 8193 workers" in result.text


def test_exit_idle_would_end_it_with_its_clients(programs, tmp_path):
    result = check(programs, tmp_path / "c", 'exit_idle = "1m"\n' + service("systemd://web"))
    assert result.code == CONFIG
    assert result.lines == [f'{tmp_path}/c:1: exit_idle: not with an acceptor (service "a"), whose '
                            "clients are not seen"]
    assert preforkd(programs, "--check", "--listen", TCP, "--acceptor").code == USAGE


# ---- what is shown of it


def test_the_board_does_not_count_what_it_does_not_see(daemon, tmp_path):
    echo = f'service "e" {{ listen = "unix://{tmp_path}/e"\n builtin = echo\n workers = 2 }}\n'
    d = daemon(service(workers=2) + echo)
    s, pid = hold(d.address("a"))
    assert exchange(d.address("e"), b"counted") == b"counted"
    status = d.status()
    mine, other = status["pools"]
    assert (mine["acceptor"], mine["handler"], mine["degraded"]) == (1, "python3", False)
    assert (mine["connections"], mine["busy"], mine["idle"]) == (None, None, None)
    assert (other["acceptor"], other["connections"]["accepted"]) == (0, 1)
    assert status["connections"]["accepted"] == 1
    for worker in status["workers"]:
        if worker["service"] == "a":
            assert worker["state"] == "running"
            assert (worker["connections"], worker["client"]) == (None, None)
    lines = d.ctl("status", "--workers").stdout.splitlines()
    [row] = [line.split() for line in lines if " python3 " in line]
    assert row[2:5] == ["python3", "2/2", "-"]
    # Of its queue the kernel knows.
    assert re.fullmatch(r"0/\d+", row[5])
    assert row[6:] == ["-"] * 7
    [row] = [line.split() for line in lines if line.strip().startswith(f"{pid} ")]
    assert (row[3], row[6]) == ("running", "-")
    wait_until("STATUS", lambda: any(
        re.search(r"STATUS=2 services, 2 copies running, \d/2 busy, \d+ connections/s, 0 queued", n)
        for n in [*d.notifications, *list(d.inbox.queue)]))
    let_go(s)


def test_what_it_writes_is_logged_line_by_line(daemon):
    d = daemon(service(say="hello \x1b[31m", workers=1), name="main")
    [pid] = copies(d)
    assert wait_said(d, r"hello \\x1b\[31m")
    ask(d.address(), "say " + "x" * 3000)
    ask(d.address(), "say after")
    assert wait_said(d, "after")
    assert said(d)[1:] == [(pid, "x" * 1024 + "..."), (pid, "after")]


def test_what_it_writes_to_stdout_too(daemon):
    d = daemon(shell("echo to stdout; echo to stderr >&2; exec sleep 1000", workers=1))
    assert [text for _, text in said(d)] == ["to stdout", "to stderr"]


def test_a_flood_is_cut_and_counted(daemon, tmp_path):
    """And holds nobody up."""
    d = daemon(service(workers=2) + service(f"unix://{tmp_path}/b", name="b", workers=1))
    ask(d.address("a"), "flood 20000")
    ask(d.address("a"), "say after the flood")
    line = d.wait_log(r'<4>preforkd\[\d+\]: service "a" \[\S+\]: python3\[\d+\]: '
                      r"(\d+) lines suppressed, more than 100 a second")
    wait_until("all of it", lambda: sum(
        int(n) for n in re.findall(r"(\d+) lines suppressed", d.log())) + len(said(d)) >= 20000)
    assert int(line[1]) > 0
    assert len(said(d)) < 3000
    assert ask(d.address("b"), "served") == "served\n"
    wait_copies(d, 2, "a")


def test_a_copy_that_never_stops_writing_holds_nothing_up(daemon, tmp_path):
    d = daemon(shell("exec yes flood", workers=1) +
               service(f"unix://{tmp_path}/b", name="b", workers=2))
    before = copies(d, "b")
    d.ctl("recycle")
    wait_copies(d, 2, "b", but=before)
    d.ctl("reload")
    d.ctl("upgrade")
    assert ask(d.address("b"), "served") == "served\n"
    assert d.stop() == 0


def test_a_closed_stderr_is_no_harm(daemon):
    """The master must not be told of its end for ever."""
    d = daemon(shell("exec sleep 1000 >/dev/null 2>&1", workers=1))
    idle, other = socket.socketpair()
    before = cpu_seconds(d.pid)
    silent_for(idle, 1)
    assert cpu_seconds(d.pid) - before <= 0.05
    other.close()


def test_a_connection_that_is_refused(daemon):
    """Nobody listens any more once it has stopped."""
    d = daemon(service())
    address = d.address()
    assert d.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        connect(address)
