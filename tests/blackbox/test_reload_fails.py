# SPDX-License-Identifier: ISC
"""Reloads that fail: nothing changes, and whoever asked is told why, with the place."""

import json
import os
import re
import signal
import socket
import stat

import pytest
from daemon import connect, exchange, wait_until
from support import (Clients, end_ctl, finish, free_port, gate, hold, pids, rewrite, service,
                     start_ctl, unchanged, workers)

TCP = "tcp://127.0.0.1:0"


def fail(d, text):
    """A reload of `text` that is refused with nothing changed; what preforkctl said."""
    before = d.log()
    with hold(d.address()) as client, unchanged(d):
        d.write_config(text)
        result = d.ctl("reload", check=False)
        assert result.returncode == 1, result
        assert result.stdout == ""
        finish(client)
    log = d.log()[len(before):]
    for line in result.stderr.splitlines():
        assert line.removeprefix("preforkctl: ") in log, log
    assert re.search(r"^<3>.*reload: ", log, re.M), log
    assert exchange(d.address(), b"the old one serves") == b"the old one serves"
    return result.stderr


def place(d, line):
    return f"{d.config_file}:{line}: "


@pytest.mark.parametrize("text, line, words", [
    ('service "a" {\n\tlisten = {"tcp://127.0.0.1:0"\n}\n', 1, "never closed"),
    ('service "a" {\n}\n}\n', 3, "closes nothing"),
    ('service "a" {\n\n\tbuiltin = "echo\n', 3, "never closed"),
    ('service "a" {\n\tbuiltin "echo"\n}\n', 2, "syntax"),
])
def test_syntax(daemon, text, line, words):
    d = daemon(service("a", TCP))
    said = fail(d, text)
    assert place(d, line) in said
    assert words in said


@pytest.mark.parametrize("key, value, words", [
    ("workers", "many", '"many" is not right here; expected a number from 0'),
    ("workers_max", "0", "expected a number from 1"),
    ("allow", "10.0.0.1/8", "expected 10.0.0.0/8 for the network, or 10.0.0.1 for the one address"),
    ("deny", "uid:nobody-of-that-name", 'there is no user "nobody-of-that-name" on this machine'),
    ("rate", "fast", '"fast" is not right here; expected a rate as in 100/s'),
    ("idle_timeout", "soon", "a time as in"),
    ("listen", "tcp://nowhere", "tcp://nowhere"),
    ("listen", "tcp://no.such.host.invalid:7", "no.such.host.invalid"),
    ("user", "nobody-of-that-name", "nobody-of-that-name"),
    ("builtin", "eccho", "there is none of that name"),
    ("wurkers", "1", 'did you mean "workers"'),
    ("directory", "relative", "an absolute path"),
])
def test_bad_value(daemon, key, value, words):
    d = daemon(service("a", TCP))
    good = {"listen": f'"{TCP}"', "builtin": '"echo"'}
    lines = [f"\t{k} = {v}" for k, v in {**good, key: f'"{value}"'}.items()]
    said = fail(d, "\n".join(['service "a" {', *lines, "}", ""]))
    line = 2 + next(i for i, text in enumerate(lines) if text.startswith(f"\t{key} "))
    assert place(d, line) + f'service "a": {key}: ' in said
    assert words in said


def test_every_mistake_is_told(daemon):
    d = daemon(service("a", TCP))
    said = fail(d, service("a", TCP, workers="x", backlog="y") + service("a", TCP, nice="z"))
    for word in ('"x"', '"y"', '"z"', "given twice"):
        assert word in said
    assert len(said.splitlines()) == 4


def test_many_mistakes_fit_no_buffer(daemon):
    d = daemon(service("a", TCP))
    said = fail(d, "".join(service(f"s{i}", TCP, workers="x" * 200) for i in range(100)))
    assert place(d, 3) in said


def test_no_file(daemon):
    d = daemon(service("a", TCP))
    with unchanged(d):
        d.config_file.unlink()
        result = d.ctl("reload", check=False)
    assert result.returncode == 1
    assert f"{d.config_file}: No such file" in result.stderr


def test_port_in_use(daemon):
    d = daemon(service("a", TCP))
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = "tcp://127.0.0.1:%d" % other.getsockname()[1]
        said = fail(d, service("new", TCP) + service("b", address))
    assert place(d, 6) + f'service "b": listen: {address}: Address already in use' in said


def test_unix_path_in_use(daemon, tmp_path):
    d = daemon(service("a", TCP))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        other.listen()
        said = fail(d, service("b", f"unix://{tmp_path}/s"))
        assert os.path.exists(tmp_path / "s")
    assert "Address already in use" in said
    assert place(d, 2) in said


def test_unix_path_of_a_failed_reload_is_gone(daemon, programs, tmp_path):
    """It was bound before the module of the other service failed."""
    d = daemon(service("a", TCP))
    fail(d, service("new", f"unix://{tmp_path}/s") +
         service("b", TCP, module=programs.modules / "exit_enter.so"))
    wait_until("unlink", lambda: not os.path.exists(tmp_path / "s"))


def test_module_open_fails(daemon, programs):
    d = daemon(service("a", TCP))
    module = programs.modules / "open_fails.so"
    said = fail(d, service("b", TCP, module=module, options={"text": "the reason"}))
    assert place(d, 3) + f'service "b": module: module "{module}": the reason' in said


@pytest.mark.parametrize("module, words", [
    ("no_symbol", "preforkd_handler"), ("wrong_abi", "2"), ("nothing", "serve"),
    ("missing", "missing.so")])
def test_no_module(daemon, programs, module, words):
    d = daemon(service("a", TCP))
    said = fail(d, service("b", TCP, module=programs.modules / f"{module}.so"))
    assert place(d, 3) + 'service "b": module: ' in said
    assert words in said


def test_module_enter_fails(daemon, programs):
    """Of a new service, and of one that is there: its old workers serve on."""
    d = daemon(service("a", TCP))
    module = programs.modules / "exit_enter.so"
    for name in "ab":
        said = fail(d, service(name, TCP, module=module))
        assert f'service "{name}"' in said
        assert "enter: Permission denied" in said


def test_module_crashes_the_load(daemon, programs):
    d = daemon(service("a", TCP))
    said = fail(d, service("b", TCP, module=programs.modules / "crash_open.so"))
    assert "crashed" in said


def test_workers_that_are_not_ready_in_time(daemon, programs, tmp_path):
    d = daemon(service("a", TCP))
    said = fail(d, gate(programs, "b", TCP, start_timeout="200ms",
                        options={"enter_waits": tmp_path / "never"}))
    assert 'service "b"' in said
    assert "start_timeout" in said


def test_a_module_that_leaves_a_child_behind(daemon, programs, tmp_path):
    """The child holds the load's pipe open: the master must not wait for its end."""
    door = tmp_path / "door"
    d = daemon(service("a", TCP))
    d.write_config(gate(programs, "b", TCP, options={"open_leaves": door}) +
                   service("c", TCP, module=programs.modules / "crash_open.so"))
    try:
        assert d.ctl("reload", check=False).returncode == 1
        assert exchange(d.address(), b"lives") == b"lives"
    finally:
        door.touch()


def test_clients_are_served_during_a_slow_load(daemon, programs, tmp_path):
    """A module's open that takes its time is the loader's, not the master's: a worker that dies
    meanwhile is replaced."""
    door = tmp_path / "door"
    d = daemon(service("a", TCP, workers=2))
    with Clients(d.address(), 2) as clients:
        d.write_config(service("a", TCP, workers=2) +
                       gate(programs, "b", TCP, options={"open_waits": door}))
        order = start_ctl(d, "reload")
        wait_until("load", lambda: d.status()["state"] == "reloading")
        clients.more(20)
    before = pids(d)
    os.kill(min(before), signal.SIGTERM)
    wait_until("a new worker", lambda: len(pids(d)) == 2 and min(before) not in pids(d))
    assert order.poll() is None
    door.touch()
    assert end_ctl(order)[0] == 0
    assert exchange(d.address("b"), b"b") == b"b"


def test_clients_are_served_while_the_load_is_slow_by_itself(daemon, programs):
    d = daemon(service("a", TCP, workers=2))
    with Clients(d.address(), 2) as clients:
        d.write_config(service("a", TCP, workers=2) +
                       service("b", TCP, module=programs.modules / "slow_open.so"))
        order = start_ctl(d, "reload")
        while order.poll() is None:
            clients.more(20)
    assert end_ctl(order)[0] == 0
    assert exchange(d.address("b"), b"") == b"slow\n"


def test_a_failure_of_one_service_leaves_the_others_change_undone(daemon, tmp_path):
    """What could be committed is not: a transaction."""
    path, port = tmp_path / "s", free_port()
    d = daemon(service("a", TCP) + service("u", f"unix://{path}", socket_mode="0600"))
    with socket.create_server(("127.0.0.1", port)):
        fail(d, service("a", TCP, workers=1) + service("u", f"unix://{path}", socket_mode="0666") +
             service("b", f"tcp://127.0.0.1:{port}"))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert len(workers(d, "a")) == 4
    rewrite(d, service("a", TCP, workers=1) + service("u", f"unix://{path}", socket_mode="0666") +
            service("b", f"tcp://127.0.0.1:{port}"))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
    connect(f"tcp://127.0.0.1:{port}").close()


def test_a_failure_at_the_very_end_is_undone(daemon, programs, tmp_path):
    """Somebody else listens on the port after it was bound and before the commit."""
    path, door = tmp_path / "s", tmp_path / "door"
    d = daemon(service("a", TCP) + service("u", f"unix://{path}", socket_mode="0600"))
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        address = "tcp://127.0.0.1:%d" % other.getsockname()[1]
        with unchanged(d):
            d.write_config(service("a", TCP) + service("u", f"unix://{path}", socket_mode="0666") +
                           gate(programs, "b", address, options={"enter_waits": door}))
            order = start_ctl(d, "reload")
            wait_until("workers of b", lambda: workers(d, "b"))
            other.listen()
            door.touch()
            code, _, err = end_ctl(order)
            assert code == 1
            assert f'service "b": listen: {address}: listen: Address already in use' in err
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert exchange(f"unix://{path}", b"old") == b"old"


def test_json_of_a_failure(daemon):
    d = daemon(service("a", TCP))
    d.write_config("")
    result = d.ctl("reload", "--json", check=False)
    assert result.returncode == 1
    verdict = json.loads(result.stdout)
    assert verdict["failed"] is True
    assert "no service is configured" in verdict["text"]


def test_a_failed_reload_does_not_stop_the_next(daemon):
    d = daemon(service("a", TCP))
    for _ in range(3):
        fail(d, "")
    rewrite(d, service("a", TCP, workers=1))
    assert d.status()["generation"] == 2
    assert len(pids(d)) == 1


def test_a_refused_handler_is_not_shown(daemon, programs, tmp_path):
    """The board names who serves, not who was to: also when the new workers got as far as enter."""
    fails = tmp_path / "fails"
    fails.touch()
    d = daemon(service("a", "tcp://127.0.0.1:0"))
    d.write_config(gate(programs, "a", "tcp://127.0.0.1:0", options={"enter_fails": fails}))
    assert d.ctl("reload", check=False).returncode == 1
    assert d.status()["pools"][0]["handler"] == "echo"
    fails.unlink()
    d.ctl("reload")
    assert d.status()["pools"][0]["handler"] == "gate"
