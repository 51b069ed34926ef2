# SPDX-License-Identifier: ISC
"""Servers whose behaviour is known by arithmetic, and preforkctl bench against them."""

import contextlib
import json
import socket
import struct
import threading
import time

import pytest

import ctl

SCHEMES = {"abstract": "unix", "abstract-packet": "unixpacket", "abstract-gram": "unixgram"}
STREAMS = ["tcp", "tcp4", "tcp6", "unix", "abstract", "unixpacket", "abstract-packet"]
DATAGRAMS = ["udp", "udp4", "udp6", "unixgram", "abstract-gram"]


def bind(kind, tmp_path):
    """A bound socket of a kind, and its address."""
    scheme = SCHEMES.get(kind, kind)
    sort = socket.SOCK_STREAM
    if kind in DATAGRAMS:
        sort = socket.SOCK_DGRAM
    elif "packet" in kind:
        sort = socket.SOCK_SEQPACKET
    if kind.startswith("abstract"):
        s = socket.socket(socket.AF_UNIX, sort)
        s.bind("")  # the kernel picks a name
        return s, f"{scheme}://@{s.getsockname()[1:].decode()}"
    if kind.startswith("unix"):
        s = socket.socket(socket.AF_UNIX, sort)
        path = tmp_path / "server.sock"
        s.bind(str(path))
        return s, f"{scheme}://{path}"
    host = "::1" if kind.endswith("6") else "127.0.0.1"
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, sort)
    try:
        s.bind((host, 0))
    except OSError:
        pytest.skip("no IPv6 on this machine")
    written = f"[{host}]" if ":" in host else host
    return s, f"{scheme}://{written}:{s.getsockname()[1]}"


class Server:
    """serve(connection, number) for each, in a thread of its own; or, of datagrams, serve(socket,
    data, peer, number). Counts them. Use as a context, which yields it."""

    def __init__(self, tmp_path, serve, kind="tcp", backlog=512, serial=False):
        self.listener, self.address = bind(kind, tmp_path)
        self.kind = kind
        self.serial = serial  # one connection after the other
        self.serve = serve
        self.count = 0
        self.over = threading.Event()
        self.failures = []
        if kind not in DATAGRAMS:
            self.listener.listen(backlog)
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *failure):
        self.over.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # ends the accept
        self.listener.close()
        if failure[0] is None and self.failures:
            raise self.failures[0]

    def run(self):
        with contextlib.suppress(OSError):
            while not self.over.is_set():
                if self.kind in DATAGRAMS:
                    data, peer = self.listener.recvfrom(1 << 17)
                    if self.over.is_set():
                        return
                    self.count += 1
                    self.serve(self.listener, data, peer, self.count)
                    continue
                connection, _ = self.listener.accept()
                self.count += 1
                if self.serial:
                    self.one(connection, self.count)
                    continue
                threading.Thread(target=self.one, args=(connection, self.count),
                                 daemon=True).start()

    def one(self, connection, number):
        # A client that has left is told by bench, not here.
        with connection, contextlib.suppress(ConnectionError):
            try:
                self.serve(connection, number)
            except ConnectionError:
                raise
            except BaseException as failure:  # pylint: disable=broad-except
                self.failures.append(failure)


def pieces(connection):
    """What comes, up to its end."""
    return iter(lambda: connection.recv(1 << 18), b"")


def echo(connection, _number):
    for data in pieces(connection):
        connection.sendall(data)


def echo_datagram(s, data, peer, _number):
    s.sendto(data, peer)


def slow(seconds):
    """An echo that takes so long for each piece that comes."""
    def serve(connection, _number):
        for data in pieces(connection):
            time.sleep(seconds)
            connection.sendall(data)
    return serve


def read_all(connection):
    return b"".join(pieces(connection))


def reset(connection):
    """Ends it with a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def bench(address, *arguments, code=0, **options):
    """Its report as an object."""
    result = ctl.run("bench", address, "--json", *arguments, **options)
    assert code is None or result.returncode == code, (result.stdout, result.stderr)
    assert result.stderr == b""
    return json.loads(result.stdout)


def errors(report):
    """Those that there were."""
    return {name: count for name, count in report["errors"].items() if count}


def check_good(report, count):
    assert errors(report) == {}
    assert (report["good"], report["failed"], report["unfinished"]) == (count, 0, 0)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return list(map(int, file.read().split()))
