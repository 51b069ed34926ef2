# SPDX-License-Identifier: ISC
"""Sockets that systemd listens on: on demand, as more listeners of the main daemon, and what it
says of those that fit nothing.

MACHINE_ROUNDS=N in the environment: so many clients around the end of an idle daemon in place of
the usual few."""

import contextlib
import os
import random
import re
import selectors

import pytest
import machine  # noqa: F401  makes support.py known
from support import answer, finish, hold, queue, service

ROUNDS = os.environ.get("MACHINE_ROUNDS")
CONF = "/etc/preforkd/preforkd.conf"
MAIN, WEB = "preforkd.service", "preforkd@web.service"
TCP, OTHER, OWN = "tcp://127.0.0.1:7080", "tcp://127.0.0.1:7081", "tcp://127.0.0.1:7082"
UDP = "udp://127.0.0.1:7080"
# A line of the unit, and the address for a client.
KINDS = {
    "tcp": ("ListenStream=127.0.0.1:7080", TCP),
    "udp": ("ListenDatagram=127.0.0.1:7080", UDP),
    "tcp6": ("ListenStream=[::1]:7080", "tcp://[::1]:7080"),
    "any": ("ListenStream=7083", "tcp://127.0.0.1:7083"),
    "unix": ("ListenStream=/run/web.s", "unix:///run/web.s"),
    "unixgram": ("ListenDatagram=/run/web.g", "unixgram:///run/web.g"),
    "unixpacket": ("ListenSequentialPacket=/run/web.p", "unixpacket:///run/web.p"),
    "abstract": ("ListenStream=@web", "unix://@web"),
}
CONFIG = "78"
UNCLAIMED = r'the socket "{}" \({}\) that systemd passed is claimed by no service'


def echo(name, *listen, **keys):
    return service(name, *listen, **{"workers": 2, **keys})


def message(name, *listen):
    return service(name, *listen, builtin="message", workers=1)


class Sockets:
    """Configurations and .socket units, by name."""

    def __init__(self, machine):
        self.machine = machine

    def config(self, *services, instance=None, **keys):
        text = 'user = "nobody"\n' + "".join(f'{k} = "{v}"\n' for k, v in keys.items())
        file = f"/etc/preforkd/{instance}.conf" if instance else CONF
        self.machine.write(file, text + "".join(services))

    def listen(self, unit, *lines):
        """The drop-in of a .socket unit."""
        self.machine.dropin(f"{unit}.socket", "\n".join(["[Socket]", *lines, ""]), "listen.conf")

    def listeners(self, **lines):
        """Of preforkd.service, by name."""
        for name, each in lines.items():
            self.listen(f"preforkd-listen@{name}", *([each] if isinstance(each, str) else each))
        self.systemctl("start", *(f"preforkd-listen@{name}.socket" for name in lines))

    def on_demand(self, *lines, **keys):
        """preforkd@web.socket, which waits for a client."""
        self.config(echo("web", "systemd://web"), instance="web", **keys)
        self.listen("preforkd@web", *lines)
        self.systemctl("start", "preforkd@web.socket")

    def systemctl(self, *args, check=True):
        return self.machine.systemctl(*args, check=check)

    def serves(self, *addresses):
        for i, address in enumerate(addresses):
            text = b"hello %d" % i
            assert self.machine.exchange(address, text) == text, address

    def addresses(self, name, instance="main"):
        return {pool["address"] for pool in self.machine.status(instance)["pools"]
                if pool["service"] == name}

    def fails(self, *said, unit=MAIN):
        """A start that ends with status 78, and says why; systemd tries again."""
        assert self.systemctl("start", unit, check=False).returncode != 0
        for pattern in said:
            found = self.machine.wait_journal(pattern, unit)
            assert int(found.message["PRIORITY"]) == 3
        self.machine.wait_show(unit, ExecMainStatus=CONFIG, SubState="auto-restart")
        assert re.search(said[0], self.machine.show(unit, "StatusText")["StatusText"])


@pytest.fixture
def s(machine):
    return Sockets(machine)


def all_served(c):
    assert c.outcomes == {"ok": c.served}, (c.outcomes, c.failures)


def starts(machine, unit=WEB):
    """How often it was ready since the test began."""
    return len([m for m in machine.journal(unit) if m["MESSAGE"].endswith("is ready")])


# -- on demand


@pytest.mark.parametrize("kind", KINDS)
def test_on_demand(machine, s, kind):
    """Not running; a client comes, it is served."""
    line, address = KINDS[kind]
    s.on_demand(line)
    assert machine.show(WEB, "ActiveState")["ActiveState"] == "inactive"
    s.serves(address, address)
    shown = machine.show(WEB, "ActiveState", "TriggeredBy", "NFileDescriptorStore")
    assert shown == {"ActiveState": "active", "TriggeredBy": "preforkd@web.socket",
                     "NFileDescriptorStore": "0"}  # what is a unit's is not stored


def test_idle_it_ends_and_starts_again(machine, s):
    s.on_demand("ListenStream=127.0.0.1:7080", "ListenDatagram=127.0.0.1:7080", exit_idle="200ms")
    pids = set()
    for address in (TCP, UDP, TCP):
        s.serves(address)
        pids.add(machine.main_pid(WEB))
        machine.wait_show(WEB, ActiveState="inactive", Result="success", ExecMainStatus="0")
        assert machine.show("preforkd@web.socket", "SubState")["SubState"] == "listening"
    assert len(pids) == 3
    machine.wait_journal(r"no client for 200ms", WEB)
    machine.wait_journal(r"exit_idle: stopping", WEB)
    assert not [m for m in machine.journal(WEB) if int(m["PRIORITY"]) <= 4]


def test_who_is_there_keeps_it(machine, s):
    """It does not end while a client is served."""
    s.on_demand("ListenStream=127.0.0.1:7080", exit_idle="100ms")
    held = machine.inside(hold, TCP)
    pid = machine.main_pid(WEB)
    selectors.DefaultSelector().select(0.5)  # the time is what is tested
    assert machine.main_pid(WEB) == pid
    finish(held)
    machine.wait_state(WEB, "inactive")


def test_a_client_in_the_very_moment(machine, s):
    """Of its end: it is served by the one that ends, or by the next."""
    lines, addresses = zip(*(KINDS[kind] for kind in ("tcp", "udp", "unix", "unixpacket")))
    s.on_demand(*lines, exit_idle="50ms")
    dice = random.Random(1)
    most = int(ROUNDS or 40)
    for i in range(20 * most):
        text = b"client %d" % i
        assert machine.exchange(dice.choice(addresses), text) == text
        selectors.DefaultSelector().select(0.05 + dice.uniform(-0.005, 0.03))
        if i >= most and starts(machine) >= most // 4:
            break
    assert most // 4 <= starts(machine) < i, "the end was never near, or before each client"
    assert not [m for m in machine.journal(WEB) if int(m["PRIORITY"]) <= 4]


def test_several_around_the_end(machine, s):
    """Clients that do not know of each other."""
    s.on_demand("ListenStream=127.0.0.1:7080", "ListenStream=/run/web.s", exit_idle="20ms")
    with machine.clients([TCP, "unix:///run/web.s"], count=3, pause=0.06) as c:
        for _ in range(20):
            c.more(int(ROUNDS or 60))
            if starts(machine) > 5:
                break
    all_served(c)
    assert starts(machine) > 5


def test_a_stop_leaves_the_socket(machine, s):
    """It goes on listening: who waits, or comes then, starts the service again."""
    s.on_demand("ListenStream=127.0.0.1:7080", "ListenStream=/run/web.s")
    addresses = [TCP, "unix:///run/web.s"]
    for _ in range(3):
        s.serves(*addresses)
        held = [machine.inside(hold, address) for _ in "12" for address in addresses]
        waiting = [machine.inside(queue, address, b"waits") for address in addresses]
        pid = machine.main_pid(WEB)
        s.systemctl("stop", "--no-block", WEB)
        machine.wait_state(WEB, "deactivating")
        for client in held:
            finish(client)
        assert [answer(client) for client in waiting] == [b"waits"] * 2
        machine.wait_show(WEB, ActiveState="active", MainPID=rf"(?!{pid}$)\d+")
    s.systemctl("stop", "preforkd@web.socket", WEB)
    for address in addresses:
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            machine.connect(address)


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_restart_and_crash(machine, s, how):
    """The socket is systemd's all the time."""
    s.on_demand("ListenStream=127.0.0.1:7080", "ListenStream=/run/web.s")
    with machine.clients([TCP, "unix:///run/web.s"], count=12, slow=0.5) as c:
        for number in range(1, 4):
            c.more_of_any(20)
            pid = machine.main_pid(WEB)
            if how == "restart":
                s.systemctl("restart", WEB)
            else:
                s.systemctl("kill", "--signal=KILL", WEB)
            machine.wait_show(WEB, ActiveState="active", MainPID=rf"(?!({pid}|0)$)\d+")
            c.more_of_any(20)
    cut = sum(c.outcomes.values()) - c.served
    assert set(c.outcomes) <= {"ok", "reset", "short"}, (c.outcomes, c.failures)
    assert cut <= (0 if how == "restart" else number * 4), (c.outcomes, c.failures)
    assert machine.show("preforkd@web.socket", "ActiveState")["ActiveState"] == "active"


def test_exit_idle_with_a_listener_of_its_own(machine, s):
    """No client of that one would start it again."""
    s.config(echo("web", "systemd://web"), echo("own", OWN), instance="web", exit_idle="1m")
    s.listen("preforkd@web", "ListenStream=127.0.0.1:7080")
    s.systemctl("start", "preforkd@web.socket")
    s.fails(rf'service "own" listens on {OWN} itself', unit=WEB)


# -- more listeners for the main daemon


def test_one_unit_with_every_kind(machine, s):
    """Several Listen lines of one name, each an address with workers of its own."""
    s.config(echo("all", "systemd://all"), echo("own", OWN))
    s.listeners(all=[line for line, _ in KINDS.values()])
    s.serves(*(address for _, address in KINDS.values()))
    s.serves(OWN)
    assert s.addresses("all") == {address for kind, (_, address) in KINDS.items()
                                  if kind != "any"} | {"tcp://*:7083"}
    assert all(pool["workers_ready"] == 2 for pool in machine.status()["pools"])
    # In the store there is what it bound itself.
    machine.wait_show(MAIN, NFileDescriptorStore="1")
    s.systemctl("restart", MAIN)
    s.serves(OWN, *(address for _, address in KINDS.values()))
    machine.wait_show(MAIN, NFileDescriptorStore="1")


def test_several_units(machine, s):
    """The client of any of them starts the service."""
    s.config(echo("a", "systemd://one"), echo("b", "systemd://two", "systemd://three"))
    s.listeners(one="ListenStream=127.0.0.1:7080", two="ListenStream=127.0.0.1:7081",
                three="ListenStream=/run/web.s")
    s.serves(OTHER, TCP, "unix:///run/web.s")
    assert s.addresses("a") == {TCP}
    assert s.addresses("b") == {OTHER, "unix:///run/web.s"}


def test_matched_by_what_they_are_bound_to(machine, s):
    """An ordinary configuration takes the sockets that are bound to just that."""
    s.config(echo("a", OTHER, "unix:///run/web.s"), echo("b", UDP, TCP), echo("c", "tcp://*:7083"),
             echo("d", "unixpacket:///run/web.p", OWN))
    s.listeners(mixed=["ListenStream=127.0.0.1:7080", "ListenStream=127.0.0.1:7081",
                       "ListenStream=/run/web.s", "ListenDatagram=127.0.0.1:7080"],
                more=["ListenStream=7083", "ListenSequentialPacket=/run/web.p"])
    s.systemctl("start", MAIN)
    s.serves(TCP, OTHER, UDP, OWN, "unix:///run/web.s", "tcp://127.0.0.1:7083",
             "unixpacket:///run/web.p")
    assert s.addresses("a") == {OTHER, "unix:///run/web.s"}
    assert s.addresses("b") == {UDP, TCP}
    machine.wait_show(MAIN, NFileDescriptorStore="1")


def test_the_order_is_no_matter(machine, s):
    """The unit's and the store's come in another order after each restart, the more so when systemd
    began anew, and the units are started in another one."""
    names = [f"n{i}" for i in range(5)]
    ports = range(7070, 7075)
    s.config(*(message(name, f"systemd://{name}") for name in names),
             *(echo(f"own{i}", f"tcp://127.0.0.1:{7060 + i}") for i in range(4)))
    s.listeners(**{name: [f"ListenStream=127.0.0.1:{port}", f"ListenDatagram=127.0.0.1:{port}"]
                   for name, port in zip(names, ports)})
    dice = random.Random(3)
    for _ in range(3):
        s.systemctl("restart", MAIN)
        s.serves(*(f"tcp://127.0.0.1:{7060 + i}" for i in range(4)))
        for name, port in zip(names, ports):
            assert s.addresses(name) == {f"{kind}://127.0.0.1:{port}" for kind in ("tcp", "udp")}
            assert machine.exchange(f"tcp://127.0.0.1:{port}", b"hello\n")
        machine.wait_show(MAIN, NFileDescriptorStore="4")
        s.systemctl("stop", MAIN)
        s.systemctl("daemon-reexec")
        units = [f"preforkd-listen@{name}.socket" for name in names]
        dice.shuffle(units)
        s.systemctl("stop", *units)
        for unit in units:
            s.systemctl("start", unit)


def test_added_and_removed_with_a_restart(machine, s):
    """Nobody is refused on the other listeners, be they its own or of a unit."""
    s.config(echo("a", "systemd://one"), echo("own", OWN))
    s.listeners(one="ListenStream=127.0.0.1:7080")
    s.systemctl("start", MAIN)
    with machine.clients([TCP, OWN], count=12, slow=0.3) as c:
        c.more(20)
        for _ in "12":
            s.config(echo("a", "systemd://one"), echo("own", OWN), echo("b", "systemd://two"))
            s.listen("preforkd-listen@two", "ListenStream=127.0.0.1:7081")
            s.systemctl("enable", "preforkd-listen@two.socket")
            s.systemctl("restart", MAIN)
            s.serves(OTHER)
            c.more(20)
            s.config(echo("a", "systemd://one"), echo("own", OWN))
            s.systemctl("disable", "--now", "preforkd-listen@two.socket")
            s.systemctl("restart", MAIN)
            with pytest.raises(ConnectionRefusedError):
                machine.connect(OTHER)
            c.more(20)
    all_served(c)
    assert not [m for m in machine.journal(MAIN) if m.get("_COMM") == "preforkd" and
                int(m["PRIORITY"]) <= 4]


def test_from_its_own_to_a_unit(machine, s):
    """A stop, and a start with the unit; the configuration stays."""
    s.config(echo("a", TCP))
    s.systemctl("start", MAIN)
    machine.wait_show(MAIN, NFileDescriptorStore="1")
    s.systemctl("stop", MAIN)
    s.listeners(one="ListenStream=127.0.0.1:7080")
    s.serves(TCP)
    machine.wait_show(MAIN, NFileDescriptorStore="0")


# -- what fits nothing


def test_claimed_by_nobody(machine, s):
    """It says which; and when somebody does, who waited is served."""
    s.config(echo("a", OWN))
    s.listeners(one="ListenStream=127.0.0.1:7080")
    waiting = machine.inside(queue, TCP, b"waits")
    machine.wait_show(MAIN, NRestarts="[1-9]", ExecMainStatus=CONFIG)
    found = machine.wait_journal(UNCLAIMED.format("one", TCP), MAIN)
    assert int(found.message["PRIORITY"]) == 3 and found.message["MESSAGE_ID"]
    assert machine.show("preforkd-listen@one.socket", "ActiveState")["ActiveState"] == "active"
    s.config(echo("a", OWN), echo("b", "systemd://one"))
    assert answer(waiting) == b"waits"
    machine.wait_state(MAIN, "active")


def test_a_reload_that_would_leave_one(machine, s):
    s.config(echo("a", OWN), echo("b", "systemd://one"))
    s.listeners(one="ListenStream=127.0.0.1:7080")
    s.systemctl("start", MAIN)
    with machine.clients([OWN, TCP], count=4) as c:
        c.more(10)
        s.config(echo("a", OWN))
        assert s.systemctl("reload", MAIN, check=False).returncode != 0
        machine.wait_journal(UNCLAIMED.format("one", TCP), MAIN)
        c.more(10)
        # Under its address it may go on.
        s.config(echo("a", OWN), echo("b", TCP))
        s.systemctl("reload", MAIN)
        c.more(10)
    all_served(c)


def test_no_socket_of_that_name(machine, s):
    s.config(echo("a", OWN), echo("b", "systemd://nothing"))
    s.fails(rf'{CONF}:\d+: .*systemd://nothing: systemd passed no socket of that name')
    # By hand there are none, so it does not mind.
    machine.run("preforkd", "--check")


WRONG = {
    "fifo": ("FIFO=/run/web.fifo", r"is no socket \(a FIFO"),
    "netlink": ("Netlink=kobject-uevent 1", "is neither an Internet nor a Unix socket"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_the_wrong_type(s, kind):
    """Beside one that is right; whether somebody wants it or not."""
    line, reason = WRONG[kind]
    s.config(echo("a", "systemd://one"))
    s.listeners(one="ListenStream=127.0.0.1:7080", wrong=f"Listen{line}")
    s.fails(f'the socket "wrong" that systemd passed {reason}')
    s.systemctl("stop", MAIN)
    s.config(echo("a", "systemd://one"), echo("b", "systemd://wrong"))
    s.fails(f'{CONF}:.*systemd://wrong: {reason}')


NOT_LISTENING = r"is a connection and does not listen \(Accept=yes in its \.socket unit\?\)"


@pytest.mark.parametrize("listen, said", [
    (OWN, f'the socket "connection" that systemd passed {NOT_LISTENING}'),
    ("systemd://connection", f"systemd://connection: {NOT_LISTENING}")])
def test_accept_yes(machine, s, listen, said):
    """An instance for each client, to which systemd passes the connection under this name."""
    machine.write("/etc/systemd/system/each.socket",
                  "[Socket]\nListenStream=127.0.0.1:7080\nAccept=yes\n")
    machine.write("/etc/systemd/system/each@.service",
                  "[Service]\nType=notify\nExecStart=/usr/sbin/preforkd -i each\n"
                  "RuntimeDirectory=preforkd/each\n")
    s.config(echo("a", listen))
    s.systemctl("daemon-reload")
    s.systemctl("start", "each.socket")
    try:
        with machine.connect(TCP) as client:
            assert client.recv(1) == b""
        machine.wait_journal(said)
        machine.wait_journal(r"each@.*code=exited, status=78/CONFIG")
    finally:
        s.systemctl("stop", "each.socket")
        s.systemctl("reset-failed", "each@*")


def test_it_is_tried_again(machine, s):
    """Neither service nor socket gives up; the clients wait."""
    s.config("nonsense = 1\n")
    s.listeners(one="ListenStream=127.0.0.1:7080")
    machine.dropin(MAIN, "[Service]\nRestartSec=50ms\n")
    waiting = [machine.inside(queue, TCP, b"waits %d" % i) for i in range(5)]
    machine.wait_show(MAIN, NRestarts=r"\d\d+")
    assert machine.show("preforkd-listen@one.socket", "ActiveState")["ActiveState"] == "active"
    s.config(echo("a", "systemd://one"))
    assert [answer(client) for client in waiting] == [b"waits %d" % i for i in range(5)]


def test_a_stop_of_the_socket_too(machine, s):
    """The socket unit is stopped with the service: who waits gets an end, none hangs."""
    s.on_demand("ListenStream=127.0.0.1:7080")
    held = [machine.inside(hold, TCP) for _ in "12"]
    waiting = machine.inside(queue, TCP, b"waits")
    s.systemctl("stop", "--no-block", "preforkd@web.socket", WEB)
    machine.wait_show(WEB, ActiveState="deactivating", StatusText="stopping: .*")
    for client in held:
        finish(client)
    machine.wait_state("preforkd@web.socket", "inactive")
    machine.wait_state(WEB, "inactive")
    with waiting, contextlib.suppress(ConnectionResetError):
        assert waiting.recv(100) in (b"", b"waits")
