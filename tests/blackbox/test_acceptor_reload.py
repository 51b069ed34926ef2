# SPDX-License-Identifier: ISC
"""Reloads and recycles of acceptors: new copies are ready before old ones are told to leave, what
fails changes nothing, and no client is lost."""

import contextlib
import os
import re
import signal
from pathlib import Path

import pytest
from acceptors import (TCP, ask, copies, descriptors_of, does_not_block, hold, let_go, pid_of, said,
                       service, silent_for, told_to_leave, wait_copies, wait_end, wait_said)
from daemon import connect, exchange, wait_until
from look import cpu_seconds, is_gone, pool, pools, wait_gone
from support import Clients, free_port, sockets, unchanged, workers


BUILTIN, EXEC = "builtin = echo", 'exec = {"/bin/cat"}'


def echo(*listen, name="a", count=2, by=BUILTIN):
    return service(*listen, name=name, workers=count).split("    acceptor", maxsplit=1)[0] + \
        f"    {by}\n    workers = {count}\n}}\n"


def rewrite(d, text):
    """What preforkctl says of it."""
    d.write_config(text)
    return d.ctl("reload").stdout


def refused(d, text):
    d.write_config(text)
    result = d.ctl("reload", check=False)
    assert (result.returncode, result.stdout) == (1, ""), (result, d.log())
    return result.stderr


def socket_of(d, pid, fd=3):
    """The master's descriptor of the socket that a copy has."""
    name = os.readlink(f"/proc/{pid}/fd/{fd}")
    [number] = [fd for fd, what in descriptors_of(d.pid).items() if what == name]
    return number


# ---- what the plan says


def test_nothing_changed_keeps_every_copy(daemon, tmp_path):
    text = service(TCP, f"unix://{tmp_path}/s")
    d = daemon(text)
    before = copies(d)
    assert "1 kept, 0 replaced, 0 added, 0 dropped" in rewrite(d, text)
    assert copies(d) == before


def test_another_setting_replaces_them_in_turn(daemon):
    d = daemon(service(workers=3))
    before, address = copies(d), d.address()
    held = [hold(address) for _ in range(2)]
    with Clients(address, 2) as clients:
        assert "0 kept, 1 replaced, 0 added" in rewrite(d, service(workers=2, keys="nice = 1"))
        after = wait_copies(d, 2, but=before)
        clients.more(20)
        # Those that were told serve their clients.
        busy = {pid for _, pid in held}
        wait_until("the idle one's end",
                   lambda: {w["pid"] for w in d.status()["workers"] if w["leaving"]} == busy)
        for s, pid in held:
            assert not is_gone(pid)
            let_go(s)
        wait_gone(before)
        clients.more(20)
    assert copies(d) == after
    assert {w["generation"] for w in workers(d)} == {2}
    for pid in before:
        assert told_to_leave(d, pid) == 1


def test_old_ones_are_told_when_all_new_ones_are_ready(daemon, tmp_path):
    d = daemon(service(workers=2))
    before = copies(d)
    d.write_config(service(workers=2, wait=tmp_path / "go"))
    d.signal(signal.SIGHUP)
    wait_until("new ones", lambda: len(d.workers()) == 4)
    for _ in range(20):
        assert pid_of(d.address()) in before
    assert copies(d) == before
    assert not [pid for pid in before if told_to_leave(d, pid)]
    (tmp_path / "go").touch()
    wait_gone(before)
    assert len(wait_copies(d, 2, but=before)) == 2


def test_an_address_comes_and_goes(daemon, tmp_path):
    """The others' sockets stay; copies get another set of them."""
    one, two, three = (f"unix://{tmp_path}/{n}" for n in ("one", "two", "three"))
    inode = lambda name: (tmp_path / name).stat().st_ino
    d = daemon(service(one, two))
    before, was = copies(d), (inode("one"), inode("two"))
    with Clients(one, 1) as first, Clients(two, 1) as second:
        assert "1 replaced, 0 added, 0 dropped" in rewrite(d, service(one, two, three))
        now = wait_copies(d, 2, but=before)
        wait_gone(before)
        assert (inode("one"), inode("two")) == was
        assert ask(three, "hello") == "hello\n"
        assert ask(one, "sockets").split(" ")[2:] == [
            f"{tmp_path}/{n}" for n in ("one", "two", "three")]
        first.more(10)
        second.more(10)
    s, pid = hold(three)
    assert "1 replaced, 0 added, 0 dropped" in rewrite(d, service(two, one))
    wait_copies(d, 2, but=now)
    wait_until("the path is gone", lambda: not (tmp_path / "three").exists())
    assert (inode("one"), inode("two")) == was
    assert ask(one, "sockets").split(" ")[2:] == [f"{tmp_path}/{n}" for n in ("two", "one")]
    let_go(s)
    wait_gone(now)
    wait_until("one pool", lambda: len(pools(d)) == 1)
    assert d.stop() == 0
    assert told_to_leave(d, pid) == 1


def test_the_order_of_the_sockets_is_part_of_it(daemon, tmp_path):
    one, two = (f"unix://{tmp_path}/{n}" for n in ("one", "two"))
    d = daemon(service(one, two))
    before = copies(d)
    rewrite(d, service(two, one))
    wait_copies(d, 2, but=before)
    assert ask(one, "sockets").split(" ")[2:] == [f"{tmp_path}/two", f"{tmp_path}/one"]


def test_a_service_that_is_dropped_serves_its_queue(daemon, tmp_path):
    text = service(f"unix://{tmp_path}/b", name="b")
    d = daemon(service(f"unix://{tmp_path}/a", workers=1) + text)
    s, pid = hold(d.address("a"))
    waiting = [connect(d.address("a")) for _ in range(5)]
    d.write_config(text)
    d.signal(signal.SIGHUP)
    d.wait_log("generation 2: 1 kept, 0 replaced, 0 added, 1 dropped")
    assert not told_to_leave(d, pid)
    with pytest.raises(FileNotFoundError):
        connect(d.address("a"))
    let_go(s)
    for number, c in enumerate(waiting):
        with c:
            c.sendall(b"%d\n" % number)
            assert c.recv(10) == b"%d\n" % number
            assert c.recv(10) == b""
    wait_end(pid)
    assert told_to_leave(d, pid) == 1
    wait_until("its pool is gone", lambda: len(pools(d)) == 1)


def test_a_queue_that_nobody_serves_is_cut_off(daemon, tmp_path):
    text = service(f"unix://{tmp_path}/b", name="b")
    d = daemon(service(f"unix://{tmp_path}/a", workers=1, keys='stop_timeout = "700ms"') + text)
    s, pid = hold(d.address("a"))
    waiting = connect(d.address("a"))
    rewrite(d, text)
    d.wait_log("clients still wait in the queue after stop_timeout; closed on them")
    wait_end(pid)
    with pytest.raises(ConnectionResetError):
        waiting.recv(1)
    s.close()


def test_under_another_name_the_socket_stays(daemon):
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    d = daemon(service(address))
    before = copies(d)
    with Clients(address, 2) as clients:
        rewrite(d, service(address, name="b"))
        wait_gone(before)
        clients.more(20)
    assert pid_of(address) in copies(d, "b")
    assert ask(address, "sockets").split(" ")[1] == "b"


# ---- kinds


@pytest.mark.parametrize("by", [BUILTIN, EXEC])
def test_to_workers_and_back(daemon, tmp_path, by):
    """Copies leave the socket not blocking. Workers of programs wait in accept(), those with a
    handler of their own before it."""
    address = f"tcp://127.0.0.1:{free_port()}"
    other = f"unix://{tmp_path}/s"
    d = daemon(service(address, other))
    [copy, _] = sorted(copies(d))
    fd = socket_of(d, copy)
    assert does_not_block(copy)
    assert does_not_block(d.pid, fd)
    with Clients(address, 2) as clients, Clients(other, 1) as more:
        for _ in range(5):
            before = set(d.workers())
            assert "2 replaced" in rewrite(d, echo(address, other, by=by))
            wait_gone(before)
            clients.more(10)
            more.more(10)
            wait_until("it is as they want it",
                       lambda: does_not_block(d.pid, fd) == (by == BUILTIN))
            assert len(workers(d)) == 4
            before = set(d.workers())
            assert "1 replaced" in rewrite(d, service(address, other))
            wait_gone(before)
            clients.more(10)
            more.more(10)
    assert len(copies(d)) == 2


@pytest.mark.parametrize("by", [BUILTIN, EXEC])
def test_workers_do_not_spin_while_copies_leave(daemon, by):
    """The socket does not block until the last copy has gone, which has a client that stays."""
    address = f"tcp://127.0.0.1:{free_port()}"
    d = daemon(service(address, workers=1))
    s, copy = hold(address)
    fd = socket_of(d, copy)
    rewrite(d, echo(address, by=by))
    new = {w["pid"] for w in workers(d)}
    for _ in range(20):
        assert exchange(address, b"hello") == b"hello"
    before = sum(cpu_seconds(pid) for pid in new)
    assert not is_gone(copy)
    silent_for(s, 1.5)
    assert sum(cpu_seconds(pid) for pid in new) - before < 0.2
    let_go(s)
    wait_end(copy)
    wait_until("it is as they want it", lambda: does_not_block(d.pid, fd) == (by == BUILTIN))
    assert exchange(address, b"hello") == b"hello"
    assert d.stop() == 0


def test_workers_serve_on_when_an_acceptor_in_their_place_fails(daemon, tmp_path):
    """And what it did to the socket is undone."""
    address = f"unix://{tmp_path}/s"
    d = daemon(echo(address))
    before = {w["pid"] for w in workers(d)}
    with Clients(address, 2) as clients:
        text = service(address, mute=__file__, keys='start_timeout = "300ms"')
        assert "not ready within start_timeout" in refused(d, text)
        clients.more(20)
        wait_until("only the old", lambda: set(d.workers()) == before)
        clients.more(20)
    assert {w["pid"] for w in workers(d)} == before
    worker = min(before)
    [fd, _] = [fd for fd, what in descriptors_of(worker).items()
               if what in set(descriptors_of(max(before)).values()) and what.startswith("socket:")]
    wait_until("it does not block, as they want it", lambda: does_not_block(worker, fd))
    assert exchange(address, b"hello") == b"hello"


# ---- what fails changes nothing


def test_a_program_that_fails(daemon, tmp_path):
    (tmp_path / "fail").touch()
    d = daemon(service())
    with unchanged(d), Clients(d.address(), 2) as clients:
        text = refused(d, service(fail=tmp_path / "fail"))
        assert re.search(r'service "a" \[\S+\]: python3 exited with status 3 before it was ready: '
                         "fail: there is no such module", text), text
        clients.more(10)


def test_a_program_that_is_never_ready(daemon):
    d = daemon(service())
    with unchanged(d), Clients(d.address(), 2) as clients:
        text = refused(d, service(mute=__file__, say="I try", keys='start_timeout = "300ms"'))
        assert "not ready within start_timeout: I try" in text
        clients.more(10)


def test_the_socket_of_the_old_ones_is_not_touched(daemon, tmp_path):
    """New copies have got it, though the load fails later for another service."""
    (tmp_path / "fail").touch()
    old = service(f"unix://{tmp_path}/a")
    d = daemon(old)
    before = copies(d)
    with Clients(d.address(), 2) as clients:
        text = refused(d, service(f"unix://{tmp_path}/a", keys="nice = 1") +
                       service(f"unix://{tmp_path}/b", name="b", fail=tmp_path / "fail"))
        assert 'service "b"' in text
        clients.more(10)
        wait_until("only the old", lambda: set(d.workers()) == before)
        clients.more(10)
        assert "1 kept" in rewrite(d, old)
    assert (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
    assert copies(d) == before


def test_a_client_of_a_load_that_fails_is_served(daemon, tmp_path):
    """A new service's copies serve as soon as they run: whom they have, they serve to the end."""
    old = service(f"unix://{tmp_path}/a")
    d = daemon(old)
    before = copies(d)
    new = f"unix://{tmp_path}/n"
    d.write_config(old + service(new, name="n") +
                   service(f"unix://{tmp_path}/b", name="b", mute=__file__,
                           keys='start_timeout = "1s"'))
    d.signal(signal.SIGHUP)
    s, pid = wait_until("a new copy", lambda: try_hold(new))
    d.wait_log(r"reload: .*not ready within start_timeout")
    assert not is_gone(pid)
    let_go(s)
    wait_end(pid)
    wait_until("only the old", lambda: set(d.workers()) == before)
    assert not (tmp_path / "n").exists()
    wait_until("one pool", lambda: len(pools(d)) == 1)


def try_hold(address):
    with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
        return hold(address)
    return None


def test_nothing_is_left_of_loads_that_fail(daemon, tmp_path):
    (tmp_path / "fail").touch()
    d = daemon(service())
    before = copies(d)
    wait_until("rest", lambda: sockets(d) == sockets(d))
    fds = sockets(d)
    for number in range(10):
        refused(d, service(fail=tmp_path / "fail") +
                service(f"unix://{tmp_path}/{number}", name="n"))
    wait_until("only the old", lambda: set(d.workers()) == before)
    wait_until("no descriptor more", lambda: sockets(d) == fds)


def test_a_stop_during_a_load(daemon, tmp_path):
    d = daemon(service())
    d.write_config(service(wait=tmp_path / "never", keys='stop_timeout = "300ms"') +
                   service(f"unix://{tmp_path}/n", name="n"))
    d.signal(signal.SIGHUP)
    wait_until("new ones", lambda: len(d.workers()) >= 4)
    assert d.stop() == 0


# ---- recycle


def test_every_copy_is_replaced_in_turn(daemon):
    d = daemon(service(workers=5))
    before = copies(d)
    s, held = hold(d.address())
    with Clients(d.address(), 2) as clients:
        d.ctl("recycle")
        wait_copies(d, 5, but=before)
        clients.more(10)
    wait_gone(before - {held})
    assert not is_gone(held)
    let_go(s)
    wait_end(held)
    assert pool(d)["workers_died"] == 0


def test_never_fewer_than_there_should_be(daemon):
    """Also when they need a second each to be believed."""
    d = daemon(service(workers=4, ready="alive"))
    before = copies(d)
    d.signal(signal.SIGUSR1)
    while copies(d) & before:
        ready = [w for w in d.status()["workers"] if w["state"] == "running" and not w["leaving"]]
        assert len(ready) >= 4
    wait_copies(d, 4, but=before)


def test_a_recycle_with_a_program_that_fails_keeps_the_old(daemon, tmp_path):
    d = daemon(service(workers=3, fail=tmp_path / "fail"))
    before = copies(d)
    (tmp_path / "fail").touch()
    result = d.ctl("recycle", check=False)
    assert result.returncode == 1
    assert copies(d) == before
    assert pid_of(d.address()) in before
    (tmp_path / "fail").unlink()
    d.ctl("recycle")
    wait_copies(d, 3, but=before)


# ---- after all that


def test_clients_through_everything(daemon, tmp_path):
    """Reloads that replace, that fail, recycles, deaths between clients: none is lost."""
    (tmp_path / "fail").touch()
    d = daemon(service(workers=3))
    with Clients(d.address(), 4) as clients:
        for number in range(4):
            rewrite(d, service(workers=3, keys=f"nice = {number + 1}"))
            refused(d, service(workers=3, fail=tmp_path / "fail"))
            rewrite(d, service(workers=3, keys=f"nice = {number + 1}"))
            d.ctl("recycle")
            clients.more(20)
    wait_until("three", lambda: len(d.workers()) == 3)
    assert d.stop() == 0
    assert not [text for _, text in said(d) if text.startswith("client")]
    assert wait_said(d, "told to leave by 15")
