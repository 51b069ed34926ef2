# SPDX-License-Identifier: ISC
"""The clients that other tests rely on see a loss, and a delay, when there is one; and a machine is as
installed after a test."""

import selectors

import pytest

ECHO = "tcp://127.0.0.1:7008"
MESSAGE = "tcp://127.0.0.1:7007"
CONF = "/etc/preforkd/preforkd.conf"
PAUSE = 0.3


def test_clients_see_who_is_refused(machine):
    machine.systemctl("start", "preforkd")
    with machine.clients(ECHO, count=4) as c:
        c.more(20)
        assert set(c.outcomes) == {"ok"}
        machine.systemctl("stop", "preforkd")
        c.more_of_any(20)
    assert c.outcomes["refused"] >= 1
    assert "Connection refused" in c.failures
    with pytest.raises(AssertionError):
        c.all_served()


def test_clients_see_a_cut_connection(machine):
    """Their workers are killed amid the token."""
    machine.systemctl("start", "preforkd")
    with machine.clients(ECHO, count=4, slow=1, slow_seconds=PAUSE) as c:
        c.more(4)
        machine.wait("a cut connection", lambda: machine.run(
            "pkill", "-KILL", "^preforkd: echo", check=False) and set(c.outcomes) - {"ok"})
    assert set(c.outcomes) - {"ok"} <= {"reset", "short"}, (c.outcomes, c.failures)


def test_clients_see_a_wrong_reply(machine):
    machine.systemctl("start", "preforkd")
    with machine.clients([MESSAGE, ECHO], expect=lambda token: b"I got your message") as c:
        c.more_of_any(20)
    assert c.outcomes["wrong"] >= 1
    assert "token 1.0." in c.failures


def test_clients_see_a_delay(machine):
    machine.systemctl("start", "preforkd")
    with machine.clients([ECHO, "udp://127.0.0.1:7008"], count=2) as c:
        c.more(20)
        machine.systemctl("kill", "--signal=STOP", "preforkd")
        # The length of the stop is what is measured.
        selectors.DefaultSelector().select(PAUSE)
        machine.systemctl("kill", "--signal=CONT", "preforkd")
        c.more(20)
    assert c.outcomes == {"ok": c.served}, c.failures
    assert PAUSE * 0.9 <= c.worst < PAUSE + 5


def test_everything_comes_back_1(machine):
    machine.systemctl("enable", "--now", "preforkd")
    machine.dropin("preforkd.service", "[Service]\nEnvironment=A=B\n")
    machine.write(CONF, "# nothing\n")
    machine.write("/etc/preforkd/other.conf", "# nothing\n")
    machine.write("/usr/sbin/preforkd", "#!/bin/sh\nexit 1\n", 0o755)
    machine.systemctl("kill", "--signal=KILL", "preforkd")


def test_everything_comes_back_2(machine):
    shown = machine.show("preforkd", "ActiveState", "UnitFileState", "Environment", "NRestarts")
    assert shown == {"ActiveState": "inactive", "UnitFileState": "disabled", "Environment": "",
                     "NRestarts": "0"}
    assert machine.run("ls", "/etc/preforkd").stdout.split() == ["conf.d", "preforkd.conf"]
    machine.systemctl("start", "preforkd")
    assert machine.exchange(ECHO, b"hello") == b"hello"


def test_what_never_ends_is_ended(machine):
    with machine.popen("sleep", "600") as sleep:
        pid = int(machine.wait("sleep", lambda: machine.run(
            "pgrep", "-x", "sleep", check=False).stdout))
        assert machine.host_pid(pid)
        sleep.terminate()
        assert sleep.wait(10) != 0
    assert machine.run("pgrep", "-x", "sleep", check=False).returncode == 1


def test_a_user_with_a_manager_of_her_own(machine):
    machine.systemctl("start", "user@1000")
    asked = machine.run("systemctl", "--user", "is-system-running", user="alice")
    assert asked.stdout == "running\n"
    assert machine.run("sh", "-c", "id -un; echo $HOME", user="alice").stdout == "alice\n/home/alice\n"
