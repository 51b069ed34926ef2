# SPDX-License-Identifier: ISC
"""The built-ins, byte for byte, over every kind of socket they have; and modules."""

import calendar
import os
import re
import select
import socket
import struct
import time

import pytest

from daemon import connect, exchange, wait_until
from look import pool, wait_counts, wait_gone, worker_pids

STREAMS = ["tcp://127.0.0.1:0", "unix://DIR/s"]
CONNECTIONS = [*STREAMS, "unixpacket://DIR/s"]
DATAGRAMS = ["udp://127.0.0.1:0", "unixgram://DIR/s"]
EVERY = [*CONNECTIONS, *DATAGRAMS]

CONFIG = """
service "main" {
    listen  = {"%s"}
    %s = "%s"
    workers = %d
    options {%s}
}
"""


@pytest.fixture
def serve(daemon, tmp_path, programs):
    """Starts a service: of a built-in, or of a module when the name ends with .so."""
    def start(handler, address="tcp://127.0.0.1:0", workers=1, keys="", **options):
        kind = "module" if handler.endswith(".so") else "builtin"
        if kind == "module" and "/" not in handler:
            handler = programs.modules / handler
        text = "\n".join(f'{key} = "{value}"' for key, value in options.items())
        return daemon(CONFIG.replace("workers", f"{keys}\n    workers")
                      % (address.replace("DIR", str(tmp_path)), kind, handler, workers, text),
                      expect_ready=start.expect_ready)
    start.expect_ready = True
    return start


@pytest.fixture
def refused(serve):
    """Starts a service that must be refused; returns what is said."""
    def start(*args, **kwargs):
        serve.expect_ready = False
        d = serve(*args, **kwargs)
        assert d.wait() == os.EX_CONFIG, d.log()
        return d.log()
    return start


def take(s, size):
    """So many bytes of a stream."""
    data = b""
    while len(data) < size:
        piece = s.recv(size - len(data))
        assert piece
        data += piece
    return data


# ---- echo, discard

@pytest.mark.parametrize("address", CONNECTIONS)
def test_echo(serve, address):
    d = serve("echo", address)
    with connect(d.address()) as s:
        for size in (1, 2, 1000, 16384, 16385, 65536):
            data = os.urandom(size)
            s.sendall(data)
            assert (s.recv(65537) if "packet" in address else take(s, size)) == data
        s.shutdown(socket.SHUT_WR)
        assert s.recv(9) == b""
    wait_counts(d, accepted=1, finished=1)


def test_echo_refuses_a_packet_it_cannot_hold(serve):
    d = serve("echo", "unixpacket://DIR/s")
    with connect(d.address()) as s:
        s.sendall(bytes(65537))
        assert s.recv(9) == b""
    wait_counts(d, accepted=1, aborted_error=1)


@pytest.mark.parametrize("address", CONNECTIONS)
def test_discard(serve, address):
    d = serve("discard", address)
    with connect(d.address()) as s:
        for _ in range(100):
            s.sendall(bytes(10000))
        s.shutdown(socket.SHUT_WR)
        assert s.recv(9) == b""
    wait_counts(d, accepted=1, finished=1)


@pytest.mark.parametrize("address", DATAGRAMS)
def test_discard_answers_no_datagram(serve, address):
    d = serve("discard", address)
    with connect(d.address()) as s:
        for _ in range(3):
            s.send(b"x")
        wait_counts(d, accepted=3, finished=3)
        assert not select.select([s], [], [], 0)[0]


# ---- chargen

ALPHABET = bytes(range(32, 127))
LINES = [(ALPHABET + ALPHABET)[i:i + 72] + b"\r\n" for i in range(95)]


@pytest.mark.parametrize("address", STREAMS)
def test_chargen(serve, address):
    """RFC 864: each line begins with the next of the 95 printing characters."""
    d = serve("chargen", address)
    with connect(d.address()) as s:
        data = take(s, 74 * 95 * 3 + 30)
    assert data == (b"".join(LINES) * 4)[:len(data)]
    wait_counts(d, accepted=1, finished=1)


def test_chargen_packets_are_lines(serve):
    d = serve("chargen", "unixpacket://DIR/s")
    with connect(d.address()) as s:
        assert [s.recv(9999) for _ in range(200)] == (LINES * 3)[:200]


def test_chargen_throws_away_what_it_gets(serve):
    """A client that sends before it reads is not left waiting."""
    d = serve("chargen")
    with connect(d.address()) as s:
        s.sendall(bytes(200_000))
        s.shutdown(socket.SHUT_WR)
        assert take(s, 74 * 200) == b"".join((LINES * 3)[:200])


@pytest.mark.parametrize("address", DATAGRAMS)
def test_chargen_datagrams(serve, address):
    d = serve("chargen", address)
    pattern = b"".join(LINES + LINES[:8])
    with connect(d.address()) as s:
        for _ in range(300):
            s.send(b"x")
            data = s.recv(9999)
            # A line begins with its own character, so there is one place where it can be from.
            line = data[0] - 32
            assert data == pattern[74 * line:74 * line + len(data)] and 1 <= len(data) <= 512


# ---- daytime, time

@pytest.mark.parametrize("address", EVERY)
def test_daytime(serve, address, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    d = serve("daytime", address)
    line = exchange(d.address(), b"x").decode("ascii")
    now = time.time()
    assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} "
                        r"\d\d:\d\d:\d\d GMT\r\n", line)
    parsed = time.strptime(line, "%a, %d %b %Y %H:%M:%S GMT\r\n")
    assert abs(calendar.timegm(parsed) - now) <= 2
    assert parsed.tm_wday == time.gmtime(calendar.timegm(parsed)).tm_wday


@pytest.mark.parametrize("address", EVERY)
def test_time(serve, address):
    """RFC 868: 2208988800 is 1 January 1970."""
    d = serve("time", address)
    data = exchange(d.address(), b"x")
    assert len(data) == 4
    wanted = (int(time.time()) + 2208988800) % 2**32
    assert (wanted - struct.unpack("!I", data)[0]) % 2**32 <= 2


# ---- qotd

QUOTATIONS = [b"One.\n", b"Two\nlines, and a % in them.\n\t-- Nobody\n", b"\xfe\x00 bytes\n",
              b"no newline at the end"]


@pytest.mark.parametrize("address", EVERY)
def test_qotd_file(serve, tmp_path, address):
    """Loaded once: what becomes of the file later is no matter, in later workers neither."""
    path = tmp_path / "quotations"
    path.write_bytes(b"%\n".join(QUOTATIONS[:2]) + b"%\r\n%\n\n%\n" + b"%\n".join(QUOTATIONS[2:]))
    d = serve("qotd", address, file=path, keys="recycle_after = 10")
    path.unlink()
    assert {exchange(d.address(), b"x") for _ in range(200)} == set(QUOTATIONS)
    assert pool(d)["workers_started"] > 10


def test_qotd_workers_choose_for_themselves(serve, tmp_path):
    path = tmp_path / "quotations"
    path.write_text("%\n".join(f"{i}\n" for i in range(1000)))
    d = serve("qotd", workers=8, keys="recycle_after = 1", file=path)
    # All first choices: with one seed for all they would be one and the same.
    assert len({exchange(d.address(), b"") for _ in range(8)}) > 2


def test_qotd_of_its_own(serve):
    reply = exchange(serve("qotd").address(), b"")
    assert b"-- " in reply and reply.endswith(b"\r\n") and len(reply) <= 512


@pytest.mark.parametrize("content,said", [(None, "No such file or directory"),
                                          (b"", "no quotation in it"), (b"%\n%\n", "no quotation"),
                                          (b"a\n%\n" + b"b" * 513, "line 3: a quotation of 513")])
def test_qotd_files_that_are_wrong(refused, tmp_path, content, said):
    if content is not None:
        (tmp_path / "q").write_bytes(content)
    log = refused("qotd", file=tmp_path / "q")
    assert f'builtin "qotd": file "{tmp_path}/q": {said}' in log


# ---- message

EVIL = (b"hello\x1b[2J\x1b]0;title\x07\x7f\x00\r\xff\xe2\x80\xae\\ \xc3\xa9 %n%s"
        b"\n<3>preforkd[1]: forged")
SAFE = (r"hello\x1b[2J\x1b]0;title\x07\x7f\x00\x0d\xff\xe2\x80\xae\\ " + "\u00e9 %n%s"
        r"\n<3>preforkd[1]: forged")


@pytest.mark.parametrize("address", ["unixpacket://DIR/s", *DATAGRAMS])
def test_messages_cannot_forge_a_log_line(serve, address):
    d = serve("message", address)
    before = d.log().count("\n")
    assert exchange(d.address(), EVIL) == b"I got your message\n"
    d.wait_log("message from ")
    lines = d.log().split("\n")[before:-1]
    assert len(lines) == 1
    assert re.fullmatch(rf'<5>preforkd\[{worker_pids(d)[0]}\]: service "main" '
                        rf"\[{re.escape(d.address())}\]: message from [^ ]+: {re.escape(SAFE)}",
                        lines[0])


@pytest.mark.parametrize("address", STREAMS)
def test_a_message_is_a_line(serve, address):
    d = serve("message", address)
    for data in (b"one\nnot read", EVIL.split(b"\n")[0] + b"\r\n", b"no newline", b"\n"):
        assert exchange(d.address(), data) == b"I got your message\n"
    texts = re.findall(r"message from .*?: (.*)\n", d.log())
    assert texts == ["one", SAFE.split("\\n<3>")[0], "no newline", ""]
    with connect(d.address()) as s:
        s.sendall(b"in ")
        s.sendall(b"two\n")
        assert take(s, 19) == b"I got your message\n" and s.recv(9) == b""
    d.wait_log(r"message from .*: in two\n")


def test_a_message_names_its_client(serve):
    d = serve("message")
    with connect(d.address()) as s:
        s.sendall(b"it is me\n")
        assert s.recv(99)
        d.wait_log(rf"message from 127.0.0.1:{s.getsockname()[1]}: it is me\n")


def test_a_clients_name_cannot_forge_a_log_line(serve):
    d = serve("message", "unixgram://DIR/s")
    name = f"\0{os.getpid()}\n<3>preforkd[1]: forged"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(name)
        s.sendto(b"x", d.address()[len("unixgram://"):])
        assert s.recv(99) == b"I got your message\n"
    assert rf"message from @{os.getpid()}\n<3>preforkd[1]: forged: x" in d.log()


def test_a_long_message_is_one_line(serve):
    d = serve("message")
    assert exchange(d.address(), b"\x01" * 100_000) == b"I got your message\n"
    lines = [line for line in d.log().split("\n") if "message from" in line]
    assert len(lines) == 1 and lines[0].endswith("...") and len(lines[0]) <= 2048
    assert exchange(d.address(), b"") == b"I got your message\n"
    assert d.log().count("message from") == 1


@pytest.mark.parametrize("builtin", ["echo", "discard", "chargen", "daytime", "time", "message"])
def test_unknown_options(refused, builtin):
    assert f'builtin "{builtin}": unknown option "colour"; there are none' in \
        refused(builtin, colour="red")


# ---- modules

@pytest.mark.parametrize("address", EVERY)
def test_hello(serve, address):
    assert exchange(serve("hello.so", address).address(), b"x") == b"hello\n"


def test_count(serve):
    d = serve("count.so", greeting="welcome")
    replies = [exchange(d.address(), b"") for _ in range(3)]
    assert replies == [b"welcome, client 1\n", b"welcome, client 2\n", b"welcome, client 3\n"]
    assert d.stop() == 0
    assert d.log().count("count: 3 clients in this worker\n") == 1


def test_count_defaults_and_mistakes(serve, refused):
    assert exchange(serve("count.so").address(), b"") == b"hello, client 1\n"
    log = refused("count.so", greting="x")
    assert 'count.so": unknown option "greting"; known: greeting' in log


@pytest.mark.parametrize("address", STREAMS)
def test_upper(serve, address):
    d = serve("upper.so", address)
    with connect(d.address()) as s:
        s.sendall(b"one\ntw")
        assert take(s, 4) == b"ONE\n"
        s.sendall(b"o\nthr" + b"e" * 5000)
        assert take(s, 4) == b"TWO\n"
        s.sendall(b"e\nlast")
        s.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: s.recv(65536), b"")) == b"THR" + b"E" * 5001 + b"\nLAST"


@pytest.mark.parametrize("module", ["env.so", "crash_serve.so"])
@pytest.mark.parametrize("address", DATAGRAMS)
def test_datagram_modules(serve, module, address):
    d = serve(module, address)
    reply = exchange(d.address(), b"a datagram")
    assert reply == b"a datagram" if module == "crash_serve.so" else reply.startswith(b"uid=")


def test_open_runs_in_the_master_before_the_fork(serve):
    d = serve("opened.so", workers=3)
    for _ in range(3):
        [pid] = worker_pids(d)[:1]
        os.kill(pid, 9)
        wait_until("another", lambda pid=pid: len(set(worker_pids(d)) - {pid}) == 3)
        reply = exchange(d.address(), b"")
        assert re.fullmatch(rb"opened by %d, served by \d+\n" % d.pid, reply)
        assert int(reply.split()[-1]) != d.pid
    log = d.log()
    # The configuration may have been tried out first, and that be undone.
    assert set(re.findall(r"opened: (?:open|close) in (\d+)", log)) == {str(d.pid)}
    assert log.count("opened: open") - log.count("opened: close") == 1
    assert log.index("opened: enter") > log.rindex("opened: open")
    entered = re.findall(r"opened: enter in (\d+)", log)
    assert len(entered) == len(set(entered)) == pool(d)["workers_started"]
    last = {str(pid) for pid in worker_pids(d)}
    assert d.stop() == 0
    wait_gone(map(int, last))
    assert set(re.findall(r"opened: leave in (\d+)", d.log())) == last
    assert d.log().count("opened: open") == d.log().count("opened: close")


@pytest.mark.parametrize("module,said", [
    ("wrong_abi", "built for handler interface 2, this preforkd has 1: rebuild it"),
    ("no_symbol", "no handler in it: "), ("nothing", "has neither serve nor answer"),
    ("open_fails", "this open always fails"), ("missing", "cannot open shared object file")])
def test_modules_that_are_wrong(refused, programs, module, said):
    path = programs.modules / f"{module}.so"
    assert re.search(rf'conf:\d+: service "main": module: module "{path}": .*{said}',
                     refused(f"{module}.so"))


def test_modules_and_sockets_must_fit(refused, tmp_path):
    assert "udp://127.0.0.1:0: module \"upper\" does not serve datagrams" in \
        refused("upper.so", "udp://127.0.0.1:0")


def test_a_module_must_be_named_absolutely(refused):
    assert "a path must be absolute" in refused("modules/hello.so")
