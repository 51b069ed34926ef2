# SPDX-License-Identifier: ISC
"""What it costs to be watched: top beside a load, status of 1000 workers, scrapes."""
import contextlib
import os
import pty
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time

from .common import THOUSAND, Result, Trouble
from .cpu import CPU, reader_set
from .kinds import all_cpus, servers_running
from .own import preforkd_run
from .process import servers_stop
from .rounds import demand_all, load_run

TOP_HZ = 10
WATCH_TARGET = 1.01  # CPU for a connection, beside that without top
WATCH_CLIENTS, WATCH_SECONDS = 64, 0.25
STATUS_TARGET, SCRAPE_TARGET = 5.0, 5.0  # ms
SCRAPES, SCRAPE_SECONDS = 10000, 40  # at most so many seconds
SCRAPE_GROWTH_TARGET = 16.0  # kB


class Top:
    """preforkctl top on a terminal of its own, whose output somebody reads."""

    def __init__(self, options, server):
        self.terminal, slave = pty.openpty()
        self.shown = 0
        argv = [options.program("preforkctl"), "--runtime-directory", server.runtime, "top", "-d",
                str(1 / TOP_HZ)]
        env = {**os.environ, "TERM": "xterm-256color", "LINES": "40", "COLUMNS": "120"}
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=env,
                                        start_new_session=True,
                                        preexec_fn=lambda: os.sched_setaffinity(0, options.cpus))
        os.close(slave)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        with contextlib.suppress(OSError):  # EIO: it has ended
            while got := os.read(self.terminal, 65536):
                self.shown += len(got)

    def wait_shown(self):
        """It draws, and goes on to."""
        end = time.monotonic() + 10
        while self.shown == 0 and time.monotonic() < end and self.process.poll() is None:
            time.sleep(0.01)
        if self.shown == 0 or self.process.poll() is not None:
            raise Trouble(f"preforkctl top does not run: exit {self.process.poll()}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.reader.join(5)
        os.close(self.terminal)


def watch_rounds(options):
    return options.rounds or (10 if options.quick else 80)


def cpu_each(options, server):
    before = CPU[server.reader](server)
    got = demand_all([server], "watch", load_run(options, [server], "echo", WATCH_CLIENTS,
                                                 WATCH_SECONDS))
    return (CPU[server.reader](server) - before) * 1e6 / got["count"]


def cpu_watched(options, server, top):
    """The same while it draws; in between it stands still."""
    had = top.shown
    top.process.send_signal(signal.SIGCONT)
    figure = cpu_each(options, server)
    if top.process.poll() is not None or top.shown == had:
        raise Trouble(f"preforkctl top does not draw: exit {top.process.poll()}")
    top.process.send_signal(signal.SIGSTOP)
    return figure


def watch_measure(options, server):
    figures = {"alone": [], "watched": []}
    top = Top(options, server)
    try:
        top.wait_shown()
        cpu_watched(options, server, top)  # warms up
        for number in range(watch_rounds(options)):
            if number % 2:
                figures["watched"].append(cpu_watched(options, server, top))
            figures["alone"].append(cpu_each(options, server))
            if not number % 2:
                figures["watched"].append(cpu_watched(options, server, top))
    finally:
        top.stop()
    return figures


def watch_run(options):
    with servers_running(options, "watch", only=("preforkd",)) as (ours, _):
        used = reader_set(options, ours, False)
        figures = watch_measure(options, ours[0])
    result = Result("watch", f"short connections, {WATCH_CLIENTS} clients, without and with preforkctl"
                    f" top at {TOP_HZ} Hz; {watch_rounds(options)} rounds of {WATCH_SECONDS:g} s,"
                    f" medians; server CPU: {used}", [("CPU us each", ".2f")])
    for name, got in figures.items():
        result.row(name, statistics.median(got))
    result.check("watched / alone, CPU", [b / a for a, b in zip(figures["alone"], figures["watched"])],
                 "<=", WATCH_TARGET)
    result.figures = figures
    return result


# ---- status of many workers

STATUS_WAYS = {"status": [], "status --workers": ["--workers"], "status --json": ["--json"]}


def status_rounds(options):
    return 10 if options.quick else 100


def status_once(options, server, more):
    argv = [options.program("preforkctl"), "--runtime-directory", server.runtime, "status", *more]
    began = time.monotonic()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, timeout=60)
    took = (time.monotonic() - began) * 1e3
    if done.returncode or not done.stdout:
        raise Trouble(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout.decode()[-500:]}")
    return took


def status_run(options):
    figures = {name: [] for name in STATUS_WAYS}
    with all_cpus(options), \
            servers_running(options, "status", only=(f"preforkd-{THOUSAND}",)) as (ours, _):
        for _ in range(status_rounds(options)):
            for name, more in STATUS_WAYS.items():
                figures[name].append(status_once(options, ours[0], more))
    result = Result("status", f"preforkctl with {THOUSAND} workers, from its start to its end, ms;"
                    f" {status_rounds(options)} rounds", [("median", ".2f"), ("best", ".2f")])
    for name, got in figures.items():
        result.row(name, statistics.median(got), min(got))
    result.check("status", figures["status"], "<=", STATUS_TARGET, "ms")
    result.figures = figures
    return result


# ---- scrapes of /metrics

SCRAPED = """
service "echo" {{
    listen = {{"tcp://127.0.0.1:0"}}
    builtin = "echo"
    workers = {workers}
}}
service "page" {{
    listen = {{"tcp://127.0.0.1:0"}}
    builtin = "status"
    workers = 1
    workers_max = 1
}}
"""
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def page_of(server):
    """(port, pid of the worker)."""
    port = int(server.said(r'service "page": listening on tcp://127\.0\.0\.1:(\d+)'))
    for pid in server.pids()[1:]:
        with open(f"/proc/{pid}/cmdline", "rb") as name:
            if b":%d]" % port in name.read():
                return port, pid
    raise Trouble(f"no worker of the page's port {port}")


def scrape_once(port):
    began = time.monotonic()
    got = []
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(REQUEST)
        while part := client.recv(65536):
            got.append(part)
    took = (time.monotonic() - began) * 1e3
    reply = b"".join(got)
    if not reply.startswith(b"HTTP/1.1 200") or not reply.rstrip().endswith(b"# EOF"):
        raise Trouble(f"a scrape's reply is {reply[:300]!r} ... {reply[-100:]!r}")
    return took


def private_of(pid):
    """Memory of its own, kB."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        text = rollup.read()
    return sum(int(kb) for kb in re.findall(r"(?m)^Private_(?:Clean|Dirty):\s+(\d+)", text))


def scrapes_run(options, server):
    """Times of all, and the worker's memory after a tenth and after all."""
    port, pid = page_of(server)
    count = SCRAPES // 20 if options.quick else SCRAPES
    times, end, early = [], time.monotonic() + SCRAPE_SECONDS, None
    while len(times) < count and time.monotonic() < end:
        times.append(scrape_once(port))
        if len(times) == count // 10:
            early = private_of(pid)
    return times, early or private_of(pid), private_of(pid)


def scrape_run(options):
    place = tempfile.TemporaryDirectory(prefix="preforkd-bench.")
    with all_cpus(options), place as folder:
        conf = os.path.join(folder, "preforkd.conf")
        with open(conf, "w", encoding="utf-8") as out:
            out.write(SCRAPED.format(workers=THOUSAND - 1))
        server = preforkd_run(options, "preforkd", folder, options.cpus, "--config", conf)
        try:
            times, early, late = scrapes_run(options, server)
        finally:
            servers_stop([server])
    result = Result("scrape", f"/metrics of the built-in status beside {THOUSAND - 1} workers, one after"
                    f" the other, {len(times)} scrapes", [("median", ".2f"), ("p99", ".2f")])
    result.row("a scrape, ms", statistics.median(times), sorted(times)[int(len(times) * 0.99)])
    result.row(f"private memory, kB, after {len(times) // 10}", str(early), None)
    result.row(f"after {len(times)}", str(late), None)
    result.check("a scrape", times, "<=", SCRAPE_TARGET, "ms")
    result.check("private memory it has grown by", [float(late - early)], "<=", SCRAPE_GROWTH_TARGET,
                 "kB")
    result.figures = {"times_ms": {"count": len(times), "median": statistics.median(times)},
                      "private_kb": [early, late]}
    return result
