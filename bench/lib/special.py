# SPDX-License-Identifier: ISC
"""The kinds that are no rounds of bench/load: prestart, default, burst, memory, thousand."""
import json
import re
import statistics
import subprocess
import time

from .common import BURST, THOUSAND, WORKERS, Result, Trouble
from .cpu import cpu_of
from .kinds import NAMES, all_cpus, beside_of, leave_out, ours_of, servers_running
from .rounds import demand_all, load_run

PSS_TARGET = 80.0  # kB, an idle worker, with 16
THOUSAND_PSS_TARGET = 45.0  # kB, an idle worker of 1000
THOUSAND_RATE, THOUSAND_SECONDS = 20000, 5
MASTER_TARGET = 1.0  # per cent of a CPU at that rate
PRESTART_TARGET = 500.0  # us from connect to the reply, at a constant rate
OVERLOAD_TARGET = 1.1  # of exec's latency, at a rate that cannot be kept up
BURST_TARGETS = {"preforkd-2": 20.0, "preforkd-0": 40.0}  # ms until all have their first byte


def named(server):
    return NAMES.get(server.name, server.name)


# ---- default: whether the limits that nobody has set refuse anybody

DEFAULT_CLIENTS, DEFAULT_SECONDS = 64, 8


def default_seconds(options):
    return 1 if options.quick else DEFAULT_SECONDS


def default_run(options):
    seconds = default_seconds(options)
    result = Result("default", f"as configured by default, {DEFAULT_CLIENTS} clients for {seconds} s,"
                    " a tiny program for each connection", [("served", "d"), ("not", "d")])
    with all_cpus(options), servers_running(options, "default") as (ours, beside):
        for server in [*ours, *beside]:
            got = load_run(options, [server], "program", DEFAULT_CLIENTS, seconds)
            result.row(named(server), got["count"], got["failed"])
            if server in ours:
                result.check(f"{server.name}, share that was served",
                             [got["count"] / max(1, got["count"] + got["failed"])], ">=", 1)
    return result


# ---- prestart: a constant rate, then half as much again as these programs can be started

PRESTART_RATE, PRESTART_CLIENTS, PRESTART_SECONDS = 50, 32, 2
PRESTART_PEER_ROUNDS = 3


def prestart_rounds(options):
    return min(options.rounds or 4, 1 if options.quick else 10)


def prestart_seconds(options):
    return 1 if options.quick else PRESTART_SECONDS


def line_run(options, server, seconds, *more):
    return demand_all([server], "prestart", load_run(options, [server], "line", PRESTART_CLIENTS,
                                                     seconds, *more))


def prestart_round(options, ours, beside, figures):
    seconds, rate = prestart_seconds(options), ("-r", str(PRESTART_RATE))
    for server in ours:
        figures[server.name]["constant"].append(line_run(options, server, seconds, *rate)["p50_us"])
    direct = next(server for server in ours if server.name == "preforkd")
    most = 1.5 * line_run(options, direct, seconds)["rate"]
    for server in ours:
        figures[server.name]["overload"].append(
            line_run(options, server, seconds, "-r", f"{most:.1f}")["p50_us"])
    for server in beside:
        try:
            figures[server.name]["constant"].append(line_run(options, server, 1, *rate)["p50_us"])
        except Trouble as trouble:
            leave_out(options, "prestart", server.name, trouble)
            server.stop()


def prestart_run(options):
    names = (*ours_of(options, "prestart"), *beside_of(options, "prestart"))
    figures = {name: {"constant": [], "overload": []} for name in names}
    with all_cpus(options):
        for number in range(prestart_rounds(options)):
            here = names if number < PRESTART_PEER_ROUNDS else ours_of(options, "prestart")
            with servers_running(options, "prestart", only=here) as (ours, beside):
                load_run(options, ours, "line", PRESTART_CLIENTS, 1)  # all have been started
                prestart_round(options, ours[::-1] if number % 2 else ours, beside, figures)
    result = Result("prestart", "python3 -c 'print(input())' per connection, us from connect to the"
                    f" reply, p50; {prestart_rounds(options)} rounds of {prestart_seconds(options)} s,"
                    " medians", [(f"{PRESTART_RATE} a second", ".0f"), ("too many", ".0f")])
    for name, got in figures.items():
        if got["constant"]:
            result.row(NAMES.get(name, name), statistics.median(got["constant"]),
                       statistics.median(got["overload"]) if got["overload"] else None)
    direct, ahead = figures["preforkd"], figures["preforkd-prestart"]
    result.check("preforkd-prestart, constant rate", ahead["constant"], "<=", PRESTART_TARGET, "us")
    result.check("preforkd-prestart / preforkd, too many",
                 [a / b for a, b in zip(ahead["overload"], direct["overload"])],
                 "<=", OVERLOAD_TARGET)
    result.figures = figures
    return result


# ---- burst: clients that come at once and stay for a second, to servers just started

BURST_HOLD_MS = 1000
BURST_PEER_ROUNDS = 2


def burst_rounds(options):
    return min(options.rounds or 10, 2 if options.quick else 20)


def burst_once(options, server):
    time.sleep(0.5)  # the burst before is gone for good
    argv = [options.program("bench/burst"), server.address.rpartition(":")[2], str(BURST),
            str(BURST_HOLD_MS)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=False, timeout=60)
    if done.returncode:
        raise Trouble(f"{' '.join(argv)}: exit {done.returncode}\n{server.state()}")
    return json.loads(done.stdout)


def burst_round(options, number, figures):
    names = ours_of(options, "burst")
    if number < BURST_PEER_ROUNDS:
        names += tuple(beside_of(options, "burst"))
    with servers_running(options, "burst", number % 2 == 1, names) as (ours, beside):
        for server in [*(ours[::-1] if number % 2 else ours), *beside]:
            try:
                figures.setdefault(server.name, []).append(burst_once(options, server))
            except Trouble as trouble:
                leave_out(options, "burst", server.name, trouble)


def burst_run(options):
    figures = {}
    with all_cpus(options):
        for number in range(burst_rounds(options)):
            burst_round(options, number, figures)
    result = Result("burst", f"{BURST} clients at once, each holds its worker for {BURST_HOLD_MS} ms:"
                    " ms until they have their first byte; pools of 2 (bare: 64) at first;"
                    f" {burst_rounds(options)} rounds, of peers {BURST_PEER_ROUNDS}, medians",
                    [("first", ".1f"), ("middle", ".1f"), ("all", ".1f")])
    for name, got in figures.items():
        result.row(NAMES.get(name, name), *(statistics.median(one[key] for one in got) / 1e3
                                            for key in ("first_us", "middle_us", "last_us")))
    for name, target in BURST_TARGETS.items():
        result.check(f"{name}, all", [one["last_us"] / 1e3 for one in figures[name]], "<=", target,
                     "ms")
    result.figures = figures
    return result


# ---- memory

def pss(server):
    """The mean of its workers, in kB: private pages, and each shared one split among its users."""
    total = []
    for pid in server.pids()[1:]:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
            total.append(int(re.search(r"(?m)^Pss:\s+(\d+)", rollup.read()).group(1)))
    return statistics.mean(total)


def memory_served(options, server):
    """Idle as they started, and idle again after they have served: kB."""
    fresh = pss(server)
    demand_all([server], "memory", load_run(options, [server], "echo", BURST, 1))
    time.sleep(0.2)
    return fresh, pss(server)


def memory_run(options):
    result = Result("memory", f"PSS of an idle worker, kB, {WORKERS} workers, fresh and after an echo"
                    " load", [("fresh", ".1f"), ("served", ".1f")])
    with servers_running(options, "memory") as (ours, beside):
        for server in [*ours, *beside]:
            try:
                fresh, served = memory_served(options, server)
            except Trouble as trouble:
                leave_out(options, "memory", server.name, trouble)
                continue
            result.row(named(server), fresh, served)
            if server.name == "preforkd":
                result.check("preforkd, served", [served], "<=", PSS_TARGET, "kB")
    return result


# ---- thousand: what many workers cost when they idle, and their master when they do not

def master_share(options, server):
    """Of a CPU, in per cent, at the rate."""
    before = cpu_of(server.process.pid)
    got = demand_all([server], "thousand", load_run(
        options, [server], "echo", BURST, THOUSAND_SECONDS, "-r", str(THOUSAND_RATE)))
    used = cpu_of(server.process.pid) - before
    return used / got["count"] * THOUSAND_RATE * 100, got["rate"]


def thousand_one(options, result, name):
    with servers_running(options, "thousand", only=(name,)) as (ours, beside):
        for server in [*ours, *beside]:  # none, where a peer could not start
            fresh, served = memory_served(options, server)
            result.row(named(server), fresh, served)
            if name == f"preforkd-{THOUSAND}":
                result.check(f"{name}, PSS of an idle worker, served", [served], "<=",
                             THOUSAND_PSS_TARGET, "kB")
                share, rate = master_share(options, server)
                result.check(f"{name}, the master's share of a CPU at {THOUSAND_RATE} connections a"
                             f" second (measured at {rate:.0f})", [share], "<=", MASTER_TARGET, "%")


def thousand_run(options):
    """One after the other: what they share depends on who else has it mapped."""
    result = Result("thousand", "PSS of an idle worker, kB, of 256 and 1000, fresh and after an echo"
                    " load", [("fresh", ".1f"), ("served", ".1f")])
    with all_cpus(options):
        for name in (*ours_of(options, "thousand"), *beside_of(options, "thousand")):
            thousand_one(options, result, name)
    return result
