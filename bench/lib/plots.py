# SPDX-License-Identifier: ISC
"""Plots of a run, by gnuplot, as SVG."""
import os
import shutil
import subprocess

# What is drawn: file, description, y axis, and for each panel its kind and the columns of its table.
PLOTS = [
    ("ratio.svg", "rate beside bare", "rate / bare", False,
     [(kind, ("rate ratio",)) for kind in ("echo", "keep", "daytime-2", "program", "max", "udp")]),
    ("cpu.svg", "server CPU for a connection beside bare", "CPU / bare", True,
     [(kind, ("CPU ratio",)) for kind in ("echo", "keep", "daytime", "program", "max", "udp")]),
    ("burst.svg", "64 clients at once, from 2 workers", "ms until the first byte", True,
     [("burst", ("first", "middle", "all"))]),
    ("latency.svg", "latency of a connection", "us", True,
     [("echo", ("p50 us", "p99 us")), ("daytime-2", ("p50 us", "p99 us")),
      ("program-1", ("p50 us", "p99 us")), ("prestart", ("50 a second",))]),
    ("memory.svg", "an idle worker", "PSS, kB", False,
     [("memory", ("fresh", "served")), ("thousand", ("fresh", "served"))]),
]
COLORS = ["#4878a8", "#e0a050", "#70a060"]
OURS, OTHERS = 0x2F8F5B, 0x8FA3B8


def quoted(text):
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def block(number, result, columns):
    """Its rows as data for gnuplot, those whose every value is there: name, colour, values."""
    places = [result["columns"].index(column) for column in columns]
    rows = [(row["name"], [row["values"][place] for place in places]) for row in result["rows"]]
    lines = [" ".join([quoted(name), str(OURS if name.startswith("preforkd") else OTHERS),
                       *(format(value, ".6g") for value in values)])
             for name, values in rows if None not in values]
    return [f"$data{number} << EOD", *lines, "EOD"]


def bars(number, columns, with_bare):
    """One column of the table: bars of two colours; several: clusters."""
    if len(columns) == 1:
        drawn = [f"$data{number} using 0:3:2:xtic(1) notitle with boxes linecolor rgb variable"]
    else:
        drawn = [f"$data{number} using {i + 3}:xtic(1) title {quoted(column)} with histograms"
                 f" linecolor rgb {quoted(COLORS[i])}" for i, column in enumerate(columns)]
    if with_bare:
        drawn.append("1 notitle with lines linecolor rgb '#606060'")
    return "plot " + ", ".join(drawn)


def script(path, description, axis, logarithmic, panels):
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    out = [f"set terminal svg size {500 * across},{300 * down + 40} font 'sans-serif,11'"
           " background '#ffffff'", f"set output {quoted(path)}"]
    for number, (result, columns) in enumerate(panels):
        out += block(number, result, columns)
    out += [f"set multiplot layout {down},{across} title {quoted(description)} font ',13'",
            "set style histogram clustered gap 1", "set style fill solid 0.9 noborder",
            "set boxwidth 0.8", "set grid ytics", "set xtics nomirror out rotate by -30 noenhanced"
            " font ',10'", "set ytics nomirror", "set border 3", f"set ylabel {quoted(axis)}",
            "set lmargin 9", "set rmargin 7", "set bmargin 6", "set key outside top right horizontal"]
    out += ["set logscale y"] if logarithmic else ["set yrange [0:*]"]
    for number, (result, columns) in enumerate(panels):
        out.append(f"set title {quoted(result['kind'])} noenhanced")
        out.append(bars(number, columns, axis.endswith("/ bare")))
    return "\n".join([*out, "unset multiplot", "unset output", ""])


def draw(folder, results):
    """{file: description} of what could be drawn."""
    drawn, kinds = {}, {result["kind"]: result for result in results}
    if not shutil.which("gnuplot"):
        print("gnuplot is not installed (Debian's gnuplot-nox): no plots")
        return drawn
    for name, description, axis, logarithmic, wanted in PLOTS:
        panels = [(kinds[kind], columns) for kind, columns in wanted if kind in kinds]
        if not panels:
            continue
        path = os.path.join(folder, name)
        done = subprocess.run(["gnuplot"], input=script(path, description, axis, logarithmic, panels),
                              text=True, check=False, stderr=subprocess.PIPE)
        if done.returncode or not os.path.exists(path):
            print(f"{name} could not be drawn: {done.stderr.strip()[:500]}")
            continue
        drawn[name] = description
    return drawn
