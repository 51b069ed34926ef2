# SPDX-License-Identifier: ISC
"""Services whose programs are started before their clients come."""

import os
import signal
from pathlib import Path

import pytest
from daemon import wait_until
from execs import TCP, children, service, shell
from look import is_gone, worker_pids

KEY = "prestart = true\n"


@pytest.fixture(name="start")
def start_ahead(daemon, tmp_path):
    """A service whose program is a script, or a list."""
    def go(program, keys="", address=TCP, workers=1, make=shell, **kwargs):
        if isinstance(program, str):
            program = make(tmp_path / "prog", program)
        return daemon(service(program, address.replace("DIR", str(tmp_path)), workers=workers,
                              keys=KEY + keys), **kwargs)
    return go


def executed(pid):
    """Whether it is the program already, and not what the worker made it from."""
    try:
        return not Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"preforkd")
    except OSError:
        return False  # gone


def programs_of(d):
    """Pids of the programs that run, of all workers."""
    return [pid for worker in worker_pids(d) for pid in children(worker)
            if executed(pid) and not is_gone(pid)]


def the_program(d, but=None):
    """The one program that waits for a client, another than `but`."""
    def look():
        found = [pid for pid in programs_of(d) if pid != but]
        return found if len(found) == 1 else None
    return wait_until("a program that waits", look)[0]


def kill_program(d):
    """Returns the pid of the program that was killed, when it has been waited for."""
    pid = the_program(d)
    os.kill(pid, signal.SIGKILL)
    wait_until("its end", lambda: not os.path.exists(f"/proc/{pid}"))
    return pid


def switches(pid):
    """How often a process was put on a CPU."""
    text = Path(f"/proc/{pid}/status").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if "ctxt_switches" in line)
