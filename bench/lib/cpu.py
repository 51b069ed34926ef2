# SPDX-License-Identifier: ISC
"""Server CPU: four ways to read the seconds that a server has used so far."""
import os
import re
import sys
import time

from .common import Trouble
from .process import children


def cpu_of(pid):
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as stat:
        return int(stat.read().split()[0]) / 1e9


def cpu_schedstat(server):
    return sum(cpu_of(pid) for pid in server.pids())


def ticks(pids, fields):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            total += sum(map(int, stat.read().rpartition(")")[2].split()[11:11 + fields]))
    return total / os.sysconf("SC_CLK_TCK")


def cpu_ticks(server):
    return ticks(server.pids(), 2)


def cpu_waited(server):
    """Of master and workers; programs come in when they are waited for."""
    main = server.process.pid
    return ticks([main, *children(main)], 4)


class Cgroup:
    """A cgroup of our own, v1 cpuacct or v2."""

    ROOTS = (("/sys/fs/cgroup/cpuacct", "cpuacct.usage", 1e9), ("/sys/fs/cgroup", "cpu.stat", 1e6))

    def __init__(self, server):
        for root, name, self.unit in self.ROOTS:
            self.path = f"{root}/preforkd-bench-{os.getpid()}-{server.process.pid}"
            self.usage = os.path.join(self.path, name)
            if not os.path.exists(os.path.join(root, name)):
                continue
            try:
                os.mkdir(self.path)
                for pid in server.pids():
                    with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as f:
                        f.write(str(pid))
                return
            except OSError:
                self.remove()
        raise OSError("no cgroup that counts CPU time can be made")

    def read(self):
        with open(self.usage, encoding="ascii") as stat:
            return int(re.search(r"\d+", stat.read()).group()) / self.unit

    def remove(self):
        """Who was killed may be there a moment longer than who was waited for."""
        for _ in range(100):
            try:
                os.rmdir(self.path)
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.01)


def cpu_cgroup(server):
    if not server.cgroup:
        server.cgroup = Cgroup(server)
    return server.cgroup.read()


CPU = {"schedstat": cpu_schedstat, "cgroup": cpu_cgroup, "ticks": cpu_ticks, "waited": cpu_waited}
COUNTS_ENDED = ("cgroup", "waited")


def reader_set(options, servers, ended):
    """The wanted way, or the first other one that works here; `ended`: one that counts processes
    which end meanwhile. The name of it."""
    names = [options.cpu, *CPU]
    if ended:
        names = [name for name in [options.cpu, *COUNTS_ENDED] if name in COUNTS_ENDED]
    for name in names:
        try:
            used = [CPU[name](server) for server in servers]
        except OSError as error:
            if name not in options.cpu_failed:
                print(f"--cpu {name}: {error}", file=sys.stderr)
                options.cpu_failed.add(name)
            continue
        if name != "schedstat" or min(used) > 0:  # all zero: a kernel without CONFIG_SCHED_INFO
            for server in servers:
                server.reader = name
            return name
    raise Trouble("server CPU cannot be read")
