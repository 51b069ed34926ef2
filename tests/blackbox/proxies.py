# SPDX-License-Identifier: ISC
"""Headers of the PROXY protocol, made by hand, and services that ask for them."""

import socket
import struct

import execs
import support
from daemon import connect

TCP = "tcp://127.0.0.1:0"
TRUST = {"proxy_protocol": "require", "proxy_from": ["127.0.0.0/8", "::1"]}
# Whom the headers are about, and what they are connected to.
SOURCE, DESTINATION = ("192.0.2.1", 4711), ("192.0.2.2", 80)
SOURCE6, DESTINATION6 = ("2001:db8::1", 4711), ("2001:db8::2", 80)
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21


def line(source=SOURCE, destination=DESTINATION):
    family = "TCP6" if ":" in source[0] else "TCP4"
    return (f"PROXY {family} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n"
            ).encode()


def block(command=PROXY, family=0, data=b""):
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(data)) + data


def vector(kind, data):
    return bytes([kind]) + struct.pack(">H", len(data)) + data


def binary(source=SOURCE, destination=DESTINATION, more=b"", transport=1):
    """Version 2, of IP addresses or of Unix names."""
    if isinstance(source, bytes):
        data = source.ljust(108, b"\0") + destination.ljust(108, b"\0")
        return block(PROXY, 0x30 | transport, data + more)
    six = ":" in source[0]
    family = socket.AF_INET6 if six else socket.AF_INET
    data = (socket.inet_pton(family, source[0]) + socket.inet_pton(family, destination[0])
            + struct.pack(">HH", source[1], destination[1]))
    return block(PROXY, (0x20 if six else 0x10) | transport, data + more)


HEADERS = {"line": line(), "binary": binary(),
           "vectors": binary(more=vector(4, b"\0" * 9) + vector(0xea, b"x" * 2000))}


# -- services of every kind that repeat what they are told

KINDS = ["builtin", "module", "exec", "prestart"]


def echo(kind, programs, *listen, name="main", **keys):
    keys = {"workers": 1, "log_connections": "true", **TRUST, **keys}
    if kind == "module":
        return support.gate(programs, name, *listen, **keys)
    if kind == "builtin":
        return support.service(name, *listen, builtin="echo", **keys)
    if kind == "prestart":
        keys["prestart"] = "true"
    return support.service(name, *listen, exec=["/bin/cat"], **keys)


def say(address, data):
    """All that comes back, once it has all been said."""
    with connect(address) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        return execs.read_all(s)
