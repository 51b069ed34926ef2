# SPDX-License-Identifier: ISC
"""proxy_protocol with the proxies that are in use, as the manual sets them up."""

import contextlib
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from daemon import DEADLINE, connect, wait_until
from execs import (daemon_of_programs, facts_of, facts_program,  # noqa: F401
                   read_all)
from look import wait_counts, wait_gone, worker_pids
from proxies import KINDS, TCP, TRUST, echo
from support import free_port, rewrite, service

# Where clients come from: the proxies come from 127.0.0.1.
CLIENT, OTHER = "127.0.0.5", "127.0.0.6"
NGINX_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"


@pytest.fixture(name="run")
def run_programs(tmp_path):
    """Programs that end with the test, and what they said if it failed."""
    running = []

    def go(*command, **kwargs):
        log = open(tmp_path / f"{Path(command[0]).name}.log", "ab")
        running.append((subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         **kwargs), log))
        return running[-1][0]

    yield go
    for process, log in running:
        process.terminate()
        try:
            process.wait(10)
        finally:
            process.kill()
            log.close()
            print(Path(log.name).read_text())


class Haproxy:
    """One frontend on a socket that is there before it, so that nobody has to wait for it."""

    def __init__(self, run, tmp_path, server, options, more="", family=socket.AF_INET):
        self.stats = tmp_path / "stats"
        self.listener = socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1",
                                              0), family=family)
        self.address = self.listener.getsockname()[:2]
        config = tmp_path / "haproxy.cfg"
        config.write_text(f"""
global
    stats socket {self.stats} level admin
defaults
    mode tcp
    timeout connect 5s
    timeout client  30s
    timeout server  30s
    unique-id-format %pid-%rt
listen all
    bind fd@{self.listener.fileno()}
    bind {tmp_path}/frontend
    {more}
    server preforkd {server} {options}
""")
        self.process = run("haproxy", "-f", config, "-db",
                           pass_fds=[self.listener.fileno()])

    def state(self):
        """UP, DOWN, `no check`; of the server."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.stats))
            s.sendall(b"show stat\n")
            found = re.search(rb"^all,preforkd,(?:[^,]*,){15}([^,]*),", read_all(s), re.M)
            return found[1].decode()

    def wait_state(self, pattern):
        wait_until(f"server {pattern}", lambda: re.match(pattern, self.state() or ""))


@pytest.fixture
def haproxy(run, tmp_path):
    if not shutil.which("haproxy"):
        pytest.skip("there is no haproxy")

    def go(server, options, **kwargs):
        return Haproxy(run, tmp_path, server, options, **kwargs)
    return go


@pytest.fixture
def nginx(run, tmp_path):
    """A function that returns the address of an nginx in front of a server."""
    if not shutil.which("nginx") or not Path(NGINX_MODULE).exists():
        pytest.skip("there is no nginx with its stream module")

    def go(server):
        port = free_port()
        config = tmp_path / "nginx.conf"
        config.write_text(f"""
load_module {NGINX_MODULE};
daemon off;
master_process off;
pid {tmp_path}/nginx.pid;
error_log stderr;
events {{ }}
stream {{
    server {{
        listen 127.0.0.1:{port};
        proxy_pass {server};
        proxy_protocol on;
        proxy_half_close on;
    }}
}}
""")
        run("nginx", "-p", tmp_path, "-c", config, "-e", "stderr")
        wait_until("nginx", lambda: can_connect(("127.0.0.1", port)))
        return "127.0.0.1", port
    return go


def can_connect(address):
    with contextlib.suppress(OSError), socket.create_connection(address, 10):
        return True


def client(address, source=CLIENT):
    if ":" in address[0]:
        return socket.create_connection(address, DEADLINE)
    return socket.create_connection(address, DEADLINE, (source, 0))


def say(address, data, source=CLIENT):
    """The client's own port, and what came back."""
    with client(address, source) as s:
        port = s.getsockname()[1]
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        return port, read_all(s)


@pytest.fixture(params=KINDS)
def server(request, daemon, programs, tmp_path):
    def go(address=TCP, **keys):
        keys = {"workers": 2, **keys}
        return daemon(echo(request.param, programs, address.replace("DIR", str(tmp_path)), **keys))
    return go


def of_daemon(d):
    return f"127.0.0.1:{d.port()}"


VERSIONS = {"1": "send-proxy", "2": "send-proxy-v2",
            "2 with vectors": "send-proxy-v2 proxy-v2-options crc32c,unique-id"}


@pytest.mark.parametrize("version", VERSIONS)
def test_haproxy(server, haproxy, version):
    d = server()
    proxy = haproxy(of_daemon(d), VERSIONS[version])
    for data in (b"hello", b"x" * 200_000):
        port, reply = say(proxy.address, data)
        assert reply == data
        d.wait_log(rf"client {CLIENT}:{port}: finished")
    wait_counts(d, accepted=2, finished=2)


@pytest.mark.parametrize("version", VERSIONS)
def test_haproxy_on_unix(server, haproxy, tmp_path, version):
    d = server("unix://DIR/s", proxy_from=[])
    proxy = haproxy(f"unix@{tmp_path}/s", VERSIONS[version])
    port, reply = say(proxy.address, b"hello")
    assert reply == b"hello"
    d.wait_log(rf"client {CLIENT}:{port}: finished")


@pytest.mark.parametrize("version", VERSIONS)
def test_haproxy_and_ipv6(server, haproxy, version):
    d = server("tcp://*:0")
    proxy = haproxy(of_daemon(d), VERSIONS[version], family=socket.AF_INET6)
    port, reply = say(proxy.address, b"hello")
    assert reply == b"hello"
    d.wait_log(rf"client \[::1\]:{port}: finished")


@pytest.mark.parametrize("version", VERSIONS)
def test_haproxy_for_a_client_without_an_address(server, haproxy, tmp_path, version):
    """On a Unix socket of its own: it is itself the client then."""
    d = server()
    haproxy(of_daemon(d), VERSIONS[version])
    wait_until("haproxy", lambda: (tmp_path / "frontend").exists())
    with connect(f"unix://{tmp_path}/frontend") as s:
        s.sendall(b"hello")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"hello"
    d.wait_log(r"client (127\.0\.0\.1:\d+|unix): finished")


@pytest.mark.parametrize("version", VERSIONS)
def test_environment(daemon, facts_program, haproxy, version):
    """What the client is connected to is HAProxy."""
    d = daemon(service("main", TCP, exec=[facts_program], workers=1, **TRUST))
    proxy = haproxy(of_daemon(d), VERSIONS[version])
    with client(proxy.address) as s:
        port = str(s.getsockname()[1])
        found = facts_of(s).environment()
    ip, at = proxy.address[0], str(proxy.address[1])
    assert {name: found[name] for name in ("PROTO", "TCPREMOTEIP", "TCPREMOTEPORT", "TCPLOCALIP",
                                           "TCPLOCALPORT", "REMOTE_ADDR", "SERVER_PORT")} == {
        "PROTO": "TCP", "TCPREMOTEIP": CLIENT, "TCPREMOTEPORT": port, "TCPLOCALIP": ip,
        "TCPLOCALPORT": at, "REMOTE_ADDR": CLIENT, "SERVER_PORT": at}


def test_access(server, haproxy):
    d = server(allow=[CLIENT])
    proxy = haproxy(of_daemon(d), "send-proxy-v2")
    assert say(proxy.address, b"hello")[1] == b"hello"
    assert say(proxy.address, b"hello", OTHER)[1] == b""
    wait_counts(d, accepted=2, finished=1, refused_access=1)


def test_haproxy_that_does_not_say_it(server, haproxy):
    d = server()
    proxy = haproxy(of_daemon(d), "")
    assert say(proxy.address, b"hello")[1] == b""
    wait_counts(d, accepted=1, refused_proxy=1)


# What the agent of a check says, and what it wants to hear.
CHECK = """option tcp-check
    tcp-check send ping\\n
    tcp-check expect string ping"""


@pytest.mark.parametrize("version", VERSIONS)
def test_health_checks(server, haproxy, version):
    """They come from HAProxy itself, beside what it sends for its clients."""
    d = server()
    proxy = haproxy(of_daemon(d), f"{VERSIONS[version]} check inter 100ms check-send-proxy",
                    more=CHECK)
    d.wait_log(r"client 127\.0\.0\.1:\d+: ", count=3)
    proxy.wait_state("UP$")
    port, reply = say(proxy.address, b"hello")
    assert reply == b"hello"
    d.wait_log(rf"client {CLIENT}:{port}: finished")
    assert d.status()["connections"]["refused_proxy"] == 0


def test_health_checks_that_do_not_say_it(server, haproxy):
    """To another port than the server's they come without a header, unless they are told to."""
    d = server()
    proxy = haproxy(of_daemon(d), f"send-proxy check inter 100ms port {d.port()}", more=CHECK)
    proxy.wait_state("DOWN")


def test_health_checks_may_come_without(server, haproxy):
    """accept is for those who cannot be told."""
    d = server(proxy_protocol="accept")
    proxy = haproxy(of_daemon(d), f"send-proxy check inter 100ms port {d.port()}", more=CHECK)
    d.wait_log(r"client 127\.0\.0\.1:\d+: ", count=3)
    proxy.wait_state("UP$")
    port, reply = say(proxy.address, b"hello")
    assert reply == b"hello"
    d.wait_log(rf"client {CLIENT}:{port}: finished")


def test_nginx(server, nginx):
    d = server()
    address = nginx(of_daemon(d))
    for data in (b"hello", b"x" * 200_000):
        port, reply = say(address, data)
        assert reply == data
        d.wait_log(rf"client {CLIENT}:{port}: finished")


def test_nginx_on_unix(server, nginx, tmp_path):
    d = server("unix://DIR/s", proxy_from=[])
    port, reply = say(nginx(f"unix:{tmp_path}/s"), b"hello")
    assert reply == b"hello"
    d.wait_log(rf"client {CLIENT}:{port}: finished")


@pytest.fixture
def in_manual(programs, tmp_path):
    """A file with the example that begins so."""
    def go(first_line, before=""):
        text = (programs.source / "man/preforkd.conf.5").read_text()
        [found] = re.findall(rf"^\.Bd.*\n({first_line}\n(?:.*\n)*?)\.Ed$", text, re.M)
        path = tmp_path / "example"
        path.write_text(before + found.replace("7019;", f"{free_port()};", 1))
        return path
    return go


def test_haproxy_of_the_manual(in_manual):
    if not shutil.which("haproxy"):
        pytest.skip("there is no haproxy")
    path = in_manual("listen clock")
    done = subprocess.run(["haproxy", "-c", "-f", path], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr


def test_nginx_of_the_manual(in_manual, tmp_path):
    if not shutil.which("nginx") or not Path(NGINX_MODULE).exists():
        pytest.skip("there is no nginx with its stream module")
    path = in_manual("stream {", f"load_module {NGINX_MODULE};\nevents {{ }}\n"
                                 f"pid {tmp_path}/pid;\n")
    done = subprocess.run(["nginx", "-t", "-p", tmp_path, "-c", path, "-e", "stderr"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_is_lost_by_reloads_behind_haproxy(server, haproxy):
    d = server(workers=4)
    proxy = haproxy(of_daemon(d), "send-proxy-v2")
    text = d.config_file.read_text()
    for generation in range(4):
        old = worker_pids(d)
        waiting = [client(proxy.address) for _ in range(20)]
        for i, s in enumerate(waiting):
            s.sendall(b"client %d" % i)
            s.shutdown(socket.SHUT_WR)
        rewrite(d, text.replace("workers =", f"umask = 002{generation}\n\tworkers ="))
        for i, s in enumerate(waiting):
            with s:
                assert read_all(s) == b"client %d" % i
        wait_gone(old)
    wait_counts(d, accepted=80, finished=80)
