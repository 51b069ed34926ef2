# SPDX-License-Identifier: ISC
"""The contenders that are built here: bare and preforkd.

A start function gets the options, the kind of load, a name, a folder for its files and the CPUs to
stay on, and returns a Server that clients can connect to at server.address."""
import os
import socket
import sys

from .common import BURST, THOUSAND, WORKERS
from .process import Server

TINY_KINDS = ("program", "program-1", "program-64", "default")


def program_of(options, kind):
    """What runs for each connection, or None where the server itself answers."""
    if kind in TINY_KINDS:
        return [options.program("bench/tiny")]
    if kind == "prestart":
        # Not one of a version manager's: it starts another shell first.
        found = [p for p in ("/usr/bin/python3", "/usr/local/bin/python3") if os.access(p, os.X_OK)]
        return [(found or [sys.executable])[0], "-c", "print(input())"]
    return ["/bin/cat"] if kind == "relay" else None


def start_bare(options, kind, name, place, cpus, workers=WORKERS):
    family = {"unix": "unix", "udp": "udp"}.get(kind, "tcp")
    where = os.path.join(place, name + ".sock") if family == "unix" else "0"
    argv = [options.program("bench/bare"), family, where, str(workers)]
    program = program_of(options, kind)
    more = ["--daytime"] * kind.startswith("daytime") + (["--exec", *program] if program else [])
    server = Server(name, argv + more, place, cpus)
    found = server.said(r"(?m)^(?:port|path) (\S+)\n")
    server.address = f"unix://{found}" if family == "unix" else f"{family}://127.0.0.1:{found}"
    return server


def environment(options, notify):
    """Ours, without what the manager that started us meant for us."""
    env = {key: value for key, value in os.environ.items()
           if not key.startswith(("LISTEN_", "WATCHDOG_", "NOTIFY_", "JOURNAL_"))}
    env["NOTIFY_SOCKET"] = notify
    libs = os.path.join(os.path.dirname(options.program("preforkd")), ".libs")
    env.setdefault("PREFORKD_MODULE_DIRECTORY", libs)
    return env


def preforkd_run(options, name, place, cpus, *argv):
    """A daemon with these arguments, ready."""
    runtime = os.path.join(place, name + ".run")
    os.makedirs(runtime, exist_ok=True)
    path = os.path.join(place, name + ".notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        server = Server(name, [options.program("preforkd"), "--runtime-directory", runtime, *argv],
                        place, cpus, environment(options, path))
        server.wait_ready(notify)
    server.runtime = runtime
    return server


def start_preforkd(options, kind, name, place, cpus, more=("--workers", str(WORKERS))):
    scheme = "udp" if kind == "udp" else "tcp"
    address = f"{scheme}://127.0.0.1:0"
    if kind == "unix":
        address = f"unix://{place}/{name}.sock"
    program = program_of(options, kind)
    builtin = ["--builtin", "daytime" if kind.startswith("daytime") else "echo"]
    server = preforkd_run(options, name, place, cpus, "--listen", address, *more, *options.preforkd,
                          *(["--exec", "--", *program] if program else builtin))
    server.address = address
    if kind != "unix":
        server.address = server.said(rf"listening on ({scheme}://127\.0\.0\.1:[1-9]\d*)")
    return server


def elastic(workers, workers_max):
    return ("--workers", str(workers), "--set", f"workers_max={workers_max}", "--set", "spare=2")


def with_workers(start, number):
    """The same contender with so many workers."""
    named = {"workers": number} if start is start_bare else {"more": ("--workers", str(number))}
    return lambda *args: start(*args, **named)


def preforkd_with(*more):
    return lambda *args: start_preforkd(*args, more=more)


CONTENDERS = {
    "bare": start_bare,
    "bare-again": start_bare,
    "bare-64": with_workers(start_bare, BURST),  # for the burst: as many as come
    "bare-256": with_workers(start_bare, 256),
    "bare-1000": with_workers(start_bare, THOUSAND),
    "preforkd": start_preforkd,
    "preforkd-256": with_workers(start_preforkd, 256),
    "preforkd-1000": with_workers(start_preforkd, THOUSAND),
    "preforkd-max": preforkd_with(*elastic(2, THOUSAND)),  # as the load needs them
    "preforkd-2": preforkd_with(*elastic(2, BURST)),  # from 2 to as many as come
    "preforkd-0": preforkd_with(*elastic(0, BURST)),  # from none
    "preforkd-default": preforkd_with(),  # no number of workers given
    "preforkd-prestart": preforkd_with("--workers", str(WORKERS), "--set", "prestart=true"),
}
