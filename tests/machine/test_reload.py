# SPDX-License-Identifier: ISC
"""systemctl reload: it waits, it tells the truth, and nobody on what stays notices.

MACHINE_RELOADS=N in the environment: so many reloads under load in place of the usual few."""

import contextlib
import fcntl
import os
import socket
import subprocess

import pytest
import machine  # noqa: F401  makes support.py known
from support import answer, finish, hold, queue, service

RELOADS = int(os.environ.get("MACHINE_RELOADS", "12"))
MAIN, WEB = "main", "web"
FAILED, DONE = "0fbca93701374317b5e993e5d12aa5a1", "a88ae78678054246ac67aaa8cfa39d32"
TCP = "tcp://127.0.0.1:7080"
SOCKET = """
[Socket]
ListenStream=127.0.0.1:7090
ListenStream=/run/preforkd/web.sock
SocketMode=0666
"""
PASSED = ["tcp://127.0.0.1:7090", "unix:///run/preforkd/web.sock"]


def port(number):
    return f"tcp://127.0.0.1:{number}"


def echo(name, *listen, **keys):
    """The text of a service for anybody who can reach it."""
    return service(name, *listen, **{"workers": 2, "socket_mode": "0666", **keys})


class Running:
    """One of the units, with one configuration after the other."""

    def __init__(self, machine, *services, instance=MAIN):
        self.machine, self.instance = machine, instance
        self.unit = "preforkd" if instance == MAIN else f"preforkd@{instance}"
        self.conf = f"/etc/preforkd/{'preforkd' if instance == MAIN else instance}.conf"
        self.runtime = f"/run/preforkd/{instance}"
        self.unix = f"unix://{self.runtime}/s"
        self.write(*services)
        machine.systemctl("start", self.unit)

    def write(self, *services):
        self.machine.write(self.conf, 'user = "nobody"\n' + "".join(services))

    def reload(self, *services):
        """One that must succeed; what is there is looked at without a wait."""
        generation = self.status()["generation"]
        self.write(*services)
        self.machine.systemctl("reload", self.unit)
        assert self.status()["generation"] == generation + 1

    def ctl(self):
        return self.machine.ctl("reload", instance=self.instance, check=False)

    # -- what it looks like

    def status(self):
        return self.machine.status(self.instance)

    def workers(self, name=None):
        return {w["pid"] for w in self.status()["workers"]
                if name in (None, w["service"]) and not w["leaving"]}

    def addresses(self):
        return {pool["address"] for pool in self.status()["pools"] if not pool["left_over"]}

    def wait_addresses(self, *addresses):
        """What was dropped is there until its last client has gone."""
        self.machine.wait(f"only {addresses}", lambda: self.addresses() == set(addresses))

    def life(self):
        """Of the unit: it never left the state of being active."""
        return self.machine.show(self.unit, "MainPID", "NRestarts", "InvocationID", "Result",
                                 "ActiveEnterTimestampMonotonic")

    def is_active(self, services):
        """And says so at once, with the numbers of now."""
        shown = self.machine.show(self.unit, "ActiveState", "SubState", "StatusText")
        assert (shown["ActiveState"], shown["SubState"]) == ("active", "running"), shown
        plural = "s" if services != 1 else ""
        assert shown["StatusText"].startswith(f"{services} service{plural}, "), shown

    def picture(self):
        """What a reload that is refused leaves alone."""
        return self.life(), self.status()["generation"], self.workers(), self.addresses()

    def at_rest(self):
        """The totals once no connection is open."""
        def look():
            totals = self.status()["connections"]
            return totals if totals["open"] == 0 else None
        return self.machine.wait("no open connection", look)


def serves(machine, address, text=b"served"):
    assert machine.exchange(address, text) == text, address


def is_refused(machine, address):
    try:
        machine.connect(address, 1).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except TimeoutError:
        pass  # its queue is being served; no new client gets in
    return False


@contextlib.contextmanager
def in_background(machine, *argv):
    with machine.popen(*argv) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def gate(booted):
    """The module that waits for files, where the machine has it."""
    target = "tests/modules/gate.la"
    lock = os.open(booted.build, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "-s", "-C", booted.build, target], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    finally:
        os.close(lock)
    return booted.build / "tests/modules/.libs/gate.so"


def gated(machine, module, listen, option, **keys):
    """A service of that module, and the file that it looks for."""
    machine.copy(module, "/usr/lib/gate.so")
    path = "/run/gate"
    machine.write(path, "")
    machine.run("rm", path)
    return service("gated", listen, module="/usr/lib/gate.so", options={option: path}, **keys), path


# -- a reload that succeeds


def test_what_is_new_serves_at_once(machine):
    d = Running(machine, echo("stays", TCP))
    life, kept = d.life(), d.workers("stays")
    names = ["tcp://127.0.0.1:7081", "udp://127.0.0.1:7082", f"unix://{d.runtime}/a",
             f"unixpacket://{d.runtime}/b", f"unixgram://{d.runtime}/c", "unix://@preforkd-new",
             "tcp://[::1]:7083"]
    for i, address in enumerate(names):
        d.reload(echo("stays", TCP), echo(f"new{i}", address))
        serves(machine, address)
        d.is_active(2)
        d.wait_addresses(TCP, address)
    assert d.workers("stays") == kept
    assert d.life() == life
    assert len(machine.journal("preforkd", MESSAGE_ID=DONE)) == len(names)


def test_nothing_changed(machine):
    d = Running(machine, echo("stays", TCP))
    kept = d.workers()
    for _ in range(3):
        d.reload(echo("stays", TCP))
    d.is_active(1)
    assert d.workers() == kept
    machine.wait_journal(r"reload: generation 4: 1 kept, 0 replaced, 0 added, 0 dropped",
                         "preforkd", MESSAGE_ID=DONE)


def test_it_waits_for_the_new_workers(machine, gate):
    """Until they are ready it is not over, and nothing of it is to be seen."""
    stays = echo("stays", TCP)
    d = Running(machine, stays)
    new, go = gated(machine, gate, port(7081), "enter_waits")
    life, generation = d.life(), d.status()["generation"]
    d.write(stays, new)
    with in_background(machine, "systemctl", "reload", "preforkd") as systemctl:
        machine.wait_show("preforkd", ActiveState="reloading", StatusText="reloading")
        machine.wait("new workers", lambda: len(d.workers("gated")) > 0)
        serves(machine, TCP)
        assert is_refused(machine, port(7081))
        assert d.status()["generation"] == generation
        assert systemctl.poll() is None
        machine.write(go, "")
        assert systemctl.wait(30) == 0
    serves(machine, port(7081))
    d.is_active(2)
    assert d.life() == life


def test_several_at_once(machine):
    """Each is told of a load that began after it asked."""
    d = Running(machine, echo("stays", TCP))
    life, kept = d.life(), d.workers()
    with machine.clients(TCP, count=12) as c:
        for i in range(4):
            new = port(7081 + i)
            d.write(echo("stays", TCP), echo("new", new))
            asked = [machine.popen(*argv) for argv in 3 * (("systemctl", "reload", "preforkd"),
                                                           ("preforkctl", "reload"))]
            for process in asked:
                with process:
                    out, err = process.communicate(timeout=60)
                assert process.returncode == 0, (process.args, out, err)
            serves(machine, new)
            d.is_active(2)
        c.more(20)
    assert c.outcomes == {"ok": c.served}, c.failures
    assert (d.life(), d.workers("stays")) == (life, kept)


# -- one that is refused

# What is added to a good file, and what is said about it; {at} is the place of the mistake, in the
# line after the word HERE.
BAD = {
    "value": ('service "new" {\n\tlisten = {"tcp://127.0.0.1:7081"}\n# HERE\n'
              '\tbuiltin = "none"\n}\n',
              '{at}: service "new": builtin: builtin "none": there is none'),
    "unknown key": ('service "new" {\n# HERE\n\tlisen = {"tcp://127.0.0.1:7081"}\n}\n',
                    '{at}: service "new": lisen: '),
    "syntax": ('# HERE\nservice "new" {\n', "{at}: "),
    "user": ('service "new" {\n\tlisten = {"tcp://127.0.0.1:7081"}\n\tbuiltin = "echo"\n# HERE\n'
             '\tuser = "stranger"\n}\n', '{at}: service "new": user: '),
    "module": ('service "new" {\n\tlisten = {"tcp://127.0.0.1:7081"}\n# HERE\n'
               '\tmodule = "/no/such.so"\n}\n', '{at}: service "new": module: '),
    "in use": ('service "new" {\n\tbuiltin = "echo"\n# HERE\n\tlisten = {"tcp://127.0.0.1:7099"}\n'
               '}\n', '{at}: service "new": listen: tcp://127.0.0.1:7099: Address already in use'),
    "unit": ('service "new" {\n\tbuiltin = "echo"\n# HERE\n\tlisten = {"unix:///srv/s"}\n}\n',
             '{at}: service "new": listen: unix:///srv/s: Read-only file system'),
}


def place(machine, path):
    """Of the line after HERE."""
    before = machine.read(path).split("# HERE")[0]
    return f"{path}:{before.count(chr(10)) + 2}"


def check_refused(d, said, path=None):
    """By systemctl and by preforkctl, with the reason, and nothing has changed."""
    machine = d.machine
    said = said.format(at=place(machine, path or d.conf)) if "{at}" in said else said
    before, services = d.picture(), len({p["service"] for p in d.status()["pools"]})
    cursor = machine.newest_cursor()
    done = machine.systemctl("reload", d.unit, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Job for {d.unit}.service failed" in done.stderr
    d.is_active(services)
    messages = machine.journal(d.unit, cursor)
    told = [m for m in messages if m.get("MESSAGE_ID") == FAILED]
    assert any(said in m["MESSAGE"] for m in told), (said, machine.journal_text(d.unit))
    assert {(m["_PID"], m["PRIORITY"]) for m in told} == {(before[0]["MainPID"], "3")}
    # What ExecReload says is seen too: `systemctl status` shows it.
    assert [m for m in messages
            if m.get("SYSLOG_IDENTIFIER") == "preforkctl" and said in m["MESSAGE"]]
    done = d.ctl()
    assert (done.returncode, done.stdout) == (1, ""), done
    assert said in done.stderr
    *now, addresses = d.picture()
    assert tuple(now) == before[:-1]
    assert addresses <= before[-1]  # one that an earlier reload dropped may have ended
    assert d.status()["reloads_failed"] >= 2


@pytest.mark.parametrize("case", BAD)
def test_a_mistake(machine, case):
    text, said = BAD[case]
    good = echo("stays", TCP)
    d = Running(machine, good)
    with machine.inside(socket.create_server, ("127.0.0.1", 7099)):
        with machine.clients([TCP], count=4) as c, machine.inside(hold, TCP) as held:
            d.write(good, text)
            check_refused(d, said)
            c.more(20)
            finish(held)
    assert c.outcomes == {"ok": c.served}, c.failures
    d.reload(good, echo("new", port(7081)))
    serves(machine, port(7081))


def test_a_mistake_in_a_further_file(machine):
    d = Running(machine, echo("stays", TCP))
    path = "/etc/preforkd/conf.d/more.conf"
    machine.write(path, BAD["value"][0])
    check_refused(d, BAD["value"][1], path)
    machine.run("rm", path)
    d.reload(echo("stays", TCP))


def test_workers_that_do_not_get_ready(machine, gate):
    d = Running(machine, echo("stays", TCP))
    new, _ = gated(machine, gate, port(7081), "enter_waits", start_timeout="300ms")
    d.write(echo("stays", TCP), new)
    check_refused(d, 'service "gated" [tcp://127.0.0.1:7081]: not ready within start_timeout')
    new, path = gated(machine, gate, port(7081), "enter_fails")
    machine.write(path, "")
    d.write(echo("stays", TCP), new)
    check_refused(d, 'service "gated" [tcp://127.0.0.1:7081]: a worker failed before it was ready: '
                     'handler gate: enter: Permission denied')
    machine.wait("the address is free again", lambda: is_refused(machine, port(7081)))
    serves(machine, TCP)


def test_a_stopped_unit_has_nothing_to_reload(machine):
    assert machine.systemctl("reload", "preforkd", check=False).returncode != 0
    done = machine.ctl("reload", check=False)
    assert (done.returncode, done.stdout) == (3, ""), done


# -- under load


def test_nobody_on_what_stays_is_lost(machine):
    """Services and addresses come, change and go."""
    d = Running(machine, echo("kept", TCP), echo("changed", port(7081)))
    stay = [TCP, port(7081), f"unix://{d.runtime}/kept", f"unix://{d.runtime}/changed"]

    def configuration(i):
        # Two addresses and the settings of one service, a whole service, its name.
        return (echo("kept", stay[0], stay[2], port(7100 + i)),
                echo("changed", stay[1], stay[3], workers=2 + i % 3, idle_timeout=f"{50 + i}s"),
                echo(f"whole{i}", port(7200 + i), f"unix://{d.runtime}/whole"))

    d.reload(*configuration(0))
    life, own = d.life(), 0
    kept = {w["pid"] for w in d.status()["workers"] if w["address"] in (stay[0], stay[2])}
    with machine.clients(stay, count=12, slow=0.2) as c:
        for i in range(1, RELOADS + 1):
            changed = d.workers("changed")
            d.reload(*configuration(i))
            for address in (port(7100 + i), port(7200 + i), f"unix://{d.runtime}/whole"):
                serves(machine, address)
                own += 1
            d.is_active(3)
            assert not d.workers("changed") & changed
            for gone in (7100, 7200):
                machine.wait("the old address", lambda n=gone + i - 1: is_refused(machine, port(n)))
            c.more(20)
    assert c.outcomes == {"ok": c.served}, c.failures
    assert kept <= d.workers("kept")
    assert d.life() == life
    totals = d.at_rest()
    assert totals["accepted"] == totals["finished"] == c.served + own, totals


def test_what_is_removed_serves_its_queue_first(machine):
    stays = echo("stays", TCP)
    d = Running(machine, stays)
    goes = [port(7081), f"unix://{d.runtime}/s", "unix://@preforkd-goes",
            f"unixpacket://{d.runtime}/p"]
    d.reload(stays, echo("goes", *goes, workers=1))
    life = d.life()
    held = {a: machine.inside(hold, a) for a in goes}
    queued = {a: [machine.inside(queue, a, b"%d" % i) for i in range(20)] for a in goes}
    for client in queued[goes[3]]:
        client.shutdown(socket.SHUT_WR)
    with machine.clients(TCP, count=12) as c:
        d.reload(stays)
        # It is over, though not for those who are still there.
        d.is_active(1)
        assert is_refused(machine, goes[1])  # its path has gone
        c.more(20)
        for address in goes:
            finish(held[address])
            assert [answer(s) for s in queued[address]] == [b"%d" % i for i in range(20)], address
            machine.wait("its end", lambda a=address: is_refused(machine, a))
        c.more(20)
    assert c.outcomes == {"ok": c.served}, c.failures
    d.wait_addresses(TCP)
    assert d.life() == life


# -- another instance


def test_an_instance_of_its_own(machine):
    main = Running(machine, echo("stays", TCP))
    web = Running(machine, echo("web", port(7090)), instance=WEB)
    before = main.picture()
    life = web.life()
    with machine.clients([TCP, port(7090)], count=12) as c:
        web.reload(echo("web", port(7090)), echo("new", port(7091), web.unix))
        serves(machine, port(7091))
        serves(machine, web.unix)
        web.is_active(2)
        web.write(echo("web", port(7090)), BAD["value"][0])
        check_refused(web, BAD["value"][1])
        assert machine.ctl("reload").returncode == 0  # of main
        c.more(20)
    assert c.outcomes == {"ok": c.served}, c.failures
    assert web.life() == life
    assert main.picture() == (before[0], before[1] + 1, *before[2:])


def test_an_instance_that_its_socket_started(machine):
    """What systemd passed stays, whatever is around it; a reload that forgets it is refused."""
    machine.dropin("preforkd@web.socket", SOCKET, "listen.conf")
    machine.write("/etc/preforkd/web.conf", echo("web", "systemd://web", user="nobody"))
    machine.systemctl("start", "preforkd@web.socket")
    serves(machine, PASSED[0])
    web = Running(machine, echo("web", "systemd://web"), instance=WEB)
    life = web.life()
    with machine.clients(PASSED, count=12) as c:
        for i in range(5):
            web.reload(echo("web", "systemd://web", workers=2 + i), echo("own", port(7091 + i)))
            serves(machine, port(7091 + i))
            web.is_active(2)
        web.write(echo("own", port(7095)))
        check_refused(web, 'socket "web"')
        web.reload(echo("other", "systemd://web"))
        c.more(20)
    assert c.outcomes == {"ok": c.served}, c.failures
    assert web.life() == life
