# SPDX-License-Identifier: ISC
"""The life of a copy: when it is ready, what becomes of it when it ends, how it is stopped."""

import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import time

import pytest
from acceptors import (ask, copies, environment_of, hold, let_go, pid_of, said, service, shell,
                       silent_for, told_to_leave, wait_copies, wait_end, written)
from daemon import connect, wait_until
from look import is_gone, pool, wait_gone

UNAVAILABLE = 69


def tell(name, text):
    """What a stranger says to a NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect("\0" + name.removeprefix("@"))
        s.send(text)


def starting(d):
    return {w["pid"] for w in d.status()["workers"] if w["state"] == "starting"}


def wait_starting(d, count):
    return wait_until(f"{count} that start",
                      lambda: (lambda pids: pids if len(pids) == count else None)(starting(d)))


# ---- readiness


def test_ready_when_it_says_so(daemon, tmp_path):
    d = daemon(service(workers=3, wait=tmp_path / "go"), expect_ready=False)
    wait_until("the board", lambda: (d.runtime / "board").exists() and
               d.ctl("status", check=False).returncode in (0, 1))
    assert len(wait_starting(d, 3)) == 3
    assert "is ready" not in d.log()
    (tmp_path / "go").touch()
    d.wait_notification("READY=1")
    assert len(copies(d)) == 3


def test_of_another_user_too(daemon, is_root):  # noqa: ARG001
    d = daemon(service(workers=2, keys="user = nobody"))
    assert pid_of(d.address()) in copies(d)


def test_a_child_of_it_may_say_so(daemon):
    """As systemd-notify(1) of a shell script does; which waits until that was taken."""
    d = daemon(service(program=["/bin/sh", "-c", "systemd-notify --ready; exec sleep 1000"],
                       workers=2))
    assert len(copies(d)) == 2


def test_what_a_stranger_says_is_not_believed(daemon, tmp_path):
    d = daemon(service(workers=1, wait=tmp_path / "go"), expect_ready=False)
    wait_until("the board", lambda: (d.runtime / "board").exists() and
               d.ctl("status", check=False).returncode in (0, 1))
    [pid] = wait_starting(d, 1)
    # Between fork and execve it is still the master's environment.
    name = wait_until("the program", lambda: (
        lambda e: e["NOTIFY_SOCKET"] if "LISTEN_FDS" in e else None)(environment_of(pid)))
    for text in (b"READY=1", b"", b"x" * 9000, b"STOPPING=1\nREADY=1\n"):
        tell(name, text)
    for _ in range(3):
        d.ctl("status", check=False)
    assert starting(d) == {pid}
    (tmp_path / "go").touch()
    d.wait_notification("READY=1")
    assert copies(d) == {pid}
    tell(name, b"x" * 9000)
    assert pid_of(d.address()) == pid


def test_it_may_say_what_it_likes_later(daemon):
    """As often as it likes: nobody lets it wait."""
    d = daemon(service(workers=1))
    pid = pid_of(d.address())
    for _ in range(100):
        for text in ("WATCHDOG=1", "STATUS=x", "STOPPING=1", "RELOADING=1", "READY=1"):
            ask(d.address(), f"notify {text}")
    assert pid_of(d.address()) == pid
    assert copies(d) == {pid}


def test_ready_when_it_has_lived_for_a_second(daemon):
    for number, ready in enumerate(("alive", None)):
        begun = time.monotonic()
        d = daemon(service(workers=2, ready=ready), name=f"d{number}")
        assert time.monotonic() - begun >= 1
        assert pid_of(d.address()) in copies(d)
        assert "NOTIFY_SOCKET" not in environment_of(pid_of(d.address()))


@pytest.mark.parametrize("ready", ["notify", "alive"])
def test_a_start_with_a_program_that_fails(daemon, tmp_path, ready):
    (tmp_path / "fail").touch()
    d = daemon(service(workers=2, ready=ready, fail=tmp_path / "fail"), expect_ready=False)
    assert d.wait() == UNAVAILABLE
    assert re.search(r'<3>preforkd\[\d+\]: service "a" \[tcp://127.0.0.1:\d+\]: python3 exited '
                     r"with status 3 before it was ready: fail: there is no such module\n", d.log())


def test_a_start_with_a_program_that_is_killed(daemon):
    d = daemon(shell("echo the last words; kill -SEGV $$", workers=5), expect_ready=False)
    assert d.wait() == UNAVAILABLE
    assert re.search(r"sh killed by SIGSEGV( \(core dumped\))? before it was ready: "
                     r"the last words\n", d.log())


def test_a_program_that_the_kernel_does_not_execute(daemon, tmp_path):
    """The load does not find that: somebody writes to it."""
    path = tmp_path / "program"
    shutil.copy("/bin/sleep", path)
    with path.open("ab"):
        d = daemon(service(program=[path]), expect_ready=False)
        assert d.wait() == UNAVAILABLE
    assert f"program exited with status 69 before it was ready: {path}: Text file busy" in d.log()


def test_a_start_with_a_program_that_is_never_ready(daemon, tmp_path):
    d = daemon(service(mute=__file__, say="I begin", keys='start_timeout = "500ms"') +
               service(f"unix://{tmp_path}/b", name="b"), expect_ready=False)
    assert d.wait() == UNAVAILABLE
    assert re.search(r'service "a" \[tcp://127.0.0.1:\d+\]: not ready within start_timeout: '
                     r"(I begin|told to leave by 15)\n", d.log())


def test_a_failed_start_ends_with_whom_it_serves(daemon, tmp_path):
    """Copies take clients as soon as they run."""
    d = daemon(service(f"unix://{tmp_path}/a") +
               service(f"unix://{tmp_path}/b", name="b", wait=tmp_path / "go", fail=tmp_path / "go",
                       mute=__file__, keys='start_timeout = "2s"\n stop_timeout = "100ms"'),
               expect_ready=False)
    wait_until("a copy", lambda: (tmp_path / "a").exists())
    s, _ = wait_until("a client", lambda: try_hold(f"unix://{tmp_path}/a"))
    d.wait_log("not ready within start_timeout")
    assert d.process.poll() is None
    let_go(s)
    assert d.wait() == UNAVAILABLE
    assert not (tmp_path / "a").exists()


def try_hold(address):
    with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
        return hold(address)
    return None


def test_copies_are_last(daemon, programs, tmp_path):
    """What is likelier to fail comes first: of a load that fails nobody should have been served."""
    module = programs.modules / "gate.so"
    d = daemon(service(f"unix://{tmp_path}/a") + f"""
service "m" {{
    listen = "unix://{tmp_path}/m"
    module = "{module}"
    start_timeout = "500ms"
    options {{ enter_waits = "{tmp_path}/never" }}
}}
""", expect_ready=False)
    assert d.wait() == UNAVAILABLE
    assert 'service "m" [unix://' in d.log()
    assert said(d) == []


# ---- its end


@pytest.mark.parametrize("order,level,cause", [
    ("exit 7", 4, "exited with status 7"), ("exit 0", 5, "exited with status 0"),
    ("kill 9", 4, "killed by SIGKILL (by the kernel for want of memory, or by hand)"),
    ("kill 11", 4, "killed by SIGSEGV")])
def test_one_that_ends_is_replaced_at_once(daemon, order, level, cause):
    d = daemon(service(workers=3, ready="alive"))
    before = copies(d)
    with connect(d.address()) as s:
        s.sendall(f"{order}\n".encode())
        with contextlib.suppress(ConnectionResetError):
            assert s.recv(10) == b""
    line = d.wait_log(rf'<{level}>preforkd\[\d+\]: service "a" \[\S+\]: worker (\d+) '
                      rf"{re.escape(cause)}")
    gone = int(line[1])
    assert gone in before
    [new] = wait_copies(d, 3, but={gone}) - before
    found = pool(d)
    assert (found["workers_died"], found["workers_started"], found["backoff_usec"]) == (1, 4, 0)
    assert "degraded" not in d.log()
    assert new > 0


def test_one_that_does_not_live_for_a_second_is_tried_with_pauses(daemon, tmp_path):
    """Though it had said that it is ready."""
    early = tmp_path / "early"
    d = daemon(service(workers=2, early=early) + service(f"unix://{tmp_path}/b", name="b"))
    steady, other = sorted(copies(d, "a"))
    early.touch()
    os.kill(steady, signal.SIGKILL)
    d.wait_log(r'service "a" \[\S+\]: degraded: the next worker is tried in \d+ ms')
    d.wait_log(r'service "a" \[\S+\]: worker \d+ exited with status 4', count=3)
    assert pool(d, "a")["degraded"]
    assert other in copies(d, "a"), "the healthy ones go on"
    assert ask(d.address("b"), "hello") == "hello\n"
    assert not pool(d, "b")["degraded"]
    pauses = [int(p) for p in re.findall(r"is tried in (\d+) ms", d.log())]
    assert len(pauses) == 1, "said once"
    early.unlink()
    d.wait_log(r'service "a" \[\S+\]: healthy again, 2 workers ready')
    assert len(copies(d, "a")) == 2
    assert pool(d, "a")["workers_died"] >= 4


def test_all_at_once(daemon):
    """What is not believed to be ready for a second does not hold up the others."""
    d = daemon(service(workers=12, ready="alive"))
    before = copies(d)
    d.signal(signal.SIGSTOP)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    d.signal(signal.SIGCONT)
    wait_starting(d, 12)
    wait_copies(d, 12, but=before)


def test_one_that_is_not_ready_in_time(daemon, tmp_path):
    """It may have clients all the same, and so it has its stop_timeout."""
    mute = tmp_path / "mute"
    d = daemon(service(workers=2, mute=mute, keys='start_timeout = "300ms"'))
    mute.touch()
    first, second = copies(d)
    os.kill(first, signal.SIGKILL)
    s, one = hold(d.address())
    t, other = hold(d.address())
    [late] = {one, other} - {second}
    d.wait_log(rf'service "a" \[\S+\]: worker {late} was not ready within start_timeout')
    mute.unlink()
    wait_copies(d, 2, but={first, late})
    assert not is_gone(late)
    let_go(s)
    let_go(t)
    wait_end(late)
    assert told_to_leave(d, late) == 1
    assert pool(d)["workers_died"] == 1


# ---- the stop


def test_a_client_is_served_to_its_end(daemon):
    d = daemon(service(workers=3))
    idle = copies(d)
    s, busy = hold(d.address())
    idle -= {busy}
    d.signal(signal.SIGTERM)
    wait_gone(idle)
    silent_for(s, 0.5)
    assert d.process.poll() is None
    let_go(s)
    assert d.wait() == 0
    for pid in {busy, *idle}:
        assert told_to_leave(d, pid) == 1, "once: a second one often means at once"
    assert "killed" not in d.log()


def test_who_waits_in_the_queue_is_served_first(daemon):
    d = daemon(service(workers=1))
    s, pid = hold(d.address())
    waiting = [connect(d.address()) for _ in range(5)]
    for number, c in enumerate(waiting):
        c.sendall(b"%d\n" % number)
    d.signal(signal.SIGTERM)
    d.wait_notification("STOPPING=1")
    let_go(s)
    for number, c in enumerate(waiting):
        with c:
            assert c.recv(10) == b"%d\n" % number
            assert c.recv(10) == b""
    assert d.wait() == 0
    assert told_to_leave(d, pid) == 1


def test_the_signal_is_the_services(daemon):
    d = daemon(service(workers=2, deaf=1, keys="stop_signal = QUIT"))
    pids = copies(d)
    assert d.stop() == 0
    for pid in pids:
        assert told_to_leave(d, pid, signal.SIGQUIT) == 1


def test_one_that_does_not_leave_is_killed_with_its_group(daemon, tmp_path):
    d = daemon(service(workers=1, deaf=1, child=tmp_path / "child", keys='stop_timeout = "500ms"'))
    [pid] = copies(d)
    child = written(tmp_path / "child")
    begun = time.monotonic()
    assert d.stop() == 0
    assert time.monotonic() - begun >= 0.5
    assert f"worker {pid} did not leave within its stop_timeout; killed" in d.log()
    wait_end(child)


def test_a_second_stop_is_at_once(daemon, tmp_path):
    d = daemon(service(workers=2, deaf=1, child=tmp_path / "child"))
    pids = copies(d)
    wait_until("two children", lambda: (tmp_path / "child").exists() and
               (tmp_path / "child").read_text().count("\n") == 2)
    children = [int(pid) for pid in (tmp_path / "child").read_text().split()]
    s, _ = hold(d.address())
    d.signal(signal.SIGTERM)
    d.wait_notification("STOPPING=1")
    d.signal(signal.SIGTERM)
    assert d.wait() == 0
    for pid in [*pids, *children]:
        wait_end(pid)
    s.close()


def test_a_child_that_is_left_behind_is_ended_too(daemon, tmp_path):
    """With the signal and the time of its parent; the stop waits for it."""
    d = daemon(service(workers=1, child=tmp_path / "child"))
    child = written(tmp_path / "child")
    assert not is_gone(child)
    assert d.stop() == 0
    assert is_gone(child)


def test_a_deaf_child_that_is_left_behind_is_killed(daemon, tmp_path):
    script = f"(trap '' TERM; echo $$ > {tmp_path}/up; while :; do sleep 1000; done) & " \
        f"echo $! > {tmp_path}/child; while [ ! -e {tmp_path}/up ]; do sleep 0.01; done; " \
        "trap 'exit 0' TERM; wait"
    d = daemon(shell(script, workers=1, keys='stop_timeout = "700ms"'))
    child = written(tmp_path / "child")
    begun = time.monotonic()
    d.signal(signal.SIGTERM)
    assert d.wait() == 0
    assert time.monotonic() - begun >= 0.7
    wait_end(child)


def test_what_a_child_that_is_left_behind_says_is_heard(daemon, tmp_path):
    """A program behind a shell that does not wait for it: it has a client to serve yet, and would
    not outlive a closed pipe."""
    inner = f"trap 'touch {tmp_path}/told' TERM; " \
        f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; " \
        f"echo one; echo two; touch {tmp_path}/end"
    d = daemon(shell(f"trap 'exit 0' TERM; (trap '' TERM; {inner}) & while :; do sleep 0.01; done",
                     workers=1))
    [pid] = copies(d)
    d.signal(signal.SIGTERM)
    wait_until("its child has been told", (tmp_path / "told").exists)
    assert d.process.poll() is None
    (tmp_path / "go").touch()
    assert d.wait() == 0
    # A shell may say that a sleep of its own was ended.
    assert [what for what in said(d) if what[1] != "Terminated"] == [(pid, "one"), (pid, "two")]
    assert (tmp_path / "end").exists()


def test_the_children_of_one_that_died(daemon, tmp_path):
    """They are in nobody's hands, and would go on accepting."""
    d = daemon(service(workers=1, child=tmp_path / "child"))
    [pid] = copies(d)
    child = written(tmp_path / "child")
    os.kill(pid, signal.SIGKILL)
    wait_end(child)
    wait_copies(d, 1, but={pid})


def test_nothing_is_left_after_many_lives(daemon):
    d = daemon(service(workers=2))
    wait_copies(d, 2)
    before = len(os.listdir(f"/proc/{d.pid}/fd"))
    for _ in range(30):
        for pid in copies(d):
            os.kill(pid, signal.SIGTERM)
            wait_end(pid)
        wait_until("two more", lambda: len(copies(d)) == 2)
        d.ctl("recycle")
    wait_until("rest", lambda: len(d.workers()) == 2)
    wait_until("descriptors", lambda: len(os.listdir(f"/proc/{d.pid}/fd")) == before)


def test_no_descriptors_for_another_copy(daemon):
    """It is tried again, and nothing is lost meanwhile."""
    d = daemon(service(workers=2))
    [first, second] = sorted(copies(d))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    was = resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (3, most))
    os.kill(first, signal.SIGKILL)
    d.wait_log(r'service "a" \[\S+\]: starting a worker: Too many open files')
    assert pid_of(d.address()) == second
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, was)
    wait_copies(d, 2, but={first})
