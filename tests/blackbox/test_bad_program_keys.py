# SPDX-License-Identifier: ISC
"""The keys and options of services whose clients are served by programs: mistakes in them are told
with their place and what would be right."""

import netns
import pytest
from checking import CONFIG, ECHO, USAGE, check, preforkd, write
from manager import manage  # noqa: F401 (a fixture)
from support import service
from test_bad_programs import KINDS, MISSING, TCP, both_kinds, is_right, refused, with_program
from test_bad_start import fixture_place, refused_on_command_line  # noqa: F401


@both_kinds
@pytest.mark.parametrize("bad", ["", "NAME", "=", "=value", "1A=x", "A B=x", "A-B=x", " A=x",
                                 "A.B=x", "\u00c4=x", "A"])
def test_environment(programs, place, kind, bad):
    told = f'environment: "{bad}" is not right here; expected NAME=VALUE'
    refused(programs, place / "c",
            with_program(kind, "/bin/cat", f'environment = {{"A=1", "{bad}", "B=2"}}'),
            f"4: {told}")
    # As the default of all it belongs to the service that cannot have it.
    text = f'environment = "{bad}"\n' + with_program(kind, "/bin/cat")
    refused(programs, place / "c", text, f"2: {told}")


@both_kinds
def test_every_bad_variable_is_told(programs, place, kind):
    refused(programs, place / "c",
            with_program(kind, "/bin/cat", 'environment = {"a b=1", "fine=", "c", "_=x", "2=3"}'),
            *(f'4: environment: "{bad}" is not right here; expected NAME=VALUE'
              for bad in ("a b=1", "c", "2=3")))


@pytest.mark.parametrize("name", [
    "PROTO", "TCPREMOTEIP", "TCPLOCALPORT", "TCPCONNNUM", "UDPREMOTEPORT", "IPCREMOTEEUID",
    "IPCLOCALPATH", "REMOTE_ADDR", "REMOTE_HOST", "REMOTE_ANYTHING", "SERVER_ADDR", "SERVER_PORT",
    "PREFORKD_SERVICE", "PREFORKD_ANYTHING", "LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET",
    "WATCHDOG_USEC", "JOURNAL_STREAM", "RUNTIME_DIRECTORY"])
def test_variables_that_are_not_for_the_configuration(programs, place, name):
    """A program can trust them."""
    for kind in KINDS:
        refused(programs, place / "c",
                with_program(kind, "/bin/cat", f'environment = {{"A=1", "{name}=x=y"}}'),
                f'4: environment: "{name}=x=y": {name} is set by preforkd')


@pytest.mark.parametrize("name", ["TCP_NODELAY", "TCPREMOT", "IPCS", "UDP", "REMOTE", "PROTOCOL",
                                  "SERVER_NAME", "XPROTO", "PREFORKD", "LISTEN", "proto"])
def test_variables_with_names_like_those(programs, place, name):
    is_right(programs, place / "c",
             with_program("exec", "/bin/cat", f'environment = {{"{name}=x"}}'))


@pytest.mark.parametrize("good", ["A=", "a=b=c", "_=1", "A1_b= x ", "A=\u00e4\u4e16", "A='\\\""])
def test_environment_that_is_right(programs, place, good):
    quoted = good.replace("\\", "\\\\").replace("'", "\\'")
    is_right(programs, place / "c",
             with_program("exec", "/bin/cat", f"environment = {{'{quoted}'}}"))


FOR_EXEC, FOR_ACCEPTOR = "it is for exec", "it is for acceptor"
# Of each kind the keys that it does not have, a right value of them, and why.
NOT_FOR = {
    "builtin": [("environment", "A=b", "it is for exec and acceptor"),
                ("prestart", "true", FOR_EXEC), ("stderr", "log", FOR_EXEC),
                ("pass_as", "systemd", FOR_ACCEPTOR), ("stop_signal", "TERM", FOR_ACCEPTOR)],
    "exec": [("idle_timeout", "1m", "a program has the real socket and timeouts of its own; see "
              "connection_timeout"),
             ("recycle_memory", "1M", "a program has its memory in a process of its own; see "
              "limit_as"),
             ("pass_as", "stdin", FOR_ACCEPTOR), ("stop_signal", "QUIT", FOR_ACCEPTOR)],
    "acceptor": [("recycle_after", "10", "an acceptor's connections cannot be counted"),
                 ("idle_timeout", "0", "a program has the real socket and timeouts of its own; see "
                  "connection_timeout"),
                 ("workers_max", "9", "an acceptor has as many copies as workers says"),
                 ("spare", "1", "whether an acceptor's copies are idle is not seen"),
                 ("shrink_after", "1m", "whether an acceptor's copies are idle is not seen"),
                 ("recycle_memory", "2M", "a program has its memory in a process of its own; see "
                  "limit_as"),
                 ("connection_timeout", "1m", "an acceptor's connections are not seen"),
                 ("log_connections", "false", "an acceptor's connections are not seen"),
                 *((key, value, "an acceptor's clients are not seen") for key, value in
                   (("per_source", "0"), ("rate", "1/s"), ("rate_per_source", "1/m"),
                    ("queue_timeout", "1s"), ("busy_message", "x"))),
                 *((key, value, "an acceptor's clients are not seen; its program reads the header")
                   for key, value in (("proxy_protocol", "off"), ("proxy_from", "10.0.0.1"))),
                 ("prestart", "false", FOR_EXEC), ("stderr", "client", FOR_EXEC)],
}
BASE = {**KINDS, "builtin": ECHO}


@pytest.mark.parametrize("kind, key, value, why",
                         [(kind, *row) for kind, rows in NOT_FOR.items() for row in rows])
def test_a_key_of_another_kind(programs, place, kind, key, value, why):
    refused(programs, place / "c", f'{BASE[kind]}{key} = "{value}"\n}}',
            f"4: {key}: not for a service with {kind}: {why}")


@pytest.mark.parametrize("kind", NOT_FOR)
def test_all_keys_of_another_kind_are_told(programs, place, kind):
    rows = NOT_FOR[kind]
    result = check(programs, place / "c", BASE[kind] + "".join(
        f'{key} = "{value}"\n' for key, value, _ in rows) + "}")
    assert sorted(result.lines) == sorted(
        f'{place}/c:{line}: service "a": {key}: not for a service with {kind}: {why}'
        for line, (key, _, why) in enumerate(rows, 4))


@pytest.mark.parametrize("kind", NOT_FOR)
def test_as_defaults_they_reach_the_others(programs, place, kind):
    lines = "".join(f'{key} = "{value}"\n' for key, value, _ in NOT_FOR[kind])
    is_right(programs, place / "c", lines + BASE[kind] + "}")


def test_what_is_off_is_not_looked_at(programs, place):
    is_right(programs, place / "c", ECHO + '}\nservice "off" { enabled = false exec = "none" '
             "pass_as = stdin environment = x }")


@both_kinds
def test_sandbox(programs, place, kind):
    for value in ("basic", "off"):
        is_right(programs, place / "c", with_program(kind, "/bin/cat", f"sandbox = {value}"))
    path, text = place / "c", with_program(kind, "/bin/cat", "sandbox = strict")
    result = check(programs, path, text)
    if "expected one of off, basic" in result.text:
        pytest.skip("built without libseccomp")
    told = "sandbox: strict is for built-ins and modules; basic or off"
    refused(programs, path, text, f"4: {told}")
    # Nor may a default be weaker for some than it says.
    refused(programs, path, "sandbox = strict\n" + with_program(kind, "/bin/cat"), f"2: {told}")


@pytest.mark.parametrize("address", ["udp://127.0.0.1:0", "unixgram://@never"])
def test_prestart_of_datagrams(programs, place, address):
    for listen in (address, f'{TCP}", "{address}'):
        text = with_program("exec", "/bin/cat", "prestart = true").replace(TCP, listen)
        refused(programs, place / "c", text, "4: prestart: datagrams are not served that way")
        is_right(programs, place / "c", text.replace("= true", "= false"))
        # As a default it is for those that can.
        is_right(programs, place / "c", "prestart = true\n" + text.replace("prestart = true", ""))


def test_stdin_is_one_address(programs, place):
    told = "pass_as: stdin is one socket: one address in listen"
    text = with_program("acceptor", "/bin/cat", "pass_as = stdin")
    is_right(programs, place / "c", text)
    two = text.replace(TCP, f'{TCP}", "unix://@never')
    refused(programs, place / "c", two, f"4: {told}")
    is_right(programs, place / "c", two.replace("stdin", "systemd"))
    refused(programs, place / "c", "pass_as = stdin\n" + two.replace("pass_as = stdin", ""),
            f"2: {told}")


def test_stdin_is_not_a_name_of_two_addresses(programs, place):
    write(place / "hosts", "127.0.0.1 several\n127.0.0.2 several\n")
    wrapper = netns.wrapper(f"mount --bind {place}/hosts /etc/hosts", mounts=True)
    text = with_program("acceptor", "/bin/cat", "pass_as = stdin").replace(
        "127.0.0.1:0", "several:7007")
    refused(programs, place / "c", text,
            '4: pass_as: stdin is one socket, and "tcp://several:7007" is 2', wrapper=wrapper)
    is_right(programs, place / "c", text.replace("stdin", "systemd"), wrapper=wrapper)


def test_stdin_is_not_a_unit_with_two_sockets(manage):
    d = manage(service("a", "systemd://web", acceptor=["/bin/cat"], pass_as="stdin"),
               ("web", TCP), ("web", TCP), expect_ready=False)
    assert d.wait() == CONFIG
    assert (f'{d.config_file}:4: service "a": pass_as: stdin is one socket, and "systemd://web" '
            "is 2") in d.log()


@pytest.mark.parametrize("kind, options, told", [
    ("exec", "ready = notify", '"ready": exec has no options'),
    ("exec", 'file = "/x"', '"file": exec has no options'),
    ("acceptor", "redy = notify", '"redy": an acceptor has the option ready'),
    ("acceptor", "ready = yes", 'ready: "yes": one of notify, alive'),
    ("acceptor", 'ready = ""', 'ready: "": one of notify, alive'),
])
def test_options(programs, place, kind, options, told):
    refused(programs, place / "c", with_program(kind, "/bin/cat", f"options {{ {options} }}"),
            f"1: options: {told}")


@pytest.mark.parametrize("value", ["notify", "alive"])
def test_options_that_are_right(programs, place, value):
    is_right(programs, place / "c",
             with_program("acceptor", "/bin/cat", f"options {{ ready = {value} }}"))


def test_every_mistake_is_told(programs, place):
    result = check(programs, place / "c", """workers = 10x
service "one" {
    listen  = {"tcp://127.0.0.1", "udp://127.0.0.1:0"}
    exec    = {"/no/such/one"}
    acceptor = {"/no/such/never"}
    prestart = true
    environment = {"x"}
    stop_signal = INT
    options { a = b }
}
service "two" { listen = {"unix://@a", "unix://@b"}
    acceptor = {"/no/such/two"}
    pass_as = stdin
    prestart = maybe
    socket_group = no-such-group
}
service "three" { listen = {"unix://@c"}
    exec = {"cat"} user = no-such-user
}
""")
    assert sorted(line.removeprefix(f"{place}/c:") for line in result.lines) == sorted([
        '1: workers: "10x" is not right here; expected a number from 0 to 8192',
        '3: service "one": listen: address "tcp://127.0.0.1": a port is missing, as in '
        "tcp://HOST:PORT",
        '5: service "one": acceptor: a service has one of builtin, module, exec and acceptor',
        '6: service "one": prestart: datagrams are not served that way',
        '7: service "one": environment: "x" is not right here; expected NAME=VALUE',
        '8: service "one": stop_signal: not for a service with exec: it is for acceptor',
        '2: service "one": options: "a": exec has no options',
        f'4: service "one": exec: /no/such/one: {MISSING}',
        f'12: service "two": acceptor: /no/such/two: {MISSING}',
        '13: service "two": pass_as: stdin is one socket: one address in listen',
        '14: service "two": prestart: "maybe" is not right here; expected true or false',
        '14: service "two": prestart: not for a service with acceptor: it is for exec',
        '15: service "two": socket_group: there is no group "no-such-group" on this machine',
        '18: service "three": exec: "cat": the program must be an absolute path (there is no '
        "shell)",
        '18: service "three": user: there is no user "no-such-user" on this machine',
    ])
    assert result.code == CONFIG


# ---- the command line

LISTEN = ["--listen", "unix://@never"]


@pytest.mark.parametrize("option", ["--exec", "--acceptor"])
@pytest.mark.parametrize("args", [[], ["--"], ["/bin/cat"], ["/bin/cat", "--"], ["-t"],
                                  ["/bin/cat", "--", "x"], ["--workers", "2", "/bin/cat"],
                                  ["--workers", "2", "--"]], ids=" ".join)
@pytest.mark.parametrize("action", ["--check", "--dump", "-q"])
def test_no_program_on_the_command_line(programs, action, option, args):
    result = preforkd(programs, action, *LISTEN, option, *args)
    assert result.lines == [f"{option}: expected -- PROGRAM [ARG...] at the end"]
    assert (result.code, result.out) == (USAGE, "")


@pytest.mark.parametrize("args, line", [
    # What is before the two dashes is not of the program.
    ([*LISTEN, "/bin/cat", "--exec", "--", "/bin/sh"],
     'unexpected argument "/bin/cat"; see preforkd --help'),
    ([*LISTEN, "--", "--exec", "/bin/cat"], 'unexpected argument "--exec"; see preforkd --help'),
    ([*LISTEN, "--exec", "--exec", "--", "/bin/cat"],
     "--exec and --acceptor: one of them, once"),
    ([*LISTEN, "--acceptor", "--exec", "--", "/bin/cat"],
     "--exec and --acceptor: one of them, once"),
    (["--config", "x", "--exec", "--", "/bin/cat"],
     "a service on the command line and --config exclude each other"),
    (["--acceptor", "-c", "x", "--", "/bin/cat"],
     "a service on the command line and --config exclude each other"),
    ([*LISTEN, "--exec=/bin/cat"], None),
])
def test_usage(programs, args, line):
    result = preforkd(programs, "--check", *args)
    assert result.lines == ([line] if line else
                            [f"{programs.preforkd}: option '--exec' doesn't allow an argument",
                             "see preforkd --help"])
    assert (result.code, result.out) == (USAGE, "")


@pytest.mark.parametrize("args, line", [
    (["--exec", "--", "cat"],
     'exec: "cat": the program must be an absolute path (there is no shell)'),
    (["--exec", "--", "-x"],
     'exec: "-x": the program must be an absolute path (there is no shell)'),
    (["--exec", "--", ""], 'exec: "": the program must be an absolute path (there is no shell)'),
    (["--acceptor", "--", "/no/such", "-x"], f"acceptor: /no/such: {MISSING}"),
    (["--builtin", "echo", "--exec", "--", "/no/such"],
     "exec: a service has one of builtin, module, exec and acceptor"),
    (["--set", "exec=/bin/cat", "--acceptor", "--", "/no/such"],
     "acceptor: a service has one of builtin, module, exec and acceptor"),
    (["--set", "exec=/bin/cat", "--exec", "--", "/bin/cat"], "exec: given twice"),
    (["--set", "environment=A=1", "--set", "environment=x", "--exec", "--", "/bin/cat"],
     'environment: "x" is not right here; expected NAME=VALUE'),
    (["--set", "options.listen=x", "--exec", "--", "/bin/cat"],
     'options: "listen": exec has no options'),
])
def test_mistakes_on_the_command_line(programs, args, line):
    refused_on_command_line(programs, [*LISTEN, *args], line)
