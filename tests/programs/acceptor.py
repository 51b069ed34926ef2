# SPDX-License-Identifier: ISC
"""A program that accepts for itself, for the tests of acceptors: one client at a time, who says
what happens. Its arguments:

    blocking=1      it waits in accept(), on its first socket only; else its sockets do not block,
                    as with every event loop
    wait=FILE       it is ready, and accepts, when the file is there
    mute=FILE       it does not say READY=1 while the file is there, but accepts
    fail=FILE       it ends with status 3 and a word about that while the file is there
    early=FILE      it says READY=1, waits 200 ms and ends with status 4 while the file is there
    child=FILE      it leaves a child behind whose pid is in the file
    deaf=1          it ignores TERM, and so does its child
    say=TEXT        a line on stderr at the start

A client sends one line: pid, hold (until it sends more), sockets, say TEXT, flood N, exit N,
kill N, notify TEXT. Anything else comes back. Datagrams come back behind the pid.
"""

import os
import selectors
import signal
import socket
import sys
import time

options = dict(a.split("=", 1) for a in sys.argv[1:])


def say(text):
    os.write(2, f"{text}\n".encode())


def tell(text):
    where = os.environ.get("NOTIFY_SOCKET")
    if where:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect("\0" + where[1:] if where.startswith("@") else where)
            s.send(text.encode())


def there(name):
    return name in options and os.path.exists(options[name])


def begin():
    if "say" in options:
        say(options["say"])
    if there("fail"):
        say("fail: there is no such module")
        sys.exit(3)
    if "wait" in options:
        while not there("wait"):
            time.sleep(0.002)
    if "deaf" in options:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "child" in options and os.fork() == 0:
        if "deaf" not in options:
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        with open(options["child"], "a") as f:
            f.write(f"{os.getpid()}\n")
        while True:
            time.sleep(1000)
    if there("early"):
        tell("READY=1")
        time.sleep(0.2)
        sys.exit(4)


def take_sockets():
    if "LISTEN_FDS" not in os.environ:
        return [socket.socket(fileno=0)]
    assert os.environ["LISTEN_PID"] == str(os.getpid())
    count = int(os.environ["LISTEN_FDS"])
    assert len(os.environ["LISTEN_FDNAMES"].split(":")) == count
    return [socket.socket(fileno=3 + i) for i in range(count)]


def facts(sockets):
    names = os.environ.get("LISTEN_FDNAMES", "")
    return " ".join([str(os.getpid()), names, *(str(s.getsockname()) for s in sockets)])


def serve(client, sockets):
    line = b""
    while not line.endswith(b"\n"):
        part = client.recv(65536)
        if not part:
            break
        line += part
    word, _, rest = line.decode().rstrip("\n").partition(" ")
    if word == "pid":
        client.sendall(b"%d" % os.getpid())
    elif word == "hold":
        client.sendall(b"%d" % os.getpid())
        client.sendall(client.recv(65536))
    elif word == "sockets":
        client.sendall(facts(sockets).encode())
    elif word == "say":
        say(rest)
    elif word == "flood":
        for i in range(int(rest)):
            say(f"flood {i}")
    elif word == "exit":
        os._exit(int(rest))
    elif word == "kill":
        os.kill(os.getpid(), int(rest))
    elif word == "notify":
        tell(rest)
    else:
        client.sendall(line)


def take(s, sockets):
    if s.type == socket.SOCK_DGRAM:
        text, source = s.recvfrom(65536)
        s.sendto(b"%d " % os.getpid() + text, source)
        return
    try:
        client = s.accept()[0]
    except BlockingIOError:
        return
    with client:
        client.setblocking(True)
        try:
            serve(client, sockets)
        except OSError as e:
            say(f"client: {e}")


def main():
    wake, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGQUIT, lambda *_: None)
    begin()
    sockets = take_sockets()
    selector = selectors.DefaultSelector()
    selector.register(wake, selectors.EVENT_READ)
    for s in sockets:
        selector.register(s, selectors.EVENT_READ)
        if "blocking" not in options:
            s.setblocking(False)
    if not there("mute"):
        tell("STATUS=it begins\nREADY=1")
    if "blocking" in options:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while True:
            take(sockets[0], sockets)
    while True:
        for key, _ in selector.select():
            if key.fileobj is wake:
                for number in wake.recv(100):
                    say(f"told to leave by {number}")
                return
            take(key.fileobj, sockets)


main()
