# SPDX-License-Identifier: ISC
"""A worker under a tracer, as strace(1) or a debugger is one. Its death is told to the tracer first,
and to the master only when that lets go of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon import exchange, wait_until

CONFIG = 'service "main" { listen = {"tcp://127.0.0.1:0"} builtin = "echo" workers = 1 }\n'

# Attaches, says so, passes every signal on, and lets go when its input ends. Of the death it takes
# no notice.
TRACER = """
import ctypes, os, sys, threading
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
pid = int(sys.argv[1])
if ptrace(0x4206, pid, None, None) < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
def lets_go():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=lets_go, daemon=True).start()
print("attached", flush=True)
while True:
    info = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    if info.si_code in (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED):
        print("dead", flush=True)
        threading.Event().wait()
    os.waitpid(pid, 0x40000000)
    ptrace(7, pid, None, info.si_status & 0x7F)
"""


def may_trace():
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    return os.geteuid() == 0 and not (scope.exists() and scope.read_text().strip() == "3")


@pytest.fixture
def traced(daemon):
    if not may_trace():
        pytest.skip("only root may trace a process that is not its child")
    d = daemon(CONFIG)
    pid = d.workers()[0]
    tracer = subprocess.Popen([sys.executable, "-c", TRACER, str(pid)], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert tracer.stdout.readline() == "attached\n"
    yield d, pid, tracer
    tracer.kill()
    tracer.wait()


def kill_before_its_tracer(d, pid, tracer, how):
    how()
    assert tracer.stdout.readline() == "dead\n"
    # The loop has been told of the death by now, and has found no dead child.
    d.ctl("status", check=False)
    tracer.stdin.close()


def test_a_traced_worker_that_died_is_replaced(traced):
    d, pid, tracer = traced
    kill_before_its_tracer(d, pid, tracer, lambda: os.kill(pid, signal.SIGKILL))
    wait_until("another worker", lambda: d.workers() not in ([], [pid]))
    assert exchange(d.address(), b"again") == b"again"


def test_a_stop_does_not_wait_for_a_traced_worker_that_died(traced):
    d, pid, tracer = traced
    kill_before_its_tracer(d, pid, tracer, lambda: d.signal(signal.SIGTERM))
    assert d.wait() == 0
