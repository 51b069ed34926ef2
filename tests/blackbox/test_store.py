# SPDX-License-Identifier: ISC
"""The FD store: what preforkd bound itself outlasts the process, and serves on in the next one."""

import collections
import contextlib
import os
import re
import signal
import socket
import stat
import struct
import threading

import pytest
from checking import CONFIG
from daemon import DEADLINE, connect, exchange, wait_until
from look import wait_gone
from manager import address_of, inode, manage  # noqa: F401 (a fixture)
from support import (Clients, answer, end_ctl, finish, free_port, gate, hold, pids, queue, reload,
                     rewrite, service, start_ctl)

TCP = "tcp://127.0.0.1:0"
UDP = "udp://127.0.0.1:0"
WITHOUT_PATH = [TCP, "tcp://*:0", "tcp6://[::]:0", UDP, "udp://*:0", "unix://@DIR",
                "unixgram://@DIR", "unixpacket://@DIR"]
WITH_PATH = ["unix://DIR/s", "unixgram://DIR/s", "unixpacket://DIR/s"]
SO_BINDTOIFINDEX = 62
EVERY = pytest.mark.parametrize("address", WITHOUT_PATH + WITH_PATH)


def here(address, tmp_path):
    return address.replace("DIR", str(tmp_path))


def names(d, kind):
    """Those of one kind since the last start, in order."""
    return [told[1] for told in d.since_start() if told[0] == kind]


def one(d):
    """The name and the inode of what alone is in the store."""
    [(name, number)] = d.stored().items()
    return name, number


def in_store(d, name):
    [fd] = [fd for stored, fd in d.store if stored == name]
    return fd


def option(fd, level, name, size=4):
    with socket.socket(fileno=os.dup(fd)) as s:
        value = s.getsockopt(level, name, size)
    return int.from_bytes(value, "little") if size == 4 else value


def is_served(address, text=b"hello"):
    assert exchange(address, text) == text


def crash_all(d):
    """The master and, with it, the workers: who is served is cut."""
    everyone = pids(d)
    d.crash()
    wait_gone(everyone)


# -- what is stored


def test_before_ready_and_by_name(manage, tmp_path):
    d = manage(service("web", TCP, "unix://@" + str(tmp_path)) + service("dns.x", UDP))
    told = [event for event in d.since_start() if event[0] != "start"]
    assert [event[0] for event in told] == ["store"] * 3 + ["READY"]
    found = sorted(event[1] for event in told[:3])
    assert re.fullmatch(r"store\.dns\.x\.[0-9a-f]{16}", found[0])
    assert all(re.fullmatch(r"store\.web\.[0-9a-f]{16}", name) for name in found[1:])
    assert len(set(found)) == 3


def test_a_name_is_the_same_each_time(manage):
    """It is what a next version finds its listeners by: FNV-1a of the address as configured."""
    d = manage(service("a", "tcp://127.0.0.1:0"))
    digest = 0xcbf29ce484222325
    for byte in b"tcp://127.0.0.1:0":
        digest = (digest ^ byte) * 0x100000001b3 % 2**64
    assert one(d)[0] == f"store.a.{digest:016x}"


def test_each_of_its_own_and_none_of_a_unit(manage, tmp_path):
    d = manage(service("a", TCP, "systemd://web", f"unix://{tmp_path}/s") + service("b", "<A1>"),
               ("web", TCP), ("b", UDP))
    stored = {address_of(socket.socket(fileno=os.dup(fd))) for _, fd in d.store}
    assert stored == set(d.addresses("a")) - {d.unit_addresses[0]}
    assert not set(d.stored().values()) & {inode(s.fileno()) for _, s in d.units}


def test_a_reload_stores_and_removes(manage):
    """When preforkctl has the result, the new one is in the store and the old one is not."""
    d = manage(service("a", TCP))
    first, _ = one(d)
    rewrite(d, service("a", TCP) + service("b", TCP))
    d.wait_notification("READY=1")
    assert set(d.stored()) > {first} and len(d.store) == 2
    second = (set(d.stored()) - {first}).pop()
    rewrite(d, service("b", TCP))
    d.wait_notification("READY=1")
    assert list(d.stored()) == [second]
    assert names(d, "remove") == [first]
    # What is kept or has other settings is not stored again.
    rewrite(d, service("b", TCP, workers=2))
    reload(d)
    assert names(d, "store") == [first, second]


def test_a_reload_that_fails_stores_nothing(manage, programs):
    d = manage(service("a", TCP))
    before = d.stored()
    for text in (service("a", TCP) + service("b", TCP, module=programs.modules / "exit_enter.so"),
                 service("a", TCP) + "nonsense", service("c", UDP) + service("d", "tcp://256.0.0.1:1")):
        d.write_config(text)
        assert d.ctl("reload", check=False).returncode == 1
    assert d.stored() == before
    assert names(d, "remove") == []


def test_what_is_dropped_is_removed_while_it_drains(manage):
    """The last client has all the time; systemd must not give the listener back meanwhile."""
    d = manage(service("a", TCP, workers=1) + service("b", TCP))
    with hold(d.address("a")) as client:
        rewrite(d, service("b", TCP))
        wait_until("removal", lambda: len(d.store) == 1)
        crashed = d.address("b")
        finish(client)
    crash_all(d)
    d.start()
    assert d.addresses()[-1] == crashed
    assert "kept across" not in d.log()


def test_dropped_and_had_back(manage):
    """A listener that drains is taken over, and stored again."""
    address = f"tcp://127.0.0.1:{free_port()}"
    d = manage(service("a", address, workers=1) + service("b", TCP))
    before = d.stored()
    with hold(address) as client:
        rewrite(d, service("b", TCP))
        wait_until("removal", lambda: len(d.store) == 1)
        rewrite(d, service("b", TCP) + service("a", address))
        wait_until("both", lambda: d.stored() == before)
        finish(client)
    crash_all(d)
    d.start()
    assert d.addresses("a")[-1] == address
    is_served(address)


def test_a_new_name_takes_it_over(manage):
    d = manage(service("a", f"tcp://127.0.0.1:{free_port()}"))
    old, number = one(d)
    rewrite(d, service("b", d.address()))
    wait_until("the new name", lambda: list(d.stored()) == [old.replace(".a.", ".b.")])
    assert one(d)[1] == number
    # Removed first: a second name for what is there already would be ignored.
    assert names(d, "twice") == []


# -- what is given back


@pytest.mark.parametrize("address", WITHOUT_PATH)
@pytest.mark.parametrize("end", ["stop", "crash"])
def test_the_same_socket(manage, tmp_path, address, end):
    d = manage(service("a", here(address, tmp_path)))
    before, where = d.stored(), d.address()
    for _ in range(3):
        is_served(where)
        crash_all(d) if end == "crash" else d.stop()
        d.start()
        assert d.addresses()[-1] == where
        assert d.stored() == before
        assert names(d, "store") == names(d, "remove") == names(d, "twice") == []
    is_served(where)


@pytest.mark.parametrize("address", WITH_PATH)
def test_a_path_is_kept_through_a_crash(manage, tmp_path, address):
    d = manage(service("a", here(address, tmp_path)))
    before, path = d.stored(), os.stat(tmp_path / "s")
    for _ in range(3):
        crash_all(d)
        waiting = queue(d.address(), b"waits")
        d.start()
        assert answer(waiting) == b"waits"
        assert d.stored() == before
        assert os.stat(tmp_path / "s").st_ino == path.st_ino
        assert names(d, "store") == names(d, "remove") == []


@pytest.mark.parametrize("address", WITH_PATH)
def test_a_path_that_is_gone_is_bound_anew(manage, tmp_path, address):
    """As after a stop, or without RuntimeDirectoryPreserve=restart."""
    d = manage(service("a", here(address, tmp_path)))
    name, number = one(d)
    crash_all(d)
    os.unlink(tmp_path / "s")
    d.start()
    assert f"{d.address()}: kept across the restart, but nobody can come to it any more; bound anew" in d.log()
    is_served(d.address())
    assert one(d)[0] == name and one(d)[1] != number
    assert d.since_start() == [("remove", name), ("store", name), ("READY",)]


def test_a_path_that_is_something_else(manage, tmp_path):
    """Not ours to remove: an error that says so, as at any start."""
    d = manage(service("a", f"unix://{tmp_path}/s"))
    crash_all(d)
    os.unlink(tmp_path / "s")
    (tmp_path / "s").write_text("precious")
    d.start(expect_ready=False)
    assert d.wait() == 69
    assert "the file exists and is no socket" in d.log()
    assert (tmp_path / "s").read_text() == "precious"


def test_many_in_any_order(manage, tmp_path):
    listen = [TCP, UDP, f"unix://@{tmp_path}", "tcp://*:0", "tcp://127.0.0.2:0"]
    text = "".join(service(f"s{i}", address) for i, address in enumerate(listen))
    d = manage(text + service("u", "systemd://n", "systemd://m"), ("n", TCP), ("m", UDP))
    d.shuffled(1)
    before, where = d.stored(), {f"s{i}": d.address(f"s{i}") for i in range(len(listen))}
    for number in (signal.SIGTERM, signal.SIGKILL) * 4:
        d.signal(number)
        d.wait()
        d.start()
        assert d.stored() == before
        assert {name: d.addresses(name)[-1] for name in where} == where
        for address in where.values():
            is_served(address)
    assert not [told for told in d.told if told[0] == "twice"]


def test_settings_are_applied_again(manage, tmp_path):
    """Those of the configuration as it is now, not of the process that bound it."""
    keys = {"nodelay": "false", "keepalive": "false", "idle_timeout": "20s", "defer_accept": "0"}
    path = f"unix://{tmp_path}/s"
    d = manage(service("a", TCP, **keys) + service("u", path, socket_mode="0600"))
    web = in_store(d, next(name for name in d.stored() if ".a." in name))
    assert option(web, socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
    crash_all(d)
    keys = {"nodelay": "true", "keepalive": "true", "idle_timeout": "40s", "defer_accept": "3s"}
    d.write_config(service("a", TCP, **keys) + service("u", path, socket_mode="0622"))
    number = os.stat(tmp_path / "s").st_ino
    d.start()
    assert option(web, socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert option(web, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert option(web, socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) >= 3
    assert struct.unpack("ll", option(web, socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)) == (40, 0)
    now = os.stat(tmp_path / "s")
    assert (stat.S_IMODE(now.st_mode), now.st_ino) == (0o622, number)


def test_the_backlog_is_set_again(manage, tmp_path):
    d = manage(service("a", f"unix://@{tmp_path}", backlog=1, workers=1))
    crash_all(d)
    d.write_config(service("a", f"unix://@{tmp_path}", backlog=20, workers=1))
    d.start()
    with hold(d.address()), contextlib.ExitStack() as clients:
        for _ in range(20):
            clients.enter_context(connect(d.address(), timeout=DEADLINE))


def test_a_new_name_finds_it_by_its_address(manage):
    """The service was renamed while preforkd was down."""
    d = manage(service("a", f"tcp://127.0.0.1:{free_port()}"))
    old, number = one(d)
    crash_all(d)
    d.write_config(service("b", d.address()))
    d.start()
    new = old.replace(".a.", ".b.")
    assert d.stored() == {new: number}
    assert d.since_start() == [("remove", old), ("store", new), ("READY",)]
    is_served(d.address())


def test_services_that_change_places(manage):
    """Two names, two addresses, now the other way round; nothing is lost or mixed up."""
    d = manage(service("a", f"tcp://127.0.0.1:{free_port()}")
               + service("b", f"tcp://127.0.0.1:{free_port()}"))
    one_, two = d.address("a"), d.address("b")
    inodes = sorted(d.stored().values())
    for a, b in ((two, one_), (one_, two)):
        crash_all(d)
        d.write_config(service("a", a) + service("b", b))
        d.start()
        assert (d.addresses("a")[-1], d.addresses("b")[-1]) == (a, b)
        assert sorted(d.stored().values()) == inodes
        assert len(d.store) == 2
        is_served(a)
        is_served(b)


def test_what_nobody_claims_any_more(manage, tmp_path):
    d = manage(service("a", TCP) + service("b", TCP) + service("u", f"unix://{tmp_path}/s"))
    gone = [d.address("b"), d.address("u")]
    crash_all(d)
    d.write_config(service("a", TCP))
    d.start()
    for address, error in zip(gone, (ConnectionRefusedError, FileNotFoundError)):
        assert f"{address}: kept across the restart, but no service listens there any more" in d.log()
        with pytest.raises(error):
            connect(address)
    assert len(names(d, "remove")) == 2
    assert ".a." in one(d)[0]
    d.restart()
    assert d.log().count("kept across the restart") == 2


@pytest.mark.parametrize("still_wanted", [True, False])
def test_a_path_that_another_server_took(manage, tmp_path, still_wanted):
    """Its socket is not touched: neither its mode nor its path."""
    path = tmp_path / "s"
    d = manage(service("a", TCP) + service("u", f"unix://{path}"))
    crash_all(d)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        path.chmod(0o611)
        if still_wanted:
            d.start(expect_ready=False)
            assert d.wait() == 69
            assert f"unix://{path}: Address already in use (a server answers there)" in d.log()
        else:
            d.write_config(service("a", TCP))
            d.start()
        assert path.stat().st_mode & 0o777 == 0o611
        with connect(f"unix://{path}"), other.accept()[0]:
            pass


def test_from_its_own_to_a_unit(manage):
    """A service gets a .socket unit; what it bound itself is closed."""
    d = manage(service("a", TCP), started=False)
    d.start()
    old = d.address()
    d.stop()
    s = socket.create_server(("127.0.0.1", 0))
    d.units = [("web", s)]
    d.write_config(service("a", "systemd://web"))
    with s:
        d.start()
        is_served(address_of(s))
        assert d.stored() == {}
        assert f"{old}: kept across the restart" in d.log()


def test_what_cannot_be_used_is_removed(manage):
    """Whatever it is: of a version that was never written, or of a service that is no socket."""
    d = manage(service("a", TCP), started=False)
    name = "store.x.0123456789abcdef"
    for fd in (os.pipe()[0], socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).detach(),
               socket.socket(socket.AF_INET, socket.SOCK_STREAM).detach(),
               os.memfd_create("x")):
        d.store.append((name, fd))
        d.start()
        assert names(d, "remove") == [name]
        assert f"{name}: kept across the restart, but" in d.log()
        assert len(d.store) == 1
        is_served(d.address())
        d.stop()


@pytest.mark.parametrize("name", ["store.socket", "store.", "store.web", "storeweb",
                                  "store.x.0123456789abcdeg"])
def test_units_may_be_called_like_that(manage, name):
    """store.socket is the default name of a socket of store.socket."""
    d = manage(service("a", f"systemd://{name}"), (name, TCP))
    is_served(d.unit_addresses[0])
    d.write_config(service("a", TCP))
    d.stop()
    d.start(expect_ready=False)
    assert d.wait() == CONFIG
    assert f'"{name}"' in d.log()


@pytest.mark.parametrize("old, new", [("tcp://127.0.0.1:PORT", "tcp://*:PORT"),
                                      ("udp://127.0.0.1:PORT", "udp://*:PORT"),
                                      ("unix://DIR/s", "unixpacket://DIR/s")])
@pytest.mark.parametrize("end", ["stop", "crash"])
def test_what_is_in_the_way_of_a_new_address(manage, tmp_path, old, new, end):
    """It is closed first, by systemd too; one start is enough."""
    port = str(free_port())
    old, new = (here(address, tmp_path).replace("PORT", port) for address in (old, new))
    d = manage(service("a", old))
    name, _ = one(d)
    crash_all(d) if end == "crash" else d.stop()
    d.write_config(service("a", new))
    d.start()
    is_served(new)
    assert f"{old}: kept across the restart, but no service listens there any more" in d.log()
    assert one(d)[0] != name


def test_a_hidden_one_is_bound_anew(manage):
    """Where a filter takes a capability, what drains is bound to an interface that is none."""
    address = f"tcp://127.0.0.1:{free_port()}"
    d = manage(service("a", address))
    name, number = one(d)
    crash_all(d)
    with socket.socket(fileno=os.dup(in_store(d, name))) as s:
        s.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, 2**31 - 1)
    d.start()
    assert f"{address}: kept across the restart, but nobody can come to it any more; bound anew" in d.log()
    is_served(address)
    assert one(d)[0] == name and one(d)[1] != number


# -- nobody is refused


def hammer(address, over, outcomes, lock):
    """Clients one after the other; what became of each."""
    number = 0
    while not over.is_set():
        number += 1
        token = b"client %d %d\n" % (threading.get_ident(), number)
        try:
            reply = exchange(address, token)
            outcome = "ok" if reply == token else "cut" if token.startswith(reply) else "wrong"
        except (ConnectionRefusedError, FileNotFoundError):
            outcome = "refused"
        except (ConnectionResetError, BrokenPipeError):
            outcome = "cut"
        except socket.timeout:
            outcome = "hung"
        with lock:
            outcomes[outcome] += 1


@contextlib.contextmanager
def loop_of(count, address):
    over, lock, outcomes = threading.Event(), threading.Lock(), collections.Counter()
    threads = [threading.Thread(target=hammer, args=(address, over, outcomes, lock))
               for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        over.set()
        for thread in threads:
            thread.join(2 * DEADLINE)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "unix://DIR/s", "unixpacket://DIR/s"])
def test_a_killed_master_refuses_nobody(manage, tmp_path, address):
    """SIGKILL under a loop of 12: only who was being served at that moment may be cut."""
    crashes, workers = 6, 2
    d = manage(service("a", here(address, tmp_path), workers=workers))
    with loop_of(12, d.address()) as outcomes:
        for _ in range(crashes):
            goal = outcomes["ok"] + 30
            wait_until("clients", lambda: outcomes["ok"] >= goal)
            d.crash()
            d.start()
        goal = outcomes["ok"] + 30
        wait_until("clients", lambda: outcomes["ok"] >= goal)
    lost = {kind: count for kind, count in outcomes.items() if kind not in ("ok", "cut")}
    assert lost == {}, outcomes
    assert outcomes["cut"] <= crashes * workers, outcomes


def test_datagrams_wait_through_a_crash(manage):
    d = manage(service("a", UDP))
    crash_all(d)
    waiting = [queue(d.address(), b"datagram %d" % i) for i in range(10)]
    d.start()
    assert [answer(s) for s in waiting] == [b"datagram %d" % i for i in range(10)]


def test_a_start_that_fails_changes_nothing(manage, programs, tmp_path):
    """Store, paths and queues are as they were, whatever it failed at."""
    good = (service("a", TCP) + service("u", f"unix://{tmp_path}/s")
            + service("g", f"unixgram://{tmp_path}/g"))
    d = manage(good)
    where = [d.address("a"), d.address("u"), d.address("g")]
    crash_all(d)
    before = d.stored(), os.stat(tmp_path / "s").st_ino, os.stat(tmp_path / "g").st_ino
    waiting = [queue(address, b"waits") for address in where]
    fails = gate(programs, "x", TCP, options={"enter_fails": "/"})
    busy = socket.create_server(("127.0.0.1", 0))
    for text, code in ((good + "nonsense {", CONFIG), (good + service("x", "systemd://y"), CONFIG),
                       (good + fails, 69), (good + service("x", address_of(busy)), 69)):
        d.write_config(text)
        d.start(expect_ready=False)
        assert d.wait() == code, d.log()
        d.hear_all()
        assert d.since_start() == [], text
        assert (d.stored(), os.stat(tmp_path / "s").st_ino,
                os.stat(tmp_path / "g").st_ino) == before
        waiting.append(queue(where[0], b"waits"))
    busy.close()
    d.write_config(good)
    d.start()
    assert [answer(s) for s in waiting] == [b"waits"] * len(waiting)
    assert d.stored() == before[0]


# -- a stop serves the queue, and then the store is of use all the same


@EVERY
def test_a_stop_serves_the_queue(manage, tmp_path, address):
    """Nobody says that a next start will come. Who waits is served before it ends."""
    d = manage(service("a", here(address, tmp_path), workers=1))
    [worker] = pids(d)
    os.kill(worker, signal.SIGSTOP)
    try:
        waiting = [queue(d.address(), b"waiting %d" % i) for i in range(5)]
        d.signal(signal.SIGTERM)
        d.wait_notification("STOPPING=1")
    finally:
        os.kill(worker, signal.SIGCONT)
    assert [answer(s) for s in waiting] == [b"waiting %d" % i for i in range(5)]
    assert d.wait() == 0
    assert not os.path.exists(tmp_path / "s")
    # From the store, with all that kept clients out taken away: at once, not by a second SYN.
    d.start()
    for _ in range(3):
        assert exchange(d.addresses()[-1], b"prompt", timeout=0.9) == b"prompt"
    if "DIR/s" in address:
        assert "nobody can come to it any more; bound anew" in d.log()
    elif address.startswith("unix"):
        # listen() keeps who comes out while it drains; no longer.
        with contextlib.ExitStack() as clients:
            for _ in range(10 if "gram" not in address else 0):
                clients.enter_context(connect(d.addresses()[-1], timeout=0.9))


@pytest.mark.parametrize("address", [TCP, UDP, "unix://@DIR"])
def test_killed_while_it_drains(manage, tmp_path, address):
    """Its filter is still on what the store gives back."""
    d = manage(service("a", here(address, tmp_path), workers=1))
    [worker] = pids(d)
    os.kill(worker, signal.SIGSTOP)
    waiting = queue(d.address(), b"waits")
    d.signal(signal.SIGTERM)
    d.wait_notification("STOPPING=1")
    d.wait_notification("EXTEND_TIMEOUT_USEC=")
    d.crash()
    os.kill(worker, signal.SIGCONT)
    wait_gone([worker])
    before = d.stored()
    d.start()
    assert answer(waiting) == b"waits"
    assert exchange(d.addresses()[-1], b"prompt", timeout=0.9) == b"prompt"
    assert d.stored() == before


def test_stops_and_starts_under_clients(manage):
    """A TCP client that comes in between sends its SYN again, and waits for the next start."""
    d = manage(service("a", TCP, workers=2))
    with Clients(d.address(), 4) as clients:
        for _ in range(4):
            d.restart()
            clients.more(8)


def test_a_second_signal_leaves_the_store_alone(manage):
    d = manage(service("a", TCP, workers=1))
    before = d.stored()
    with hold(d.address()):
        stop = start_ctl(d, "stop")
        d.wait_notification("STOPPING=1")
        d.signal(signal.SIGTERM)
        end_ctl(stop)
        d.wait()
    d.start()
    assert d.stored() == before
    assert exchange(d.addresses()[-1], b"prompt", timeout=0.9) == b"prompt"
