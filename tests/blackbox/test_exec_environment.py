# SPDX-License-Identifier: ISC
"""What a program that serves a client is executed with: socket, environment, process."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess

import netns
import pytest
from daemon import connect, exchange, wait_until
from execs import (TCP, ask, daemon_of_programs, facts, facts_of, facts_program,  # noqa: F401
                   public, python, renew, service)
from look import pool, wait_gone, worker_pids

FAMILIES = ["tcp4://127.0.0.1:0", "tcp6://[::1]:0", "tcp://*:0", "unix://DIR/s", "unix://@DIR",
            "unixpacket://DIR/s"]
# What tells of the client and of the daemon: the table of preforkd-programs(7).
OURS = re.compile(r"PROTO|(TCP|UDP|IPC)(LOCAL|REMOTE|CONNNUM).*|REMOTE_.*|SERVER_(ADDR|PORT)|"
                  r"PREFORKD_.*")
LIES = ["PROTO", "TCPLOCALIP", "TCPLOCALPORT", "TCPREMOTEIP", "TCPREMOTEPORT", "TCPREMOTEHOST",
        "TCPREMOTEINFO", "TCPLOCALHOST", "TCPCONNNUM", "UDPREMOTEIP", "IPCREMOTEEUID",
        "IPCREMOTEEGID", "IPCREMOTEPATH", "IPCLOCALPATH", "IPCCONNNUM", "REMOTE_ADDR",
        "REMOTE_PORT", "REMOTE_HOST", "REMOTE_USER", "SERVER_ADDR", "SERVER_PORT",
        "PREFORKD_SERVICE", "PREFORKD_INSTANCE", "PREFORKD_ANYTHING",
        "JOURNAL_STREAM", "INVOCATION_ID", "MANAGERPID", "MAINPID", "SYSTEMD_EXEC_PID",
        "CREDENTIALS_DIRECTORY", "RUNTIME_DIRECTORY", "FDSTORE", "MEMORY_PRESSURE_WATCH",
        "MEMORY_PRESSURE_WRITE", "LISTEN_ANYTHING", "WATCHDOG_ANYTHING"]
# Of another pid: the daemon itself does not take them for its own.
FOREIGN = {"LISTEN_FDS": "3", "LISTEN_PID": "1", "LISTEN_FDNAMES": "a:b:c", "WATCHDOG_PID": "1",
           "WATCHDOG_USEC": "1000000"}
HONEST = {"TCP_NODELAY": "1", "IPCS": "x", "PROTOCOL": "y", "SERVER_NAME": "z", "REMOTE": "r",
          "XLISTEN_FDS": "3", "EMPTY": "", "LINES": "a\nb", "EQUALS": "a=b=c"}


@pytest.fixture
def start(daemon, tmp_path, facts_program):
    """A service with the program that tells how it was executed."""
    def go(keys="", address=TCP, arguments=(), more="", workers=1, **kwargs):
        return daemon(service([facts_program, *arguments],
                              address.replace("DIR", str(tmp_path)), workers=workers,
                              keys=keys) + more, **kwargs)
    return go


def ours(environment):
    return {name: value for name, value in environment.items() if OURS.fullmatch(name)}


def descriptors(found):
    return [text.rsplit(",", 1)[0] for text in found.all("fd")]


# ---- the socket

@pytest.mark.parametrize("address", FAMILIES)
def test_the_real_socket_and_no_other_descriptor(start, address):
    """There are other listeners, which are not for it."""
    d = start(address=address, more=service("/bin/cat", name="other", workers=2))
    with connect(d.address("main")) as s:
        found = facts_of(s)
        mine = s.getsockname()
    assert descriptors(found) == ["0,socket", "1,socket", "2,pipe"]
    inodes = [text.rsplit(",", 1)[1] for text in found.all("fd")]
    assert inodes[0] == inodes[1], "not the same socket"
    if address.startswith("tcp"):
        # On the socket itself nothing is unmapped.
        prefix = "::ffff:" if "*" in address else ""
        assert found["peer"] == f"{prefix}{mine[0]},{mine[1]}"
        assert found["local"] == f"{prefix}{mine[0]},{d.port('main')}"
    else:
        assert found["peer"] == ""
        assert found["local"] == d.address("main").split("://")[1]
    assert found.number("flags") & os.O_NONBLOCK == 0
    assert found.number("receive_timeout") == found.number("send_timeout") == 0


def test_flags_of_stderr_are_of_each_program(daemon, tmp_path):
    """Some set O_NONBLOCK there, which must not be the next one's."""
    program = python(tmp_path / "prog", "import fcntl\nflags = fcntl.fcntl(2, fcntl.F_GETFL)\n"
                     "print(oct(flags))\nfcntl.fcntl(2, fcntl.F_SETFL, flags | 0o4000)")
    d = daemon(service(program))
    assert {ask(d.address()) for _ in range(3)} == {b"0o1\n"}


def test_a_listener_that_had_timeouts(start, facts_program):
    """A built-in's idle_timeout is set on the listener; a program must not inherit it."""
    d = start()
    renew(d, f'service "main" {{ listen = {{"{TCP}"}}\n builtin = "echo"\n idle_timeout = 30s }}')
    assert exchange(d.address(), b"x") == b"x"
    renew(d, service(facts_program))
    found = facts(d.address())
    assert found.number("receive_timeout") == found.number("send_timeout") == 0


def test_what_the_daemon_was_started_with_stays_with_it(start):
    """A descriptor that leaked to the daemon; and 0 and 1, which it did not have."""
    leak = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leak, True)

    def inherit():
        os.dup2(leak, 1500)

    try:
        d = start(wrapper=["sh", "-c", 'exec "$@" <&- >&- 7</dev/null', "sh"], preexec=inherit)
    finally:
        os.close(leak)
    for _ in range(3):
        assert descriptors(facts(d.address())) == ["0,socket", "1,socket", "2,pipe"]


def test_arguments(start, daemon, facts_program):
    arguments = ["a b", "", "*", "$HOME", "-x", "ä"]
    d = start(arguments=arguments)
    assert facts(d.address()).all("arg") == [str(facts_program), *arguments]
    d = daemon(args=["--listen", TCP, "--workers", "1", "--exec", "--", facts_program, *arguments],
               name="command")
    assert facts(d.address()).all("arg") == [str(facts_program), *arguments]


# ---- the environment

def tcp_variables(client, server, number=1):
    return {"PROTO": "TCP", "TCPREMOTEIP": client[0], "TCPREMOTEPORT": str(client[1]),
            "TCPLOCALIP": server[0], "TCPLOCALPORT": str(server[1]), "TCPCONNNUM": str(number),
            "REMOTE_ADDR": client[0], "REMOTE_PORT": str(client[1]), "REMOTE_HOST": client[0],
            "SERVER_ADDR": server[0], "SERVER_PORT": str(server[1]),
            "PREFORKD_SERVICE": "main", "PREFORKD_INSTANCE": "main"}


@pytest.mark.parametrize("address", ["tcp4://127.0.0.1:0", "tcp6://[::1]:0", "tcp://*:0"])
def test_variables_of_tcp(start, address):
    """On a dual-stack socket too an IPv4 client is an IPv4 client."""
    d = start(address=address)
    with connect(d.address()) as s:
        assert ours(facts_of(s).environment()) == tcp_variables(s.getsockname(), s.getpeername())


def test_variables_of_tcp_from_another_address(start):
    d = start(address="tcp://*:0")
    with socket.create_connection(("127.0.0.7", d.port()), 10, ("127.0.0.9", 0)) as s:
        assert ours(facts_of(s).environment()) == tcp_variables(s.getsockname(), s.getpeername())


@pytest.mark.parametrize("name", ["", "named", "\0preforkd-test-%d" % os.getpid()])
@pytest.mark.parametrize("kind", ["unix", "unixpacket"])
def test_variables_of_unix(start, tmp_path, kind, name):
    start(address=f"{kind}://DIR/s")
    path = f"{tmp_path}/{name}" if name == "named" else name
    type_ = socket.SOCK_STREAM if kind == "unix" else socket.SOCK_SEQPACKET
    with socket.socket(socket.AF_UNIX, type_) as s:
        if path:
            s.bind(path)
        s.settimeout(10)
        s.connect(f"{tmp_path}/s")
        found = ours(facts_of(s).environment())
    path = path.replace("\0", "@")
    expected = {"PROTO": "IPC", "IPCREMOTEEUID": str(os.geteuid()),
                "IPCREMOTEEGID": str(os.getegid()), "IPCREMOTEPATH": path,
                "IPCLOCALPATH": f"{tmp_path}/s", "IPCCONNNUM": "1",
                "PREFORKD_SERVICE": "main", "PREFORKD_INSTANCE": "main"}
    if path:
        expected["REMOTE_ADDR"] = path
    assert found == expected


def test_a_unix_path_of_full_length(start, tmp_path):
    """107 bytes and a zero, and all 108 of a client: with a zero that would not fit."""
    room = 107 - len(f"{tmp_path}/")
    start(address=f"unix://DIR/{'s' * room}")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("\0" + "c" * 107)
        s.settimeout(10)
        s.connect(f"{tmp_path}/{'s' * room}")
        found = facts_of(s).environment()
    assert found["IPCREMOTEPATH"] == "@" + "c" * 107
    assert found["IPCLOCALPATH"] == f"{tmp_path}/{'s' * room}"


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "unix://DIR/s"])
def test_what_the_daemon_inherited(start, address):
    """Lies about clients and what systemd told the daemon alone are gone, all else is there."""
    env = {**{name: "lie" for name in LIES}, **FOREIGN, **HONEST}
    d = start(address=address, env=env)
    found = facts(d.address()).environment()
    assert "lie" not in found.values()
    expected = {**{name: value for name, value in os.environ.items() if not OURS.fullmatch(name)},
                **d.env, **ours(found)}
    for name in [*LIES, *FOREIGN]:
        if name not in ours(found):
            expected.pop(name, None)
    assert found == expected


def test_environment(start):
    keys = 'environment = {"ONE=1", "HONEST=changed", "EMPTY=", "SPACES=a b  c", "EQUALS=a=b"}'
    d = start(keys, env={"HONEST": "inherited", "OTHER": "inherited"})
    found = facts(d.address()).environment()
    assert {name: found[name] for name in ("ONE", "HONEST", "EMPTY", "SPACES", "EQUALS", "OTHER")
            } == {"ONE": "1", "HONEST": "changed", "EMPTY": "", "SPACES": "a b  c",
                  "EQUALS": "a=b", "OTHER": "inherited"}


def test_environment_cannot_lie(start):
    """What preforkd sets is not for a configuration to set: each such name is told."""
    lies = ["TCPREMOTEIP=192.0.2.1", "PROTO=X", "PREFORKD_SERVICE=other", "LISTEN_FDS=1"]
    listed = ", ".join(f'"{lie}"' for lie in lies)
    d = start(f"environment = {{{listed}}}", expect_ready=False)
    assert d.wait() == os.EX_CONFIG
    for lie in lies:
        assert f'"{lie}": {lie.split("=")[0]} is set by preforkd' in d.log()


def test_environment_of_all_services(start):
    d = start(more='\nenvironment = {"DEFAULT=1"}\n')
    assert facts(d.address()).environment()["DEFAULT"] == "1"


def test_environment_of_the_user(start, is_root):
    d = start('user = "nobody"', env={"HOME": "/root", "USER": "root", "LOGNAME": "root"})
    found = facts(d.address()).environment()
    assert [found[name] for name in ("HOME", "USER", "LOGNAME", "SHELL")] == [
        "/nonexistent", "nobody", "nobody", "/usr/sbin/nologin"]
    renew(d, d.config_file.read_text().replace(
        'user =', 'environment = {"HOME=/tmp", "SHELL=/bin/sh"}\n user ='))
    found = facts(d.address()).environment()
    assert [found[name] for name in ("HOME", "USER", "LOGNAME", "SHELL")] == [
        "/tmp", "nobody", "nobody", "/bin/sh"]


@pytest.mark.parametrize("address", ["tcp://*:0", "unix://DIR/s"])
def test_how_many_clients_of_one_source(start, address):
    """Of one address, or one user; TCPCONNNUM says which of them this one is."""
    d = start(address=address, arguments=["wait"], workers=6)
    name = "TCPCONNNUM" if "tcp" in address else "IPCCONNNUM"
    clients, numbers = [], []
    for i in range(4):
        clients.append(connect(d.address()))
        numbers.append(facts_so_far(clients[-1])[name])
    assert numbers == ["1", "2", "3", "4"]
    if "tcp" in address:
        with socket.create_connection(("127.0.0.1", d.port()), 10, ("127.0.0.2", 0)) as other:
            assert facts_so_far(other)[name] == "1"
        with socket.create_connection(("::1", d.port()), 10) as other:
            assert facts_so_far(other)[name] == "1"
    for s in clients[:3]:
        s.close()
    wait_until("three have left", lambda: pool(d)["busy"] == 1)
    with connect(d.address()) as s:
        assert facts_so_far(s)[name] == "2"
    clients[3].close()


def facts_so_far(s):
    """The environment; PREFORKD_INSTANCE and what is of the client come last."""
    text = b""
    while not re.search(rb"\0env=(TCP|IPC)CONNNUM=\d+\0", text):
        piece = s.recv(65536)
        assert piece, text
        text += piece
    return dict(r.split("=", 1)[1].split("=", 1) for r in text.decode().split("\0")
                if r.startswith("env="))


# ---- the process

def ignore_and_block_everything():
    for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGALRM, signal.SIGURG,
                                              signal.SIGCHLD, signal.SIGVTALRM, signal.SIGTERM})


@pytest.mark.parametrize("preexec", [None, ignore_and_block_everything])
def test_signals(start, preexec):
    """All as by default, however the daemon was started; it can be stopped all the same."""
    d = start(preexec=preexec)
    for _ in range(3):
        found = facts(d.address())
        assert found.all("blocked") == found.all("pending") == found.all("not_default") == []
    assert d.stop() == 0


def test_the_process(start):
    d = start(arguments=["wait"])
    with connect(d.address()) as s:
        s.shutdown(socket.SHUT_WR)
        found = facts_of(s)
    [worker] = worker_pids(d)
    pid = found.number("pid")
    assert found.number("ppid") == worker != pid
    assert found.number("pgid") == pid
    assert found.number("pdeathsig") == signal.SIGKILL
    assert found.number("no_new_privs") == 1
    assert (found["cwd"], found.number("umask")) == ("/", 0o022)
    assert found.number("nice") == os.getpriority(os.PRIO_PROCESS, 0)


def test_directory_umask_and_nice(start, tmp_path):
    inherited = os.getpriority(os.PRIO_PROCESS, 0)
    d = start(f'directory = "{tmp_path}"\n umask = 0077\n nice = {inherited + 3}')
    found = facts(d.address())
    assert found["cwd"] == str(tmp_path)
    assert found.number("umask") == 0o077
    assert found.number("nice") == inherited + 3


@pytest.mark.parametrize("keys, uid, gid, groups", [
    ('user = "nobody"', 65534, 65534, {65534}),
    ('user = "nobody"\n group = "daemon"', 65534, 1, {1, 65534}),
    ('user = "12345"\n group = "54321"', 12345, 54321, set()),
    ('group = "daemon"', 0, 1, set())])
def test_user_and_group(start, is_root, keys, uid, gid, groups):
    d = start(keys)
    found = facts(d.address())
    assert found["uid"] == f"{uid},{uid},{uid}" and found["gid"] == f"{gid},{gid},{gid}"
    assert set(found.numbers("group")) <= groups | {gid}
    # A change of user clears it, so that its order matters.
    assert found.number("pdeathsig") == signal.SIGKILL


def test_supplementary_groups(start, is_root, tmp_path):
    group = tmp_path / "group"
    group.write_text("root:x:0:\nnogroup:x:65534:\nfirst:x:7001:nobody\nsecond:x:7002:x,nobody\n"
                     "third:x:7003:other\n")
    wrapper = netns.wrapper(f"mount --bind {group} /etc/group", mounts=True)
    d = start('user = "nobody"', address="unix://DIR/s", wrapper=wrapper)
    assert set(facts(d.address()).numbers("group")) == {65534, 7001, 7002}


LIMITS = {"nofile": (64, resource.RLIMIT_NOFILE), "as": (1 << 28, resource.RLIMIT_AS),
          "cpu": (17, resource.RLIMIT_CPU), "nproc": (77, resource.RLIMIT_NPROC),
          "core": (0, resource.RLIMIT_CORE)}


@pytest.mark.parametrize("user", ["", 'user = "nobody"\n'])
def test_limits(start, user):
    if user and os.geteuid() != 0:
        pytest.skip("needs root: only root may change users")
    keys = "\n".join(f"limit_{name} = {value}" for name, (value, _) in LIMITS.items())
    d = start(user + keys)
    found = facts(d.address())
    assert {name: found.limit(name) for name in LIMITS} == {
        name: (value, value) for name, (value, _) in LIMITS.items()}


@pytest.mark.parametrize("hard, user", [(100, ""), (100, 'user = "nobody"\n'),
                                        (60, 'user = "nobody"\n')])
def test_limits_may_be_above_what_was_inherited(start, is_root, hard, user):
    """Above the hard one too, where root may: as long as the worker still is root."""
    def low():
        resource.setrlimit(resource.RLIMIT_NPROC, (50, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))

    if hard < 70 and not may_raise_limits():
        pytest.skip("even root may not raise a limit here")
    d = start(user + "limit_nproc = 70\n limit_core = 64", preexec=low)
    found = facts(d.address())
    assert (found.limit("nproc"), found.limit("core")) == ((70, 70), (64, 64))


def may_raise_limits():
    script = "ulimit -c 1 && ulimit -c 2"
    return subprocess.run(["sh", "-c", script], capture_output=True, check=False).returncode == 0


def test_limits_that_were_inherited(start):
    """The daemon raised its own number of descriptors; that is not for programs."""
    def low():
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))

    d = start(preexec=low)
    found = facts(d.address())
    assert found.limit("nofile") == (100, 200)
    for name, (_, number) in LIMITS.items():
        if name != "nofile":
            assert found.limit(name) == tuple(resource.getrlimit(number)), name


def test_limit_cpu_is_of_each_program(daemon, tmp_path):
    """One that spins is ended by it, and its worker is not."""
    spin = python(tmp_path / "spin", "while True: pass")
    d = daemon(service(spin, keys="limit_cpu = 1\n limit_core = 0"))
    before = worker_pids(d)
    with connect(d.address()) as s:
        assert s.recv(9) == b""
    wait_until("its end", lambda: pool(d)["connections"]["program_signals"] == 1)
    assert worker_pids(d) == before


@pytest.mark.parametrize("sandbox, euid", [("off", 0), ("basic", 65534), (None, 65534)])
def test_set_user_id_programs(daemon, is_root, public, facts_program, sandbox, euid):
    program = public / "setuid"
    shutil.copy(facts_program, program)
    program.chmod(0o4755)
    keys = f'sandbox = "{sandbox}"' if sandbox else ""
    d = daemon(service(program, keys=f'user = "nobody"\n{keys}'))
    found = facts(d.address())
    if sandbox == "off" and found["uid"] != f"65534,{euid},{euid}":
        pytest.skip("set-user-ID programs are not possible here")
    assert found["uid"] == f"65534,{euid},{euid}"
    assert found.number("no_new_privs") == (0 if sandbox == "off" else 1)


def copy_with_libraries(program, root):
    """A program that can be executed in another root."""
    target = root / "bin" / program.name
    target.parent.mkdir(parents=True)
    shutil.copy(program, target)
    text = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(/\S+) \(0x", text):
        place = root / library[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)
    return f"/bin/{program.name}"


def test_chroot(daemon, is_root, public, facts_program):
    program = copy_with_libraries(facts_program, public)
    (public / "data").mkdir()
    d = daemon(service(program, keys=f"""
        chroot = "{public}"
        directory = "/data"
        user = "nobody"
    """))
    found = facts(d.address())
    assert (found["arg"], found["cwd"]) == (program, "/data")
    assert found["uid"] == "65534,65534,65534"
    assert descriptors(found) == ["0,socket", "1,socket", "2,pipe"]


# ---- nothing of it changes

def stable(found):
    """All but what is another each time."""
    changing = re.compile(r"(env=)?(pid|ppid|pgid|sid|peer|fd|TCPREMOTEPORT|REMOTE_PORT)\b.*")
    return [r for r in ("=".join(pair) for pair in found.records) if not changing.match(r)]


def test_after_a_reload_a_recycle_and_an_upgrade(start):
    d = start("umask = 0027", env={"NOTIFY_SOCKET_X": "1"})
    before = facts(d.address())
    for umask in (0o026, 0o027):
        renew(d, d.config_file.read_text().replace(f"{umask ^ 1:04o}", f"{umask:04o}"))
        assert facts(d.address()).number("umask") == umask
    for verb in ("recycle", "upgrade", "recycle"):
        old = worker_pids(d)
        d.ctl(verb)
        wait_gone(old)
        found = facts(d.address())
        assert stable(found) == stable(before)
        assert descriptors(found) == descriptors(before)
