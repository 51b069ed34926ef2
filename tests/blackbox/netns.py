# SPDX-License-Identifier: ISC
"""A daemon in a network namespace of its own (root only), and clients in there with it."""

import ctypes
import os
import shutil
import subprocess
import threading

import pytest

CLONE_NEWNET = 0x40000000
# What the tests of broadcast, multicast and link-local addresses find in there.
HOST = "10.99.0.1"
BROADCAST = "10.99.0.255"
LINK_LOCAL = "fe80::99"
INTERFACE = "veth0"
NETWORK = f"""
ip link add {INTERFACE} type veth peer name veth1
ip address add {HOST}/24 broadcast {BROADCAST} dev {INTERFACE}
ip link set {INTERFACE} up
ip link set veth1 up
# What goes to all would come back through the other end and count twice.
echo 1 >/proc/sys/net/ipv6/conf/veth1/disable_ipv6
ip address add {LINK_LOCAL}/64 dev {INTERFACE} nodad
"""


def wrapper(setup="", mounts=False):
    """What goes before the command of a daemon; `setup` is a shell script that runs in there."""
    if os.geteuid() != 0:
        pytest.skip("needs root: only root may make namespaces")
    for program in ("unshare", "ip"):
        if not shutil.which(program):
            pytest.skip(f"there is no {program}")
    command = ["unshare", "--net", *(["--mount"] if mounts else [])]
    if subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        pytest.skip("namespaces are not permitted here")
    return [*command, "sh", "-ec", f'ip link set lo up\n{setup}\nexec "$@"', "sh"]


def network():
    """A wrapper with an interface beside lo."""
    command = wrapper(NETWORK)
    probe = subprocess.run([*command, "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"no veth interface here: {probe.stderr.strip()}")
    return command


def in_thread(enter, function, *args):
    """Calls the function in a thread of its own, which enter() has moved to other namespaces; it
    ends with the call. What the function raises the caller gets."""
    result = []

    def run():
        try:
            enter()
            result.append((True, function(*args)))
        except BaseException as e:  # for the caller: an exception would end with the thread
            result.append((False, e))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    fine, value = result[0]
    if not fine:
        raise value
    return value


def inside(pid, function, *args):
    """Calls the function in the network namespace of a process. Sockets made there stay there."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter():
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        try:
            if libc.setns(fd, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(fd)

    return in_thread(enter, function, *args)
