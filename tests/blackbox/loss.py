# SPDX-License-Identifier: ISC
"""Clients that demand the exact reply, and what is done to the daemon meanwhile.

Each client sends a token of its own and takes nothing for an answer but that token and a clean end of
file. What else happens is told apart by kind: refused, reset, short, wrong, hung."""

import collections
import errno
import multiprocessing
import os
import random
import signal
import socket
import threading

from daemon import connect

FORK = multiprocessing.get_context("fork")
HUNG_SECONDS = 20


def one_client(address, token, slow):
    """`slow` is a pause within the token, so that stops find workers in the middle of a client."""
    try:
        with connect(address, HUNG_SECONDS) as s:
            if slow is not None:
                s.sendall(token[:7])
                threading.Event().wait(slow)
                s.sendall(token[7:])
            else:
                s.sendall(token)
            s.shutdown(socket.SHUT_WR)
            reply = b"".join(iter(lambda: s.recv(4096), b""))
    except socket.timeout:
        return "hung"
    except (ConnectionRefusedError, FileNotFoundError):
        return "refused"
    except (ConnectionResetError, BrokenPipeError):
        return "reset"
    except OSError as e:
        if e.errno != errno.ENOTCONN:  # a half-close after a reset
            raise
        return "reset"
    if reply == token:
        return "ok"
    return "short" if token.startswith(reply) else "wrong"


def run_clients(addresses, count, seed, stop, results):
    dice = random.Random(seed)
    outcomes = collections.Counter()
    for i in range(count):
        if stop.is_set():
            break
        token = b"token %d.%d %s\n" % (seed, i, b"x" * dice.randrange(0, 2000))
        slow = dice.random() * 0.003 if dice.random() < 0.1 else None
        outcome = one_client(dice.choice(addresses), token, slow)
        outcomes[outcome] += 1
        if outcome != "ok" and stop.first_loss:
            stop.set()
    results.put(outcomes)


class Stop:
    """Ends all clients; with first_loss as soon as one of them lost something."""

    def __init__(self, first_loss):
        self.event = FORK.Event()
        self.first_loss = first_loss
        self.set, self.is_set = self.event.set, self.event.is_set


class Clients:
    def __init__(self, addresses, count, processes=6, first_loss=False):
        self.results = FORK.Queue()
        self.stop = Stop(first_loss)
        share = count // processes
        self.processes = [
            FORK.Process(target=run_clients, daemon=True,
                         args=(addresses, share + (i < count % processes), i, self.stop,
                               self.results))
            for i in range(processes)]
        for p in self.processes:
            p.start()

    def wait(self):
        outcomes = collections.Counter()
        for _ in self.processes:
            outcomes.update(self.results.get(timeout=600))
        for p in self.processes:
            p.join()
        return dict(outcomes)


def pick_worker(dice, d):
    """A worker, not the master's other children: a worker has its service in its title."""
    pids = d.workers()
    dice.shuffle(pids)
    for pid in pids:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                title = f.read()
        except OSError:
            continue
        if title.startswith(b"preforkd: ") and b"://" in title:
            return pid
    return None


class Chaos:
    """Threads that do something to the daemon again and again, at random microseconds, until stopped."""

    def __init__(self, seed=1):
        self.end = threading.Event()
        self.counts = collections.Counter()
        self.failures = []
        self.seed = seed
        self.threads = []

    def every(self, name, most_seconds, act):
        def loop():
            dice = random.Random(f"{self.seed} {name}")
            while not self.end.is_set():
                try:
                    act(dice)
                    self.counts[name] += 1
                except Exception as e:  # told by stop(): a thread has nobody else to tell
                    self.failures.append(f"{name}: {e!r}")
                    return
                # The time is the point: a stop may come at any microsecond.
                self.end.wait(dice.random() * most_seconds)

        thread = threading.Thread(target=loop)
        thread.start()
        self.threads.append(thread)

    def stop(self):
        self.end.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures


def terminate_some_worker(d):
    def act(dice):
        pid = pick_worker(dice, d)
        if pid:
            try:
                fd = os.pidfd_open(pid)
            except OSError:
                return
            try:
                signal.pidfd_send_signal(fd, signal.SIGTERM)
            except ProcessLookupError:
                pass
            finally:
                os.close(fd)
    return act
