# SPDX-License-Identifier: ISC
"""Every kind of address, with clients that are not ours."""

import os
import re
import shutil
import socket
import stat
import subprocess

import pytest

import netns
from daemon import connect, exchange, wait_until
from look import pool, pools, wait_counts

CONFIG = """
service "main" {
    listen  = {"%s"}
    builtin = "%s"
    workers = 2
    %s
}
"""
INET = ["tcp://127.0.0.1:0", "tcp://127.0.0.2:0", "tcp://[::1]:0", "tcp://*:0", "tcp://[::]:0",
        "tcp4://127.0.0.1:0", "tcp4://localhost:0", "tcp4://*:0", "tcp6://[::1]:0", "tcp6://*:0"]
UNIX = ["unix", "unixgram", "unixpacket"]
EVERY = [*INET, *[a.replace("tcp", "udp") for a in INET],
         *[f"{scheme}://DIR/s" for scheme in UNIX], *[f"{scheme}://@NAME" for scheme in UNIX]]


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def config(address, builtin="echo", keys=""):
    return CONFIG % (address, builtin, keys)


def make(address, tmp_path):
    if ("[" in address or "6://" in address) and not has_ipv6():
        pytest.skip("no IPv6 on this machine")
    return address.replace("DIR", str(tmp_path)).replace("NAME", f"preforkd-{os.getpid()}")


def split(address):
    """The scheme without its 4 or 6, and (host, port) or the path or the name with its @."""
    scheme, rest = address.split("://", 1)
    if scheme.startswith("unix"):
        return scheme, rest
    host, port = rest.rsplit(":", 1)
    host = host.strip("[]")
    return scheme.rstrip("46"), ({"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
                                 .get(host, host), port)


def talk(command, data, wanted):
    """Runs a client that sends data; until so many bytes came, for datagrams have no end."""
    if not shutil.which(command[0]):
        pytest.skip(f"there is no {command[0]}")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as p:
        p.stdin.write(data)
        reply = b""
        while len(reply) < wanted:
            piece = p.stdout.read(wanted - len(reply))
            if not piece:
                break
            reply += piece
        p.kill()
        return reply


def socat(address, tmp_path):
    scheme, to = split(address)
    if scheme in ("tcp", "udp"):
        host, port = to
        return f"{scheme.upper()}6:[{host}]:{port}" if ":" in host else \
            f"{scheme.upper()}4:{host}:{port}"
    kind = "ABSTRACT" if to.startswith("@") else "UNIX"
    to = to.lstrip("@")
    if scheme == "unixgram":
        me = f"{to}-client" if kind == "ABSTRACT" else f"{tmp_path}/client"
        return f"{kind}-SENDTO:{to},bind={me}"
    return f"{kind}-CONNECT:{to}" + (",type=5" if scheme == "unixpacket" else "")


def nc(address):
    scheme, to = split(address)
    if scheme in ("tcp", "udp"):
        return ["-u", *to] if scheme == "udp" else list(to)
    if to.startswith("@") or scheme == "unixpacket":
        pytest.skip("nc knows neither abstract names nor sequenced packets")
    return ["-uU" if scheme == "unixgram" else "-U", to]


@pytest.mark.parametrize("client", ["python", "socat", "nc"])
@pytest.mark.parametrize("address", EVERY)
def test_every_kind_of_address(daemon, tmp_path, address, client):
    d = daemon(config(make(address, tmp_path)))
    there, text = d.address(), b"hello\n"
    if client == "python":
        reply = exchange(there, text)
    elif client == "socat":
        reply = talk(["socat", "-", socat(there, tmp_path)], text, len(text))
    else:
        reply = talk(["nc", *nc(there)], text, len(text))
    assert reply == text
    wait_counts(d, accepted=1, finished=1)
    assert d.stop() == 0


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "tcp://[::1]:0", "tcp://*:0",
                                     "unix://DIR/s", "unix://@NAME"])
def test_curl(daemon, tmp_path, address):
    """Its request stays unread, and must not cost it the reply."""
    if not shutil.which("curl"):
        pytest.skip("there is no curl")
    d = daemon(config(make(address, tmp_path), "daytime"))
    scheme, to = split(d.address())
    options, host, port = [], "x", 80
    if scheme == "tcp":
        host, port = (f"[{to[0]}]" if ":" in to[0] else to[0]), to[1]
    else:
        options = ["--abstract-unix-socket", to[1:]] if to.startswith("@") else \
            ["--unix-socket", to]
    result = subprocess.run(["curl", "-sS", "--http0.9", "--noproxy", "*", *options,
                             f"http://{host}:{port}/"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"\w{3}, .* GMT\r?\n", result.stdout)


# ---- IPv4 and IPv6

@pytest.mark.parametrize("address", ["tcp://*:0", "tcp://[::]:0"])
def test_dual_stack_shows_clients_unmapped(daemon, tmp_path, address):
    d = daemon(config(make(address, tmp_path), keys="log_connections = true"))
    assert len(d.addresses()) == 1
    port = d.port()
    for host in ("127.0.0.1", "::1") if has_ipv6() else ("127.0.0.1",):
        with socket.create_connection((host, port)) as s:
            s.sendall(b"x")
            assert s.recv(9) == b"x"
            name = s.getsockname()
            shown = f"[{name[0]}]:{name[1]}" if ":" in host else f"{name[0]}:{name[1]}"
            assert [w["client"] for w in d.status()["workers"] if w["client"]] == [shown]
        d.wait_log(rf"client {re.escape(shown)}: finished after")
        wait_until("idle workers", lambda: pool(d)["busy"] == 0)
    assert "ffff" not in d.log()


def test_dual_stack_datagrams(daemon, tmp_path):
    d = daemon(config(make("udp://*:0", tmp_path), keys="log_connections = true"))
    for host in ("127.0.0.1", "[::1]") if has_ipv6() else ("127.0.0.1",):
        with connect(f"udp://{host}:{d.port()}") as s:
            s.send(b"four")
            assert s.recv(99) == b"four"
            shown = f"{host}:{s.getsockname()[1]}"
        d.wait_log(rf"datagram of 4 bytes from {re.escape(shown)}: finished")
    assert "ffff" not in d.log()


@pytest.mark.parametrize("address,other", [("tcp6://*:0", "127.0.0.1"), ("tcp4://*:0", "[::1]"),
                                           ("tcp6://[::]:0", "127.0.0.1"),
                                           ("udp6://*:0", "127.0.0.1"), ("udp4://*:0", "[::1]")])
def test_one_family_refuses_the_other(daemon, tmp_path, address, other):
    make("[", tmp_path)
    d = daemon(config(address))
    assert exchange(d.address(), b"mine") == b"mine"
    with pytest.raises(ConnectionRefusedError):
        exchange(f"{address[:3]}://{other}:{d.port()}", b"theirs")
    assert pool(d)["connections"]["accepted"] == 1


def test_both_families_at_one_port(daemon, tmp_path):
    make("[", tmp_path)
    with socket.socket(socket.AF_INET) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    d = daemon(config(f'tcp4://*:{port}", "tcp6://*:{port}'))
    for address in (f"tcp://127.0.0.1:{port}", f"tcp://[::1]:{port}"):
        assert exchange(address, b"x") == b"x"
    assert [p["connections"]["accepted"] for p in pools(d)] == [1, 1]


def test_without_ipv6_addresses(daemon):
    """A kernel with IPv6 switched off; one that never had it cannot be had here."""
    off = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6"
    d = daemon(config('tcp://*:0", "udp://*:0'), wrapper=netns.wrapper(off))
    for address in d.addresses():
        assert netns.inside(d.pid, exchange, address, b"four") == b"four"


def test_link_local_address_with_scope(daemon):
    there = f"[{netns.LINK_LOCAL}%{netns.INTERFACE}]"
    d = daemon(config(f'tcp://{there}:0", "udp://{there}:0", "udp://*:0'),
               wrapper=netns.network())
    assert [a.rsplit(":", 1)[0] for a in d.addresses()] == \
        [f"tcp://{there}", f"udp://{there}", "udp://*"]

    def ask(kind, port):
        to = socket.getaddrinfo(there.strip("[]"), port, type=kind)[0][4]
        with socket.socket(socket.AF_INET6, kind) as s:
            s.settimeout(10)
            s.connect(to)
            s.send(b"x")
            return s.recv(9)

    for i, kind in enumerate([socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_DGRAM]):
        assert netns.inside(d.pid, ask, kind, d.port(index=i)) == b"x"


# ---- ports and names

def test_service_names(daemon):
    d = daemon(config('tcp://127.0.0.1:echo", "udp://127.0.0.1:echo", "tcp6://*:daytime'),
               wrapper=netns.wrapper())
    assert d.addresses() == ["tcp://127.0.0.1:7", "udp://127.0.0.1:7", "tcp6://[::]:13"]
    for address in d.addresses():
        assert netns.inside(d.pid, exchange, address, b"by name") == b"by name"


def test_a_name_with_several_addresses(daemon, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 several\n127.0.0.2 several\n::1 several\n")
    wrapper = netns.wrapper(f"mount --bind {hosts} /etc/hosts", mounts=True)
    d = daemon(config("tcp://several:4000"), wrapper=wrapper)
    wanted = {"tcp://127.0.0.1:4000", "tcp://127.0.0.2:4000", "tcp://[::1]:4000"}
    assert set(d.addresses()) == wanted and len(d.addresses()) == 3
    for n, address in enumerate(sorted(wanted), 1):
        for _ in range(n):
            assert netns.inside(d.pid, exchange, address, b"x") == b"x"
        found = [p for p in pools(d) if p["address"] == address]
        assert [p["workers_ready"] for p in found] == [2]
        assert [p["connections"]["accepted"] for p in found] == [n]
    pids = {a: {w["pid"] for w in d.status()["workers"] if w["address"] == a} for a in wanted}
    assert all(len(p) == 2 for p in pids.values()) and len(set.union(*pids.values())) == 6


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "udp://127.0.0.1:0"])
def test_port_0_is_shown(daemon, address):
    d = daemon(config(address))
    shown = d.address()
    assert int(shown.rsplit(":", 1)[1]) > 0
    assert pool(d)["address"] == shown
    assert {w["address"] for w in d.status()["workers"]} == {shown}
    assert shown in d.ctl("status").stdout
    assert exchange(shown, b"x") == b"x"


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_port_in_use(daemon, kind):
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        scheme = "tcp" if kind == socket.SOCK_STREAM else "udp"
        address = f"{scheme}://127.0.0.1:{taken.getsockname()[1]}"
        d = daemon(config(address), expect_ready=False)
        assert d.wait() == os.EX_UNAVAILABLE
        assert f"{address}: Address already in use" in d.log()


# ---- the paths of Unix sockets

def bound(scheme, path):
    kinds = {"unix": socket.SOCK_STREAM, "unixgram": socket.SOCK_DGRAM,
             "unixpacket": socket.SOCK_SEQPACKET}
    s = socket.socket(socket.AF_UNIX, kinds[scheme])
    s.bind(str(path))
    if scheme != "unixgram":
        s.listen()
    return s


@pytest.mark.parametrize("scheme", UNIX)
def test_stale_socket_is_replaced(daemon, tmp_path, scheme):
    bound(scheme, tmp_path / "s").close()
    d = daemon(config(f"{scheme}://{tmp_path}/s"))
    assert exchange(d.address(), b"x") == b"x"


@pytest.mark.parametrize("scheme", UNIX)
def test_live_socket_is_not_replaced(daemon, tmp_path, scheme):
    path = tmp_path / "s"
    with bound(scheme, path) as live:
        before = path.stat()
        d = daemon(config(f"{scheme}://{path}"), expect_ready=False)
        assert d.wait() == os.EX_UNAVAILABLE
        assert f"{scheme}://{path}: Address already in use" in d.log()
        assert path.stat().st_ino == before.st_ino
        with connect(f"{scheme}://{path}"):
            live.settimeout(10)
            if scheme != "unixgram":
                live.accept()[0].close()


@pytest.mark.parametrize("other", ["unix", "unixgram", "unixpacket"])
def test_live_socket_of_another_kind_is_not_replaced(daemon, tmp_path, other):
    path = tmp_path / "s"
    mine = "unixgram" if other == "unix" else "unix"
    with bound(other, path):
        before = path.stat()
        d = daemon(config(f"{mine}://{path}"), expect_ready=False)
        assert d.wait() == os.EX_UNAVAILABLE
        assert path.stat().st_ino == before.st_ino


def test_abstract_name_in_use(daemon, tmp_path):
    address = make("unix://@NAME", tmp_path)
    with bound("unix", "\0" + address[len("unix://@"):]):
        d = daemon(config(address), expect_ready=False)
        assert d.wait() == os.EX_UNAVAILABLE
        assert f"{address}: Address already in use" in d.log()


@pytest.mark.parametrize("what", ["file", "directory", "symlink"])
def test_what_is_no_socket_is_not_replaced(daemon, tmp_path, what):
    path = tmp_path / "s"
    if what == "file":
        path.write_text("precious")
    elif what == "directory":
        path.mkdir()
    else:
        bound("unix", tmp_path / "stale").close()
        path.symlink_to(tmp_path / "stale")
    d = daemon(config(f"unix://{path}"), expect_ready=False)
    assert d.wait() == os.EX_UNAVAILABLE
    assert re.search(rf'preforkd.conf:\d+: service "main": listen: unix://{path}: '
                     r"the file exists and is no socket; remove it", d.log())
    assert path.is_symlink() or path.is_dir() or path.read_text() == "precious"


@pytest.mark.parametrize("key,mode", [("", 0o660), ('socket_mode = "0600"', 0o600),
                                      ('socket_mode = "0777"', 0o777)])
@pytest.mark.parametrize("scheme", UNIX)
def test_mode(daemon, tmp_path, scheme, key, mode):
    daemon(config(f"{scheme}://{tmp_path}/s", keys=key), preexec=lambda: os.umask(0o027))
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == mode


@pytest.mark.parametrize("user,group,uid,gid", [("nobody", "nogroup", 65534, 65534),
                                                ("12345", "54321", 12345, 54321),
                                                ("", "54321", 0, 54321), ("nobody", "", 65534, 0)])
def test_owner_and_group(daemon, tmp_path, is_root, user, group, uid, gid):
    keys = f'socket_user = "{user}"\nsocket_group = "{group}"\nsocket_mode = "0640"'
    daemon(config(f"unix://{tmp_path}/s", keys=keys))
    found = (tmp_path / "s").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (uid, gid, 0o640)


@pytest.mark.parametrize("scheme", UNIX)
def test_path_is_removed_at_the_stop(daemon, tmp_path, scheme):
    d = daemon(config(f"{scheme}://{tmp_path}/s"))
    assert (tmp_path / "s").is_socket()
    assert d.stop() == 0
    assert not os.path.lexists(tmp_path / "s")


@pytest.mark.parametrize("scheme", UNIX)
def test_somebody_elses_path_is_not_removed(daemon, tmp_path, scheme):
    path = tmp_path / "s"
    d = daemon(config(f"{scheme}://{path}"))
    old = path.stat().st_ino
    # Renamed, not unlinked: the new one must not get the inode number of the old one.
    path.rename(tmp_path / "old")
    with bound(scheme, path):
        assert path.stat().st_ino != old
        assert d.stop() == 0
        assert path.is_socket()


# ---- datagrams

@pytest.mark.parametrize("address,hosts", [
    ("udp://*:0", ["127.0.0.1", "127.0.0.2", "127.99.98.97", "[::1]"]),
    ("udp4://*:0", ["127.0.0.1", "127.0.0.2", "127.99.98.97"]),
    ("udp6://*:0", ["[::1]"])])
def test_replies_come_from_where_the_datagram_went(daemon, tmp_path, address, hosts):
    """A connected socket takes no datagram from elsewhere."""
    d = daemon(config(make(address, tmp_path)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_source:
        any_source.settimeout(10)
        for host in hosts:
            if host == "[::1]" and not has_ipv6():
                continue
            assert exchange(f"udp://{host}:{d.port()}", host.encode()) == host.encode()
            if "[" not in host:
                any_source.sendto(b"x", (host, d.port()))
                assert any_source.recvfrom(9) == (b"x", (host, d.port()))
