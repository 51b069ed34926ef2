# SPDX-License-Identifier: ISC
"""A preforkd under test, and what to ask it. Waiting is for events: a notification, a line of the
log, a field of the board; a deadline is only there to fail."""

import contextlib
import json
import os
import queue
import re
import selectors
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

DEADLINE = float(os.environ.get("TEST_DEADLINE", "30"))


class Programs:
    def __init__(self, build):
        self.build = Path(build)
        self.preforkd = str(self.build / "preforkd")
        self.preforkctl = str(self.build / "preforkctl")
        self.modules = self.build / "tests/modules/.libs"
        self.source = Path(os.environ.get("SRCDIR", Path(__file__).resolve().parents[2]))


def find_programs():
    default = Path(__file__).resolve().parents[2] / "build"
    programs = Programs(os.environ.get("BUILDDIR", default))
    # For every program that a test starts: the built-ins that are modules.
    os.environ.setdefault("PREFORKD_MODULE_DIRECTORY", str(programs.build.resolve() / ".libs"))
    return programs


def without_status():
    """Whether the build has no built-in status, as its configure was told."""
    configured = find_programs().build / "config.status"
    return configured.exists() and 'S["WITH_STATUS_TRUE"]="#"' in configured.read_text()


def wait_until(what, condition, deadline=DEADLINE):
    """Asks again until `condition` is true: for state that has no event of its own."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline:g} s")
        selectors.DefaultSelector().select(0.005)


class Daemon:
    """config: text of a configuration file; or None with args (--listen ... --builtin ...)."""

    def __init__(self, programs, directory, config=None, args=(), name="main", env=None,
                 preexec=None, wrapper=()):
        self.programs = programs
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        # A worker of another user must be able to reach what a test puts here.
        for path in [self.directory, *self.directory.parents][:3]:
            if path.owner() == Path("/proc/self").owner() and path != Path("/tmp"):
                path.chmod(path.stat().st_mode | 0o055)
        self.runtime = self.directory / "run"
        self.config_file = self.directory / "preforkd.conf"
        self.name = name
        self.args = list(args)
        self.env = env or {}
        self.preexec = preexec
        self.wrapper = list(wrapper)
        self.pass_fds = ()
        self.process = None
        self.notifications = []
        self.log_file = self.directory / "log"
        if config is not None:
            self.write_config(config)
            self.args = ["--config", str(self.config_file), *self.args]

    def write_config(self, text):
        self.config_file.write_text(text)
        self.config_file.chmod(0o644)

    # -- life

    def start(self, expect_ready=True):
        self.notify_path = self.directory / "notify"
        self.notify_path.unlink(missing_ok=True)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(self.notify_path))
        self.inbox = queue.Queue()
        threading.Thread(target=self.read_notifications, args=(self.notify, self.inbox),
                         daemon=True).start()
        env = {**os.environ, "NOTIFY_SOCKET": str(self.notify_path), **self.env}
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, self.programs.preforkd, "--instance", self.name,
                 "--runtime-directory", str(self.runtime), *self.args],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                preexec_fn=self.preexec, pass_fds=self.pass_fds)
        self.pid = self.process.pid
        if expect_ready:
            self.wait_notification("READY=1")
        return self

    @staticmethod
    def read_notifications(notify, inbox):
        """All the time, as systemd does: a queue that is full would stop the sender."""
        with contextlib.suppress(OSError):
            while text := notify.recv(8192):
                inbox.put(text.decode())

    def wait_notification(self, line, deadline=DEADLINE):
        """The next notification that holds the line; the ones before stay in `notifications`."""
        end = time.monotonic() + deadline
        while True:
            try:
                text = self.inbox.get(timeout=0.05)
            except queue.Empty:
                if self.process.poll() is not None:
                    raise AssertionError(
                        f"preforkd ended with {self.process.returncode}:\n{self.log()}") from None
                if time.monotonic() > end:
                    raise AssertionError(f"no {line}:\n{self.log()}") from None
                continue
            self.notifications.append(text)
            if line in text.split("\n") or any(part.startswith(line) for part in text.split("\n")):
                return text

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, deadline=DEADLINE):
        return self.process.wait(timeout=deadline)

    def stop(self, deadline=DEADLINE):
        """A graceful stop; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait(deadline)

    def finish(self):
        """At the end of a test: nothing may be left behind, and no sanitizer may have spoken."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.notify.shutdown(socket.SHUT_RDWR)  # the reader's end
        self.notify.close()
        log = self.log()
        for word in ("AddressSanitizer", "runtime error:", "LeakSanitizer"):
            assert word not in log, log

    # -- what it says

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def wait_log(self, pattern, deadline=DEADLINE, count=1):
        """The first match of a line; or the count-th."""
        def look():
            found = list(re.finditer(pattern, self.log()))
            return found[count - 1] if len(found) >= count else None
        return wait_until(f"log line {pattern!r}", look, deadline)

    def ctl(self, *args, check=True, deadline=DEADLINE, **kwargs):
        result = subprocess.run(
            [self.programs.preforkctl, "--runtime-directory", str(self.runtime), *args],
            stdin=kwargs.pop("stdin", subprocess.DEVNULL), capture_output=True, text=True,
            timeout=deadline, **kwargs)
        if check:
            assert result.returncode == 0, (result.stdout, result.stderr, self.log())
        return result

    def status(self):
        result = self.ctl("status", "--json", "--workers", check=False)
        assert result.returncode in (0, 1), (result.stdout, result.stderr)
        return json.loads(result.stdout)

    def addresses(self, service=None):
        """Where it listens, with the ports that the kernel chose, in the order of the log."""
        found = re.findall(r'service "([^"]+)": listening on (\S+) \(', self.log())
        return [a for s, a in found if service in (None, s)]

    def address(self, service=None, index=0):
        return self.addresses(service)[index]

    def port(self, service=None, index=0):
        return int(self.address(service, index).rsplit(":", 1)[1])

    def workers(self):
        """Pids of the children that are workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(p) for p in children]


def connect(address, timeout=DEADLINE):
    """A client that is not ours, for the addresses that the daemon logs."""
    kind, rest = address.split("://", 1)
    types = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "unix": socket.SOCK_STREAM,
             "unixgram": socket.SOCK_DGRAM, "unixpacket": socket.SOCK_SEQPACKET}
    type_ = types[kind.rstrip("46")]
    if kind.startswith("unix"):
        s = socket.socket(socket.AF_UNIX, type_)
        if type_ == socket.SOCK_DGRAM:
            s.bind("")
        target = "\0" + rest[1:] if rest.startswith("@") else rest
    else:
        host, port = rest.rsplit(":", 1)
        host = host.strip("[]")
        host = {"*": "127.0.0.1", "::": "::1", "0.0.0.0": "127.0.0.1"}.get(host, host)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        s = socket.socket(family, type_)
        target = (host, int(port))
    s.settimeout(timeout)
    s.connect(target)
    return s


def exchange(address, data, timeout=DEADLINE):
    """Sends data, half-closes, and returns all that comes until a clean end (streams), or the one reply."""
    with connect(address, timeout) as s:
        s.send(data) if s.type == socket.SOCK_DGRAM else s.sendall(data)
        if s.type != socket.SOCK_STREAM:
            return s.recv(65536)
        s.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: s.recv(65536), b""))
