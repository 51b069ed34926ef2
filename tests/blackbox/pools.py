# SPDX-License-Identifier: ISC
"""Pools that grow and shrink: clients that come at once and stay, and what a pool is like then."""

import contextlib
import time

from daemon import connect, wait_until
from support import say, workers

TCP = "tcp://127.0.0.1:0"
# A little sooner than by default.
SHRINK = "300ms"


@contextlib.contextmanager
def crowd(address, count):
    """Clients that come at once; each has been served once, and stays until the end."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(address)) for _ in range(count)]
        for number, client in enumerate(clients):
            client.sendall(b"client %06d\n" % number)
        for number, client in enumerate(clients):
            got = b""
            while len(got) < 14:
                piece = client.recv(100)
                assert piece, (number, got)
                got += piece
            assert got == b"client %06d\n" % number, (number, got)
        yield clients


def size(d, name=None):
    """Workers that are ready or about to be, and not told to leave."""
    return len(workers(d, name))


def busy(d, name=None):
    return sum(w["state"] == "busy" for w in workers(d, name))


def wait_size(d, wanted, name=None):
    """Until the pool has so many workers and none starts or leaves."""
    def look():
        # One that has just been forked may serve before it is on the board.
        if wanted == 0 and name is None and d.workers():
            return False
        status = d.status()["workers"]
        mine = [w for w in status if name in (None, w["service"])]
        return len(mine) == wanted and all(
            w["state"] in ("idle", "busy") and not w["leaving"] for w in mine)
    try:
        wait_until(f"a pool of {wanted}", look)
    except AssertionError as error:
        raise AssertionError(f"{error}: it has {size(d, name)}\n{d.log()}") from None


def least_and_most(d, seconds, name=None):
    """How many workers it has, looked at again and again."""
    end = time.monotonic() + seconds
    seen = []
    while time.monotonic() < end:
        seen.append(size(d, name))
    return min(seen), max(seen)


def pool(d, name):
    """A pool's numbers on the board."""
    return next(p for p in d.status()["pools"] if p["service"] == name)


def still_served(clients):
    for client in clients:
        say(client, b"still here\n")
