# SPDX-License-Identifier: ISC
"""An upgrade that cannot be: the old program serves on as if nothing had been asked, or, where it
is the new one that cannot load its configuration, the workers of before do. Who asked is told."""

import os
import re
import signal
from pathlib import Path

import pytest
from daemon import exchange, wait_until
from manager import manage  # noqa: F401 (a fixture)
from support import (Clients, answer, end_ctl, finish, free_port, gate, hold, pids, queue, rewrite,
                     say, service, start_ctl, unchanged, wait_gone)
from upgrading import (identity, install, install_checked, install_text, kinds, own_programs,
                       refused, upgrade, wait_alone, wait_for_file)

TCP = "tcp://127.0.0.1:0"

SCRIPT = "#!/bin/sh\n"

# What is in the program's place, its mode, and what is said about it.
BAD = {
    "nothing": (None, 0, "exited with status 69: PROGRAM: No such file or directory"),
    "no program": ("a text\n", 0o755, "exited with status 69: PROGRAM: Exec format error"),
    "may not be executed": (SCRIPT, 0o644, "exited with status 69: PROGRAM: Permission denied"),
    "no interpreter": ("#!/no/such/thing\n", 0o755,
                       "exited with status 69: PROGRAM: No such file or directory"),
    "silent": (SCRIPT + "exit 3\n", 0o755, "exited with status 3\n"),
    "explains": (SCRIPT + "echo one\necho two >&2\nexit 78\n", 0o755,
                 "exited with status 78: one\ntwo\n"),
    "as a log": (SCRIPT + "echo '<3>preforkd[1]: what is wrong: this' >&2\nexit 78\n", 0o755,
                 "exited with status 78: what is wrong: this\n"),
    "crashes": (SCRIPT + "kill -SEGV $$\n", 0o755, "was killed by SIGSEGV"),
    "killed": (SCRIPT + "kill -KILL $$\n", 0o755, "was killed by SIGKILL"),
    "says much": (SCRIPT + "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exit 1",
                  0o755, "exited with status 1: line 0\nline 1\n"),
    "leaves somebody behind": (SCRIPT + "sleep 5 & exit 4\n", 0o755, "exited with status 4"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_program(daemon, programs, case):
    """Is found before anything is touched."""
    text, mode, said = BAD[case]
    d = daemon(service("a", TCP, workers=2))
    held = hold(d.address())
    was = identity(d)
    if text is None:
        Path(programs.preforkd).unlink()
    else:
        install_text(programs.preforkd, text, mode)
    with unchanged(d):
        for _ in range(2):
            told = refused(d)
            assert told.startswith("preforkctl: refused: " + programs.preforkd + " --check "), told
            assert said.replace("PROGRAM", programs.preforkd) in told, told
    assert identity(d) == was
    assert exchange(d.address(), b"served") == b"served"
    say(held, b"still")
    wait_alone(d, 2)
    assert d.ctl("status").returncode == 0
    # And the next one that is good is made.
    install(programs.built, programs.preforkd)
    upgrade(d)
    finish(held)


def test_a_bad_configuration(daemon):
    d = daemon(service("a", TCP, workers=2))
    good = d.config_file.read_text()
    d.write_config(good.replace("workers", "wrokers"))
    with unchanged(d):
        told = refused(d)
    assert f'{d.config_file}:3: service "a": ' in told, told
    assert "wrokers" in told
    d.wait_log(rf'upgrade: .*{d.config_file}:3: service "a"')
    d.write_config(good)
    upgrade(d)


def test_it_is_all_mistakes_that_are_told(daemon):
    d = daemon(service("a", TCP, workers=2))
    d.write_config(service("a", TCP, workers="many") + service("b", "tcp:/nowhere"))
    told = refused(d)
    assert f"{d.config_file}:3: " in told
    assert f"{d.config_file}:7: " in told


def test_a_check_that_is_killed_from_outside(daemon, programs, tmp_path):
    install_pid = tmp_path / "pid"
    d = daemon(service("a", TCP))
    install_text(programs.preforkd, SCRIPT + f"echo $$ > {install_pid}.new\n"
                 f"mv {install_pid}.new {install_pid}\n" + wait_for_file(tmp_path / "never") + "\n")
    with unchanged(d):
        order = start_ctl(d, "upgrade")
        wait_until("check", install_pid.exists)
        # Meanwhile it serves.
        assert exchange(d.address(), b"served") == b"served"
        os.kill(int(install_pid.read_text()), signal.SIGKILL)
        code, _, told = end_ctl(order)
    assert code == 1
    assert "was killed by SIGKILL" in told


def test_a_stop_during_the_check(daemon, programs, tmp_path):
    started = tmp_path / "started"
    d = daemon(service("a", TCP))
    install_text(programs.preforkd, SCRIPT + f"touch {started}\n" +
                 wait_for_file(tmp_path / "never") + "\n")
    order = start_ctl(d, "upgrade")
    wait_until("check", started.exists)
    children = d.workers()
    assert d.stop() == 0
    assert end_ctl(order)[0] in (1, 3)
    wait_gone(children)
    assert d.log().endswith("stopped\n")


# -- good at the check, and not afterwards

AFTER = {
    "gone": ('rm "$0"', "No such file or directory"),
    "no program any more": ('echo garbage > "$0.x"; chmod 755 "$0.x"; mv "$0.x" "$0"',
                            "Exec format error"),
    "may not be executed any more": ('chmod 644 "$0"', "Permission denied"),
}


@pytest.mark.parametrize("case", AFTER)
def test_it_cannot_be_executed(daemon, programs, case):
    command, said = AFTER[case]
    d = daemon(service("a", TCP, workers=2))
    held = hold(d.address())
    was = identity(d)
    with unchanged(d):
        install_text(programs.preforkd, f"{SCRIPT}{command}\n")
        assert refused(d) == f"preforkctl: {programs.preforkd}: {said}\n"
    assert identity(d) == was
    # It had said that it reloads; it is ready again.
    d.wait_notification("RELOADING=1")
    d.wait_notification("READY=1")
    assert exchange(d.address(), b"served") == b"served"
    # No descriptor that an execve was to keep open gets into a child.
    d.write_config(service("a", TCP, workers=2, module=programs.modules / "env.so"))
    d.ctl("reload")
    assert exchange(d.address(), b"?").count(b"memfd") == 0
    finish(held)
    for _ in range(3):
        install(programs.built, programs.preforkd)
        upgrade(d)
    wait_alone(d, 2)


def test_descriptors_after_many_that_failed(daemon, programs):
    d = daemon(service("a", TCP, "udp://127.0.0.1:0", workers=2))
    before = None
    for _ in range(10):
        install_text(programs.preforkd, SCRIPT + 'rm "$0"\n')
        refused(d)
        now = wait_until("rest", lambda: (lambda a, b: a if a == b else None)(kinds(d.pid),
                                                                            kinds(d.pid)))
        before = before or now
    wait_until("as many descriptors", lambda: kinds(d.pid) == before)


# -- the new program cannot load what the check found good


def is_degraded(d):
    result = d.ctl("status", check=False)
    return result.returncode == 1 and "degraded" in result.stdout


def check_serves_on(d, old, reason):
    """After an upgrade whose load failed: who served before does so now."""
    told = refused(d)
    assert reason in told, told
    wait_until("end of the new ones", lambda: pids(d) == old)
    wait_until("degraded", lambda: is_degraded(d))
    d.wait_notification("STATUS=degraded")
    result = d.ctl("recycle", check=False)
    assert result.returncode == 1
    assert "reload" in result.stderr


@pytest.mark.parametrize("repair", ["reload", "upgrade"])
def test_new_workers_that_fail(daemon, programs, tmp_path, repair):
    trap = tmp_path / "trap"
    d = daemon(gate(programs, "a", TCP, workers=2, options={"enter_fails": trap}) +
               service("b", TCP, workers=1) + service("u", "udp://127.0.0.1:0", workers=1))
    was, old = identity(d), pids(d)
    held = hold(d.address("a"))
    trap.touch()
    with Clients(d.address("a"), 2) as clients:
        check_serves_on(d, old, "enter: Permission denied")
        clients.more(20)
        trap.unlink()
        d.ctl(repair)
        clients.more(20)
    for name in ("a", "b", "u"):
        assert exchange(d.address(name), b"served") == b"served"
    assert not pids(d) & old
    assert identity(d) == was
    assert len(pids(d)) == 4
    finish(held)
    wait_alone(d, 4)
    assert d.ctl("status").returncode == 0
    d.ctl("recycle")


def test_the_configuration_breaks_after_the_check(daemon, programs):
    d = daemon(service("a", TCP, workers=2))
    good, old = d.config_file.read_text(), pids(d)
    install_checked(programs, f"echo nonsense >> {d.config_file}")
    check_serves_on(d, old, f"{d.config_file}:")
    # Again, while it is so: refused at the check.
    with unchanged(d):
        assert "refused: " in refused(d)
    d.write_config(good)
    d.ctl("reload")
    assert not pids(d) & old
    assert d.ctl("status").returncode == 0


def test_a_stop_after_a_load_that_failed(daemon, programs):
    d = daemon(service("a", TCP, workers=2))
    install_checked(programs, f"echo nonsense >> {d.config_file}")
    check_serves_on(d, pids(d), f"{d.config_file}:")
    held = hold(d.address())
    d.signal(signal.SIGTERM)
    d.wait_log("SIGTERM: stopping")
    finish(held)
    assert d.wait() == 0


def left_alone(d, programs):
    """After a load that failed, whose workers of before have all served their recycle_after."""
    workers = pids(d)
    install_checked(programs, f"echo nonsense >> {d.config_file}")
    refused(d)
    for _ in workers:
        assert exchange(d.address(), b"last") == b"last"
    wait_gone(workers)


def test_a_stop_with_nobody_left_to_serve(daemon, programs):
    """Who waits is not waited for: without stop_timeout that would be for ever."""
    d = daemon(service("a", TCP, workers=1, recycle_after=1, stop_timeout="0"))
    left_alone(d, programs)
    with queue(d.address(), b"waits"):
        assert d.stop() == 0


def test_the_load_is_tried_again(daemon, programs):
    """Once the file is mended nobody has to say so; who waits is served."""
    d = daemon(service("a", TCP, workers=2, recycle_after=1))
    good = d.config_file.read_text()
    left_alone(d, programs)
    waiting = queue(d.address(), b"waits")
    d.wait_log(r"reload: .*syntax")
    d.write_config(good)
    assert answer(waiting) == b"waits"
    # The one that served it leaves, and one is missing meanwhile.
    wait_until("health with two workers", lambda: len(pids(d)) == 2 and
               d.ctl("status", check=False).returncode == 0)


def test_nothing_is_said_of_a_next_worker(daemon, programs):
    """There is none before a load succeeds, nor is the pool healthy again."""
    d = daemon(service("a", TCP, workers=2))
    install_checked(programs, f"echo nonsense >> {d.config_file}")
    refused(d)
    with Clients(d.address()) as clients:
        clients.more(50)
        d.wait_log("trying again to load the configuration")
    assert "healthy again" not in d.log()
    assert "degraded: the next worker" not in d.log()


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("queued", [0, 1])
def test_dropped_and_had_back(daemon, programs, loaded, queued):
    """A listener of before the upgrade drains, and is taken over while it does."""
    address, other = f"tcp://127.0.0.1:{free_port()}", service("b", TCP)
    text = service("a", address, workers=1)
    d = daemon(text + other)
    held = hold(address)
    waiting = [queue(address, b"waits") for _ in range(queued)]
    if loaded:
        upgrade(d)
    else:
        install_checked(programs, f"echo nonsense >> {d.config_file}")
        refused(d)
    rewrite(d, other)
    rewrite(d, text + other)
    assert exchange(address, b"new") == b"new"
    finish(held)
    assert [answer(s) for s in waiting] == [b"waits"] * queued
    assert d.stop() == 0


def test_the_address_is_taken_after_the_check(daemon, programs, tmp_path):
    """What is new cannot be bound; what was there is not touched."""
    d = daemon(service("a", TCP, workers=2))
    old = pids(d)
    (tmp_path / "file").touch()
    d.write_config(service("a", TCP, workers=2) + service("b", f"unix://{tmp_path}/file"))
    told = refused(d)
    assert "the file exists and is no socket" in told, told
    wait_until("end of the new ones", lambda: pids(d) == old)
    (tmp_path / "file").unlink()
    d.ctl("reload")
    assert exchange(f"unix://{tmp_path}/file", b"served") == b"served"
    assert re.search(r"generation 2: 0 kept, 1 replaced, 1 added, 0 dropped", d.log())


def test_dropped_by_the_reload_that_repairs(manage, programs, tmp_path):
    """A pool of before the upgrade that nobody wants any more: its clients are served, its listener
    closed and taken out of the store."""
    d = manage(service("a", TCP, workers=1) + service("goes", f"unix://{tmp_path}/s", workers=1))
    install_checked(programs, f"echo nonsense >> {d.config_file}")
    refused(d)
    held = hold(f"unix://{tmp_path}/s")
    assert len(d.stored()) == 2
    d.write_config(service("a", TCP, workers=1))
    d.ctl("reload")
    assert not (tmp_path / "s").exists()
    finish(held)
    wait_alone(d, 1)
    wait_until("store", lambda: len(d.stored()) == 1)
    assert exchange(d.address("a"), b"served") == b"served"
