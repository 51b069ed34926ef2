# SPDX-License-Identifier: ISC
"""Who may come: allow and deny, by address and by user, for every kind of handler. Who may not gets
busy_message and a clean end, is counted and named in the log, and is in nobody's way."""

import os
import re
import socket

import pytest
from daemon import connect, exchange, wait_until
from execs import daemon_of_programs, public  # noqa: F401
from limits import KINDS, STREAMS, bound, greeting, is_refused, limited, served
from look import counts, wait_counts
from netns import wrapper
from support import answer, rewrite, service

MESSAGE = "not for you\n"


@pytest.fixture(name="start")
def start_limited(daemon, tmp_path, programs):
    """A service of some kind, with keys."""
    def go(kind="builtin", address="tcp://127.0.0.1:0", workers=1, instance="main", **keys):
        text = limited(programs, tmp_path, kind, address.replace("DIR", str(tmp_path)),
                       workers=workers, **keys)
        return daemon(text, name=instance)
    return go


# ---- addresses

@pytest.mark.parametrize("kind", KINDS)
def test_allow(start, kind):
    d = start(kind, allow=["127.0.0.0/30"], busy_message=MESSAGE)
    assert served(d, "127.0.0.3")
    assert is_refused(d, "127.0.0.4") == MESSAGE.encode()
    assert served(d, "127.0.0.1")
    wait_counts(d, accepted=3, finished=2, refused_access=1)


@pytest.mark.parametrize("kind", KINDS)
def test_deny(start, kind):
    d = start(kind, deny=["127.0.0.4", "127.0.0.128/25"], busy_message=MESSAGE)
    assert served(d, "127.0.0.3") and served(d, "127.0.0.127") and served(d, "127.0.1.128")
    for host in ("127.0.0.4", "127.0.0.128", "127.0.0.255"):
        assert is_refused(d, host) == MESSAGE.encode()
    wait_counts(d, accepted=6, finished=3, refused_access=3)


def test_deny_wins(start):
    d = start(allow=["127.0.0.0/24"], deny=["127.0.0.8/29"])
    assert served(d, "127.0.0.7") and served(d, "127.0.0.16")
    assert is_refused(d, "127.0.0.8") == b"" and is_refused(d, "127.0.1.1") == b""
    wait_counts(d, accepted=4, finished=2, refused_access=2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule,serves", [("127.0.0.0/8", True), ("::ffff:127.0.0.1", True),
                                         ("::/0", False), ("::ffff:0:0/96", True)])
def test_ipv4_through_a_dual_socket_is_ipv4(start, kind, rule, serves):
    d = start(kind, "tcp://*:0", allow=[rule])
    if serves:
        assert served(d, "127.0.0.1")
    else:
        assert is_refused(d, "127.0.0.1") == b""


@pytest.mark.parametrize("kind", KINDS)
def test_ipv6(start, kind):
    d = start(kind, "tcp://*:0", allow=["::1", "2001:db8::/32"])
    assert served(d, "::1")
    assert is_refused(d, "127.0.0.1") == b""
    d = start(kind, "tcp6://[::1]:0", instance="six", deny=["::/64"], busy_message=MESSAGE)
    assert is_refused(d, "::1") == MESSAGE.encode()


def test_many_rules(start):
    rules = [f"10.{i // 256}.{i % 256}.0/25" for i in range(3000)]
    d = start(allow=[*rules, "127.0.0.5"])
    assert served(d, "127.0.0.5")
    assert is_refused(d, "127.0.0.6") == b""


# ---- users

@pytest.mark.parametrize("address", ["unix://DIR/s", "unixpacket://DIR/s", "unix://@NAME"])
@pytest.mark.parametrize("kind", STREAMS)
def test_users(daemon, public, programs, is_root, kind, address):  # noqa: F811
    address = address.replace("DIR", str(public)).replace("NAME", f"preforkd.{os.getpid()}")
    if kind == "prestart" and "packet" in address or kind == "exec" and "packet" in address:
        pytest.skip("cat makes a stream of packets")
    d = daemon(limited(programs, public, kind, address, allow=["uid:daemon"], deny=["gid:mail"],
                       socket_mode="0777", busy_message=MESSAGE))
    uid, gid = 1, 1
    assert served(d, user=(uid, gid))
    assert is_refused(d, user=(0, 0)) == MESSAGE.encode()
    assert is_refused(d, user=(uid, 8)) == MESSAGE.encode()
    wait_counts(d, accepted=3, finished=1, refused_access=2)
    assert re.search(r"client .* of uid 0: refused by allow and deny", d.log())


def test_groups(daemon, public, programs, is_root):  # noqa: F811
    d = daemon(limited(programs, public, "builtin", f"unix://{public}/s", socket_mode="0777",
                       allow=["gid:8"]))
    assert served(d, user=(1, 8))
    assert is_refused(d, user=(1, 1)) == b""


@pytest.mark.parametrize("kind", ["builtin", "exec"])
def test_users_of_datagrams(daemon, public, programs, is_root, kind):  # noqa: F811
    d = daemon(limited(programs, public, kind, f"unixgram://{public}/s", socket_mode="0777",
                       allow=["uid:1"]))
    with greeting(d, user=(0, 0)), greeting(d, user=(1, 1)) as s:
        assert s.recv(99)
        wait_counts(d, accepted=2, finished=1, refused_access=1)


def test_both_kinds_of_rules(start):
    """Those about addresses say nothing of users, and the other way round."""
    d = start("builtin", "unix://DIR/s", allow=["127.0.0.0/8", f"uid:{os.getuid()}"])
    assert served(d)
    d = start("builtin", "unix://DIR/t", instance="two", deny=["0.0.0.0/0", "::/0"])
    assert served(d)


# ---- datagrams

@pytest.mark.parametrize("kind", ["builtin", "module", "exec"])
@pytest.mark.parametrize("address", ["udp://127.0.0.1:0", "udp://*:0"])
def test_datagrams(start, kind, address):
    """No answer: who knows where it would go."""
    d = start(kind, address, deny=["127.0.0.4"], busy_message=MESSAGE)
    port = d.port()
    with bound("127.0.0.4", socket.SOCK_DGRAM) as no, bound("127.0.0.3", socket.SOCK_DGRAM) as yes:
        no.sendto(b"no", ("127.0.0.1", port))
        yes.sendto(b"yes", ("127.0.0.1", port))
        assert yes.recv(99)
        wait_counts(d, accepted=2, finished=1, refused_access=1)
        no.setblocking(False)
        with pytest.raises(BlockingIOError):
            no.recv(99)


# ---- the refusal

@pytest.mark.parametrize("kind", STREAMS)
def test_who_stalls_is_in_nobodys_way(start, kind):
    """One worker; many refused clients who stay and say nothing, or send all the time."""
    d = start(kind, deny=["127.0.0.4"], busy_message=MESSAGE)
    stay = []
    for i in range(40):
        s = bound("127.0.0.4")
        s.connect(("127.0.0.1", d.port()))
        if i % 2:
            s.setblocking(False)
            try:
                while s.send(b"x" * 65536):
                    pass
            except (BlockingIOError, ConnectionError, BrokenPipeError):
                pass
            s.setblocking(True)
        stay.append(s)
    with connect(d.address(), 2) as s:
        s.sendall(b"hello")
        s.shutdown(socket.SHUT_WR)
        assert answer(s) == b"hello"
    wait_counts(d, accepted=41, finished=1, refused_access=40)
    for s in stay:
        s.close()


@pytest.mark.parametrize("kind", STREAMS)
def test_a_message_is_not_eaten(start, kind):
    """The client says much before it reads: no reset takes the message away."""
    d = start(kind, deny=["127.0.0.4"], busy_message=MESSAGE)
    for _ in range(20):
        with bound("127.0.0.4") as s:
            s.connect(("127.0.0.1", d.port()))
            s.sendall(b"x" * 50000)
            s.shutdown(socket.SHUT_WR)
            assert answer(s) == MESSAGE.encode()


@pytest.mark.parametrize("kind", STREAMS)
def test_the_refused_are_let_go(start, kind):
    """Nobody comes after them, and the worker waits: their sockets are closed all the same."""
    d = start(kind, deny=["127.0.0.4"])
    with bound("127.0.0.4") as gone:
        gone.connect(("127.0.0.1", d.port()))
        assert gone.recv(9) == b""
    with bound("127.0.0.4") as stays:
        stays.connect(("127.0.0.1", d.port()))
        assert stays.recv(9) == b""
        # Two seconds, then it is closed for good: what is sent then is answered by a reset.
        wait_until("a reset", lambda: is_reset(stays), 10)
    assert served(d, "127.0.0.1")


def is_reset(s):
    try:
        s.send(b"x")
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stop_with_refused_clients(start, kind):
    d = start(kind, deny=["127.0.0.4"])
    with bound("127.0.0.4") as s:
        s.connect(("127.0.0.1", d.port()))
        assert s.recv(9) == b""
        assert d.stop(10) == 0


# ---- the log

def test_one_line_a_second_for_a_source(start):
    d = start(deny=["127.0.0.4", "127.0.0.5"])
    for _ in range(30):
        assert is_refused(d, "127.0.0.4") == b""
    lines = re.findall(r"client 127\.0\.0\.4:\d+: refused by allow and deny", d.log())
    assert 1 <= len(lines) <= 3

    def another():
        """Two sources may have to share their second: the memory for that is bounded."""
        assert is_refused(d, "127.0.0.5") == b""
        return re.search(r"client 127\.0\.0\.5:\d+: refused by allow and deny", d.log())
    wait_until("its line", another)

    def told():
        is_refused(d, "127.0.0.4")
        return re.search(r"client 127\.0\.0\.4:\d+: refused by allow and deny; (\d+) such lines "
                         "were not written", d.log())
    assert int(wait_until("a line that tells the rest", told)[1]) >= 10


def test_few_lines_of_many_sources(start):
    d = start(deny=["127.0.0.0/8"])
    for i in range(1, 200):
        assert is_refused(d, f"127.0.{i}.1") == b""
    wait_counts(d, accepted=199, refused_access=199)
    assert len(re.findall(r": refused by", d.log())) <= 20 * 10


def test_every_connection_is_logged(start):
    d = start(deny=["127.0.0.4"], log_connections="true")
    for _ in range(5):
        assert is_refused(d, "127.0.0.4") == b""
    d.wait_log(r"client 127\.0\.0\.4:\d+: refused_access after", count=5)
    assert "refused by" not in d.log()


# ---- reloads, defaults, acceptors

def test_a_reload_changes_the_rules(daemon, programs, tmp_path):
    def text(**keys):
        return limited(programs, tmp_path, "builtin", "tcp://127.0.0.1:0", **keys)
    d = daemon(text())
    assert served(d, "127.0.0.4")
    old = [w["pid"] for w in d.status()["workers"]]
    rewrite(d, text(deny=["127.0.0.4"]))
    wait_until("new workers", lambda: not {w["pid"] for w in d.status()["workers"]} & set(old))
    assert is_refused(d, "127.0.0.4") == b""


def test_defaults_of_all_services(daemon):
    d = daemon('deny = {"127.0.0.4"}\n' + service("one", "tcp://127.0.0.1:0")
               + service("two", "tcp://127.0.0.1:0", deny=["127.0.0.5"]))
    for name, refused, fine in (("one", "127.0.0.4", "127.0.0.5"), ("two", "127.0.0.5", "127.0.0.4")):
        port = d.port(name)
        for host in (refused, fine):
            with bound(host) as s:
                s.connect(("127.0.0.1", port))
                s.sendall(b"x")
                s.shutdown(socket.SHUT_WR)
                assert answer(s) == (b"x" if host == fine else b"")
        wait_counts(d, name, accepted=2, finished=1, refused_access=1)


@pytest.mark.parametrize("key", ['allow = {"127.0.0.1"}', 'deny = {"127.0.0.1"}', "per_source = 1",
                                 'rate = "1/s"', 'rate_per_source = "1/s"', 'queue_timeout = "1s"',
                                 'busy_message = "x"'])
def test_an_acceptor_sees_no_clients(daemon, key):
    d = daemon('service "a" {\n listen = {"tcp://127.0.0.1:0"}\n acceptor = {"/bin/sleep", "9"}\n'
               f" {key}\n}}\n", expect_ready=False)
    assert d.wait() == os.EX_CONFIG
    assert f'service "a": {key.split()[0]}: not for a service with acceptor' in d.log()


def test_nothing_is_asked_without_rules(daemon):
    """What is not configured is not counted either."""
    d = daemon(service("one", "tcp://127.0.0.1:0"))
    assert exchange(d.address(), b"x") == b"x"
    wait_counts(d, accepted=1, finished=1)
    assert "refused_access" not in counts(d)


def test_in_a_namespace(daemon, programs, tmp_path):
    """Addresses that are none of loopback's."""
    setup = ("ip address add 192.0.2.1/32 dev lo\nip address add 192.0.2.2/32 dev lo\n"
             "ip address add 2001:db8::1/128 dev lo nodad\n"
             "ip address add 2001:db8:1::1/128 dev lo nodad\n")
    import netns
    d = daemon(limited(programs, tmp_path, "builtin", "tcp://*:0",
                       allow=["192.0.2.1", "2001:db8::/48"]), wrapper=wrapper(setup))
    for host, fine in (("192.0.2.1", True), ("192.0.2.2", False), ("2001:db8::1", True),
                       ("2001:db8:1::1", False)):
        assert netns.inside(d.pid, served, d, host) == fine
