# SPDX-License-Identifier: ISC
"""Workers are hostile writers: whatever the file `board` holds, the master serves on and preforkctl
does not crash."""

import contextlib
import mmap
import os
import random
import re
import signal
import threading
from pathlib import Path

import pytest
from daemon import exchange, wait_until
from support import Clients, pids, rewrite, service, wait_gone

TCP = "tcp://127.0.0.1:0"
SLOT = 256
STREAM_OF = {"zeros": bytes, "ones": lambda n: b"\xff" * n, "random": random.randbytes}


class Vandal:
    """Writes over every slot that is in use, again and again, while the block runs."""

    def __init__(self, d, make, slots=64, whole=False):
        self.file = open(d.runtime / "board", "r+b")
        self.map = mmap.mmap(self.file.fileno(), 0)
        # The header ends where the first slot begins, at the next multiple of its size.
        self.begin = 0 if whole else SLOT
        self.size = SLOT * slots
        self.make = make
        self.over = threading.Event()
        self.rounds = 0
        self.thread = threading.Thread(target=self.run)

    def write(self):
        self.map[self.begin:self.begin + self.size] = self.make(self.size)
        self.rounds += 1

    def run(self):
        while not self.over.is_set():
            self.write()

    def __enter__(self):
        self.thread.start()
        wait_until("vandal", lambda: self.rounds > 10)
        return self

    def __exit__(self, *failure):
        self.over.set()
        self.thread.join()
        self.map.close()
        self.file.close()


def ctl_survives(d, *args):
    """It may fail, in its own words; it may not die of a signal."""
    result = d.ctl(*args, check=False)
    assert result.returncode >= 0, result
    assert "Sanitizer" not in result.stderr and "runtime error" not in result.stderr, result
    return result


@pytest.mark.parametrize("kind", ["zeros", "ones", "random"])
@pytest.mark.parametrize("whole", [False, True])
def test_clients_are_served_and_preforkctl_lives(daemon, kind, whole):
    d = daemon(service("a", TCP, workers=3) + service("u", "udp://127.0.0.1:0", workers=2))
    with Clients(d.address("a"), 2) as clients, Clients(d.address("u"), 1) as others:
        with Vandal(d, STREAM_OF[kind], whole=whole):
            for _ in range(20):
                ctl_survives(d, "status", "--workers")
                ctl_survives(d, "status", "--workers", "--json")
                clients.more(5)
                others.more(5)
    assert d.process.poll() is None
    assert len(d.workers()) >= 5


@pytest.mark.parametrize("kind", ["zeros", "ones", "random"])
def test_the_master_does_its_work(daemon, kind):
    """Recycle, reload, the death of a worker, a stop: what the slots say decides nothing."""
    d = daemon(service("a", TCP, workers=3, stop_timeout="2s"))
    with Vandal(d, STREAM_OF[kind]):
        with Clients(d.address(), 2) as clients:
            before = set(d.workers())
            assert ctl_survives(d, "recycle").returncode == 0
            d.write_config(service("a", TCP, workers=4, stop_timeout="2s"))
            assert ctl_survives(d, "reload").returncode == 0
            clients.more()
            wait_gone(before)
        wait_until("workers", lambda: len(d.workers()) == 4)
        victim = min(d.workers())
        os.kill(victim, signal.SIGKILL)
        wait_until("replacement", lambda: len(set(d.workers()) - {victim}) == 4)
        assert d.stop() == 0


def test_dead_workers_with_absurd_counters(daemon):
    """Numbers that cannot be are dropped, said so, and do not spoil the totals."""
    d = daemon(service("a", TCP, workers=2))
    for _ in range(10):
        exchange(d.address(), b"x")
    d.ctl("recycle")
    wait_until("old ones gone", lambda: len(d.workers()) == 2)
    assert d.status()["connections"]["accepted"] == 10
    with Vandal(d, lambda n: b"\xff\x00\xff\x00" * (n // 4)):
        before = pids(d)
        d.ctl("recycle")
        wait_gone(before)
    assert "its counters made no sense and are dropped" in d.log()
    rewrite(d, service("b", TCP, workers=1))
    wait_until("pool gone", lambda: len(d.workers()) == 1)
    assert d.status()["connections"]["accepted"] == 10


def test_workers_cannot_write_what_is_the_masters(daemon):
    """Pids, words and verdicts are in a file of their own, which workers map read-only."""
    d = daemon(service("a", TCP, workers=2))
    for pid in d.workers():
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
        rights = [line.split()[1] for line in lines if line.endswith(str(d.runtime / "master"))]
        assert rights == ["r--s"]
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            # One is closed just now: the gate of its generation.
            with contextlib.suppress(FileNotFoundError):
                if not os.readlink(fd).startswith(str(d.runtime)):
                    continue
                flags = Path(f"/proc/{pid}/fdinfo/{fd.name}").read_text()
                assert int(re.search(r"flags:\s+(\d+)", flags)[1], 8) & os.O_ACCMODE == os.O_RDONLY
