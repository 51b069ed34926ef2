# SPDX-License-Identifier: ISC
"""Every mistake in a configuration is told, with its place and what would be right, and nothing
else is."""

import os
import socket

import pytest
from checking import ACCEPTOR, CONFIG, ECHO, EVERY_KIND, EXEC, check, preforkd, write

HANDLER = ('service "a": builtin: missing; a service needs one of builtin, module, exec and '
           "acceptor")
ONE = "a service has one of builtin, module, exec and acceptor"
LISTEN = ('service "a": listen: missing; an address, as in '
          'listen = {"tcp://127.0.0.1:7007"}')
NO_KEY = "there is no such key; "
LISTED = NO_KEY + "preforkd.conf(5) lists them"
NAME = "a name is 1 to 63 of A-Z a-z 0-9 _ . -"
BUILTINS = "known: agent, chargen, daytime, discard, echo, message, qotd, status, time"
LONG = "n" * 64


def right(value, expected):
    return f'"{value}" is not right here; expected {expected}'


def refused(programs, path, text, *expected):
    """The file is refused with exactly these messages; each begins with its line, or with ":"."""
    result = check(programs, path, text)
    wanted = [f"{path}:{line}" if line[0].isdigit() else f"{path}{line}" if line[0] == ":" else line
              for line in expected]
    assert (result.lines, result.code, result.out) == (wanted, CONFIG, "")


@pytest.fixture(name="path")
def fixture_path(tmp_path):
    return tmp_path / "preforkd.conf"


# Keys.

KEYS = [
    ("workerz = 3\n" + ECHO + "}", [f'1: workerz: {NO_KEY}did you mean "workers"?']),
    (ECHO + "lissten = 3 }", [f'4: service "a": lissten: {NO_KEY}did you mean "listen"?']),
    (ECHO + "\n\nidle-timeout = 3\n}",
     [f'6: service "a": idle-timeout: {NO_KEY}did you mean "idle_timeout"?']),
    (ECHO + "colour = red }", [f'4: service "a": colour: {LISTED}']),
    (ECHO + 'colours = {"red", "blue"} }', [f'4: service "a": colours: {LISTED}']),
    (ECHO + "colours = {} }", [f'4: service "a": colours: {LISTED}']),
    ("x = 1\nx = 2\n" + ECHO + "}",
     ["2: x: given twice; first in line 1", f"1: x: {LISTED}", f"2: x: {LISTED}"]),
    ('builtin = "echo"\n' + ECHO + "}", ["1: builtin: belongs into a service"]),
    ('listen = {"tcp://127.0.0.1:0"}\n' + ECHO + "}", ["1: listen: belongs into a service"]),
    ("module = x\n" + ECHO + "}", ["1: module: belongs into a service"]),
    ('exec = {"/bin/cat"}\n' + ECHO + "}", ["1: exec: belongs into a service"]),
    ('acceptor = {"/bin/cat"}\n' + ECHO + "}", ["1: acceptor: belongs into a service"]),
    (ECHO + "log_level = debug }",
     ['4: service "a": log_level: belongs outside of the services: it is the daemon\'s own']),
    (ECHO + "workers = 1\nworkers = 1 }",
     ['5: service "a": workers: given twice; first in line 4']),
    ("workers = 1\n" + ECHO + "}\nworkers = 2", ["6: workers: given twice; first in line 1"]),
    (ECHO + 'listen = {"tcp://127.0.0.2:0"} }',
     ['4: service "a": listen: given twice; first in line 2']),
    (ECHO + "listen = {} }", ['4: service "a": listen: given twice; first in line 2',
                              "4: " + LISTEN]),
    (ECHO + "options { a = 1\na = 2 } }",
     ['5: service "a": options: a: given twice; first in line 4',
      '3: service "a": builtin: builtin "echo": unknown option "a"; there are none']),
    (ECHO + "options { a = {1, 2} } }",
     ['4: service "a": options: a: an option has one value, not a list']),
    (ECHO + "options { a = {} } }",
     ['4: service "a": options: a: an option has one value, not a list']),
    (ECHO + 'options { "a b" = 1 } }',
     ['4: service "a": options: a b: an option\'s name is made of A-Z a-z 0-9 _ . -']),
    (ECHO + "options { colour = red } }",
     ['3: service "a": builtin: builtin "echo": unknown option "colour"; there are none']),
    ('service "a" {\nlisten = {"tcp://127.0.0.1:0"}\nbuiltin = "qotd"\noptions { fil = x } }',
     ['3: service "a": builtin: builtin "qotd": unknown option "fil"; known: file']),
    ('service "a" {\nlisten = {"tcp://127.0.0.1:0"}\nbuiltin = "ech" }',
     [f'3: service "a": builtin: builtin "ech": there is none of that name; {BUILTINS}']),
]


@pytest.mark.parametrize("text, expected", KEYS, ids=range(len(KEYS)))
def test_keys(programs, path, text, expected):
    refused(programs, path, text, *expected)


def test_very_many_unknown_keys(programs, path):
    names = [f"unknown_{i:03}" for i in range(200)]
    text = ECHO + "\n".join(f"{name} = 1" for name in names) + "\n}"
    refused(programs, path, text,
            *(f'{i + 4}: service "a": {name}: {LISTED}' for i, name in enumerate(names)))


# Values.

TIME = "a time as in 500ms, 30s, 5m, 1h, 1d, or 0"
SIZE = "a size as in 512, 64K, 10M, 2G, or inherit"
MODE = "octal permissions as in 0660, at most 0777"
LEVELS = "one of error, warning, notice, info, debug"
PATH = "an absolute path"
RATE = "a rate as in 100/s, 600/m, 10/h, or 0"
RULE = ("an address or a network as in 192.0.2.7, 10.0.0.0/8, 2001:db8::/32, or uid:NAME, "
        "gid:NAME")
SIGNAL = "a signal's name as in TERM, INT, QUIT, HUP"
INT_MAX = 2 ** 31 - 1
HUGE = "99999999999999999999"
NOT_NUMBERS = ["", "10x", "x", "1.5", " 1", "1 ", "0x10", "+1", "1,000", HUGE]


def number(low, high, *, inherit=False):
    return f"a number from {low} to {high}" + (", or inherit" if inherit else "")


# key: what is expected, and values that are not.
VALUES = {
    "log_level": (LEVELS, ["", "Info", "loud", "info ", "3"]),
    "exit_idle": (TIME, ["", "-1s", "366"]),
    "enabled": ("true or false", ["", "2", "TRUE", "true ", "maybe"]),
    "nodelay": ("true or false", ["-1", "tru"]),
    "keepalive": ("true or false", ["00"]),
    "free_bind": ("true or false", ["y"]),
    "log_connections": ("true or false", ["all"]),
    "workers_total": (number(0, 16384), [*NOT_NUMBERS, "-1", "16385"]),
    "workers": (number(0, 8192), [*NOT_NUMBERS, "-1", "8193"]),
    "workers_max": (number(1, 8192), [*NOT_NUMBERS, "-1", "0", "8193"]),
    "spare": (number(0, 8192), ["", "two", "8193"]),
    "shrink_after": (TIME, ["", "60", "never"]),
    "recycle_memory": ("a size as in 64K, 10M, 2G, or 0", [*NOT_NUMBERS, "inherit", "10m"]),
    "allow": (RULE, ["", "10.0.0", "10.0.0.0-10.1.0.0", "localhost", "*", "[::1]", "user:root"]),
    "deny": (RULE, [" ::1", "10.0.0.0,8"]),
    "proxy_from": (RULE, ["haproxy", "unix"]),
    "per_source": (number(0, 16384), [*NOT_NUMBERS, "-1", "16385", "UNLIMITED"]),
    "rate": (RATE, [*NOT_NUMBERS, "100", "-1/s", "100/", "/s", "100/S", "100/d", "100/sec",
                    "1.5/s", "100 /s"]),
    "rate_per_source": (RATE, ["", "1", "10/5s"]),
    "queue_timeout": (TIME, ["", "5"]),
    "proxy_protocol": ("one of off, accept, require", ["", "on", "v2", "Require"]),
    "backlog": (number(1, INT_MAX), [*NOT_NUMBERS, "-1", "0", str(INT_MAX + 1)]),
    "recycle_after": ("a number from 0 up", [*NOT_NUMBERS, "-1"]),
    "nice": (number(-20, 19, inherit=True), [*NOT_NUMBERS, "--1", "-", "-21", "20", "Inherit"]),
    "limit_nofile": (number(16, INT_MAX, inherit=True), [*NOT_NUMBERS, "-1", "15"]),
    "limit_cpu": (number(1, INT_MAX, inherit=True), [*NOT_NUMBERS, "0"]),
    "limit_nproc": (number(0, INT_MAX, inherit=True), [*NOT_NUMBERS, "-1"]),
    "limit_as": (SIZE, [*NOT_NUMBERS, "-1", "10k", "10 M", "1T", "9999999999G"]),
    "limit_core": (SIZE, ["", "1.5M", "unlimited"]),
    "start_timeout": (TIME, [*NOT_NUMBERS, "-1", "30", "1y", "1 s", "1h30m", "9999999999999999d"]),
    "idle_timeout": (TIME, ["", "60", "-1s", "1S"]),
    "stop_timeout": (TIME, ["never", "5min"]),
    "defer_accept": (TIME, ["on", "5"]),
    "connection_timeout": (TIME, ["", "1", "-1h"]),
    "socket_mode": (MODE, ["", "8", "0888", "1777", "1000", "-1", "0o660", "rw", "660 "]),
    "umask": (MODE, ["", "x", "01000"]),
    "chroot": (PATH, ["srv", "./srv", " /srv"]),
    "directory": (PATH, ["srv", "~"]),
    "bind_device": ("at most 15 characters", ["a-name-of-16-let"]),
    "prestart": ("true or false", ["", "ahead"]),
    "stderr": ("one of log, client", ["", "Log", "socket"]),
    "pass_as": ("one of systemd, stdin", ["", "fd"]),
    "stop_signal": (SIGNAL, ["", "term", "15", "SIG", "SIGSIGTERM", "TERM ", "NONE", "RTMIN"]),
}
# These are texts; what they name is looked up.
TEXTS = {"listen", "builtin", "module", "user", "group", "socket_user", "socket_group",
         "busy_message"}
# Those of these are in test_bad_programs.py.
PROGRAMS = {"exec", "acceptor", "environment"}
# Services of a kind that has the key.
KINDS = {**dict.fromkeys(["prestart", "stderr"], EXEC),
         **dict.fromkeys(["pass_as", "stop_signal"], ACCEPTOR)}
BITS = "a number of bits from 0 to 32 behind the /, as in 10.0.0.0/24"
RULES = [
    ("10.0.0.0/33", BITS), ("10.0.0.0/", BITS), ("10.0.0.0/255.0.255.0", BITS),
    ("::/129", "a number of bits from 0 to 128 behind the /, as in ::/64"),
    ("10.0.0.0/255.0.0.0", "the number of bits: 10.0.0.0/8"),
    ("10.0.0.1/8", "10.0.0.0/8 for the network, or 10.0.0.1 for the one address"),
    ("2001:db8::1/32", "2001:db8::/32 for the network, or 2001:db8::1 for the one address"),
    ("::ffff:10.0.0.1/104", "10.0.0.0/8 for the network, or 10.0.0.1 for the one address"),
    ("fe80::1%lo", "no %SCOPE: a rule is about the address on every interface"),
    ("uid:", "a name or a number behind uid:"),
]
CASES = [(key, value, expected) for key, (expected, values) in VALUES.items() for value in values]
CASES += [("start_timeout", "25h", "at most 1d"), ("idle_timeout", "366d", "at most 365d"),
          ("connection_timeout", "366d", "at most 365d"), ("sandbox", "Strict", None),
          ("shrink_after", "366d", "at most 365d"), ("queue_timeout", "25h", "at most 1d"),
          ("recycle_memory", "1023K", "at least 1M, or 0"),
          ("rate", "1000001/s", "at most 1000000/s, or 0 for no limit"),
          ("rate_per_source", "9999999999/h", "at most 1000000/s, or 0 for no limit"),
          *((key, value, expected) for key in ("allow", "deny", "proxy_from")
            for value, expected in RULES)]


@pytest.mark.parametrize("key, value, expected", CASES, ids=lambda x: repr(x)[:20])
def test_value(programs, path, key, value, expected):
    if key == "sandbox":
        strict = 'sandbox = \'strict\'' in preforkd(
            programs, "--dump", "--listen", "tcp://127.0.0.1:0", "--builtin", "echo").out
        expected = "one of off, basic" + (", strict" if strict else "")
    refused(programs, path, f'# a default\n{key} = "{value}"\n' + ECHO + "}",
            f"2: {key}: {right(value, expected)}")
    if key not in ("log_level", "exit_idle", "workers_total"):
        refused(programs, path, KINDS.get(key, ECHO) + f"\n{key} = '{value}'\n}}",
                f'5: service "a": {key}: {right(value, expected)}')


def test_every_key_is_tried(programs, path):
    write(path, EVERY_KIND)
    dump = preforkd(programs, "--dump", "--config", path).out
    keys = {line.split()[0] for line in dump.splitlines() if " = " in line}
    assert keys == set(VALUES) | TEXTS | PROGRAMS | {"sandbox"}


@pytest.mark.parametrize("key, what", [("user", "user"), ("group", "group"),
                                       ("socket_user", "user"), ("socket_group", "group")])
@pytest.mark.parametrize("name", ["no-such-name", "4294967295", "-1"])
def test_unknown_user_or_group(programs, path, key, what, name):
    refused(programs, path, ECHO + f'{key} = "{name}" }}',
            f'4: service "a": {key}: there is no {what} "{name}" on this machine')


def test_user_and_group_are_both_looked_up(programs, path):
    refused(programs, path, ECHO + 'user = no-such-user\ngroup = no-such-group }',
            '5: service "a": group: there is no group "no-such-group" on this machine',
            '4: service "a": user: there is no user "no-such-user" on this machine')


def test_user_number_without_entry_needs_a_group(programs, path):
    refused(programs, path, ECHO + "user = 4242424 }",
            '4: service "a": user: 4242424 has no entry on this machine, so group must be given')


# Services.

SERVICES = [
    ("", ["no service is configured and enabled"]),
    ("workers = 3", ["no service is configured and enabled"]),
    (ECHO + "enabled = false }", ["no service is configured and enabled"]),
    ('service "a" {}', [f"1: {HANDLER}", f"1: {LISTEN}"]),
    ('service "a" {\nbuiltin = "echo" }', [f"1: {LISTEN}"]),
    ('service "a" {\nbuiltin = "echo"\nlisten = {} }', [f"3: {LISTEN}"]),
    ('service "a" {\nlisten = {"tcp://127.0.0.1:0"} }', [f"1: {HANDLER}"]),
    ('service "a" {\nlisten = {"tcp://127.0.0.1:0"}\nbuiltin = "" }', [f"3: {HANDLER}"]),
    (ECHO + "module = x }", [f'4: service "a": module: {ONE}']),
    (ECHO + 'exec = "/bin/cat" }', [f'4: service "a": exec: {ONE}']),
    (EXEC + 'acceptor = "/bin/cat" }', [f'4: service "a": acceptor: {ONE}']),
    (ECHO + 'module = x\nexec = "/no"\nacceptor = "/no" }',
     [f'{line}: service "a": {key}: {ONE}' for line, key in
      ((4, "module"), (5, "exec"), (6, "acceptor"))]),
    ('service "a" {\nlisten = {"tcp://127.0.0.1:0"}\nexec = {}\nacceptor = {} }',
     [f"1: {HANDLER}"]),
    (ECHO + "}\n" + ECHO.replace(":0", ":7") + "}",
     ['5: service "a": given twice; first at FILE:1']),
    (ECHO.replace('"a"', '""') + "}", [f'1: service "": {NAME}']),
    (ECHO.replace('"a"', '"a b"') + "}", [f'1: service "a b": {NAME}']),
    (ECHO.replace('"a"', '"../a"') + "}", [f'1: service "../a": {NAME}']),
    (ECHO.replace('"a"', f'"{LONG}"') + "}", [f'1: service "{LONG}": {NAME}']),
    (ECHO + "workers = 8192 }\n" + ECHO.replace('"a"', "b") + "}",
     ["all services together want 8196 workers; at most 8192 are possible"]),
]


@pytest.mark.parametrize("text, expected", SERVICES, ids=range(len(SERVICES)))
def test_services(programs, path, text, expected):
    refused(programs, path, text, *(line.replace("FILE", str(path)) for line in expected))


# Addresses.

NO_PORT = "a port is missing, as in "
SCHEMES = ("unknown scheme; there are tcp tcp4 tcp6 udp udp4 udp6 unix unixgram unixpacket "
           "systemd")
ADDRESSES = [
    ("", "a scheme is missing, as in tcp://HOST:PORT or unix:///PATH"),
    ("127.0.0.1:7", "a scheme is missing, as in tcp://HOST:PORT or unix:///PATH"),
    ("tcp:127.0.0.1:7", "a scheme is missing, as in tcp://HOST:PORT or unix:///PATH"),
    ("http://127.0.0.1:7", SCHEMES),
    ("TCP://127.0.0.1:7", SCHEMES),
    ("tcp://127.0.0.1", NO_PORT + "tcp://HOST:PORT"),
    ("udp4://127.0.0.1:", NO_PORT + "udp4://HOST:PORT"),
    ("tcp://[::1]", NO_PORT + "tcp://[::1]:7"),
    ("tcp://[::1:7", "a ] is missing, as in tcp://[::1]:7"),
    ("tcp://[::1]7", "only :PORT may follow the ], as in tcp://[::1]:7"),
    ("tcp://::1:7", "an IPv6 address needs brackets, as in tcp://[::1]:7"),
    ("tcp4://::1:7", "an IPv6 address needs brackets, as in tcp6://[::1]:7"),
    ("tcp://[::g]:7", "what the brackets hold is not an IPv6 address"),
    ("tcp://[127.0.0.1]:7", "an IPv4 address takes no brackets, as in tcp://127.0.0.1:7"),
    ("tcp4://[::1]:7", "::1 is an IPv6 address, which takes tcp6://"),
    ("udp6://127.0.0.1:7", "127.0.0.1 is an IPv4 address, which takes udp4://"),
    ("tcp://:7", "a host is missing; every address is *, as in tcp://*:7"),
    ("tcp://127.1:7", "127.1 is not an IPv4 address"),
    ("tcp://256.0.0.1:7", "256.0.0.1 is not an IPv4 address"),
    ("tcp://127.0.0.1:65536", "port 65536 is above 65535"),
    ("tcp://127.0.0.1:-1", "the port is neither a number nor a name of /etc/services"),
    ("tcp://127.0.0.1: 7", "an address holds no spaces and no control characters"),
    ("tcp://fe80::1%lo:7", "an IPv6 address needs brackets, as in tcp://[::1]:7"),
    ("tcp://[fe80::1%]:7", "a scope is missing after the %, as in tcp://[fe80::1%eth0]:7"),
    ("unix://", "a path is missing, as in unix:///PATH or unix://@NAME"),
    ("unixgram://s", "the path is not absolute: it must begin with /, as in unixgram:///PATH"),
    ("unix://@", "a name is missing after the @, as in unix://@NAME"),
    ("unixpacket:///" + "x" * 107, "the path is longer than 107 bytes"),
]
UNRESOLVED = [
    ("tcp://[fe80::1%no-such-if]:7", 'there is no interface "no-such-if"'),
    ("tcp://127.0.0.1:no-such-port", 'port "no-such-port" is not in /etc/services: '
     "Servname not supported for ai_socktype"),
]


@pytest.mark.parametrize("address, reason", ADDRESSES + UNRESOLVED, ids=lambda x: x[:20])
def test_address(programs, path, address, reason):
    refused(programs, path, f'service a {{\n\nlisten = {{"{address}"}} builtin = echo }}',
            f'3: service "a": listen: address "{address}": {reason}')


def test_all_bad_addresses_are_told(programs, path):
    text = ", ".join(f'"{address}"' for address, _ in ADDRESSES)
    refused(programs, path, f"service a {{ listen = {{{text}}} builtin = echo }}",
            *(f'1: service "a": listen: address "{a}": {reason}' for a, reason in ADDRESSES))


def two(one, other):
    return (f'service "a" {{ builtin = "echo" listen = {{"{one}"}} }}\n'
            f'service "b" {{ builtin = "echo" listen = {{"{other}"}} }}')


@pytest.mark.parametrize("one, other, shown", [
    ("tcp://127.0.0.1:7007", "tcp://127.0.0.1:7007", None),
    ("tcp://127.0.0.1:7007", "tcp4://127.0.0.1:7007", "tcp://127.0.0.1:7007"),
    ("tcp://127.0.0.1:7007", "tcp://127.0.0.1:07007", "tcp://127.0.0.1:7007"),
    ("udp://[::1]:7007", "udp6://[0:0::1]:7007", "udp://[::1]:7007"),
    ("tcp://127.0.0.1:7", "tcp://127.0.0.1:echo", "tcp://127.0.0.1:7"),
    ("tcp4://*:7007", "tcp4://0.0.0.0:7007", "tcp://0.0.0.0:7007"),
    ("unix:///run/s", "unix:///run/s", None),
    ("unix://@s", "unix://@s", None),
])
def test_duplicate_address(programs, path, one, other, shown):
    if other.endswith("echo"):
        assert socket.getservbyname("echo") == 7
    refused(programs, path, two(one, other),
            f'2: service "b": listen: {shown or one} is listened on by service "a" already')
    told = (f'{shown} is listened on by service "a" already' if shown else f'"{one}" given twice')
    refused(programs, path, f'service "a" {{ builtin = "echo"\nlisten = {{"{one}", "{other}"}} }}',
            f'2: service "a": listen: {told}')


def test_name_that_is_an_address_already_taken(programs, path):
    hosts = {a[4][0] for a in socket.getaddrinfo("localhost", 7, type=socket.SOCK_STREAM)}
    assert "127.0.0.1" in hosts
    refused(programs, path, two("tcp://127.0.0.1:7007", "tcp://localhost:7007"),
            '2: service "b": listen: tcp://127.0.0.1:7007 is listened on by service "a" already')


@pytest.mark.parametrize("one, other", [
    ("tcp://127.0.0.1:7007", "udp://127.0.0.1:7007"),
    ("tcp://127.0.0.1:7007", "tcp://127.0.0.2:7007"),
    ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0"),
    ("unix:///run/s", "unix://@/run/s"),
])
def test_not_the_same_address(programs, path, one, other):
    result = check(programs, path, two(one, other))
    assert (result.lines, result.code) == ([f"{path}: ok, 2 services"], 0)


# Files.


def test_missing_file(programs, path):
    result = check(programs, path)
    assert (result.lines, result.code) == ([f"{path}: No such file or directory"], CONFIG)


def test_folder_for_a_file(programs, tmp_path):
    result = check(programs, tmp_path)
    assert (result.lines, result.code) == ([f"{tmp_path}: Is a directory"], CONFIG)


@pytest.mark.parametrize("text, reason", [
    (b"workers = 1\n\0", "holds a NUL byte; not a text file"),
    (b"#" + b"x" * (1 << 20), "File too large"),
], ids=["NUL", "size"])
def test_not_a_text_file(programs, path, text, reason):
    refused(programs, path, text, f": {reason}")


def test_mistakes_of_several_files(programs, path):
    folder = path.parent / "conf.d"
    write(folder / "a.conf", "\nworkers = 0x")
    write(folder / "b.conf", ECHO + "}\n" + ECHO.replace('"a"', '"c"') + "nice = 20 }")
    os.symlink("nowhere", folder / "c.conf")
    write(folder / "d.conf", "nice = {1}")
    write(folder / "not-read", "}")
    result = check(programs, path, ECHO + "nice = 21 }")
    assert result.lines == [
        f"{folder}/c.conf: No such file or directory",
        f"{folder}/d.conf:1: syntax: unexpected token '{{'",
        f'{folder}/b.conf:1: service "a": given twice; first at {path}:1',
        f'{path}:4: service "a": nice: ' + right("21", VALUES["nice"][0]),
        f"{folder}/a.conf:2: workers: " + right("0x", VALUES["workers"][0]),
        f'{folder}/b.conf:8: service "c": nice: ' + right("20", VALUES["nice"][0]),
    ]
    assert result.code == CONFIG
