# SPDX-License-Identifier: ISC
"""What a worker is, and how it takes leave: process, limits, user, signals, time."""

import os
import re
import resource
import signal
import socket
from pathlib import Path

import pytest

from daemon import connect, exchange, wait_until
from look import busy_worker, facts, is_gone, pool, wait_counts, wait_gone, worker_pids

CONFIG = """
service "main" {
    listen  = {"%s"}
    %s = "%s"
    workers = %d
    %s
}
"""
HARMLESS = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
            signal.SIGPIPE, signal.SIGWINCH]


def config(builtin="echo", address="tcp://127.0.0.1:0", workers=1, keys=""):
    return CONFIG % (address, "builtin", builtin, workers, keys)


@pytest.fixture
def env(daemon, programs):
    """Starts a service with the module that tells about its process."""
    def start(keys="", address="tcp://127.0.0.1:0", more="", **kwargs):
        return daemon(CONFIG % (address, "module", programs.modules / "env.so", 1, keys) + more,
                      **kwargs)
    return start


def half_sent(address):
    """A client in service that has more to say."""
    s = connect(address)
    s.sendall(b"half")
    assert s.recv(9) == b"half"
    return s


def end(s):
    """The other half, and a clean end."""
    s.sendall(b" and half")
    s.shutdown(socket.SHUT_WR)
    return b"".join(iter(lambda: s.recv(65536), b""))


# ---- signals

@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "unix://DIR/s", "unixpacket://DIR/s"])
@pytest.mark.parametrize("timeout", ["0", "1m"])
def test_sigterm_lets_a_client_be_served_to_its_end(daemon, tmp_path, address, timeout):
    """With a timeout on its socket a read returns EINTR in spite of SA_RESTART."""
    d = daemon(config(address=address.replace("DIR", str(tmp_path)),
                      keys=f'idle_timeout = "{timeout}"'))
    with half_sent(d.address()) as s:
        pid = busy_worker(d)
        os.kill(pid, signal.SIGTERM)
        # It has the signal once it waits in the read again, on whatever descriptor.
        wait_until("the signal", lambda: "ShdPnd:\t0000000000000000" in
                   Path(f"/proc/{pid}/status").read_text())
        assert end(s) == b" and half"
    wait_gone([pid])
    wait_until("another worker", lambda: worker_pids(d) not in ([], [pid]))
    assert exchange(d.address(), b"next") == b"next"
    wait_counts(d, accepted=2, finished=2)
    assert pool(d)["workers_died"] == 0


def test_sigterm_ends_an_idle_worker_and_another_comes(daemon):
    d = daemon(config(workers=2))
    before = worker_pids(d)
    os.kill(before[0], signal.SIGTERM)
    wait_gone(before[:1])
    wait_until("two workers", lambda: len(worker_pids(d)) == 2)
    assert before[1] in worker_pids(d)
    assert pool(d)["workers_died"] == 0 and not pool(d)["degraded"]


def test_a_worker_told_to_leave_takes_nobody_else(daemon):
    d = daemon(config())
    with half_sent(d.address()) as s, connect(d.address()) as waiting:
        pid = busy_worker(d)
        os.kill(pid, signal.SIGTERM)
        waiting.sendall(b"waiting")
        assert end(s) == b" and half"
        assert waiting.recv(99) == b"waiting"
        assert busy_worker(d) != pid and is_gone(pid)


def test_other_signals_do_no_harm(daemon):
    d = daemon(config(workers=2))
    pids = worker_pids(d)
    with half_sent(d.address()) as s:
        for number in HARMLESS:
            for pid in pids:
                os.kill(pid, number)
        assert end(s) == b" and half"
    for i in range(10):
        assert exchange(d.address(), b"%d" % i) == b"%d" % i
    assert worker_pids(d) == pids
    assert pool(d)["workers_died"] == 0
    assert d.status()["reloads"] == d.status()["recycles"] == 0


# ---- the process

def test_title_group_and_parent(env):
    d = env()
    found = facts(d.address())
    title = f"preforkd: main [{d.address()}]"
    assert found["title"] == title
    assert found["comm"] == title[:15] == Path(f"/proc/{found['pid']}/comm").read_text()[:-1]
    assert found["ppid"] == d.pid
    assert found["pgid"] == found["pid"] != os.getpgid(d.pid)
    assert found["pdeathsig"] == signal.SIGTERM
    assert found["sigmask"] == "0"


def test_what_it_inherits(env):
    d = env(preexec=lambda: (os.umask(0o077), os.chdir("/tmp")))
    found = facts(d.address())
    nofile = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert (found["uid"], found["gid"]) == (str(os.geteuid()), str(os.getegid()))
    assert (found["cwd"], found["umask"], found["nice"]) == ("/", "0022", os.nice(0))
    assert found["nofile"] == "%d:%d" % nofile
    assert found["nnp"] == 1


def test_the_masters_own_descriptor_limit_is_not_inherited(env):
    def lower():
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    found = facts(env(preexec=lower).address())
    assert found["nofile"].split(":")[0] == "100"


def test_keys_of_the_process(env, tmp_path):
    nice = os.nice(0) + 3
    d = env(f"""directory = "{tmp_path}"
        umask = "0027"
        nice = {nice}
        limit_nofile = 64
        limit_core = "1M"
        limit_cpu = 1000
        limit_as = "65536G"
        limit_nproc = 5000
        sandbox = "off" """)
    found = facts(d.address())
    assert (found["cwd"], found["umask"], found["nice"]) == (str(tmp_path), "0027", nice)
    assert found["nofile"] == "64:64"
    assert found["nnp"] == 0
    limits = Path(f"/proc/{found['pid']}/limits").read_text()
    for name, value in (("Max core file size", 1 << 20), ("Max cpu time", 1000),
                        ("Max address space", 1 << 46), ("Max processes", 5000)):
        assert re.search(rf"^{name} +{value} +{value} ", limits, re.MULTILINE), limits


def descriptors(found, d):
    """What each is, sorted; sockets have no names."""
    names = dict(item.split("=", 1) for item in found["fds"].split(","))
    assert [names.pop(fd) for fd in "012"] == ["/dev/null", str(d.log_file), str(d.log_file)]
    return sorted(re.sub(r"\[\d+\]", "", name) for name in names.values())


OTHERS = """
service "others" {
    listen  = {"tcp://127.0.0.1:0", "udp://127.0.0.1:0", "unix://%s/s"}
    builtin = "echo"
}
"""


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "udp://127.0.0.1:0"])
def test_no_descriptor_leaks(env, tmp_path, address):
    """Not of the master, nor of other services, nor of who started it; in a later worker too."""
    wrapper = ["sh", "-c", 'exec 7<"$0" 8>"$0" "$@"', str(tmp_path / "leak")]
    (tmp_path / "leak").touch()
    d = env(address=address, more=OTHERS % tmp_path, wrapper=wrapper)
    # The listener, the dead socket of the stop, and the client or the socket of the replies; of
    # connections what is waited in, and both once more, in whose places a stop puts the dead one.
    wanted = [str(d.runtime / "master"), "socket:", "socket:", "socket:"]
    if not address.startswith("udp"):
        wanted += ["socket:", "anon_inode:[eventpoll]", "anon_inode:[eventpoll]"]
    found = facts(d.address("main"))
    assert descriptors(found, d) == sorted(wanted)
    os.kill(found["pid"], signal.SIGKILL)
    wait_gone([found["pid"]])
    later = facts(d.address("main"))
    assert later["pid"] != found["pid"]
    assert descriptors(later, d) == sorted(wanted)


def test_the_environment_of_systemd_is_not_passed_on(env):
    theirs = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID",
              "LISTEN_FDNAMES"}
    d = env(env={"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1", "LISTEN_PID": "1",
                 "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "KEPT": "1"})
    names = set(facts(d.address())["env"].split(","))
    assert not names & theirs and {"KEPT", "PATH"} <= names


# ---- users

@pytest.mark.parametrize("keys,ids", [
    ('user = "nobody"', (65534, 65534, "65534")),
    ('user = "65534"', (65534, 65534, "65534")),
    ('user = "nobody"\ngroup = "daemon"', (65534, 1, "1,65534")),
    ('user = "12345"\ngroup = "54321"', (12345, 54321, ""))])
def test_user(env, is_root, keys, ids):
    found = facts(env(keys).address())
    groups = ",".join(sorted(found["groups"].split(",")))
    # getgrouplist(3) puts the group first; the entry of the user may be among them or not.
    assert (int(found["uid"]), int(found["gid"])) == ids[:2]
    assert set(groups.split(",")) <= set(ids[2].split(",")) and "0" not in groups.split(",")


def test_user_without_an_entry_needs_a_group(daemon):
    d = daemon(config(keys='user = "12345"'), expect_ready=False)
    assert d.wait() == os.EX_CONFIG
    assert "12345 has no entry on this machine, so group must be given" in d.log()


@pytest.mark.parametrize("key", ["user", "group"])
def test_unknown_names(daemon, key):
    d = daemon(config(keys=f'{key} = "no-such-name"'), expect_ready=False)
    assert d.wait() == os.EX_CONFIG
    assert f'{key}: there is no {key} "no-such-name" on this machine' in d.log()


def test_others_cannot_change_users(daemon, tmp_path):
    """A daemon of nobody, when root runs the tests; else one of whoever does."""
    def become():
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
    wanted = "daemon" if os.geteuid() != 1 else "nobody"
    for key, value in (("user", wanted), ("chroot", str(tmp_path))):
        args = ["--listen", "tcp://127.0.0.1:0", "--builtin", "echo", "--set", f"{key}={value}"]
        d = daemon(args=args, name=key, expect_ready=False, preexec=become)
        assert d.wait() == os.EX_NOPERM
        assert "only root may change" in d.log()


def test_chroot(daemon, env, tmp_path, is_root):
    keys = f'chroot = "{tmp_path}"\nuser = "nobody"'
    d = env(keys)
    found = facts(d.address())
    assert os.readlink(f"/proc/{found['pid']}/root") == str(tmp_path)
    assert (found["cwd"], found["uid"], found["fds"]) == ("/", "65534", "")
    for builtin in ("daytime", "qotd", "message"):
        d = daemon(config(builtin, keys=keys), name=builtin)
        assert exchange(d.address(), b"x\n")


# ---- time

def test_idle_timeout_ends_a_silent_client(daemon):
    d = daemon(config(keys='idle_timeout = "200ms"'))
    with connect(d.address()) as silent:
        assert silent.recv(9) == b""
    wait_counts(d, accepted=1, timed_out=1)
    with half_sent(d.address()) as s:
        assert s.recv(9) == b""
    wait_counts(d, accepted=2, timed_out=2)


def test_idle_timeout_is_no_limit_for_a_busy_client(daemon):
    d = daemon(config(keys='idle_timeout = "300ms"'))
    with connect(d.address()) as s:
        start = os.times().elapsed
        while os.times().elapsed - start < 1:
            s.sendall(b"x")
            assert s.recv(9) == b"x"
            wait_until("a moment", lambda t=os.times().elapsed: os.times().elapsed > t + 0.02)
        s.shutdown(socket.SHUT_WR)
        assert s.recv(9) == b""
    wait_counts(d, accepted=1, finished=1)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "unix://DIR/s"])
def test_idle_timeout_ends_a_client_that_never_reads(daemon, tmp_path, address):
    d = daemon(config("chargen", address.replace("DIR", str(tmp_path)),
                      keys='idle_timeout = "200ms"'))
    with connect(d.address()) as s:
        wait_counts(d, accepted=1, timed_out=1)
        assert s.recv(72) != b""


def test_no_timeout_of_a_client_ends_the_listener(daemon):
    """The timeout is the client's: an idle worker waits for ever."""
    d = daemon(config(keys='idle_timeout = "50ms"'))
    pid = worker_pids(d)
    with connect(d.address()) as s:
        assert s.recv(9) == b""
    start = os.times().elapsed
    wait_until("ten timeouts", lambda: os.times().elapsed > start + 0.5)
    assert exchange(d.address(), b"x") == b"x"
    assert worker_pids(d) == pid and pool(d)["connections"]["accept_errors"] == 0


# ---- the close

@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "unix://DIR/s"])
@pytest.mark.parametrize("half_close", [False, True])
def test_unread_input_does_not_eat_the_reply(daemon, tmp_path, address, half_close):
    d = daemon(config("message", address.replace("DIR", str(tmp_path))))
    for _ in range(20):
        with connect(d.address()) as s:
            s.sendall(b"first\n" + b"x" * 500_000)
            if half_close:
                s.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: s.recv(65536), b"")) == b"I got your message\n"
    wait_counts(d, accepted=20, finished=20)


def ends(s):
    """Whether the server has closed it for good: what comes then is reset."""
    try:
        s.sendall(b"x")
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


def test_a_client_that_does_not_close_holds_nobody_up_and_has_2_seconds(daemon):
    d = daemon(config("daytime"))
    with connect(d.address()) as s:
        assert s.recv(99).endswith(b"GMT\r\n") and s.recv(99) == b""
        start = os.times().elapsed
        assert exchange(d.address(), b"")
        assert os.times().elapsed - start < 1.5
        wait_until("its end", lambda: ends(s))
        assert 1.5 < os.times().elapsed - start < 10


def test_a_client_that_sends_for_ever_does_not_hold_a_worker(daemon):
    d = daemon(config("daytime"))
    with connect(d.address()) as s, connect(d.address()) as waiting:
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                s.sendall(b"x" * 65536)
        assert waiting.recv(99).endswith(b"GMT\r\n")
