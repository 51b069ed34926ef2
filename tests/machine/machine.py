# SPDX-License-Identifier: ISC
"""A booted systemd with preforkd installed, for tests that run outside of it.

The fixtures (conftest.py):

    machine     a Machine, booted once for the session. Before each test it is as installed: no unit
                of preforkd's runs, is enabled or has a drop-in, /etc/preforkd is the shipped one,
                and what write() and copy() replaced is back. When a test fails its journal is shown.

What a test does with it:

    machine.write("/etc/preforkd/web.conf", text)       directories are made, old content comes back
    machine.systemctl("enable", "--now", "preforkd")    fails the test when systemctl fails
    machine.run("journalctl", "-n1", check=False)       any command in there: .stdout, .returncode
    machine.show("preforkd", "MainPID", "StatusText")   {"MainPID": "42", "StatusText": "..."}
    machine.wait_state("preforkd", "active")            waits; so does wait(what, condition)
    machine.wait_journal(r"reload: (.*)", "preforkd")   the first such MESSAGE of this test, a match
    machine.journal("preforkd")                         all of this test's, a dict for each message
    machine.status("web")                               preforkctl status --json --workers
    machine.exchange("tcp://127.0.0.1:7008", b"hello")  one client, its reply
    machine.connect("unix:///run/x.sock")               a socket in there
    machine.inside(function, *args)                     a Python function amid its network and files
    machine.dropin("preforkd.service", text)            with the daemon-reload; gone after the test
    machine.run("id", user="alice")                     there is a user alice, with a home; after
                                                        systemctl("start", "user@1000") she has
                                                        a manager for systemctl --user
    machine.reboot()                                    what is enabled starts; a second or two
    with machine.clients(address, count=12) as c:       load: see clients.py
        machine.systemctl("reload", "preforkd")
        c.more(100)
    assert c.outcomes == {"ok": c.served}

Pids are those in there; machine.host_pid(pid) is the same process seen from outside."""

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

BLACKBOX = Path(__file__).resolve().parents[1] / "blackbox"
sys.path.insert(0, str(BLACKBOX))

# pylint: disable=wrong-import-position
import boot  # noqa: E402
import daemon  # noqa: E402
from clients import Clients, enter  # noqa: E402
from daemon import DEADLINE, wait_until  # noqa: E402
from netns import in_thread  # noqa: E402

HERE = Path(__file__).resolve().parent
# Beside the deadline of a test, a command that never returns must not take everybody's time.
COMMAND_DEADLINE = 120
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
               "LANG": "C.UTF-8", "HOME": "/root", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}

# What the package's maintainer script would do, and the copy that each test begins with.
INSTALLED = """
systemd-sysusers
systemd-tmpfiles --create
journalctl --update-catalog
systemctl daemon-reload
mkdir -p /etc/preforkd /var/lib/pristine
cp -a /etc/preforkd /var/lib/pristine/
"""

# As after the installation, whatever a test did. A stop that takes long is the test's to look at.
CLEANED = """
systemctl kill --signal=CONT systemd-journald 2>/dev/null
units='preforkd*.socket preforkd*.service'
set -f
timeout 5 systemctl stop $units || {
	systemctl kill --signal=KILL $units
	timeout 5 systemctl stop $units
}
set +f
pkill -KILL '^preforkd'
systemctl stop 'user@*.service'
rm -rf /etc/systemd/system/preforkd* /etc/systemd/system/*.wants/preforkd* \
	/etc/systemd/system.control/preforkd* /run/systemd/system/preforkd* \
	/run/systemd/system/*.wants/preforkd* /run/systemd/system.control/preforkd* \
	/run/systemd/transient/preforkd* /etc/preforkd /run/preforkd/* /home/alice/.config
cp -a /var/lib/pristine/preforkd /etc/
"""
RELOADED = """
systemctl daemon-reload
systemctl reset-failed
"""


def read_bytes(path):
    try:
        return Path(path).read_bytes(), Path(path).stat().st_mode & 0o7777
    except FileNotFoundError:
        return None


def write_bytes(path, data, mode):
    # A new file in its place, as a package manager does: what runs from the old one runs on.
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.chmod(mode)
    new.rename(path)


class Process(subprocess.Popen):
    """A command in there. Its parent, nsenter, stays outside and ends as it does: signals are for
    the command. Of a killed nsenter a zombie would be left that the machine's init cannot reap."""

    def send_signal(self, sig):
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        while self.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(children.read_text()), sig)
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(0.001)  # it is about to fork, or to end


class Machine:
    def __init__(self, root, build, log):
        self.build = Path(build)
        self.cursor = None
        self.replaced = {}
        self.log = log
        self.keeper = None
        self.init = None
        self.root = root

    # -- life

    def start(self):
        with open(self.log, "wb") as log:
            self.keeper = subprocess.Popen(
                [sys.executable, "-B", HERE / "boot.py", self.root, self.build],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                start_new_session=True)
        self.wait_ready()
        self.run("sh", "-ec", INSTALLED)
        return self

    def wait_ready(self):
        said = self.keeper.stdout.readline().strip()
        word, _, rest = said.partition(" ")
        if word != "ready":
            self.keeper.wait()
            raise RuntimeError(f"the machine: {said}\n{Path(self.log).read_text()}")
        self.init = int(rest)

    def reboot(self):
        """The processes are new, and the network; the files stay."""
        self.systemctl("reboot", check=False)
        self.wait_ready()

    def finish(self):
        self.keeper.stdin.close()
        self.keeper.wait(60)
        self.keeper.stdout.close()
        # Should the keeper have been killed.
        boot.remove_groups(f"{boot.GROUP}{self.keeper.pid}")

    # -- between tests

    def begin(self):
        """The messages of a test are those after here."""
        self.cursor = self.newest_cursor()

    def clean(self):
        self.run("sh", "-c", CLEANED)
        for path, before in self.replaced.items():
            if before is None:
                self.inside(lambda p: Path(p).unlink(missing_ok=True), path)
            else:
                self.inside(write_bytes, path, *before)
        self.replaced = {}
        self.run("sh", "-c", RELOADED)
        left = self.run("systemctl", "list-units", "--plain", "--no-legend", "--all",
                        "--state=active,activating,deactivating,failed", "preforkd*").stdout
        assert not left, left

    # -- commands

    def popen(self, *argv, user=None, env=None, **kwargs):
        """In the background; a context manager as Popen is. Its end is the caller's to wait for."""
        become, env = [], {**ENVIRONMENT, **(env or {})}
        if user:
            found = re.search(rf"^{user}:[^:]*:(\d+):(\d+):[^:]*:([^:]*)", self.read("/etc/passwd"),
                              re.M)
            become = ["setpriv", f"--reuid={found[1]}", f"--regid={found[2]}", "--init-groups"]
            env["HOME"] = found[3]
            runtime = f"/run/user/{found[1]}"
            if self.inside(os.path.isdir, runtime):  # as at a login; systemctl --user wants it
                env["XDG_RUNTIME_DIR"] = runtime
        where = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                 "text": True, **kwargs}
        return Process(["nsenter", "-t", str(self.init), "-a", *become, *map(str, argv)], env=env,
                       **where)

    def run(self, *argv, check=True, input=None, timeout=COMMAND_DEADLINE, **kwargs):
        """A CompletedProcess with text; check: anything but 0 fails the test."""
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        with self.popen(*argv, stdin=stdin, **kwargs) as process:
            try:
                out, err = process.communicate(input, timeout)
            except BaseException:
                process.kill()
                raise
        done = subprocess.CompletedProcess(argv, process.returncode, out, err)
        if check:
            assert done.returncode == 0, (argv, done.returncode, done.stdout, done.stderr)
        return done

    def systemctl(self, *args, check=True):
        return self.run("systemctl", *args, check=check)

    def ctl(self, *args, check=True, instance=None):
        which = ["--instance", instance] if instance else []
        return self.run("preforkctl", *which, *args, check=check)

    def kill(self, pid, name="TERM"):
        self.run("kill", "-s", name, str(pid))

    # -- files

    def read(self, path):
        return self.inside(Path(path).read_text)

    def write(self, path, text, mode=0o644):
        """Text or bytes. What was there comes back after the test."""
        path = str(path)
        if path not in self.replaced:
            self.replaced[path] = self.inside(read_bytes, path)
        self.inside(write_bytes, path, text if isinstance(text, bytes) else text.encode(), mode)

    def copy(self, source, path, mode=0o755):
        """A file of outside, as a module that the tests were built with."""
        self.write(path, Path(source).read_bytes(), mode)

    def dropin(self, unit, text, name="test.conf"):
        """And the daemon-reload that makes it count."""
        self.write(f"/etc/systemd/system/{unit}.d/{name}", text)
        self.systemctl("daemon-reload")

    # -- units

    def show(self, unit, *properties):
        chosen = [f"--property={','.join(properties)}"] if properties else []
        text = self.systemctl("show", *chosen, unit).stdout
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def main_pid(self, unit="preforkd"):
        return int(self.show(unit, "MainPID")["MainPID"])

    def wait(self, what, condition, deadline=DEADLINE):
        return wait_until(what, condition, deadline)

    def wait_show(self, unit, deadline=DEADLINE, **wanted):
        """Until these properties have these values; a value may be a pattern for the whole."""
        seen = {}

        def look():
            seen.update(self.show(unit, *wanted))
            return all(re.fullmatch(str(v), seen.get(k, "")) for k, v in wanted.items())

        try:
            wait_until(f"{unit}: {wanted}", look, deadline)
        except AssertionError as e:
            raise AssertionError(f"{e}; it is {seen}\n{self.journal_text()}") from None
        return seen

    def wait_state(self, unit, state, deadline=DEADLINE):
        return self.wait_show(unit, deadline, ActiveState=state)

    def status(self, instance="main"):
        """The board as preforkctl has it."""
        done = self.ctl("status", "--json", "--workers", instance=instance, check=False)
        assert done.returncode in (0, 1), (done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    # -- journal

    def newest_cursor(self):
        self.run("journalctl", "--sync")
        text = self.run("journalctl", "--lines=1", "--output=json", "--output-fields=MESSAGE").stdout
        return json.loads(text.splitlines()[-1])["__CURSOR"]

    def journal_command(self, unit, cursor, fields, *more):
        # --after-cursor of 252 leaves out the first message after it that has the fields.
        after = [f"--cursor={cursor or self.cursor}"] if cursor or self.cursor else []
        units = [f"--unit={unit}"] if unit else []
        return ["journalctl", "--output=json", "--all", "--no-pager", *after, *units, *more,
                *(f"{key}={value}" for key, value in fields.items())]

    def journal(self, unit=None, cursor=None, **fields):
        """The messages since the test began (or after a cursor), of one unit and with these fields,
        as journalctl has them: a dict for each."""
        self.run("journalctl", "--sync", check=False)
        text = self.run(*self.journal_command(unit, cursor, fields)).stdout
        found = [json.loads(line) for line in text.split("\n") if line]
        return [m for m in found if m["__CURSOR"] != (cursor or self.cursor)]

    def journal_text(self, unit=None):
        return "\n".join(f"{m.get('SYSLOG_IDENTIFIER')}[{m.get('_PID')}] {m.get('MESSAGE')}"
                         for m in self.journal(unit))

    def wait_journal(self, pattern, unit=None, cursor=None, deadline=DEADLINE, **fields):
        """The match of the first MESSAGE of this test (or after a cursor) that has the pattern; its
        .message is the whole dict."""
        lines = queue.Queue()
        follow = self.journal_command(unit, cursor, fields, "--follow", "--no-tail")
        with self.popen(*follow, stderr=subprocess.DEVNULL) as journalctl:
            reader = threading.Thread(target=lambda: [lines.put(x) for x in journalctl.stdout])
            reader.start()
            try:
                return self.first_match(lines, pattern, cursor or self.cursor,
                                        time.monotonic() + deadline)
            except queue.Empty:
                raise AssertionError(f"no message {pattern!r} within {deadline:g} s in\n"
                                     f"{self.journal_text()}") from None
            finally:
                journalctl.kill()
                reader.join()

    @staticmethod
    def first_match(lines, pattern, cursor, end):
        while True:
            message = json.loads(lines.get(timeout=max(0, end - time.monotonic())))
            found = re.search(pattern, str(message.get("MESSAGE", "")))
            if found and message["__CURSOR"] != cursor:
                return Match(found, message)

    # -- clients

    def inside(self, function, *args):
        """Calls the function in a thread of its own that has the machine's network and files; a
        socket made there stays usable here."""
        return in_thread(lambda: enter(self.init), function, *args)

    def connect(self, address, timeout=DEADLINE):
        return self.inside(daemon.connect, address, timeout)

    def exchange(self, address, data, timeout=DEADLINE):
        return self.inside(daemon.exchange, address, data, timeout)

    def clients(self, addresses, **kwargs):
        return Clients(self.init, addresses, **kwargs)

    def host_pid(self, pid):
        """The pid outside of a process in there."""
        namespace = os.readlink(f"/proc/{self.init}/ns/pid")
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(directory / "ns/pid") != namespace:
                    continue
                inner = re.search(r"^NSpid:.*\t(\d+)$", (directory / "status").read_text(), re.M)
                if inner and int(inner[1]) == int(pid):
                    return int(directory.name)
        raise ProcessLookupError(f"no process {pid} in the machine")


class Match:
    """A match of a MESSAGE, and the rest of the message."""

    def __init__(self, found, message):
        self.found = found
        self.message = message

    def __getitem__(self, group):
        return self.found[group]
