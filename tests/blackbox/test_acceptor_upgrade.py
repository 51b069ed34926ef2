# SPDX-License-Identifier: ISC
"""Upgrades with acceptors: the copies are adopted with their pipes and sockets, and replaced like
workers; no client and no line is lost."""

import os
import signal

from acceptors import (TCP, ask, copies, does_not_block, hold, let_go, pid_of, said, service, shell,
                       silent_for, texts, told_to_leave, wait_copies, wait_end, wait_said, written)
from daemon import wait_until
from look import is_gone, pool, pools, wait_gone
from manager import manage  # noqa: F401 (a fixture)
from support import Clients, descriptors
from upgrading import (identity, kinds, own_programs, refused,  # noqa: F401
                       upgrade, wait_alone)


def test_copies_are_replaced_and_nobody_is_lost(daemon, tmp_path):
    d = daemon(service(TCP, f"unix://{tmp_path}/s", workers=3))
    was = identity(d)
    with Clients(d.address(), 2) as clients, Clients(f"unix://{tmp_path}/s", 1) as others:
        for number in range(1, 6):
            old = copies(d)
            text = upgrade(d)
            assert f"generation {number + 1}: 0 kept, 1 replaced, 0 added, 0 dropped" in text
            assert identity(d) == was
            wait_gone(old)
            assert len(wait_copies(d, 3, but=old)) == 3
            clients.more(10)
            others.more(5)
    wait_alone(d, 3)
    assert pool(d)["workers_died"] == 0
    assert d.stop() == 0


def test_no_descriptor_is_left_behind(daemon):
    d = daemon(service(workers=3))
    upgrade(d)
    wait_alone(d, 3)
    before = kinds(d.pid)
    for _ in range(4):
        upgrade(d)
        wait_alone(d, 3)
    wait_until("as many descriptors", lambda: kinds(d.pid) == before)
    for pid in copies(d):
        assert len(descriptors(pid)) < 12


def test_one_that_leaves_is_told_once_and_serves_its_client(daemon):
    d = daemon(service(workers=2))
    s, pid = hold(d.address())
    d.ctl("recycle")
    wait_until("told", lambda: [w for w in d.status()["workers"] if w["leaving"]])
    upgrade(d)
    upgrade(d)
    silent_for(s, 0.5)
    assert not is_gone(pid)
    let_go(s)
    wait_end(pid)
    wait_until("its last word", lambda: told_to_leave(d, pid))
    assert told_to_leave(d, pid) == 1
    wait_alone(d, 2)


def test_its_time_to_leave_goes_on(daemon):
    d = daemon(service(workers=1, deaf=1, keys='stop_timeout = "1500ms"'))
    [pid] = copies(d)
    d.ctl("recycle")
    upgrade(d)
    d.wait_log(rf"worker {pid} did not leave within its stop_timeout; killed")
    wait_end(pid)


def test_what_it_writes_is_logged_throughout(daemon, tmp_path):
    """Also the begin of a line whose end comes after the upgrade."""
    d = daemon(shell(f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; printf 'begin '; "
                     f"touch {tmp_path}/begun; while [ ! -e {tmp_path}/end ]; do sleep 0.01; done; "
                     "echo end; trap 'echo told; exit 0' TERM; while :; do sleep 0.01; done",
                     workers=1))
    [pid] = copies(d)
    slow_down(d)
    (tmp_path / "go").touch()
    wait_until("half a line", (tmp_path / "begun").exists)
    d.signal(signal.SIGUSR2)
    d.wait_log("took over from")
    (tmp_path / "end").touch()
    wait_said(d, "told")
    wait_end(pid)
    assert "".join(text for who, text in said(d) if who == pid) == "begin endtold"


def slow_down(d):
    """From now on a copy needs longer, so that the old one has time to speak."""
    d.write_config(d.config_file.read_text().replace("'-c', '", "'-c', 'sleep 1; "))


def test_the_copies_of_before_go_on_when_the_new_load_fails(daemon, tmp_path):
    """They wait to be replaced; what they say, and their end, is heard all the same."""
    fail = tmp_path / "fail"
    d = daemon(service(workers=2, fail=fail))
    before = copies(d)
    fail.touch()
    assert "exited with status 3 before it was ready: fail: there is no such module" in refused(d)
    assert copies(d) == before
    assert [p["left_over"] for p in pools(d)] == [1]
    ask(d.address(), "say still heard")
    wait_said(d, "still heard")
    ask(d.address(), "notify STATUS=still heard")
    first = pid_of(d.address())
    os.kill(first, signal.SIGKILL)
    d.wait_log(rf"worker {first} killed by SIGKILL")
    assert pid_of(d.address()) in before - {first}
    fail.unlink()
    d.ctl("reload")
    wait_copies(d, 2, but=before)
    assert pool(d)["left_over"] == 0
    wait_gone(before)


def test_one_that_was_starting_becomes_ready_after_it(daemon, tmp_path):
    """In the old generation, whose load is not repeated: it says so to the socket it was given."""
    go, fail = tmp_path / "go", tmp_path / "fail"
    go.touch()
    d = daemon(service(workers=2, wait=go, fail=fail))
    [first, second] = sorted(copies(d))
    go.unlink()
    os.kill(first, signal.SIGKILL)
    wait_until("the next", lambda: [w for w in d.status()["workers"] if w["state"] == "starting"])
    [new] = [w["pid"] for w in d.status()["workers"] if w["state"] == "starting"]
    d.write_config(service(workers=2, wait=go, fail=fail, mute=__file__,
                           keys='start_timeout = "500ms"\n stop_timeout = "500ms"'))
    assert "not ready within start_timeout" in refused(d)
    assert not is_gone(new)
    go.touch()
    wait_until("ready", lambda: new in copies(d))
    assert copies(d) >= {second, new}


def test_the_children_of_one_that_has_ended_are_still_ended(daemon, tmp_path):
    script = f"(trap '' TERM; echo up > {tmp_path}/up; while :; do sleep 1000; done) & " \
        f"echo $! > {tmp_path}/child; while [ ! -e {tmp_path}/up ]; do sleep 0.01; done; " \
        "trap 'exit 0' TERM; while :; do sleep 0.01; done"
    d = daemon(shell(script, workers=1, keys='stop_timeout = "3s"'))
    child = written(tmp_path / "child")
    [pid] = copies(d)
    d.ctl("recycle")
    wait_end(pid)
    upgrade(d)
    assert not is_gone(child)
    wait_end(child)


def test_a_socket_of_systemd_is_left_as_it_is(manage, tmp_path):  # noqa: F811
    """Copies of before may have an event loop, which a socket that blocks would stop."""
    d = manage(service("systemd://web", workers=1), ("web", TCP))
    [pid] = copies(d)
    assert does_not_block(pid)
    d.write_config(service("systemd://web", workers=1, wait=tmp_path / "go"))
    d.signal(signal.SIGUSR2)
    d.wait_log("took over from")
    wait_until("new ones", lambda: len(d.workers()) == 2)
    assert does_not_block(pid)
    assert pid_of(d.unit_addresses[0]) == pid
    (tmp_path / "go").touch()
    wait_copies(d, 1, but={pid})


def test_the_socket_is_stored_for_each_address(manage, tmp_path):  # noqa: F811
    """And taken back in the next process."""
    d = manage(service(TCP, f"unix://{tmp_path}/s"))
    wait_until("two in the store", lambda: len(d.stored()) == 2)
    port = d.port()
    was = d.stored()
    before = copies(d)
    d.crash()
    wait_gone(before)
    d.start()
    assert d.stored() == was
    assert pid_of(f"tcp://127.0.0.1:{port}") in copies(d)
    assert pid_of(f"unix://{tmp_path}/s") in copies(d)
    d.write_config(service(f"unix://{tmp_path}/s"))
    d.ctl("reload")
    wait_until("one in the store", lambda: len(d.stored()) == 1)
    assert "client" not in " ".join(texts(d))
