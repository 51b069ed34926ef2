# SPDX-License-Identifier: ISC
"""What every part needs: trouble, constants, and how a figure is judged."""
import socket
import statistics

WORKERS = 16
BURST, THOUSAND = 64, 1000
START_SECONDS = 15


class Trouble(Exception):
    """What keeps us from measuring; shown without a traceback."""


def free_port(address="127.0.0.1", kind=socket.SOCK_STREAM):
    """For servers that cannot say which port they got; only they can lose it again."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as free:
        free.bind((address, 0))
        return free.getsockname()[1]


def interval(values):
    """The median and the 95 % confidence interval of it, from the order of the values alone."""
    values = sorted(values)
    count = len(values)
    low = max(0, int(count / 2 - 0.98 * count ** 0.5))
    return statistics.median(values), values[low], values[count - 1 - low]


class Check:
    """A figure that was measured, with its interval, and what it is held to, if to anything."""

    def __init__(self, label, values, how=None, target=None, unit=""):
        self.label, self.how, self.target, self.unit = label, how, target, unit
        self.value, self.low, self.high = interval(values)
        self.good, self.sure = self.judged()

    def judged(self):
        """(good, sure): not sure where the noise reaches across the target."""
        if self.how is None:
            return True, True
        if self.how == "within":
            return abs(self.value - 1) <= self.target, True
        if self.how == "<=":
            return self.value <= self.target, self.high <= self.target or self.low > self.target
        return self.value >= self.target, self.low >= self.target or self.high < self.target

    def figure(self):
        unit = f" {self.unit}" if self.unit else ""
        spread = f" ({self.low:.3f} to {self.high:.3f})" if self.low != self.high else ""
        return f"{self.value:.3f}{spread}{unit}"

    def wanted(self):
        """"" where there is no target."""
        if self.how is None:
            return ""
        return f"{self.how} {self.target:g}{' ' + self.unit if self.unit else ''}"

    def word(self):
        if self.how is None:
            return ""
        return ("met" if self.good else "MISSED") + ("" if self.sure else ", within the noise")

    def as_json(self):
        return {"label": self.label, "value": self.value, "low": self.low, "high": self.high,
                "unit": self.unit, "target": self.wanted(), "verdict": self.word()}


class Result:
    """What came of a kind: a table, and checks below it."""

    def __init__(self, kind, title, columns):
        self.kind, self.title = kind, title
        self.columns = columns  # (head, format of a number) of all but the first, the name
        self.rows, self.checks, self.notes = [], [], []
        self.left_out, self.figures = {}, {}

    def row(self, name, *values):
        """None: not measured."""
        self.rows.append((name, values))

    def check(self, *args, **named):
        self.checks.append(Check(*args, **named))

    def good(self):
        return all(check.good for check in self.checks)

    def cells(self):
        """The table in text, the head first."""
        yield ["", *(head for head, _ in self.columns)]
        for name, values in self.rows:
            yield [name, *("-" if value is None else value if isinstance(value, str) else
                           format(value, form) for value, (_, form) in zip(values, self.columns))]

    def text(self):
        lines = list(self.cells())
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        out = [f"\n{self.kind}: {self.title}"]
        for line in lines:
            out.append("  " + line[0].ljust(widths[0]) + "".join(
                cell.rjust(width + 2) for cell, width in zip(line[1:], widths[1:])))
        for check in self.checks:
            target = f"  target {check.wanted()}: {check.word()}" if check.how else ""
            out.append(f"  {check.label}: {check.figure()}{target}")
        out += [f"  {note}" for note in self.notes]
        out += [f"  {name} is left out: {why}" for name, why in self.left_out.items()]
        return "\n".join(out)

    def as_json(self):
        return {"kind": self.kind, "title": self.title,
                "columns": [head for head, _ in self.columns],
                "rows": [{"name": name, "values": list(values)} for name, values in self.rows],
                "cells": list(self.cells()), "checks": [check.as_json() for check in self.checks],
                "notes": self.notes, "left_out": self.left_out, "figures": self.figures}
