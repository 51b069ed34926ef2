# SPDX-License-Identifier: ISC
"""A kind that bench/load makes: rounds in which every contender has its turn."""
import json
import subprocess
import time

from .common import Result, Trouble
from .cpu import CPU, COUNTS_ENDED, reader_set
from .kinds import LOADS, NAMES, all_cpus, leave_out, ours_of, servers_running
from .own import program_of
from .peers import PEERS, STEADY

START_COST = 0.25  # seconds, about: of a contender, until it is ended
LOAD_COST = 0.04  # of a load


def load_run(options, servers, mode, clients, seconds, *more):
    """One load to all of these: what bench/load says of it."""
    argv = [options.program("bench/load"), mode, *(server.address for server in servers),
            "-c", str(clients), "-d", str(seconds), *more]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=False, timeout=seconds + 30)
    if not done.stdout:
        raise Trouble(f"{' '.join(argv)}: exit {done.returncode}")
    return json.loads(done.stdout)


def demand_all(servers, what, result):
    """Every reply must have been right."""
    if result["failed"] or not result["count"]:
        wrong = {key: value for key, value in result["errors"].items() if value}
        raise Trouble(f"{what}: {result['count']} good, errors {wrong}\n"
                      + "\n".join(server.state() for server in servers))
    return result


def load_once(options, servers, kind, seconds):
    load = LOADS[kind]
    return demand_all(servers, kind, load_run(options, servers, load.mode, load.clients, seconds,
                                              "-s", str(load.size)))


def measure(options, servers, kind, seconds):
    """One load, and what CPU time each of the servers needed for one of its connections."""
    lossy = [server.reader not in COUNTS_ENDED for server in servers]
    pids = [set(server.pids()) if lose else set() for server, lose in zip(servers, lossy)]
    before = [CPU[server.reader](server) for server in servers]
    result = load_once(options, servers, kind, seconds)
    time.sleep(0.01)  # the last connections' ends
    for server, lose, had, then, got in zip(servers, lossy, pids, before, result["addresses"]):
        if not got["count"]:
            raise Trouble(f"{server.name}: no connection in {seconds} s: more --seconds")
        got["cpu"] = (CPU[server.reader](server) - then) * 1e6 / got["count"]
        if got["cpu"] <= 0:
            raise Trouble(f"{server.name}: too little time for --cpu {server.reader}: more --seconds")
        if lose and had - set(server.pids()):
            raise Trouble(f"{server.name}: workers ended in mid-measurement, and their CPU time"
                          " is gone with them; use --cpu cgroup")
    return result


def alone_run(options, server, kind, seconds):
    alone = measure(options, [server], kind, seconds)
    rate, cpu = alone["rate"], alone["addresses"][0]["cpu"]
    if options.affinity == "shared":
        rate = 1e6 / (cpu + alone["own_cpu_us"])
    return {"cpu_alone": cpu, "rate": rate, "clock": alone["rate"], "p50": alone["p50_us"],
            "p99": alone["p99_us"]}


def share_of(kind):
    return 2 if LOADS[kind].target[0] == "cpu" else 1


def round_run(options, ours, kind):
    """{name: figures} of ours; most of the time goes to the figure with a target."""
    share, seconds = share_of(kind), options.seconds or LOADS[kind].seconds
    together = measure(options, ours, kind, seconds * share)
    figures = {server.name: {"cpu": got["cpu"]}
               for server, got in zip(ours, together["addresses"])}
    for server in ours:
        figures[server.name].update(alone_run(options, server, kind, seconds / share))
    return figures


def beside_run(options, beside, kind):
    """The same of the others, each alone; who gives a wrong reply is out."""
    figures = {}
    for server in list(beside):
        try:
            got = alone_run(options, server, kind, options.seconds or LOADS[kind].seconds)
            figures[server.name] = {"cpu": got["cpu_alone"], **got}
        except Trouble as trouble:
            leave_out(options, kind, server.name, trouble)
            server.stop()
            beside.remove(server)
    return figures


def block_run(options, kind, rounds, backwards):
    """Starts all contenders, runs some rounds and stops them: a list of rounds' figures."""
    done, load = [], LOADS[kind]
    ended = load.ended or bool(program_of(options, kind))
    with servers_running(options, kind, backwards) as (ours, beside):
        options.cpu_used = reader_set(options, ours, ended)
        for server in beside:
            reader_set(options, [server], ended or server.name not in STEADY)
        for number in range(rounds + 1):
            turn = -1 if number % 2 else 1
            figures = round_run(options, ours[::turn], kind)
            if number % load.peer_every == 1 % load.peer_every:
                figures.update(beside_run(options, beside[:], kind))
                beside = [server for server in beside if server.process.poll() is None][::turn]
            if number > 0:
                done.append(figures)
            if options.verbose and number > 0:
                print("  ", *(f"  {name} {f['cpu']:7.2f} us {f['rate']:9.0f} /s"
                              for name, f in sorted(figures.items())))
    return done


def counts(options, kind):
    """(rounds, restarts) of a kind in this run."""
    load = LOADS[kind]
    rounds = options.rounds or max(2, load.rounds // (8 if options.quick else 1))
    return rounds, min(options.restarts or load.restarts, max(1, rounds // 2))


def seconds_expected(options, kind, beside):
    """How long it takes, about."""
    load, (rounds, restarts) = LOADS[kind], counts(options, kind)
    ours = len(ours_of(options, kind))
    share, seconds = share_of(kind), options.seconds or load.seconds
    one = seconds * share + LOAD_COST + ours * (seconds / share + LOAD_COST)
    of_peers = beside * (seconds + LOAD_COST)
    return ((rounds + restarts) * one + -(-rounds // load.peer_every) * of_peers
            + restarts * START_COST * (ours + beside))


def rounds_run(options, kind):
    """All rounds: a list of {name: {figure: value}}."""
    done = []
    rounds, restarts = counts(options, kind)
    for number in range(restarts):
        left = -(-(rounds - len(done)) // (restarts - number))
        if left > 0:
            done += block_run(options, kind, left, number % 2 == 1)
    return done


def values(done, name, figure):
    return [one[name][figure] for one in done if name in one]


def ratios(done, name, first, figure):
    """Each within a round."""
    if figure == "cpu" and (name in PEERS or any(name not in one for one in done)):
        figure = "cpu_alone"  # those are never measured together with others
    return [one[name][figure] / one[first][figure] for one in done if name in one]


COLUMNS = [("CPU us each", ".2f"), ("rate /s", ".0f"), ("by clock", ".0f"), ("p50 us", ".0f"),
           ("p99 us", ".0f"), ("CPU ratio", ".3f"), ("rate ratio", ".3f")]


def load_kind(options, kind):
    load = LOADS[kind]
    with all_cpus(options, load.free):
        done = rounds_run(options, kind)
        seconds = options.seconds or load.seconds
        result = Result(kind, f"{load.title}; {len(done)} rounds of {seconds:g} s, medians; server"
                        f" CPU: {options.cpu_used}; CPUs: {options.affinity}", COLUMNS)
    result.notes += [load.note] * bool(load.note)
    names = list(dict.fromkeys(name for one in done for name in one))
    first = ours_of(options, kind)[0]
    names.sort(key=lambda name: name != first)
    for name in names:
        figures = [middle(values(done, name, key)) for key in ("cpu", "rate", "clock", "p50", "p99")]
        result.row(NAMES.get(name, name), *figures,
                   *(middle(ratios(done, name, first, key)) for key in ("cpu", "rate")))
    for name in names[1:]:
        checks_of(options, result, done, name, first, load)
    result.figures = {"names": {NAMES.get(name, name): name for name in names}, "rounds": done}
    return result


def middle(several):
    ordered = sorted(several)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


SELF_TARGET = 0.01  # how far bare may be from itself


def checks_of(options, result, done, name, first, load):
    """Ratios to the first, with their intervals; a target for those that it is for."""
    wanted = load.target
    if options.self_check:
        wanted = (wanted[0], "within", SELF_TARGET)
    ours = name in ours_of(options, result.kind)
    for figure in ("cpu", "rate", *(["p50"] if wanted[0] == "p50" else [])):
        held = wanted[1:] if ours and wanted[0] == figure else ()
        result.check(f"{NAMES.get(name, name)} / {first}, {figure}",
                     ratios(done, name, first, figure), *held)
