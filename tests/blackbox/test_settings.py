# SPDX-License-Identifier: ISC
"""Settings that reach workers and listeners which are already there."""

import re
import socket
from pathlib import Path

from acceptors import silent_for
from daemon import exchange, wait_until
from support import unchanged

MESSAGE = """
log_level = "%s"
service "message" {
    listen = {"tcp://127.0.0.1:0"}
    builtin = "message"
    workers = 1
}
"""
ECHO = """
service "echo" {
    listen = {"tcp://127.0.0.1:0", "udp://127.0.0.1:0"}
    builtin = "echo"
    workers = 1
    %s
}
"""


def test_log_level_reaches_workers_that_a_reload_keeps(daemon):
    d = daemon(MESSAGE % "notice")
    worker = d.workers()
    address = d.status()["pools"][0]["address"]
    exchange(address, b"heard\n")
    d.wait_log(r"heard")
    d.write_config(MESSAGE % "error")
    d.ctl("reload")
    assert exchange(address, b"not heard, at error\n") == b"I got your message\n"
    d.write_config(MESSAGE % "notice")
    d.ctl("reload")
    exchange(address, b"heard again\n")
    d.wait_log(r"heard again")
    wait_until("the worker of before alone", lambda: d.workers() == worker)
    assert "not heard" not in d.log()


def test_a_device_that_is_not_there_fails_the_reload(daemon):
    d = daemon(ECHO % "")
    with unchanged(d):
        d.write_config(ECHO % 'bind_device = "no-such-dev0"')
        result = d.ctl("reload", check=False)
        assert result.returncode == 1
        assert re.search(r'preforkd\.conf:\d+: service "echo": .*bind_device: No such device',
                         result.stderr), result.stderr
    for address in d.addresses():
        assert exchange(address, b"still here") == b"still here"


def switches(pid):
    """How often it went to wait: once more for each time it woke."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.M)[1])


def stat_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_an_idle_worker_outlives_the_idle_timeout(daemon):
    """Accepted sockets get idle_timeout from the listener: who waits there for a client does not
    care."""
    d = daemon((ECHO % 'idle_timeout = "10s"').replace(', "udp://127.0.0.1:0"', ""))
    [worker] = d.workers()
    # An exchange first: then it has been through accept(), and waits again.
    assert exchange(d.address(), b"one") == b"one"
    wait_until("the worker is idle", lambda: d.status()["pools"][0]["idle"] == 1)
    wait_until("it waits", lambda: stat_of(worker) == "S")
    before, log = switches(worker), d.log()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        silent_for(ours, 10.5)
    assert switches(worker) == before, "something woke it"
    assert d.workers() == [worker]
    assert exchange(d.address(), b"as ever") == b"as ever"
    assert d.log() == log
    # It can still be stopped from within such a wait.
    assert d.stop() == 0


def test_a_reload_gives_programs_other_arguments_and_variables(daemon):
    """Each change replaces the workers, and nothing else does."""
    def text(arguments, variable):
        return f"""
service "a" {{
    listen = {{"tcp://127.0.0.1:0"}}
    exec = {{"/bin/sh", "-c", "echo $0 $1 $VARIABLE", {arguments}}}
    environment = {{"VARIABLE={variable}"}}
    workers = 1
}}
"""
    d = daemon(text('"one", "two"', "red"))
    seen = []
    for arguments, variable, said in (('"one", "two"', "red", b"one two red\n"),
                                      ('"one", "2"', "red", b"one 2 red\n"),
                                      ('"one two"', "red", b"one two red\n"),
                                      ('"one two"', "green", b"one two green\n")):
        d.write_config(text(arguments, variable))
        d.ctl("reload")
        wait_until("one worker", lambda: len(d.workers()) == 1)
        seen.append(d.workers())
        assert exchange(d.address(), b"") == said
    assert len({pid for [pid] in seen}) == 4
    before = d.workers()
    d.ctl("reload")
    # The process that loaded may not be reaped yet.
    wait_until("no other worker", lambda: d.workers() == before)
