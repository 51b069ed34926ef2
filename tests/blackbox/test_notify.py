# SPDX-License-Identifier: ISC
"""What the service manager is told, and when."""

import contextlib
import os
import re
import signal
import socket
import time

import pytest
from daemon import DEADLINE, connect, exchange, wait_until
from support import end_ctl, finish, gate, hold, pids, reload, service, start_ctl, workers

TCP = "tcp://127.0.0.1:0"


def collect(d):
    """All notifications so far, each as a dict."""
    while d.inbox.qsize():
        d.notifications.append(d.inbox.get())
    return [dict(line.split("=", 1) for line in text.split("\n") if line)
            for text in d.notifications]


def states(d):
    """The order of the states, without STATUS alone."""
    names = ("READY", "RELOADING", "STOPPING")
    return [name for n in collect(d) for name in names if name in n]


def wait_status(d, pattern):
    def look():
        return [n["STATUS"] for n in collect(d) if re.fullmatch(pattern, n.get("STATUS", ""))]
    return wait_until(f"STATUS={pattern}", look)[-1]


@contextlib.contextmanager
def hold_queue(address, count):
    """Clients that nobody serves."""
    with contextlib.ExitStack() as clients:
        for _ in range(count):
            clients.enter_context(connect(address))
        yield


class Manager:
    """A NOTIFY_SOCKET that is read only when a test reads it."""

    def __init__(self, name):
        """`name`: a path, or an abstract name with its @."""
        self.name = str(name)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address())
        self.socket.settimeout(DEADLINE)

    def address(self):
        return re.sub("^@", "\0", self.name)

    def environment(self, **more):
        return {"NOTIFY_SOCKET": self.name, **more}

    def fill(self):
        """Until nothing goes through any more."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, \
                contextlib.suppress(BlockingIOError):
            other.setblocking(False)
            while True:
                other.sendto(b"X_OTHER=1", self.address())

    def lines(self):
        """Each message's, but those of fill()."""
        while True:
            lines = self.socket.recv(8192).decode().split("\n")
            if lines != ["X_OTHER=1"]:
                yield lines

    def read(self, *wanted):
        """The messages, until those lines came, in this order."""
        left, seen = list(wanted), []
        for lines in self.lines():
            seen.append(lines)
            left = left[1:] if left[0] in lines else left
            if not left:
                return seen

    def order(self, *wanted):
        """The same, but all that is no STATUS, WATCHDOG or plea alone."""
        names = ("READY=1", "RELOADING=1", "STOPPING=1")
        return [name for lines in self.read(*wanted) for name in names if name in lines]


@pytest.fixture
def manager(tmp_path):
    with contextlib.ExitStack() as stack:
        def make(name=tmp_path / "manager"):
            made = Manager(name)
            stack.callback(made.socket.close)
            return made
        yield make


def monotonic_usec():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_ready_once_every_pool_has_its_workers(daemon, programs, tmp_path):
    door = tmp_path / "door"
    d = daemon(service("quick", TCP, workers=2) +
               gate(programs, "slow", TCP, workers=2, options={"enter_waits": door}),
               expect_ready=False)
    # From the first moment it runs, or it does not: nothing in between is shown.
    wait_until("board", lambda: d.ctl("status", check=False).returncode != 3)
    wait_until("quick workers",
               lambda: [w["state"] for w in workers(d, "quick")] == ["idle", "idle"])
    wait_until("slow workers", lambda: len(workers(d, "slow")) == 2)
    assert {w["state"] for w in workers(d, "slow")} == {"starting"}
    assert states(d) == []
    assert d.addresses() == [], "it listens before all are ready"
    door.touch()
    ready = d.wait_notification("READY=1")
    assert "STATUS=2 services, 0/4 busy, 0 connections/s, 0 queued" in ready
    assert {w["state"] for w in workers(d)} == {"idle"}
    assert exchange(d.address("slow"), b"at once") == b"at once"
    assert states(d) == ["READY"]


def test_no_ready_when_it_fails(daemon, programs):
    d = daemon(service("a", TCP) + service("b", TCP, module=programs.modules / "exit_enter.so"),
               expect_ready=False)
    assert d.wait() == 69
    assert states(d) == []
    assert "enter: Permission denied" in d.log()
    [status] = [n["STATUS"] for n in collect(d) if "enter: " in n.get("STATUS", "")]
    assert status in d.log()


@pytest.mark.parametrize("text, code, errno", [
    ("", 78, "22"),
    (service("a", TCP) + "nonsense = 1\nworkers = 0x\n", 78, "22"),
    (service("a", "tcp://192.0.2.1:0"), 69, None),
])
def test_why_it_fails(daemon, text, code, errno):
    """The first of the lines that say it, and an errno where one is true."""
    d = daemon(text, expect_ready=False)
    assert d.wait() == code
    said = wait_until("STATUS", lambda: collect(d))
    lines = re.findall(r"preforkd\[\d+\]: (.*)", d.log())
    assert said == [{"STATUS": lines[0], **({"ERRNO": errno} if errno else {})}]


@pytest.mark.parametrize("good", [True, False])
def test_reloading(daemon, good):
    """RELOADING with the time of it, then READY, whether it succeeds or fails."""
    d = daemon(service("a", TCP))
    d.write_config(service("a", TCP, workers=2) if good else "")
    before = monotonic_usec()
    assert d.ctl("reload", check=False).returncode == (0 if good else 1)
    after = monotonic_usec()
    reloading = d.wait_notification("RELOADING=1")
    [usec] = re.findall(r"^MONOTONIC_USEC=(\d+)$", reloading, re.M)
    assert before <= int(usec) <= after
    d.wait_notification("READY=1")
    assert states(d) == ["READY", "RELOADING", "READY"]


def test_each_reload_is_told(daemon):
    d = daemon(service("a", TCP))
    for _ in range(5):
        reload(d)
    wait_until("the last READY", lambda: len(states(d)) == 11)
    assert states(d) == ["READY"] + ["RELOADING", "READY"] * 5


def test_not_ready_while_it_reloads(daemon, programs, tmp_path):
    door = tmp_path / "door"
    d = daemon(service("a", TCP))
    d.write_config(gate(programs, "a", TCP, options={"open_waits": door}))
    order = start_ctl(d, "reload")
    d.wait_notification("RELOADING=1")
    # As long as it takes a client to be served, at least.
    assert exchange(d.address(), b"served") == b"served"
    assert states(d) == ["READY", "RELOADING"]
    door.touch()
    d.wait_notification("READY=1")
    assert end_ctl(order)[0] == 0


def test_stopping(daemon):
    d = daemon(service("a", TCP))
    assert d.stop() == 0
    wait_until("STOPPING", lambda: states(d) == ["READY", "STOPPING"])


def test_status_tells_the_load(daemon):
    d = daemon(service("a", TCP, workers=2) + service("b", TCP, workers=1))
    with hold(d.address("a")) as client:
        wait_status(d, r"2 services, 1/3 busy, \d+ connections/s, 0 queued")
        with hold(d.address("b")), hold(d.address("a")):
            wait_status(d, r"2 services, 3/3 busy, \d+ connections/s, 0 queued")
        finish(client)
    wait_status(d, r"2 services, 0/3 busy, 0 connections/s, 0 queued")


def test_status_tells_the_queue(daemon):
    d = daemon(service("a", TCP, workers=1))
    with hold(d.address()), hold_queue(d.address(), 3):
        wait_status(d, r"1 service, 1/1 busy, \d+ connections/s, 3 queued")
    wait_status(d, r"1 service, 0/1 busy, \d+ connections/s, 0 queued")


def test_status_tells_the_rate(daemon):
    d = daemon(service("a", TCP, workers=2))
    for _ in range(50):
        exchange(d.address(), b"x")
    rate = wait_status(d, r"1 service, \d/2 busy, [1-9]\d* connections/s, 0 queued")
    assert int(re.search(r"(\d+) connections/s", rate)[1]) <= 100
    wait_status(d, r"1 service, 0/2 busy, 0 connections/s, 0 queued")


def test_status_only_when_it_changed(daemon):
    """At most once a second, and nothing at all while nothing happens."""
    d = daemon(service("a", TCP, workers=1))
    with hold(d.address()):
        wait_status(d, r"1 service, 1/1 busy, 0 connections/s, 0 queued")
        seen = len(collect(d))
        begun = time.monotonic()
        with hold_queue(d.address(), 1):
            wait_status(d, r"1 service, 1/1 busy, \d+ connections/s, 1 queued")
    assert len(collect(d)) <= seen + 2 + (time.monotonic() - begun)


def test_status_tells_of_trouble(daemon, programs, tmp_path):
    """degraded while workers die at once; no longer once a client was served again."""
    trap = tmp_path / "trap"
    d = daemon(gate(programs, "a", TCP, workers=1, options={"enter_fails": trap}))
    trap.touch()
    os.kill(min(pids(d)), signal.SIGKILL)
    wait_status(d, r"degraded: 1 service, 0/\d busy, 0 connections/s, 0 queued")
    assert d.ctl("status", check=False).returncode == 1
    trap.unlink()
    assert exchange(d.address(), b"healed") == b"healed"
    seen = len(collect(d))
    wait_until("health", lambda: any(
        re.match(r"1 service, 0/1 busy", n.get("STATUS", "")) for n in collect(d)[seen:]))
    wait_until("healthy status", lambda: d.ctl("status", check=False).returncode == 0)


def test_a_stop_that_takes_its_time_asks_for_more(daemon):
    d = daemon(service("a", TCP, workers=1))
    with hold(d.address()) as client:
        d.signal(signal.SIGTERM)
        d.wait_notification("STOPPING=1")
        for _ in range(3):
            text = d.wait_notification("EXTEND_TIMEOUT_USEC=")
            [usec] = re.findall(r"^EXTEND_TIMEOUT_USEC=(\d+)$", text, re.M)
            assert int(usec) > 2_000_000, "more than the time between two of them"
        assert "stopping: " in "".join(n.get("STATUS", "") for n in collect(d))
        finish(client)
    assert d.wait() == 0
    assert states(d) == ["READY", "STOPPING"]


def test_without_a_manager(daemon):
    """NOTIFY_SOCKET may be missing; an address that nobody reads does no harm."""
    d = daemon(service("a", TCP))
    d.stop()
    d.env = {"NOTIFY_SOCKET": str(d.directory / "nobody")}
    d.start(expect_ready=False)
    d.wait_log("listening on", count=2)
    assert exchange(d.address(index=-1), b"works") == b"works"
    reload(d)
    assert d.stop() == 0


# -- nobody reads


def test_nobody_reads(daemon, manager):
    """It goes on: starts, replaces workers, reloads. What was to be said is said later, in order."""
    m = manager()
    m.fill()
    d = daemon(service("a", TCP, workers=2), env=m.environment(), expect_ready=False)
    d.wait_log("listening on")
    for _ in range(20):
        reload(d)
    before = pids(d)
    os.kill(min(before), signal.SIGKILL)
    wait_until("another worker", lambda: len(pids(d)) == 2 and pids(d) != before)
    assert exchange(d.address(), b"served") == b"served"
    told = ["READY=1"] + ["RELOADING=1", "READY=1"] * 20
    assert m.order(*told) == told
    reload(d)
    assert m.order("RELOADING=1", "READY=1") == ["RELOADING=1", "READY=1"]


def test_nobody_reads_a_stop(daemon, manager):
    m = manager()
    m.fill()
    d = daemon(service("a", TCP), env=m.environment(), expect_ready=False)
    d.wait_log("listening on")
    assert d.stop() == 0
    assert "stopped" in d.log()


def test_read_again_during_a_stop(daemon, manager):
    """The pleas that nobody read are one; the state comes before it is too late."""
    m = manager()
    d = daemon(service("a", TCP, workers=1), env=m.environment(), expect_ready=False)
    m.read("READY=1")
    with hold(d.address()) as client:
        m.fill()
        d.signal(signal.SIGTERM)
        d.wait_log("stopping")
        seen = m.read("STOPPING=1", "EXTEND_TIMEOUT_USEC=5000000", "EXTEND_TIMEOUT_USEC=5000000")
        assert "READY=1" not in sum(seen, [])
        finish(client)
    assert d.wait() == 0


def test_the_manager_comes_back(daemon, manager, tmp_path):
    """Another socket at the same place: what the one before did not hear comes first."""
    m = manager()
    d = daemon(service("a", TCP), env=m.environment(), expect_ready=False)
    m.read("READY=1")
    m.socket.close()
    reload(d)
    (tmp_path / "manager").unlink()
    reload(d)
    m = manager()
    reload(d)
    assert m.order(*["RELOADING=1", "READY=1"] * 3) == ["RELOADING=1", "READY=1"] * 3
    assert len(re.findall("the service manager is told nothing", d.log())) == 1


def test_abstract_address(daemon, manager):
    m = manager(f"@preforkd-notify-{os.getpid()}")
    d = daemon(service("a", TCP), env=m.environment(), expect_ready=False)
    m.read("READY=1")
    d.signal(signal.SIGTERM)
    m.read("STOPPING=1")
    assert d.wait() == 0


@pytest.mark.parametrize("name", ["nowhere", "vsock:2:1", "/" + "x" * 108])
def test_an_address_that_is_none(daemon, name):
    d = daemon(service("a", TCP), env={"NOTIFY_SOCKET": name}, expect_ready=False)
    d.wait_log(re.escape(f"NOTIFY_SOCKET={name}: "))
    d.wait_log("listening on")
    reload(d)
    assert d.stop() == 0


# -- time and life


def test_a_start_that_takes_its_time_asks_for_more(daemon, programs, tmp_path):
    door = tmp_path / "door"
    d = daemon(gate(programs, "a", TCP, options={"enter_waits": door}), expect_ready=False)
    for _ in range(2):
        d.wait_notification("EXTEND_TIMEOUT_USEC=5000000")
    assert states(d) == []
    door.touch()
    d.wait_notification("READY=1")
    seen = len(collect(d))
    # Now it has all the time; a reload has not.
    door.unlink()
    with hold(d.address()):
        wait_status(d, r"1 service, 1/\d busy, .*")
    assert not [n for n in collect(d)[seen:] if "EXTEND_TIMEOUT_USEC" in n]
    d.write_config(gate(programs, "a", TCP, options={"enter_waits": door}, workers=3))
    order = start_ctl(d, "reload")
    d.wait_notification("RELOADING=1")
    d.wait_notification("EXTEND_TIMEOUT_USEC=5000000")
    door.touch()
    d.wait_notification("READY=1")
    assert end_ctl(order)[0] == 0


def test_watchdog(daemon, manager):
    """Two to four times in the time that the manager allows."""
    m = manager()
    d = daemon(service("a", TCP), expect_ready=False,
               env=m.environment(WATCHDOG_USEC="400000"))
    m.read("READY=1", "WATCHDOG=1")
    begun = monotonic_usec()
    m.read(*["WATCHDOG=1"] * 10)
    assert 10 * 100_000 * 0.9 < monotonic_usec() - begun < 10 * 400_000
    assert d.stop() == 0


def test_watchdog_of_another(daemon):
    d = daemon(service("a", TCP, workers=1), env={"WATCHDOG_USEC": "10000", "WATCHDOG_PID": "1"})
    with hold(d.address()):
        wait_status(d, r"1 service, 1/1 busy, .*")
    assert not [n for n in collect(d) if "WATCHDOG" in n]


def test_pings_that_nobody_reads_are_one(daemon, manager):
    m = manager()
    m.fill()
    d = daemon(service("a", TCP), expect_ready=False,
               env=m.environment(WATCHDOG_USEC="8000"))
    d.wait_log("listening on")
    begun = monotonic_usec()
    reloads = 0
    # As long as many of them take.
    while monotonic_usec() - begun < 200_000 or reloads < 5:
        reload(d)
        reloads += 1
    seen = m.read(*["READY=1"] * (reloads + 1))
    assert len([lines for lines in seen if "WATCHDOG=1" in lines]) <= 1
    m.read(*["WATCHDOG=1"] * 5)
