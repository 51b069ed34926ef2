# SPDX-License-Identifier: ISC
"""preforkctl and an upgrade: the result is found wherever the master left it, with a board of this
version or of another one. The master here does nothing else; the daemon's upgrade has its own tests."""

import json
import os
import signal
import subprocess
import threading

import pytest
from daemon import wait_until

HANG = 60


class Master:
    """tests/upgrade/board-master: what each upgrade comes to is its plan."""

    def __init__(self, programs, directory, *plan, other=False):
        self.folder = programs.build / "tests/upgrade"
        self.directory = directory
        self.preforkctl = programs.preforkctl
        steps = [str(self.folder / step) if step.startswith("board-") else step for step in plan]
        self.process = subprocess.Popen(
            [str(self.folder / ("board-master-other" if other else "board-master")),
             str(directory), *steps],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n", self.process.stderr.read()

    def ctl(self, *args, other=False):
        program = str(self.folder / "preforkctl-other") if other else self.preforkctl
        return subprocess.run([program, "--runtime-directory", str(self.directory), *args],
                              capture_output=True, text=True, timeout=HANG, check=False)

    def inode(self):
        return (self.directory / "master").stat().st_ino

    def alive(self):
        return self.process.poll() is None

    def end(self):
        if self.alive():
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def master(programs, tmp_path):
    started = []

    def start(*plan, **kwargs):
        started.append(Master(programs, tmp_path / "run", *plan, **kwargs))
        return started[-1]

    yield start
    for m in started:
        m.end()


SAME, OTHER = "board-master", "board-master-other"


def check(result, code, out="", err=""):
    assert (result.returncode, result.stdout, result.stderr) == (code, out, err)


def test_upgrade(master):
    m = master(*[SAME] * 5)
    before = m.inode()
    for _ in range(5):
        check(m.ctl("upgrade"), 0, "preforkctl: upgraded\n")
    assert m.inode() == before
    status = json.loads(m.ctl("status", "--json").stdout)
    assert (status["state"], status["pid"], status["generation"]) == ("running", m.process.pid, 7)
    assert status["connections"]["accepted"] == 3
    # The lock has come through five times.
    with pytest.raises(AssertionError, match="already running there"):
        master()


def test_json(master):
    m = master(SAME, "refuse")
    for number, failed, text in ((1, False, "upgraded"), (2, True, "refused, as planned")):
        result = m.ctl("upgrade", "--json")
        assert result.returncode == failed
        told = json.loads(result.stdout)
        assert told.pop("at_usec") > 1600000000000000
        assert told == {"verb": "upgrade", "number": number, "failed": failed, "text": text}


def test_refused(master):
    m = master("refuse")
    check(m.ctl("upgrade"), 1, err="preforkctl: refused, as planned\n")
    check(m.ctl("reload"), 0, "preforkctl: reloaded\n")
    assert m.ctl("status").returncode != 3


def test_cannot_be_executed(master, tmp_path):
    m = master(str(tmp_path / "nothing"))
    check(m.ctl("upgrade"), 1, err="preforkctl: cannot be executed\n")
    check(m.ctl("reload"), 0, "preforkctl: reloaded\n")


def test_the_master_ends(master):
    check(master("die").ctl("upgrade"), 3,
          err="preforkctl: upgrade: the master ended before it had a result\n")


def test_no_result(master):
    m = master("mute")
    check(m.ctl("upgrade", "--timeout", "100ms"), 75,
          err="preforkctl: upgrade: no result within 100ms\n")
    assert m.alive()


def test_no_wait(master):
    m = master(OTHER)
    before = m.inode()
    check(m.ctl("upgrade", "--no-wait"), 0)
    wait_until("a new board", lambda: m.inode() != before)


def test_not_running(master, tmp_path):
    m = master()
    m.end()
    result = m.ctl("upgrade")
    assert result.returncode == 3
    assert result.stderr.startswith("preforkctl: not running: ")


# ---- another layout


def test_the_board_is_replaced_while_it_waits(master):
    """There and back: to a version that this preforkctl does not know, and from it."""
    m = master(*[OTHER, SAME] * 5)
    for other in (True, False) * 5:
        before = m.inode()
        check(m.ctl("upgrade"), 0, "preforkctl: upgraded; a new board\n")
        assert m.inode() != before
        status = m.ctl("status")
        if other:
            assert status.returncode == 65
            assert "written by another version" in status.stderr
            assert m.ctl("status", other=True).returncode == 0
        else:
            assert status.returncode == 0, status
        with pytest.raises(AssertionError, match="already running there"):
            master()


@pytest.mark.parametrize("plan, code, text", [
    (SAME, 0, "upgraded; a new board"),
    (OTHER, 0, "upgraded"),
    ("refuse", 1, "refused, as planned")])
def test_a_daemon_of_another_version(master, plan, code, text):
    """As after the upgrade of a package: the daemon is still the old one."""
    m = master(plan, other=True)
    assert m.ctl("status").returncode == 65
    result = m.ctl("upgrade")
    assert result.returncode == code
    assert result.stdout + result.stderr == f"preforkctl: {text}\n"


def test_a_daemon_of_another_version_ends_or_says_nothing(master):
    m = master("mute", "die", other=True)
    assert m.ctl("upgrade", "--timeout", "100ms").returncode == 75
    assert m.ctl("upgrade").returncode == 3


@pytest.mark.parametrize("other", [False, True])
def test_other_verbs(master, other):
    m = master(OTHER, SAME, other=other)
    for _ in range(3):
        check(m.ctl("reload"), 0, "preforkctl: reloaded\n")
        m.ctl("upgrade")


def test_stop_of_another_version(master):
    """All of the result but the totals, which only its own preforkctl can read."""
    m = master(other=True)
    check(m.ctl("stop"), 0, "preforkctl: stopped\n")
    assert m.process.wait(HANG) == 0


def test_stop_json(master):
    m = master(other=True)
    assert "connections" not in json.loads(m.ctl("stop", "--json").stdout)


def test_stop_after_the_board_was_replaced(master):
    m = master(OTHER, SAME)
    m.ctl("upgrade")
    m.ctl("upgrade")
    check(m.ctl("stop"), 0, "preforkctl: stopped\npreforkctl: 0 accepted, 0 finished, 0 refused, "
          "0 timed out, 0 aborted, 0 open\n")


def test_the_result_of_a_later_upgrade(master):
    """Two who wait get one result, that of the second: so it is for every verb."""
    m = master("mute", OTHER)
    first = subprocess.Popen([m.preforkctl, "--runtime-directory", str(m.directory), "upgrade"],
                             stdout=subprocess.PIPE, text=True)
    wait_until("the signal came", lambda: begun(m) == 1)
    check(m.ctl("upgrade"), 0, "preforkctl: upgraded; a new board\n")
    assert first.communicate(timeout=HANG)[0] == "preforkctl: upgraded; a new board\n"
    assert first.returncode == 0


@pytest.mark.parametrize("steps", [[SAME], [OTHER, SAME]])
def test_verbs_while_it_upgrades_again_and_again(master, steps):
    """Whatever moment they meet, no verb loses its master or its result."""
    m = master(*steps * (100 // len(steps)))
    over = threading.Event()

    def upgrade():
        for _ in range(100):
            os.kill(m.process.pid, signal.SIGUSR2)
            if over.wait(0.005):
                break
        over.set()

    thread = threading.Thread(target=upgrade)
    thread.start()
    rounds = 0
    try:
        while not over.is_set():
            check(m.ctl("reload", "--timeout", "5s"), 0, "preforkctl: reloaded\n")
            # It may have just started on a new board, or be of another version; it is not gone.
            assert m.ctl("status").returncode in (0, 1, 65)
            rounds += 1
    finally:
        over.set()
        thread.join()
    assert rounds > 5
    assert m.alive()


def begun(m):
    """The head of `master` is the same for ever: the third verdict's second number."""
    with open(m.directory / "master", "rb") as f:
        f.seek(40 + 2 * (24 + 4096) + 4)
        return int.from_bytes(f.read(4), "little")


def test_a_stopped_master_is_waited_for(master):
    m = master(OTHER)
    os.kill(m.process.pid, signal.SIGSTOP)
    check(m.ctl("upgrade", "--timeout", "50ms"), 75,
          err="preforkctl: upgrade: no result within 50ms\n")
    os.kill(m.process.pid, signal.SIGCONT)
    wait_until("it goes on", lambda: begun(m) == 1)


def test_a_header_of_hostile_workers(master):
    """It keeps nobody from directing the master, and goes with the next upgrade."""
    m = master(SAME)
    with open(m.directory / "board", "r+b") as f:
        f.write(b"\xff" * 24)
    assert m.ctl("status").returncode == 65
    check(m.ctl("upgrade"), 0, "preforkctl: upgraded\n")
    assert m.ctl("status").returncode == 0
