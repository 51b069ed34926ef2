# SPDX-License-Identifier: ISC
"""What a configuration means: files and their order, defaults, the command line, and --dump, which
shows it and is itself a configuration that means the same."""

import re

import pytest
from checking import ACCEPTOR, ECHO, EVERY_KIND, EXEC, IOERR, check, module, preforkd, write
from daemon import exchange


@pytest.fixture(name="path")
def fixture_path(tmp_path):
    return tmp_path / "preforkd.conf"


def dump(programs, path, text=None, **options):
    if text is not None:
        write(path, text)
    result = preforkd(programs, "--dump", "--config", path, **options)
    assert (result.lines, result.code) == ([], 0)
    return result.out


def keys_of(text, service=None):
    """The keys of a service in a dump without line breaks in its values; else the daemon's own."""
    part = text.split("\nservice ", 1)[0]
    if service is not None:
        part = re.search(rf'^service "{re.escape(service)}" {{\n(.*?)^}}', text, re.S | re.M)[1]
    return dict(re.findall(r"^\t*(\S+) = '?(.*?)'?$", part, re.M))


# --check.


@pytest.mark.parametrize("text, count", [
    (ECHO + "}", "1 service"),
    (ECHO + "}" + ECHO.replace('"a"', '"b"') + "}", "2 services"),
])
def test_check(programs, path, text, count):
    result = check(programs, path, text)
    assert (result.lines, result.out, result.code) == ([f"{path}: ok, {count}"], "", 0)
    for options in (["-t", "-c", path], ["-c", path, "-t", "-v"]):
        result = preforkd(programs, *options)
        assert (result.lines, result.out, result.code) == ([f"{path}: ok, {count}"], "", 0)
    result = preforkd(programs, "--check", "-q", "--config", path)
    assert (result.text, result.out, result.code) == ("", "", 0)


def test_check_opens_no_socket(programs, path, daemon):
    d = daemon(args=["--listen", "tcp://127.0.0.1:0", "--builtin", "echo"])
    result = check(programs, path, ECHO.replace("tcp://127.0.0.1:0", d.address()) + "}")
    assert (result.lines, result.code) == ([f"{path}: ok, 1 service"], 0)
    assert exchange(d.address(), b"still there") == b"still there"


def test_path_of_the_file_in_the_current_folder(programs, path):
    write(path, ECHO + "}")
    write(path.parent / "conf.d/more.conf", ECHO.replace('"a"', '"b"') + "}")
    result = preforkd(programs, "-t", "-c", path.name, cwd=path.parent)
    assert (result.lines, result.code) == (["preforkd.conf: ok, 2 services"], 0)


# Files.


def test_another_file_has_another_folder(programs, path):
    """Or two instances with their files side by side would bind the same addresses."""
    web = path.parent / "web.conf"
    write(web, ECHO + "}")
    write(path.parent / "conf.d/main.conf", ECHO.replace('"a"', '"main"') + "}")
    write(path.parent / "web.conf.d/more.conf", ECHO.replace('"a"', '"more"') + "}")
    text = dump(programs, web)
    assert 'service "more"' in text and 'service "main"' not in text


def test_files_in_order(programs, path):
    folder = path.parent / "conf.d"
    write(path, "workers = 1\nnice = 1\nbacklog = 1\nlog_level = error\n" + ECHO + "}")
    write(folder / "10.conf", "workers = 10\nnice = 10\n" + ECHO.replace('"a"', '"b"') + "}")
    write(folder / "9.conf", "workers = 9\nlog_level = debug")
    write(folder / "ignored.conf.bak", "workers = 99 nonsense")
    write(folder / "sub.conf.d/x.conf", "workers = 98")
    text = dump(programs, path)
    assert keys_of(text) == {"log_level": "debug", "exit_idle": "0", "workers_total": "0"}
    for service in "ab":
        keys = keys_of(text, service)
        assert (keys["workers"], keys["nice"], keys["backlog"]) == ("9", "10", "1")
    assert text.index('service "a"') < text.index('service "b"')


@pytest.mark.parametrize("name", ["a[b]", "a*", "a b", "a?\\", "{a,b}", "~"])
def test_folder_with_a_hostile_name(programs, tmp_path, name):
    path = tmp_path / name / "preforkd.conf"
    write(path.parent / "conf.d/b.conf", ECHO.replace('"a"', '"b"') + "}")
    assert check(programs, path, ECHO + "}").lines == [f"{path}: ok, 2 services"]


def test_defaults(programs, path):
    text = dump(programs, path, "workers = 7\nidle_timeout = 5s\n" + ECHO + "workers = 3 }\n"
                + ECHO.replace('"a"', '"b"') + "}\nnodelay = off")
    a, b = keys_of(text, "a"), keys_of(text, "b")
    assert (a["workers"], a["idle_timeout"], a["nodelay"]) == ("3", "5s", "false")
    assert (b["workers"], b["idle_timeout"], b["nodelay"]) == ("7", "5s", "false")


def test_a_default_is_as_if_it_stood_in_the_service(programs, path):
    services = [ECHO, ECHO.replace('"a"', '"b"')]
    values = {"workers": "2", "user": "", "umask": "0077", "limit_as": "1G", "sandbox": "off",
              "directory": "/tmp", "start_timeout": "1m", "socket_mode": "0600"}
    lines = "".join(f'{key} = "{value}"\n' for key, value in values.items())
    outside = dump(programs, path, lines + "".join(s + "}\n" for s in services))
    inside = dump(programs, path, "".join(s + lines + "}\n" for s in services))
    assert outside == inside
    assert values.items() <= keys_of(inside, "b").items()


def test_enabled(programs, path):
    off = ECHO.replace('"a"', '"off"')
    text = dump(programs, path, ECHO + "}\n" + off + "enabled = false }")
    assert 'service "off"' not in text
    text = dump(programs, path, "enabled = no\n" + ECHO + "enabled = yes }\n" + off + "}")
    assert 'service "off"' not in text and keys_of(text, "a")["enabled"] == "true"
    # What is off takes nothing from the others, and need not make sense.
    twin = off.replace(":0", ":7007") + "enabled = off }\n"
    result = check(programs, path, ECHO.replace(":0", ":7007") + "}\n" + twin
                   + 'service "empty" { enabled = 0 }')
    assert (result.lines, result.code) == ([f"{path}: ok, 1 service"], 0)


def test_enabled_service_alone_listens(daemon):
    d = daemon(ECHO + "}\n" + ECHO.replace('"a"', '"off"') + "enabled = false }")
    assert len(d.addresses("a")) == 1 and d.addresses("off") == []
    assert exchange(d.address("a"), b"x") == b"x"
    assert d.stop() == 0


# Values.


@pytest.mark.parametrize("value, shown", [
    ("0", "0"), ("0s", "0"), ("500ms", "500ms"), ("1000ms", "1s"), ("30s", "30s"), ("60s", "1m"),
    ("90s", "90s"), ("5m", "5m"), ("60m", "1h"), ("1h", "1h"), ("24h", "1d"), ("1d", "1d"),
    ("007s", "7s"), ("365d", "365d")])
def test_times(programs, path, value, shown):
    assert keys_of(dump(programs, path, ECHO + f"idle_timeout = {value} }}"),
                   "a")["idle_timeout"] == shown


@pytest.mark.parametrize("value, shown", [
    ("0", "0"), ("512", "512"), ("1024", "1K"), ("64K", "64K"), ("1024K", "1M"), ("10M", "10M"),
    ("2G", "2G"), ("1025", "1025"), ("inherit", "inherit")])
def test_sizes(programs, path, value, shown):
    assert keys_of(dump(programs, path, ECHO + f"limit_as = {value} }}"), "a")["limit_as"] == shown


@pytest.mark.parametrize("key, value, shown", [
    ("nice", "-20", "-20"), ("nice", "19", "19"), ("nice", "-0", "0"),
    ("nice", "inherit", "inherit"), ("connection_timeout", "90m", "90m"),
    ("workers", "0", "0"), ("workers_max", "8192", "8192"), ("spare", "64", "64"),
    ("shrink_after", "90s", "90s"), ("recycle_memory", "1024K", "1M"),
    ("queue_timeout", "1000ms", "1s"), ("per_source", "16384", "16384"),
    ("rate", "100/s", "100/s"), ("rate", "60/m", "60/m"), ("rate", "0/h", "0"),
    ("rate_per_source", "007/h", "7/h"), ("proxy_protocol", "off", "off"),
    ("limit_nofile", "16", "16"), ("recycle_after", "9223372036854775807", "9223372036854775807"),
    ("socket_mode", "0", "0000"), ("socket_mode", "777", "0777"), ("umask", "00022", "0022"),
    *((("keepalive", word, "true") for word in ("true", "yes", "on", "1"))),
    *((("keepalive", word, "false") for word in ("false", "no", "off", "0"))),
])
def test_other_values(programs, path, key, value, shown):
    assert keys_of(dump(programs, path, ECHO + f"{key} = {value} }}"), "a")[key] == shown


@pytest.mark.parametrize("text, key, value, shown", [
    (EXEC, "prestart", "yes", "true"),
    (EXEC, "stderr", "client", "client"), (ACCEPTOR, "pass_as", "stdin", "stdin"),
    *((ACCEPTOR, "stop_signal", word, word.removeprefix("SIG"))
      for word in ("TERM", "SIGTERM", "QUIT", "SIGUSR1", "WINCH", "KILL")),
])
def test_values_of_programs(programs, path, text, key, value, shown):
    assert keys_of(dump(programs, path, text + f"{key} = {value} }}"), "a")[key] == shown


@pytest.mark.parametrize("keys, workers, most, spare", [
    ("", "4", "64", "2"), ("workers = 8", "8", "8", "2"), ("workers = 1", "1", "1", "1"),
    ("workers = 0", "0", "64", "2"), ("workers_max = 3", "3", "3", "2"),
    ("workers = 2 workers_max = 9 spare = 0", "2", "9", "0")])
def test_sizes_of_pools(programs, path, keys, workers, most, spare):
    """Who gives workers alone has a pool that does not grow."""
    for text in (f"{ECHO}{keys} }}", f"{keys}\n{ECHO} }}"):
        found = keys_of(dump(programs, path, text), "a")
        assert (found["workers"], found["workers_max"], found["spare"]) == (workers, most, spare)


def test_rules(programs, path):
    """As they were written; they are looked up when they are loaded."""
    rules = "{'10.0.0.0/8', '::FFFF:192.0.2.1', '2001:DB8::/32', 'uid:root', 'gid:0'}"
    text = dump(programs, path, ECHO + f"allow = {rules}\ndeny = {rules} proxy_from = {rules} }}")
    keys = keys_of(text, "a")
    assert (keys["allow"], keys["deny"], keys["proxy_from"]) == (rules, rules, rules)
    assert dump(programs, path, text) == text


def test_many_rules(programs, path):
    rules = ", ".join(f"{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}.0/24" for i in range(20000))
    result = check(programs, path, ECHO + f"allow = {{{rules}}} }}")
    assert (result.lines, result.code) == ([f"{path}: ok, 1 service"], 0)


def test_a_default_of_a_list_is_replaced(programs, path):
    text = dump(programs, path, 'environment = {"A=1", "B=2"}\n' + EXEC + "}\n"
                + EXEC.replace('"a"', '"b"') + 'environment = "C=3" }\n'
                + EXEC.replace('"a"', '"c"') + "environment = {} }\n"
                + EXEC.replace('"a"', '"d"') + 'environment += "D=4" }\n')
    assert [keys_of(text, name)["environment"] for name in "abcd"] == [
        "{'A=1', 'B=2'}", "{'C=3'}", "{}", "{'D=4'}"]


ENVIRONMENT = {"PLACE": "/srv/it's \"here\"\\", "EMPTY": ""}


@pytest.mark.parametrize("value, directory", [
    ('"${PLACE}"', ENVIRONMENT["PLACE"]),
    ('"/a${PLACE}b$PLACE$"', "/a" + ENVIRONMENT["PLACE"] + "b$PLACE$"),
    ('"/${NOT_SET_HERE}x"', "/x"),
    ('"/${NOT_SET_HERE:-else}"', "/else"),
    ('"${EMPTY:-else}/x"', "/x"),
    ("${PLACE}", ENVIRONMENT["PLACE"]),
    ("'/${PLACE}'", "/${PLACE}"),
    ('"/\\${PLACE}"', "/${PLACE}"),
])
def test_environment(programs, path, value, directory):
    text = dump(programs, path, ECHO + f"directory = {value} }}", env=ENVIRONMENT)
    shown = directory.replace("\\", "\\\\").replace("'", "\\'")
    assert f"\tdirectory = '{shown}'\n" in text


# The command line.


def test_service_on_the_command_line(programs, tmp_path):
    file = write(tmp_path / "quotations", "one\n%\ntwo\n")
    result = preforkd(
        programs, "--dump", "--listen", "unix://@a", "--listen", "unix://@b", "--builtin", "qotd",
        "--workers", "3", "--set", "idle_timeout=5s", "--set", "listen=unix://@c", "--set",
        "log_level=debug", "--set", "directory=/a=b", "--set", f"options.file={file}")
    assert (result.lines, result.code) == ([], 0)
    assert keys_of(result.out) == {"log_level": "debug", "exit_idle": "0", "workers_total": "0"}
    keys = keys_of(result.out, "main")
    assert "listen = {'unix://@a', 'unix://@b', 'unix://@c'}\n" in result.out
    assert keys.items() >= {"builtin": "qotd", "workers": "3", "idle_timeout": "5s",
                            "directory": "/a=b", "file": str(file)}.items()


def test_command_line_means_what_a_file_means(programs, path):
    hostile = "${HOME} # 'a' \\ \"b\" /* c */ // d\n\u00e9"
    file = module(programs, "hello")
    args = ["--listen", "unix://@a", "--module", file, "--set", f"options.x={hostile}"]
    result = preforkd(programs, "--check", *args)
    assert (result.lines, result.code) == (["command line: ok, 1 service"], 0)
    text = preforkd(programs, "--dump", *args).out
    assert dump(programs, path, text) == text


@pytest.mark.parametrize("kind", ["exec", "acceptor"])
def test_program_on_the_command_line(programs, path, kind):
    """All that follows the two dashes is its own, whatever it looks like."""
    arguments = ["-n", "--", "--listen", "x", "", "--exec", "--help", "a b", "it's", "{}", "$HOME"]
    result = preforkd(
        programs, "--dump", "--listen", "unix://@a", f"--{kind}", "--workers", "2", "--set",
        "environment=A=1", "--set", "environment=B=b=b", "--set", "nice=1", "--", "/bin/cat",
        *arguments)
    assert (result.lines, result.code) == ([], 0)
    quoted_list = ", ".join(quoted(text) for text in ["/bin/cat", *arguments])
    assert f"\t{kind} = {{{quoted_list}}}\n" in result.out
    keys = keys_of(result.out, "main")
    assert keys["environment"] == "{'A=1', 'B=b=b'}"
    assert (keys["workers"], keys["nice"]) == ("2", "1")
    assert dump(programs, path, result.out) == result.out


def test_program_by_set(programs):
    """A list: each --set one more, as --listen."""
    result = preforkd(programs, "--dump", "--listen", "unix://@a", "--set", "exec=/bin/cat",
                      "--set", "exec=-n")
    assert "\texec = {'/bin/cat', '-n'}\n" in result.out


def test_program_of_the_command_line_serves(daemon):
    d = daemon(args=["--listen", "tcp://127.0.0.1:0", "--workers", "1", "--exec", "--",
                     "/bin/cat", "-n", "-"])
    for text in (b"one\n", b"two\nthree\n"):
        lines = exchange(d.address(), text).splitlines()
        assert [line.split() for line in lines] == [
            [b"%d" % n, line] for n, line in enumerate(text.split(), 1)]
    assert d.status()["pools"][0]["handler"] == "cat"
    assert d.stop() == 0


def test_command_line_serves(daemon):
    d = daemon(args=["--listen", "tcp://127.0.0.1:0", "--builtin", "echo", "--workers", "1",
                     "--set", "listen=udp://127.0.0.1:0"])
    for address in d.addresses("main"):
        assert exchange(address, b"x") == b"x"
    assert [p["address"].split(":")[0] for p in d.status()["pools"]] == ["tcp", "udp"]
    assert d.stop() == 0


# --dump.

HOSTILE = [
    "", " ", "'", '"', "\\", "\\\\", "\\'", "'\\", "it's \"it\"", "${HOME}", "$HOME", "${", "#",
    "//", "/*",
    "*/", "/* '", "a // b # c", "{", "}", "}\n}", "=", "+=", "a,b", "\n", "a\nb\\\nc", "\\n",
    "\\", "\t", "\r\n", "\x01", "\x7f", "\u00e9\u4e16\U0001f600", "\u2028", "inherit", "'}'\n\\",
    "x" * 5000, "\udcff\udc80", "\x01{}x",
]


def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def test_dump_of_hostile_strings(programs, path):
    file = module(programs, "hello")
    options = "".join(f"o{i} = {quoted(text)}\n" for i, text in enumerate(HOSTILE))
    source = (f'service "a" {{ listen = {{"unix://@a"}} module = "{file}"\n'
              f"options {{\n{options}}} }}")
    text = dump(programs, path, source)
    for i, value in enumerate(HOSTILE):
        assert f"\t\to{i} = {quoted(value)}\n" in text
    assert dump(programs, path, text) == text


@pytest.mark.parametrize("value", [t for t in HOSTILE if t], ids=range(len(HOSTILE) - 1))
def test_dump_of_a_hostile_path(programs, path, value):
    text = dump(programs, path, ECHO + f"directory = {quoted('/' + value)}\n}}")
    assert f"\tdirectory = {quoted('/' + value)}\n" in text
    assert dump(programs, path, text) == text


def test_dump_of_everything_loads_to_the_same(programs, path):
    text = dump(programs, path, ECHO + "nice = -1 limit_core = 0 limit_as = 1025 umask = 0\n"
                'idle_timeout = 90s socket_group = 0 }\nlog_level = warning\nservice "q-1.x_" {\n'
                'listen = {"unix://@a", "tcp://[::1]:7007", "udp4://*:0"} builtin = "qotd"\n'
                "enabled = on sandbox = off bind_device = lo }")
    assert dump(programs, path, text) == text
    assert dump(programs, path, keys_only(text)) == text


def test_dump_of_every_kind(programs, path):
    """It has no key that would be a mistake there."""
    text = dump(programs, path, EVERY_KIND)
    assert dump(programs, path, text) == text
    assert dump(programs, path, keys_only(text)) == text
    kinds = [set(keys_of(text, name)) for name in "abc"]
    for kind, keys in zip(kinds, ({"idle_timeout", "recycle_memory"}, {"prestart", "stderr"},
                                  {"pass_as", "stop_signal"})):
        assert [bool(keys & other) for other in kinds].count(True) == 1 and keys <= kind


@pytest.mark.parametrize("kind", ["exec", "acceptor"])
def test_dump_of_hostile_programs(programs, path, kind):
    arguments = ", ".join(map(quoted, HOSTILE))
    variables = ", ".join(quoted(f"A{i}={value}") for i, value in enumerate(HOSTILE))
    text = dump(programs, path, f"""service "a" {{
    listen = {{"unix://@a"}} stop_timeout = 1h sandbox = off
    {kind} = {{"/bin/cat", {arguments}}}
    environment = {{{variables}}}
}}""")
    assert f"\t{kind} = {{'/bin/cat', {arguments}}}\n" in text
    assert f"\tenvironment = {{{variables}}}\n" in text
    assert dump(programs, path, text) == text


def keys_only(text):
    """The services of a dump, their keys in another order."""
    def turn(match):
        return match[1] + "".join(reversed(match[2].splitlines(True))) + "}"
    return re.sub(r'(service "\S+" {\n)(.*?)}$', turn, text, flags=re.S | re.M)


def test_dump_cannot_be_written(programs, path):
    write(path, ECHO + "}")
    with open("/dev/full", "wb") as full:
        result = preforkd(programs, "--dump", "--config", path, stdout=full)
    assert result.code == IOERR


def test_help_and_version(programs):
    for args in (["--help"], ["-h"], ["--listen", "x", "-h"]):
        result = preforkd(programs, *args)
        assert (result.lines, result.code) == ([], 0) and result.out.startswith("Usage: preforkd ")
    for args in (["--version"], ["-V"], ["-q", "-V"]):
        result = preforkd(programs, *args)
        assert (result.lines, result.code) == ([], 0)
        assert re.fullmatch(r"preforkd \d\S*\n", result.out)
