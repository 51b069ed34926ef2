# SPDX-License-Identifier: ISC
"""Stops: nobody who was let in is lost, nobody waits longer than stop_timeout, nothing is left."""

import contextlib
import json
import os
import signal
import socket

import pytest
from daemon import connect, exchange, wait_until
from support import (Clients, answer, end_ctl, finish, free_port, gate, gone, hold, pids, queue,
                     rewrite, say, service, signal_was_taken, start_ctl, wait_gone, workers)

TCP = "tcp://127.0.0.1:0"
STREAMS = pytest.mark.parametrize("address", [TCP, "unix://DIR/s", "unix://@DIR",
                                              "unixpacket://DIR/s"])


def begin_stop(d, number=signal.SIGTERM):
    d.signal(number)
    d.wait_notification("STOPPING=1")


def ended(d):
    """It ended well, and nothing of it is left."""
    children = set(d.workers()) if d.process.poll() is None else set()
    assert d.wait() == 0, d.log()
    wait_gone(children)
    assert os.listdir(d.runtime) == []
    assert d.log().rstrip().endswith("stopped")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signals_that_stop(daemon, number):
    d = daemon(service("a", TCP) + service("u", "udp://127.0.0.1:0"))
    everyone = pids(d)
    begin_stop(d, number)
    ended(d)
    assert all(gone(pid) for pid in everyone)
    with pytest.raises(ConnectionRefusedError):
        connect(d.address("a"))


@STREAMS
def test_a_client_in_service_is_served_to_its_end(daemon, tmp_path, address):
    d = daemon(service("a", address.replace("DIR", str(tmp_path)), workers=2))
    with hold(d.address()) as client:
        busy = {w["pid"] for w in workers(d) if w["state"] == "busy"}
        idle = pids(d) - busy
        begin_stop(d)
        wait_gone(idle)
        for i in range(10):
            say(client, b"until the end %d" % i)
        assert d.process.poll() is None
        assert pids(d) == set()
        if client.type == socket.SOCK_STREAM:
            finish(client)
    ended(d)


@STREAMS
def test_the_queue_is_served(daemon, tmp_path, address):
    """Clients that were let in and wait for the one busy worker."""
    d = daemon(service("a", address.replace("DIR", str(tmp_path)), workers=1))
    with hold(d.address()) as client:
        waiting = [queue(d.address(), b"waiting %d" % i) for i in range(5)]
        begin_stop(d)
        assert d.process.poll() is None
        client.shutdown(socket.SHUT_WR)
        if client.type == socket.SOCK_STREAM:
            assert client.recv(1) == b""
    assert [answer(s) for s in waiting] == [b"waiting %d" % i for i in range(5)]
    ended(d)


@pytest.mark.parametrize("address", ["udp://127.0.0.1:0", "unixgram://DIR/s"])
def test_datagrams_in_the_queue_are_answered(daemon, tmp_path, address):
    d = daemon(service("a", address.replace("DIR", str(tmp_path)), workers=1))
    [worker] = pids(d)
    os.kill(worker, signal.SIGSTOP)
    try:
        waiting = [queue(d.address(), b"waiting %d" % i) for i in range(5)]
        begin_stop(d)
    finally:
        os.kill(worker, signal.SIGCONT)
    assert [answer(s) for s in waiting] == [b"waiting %d" % i for i in range(5)]
    ended(d)


def is_refused(address):
    try:
        connect(address, timeout=0.3).close()
    except (ConnectionRefusedError, FileNotFoundError, socket.timeout):
        return True
    return False


# An abstract name cannot be taken away while its socket is open.
@pytest.mark.parametrize("address", [TCP, "unix://DIR/s", "unixpacket://DIR/s"])
def test_who_comes_too_late_is_refused(daemon, tmp_path, address):
    d = daemon(service("a", address.replace("DIR", str(tmp_path)), workers=1))
    with hold(d.address()) as client:
        begin_stop(d)
        wait_until("refusal", lambda: is_refused(d.address()))
        say(client, b"still here")
    ended(d)


def test_who_gets_in_by_an_abstract_name_is_served(daemon, tmp_path):
    d = daemon(service("a", f"unix://@{tmp_path}", workers=1))
    with hold(d.address()) as client:
        begin_stop(d)
        late = queue(d.address(), b"late")
        finish(client)
    assert answer(late) == b"late"
    ended(d)


def test_every_client_is_served_or_refused(daemon):
    """Clients without pause while it stops: each is served, or told at once that it is not."""
    d = daemon(service("a", TCP, workers=4))
    with Clients(d.address(), 4) as clients:
        clients.more(100)
        begin_stop(d)
        ended(d)
        wait_until("refusal", lambda: len(clients.failures) == 4)
        # A handshake that came while the queue was served is dropped, then refused.
        failures = [failure for _, failure in clients.failures]
        clients.failures = []
    assert all(isinstance(f, (ConnectionRefusedError, socket.timeout)) for f in failures), failures


# ---- the end of patience


def test_stop_timeout(daemon):
    d = daemon(service("a", TCP, workers=2, stop_timeout="300ms"))
    with hold(d.address()) as client, hold(d.address()), connect(d.address()) as waiting:
        order = start_ctl(d, "stop", "--json")
        d.wait_notification("STOPPING=1")
        say(client, b"not yet")
        code, out, _ = end_ctl(order)
        ledger = json.loads(out)["connections"]
        assert client.recv(1) == b""
        with pytest.raises(ConnectionResetError):
            assert waiting.recv(1) == b"a reset"
    assert d.wait() == 0
    assert code == 0
    assert (ledger["accepted"], ledger["aborted_death"], ledger["open"]) == (2, 2, 0)
    assert "clients still wait in the queue" in d.log()
    assert d.log().count("did not leave within its stop_timeout; killed") == 2


def test_stop_timeout_of_each_service(daemon):
    d = daemon(service("short", TCP, stop_timeout="100ms") + service("long", TCP))
    with hold(d.address("short")) as short, hold(d.address("long")) as long:
        begin_stop(d)
        assert short.recv(1) == b""
        finish(long)
    ended(d)


def test_stop_timeout_of_each_generation(daemon):
    """The younger one cuts the queue that they share; the older one serves on, but not for ever."""
    address, other = f"tcp://127.0.0.1:{free_port()}", service("b", TCP)
    d = daemon(service("a", address, workers=1, stop_timeout="2s") + other)
    old = pids(d, "a")
    with hold(address) as client, contextlib.ExitStack() as waiting:
        rewrite(d, service("a", address, workers=1, stop_timeout="100ms") + other)
        waiting.enter_context(hold(address))
        first, _ = [waiting.enter_context(connect(address)) for _ in range(2)]
        rewrite(d, other)
        d.wait_log("clients still wait in the queue")
        wait_until("end of the younger", lambda: len(d.status()["pools"]) == 2)
        finish(client)
        wait_gone(old)
        say(first, b"served")
        begin_stop(d)
        ended(d)


def test_no_stop_timeout_waits(daemon):
    d = daemon(service("a", TCP, stop_timeout="0"))
    with hold(d.address()) as client:
        begin_stop(d)
        # As long as two looks at it, at least.
        for _ in range(2):
            d.wait_notification("EXTEND_TIMEOUT_USEC=")
        finish(client)
    ended(d)


def test_a_second_signal_ends_it_at_once(daemon):
    d = daemon(service("a", TCP, workers=1, stop_timeout="1d"))
    with hold(d.address()) as client, connect(d.address()) as waiting:
        begin_stop(d)
        say(client, b"still served")
        d.signal(signal.SIGTERM)
        assert client.recv(1) == b""
        with pytest.raises(ConnectionResetError):
            assert waiting.recv(1) == b"a reset"
    ended(d)
    assert "stopping at once" in d.log()


def test_a_stopped_worker_is_killed(daemon):
    d = daemon(service("a", TCP, workers=2, stop_timeout="300ms"))
    for pid in pids(d):
        os.kill(pid, signal.SIGSTOP)
    begin_stop(d)
    ended(d)


# ---- what is left


def test_unix_paths_are_removed(daemon, tmp_path):
    names = ["one", "two", "three"]
    d = daemon(service("a", f"unix://{tmp_path}/one", f"unixpacket://{tmp_path}/two",
                       f"unixgram://{tmp_path}/three"))
    assert all(os.path.exists(tmp_path / name) for name in names)
    begin_stop(d)
    ended(d)
    assert not any(os.path.exists(tmp_path / name) for name in names)


def test_a_path_that_is_somebody_elses_by_now_stays(daemon, tmp_path):
    path = tmp_path / "s"
    d = daemon(service("a", f"unix://{path}"))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        begin_stop(d)
        ended(d)
        assert path.exists()


def test_the_paths_go_at_the_begin_of_a_stop(daemon, tmp_path):
    """So that the next instance can bind them while the clients of this one finish."""
    path = tmp_path / "s"
    first = daemon(service("a", f"unix://{path}"), name="first")
    with hold(f"unix://{path}") as client:
        begin_stop(first)
        wait_until("unlink", lambda: not path.exists())
        second = daemon(service("a", f"unix://{path}"), name="second")
        assert exchange(f"unix://{path}", b"second") == b"second"
        finish(client)
    ended(first)
    assert exchange(f"unix://{path}", b"second") == b"second"
    assert second.stop() == 0


# ---- stops at bad moments


@pytest.mark.parametrize("moment", ["open_waits", "enter_waits"])
def test_stop_while_reloading(daemon, programs, tmp_path, moment):
    d = daemon(service("a", TCP, workers=2))
    d.write_config(gate(programs, "b", TCP, workers=2, options={moment: tmp_path / "never"}))
    order = start_ctl(d, "reload")
    more = 1 if moment == "open_waits" else 2
    wait_until("load", lambda: len(d.workers()) == 2 + more)
    everyone = d.workers()
    with hold(d.address()) as client:
        begin_stop(d)
        finish(client)
    ended(d)
    wait_gone(everyone)
    code, _, err = end_ctl(order)
    assert (code, err) == (1, "preforkctl: preforkd stops\n")
    while d.inbox.qsize():
        d.notifications.append(d.inbox.get())
    after = d.notifications[next(i for i, text in enumerate(d.notifications)
                                 if "STOPPING=1" in text):]
    assert not [text for text in after if "READY=1" in text]


def test_stop_with_reloads_to_come(daemon, programs, tmp_path):
    d = daemon(service("a", TCP))
    d.write_config(gate(programs, "b", TCP, options={"open_waits": tmp_path / "never"}))
    for _ in range(2):
        d.signal(signal.SIGHUP)
        wait_until("signal", lambda: signal_was_taken(d.pid, signal.SIGHUP))
    begin_stop(d)
    ended(d)


def test_reload_and_recycle_while_stopping(daemon):
    """Too late: neither brings it back."""
    d = daemon(service("a", TCP))
    with hold(d.address()) as client:
        begin_stop(d)
        orders = [start_ctl(d, "reload"), start_ctl(d, "recycle")]
        for number in (signal.SIGHUP, signal.SIGUSR1):
            d.signal(number)
            wait_until("signal", lambda n=number: signal_was_taken(d.pid, n))
        finish(client)
    ended(d)
    for order in orders:
        assert end_ctl(order)[0] in (1, 3)


def test_stop_while_it_starts(daemon, programs, tmp_path):
    """No worker is ready yet: there is nothing to wait for, and it is no failure."""
    d = daemon(gate(programs, "a", TCP, workers=2, options={"enter_waits": tmp_path / "never"}),
               expect_ready=False)
    wait_until("workers", lambda: len(d.workers()) == 2)
    everyone = d.workers()
    d.signal(signal.SIGTERM)
    assert d.wait() == 0, d.log()
    wait_gone(everyone)
    assert os.listdir(d.runtime) == []


def test_the_master_killed(daemon):
    """Its workers serve who they have, and end: nobody is left without a master."""
    d = daemon(service("a", TCP, workers=2))
    with hold(d.address()) as client:
        everyone = pids(d)
        d.process.kill()
        d.wait()
        finish(client)
    wait_gone(everyone)
    with pytest.raises(ConnectionRefusedError):
        connect(d.address())
    d.start()
    assert exchange(d.address(index=-1), b"again") == b"again"


# ---- preforkctl stop, and signals to workers


def test_preforkctl_stop(daemon):
    d = daemon(service("a", TCP))
    for i in range(7):
        assert exchange(d.address(), b"%d" % i) == b"%d" % i
    out = d.ctl("stop").stdout
    assert "7 accepted, 7 finished, 0 refused, 0 timed out, 0 aborted, 0 open" in out
    assert d.wait() == 0
    assert d.ctl("stop", check=False).returncode == 3


def test_preforkctl_stop_waits(daemon):
    d = daemon(service("a", TCP))
    with hold(d.address()) as client:
        order = start_ctl(d, "stop")
        d.wait_notification("STOPPING=1")
        assert order.poll() is None
        finish(client)
    assert end_ctl(order)[0] == 0


def test_what_pkill_sends_does_workers_no_harm(daemon):
    d = daemon(service("a", TCP, workers=2))
    with hold(d.address()) as client:
        before = pids(d)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1,
                       signal.SIGUSR2, signal.SIGPIPE, signal.SIGWINCH):
            for pid in before:
                os.kill(pid, number)
            say(client, b"served")
            assert exchange(d.address(), b"served") == b"served"
        assert pids(d) == before


def test_a_worker_that_is_told_by_hand_is_replaced(daemon):
    d = daemon(service("a", TCP, workers=2))
    with hold(d.address()) as client:
        before = pids(d)
        for pid in before:
            os.kill(pid, signal.SIGTERM)
        wait_until("one new worker", lambda: len(set(d.workers()) - before) == 1)
        say(client, b"served")
        finish(client)
    wait_until("two new workers", lambda: len(pids(d) - before) == 2)
    assert d.status()["pools"][0]["workers_died"] == 0
