# SPDX-License-Identifier: ISC
"""Mistakes in the syntax: what and where; and that places are right whatever stands before them."""

import pytest
from checking import CONFIG, ECHO, check, preforkd, write

WORKERS = '"10x" is not right here; expected a number from 0 to 8192'
ESCAPE = r"a bad escape in a string (\ddd is octal, at most \377)"

# The text, and where and what.
SYNTAX = {
    "brace": (ECHO + "\n", 1, "a brace that is never closed"),
    "inner brace": (ECHO + "\noptions {\n}\n options { a = b\n", 7, "a brace that is never closed"),
    "list": (ECHO + "}\n" + 'service "b" {\nlisten = {"tcp://127.0.0.1:0"\n', 6,
             "a brace that is never closed"),
    "closing brace": (ECHO + "}\n\n}\n", 6, "a closing brace that closes nothing"),
    "nesting": ("{\n" * 65, 65, "braces nested too deeply"),
    "string": (ECHO + 'user = "nobody\n}\n', 4, "a string that is never closed"),
    "single quotes": (ECHO + "}\nuser = 'nobody\"\n", 5, "a string that is never closed"),
    "escaped quote": (ECHO + '\nuser = "nobody\\" }\n', 5, "a string that is never closed"),
    "backslash at the end": ('\nuser = "nobody\\', 2, "a string that is never closed"),
    "comment": (ECHO + "}\n/* a\n * b\n", 5, "a comment that is never closed"),
    "short comment": (ECHO + "} /*/", 4, "a comment that is never closed"),
    "quote in a comment": (ECHO + "} # it's\n}", 5, "a closing brace that closes nothing"),
    "escape 400": (ECHO + '\nuser = "a\n\\400" }\n', 6, ESCAPE),
    "escape 89": (ECHO + 'user = "\\89" }\n', 4, ESCAPE),
    "escape 1234": (ECHO + 'user = "\\1234" }\n', 4, ESCAPE),
    "no equal sign": (ECHO + "workers 1 }\n", 4, "missing equal sign after option 'workers'"),
    "unknown section": (ECHO + "}\nservices { }\n", 5,
                        "missing equal sign after option 'services'"),
    "no value": (ECHO + "workers = }\n", 4, "unexpected token '}'"),
    "list for a value": (ECHO + "workers = {1, 2} }\n", 4, "unexpected token '{'"),
    "append to a value": (ECHO + "workers += 1 }\n", 4,
                          "attempt to append to non-list option 'workers'"),
    "no title": ("\nservice {\n}\n", 2, "missing title for section 'service'"),
    "two titles": ('service "a" "b" {\n}\n', 1, "missing opening brace for section 'service'"),
    "service in a service": (ECHO + 'service "b" { } }', 4,
                             "missing equal sign after option 'service'"),
    "options outside": ("options { a = b }\n" + ECHO + "}", 1,
                        "missing equal sign after option 'options'"),
}


@pytest.fixture(name="path")
def fixture_path(tmp_path):
    return tmp_path / "preforkd.conf"


@pytest.mark.parametrize("text, line, what", SYNTAX.values(), ids=SYNTAX)
def test_syntax(programs, path, text, line, what):
    result = check(programs, path, text)
    assert (result.lines, result.code) == ([f"{path}:{line}: syntax: {what}"], CONFIG)


@pytest.mark.parametrize("good", [r"\377", r"\0", r"\12", r"\\400", r"\n400", r"\x41"])
def test_escapes_that_are_right(programs, path, good):
    result = check(programs, path, ECHO + f'}}\nservice "b" {{ listen = {{"unix://@b"}}\n'
                   f'builtin = "echo" enabled = false directory = "/{good}" }}')
    assert (result.lines, result.code) == ([f"{path}: ok, 1 service"], 0)


def test_first_syntax_error_of_each_file_and_every_value(programs, path):
    folder = path.parent / "conf.d"
    write(folder / "1.conf", "\n}\n")
    write(folder / "2.conf", "nice = 99\nworkers 1\nnice = 98")
    write(folder / "3.conf", 'service "c" { listen = {"unix://@c"} builtin = "echo"\nnice = x }')
    result = check(programs, path, ECHO + "workers = 10x\nuser = {a}\numask = {b}")
    nice = "is not right here; expected a number from -20 to 19, or inherit"
    assert result.lines == [
        f"{path}:1: syntax: a brace that is never closed",
        f"{folder}/1.conf:2: syntax: a closing brace that closes nothing",
        f"{folder}/2.conf:2: syntax: missing equal sign after option 'workers'",
        f'{folder}/2.conf:1: nice: "99" {nice}',
        f'{folder}/3.conf:2: service "c": nice: "x" {nice}',
    ]
    assert result.code == CONFIG


def test_what_a_syntax_error_cut_off_is_not_missing(programs, path):
    result = check(programs, path, 'service "a" {\nnice = 99\nworkers 1\nbuiltin = "echo"\n}')
    assert result.lines == [
        f"{path}:3: syntax: missing equal sign after option 'workers'",
        f'{path}:2: service "a": nice: "99" is not right here; '
        "expected a number from -20 to 19, or inherit",
    ]


# What stands before a mistake.
BEFORE = {
    "nothing": "",
    "lines": "\n\n\t\n  \n",
    "comments": "# a\n## b\n// c\n//// d\n#\n//\n\t# e\n",
    "comments behind": "nice = 1 # one\numask = 022 // two\n",
    "C comments": "/* a */\n/**/\n/* a\n * b\n */\n/***\n\n***/ nice = 1 /* c\n*/\n",
    "comment marks in strings": "user = ''\ngroup = '#'\ndirectory = \"/*\"\nsocket_user = '//'\n",
    "strings over lines": "group = 'a\nb\n' directory = \"/a\nb\\\nc\"\n",
    "values over lines": "nice\n=\n1\numask =\n\n022\n",
    "CR LF": "nice = 1\r\n# a\r\n\r\n",
}
SERVICE = """service "x" { # c
	listen = {
	"unix://@x", # d
	"unix://@y"
	}
builtin = "echo" enabled = false
}
"""


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_line(programs, path, before):
    n = before.count("\n")
    result = check(programs, path, before + "workers = 10x\n" + SERVICE)
    assert f"{path}:{n + 1}: workers: {WORKERS}" in result.lines
    result = check(programs, path, before + SERVICE + ECHO + "workers = 10x }")
    assert f'{path}:{n + 11}: service "a": workers: {WORKERS}' in result.lines
    result = check(programs, path, SERVICE + ECHO + before + "workers = 10x }")
    assert f'{path}:{n + 11}: service "a": workers: {WORKERS}' in result.lines
    assert result.code == CONFIG


@pytest.mark.parametrize("before", ["", "# a\n", "/* a\n*/\n"])
def test_line_of_the_service_and_after_unknown_keys(programs, path, before):
    result = check(programs, path, f'{before}colour = red\n{before}service "a" {{\n{before}'
                   f"options {{ {before} colour = {{ {before} }} }}\n}}\n{before}colour = blue\n")
    n = before.count("\n")
    unknown = "there is no such key; preforkd.conf(5) lists them"
    assert result.lines == [
        f'{path}:{5 * n + 3}: service "a": options: colour: an option has one value, not a list',
        f"{path}:{6 * n + 5}: colour: given twice; first in line {n + 1}",
        f"{path}:{n + 1}: colour: {unknown}",
        f"{path}:{6 * n + 5}: colour: {unknown}",
        f'{path}:{2 * n + 2}: service "a": builtin: missing; a service needs one of builtin, '
        "module, exec and acceptor",
        f'{path}:{2 * n + 2}: service "a": listen: missing; an address, as in '
        'listen = {"tcp://127.0.0.1:7007"}',
    ]


def test_every_mistake_with_its_line(programs, path):
    result = check(programs, path, """# every kind of mistake in values and sense
workers = 10x         # a default
colour  = red         /* unknown
                       */
service "a" {
    listen  = {"tcp://127.0.0.1", # no port
               "tcp://127.0.0.1:7007"}
    builtin = "echo"
    module  = "hello"
    nice    = 99
    nice    = 1
}
// not a name
service "b c" { listen = {"unix://@b"} builtin = "echo" log_level = info }
service "a" {
    umask = 0999
}
""")
    assert sorted(line.removeprefix(f"{path}:") for line in result.lines) == sorted([
        f"2: workers: {WORKERS}",
        "3: colour: there is no such key; preforkd.conf(5) lists them",
        '6: service "a": listen: address "tcp://127.0.0.1": a port is missing, as in '
        "tcp://HOST:PORT",
        '9: service "a": module: a service has one of builtin, module, exec and '
        "acceptor",
        '10: service "a": nice: "99" is not right here; expected a number from -20 to 19, '
        "or inherit",
        '11: service "a": nice: given twice; first in line 10',
        '14: service "b c": a name is 1 to 63 of A-Z a-z 0-9 _ . -',
        '14: service "b c": log_level: belongs outside of the services: it is the daemon\'s own',
        f'15: service "a": given twice; first at {path}:5',
        '16: service "a": umask: "0999" is not right here; expected octal permissions as in '
        "0660, at most 0777",
        '15: service "a": builtin: missing; a service needs one of builtin, module, '
        "exec and acceptor",
        '15: service "a": listen: missing; an address, as in listen = {"tcp://127.0.0.1:7007"}',
    ])
    assert result.code == CONFIG


def test_every_mistake_in_names_that_are_looked_up(programs, path):
    result = check(programs, path, """service "a" {
    listen  = {"tcp://127.0.0.1:no-such-port"}
    builtin = "ech"
    user    = "no-such-user"
}
service "b" { listen = {"unix://@b"}
    builtin = "echo"
    socket_group = "no-such-group"
    options { colour = "red" }
}
""")
    assert [line.split(": ")[0] for line in result.lines] == [
        f"{path}:{n}" for n in (4, 2, 8, 3, 7)], result.text


def test_a_wrong_value_does_not_hide_a_name_that_is_not_there(programs, path):
    """Values are read first, names looked up later: both are mistakes in values."""
    result = check(programs, path, ECHO + "user = no-such-user\nworkers = 10x }")
    assert sorted(result.lines) == [
        f'{path}:4: service "a": user: there is no user "no-such-user" on this machine',
        f'{path}:5: service "a": workers: {WORKERS}',
    ]


def test_append(programs, path):
    write(path, 'service "a" { listen = {"unix://@a"}\nbuiltin = "echo"\n'
          'listen += {"unix://@b", "unix://@c"} }')
    result = preforkd(programs, "--dump", "--config", path)
    assert (result.lines, result.code) == ([], 0)
    assert "listen = {'unix://@a', 'unix://@b', 'unix://@c'}\n" in result.out
    assert "builtin = 'echo'\n" in result.out
