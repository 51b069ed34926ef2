# SPDX-License-Identifier: ISC
"""A start that cannot be: says why, in which place, and ends with the right code."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile

import pytest
from checking import (CONFIG, ECHO, NOBODY, NOPERM, UNAVAILABLE, UNPRIVILEGED, USAGE, check,
                      module, preforkd, write)

ROOT = os.geteuid() == 0
FIRST_FREE_PORT = int(pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())


@pytest.fixture(name="place")
def fixture_place():
    """A folder that other users reach too, which those of pytest are not."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="preforkd-", dir="/tmp"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture(name="unprivileged")
def fixture_unprivileged(programs, place):
    """What to put before a command that root must not run."""
    if not ROOT:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root, and no setpriv to be somebody else")
    probe = subprocess.run([*UNPRIVILEGED, programs.preforkd, "--version"], check=False,
                           capture_output=True, cwd=place)
    if probe.returncode != 0:
        pytest.skip(f"nobody cannot run {programs.preforkd}: {probe.stderr.decode()}")
    return UNPRIVILEGED


def start(programs, place, text=None, *args, **options):
    """A run without --check that ends by itself."""
    if text is not None:
        args = ["--config", write(place / "preforkd.conf", text), *args]
    return preforkd(programs, "--runtime-directory", place / "run", *args, **options)


def echo_on(address):
    return f'service "a" {{\n\tlisten = {{"{address}"}}\n\tbuiltin = "echo"\n}}\n'


# Sockets.


@pytest.mark.parametrize("kind, sort", [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
def test_port_in_use(programs, place, kind, sort):
    with socket.socket(socket.AF_INET, sort) as other:
        other.bind(("127.0.0.1", 0))
        if sort == socket.SOCK_STREAM:
            other.listen()
        address = f"{kind}://127.0.0.1:{other.getsockname()[1]}"
        result = start(programs, place, echo_on(address))
    assert result.lines == [
        f'{place}/preforkd.conf:2: service "a": listen: {address}: Address already in use']
    assert result.code == UNAVAILABLE
    assert not list((place / "run").iterdir())


def test_path_in_use(programs, place):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place / "s"))
        other.listen()
        result = start(programs, place, echo_on(f"unix://{place}/s"))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(place / "s"))
    assert result.lines == [f'{place}/preforkd.conf:2: service "a": listen: unix://{place}/s: '
                            "Address already in use (a server answers there)"]
    assert result.code == UNAVAILABLE


def test_path_of_another_file(programs, place):
    write(place / "s", "precious")
    result = start(programs, place, echo_on(f"unix://{place}/s"))
    assert result.lines == [
        f'{place}/preforkd.conf:2: service "a": listen: unix://{place}/s: the file exists and is '
        "no socket; remove it or choose another path"]
    assert result.code == UNAVAILABLE
    assert (place / "s").read_text() == "precious"


def test_path_in_a_folder_that_is_not_there(programs, place):
    result = start(programs, place, echo_on(f"unix://{place}/none/s"))
    assert result.lines == [f'{place}/preforkd.conf:2: service "a": listen: '
                            f"unix://{place}/none/s: No such file or directory"]
    assert result.code == CONFIG


def test_address_of_another_machine(programs, place):
    result = start(programs, place, echo_on("tcp://192.0.2.1:7007"))
    assert result.lines == [f'{place}/preforkd.conf:2: service "a": listen: '
                            "tcp://192.0.2.1:7007: Cannot assign requested address"]
    assert result.code == UNAVAILABLE


def test_what_was_bound_before_the_failure_is_taken_back(programs, place):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        result = start(programs, place, echo_on(f"unix://{place}/s")
                       + echo_on(address).replace('"a"', '"b"'))
    assert result.lines == [
        f'{place}/preforkd.conf:6: service "b": listen: {address}: Address already in use']
    assert not (place / "s").exists()


@pytest.mark.skipif(FIRST_FREE_PORT < 8, reason="anybody may bind port 7 here")
def test_privileged_port(programs, place, unprivileged):
    place.chmod(0o777)
    result = start(programs, place, echo_on("tcp://127.0.0.1:7"), wrapper=unprivileged)
    assert result.lines == [
        f'{place}/preforkd.conf:2: service "a": listen: tcp://127.0.0.1:7: Permission denied '
        "(ports below 1024 need root or CAP_NET_BIND_SERVICE)"]
    assert result.code == NOPERM


# Users.


@pytest.mark.parametrize("line, reason", [
    ("user = root",
     'user: only root may change to "root"; start preforkd as root, or leave it out'),
    ("user = 0", 'user: only root may change to "0"; start preforkd as root, or leave it out'),
    ("group = root",
     'group: only root may change to "root"; start preforkd as root, or leave it out'),
    ("chroot = /", "chroot: only root may change the root directory"),
])
def test_change_of_user_without_root(programs, place, unprivileged, line, reason):
    result = check(programs, place / "c", ECHO + line + " }", wrapper=unprivileged)
    assert (result.lines, result.code) == ([f'{place}/c:4: service "a": {reason}'], NOPERM)


def test_own_user_without_root(programs, place, unprivileged):
    uid, gid = (NOBODY, NOBODY) if ROOT else (os.geteuid(), os.getegid())
    result = check(programs, place / "c", ECHO + f"user = {uid} group = {gid} }}",
                   wrapper=unprivileged)
    assert (result.lines, result.code) == ([f"{place}/c: ok, 1 service"], 0)


def test_unreadable_file(programs, place, unprivileged):
    path = write(place / "preforkd.conf", ECHO + "}")
    hidden = write(place / "conf.d/hidden.conf", "")
    for file in (path, hidden):
        file.chmod(0)
    result = check(programs, path, wrapper=unprivileged)
    assert (result.lines, result.code) == (
        [f"{path}: Permission denied", f"{hidden}: Permission denied"], CONFIG)


def test_runtime_directory_of_somebody_else(programs, place, unprivileged):
    (place / "locked").mkdir(mode=0o555)
    (place / "locked").chmod(0o555)
    result = preforkd(programs, "--runtime-directory", place / "locked/run", "--listen",
                      "tcp://127.0.0.1:0", "--builtin", "echo", wrapper=unprivileged)
    assert result.lines == [f"runtime directory {place}/locked/run: Permission denied"]
    assert result.code == NOPERM


@pytest.mark.skipif(not ROOT, reason="needs root: only root minds who may write its files")
@pytest.mark.parametrize("name", ["preforkd.conf", "conf.d/a.conf"])
@pytest.mark.parametrize("mode, group", [(0o666, 0), (0o602, 0), (0o664, NOBODY)])
def test_file_that_others_may_write(programs, place, name, mode, group):
    path = write(place / "preforkd.conf", ECHO + "}")
    file = path if path.name == name else write(place / name, "")
    os.chown(file, -1, group)
    file.chmod(mode)
    result = check(programs, path)
    assert result.lines == [f"{file}: others than its owner may write it (mode 0{mode:o}); "
                            f"chmod go-w {file}"]
    assert result.code == CONFIG
    file.chmod(0o660 if group == 0 else 0o640)
    assert check(programs, path).code == 0


# Modules.


def with_module(programs, place, file, address="tcp://127.0.0.1:0", options=""):
    return check(programs, place / "c", f'service "a" {{\n\tlisten = {{"{address}"}}\n'
                 f'\tmodule = "{file}"\n\toptions {{ {options} }}\n}}\n')


def module_mistake(place, file, reason):
    return f'{place}/c:3: service "a": module: module "{file}": {reason}'


MODULES = [
    ("no_symbol", r"no handler in it: \S+no_symbol.so: undefined symbol: preforkd_handler"),
    ("wrong_abi", r"built for handler interface (\d+), this preforkd has (\d+): rebuild it"),
    ("nothing", "its handler has neither serve nor answer"),
    ("open_fails", "this open always fails"),
]


@pytest.mark.parametrize("name, reason", MODULES)
def test_module(programs, place, name, reason):
    file = module(programs, name)
    result = with_module(programs, place, file)
    assert len(result.lines) == 1
    assert re.fullmatch(re.escape(module_mistake(place, file, "")) + reason, result.lines[0])
    assert result.code == CONFIG


@pytest.mark.parametrize("text, reason", [
    ("the reason", "the reason"), ("", "its open failed and gave no reason")])
def test_reason_of_open(programs, place, text, reason):
    file = module(programs, "open_fails")
    result = with_module(programs, place, file, options=f'text = "{text}"')
    assert (result.lines, result.code) == ([module_mistake(place, file, reason)], CONFIG)


def test_files_that_are_no_modules(programs, place):
    for file, reason in [
        (f"{place}/none.so", f"{place}/none.so: cannot open shared object file: No such file or "
         "directory"),
        (write(place / "text.so", "not ELF\n" * 100), f"{place}/text.so: invalid ELF header"),
        ("./text.so", "a path must be absolute; a name without a slash is looked for in .*"),
        ("no-such-module", r"/\S+/no-such-module\.so: cannot open shared object file: No such "
         "file or directory"),
    ]:
        result = with_module(programs, place, file)
        assert len(result.lines) == 1
        assert re.fullmatch(re.escape(module_mistake(place, file, "")) + reason, result.lines[0])
        assert result.code == CONFIG


@pytest.mark.parametrize("address", ["udp://127.0.0.1:0", "unixgram://@never"])
def test_datagrams_for_a_handler_without_answer(programs, place, address):
    result = with_module(programs, place, module(programs, "exit_enter"), address)
    assert result.lines == [f'{place}/c:2: service "a": listen: {address}: module "exit_enter" '
                            "does not serve datagrams"]
    assert result.code == CONFIG


def test_enter_fails(programs, place):
    result = start(programs, place, None, "--listen", f"unix://{place}/s", "--module",
                   module(programs, "exit_enter"))
    service = f'service "main" [unix://{place}/s]: '
    assert result.lines[-1] == (service + "a worker failed before it was ready: "
                                "handler exit_enter: enter: Permission denied")
    for line in result.lines[:-1]:
        assert re.fullmatch(re.escape(service)
                            + r"worker \d+ exited with status 70 before it was ready", line)
    assert result.code == UNAVAILABLE
    assert not (place / "s").exists()


# Instances.


def test_second_instance(daemon, programs):
    first = daemon(args=["--listen", "tcp://127.0.0.1:0", "--builtin", "echo"])
    result = preforkd(programs, "--runtime-directory", first.runtime, "--listen",
                      "tcp://127.0.0.1:0", "--builtin", "echo")
    assert result.lines == [
        f"{first.runtime}: preforkd is already running there (pid {first.pid})"]
    assert result.code == UNAVAILABLE
    assert first.status()["pools"]
    assert first.stop() == 0


# The command line.

NAME = "a name is 1 to 63 of A-Z a-z 0-9 _ . -"
ONE_HANDLER = "a service has one of builtin, module, exec and acceptor"
LISTEN = ["--listen", "unix://@never"]
SERVICE = [*LISTEN, "--builtin", "echo"]


@pytest.mark.parametrize("args, lines", [
    (["--no-such"], ["PROGRAM: unrecognized option '--no-such'", "see preforkd --help"]),
    (["-x"], ["PROGRAM: invalid option -- 'x'", "see preforkd --help"]),
    (["--config"], ["PROGRAM: option '--config' requires an argument", "see preforkd --help"]),
    (["--check=yes"], ["PROGRAM: option '--check' doesn't allow an argument",
                       "see preforkd --help"]),
    (["echo"], ['unexpected argument "echo"; see preforkd --help']),
    (["--check", "--", "-x"], ['unexpected argument "-x"; see preforkd --help']),
    (["--config", "x", *SERVICE],
     ["a service on the command line and --config exclude each other"]),
    (["--workers", "1", "-c", "x"],
     ["a service on the command line and --config exclude each other"]),
    (["--instance", ""], [f'instance "": {NAME}']),
    (["--instance", "a/b", *SERVICE], [f'instance "a/b": {NAME}']),
    (["-i", ".."], [f'instance "..": {NAME}']),
    (["-i", "é"], [f'instance "é": {NAME}']),
    (["-i", "n" * 64], [f'instance "{"n" * 64}": {NAME}']),
    (["--set", "workers"], ["--set workers: expected KEY=VALUE"]),
    (["--set", "=1"], ["--set =1: expected KEY=VALUE"]),
])
@pytest.mark.parametrize("action", [[], ["--check"], ["--dump"]], ids=["start", "check", "dump"])
def test_usage(programs, action, args, lines):
    result = preforkd(programs, *action, *args)
    assert result.lines == [line.replace("PROGRAM", programs.preforkd) for line in lines]
    assert (result.code, result.out) == (USAGE, "")


def refused_on_command_line(programs, args, line):
    result = preforkd(programs, *args)
    assert (result.lines, result.code) == ([f'command line: service "main": {line}'], CONFIG)


@pytest.mark.parametrize("args, line", [
    (["--workers", "10x"],
     'workers: "10x" is not right here; expected a number from 0 to 8192'),
    (["--workers", "1", "--set", "workers=2"], "workers: given twice"),
    (["--set", "worker=1"], 'worker: there is no such key; did you mean "workers"?'),
    (["--module", "hello"], "module: " + ONE_HANDLER),
    (["--set", "options.colour=red"],
     'builtin: builtin "echo": unknown option "colour"; there are none'),
    (["--set", "user=no-such-user"], 'user: there is no user "no-such-user" on this machine'),
    (["--listen", "nowhere"], 'listen: address "nowhere": a scheme is missing, as in '
     "tcp://HOST:PORT or unix:///PATH"),
    (["--listen", "unix://@never"], 'listen: "unix://@never" given twice'),
])
def test_mistakes_of_a_service_on_the_command_line(programs, args, line):
    refused_on_command_line(programs, [*SERVICE, *args], line)


def test_half_a_service_on_the_command_line(programs):
    result = preforkd(programs, "--listen", "unix://@never")
    assert result.lines == ['command line: service "main": builtin: missing; a service needs one '
                            "of builtin, module, exec and acceptor"]
    assert result.code == CONFIG
