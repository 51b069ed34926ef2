# SPDX-License-Identifier: ISC
"""Sockets that systemd passes: matched by name or by what they are bound to, never by position; and
they stay what they were, for whoever gets them next."""

import ctypes
import fcntl
import os
import re
import socket
import stat
import struct

import pytest
from checking import CONFIG, check
from daemon import connect, exchange
from look import wait_gone
from manager import bound, manage, passing  # noqa: F401 (a fixture)
from support import (Clients, answer, end_ctl, hold, pids, queue, reload, rewrite, service,
                     start_ctl, unchanged)

TCP = "tcp://127.0.0.1:0"
SO_GET_FILTER = 26


def here(address, tmp_path):
    return address.replace("DIR", str(tmp_path))


def refused(d, *words):
    """The start ended with EX_CONFIG, and said so in one line with these words."""
    assert d.wait() == CONFIG, d.log()
    lines = [line for line in d.log().splitlines() if all(word in line for word in words)]
    assert len(lines) == 1, (words, d.log())
    d.hear_all()
    assert ("READY",) not in d.told
    return lines[0]


def is_served(address, text=b"hello"):
    assert exchange(address, text) == text


def flags(s):
    return fcntl.fcntl(s.fileno(), fcntl.F_GETFL)


def filter_length(s):
    """How many instructions its filter has: SO_GET_FILTER tells it when it gets no room."""
    size = ctypes.c_uint32(0)
    assert ctypes.CDLL(None).getsockopt(s.fileno(), socket.SOL_SOCKET, SO_GET_FILTER, None,
                                        ctypes.byref(size)) == 0
    return size.value


def timeouts(s):
    return [struct.unpack("ll", s.getsockopt(socket.SOL_SOCKET, option, 16))
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO)]


# -- by name


@pytest.mark.parametrize("address", [TCP, "tcp://*:0", "tcp://[::1]:0", "udp://127.0.0.1:0",
                                     "udp://*:0", "unix://DIR/s", "unixgram://DIR/s",
                                     "unixpacket://DIR/s", "unix://@DIR"])
def test_by_name(manage, tmp_path, address):
    d = manage(service("a", "systemd://web"), ("web", here(address, tmp_path)))
    assert d.addresses() == d.unit_addresses
    is_served(d.address())


def test_several_sockets_of_one_name(manage, tmp_path):
    """One unit with several Listen lines, of every kind that the handler serves."""
    units = [("web", here(a, tmp_path)) for a in (TCP, "udp://127.0.0.1:0", TCP, "unix://DIR/s",
                                                  "unixgram://DIR/d", "unixpacket://DIR/p")]
    d = manage(service("a", "systemd://web", workers=1), *units)
    assert sorted(d.addresses()) == sorted(d.unit_addresses)
    assert len(pids(d)) == len(units)
    for address in d.unit_addresses:
        is_served(address)


def test_names_are_told_apart(manage, tmp_path):
    units = [(f"n{i}", here(f"unix://DIR/{i}", tmp_path)) for i in range(4)]
    config = "".join(service(f"s{i}", f"systemd://n{i}", builtin="message") for i in (2, 0, 3, 1))
    d = manage(config, *units)
    for i in range(4):
        assert d.addresses(f"s{i}") == [f"unix://{tmp_path}/{i}"]


def test_one_service_with_several_names_and_addresses(manage):
    d = manage(service("a", "systemd://one", "systemd://two", TCP), ("two", TCP), ("one", TCP))
    assert d.addresses()[:2] == [d.unit_addresses[1], d.unit_addresses[0]]
    assert len(d.addresses()) == 3
    for address in d.addresses():
        is_served(address)


def test_each_socket_has_workers_of_its_own(manage):
    d = manage(service("a", "systemd://web", workers=3), ("web", TCP), ("web", TCP))
    assert len(pids(d)) == 6


@pytest.mark.parametrize("seed", range(8))
def test_the_order_means_nothing(manage, tmp_path, seed):
    """Every start gets them in another order; each service serves on the one it had."""
    where = [here(a, tmp_path) for a in (TCP, "unix://DIR/a", TCP, "unixgram://DIR/b")]
    units = [("x", where[0]), ("y", where[1]), ("plain.socket", where[2]), ("z", where[3])]
    d = manage(service("z", "systemd://z") + service("plain", "<A2>") + service("own", TCP)
               + service("yx", "systemd://y", "systemd://x"), *units, started=False)
    d.shuffled(seed)
    for _ in range(4):
        d.start()
        x, y, plain, z = d.unit_addresses
        assert d.addresses("z")[-1] == z
        assert d.addresses("plain")[-1] == plain
        assert d.addresses("yx")[-2:] == [y, x]
        for address in [x, y, plain, z, d.addresses("own")[-1]]:
            is_served(address)
        assert d.stop() == 0
    assert len(set(d.addresses("own"))) == 1, "it came out of the store"


# -- by what it is bound to


@pytest.mark.parametrize("address", [TCP, "tcp://0.0.0.0:0", "tcp://*:0", "tcp6://[::]:0",
                                     "tcp://[::1]:0", "udp://127.0.0.1:0", "udp://*:0",
                                     "unix://DIR/s", "unixgram://DIR/s", "unixpacket://DIR/s",
                                     "unix://@DIR", "unixgram://@DIR", "unixpacket://@DIR"])
def test_ordinary_addresses(manage, tmp_path, address):
    d = manage(service("a", "<A0>"), ("whatever", here(address, tmp_path)))
    assert d.addresses() == d.unit_addresses
    is_served(d.address())
    # What serves is the unit's socket, none beside it.
    assert d.stop() == 0
    waiting = queue(d.address(), b"for the next")
    d.start()
    assert answer(waiting) == b"for the next"


def test_both_families_of_one_port(manage):
    """A plain IPv4 socket and one for IPv6 alone are two addresses."""
    four = bound("tcp://0.0.0.0:0")
    port = four.getsockname()[1]
    six = bound(f"tcp6://[::]:{port}")
    d = manage(service("four", f"tcp4://*:{port}") + service("six", f"tcp6://[::]:{port}"),
               ("w", six), ("w", four))
    assert d.address("four") == f"tcp://0.0.0.0:{port}"
    assert d.address("six") == f"tcp6://[::]:{port}"
    is_served(f"tcp://127.0.0.1:{port}")
    is_served(f"tcp://[::1]:{port}")


def test_tcp_and_udp_of_one_port(manage):
    tcp = bound(TCP)
    port = tcp.getsockname()[1]
    udp = bound(f"udp://127.0.0.1:{port}")
    d = manage(service("u", f"udp://127.0.0.1:{port}") + service("t", f"tcp://127.0.0.1:{port}"),
               ("a", udp), ("b", tcp))
    is_served(d.address("t"))
    is_served(d.address("u"))


def test_unix_types_of_one_name(manage, tmp_path):
    """The kernel keeps abstract names of each type apart; so do we."""
    d = manage("".join(service(k, f"{k}://@{tmp_path}") for k in ("unixpacket", "unix", "unixgram")),
               *[("n", f"{k}://@{tmp_path}") for k in ("unix", "unixgram", "unixpacket")])
    for kind in ("unix", "unixgram", "unixpacket"):
        assert d.addresses(kind) == [f"{kind}://@{tmp_path}"]
        is_served(d.address(kind))


def test_a_name_that_resolves_to_what_was_passed(manage):
    port = (s := bound(TCP)).getsockname()[1]
    d = manage(service("a", f"tcp4://localhost:{port}"), ("n", s))
    is_served(f"tcp://127.0.0.1:{port}")
    assert d.stop() == 0
    assert d.since_start()[0] == ("READY",), "nothing of its own that it would store"


# -- what does not fit


def test_unclaimed(manage):
    d = manage(service("a", "systemd://web"), ("web", TCP), ("other", TCP), expect_ready=False)
    refused(d, '"other"', d.unit_addresses[1], "claimed by no service")
    assert '"web"' not in d.log()


def test_unclaimed_among_ordinary_ones(manage):
    d = manage(service("a", TCP), ("web.socket", TCP), expect_ready=False)
    refused(d, '"web.socket"', d.unit_addresses[0], "claimed by no service")


def test_disabled_claims_nothing(manage):
    d = manage(service("a", "systemd://web", enabled="false") + service("b", TCP), ("web", TCP),
               expect_ready=False)
    refused(d, '"web"', "claimed by no service")


def test_unknown(manage):
    d = manage("\n\n" + service("a", "systemd://wbe"), ("web", TCP), ("dns", "udp://127.0.0.1:0"),
               expect_ready=False)
    refused(d, f"{d.config_file}:4: ", 'service "a": listen: ', "systemd://wbe",
            'it passed "web", "dns"')


def test_unknown_without_any(manage):
    d = manage(service("a", "systemd://web"), expect_ready=False)
    refused(d, f"{d.config_file}:2: ", "systemd://web", "it passed none; start the .socket unit")


def test_what_was_passed_to_another_process(daemon):
    """LISTEN_PID says for whom: the numbers of another process mean nothing here."""
    d = daemon(service("a", "systemd://web"), expect_ready=False,
               env={"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"})
    assert d.wait() == CONFIG
    assert "it passed none" in d.log()


def test_claimed_twice(manage):
    d = manage(service("a", "systemd://web") + service("b", "<A0>"), ("web", TCP),
               expect_ready=False)
    refused(d, f"{d.config_file}:6: ", 'service "b"', d.unit_addresses[0], 'service "a" already')


def test_several_of_one_name_and_address(manage):
    """ReusePort=: a reload could not tell them apart."""
    with socket.socket() as first, socket.socket() as second:
        where = ("127.0.0.1", 0)
        for s in (first, second):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            s.bind(where)
            s.listen()
            where = s.getsockname()
        d = manage(service("a", "systemd://web"), ("web", first), ("web", second),
                   expect_ready=False)
        refused(d, f"{d.config_file}:2: ", 'service "a": listen: ', "systemd://web",
                "two of its sockets are bound to the same address")


class Pipe:
    """A FIFO as ListenFIFO= passes it."""

    def __init__(self):
        self.ends = os.pipe()

    def fileno(self):
        return self.ends[0]

    def close(self):
        for fd in self.ends:
            os.close(fd)


def connection():
    """As Accept=yes passes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        connection.keep = client
    return peer


def raw():
    if os.geteuid() != 0:
        pytest.skip("needs root: only root may make raw sockets")
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


WRONG = {
    "connection": (connection, "is a connection and does not listen (Accept=yes"),
    "pair": (lambda: socket.socketpair()[0], "is a connection and does not listen"),
    "fifo": (Pipe, "is no socket"),
    "special file": (lambda: open("/dev/zero", "rb"), "is no socket"),
    "netlink": (lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
                "is neither an Internet nor a Unix socket"),
    "raw": (raw, "speaks neither TCP nor UDP"),
    "not listening": (lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM), "does not listen"),
}


@pytest.mark.parametrize("claimed", [True, False])
@pytest.mark.parametrize("kind", list(WRONG))
def test_of_the_wrong_type(manage, kind, claimed):
    make, words = WRONG[kind]
    d = manage(service("a", "systemd://odd" if claimed else TCP), ("odd", make()),
               expect_ready=False)
    line = refused(d, words)
    if claimed:
        assert f"{d.config_file}:2: " in line and "systemd://odd" in line
    else:
        assert 'the socket "odd" that systemd passed' in line


def test_one_wrong_among_good_ones(manage):
    d = manage(service("a", "systemd://web"), ("web", TCP), ("web", Pipe()), expect_ready=False)
    refused(d, "systemd://web", "is no socket")


@pytest.mark.parametrize("by_name", [True, False])
def test_a_handler_that_does_not_serve_it(manage, programs, by_name):
    """gate has no answer(), so no datagrams."""
    d = manage(service("a", "systemd://web" if by_name else "<A0>",
                       module=programs.modules / "gate.so"), ("web", "udp://127.0.0.1:0"),
               expect_ready=False)
    refused(d, f"{d.config_file}:2: ", "systemd://web" if by_name else d.unit_addresses[0],
            "does not serve datagrams")


def test_check_by_hand(programs, tmp_path):
    """Without systemd there is nothing to compare with."""
    file = tmp_path / "c.conf"
    assert check(programs, file, service("a", "systemd://web", TCP)).code == 0
    result = check(programs, file, service("a", "systemd://we b"))
    assert result.code == CONFIG and f"{file}:2: " in result.text


def test_check_leaves_them_alone(programs, tmp_path):
    """Even where they are passed: it neither takes nor needs them."""
    with bound(TCP) as s:
        result = check(programs, tmp_path / "c.conf", service("a", "systemd://web"),
                       pass_fds=[s.fileno()], wrapper=passing([s.fileno()]),
                       env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "other"})
        assert result.code == 0, result.text
        assert flags(s) & os.O_NONBLOCK


def test_a_failed_start_leaves_them_as_they_are(manage, tmp_path):
    """The unit's sockets still take clients, which a start with the mistake mended serves."""
    where = f"unix://{tmp_path}/s"
    d = manage("nonsense {", ("web", where), ("web", TCP), expect_ready=False)
    assert d.wait() == CONFIG
    waiting = [queue(a, b"waits") for a in d.unit_addresses]
    d.write_config(service("a", "systemd://web"))
    d.start()
    assert [answer(s) for s in waiting] == [b"waits"] * 2


# -- reload


def test_a_reload_may_not_drop_one(manage):
    d = manage(service("a", "systemd://web") + service("b", TCP), ("web", TCP))
    web, own = d.unit_addresses[0], d.address("b")
    with hold(web), unchanged(d):
        for text in (service("b", TCP), service("a", TCP) + service("b", TCP),
                     service("a", "systemd://web", enabled="false") + service("b", TCP)):
            d.write_config(text)
            result = d.ctl("reload", check=False)
            assert result.returncode == 1
            assert '"web"' in result.stderr and web in result.stderr, result.stderr
            assert "claimed by no service" in result.stderr
    is_served(web)
    is_served(own)
    # And a right one goes on from there.
    rewrite(d, service("a", "systemd://web", workers=2) + service("c", TCP))
    is_served(web)


def test_a_reload_does_not_know_others(manage):
    d = manage(service("a", "systemd://web"), ("web", TCP))
    with unchanged(d):
        d.write_config(service("a", "systemd://web", "systemd://new"))
        result = d.ctl("reload", check=False)
        assert result.returncode == 1
        assert f"{d.config_file}:2: " in result.stderr
        assert "systemd://new" in result.stderr and 'it passed "web"' in result.stderr
    is_served(d.unit_addresses[0])


def test_a_reload_keeps_them(manage):
    d = manage(service("a", "systemd://web") + service("b", "<A1>"), ("web", TCP), ("b", TCP))
    before = pids(d)
    with hold(d.unit_addresses[0]) as client:
        for _ in range(3):
            reload(d)
            assert pids(d) == before
        client.sendall(b"x")
        assert client.recv(1) == b"x"


def test_a_reload_changes_what_serves_them(manage):
    """Settings, the name of the service, and by which address it is claimed: nobody is lost."""
    d = manage(service("a", "systemd://web", workers=2), ("web", TCP))
    web = d.unit_addresses[0]
    with Clients(web, 3) as clients:
        for text in (service("a", "systemd://web", workers=3), service("b", "systemd://web"),
                     service("b", web), service("c", web, workers=1),
                     service("c", "systemd://web", TCP), service("a", "systemd://web")) * 3:
            rewrite(d, text)
            clients.more(5)
    assert [told for told in d.told if told[0] in ("store", "remove")] != []
    assert d.stop() == 0
    d.hear_all()
    assert d.stored() == {}, "what was bound beside it is gone, the unit's was never there"


# -- they stay what they were


@pytest.mark.parametrize("address", [TCP, "udp://127.0.0.1:0", "unix://DIR/s", "unixgram://DIR/s",
                                     "unixpacket://DIR/s", "unix://@DIR"])
@pytest.mark.parametrize("end", ["stop", "kill", "reload and stop"])
def test_nothing_of_us_is_left_on_them(manage, tmp_path, address, end):
    d = manage(service("a", "systemd://web", idle_timeout="30s"),
               ("web", here(address, tmp_path)))
    s = d.units[0][1]
    is_served(d.address())
    if "reload" in end:
        rewrite(d, service("b", "systemd://web", idle_timeout="20s"))
        is_served(d.address())
    if end == "kill":
        d.crash()
    else:
        assert d.stop() == 0
    d.hear_all()
    assert filter_length(s) == 0
    assert timeouts(s) == [(0, 0), (0, 0)]
    assert [told for told in d.told if told[0] in ("store", "remove", "twice")] == []
    if s.type != socket.SOCK_DGRAM:
        assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


def test_idle_timeout_holds_all_the_same(manage):
    """It is not handed down by the listener there; each client gets it."""
    d = manage(service("a", "systemd://web", idle_timeout="500ms"), ("web", TCP))
    with connect(d.address()) as client:
        assert client.recv(1) == b""


def test_workers_of_datagrams_block(manage):
    """systemd's sockets come with O_NONBLOCK; recvmsg() would spin. Workers of connections wait
    before accept()."""
    d = manage(service("a", "systemd://web") + service("u", "systemd://dns"), ("web", TCP),
               ("dns", "udp://127.0.0.1:0"))
    assert [bool(flags(s) & os.O_NONBLOCK) for _, s in d.units] == [True, False]


def test_mode_and_owner_of_a_path_are_the_units(manage, tmp_path):
    path = tmp_path / "s"
    s = bound(f"unix://{path}")
    os.chmod(path, 0o640)
    before = os.stat(path)
    d = manage(service("a", "systemd://web", socket_mode="0666"), ("web", s))
    is_served(f"unix://{path}")
    rewrite(d, service("a", "systemd://web", socket_mode="0600"))
    rewrite(d, service("a", f"unix://{path}", socket_mode="0606"))
    assert d.stop() == 0
    after = os.stat(path)
    assert stat.S_ISSOCK(after.st_mode)
    assert (after.st_mode, after.st_ino, after.st_uid, after.st_gid) == (
        before.st_mode, before.st_ino, before.st_uid, before.st_gid)


def test_the_backlog_is_the_units(manage, tmp_path):
    """listen() again would change it. A Unix listener tells it by how many it lets in."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(str(tmp_path / "s"))
    s.listen(2)
    d = manage(service("a", "systemd://web", backlog=100), ("web", s))
    rewrite(d, service("a", "systemd://web", backlog=200))
    assert d.stop() == 0
    waiting = []
    with pytest.raises(BlockingIOError):
        for _ in range(10):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            waiting.append(client)
            client.connect(str(tmp_path / "s"))
    assert len(waiting) == 4
    for client in waiting:
        client.close()


@pytest.mark.parametrize("address", [TCP, "udp://127.0.0.1:0"])
def test_workers_do_not_see_what_the_master_was_told(manage, programs, address):
    d = manage(service("a", "systemd://web", module=programs.modules / "env.so", workers=1),
               ("web", address), ("web", address))
    told = exchange(d.address(), b"?").decode()
    names = re.search(r" env=(\S*)", told)[1].split(",")
    assert not [n for n in names if n.startswith("LISTEN_")]
    # Its listener, and no other's.
    inodes = set(re.findall(r"socket:\[(\d+)\]", told))
    units = [str(os.fstat(s.fileno()).st_ino) for _, s in d.units]
    assert units[d.unit_addresses.index(d.address())] in inodes
    assert len(inodes & set(units)) == 1


# -- the queue


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s", "unixpacket://DIR/s", "unix://@DIR",
                                     "udp://127.0.0.1:0", "unixgram://DIR/s"])
def test_who_comes_between_two_starts_is_served_by_the_next(manage, tmp_path, address):
    d = manage(service("a", "systemd://web", workers=1), ("web", here(address, tmp_path)))
    is_served(d.address())
    assert d.stop() == 0
    waiting = [queue(d.address(), b"client %d" % i) for i in range(8)]
    d.start()
    assert [answer(s) for s in waiting] == [b"client %d" % i for i in range(8)]


def test_the_queue_at_a_stop_waits_for_the_next_start(manage):
    """The one who is served goes on to his end; who waits behind him has not been accepted."""
    d = manage(service("a", "systemd://web", workers=1), ("web", TCP))
    with hold(d.address()) as client:
        waiting = [queue(d.address(), b"client %d" % i) for i in range(5)]
        stop = start_ctl(d, "stop")
        d.wait_notification("STOPPING=1")
        late = queue(d.address(), b"late")
        client.sendall(b"bye")
        assert client.recv(3) == b"bye"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert end_ctl(stop)[0] == 0
    assert d.wait() == 0
    d.start()
    assert [answer(s) for s in waiting] == [b"client %d" % i for i in range(5)]
    assert answer(late) == b"late"


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s"])
def test_restarts_refuse_nobody(manage, tmp_path, address):
    d = manage(service("a", "systemd://web", workers=2), ("web", here(address, tmp_path)))
    with Clients(d.address(), 4) as clients:
        for _ in range(8):
            d.restart()
            clients.more(5)


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s"])
def test_crashes_refuse_nobody(manage, tmp_path, address):
    d = manage(service("a", "systemd://web", workers=2), ("web", here(address, tmp_path)))
    for _ in range(5):
        everyone = pids(d)
        d.crash()
        wait_gone(everyone)
        waiting = [queue(d.address(), b"client %d" % i) for i in range(12)]
        d.start()
        assert [answer(s) for s in waiting] == [b"client %d" % i for i in range(12)]
