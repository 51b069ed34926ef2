# SPDX-License-Identifier: ISC
"""preforkctl advise: what it computes, what it makes of a load that is known, and what it says
where it cannot know."""

import asyncio
import contextlib
import json
import random
import re
import subprocess
import threading
import time

import ctl
import pytest
from daemon import connect, wait_until
from support import service

LOCAL = "tcp://127.0.0.1:0"


def erlang_c(workers, load):
    b = 1.0
    for n in range(1, workers + 1):
        b = load * b / (n + load * b)
    return b / (1 - load / workers * (1 - b)) if load < workers else 1.0


def needed(load, chance):
    b, n = 1.0, 0
    while True:
        n += 1
        b = load * b / (n + load * b)
        if load < n and b / (1 - load / n * (1 - b)) <= chance:
            return n


# -- without a daemon


def alone(*args):
    result = ctl.run("advise", *args)
    assert result.returncode == 0, result.stderr
    return result.stdout.decode()


# Ten erlangs: the example that explanations of Erlang's C use. One and two workers: closed forms.
@pytest.mark.parametrize("rate, time_, wait, workers, chance", [
    ("200/s", "50ms", "20%", 14, 0.174132), ("200/m", "3s", "30%", 13, 0.285270),
    ("12000/h", "3s", "50%", 12, 0.449388), ("10/s", "1s", "70%", 11, 0.682118),
    ("1/s", "1s", "34%", 2, 1 / 3), ("1/s", "250ms", "25%", 1, 0.25), ("1/s", "2s", "45%", 3, 4 / 9),
    ("1/s", "4s", "56%", 5, 128 / 231)])
def test_tables(rate, time_, wait, workers, chance):
    found = json.loads(alone("--rate", rate, "--time", time_, "--wait", wait, "--json"))
    (found,) = found["advice"]
    assert found["needed"]["workers"] == workers
    assert found["needed"]["wait_chance"] == pytest.approx(chance, abs=1e-6)
    assert found["warnings"] == [] and "there" not in found and "service" not in found


def test_text():
    text = alone("--rate", "200/s", "--time", "50ms", "--wait", "20%")
    assert "for a wait in 20 % of connections you need 14\n" in text
    assert "with 14 workers: 17.4 % of them wait, 2.18 ms on average" in text
    assert re.search(r"workers +=  ?10\n +workers_max = 14\n +spare +=  ?4\n", text), text


def test_one_per_cent_is_the_default():
    assert "in 1 % of connections you need 19\n" in alone("--rate", "200/s", "--time", "50ms")


@pytest.mark.parametrize("rate, workers", [("1/h", 1), ("9000/s", 9225), ("90000/s", 90730)])
def test_small_and_large(rate, workers):
    text = alone("--rate", rate, "--time", "1s")
    found = int(re.search(r"you need (\d+)", text)[1])
    assert found == needed({"1/h": 1 / 3600}.get(rate) or float(rate[:-2]), 0.01)
    assert abs(found - workers) < 0.01 * workers + 1


@pytest.mark.parametrize("args, message", [
    (("--rate", "2/s"), "--rate and --time go together"),
    (("--time", "2s"), "--rate and --time go together"),
    (("--rate", "0", "--time", "1s"), '--rate: "0" is no rate; write 200/s or 600/m'),
    (("--rate", "-1/s", "--time", "1s"), '--rate: "-1/s" is no rate'),
    (("--rate", "fast", "--time", "1s"), '--rate: "fast" is no rate'),
    (("--rate", "2/s", "--time", "0"), '--time: "0" is no duration; write 50ms, 2s or 5m'),
    (("--rate", "2/s", "--time", "5"), '--time: "5" is no duration'),
    (("--rate", "2/s", "--time", "1s", "--wait", "0%"), '--wait: "0%" is no share'),
    (("--rate", "2/s", "--time", "1s", "--wait", "100%"), '--wait: "100%" is no share'),
    (("--rate", "2/s", "--time", "1s", "--wait", "1"), '--wait: "1" is no share'),
    (("--rate", "2/s", "--time", "1s", "--wait", "nan%"), '--wait: "nan%" is no share'),
    (("--rate", "2/s", "--time", "1s", "--wait", "1e1%"), '--wait: "1e1%" is no share'),
    (("--rate", "2/s", "--time", "1s", "--wait", "-1%"), '--wait: "-1%" is no share'),
    (("--rate", "2/s", "--time", "1s", "--wait", "1..2%"), '--wait: "1..2%" is no share'),
    (("--rate", "2/s", "--time", "1s", "echo"), "--rate and --time are of no service"),
    (("--rate", "2/s", "--time", "1s", "--interval", "1s"), "not with --rate and --time"),
    (("--rate", "1000000/s", "--time", "1d"), "erlangs are more than"),
    (("--interval", "1ms"), '--interval: "1ms" is no duration from 100ms to 1h'),
    (("--interval", "2h"), '--interval: "2h" is no duration from 100ms to 1h'),
    (("--interval", "soon"), '--interval: "soon" is no duration from 100ms to 1h'),
    (("--nonsense",), 'unknown or ambiguous option "--nonsense"'),
])
def test_bad_input(args, message):
    result = ctl.run("advise", *args)
    assert result.returncode == ctl.USAGE
    assert message in result.stderr.decode() and result.stdout == b""


def test_nobody_there(tmp_path):
    result = ctl.run("--runtime-directory", tmp_path, "advise")
    assert result.returncode == ctl.NOT_RUNNING


# -- of a daemon


class Poisson:
    """Clients that come at random and stay for exponential times; what was measured of them."""

    def __init__(self, address, rate, mean, seed=1):
        self.target = address.split("://")[1].rsplit(":", 1)
        self.rate, self.mean, self.random = rate, mean, random.Random(seed)
        self.starts, self.times, self.end = [], [], threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()), daemon=True)

    async def client(self, stay):
        start = time.monotonic()
        _, writer = await asyncio.open_connection(*self.target)
        self.starts.append(start)
        await asyncio.sleep(stay)
        writer.close()
        self.times.append(time.monotonic() - start)

    async def run(self):
        running, at = set(), time.monotonic()
        while not self.end.is_set():
            at += self.random.expovariate(self.rate)
            await asyncio.sleep(max(0, at - time.monotonic()))
            task = asyncio.ensure_future(self.client(self.random.expovariate(1 / self.mean)))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)

    def __enter__(self):
        self.thread.start()
        wait_until("clients", lambda: len(self.times) >= 10)
        return self

    def __exit__(self, *_):
        self.end.set()
        self.thread.join(30)


def advise(d, *args, code=None):
    result = d.ctl("advise", "--json", *args, check=False)
    assert result.returncode in (0, 1), result.stderr
    assert code in (None, result.returncode), result.stdout
    return json.loads(result.stdout)["advice"]


def test_known_load(daemon):
    """About 4 erlangs: what it sees is what the clients know."""
    d = daemon(service("echo", LOCAL, workers=24))
    with Poisson(d.address(), rate=100, mean=0.04) as clients:
        begin = time.monotonic()
        (found,) = advise(d, "--interval", "4s", "echo", code=0)
        end = time.monotonic()
    came = sum(begin <= t <= end for t in clients.starts) / (end - begin)
    mean = sum(clients.times) / len(clients.times)
    assert found["rate"] == pytest.approx(came, rel=0.1)
    assert found["time"] == pytest.approx(mean, rel=0.25)
    assert found["load"] == pytest.approx(found["rate"] * found["time"], rel=1e-6)
    assert 0.5 < found["scv"] < 2
    assert found["needed"]["workers"] == needed(found["load"], 0.01)
    assert abs(found["needed"]["workers"] - needed(came * mean, 0.01)) <= 2
    assert found["there"]["workers"] == 24
    assert found["there"]["wait_chance"] == pytest.approx(erlang_c(24, found["load"]), rel=1e-3)
    assert found["warnings"] in ([], ["unsteady"])
    assert 1 <= found["configuration"]["workers"] <= found["needed"]["workers"]
    # What it proposes is a configuration.
    d.write_config(service("echo", LOCAL, **found["configuration"]))
    d.ctl("reload")
    # Since the start, at once: in a longer time fewer a second.
    (since,) = advise(d, "--interval", "0")
    assert 0 < since["rate"] <= 1.2 * came
    assert since["time"] == pytest.approx(mean, rel=0.25)


@pytest.mark.parametrize("workers", [1, 2])
def test_too_few_workers(daemon, workers):
    """It was full: more came than were served, and the answer is no."""
    d = daemon(service("echo", LOCAL, workers=workers, workers_max=2))
    with Poisson(d.address(), rate=60, mean=0.05):
        (found,) = advise(d, "--interval", "1s", code=1)
        text = d.ctl("advise", "--interval", "1s", check=False)
    assert "saturated" in found["warnings"]
    assert found["needed"]["workers"] > 2
    assert text.returncode == 1
    assert re.search(r"you need at least \d+; you have 2\n", text.stdout), text.stdout
    assert "note: the pool was full" in text.stdout


def test_status_says_who_was_full(daemon):
    d = daemon(service("echo", LOCAL, workers=1, workers_max=2))
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connect(d.address()))
        wait_until("the master saw it", lambda: d.status()["pools"][0]["full"] > 0)
    wait_until("they ended",
               lambda: d.status()["pools"][0]["connections"]["finished"] == 3)
    status = d.ctl("status").stdout
    assert re.search(r"^echo at tcp://127\.0\.0\.1:\d+: was full at \d+ looks?, one a second; "
                     r"preforkctl advise echo tells how many it needs$", status, re.M), status


def test_status_says_who_waits(daemon):
    d = daemon(service("echo", LOCAL, workers=1))
    assert "advise" not in d.ctl("status").stdout
    with connect(d.address()) as one, connect(d.address()):
        one.sendall(b"x")
        assert one.recv(1) == b"x"
        wait_until("a client waits", lambda: re.search(
            r"^echo at \S+: all 1 workers are busy and 1 client waits; preforkctl advise echo",
            d.ctl("status").stdout, re.M))


def test_nobody_comes(daemon):
    d = daemon(service("echo", LOCAL, workers=1))
    (found,) = advise(d, "--interval", "100ms", code=0)
    assert found["warnings"] == ["nobody_came"] and "needed" not in found
    text = d.ctl("advise", "--interval", "100ms").stdout
    assert "nobody came" in text and "you need" not in text


def test_few_come(daemon):
    d = daemon(service("echo", LOCAL, workers=3))
    for _ in range(5):
        with connect(d.address()) as s:
            s.sendall(b"x")
            assert s.recv(1) == b"x"
    wait_until("they ended", lambda: d.status()["pools"][0]["connections"]["finished"] == 5)
    (found,) = advise(d, "--interval", "0", code=0)
    assert "few_clients" in found["warnings"] and found["needed"]["workers"] >= 1


def test_heavy_tail(daemon):
    """A hundred short ones and a long one."""
    d = daemon(service("echo", LOCAL, workers=3))
    with connect(d.address()) as long:
        long.sendall(b"x")
        assert long.recv(1) == b"x"
        for _ in range(120):
            with connect(d.address()) as s:
                s.sendall(b"x")
                assert s.recv(1) == b"x"
    wait_until("they ended", lambda: d.status()["pools"][0]["connections"]["finished"] == 121)
    (found,) = advise(d, "--interval", "0")
    assert "heavy_tail" in found["warnings"] and found["scv"] > 4


def test_not_seen(daemon):
    """Copies of a program, and datagrams."""
    d = daemon(service("web", LOCAL, acceptor=["/bin/sleep", "1000"], workers=1) +
               service("echo", "udp://127.0.0.1:0", workers=1))
    with connect(d.address("echo")) as s:
        s.send(b"x")
        assert s.recv(9) == b"x"
    wait_until("it ended", lambda: d.status()["pools"][1]["connections"]["finished"] == 1)
    web, echo = sorted(advise(d, "--interval", "0", code=0), key=lambda p: p["service"] != "web")
    assert web["warnings"] == ["unseen"] and "needed" not in web
    assert "datagrams" in echo["warnings"]


def test_some_services(daemon):
    d = daemon(service("one", LOCAL, workers=1) + service("two", LOCAL, workers=1))
    assert [p["service"] for p in advise(d, "--interval", "100ms", "two")] == ["two"]
    assert len(advise(d, "--interval", "100ms")) == 2
    result = d.ctl("advise", "three", check=False)
    assert result.returncode == ctl.UNAVAILABLE and 'no service "three"' in result.stderr


def test_daemon_ends_meanwhile(daemon):
    d = daemon(service("one", LOCAL, workers=1))
    with subprocess.Popen([d.programs.preforkctl, "--runtime-directory", str(d.runtime), "advise",
                           "--interval", "5s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as p:
        assert d.stop() == 0
        with contextlib.closing(p.stderr):
            assert p.wait(30) == ctl.NOT_RUNNING, p.stderr.read()
