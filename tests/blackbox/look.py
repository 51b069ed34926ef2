# SPDX-License-Identifier: ISC
"""What a test looks at beside the replies: pools and workers on the board, processes in /proc."""

import os
import re
from pathlib import Path

from daemon import exchange, wait_until


def pools(d, service=None):
    return [p for p in d.status()["pools"] if service in (None, p["service"])]


def pool(d, service=None):
    """The one pool, or the one of the service."""
    found = pools(d, service)
    assert len(found) == 1, found
    return found[0]


def counts(d, service=None):
    """The connections of the pool, without what is not counted in connections."""
    found = dict(pool(d, service)["connections"])
    del found["busy_usec"], found["accept_errors"], found["log_lost"]
    return {name: number for name, number in found.items() if number}


def wait_counts(d, service=None, **expected):
    """Until the counters that are not 0 are these; the ledger has to add up then."""
    last = []

    def look():
        last[:] = [counts(d, service)]
        return last[0] == expected

    try:
        wait_until(f"counts {expected}", look, 10)
    except AssertionError:
        raise AssertionError(f"{last[0]}, not {expected}:\n{d.log()}") from None
    parts = [number for name, number in expected.items() if name != "accepted"]
    assert expected.get("accepted", 0) == sum(parts)


def worker_pids(d, service=None):
    return [w["pid"] for w in d.status()["workers"]
            if service in (None, w["service"]) and w["state"] in ("idle", "busy")]


def busy_workers(d, service=None):
    return [w["pid"] for w in d.status()["workers"]
            if w["state"] == "busy" and service in (None, w["service"])]


def at_rest_counts(d, rest=True):
    """counts(), once no connection is open."""
    if rest:
        wait_until("no open connection", lambda: d.status()["connections"]["open"] == 0)
    return counts(d)


def busy_worker(d, service=None):
    """The pid of the one worker that serves a client, once there is one."""
    def look():
        return [w["pid"] for w in d.status()["workers"]
                if w["state"] == "busy" and service in (None, w["service"])]
    found = wait_until("a busy worker", look)
    assert len(found) == 1, found
    return found[0]


def stat_fields(pid):
    """Of /proc/PID/stat, from the state on; None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rsplit(")", 1)[1].split()


def is_gone(pid):
    """Ended; a process whose parent has died is perhaps never waited for."""
    fields = stat_fields(pid)
    return fields is None or fields[0] in "ZX"


def wait_gone(pids):
    for pid in pids:
        wait_until(f"end of {pid}", lambda: is_gone(pid))


def cpu_seconds(pid):
    fields = stat_fields(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def facts(address):
    """What the module env says of the process that serves us."""
    text = exchange(address, b"?").decode()
    found = re.fullmatch(r"(.*) title=\((.*)\) comm=(.*)\n", text)
    assert found, text
    fields = dict(item.split("=", 1) for item in found[1].split(" "))
    fields["title"], fields["comm"] = found[2], found[3]
    for name in ("pid", "ppid", "pgid", "nice", "nnp", "pdeathsig"):
        fields[name] = int(fields[name])
    return fields
