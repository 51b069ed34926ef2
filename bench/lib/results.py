# SPDX-License-Identifier: ISC
"""A run as files: results.json, README.md with the tables, and plots; and the headline from them."""
import datetime
import json
import os
import platform
import subprocess

from . import peers, plots
from .common import Trouble


def said(*argv, folder=None):
    """The first line of what a program says, or None."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=False, text=True, cwd=folder)
    except OSError:
        return None
    lines = done.stdout.splitlines()
    return lines[0] if done.returncode == 0 and lines else None


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith(("model name", "Model", "cpu model")):
                return line.partition(":")[2].strip()
    return platform.machine()


def memory_gib():
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 ** 30, 1)


def machine(options):
    commit = said("git", "rev-parse", "--short=12", "HEAD", folder=options.top)
    if commit and said("git", "status", "--porcelain", folder=options.top):
        commit += ", with changes"
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu_model(), "cpus": len(options.cpus), "memory_gib": memory_gib(),
        "kernel": platform.release(), "libc": " ".join(platform.libc_ver()),
        "load_average": os.getloadavg()[0],
        "preforkd": said(options.program("preforkd"), "--version"), "commit": commit,
        "peers": peers.versions(options),
    }


def markdown_table(cells):
    lines = [list(map(str, line)) for line in cells]
    out = ["| " + " | ".join(lines[0]) + " |", "|---" + "|--:" * (len(lines[0]) - 1) + "|"]
    return out + ["| " + " | ".join(line) + " |" for line in lines[1:]]


def markdown_result(result):
    out = [f"## {result['kind']}", "", result["title"] + ".", "", *markdown_table(result["cells"])]
    if result["checks"]:
        checks = [[check["label"], figure(check), check["target"], check["verdict"]]
                  for check in result["checks"]]
        out += ["", *markdown_table([["", "", "target", ""], *checks])]
    out += [f"\n{note}" for note in result["notes"]]
    out += [f"\n{name} is left out: {why}." for name, why in result["left_out"].items()]
    return [*out, ""]


def figure(check):
    unit = f" {check['unit']}" if check["unit"] else ""
    if check["low"] == check["high"]:
        return f"{check['value']:.3f}{unit}"
    return f"{check['value']:.3f} ({check['low']:.3f} to {check['high']:.3f}){unit}"


INTRODUCTION = """\
# preforkd beside bare and its peers

Written by `bench/run --results`; `bench/README` says how it measures and what the columns mean.
**bare** is the limit: processes that do accept, read, write, close in C and nothing else. Read the
ratios to it, with their 95 % intervals: absolute figures move with the machine.
"""


def markdown(data):
    where = data["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in where["peers"].items())
    out = [INTRODUCTION,
           f"{where['cpu']}, {where['cpus']} CPUs, {where['memory_gib']} GiB; Linux {where['kernel']},"
           f" {where['libc']}; {where['date']}; load {where['load_average']:.2f} at the start; took"
           f" {data['took_seconds'] / 60:.1f} minutes.",
           f"{where['preforkd']}{f' ({where_commit(where)})' if where['commit'] else ''};"
           f" Debian's {versions}.", ""]
    if data["plots"]:
        out += [f"![{what}]({name})" for name, what in data["plots"].items()] + [""]
    out += ["## In short", "", *headline(data), "", "## Targets", "", *targets(data), ""]
    for result in data["results"]:
        out += markdown_result(result)
    return "\n".join(out)


def targets(data):
    """Every check that is held to something."""
    held = [[f"{result['kind']}: {check['label']}", figure(check), check["target"], check["verdict"]]
            for result in data["results"] for check in result["checks"] if check["target"]]
    return markdown_table([["", "", "target", ""], *held])


def where_commit(where):
    return f"commit {where['commit']}"


def write(options, results, took, before):
    data = {"machine": before, "took_seconds": took, "arguments": options.arguments,
            "results": [result.as_json() for result in results]}
    os.makedirs(options.results, exist_ok=True)
    data["plots"] = plots.draw(options.results, data["results"])
    with open(os.path.join(options.results, "results.json"), "w", encoding="utf-8") as out:
        json.dump(data, out, indent=1)
        out.write("\n")
    with open(os.path.join(options.results, "README.md"), "w", encoding="utf-8") as out:
        out.write(markdown(data))


# ---- the headline: what a reader of the README wants to know first

# what, kind, column of its table, format
HEADLINES = [
    ("short connections, rate / bare", "echo", "rate ratio", "{:.2f}"),
    ("its server CPU / bare", "echo", "CPU ratio", "{:.2f}"),
    ("kept connections, rate / bare", "keep", "rate ratio", "{:.2f}"),
    ("server speaks first, rate / bare", "daytime-2", "rate ratio", "{:.2f}"),
    ("UDP echo, rate / bare", "udp", "rate ratio", "{:.2f}"),
    ("a program per connection, rate / bare", "program", "rate ratio", "{:.2f}"),
    ("a line to python, prestart, p50 in ms", "prestart", "50 a second", "{:.1f}"),
    ("64 at once, 2 workers, all served, ms", "burst", "all", "{:.0f}"),
    ("an idle worker, kB", "memory", "served", "{:.0f}"),
]
# The columns, and which rows of the tables are meant: the first that is there.
HEADLINE_COLUMNS = [
    ("preforkd", ("preforkd-prestart", "preforkd-2", "preforkd-max", "preforkd")),
    ("bare", ("bare-64", "bare")),
    *((line[3], (line[3],)) for name, line in peers.PEERS.items() if name != "apache-256"),
]
SCALES = {"prestart": 1e-3}


def headline_value(result, column, names, form):
    place = result["columns"].index(column)
    rows = {row["name"]: row["values"] for row in result["rows"]}
    for name in names:
        if name in rows and rows[name][place] is not None:
            return form.format(rows[name][place] * SCALES.get(result["kind"], 1))
    return ""


def headline(data):
    """Lines of a table in markdown: only what this run has measured."""
    kinds = {result["kind"]: result for result in data["results"]}
    lines = []
    for what, kind, column, form in HEADLINES:
        if kind in kinds:
            values = [headline_value(kinds[kind], column, names, form)
                      for _, names in HEADLINE_COLUMNS]
            lines.append([what, *values])
    if not lines:
        return ["(none of its kinds was measured)"]
    there = [i for i in range(1, len(HEADLINE_COLUMNS) + 1) if any(line[i] for line in lines)]
    head = ["", *(name for name, _ in HEADLINE_COLUMNS)]
    return markdown_table([[line[i] for i in (0, *there)] for line in [head, *lines]])


def headline_print(folder):
    """From the files of an earlier run."""
    path = os.path.join(folder, "results.json")
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except (OSError, ValueError) as error:
        raise Trouble(f"{path}: {error}") from None
    where = data["machine"]
    print("\n".join(headline(data)))
    print(f"\n{where['cpu']}, {where['cpus']} CPUs, Linux {where['kernel']}, {where['date']}.")
