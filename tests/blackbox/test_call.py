# SPDX-License-Identifier: ISC
"""preforkctl call, against servers of our own: every kind of address, every way to fail."""

import contextlib
import hashlib
import os
import pty
import select
import socket
import struct
import subprocess
import threading

import pytest

import ctl

BIG = 50 * 1024 * 1024
STREAMS = ["tcp", "tcp4", "tcp6", "unix", "abstract"]
PACKETS = ["unixpacket", "abstract-packet"]
DATAGRAMS = ["udp", "udp4", "udp6", "unixgram", "abstract-gram"]

SCHEMES = {"abstract": "unix", "abstract-packet": "unixpacket", "abstract-gram": "unixgram"}


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def bind(kind, tmp_path):
    """A bound socket of a kind, and its address."""
    scheme = SCHEMES.get(kind, kind)
    if kind in STREAMS:
        sort = socket.SOCK_STREAM
    else:
        sort = socket.SOCK_SEQPACKET if kind in PACKETS else socket.SOCK_DGRAM
    if kind.startswith("abstract"):
        s = socket.socket(socket.AF_UNIX, sort)
        s.bind("")  # the kernel picks a name
        return s, f"{scheme}://@{s.getsockname()[1:].decode()}"
    if kind.startswith("unix"):
        s = socket.socket(socket.AF_UNIX, sort)
        path = tmp_path / "server.sock"
        s.bind(str(path))
        return s, f"{scheme}://{path}"
    if kind.endswith("6"):
        if not has_ipv6():
            pytest.skip("no IPv6 on this machine")
        s = socket.socket(socket.AF_INET6, sort)
        s.bind(("::1", 0))
        return s, f"{scheme}://[::1]:{s.getsockname()[1]}"
    s = socket.socket(socket.AF_INET, sort)
    s.bind(("127.0.0.1", 0))
    return s, f"{scheme}://127.0.0.1:{s.getsockname()[1]}"


@contextlib.contextmanager
def background(work):
    """Runs work() in a thread; what it raises is raised at the end of the block."""
    failures = []

    def body():
        try:
            work()
        except BaseException as failure:  # pylint: disable=broad-except
            failures.append(failure)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    yield
    thread.join(ctl.HANG)
    assert not thread.is_alive(), "the server still waits"
    if failures:
        raise failures[0]


@contextlib.contextmanager
def server(kind, tmp_path, serve):
    """A server that takes one connection (or, of datagrams, has one socket). Yields its address."""
    listener, address = bind(kind, tmp_path)
    if kind not in DATAGRAMS:
        listener.listen()

    def work():
        if kind in DATAGRAMS:
            serve(listener)
            return
        connection, _ = listener.accept()
        with connection:
            serve(connection)

    with listener, background(work):
        yield address


def read_all(connection):
    return b"".join(iter(lambda: connection.recv(1 << 20), b""))


def echo(connection):
    for data in iter(lambda: connection.recv(1 << 18), b""):
        connection.sendall(data)


def upper(connection):
    """Answers only after the half-close: needs one to come."""
    connection.sendall(read_all(connection).upper())


def upper_datagram(s):
    data, peer = s.recvfrom(1 << 17)
    s.sendto(data.upper(), peer)


class Silence:
    """Says nothing, after what it was given to say, until the block ends."""

    def __init__(self, words=b""):
        self.words = words
        self.over = threading.Event()

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.over.set()

    def __call__(self, connection):
        if self.words:
            connection.sendall(self.words)
        assert self.over.wait(ctl.HANG)


def check(result, stdout, code=ctl.OK):
    assert result.stderr == b""
    assert result.returncode == code
    assert result.stdout == stdout


def place(address):
    """Without the scheme, which messages write as tcp for tcp4 and tcp6 too."""
    return address.partition("://")[2]


def check_failure(result, code, *texts, stdout=b""):
    assert result.returncode == code, result.stderr
    assert result.stdout == stdout
    assert result.stderr.startswith(b"preforkctl: ")
    assert result.stderr.count(b"\n") == 1
    for text in texts:
        assert text.encode() in result.stderr


# The message.


@pytest.mark.parametrize("kind", STREAMS)
def test_stream_arguments_are_a_line(kind, tmp_path):
    with server(kind, tmp_path, upper) as address:
        check(ctl.run("call", address, "good", "morning"), b"GOOD MORNING\n")


@pytest.mark.parametrize("kind", PACKETS + DATAGRAMS)
def test_packet_arguments_are_exact(kind, tmp_path):
    serve = upper_datagram if kind in DATAGRAMS else upper
    with server(kind, tmp_path, serve) as address:
        check(ctl.run("call", address, "good", "morning"), b"GOOD MORNING")


def test_no_newline(tmp_path):
    with server("tcp", tmp_path, upper) as address:
        check(ctl.run("call", "-n", address, "good"), b"GOOD")


def test_message_that_looks_like_an_option(tmp_path):
    with server("tcp", tmp_path, upper) as address:
        check(ctl.run("call", address, "--", "--no-newline", "-x"), b"--NO-NEWLINE -X\n")


def test_empty_argument(tmp_path):
    with server("tcp", tmp_path, echo) as address:
        check(ctl.run("call", address, ""), b"\n")


def test_empty_datagram(tmp_path):
    def serve(s):
        data, peer = s.recvfrom(100)
        s.sendto(b"%d bytes" % len(data), peer)

    with server("udp", tmp_path, serve) as address:
        check(ctl.run("call", address, ""), b"0 bytes")


@pytest.mark.parametrize("kind", STREAMS + PACKETS)
def test_stdin_is_binary_safe(kind, tmp_path):
    data = bytes(range(256)) * 700
    with server(kind, tmp_path, echo) as address:
        check(ctl.run("call", address, input=data), data)


def test_records_of_stdin_do_not_depend_on_its_chunks(tmp_path):
    sizes = []

    def serve(connection):
        for data in iter(lambda: connection.recv(1 << 20), b""):
            sizes.append(len(data))

    with server("unixpacket", tmp_path, serve) as address:
        with ctl.start("call", address) as client:
            for _ in range(10):
                client.stdin.write(b"x" * 10000)
            client.stdin.close()
            assert client.wait(ctl.HANG) == ctl.OK
    assert sizes == [65536, 100000 - 65536]


@pytest.mark.parametrize("kind", DATAGRAMS)
def test_datagram_from_stdin(kind, tmp_path):
    data = bytes(range(256)) + b"tail\n"
    with server(kind, tmp_path, upper_datagram) as address:
        check(ctl.run("call", address, input=data), data.upper())


def test_empty_stdin_is_an_empty_message(tmp_path):
    with server("tcp", tmp_path, lambda c: c.sendall(b"%d" % len(read_all(c)))) as address:
        check(ctl.run("call", address), b"0")


def test_closed_standard_input_is_an_empty_message(tmp_path):
    with server("tcp", tmp_path, upper) as address:
        check(ctl.run("call", address, stdin=None, preexec_fn=lambda: os.close(0)), b"")


@pytest.mark.parametrize("kind", STREAMS + PACKETS)
def test_server_that_only_sends(kind, tmp_path):
    with server(kind, tmp_path, lambda c: c.sendall(b"the time\r\n")) as address:
        check(ctl.run("call", address), b"the time\r\n")


def test_reply_comes_as_it_arrives(tmp_path):
    seen = threading.Event()

    def serve(connection):
        read_all(connection)
        connection.sendall(b"first")
        assert seen.wait(ctl.HANG)
        connection.sendall(b"second")

    with server("tcp", tmp_path, serve) as address:
        with ctl.start("call", address, "go") as client:
            assert client.stdout.read(5) == b"first"
            seen.set()
            assert client.stdout.read() == b"second"
            assert client.wait(ctl.HANG) == ctl.OK


def test_input_is_sent_as_it_comes(tmp_path):
    with server("tcp", tmp_path, echo) as address:
        with ctl.start("call", address) as client:
            for line in (b"one\n", b"two\n"):
                client.stdin.write(line)
                assert client.stdout.read(len(line)) == line
            client.stdin.close()
            assert client.stdout.read() == b""
            assert client.wait(ctl.HANG) == ctl.OK


@pytest.mark.parametrize("kind", DATAGRAMS)
def test_no_reply(kind, tmp_path):
    received = []
    with server(kind, tmp_path, lambda s: received.append(s.recv(100))) as address:
        check(ctl.run("call", "--no-reply", "--timeout", "0", address, "log this"), b"")
    assert received == [b"log this"]


# A terminal.


def read_until(fd, text):
    seen = b""
    while text not in seen:
        assert select.select([fd], [], [], ctl.HANG)[0], seen
        seen += os.read(fd, 1024)
    return seen


@pytest.mark.parametrize("kind, typed", [("tcp", b"HELLO\n"), ("udp", b"HELLO\n")])
def test_terminal_is_asked_for_one_line(kind, typed, tmp_path):
    serve = upper_datagram if kind in DATAGRAMS else upper
    terminal, side = pty.openpty()
    try:
        with server(kind, tmp_path, serve) as address:
            with ctl.start("call", address, stdin=side, stdout=side, stderr=side) as client:
                assert read_until(terminal, b": ") == b"Please enter the message: "
                os.write(terminal, b"hello\n")
                read_until(terminal, typed.strip())
                assert client.wait(ctl.HANG) == ctl.OK
    finally:
        os.close(terminal)
        os.close(side)


def test_question_stays_out_of_a_redirected_reply(tmp_path):
    terminal, side = pty.openpty()
    try:
        with server("tcp", tmp_path, upper) as address:
            with ctl.start("call", address, stdin=side, stderr=side) as client:
                read_until(terminal, b"Please enter the message: ")
                os.write(terminal, b"hello\n")
                assert client.stdout.read() == b"HELLO\n"
                assert client.wait(ctl.HANG) == ctl.OK
    finally:
        os.close(terminal)
        os.close(side)


def test_end_of_file_at_the_question_is_an_empty_message(tmp_path):
    terminal, side = pty.openpty()
    try:
        with server("tcp", tmp_path, lambda c: c.sendall(b"%d" % len(read_all(c)))) as address:
            with ctl.start("call", address, stdin=side, stderr=side) as client:
                read_until(terminal, b"Please enter the message: ")
                os.write(terminal, b"\x04")
                assert client.stdout.read() == b"0"
                assert client.wait(ctl.HANG) == ctl.OK
    finally:
        os.close(terminal)
        os.close(side)


# Size.


@pytest.fixture(name="big_file", scope="module")
def fixture_big_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("big") / "message"
    with open(path, "wb") as out:
        for _ in range(BIG >> 20):
            out.write(os.urandom(1 << 20))
    return path


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.parametrize("kind", ["tcp", "unix", "unixpacket"])
def test_large_echo_does_not_deadlock(kind, tmp_path, big_file):
    reply = tmp_path / "reply"
    with server(kind, tmp_path, echo) as address:
        with open(big_file, "rb") as source, open(reply, "wb") as out:
            result = ctl.run("call", address, stdin=source, stdout=out)
    assert (result.returncode, result.stderr) == (ctl.OK, b"")
    assert digest(reply) == digest(big_file)


def test_server_that_sends_all_before_it_reads(tmp_path, big_file):
    received = hashlib.sha256()

    def serve(connection):
        connection.sendall(b"r" * BIG)
        for data in iter(lambda: connection.recv(1 << 18), b""):
            received.update(data)

    with server("tcp", tmp_path, serve) as address:
        with open(big_file, "rb") as source:
            result = ctl.run("call", address, stdin=source)
    assert result.returncode == ctl.OK
    assert result.stdout == b"r" * BIG
    assert received.hexdigest() == digest(big_file)


def test_message_goes_on_after_the_server_half_closes(tmp_path, big_file):
    received = hashlib.sha256()

    def serve(connection):
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        for data in iter(lambda: connection.recv(1 << 18), b""):
            received.update(data)

    with server("tcp", tmp_path, serve) as address:
        with open(big_file, "rb") as source:
            check(ctl.run("call", address, stdin=source), b"bye")
    assert received.hexdigest() == digest(big_file)


@pytest.mark.parametrize("kind", ["udp", "unixgram"])
def test_largest_datagram(kind, tmp_path):
    data = b"d" * 65507
    with server(kind, tmp_path, upper_datagram) as address:
        check(ctl.run("call", address, input=data), data.upper())


@pytest.mark.parametrize("kind", DATAGRAMS)
def test_datagram_too_large(kind, tmp_path):
    with server(kind, tmp_path, lambda s: None) as address:
        check_failure(ctl.run("call", address, input=b"d" * 65508), ctl.DATAERR, "65507")
        check_failure(ctl.run("call", address, "d" * 65508), ctl.DATAERR, "65508", "65507")


# Time.


@pytest.mark.parametrize("kind", STREAMS + PACKETS)
def test_silent_server(kind, tmp_path):
    with server(kind, tmp_path, silence := Silence()) as address, silence:
        result = ctl.run("call", "--timeout", "200ms", address, "anybody?")
        check_failure(result, ctl.TEMPFAIL, place(address), "200ms")


@pytest.mark.parametrize("kind", DATAGRAMS)
def test_silent_datagram_server(kind, tmp_path):
    with server(kind, tmp_path, lambda s: s.recv(100)) as address:
        result = ctl.run("call", "--timeout=200ms", address, "anybody?")
        check_failure(result, ctl.TEMPFAIL, place(address), "200ms")


def test_what_came_before_the_silence_is_printed(tmp_path):
    with server("tcp", tmp_path, silence := Silence(b"half an ans")) as address, silence:
        result = ctl.run("call", "--timeout", "200ms", address, "x")
        check_failure(result, ctl.TEMPFAIL, "200ms", stdout=b"half an ans")


def test_server_that_never_reads(tmp_path):
    with server("tcp", tmp_path, silence := Silence()) as address, silence:
        result = ctl.run("call", "--timeout", "200ms", address, input=bytes(BIG))
        check_failure(result, ctl.TEMPFAIL, place(address), "200ms")


def test_slow_input_is_no_silence_of_the_server(tmp_path):
    with server("tcp", tmp_path, upper) as address:
        with ctl.start("call", "--timeout", "50ms", address) as client:
            with pytest.raises(subprocess.TimeoutExpired):
                client.wait(0.5)
            client.stdin.write(b"late")
            client.stdin.close()
            assert client.stdout.read() == b"LATE"
            assert client.wait(ctl.HANG) == ctl.OK


def test_open_input_does_not_outlive_the_server(tmp_path):
    with server("tcp", tmp_path, lambda c: c.sendall(b"the time")) as address:
        with ctl.start("call", "--timeout", "100ms", address) as client:
            assert client.stdout.read() == b"the time"
            assert client.wait(ctl.HANG) == ctl.OK


def test_connect_to_a_full_queue_times_out(tmp_path):
    listener, address = bind("unix", tmp_path)
    with listener, contextlib.ExitStack() as stack:
        listener.listen(0)
        while True:
            filler = stack.enter_context(socket.socket(socket.AF_UNIX))
            filler.setblocking(False)
            if filler.connect_ex(listener.getsockname()) != 0:
                break
        result = ctl.run("call", "--timeout", "100ms", address, "x")
        check_failure(result, ctl.TEMPFAIL, address, "100ms")


# Failures of the connection.


@pytest.mark.parametrize("kind", STREAMS + PACKETS + DATAGRAMS)
def test_nobody_there(kind, tmp_path):
    s, address = bind(kind, tmp_path)
    s.close()
    check_failure(ctl.run("call", address, "x"), ctl.UNAVAILABLE, place(address), "refused")


def test_no_such_path(tmp_path):
    address = f"unix://{tmp_path}/none"
    check_failure(ctl.run("call", address, "x"), ctl.UNAVAILABLE, address, "No such file")


def test_wrong_kind_of_unix_socket(tmp_path):
    listener, address = bind("unix", tmp_path)
    with listener:
        listener.listen()
        address = address.replace("unix:", "unixpacket:")
        check_failure(ctl.run("call", address, "x"), ctl.UNAVAILABLE, address, "wrong type")


def addresses_of_localhost(sort):
    found = socket.getaddrinfo("localhost", 7, type=sort)
    return list(dict.fromkeys(a[4][0] for a in found))


@pytest.mark.parametrize("scheme, sort", [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
def test_each_address_of_a_name_is_tried(scheme, sort):
    hosts = addresses_of_localhost(sort)
    if len(hosts) < 2 or not has_ipv6():
        pytest.skip("localhost has one address")
    family = socket.AF_INET6 if ":" in hosts[-1] else socket.AF_INET
    with socket.socket(family, sort) as s:
        s.bind((hosts[-1], 0))
        port = s.getsockname()[1]

        def work():
            if sort == socket.SOCK_DGRAM:
                upper_datagram(s)
                return
            connection, _ = s.accept()
            with connection:
                upper(connection)

        if sort == socket.SOCK_STREAM:
            s.listen()
        with background(work):
            check(ctl.run("call", "-n", f"{scheme}://localhost:{port}", "x"), b"X")


def test_a_failure_names_each_address():
    hosts = addresses_of_localhost(socket.SOCK_STREAM)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    result = ctl.run("call", f"tcp://localhost:{port}", "x")
    shown = [f"[{h}]:{port}" if ":" in h else f"{h}:{port}" for h in hosts]
    check_failure(result, ctl.UNAVAILABLE, *shown)


@pytest.mark.parametrize("address", ["tcp://[fe80::1%nosuchlink0]:7", "tcp://127.0.0.1:nosuchport"])
def test_unknown_host(address):
    check_failure(ctl.run("call", address, "x"), ctl.NOHOST, address)


def reset(connection):
    """Closes with a reset in place of an end of file."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_reset(tmp_path):
    def serve(connection):
        connection.recv(100)
        connection.sendall(b"wait")
        # The client must have read this before the reset, which may discard it.
        assert printed.wait(ctl.HANG)
        reset(connection)

    printed = threading.Event()
    with server("tcp", tmp_path, serve) as address:
        with ctl.start("call", address, "x") as client:
            assert client.stdout.read(4) == b"wait"
            printed.set()
            assert client.stdout.read() == b""
            assert client.wait(ctl.HANG) == ctl.IOERR
            assert f"{address}: Connection reset by peer".encode() in client.stderr.read()


def test_unix_server_that_closes_with_unread_input(tmp_path):
    with server("unix", tmp_path, lambda c: c.recv(1)) as address:
        check_failure(ctl.run("call", address, "longer"), ctl.IOERR, address, "reset")


def test_server_that_leaves_while_we_send(tmp_path):
    def serve(connection):
        connection.recv(1)
        connection.sendall(b"too much")
        connection.shutdown(socket.SHUT_WR)
        assert printed.wait(ctl.HANG)

    printed = threading.Event()
    with server("tcp", tmp_path, serve) as address:
        with ctl.start("call", address, stdin=open("/dev/zero", "rb")) as client:
            assert client.stdout.read(8) == b"too much"
            printed.set()
            assert client.wait(ctl.HANG) == ctl.IOERR
            assert address.encode() in client.stderr.read()


def test_full_standard_output(tmp_path):
    with server("tcp", tmp_path, upper) as address, open("/dev/full", "wb") as full:
        result = ctl.run("call", address, "x", stdout=full)
    assert result.returncode == ctl.IOERR
    assert b"standard output: No space left" in result.stderr


# The command line.


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["call"], "address"),
        (["call", "localhost:7"], "localhost:7"),
        (["call", "tcp://localhost"], "tcp://localhost"),
        (["call", "http://localhost:7", "x"], "http://localhost:7"),
        (["call", "systemd://echo"], "systemd://echo"),
        (["call", "--timeout", "5", "tcp://127.0.0.1:7"], '"5"'),
        (["call", "--timeout"], "--timeout"),
        (["call", "--nonsense"], "--nonsense"),
        (["call", "-x"], "-x"),
        (["call", "--no-reply=yes"], "--no-reply"),
        (["call", "--json", "tcp://127.0.0.1:7"], "--json"),
        (["call", "--no-reply", "tcp://127.0.0.1:7", "x"], "--no-reply"),
        (["call", "--workers"], "--workers"),
        ([], "verb"),
        (["cal"], 'did you mean "call"'),
        (["realod"], 'did you mean "reload"'),
        (["xyzzy"], '"xyzzy"'),
        (["stop", "now"], '"now"'),
        (["--instance"], "--instance"),
        (["--instance="], "--instance"),
    ],
)
def test_usage(arguments, text):
    check_failure(ctl.run(*arguments), ctl.USAGE, text)


def test_help_and_version():
    for arguments in (["--help"], ["-h"], ["call", "--help"], ["--help", "call"]):
        result = ctl.run(*arguments)
        assert (result.returncode, result.stderr) == (ctl.OK, b"")
        assert result.stdout.startswith(b"usage: preforkctl ")
    for arguments in (["--version"], ["-V"], ["call", "-V"]):
        result = ctl.run(*arguments)
        assert (result.returncode, result.stderr) == (ctl.OK, b"")
        assert result.stdout.startswith(b"preforkctl ")


@pytest.mark.parametrize("verb", ["status", "reload", "recycle", "stop"])
def test_not_running(verb, tmp_path):
    for place in (["--runtime-directory", tmp_path, verb], [verb, f"--runtime-directory={tmp_path}"]):
        check_failure(ctl.run(*place), ctl.NOT_RUNNING, "not running", str(tmp_path))
