# SPDX-License-Identifier: ISC
"""The built-in agent: what it says to HAProxy's agent-check, and what HAProxy makes of it."""

import contextlib
import csv
import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from daemon import connect, wait_until
from support import free_port, service

LOCAL = "tcp://127.0.0.1:0"
EX_CONFIG = 78


def agent(options=None, listen=LOCAL, **keys):
    return service("agent", listen, builtin="agent", workers=1, options=options, **keys)


def ask(d, send=b""):
    """The line, after which the connection must end without a reset."""
    with connect(d.address("agent")) as s:
        s.sendall(send)
        answer = b"".join(iter(lambda: s.recv(4096), b"")).decode()
    assert answer.endswith("\n") and answer.count("\n") == 1, answer
    return answer[:-1]


@contextlib.contextmanager
def held(d, count, name="echo", index=0):
    """Clients that are being served."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            s = stack.enter_context(connect(d.address(name, index)))
            s.sendall(b"x")
            assert s.recv(1) == b"x"
        yield


def wait_answer(d, answer):
    wait_until(f"the agent says {answer}", lambda: ask(d) == answer)


# -- by hand


@pytest.mark.parametrize("workers", [1, 4])
def test_idle_share(daemon, workers):
    """Of a pool that can still grow too: of the workers that it may have."""
    d = daemon(service("echo", LOCAL, workers=workers, workers_max=4) + agent({"ready": "0"}))
    assert ask(d) == "up 100%"
    for count, share in ((1, 75), (2, 50), (3, 25), (4, 1)):
        with held(d, count):
            assert ask(d) == f"up {share}%"
        wait_answer(d, "up 100%")


def test_minimum(daemon):
    d = daemon(service("echo", LOCAL, workers=1) + agent({"ready": "0", "minimum": "20"}))
    with held(d, 1):
        assert ask(d) == "up 20%"
    wait_answer(d, "up 100%")


def test_ready_after_a_start(daemon):
    d = daemon(service("echo", LOCAL, workers=1) + agent())
    assert ask(d) == "up ready 100%"
    e = daemon(service("echo", LOCAL, workers=1) + agent({"ready": "200ms"}), name="other")
    wait_answer(e, "up 100%")


def test_what_agent_send_says_is_not_read(daemon):
    d = daemon(service("echo", LOCAL, workers=1) + agent({"ready": "0"}))
    for line in (b"\n", b"echo\r\n", b"x" * 60000):
        assert ask(d, line) == "up 100%"


def test_the_fullest_pool_counts(daemon):
    """An address that nobody uses does not hide one that is full."""
    d = daemon(service("echo", LOCAL, "tcp://127.0.0.2:0", workers=2) +
               service("other", LOCAL, workers=4) + agent({"ready": "0"}))
    with held(d, 1, "other"):
        assert ask(d) == "up 75%"
        with held(d, 1, index=1):
            assert ask(d) == "up 50%"


@pytest.mark.parametrize("names, share", [("other", 75), ("echo", 50), ("other,echo", 50),
                                          (" echo\tother , ", 50)])
def test_services(daemon, names, share):
    d = daemon(service("echo", LOCAL, workers=2) + service("other", LOCAL, workers=4) +
               agent({"ready": "0", "service": names}))
    with held(d, 1, "other"), held(d, 1, "echo"):
        assert ask(d) == f"up {share}%"


def test_no_such_service(daemon):
    d = daemon(service("echo", LOCAL, workers=2) + agent({"service": "web"}))
    assert ask(d) == "down #no such service"
    d.write_config(service("web", LOCAL, workers=2) + agent({"service": "web", "ready": "0"}))
    d.ctl("reload")
    wait_answer(d, "up 100%")


def test_copies_of_a_program_have_no_weight(daemon):
    """What they do is not seen: HAProxy keeps the weight it has."""
    d = daemon(service("web", LOCAL, acceptor=["/bin/sleep", "1000"], workers=1) +
               agent({"ready": "0"}))
    assert ask(d) == "up"


def test_degraded(daemon, programs):
    """As many workers as are ready count; none at all is down."""
    module = programs.modules / "crash_serve.so"
    d = daemon(service("crash", LOCAL, module=module, workers=1) + agent({"ready": "0"}))

    def crash():
        with contextlib.suppress(OSError), connect(d.address("crash")) as s:
            s.sendall(b"crash")
            s.recv(1)
        return ask(d) == "down #no worker is ready"
    wait_until("no worker is ready", crash)


def test_degraded_is_still_up(daemon, programs):
    module = programs.modules / "crash_serve.so"
    d = daemon(service("crash", LOCAL, module=module, workers=1) +
               service("echo", LOCAL, workers=2) + agent({"ready": "0"}))

    def crash():
        with contextlib.suppress(OSError), connect(d.address("crash")) as s:
            s.sendall(b"crash")
            s.recv(1)
        return ask(d) == "up 1% #degraded"
    wait_until("degraded", crash)


@pytest.mark.parametrize("ready, answer", [("1m", "drain"), ("0", "up 0%")])
def test_a_stop(daemon, ready, answer):
    """Who is in the agent's queue when the daemon is told to stop is told of it."""
    d = daemon(service("echo", LOCAL, workers=1) + agent({"ready": ready}, sandbox="strict"))
    worker = next(w["pid"] for w in d.status()["workers"] if w["service"] == "agent")
    with held(d, 1):
        os.kill(worker, signal.SIGSTOP)
        with connect(d.address("agent")) as s:
            d.signal(signal.SIGTERM)
            wait_until("stopping", lambda: d.status()["state"] == "stopping")
            os.kill(worker, signal.SIGCONT)
            assert b"".join(iter(lambda: s.recv(100), b"")).decode() == answer + "\n"
    assert d.wait() == 0


@pytest.mark.parametrize("options, message", [
    ({"minimum": "0"}, r'minimum: "0" is no number from 1 to 100'),
    ({"minimum": "101"}, r'minimum: "101" is no number from 1 to 100'),
    ({"minimum": "5%"}, r'minimum: "5%" is no number from 1 to 100'),
    ({"ready": "soon"}, 'ready: "soon" is no duration; write 30s, 1m, or 0'),
    ({"service": " , "}, "service: no name in it"),
    ({"weight": "5"}, 'unknown option "weight"; known: service, minimum, ready'),
])
def test_bad_options(programs, tmp_path, options, message):
    config = tmp_path / "preforkd.conf"
    config.write_text(agent(options))
    config.chmod(0o644)
    result = subprocess.run([programs.preforkd, "--check", "--config", str(config)],
                            capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == EX_CONFIG
    assert message in result.stderr


def test_datagrams_are_refused(programs, tmp_path):
    config = tmp_path / "preforkd.conf"
    config.write_text(agent(listen="udp://127.0.0.1:0"))
    config.chmod(0o644)
    result = subprocess.run([programs.preforkd, "--check", "--config", str(config)],
                            capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == EX_CONFIG, result.stderr


# -- a real HAProxy


class Haproxy:
    """Two servers, as preforkd.conf(5) sets them up, but for shorter times."""

    def __init__(self, tmp_path, servers):
        self.stats = tmp_path / "stats"
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        lines = "\n".join(
            f"    server {name} 127.0.0.1:{port} weight 100 check inter 100ms fall 2 rise 1"
            f" agent-check agent-port {agent_port} agent-inter 100ms"
            for name, port, agent_port in servers)
        config = tmp_path / "haproxy.cfg"
        config.write_text(f"""
global
    stats socket {self.stats} level admin
defaults
    mode tcp
    timeout connect 5s
    timeout client  30s
    timeout server  30s
    timeout check   20s
    retries 3
    option redispatch
listen echo
    bind fd@{self.listener.fileno()}
    balance roundrobin
{lines}
""")
        self.log = open(tmp_path / "haproxy.log", "ab")
        self.process = subprocess.Popen(["haproxy", "-f", config, "-db"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        pass_fds=[self.listener.fileno()])

    def say(self, line):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.stats))
            s.sendall(line.encode() + b"\n")
            return b"".join(iter(lambda: s.recv(65536), b"")).decode()

    def server(self, name):
        with contextlib.suppress(OSError):
            for row in csv.DictReader(self.say("show stat").splitlines()):
                if row["# pxname"] == "echo" and row["svname"] == name:
                    return row
        return None

    def wait(self, name, weight=None, status=None):
        def look():
            row = self.server(name)
            return (row and weight in (None, int(row["weight"])) and
                    (status is None or row["status"].startswith(status)))
        wait_until(f"{name}: weight {weight}, {status}", look)

    def echo(self):
        """A client; what went wrong, or None."""
        try:
            with connect(f"tcp://127.0.0.1:{self.port}", timeout=20) as s:
                s.sendall(b"hello")
                s.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: s.recv(4096), b""))
        except OSError as error:
            return error
        return None if answer == b"hello" else answer

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.log.close()
            self.listener.close()
            print(Path(self.log.name).read_text())


@pytest.fixture(name="pair")
def make_pair(daemon, tmp_path):
    """Two daemons behind a HAProxy, all of them up."""
    if not shutil.which("haproxy"):
        pytest.skip("there is no haproxy")
    with contextlib.ExitStack() as stack:
        def make(ready="1m"):
            daemons, servers = [], []
            for name in ("one", "two"):
                ports = free_port(), free_port()
                daemons.append(daemon(
                    service("echo", f"tcp://127.0.0.1:{ports[0]}", workers=10) +
                    agent({"ready": ready}, f"tcp://127.0.0.1:{ports[1]}"), name=name))
                servers.append((name, *ports))
            proxy = Haproxy(tmp_path, servers)
            stack.callback(proxy.close)
            for name in ("one", "two"):
                proxy.wait(name, 100, "UP")
            return (*daemons, proxy)
        yield make


def test_load_goes_where_there_is_room(pair):
    one, _two, proxy = pair()
    with held(one, 5):
        proxy.wait("one", 50)
    with held(one, 10):
        proxy.wait("one", 1, "UP")
        before = {n: int(proxy.server(n)["stot"]) for n in ("one", "two")}
        # The tenth of a share of one in a hundred.
        waiting = [proxy.echo() for _ in range(50) if int(proxy.server("two")["weight"]) >= 90]
        after = {n: int(proxy.server(n)["stot"]) for n in ("one", "two")}
        assert set(waiting) <= {None}
        assert after["two"] - before["two"] >= 0.9 * len(waiting) > 30
        assert after["one"] - before["one"] <= 2
    proxy.wait("one", 100)


class Clients:
    """One client after the other, from several threads, until it is told to end."""

    def __init__(self, proxy, threads=4):
        self.failures, self.served, self.end = [], 0, threading.Event()
        self.lock = threading.Lock()
        self.proxy = proxy
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(threads)]

    def run(self):
        while not self.end.is_set():
            failure = self.proxy.echo()
            with self.lock:
                self.served += 1
                if failure:
                    self.failures.append(failure)
            self.end.wait(0.01)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        for t in self.threads:
            t.join(30)

    def wait_more(self, count):
        wanted = self.served + count
        wait_until(f"{count} more clients", lambda: self.served >= wanted)


def test_stop_and_start_lose_nobody(pair):
    """The listeners close at once: HAProxy is refused, and takes the other one."""
    one, _two, proxy = pair()
    with Clients(proxy) as clients:
        clients.wait_more(50)
        assert one.stop() == 0
        proxy.wait("one", status="DOWN")
        clients.wait_more(50)
        one.start()
        proxy.wait("one", status="UP")
        before = int(proxy.server("one")["stot"])
        wait_until("clients at one", lambda: int(proxy.server("one")["stot"]) > before + 10)
    assert clients.failures == []


def queued(port):
    """Clients in the queue of a listener, as proc(5) has it."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].split(":")[1], 16) == port:
            return int(fields[4].split(":")[1], 16)
    return 0


def stop_with_check_waiting(d):
    """The check that HAProxy has just begun is answered by a daemon that stops."""
    worker = next(w["pid"] for w in d.status()["workers"] if w["service"] == "agent")
    os.kill(worker, signal.SIGSTOP)
    wait_until("a check waits", lambda: queued(d.port("agent")) > 0)
    d.signal(signal.SIGTERM)
    wait_until("stopping", lambda: d.status()["state"] == "stopping")
    os.kill(worker, signal.SIGCONT)


@pytest.mark.parametrize("ready, weight", [("1m", 100), ("0", 0)])
def test_drained_and_back(pair, ready, weight):
    """A drain is taken back by the next start; one by an operator is not."""
    one, _two, proxy = pair(ready)
    with held(one, 1):
        stop_with_check_waiting(one)
        proxy.wait("one", weight, "DRAIN" if ready != "0" else None)
    assert one.wait() == 0
    one.start()
    proxy.wait("one", 100, "UP")


def test_an_operator_is_not_overruled(pair):
    one, _two, proxy = pair("0")
    proxy.say("set server echo/one state drain")
    with held(one, 5):
        proxy.wait("one", 50, "DRAIN")
    proxy.wait("one", 100, "DRAIN")
    proxy.say("set server echo/one state ready")
    proxy.wait("one", 100, "UP")


def test_down_and_up(pair):
    one, _two, proxy = pair()
    with_echo = one.config_file.read_text()
    one.write_config(with_echo.replace("options {", 'options {\n\t\tservice = "web"'))
    one.ctl("reload")
    proxy.wait("one", status="DOWN (agent)")
    assert "no such service" in str(proxy.server("one").values())
    one.write_config(with_echo)
    one.ctl("reload")
    proxy.wait("one", 100, "UP")
