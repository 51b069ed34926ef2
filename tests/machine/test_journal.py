# SPDX-License-Identifier: ISC
"""What preforkd says in the real journal: entries with fields, `journalctl -x` that explains each
message, and a journald that is stuck, restarted or gone, for which nobody waits.

MACHINE_LINES=N in the environment: so many logged connections in place of 10000."""

import collections
import contextlib
import fcntl
import os
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest
import machine  # noqa: F401  makes support.py known
from daemon import connect
from support import hold, queue, service

SOURCE = Path(os.environ.get("SRCDIR", Path(__file__).resolve().parents[2]))
LINES = int(os.environ.get("MACHINE_LINES", "10000"))
CONF = "/etc/preforkd/preforkd.conf"
DROPINS = "/usr/share/preforkd/dropins"
UNIT = "preforkd.service"
TCP, UDP = "tcp://127.0.0.1:7080", "udp://127.0.0.1:7080"
OTHER = "tcp://127.0.0.1:7081"
UNIX, GRAM = "unix:///run/preforkd/main/s", "unixgram:///run/preforkd/main/g"
TABLE = re.findall(r'^MESSAGE\((\w+), "(\w+)", "(.*)"\)$',
                   (SOURCE / "src/base/messages.def").read_text(), re.M)
IDS = {name: id for name, id, _ in TABLE}
# Of an entry, what preforkd itself says; the rest is journald's, which no sender can set.
OWN = re.compile(r"MESSAGE|MESSAGE_ID|PRIORITY|SYSLOG_IDENTIFIER|PREFORKD_\w+")


def start(machine, *services, user="nobody", dropin=None):
    """preforkd.service with these; again when it runs."""
    if dropin:
        machine.dropin(UNIT, f"[Service]\n{dropin}\n")
    write(machine, *services, user=user)
    machine.systemctl("start", "preforkd")


def write(machine, *services, user="nobody"):
    machine.write(CONF, f'user = "{user}"\n' + "".join(services))


def echo(name, *listen, **keys):
    return service(name, *listen, **{"workers": 1, "socket_mode": "0666", **keys})


def entry(machine, name, unit=UNIT, pattern="", **fields):
    """The first of this test."""
    return machine.wait_journal(pattern, unit, MESSAGE_ID=IDS[name], **fields).message


def own(message):
    return {key: value for key, value in message.items() if OWN.fullmatch(key)}


def workers(machine, name=None):
    return [w["pid"] for w in machine.status()["workers"] if name in (None, w["service"])]


def build(machine, target):
    """A module of the tests, where the machine has it."""
    lock = os.open(machine.build, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
        subprocess.run(["make", "-s", "-C", machine.build, f"tests/modules/{target}.la"], env=env,
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    finally:
        os.close(lock)
    path = f"/usr/lib/preforkd/{target}.so"
    machine.copy(machine.build / f"tests/modules/.libs/{target}.so", path)
    return path


# ---- what an entry holds


def ask(address, text):
    """One client; its own address, where it has one, and the reply."""
    with connect(address) as s:
        s.sendall(text)
        if s.type == socket.SOCK_STREAM:
            s.shutdown(socket.SHUT_WR)
        name = s.getsockname()
        reply = s.recv(65536)
    return "%s:%d" % name[:2] if isinstance(name, tuple) else None, reply


def test_the_fields(machine):
    start(machine, echo("tcp", TCP, log_connections="true"),
          echo("udp", UDP, log_connections="true"), echo("unix", UNIX, log_connections="true"))
    listening = entry(machine, "listening", PREFORKD_SERVICE="tcp")
    assert own(listening) == {
        "MESSAGE": f'service "tcp": listening on {TCP} (1 worker)', "PRIORITY": "6",
        "MESSAGE_ID": IDS["listening"], "SYSLOG_IDENTIFIER": "preforkd",
        "PREFORKD_INSTANCE": "main", "PREFORKD_SERVICE": "tcp", "PREFORKD_ADDRESS": TCP}
    # What journald adds: nobody else could have sent it.
    assert int(listening["_PID"]) == machine.main_pid()
    assert (listening["_SYSTEMD_UNIT"], listening["_TRANSPORT"], listening["_UID"]) == (
        UNIT, "journal", "0")

    for name, address, outcome in (("tcp", TCP, "connection"), ("udp", UDP, "datagram"),
                                   ("unix", UNIX, "connection")):
        client, reply = machine.inside(ask, address, b"12345")
        assert reply == b"12345"
        message = entry(machine, outcome, PREFORKD_SERVICE=name)
        said = own(message)
        usec, text = int(said.pop("PREFORKD_DURATION_USEC")), said.pop("MESSAGE")
        bytes_ = {"PREFORKD_BYTES_IN": "5", "PREFORKD_BYTES_OUT": "5"} if name != "unix" else {}
        [pid] = workers(machine, name)
        assert 0 <= usec < 30e6 and f'service "{name}" [{address}]: ' in text
        assert said == {
            "PRIORITY": "6", "MESSAGE_ID": IDS[outcome], "SYSLOG_IDENTIFIER": "preforkd",
            "PREFORKD_INSTANCE": "main", "PREFORKD_SERVICE": name, "PREFORKD_ADDRESS": address,
            "PREFORKD_SOURCE": client or "unix", "PREFORKD_WORKER": str(pid), **bytes_}
        assert (message["_PID"], message["_SYSTEMD_UNIT"], message["_UID"]) == (
            str(pid), UNIT, "65534")
    # By a field alone, as the manual has it.
    assert len(machine.journal(PREFORKD_SERVICE="udp", MESSAGE_ID=IDS["datagram"])) == 1


def test_an_instance_has_its_name(machine):
    machine.write("/etc/preforkd/web.conf", echo("web", TCP))
    machine.systemctl("start", "preforkd@web")
    message = entry(machine, "started", "preforkd@web.service")
    assert message["PREFORKD_INSTANCE"] == "web"
    assert "Instance web has started" in explanation(machine, message)


def test_a_user_unit(machine):
    """Of the user's own manager."""
    machine.systemctl("start", "user@1000")
    machine.write("/home/alice/.config/preforkd/preforkd.conf",
                  echo("hers", TCP, log_connections="true"))
    machine.run("systemctl", "--user", "start", "preforkd", user="alice")
    assert machine.exchange(TCP, b"hello") == b"hello"
    message = entry(machine, "connection", None)
    assert (message["_SYSTEMD_USER_UNIT"], message["_UID"], message["PREFORKD_SERVICE"]) == (
        UNIT, "1000", "hers")
    machine.run("systemctl", "--user", "stop", "preforkd", user="alice")


def test_who_ends_at_once_is_of_the_unit(machine):
    """journald looks at a process after it got the entry: `journalctl -u` must know the last words
    too."""
    module, rounds = build(machine, "gate"), 8
    start(machine, echo("gate", TCP, module=module, options={"enter_fails": "/run/gate"}),
          dropin="Restart=no")
    machine.write("/run/gate", "")
    for _ in range(rounds):
        assert machine.ctl("recycle", check=False).returncode == 1
    machine.systemctl("stop", "preforkd")
    write(machine, "nonsense = 1\n")
    for _ in range(rounds):
        assert machine.systemctl("start", "preforkd", check=False).returncode != 0
    for name in ("worker_failed", "start_failed"):
        of_all = machine.journal(MESSAGE_ID=IDS[name])
        assert len(of_all) >= rounds
        assert len(machine.journal(UNIT, MESSAGE_ID=IDS[name])) == len(of_all)


# ---- what a client cannot do

FORGERIES = [b"MESSAGE=forged", b"x\nMESSAGE=forged\nPRIORITY=0\n", b"x\rPRIORITY=0",
             b"x\x00MESSAGE=forged", b"<0>forged", b"\x1b[2Jforged", b"\xff\xfe\n",
             b"MESSAGE\n\x06\0\0\0\0\0\0\0forged\n", b"_SYSTEMD_UNIT=ssh.service",
             b"\xc2\x85forged", b"\xe2\x80\xa8forged", b"x" * 100000, b"\\n" * 3000]


def send_from(name, address, text):
    """A datagram whose sender has a name of its choice."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.settimeout(30)
        s.bind(name)
        s.connect(address)
        s.send(text)
        return s.recv(65536)


def test_a_client_forges_nothing(machine):
    """Each is one entry, on one line, with the fields of preforkd alone."""
    start(machine, echo("message", TCP, builtin="message"),
          echo("gram", GRAM, log_connections="true"))
    for text in FORGERIES:
        reply = machine.exchange(TCP, text)
        assert reply.startswith(b"I got your message"), text
    for name in (b"\0x\nMESSAGE=forged\nPRIORITY=0", b"\0" + b"\n" * 100):
        reply = machine.inside(send_from, name, GRAM.split("//")[1], b"x\nMESSAGE=forged\n")
        assert reply == b"x\nMESSAGE=forged\n"

    def found():
        messages = [m for m in machine.journal() if m.get("SYSLOG_IDENTIFIER") == "preforkd" and
                    m.get("MESSAGE_ID") in (IDS["client_message"], IDS["datagram"])]
        return messages if len(messages) >= len(FORGERIES) + 2 else None

    messages = machine.wait("entries", found)
    assert len(messages) == len(FORGERIES) + 2
    for m in messages:
        # journalctl gives what is not plain text as a list of numbers.
        assert all(isinstance(value, str) for value in m.values()), m
        # Neither a control character nor one that would be shown as a line's end.
        assert m["MESSAGE"].isprintable() and len(m["MESSAGE"]) <= 2048, m
        assert {key for key in m if OWN.fullmatch(key)} <= {
            "MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER", "PREFORKD_INSTANCE",
            "PREFORKD_SERVICE", "PREFORKD_ADDRESS", "PREFORKD_WORKER", "PREFORKD_SOURCE",
            "PREFORKD_DURATION_USEC", "PREFORKD_BYTES_IN", "PREFORKD_BYTES_OUT"}
        kind = "message" if m["MESSAGE_ID"] == IDS["client_message"] else "gram"
        assert (m["PREFORKD_SERVICE"], m["PRIORITY"]) == (kind, "5" if kind == "message" else "6")
        assert re.fullmatch(r"127\.0\.0\.1:\d+|@[ -~]+", m["PREFORKD_SOURCE"])
    # Nobody else said it either.
    assert [m for m in machine.journal() if str(m["MESSAGE"]).startswith("forged")] == []
    assert [m for m in machine.journal() if m["PRIORITY"] == "0"] == []


# ---- journalctl -x


def catalog(machine):
    """What the installed catalog says to each id: its lines."""
    text = machine.read("/usr/lib/systemd/catalog/preforkd.catalog")
    found = re.findall(r"^-- (\w{32})\n((?:(?!-- ).*\n)*)", text, re.M)
    return {id: body.strip("\n").split("\n") for id, body in found}


def explanation(machine, message):
    """What `journalctl -x` shows below this entry."""
    text = machine.run("journalctl", "-x", "--no-pager", "--output=short",
                       f"--cursor={message['__CURSOR']}", "--lines=1").stdout
    first, *rest = text.splitlines()
    assert str(message["MESSAGE"]) in first, text
    assert all(line.startswith("\u2591\u2591") for line in rest), text
    return "\n".join(line[3:] for line in rest)


def is_explained(machine, message):
    """By the text of the catalog, with what this entry is about in it."""
    lines = catalog(machine)[message["MESSAGE_ID"]]
    wanted = re.sub(r"@(\w+)@", lambda m: message[m[1]], "\n".join(lines))
    assert explanation(machine, message) == wanted


def ordinary(machine):
    start(machine, echo("echo", TCP, UDP, log_connections="true"),
          echo("message", OTHER, builtin="message"))
    for address, text in ((TCP, b"x"), (UDP, b"x"), (OTHER, b"x\n")):
        machine.exchange(address, text)
    machine.systemctl("reload", "preforkd")
    machine.ctl("recycle")
    machine.ctl("upgrade")
    machine.systemctl("stop", "preforkd")


def bad_start(machine):
    write(machine, "nonsense = 1\n")
    assert machine.systemctl("start", "preforkd", check=False).returncode != 0


def bad_reload_and_upgrade(machine):
    start(machine, echo("echo", TCP))
    write(machine, echo("echo", TCP, workers="many"))
    assert machine.systemctl("reload", "preforkd", check=False).returncode != 0
    write(machine, echo("echo", TCP))
    machine.write("/usr/sbin/preforkd", "#!/bin/sh\nexit 1\n", 0o755)
    assert machine.ctl("upgrade", check=False).returncode == 1


def deaths(machine):
    """Workers without a client, so that the pool has to be careful; all is well again later."""
    start(machine, echo("echo", TCP, workers=2))
    machine.kill(workers(machine)[0], "KILL")
    entry(machine, "pool_degraded")


def not_ready(machine):
    """The first workers were ready at once, which the next is not."""
    module = build(machine, "gate")
    machine.write("/run/gate", "")
    start(machine, echo("gate", TCP, module=module, start_timeout="1s",
                        options={"enter_waits": "/run/gate"}))
    machine.run("rm", "/run/gate")
    machine.kill(workers(machine)[0], "KILL")
    entry(machine, "worker_not_ready")
    machine.write("/run/gate", "")


def cannot_go_on(machine):
    """Nor a recycle, which then keeps the old ones."""
    module = build(machine, "gate")
    start(machine, echo("gate", TCP, module=module, options={"enter_fails": "/run/gate"}))
    machine.write("/run/gate", "")
    assert machine.ctl("recycle", check=False).returncode == 1
    assert machine.exchange(TCP, b"hello") == b"hello"


def program(machine):
    """It says something; and then it can no longer be executed."""
    path = "/usr/local/bin/greet"
    machine.write(path, "#!/bin/sh\necho hello >&2\n", 0o755)
    start(machine, echo("greet", TCP, exec=[path]))
    assert machine.exchange(TCP, b"") == b""
    machine.run("chmod", "a-x", path)
    assert machine.exchange(TCP, b"") == b""


def slow_program(machine):
    start(machine, echo("slow", TCP, exec=["/bin/sleep", "1000"], connection_timeout="200ms"))
    assert machine.exchange(TCP, b"") == b""


def refused(machine):
    start(machine, echo("echo", TCP, deny=["127.0.0.1"]))
    assert machine.exchange(TCP, b"") == b""


def overdue(machine):
    start(machine, echo("echo", TCP, connection_timeout="200ms"))
    with machine.inside(hold, TCP) as s:
        assert s.recv(9) == b""


def full(machine):
    """Two have a client, the third waits until that was said."""
    start(machine, echo("echo", TCP, workers_max=2, spare=1))
    with machine.inside(hold, TCP), machine.inside(hold, TCP), machine.inside(queue, TCP, b"waits"):
        entry(machine, "pool_full")


def cut_off(machine):
    start(machine, echo("echo", TCP, stop_timeout="300ms"))
    with machine.inside(hold, TCP), machine.inside(queue, TCP, b"waits"):
        machine.systemctl("stop", "preforkd")


def no_process(machine):
    """The user has no more of them; root always has."""
    start(machine, echo("echo", TCP, workers=2), user="preforkd", dropin="User=preforkd")
    machine.run("prlimit", f"--pid={machine.main_pid()}", "--nproc=1:1", user="preforkd")
    machine.kill(workers(machine)[0], "KILL")


def knock(address):
    connect(address).close()


def no_descriptors(machine):
    """A worker has one client at a time: only a limit below what it has already stops it."""
    start(machine, echo("echo", TCP))
    pid = workers(machine)[0]
    machine.run("prlimit", f"--pid={pid}", "--nofile=3:", user="nobody")
    machine.inside(knock, TCP)
    entry(machine, "descriptors_exhausted")
    machine.run("prlimit", f"--pid={pid}", "--nofile=64:", user="nobody")


def unclaimed(machine):
    machine.write("/etc/systemd/system/preforkd-listen@x.socket.d/listen.conf",
                  "[Socket]\nListenStream=127.0.0.1:7090\n")
    machine.systemctl("daemon-reload")
    machine.systemctl("enable", "--now", "preforkd-listen@x.socket")
    write(machine, echo("echo", TCP))
    assert machine.systemctl("start", "preforkd", check=False).returncode != 0


def dropped(machine):
    start(machine, echo("echo", TCP), echo("other", OTHER))
    write(machine, echo("echo", TCP))
    machine.systemctl("restart", "preforkd")


# What is done, and which messages come of it.
SCENES = {
    ordinary: ["listening", "started", "connection", "datagram", "client_message", "reload_done",
               "recycle_done", "upgrade_done", "stopping", "stopped"],
    bad_start: ["start_failed"],
    bad_reload_and_upgrade: ["reload_failed", "upgrade_failed"],
    deaths: ["worker_died", "pool_degraded", "pool_healthy"],
    not_ready: ["worker_not_ready"],
    cannot_go_on: ["worker_failed", "recycle_failed"],
    program: ["program_said", "program_failed"],
    slow_program: ["program_timeout"],
    refused: ["client_refused"],
    overdue: ["connection_timeout"],
    full: ["pool_full"],
    cut_off: ["worker_killed", "queue_cut"],
    no_process: ["fork_failed"],
    no_descriptors: ["descriptors_exhausted"],
    unclaimed: ["socket_unclaimed"],
    dropped: ["store_dropped"],
}


def test_every_message_has_a_scene():
    """log_lost: below."""
    assert sorted(sum(SCENES.values(), ["log_lost"])) == sorted(IDS)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_explained(machine, scene):
    scene(machine)
    for name in SCENES[scene]:
        is_explained(machine, entry(machine, name))


def test_the_catalog_is_not_there_before_the_update(machine):
    """make install puts the file in its place; journalctl reads the database made of it."""
    start(machine, echo("echo", TCP))
    message = entry(machine, "started")
    is_explained(machine, message)
    path = "/usr/lib/systemd/catalog/preforkd.catalog"
    text = machine.read(path)
    machine.run("rm", path)
    try:
        machine.run("journalctl", "--update-catalog")
        assert explanation(machine, message) == ""
    finally:
        machine.inside(Path(path).write_text, text)
        machine.run("journalctl", "--update-catalog")
    is_explained(machine, message)


# ---- a journald that is stuck


@contextlib.contextmanager
def stuck(machine):
    """No command that asks the journal for something may run in there."""
    pid = int(machine.show("systemd-journald", "MainPID")["MainPID"])
    machine.kill(pid, "STOP")
    try:
        machine.wait("journald stands", lambda: re.search(
            r"^State:\s+T", machine.read(f"/proc/{pid}/status"), re.M))
        yield
    finally:
        machine.kill(pid, "CONT")


def many(address, count):
    """So many clients; the longest that one took, in seconds."""
    worst = 0
    for i in range(count):
        token, begin = b"%d" % i, time.monotonic()
        with connect(address, 20) as s:
            s.sendall(token)
            s.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda s=s: s.recv(100), b"")) == token
        worst = max(worst, time.monotonic() - begin)
    return worst


def losses(machine):
    """By pid, of the workers."""
    return {w["pid"]: w["connections"]["log_lost"] for w in machine.status()["workers"]}


def together(address, count):
    """Clients that are all served at the same time, by a worker each."""
    with contextlib.ExitStack() as stack:
        for s in [stack.enter_context(connect(address)) for _ in range(count)]:
            s.sendall(b"x")
            assert s.recv(9) == b"x"


def test_a_stuck_journald_stops_nobody(machine):
    """Each line came or is counted; and what was lost is said as soon as a line goes out again."""
    start(machine, echo("echo", TCP, workers=4, log_connections="true"),
          # journald's own limit would drop some.
          dropin="LogRateLimitIntervalSec=0")
    with stuck(machine):
        begin = time.monotonic()
        worst = machine.inside(many, TCP, LINES)
        took = time.monotonic() - begin
        machine.wait("all counted",
                     lambda: machine.status()["connections"]["finished"] == LINES)
        lost = losses(machine)
        # The master does not wait either.
        machine.systemctl("reload", "preforkd")
    print(f"\n{LINES} connections in {took:.1f} s, the longest {worst * 1000:.0f} ms; "
          f"{sum(lost.values())} lines lost")
    assert sum(lost.values()) == machine.status()["connections"]["log_lost"] >= LINES - 2000
    assert worst < 5

    def came():
        return len(machine.journal(MESSAGE_ID=IDS["connection"]))

    machine.wait("what journald had in its queue", lambda: came() == LINES - sum(lost.values()))
    # All at once: one after the other would have the same worker.
    def served():
        machine.inside(together, TCP, 4)
        return {int(m["_PID"]) for m in machine.journal(MESSAGE_ID=IDS["log_lost"])}

    machine.wait("all said it", lambda: served() >= {pid for pid in lost if lost[pid]})
    said = collections.Counter()
    for m in machine.journal("preforkd", MESSAGE_ID=IDS["log_lost"]):
        said[int(m["_PID"])] += int(re.search(r"(\d+) lines of the log were lost",
                                              m["MESSAGE"])[1])
        assert (m["PRIORITY"], m["PREFORKD_SERVICE"]) == ("4", "echo") or \
            int(m["_PID"]) == machine.main_pid()
    assert {pid: said[pid] for pid in lost} == lost
    is_explained(machine, entry(machine, "log_lost"))
    assert losses(machine) == lost


def test_a_stuck_journald_hinders_no_command(machine):
    with stuck(machine):
        start(machine, echo("echo", TCP))
        for verb in ("reload", "restart"):
            machine.systemctl(verb, "preforkd")
            assert machine.exchange(TCP, b"hello") == b"hello"
        for verb in ("recycle", "upgrade"):
            machine.ctl(verb)
            assert machine.exchange(TCP, b"hello") == b"hello"
        machine.systemctl("stop", "preforkd")
    # What fits into journald's queue is not lost.
    for name in ("started", "reload_done", "recycle_done", "upgrade_done", "stopped"):
        assert entry(machine, name, None)["PREFORKD_INSTANCE"] == "main"


# ---- a journald that is restarted


def profile(machine, *dropins):
    for name in dropins:
        machine.write(f"/etc/systemd/system/{UNIT}.d/{name}", machine.read(f"{DROPINS}/{name}"))
    machine.systemctl("daemon-reload")


def listen(machine, name, port):
    machine.write(f"/etc/systemd/system/preforkd-listen@{name}.socket.d/listen.conf",
                  f"[Socket]\nListenStream=127.0.0.1:{port}\n")
    machine.systemctl("daemon-reload")
    machine.systemctl("enable", "--now", f"preforkd-listen@{name}.socket")


# Of each profile: its drop-ins, its user, and the sandboxes that are possible.
KINDS = {
    "plain": ([], "nobody", {"strict": {}, "basic": {}, "off": {}}),
    "programs": (["50-programs.conf"], "nobody",
                 {"strict": {}, "chroot": {"chroot": "/run/empty"}, "basic": {},
                  "chroot-basic": {"chroot": "/run/empty", "sandbox": "basic"}}),
    "builtin-only": (["50-builtin-only.conf"], "nobody", {"strict": {}, "basic": {}, "off": {}}),
    "sealed": (["50-builtin-only.conf", "60-sealed.conf"], "preforkd",
               {"strict": {}, "basic": {}, "off": {}}),
}


def start_kind(machine, kind):
    """The address of each of its services."""
    dropins, user, sandboxes = KINDS[kind]
    profile(machine, *dropins)
    machine.run("mkdir", "-p", "/run/empty")
    texts, addresses = [], {}
    for port, (name, keys) in enumerate(sandboxes.items(), 7080):
        addresses[name] = f"tcp://127.0.0.1:{port}"
        keys = {"sandbox": name, **keys} if not keys else keys
        if kind == "sealed":
            listen(machine, name, port)
        texts.append(echo(name, f"systemd://{name}" if kind == "sealed" else addresses[name],
                          log_connections="true", **keys))
    start(machine, *texts, user=user)
    return addresses


def line_of(machine, name, address, cursor):
    """What the worker says to a client of now."""
    client, reply = machine.inside(ask, address, b"hello")
    assert reply == b"hello"
    found = machine.wait_journal("finished", UNIT, cursor, MESSAGE_ID=IDS["connection"],
                                 PREFORKD_SERVICE=name, PREFORKD_SOURCE=client).message
    assert found["_PID"] == found["PREFORKD_WORKER"] == str(workers(machine, name)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_journald_is_restarted(machine, kind):
    """The lines of all go on, of the same processes, and none is lost."""
    addresses = start_kind(machine, kind)
    before, pid = workers(machine), machine.main_pid()
    for generation in (2, 3):
        for name, address in addresses.items():
            line_of(machine, name, address, None)
        machine.systemctl("reload", "preforkd")
        machine.wait_journal(rf"reload: generation {generation}:", UNIT, _PID=pid)
        if generation == 2:
            machine.systemctl("restart", "systemd-journald")
    assert workers(machine) == before
    status = machine.status()
    assert (status["connections"]["log_lost"], status["log_lost"]) == (0, 0)


SOCKETS = ["systemd-journald.socket", "systemd-journald-dev-log.socket"]


@pytest.fixture
def new_sockets(machine):
    """Makes journald's sockets anew. What else runs in there has no way to the journal then."""
    def make():
        machine.systemctl("stop", *SOCKETS, "systemd-journald")
        machine.systemctl("start", *SOCKETS, "systemd-journald")
    yield make
    machine.reboot()


def test_journald_gets_new_sockets(machine, new_sockets):
    """The master finds them, and workers that may; those in a sandbox lose their lines, and count
    them, until they are replaced."""
    addresses = start_kind(machine, "plain")
    new_sockets()
    for name in ("off", "basic"):
        line_of(machine, name, addresses[name], None)
    machine.exchange(addresses["strict"], b"hello")
    [pid] = workers(machine, "strict")
    machine.wait("a line is lost", lambda: losses(machine)[pid] == 1)
    machine.systemctl("reload", "preforkd")
    machine.wait_journal("reload: generation 2:", UNIT)
    machine.ctl("recycle")
    line_of(machine, "strict", addresses["strict"], None)
    assert machine.status()["log_lost"] == 0
