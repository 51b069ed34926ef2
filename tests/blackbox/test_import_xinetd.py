# SPDX-License-Identifier: ISC
"""preforkctl import of xinetd.conf and what it includes."""

import socket

import pytest
from daemon import exchange
from importing import DATAERR, NOINPUT, Import, Tree, imported, passes
from support import free_port

BASE = {"type": "UNLISTED", "port": "7001", "socket_type": "stream", "wait": "no",
        "user": "nobody", "server": "PROG"}


@pytest.fixture(name="tree")
def fixture_tree():
    with Tree() as tree:
        yield tree


def block(head, attributes):
    lines = [v if "=" in a else f"{a} = {v}" for a, v in attributes.items() if v is not None]
    return f"{head}\n{{\n" + "".join(f"\t{line}\n" for line in lines) + "}\n"


def service(name="web", **attributes):
    """A right one; None leaves an attribute out, that of a name with a = is a line of its own."""
    return block(f"service {name}", {**BASE, **attributes})


def put(tree, *texts, name="xinetd.conf"):
    return tree.put(name, "".join(texts).replace("PROG", str(tree.program())))


def one(tree, **attributes):
    return imported(put(tree, service(**attributes))).only


# Where it listens.


@pytest.mark.parametrize("attributes, listen", [
    ({}, "tcp://*:7001"),
    ({"port": "22"}, "tcp://*:ssh"),
    ({"socket_type": "dgram", "port": "53"}, "udp://*:domain"),
    ({"socket_type": None, "protocol": "tcp"}, "tcp://*:7001"),
    ({"socket_type": None, "protocol": "udp", "port": "53"}, "udp://*:domain"),
    ({"flags": "IPv4"}, "tcp4://*:7001"),
    ({"flags": "REUSE IPv6"}, "tcp://*:7001"),
    ({"flags": "IPv6", "v6only": "yes"}, "tcp6://*:7001"),
    ({"v6only": "no"}, "tcp://*:7001"),
    ({"bind": "127.0.0.1"}, "tcp://127.0.0.1:7001"),
    ({"interface": "127.0.0.1"}, "tcp://127.0.0.1:7001"),
    ({"bind": "::1"}, "tcp://[::1]:7001"),
    ({"bind": "localhost", "flags": "IPv4"}, "tcp4://localhost:7001"),
])
def test_addresses(tree, programs, tmp_path, is_root, attributes, listen):
    result = imported(put(tree, service(**attributes)))
    assert result.only.listen == [listen]
    passes(programs, tmp_path, result, services=1)


def test_the_port_of_a_name_of_services(tree, programs, tmp_path, is_root):
    result = imported(put(tree, service("ssh", type=None, port=None)))
    assert result.only.listen == ["tcp://*:ssh"]
    passes(programs, tmp_path, result, services=1)


# What serves.


def test_server_args_are_without_the_name(tree, programs, tmp_path, is_root):
    result = imported(put(tree, service(server_args="-a  --b=c \"d")))
    assert result.only.list("exec") == [str(tree.program()), "-a", "--b=c", '"d']
    assert result.only.keys["stderr"] == '"client"' and result.only.notes == []
    passes(programs, tmp_path, result, services=1)


def test_with_nameinargs_the_name_is_the_first(tree):
    found = one(tree, flags="NAMEINARGS", server_args="prog -a")
    assert found.list("exec") == [str(tree.program()), "-a"] and found.notes == []
    found = one(tree, flags="NAMEINARGS", server_args="other -a")
    assert found.list("exec") == [str(tree.program()), "-a"]
    assert found.noted('it was started under the name "other"')


def test_tcpd_by_nameinargs(tree):
    prog = tree.program()
    found = one(tree, flags="NAMEINARGS", server="/usr/sbin/tcpd", server_args=f"{prog} -a")
    assert found.list("exec") == [str(prog), "-a"] and found.noted("without /usr/sbin/tcpd")


def test_tcpd_of_nothing(tree):
    assert one(tree, server="/usr/sbin/tcpd").off == ["/usr/sbin/tcpd: of which program?"]


@pytest.mark.parametrize("kind", ["stream", "dgram"])
def test_wait(tree, programs, tmp_path, is_root, kind):
    result = imported(put(tree, service(wait="yes", socket_type=kind, server_args="-l")))
    found = result.only
    assert found.list("acceptor") == [str(tree.program()), "-l"]
    assert (found.keys["pass_as"], found.keys["workers"]) == ('"stdin"', "1")
    passes(programs, tmp_path, result, services=1)


@pytest.mark.parametrize("name", ["echo", "discard", "chargen", "daytime", "time"])
@pytest.mark.parametrize("kind", ["stream", "dgram"])
def test_internal(tree, programs, tmp_path, is_root, name, kind):
    result = imported(put(tree, service(name, type="INTERNAL", port=None, server=None, user="root",
                                        socket_type=kind, env="A=B")))
    assert result.only.keys["builtin"] == f'"{name}"'
    assert result.only.keys["user"] == '"nobody"'
    assert result.only.noted("env: A=B: a built-in has no environment")
    passes(programs, tmp_path, result, services=1)


@pytest.mark.parametrize("attributes, why", [
    ({"type": "RPC", "rpc_version": "2-4"}, "Sun RPC"),
    ({"type": "RPC UNLISTED"}, "Sun RPC"),
    ({"type": "TCPMUX UNLISTED"}, "tcpmux"),
    ({"type": "TCPMUXPLUS"}, "tcpmux"),
    ({"flags": "SENSOR", "type": "INTERNAL"}, "a sensor"),
    ({"socket_type": "raw"}, "a socket of type raw"),
    ({"socket_type": "seqpacket"}, "a socket of type seqpacket"),
    ({"protocol": "sctp"}, "a socket of type stream and protocol sctp"),
    ({"protocol": "udp"}, "a socket of type stream and protocol udp"),
    ({"type": "INTERNAL UNLISTED"}, "the internal service web"),
])
def test_what_has_no_equivalent(tree, programs, tmp_path, attributes, why):
    result = imported(put(tree, service(**attributes)))
    assert result.services == {} and "no equivalent: " in result.comments[0]
    assert why in result.comments[0]
    passes(programs, tmp_path, result, services=0)


@pytest.mark.parametrize("name", ["servers", "services"])
def test_internal_services_about_xinetd(tree, name):
    result = imported(put(tree, service(name, type="INTERNAL UNLISTED")))
    assert "preforkctl status shows what runs" in result.comments[0]


@pytest.mark.parametrize("redirect, target", [("10.0.0.1 80", "TCP:10.0.0.1:80"),
                                              ("::1 www", "TCP:[::1]:www")])
def test_redirect(tree, redirect, target):
    found = one(tree, redirect=redirect, server=None)
    assert found.list("exec") == ["/usr/bin/socat", "-", target]
    assert found.remarks["exec"] == f"redirect = {redirect}"


@pytest.mark.parametrize("name, attributes, notes", [
    ("web", {"redirect": "10.0.0.1 80", "server_args": "-a"}, ["server", "server_args"]),
    ("echo", {"type": "INTERNAL UNLISTED", "server_args": "-a", "redirect": "10.0.0.1 80"},
     ["server", "server_args", "redirect"]),
    ("web", {"bind": "127.0.0.1", "interface": "127.0.0.2"}, ["interface"]),
])
def test_what_another_attribute_goes_before(tree, name, attributes, notes):
    found = imported(put(tree, service(name, **attributes))).only
    assert [note.split(" = ")[0].strip() for note in found.notes if " = " in note] == notes


# The attributes.


@pytest.mark.parametrize("attribute, value, keys", [
    ("user", "daemon", {"user": '"daemon"'}),
    ("group", "daemon", {"group": '"daemon"'}),
    ("nice", "10", {"nice": "10"}),
    ("nice", "-5", {"nice": "-5"}),
    ("umask", "002", {"umask": "0002"}),
    ("env", "A=B C=D=E", {"environment": '{"A=B", "C=D=E"}'}),
    ("rlimit_as", "8M", {"limit_as": "8M"}),
    ("rlimit_as", "64k", {"limit_as": "64K"}),
    ("rlimit_as", "1000", {"limit_as": "1000"}),
    ("rlimit_cpu", "20", {"limit_cpu": "20"}),
    ("rlimit_files", "64", {"limit_nofile": "64"}),
    ("flags", "NODELAY KEEPALIVE", {"nodelay": "true", "keepalive": "true"}),
    ("log_on_success", "PID HOST", {"log_connections": "true"}),
    ("instances", "3", {"workers": "3"}),
])
def test_attributes_that_are_keys(tree, programs, tmp_path, is_root, attribute, value, keys):
    result = imported(put(tree, service(**{attribute: value})))
    assert {key: result.only.keys[key] for key in keys} == keys
    assert result.only.notes == []
    passes(programs, tmp_path, result, services=1)


@pytest.mark.parametrize("attribute, value, limits", [
    ("instances", "50", {"workers_max": "50"}),
    ("per_source", "10", {"per_source": "10"}),
    ("cps", "50 10", {"rate": '"50/s"'}),
    ("only_from", "10.0.0.0/8", {"allow": '{"10.0.0.0/8"}'}),
    ("no_access", "10.0.0.0/8", {"deny": '{"10.0.0.0/8"}'}),
])
def test_attributes_that_are_limits(tree, programs, tmp_path, is_root, attribute, value, limits):
    result = imported(put(tree, service(**{attribute: value})))
    assert result.only.limits == limits
    passes(programs, tmp_path, result)


NOTED = [
    ("groups", "yes"), ("groups", "no"), ("rlimit_data", "8M"), ("rlimit_rss", "8M"),
    ("rlimit_stack", "UNLIMITED"), ("rlimit_as", "UNLIMITED"), ("passenv", "PATH TZ"),
    ("instances", "UNLIMITED"), ("per_source", "UNLIMITED"), ("max_load", "2.5"),
    ("log_type", "FILE /var/log/x 1M"), ("log_type", "SYSLOG daemon info"),
    ("log_on_failure", "HOST USERID"), ("log_on_success", "USERID"), ("banner", "/etc/issue"),
    ("banner_success", "/etc/issue"), ("banner_fail", "/no/such"), ("deny_time", "60"),
    ("mdns", "yes"), ("rpc_version", "1"), ("rpc_number", "1"), ("access_times", "8:00-17:00"),
    ("flags", "INTERCEPT"), ("flags", "NORETRY"), ("flags", "IDONLY"), ("flags", "LABELED"),
    # what is no value
    ("nice", "20"), ("nice", "fast"), ("umask", "999"), ("instances", "0"), ("instances", "many"),
    ("per_source", "-1"), ("cps", "50"), ("cps", "0 10"), ("rlimit_as", "lots"),
    ("rlimit_files", "3"), ("rlimit_cpu", "1h"), ("env", "NOVALUE"),
    # what xinetd does not know
    ("colour", "red"), ("Port", "7001"),
]


@pytest.mark.parametrize("attribute, value", NOTED, ids=range(len(NOTED)))
def test_attributes_that_are_comments(tree, programs, tmp_path, attribute, value):
    result = imported(put(tree, service(**{attribute: value})))
    for word in [attribute, *value.split()]:
        assert any(word in note for note in result.only.notes), (word, result.only.notes)
    passes(programs, tmp_path, result)


@pytest.mark.parametrize("attribute, value, why", [
    ("disable", "yes", "disable = yes"),
    ("flags", "DISABLE", "flags = DISABLE"),
    ("access_times", "8:00-17:00", "it was there at some times only, see below"),
    ("flags", "IDONLY", "it was for clients with an ident server, see below"),
])
def test_what_keeps_it_off(tree, programs, tmp_path, attribute, value, why):
    result = imported(put(tree, service(**{attribute: value})))
    assert result.only.off == [why]
    passes(programs, tmp_path, result, services=0)


@pytest.mark.parametrize("text", ["not for you\n", "two\r\nlines 'with' \"${HOME}\" \\n\n",
                                  "x" * 4096, "", "x" * 4097, "nul\0"])
def test_what_is_said_to_who_is_refused(tree, programs, tmp_path, is_root, text):
    """Its text is in the configuration, if it may be."""
    result = imported(put(tree, service(banner_fail=tree.put("etc/fail", text))))
    if text in ("", "nul\0") or len(text) > 4096:
        assert result.only.noted(f"banner_fail = {tree.root}/etc/fail: see busy_message")
    else:
        assert result.only.list("busy_message") == [text]
    passes(programs, tmp_path, result, services=1)


def test_every_attribute_of_the_manual_is_known(tree):
    """Of xinetd.conf(5); none is passed over in silence, and none taken for a stray."""
    names = """id type flags disable socket_type protocol wait user group instances nice server
        server_args libwrap only_from no_access access_times log_type log_on_success log_on_failure
        rpc_version rpc_number env passenv port redirect bind interface banner banner_success
        banner_fail per_source cps max_load groups mdns umask enabled disabled rlimit_as
        rlimit_files rlimit_cpu rlimit_data rlimit_rss rlimit_stack deny_time v6only""".split()
    found = one(tree, **{name: BASE.get(name, "1") for name in names} | {"protocol": "tcp"})
    assert not found.noted("not an attribute of xinetd")
    assert one(tree, stray="1").noted("stray = 1: not an attribute of xinetd")


def test_an_attribute_that_is_given_twice(tree):
    text = service().replace("port = 7001", "port = 7001\n\tport = 7002")
    found = imported(put(tree, text)).only
    assert found.listen == ["tcp://*:7001"]
    assert found.noted("port = 7002: given before, which is what counts")


@pytest.mark.parametrize("lines, values", [
    (["env = A=1 B=2", "env += C=3"], ["A=1", "B=2", "C=3"]),
    (["env = A=1", "env = B=2"], ["B=2"]),
    (["env=A=1", "env+=B=2"], ["A=1", "B=2"]),
])
def test_operators(tree, lines, values):
    text = service().replace("\tserver =", "\t" + "\n\t".join(lines) + "\n\tserver =")
    assert imported(put(tree, text)).only.list("environment") == values


# Addresses of clients.


@pytest.mark.parametrize("value, addresses", [
    ("10.0.0.1", ["10.0.0.1"]),
    ("10.0.0.0", ["10.0.0.0/8"]),
    ("128.138.0.0 128.138.209.0", ["128.138.0.0/16", "128.138.209.0/24"]),
    ("10.1.2.3/8", ["10.0.0.0/8"]),
    ("10.1.2.3/32", ["10.1.2.3"]),
    ("10.1.2.128/25 10.1.2.3/31", ["10.1.2.128/25", "10.1.2.2/31"]),
    ("10.1.2.{3,4}", ["10.1.2.3", "10.1.2.4"]),
    ("10.1.{2,3,4}", ["10.1.2.0/24", "10.1.3.0/24", "10.1.4.0/24"]),
    ("{10,11}", ["10.0.0.0/8", "11.0.0.0/8"]),
    ("2001:db8::1", ["2001:db8::1"]),
    ("2001:db8:1:2::/48", ["2001:db8:1::/48"]),
    ("::1 ::/0", ["::1", "::/0"]),
    ("::", ["::/0"]),
    ("10.0.0.1 10.0.0.1", ["10.0.0.1"]),
])
def test_addresses_of_clients(tree, value, addresses):
    assert one(tree, no_access=value).list("deny") == addresses
    if "::/0" not in addresses:
        assert one(tree, only_from=value).list("allow") == addresses


def test_a_name_is_the_addresses_that_it_has(tree):
    found = one(tree, only_from="localhost")
    assert set(found.list("allow")) <= {"127.0.0.1", "::1"} and found.list("allow")
    assert found.noted("localhost: these are the addresses that it has now")


@pytest.mark.parametrize("value", [".example.com", "10.1", "10.0.0.1/33", "2001:db8::/129",
                                   "10.{1,2}.3", "10.1.2.{3,x}", "10.1.2.3.{4}",
                                   "10.0.0.1,10.0.0.2"])
@pytest.mark.parametrize("attribute, key", [("only_from", "allow"), ("no_access", "deny")])
def test_what_is_no_address(tree, programs, tmp_path, attribute, key, value):
    result = imported(put(tree, service(**{attribute: value})))
    assert f"{key} lacks {value}" in result.only.off
    assert result.only.noted(f"{value}: no equivalent")
    passes(programs, tmp_path, result, services=0)


@pytest.mark.parametrize("value, listen", [
    ("0.0.0.0/0", "tcp4://*:7001"), ("0.0.0.0", "tcp4://*:7001"), ("0.0.0.0 ::", "tcp://*:7001")])
def test_everybody(tree, programs, tmp_path, is_root, value, listen):
    """No list is needed for that, and none is waited for."""
    result = imported(put(tree, service(only_from=value)))
    assert result.only.listen == [listen] and not result.only.limits
    passes(programs, tmp_path, result, services=1)


def test_nobody(tree, programs, tmp_path, is_root):
    result = imported(put(tree, service(only_from="")))
    assert result.only.list("deny") == ["0.0.0.0/0", "::/0"]
    passes(programs, tmp_path, result, services=1)


def test_both(tree):
    found = one(tree, only_from="10.0.0.0", no_access="10.1.0.0")
    assert found.noted("xinetd goes by the more specific one, preforkd by deny")


# libwrap.


def test_rules_of_libwrap(tree, programs, tmp_path):
    """xinetd asks by the program's name, unless it is told another one or not to ask."""
    tree.put("hosts.allow", "prog: LOCAL\nother: LOCAL\n")
    assert one(tree).noted("hosts.allow:1: prog: LOCAL")
    assert one(tree, libwrap="other").noted("hosts.allow:2: other: LOCAL")
    assert one(tree, flags="NAMEINARGS", server_args="other").noted("hosts.allow:2")
    found = one(tree, flags="NOLIBWRAP")
    assert found.notes == [] and found.off == []


# Defaults.

DEFAULTS = block("defaults", {
    "instances": "50", "cps": "100 2", "bind": "127.0.0.1", "umask": "022", "only_from": "10.0.0.0",
    "only_from =": "only_from = 11.0.0.0", "log_type": "SYSLOG daemon", "disabled": "one",
    "v6only": "yes", "passenv": "PATH"})


def test_defaults(tree):
    result = imported(put(tree, DEFAULTS, service("one"),
                          service("two", bind="::1", umask="077", cps="9 9",
                                  **{"only_from +=": "only_from += 12.0.0.0"}),
                          service("three", port="7002", only_from="13.0.0.0", id="tres")))
    one_, two, tres = result.services.values()
    assert "it is among those that the defaults have as disabled" in one_.off
    assert one_.listen == ["tcp://127.0.0.1:7001"] and two.listen == ["tcp6://[::1]:7001"]
    assert one_.limits["workers_max"] == two.limits["workers_max"] == "50"
    assert (one_.limits["rate"], two.limits["rate"]) == ('"100/s"', '"9/s"')
    assert (one_.keys["umask"], two.keys["umask"]) == ("0022", "0077")
    assert one_.list("allow") == ["10.0.0.0/8", "11.0.0.0/8"]
    assert two.list("allow") == ["10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8"]
    assert tres.list("allow") == ["13.0.0.0/8"] and tres.name == "tres"
    assert two.noted("passenv = PATH") and two.noted("log_type = SYSLOG daemon")


def test_minus(tree):
    text = block("defaults", {"only_from": "10.0.0.0 11.0.0.0"}) + service(
        **{"only_from -=": "only_from -= 10.0.0.0"})
    assert imported(put(tree, text)).only.list("allow") == ["11.0.0.0/8"]


def test_those_that_are_enabled(tree):
    result = imported(put(tree, block("defaults", {"enabled": "one"}), service("one"),
                          service("two", port="7002"), service("x", id="one", port="7003")))
    assert [bool(s.off) for s in result.services.values()] == [False, True, False]


def test_defaults_beside_the_folder(tree):
    """Of a file of xinetd.d, unless some were given."""
    put(tree, DEFAULTS, "includedir /none\n", service("never"))
    path = put(tree, service(), name="xinetd.d/web")
    result = imported(path)
    assert result.only.listen == ["tcp://127.0.0.1:7001"]
    assert f"#   {tree.root}/xinetd.conf (its defaults)" in result.head
    given = put(tree, block("defaults", {}), name="given.conf")
    assert imported(given, path).only.listen == ["tcp://*:7001"]


def test_defaults_twice(tree):
    path = put(tree, block("defaults", {"bind": "127.0.0.1"}), block("defaults", {"bind": "::1"}),
               service())
    result = Import(path)
    assert result.code == DATAERR and result.only.listen == ["tcp://127.0.0.1:7001"]
    assert result.errors == [f"{path}:5: defaults a second time, after {path}:1; xinetd takes the "
                             "first"]


# Files.


def test_files_that_are_included(tree, programs, tmp_path, is_root):
    """In the order of their names, without those with a dot or a tilde at the end."""
    for port, name in enumerate(["b", "a", "C", "d.rpmsave", "e~"], 7001):
        put(tree, service(name, port=str(port)), name=f"xinetd.d/{name}")
    put(tree, service("last", port="7009"), name="one")
    path = put(tree, f"includedir {tree.root}/xinetd.d\ninclude {tree.root}/one\n")
    result = imported(path)
    assert list(result.services) == ["C", "a", "b", "last"]
    assert result.origin["last"] == [f"{tree.root}/one:1"]
    passes(programs, tmp_path, result, services=4)


def test_files_that_include_themselves(tree):
    path = put(tree, f"include {tree.root}/xinetd.conf\n", service())
    result = Import(path)
    assert result.code == DATAERR
    assert result.errors == [f"{path}:1: files that include files, too deep"]


def test_a_file_that_is_missing(tree):
    path = put(tree, "includedir /no/such\ninclude /no/such/file\n", service())
    result = Import(path)
    assert result.code == NOINPUT and len(result.services) == 1
    assert result.errors == ["/no/such: No such file or directory",
                             "/no/such/file: No such file or directory"]


def test_blanks_and_comments(tree):
    text = service().replace("service web\n{", "  # one\n\n\tservice\tweb  \n# two\n {  \n#three\n")
    text = text.replace(" = ", "=").replace("}", "  }  ").replace("\n", "\r\n")
    assert imported(put(tree, text)).only.listen == ["tcp://*:7001"]


@pytest.mark.parametrize("text, line, error", [
    ("service\n", 1, "expected service NAME, defaults, include FILE or includedir FOLDER"),
    ("hello world\n", 1, "expected service NAME, defaults, include FILE or includedir FOLDER"),
    ("}\n", 1, "expected service NAME, defaults, include FILE or includedir FOLDER"),
    ("service a\nport = 1\n}\n", 2, "expected a { on a line by itself"),
    ("service a\n", 1, "expected a { on a line by itself"),
    ("\nservice a\n{\n\tport = 1\n", 2, "a brace that is never closed"),
    ("service a\n{\n\tport 1\n}\n", 3, "expected ATTRIBUTE = VALUE or }"),
])
def test_mistakes(tree, text, line, error):
    path = put(tree, text)
    result = Import(path)
    assert result.code == DATAERR and f"{path}:{line}: {error}" in result.errors


@pytest.mark.parametrize("missing", ["wait", "server", "user", "socket_type"])
def test_what_a_service_needs(tree, programs, tmp_path, is_root, missing):
    path = put(tree, service(**{missing: None}), service("two"))
    result = Import(path)
    assert result.code == DATAERR
    assert result.errors == [f"{path}:1: service web: {missing} is missing"]
    assert list(result.services) == ["two"]
    assert result.comments == [f"# {path}:1\n# left out, because it has no {missing}"]
    passes(programs, tmp_path, result, services=1)


# It runs.


def test_what_was_imported_serves(tree, daemon, is_root):
    ports = [free_port() for _ in range(3)]
    script = tree.program("/usr/bin/greet", "#!/bin/sh\nread -r name\n"
                          "echo \"hello $name $1 $REMOTE_HOST $A $(umask)\"\n")
    result = imported(put(
        tree, service("one", port=ports[0], server=script, server_args="x", env="A=B", umask="027",
                      bind="127.0.0.1"),
        service("two", port=ports[1], redirect=f"127.0.0.1 {ports[0]}", bind="127.0.0.1"),
        service("echo", type="INTERNAL UNLISTED", port=ports[2], bind="127.0.0.1")))
    if result.services["two"].off:
        pytest.skip("needs socat")
    daemon(result.out)
    said = b"hello world x 127.0.0.1 B 0027\n"
    assert exchange(f"tcp://127.0.0.1:{ports[0]}", b"world\n") == said
    assert exchange(f"tcp://127.0.0.1:{ports[1]}", b"world\n") == said
    assert exchange(f"tcp://127.0.0.1:{ports[2]}", b"x") == b"x"


def said_to(source, port):
    """What a client from there gets for an x."""
    with socket.create_connection(("127.0.0.1", port), 60, (source, 0)) as client:
        client.sendall(b"x")
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(100), b""))


def test_who_was_kept_out_stays_out(tree, daemon, is_root):
    ports = [free_port() for _ in range(2)]
    echo = {"type": "INTERNAL UNLISTED", "bind": "127.0.0.1", "server": None,
            "banner_fail": tree.put("fail", "not for you\n")}
    result = imported(put(
        tree, service("echo", port=ports[0], id="one", only_from="127.0.0.2 127.1.0.0", **echo),
        service("echo", port=ports[1], id="two", no_access="127.0.0.2/31", **echo)))
    daemon(result.out)
    refused = b"not for you\n"
    assert [said_to(source, ports[0]) for source in ("127.0.0.1", "127.0.0.2", "127.1.9.9")] == [
        refused, b"x", b"x"]
    assert [said_to(source, ports[1]) for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3")] == [
        b"x", refused, refused]
