# SPDX-License-Identifier: ISC
"""preforkctl upgrade of a unit: a new program is installed as a package does it, by rename, and
runs then in the same process, watched and restarted by systemd as before; no client notices.

MACHINE_UPGRADES=N in the environment: so many upgrades in a row under load."""

import contextlib
import fcntl
import os
import re
import subprocess
import time

import pytest
import machine  # noqa: F401  makes support.py known
from look import stat_fields
from support import answer, finish, hold, queue, say, service
from test_profiles import PROFILES, TCP, Hardened

UPGRADES = int(os.environ.get("MACHINE_UPGRADES", "20"))
PROGRAM = "/usr/sbin/preforkd"
DONE, FAILED = "31e96e43d9814440bc779980c3e3c298", "855f98003ed34ef9b7b528dca2bcec63"
CONF = "/etc/preforkd/preforkd.conf"
SCRIPT = "#!/bin/sh\n"
START_TICKS = 19
OF_ONE_LIFE = ("MainPID", "NRestarts", "InvocationID", "ActiveEnterTimestampMonotonic")


def echo(name, *listen, **keys):
    """The text of a service for anybody who can reach it."""
    return service(name, *listen, **{"workers": 3, "socket_mode": "0666", **keys})


class Running:
    """One of the units, and what must not change of it."""

    def __init__(self, machine, text=None, instance="main", unix=None):
        self.machine, self.instance = machine, instance
        self.unit = "preforkd" if instance == "main" else f"preforkd@{instance}"
        self.unix = unix or f"unix:///run/preforkd/{instance}/s"
        self.both = [TCP, self.unix]
        if text is None:
            text = 'user = "nobody"\n' + echo("echo", *self.both)
        machine.write(CONF if instance == "main" else f"/etc/preforkd/{instance}.conf", text)

    def start(self):
        self.machine.systemctl("start", self.unit)
        return self

    # -- upgrades

    def install(self, path=None, text=None, mode=0o755):
        """In the program's place; as built, unless told otherwise."""
        if text is not None:
            self.machine.write(PROGRAM, text, mode)
        else:
            self.machine.copy(path or self.machine.build / "preforkd", PROGRAM)

    def ctl(self, verb="upgrade", check=True):
        return self.machine.ctl(verb, instance=self.instance, check=check)

    def upgrade(self, **kwargs):
        """One that must succeed, to a new file; what preforkctl said."""
        self.install(**kwargs)
        told = self.ctl().stdout
        assert self.runs_the_installed()
        return told

    # -- what it looks like

    def pid(self):
        return self.machine.main_pid(self.unit)

    def status(self):
        return self.machine.status(self.instance)

    def workers(self):
        return {w["pid"] for w in self.status()["workers"] if not w["leaving"]}

    def life(self):
        """Of the unit and of its main process: neither ended and began anew."""
        shown = self.machine.show(self.unit, *OF_ONE_LIFE)
        return shown, self.machine.inside(stat_fields, self.pid())[START_TICKS]

    def stored(self):
        return int(self.machine.show(self.unit, "NFileDescriptorStore")["NFileDescriptorStore"])

    def is_active(self):
        """And says so at once, with the numbers of now."""
        shown = self.machine.show(self.unit, "ActiveState", "SubState", "StatusText")
        assert (shown["ActiveState"], shown["SubState"]) == ("active", "running"), shown
        assert re.match(r"1 service, \d+/\d+ busy, ", shown["StatusText"]), shown

    def runs_the_installed(self):
        def look(pid):
            running, installed = os.stat(f"/proc/{pid}/exe"), os.stat(PROGRAM)
            return (running.st_dev, running.st_ino) == (installed.st_dev, installed.st_ino)
        return self.machine.inside(look, self.pid())

    def restrictions(self, pid):
        """What the unit has taken away from a process."""
        fields = r"(Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp.*)"
        status = self.machine.read(f"/proc/{pid}/status")
        mounts = self.machine.inside(os.readlink, f"/proc/{pid}/ns/mnt")
        return re.findall(rf"^{fields}:\s*(.*)$", status, re.M), mounts

    def listener(self):
        """Of the TCP address: the socket's own number."""
        return self.machine.run("ss", "-tlneH", "sport = :7080").stdout.split("ino:")[1].split()[0]

    def wait_alone(self, count):
        """Until the workers of before have gone, and nobody is left behind."""
        def look():
            children = self.machine.run("ps", "--ppid", str(self.pid()), "-o", "stat=").stdout
            return len(children.split()) == count and "Z" not in children
        self.machine.wait(f"{count} workers", look)

    def at_rest(self):
        """The totals once no connection is open."""
        def look():
            totals = self.status()["connections"]
            return totals if totals["open"] == 0 else None
        return self.machine.wait("no open connection", look)

    def serves(self, *addresses):
        for address in addresses or self.both:
            assert self.machine.exchange(address, b"served") == b"served", address


@pytest.fixture
def running(machine):
    return Running(machine).start()


# -- an upgrade that succeeds


def test_the_same_process_runs_the_new_program(running):
    d, machine = running, running.machine
    life, old, listener = d.life(), d.workers(), d.listener()
    machine.wait_show("preforkd", NFileDescriptorStore="2")
    for number in range(1, 4):
        d.install()
        assert not d.runs_the_installed()
        told = d.ctl().stdout
        assert re.fullmatch(rf"preforkctl: version \S+, generation {number + 1}: 0 kept, "
                            r"2 replaced, 0 added, 0 dropped\n", told), told
        assert d.runs_the_installed()
        d.is_active()
        d.serves()
        assert d.life() == life
        assert not d.workers() & old
        assert (d.stored(), d.listener()) == (2, listener)
        d.wait_alone(6)
        old |= d.workers()
    assert machine.show("preforkd", "NRestarts", "Result") == {"NRestarts": "0",
                                                              "Result": "success"}
    done = machine.journal("preforkd", MESSAGE_ID=DONE)
    assert [m["_PID"] for m in done] == [life[0]["MainPID"]] * 3
    status = d.status()
    assert (status["upgrades"], status["upgrades_failed"], status["generation"]) == (3, 0, 4)
    # What was counted before goes on.
    assert status["connections"]["accepted"] == 6


def test_systemd_is_told(running):
    """RELOADING, and READY again when the new generation serves."""
    machine = running.machine
    machine.systemctl("log-level", "debug")
    try:
        running.upgrade()
        told = [machine.wait_journal(rf"preforkd.service: Got notification message from PID "
                                     rf"{running.pid()} \({word}=1", _PID="1").message
                for word in ("RELOADING", "READY")]
    finally:
        machine.systemctl("log-level", "info")
    assert told[0]["__MONOTONIC_TIMESTAMP"] < told[1]["__MONOTONIC_TIMESTAMP"]
    running.is_active()


def test_who_is_served_is_served_to_the_end(running):
    """By the worker of before, whoever sits in its master's place; and so is who waits."""
    d = running
    clients = []
    for address in d.both * 2:
        clients.append(d.machine.inside(hold, address))
        d.upgrade()
        for client in clients:
            say(client, b"through an upgrade\n")
        d.serves()
    d.wait_alone(6 + len(clients))
    held = [d.machine.inside(hold, TCP) for _ in range(3)]
    waiting = [d.machine.inside(queue, TCP, b"%d" % i) for i in range(20)]
    d.upgrade()
    assert [answer(s) for s in waiting] == [b"%d" % i for i in range(20)]
    for client in clients + held:
        finish(client)
    d.wait_alone(6)
    totals = d.at_rest()
    assert totals["accepted"] == totals["finished"] == len(clients) * 3 + 3 + 20


def test_everything_works_afterwards(running):
    d, machine = running, running.machine
    d.upgrade()
    machine.systemctl("reload", "preforkd")
    d.is_active()
    d.serves()
    machine.write(CONF, "nonsense\n" + machine.read(CONF))
    assert machine.systemctl("reload", "preforkd", check=False).returncode == 1
    machine.write(CONF, machine.read(CONF).replace("nonsense\n", ""))
    assert d.ctl("recycle").returncode == 0
    d.upgrade()
    pid, listener = d.pid(), d.listener()
    with machine.clients(d.both, count=4) as c:
        machine.systemctl("restart", "preforkd")
        c.more(20)
    assert c.outcomes == {"ok": c.served}, c.failures
    assert d.pid() not in (0, pid)
    # The store has still what it had.
    assert (d.stored(), d.listener()) == (2, listener)
    assert d.runs_the_installed()
    d.upgrade()
    with machine.inside(hold, TCP) as held:
        with machine.popen("systemctl", "stop", "preforkd") as stop:
            machine.wait_journal("SIGTERM: stopping", "preforkd")
            finish(held)
        assert stop.returncode == 0
    assert machine.show("preforkd", "ActiveState", "Result", "ExecMainStatus") == {
        "ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
    assert machine.run("pgrep", "-l", "^preforkd", check=False).stdout == ""
    machine.systemctl("start", "preforkd")
    d.serves()


def test_killed_afterwards(running):
    """The store that the process before filled serves the one after."""
    d, machine = running, running.machine
    d.upgrade()
    listener, pid = d.listener(), d.pid()
    machine.kill(pid, "KILL")
    machine.wait_show("preforkd", ActiveState="active", SubState="running", NRestarts="1")
    d.serves()
    assert (d.stored(), d.listener()) == (2, listener)


def test_the_watchdog_goes_on(machine):
    """It is fed, and it still bites."""
    machine.dropin("preforkd.service", "[Service]\nWatchdogSec=2s\n")
    d = Running(machine).start()
    for _ in range(2):
        d.upgrade()
    life = d.life()
    began = int(machine.show("preforkd", "WatchdogTimestampMonotonic")[
        "WatchdogTimestampMonotonic"])
    # Longer than one that is not fed would live.
    machine.wait("pings", lambda: int(machine.show("preforkd", "WatchdogTimestampMonotonic")[
        "WatchdogTimestampMonotonic"]) > began + 3000000)
    assert d.life() == life
    d.serves()
    machine.kill(d.pid(), "STOP")
    machine.wait_show("preforkd", ActiveState="active", SubState="running", NRestarts="1")
    machine.wait_journal(r"Watchdog timeout", "preforkd")
    d.serves()


def test_reload_and_upgrade_at_once(running):
    """systemctl waits for what is under way, in either order."""
    d, machine = running, running.machine
    life = d.life()
    with machine.clients(d.both, count=4) as c:
        for _ in range(5):
            d.install()
            asked = [machine.popen(*argv) for argv in (
                ("preforkctl", "upgrade"), ("systemctl", "reload", "preforkd"),
                ("preforkctl", "upgrade"), ("systemctl", "reload", "preforkd"))]
            for process in asked:
                with process:
                    out, err = process.communicate(timeout=60)
                assert process.returncode == 0, (process.args, out, err)
            d.is_active()
            assert d.runs_the_installed()
        c.more(20)
    assert c.outcomes == {"ok": c.served}, c.failures
    assert d.life() == life


def test_a_board_of_another_layout(running):
    """The new program makes one of its own, and says so; back again too."""
    d, machine = running, running.machine
    target = "tests/upgrade/preforkd-other"
    make(machine.build, target)
    life = d.life()
    with machine.clients(d.both, count=12) as c:
        c.more(20)
        told = d.upgrade(path=machine.build / target)
        assert "generation " in told
        machine.wait_journal("the board has another layout in this version: a new one, whose "
                             "counters begin anew", "preforkd", _PID=str(d.pid()))
        # This preforkctl reads another one; the verdicts it can.
        assert machine.ctl("status", check=False).returncode != 0
        assert d.ctl("reload").returncode == 0
        c.more(20)
        before = c.served
        d.upgrade()
        c.more(20)
    assert c.outcomes == {"ok": c.served}, c.failures
    assert d.life() == life
    assert 0 < d.at_rest()["finished"] <= c.served - before + 12
    d.wait_alone(6)
    assert d.stored() == 2
    machine.systemctl("restart", "preforkd")
    d.serves()


def make(build, target):
    """What only tests need is not built for an installation."""
    lock = os.open(build, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "-s", "-C", build, target], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)
    finally:
        os.close(lock)


# -- one that is refused

# What is installed (None: nothing), its mode, and what is said.
BAD = {
    "missing": (None, 0, "--check exited with status 69: {}: No such file or directory"),
    "no program": ("a text\n", 0o755, "--check exited with status 69: {}: Exec format error"),
    "not executable": (SCRIPT, 0o644, "--check exited with status 69: {}: Permission denied"),
    "crashes": (SCRIPT + "kill -SEGV $$\n", 0o755, "--check was killed by SIGSEGV"),
    "refuses": (SCRIPT + "echo what is wrong >&2\nexit 78\n", 0o755,
                "--check exited with status 78: what is wrong"),
}


def check_refused(d, said):
    machine = d.machine
    before = d.life(), d.workers(), d.status()["generation"], d.stored()
    with machine.clients(d.both, count=12) as c, machine.inside(hold, TCP) as held:
        done = d.ctl(check=False)
        assert (done.returncode, done.stdout) == (1, ""), done
        assert said in done.stderr, done
        d.is_active()
        finish(held)
        c.more(20)
    assert c.outcomes == {"ok": c.served}, c.failures
    assert (d.life(), d.workers(), d.status()["generation"], d.stored()) == before
    told = machine.journal("preforkd", MESSAGE_ID=FAILED)
    assert any(said in m["MESSAGE"] for m in told), machine.journal_text("preforkd")
    assert {(m["_PID"], m["PRIORITY"]) for m in told} == {(before[0][0]["MainPID"], "3")}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_program(running, case):
    d = running
    text, mode, said = BAD[case]
    if text is None:
        d.install()
        d.machine.run("rm", PROGRAM)
    else:
        d.install(text=text, mode=mode)
    check_refused(d, f"refused: {PROGRAM} " + said.format(PROGRAM))
    d.upgrade()
    d.serves()


def test_a_configuration_that_it_refuses(running):
    d, machine = running, running.machine
    good = machine.read(CONF)
    machine.write(CONF, good + "nonsense = 1\n")
    d.install()
    check_refused(d, f"{CONF}:{good.count(chr(10)) + 1}: ")
    assert not d.runs_the_installed()
    machine.write(CONF, good)
    d.upgrade()


def test_a_program_that_crashes_after_the_check(running):
    """Of those who were not being served just then nobody is lost: systemd has the listeners, until
    a good one is installed."""
    d, machine = running, running.machine
    d.install(text=SCRIPT + 'case " $* " in *" --check "*) exit 0 ;; esac\nkill -SEGV $$\n')
    with machine.clients(d.both, count=12) as c:
        c.more(20)
        done = d.ctl(check=False)
        assert done.returncode in (1, 3), done
        assert done.stderr
        machine.wait_show("preforkd", NRestarts=r"[1-9]\d*")
        d.install()
        machine.wait_show("preforkd", ActiveState="active", SubState="running")
        c.more_of_any(20)
    lost = {kind: n for kind, n in c.outcomes.items() if kind != "ok"}
    assert set(lost) <= {"reset", "short"} and sum(lost.values()) <= 12, (lost, c.failures)
    d.serves()


# -- under each of the units


@pytest.mark.parametrize("profile", PROFILES)
def test_the_sandbox_permits_it(machine, profile):
    """And stays as it was: nothing less is forbidden afterwards, and nothing more."""
    h = Hardened(machine, profile, "preforkd", "main")
    d = Running(machine, machine.read(CONF), unix=h.unix)
    before = d.restrictions(d.pid()), d.restrictions(min(d.workers()))
    with machine.clients(d.both, count=4) as c:
        for _ in range(3):
            d.upgrade()
            c.more(20)
        assert (d.restrictions(d.pid()), d.restrictions(min(d.workers()))) == before
        machine.systemctl("reload", "preforkd")
        machine.systemctl("restart", "preforkd")
        d.upgrade()
        c.more(20)
    assert c.outcomes == {"ok": c.served}, c.failures
    h.serves()


@contextlib.contextmanager
def started_by_a_client(machine, **keys):
    """preforkd@web, whose sockets are its .socket unit's."""
    machine.dropin("preforkd@web.socket", f"[Socket]\nListenStream={TCP[6:]}\n"
                   "ListenStream=/run/preforkd/web.sock\nSocketMode=0666\n", "listen.conf")
    text = "".join(f'{k} = "{v}"\n' for k, v in {"user": "nobody", **keys}.items())
    d = Running(machine, text + echo("web", "systemd://web"), "web",
                "unix:///run/preforkd/web.sock")
    machine.systemctl("start", "preforkd@web.socket")
    assert machine.show(d.unit, "ActiveState")["ActiveState"] == "inactive"
    d.serves(TCP)
    yield d


def test_an_instance_that_its_socket_started(machine):
    with started_by_a_client(machine) as d:
        life, listener = d.life(), d.listener()
        with machine.clients(d.both, count=12) as c:
            for _ in range(5):
                d.upgrade()
                c.more(20)
            assert (d.life(), d.listener(), d.stored()) == (life, listener, 0)
            machine.systemctl("reload", d.unit)
            machine.systemctl("restart", d.unit)
            d.upgrade()
            machine.systemctl("stop", d.unit)  # the next client starts it
            c.more(20)
        assert c.outcomes == {"ok": c.served}, c.failures
        assert machine.show("preforkd@web.socket", "ActiveState")["ActiveState"] == "active"


def test_idle_after_an_upgrade(machine):
    """It still ends when nobody comes, and is started again."""
    with started_by_a_client(machine, exit_idle="1s") as d:
        d.upgrade()
        machine.wait_show(d.unit, ActiveState="inactive", Result="success")
        d.serves()
        d.upgrade()
        d.serves()


# -- how long a client waits


def test_many_in_a_row(running, capsys):
    """Nobody is lost; and the worst delay, beside that of the same load without upgrades."""
    d, machine = running, running.machine
    life, begun = d.life(), time.monotonic()
    # Not without a pause: what is measured would be their own queue for the CPU.
    load = {"count": 12, "pause": 0.01}
    with machine.clients(d.both, **load) as c:
        for number in range(UPGRADES):
            told = d.upgrade()
            assert f"generation {number + 2}: " in told, told
            c.all_served()
    seconds = time.monotonic() - begun
    assert c.outcomes == {"ok": c.served}, c.failures
    assert (d.life(), d.stored()) == (life, 2)
    totals = d.at_rest()
    assert totals["accepted"] == totals["finished"] == c.served, totals
    d.wait_alone(6)
    with machine.clients(d.both, seed=2, **load) as calm:
        while calm.served < c.served:
            calm.more(100)
    with capsys.disabled():
        print(f"\n{UPGRADES} upgrades in {seconds:.1f} s under 12 clients: {c.outcomes}, worst "
              f"delay {c.worst * 1000:.1f} ms; without upgrades {calm.outcomes}, "
              f"{calm.worst * 1000:.1f} ms")
    # What is promised is 50 ms beside an idle machine; who had to wait for another's end, for a
    # start or for a restart would wait longer than this.
    assert c.worst < max(0.25, 3 * calm.worst)
