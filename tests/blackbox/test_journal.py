# SPDX-License-Identifier: ISC
"""The journal: entries with fields, which never make a worker wait; and the catalog that explains
them."""

import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess

import pytest
from daemon import connect, exchange, wait_until
from journal import Journal, stream_of, wrapper
from support import hold, pids, rewrite, service

TCP = "tcp://127.0.0.1:0"


@pytest.fixture
def journal(tmp_path):
    """A journald that does not read yet."""
    j = Journal(tmp_path / "journal")
    yield j
    j.close()


@pytest.fixture
def logged(daemon, tmp_path, journal):
    """Starts daemons whose stderr is that journal."""
    def start(config, **kwargs):
        kwargs["env"] = {**stream_of(tmp_path / "main"), **kwargs.get("env", {})}
        return daemon(config, wrapper=wrapper(journal.directory), **kwargs)
    return start


def messages(programs):
    text = (programs.source / "src/base/messages.def").read_text()
    return {name: (id, subject) for name, id, subject in
            re.findall(r'^MESSAGE\((\w+), "(\w+)", "(.*)"\)$', text, re.M)}


@pytest.fixture
def ids(programs):
    return {name: id for name, (id, _) in messages(programs).items()}


def where(d, name=None, index=0):
    """The address; the log file, where others look for it, is empty here."""
    found = [p["address"] for p in d.status()["pools"] if name in (None, p["service"])]
    return found[index]


# ---- what an entry holds


def test_start_and_stop(logged, journal, ids):
    journal.read()
    d = logged(service("a", TCP, workers=2), name="main")
    entry = journal.wait(MESSAGE_ID=ids["listening"])
    address = where(d)
    assert entry == {"MESSAGE": f'service "a": listening on {address} (2 workers)',
                     "PRIORITY": "6", "SYSLOG_IDENTIFIER": "preforkd",
                     "MESSAGE_ID": ids["listening"], "PREFORKD_INSTANCE": "main",
                     "PREFORKD_SERVICE": "a", "PREFORKD_ADDRESS": address, "_PID": d.pid}
    journal.wait(MESSAGE_ID=ids["started"])
    d.stop()
    assert journal.wait(MESSAGE_ID=ids["stopping"])["MESSAGE"] == "SIGTERM: stopping"
    assert journal.wait(MESSAGE_ID=ids["stopped"])["PRIORITY"] == "5"
    assert d.log() == ""


def test_a_start_that_fails(logged, journal, ids):
    journal.read()
    d = logged('service "a" {\n\tlisten = {"tcp://*:0"}\n\tbuiltin = "nope"\n\tworkers = "x"\n}\n',
               expect_ready=False)
    assert d.wait() == 78
    journal.wait(2, MESSAGE_ID=ids["start_failed"])
    texts = [e["MESSAGE"] for e in journal.find(MESSAGE_ID=ids["start_failed"])]
    assert len(texts) >= 2 and all(f"{d.config_file}:" in text for text in texts), texts


def test_reload_and_recycle(logged, journal, ids):
    journal.read()
    d = logged(service("a", TCP, workers=1))
    d.ctl("recycle")
    journal.wait(MESSAGE_ID=ids["recycle_done"])
    rewrite(d, service("a", TCP, workers=2))
    assert "generation 2" in journal.wait(MESSAGE_ID=ids["reload_done"])["MESSAGE"]
    d.write_config('service "a" {')
    assert d.ctl("reload", check=False).returncode == 1
    entry = journal.wait(MESSAGE_ID=ids["reload_failed"])
    assert entry["PRIORITY"] == "3" and f"{d.config_file}:1" in entry["MESSAGE"]


@pytest.mark.parametrize("sandbox", ["strict", "basic"])
def test_a_connection(logged, journal, ids, sandbox):
    journal.read()
    d = logged(service("a", TCP, workers=1, log_connections="true", sandbox=sandbox,
                       user="nobody", chroot="/var/empty" if os.path.isdir("/var/empty") else "/tmp"))
    address = where(d)
    with connect(address) as s:
        client = "%s:%d" % s.getsockname()
        s.sendall(b"x" * 100000)
        s.shutdown(socket.SHUT_WR)
        assert len(b"".join(iter(lambda: s.recv(65536), b""))) == 100000
    entry = journal.wait(MESSAGE_ID=ids["connection"])
    [pid] = pids(d)
    usec = int(entry.pop("PREFORKD_DURATION_USEC"))
    text = entry.pop("MESSAGE")
    assert text == (f'service "a" [{address}]: client {client}: finished after '
                    f"{usec // 1000}.{usec % 1000:03} ms")
    assert entry == {"PRIORITY": "6", "SYSLOG_IDENTIFIER": "preforkd",
                     "MESSAGE_ID": ids["connection"], "PREFORKD_INSTANCE": "main",
                     "PREFORKD_SERVICE": "a", "PREFORKD_ADDRESS": address,
                     "PREFORKD_SOURCE": client, "PREFORKD_WORKER": str(pid), "_PID": pid,
                     "PREFORKD_BYTES_IN": "100000", "PREFORKD_BYTES_OUT": "100000"}


def test_bytes_are_those_of_the_handler(logged, journal, ids):
    """Not one more for an end of input, whoever ends first and however."""
    journal.read()
    d = logged(service("a", TCP, workers=1, log_connections="true") +
               service("t", TCP, workers=1, builtin="time", log_connections="true") +
               service("s", TCP, workers=1, idle_timeout="100ms", log_connections="true"))

    def bytes_of(name):
        entry = journal.wait(PREFORKD_SERVICE=name, MESSAGE_ID=ids["connection"])
        return int(entry["PREFORKD_BYTES_IN"]), int(entry["PREFORKD_BYTES_OUT"])

    assert exchange(where(d, "a"), b"12345") == b"12345"
    assert bytes_of("a") == (5, 5)
    with connect(where(d, "t")) as s:  # the server ends first
        assert len(b"".join(iter(lambda: s.recv(100), b""))) == 4
    assert bytes_of("t") == (0, 4)
    with connect(where(d, "s")) as s:  # the client never ends
        s.sendall(b"123")
        assert s.recv(100) == b"123"
        assert s.recv(1) == b""
    assert bytes_of("s") == (3, 3)


def test_unix_knows_no_bytes(logged, journal, ids, tmp_path):
    """What is not known is no field, rather than 0."""
    journal.read()
    d = logged(service("a", "unix://@journal-%d" % os.getpid(), workers=1, log_connections="true"))
    exchange(where(d), b"x")
    entry = journal.wait(MESSAGE_ID=ids["connection"])
    assert "PREFORKD_BYTES_IN" not in entry and "PREFORKD_BYTES_OUT" not in entry
    assert entry["PREFORKD_SOURCE"] == "unix"


def test_a_datagram(logged, journal, ids):
    journal.read()
    d = logged(service("a", "udp://127.0.0.1:0", workers=1, log_connections="true") +
               service("t", "udp://127.0.0.1:0", workers=1, builtin="time", log_connections="true"))
    with connect(where(d, "a")) as s:
        client = "%s:%d" % s.getsockname()
        s.send(b"12345")
        assert s.recv(100) == b"12345"
    entry = journal.wait(MESSAGE_ID=ids["datagram"], PREFORKD_SERVICE="a")
    assert (entry["PREFORKD_SOURCE"], entry["PREFORKD_BYTES_IN"], entry["PREFORKD_BYTES_OUT"]) == (
        client, "5", "5")
    assert int(entry["PREFORKD_DURATION_USEC"]) >= 0
    assert len(exchange(where(d, "t"), b"")) == 4
    entry = journal.wait(MESSAGE_ID=ids["datagram"], PREFORKD_SERVICE="t")
    assert (entry["PREFORKD_BYTES_IN"], entry["PREFORKD_BYTES_OUT"]) == ("0", "4")


def test_a_message_forges_nothing(logged, journal, ids):
    journal.read()
    d = logged(service("a", TCP, workers=1, builtin="message"))
    exchange(where(d), b"hello\x1b[2J\rPRIORITY=0\n")
    entry = journal.wait(MESSAGE_ID=ids["client_message"])
    assert entry["MESSAGE"].endswith(r"hello\x1b[2J\x0dPRIORITY=0")
    assert (entry["PRIORITY"], entry["PREFORKD_SERVICE"]) == ("5", "a")
    assert entry["PREFORKD_SOURCE"].startswith("127.0.0.1:")


def script(path, text):
    """Another one in the place of what was there."""
    path.parent.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(f"#!/bin/sh\n{text}\n")
    new.chmod(0o755)
    return new.rename(path)


def test_what_a_program_says(logged, journal, ids, tmp_path):
    """With its own name and pid; the entry is its worker's."""
    journal.read()
    program = script(tmp_path / "main/greet", r"printf 'hello \033[2J\nPRIORITY=0\n' >&2; echo $$")
    d = logged(service("a", TCP, workers=1, exec=[program]))
    pid = int(exchange(where(d), b""))
    entry = journal.wait(2, MESSAGE_ID=ids["program_said"])
    [worker] = pids(d)
    assert entry == {"MESSAGE": f'service "a" [{where(d)}]: greet[{pid}]: PRIORITY=0',
                     "PRIORITY": "6", "SYSLOG_IDENTIFIER": "preforkd",
                     "MESSAGE_ID": ids["program_said"], "PREFORKD_INSTANCE": "main",
                     "PREFORKD_SERVICE": "a", "PREFORKD_ADDRESS": where(d),
                     "PREFORKD_WORKER": str(worker), "_PID": worker}
    texts = [e["MESSAGE"] for e in journal.find(MESSAGE_ID=ids["program_said"])]
    assert texts[0].endswith(f"greet[{pid}]: hello \\x1b[2J") and len(texts) == 2


def test_a_connection_of_a_program(logged, journal, ids):
    journal.read()
    d = logged(service("a", TCP, workers=1, log_connections="true", exec=["/bin/cat"]))
    with connect(where(d)) as s:
        client = "%s:%d" % s.getsockname()
        s.sendall(b"x" * 100000)
        s.shutdown(socket.SHUT_WR)
        assert len(b"".join(iter(lambda: s.recv(65536), b""))) == 100000
    entry = journal.wait(MESSAGE_ID=ids["connection"])
    assert (entry["PREFORKD_SOURCE"], entry["PREFORKD_BYTES_IN"], entry["PREFORKD_BYTES_OUT"]) == (
        client, "100000", "100000")
    usec = int(entry["PREFORKD_DURATION_USEC"])
    assert entry["MESSAGE"].endswith(f"client {client}: finished after "
                                     f"{usec // 1000}.{usec % 1000:03} ms")


# ---- what goes wrong


def test_a_program_that_cannot_be_executed_any_more(logged, journal, ids, tmp_path):
    journal.read()
    program = script(tmp_path / "main/greet", "echo hello")
    d = logged(service("a", TCP, workers=1, exec=[program]))
    assert exchange(where(d), b"") == b"hello\n"
    program.chmod(0o644)
    assert exchange(where(d), b"") == b""
    entry = journal.wait(MESSAGE_ID=ids["program_failed"])
    assert entry["MESSAGE"] == f'service "a" [{where(d)}]: {program}: Permission denied'
    assert (entry["PRIORITY"], entry["PREFORKD_WORKER"]) == ("3", str(*pids(d)))
    program.chmod(0o755)
    assert exchange(where(d), b"") == b"hello\n"
    totals = wait_until("no open connection", lambda: d.status()["connections"])
    assert (totals["accepted"], totals["aborted_error"]) == (3, 1)


def test_a_program_that_is_ended_by_a_timeout(logged, journal, ids):
    journal.read()
    d = logged(service("a", TCP, workers=1, exec=["/bin/sleep", "1000"],
                       connection_timeout="200ms"))
    with connect(where(d)) as s:
        client = "%s:%d" % s.getsockname()
        assert s.recv(1) == b""
    entry = journal.wait(MESSAGE_ID=ids["program_timeout"])
    assert re.fullmatch(rf'service "a" \[{re.escape(where(d))}\]: /bin/sleep\[\d+\] for client '
                        rf"{re.escape(client)} was ended after its connection_timeout: "
                        r"\d+\.\d+ s, 0 bytes in, 0 out; it was waiting", entry["MESSAGE"])
    assert entry["PREFORKD_BYTES_IN"] == "0" and int(entry["PREFORKD_DURATION_USEC"]) >= 200000
    assert (entry["PRIORITY"], entry["PREFORKD_SOURCE"], entry["_PID"]) == ("4", client, *pids(d))
    wait_until("counted", lambda: d.status()["connections"]["timed_out"] == 1)


def test_a_client_that_is_refused(logged, journal, ids, tmp_path):
    journal.read()
    d = logged(service("a", TCP, f"unix://{tmp_path}/s", workers=1,
                       deny=["127.0.0.1", f"uid:{os.getuid()}"]))
    with connect(where(d)) as s:
        client = "%s:%d" % s.getsockname()
        assert s.recv(1) == b""
    entry = journal.wait(MESSAGE_ID=ids["client_refused"])
    assert entry["MESSAGE"] == (f'service "a" [{where(d)}]: client {client}: refused by allow and '
                                "deny")
    assert (entry["PRIORITY"], entry["PREFORKD_SOURCE"]) == ("5", client)
    with connect(where(d, index=1)) as s:
        assert s.recv(1) == b""
    entry = journal.wait(MESSAGE_ID=ids["client_refused"], PREFORKD_SOURCE="unix")
    assert f"client unix of uid {os.getuid()}: refused" in entry["MESSAGE"]


def test_a_connection_that_takes_too_long(logged, journal, ids):
    journal.read()
    d = logged(service("a", TCP, workers=1, connection_timeout="200ms"))
    with connect(where(d)) as s:
        client = "%s:%d" % s.getsockname()
        s.sendall(b"five.")
        assert s.recv(10) == b"five."
        assert s.recv(1) == b""
    entry = journal.wait(MESSAGE_ID=ids["connection_timeout"])
    assert re.fullmatch(rf'service "a" \[{re.escape(where(d))}\]: client {re.escape(client)} was '
                        r"ended by connection_timeout: \d+\.\d+ s, 5 bytes in, 5 out; its worker "
                        r"was waiting for input", entry["MESSAGE"])
    assert (entry["PRIORITY"], entry["PREFORKD_SOURCE"], entry["_PID"]) == ("4", client, *pids(d))
    assert (entry["PREFORKD_BYTES_IN"], entry["PREFORKD_BYTES_OUT"]) == ("5", "5")
    assert int(entry["PREFORKD_DURATION_USEC"]) >= 200000


def test_a_worker_that_dies(logged, journal, ids):
    journal.read()
    d = logged(service("a", TCP, workers=1))
    [pid] = pids(d)
    with hold(where(d)):
        os.kill(pid, signal.SIGKILL)
        entry = journal.wait(MESSAGE_ID=ids["worker_died"])
    assert (entry["PRIORITY"], entry["PREFORKD_WORKER"], entry["PREFORKD_SERVICE"],
            entry["PREFORKD_ADDRESS"], entry["_PID"]) == ("4", str(pid), "a", where(d), d.pid)
    assert "while it served a client" in entry["MESSAGE"]


def test_a_pool_is_degraded_and_healthy_again(logged, journal, ids):
    """Said once, with the pause, however often its workers die; and once when it is over."""
    journal.read()
    d = logged(service("a", TCP, workers=2))
    for count in range(1, 4):
        victim = wait_until("workers", lambda: len(pids(d)) and sorted(pids(d))[0])
        os.kill(victim, signal.SIGKILL)
        journal.wait(count, MESSAGE_ID=ids["worker_died"])
    entry = journal.wait(MESSAGE_ID=ids["pool_degraded"])
    # 100 ms less a quarter of jitter; twice and four times that when more died before it was said.
    pause = int(re.search(r"the next worker is tried in (\d+) ms", entry["MESSAGE"])[1])
    assert 75 <= pause <= 400
    assert (entry["PRIORITY"], entry["PREFORKD_SERVICE"]) == ("4", "a")
    entry = journal.wait(MESSAGE_ID=ids["pool_healthy"])
    assert entry["PREFORKD_ADDRESS"] == where(d)

    def turns():
        return [e["MESSAGE_ID"] for e in list(journal.entries)
                if e.get("MESSAGE_ID") in (ids["pool_degraded"], ids["pool_healthy"])]

    found = wait_until("healthy at last", lambda: turns()[-1] == ids["pool_healthy"] and turns())
    assert found == [ids["pool_degraded"], ids["pool_healthy"]] * (len(found) // 2)
    assert len(found) <= 2 * 3


def test_a_killed_worker_and_a_cut_queue(logged, journal, ids):
    journal.read()
    d = logged(service("a", TCP, workers=1, stop_timeout="200ms"))
    [pid] = pids(d)
    with hold(where(d)), connect(where(d)):
        d.signal(signal.SIGTERM)
        assert d.wait() == 0
    assert journal.wait(MESSAGE_ID=ids["worker_killed"])["PREFORKD_WORKER"] == str(pid)
    assert journal.wait(MESSAGE_ID=ids["queue_cut"])["PREFORKD_SERVICE"] == "a"


def test_no_descriptors(logged, journal, ids):
    journal.read()
    d = logged(service("a", TCP, workers=1))
    [pid] = pids(d)
    with hold(where(d)):
        hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
    connect(where(d)).close()
    entry = journal.wait(MESSAGE_ID=ids["descriptors_exhausted"])
    assert "accept: Too many open files" in entry["MESSAGE"]
    assert (entry["PREFORKD_SERVICE"], entry["_PID"]) == ("a", pid)


# ---- which way it goes


def test_stderr_elsewhere(daemon, journal, tmp_path):
    """JOURNAL_STREAM stays set when somebody points stderr elsewhere: then there it goes."""
    journal.read()
    d = daemon(service("a", TCP), wrapper=wrapper(journal.directory),
               env={"JOURNAL_STREAM": "1:2"})
    assert re.match(rf'<6>preforkd\[{d.pid}\]: service "a": listening', d.log())
    d.stop()
    assert journal.entries == []


def test_no_journald_at_the_start(daemon, journal, tmp_path):
    """Its stream is all there is, and adds the name and the pid itself."""
    (journal.directory / "socket").unlink()
    d = daemon(service("a", TCP), wrapper=wrapper(journal.directory),
               env=stream_of(tmp_path / "main"))
    assert d.log().startswith('<6>service "a": listening')


def test_journald_gets_a_new_socket(logged, journal, ids):
    """A restart of the socket unit: the master finds it again."""
    journal.read()
    d = logged(service("a", TCP, workers=1))
    journal.wait(MESSAGE_ID=ids["started"])
    journal.close()
    journal.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    journal.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    journal.bind()
    journal.read()
    d.ctl("reload")
    journal.wait(MESSAGE_ID=ids["reload_done"])
    d.ctl("recycle")
    journal.wait(MESSAGE_ID=ids["recycle_done"])


def test_workers_have_connections_of_their_own(logged, journal):
    """One that is shared could be led elsewhere by a worker, for the master and all others."""
    journal.read()
    d = logged(service("a", TCP, workers=3))

    def inodes(pid):
        unix = {line.split()[6] for line in
                subprocess.run(["cat", f"/proc/{pid}/net/unix"], capture_output=True, text=True,
                               check=True).stdout.splitlines()[1:] if line.split()[4] == "0002"}
        found = set()
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                link = os.readlink(f"/proc/{pid}/fd/{fd}")
                found |= {link[8:-1]} & unix if link.startswith("socket:[") else set()
        return found

    of_workers = [inodes(pid) for pid in pids(d)]
    assert [len(found) for found in of_workers] == [1, 1, 1]
    assert len(set.union(*of_workers)) == 3
    assert not set.union(*of_workers) & inodes(d.pid)


# ---- a journald that has stalled


def lost(d):
    status = d.status()
    return status["connections"]["log_lost"], status["log_lost"]


def test_a_stalled_journald_stops_nobody(logged, journal, ids):
    """10,000 logged connections are served while it reads nothing; every line either came or is
    counted as lost."""
    count = 10000
    d = logged(service("a", TCP, workers=4, log_connections="true"))
    kind, port = where(d).rsplit(":", 1)
    address = (kind.split("//")[1], int(port))
    for i in range(count):
        with socket.create_connection(address, timeout=30) as s:
            s.sendall(b"%d" % i)
            s.shutdown(socket.SHUT_WR)
            assert s.recv(100) == b"%d" % i
    wait_until("all counted", lambda: d.status()["connections"]["finished"] == count)
    workers, master = lost(d)
    assert workers > count / 2
    d.ctl("reload")  # the master does not wait either
    journal.read()
    connections = lambda: len(journal.find(MESSAGE_ID=ids["connection"]))
    wait_until("lines and losses", lambda: connections() + lost(d)[0] == count)
    # All is said as soon as a line goes out again, by whom it concerns.
    for _ in range(100):
        assert exchange(where(d), b"x") == b"x"
    notes = journal.find(MESSAGE_ID=ids["log_lost"])
    said = {n["_PID"]: int(re.search(r"(\d+) lines of the log were lost", n["MESSAGE"])[1])
            for n in notes}
    counted = {w["pid"]: w["connections"]["log_lost"] for w in d.status()["workers"]}
    assert set(said) & set(counted)
    assert all(counted[pid] == number for pid, number in said.items() if pid in counted)
    assert connections() + lost(d)[0] <= count + 100


def test_the_masters_losses(logged, journal, ids):
    d = logged(service("a", TCP, workers=1))
    for _ in range(1000):
        d.ctl("reload")
        if lost(d)[1] > 3:
            break
    workers, master = lost(d)
    assert (workers, master > 3) == (0, True)
    journal.read()
    wait_until("room", lambda: journal.find(MESSAGE_ID=ids["listening"]))
    d.ctl("reload")
    entry = journal.wait(MESSAGE_ID=ids["log_lost"])
    assert entry["MESSAGE"] == f"{lost(d)[1]} lines of the log were lost"
    assert (entry["_PID"], entry["PRIORITY"]) == (d.pid, "4")


# ---- the catalog


def catalog(programs):
    return programs.source / "systemd/preforkd.catalog"


def test_the_catalog_has_every_message(programs):
    """And no other, with the same subject; each id is one that nobody else can have."""
    table = messages(programs)
    ids = [id for id, _ in table.values()]
    assert len(ids) >= 20 and len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", id) for id in ids)
    text = catalog(programs).read_text()
    entries = re.findall(r"^-- (\w+)\nSubject: (.+)\nDefined-By: preforkd\n"
                         r"(?:Support: .+\n)?Documentation: (.+)\n\n((?:(?!-- ).+\n)+)", text, re.M)
    assert len(entries) == text.count("\n-- ")
    assert [(id, subject) for id, subject, _, _ in entries] == list(table.values())
    for _, _, documents, body in entries:
        assert all(re.fullmatch(r"man:[\w.-]+\(\d\)", page) for page in documents.split())
        assert len(body.split(". ")) >= 1 and body.endswith(".\n")


def test_the_fields_of_the_catalog_are_sent(programs):
    source = (programs.source / "src/base/log.c").read_text()
    sent = set(re.findall(r'"(PREFORKD_\w+|MESSAGE|PRIORITY)"', source))
    used = set(re.findall(r"@(\w+)@", catalog(programs).read_text()))
    assert used and used <= sent
    manual = (programs.source / "man/preforkd.8").read_text()
    assert set(re.findall(r"^\.It Va (PREFORKD_\w+)", manual, re.M)) == \
        {name for name in sent if name.startswith("PREFORKD_")}


def test_the_manual_has_every_id(programs):
    manual = (programs.source / "man/preforkd.8").read_text()
    for name, (id, _) in messages(programs).items():
        assert re.search(rf"^\.It Li {id}$", manual, re.M), name
    assert len(re.findall(r"^\.It Li [0-9a-f]{32}$", manual, re.M)) == len(messages(programs))


def test_journalctl_takes_the_catalog(programs, tmp_path):
    if not shutil.which("journalctl"):
        pytest.skip("there is no journalctl")
    (tmp_path / "usr/lib/systemd/catalog").mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(catalog(programs), tmp_path / "usr/lib/systemd/catalog")
    made = subprocess.run(["journalctl", "--update-catalog", f"--root={tmp_path}"],
                          capture_output=True, text=True)
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    listed = subprocess.run(["journalctl", "--list-catalog", f"--root={tmp_path}"],
                            capture_output=True, text=True, check=True).stdout
    assert dict(re.findall(r"^(\w+) preforkd: (.*)$", listed, re.M)) == \
        {id: subject for id, subject in messages(programs).values()}
