# SPDX-License-Identifier: ISC
"""proxy_protocol: who the client is, is what a trusted proxy says of it."""

import os
import random
import re
import signal
import socket
import struct
import threading
import time

import pytest
from daemon import connect, exchange, wait_until
from execs import (Watch, daemon_of_programs, facts_of, facts_program,  # noqa: F401
                   read_all)
from look import busy_worker, cpu_seconds, wait_counts, worker_pids
from proxies import (DESTINATION, DESTINATION6, HEADERS, KINDS, LOCAL, SOURCE, SOURCE6, TCP, TRUST,
                     binary, block, echo, line, say)
from support import rewrite, service

V4, V6 = "192.0.2.1:4711", r"\[2001:db8::1\]:4711"
UNTRUSTED = {"proxy_from": ["192.0.2.0/24"]}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def start(daemon, programs, tmp_path):
    """A service that repeats what it is told."""
    def go(kind="builtin", address=TCP, **keys):
        return daemon(echo(kind, programs, address.replace("DIR", str(tmp_path)), **keys))
    return go


def address_of(s):
    host, port = s.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def refused(d, data):
    """Not a byte comes back, and there is a clean end."""
    assert say(d.address(), data) == b""


# ---- what is announced

@pytest.mark.parametrize("address", [TCP, "tcp://*:0", "tcp6://[::1]:0", "unix://DIR/s"])
def test_every_handler(start, kind, address):
    """Log and board know the source; what follows the header is all there."""
    d = start(kind, address)
    for header in HEADERS.values():
        with connect(d.address()) as s:
            s.sendall(header + b"early")
            assert s.recv(99) == b"early"
            [worker] = [w for w in d.status()["workers"] if w["state"] == "busy"]
            assert worker["client"] == V4
            s.shutdown(socket.SHUT_WR)
            assert read_all(s) == b""
    d.wait_log(f"client {V4}: finished", count=len(HEADERS))
    wait_counts(d, accepted=len(HEADERS), finished=len(HEADERS))


def test_the_handler_itself(daemon):
    d = daemon(service("main", TCP, builtin="message", **TRUST))
    assert say(d.address(), line() + b"it is me\n") == b"I got your message\n"
    assert d.wait_log(r"message from (\S+): it is me")[1] == V4
    assert say(d.address(), binary(SOURCE6, DESTINATION6) + b"and me\n") == b"I got your message\n"
    d.wait_log(rf"message from {V6}: and me")


def test_early_data_of_any_size(start, kind):
    """Also where it fills more than the one packet that the header came in."""
    d = start(kind)
    data = os.urandom(300_000)
    with connect(d.address()) as s:
        s.settimeout(30)
        s.sendall(line() + data[:100_000])
        got = b""
        while len(got) < 100_000:
            got += s.recv(1 << 20)
        s.sendall(data[100_000:101_000])
        s.shutdown(socket.SHUT_WR)
        assert got + read_all(s) == data[:101_000]


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s"])
def test_dribbling(start, kind, address):
    """A byte at a time; not one is lost or taken twice."""
    d = start(kind, address)
    for header in HEADERS.values():
        with connect(d.address()) as s:
            if address == TCP:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in header[:200]:
                s.sendall(bytes([byte]))
                time.sleep(0.0005)
            s.sendall(header[200:] + b"early")
            s.shutdown(socket.SHUT_WR)
            assert read_all(s) == b"early"
    d.wait_log(f"client {V4}: finished", count=len(HEADERS))


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s"])
def test_nothing_announced(start, kind, address):
    """A health check of the proxy, which is its own client then."""
    d = start(kind, address)
    for i, header in enumerate((block(LOCAL), block(LOCAL, 0xff, b"anything"), block(),
                                b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN a b 1 2\r\n")):
        with connect(d.address()) as s:
            mine = address_of(s) if address == TCP else "unix"
            s.sendall(header + b"early")
            s.shutdown(socket.SHUT_WR)
            assert read_all(s) == b"early"
        d.wait_log(f"client {mine}: finished", count=1 if address == TCP else i + 1)


def test_mapped_addresses(start):
    d = start()
    for header in (line(("::ffff:192.0.2.1", 4711), ("::ffff:192.0.2.2", 80)),
                   binary(("::ffff:192.0.2.1", 4711), ("::ffff:192.0.2.2", 80))):
        assert say(d.address(), header) == b""
    d.wait_log(f"client {V4}: finished", count=2)


@pytest.mark.parametrize("name, shown", [(b"/run/client", "/run/client"), (b"\0name", "@name"),
                                         (b"", "unix"),
                                         (b"/a\n<3>forged \x1b[2J", r"/a\\n<3>forged \\x1b\[2J")])
def test_unix_names(start, kind, name, shown):
    """Announced on TCP; a line of the log stays one line."""
    d = start(kind)
    assert say(d.address(), binary(name, b"/run/server") + b"x") == b"x"
    d.wait_log(f"client {shown}: finished")


# ---- the environment of programs

@pytest.fixture
def environment(daemon, tmp_path, facts_program):
    """What of a client there is in the environment, for a header that a program gets."""
    def go(header, address=TCP):
        d = daemon(service("main", address.replace("DIR", str(tmp_path)), exec=[facts_program],
                           workers=1, **TRUST))
        with connect(d.address()) as s:
            s.sendall(header)
            found = facts_of(s).environment()
            go.mine, go.port = s.getsockname(), d.address().rsplit(":", 1)[1]
        return {name: value for name, value in found.items()
                if name.startswith(("PROTO", "TCP", "IPC", "REMOTE_", "SERVER_"))}
    return go


def variables(source, destination):
    return {"PROTO": "TCP", "TCPREMOTEIP": source[0], "TCPREMOTEPORT": str(source[1]),
            "TCPLOCALIP": destination[0], "TCPLOCALPORT": str(destination[1]), "TCPCONNNUM": "1",
            "REMOTE_ADDR": source[0], "REMOTE_PORT": str(source[1]), "REMOTE_HOST": source[0],
            "SERVER_ADDR": destination[0], "SERVER_PORT": str(destination[1])}


@pytest.mark.parametrize("address", [TCP, "tcp://*:0", "unix://DIR/s"])
@pytest.mark.parametrize("make", [line, binary])
def test_environment(environment, address, make):
    assert environment(make(), address) == variables(SOURCE, DESTINATION)


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s"])
def test_environment_of_ipv6(environment, address):
    header = line(SOURCE6, DESTINATION6)
    assert environment(header, address) == variables(SOURCE6, DESTINATION6)


@pytest.mark.parametrize("transport", [1, 2])
def test_environment_of_datagrams(environment, transport):
    """Who it was is told by either; what the program has is a stream."""
    assert environment(binary(transport=transport)) == variables(SOURCE, DESTINATION)


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s"])
def test_environment_of_unix(environment, address):
    """Of whom the proxy served, nobody knows the user: that of the proxy would be a lie."""
    found = environment(binary(b"/run/client", b"/run/server"), address)
    assert found == {"PROTO": "IPC", "IPCREMOTEPATH": "/run/client", "IPCLOCALPATH": "/run/server",
                     "IPCCONNNUM": "1", "REMOTE_ADDR": "/run/client"}


def test_environment_where_nothing_is_announced(environment):
    found = environment(block(LOCAL))
    assert found == variables(environment.mine, ("127.0.0.1", environment.port))


def test_connections_of_one_source(daemon, facts_program):
    """Counted by whom they are for, not by the proxy that they all come from."""
    d = daemon(service("main", TCP, exec=[facts_program, "wait"], workers=4, **TRUST))
    clients, numbers = [], []
    for source in (SOURCE, SOURCE, SOURCE6, SOURCE):
        clients.append(connect(d.address()))
        clients[-1].sendall(line(source, DESTINATION6 if ":" in source[0] else DESTINATION))
        text = b""
        while b"SERVER_PORT" not in text:
            text += clients[-1].recv(65536)
        numbers.append(text.split(b"TCPCONNNUM=")[1].split(b"\0")[0])
    assert numbers == [b"1", b"2", b"1", b"3"]
    for s in clients:
        s.close()


# ---- who may say it

def test_untrusted_peers(start, kind):
    """Whatever they say of themselves."""
    d = start(kind, **UNTRUSTED, log_connections="false")
    with connect(d.address()) as s:
        mine = address_of(s)
        s.sendall(line() + b"early")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b""
    refused(d, b"early")
    wait_counts(d, accepted=2, refused_proxy=2)
    d.wait_log(f"client {mine}: refused, it came without the header that proxy_protocol asks for")


def test_untrusted_peers_where_it_is_accepted(start, kind):
    """What they say of themselves is but data."""
    d = start(kind, proxy_protocol="accept", **UNTRUSTED)
    for data in (line() + b"early", binary() + b"early", b"early", b""):
        assert say(d.address(), data) == data
    wait_counts(d, accepted=4, finished=4)
    assert V4 not in d.log()


def test_untrusted_peers_do_not_wait(start, kind):
    """They may be silent as long as they like, or talk first; nobody waits for a header."""
    d = start(kind, proxy_protocol="accept", **UNTRUSTED)
    with connect(d.address()) as s:
        watch = Watch()
        busy_worker(d)
        s.sendall(b"x")
        assert s.recv(9) == b"x"
        assert watch.seconds() < 3


def test_trusted_peers_without_a_header(start, kind):
    d = start(kind, proxy_protocol="accept")
    for data in (b"GET / HTTP/1.0\r\n\r\n", b"PROPFIND", b"PRO", b"\r\n\r\n\0\r\nQUIT", b""):
        assert say(d.address(), data) == data
    assert say(d.address(), line() + b"early") == b"early"
    d.wait_log(f"client {V4}: finished")
    wait_counts(d, accepted=6, finished=6)


@pytest.mark.parametrize("address, trusted", [("tcp://*:0", "127.0.0.0/8"),
                                              ("tcp://*:0", "::ffff:127.0.0.1"),
                                              ("tcp6://[::1]:0", "::/0")])
def test_how_a_peer_is_trusted(start, address, trusted):
    d = start(address=address, proxy_from=[trusted])
    assert say(d.address(), line() + b"x") == b"x"
    d.wait_log(f"client {V4}: finished")


def test_families_are_not_mixed_up(start):
    d = start(address="tcp://*:0", proxy_from=["::/0"])
    refused(d, line() + b"x")
    wait_counts(d, accepted=1, refused_proxy=1)


@pytest.mark.parametrize("rule, trusted", [(None, True), ("uid:{0}", True), ("uid:{1}", False),
                                           ("gid:{2}", True), ("10.0.0.0/8", True)])
def test_trust_on_unix(start, rule, trusted):
    """Its permissions are enough, unless users are named."""
    keys = {"proxy_from": [rule.format(os.geteuid(), os.geteuid() + 1, os.getegid())]
            if rule else []}
    d = start(address="unix://DIR/s", **keys)
    assert say(d.address(), line() + b"x") == (b"x" if trusted else b"")
    wait_counts(d, accepted=1, **{"finished" if trusted else "refused_proxy": 1})


def test_packets(start):
    """A header is a packet of its own there."""
    d = start(address="unixpacket://DIR/s")
    with connect(d.address()) as s:
        s.send(line())
        s.send(b"early")
        assert s.recv(99) == b"early"
    d.wait_log(f"client {V4}: finished")
    with connect(d.address()) as s:
        s.send(line() + b"early")
        assert s.recv(99) == b""
    wait_counts(d, accepted=2, finished=1, refused_proxy=1)


# ---- rules and limits are about the source

def test_access(start, kind):
    d = start(kind, allow=["192.0.2.0/24", "2001:db8::/32"], deny=["192.0.2.9"])
    assert say(d.address(), line() + b"x") == b"x"
    assert say(d.address(), binary(SOURCE6, DESTINATION6) + b"x") == b"x"
    refused(d, line(("192.0.2.9", 1)) + b"x")
    refused(d, line(("198.51.100.1", 1)) + b"x")
    refused(d, block(LOCAL) + b"x")
    wait_counts(d, accepted=5, finished=2, refused_access=3)


def test_access_on_unix(start, kind):
    d = start(kind, address="unix://DIR/s", allow=["192.0.2.0/24", f"uid:{os.geteuid()}"])
    assert say(d.address(), line() + b"x") == b"x"
    assert say(d.address(), block(LOCAL) + b"x") == b"x"
    refused(d, line(("198.51.100.1", 1)) + b"x")
    # A client of the proxy whose user nobody knows is not the proxy's.
    refused(d, binary(b"/run/client", b"/run/server") + b"x")
    refused(d, binary(b"", b"") + b"x")
    wait_counts(d, accepted=5, finished=2, refused_access=3)


def test_per_source(start, kind):
    d = start(kind, workers=4, per_source=1)
    with connect(d.address()) as s:
        s.sendall(line() + b"x")
        assert s.recv(9) == b"x"
        refused(d, line() + b"x")
        assert say(d.address(), line(("192.0.2.9", 1)) + b"x") == b"x"
    wait_counts(d, accepted=3, finished=2, refused_per_source=1)


def test_per_source_of_unix_names(start):
    """Whose users nobody knows: they are one source."""
    d = start(workers=4, per_source=1)
    with connect(d.address()) as s:
        s.sendall(binary(b"/run/client", b"/run/server") + b"x")
        assert s.recv(9) == b"x"
        refused(d, binary(b"/run/other", b"/run/server") + b"x")
        assert say(d.address(), line() + b"x") == b"x"
    wait_counts(d, accepted=3, finished=2, refused_per_source=1)


def test_rate_per_source(start, kind):
    d = start(kind, rate_per_source="2/h")
    for source, wanted in ((SOURCE, b"x"), (SOURCE, b"x"), (("192.0.2.9", 1), b"x"), (SOURCE, b"")):
        assert say(d.address(), line(source) + b"x") == wanted
    wait_counts(d, accepted=4, finished=3, refused_rate=1)


# ---- what is wrong

BAD = {"none": b"GET / HTTP/1.0\r\n\r\n", "nothing": b"",
       "part": b"PROXY TCP4 192.0.2.1", "part of binary": binary()[:-1],
       "port": line(("192.0.2.1", 65536)), "zeroes": b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
       "line feed": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", "family": line(SOURCE, DESTINATION6),
       "no end": b"PROXY UNKNOWN " + b"x" * 200, "version": binary()[:12] + b"\x11" + binary()[13:],
       "short": block(0x21, 0x11, b"\0" * 11), "vectors": binary(more=b"\4\0\2x"),
       "too long": binary()[:14] + struct.pack(">H", 65535)}


def test_bad_headers(start, kind):
    d = start(kind)
    for how, data in BAD.items():
        assert say(d.address(), data) == b"", how
    wait_counts(d, accepted=len(BAD), refused_proxy=len(BAD))
    assert say(d.address(), line() + b"x") == b"x"


def test_bad_headers_where_they_are_accepted(start):
    """What begins as a header has to be one: whose fault it is, nobody knows."""
    d = start(proxy_protocol="accept")
    begun = [how for how in BAD if how not in ("none", "nothing")]
    for how in begun:
        assert say(d.address(), BAD[how]) == b"", how
    wait_counts(d, accepted=len(begun), refused_proxy=len(begun))


def test_busy_message(start, kind):
    d = start(kind, busy_message="not you\\n")
    assert say(d.address(), b"GET /\r\n") == b"not you\n"


def test_a_refused_client_is_not_reset(start, kind):
    """However much it has sent."""
    d = start(kind)
    with connect(d.address()) as s:
        s.sendall(b"x" * 30_000)
        assert s.recv(9) == b""
        s.shutdown(socket.SHUT_WR)


# ---- time

def test_silence(daemon, programs):
    """A worker waits 5 s for all of a header, whatever comes meanwhile; that costs it nothing."""
    d = daemon("".join(echo(kind, programs, TCP, name=kind, workers=4) for kind in KINDS))
    workers = worker_pids(d)
    before = sum(cpu_seconds(pid) for pid in workers)
    watch = Watch()
    clients = [connect(d.address(kind)) for kind in KINDS for _ in range(4)]
    dribbling = clients[3::4]
    for i, s in enumerate(clients):
        s.sendall([b"", line()[:9], binary()[:-1], b"PROXY UNKNOWN "][i % 4])
    while watch.seconds() < 4.8:
        for s in dribbling:
            s.sendall(b"x")
        time.sleep(0.2)
    for s in clients:
        assert s.recv(9) == b""
        assert 4.9 < watch.seconds() < 7
        s.close()
    assert sum(cpu_seconds(pid) for pid in workers) - before < 0.4
    for kind in KINDS:
        wait_counts(d, kind, accepted=4, timed_out=4)


def test_connection_timeout(start, kind):
    """Where it is shorter; the wait is a part of the connection."""
    d = start(kind, connection_timeout="500ms")
    watch = Watch()
    assert connect(d.address()).recv(9) == b""
    assert 0.4 < watch.seconds() < 2
    wait_counts(d, accepted=1, timed_out=1)
    assert say(d.address(), line() + b"x") == b"x"


def test_a_client_that_resets(start, kind):
    """Whatever it is counted as, the worker goes on."""
    d = start(kind)
    for data in (b"", line()[:9], line()):
        s = connect(d.address())
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.sendall(data)
        s.close()
    assert say(d.address(), line() + b"x") == b"x"

    def add_up():
        totals = d.status()["connections"]
        return totals["open"] == 0 and totals["accepted"] == sum(
            totals[name] for name in ("finished", "refused_proxy", "aborted_error", "timed_out"))
    wait_until("a ledger that adds up", add_up)


# ---- meanwhile

def test_a_stop_does_not_lose_the_client(start, kind):
    """Nor does it keep the rest of the header from being waited for."""
    d = start(kind)
    with connect(d.address()) as s:
        s.sendall(line()[:9])
        busy_worker(d)
        d.signal(signal.SIGTERM)
        d.wait_log("stopping")
        for part in (line()[9:20], line()[20:], b"early"):
            time.sleep(0.15)  # the master signals every 100 ms
            s.sendall(part)
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"early"
    assert d.wait() == 0
    assert f"client {V4}: finished" in d.log()


def test_a_reload_does_not_lose_the_client(start, kind, programs):
    d = start(kind)
    with connect(d.address()) as s:
        s.sendall(binary()[:9])
        busy_worker(d)
        rewrite(d, echo(kind, programs, TCP, umask="0027"))
        s.sendall(binary()[9:] + b"early")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"early"
    d.wait_log(f"client {V4}: finished")


def in_pieces(s, data, chance):
    """Cut anywhere, with a moment between the pieces."""
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data:
        size = chance.randrange(1, len(data) + 1)
        s.sendall(data[:size])
        data = data[size:]
        time.sleep(chance.random() / 2000)


def come(d, number, count, failures):
    """Clients that all have another address, one after the other; each wants its token back."""
    chance = random.Random(number)
    for i in range(count):
        source = (f"198.51.{number}.{i}", i + 1)
        token = b"client %d.%d" % (number, i)
        try:
            with connect(d.address()) as s:
                in_pieces(s, chance.choice([line, binary])(source) + token, chance)
                s.shutdown(socket.SHUT_WR)
                reply = read_all(s)
            assert reply == token, (source, reply)
        except Exception as failure:  # pylint: disable=broad-except
            failures.append(failure)


def test_none_is_lost_or_taken_for_another(start, kind):
    """While workers come and go."""
    d = start(kind, workers=3, recycle_after=20)
    failures = []
    threads = [threading.Thread(target=come, args=(d, i, 60, failures)) for i in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        d.ctl("recycle")
    for thread in threads:
        thread.join()
    assert not failures
    wait_counts(d, accepted=240, finished=240)
    seen = re.findall(r"client (198\.51\.\S+): finished", d.log())
    assert sorted(seen) == sorted(f"198.51.{n}.{i}:{i + 1}" for n in range(4) for i in range(60))


def test_a_second_stop_does_not_wait(start, kind):
    d = start(kind)
    with connect(d.address()) as s:
        s.sendall(line()[:9])
        busy_worker(d)
        d.signal(signal.SIGTERM)
        d.wait_log("stopping")
        watch = Watch()
        d.signal(signal.SIGTERM)
        d.wait()
        assert watch.seconds() < 2


def test_off(start, kind):
    d = start(kind, proxy_protocol="off")
    assert say(d.address(), line() + b"x") == line() + b"x"


def test_it_can_be_switched(start, kind, programs):
    """By a reload; whoever connects later is asked for it."""
    d = start(kind, proxy_protocol="off")
    assert exchange(d.address(), b"x") == b"x"
    old = worker_pids(d)
    rewrite(d, echo(kind, programs, TCP))
    wait_until("other workers", lambda: not set(old) & set(worker_pids(d)))
    assert say(d.address(), line() + b"x") == b"x"
    d.wait_log(f"client {V4}: finished")
