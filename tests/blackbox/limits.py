# SPDX-License-Identifier: ISC
"""Services with access rules and limits, of every kind, that all say back what they are told; and
clients of theirs, from an address of their choice."""

import contextlib
import os
import socket
import threading

from daemon import DEADLINE
from support import answer, service

STREAMS = ["builtin", "module", "exec", "prestart"]
KINDS = STREAMS


def limited(programs, folder, kind, address, name="main", **keys):
    """The text of a service."""
    what = {"builtin": {"builtin": "echo"},
            "module": {"module": programs.modules / "crash_serve.so"},
            "exec": {"exec": ["/bin/cat"]},
            "prestart": {"exec": ["/bin/cat"], "prestart": "true"}}[kind]
    del folder
    return service(name, address, **{"workers": 1, **what, **keys})


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def bound(host, kind=socket.SOCK_STREAM):
    """A client's socket at this address."""
    s = socket.socket(family_of(host), kind)
    s.settimeout(DEADLINE)
    s.bind((host, 0))
    return s


def as_user(user, function, *args):
    """Calls the function in a thread of its own, as another user: what it connects is that one's."""
    result = []

    def run():
        libc = __import__("ctypes").CDLL(None, use_errno=True)
        # Of this thread alone, which ends with it.
        for number, value in ((119, user[1]), (117, user[0])):
            if libc.syscall(number, value, value, -1 if number == 119 else 0) != 0:
                raise OSError("setresgid, setresuid")
        result.append(function(*args))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return result[0]


def come(d, host=None, user=None, service_name=None):
    """A connection from there."""
    address = d.address(service_name)
    if user:
        return as_user(user, plain, address)
    if address.startswith("unix"):
        return plain(address)
    port = int(address.rsplit(":", 1)[1])
    s = bound(host)
    there = {"127": "127.0.0.1", "::1": "::1"}.get(host.split(".")[0], host)
    s.connect((there, port))
    return s


def plain(address):
    from daemon import connect
    return connect(address)


def ask(s, data=b"hello"):
    """What comes back, to a clean end."""
    with s:
        with contextlib.suppress(BrokenPipeError):
            s.sendall(data)
        if s.type == socket.SOCK_SEQPACKET:
            reply = s.recv(999)
            return reply
        with contextlib.suppress(OSError):
            s.shutdown(socket.SHUT_WR)
        return answer(s)


def served(d, host="127.0.0.1", user=None, service_name=None):
    """Whether a client from there is; else it has to have a clean end."""
    return ask(come(d, host, user, service_name)) == b"hello"


def is_refused(d, host="127.0.0.1", user=None, service_name=None):
    """What a client gets who is refused."""
    reply = ask(come(d, host, user, service_name))
    assert reply != b"hello", d.log()
    return reply


def greeting(d, user=None):
    """A datagram's socket, that has sent one."""
    address = d.address()

    def go():
        s = plain(address)
        s.send(b"hello")
        return s
    return as_user(user, go) if user else go()
