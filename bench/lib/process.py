# SPDX-License-Identifier: ISC
"""Servers that run: started, waited for, ended with all that they left behind."""
import contextlib
import ctypes
import os
import re
import select
import signal
import subprocess
import time

from .common import START_SECONDS, Trouble

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def adopt_orphans():
    """Who loses its parent becomes ours, so that no server leaves a process behind."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as names:
            return [int(name) for name in names.read().split()]
    except FileNotFoundError:
        raise Trouble(f"process {pid} is gone, or this kernel has no CONFIG_PROC_CHILDREN") from None


class Server:
    """A contender that runs: its process tree is all it costs."""

    def __init__(self, name, argv, place, cpus, env=None):
        self.name, self.place, self.address = name, place, None
        self.log = os.path.join(place, name + ".log")
        self.cgroup = self.reader = None
        parent = os.getpid()

        def child():
            os.sched_setaffinity(0, cpus)
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # never outlive us
            if os.getppid() != parent:
                os._exit(1)

        with open(self.log, "wb") as log:
            # A session of its own: where the scheduler shares the CPU out among sessions
            # (autogroup), one that makes its own would get more of it than one that does not.
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=env, preexec_fn=child, start_new_session=True)

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def said(self, pattern):
        """Waits for a line of its log."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            found = re.search(pattern, self.text())
            if found:
                return found.group(1)
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        self.failed()

    def failed(self):
        self.stop()
        raise Trouble(f"{self.name} did not start; its log:\n{self.text()[-2000:]}")

    def waits_for(self, done):
        """Until done() is true."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            if done():
                return
            time.sleep(0.01)
        self.failed()

    def wait_ready(self, notify):
        self.waits_for(lambda: select.select([notify], [], [], 0.1)[0] and
                       b"READY=1" in notify.recv(4096).split(b"\n"))

    def wait_workers(self, count):
        """That are there, however they are counted: as children of the first process."""
        self.waits_for(lambda: len(self.pids()) > count)

    def wait_listening(self, port, table="tcp"):
        """Without connecting: that would use up what its limits allow."""
        wanted = re.compile(rf":{port:04X} 0+:0000 0[7A]")

        def listening():
            with open(f"/proc/net/{table}", encoding="ascii") as sockets:
                return wanted.search(sockets.read())

        self.waits_for(listening)

    def pids(self):
        """The whole tree, the main process first."""
        tree = [self.process.pid]
        for pid in tree:
            if pid == self.process.pid:
                tree += children(pid)
            else:
                with contextlib.suppress(Trouble):  # one that serves a client and ends
                    tree += children(pid)
        return tree

    def state(self):
        """For an error message: whether it still runs, and the last it said."""
        time.sleep(0.1)
        return (f"{self.name}: exit status {self.process.poll()} (None: it runs); its log:\n"
                f"{self.text()[-2000:]}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.cgroup:
            self.cgroup.remove()


def servers_stop(servers):
    for server in servers:
        server.stop()
    orphans_end()


def orphans_end():
    """What servers left behind, and one that was only starting: adopt_orphans() made it ours, or will
    when its parent ends. Nothing else of ours runs now."""
    while pids := children(os.getpid()):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
