# SPDX-License-Identifier: ISC
"""preforkctl bench: what it sends and demands, on every kind of address, and how it counts what
goes wrong. How exact its figures are: test_bench_time.py."""

import json
import os
import pty
import resource
import shutil
import signal
import socket
import subprocess
import time

import pytest

import ctl
import netns
from benching import (DATAGRAMS, STREAMS, Server, bench, bind, check_good, children, echo,
                      echo_datagram, errors, read_all, reset)
from daemon import wait_until


# ---- every kind of address

@pytest.mark.parametrize("keep", [False, True], ids=["each", "kept"])
@pytest.mark.parametrize("kind", STREAMS)
def test_echo(tmp_path, kind, keep):
    with Server(tmp_path, echo, kind) as server:
        report = bench(server.address, "-n", 50, "-c", 4, "-s", 100, *["--keep"] * keep)
        check_good(report, 50)
        assert server.count == report["opened"] == (4 if keep else 50)
    assert report["bytes_sent"] == report["bytes_received"] == 50 * 100
    assert report["mode"] == "echo"
    assert report["connect"]["count"] == report["opened"]
    assert report["total"]["count"] == 50


@pytest.mark.parametrize("kind", DATAGRAMS)
def test_echo_of_datagrams(tmp_path, kind):
    with Server(tmp_path, echo_datagram, kind) as server:
        report = bench(server.address, "-n", 50, "-c", 4, "-s", 100)
        check_good(report, 50)
        assert server.count == 50
    assert report["opened"] == 4
    assert report["connect"] is None
    assert report["bytes_sent"] == report["bytes_received"] == 50 * 100


@pytest.mark.parametrize("kind", ["tcp", "unix", "unixpacket"])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 65536, 65537, 1000000])
def test_sizes(tmp_path, kind, size):
    with Server(tmp_path, echo, kind) as server:
        report = bench(server.address, "-n", 6, "-c", 2, "-s", size)
    check_good(report, 6)
    assert report["bytes_received"] == 6 * size


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_large_messages_on_kept_connections(tmp_path, kind):
    with Server(tmp_path, echo, kind) as server:
        check_good(bench(server.address, "-n", 6, "-c", 2, "-s", "3M", "--keep"), 6)


def test_each_request_differs(tmp_path):
    seen = []

    def serve(connection, _number):
        data = read_all(connection)
        seen.append(data)
        connection.sendall(data)

    with Server(tmp_path, serve) as server:
        check_good(bench(server.address, "-n", 100, "-c", 4, "--processes", 2), 100)
    assert len(set(seen)) == 100
    assert {len(data) for data in seen} == {64}
    assert all(data.isascii() and data.decode().isprintable() for data in seen)


def with_daemon(tmp_path, setup, listen, script, mounts=False):
    """What the script prints in a network name space with a daemon that echoes."""
    options = " ".join(f"--listen '{address}'" for address in listen)
    done = subprocess.run(
        [*netns.wrapper(setup, mounts), "sh", "-c", f"""
ctl() {{ {ctl.PREFORKCTL} "$@"; }}
{ctl.BUILDDIR}/preforkd --runtime-directory {tmp_path}/run {options} --builtin echo >&2 &
until ctl --runtime-directory {tmp_path}/run status >/dev/null 2>&1; do :; done
{script}
ctl --runtime-directory {tmp_path}/run stop >&2
"""], capture_output=True, text=True, timeout=ctl.HANG, check=False)
    assert done.returncode == 0, done
    return done.stdout


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_name_with_several_addresses(tmp_path, kind):
    """Nobody listens on the first."""
    (tmp_path / "hosts").write_text("::1 several\n127.0.0.1 several\n")
    listen = [f"{kind}://127.0.0.1:7007"]
    out = with_daemon(tmp_path, f"mount --bind {tmp_path}/hosts /etc/hosts", listen, f"""
getent ahosts several | head -n 1
ctl bench {kind}://several:7007 -n 20 -c 4 --json
""", mounts=True)
    first, _, report = out.partition("\n")
    assert first.startswith("::1 ")
    check_good(json.loads(report), 20)


def test_against_the_daemon(daemon):
    d = daemon(args=["--listen", "tcp://127.0.0.1:0", "--builtin", "echo", "--workers", "4"])
    report = bench(d.address(), "-n", 300, "-c", 8)
    check_good(report, 300)
    ledger = d.status()["connections"]
    assert ledger["accepted"] == 300


@pytest.mark.parametrize("builtin, arguments", [
    ("daytime", ["--mode", "read"]),
    ("time", ["--mode", "read"]),
    ("discard", ["--mode", "discard", "-s", 5000]),
    ("message", ["--request", "hello"]),
])
def test_against_built_ins(daemon, builtin, arguments):
    d = daemon(args=["--listen", "tcp://127.0.0.1:0", "--builtin", builtin, "--workers", "2"])
    check_good(bench(d.address(), "-n", 50, "-c", 4, *arguments), 50)
    ledger = d.status()["connections"]
    assert (ledger["accepted"], ledger["finished"]) == (50, 50)


# ---- what is sent, and what is demanded

def test_server_speaks_first(tmp_path):
    def serve(connection, _number):
        connection.sendall(b"hello\r\n")

    with Server(tmp_path, serve) as server:
        report = bench(server.address, "-n", 20, "--mode", "read")
    check_good(report, 20)
    assert (report["bytes_sent"], report["bytes_received"]) == (0, 140)


def test_server_speaks_first_to_a_datagram(tmp_path):
    def serve(s, data, peer, _number):
        assert data == b""
        s.sendto(b"hello", peer)

    with Server(tmp_path, serve, "udp") as server:
        check_good(bench(server.address, "-n", 20, "--mode", "read"), 20)


def test_discard(tmp_path):
    def serve(connection, _number):
        assert len(read_all(connection)) == 10000

    with Server(tmp_path, serve) as server:
        report = bench(server.address, "-n", 20, "--mode", "discard", "-s", 10000)
    check_good(report, 20)
    assert report["bytes_sent"] == 200000


@pytest.mark.parametrize("keep", [False, True], ids=["each", "kept"])
def test_lines(tmp_path, keep):
    def serve(connection, _number):
        with connection.makefile("rwb") as file:
            for line in file:
                file.write(b"%d\n" % len(line))
                file.flush()

    with Server(tmp_path, serve) as server:
        report = bench(server.address, "-n", 20, "-c", 2, "--mode", "line", "-s", 30,
                       *["--keep"] * keep)
    check_good(report, 20)
    assert (report["bytes_sent"], report["bytes_received"]) == (600, 60)
    assert report["opened"] == (2 if keep else 20)


def test_a_line_of_ones_own(tmp_path):
    def serve(connection, _number):
        with connection.makefile("rwb") as file:
            assert file.readline() == b"PING x\n"
            file.write(b"+PONG\r\n")

    with Server(tmp_path, serve) as server:
        check_good(bench(server.address, "-n", 5, "--mode", "line", "--request", "PING x"), 5)


def test_request(tmp_path):
    """Escapes; the end of the message is the end of the sending."""
    def serve(connection, _number):
        assert read_all(connection) == b"a\r\nb\x00\\\xff"
        connection.sendall(b"any reply")

    with Server(tmp_path, serve) as server:
        report = bench(server.address, "-n", 5, "--request", r"a\r\nb\0\\\xff")
    check_good(report, 5)
    assert report["mode"] == "request"


def test_request_of_a_file(tmp_path):
    (tmp_path / "request").write_bytes(b"a\\n\0b" * 50000)

    def serve(connection, _number):
        assert read_all(connection) == b"a\\n\0b" * 50000
        connection.sendall(b"any reply")

    with Server(tmp_path, serve) as server:
        check_good(bench(server.address, "-n", 5, "--request-file", tmp_path / "request"), 5)


# ---- HTTP

def read_head(file):
    """The lines of a request without a body; none at the end."""
    head = []
    while (line := file.readline()) not in (b"", b"\r\n"):
        head.append(line)
    return head


def http_server(reply, heads=None):
    """Answers each request on a connection; ends it when asked to."""
    def serve(connection, _number):
        with connection.makefile("rb") as file:
            while head := read_head(file):
                if heads is not None:
                    heads.append(head)
                connection.sendall(reply)
                if b"Connection: close\r\n" in head:
                    return
    return serve


@pytest.mark.parametrize("keep", [False, True], ids=["each", "kept"])
@pytest.mark.parametrize("reply", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
], ids=["length", "lower", "chunked", "none", "continue"])
def test_http(tmp_path, reply, keep):
    heads = []
    with Server(tmp_path, http_server(reply, heads)) as server:
        report = bench(server.address, "-n", 20, "-c", 2, "--mode", "http", "--request", "/x?y",
                       *["--keep"] * keep)
        host = server.address.removeprefix("tcp://")
    check_good(report, 20)
    assert report["opened"] == (2 if keep else 20)
    assert heads[0][:2] == [b"GET /x?y HTTP/1.1\r\n", b"Host: %s\r\n" % host.encode()]


def test_http_connection_that_the_server_ends(tmp_path):
    """Of kept ones too it may, when it says so: a new one then."""
    def serve(connection, _number):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end")

    with Server(tmp_path, serve) as server:
        report = bench(server.address, "-n", 20, "-c", 2, "--mode", "http", "--keep")
    check_good(report, 20)
    assert report["opened"] == 20


@pytest.mark.parametrize("reply", [
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    b"hello\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!",
], ids=["404", "none", "more"])
def test_http_reply_that_is_wrong(tmp_path, reply):
    with Server(tmp_path, http_server(reply)) as server:
        report = bench(server.address, "-n", 5, "--mode", "http", "--keep", code=ctl.FAILED)
    assert errors(report) == {"wrong_reply": 5}


def nginx(tmp_path):
    if not shutil.which("nginx"):
        pytest.skip("there is no nginx")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    (tmp_path / "page").write_text("x" * 100)
    (tmp_path / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; pid {tmp_path}/pid; user root;
events {{ }}
http {{ access_log {tmp_path}/access.log; client_body_temp_path {tmp_path}/t;
server {{ listen 127.0.0.1:{port}; root {tmp_path}; }} }}
""")
    process = subprocess.Popen(["nginx", "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-e",
                                tmp_path / "error.log"])

    def listens():
        assert process.poll() is None, (tmp_path / "error.log").read_text()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    wait_until("nginx", listens)
    return process, f"tcp://127.0.0.1:{port}"


@pytest.mark.parametrize("keep", [False, True], ids=["each", "kept"])
def test_nginx(tmp_path, keep):
    """More than the 1000 requests that it takes on a connection."""
    if os.geteuid() != 0:
        pytest.skip("its user is root here")
    process, address = nginx(tmp_path)
    try:
        report = bench(address, "-n", 4500, "-c", 4, "--mode", "http", "--request", "/page",
                       *["--keep"] * keep)
    finally:
        process.terminate()
        process.wait(ctl.HANG)
    check_good(report, 4500)
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert sum(' "GET /page HTTP/1.1" 200 100 ' in line for line in lines) == 4500
    if not keep:
        assert report["opened"] == 4500
    else:
        assert 4 <= report["opened"] <= 12


# ---- what goes wrong

def closed_port(kind, tmp_path):
    s, address = bind(kind, tmp_path)
    s.close()
    return address


@pytest.mark.parametrize("kind", ["tcp", "unix", "udp", "unixgram", "abstract"])
def test_nobody_there(tmp_path, kind):
    address = closed_port(kind, tmp_path)
    result = ctl.run("bench", address, "-d", "30s")
    assert result.returncode == ctl.UNAVAILABLE
    assert result.stdout == b""
    assert result.stderr.decode() == f"preforkctl: {address}: Connection refused\n"


def every(n, otherwise, special):
    """A server that does something else with every n-th connection."""
    def serve(connection, number):
        (special if number % n == 0 else otherwise)(connection, number)
    return serve


def early(connection, _number):
    """Half of the reply and a clean end; the input is read, or it would be a reset."""
    connection.sendall(read_all(connection)[:10])


def wrong(connection, _number):
    connection.sendall(b"x" * len(read_all(connection)))


def more(connection, _number):
    connection.sendall(read_all(connection) + b"!")


def reset_it(connection, _number):
    connection.recv(1)
    reset(connection)


@pytest.mark.parametrize("fault, name", [(early, "closed_early"), (wrong, "wrong_reply"),
                                         (more, "wrong_reply"), (reset_it, "reset")])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_errors_by_kind(tmp_path, kind, fault, name):
    if kind == "unix" and fault is reset_it:
        def fault(connection, _number):  # what is not read makes it one, here
            connection.recv(1)
    with Server(tmp_path, every(4, echo, fault), kind) as server:
        report = bench(server.address, "-n", 40, "-c", 1, code=ctl.FAILED)
    assert errors(report) == {name: 10}
    assert report["good"] == 30
    assert report["total"]["count"] == 30


def test_timeout(tmp_path):
    def silent(connection, _number):
        connection.sendall(read_all(connection)[:10])
        server.over.wait(ctl.HANG)

    with Server(tmp_path, every(4, echo, silent)) as server:
        report = bench(server.address, "-n", 8, "-c", 1, "--timeout", "200ms", code=ctl.FAILED)
    assert errors(report) == {"timed_out": 2}
    assert report["good"] == 6
    assert report["seconds"] >= 0.4


def test_loss(tmp_path):
    """The reply to a lost one that comes later is not taken for that to the next."""
    late = []

    def serve(s, data, peer, number):
        if number % 5 == 0:
            late.append((data, peer))
            return
        for before in late:
            s.sendto(*before)
        late.clear()
        s.sendto(data, peer)

    with Server(tmp_path, serve, "udp") as server:
        report = bench(server.address, "-n", 20, "-c", 1, "--timeout", "100ms", code=ctl.FAILED)
    assert errors(report) == {"lost": 4}
    assert report["good"] == 16


def test_full_queue_of_a_unix_socket(tmp_path):
    """connect() fails at once then; that is no error, and no busy loop."""
    def serve(connection, _number):
        time.sleep(0.002)
        echo(connection, 0)

    with Server(tmp_path, serve, "unix", backlog=1, serial=True) as server:
        report = bench(server.address, "-n", 100, "-c", 16)
        check_good(report, 100)
        assert server.count == 100
    assert report["generator"]["busy"] < 0.8


def test_full_queue_of_datagrams(tmp_path):
    """More clients than the server's queue holds: on a Unix socket those who cannot send wait."""
    def serve(s, data, peer, _number):
        time.sleep(0.0005)
        s.sendto(data, peer)

    with Server(tmp_path, serve, "unixgram") as server:
        check_good(bench(server.address, "-n", 1500, "-c", 700, "--timeout", "20s"), 1500)


def test_many_connections_come_from_several_addresses(tmp_path):
    """Those of one have no ports left soon; the first ones come from 127.0.0.1."""
    sources = {}

    def serve(connection, _number):
        source = connection.getpeername()[0]
        sources[source] = sources.get(source, 0) + 1

    with Server(tmp_path, serve, serial=True) as server:
        check_good(bench(server.address, "-n", 20000, "-c", 8, "--processes", 1, "--mode",
                         "discard", "-s", 0, "--timeout", "30s"), 20000)
    assert sources == {"127.0.0.1": 16384, "127.0.0.2": 20000 - 16384}


def test_local_ports_used_up(tmp_path):
    """Its own limit, said as such. On ::1 there is only one source address."""
    setup = """
echo 40000 40009 >/proc/sys/net/ipv4/ip_local_port_range
echo 0 >/proc/sys/net/ipv4/tcp_tw_reuse
"""
    listen = ["tcp6://[::1]:7007", "tcp://127.0.0.1:7007"]
    out = with_daemon(tmp_path, setup, listen, """
ctl bench 'tcp6://[::1]:7007' -n 30 -c 1
echo $?
ctl bench 'tcp://127.0.0.1:7007' -n 60 -c 1
echo $?
""")
    of_ipv6, _, of_ipv4 = out.partition("\n1\n")
    assert "no local port left (a limit of this end)" in of_ipv6, out
    assert "this end was the bottleneck" in of_ipv6
    assert "ip_local_port_range" in of_ipv6
    assert of_ipv4.endswith("\n0\n"), out


def test_too_many_clients(tmp_path):
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))

    with Server(tmp_path, echo) as server:
        result = ctl.run("bench", server.address, "-c", 100, "--processes", 1, preexec_fn=few)
        assert result.returncode == 71
        assert b"100 clients need 133 descriptors" in result.stderr
        assert b"ulimit -n" in result.stderr
        assert server.count == 0


# ---- where to, and what is asked

def test_no_load_on_others():
    result = ctl.run("bench", "tcp://192.0.2.1:80", "-d", "1s")
    assert result.returncode == ctl.USAGE
    assert b"tcp://192.0.2.1:80 is not of this machine" in result.stderr
    assert b"--remote" in result.stderr


def test_load_on_others_when_asked():
    result = ctl.run("bench", "udp://192.0.2.1:9", "--remote", "-d", "100ms", "--timeout",
                     "50ms", "-c", 1, "--mode", "read", "--json")
    assert b"--remote" not in result.stderr


def test_own_address_is_no_other(tmp_path):
    """An address of this machine that is not the loopback's."""
    wrapper = netns.network()
    done = subprocess.run([*wrapper, ctl.PREFORKCTL, "bench", f"tcp://{netns.HOST}:9"],
                          capture_output=True, text=True, timeout=ctl.HANG, check=False)
    assert done.returncode == ctl.UNAVAILABLE
    assert "Connection refused" in done.stderr


@pytest.mark.parametrize("arguments, text", [
    ([], "bench needs an address"),
    (["tcp://127.0.0.1:7", "x"], 'bench takes one address: "x"'),
    (["systemd://x"], "a client needs the address that the socket is bound to"),
    (["echo"], "a scheme is missing"),
    (["tcp://127.0.0.1:7", "-c", "0"], '--connections: "0" is no number from 1 to 100000'),
    (["tcp://127.0.0.1:7", "-n", "-1"], '--count: "-1" is no number'),
    (["tcp://127.0.0.1:7", "-d", "5"], '--duration: "5" is no duration'),
    (["tcp://127.0.0.1:7", "-d", "0"], '--duration: "0" is no duration'),
    (["tcp://127.0.0.1:7", "-r", "fast"], '--rate: "fast" is no rate'),
    (["tcp://127.0.0.1:7", "-r", "0"], '--rate: "0" is no rate'),
    (["tcp://127.0.0.1:7", "-r", "99999999"], "more than 10000000 a second"),
    (["tcp://127.0.0.1:7", "-s", "2G"], '--size: "2G" is no size up to 1G'),
    (["tcp://127.0.0.1:7", "--mode", "ping"], '--mode: "ping"; there are echo, discard'),
    (["tcp://127.0.0.1:7", "--mode", "read", "--request", "x"], "--mode read takes no request"),
    (["tcp://127.0.0.1:7", "--mode", "read", "-s", "1"], "--size is for"),
    (["tcp://127.0.0.1:7", "--mode", "read", "--keep"], "--keep: the end of the connection"),
    (["tcp://127.0.0.1:7", "--mode", "request"], "--mode request needs --request"),
    (["tcp://127.0.0.1:7", "--request", r"\q"], "--request: after \\ comes"),
    (["tcp://127.0.0.1:7", "--request-file", "/x", "--request", "x"], "exclude each other"),
    (["tcp://127.0.0.1:7", "-s", "0", "--keep"], "--size 0 is for"),
    (["tcp://127.0.0.1:7", "--mode", "line", "-s", "1M"], "a line has at most 65536 bytes"),
    (["udp://127.0.0.1:7", "-s", "65508"], "65508 bytes are more than the 65507"),
    (["udp://127.0.0.1:7", "--mode", "http"], "--mode http is not for datagrams"),
])
def test_usage(arguments, text):
    result = ctl.run("bench", *arguments)
    assert (result.returncode, result.stdout) == (ctl.USAGE, b"")
    assert text in result.stderr.decode()
    assert result.stderr.count(b"\n") == 1


def test_file_that_is_missing(tmp_path):
    result = ctl.run("bench", "tcp://127.0.0.1:7", "--request-file", tmp_path / "none")
    assert result.returncode == 66
    assert b"No such file" in result.stderr


def test_unknown_host():
    result = ctl.run("bench", "tcp://no-such-host.invalid:7")
    assert result.returncode == ctl.NOHOST


# ---- the report, the progress, the end

def test_report(tmp_path):
    with Server(tmp_path, every(4, echo, early)) as server:
        result = ctl.run("bench", server.address, "-n", 40, "-c", 1)
    assert (result.returncode, result.stderr) == (ctl.FAILED, b"")
    lines = result.stdout.decode().splitlines()
    assert lines[0].startswith(f"{server.address}: echo, 64 bytes, 1 client, ")
    words = [line.split() for line in lines]
    assert ["failed", "10"] in words
    assert ["10", "closed", "early"] in words
    assert ["p50", "p90", "p99", "p99.9", "max"] in words
    assert [w[1] for w in words if w[:1] == ["connections"]] == ["30"]
    assert {len(w) for w in words if w and w[0] in ("connect", "total")} == {6}


def test_progress_on_a_terminal(tmp_path):
    ours, its = pty.openpty()
    with Server(tmp_path, echo) as server:
        process = ctl.start("bench", server.address, "-d", "2500ms", "-c", 1, stderr=its)
        process.communicate(timeout=ctl.HANG)
    os.close(its)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert process.returncode == 0
    assert shown.count("p99") == 2
    assert shown.endswith("\r\x1b[K")


def test_progress_only_when_asked(tmp_path):
    with Server(tmp_path, echo) as server:
        assert ctl.run("bench", server.address, "-d", "1200ms").stderr == b""
        asked = ctl.run("bench", server.address, "-d", "1200ms", "--progress").stderr.decode()
    assert asked.count("\n") == 1
    assert "0 failed" in asked


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ended_early(tmp_path, number):
    """The report of so far; requests under way are neither good nor failed."""
    def serve(connection, number):
        if number == 20:
            held.append(number)
            server.over.wait(ctl.HANG)
        echo(connection, number)

    held = []
    with Server(tmp_path, serve) as server:
        process = ctl.start("bench", server.address, "-d", "1h", "-c", 1, "--json",
                            "--timeout", "0")
        wait_until("one that is held", lambda: held)
        process.send_signal(number)
        out, err = process.communicate(timeout=ctl.HANG)
    assert (process.returncode, err) == (0, b"")
    report = json.loads(out)
    assert report["interrupted"] is True
    assert (report["good"], report["failed"], report["unfinished"]) == (19, 0, 1)
    assert report["seconds"] < ctl.HANG


def test_no_process_is_left_behind(tmp_path):
    """Killed, it cannot end them: the kernel does."""
    with Server(tmp_path, echo) as server:
        process = ctl.start("bench", server.address, "-d", "1h", "-c", 2, "--processes", 2)
        wait_until("ten", lambda: server.count >= 10)
        pids = children(process.pid)
        assert len(pids) == 2
        process.kill()
        process.communicate(timeout=ctl.HANG)
        for pid in pids:
            while is_there(pid):
                assert time.monotonic() < end
                time.sleep(0.01)


def is_there(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
