# SPDX-License-Identifier: ISC
"""preforkctl import of inetd.conf, in the ways of all inetds."""

import pytest
from daemon import exchange
from importing import DATAERR, NOINPUT, Import, Tree, imported, passes
from support import free_port


@pytest.fixture(name="tree")
def fixture_tree():
    with Tree() as tree:
        yield tree


def line(tree, text):
    """The import of one line; PROG in it is a program."""
    return imported(tree.put("inetd.conf", text.replace("PROG", str(tree.program())) + "\n"))


# Addresses.


@pytest.mark.parametrize("service, kind, protocol, listen", [
    ("ssh", "stream", "tcp", "tcp://*:ssh"),
    ("22", "stream", "tcp", "tcp://*:ssh"),
    ("65500", "stream", "tcp", "tcp://*:65500"),
    ("ssh", "stream", "tcp4", "tcp4://*:ssh"),
    ("ssh", "stream", "tcp6", "tcp6://*:ssh"),
    ("ssh", "stream", "tcp46", "tcp://*:ssh"),
    ("ssh", "stream", "tcp6only", "tcp6://*:ssh"),
    ("domain", "dgram", "udp", "udp://*:domain"),
    ("53", "dgram", "udp4", "udp4://*:domain"),
    ("domain", "dgram", "udp6", "udp6://*:domain"),
    ("*:ssh", "stream", "tcp", "tcp://*:ssh"),
    ("127.0.0.1:ssh", "stream", "tcp", "tcp://127.0.0.1:ssh"),
    ("[::1]:ssh", "stream", "tcp6", "tcp6://[::1]:ssh"),
    ("localhost:22", "stream", "tcp4", "tcp4://localhost:ssh"),
    ("/run/x.sock", "stream", "unix", "unix:///run/x.sock"),
    ("/run/x.sock", "seqpacket", "unix", "unixpacket:///run/x.sock"),
    ("/run/x:y", "dgram", "unix", "unixgram:///run/x:y"),
])
def test_addresses(tree, programs, tmp_path, is_root, service, kind, protocol, listen):
    result = line(tree, f"{service} {kind} {protocol} nowait nobody PROG prog")
    assert result.only.listen == [listen]
    passes(programs, tmp_path, result, services=1)


def test_several_hosts(tree, programs, tmp_path, is_root):
    result = line(tree, "127.0.0.1,[::1],*:ssh stream tcp nowait nobody PROG prog")
    assert result.only.listen == ["tcp://127.0.0.1:ssh", "tcp://[::1]:ssh", "tcp://*:ssh"]
    passes(programs, tmp_path, result, services=1)


def test_hosts_of_the_lines_that_follow(tree):
    result = line(tree, """7001 stream tcp nowait nobody PROG prog
127.0.0.1,127.0.0.2:
7002 stream tcp nowait nobody PROG prog
127.0.0.3:7003 stream tcp nowait nobody PROG prog
/run/x.sock stream unix nowait nobody PROG prog
*:
7004 stream tcp nowait nobody PROG prog""")
    assert [s.listen for s in result.services.values()] == [
        ["tcp://*:7001"], ["tcp://127.0.0.1:7002", "tcp://127.0.0.2:7002"],
        ["tcp://127.0.0.3:7003"], ["unix:///run/x.sock"], ["tcp://*:7004"]]


def test_the_owner_of_a_unix_socket(tree, programs, tmp_path, is_root):
    result = line(tree, ":nobody:nogroup:0660:/run/x.sock stream unix nowait nobody PROG prog")
    service = result.services["x.sock"]
    assert service.listen == ["unix:///run/x.sock"]
    assert (service.keys["socket_user"], service.keys["socket_group"],
            service.keys["socket_mode"]) == ('"nobody"', '"nogroup"', "0660")
    passes(programs, tmp_path, result, services=1)


def test_a_mode_that_is_none(tree, programs, tmp_path):
    result = line(tree, ":nobody:nogroup:0999:/run/x.sock stream unix nowait nobody PROG prog")
    assert result.only.off == ["0999: not the mode of a socket"]
    passes(programs, tmp_path, result, services=0)


@pytest.mark.parametrize("text, why", [
    ("rstatd/1-5 dgram rpc/udp wait root PROG prog", "Sun RPC"),
    ("mountd/1 stream rpc/tcp4 wait root PROG prog", "Sun RPC"),
    ("tcpmux stream tcp nowait root internal", "tcpmux"),
    ("tcpmux/+date stream tcp nowait root PROG prog", "tcpmux"),
    ("ssh raw tcp nowait root PROG prog", "a socket of type raw"),
    ("ssh rdm tcp nowait root PROG prog", "a socket of type rdm"),
    ("ssh stream sctp nowait root PROG prog", "a socket of type stream and protocol sctp"),
    ("ssh seqpacket tcp nowait root PROG prog", "a socket of type seqpacket and protocol tcp"),
    ("auth stream tcp nowait root internal auth -r", "the internal service auth"),
])
def test_what_has_no_equivalent(tree, programs, tmp_path, text, why):
    result = line(tree, text)
    assert result.services == {}
    place, note = result.comments[0].splitlines()
    assert place == f"# {tree.root}/inetd.conf:1" and "no equivalent: " in note and why in note
    passes(programs, tmp_path, result, services=0)


# What serves.


def test_nowait(tree, programs, tmp_path, is_root):
    result = line(tree, "7001 stream tcp nowait nobody PROG prog -a  'b c'\t\"d e\" f=\"g\"")
    service = result.only
    assert service.list("exec") == [str(tree.program()), "-a", "b c", "d e", 'f="g"']
    assert service.keys["stderr"] == '"client"' and service.notes == []
    passes(programs, tmp_path, result, services=1)


@pytest.mark.parametrize("kind, protocol", [("stream", "tcp"), ("dgram", "udp"),
                                            ("stream", "unix"), ("dgram", "unix")])
def test_wait(tree, programs, tmp_path, is_root, kind, protocol):
    name = "/run/x.sock" if protocol == "unix" else "7001"
    result = line(tree, f"{name} {kind} {protocol} wait nobody PROG prog -l")
    service = result.only
    assert service.list("acceptor") == [str(tree.program()), "-l"]
    assert (service.keys["pass_as"], service.keys["workers"]) == ('"stdin"', "1")
    assert "stderr" not in service.keys and "exec" not in service.keys
    passes(programs, tmp_path, result, services=1)


def test_wait_on_several_hosts(tree, programs, tmp_path, is_root):
    """A program has one standard input: there is a service for each."""
    result = line(tree, "127.0.0.1,127.0.0.2:65500 dgram udp wait nobody PROG prog")
    assert [s.listen for s in result.services.values()] == [["udp://127.0.0.1:65500"],
                                                            ["udp://127.0.0.2:65500"]]
    assert list(result.services) == ["65500", "65500-udp"]
    passes(programs, tmp_path, result, services=2)


def test_datagrams_and_nowait(tree, programs, tmp_path, is_root):
    result = line(tree, "7001 dgram udp nowait nobody PROG prog")
    assert result.only.list("exec") == [str(tree.program())]
    assert result.only.noted("the datagram is the standard input")
    passes(programs, tmp_path, result, services=1)


@pytest.mark.parametrize("name, builtin", [
    ("echo", "echo"), ("discard", "discard"), ("sink", "discard"), ("chargen", "chargen"),
    ("ttytst", "chargen"), ("daytime", "daytime"), ("time", "time"), ("7", "echo")])
@pytest.mark.parametrize("rest", ["stream tcp nowait", "dgram udp wait", "dgram udp nowait"])
def test_internal(tree, programs, tmp_path, is_root, name, builtin, rest):
    if rest.startswith("dgram") and name == "ttytst":
        rest = rest.replace("udp", "udp4")
    result = line(tree, f"{name} {rest} root internal")
    assert result.only.keys["builtin"] == f'"{builtin}"'
    assert result.only.keys["user"] == '"nobody"'
    passes(programs, tmp_path, result, services=1)


@pytest.mark.parametrize("text, program, arguments", [
    ("/usr/sbin/tcpd {0} -x", "{0}", ["-x"]),
    ("/usr/sbin/tcpd in.fingerd -x y", "/usr/sbin/in.fingerd", ["-x", "y"]),
    ("/usr/local/libexec/tcpd {0}", "{0}", []),
])
def test_tcpd(tree, text, program, arguments):
    prog = tree.program()
    service = line(tree, "7001 stream tcp nowait nobody " + text.format(prog)).only
    assert service.list("exec") == [program.format(prog), *arguments]
    note, = service.noted("without ")
    assert "hosts.allow and hosts.deny" in note


def test_tcpd_of_nothing(tree, programs, tmp_path):
    result = line(tree, "7001 stream tcp nowait nobody /usr/sbin/tcpd")
    assert result.only.off == ["/usr/sbin/tcpd: of which program?"]
    passes(programs, tmp_path, result, services=0)


def test_another_name_of_the_program(tree):
    service = line(tree, "7001 stream tcp nowait nobody PROG other -x").only
    assert service.list("exec")[1:] == ["-x"]
    assert service.noted('it was started under the name "other"')


# tcpd's rules.


RULES = """# a comment
in.a: 10.0.0.0/255.0.0.0
in.b, \\
 in.c: LOCAL
ALL EXCEPT in.d: .example.com

in.e@10.0.0.1 : ALL : spawn (echo)
"""


@pytest.mark.parametrize("program, lines", [
    ("in.a", {2, 5}), ("in.b", {3, 5}), ("in.c", {3, 5}), ("in.d", set()), ("in.e", {5, 7}),
    ("other", {5})])
def test_rules_of_hosts_allow(tree, programs, tmp_path, program, lines):
    """They are told, and what they protected is not opened."""
    tree.put("hosts.allow", RULES)
    stub = tree.program(f"/usr/sbin/{program}")
    result = line(tree, f"7001 stream tcp nowait nobody /usr/sbin/tcpd {stub}")
    service = result.only
    told = {int(note.split("hosts.allow:")[1].split(":")[0])
            for note in service.noted("hosts.allow:")}
    assert told == lines
    assert service.off == (["hosts.allow and hosts.deny have rules for it, see below"]
                           if lines else [])
    passes(programs, tmp_path, result)


def test_rules_of_hosts_deny_beside_a_folder(tree):
    tree.put("hosts.deny", "ALL: ALL\n")
    path = tree.put("inetd.d/x", f"7001 stream tcp nowait nobody /usr/sbin/tcpd {tree.program()}\n")
    service = imported(path).only
    assert service.noted(f"{tree.root}/hosts.deny:1: ALL: ALL") and service.off


def test_rules_that_cannot_be_read(tree):
    (tree.root / "hosts.allow").mkdir()
    path = tree.put("x", f"7001 stream tcp nowait nobody /usr/sbin/tcpd {tree.program()}\n")
    result = Import(path)
    assert result.code == NOINPUT
    assert result.errors == [f"{tree.root}/hosts.allow: Is a directory"]


# Users and limits.


@pytest.mark.parametrize("field, user, group, note", [
    ("nobody", "nobody", None, None),
    ("nobody:daemon", "nobody", "daemon", None),
    ("nobody.daemon", "nobody", "daemon", None),
    ("nobody/staff", "nobody", None, "staff: no equivalent: a login class"),
    ("nobody:daemon/staff", "nobody", "daemon", "staff: no equivalent: a login class"),
    ("root", "root", None, None),
    ("no.such.user", "no.such", "user", None),
])
def test_users(tree, field, user, group, note):
    service = line(tree, f"7001 stream tcp nowait {field} PROG prog").only
    assert service.keys["user"] == f'"{user}"'
    assert service.keys.get("group") == (f'"{group}"' if group else None)
    assert bool(note) == bool(service.notes) and (not note or service.noted(note))


@pytest.mark.parametrize("wait, keys, limits", [
    ("nowait", {}, {}),
    ("nowait.60", {}, {"rate": '"60/m"'}),
    ("nowait:60", {}, {"rate": '"60/m"'}),
    ("nowait.0", {}, {}),
    ("nowait/9", {}, {"workers_max": "9"}),
    ("nowait/3", {"workers": "3"}, {}),
    ("nowait/0/5", {}, {"rate_per_source": '"5/m"'}),
    ("nowait/9/8/7", {}, {"workers_max": "9", "rate_per_source": '"8/m"', "per_source": "7"}),
])
def test_limits(tree, programs, tmp_path, is_root, wait, keys, limits):
    result = line(tree, f"7001 stream tcp {wait} nobody PROG prog")
    assert result.only.limits == limits
    assert {k: v for k, v in result.only.keys.items() if k == "workers"} == keys
    passes(programs, tmp_path, result, services=1)


def test_limits_of_one_that_takes_its_clients_itself(tree):
    service = line(tree, "7001 dgram udp wait.60 nobody PROG prog").only
    assert service.noted("60 a minute: an acceptor takes its clients itself")
    assert service.limits == {}


# What else a line may have.


@pytest.mark.parametrize("text, note", [
    ("7001 stream tcp,rcvbuf=16k,sndbuf=1m nowait nobody PROG prog", "rcvbuf=16k,sndbuf=1m"),
    ("7001 stream:dataready tcp nowait nobody PROG prog", "dataready"),
    ("7001 stream tcp/ttcp nowait nobody PROG prog", "tcp/ttcp"),
])
def test_extras(tree, programs, tmp_path, is_root, text, note):
    result = line(tree, text)
    assert result.only.listen == ["tcp://*:7001"]
    assert result.only.noted(f"{note}: no equivalent")
    passes(programs, tmp_path, result, services=1)


def test_ipsec(tree, programs, tmp_path, is_root):
    """For the lines that follow, up to an empty policy."""
    result = line(tree, """7001 stream tcp nowait nobody PROG prog
#@ ipsec ah/require
7002 stream tcp nowait nobody PROG prog
#@
7003 stream tcp nowait nobody PROG prog""")
    assert [s.off for s in result.services.values()] == [
        [], ["it was protected by IPsec, see below"], []]
    assert result.services["7002"].noted("ipsec ah/require: no equivalent")
    passes(programs, tmp_path, result, services=2)


def test_lines_that_are_commented_out(tree, programs, tmp_path, is_root):
    result = line(tree, """# 7001 stream tcp nowait nobody PROG prog
#<off># 7002 stream tcp nowait nobody PROG prog
#<off>#7003 stream tcp nowait nobody PROG prog
  # 7004 stream tcp nowait nobody PROG prog""")
    assert {s.name: s.off for s in result.services.values()} == {
        "7002": ["it is commented out by #<off>#"], "7003": ["it is commented out by #<off>#"]}
    passes(programs, tmp_path, result, services=0)


def test_lines_that_go_on(tree, programs, tmp_path, is_root):
    result = line(tree, """7001 stream tcp nowait
\tnobody PROG prog -a
  -b c
 7002 stream tcp nowait nobody PROG prog""")
    assert [s.list("exec")[1:] for s in result.services.values()] == [["-a", "-b", "c"], []]
    assert [origin[0].rsplit(":", 1)[1] for origin in result.origin.values()] == ["1", "4"]
    passes(programs, tmp_path, result, services=2)


def test_ends_of_lines(tree, is_root):
    path = tree.put("x", f"7001 stream tcp nowait nobody {tree.program()} prog -a\r\n"
                    f"7002 stream tcp nowait nobody {tree.program()} prog -b")
    assert [s.list("exec")[1:] for s in imported(path).services.values()] == [["-a"], ["-b"]]


@pytest.mark.parametrize("text, error", [
    ("ssh stream tcp nowait root", "5 fields; a line has at least 6: name, socket type, protocol, "
     "wait or nowait, user, program"),
    ("ssh", "1 fields; a line has at least 6: name, socket type, protocol, wait or nowait, user, "
     "program"),
    ("ssh stream tcp maybe root PROG", "maybe: expected wait or nowait"),
    ("ssh stream tcp waiting root PROG", "waiting: expected wait or nowait"),
    ("ssh stream tcp nowait.x root PROG", "nowait.x: expected nowait, nowait.MAX or "
     "nowait/MAX/MAX/MAX"),
    ("ssh stream tcp nowait/ root PROG", "nowait/: expected nowait, nowait.MAX or "
     "nowait/MAX/MAX/MAX"),
    ("ssh stream tcp nowait/1/2/3/4 root PROG", "nowait/1/2/3/4: expected nowait, nowait.MAX or "
     "nowait/MAX/MAX/MAX"),
])
def test_mistakes(tree, programs, tmp_path, is_root, text, error):
    prog = tree.program()
    path = tree.put("inetd.conf", f"# one\n{text}\n7001 stream tcp nowait nobody {prog} prog\n")
    result = Import(path)
    assert (result.code, result.errors) == (DATAERR, [f"{path}:2: {error}"])
    assert list(result.services) == ["7001"]
    assert result.comments == [f"# {path}:2\n# left out, for a mistake in it: {text}"]
    passes(programs, tmp_path, result, services=1)


# It runs.


def test_what_was_imported_serves(tree, daemon, is_root):
    ports = [free_port() for _ in range(3)]
    script = tree.program("/usr/bin/greet", "#!/bin/sh\nread -r name\necho \"hello $name $1\"\n"
                          "echo to-stderr >&2\n")
    acceptor = tree.program("/usr/bin/bye", "#!/usr/bin/python3\nimport socket\n"
                            "client, _ = socket.socket(fileno=0).accept()\n"
                            "client.sendall(b'bye')\n")
    result = imported(tree.put("inetd.conf", f"""127.0.0.1:
{ports[0]} stream tcp nowait nobody {script} greet x
{ports[1]} stream tcp wait nobody {acceptor} bye
{ports[2]} stream tcp nowait nobody /no/such such
"""))
    d = daemon(result.out)
    assert exchange(f"tcp://127.0.0.1:{ports[0]}", b"world\n") == b"hello world x\nto-stderr\n"
    assert exchange(f"tcp://127.0.0.1:{ports[1]}", b"") == b"bye"
    assert len(d.addresses()) == 2
