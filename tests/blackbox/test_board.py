# SPDX-License-Identifier: ISC
"""The board of a living daemon, as preforkctl shows it: true, complete, and there when nothing
else answers."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from daemon import connect, exchange, wait_until
from support import (ENDINGS, Clients, adds_up, at_rest, finish, gone, hold, pids, rewrite,
                     service, wait_gone, workers)

TCP = "tcp://127.0.0.1:0"


# ---- what it shows


def test_status_json(daemon, tmp_path):
    d = daemon(service("a", TCP, workers=2) + service("u", f"unix://{tmp_path}/s", workers=1))
    with hold(d.address("a")) as client:
        status = d.status()
        assert (status["instance"], status["state"]) == ("main", "running")
        assert (status["pid"], status["generation"]) == (d.pid, 1)
        assert status["degraded"] is False
        pools = {p["service"]: p for p in status["pools"]}
        assert pools["a"]["address"] == d.address("a")
        assert pools["a"]["handler"] == "echo"
        assert (pools["a"]["idle"], pools["a"]["busy"]) == (1, 1)
        assert (pools["a"]["workers_wanted"], pools["a"]["workers_ready"]) == (2, 2)
        assert pools["u"]["address"] == f"unix://{tmp_path}/s"
        assert {w["pid"] for w in status["workers"]} == set(d.workers())
        [busy] = [w for w in status["workers"] if w["state"] == "busy"]
        assert busy["client"] == "127.0.0.1:%d" % client.getsockname()[1]
        assert busy["connections"]["open"] == 1
        assert busy["since_usec"] >= busy["started_usec"] >= status["started_usec"]
        finish(client)
    assert all(w["client"] is None for w in wait_until(
        "idle", lambda: [w for w in workers(d) if w["state"] == "idle"]))


def test_status_text(daemon):
    d = daemon(service("a", TCP, workers=2))
    with hold(d.address()) as client:
        text = d.ctl("status", "--workers").stdout
        assert re.search(rf"^preforkd main: running, pid {d.pid}, since .*, generation 1, ",
                         text)
        assert "1 pool, 2/2 workers ready, 1 busy" in text
        assert "1 accepted, 0 finished, 0 refused, 0 timed out, 0 aborted, 1 open" in text
        assert re.search(rf"^a +{re.escape(d.address())} +echo +2/2 +1 +0/\d+ +- +- +1 +0 ", text, re.M)
        assert re.search(rf"^ *\d+ +a +{re.escape(d.address())} +busy +1 .*"
                         rf"127.0.0.1:{client.getsockname()[1]}$", text, re.M)


def test_status_of_some_services(daemon):
    d = daemon(service("a", TCP) + service("b", TCP) + service("c", TCP))
    status = json.loads(d.ctl("status", "--json", "--workers", "c", "a").stdout)
    assert [p["service"] for p in status["pools"]] == ["a", "c"]
    assert {w["service"] for w in status["workers"]} == {"a", "c"}
    result = d.ctl("status", "nobody", check=False)
    assert result.returncode == 69
    assert 'no service "nobody"' in result.stderr


# ---- the ledger


@pytest.mark.parametrize("address", [TCP, "unix://DIR/s", "udp://127.0.0.1:0"])
def test_the_ledger_adds_up_in_every_snapshot(daemon, tmp_path, address):
    d = daemon(service("a", address.replace("DIR", str(tmp_path)), workers=3))
    seen = set()
    with Clients(d.address(), 3) as clients:
        for _ in range(60):
            for worker in d.status()["workers"]:
                assert adds_up(worker["connections"]), worker
                assert worker["torn"] or worker["connections"]["open"] in (0, 1), worker
                seen.add(worker["connections"]["accepted"])
    assert len(seen) > 30, "it stood still"
    totals = at_rest(d)
    assert adds_up(totals)
    assert totals["accepted"] == totals["finished"] == clients.total()


def test_each_ending_is_counted_once(daemon, programs):
    """Finished, timed out, broken off, killed: each where it belongs, nothing twice."""
    d = daemon(service("a", TCP, workers=2, idle_timeout="100ms") +
               service("c", TCP, workers=1, module=programs.modules / "crash_serve.so"))
    assert exchange(d.address("a"), b"x") == b"x"
    with connect(d.address("a")) as s:
        assert s.recv(1) == b"", "an idle client is shown the door"
    with connect(d.address("c")) as s:
        s.sendall(b"crash")
        assert s.recv(1) == b""
    wait_until("count", lambda: d.status()["connections"]["aborted_death"] == 1)
    totals = at_rest(d)
    assert {name: totals[name] for name in ("accepted", *ENDINGS)} == {
        "accepted": 3, **dict.fromkeys(ENDINGS, 0), "finished": 1, "timed_out": 1,
        "aborted_death": 1}


def test_counters_outlive_their_workers(daemon):
    """Recycled, replaced and dropped: the totals of the instance only rise."""
    d = daemon(service("a", TCP, workers=2) + service("b", TCP, workers=1))
    for _ in range(10):
        exchange(d.address("a"), b"x")
    d.ctl("recycle")
    rewrite(d, service("a", TCP, workers=1) + service("b", TCP, workers=1))
    wait_until("a's workers", lambda: len(d.workers()) == 2)
    assert d.status()["pools"][0]["connections"]["finished"] == 10
    rewrite(d, service("b", TCP, workers=1))
    wait_until("a gone", lambda: len(d.status()["pools"]) == 1)
    totals = d.status()["connections"]
    assert (totals["accepted"], totals["finished"]) == (10, 10)
    assert d.status()["pools"][0]["connections"]["accepted"] == 0


def test_a_killed_worker(daemon):
    d = daemon(service("a", TCP, workers=2))
    with hold(d.address()) as client:
        [busy] = [w["pid"] for w in workers(d) if w["state"] == "busy"]
        os.kill(busy, signal.SIGKILL)
        assert client.recv(1) == b""
    wait_gone([busy])
    wait_until("replacement", lambda: len(pids(d) - {busy}) == 2)
    totals = at_rest(d)
    assert (totals["accepted"], totals["aborted_death"]) == (1, 1)
    assert d.status()["pools"][0]["workers_died"] == 1
    d.wait_log(rf"worker {busy} killed by SIGKILL.* while it served a client")
    assert exchange(d.address(), b"on") == b"on"


# ---- there when nothing else is


def test_status_while_every_worker_is_busy(daemon):
    d = daemon(service("a", TCP, workers=2))
    with hold(d.address()), hold(d.address()):
        assert d.status()["pools"][0]["busy"] == 2
        assert d.ctl("status").returncode == 0


def test_status_while_the_master_is_stopped(daemon):
    d = daemon(service("a", TCP, workers=2))
    d.signal(signal.SIGSTOP)
    try:
        with hold(d.address()):
            status = d.status()
            assert (status["state"], status["pools"][0]["busy"]) == ("running", 1)
            result = d.ctl("reload", "--timeout", "200ms", check=False)
            assert result.returncode == 75
            assert "no result within" in result.stderr
    finally:
        d.signal(signal.SIGCONT)
    d.wait_log("reload: generation 2")


def test_not_running(daemon):
    d = daemon(service("a", TCP))
    d.stop()
    for verb in ("status", "reload", "recycle", "stop"):
        result = d.ctl(verb, check=False)
        assert result.returncode == 3, (verb, result)
        assert "not running" in result.stderr


def test_the_board_of_a_killed_master(daemon):
    """The files are still there; nobody holds the lock."""
    d = daemon(service("a", TCP))
    exchange(d.address(), b"x")
    everyone = pids(d)
    d.process.kill()
    d.wait()
    wait_gone(everyone)
    result = d.ctl("status", "--json", check=False)
    assert result.returncode == 3
    status = json.loads(result.stdout)
    assert status["state"] == "gone"
    assert status["connections"]["accepted"] == 1
    for verb in ("reload", "recycle", "stop"):
        assert d.ctl(verb, check=False).returncode == 3


def test_a_second_master_is_refused(daemon):
    d = daemon(service("a", TCP))
    second = subprocess.run(
        [d.programs.preforkd, "--runtime-directory", str(d.runtime), "--listen", TCP,
         "--builtin", "echo"], capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 69
    assert f"already running there (pid {d.pid})" in second.stderr
    assert d.status()["pid"] == d.pid
    assert exchange(d.address(), b"unharmed") == b"unharmed"


# ---- instances


def run_as_somebody(programs, runtime, *command, **kwargs):
    """A user other than root, with a runtime directory of its own."""
    runtime.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        os.chown(runtime, 65534, 65534)
        kwargs["user"] = kwargs["group"] = 65534
        kwargs["extra_groups"] = []
    return subprocess.Popen(
        [str(programs.build / command[0]), *command[1:]], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)}, **kwargs)


def test_instances(programs, tmp_path_factory):
    """Each has a directory of its own, known by its name."""
    runtime = tmp_path_factory.mktemp("run")
    for directory in [runtime, *runtime.parents][:3]:
        directory.chmod(0o755)
    daemons = {}
    try:
        for name in ("one", "two"):
            daemons[name] = run_as_somebody(
                programs, runtime, "preforkd", "--instance", name, "--listen", TCP,
                "--builtin", "echo")
            wait_until("lock", lambda n=name: (runtime / "preforkd" / n / "master").exists())

        def status(name):
            ctl = run_as_somebody(programs, runtime, "preforkctl", "-i", name, "status", "--json")
            out, _ = ctl.communicate(timeout=30)
            return (ctl.returncode, json.loads(out) if out else None)

        for name, process in daemons.items():
            code, found = wait_until("ready", lambda n=name: status(n)[0] == 0 and status(n))
            assert (code, found["instance"], found["pid"]) == (0, name, process.pid)
        assert status("three")[0] == 3
        stop = run_as_somebody(programs, runtime, "preforkctl", "-i", "one", "stop")
        assert stop.wait(30) == 0
        assert daemons["one"].wait(30) == 0
        assert status("one")[0] == 3
        assert status("two")[0] == 0
        assert not list(Path(runtime / "preforkd" / "one").iterdir())
    finally:
        for process in daemons.values():
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=30)
    assert gone(daemons["two"].pid)
