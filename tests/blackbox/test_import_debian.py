# SPDX-License-Identifier: ISC
"""preforkctl import of the files that packages ship: copies in tests/import, and the units that are
installed here. The programs of the copies are made for the test, and their users are nobody:
without that everything would be off."""

import re
from pathlib import Path

import pytest
from importing import NOINPUT, Import, Tree, imported, passes

INSTALLED = sorted({path.name: path for folder in ["/lib/systemd/system", "/usr/lib/systemd/system"]
                    for path in Path(folder).glob("*.socket")}.values())


@pytest.fixture(name="tree")
def fixture_tree():
    with Tree() as tree:
        yield tree


@pytest.fixture(name="copies")
def fixture_copies(tree, programs):
    """The copies, with programs in the tree; users that few machines have are nobody."""
    source = programs.source / "tests/import"
    for path in source.rglob("*"):
        if path.is_dir():
            continue
        text = tree.here(path.read_text())
        text = re.sub(r"\bsaned:saned\b", "nobody:nogroup", text)
        text = re.sub(r"\b(User|Group)=saned\b", r"\1=nobody", text)
        text = re.sub(r"\bnowait\tefingerd\b", "nowait\tnobody", text)
        text = text.replace("Group=nobody", "Group=nogroup")
        text = text.replace("nowait backup", "nowait nobody")
        text = text.replace("/etc/", f"{tree.root}/etc/")
        tree.put(path.relative_to(source), text)
    return tree.root


def test_inetd(copies, programs, tmp_path, is_root):
    result = imported(copies / "inetd.conf")
    listen = {name: service.listen for name, service in result.services.items()}
    assert listen == {
        "discard": ["tcp6://*:discard"], "discard-udp6": ["udp6://*:discard"],
        "daytime": ["tcp6://*:daytime"], "time": ["tcp6://*:time"], "telnet": ["tcp://*:telnet"],
        "ftp": ["tcp://*:ftp"], "ntalk": ["udp4://*:ntalk"], "finger": ["tcp://*:finger"],
        "ident": ["tcp://*:ident"], "sane-port": ["tcp://*:sane-port"],
        "amanda": ["tcp://*:amanda"]}
    assert [name for name, s in result.services.items() if s.off] == ["time", "telnet", "ftp"]
    assert result.services["finger"].list("exec") == [f"{copies}/usr/sbin/efingerd", "-n"]
    assert result.services["ntalk"].keys["pass_as"] == '"stdin"'
    assert result.services["amanda"].list("exec")[1:] == [
        "-auth=bsdtcp", "amdump", "amindexd", "amidxtaped", "senddiscover"]
    assert ["Sun RPC" in comment for comment in result.comments] == [True, True]
    passes(programs, tmp_path, result, services=8)


def test_xinetd(copies, programs, tmp_path, is_root):
    (copies / "etc").mkdir()
    (copies / "xinetd.d").rename(copies / "etc/xinetd.d")
    result = imported(copies / "xinetd.conf")
    off = {name: service.off for name, service in result.services.items()}
    assert off == {
        "check-mk-agent": [], "mysqlchk": [], "echo-stream": ["disable = yes"],
        "echo-dgram": ["disable = yes"], "time-dgram": ["disable = yes"]}
    agent = result.services["check-mk-agent"]
    assert agent.limits == {"per_source": "3",
                           "allow": '{"127.0.0.1", "10.0.20.1", "10.0.20.2"}'}
    assert "log_connections" not in agent.keys
    assert result.services["mysqlchk"].listen == ["tcp4://*:9200"]
    assert "preforkctl status shows what runs" in result.comments[0]
    passes(programs, tmp_path, result, services=2)


# The command up to its first argument that is long.
EXEC = {
    "leafnode": ("tcp://*:nntp", ["{}/usr/sbin/leafnode"], {}),
    "proftpd": ("tcp://*:ftp", ["{}/usr/sbin/in.proftpd"], {}),
    "saned": ("tcp://*:sane-port", ["/bin/sh", "-c"], {"workers_max": "64"}),
    "oidentd": ("tcp://*:auth", ["{}/bin/sh", "-c"], {}),
}
ACCEPTORS = {
    "ssh": (["tcp://*:ssh"], ["-D"], '"systemd"'),
    "podman": (["unix:///run/podman/podman.sock"], ["--log-level=info", "system", "service"],
               '"systemd"'),
    "cups": (["unix:///run/cups/cups.sock"], ["-l"], '"systemd"'),
    "dbus": (["unix:///run/dbus/system_bus_socket"],
             ["--system", "--address=systemd:", "--nofork", "--nopidfile", "--systemd-activation",
              "--syslog-only"], '"systemd"'),
}


@pytest.mark.parametrize("name", EXEC)
def test_units_that_accept(copies, programs, tmp_path, is_root, name):
    listen, command, limits = EXEC[name]
    result = imported(copies / f"units/{name}.socket")
    service = result.only
    assert service.listen == [listen] and service.limits == limits
    assert service.list("exec")[:2] == [word.format(copies) for word in command]
    passes(programs, tmp_path, result, services=1)


def test_a_unit_that_takes_its_client_as_descriptor_3(copies):
    """saned's does not ask for it as its standard input."""
    command = imported(copies / "units/saned.socket").only.list("exec")
    assert "3<&0" in command[2] and command[3:] == [f"{copies}/usr/sbin/saned"]


@pytest.mark.parametrize("name", ACCEPTORS)
def test_units_that_do_not_accept(copies, programs, tmp_path, is_root, name):
    listen, arguments, pass_as = ACCEPTORS[name]
    result = imported(copies / f"units/{name}.socket")
    service = result.only
    assert (service.listen, service.list("acceptor")[1:]) == (listen, arguments)
    assert service.keys["pass_as"] == pass_as
    assert ("ready" in service.keys) == (name != "podman")
    passes(programs, tmp_path, result, services=1)


def test_a_unit_with_a_user_that_is_made_for_it(copies, programs, tmp_path):
    result = imported(copies / "units/atftpd.socket")
    assert result.only.keys["pass_as"] == '"stdin"'
    assert len(result.only.off) == 2  # DynamicUser, and no EnvironmentFile
    passes(programs, tmp_path, result, services=0)


def test_all_units_at_once(copies, programs, tmp_path, is_root):
    result = imported(*sorted((copies / "units").iterdir()))
    assert sorted(result.services) == sorted([*EXEC, *ACCEPTORS, "atftpd"])
    # proftpd's port is not another's, nor is any.
    passes(programs, tmp_path, result, services=len(EXEC) + len(ACCEPTORS))


def assignments(path):
    """What a unit's file sets: (key, value) of each line."""
    text = re.sub(r"\\\n", " ", path.read_text())
    return re.findall(r"^\s*([A-Za-z]\w*)\s*=\s*(\S.*?)\s*$", text, re.M)


# What becomes keys, whose values are not those of the file.
TRANSLATED = re.compile(
    r"Listen(Stream|Datagram|SequentialPacket)$|Accept$|Service$|BindIPv6Only$|KeepAlive$|NoDelay$|"
    r"FreeBind$|Backlog$|DeferAcceptSec$|BindToDevice$|Socket(User|Group|Mode)$|MaxConnections|"
    r"TriggerLimit|FileDescriptorName$|RemoveOnStop$|Type$|ExecStart$|Standard|Environment$|User$|"
    r"Group$|DynamicUser$|WorkingDirectory$|RootDirectory$|UMask$|Nice$|NoNewPrivileges$|"
    r"Limit(NOFILE|NPROC|AS|CORE|CPU)$|Timeout(Stop|Start)?Sec$|RuntimeMaxSec$|KillSignal$|"
    r"Description$|Documentation$|IPAddress")


def test_there_are_units_here():
    assert INSTALLED


@pytest.mark.parametrize("socket", INSTALLED, ids=lambda path: path.name)
def test_units_that_are_installed(programs, tmp_path, socket, is_root):
    """Each passes --check, and nothing in it is dropped."""
    result = Import(socket)
    passes(programs, tmp_path, result)
    if result.code == NOINPUT:
        # As syslog.socket without a syslog: its service is another package's.
        assert re.fullmatch(rf"{socket}: its \S+\.service was not found", *result.errors)
        return
    assert (result.code, result.errors) == (0, [])
    for service in result.services.values():
        assert "listen" in service.keys and {"exec", "acceptor"} & set(service.keys)
    if not result.services:
        assert re.search("nothing is left of it to listen on|a template", result.comments[0])
        return
    read = [Path(file) for file in re.findall(r"^#   (/.*)$", result.head, re.M)]
    assert socket in read and len(read) > 1
    told = re.sub(r"\\", "", "\n".join(note for s in result.services.values() for note in s.notes))
    for key, value in [pair for path in read for pair in assignments(path)]:
        assert TRANSLATED.match(key) or f"{key}={value.split()[0]}" in told, (key, value, told)
