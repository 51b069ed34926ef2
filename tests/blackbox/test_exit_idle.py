# SPDX-License-Identifier: ISC
"""On demand: exit_idle ends the daemon, its sockets stay with systemd, and a client, whenever it
comes, is served by this start or by the next."""

import os
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest
from checking import CONFIG, check
from daemon import DEADLINE, connect, exchange, wait_until
from manager import manage  # noqa: F401 (a fixture)
from support import answer, finish, free_port, pids, queue, rewrite, say, service, unchanged

TCP = "tcp://127.0.0.1:0"
UDP = "udp://127.0.0.1:0"
ALL = pytest.mark.parametrize("address", [TCP, UDP, "unix://DIR/s", "unixgram://DIR/s",
                                          "unixpacket://DIR/s", "unix://@DIR"])
ACTIVATE = shutil.which("systemd-socket-activate")


def here(address, tmp_path):
    return address.replace("DIR", str(tmp_path))


def idle(seconds, text):
    return f'exit_idle = "{seconds}"\n{text}'


def ended(d):
    """By itself, as after a stop."""
    assert d.wait() == 0, d.log()
    d.hear_all()
    assert ("STOPPING",) in d.since_start()
    assert "exit_idle: stopping" in d.log()
    assert os.listdir(d.runtime) == []


def seconds_until_end(d, begun):
    ended(d)
    return time.monotonic() - begun


# -- when it ends, and when it does not


@ALL
def test_it_ends_after_the_time_without_a_client(manage, tmp_path, address):
    begun = time.monotonic()
    d = manage(idle("600ms", service("a", "systemd://a")), ("a", here(address, tmp_path)))
    assert seconds_until_end(d, begun) >= 0.6
    assert "no client for 600ms" in d.log()


@pytest.mark.parametrize("address", [TCP, UDP])
def test_each_client_begins_the_time_anew(manage, address):
    d = manage(idle("1500ms", service("a", "systemd://a")), ("a", address))
    begun = time.monotonic()
    while time.monotonic() - begun < 3:
        last = time.monotonic()
        assert exchange(d.address(), b"I am here") == b"I am here"
        threading.Event().wait(0.3)
    assert seconds_until_end(d, last) >= 1.5


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s", "unixpacket://DIR/s"])
def test_not_while_a_client_is_served(manage, tmp_path, address):
    d = manage(idle("300ms", service("a", "systemd://a", workers=2)),
               ("a", here(address, tmp_path)), started=False)
    with connect(d.unit_addresses[0]) as client:
        d.start()
        # Five times that long; the pause is what is tested.
        with pytest.raises(subprocess.TimeoutExpired):
            d.process.wait(1.5)
        say(client, b"still there")
        last = time.monotonic()
    assert seconds_until_end(d, last) >= 0.3


@pytest.mark.parametrize("address", [TCP, UDP, "unix://DIR/s"])
def test_not_while_one_waits_in_the_queue(manage, tmp_path, address):
    """Nobody accepts: the one worker is stopped, and looks idle on the board."""
    d = manage(idle("1s", service("a", "systemd://a", workers=1)),
               ("a", here(address, tmp_path)))
    [worker] = pids(d)
    os.kill(worker, signal.SIGSTOP)
    try:
        waiting = queue(d.address(), b"waits")
        with pytest.raises(subprocess.TimeoutExpired):
            d.process.wait(2.5)
    finally:
        os.kill(worker, signal.SIGCONT)
    assert answer(waiting) == b"waits"
    ended(d)


@pytest.mark.parametrize("which", [0, 1])
def test_one_of_many_is_enough(manage, which):
    """A client of any service keeps all of them."""
    d = manage(idle("300ms", service("a", "systemd://a") + service("b", "systemd://b")
                    + service("u", "systemd://u")), ("a", TCP), ("b", TCP), ("u", UDP),
               started=False)
    with connect(d.unit_addresses[which]) as client:
        d.start()
        with pytest.raises(subprocess.TimeoutExpired):
            d.process.wait(1.2)
        say(client, b"there")
    ended(d)


def test_off_by_default(manage):
    d = manage(service("a", "systemd://a"), ("a", TCP))
    with pytest.raises(subprocess.TimeoutExpired):
        d.process.wait(1)


def test_a_client_of_the_generation_before_counts(manage):
    """A reload replaced its worker's pool; it is a client all the same."""
    d = manage(idle("300ms", service("a", "systemd://a")), ("a", TCP), started=False)
    with connect(d.unit_addresses[0]) as client:
        d.start()
        say(client, b"served")
        rewrite(d, idle("300ms", service("a", "systemd://a", workers=2)))
        with pytest.raises(subprocess.TimeoutExpired):
            d.process.wait(1.2)
        finish(client)
    ended(d)


# -- reload


def test_a_reload_sets_it(manage):
    text = service("a", "systemd://a")
    d = manage(text, ("a", TCP))
    rewrite(d, idle("1h", text))
    rewrite(d, idle("300ms", text))
    ended(d)
    d.write_config(text)
    d.start()


def test_a_reload_takes_it_away(manage):
    text = service("a", "systemd://a")
    d = manage(idle("3s", text), ("a", TCP))
    rewrite(d, text)
    with pytest.raises(subprocess.TimeoutExpired):
        d.process.wait(4)
    assert exchange(d.address(), b"there") == b"there"


def test_a_reload_that_fails_leaves_it(manage):
    text = service("a", "systemd://a")
    d = manage(idle("3s", text), ("a", TCP))
    d.write_config(idle("1h", text) + "nonsense")
    assert d.ctl("reload", check=False).returncode == 1
    ended(d)


@pytest.mark.parametrize("good", [True, False])
def test_an_upgrade_keeps_it(manage, tmp_path, good):
    """Also one whose configuration only the new process finds wrong: it drops what was passed."""
    text = idle("2s", service("a", "systemd://a"))
    d = manage(text, ("a", TCP))
    if not good:
        d.write_config(idle("2s", service("a", f"unix://{tmp_path}/s")))
    result = d.ctl("upgrade", check=False)
    assert result.returncode == (0 if good else 1), result.stderr
    assert good or "claimed by no service" in result.stderr
    assert exchange(d.address(), b"there") == b"there"
    assert d.wait() == 0, d.log()
    assert "exit_idle: stopping" in d.log()


# -- only with .socket units


def needs_units(text, d, line):
    assert f"{d.config_file}:{line}: exit_idle: " in text, text
    assert 'service "own" listens on ' in text and ".socket units" in text, text


def test_not_with_a_listener_of_its_own(manage):
    """Nobody would start it again for a client of that."""
    d = manage("\n" + idle("10s", service("a", "systemd://a") + service("own", TCP)), ("a", TCP),
               expect_ready=False)
    assert d.wait() == CONFIG
    needs_units(d.log(), d, 2)
    d.hear_all()
    assert d.since_start() == []


def test_not_with_one_of_the_store_either(manage):
    text = service("own", TCP)
    d = manage(text)
    d.stop()
    before = d.stored()
    d.write_config(idle("10s", text))
    d.start(expect_ready=False)
    assert d.wait() == CONFIG
    needs_units(d.log(), d, 1)
    d.hear_all()
    assert d.stored() == before


def test_a_reload_may_not_add_one(manage):
    text = service("a", "systemd://a")
    d = manage(idle("1h", text), ("a", TCP))
    with unchanged(d):
        d.write_config(idle("1h", text + service("own", TCP)))
        result = d.ctl("reload", check=False)
        assert result.returncode == 1
        needs_units(result.stderr, d, 1)
    rewrite(d, text + service("own", TCP))
    with unchanged(d):
        d.write_config(idle("1h", text + service("own", TCP)))
        assert d.ctl("reload", check=False).returncode == 1


def test_ordinary_addresses_that_were_passed(manage):
    d = manage(idle("300ms", service("a", "<A0>")), ("a", TCP))
    ended(d)


def test_check_does_not_know_yet(programs, tmp_path):
    """What will be passed only a start knows."""
    text = idle("10s", service("a", f"tcp://127.0.0.1:{free_port()}", "systemd://b"))
    assert check(programs, tmp_path / "c.conf", text).code == 0


# -- the very moment


class OnDemand:
    """What systemd does: starts the service when a client comes and it does not run."""

    def __init__(self, d):
        self.d = d
        self.over = threading.Event()
        self.starts, self.failures = 0, []
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            while not self.over.is_set():
                if self.d.process.poll() is None:
                    # Until it ends; looked at again in case the test does.
                    try:
                        self.d.process.wait(0.05)
                    except subprocess.TimeoutExpired:
                        continue
                assert self.d.process.returncode == 0, self.d.log()
                if self.d.has_client(0.05):
                    self.d.start(expect_ready=False)
                    self.starts += 1
        except BaseException as failure:  # pylint: disable=broad-except
            self.failures.append(failure)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *failure):
        self.over.set()
        self.thread.join(DEADLINE)
        if failure[0] is None:
            assert not self.failures


def rounds_until(least, enough):
    """So many, and on a slow machine more: until the end was near often enough."""
    for i in range(20 * least):
        if i >= least and enough():
            return
        yield i
    raise AssertionError("the end was never near")


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s", "unixpacket://DIR/s", UDP,
                                     "unixgram://DIR/s"])
def test_who_comes_in_the_very_moment(manage, tmp_path, address):
    """A client around the deadline, again and again. It is served, by whom does not matter."""
    dice = random.Random(address)
    time_, rounds = 0.06, 40
    d = manage(idle("60ms", service("a", "systemd://a", workers=2)),
               ("a", here(address, tmp_path)))
    where = d.unit_addresses[0]
    with OnDemand(d) as manager:
        for i in rounds_until(rounds, lambda: manager.starts >= rounds // 4):
            token = b"client %d" % i
            assert exchange(where, token, timeout=DEADLINE) == token
            # From well before the deadline to the middle of the stop; the pause is the point.
            threading.Event().wait(time_ + dice.uniform(-0.008, 0.012))
    assert "killed" not in d.log()


def test_many_at_once_in_the_very_moment(manage):
    """Several clients of several kinds around each end."""
    dice = random.Random(7)
    d = manage(idle("60ms", service("a", "systemd://a", workers=1)
                    + service("u", "systemd://u", workers=1)), ("a", TCP), ("a", TCP), ("u", UDP))
    failures = []

    def client(where, token, pause):
        try:
            threading.Event().wait(pause)
            assert exchange(where, token) == token
        except Exception as failure:  # pylint: disable=broad-except
            failures.append((where, token, failure))

    with OnDemand(d) as manager:
        for i in rounds_until(20, lambda: manager.starts > 5):
            threads = [threading.Thread(target=client, args=(
                dice.choice(d.unit_addresses), b"client %d.%d" % (i, j),
                0.06 + dice.uniform(-0.005, 0.01))) for j in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(2 * DEADLINE)
            assert not failures


def test_started_by_the_first_client(manage):
    d = manage(idle("200ms", service("a", "systemd://a")), ("a", TCP), started=False)
    for i in range(5):
        waiting = queue(d.unit_addresses[0], b"first %d" % i)
        assert d.has_client(DEADLINE)
        d.start()
        assert answer(waiting) == b"first %d" % i
        ended(d)


# -- the same under systemd-socket-activate


@pytest.fixture
def activate(programs, tmp_path):
    """Starts the daemon at the first client of an address; the end of one start is the end of it."""
    if not ACTIVATE:
        pytest.skip("there is no systemd-socket-activate (Debian: systemd)")
    started = []

    def start(config, *options):
        file = tmp_path / "c.conf"
        file.write_text(config)
        with open(tmp_path / "log", "ab") as log:
            process = subprocess.Popen(
                [ACTIVATE, *options, programs.preforkd, "--config", str(file),
                 "--runtime-directory", str(tmp_path / "run")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        started.append(process)
        wait_until("systemd-socket-activate", lambda: "Listening on" in
                   (tmp_path / "log").read_text())
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(DEADLINE)


def test_activated_stream(activate, tmp_path):
    port = free_port()
    process = activate(idle("300ms", service("a", f"tcp://127.0.0.1:{port}")),
                       f"--listen=127.0.0.1:{port}")
    assert process.poll() is None and "preforkd" not in (tmp_path / "log").read_text()
    for i in range(3):
        assert exchange(f"tcp://127.0.0.1:{port}", b"hello %d" % i) == b"hello %d" % i
    assert process.wait(DEADLINE) == 0
    assert "no client for 300ms" in (tmp_path / "log").read_text()


def test_activated_datagram(activate):
    port = free_port()
    process = activate(idle("300ms", service("a", f"udp://127.0.0.1:{port}")), "--datagram",
                       f"--listen=127.0.0.1:{port}")
    assert exchange(f"udp://127.0.0.1:{port}", b"hello") == b"hello"
    assert process.wait(DEADLINE) == 0


def test_activated_by_name(activate, tmp_path):
    process = activate(idle("300ms", service("a", "systemd://one") + service("b", "systemd://two")),
                       f"--listen={tmp_path}/1", f"--listen={tmp_path}/2", "--fdname=one:two")
    assert exchange(f"unix://{tmp_path}/2", b"hello") == b"hello"
    assert exchange(f"unix://{tmp_path}/1", b"hello") == b"hello"
    assert process.wait(DEADLINE) == 0


def test_activated_packets(activate, tmp_path):
    process = activate(idle("300ms", service("a", "systemd://p")), "--seqpacket",
                       f"--listen={tmp_path}/p", "--fdname=p")
    assert exchange(f"unixpacket://{tmp_path}/p", b"hello") == b"hello"
    assert process.wait(DEADLINE) == 0


def test_activated_without_names(activate, tmp_path):
    """Its sockets have no names then; sd_listen_fds_with_names(3) calls them all unknown."""
    process = activate(idle("300ms", service("a", "systemd://unknown")), f"--listen={tmp_path}/s")
    assert exchange(f"unix://{tmp_path}/s", b"hello") == b"hello"
    assert process.wait(DEADLINE) == 0


def test_activated_with_what_nobody_claims(activate, tmp_path):
    process = activate(service("a", TCP), f"--listen={tmp_path}/s", "--fdname=web")
    with connect(f"unix://{tmp_path}/s"):
        assert process.wait(DEADLINE) == CONFIG
    assert f'the socket "web" (unix://{tmp_path}/s)' in (tmp_path / "log").read_text()


def test_accept_per_connection_is_refused(activate, tmp_path):
    """As Accept=yes: an instance for each connection, which is passed."""
    activate(service("a", "systemd://web"), f"--listen={tmp_path}/s", "--accept", "--fdname=web")
    with connect(f"unix://{tmp_path}/s") as client:
        assert client.recv(1) == b""
    wait_until("the reason", lambda: "does not listen (Accept=yes in its .socket unit?)" in
               (tmp_path / "log").read_text())
