# SPDX-License-Identifier: ISC
"""preforkctl status: what people see on a terminal and off it, queues as the kernel has them,
histograms that agree with what clients measured."""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest
from daemon import DEADLINE, connect, exchange, wait_until
from look import pool
from support import at_rest, hold, queue, service, wait_gone, workers
from terminal import Terminal
from upgrading import stopped, upgrade

TCP = "tcp://127.0.0.1:0"
ESCAPE = "\x1b"


# ---- the table


def lines_of(text):
    return [line for line in text.splitlines() if line]


def test_columns_are_aligned(daemon, tmp_path):
    d = daemon(service("a-longer-name", TCP) + service("b", f"unix://{tmp_path}/s"))
    _, _, _, head, first, second = lines_of(d.ctl("status").stdout)
    assert ESCAPE not in head + first + second
    # The right edges of numbers are those of their titles.
    for title in ("WORKERS", "BUSY", "QUEUE", "P50", "P99", "ACCEPTED", "FINISHED", "REFUSED",
                  "TIMED-OUT", "ABORTED"):
        end = head.index(title) + len(title)
        for line in (first, second):
            assert line[end - 1] != " ", (title, line)
            assert line[end:end + 2].strip() == "", (title, line)


def on_terminal(d, columns=80, term="xterm", **env):
    """What it prints, where that is a terminal of so many columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    base = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}
    if term is not None:
        base["TERM"] = term
    args = env.pop("args", [])
    process = subprocess.Popen(
        [d.programs.preforkctl, "--runtime-directory", str(d.runtime), "status", *args],
        stdin=subprocess.DEVNULL, stdout=slave, stderr=subprocess.PIPE, env={**base, **env})
    os.close(slave)
    text = b""
    # The end of a terminal whose other side is gone is an error.
    with contextlib.suppress(OSError):
        while piece := os.read(master, 65536):
            text += piece
    os.close(master)
    assert process.wait(DEADLINE) in (0, 1), process.stderr.read()
    process.stderr.close()
    return text.decode().replace("\r\n", "\n")


def test_color_on_a_terminal_alone(daemon):
    d = daemon(service("a", TCP))
    assert f"{ESCAPE}[32mrunning{ESCAPE}[0m" in on_terminal(d)
    assert ESCAPE not in on_terminal(d, NO_COLOR="1")
    assert ESCAPE in on_terminal(d, NO_COLOR="")
    assert ESCAPE not in on_terminal(d, term="dumb")
    assert ESCAPE not in on_terminal(d, term=None)
    assert ESCAPE not in d.ctl("status").stdout


def test_color_when_it_is_asked_for(daemon):
    d = daemon(service("a", TCP))
    assert ESCAPE in d.ctl("status", "--color=always").stdout
    assert ESCAPE in on_terminal(d, NO_COLOR="1", args=["--color", "always"])
    assert ESCAPE not in on_terminal(d, args=["--color=never"])
    assert ESCAPE not in d.ctl("status", "--color=auto").stdout
    result = d.ctl("status", "--color=pink", check=False)
    assert result.returncode == 64
    assert '--color: "pink"; write auto, always or never' in result.stderr


def test_a_narrow_terminal_leaves_columns_out(daemon):
    d = daemon(service("a", TCP))
    wide, narrow = on_terminal(d, 200), on_terminal(d, 80)
    assert "HANDLER" in wide and "TIMED-OUT" in wide and "P50" in wide
    assert "HANDLER" not in narrow and "P99" in narrow and "QUEUE" in narrow
    # What matters stays, however narrow it is.
    least = on_terminal(d, 20)
    for title in ("SERVICE", "ADDRESS", "WORKERS", "BUSY", "QUEUE"):
        assert title in least
    assert "ACCEPTED" not in least
    table = re.sub(rf"{ESCAPE}\[[0-9;]*m", "", narrow).split("\n\n")[1]
    assert max(map(len, table.splitlines())) <= 80
    # All or nothing.
    assert "HANDLER" in on_terminal(d, 80, args=["--workers"])


def test_in_a_real_terminal(daemon, programs):
    d = daemon(service("a", TCP))
    with Terminal([programs.preforkctl, "--runtime-directory", d.runtime, "status"]) as t:
        t.wait(r"ended with 0")
        assert re.search(r"^SERVICE +ADDRESS +WORKERS +BUSY +QUEUE ", t.screen(), re.M)


# ---- JSON


def schema(programs):
    """The object that preforkd-board(7) shows, with the fields of the table where it says so."""
    page = (programs.source / "man/preforkd-board.7").read_text()
    [block] = re.findall(r'^\.\\" schema: begin\n\.Bd [^\n]*\n(.*?)\.Ed\n', page, re.S | re.M)
    table = (programs.source / "src/board/fields.def").read_text()

    def fields(*kinds):
        names = re.findall(rf"^(?:{'|'.join(kinds)})_FIELD\((\w+)", table, re.M)
        return ", ".join(f'"{name}": 0' for name in names)

    connections = fields("CONNECTION", "ENDING")
    block = block.replace("each field of connections: number", connections)
    block = block.replace("each field of the instance: number", fields("INSTANCE"))
    block = block.replace("each field of a pool: number", fields("POOL"))
    block = block.replace("{ as above }", f'{{{connections}, "open": 0}}')
    times = re.search(r'"times": (\{.*?\})', block, re.S)[1]
    return json.loads(block.replace("{ the same }", times))


def compare(shown, found, where="status"):
    """Every member is in the manual, of its type, and every member of the manual is there."""
    if found is None or shown is None:
        return
    assert type(found) is type(shown), where
    if isinstance(found, dict):
        assert found.keys() == shown.keys(), where
        for name, value in found.items():
            compare(shown[name], value, f"{where}.{name}")
    if isinstance(found, list):
        for value in found:
            compare(shown[0], value, f"{where}[]")


# What the manual says may be null, beside those that the object shows as such.
NULLABLE = {"begun_usec", "reload", "upgrade", "stop", "idle", "busy", "times", "waits",
            "connections", "queued", "queue_limit", "mean_usec", "p50_usec", "p90_usec",
            "p99_usec", "p999_usec", "max_usec", "since_usec", "client"}


def nulls(found):
    if isinstance(found, dict):
        for name, value in found.items():
            if value is None:
                yield name
            yield from nulls(value)
    if isinstance(found, list):
        for value in found:
            yield from nulls(value)


def test_the_schema_is_that_of_the_manual(daemon, programs):
    d = daemon(service("a", TCP) + service("u", "udp://127.0.0.1:0")
               + service("c", TCP, acceptor=["/bin/sleep", "1000"], workers=1))
    with hold(d.address("a")):
        d.ctl("reload")
        d.ctl("recycle")
        with hold(d.address("a")):
            exchange(d.address("a"), b"x")
            status = d.status()
            text = d.ctl("status", "--json").stdout
    compare(schema(programs), status)
    assert status["pools"][0]["times"]["buckets"]
    assert set(nulls(status)) <= NULLABLE
    assert {"times", "queued", "p50_usec", "client", "stop"} <= set(nulls(status))
    # In the order of the manual too.
    order = list(json.loads(text))
    assert order == list(schema(programs))
    assert list(status["pools"][0]) == list(schema(programs)["pools"][0])


# ---- queues


def queues(d, name="a"):
    found = pool(d, name)
    return found["queued"], found["queue_limit"], found["saturated"]


@pytest.mark.parametrize("address", [TCP, "tcp6://[::1]:0", "unix://DIR/s", "unixpacket://DIR/p"])
def test_the_queue_when_all_are_busy_and_the_master_is_stopped(daemon, tmp_path, address):
    d = daemon(service("a", address.replace("DIR", str(tmp_path)), workers=2, backlog=20))
    waiting = []
    with stopped(d), hold(d.address()), hold(d.address()) as client:
        assert queues(d) == (0, 20, False)
        # All but the first come when nobody is there to look for them.
        for i in range(1, 6):
            waiting.append(connect(d.address()))
            wait_until("queue", lambda i=i: queues(d) == (i, 20, True))
        text = d.ctl("status", "--color=always").stdout
        assert f"{ESCAPE}[33m5/20{ESCAPE}[0m" in text
        assert f"{ESCAPE}[1;31msaturated{ESCAPE}[0m" in text
        assert client.fileno() >= 0
    for s in waiting:
        s.close()
    wait_until("rest", lambda: queues(d) == (0, 20, False))


def test_the_master_looks_once_a_second(daemon):
    """What readers get that may not ask the kernel: from the board alone, so without the pools'
    sockets in the name space of whoever looks."""
    d = daemon(service("a", TCP, workers=1, backlog=20))
    look = ["unshare", "-n", d.programs.preforkctl, "--runtime-directory", str(d.runtime),
            "status"]
    probe = subprocess.run(look, capture_output=True, text=True, timeout=DEADLINE, check=False)
    if "unshare" in probe.stderr:
        pytest.skip(probe.stderr.strip())

    def row():
        out = subprocess.run(look, capture_output=True, text=True, timeout=DEADLINE,
                             check=True).stdout
        return re.search(r"^a .*", out, re.M)[0].split()[5]

    wait_until("the master's first look", lambda: row() == "0/20")
    with hold(d.address()):
        waiting = [connect(d.address()) for _ in range(3)]
        wait_until("the master's look", lambda: row() == "3/20")
        for s in waiting:
            s.close()


def test_what_is_not_known_is_no_0(daemon, tmp_path):
    d = daemon(service("u", "udp://127.0.0.1:0") + service("g", f"unixgram://{tmp_path}/g"))
    for name in ("u", "g"):
        found = pool(d, name)
        assert (found["queued"], found["queue_limit"]) == (None, None)
        assert found["times"] == {"count": 0, "mean_usec": None, "p50_usec": None,
                                  "p90_usec": None, "p99_usec": None, "p999_usec": None,
                                  "max_usec": None, "buckets": []}
    for line in d.ctl("status").stdout.splitlines()[-2:]:
        assert line.split()[5:8] == ["-", "-", "-"]


# ---- times


def times(d, name="a"):
    return pool(d, name)["times"]


def last_long(d, usec, count):
    """Connections of known length: the clients hold them, and measure."""
    low, high = [], []
    for _ in range(count):
        before = time.monotonic()
        s = connect(d.address())
        s.sendall(b"x")
        assert s.recv(1) == b"x"
        served = time.monotonic()
        signal.sigtimedwait([], usec / 1e6)
        told = time.monotonic()
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""
        # The worker has it from somewhere in the first interval to somewhere in the last.
        low.append((told - served) * 1e6)
        high.append((time.monotonic() - before) * 1e6)
        s.close()
    return sorted(low), sorted(high)


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s"])
def test_times_are_those_that_clients_measure(daemon, tmp_path, address):
    d = daemon(service("a", address.replace("DIR", str(tmp_path)), workers=1))
    low, high = last_long(d, 20000, 21)
    at_rest(d)
    found = times(d)
    assert found["count"] == 21
    for name, rank in (("p50_usec", 10), ("p90_usec", 18), ("max_usec", 20)):
        assert 0.94 * low[rank] <= found[name] <= 1.06 * high[rank], (found, low, high)
    assert 0.94 * sum(low) / 21 <= found["mean_usec"] <= 1.06 * sum(high) / 21


def test_refusals_are_none_of_them(daemon):
    d = daemon(service("a", TCP, workers=1, deny=["127.0.0.1"]))
    with connect(d.address()) as s:
        assert s.recv(1) == b""
    at_rest(d)
    assert pool(d)["connections"]["refused_access"] == 1
    assert times(d)["count"] == 0


@pytest.mark.parametrize("keys", [
    {}, {"prestart": "true"}], ids=["exec", "prestart"])
def test_programs_have_times_too(daemon, keys):
    d = daemon(service("a", TCP, exec=["/bin/cat"], workers=1, **keys))
    low, high = last_long(d, 20000, 5)
    at_rest(d)
    assert times(d)["count"] == 5
    assert 0.94 * low[0] <= times(d)["p50_usec"]
    assert pool(d)["waits"]["count"] >= 1


def test_datagrams_have_times_too(daemon):
    d = daemon(service("a", "udp://127.0.0.1:0"))
    for _ in range(5):
        assert exchange(d.address(), b"x") == b"x"
    at_rest(d)
    assert times(d)["count"] == 5


def test_acceptors_have_none(daemon):
    d = daemon(service("a", TCP, acceptor=["/bin/sleep", "1000"], workers=1))
    found = pool(d)
    assert (found["times"], found["waits"]) == (None, None)
    assert found["queued"] == 0


@pytest.mark.parametrize("keys", [{}, {"queue_timeout": "10s"}], ids=["sampled", "each"])
def test_how_long_clients_waited(daemon, keys):
    d = daemon(service("a", TCP, workers=1, **keys))
    s = hold(d.address())
    came = time.monotonic()
    others = [queue(d.address(), b"x") for _ in range(32)]
    last = time.monotonic()
    wait_until("queue", lambda: queues(d)[0] == 32)
    signal.sigtimedwait([], 0.2)
    least = (time.monotonic() - last) * 1e6
    s.close()
    for other in others:
        other.recv(1)
        other.close()
    most = (time.monotonic() - came) * 1e6
    at_rest(d)
    waits = pool(d)["waits"]
    # The first of a worker, then one of 16: the held one did not wait, the others all did.
    assert waits["count"] == (33 if keys else 3)
    # A tick of the kernel's clock is 10 ms at most.
    assert 0.94 * (least - 10000) <= waits["p90_usec"] <= 1.06 * (most + 10000)


def test_they_outlive_workers_and_an_upgrade(daemon):
    d = daemon(service("a", TCP, workers=2))
    for _ in range(5):
        assert exchange(d.address(), b"x") == b"x"
    at_rest(d)
    before = times(d)
    assert before["count"] == 5
    old = [w["pid"] for w in workers(d)]
    d.ctl("recycle")
    wait_gone(old)
    assert times(d) == before
    upgrade(d)
    assert times(d) == before
    assert exchange(d.address(), b"x") == b"x"
    at_rest(d)
    assert times(d)["count"] == 6
    # A service that is gone takes them along.
    d.write_config(service("b", TCP))
    d.ctl("reload")
    wait_until("b alone", lambda: [p["service"] for p in d.status()["pools"]] == ["b"])
    assert times(d, "b")["count"] == 0
