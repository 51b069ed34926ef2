# SPDX-License-Identifier: ISC
"""The manuals and the shipped configuration say what the programs do."""

import ipaddress
import re
import subprocess

import pytest
from checking import EVERY_KIND, check, preforkd, write
from daemon import without_status
from roff import unescaped
from test_units import PROFILES, SERVICES, SOCKETS, settings


def manual(programs, name):
    return (programs.source / "man" / name).read_text()


def tags(text, macro):
    """The words of `.It Ic a , b` and of `.It Va a`."""
    found = set()
    for line in re.findall(r"^\.It (.*)$", text, re.M):
        words = re.split(r"[\s,]+", line)
        for i, word in enumerate(words[:-1]):
            if word == macro:
                found.add(words[i + 1])
    return found


def dump_of_every_key(programs, tmp_path):
    """Of a key that several kinds have, the first line is a built-in's."""
    return preforkd(programs, "--dump", "--config", write(tmp_path / "c", EVERY_KIND)).out


def test_every_key_is_in_the_manual(programs, tmp_path):
    text = dump_of_every_key(programs, tmp_path)
    keys = list(dict.fromkeys(re.findall(r"^\t?(\w+) = ", text, re.M)))
    assert len(keys) > 40
    page = manual(programs, "preforkd.conf.5")
    assert tags(page, "Ic") == {*keys, "options"}


def test_the_manual_has_the_keys_in_the_order_of_the_dump(programs):
    told = re.findall(r"^\.It Ic (\w+) No = ", manual(programs, "preforkd.conf.5"), re.M)
    schema = (programs.source / "src/config/schema.c").read_text()
    assert told == re.findall(r'^\t\{"(\w+)", &type_', schema, re.M)


def test_every_default_of_the_manual_is_the_default(programs, tmp_path):
    text = dump_of_every_key(programs, tmp_path)
    values = dict(reversed(re.findall(r"^\t?(\w+) = '(.*)'$", text, re.M)))
    said = re.findall(r"^\.It Ic (\w+) No = (?:(?!^\.It Ic).*\n)*?"
                      r"Default:(?: (empty)\.|\n\.Li (\S+))",
                      manual(programs, "preforkd.conf.5"), re.M)
    told = {key: "" if empty else value for key, empty, value in said}
    # Where there is no seccomp, a built-in has the other one that the manual names.
    assert told["sandbox"] == "strict" and values["sandbox"] in ("strict", "basic")
    told["sandbox"] = values["sandbox"]
    assert told == {key: values[key] for key in told}
    assert set(told) == set(values) - {"builtin", "module"}


def long_options(help_text):
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]*)", help_text))


def test_every_option_of_preforkd_is_in_the_manual(programs):
    options = long_options(preforkd(programs, "--help").out)
    assert {"config", "listen", "runtime-directory"} <= options
    text = manual(programs, "preforkd.8")
    described = set(re.findall(r"\bFl -([a-z-]+)", "\n".join(re.findall(r"^\.It .*$", text, re.M))))
    assert described == options


def ctl_help(programs, *args):
    return subprocess.run([programs.preforkctl, *args, "--help"], capture_output=True, text=True,
                          check=True, timeout=60).stdout


def verbs(programs):
    found = re.findall(r"^  (\w+)\s", ctl_help(programs), re.M)
    assert {"call", "status", "reload", "stop"} <= set(found)
    return found


def test_every_verb_of_preforkctl_is_in_the_manual(programs):
    text = manual(programs, "preforkctl.1")
    for verb in verbs(programs):
        assert re.search(rf"^\.Ss {verb}$", text, re.M), verb
        assert re.search(rf"^\.Cm (.* )?{verb}\b", text, re.M), verb


def test_every_option_of_preforkctl_is_in_the_manual(programs):
    options = long_options(ctl_help(programs))
    for verb in verbs(programs):
        options |= long_options(ctl_help(programs, verb))
    text = manual(programs, "preforkctl.1")
    described = set(re.findall(r"\bFl -([a-z-]+)", "\n".join(re.findall(r"^\.It .*$", text, re.M))))
    assert described == options


def test_every_field_of_the_board_is_in_the_manual(programs):
    """In the words of the table, and in its order."""
    text = (programs.source / "src/board/fields.def").read_text()
    lists = [[], [], []]
    for table, name, kind, unit, text in re.findall(
            r'^(\w+)_FIELD\((\w+), (COUNTER|GAUGE), "(\w+)",\s*"([^"]*)"\)', text, re.M):
        place = {"CONNECTION": 0, "ENDING": 0, "POOL": 1, "INSTANCE": 2}[table]
        lists[place].append((name, kind.lower(), unit, text))
    assert all(lists)
    page = manual(programs, "preforkd-board.7")
    section = page[page.index(".Sh FIELDS"):page.index(".Sh QUEUES")]
    parts = re.split(r"^\.Ss .*$", section, flags=re.M)[1:]
    assert [re.findall(r"^\.It Va (\w+) Pq (\w+), (\w+)\n(.*)$", part, re.M)
            for part in parts] == lists


def test_every_builtin_is_in_the_manuals(programs):
    listed = preforkd(programs, "--check", "--listen", "unix://@x", "--builtin", "none").text
    names = set(listed.split("known: ")[1].strip().split(", "))
    assert "echo" in names
    assert names <= tags(manual(programs, "preforkd.8"), "Ic")
    usage = re.search(r"^ +--builtin NAME +(.*?)^ +--module", preforkd(programs, "--help").out,
                      re.M | re.S)[1]
    assert set(usage.split()) == names
    assert names <= set(re.findall(r"\w+", manual(programs, "preforkd.conf.5")))


# Examples.


def examples(text):
    blocks = re.findall(r'^\.\\" example: begin\n(.*?)^\.\\" example: end$', text, re.S | re.M)
    return ["".join(unescaped(line) for line in block.splitlines(True) if line[0] != ".")
            for block in blocks]


def asks_for_what_was_left_out(text):
    return without_status() and re.search(r'builtin\s*= "status"', text)


def test_examples_of_the_manual(programs, tmp_path):
    texts = examples(manual(programs, "preforkd.conf.5"))
    assert len(texts) >= 3
    for i, text in enumerate(texts):
        if asks_for_what_was_left_out(text):
            continue
        path = tmp_path / f"example{i}"
        result = check(programs, path, text)
        assert result.code == 0, (text, result.lines)
        assert re.fullmatch(re.escape(str(path)) + ": ok, [1-9][0-9]* services?", result.lines[0])
        assert len(result.lines) == 1


def test_examples_show_each_handler(programs):
    text = manual(programs, "preforkd.conf.5")
    for key in ("builtin", "module", "exec", "acceptor"):
        assert re.search(rf"^ +{key} +=", text, re.M), key


@pytest.mark.parametrize("name", ["preforkctl.1", "preforkd.8", "preforkd.conf.5",
                                  "preforkd-board.7", "preforkd-handler.3", "preforkd-programs.7",
                                  "preforkd-systemd.7"])
def test_what_is_referred_to_is_there(programs, name):
    """`.Xr preforkd... N` leads to a page of ours, `.Sx TITLE` to a section of the page, or of the
    one that is named next to it."""
    text = manual(programs, name)
    for page, section in re.findall(r"^\.Xr (preforkd?\S*) (\d)", text, re.M):
        assert (programs.source / "man" / f"{page}.{section}").exists(), (page, section)
    for title, page, section in re.findall(r"^\.Sx (.*?)(?: [.,;]+)?\n(?:in\n\.Xr (\S+) (\d))?",
                                           text, re.M):
        where = manual(programs, f"{page}.{section}") if page else text
        assert re.search(rf"^\.S[hs] {re.escape(title)}$", where, re.M), (title, page)


# preforkd-systemd(7). What it shows is run by tests/machine/test_manual.py.


@pytest.fixture
def page(programs):
    return manual(programs, "preforkd-systemd.7")


def test_every_unit_and_drop_in_is_in_the_manual(page):
    units = {re.sub(r"@\w+\.", "@.", unit)
             for unit in re.findall(r"\bpreforkd[\w@-]*\.(?:service|socket)\b", page)}
    assert units == set(SERVICES + SOCKETS)
    dropins = {dropin for used, _ in PROFILES.values() for dropin in used}
    assert set(re.findall(r"\b\d\d-[\w-]+\.conf\b", page)) == dropins


# Of others' units, or what ours leave to the administrator and to later versions.
NOT_OF_OUR_UNITS = {"Accept", "FileDescriptorStorePreserve", "MaxConnections", "ReadWritePaths",
                    "Listen*", "Protect*"}


def test_every_setting_that_is_named_is_one_of_the_units(page):
    ours = {line.split("=")[0] for unit in SERVICES + SOCKETS for line in settings(unit)}
    named = set(re.findall(r"\bVa ([A-Z]\S*)", page))
    assert {"KillMode", "WatchdogSec"} <= named
    assert named - NOT_OF_OUR_UNITS <= ours
    assert not NOT_OF_OUR_UNITS & ours


def test_the_store_has_room_for_every_pool(programs, page):
    pools, = re.findall(r"^#define BOARD_POOLS\s+(\d+)", (programs.source / "src/board/layout.h")
                        .read_text(), re.M)
    assert f"has room for the {pools} pools" in page
    for unit in SERVICES:
        assert f"FileDescriptorStoreMax={pools}" in settings(unit)


def test_exposure_is_what_the_units_are_tested_for(page):
    told = dict(re.findall(r"^\.It (?:Pa )?(none|\d\d-.*\.conf) Ta (\d\.\d)$", page, re.M))
    tested = {" , ".join(dropins) or "none": f"{limit / 10:.1f}"
              for dropins, limit in PROFILES.values()}
    assert told == tested


def keys_named(text):
    """The words of `.Ic a , b`, less those of commands."""
    marked = [re.split(r"[\s,;.]+", re.sub(r" (?:No|with|Ta|=) .*", "", line))
              for line in re.findall(r"\bIc (.*)$", text, re.M)]
    return {word for words in marked if not re.match(r"\w+ctl$|preforkd$|systemd-", words[0])
            for word in words if re.fullmatch(r"[a-z_]+", word)}


def keys_known(programs):
    """Of every kind of service."""
    schema = (programs.source / "src/config/schema.c").read_text()
    return set(re.findall(r'^\t\{"(\w+)", &type_', schema, re.M)) | {"options"}


@pytest.mark.parametrize("name, some", [
    ("preforkd-systemd.7", {"exit_idle", "listen", "socket_mode"}),
    ("preforkd-programs.7", {"exec", "acceptor", "prestart", "pass_as", "connection_timeout"})])
def test_every_key_and_verb_that_is_named_exists(programs, name, some):
    text = manual(programs, name)
    assert some <= keys_named(text) <= keys_known(programs)
    assert set(re.findall(r"\bpreforkctl ([a-z]\w+)", text)) <= set(verbs(programs))


def test_every_variable_of_a_program_is_in_the_manual(programs):
    code = (programs.source / "src/worker/program_environment.c").read_text()
    known = {"".join(words) for words in
             re.findall(r'put(?:_number)?\(&?w, "(\w*)", "(\w+)"', code)}
    known |= {f"TCP{name}" for name in re.findall(r'put(?:_number)?\(w, family, "(\w+)"', code)}
    assert {"PROTO", "TCPREMOTEIP", "IPCREMOTEEUID", "SERVER_PORT"} <= known
    told = set(re.findall(r"[A-Z_]+", " ".join(re.findall(
        r"^\.It Ev (.*) Ta ", manual(programs, "preforkd-programs.7"), re.M))))
    assert told - {"UDP"} == known | {"PREFORKD_SERVICE", "PREFORKD_INSTANCE"}


def test_messages_to_look_for_are_those_that_are_said(programs, page):
    code = "".join(path.read_text() for path in sorted((programs.source / "src").rglob("*.c")))
    said = re.sub(r'"\s*\n\s*"', "", code).replace('\\"', '"')
    entries = [unescaped(text) for text in re.findall(r'^\.It "(.*systemd passed.*)"$', page, re.M)]
    assert len(entries) == 2
    for text in entries:
        for part in text.split("NAME"):
            assert part.strip('"') in said, part


# The shipped configuration.


def test_shipped_configuration(programs, tmp_path):
    source = programs.source / "conf/preforkd.conf"
    # A copy: as root preforkd refuses what others than root may write, as a checkout may be.
    path = write(tmp_path / "preforkd.conf", source.read_bytes())
    result = check(programs, path)
    assert (result.lines, result.code) == ([f"{path}: ok, 2 services"], 0)
    text = preforkd(programs, "--dump", "--config", path).out
    addresses = re.findall(r"'(\w+://[^']*)'", text)
    assert len(addresses) == 4
    for address in addresses:
        host, port = re.fullmatch(r"(?:tcp|udp)[46]?://\[?([^]]*?)\]?:(\d+)", address).groups()
        assert ipaddress.ip_address(host).is_loopback, address
        assert int(port) >= 1024, address


def test_shipped_configuration_of_an_instance(programs, tmp_path):
    path = write(tmp_path / "web.conf", (programs.source / "conf/web.conf").read_bytes())
    result = check(programs, path)
    assert (result.lines, result.code) == ([f"{path}: ok, 1 service"], 0)


def test_shipped_example_of_an_agent(programs, tmp_path):
    path = write(tmp_path / "agent.conf", (programs.source / "conf/agent.conf").read_bytes())
    result = check(programs, path)
    assert (result.lines, result.code) == ([f"{path}: ok, 2 services"], 0)


def test_what_is_commented_out_in_the_shipped_configuration_is_right(programs, tmp_path):
    text = (programs.source / "conf/preforkd.conf").read_text()
    blocks = re.findall(r"^# service .*?^# }$", text, re.S | re.M)
    assert len(blocks) == 6
    keys = {key for block in blocks for key in re.findall(r"^#\s+(\w+)\s+=", block, re.M)}
    dump = dump_of_every_key(programs, tmp_path)
    assert keys <= set(re.findall(r"^\t?(\w+) = ", dump, re.M))
    motd = write(tmp_path / "motd", "welcome\n")
    greet = write(tmp_path / "greet", "#!/bin/sh\n")
    greet.chmod(0o755)
    # The module is not there.
    for block in [*blocks[:2], *blocks[3:]]:
        if asks_for_what_was_left_out(block):
            continue
        text = re.sub("^# ?", "", block, flags=re.M).replace("/etc/motd", str(motd))
        text = re.sub(r"/usr/\S+/greet", str(greet), text)
        text = re.sub(r"/usr/\S+/(node|server)\b", "/bin/cat", text)
        result = check(programs, tmp_path / "c", text)
        assert result.code == 0, result.lines
