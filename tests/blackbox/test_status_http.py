# SPDX-License-Identifier: ISC
"""The built-in status: what it answers, to whom, and that no request can hurt it."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from daemon import connect, exchange, wait_until, without_status
from look import pool

pytestmark = pytest.mark.skipif(without_status(), reason="built without libmicrohttpd")

CONFIG = """
service "status" {
    listen  = {"tcp://127.0.0.1:0"}
    builtin = "status"
    workers = %d
    %s
}
service "echo" {
    listen  = {"tcp://127.0.0.1:0"}
    builtin = "echo"
    workers = 2
}
"""
sanitized = pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="not with sanitizers")


@pytest.fixture
def status(daemon):
    """Starts a daemon with a status and an echo service."""
    return lambda workers=1, keys="": daemon(CONFIG % (workers, keys))


class Reply:
    def __init__(self, data):
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.code = int(lines[0].split()[1])
        self.headers = {k.lower(): v.strip() for k, v in (l.split(":", 1) for l in lines[1:])}


def raw(address, data):
    """All that comes back; a reset after it is an end too."""
    reply = b""
    with connect(address) as s, contextlib.suppress(ConnectionError):
        with contextlib.suppress(ConnectionError):
            s.sendall(data)
        while part := s.recv(65536):
            reply += part
    return reply


def ask(d, path, method="GET", headers=""):
    request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
    return Reply(raw(d.address("status"), request.encode()))


# ---- what there is

@pytest.mark.parametrize("path, type_, begin", [
    ("/", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
    ("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8", b"# TYPE"),
    ("/status.json", "application/json", b"{"),
    ("/healthz", "text/plain; charset=utf-8", b"ok\n"),
])
def test_what_there_is(status, path, type_, begin):
    d = status()
    reply = ask(d, path)
    assert reply.code == 200
    assert reply.body.startswith(begin)
    assert len(reply.body) == int(reply.headers["content-length"])
    assert reply.headers["content-type"] == type_
    assert reply.headers["connection"].lower() == "close"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    head = ask(d, path, method="HEAD")
    assert (head.code, head.body) == (200, b"")
    assert head.headers["content-type"] == type_


@pytest.mark.parametrize("accept, type_", [
    ("*/*", "application/openmetrics-text"),
    ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
     "application/openmetrics-text"),
    ("text/plain;version=0.0.4", "text/plain; version=0.0.4"),
    ("text/html,application/xhtml+xml,*/*;q=0.8", "text/plain; version=0.0.4"),
])
def test_the_format_that_is_asked_for(status, accept, type_):
    reply = ask(status(), "/metrics", headers=f"Accept: {accept}\r\n")
    assert reply.headers["content-type"].startswith(type_)
    assert reply.body.endswith(b"# EOF\n") == ("openmetrics" in type_)


def test_curl_reads_it_on_a_unix_socket(daemon, tmp_path):
    path = tmp_path / "s"
    daemon(CONFIG.replace("tcp://127.0.0.1:0", f"unix://{path}", 1) % (1, ""))
    done = subprocess.run(["curl", "-sS", "--unix-socket", str(path), "http://localhost/healthz"],
                          capture_output=True, check=True, timeout=10)
    assert done.stdout == b"ok\n"


def test_json_is_that_of_preforkctl(status):
    d = status()
    exchange(d.address("echo"), b"x")
    wait_until("the end", lambda: pool(d, "echo")["connections"]["finished"] == 1)
    mine = json.loads(ask(d, "/status.json").body)
    theirs = d.status()
    assert mine.keys() == theirs.keys()
    echo = [[p for p in look["pools"] if p["service"] == "echo"][0] for look in (mine, theirs)]
    for p in echo:  # which only preforkctl asks the kernel for
        del p["queued"], p["queue_limit"]
    assert echo[0] == echo[1]
    assert [w["pid"] for w in mine["workers"]] == [w["pid"] for w in theirs["workers"]]


def test_the_page_is_useful_without_scripts(status):
    d = status()
    page = ask(d, "/").body.decode()
    table = page[page.index('id="pool-rows"'):]
    assert f'<span class="where">{d.address("echo")}' in table
    assert page.count('<li class="w idle"') >= 2
    assert 'scope="row"' in table and "generation 1" in page
    assert not re.search(r'(?:src|href)="(?!data:|#|metrics|status\.json|healthz)', page)
    assert "style=" not in page and not re.search(r"\son\w+=", page)


# ---- health

def test_degraded_is_503_with_the_reason(status):
    d = status()

    def degraded():
        for w in d.status()["workers"]:
            if w["service"] == "echo":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(w["pid"], signal.SIGKILL)
        reply = ask(d, "/healthz")
        return reply if reply.code == 503 else None

    reply = wait_until("degraded", degraded)
    assert reply.body.startswith(b"degraded: echo at tcp://127.0.0.1:")


def test_answers_while_the_master_is_stopped(status):
    d = status()
    d.signal(signal.SIGSTOP)
    try:
        assert ask(d, "/healthz").body == b"ok\n"
        assert ask(d, "/metrics").code == 200
    finally:
        d.signal(signal.SIGCONT)


@pytest.mark.parametrize("number, reason", [(signal.SIGTERM, b"stopping\n"),
                                            (signal.SIGKILL, b"gone\n")])
def test_stopping_and_gone_are_503(status, number, reason):
    d = status()
    with connect(d.address("status")) as s:
        wait_until("a worker has it", lambda: pool(d, "status")["busy"] == 1)
        d.signal(number)
        if number == signal.SIGTERM:
            d.wait_notification("STOPPING=1")
        else:
            d.wait()
        s.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        reply = Reply(b"".join(iter(lambda: s.recv(65536), b"")))
    assert (reply.code, reply.body) == (503, reason)


# ---- hostile requests

@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "X" * 200])
def test_nothing_can_be_changed(status, method):
    d = status()
    reply = ask(d, "/", method, "Content-Length: 1000000000\r\n" if method == "POST" else "")
    assert reply.code == 405
    assert reply.headers["allow"] == "GET, HEAD"


HOSTILE = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", {400}),
    "up": (b"GET /../../etc/passwd HTTP/1.0\r\n\r\n", {404}),
    "escaped up": (b"GET /%2e%2e/%2e%2e/metrics HTTP/1.0\r\n\r\n", {404}),
    "absolute": (b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", {200}),
    "query": (b"GET /healthz?a=b HTTP/1.0\r\n\r\n", {200}),
    "connect": (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 405}),
    "pipelined": (3 * b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", {200}),
    "big header": (b"GET / HTTP/1.0\r\nX: " + 200000 * b"a" + b"\r\n\r\n", {0, 400, 413, 431}),
    "many headers": (b"GET / HTTP/1.0\r\n" + 20000 * b"X: a\r\n" + b"\r\n", {0, 400, 413, 431}),
    "long path": (b"GET /" + 200000 * b"a" + b" HTTP/1.0\r\n\r\n", {0, 400, 404, 413, 414, 431}),
    "binary": (bytes(range(256)) * 40 + b"\r\n\r\n", {0, 400, 405}),
    "zeros": (1000 * b"\0" + b"\r\n\r\n", {0, 400, 405}),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + 500 * b"\xaa", {0, 400, 405}),
    "zero in the path": (b"GET /heal\0thz HTTP/1.0\r\n\r\n", {0, 400, 404}),
    "bad version": (b"GET / HTTP/9.9\r\n\r\n", {0, 400, 505}),
    "no version": (b"GET /\r\n\r\n", {0, 200, 400}),
    "smuggled": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                 b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", {400, 405}),
    "bad length": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", {400, 405, 413}),
    "folded": (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", {200, 400}),
    "expect": (b"GET /healthz HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", {200}),
    "half": (b"GET / HT", {0}),
    "nothing": (b"", {0}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests(status, name):
    request, codes = HOSTILE[name]
    d = status(keys='idle_timeout = "300ms"')
    pids = d.workers()
    reply = raw(d.address("status"), request)
    assert (Reply(reply).code if reply else 0) in codes
    # libmicrohttpd 0.9.75 says the head of some of its own refusals twice.
    if name != "bad length":
        assert len(re.findall(rb"HTTP/1\.[01] \d{3} ", reply)) <= 1
    assert ask(d, "/healthz").body == b"ok\n"
    assert d.workers() == pids


def timed_out(d):
    return pool(d, "status")["connections"]["timed_out"]


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: "])
def test_idle_timeout(status, sent):
    d = status(keys='idle_timeout = "200ms"')
    with connect(d.address("status")) as s:
        s.sendall(sent)
        assert s.recv(1) == b""
    wait_until("counted", lambda: timed_out(d) == 1)


def test_a_slow_client_holds_one_worker_until_connection_timeout(status):
    d = status(workers=2, keys='idle_timeout = "5s"\nconnection_timeout = "700ms"')
    with connect(d.address("status")) as s, contextlib.suppress(ConnectionError):
        s.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert ask(d, "/healthz").code == 200
        s.settimeout(0.02)
        while True:
            s.sendall(b"a")
            with contextlib.suppress(socket.timeout):
                assert s.recv(1) == b""
                break
    wait_until("counted", lambda: timed_out(d) == 1)
    assert ask(d, "/healthz").code == 200


def anonymous_memory(pid):
    """In kB. What is private changes with what others do to pages that were shared."""
    return int(re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)[1])


@sanitized
def test_memory_stays(status):
    d = status()
    pid = [w["pid"] for w in d.status()["workers"] if w["service"] == "status"][0]

    def scrape(times):
        for _ in range(times):
            for path in ("/metrics", "/", "/status.json"):
                assert ask(d, path).code == 200
        return anonymous_memory(pid)

    before = scrape(50)
    # The heap may keep 128 kB at its end; a leak of 256 bytes in each answer would be more.
    assert scrape(400) <= before + 256


# ---- the module

@sanitized
def test_the_sandbox_holds(status):
    d = status()
    for worker in d.workers():
        assert "\nSeccomp:\t2\n" in Path(f"/proc/{worker}/status").read_text()


def test_it_is_loaded_only_where_it_is_configured(daemon, status):
    d = status()
    assert "libmicrohttpd" in Path(f"/proc/{d.pid}/maps").read_text()
    other = daemon(args=["--listen", "tcp://127.0.0.1:0", "--builtin", "echo"], name="other")
    assert "libmicrohttpd" not in Path(f"/proc/{other.pid}/maps").read_text()


def test_a_missing_module_is_named(daemon, tmp_path):
    d = daemon(CONFIG % (1, ""), expect_ready=False,
               env={"PREFORKD_MODULE_DIRECTORY": str(tmp_path)})
    assert d.wait() == 78
    assert f"{tmp_path}/builtin_status.so: cannot open shared object file" in d.log()


def test_it_has_no_options(daemon):
    d = daemon(CONFIG % (1, 'options { color = "blue" }'), expect_ready=False)
    assert d.wait() == 78
    assert 'builtin "status": unknown option "color"; there are none' in d.log()
