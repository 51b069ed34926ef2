# SPDX-License-Identifier: ISC
"""What an administrator does first: enable, look, reload, restart, stop, and an instance beside."""

import re

ECHO = "tcp://127.0.0.1:7008"
CONF = "/etc/preforkd/preforkd.conf"
WEB = """
service "web" {
	listen  = {"tcp://127.0.0.1:7080"}
	builtin = "echo"
	workers = 3
}
"""


def numbers(status_text):
    """Of `2 services, 0/8 busy, ...`: services, busy, workers."""
    found = re.match(r"(\d+) services?, (\d+)/(\d+) busy", status_text)
    assert found, status_text
    return tuple(map(int, found.groups()))


def services(status):
    return {pool["service"] for pool in status["pools"]}


def test_enable_now(machine):
    machine.systemctl("enable", "--now", "preforkd")
    assert machine.exchange(ECHO, b"hello") == b"hello"
    assert machine.exchange("udp://127.0.0.1:7008", b"hello") == b"hello"
    assert machine.exchange("tcp://127.0.0.1:7007", b"hello\n").startswith(b"I got your message")
    shown = machine.show("preforkd", "ActiveState", "SubState", "UnitFileState", "Type")
    assert shown == {"ActiveState": "active", "SubState": "running", "UnitFileState": "enabled",
                     "Type": "notify"}
    wanted = machine.show("multi-user.target", "Wants")["Wants"].split()
    assert "preforkd.service" in wanted


def test_enabled_starts_at_boot(machine):
    machine.systemctl("enable", "preforkd")
    assert machine.show("preforkd", "ActiveState")["ActiveState"] == "inactive"
    machine.reboot()
    machine.wait_state("preforkd", "active")
    assert machine.exchange(ECHO, b"hello") == b"hello"
    machine.systemctl("disable", "--now", "preforkd")
    machine.reboot()
    assert machine.show("preforkd", "ActiveState")["ActiveState"] == "inactive"


def test_status_has_live_numbers(machine):
    machine.systemctl("start", "preforkd")
    assert numbers(machine.show("preforkd", "StatusText")["StatusText"]) == (2, 0, 8)
    with machine.connect(ECHO) as s:
        s.sendall(b"held\n")
        assert s.recv(5) == b"held\n"
        machine.wait_show("preforkd", StatusText=r"2 services, 1/8 busy.*")
        printed = machine.systemctl("status", "preforkd").stdout
        assert re.search(r'Status: "2 services, 1/8 busy', printed), printed
    machine.wait_show("preforkd", StatusText=r"2 services, 0/8 busy.*")


def test_preforkctl_needs_no_option(machine):
    machine.systemctl("start", "preforkd")
    status = machine.status()
    assert services(status) == {"message", "echo"}
    assert machine.run("preforkctl", "status", user="alice").stdout


def test_stop(machine):
    machine.systemctl("start", "preforkd")
    pid = machine.main_pid()
    assert len(machine.run("pgrep", "^preforkd").stdout.split()) == 9  # a master, 8 workers
    machine.systemctl("stop", "preforkd")
    shown = machine.show("preforkd", "ActiveState", "Result", "ExecMainStatus", "MainPID")
    assert shown == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0",
                     "MainPID": "0"}
    assert machine.run("pgrep", "-l", "^preforkd", check=False).stdout == ""
    machine.systemctl("start", "preforkd")
    assert machine.main_pid() != pid
    assert machine.exchange(ECHO, b"again") == b"again"


def test_restart(machine):
    machine.systemctl("start", "preforkd")
    pid = machine.main_pid()
    machine.systemctl("restart", "preforkd")
    assert machine.main_pid() not in (0, pid)
    assert machine.show("preforkd", "NRestarts", "Result") == {"NRestarts": "0",
                                                               "Result": "success"}
    assert machine.exchange(ECHO, b"again") == b"again"


def test_comes_back_after_a_crash(machine):
    machine.systemctl("start", "preforkd")
    pid = machine.main_pid()
    machine.kill(pid, "KILL")
    machine.wait_show("preforkd", ActiveState="active", SubState="running", NRestarts="1")
    assert machine.main_pid() != pid
    assert machine.exchange(ECHO, b"again") == b"again"


def test_reload(machine):
    machine.systemctl("start", "preforkd")
    pid, generation = machine.main_pid(), machine.status()["generation"]
    machine.write(CONF, machine.read(CONF) + WEB)
    with machine.clients(ECHO, count=4) as c:
        machine.systemctl("reload", "preforkd")
        # Not before the new service serves.
        assert machine.exchange("tcp://127.0.0.1:7080", b"web") == b"web"
        c.more(20)
    assert c.outcomes == {"ok": c.served}, c.failures
    assert machine.main_pid() == pid
    assert machine.status()["generation"] == generation + 1
    machine.wait_show("preforkd", StatusText=r"3 services, .*")


def test_reload_of_a_bad_file(machine):
    machine.systemctl("start", "preforkd")
    before = machine.status()
    machine.write(CONF, machine.read(CONF) + 'service "bad" {\n\tlisten = {"tcp://127.0.0.1:7081"}\n'
                                             '\tbuiltin = "nonsense"\n}\n')
    line = machine.read(CONF).count("\n") - 1
    with machine.clients(ECHO, count=4) as c:
        done = machine.systemctl("reload", "preforkd", check=False)
        assert done.returncode != 0
        c.more(20)
    assert c.outcomes == {"ok": c.served}, c.failures
    machine.wait_journal(rf"{CONF}:{line}: .*nonsense", "preforkd")
    # The unit is not failed by it, and the next good file is taken.
    shown = machine.show("preforkd", "ActiveState", "SubState")
    assert shown == {"ActiveState": "active", "SubState": "running"}
    after = machine.status()
    assert after["generation"] == before["generation"]
    assert [w["pid"] for w in after["workers"]] == [w["pid"] for w in before["workers"]]
    machine.write(CONF, machine.read(CONF).replace("nonsense", "echo"))
    machine.systemctl("reload", "preforkd")
    assert machine.exchange("tcp://127.0.0.1:7081", b"good now") == b"good now"


def test_start_with_a_bad_file(machine):
    machine.write(CONF, 'nonsense = "1"\n')
    assert machine.systemctl("start", "preforkd", check=False).returncode != 0
    machine.wait_journal(rf"{CONF}:1: .*nonsense", "preforkd")
    assert machine.show("preforkd", "ExecMainStatus")["ExecMainStatus"] == "78"
    machine.systemctl("stop", "preforkd")


def test_a_user_without_a_daemon_sees_the_systems(machine):
    machine.systemctl("enable", "--now", "preforkd")
    machine.systemctl("start", "user@1000")
    status = ["env", "XDG_RUNTIME_DIR=/run/user/1000", "preforkctl", "status"]
    assert "preforkd main: running" in machine.run(*status, user="alice").stdout
    missing = machine.run(*status, "-i", "none", user="alice", check=False)
    assert missing.returncode == 3 and "/run/user/1000/preforkd/none" in missing.stderr


def test_instances_have_folders_of_their_own(machine):
    """What two daemons read both would bind."""
    machine.write("/etc/preforkd/conf.d/more.conf",
                  'service "more" { listen = {"tcp://127.0.0.1:7083"} builtin = "echo" }\n')
    machine.write("/etc/preforkd/web.conf", WEB)
    machine.write("/etc/preforkd/web.conf.d/more.conf",
                  'service "more" { listen = {"tcp://127.0.0.1:7084"} builtin = "echo" }\n')
    machine.systemctl("start", "preforkd", "preforkd@web")
    assert services(machine.status()) == {"message", "echo", "more"}
    assert services(machine.status("web")) == {"web", "more"}
    assert machine.exchange("tcp://127.0.0.1:7083", b"one") == b"one"
    assert machine.exchange("tcp://127.0.0.1:7084", b"two") == b"two"


def test_an_instance_beside_it(machine):
    machine.write("/etc/preforkd/web.conf", WEB)
    machine.systemctl("enable", "--now", "preforkd", "preforkd@web")
    assert machine.exchange(ECHO, b"main") == b"main"
    assert machine.exchange("tcp://127.0.0.1:7080", b"web") == b"web"
    assert services(machine.status("web")) == {"web"}
    assert services(machine.status()) == {"message", "echo"}
    assert numbers(machine.show("preforkd@web", "StatusText")["StatusText"]) == (1, 0, 3)

    # What happens to one does not touch the other.
    main = machine.main_pid()
    machine.write("/etc/preforkd/web.conf", WEB.replace("7080", "7082"))
    machine.systemctl("reload", "preforkd@web")
    assert machine.exchange("tcp://127.0.0.1:7082", b"moved") == b"moved"
    machine.systemctl("stop", "preforkd@web")
    assert machine.main_pid() == main
    assert services(machine.status()) == {"message", "echo"}
    assert machine.exchange(ECHO, b"main") == b"main"
    assert machine.run("ls", "/run/preforkd").stdout.split() == ["main"]


def test_a_socket_that_is_given_away(machine):
    """The unit has CAP_CHOWN and not CAP_FOWNER: changing the mode of another's file fails."""
    path = "/run/preforkd/main/given.sock"
    text = ('service "given" { listen = {"unix://%s"} builtin = "echo" socket_user = "alice"'
            ' socket_mode = "%s" }\n')

    def stat():
        return machine.run("stat", "-c", "%U %a", path).stdout.split()

    machine.write(CONF, text % (path, "0600"))
    machine.systemctl("start", "preforkd")
    assert stat() == ["alice", "600"]
    machine.write(CONF, text % (path, "0660"))
    machine.systemctl("reload", "preforkd")
    assert stat() == ["alice", "660"]
    machine.systemctl("restart", "preforkd")
    assert stat() == ["alice", "660"]
    assert machine.run("preforkctl", "call", f"unix://{path}", "hello", user="alice").stdout == "hello\n"
