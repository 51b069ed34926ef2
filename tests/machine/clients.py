# SPDX-License-Identifier: ISC
"""Clients that come one after the other, each with a token of its own, from within a machine, and
take nothing for an answer but that token and a clean end.

What else happens is told apart by kind: refused, reset, short, wrong, hung, error. Each client is a
process, so that the delays are the daemon's and not those of threads that wait for each other."""

import ctypes
import errno
import mmap
import multiprocessing
import os
import random
import signal
import struct
import socket
import time

from daemon import connect, wait_until

FORK = multiprocessing.get_context("fork")
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWNET, CLONE_FS = 0x00020000, 0x40000000, 0x00000200
PR_SET_PDEATHSIG = 1

HUNG_SECONDS = 20
KINDS = ("ok", "refused", "reset", "short", "wrong", "hung", "error")
WORST = len(KINDS)  # in microseconds, of those that were served
SLOT = struct.calcsize("Q") * (WORST + 1)
MOST_TOLD = 10


def enter(pid):
    """The calling thread, or a process of one thread, goes where a process of the machine is: to
    its network, its Unix sockets and its files."""
    if LIBC.unshare(CLONE_FS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    # The mounts last: /proc is the machine's then.
    for name, flag in (("net", CLONE_NEWNET), ("mnt", CLONE_NEWNS)):
        fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY)
        try:
            if LIBC.setns(fd, flag) != 0:
                raise OSError(ctypes.get_errno(), f"setns {name}")
        finally:
            os.close(fd)


def converse(address, token, slow):
    """The whole reply. `slow`: a pause within the token, that finds workers amid a client."""
    with connect(address, HUNG_SECONDS) as s:
        if s.type != socket.SOCK_STREAM:
            s.send(token)
            return s.recv(65536)
        if slow:
            s.sendall(token[:7])
            time.sleep(slow)
            s.sendall(token[7:])
        else:
            s.sendall(token)
        s.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: s.recv(65536), b""))


def one_client(address, token, slow, expect):
    """The kind of what happened, and what there is to tell about it."""
    try:
        reply = converse(address, token, slow)
    except socket.timeout:
        return "hung", f"no end within {HUNG_SECONDS} s"
    except (ConnectionRefusedError, FileNotFoundError) as e:
        return "refused", str(e)
    except (ConnectionResetError, BrokenPipeError) as e:
        return "reset", str(e)
    except OSError as e:
        # What shutdown() says after the reset.
        return "reset" if e.errno == errno.ENOTCONN else "error", str(e)
    wanted = expect(token)
    if reply == wanted:
        return "ok", ""
    kind = "short" if wanted.startswith(reply) else "wrong"
    return kind, f"{reply[:80]!r} ({len(reply)} bytes) for {wanted[:80]!r} ({len(wanted)} bytes)"


def echoed(token):
    return token


class Clients:
    """with machine.clients("tcp://127.0.0.1:7008", count=12) as c:
        ...            # they come all the time
        c.more(100)    # so many more were served; fails at the first that was not
    assert c.outcomes == {"ok": c.served}
    assert c.worst <= 0.050     # seconds: the longest that one waited for its reply

    addresses   one, or several to choose from at random
    count       how many at a time
    pause       seconds between two clients of one process: keeps the load off the machine's limit,
                where delays would be those of the queue for the CPU
    slow        the share of clients that pause for up to slow_seconds in the middle of the token
    size        the most bytes of a token
    expect      a function of the token: the right reply, when that is not the token itself"""

    def __init__(self, init, addresses, count=1, pause=0.002, slow=0.0, slow_seconds=0.003,
                 size=2000, expect=echoed, seed=1):
        self.init = init
        self.addresses = [addresses] if isinstance(addresses, str) else list(addresses)
        self.pause, self.slow, self.slow_seconds = pause, slow, slow_seconds
        self.size, self.expect, self.seed = size, expect, seed
        self.over = FORK.Event()
        # One writer for each slot; read while they run.
        self.board = mmap.mmap(-1, SLOT * count)
        self.told, self.tell = os.pipe()
        os.set_blocking(self.told, False)
        os.set_blocking(self.tell, False)
        self.text = ""
        self.processes = [FORK.Process(target=self.run, args=(i,), daemon=True)
                          for i in range(count)]

    # -- in a process of its own

    def run(self, i):
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        enter(self.init)
        dice = random.Random(f"{self.seed} {i}")
        slot = [0] * (WORST + 1)
        number = 0
        while not self.over.is_set():
            token = b"token %d.%d.%d %s\n" % (self.seed, i, number,
                                              b"x" * dice.randrange(self.size))
            self.count(i, slot, token, dice)
            number += 1
            if self.pause:
                time.sleep(self.pause * 2 * dice.random())

    def count(self, i, slot, token, dice):
        slow = dice.random() * self.slow_seconds if dice.random() < self.slow else 0
        address = dice.choice(self.addresses)
        begin = time.monotonic()
        kind, text = one_client(address, token, slow, self.expect)
        waited = time.monotonic() - begin - slow
        slot[KINDS.index(kind)] += 1
        if kind == "ok":
            slot[WORST] = max(slot[WORST], round(waited * 1e6))
        elif sum(slot[1:WORST]) <= MOST_TOLD:
            line = f"client {i} at {address} after {waited:.3f} s: {kind}: {text}\n"
            try:
                os.write(self.tell, line.encode())
            except BlockingIOError:
                pass
        struct.pack_into(f"{len(slot)}Q", self.board, i * SLOT, *slot)

    # -- for the test

    def slots(self):
        return list(struct.iter_unpack(f"{WORST + 1}Q", self.board[:]))

    @property
    def outcomes(self):
        """How many of each kind, so far; what did not happen is left out."""
        sums = [sum(column) for column in zip(*self.slots())]
        return {kind: n for kind, n in zip(KINDS, sums) if n}

    @property
    def served(self):
        return self.outcomes.get("ok", 0)

    @property
    def worst(self):
        """The longest that a client that was served waited for its reply, in seconds."""
        return max(slot[WORST] for slot in self.slots()) / 1e6

    @property
    def failures(self):
        """What happened to the first that were not served, as text."""
        if self.told is not None:
            try:
                self.text += os.read(self.told, 65536).decode()
            except BlockingIOError:
                pass
        return self.text

    def all_served(self):
        assert set(self.outcomes) <= {"ok"}, (self.outcomes, self.failures)
        return True

    def more(self, count=10):
        """Waits until so many more were served; the first that was not ends the test."""
        goal = self.served + count
        wait_until(f"{count} clients", lambda: self.all_served() and self.served >= goal)

    def more_of_any(self, count=10):
        """Waits until so many more came, whatever happened to them."""
        goal = sum(self.outcomes.values()) + count
        wait_until(f"{count} clients", lambda: sum(self.outcomes.values()) >= goal)

    def stop(self):
        """They finish the client that each is at."""
        self.over.set()
        for process in self.processes:
            process.join(HUNG_SECONDS + 5)
            if process.exitcode is None:
                process.kill()
                process.join()

    def __enter__(self):
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *failure):
        self.stop()
        told, self.text = self.told, self.failures
        self.told = None
        os.close(told)
        os.close(self.tell)
        ended = {process.exitcode for process in self.processes}
        if failure[0] is None:
            assert ended == {0}, f"clients ended with {ended}"
