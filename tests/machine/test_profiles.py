# SPDX-License-Identifier: ISC
"""preforkd does all it does under each of the hardening profiles: plain, built-ins only, sealed."""

import re

import pytest

DROPINS = "/usr/share/preforkd/dropins"
PROFILES = {
    "plain": [],
    "builtin-only": ["50-builtin-only.conf"],
    "sealed": ["50-builtin-only.conf", "60-sealed.conf"],
}
# (unit, instance): the drop-ins are the same for both.
UNITS = [("preforkd", "main"), ("preforkd@web", "web")]
TCP, UDP = "tcp://127.0.0.1:7080", "udp://127.0.0.1:7080"

OWN = """
service "echo" {
	listen      = {"tcp://127.0.0.1:7080", "udp://127.0.0.1:7080", "unix://RUNTIME/own.sock"}
	builtin     = "echo"
	workers     = 2
	user        = "nobody"
	socket_mode = 0666
}
service "qotd" {
	listen  = {"tcp://127.0.0.1:7081"}
	builtin = "qotd"
	user    = "preforkd"
	options { file = "/etc/issue" }
}
"""
PASSED = """
user = "preforkd"
service "echo" {
	listen  = {"systemd://web"}
	builtin = "echo"
	workers = 2
}
"""
LISTEN = """
[Socket]
ListenStream=127.0.0.1:7080
ListenDatagram=127.0.0.1:7080
ListenStream=/run/preforkd/own.sock
SocketMode=0666
"""


class Hardened:
    """One of the units, under one of the profiles."""

    def __init__(self, machine, profile, unit, instance):
        self.machine, self.profile, self.unit, self.instance = machine, profile, unit, instance
        self.unix = f"unix:///run/preforkd/{'' if self.sealed else instance + '/'}own.sock"
        for name in PROFILES[profile]:
            machine.write(f"/etc/systemd/system/{unit}.service.d/{name}",
                          machine.read(f"{DROPINS}/{name}"))
        config = PASSED if self.sealed else OWN.replace("RUNTIME", f"/run/preforkd/{instance}")
        name = "preforkd.conf" if instance == "main" else f"{instance}.conf"
        machine.write(f"/etc/preforkd/{name}", config)
        if self.sealed:
            socket = "preforkd-listen@web" if instance == "main" else f"preforkd@{instance}"
            machine.write(f"/etc/systemd/system/{socket}.socket.d/listen.conf", LISTEN)
            machine.systemctl("daemon-reload")
            machine.systemctl("enable", "--now", f"{socket}.socket")
        machine.systemctl("daemon-reload")
        machine.systemctl("start", unit)

    @property
    def sealed(self):
        return self.profile == "sealed"

    def serves(self):
        for address in (TCP, UDP):
            assert self.machine.exchange(address, b"hello") == b"hello", address
        reply = self.machine.run("preforkctl", "call", self.unix, "hello", user="alice").stdout
        assert reply.rstrip("\n") == "hello"
        if not self.sealed:
            assert self.machine.exchange("tcp://127.0.0.1:7081", b"")

    def pid(self):
        return self.machine.main_pid(self.unit)

    def ctl(self, verb):
        return self.machine.ctl(verb, instance=self.instance)


@pytest.fixture(params=UNITS, ids=["main", "instance"])
def unit(request):
    return request.param


@pytest.fixture(params=PROFILES)
def hardened(request, machine, unit):
    return Hardened(machine, request.param, *unit)


def test_it_is_in_force(hardened):
    """The profile, and not only its name."""
    status = hardened.machine.read(f"/proc/{hardened.pid()}/status")
    capabilities = int(re.search(r"^CapBnd:\s+(\w+)", status, re.M)[1], 16)
    uid = int(re.search(r"^Uid:\s+(\d+)", status, re.M)[1])
    # CHOWN 0, KILL 5, SETGID 6, SETUID 7, NET_BIND_SERVICE 10
    assert capabilities == {"plain": 0x4e1, "builtin-only": 0xe0, "sealed": 0}[hardened.profile]
    assert (uid == 0) == (not hardened.sealed)
    assert re.search(r"^Seccomp:\s+2$", status, re.M)


def test_clients_are_served(hardened):
    hardened.serves()


def test_reload_recycle_and_upgrade(hardened):
    pid = hardened.pid()
    hardened.machine.systemctl("reload", hardened.unit)
    hardened.serves()
    hardened.ctl("recycle")
    hardened.serves()
    hardened.ctl("upgrade")
    hardened.serves()
    assert hardened.pid() == pid


def test_restart(hardened):
    hardened.serves()
    hardened.machine.systemctl("restart", hardened.unit)
    hardened.serves()


def test_a_crash(hardened):
    pid = hardened.pid()
    hardened.machine.kill(pid, "KILL")
    # With the workers, whose clients may be cut off; from then on nobody is.
    hardened.machine.wait_journal("Failed with result 'signal'", hardened.unit)
    # The listeners are there all the while: in systemd's store, or those of the .socket unit.
    hardened.serves()
    assert hardened.pid() != pid


def test_a_worker_is_replaced(hardened):
    """The master may signal workers of another user, and start more of them."""
    worker = hardened.machine.status(hardened.instance)["workers"][0]["pid"]
    hardened.machine.kill(worker, "KILL")
    hardened.machine.wait("another worker", lambda: worker not in {
        w["pid"] for w in hardened.machine.status(hardened.instance)["workers"]})
    hardened.serves()
    hardened.machine.systemctl("stop", hardened.unit)
    assert hardened.machine.show(hardened.unit, "Result")["Result"] == "success"


def test_one_instance_leaves_the_directory_of_another(machine):
    machine.write("/etc/preforkd/web.conf", OWN.replace("RUNTIME", "/run/preforkd/web"))
    machine.systemctl("start", "preforkd", "preforkd@web")
    machine.systemctl("stop", "preforkd@web")
    assert machine.run("ls", "/run/preforkd").stdout.split() == ["main"]
    assert machine.exchange("tcp://127.0.0.1:7008", b"hello") == b"hello"
    machine.systemctl("start", "preforkd@web")
    machine.systemctl("stop", "preforkd")
    assert machine.run("ls", "/run/preforkd").stdout.split() == ["web"]
    assert machine.exchange(TCP, b"hello") == b"hello"
