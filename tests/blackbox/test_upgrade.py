# SPDX-License-Identifier: ISC
"""preforkctl upgrade: the new program in the same process, and nobody notices."""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from daemon import connect, exchange, wait_until
from look import facts, pool
from manager import manage  # noqa: F401 (a fixture)
from support import (Clients, answer, at_rest, finish, free_port, hold, pids, queue, say,
                     service, sockets,
                     wait_gone, workers)
from upgrading import (board_files, identity, install, install_text, kinds,
                       own_programs, start_ticks, upgrade, wait_alone)

TCP = "tcp://127.0.0.1:0"


def test_the_same_process_goes_on(daemon, programs):
    d = daemon(service("a", TCP, workers=3) + service("b", TCP, workers=1))
    was = identity(d)
    for number in range(1, 6):
        old = pids(d)
        install(programs.built, programs.preforkd)
        text = upgrade(d)
        assert re.fullmatch(rf"preforkctl: version \S+, generation {number + 1}: 0 kept, "
                            r"2 replaced, 0 added, 0 dropped\n", text), text
        assert identity(d) == was
        wait_gone(old)
        assert len(pids(d)) == 4
        wait_alone(d, 4)
        for name in ("a", "b"):
            assert exchange(d.address(name), b"served\n") == b"served\n"
    status = d.status()
    assert (status["state"], status["generation"]) == ("running", 6)
    assert status["connections"]["finished"] == 10
    assert {w["generation"] for w in status["workers"]} == {6}
    assert d.stop() == 0


def test_it_is_the_new_program_that_runs(daemon, programs):
    d = daemon(service("a", TCP))
    exe = Path(f"/proc/{d.pid}/exe")
    first = exe.stat().st_ino
    install(programs.built, programs.preforkd)
    assert os.readlink(exe).endswith(" (deleted)")
    upgrade(d)
    assert exe.stat().st_ino == Path(programs.preforkd).stat().st_ino != first
    assert os.readlink(exe) == programs.preforkd
    assert Path(f"/proc/{d.pid}/comm").read_text() == "preforkd: maste\n"
    assert Path(f"/proc/{d.pid}/cmdline").read_text().rstrip("\0") == "preforkd: master [main]"


def test_nothing_new_is_good_too(daemon):
    """An upgrade to itself: new code of modules, for one."""
    d = daemon(service("a", TCP))
    was = identity(d)
    for _ in range(3):
        upgrade(d)
    assert identity(d) == was


ADDRESSES = [TCP, "tcp://*:0", "unix://DIR/s", f"unix://@preforkd-upgrade-{os.getpid()}",
             "udp://127.0.0.1:0", "udp://*:0", "unixgram://DIR/g", "unixpacket://DIR/p"]


def file_of(path):
    if not path.exists():
        return None
    stat = path.stat()
    return f"{stat.st_dev} {stat.st_ino} {stat.st_uid} {stat.st_mode:o}"


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_socket_stays(daemon, tmp_path, address):
    d = daemon(service("a", address.replace("DIR", str(tmp_path)), workers=2,
                       **({"socket_mode": "0604"} if "DIR" in address else {})))
    path = tmp_path / address.rsplit("/", 1)[1]
    was = (d.address(), sockets(d), file_of(path))
    assert exchange(d.address(), b"before") == b"before"
    with Clients(d.address(), 2) as clients:
        for _ in range(5):
            upgrade(d)
            clients.more(5)
    assert set(d.addresses()) == {was[0]}
    now = set(sockets(d))
    # All but what the log and the notifications go to is the same.
    assert len([s for s in was[1] if s in now]) >= 2, (was[1], now)
    assert file_of(path) == was[2]
    if "DIR" in address:
        assert was[2].endswith("604")
    totals = at_rest(d)
    assert totals["accepted"] == totals["finished"] == clients.total() + 1
    assert pool(d)["address"] == was[0]


def test_a_path_is_removed_at_the_end(daemon, tmp_path):
    """Whoever bound it before the upgrade: it is still ours."""
    d = daemon(service("a", f"unix://{tmp_path}/s"), env={"NOTIFY_SOCKET": ""},
               expect_ready=False)
    wait_until("start", lambda: d.ctl("status", check=False).returncode == 0)
    upgrade(d)
    upgrade(d)
    assert d.stop() == 0
    assert not (tmp_path / "s").exists()


def test_another_path_in_its_place_stays(daemon, tmp_path):
    d = daemon(service("a", f"unix://{tmp_path}/s"), env={"NOTIFY_SOCKET": ""},
               expect_ready=False)
    wait_until("start", lambda: d.ctl("status", check=False).returncode == 0)
    upgrade(d)
    (tmp_path / "s").unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        assert d.stop() == 0
        assert (tmp_path / "s").exists()


def replies_from(port, address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.sendto(b"where", (address, port))
        return s.recvfrom(100)[1][0]


@pytest.mark.parametrize("address", ["udp://*:0", "udp4://*:0"])
def test_replies_leave_from_where_the_datagram_went(daemon, address):
    d = daemon(service("u", address, workers=2))
    for _ in range(3):
        for last in (1, 5, 9):
            assert replies_from(d.port(), f"127.0.0.{last}") == f"127.0.0.{last}"
        upgrade(d)


def test_who_is_served_is_served_to_the_end(daemon):
    """By the worker that accepted it, through three upgrades."""
    d = daemon(service("a", TCP, workers=2))
    clients = []
    for _ in range(3):
        clients.append(hold(d.address()))
        upgrade(d)
        for client in clients:
            say(client, b"through an upgrade\n")
        assert exchange(d.address(), b"new") == b"new"
    assert len(d.workers()) == 5
    assert [w["leaving"] for w in d.status()["workers"]].count(True) == 3
    for client in clients:
        finish(client)
    wait_alone(d, 2)
    totals = at_rest(d)
    assert totals["accepted"] == totals["finished"] == 6


def test_the_time_to_leave_goes_on(daemon):
    """stop_timeout runs from when the worker was told; another upgrade gives it no more."""
    d = daemon(service("a", TCP, workers=1, stop_timeout="1500ms"))
    with hold(d.address()) as client:
        began = time.monotonic()
        upgrade(d)
        while time.monotonic() < began + 1:
            upgrade(d)
        d.wait_log(r"worker \d+ did not leave within its stop_timeout; killed")
        assert 1.5 <= time.monotonic() - began < 2.4
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(10) == b""
    wait_alone(d, 1)


def test_new_code_of_a_module(daemon, programs, tmp_path):
    """What a reload does not bring."""
    module = tmp_path / "module.so"
    shutil.copy(programs.modules / "opened.so", module)
    d = daemon(service("a", TCP, workers=1, module=module))
    assert exchange(d.address(), b"").startswith(b"opened by ")
    shutil.copy(programs.modules / "env.so", f"{module}.new")
    os.rename(f"{module}.new", module)
    d.ctl("reload")
    assert exchange(d.address(), b"").startswith(b"opened by ")
    upgrade(d)
    assert exchange(d.address(), b"").startswith(b"uid=")
    assert pool(d)["handler"] == "env"


def test_many(daemon):
    """As many lines of state as that takes."""
    d = daemon("".join(service(f"{i}-{'s' * 50}", TCP, workers=3) for i in range(60)))
    was = identity(d)
    before = kinds(d.pid)
    for _ in range(2):
        upgrade(d)
    wait_alone(d, 180)
    assert identity(d) == was
    wait_until("as many descriptors", lambda: kinds(d.pid) == before)
    for address in d.addresses()[:60]:
        assert exchange(address, b"served") == b"served"
    assert at_rest(d)["finished"] == 60


def test_who_waits_is_served(daemon):
    """Clients in the queue, while every worker is busy."""
    d = daemon(service("a", TCP, workers=1))
    busy = hold(d.address())
    waiting = [queue(d.address(), b"%d" % i) for i in range(10)]
    upgrade(d)
    for i, client in enumerate(waiting):
        assert answer(client) == b"%d" % i
    finish(busy)


def test_the_lock_is_held(daemon, programs):
    d = daemon(service("a", TCP))
    for _ in range(3):
        result = subprocess.run(
            [programs.built, "--runtime-directory", str(d.runtime), "--listen", TCP,
             "--builtin", "echo"], capture_output=True, text=True, timeout=30, check=False)
        assert result.returncode == 69
        assert f"already running there (pid {d.pid})" in result.stderr
        upgrade(d)


def all_kinds(d):
    """Of its workers, whose gates are closed a moment after the upgrade."""
    return sorted(str(sorted(kinds(pid).items())) for pid in d.workers())


def test_nothing_piles_up(daemon, tmp_path):
    d = daemon(service("a", TCP, "udp://127.0.0.1:0", f"unix://{tmp_path}/s", workers=2))
    wait_until("open gates", lambda: "pipe" not in str(all_kinds(d)))
    before, first = None, all_kinds(d)
    for number in range(21):
        upgrade(d)
        wait_alone(d, 6)
        # A notification takes a descriptor for a moment.
        now = wait_until("rest", lambda: (lambda a, b: a if a == b else None)(kinds(d.pid),
                                                                            kinds(d.pid)))
        before = before or now
        if number == 20:
            wait_until("as many descriptors as before", lambda: kinds(d.pid) == before)
            assert sum(before.values()) < 60, before
    # Those of before have the same as those of the first start.
    wait_until("as many descriptors in the workers", lambda: all_kinds(d) == first)


def test_workers_do_not_see_it(daemon, programs):
    """The limit of descriptors is the one of the start, and nothing of the upgrade is inherited."""
    d = daemon(service("a", TCP, module=programs.modules / "env.so"),
               preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (700, 4000)))
    before = facts(d.address())
    assert before["nofile"] == "700:4000"
    for _ in range(3):
        upgrade(d)
        now = facts(d.address())
        for name in ("nofile", "env", "sigmask", "pdeathsig", "ppid", "title", "comm", "cwd",
                     "umask", "nice", "nnp"):
            assert now[name] == before[name], name
        assert now["fds"].count("=") == before["fds"].count("=")


# -- what it is told, and tells


def test_the_manager_is_told(manage):
    d = manage(service("a", TCP, "udp://127.0.0.1:0"))
    stored = d.stored()
    assert len(stored) == 2
    for _ in range(5):
        told = len(d.told)
        upgrade(d)
        wait_until("READY", lambda: ("READY",) in d.told[told:])
        assert set(d.told[told:]) == {("RELOADING",), ("READY",)}
        assert d.told[-1] == ("READY",)
    assert d.stored() == stored
    d.restart()
    assert exchange(d.address("a"), b"kept") == b"kept"
    assert set(d.stored().values()) == set(stored.values())


def test_a_manager_that_is_gone(daemon, tmp_path):
    """It is waited for, but not for ever."""
    d = daemon(service("a", TCP), env={"NOTIFY_SOCKET": str(tmp_path / "nobody")},
               expect_ready=False)
    d.wait_log("listening on")
    upgrade(d)
    assert "the service manager does not read what it is told; going on" in d.log()
    assert exchange(d.address(), b"served") == b"served"
    assert d.stop() == 0


WATCHED = """
import os, sys
os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_the_watchdog_is_fed(daemon):
    d = daemon(service("a", TCP), env={"WATCHDOG_USEC": "400000"},
               wrapper=[sys.executable, "-ISc", WATCHED])
    for _ in range(3):
        upgrade(d)
        for _ in range(2):
            d.wait_notification("WATCHDOG=1", 5)


def test_json_and_no_wait(daemon):
    d = daemon(service("a", TCP))
    for number in (1, 2):
        told = json.loads(d.ctl("upgrade", "--json").stdout)
        assert (told["verb"], told["number"], told["failed"]) == ("upgrade", number, False)
        assert f"generation {number + 1}: " in told["text"]
    assert d.ctl("upgrade", "--no-wait").stdout == ""
    d.wait_log(r"upgrade: version \S+, generation 4: ")


def test_by_signal(daemon):
    d = daemon(service("a", TCP))
    d.signal(signal.SIGUSR2)
    d.wait_log(r"upgrade: version \S+, generation 2: ")
    assert exchange(d.address(), b"served") == b"served"


# -- how it was started


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "unix://DIR/s", "udp://127.0.0.1:0"])
def test_a_socket_that_was_passed(manage, tmp_path, address):
    if "DIR" in address:
        address = address.replace("DIR", str(tmp_path))
    d = manage(service("a", "systemd://web", workers=2), ("web", address))
    for _ in range(3):
        upgrade(d)
        assert exchange(d.unit_addresses[0], b"passed") == b"passed"
    assert d.stored() == {}
    # It is the unit's: it goes on without us, and the next start is served from it.
    d.restart()
    assert exchange(d.unit_addresses[0], b"again") == b"again"
    upgrade(d)


@pytest.mark.parametrize("name", ["two words", "unknown", "a" * 255, " x "],
                         ids=["space", "unknown", "long", "padded"])
def test_any_name_of_a_passed_socket(manage, name):
    """By the address that it is bound to, whatever it is called."""
    d = manage(service("a", "<A0>"), (name, TCP))
    for _ in range(2):
        upgrade(d)
        assert exchange(d.unit_addresses[0], b"passed") == b"passed"
    # The name, too, has come through.
    d.write_config(service("b", TCP))
    result = d.ctl("reload", check=False)
    assert result.returncode == 1
    assert f'the socket "{name}" (tcp:' in result.stderr


def test_several_sockets_that_were_passed(manage, tmp_path):
    d = manage(service("a", "systemd://web", workers=1) + service("b", "<A2>", "tcp://127.0.0.1:0"),
               ("web", TCP), ("web", f"unix://{tmp_path}/s"), ("more", TCP))
    stored = d.stored()
    assert len(stored) == 1
    for _ in range(3):
        upgrade(d)
        for address in [*d.unit_addresses, d.addresses("b")[1]]:
            assert exchange(address, b"passed") == b"passed"
    assert d.stored() == stored


def test_a_service_on_the_command_line(daemon):
    d = daemon(args=["-v", "--listen", TCP, "--workers", "2", "--set", "idle_timeout=5s",
                     "--builtin", "echo"], name="by-hand")
    was = identity(d)
    for _ in range(2):
        upgrade(d)
        assert exchange(d.address(), b"served") == b"served"
    assert identity(d) == was
    assert "preforkd: master [by-hand]" in Path(f"/proc/{d.pid}/cmdline").read_text()
    assert len(pids(d)) == 2
    d.ctl("recycle")
    d.wait_log(r"<7>.* worker \d+ exited with status 0")


def test_a_relative_path(daemon, programs, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here/my.conf").write_text(service("a", TCP))
    d = daemon(args=["-c", "here/my.conf"], wrapper=["env", "-C", str(tmp_path)])
    upgrade(d)
    (tmp_path / "here/my.conf").write_text(service("a", TCP, workers=3))
    install(programs.built, programs.preforkd)
    upgrade(d)
    assert len(pids(d)) == 3


@pytest.mark.parametrize("by", ["relative", "link"])
def test_the_program_was_started_by_another_name(daemon, programs, tmp_path, by):
    """By a relative path it is the file of then; by a link, what the link leads to now."""
    if by == "link":
        (tmp_path / "bin/one").mkdir()
        (tmp_path / "bin/two").mkdir()
        for version in ("one", "two"):
            install(programs.built, tmp_path / "bin" / version / "preforkd")
        Path(programs.preforkd).unlink()
        Path(programs.preforkd).symlink_to("one/preforkd")
        d = daemon(service("a", TCP))
        Path(programs.preforkd).unlink()
        Path(programs.preforkd).symlink_to("two/preforkd")
        wanted = str(tmp_path / "bin/two/preforkd")
    else:
        wanted, programs.preforkd = programs.preforkd, "./bin/preforkd"
        d = daemon(service("a", TCP), wrapper=["env", "-C", str(tmp_path)])
        install(programs.built, wanted)
    for _ in range(2):
        upgrade(d)
        assert os.readlink(f"/proc/{d.pid}/exe") == wanted


REPLACED = """
import os, sys
program = sys.argv[1]
fd = os.open(program, os.O_RDONLY)
os.rename(program + ".later", program)
os.execve(fd, sys.argv[1:], os.environ)
"""


def test_the_file_was_replaced_as_it_started(daemon, programs):
    """What runs is deleted already, and has another at its place: that is the new one."""
    install(programs.built, programs.preforkd + ".later")
    d = daemon(service("a", TCP), wrapper=[sys.executable, "-ISc", REPLACED])
    assert os.readlink(f"/proc/{d.pid}/exe").endswith(" (deleted)")
    upgrade(d)
    assert os.readlink(f"/proc/{d.pid}/exe") == programs.preforkd


def test_a_script_around_it(daemon, programs):
    """A program that ends up as preforkd in the same process will do."""
    install(programs.built, programs.preforkd + "-real")
    d = daemon(service("a", TCP))
    was = identity(d)
    install_text(programs.preforkd, f'#!/bin/sh\nexec {programs.preforkd}-real "$@"\n')
    upgrade(d)
    assert identity(d) == was
    assert exchange(d.address(), b"served") == b"served"


# -- the configuration of now


def test_a_changed_configuration_comes_with_it(daemon, tmp_path):
    unix = f"unix://{tmp_path}/s"
    d = daemon(service("stays", TCP, workers=1) + service("changes", TCP, workers=1) +
               service("goes", unix))
    held = hold(unix)
    waiting = [queue(unix, b"queued") for _ in range(10)]
    stays, changes = d.address("stays"), d.address("changes")
    d.write_config(service("stays", TCP, workers=1) + service("changes", TCP, workers=4) +
                   service("comes", "udp://127.0.0.1:0"))
    assert ": 0 kept, 2 replaced, 1 added, 1 dropped" in upgrade(d)
    assert [len(pids(d, name)) for name in ("stays", "changes")] == [1, 4]
    for address in (stays, changes, d.address("comes")):
        assert exchange(address, b"served") == b"served"
    for client in waiting:
        assert answer(client) == b"queued"
    finish(held)
    wait_until("its end", lambda: not [p for p in d.status()["pools"] if p["service"] == "goes"])
    assert not (tmp_path / "s").exists()
    # A dropped listener leaves the store, too.
    assert {line for n in d.notifications for line in n.split("\n") if "goes" in line} != set()


def test_a_renamed_service_keeps_its_listener(daemon):
    address = f"tcp://127.0.0.1:{free_port()}"
    d = daemon(service("old", address))
    with Clients(address, 2) as clients:
        d.write_config(service("new", address))
        upgrade(d)
        clients.more(20)
    assert {w["service"] for w in workers(d)} == {"new"}


def test_what_drains_goes_on_draining(daemon, tmp_path):
    """Dropped by a reload before: who waits there is served, and then it closes."""
    d = daemon(service("a", TCP) + service("goes", TCP, workers=1))
    goes = d.address("goes")
    held = hold(goes)
    waiting = [queue(goes, b"queued %d" % i) for i in range(5)]
    d.write_config(service("a", TCP))
    d.ctl("reload")
    for _ in range(2):
        upgrade(d)
        say(held, b"still here")
    finish(held)
    for i, client in enumerate(waiting):
        assert answer(client) == b"queued %d" % i
    wait_alone(d, 1 if not pool(d, "a") else pool(d, "a")["workers_running"])
    with pytest.raises(OSError):
        connect(goes, 1)
    assert exchange(d.address("a"), b"served") == b"served"


# -- a board of another layout


def test_a_board_of_another_layout(daemon, programs):
    """A new board, and said; the clients of the old workers lose nothing."""
    if not Path(programs.other).exists():
        pytest.fail(f"{programs.other} is missing; make check builds it")
    d = daemon(service("a", TCP, workers=2))
    was, ticks = board_files(d), start_ticks(d.pid)
    for program in (programs.other, programs.built, programs.other, programs.built):
        held = hold(d.address())
        install(program, programs.preforkd)
        with Clients(d.address(), 2) as clients:
            assert "generation" in upgrade(d)
            clients.more(20)
        say(held, b"still served")
        finish(held)
        now = board_files(d)
        assert not set(now.values()) & set(was.values())
        was = now
        wait_alone(d, 2)
    assert start_ticks(d.pid) == ticks
    assert len(re.findall("the board has another layout in this version", d.log())) == 4
    status = d.status()
    assert status["state"] == "running"
    assert len(status["workers"]) == 2
    assert exchange(d.address(), b"counted") == b"counted"
    assert at_rest(d)["open"] == 0
    assert d.stop() == 0
