# SPDX-License-Identifier: ISC
"""What else is asked for while an upgrade is under way, at any moment of it, is done too."""

import json
import os
import random
import re
import signal
import threading

import pytest
from daemon import exchange, wait_until
from look import stat_fields
from support import (Clients, answer, end_ctl, finish, gate, hold, pids, queue, rewrite, service,
                     signal_was_taken, start_ctl, wait_gone)
from upgrading import (count_upgrades, identity, install_checked, install_text, own_programs,
                       stopped, upgrade, wait_alone, wait_for_file)

TCP = "tcp://127.0.0.1:0"
AGAIN = {"HUP": r"reload: generation", "USR1": r"recycle: ", "USR2": r"upgrade: version \S+, gen"}


class Check:
    """An upgrade whose check has begun, and ends when it is let go."""

    def __init__(self, d, programs, door):
        self.d = d
        self.door = door
        self.door.unlink(missing_ok=True)
        started = door.with_suffix(".started")
        started.unlink(missing_ok=True)
        install_checked(programs, f"touch {started}", wait_for_file(door))
        before = set(d.workers())
        self.order = start_ctl(d, "upgrade", "--json")
        wait_until("check", started.exists)
        [self.pid] = set(d.workers()) - before

    def let_go(self):
        self.door.touch()

    def wait_dead(self):
        """It has ended, and its parent does not know yet."""
        wait_until("its end", lambda: (stat_fields(self.pid) or "Z")[0] == "Z")

    def end(self):
        code, out, err = end_ctl(self.order)
        assert code == 0, (out, err, self.d.log())
        return json.loads(out)


def count(d, pattern):
    return len(re.findall(pattern, d.log()))


def wait_served(d, name, before):
    """That what the signal asks for was done. Others of its kind may have been one with it."""
    wanted = before + (2 if name == "USR2" else 1)
    wait_until(f"SIG{name}", lambda: count(d, AGAIN[name]) >= wanted)


@pytest.mark.parametrize("name", AGAIN)
def test_a_signal_as_it_executes(daemon, programs, tmp_path, name):
    """Signals that come together with the end of the check: the loop reads one in each round, the
    last of them just before the execve."""
    d = daemon(service("a", TCP, workers=1))
    was = identity(d)
    for number in range(12):
        before = count(d, AGAIN[name])
        check = Check(d, programs, tmp_path / "door")
        with stopped(d):
            check.let_go()
            check.wait_dead()
            for other in ("WINCH", "PIPE")[:number % 3]:
                d.signal(getattr(signal, f"SIG{other}"))
            d.signal(getattr(signal, f"SIG{name}"))
        check.end()
        wait_served(d, name, before)
    assert identity(d) == was
    assert exchange(d.address(), b"served") == b"served"


@pytest.mark.parametrize("others", [[], ["PIPE"], ["USR2"], ["USR2", "PIPE"]])
def test_a_stop_as_it_executes(daemon, programs, tmp_path, others):
    for number in range(8):
        d = daemon(service("a", TCP, workers=1), name=f"d{number}")
        check = Check(d, programs, tmp_path / "door")
        with stopped(d):
            check.let_go()
            check.wait_dead()
            for other in others:
                d.signal(getattr(signal, f"SIG{other}"))
            d.signal(signal.SIGTERM)
        assert d.wait() == 0, d.log()
        end_ctl(check.order)


@pytest.mark.parametrize("name", AGAIN)
def test_a_signal_at_any_moment(daemon, name):
    """Microseconds after the upgrade was asked for."""
    dice = random.Random(name)
    d = daemon(service("a", TCP, workers=1))
    early = 0
    with Clients(d.address(), 1) as clients:
        for number in range(40):
            before = count(d, AGAIN[name])
            upgrades = count_upgrades(d)
            d.signal(signal.SIGUSR2)
            # The time is the point: the signal may come at any moment of the upgrade.
            threading.Event().wait(dice.random() * 0.03)
            early += count_upgrades(d) == upgrades
            d.signal(getattr(signal, f"SIG{name}"))
            if name == "USR2":
                # Two that come as one are one: the later is answered all the same.
                wait_until("upgrade", lambda: signal_was_taken(d.pid, signal.SIGUSR2))
                upgrade(d)
                assert count_upgrades(d) >= upgrades + 1
            else:
                wait_until(f"SIG{name} {number}", lambda: count(d, AGAIN[name]) > before)
                wait_until("upgrade", lambda: count_upgrades(d) > upgrades)
        clients.more()
    assert early > 0, "every signal came after the upgrade"


def test_a_stop_at_any_moment(daemon):
    dice = random.Random(1)
    for number in range(15):
        d = daemon(service("a", TCP, workers=1), name=f"d{number}")
        d.signal(signal.SIGUSR2)
        threading.Event().wait(dice.random() * 0.03)
        old = d.workers()
        d.signal(signal.SIGTERM)
        assert d.wait() == 0, d.log()
        assert d.log().endswith("stopped\n")
        wait_gone(old)


# -- orders during the check, which the old program has, and during the load of the new one


def test_a_reload_during_the_check(daemon, programs, tmp_path):
    d = daemon(service("a", TCP, workers=1))
    check = Check(d, programs, tmp_path / "door")
    rewrite(d, service("a", TCP, workers=3))
    assert len(pids(d)) == 3
    check.let_go()
    assert "generation 3: " in check.end()["text"]
    assert len(pids(d)) == 3


def test_a_recycle_during_the_check(daemon, programs, tmp_path):
    d = daemon(service("a", TCP, workers=2))
    old = pids(d)
    check = Check(d, programs, tmp_path / "door")
    d.ctl("recycle")
    assert not pids(d) & old
    check.let_go()
    check.end()


def test_an_upgrade_during_the_check(daemon, programs, tmp_path):
    """It runs after it: who asked later gets what was there later."""
    d = daemon(service("a", TCP, workers=1))
    check = Check(d, programs, tmp_path / "door")
    d.signal(signal.SIGUSR2)
    wait_until("its signal", lambda: signal_was_taken(d.pid, signal.SIGUSR2))
    check.let_go()
    assert check.end()["number"] in (1, 2)
    d.wait_log(r"upgrade: version \S+, generation 3: ")
    assert json.loads(d.ctl("upgrade", "--json").stdout)["number"] == 3


def loading(d, order, count_before):
    """The new program starts its workers, which wait at their door."""
    wait_until("execve", lambda: count(d, "took over from") > count_before)
    assert order.poll() is None


@pytest.mark.parametrize("name", AGAIN)
def test_an_order_while_the_new_one_loads(daemon, programs, tmp_path, name):
    """It is done afterwards: its workers start with what is there after it was given."""
    door = tmp_path / "door"
    door.touch()
    d = daemon(gate(programs, "a", TCP, workers=2, options={"enter_waits": door}))
    held, was = hold(d.address()), identity(d)
    door.unlink()
    order = start_ctl(d, "upgrade", "--json")
    loading(d, order, 0)
    number = getattr(signal, f"SIG{name}")
    young = set(d.workers())
    d.signal(number)
    wait_until("its signal", lambda: signal_was_taken(d.pid, number))
    assert exchange(d.address(), b"by the old ones") == b"by the old ones"
    door.touch()
    code, out, err = end_ctl(order)
    assert code == 0, (out, err, d.log())
    done = {"HUP": "reload: generation 3: 1 kept", "USR1": "recycle: every worker was replaced",
            "USR2": r"upgrade: version \S+, generation 3"}[name]
    d.wait_log(done)
    assert not re.search(r"<3>|failed", d.log()), d.log()
    wait_until("rest", lambda: d.status()["state"] == "running")
    assert identity(d) == was
    if name != "HUP":
        assert not pids(d) & young
    finish(held)
    wait_alone(d, 2)


def test_a_stop_while_the_new_one_loads(daemon, programs, tmp_path):
    door = tmp_path / "door"
    door.touch()
    d = daemon(gate(programs, "a", TCP, workers=2, options={"enter_waits": door}))
    held = hold(d.address())
    door.unlink()
    order = start_ctl(d, "upgrade")
    loading(d, order, 0)
    d.signal(signal.SIGTERM)
    code, _, err = end_ctl(order)
    assert (code, err) == (1, "preforkctl: preforkd stops\n")
    finish(held)
    assert d.wait() == 0


def test_an_upgrade_during_a_reload(daemon, programs, tmp_path):
    """It waits for its end."""
    door = tmp_path / "door"
    door.touch()
    text = gate(programs, "a", TCP, workers=2, idle_timeout="1m",
                options={"enter_waits": door})
    d = daemon(text)
    door.unlink()
    d.write_config(text.replace('"2"', '"3"').replace('"1m"', '"2m"'))
    before = set(d.workers())
    order = start_ctl(d, "reload", "--json")
    wait_until("new ones", lambda: len(set(d.workers()) - before) >= 3)
    second = start_ctl(d, "upgrade", "--json")
    wait_until("its signal", lambda: signal_was_taken(d.pid, signal.SIGUSR2))
    assert exchange(d.address(), b"served") == b"served"
    assert count(d, "took over") == 0
    door.touch()
    for who in (order, second):
        code, out, err = end_ctl(who)
        assert code == 0, (out, err, d.log())
    assert count(d, "reload: generation 2") == count(d, r"upgrade: .* generation 3") == 1
    wait_alone(d, 3)


def test_what_was_not_checked_is_checked(daemon, programs, tmp_path):
    """The program is replaced while the upgrade waits for a reload."""
    door, checked, go_on = (tmp_path / name for name in ("door", "checked", "go_on"))
    door.touch()
    text = gate(programs, "a", TCP, workers=2, idle_timeout="1m",
                options={"enter_waits": door})
    d = daemon(text)
    door.unlink()
    install_text(programs.preforkd, "\n".join(
        ["#!/bin/sh", f"echo $$ > {checked}.new", f"mv {checked}.new {checked}",
         wait_for_file(go_on), ""]))
    order = start_ctl(d, "upgrade")
    wait_until("the check", checked.exists)
    before = set(d.workers())
    d.write_config(text.replace('"2"', '"3"').replace('"1m"', '"2m"'))
    reloading = start_ctl(d, "reload")
    wait_until("new ones", lambda: len(set(d.workers()) - before) >= 3)
    go_on.touch()
    wait_gone([int(checked.read_text())])
    install_text(programs.preforkd, "#!/bin/sh\nexit 9\n")
    door.touch()
    assert end_ctl(reloading)[0] == 0
    code, _, err = end_ctl(order)
    assert code == 1 and "--check exited with status 9" in err
    assert exchange(d.address(), b"served") == b"served"


def test_a_queue_that_drains_is_served_first(daemon, programs, tmp_path):
    """Each worker serves one: who follows it would not be there after the upgrade."""
    checked = tmp_path / "checked"
    d = daemon(service("a", TCP, workers=1, recycle_after=1) + service("b", TCP))
    held = hold(d.address("a"))
    waiting = [queue(d.address("a"), b"waiting %d" % i) for i in range(5)]
    rewrite(d, service("b", TCP))
    install_checked(programs, f"echo $$ > {checked}.new", f"mv {checked}.new {checked}")
    order = start_ctl(d, "upgrade")
    wait_until("check", checked.exists)
    wait_gone([int(checked.read_text())])
    finish(held)
    assert [answer(s) for s in waiting] == [b"waiting %d" % i for i in range(5)]
    assert end_ctl(order)[0] == 0
    assert exchange(d.address("b"), b"served") == b"served"


def test_an_upgrade_during_a_recycle(daemon, programs, tmp_path):
    door = tmp_path / "door"
    door.touch()
    d = daemon(gate(programs, "a", TCP, workers=2, options={"enter_waits": door}))
    old = pids(d)
    door.unlink()
    order = start_ctl(d, "recycle")
    wait_until("a new one", lambda: set(d.workers()) - old)
    second = start_ctl(d, "upgrade")
    wait_until("its signal", lambda: signal_was_taken(d.pid, signal.SIGUSR2))
    assert exchange(d.address(), b"served") == b"served"
    door.touch()
    assert [end_ctl(who)[0] for who in (order, second)] == [0, 0]
    wait_alone(d, 2)


def test_workers_that_die_during_the_check(daemon, programs, tmp_path):
    """Their end is told to the new program, which knows them."""
    d = daemon(service("a", TCP, workers=3))
    old = pids(d)
    for _ in range(5):
        check = Check(d, programs, tmp_path / "door")
        with stopped(d):
            check.let_go()
            check.wait_dead()
            victim = min(pids(d))
            os.kill(victim, signal.SIGKILL)
            wait_until("its end", lambda: (stat_fields(victim) or "Z")[0] == "Z")
        check.end()
        wait_alone(d, 3)
    assert not pids(d) & old
    assert exchange(d.address(), b"served") == b"served"
