# SPDX-License-Identifier: ISC
"""The manuals and the shipped configuration say what the programs do."""

import ipaddress
import re
import subprocess

import pytest
from checking import ECHO, check, preforkd, write


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


def test_every_key_is_in_the_manual(programs, tmp_path):
    path = write(tmp_path / "c", ECHO + "}")
    text = preforkd(programs, "--dump", "--config", path).out
    keys = set(re.findall(r"^\t?(\w+) = ", text, re.M))
    assert len(keys) > 30
    assert tags(manual(programs, "preforkd.conf.5"), "Ic") == keys | {"options"}


def test_every_default_of_the_manual_is_the_default(programs, tmp_path):
    path = write(tmp_path / "c", ECHO + "}")
    text = preforkd(programs, "--dump", "--config", path).out
    values = dict(re.findall(r"^\t?(\w+) = '(.*)'$", text, re.M))
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
    text = (programs.source / "src/board/fields.def").read_text()
    fields = set(re.findall(r"^\w+_FIELD\((\w+), (?:COUNTER|GAUGE)", text, re.M))
    assert {"accepted", "workers_ready", "reloads_failed"} <= fields
    assert fields <= tags(manual(programs, "preforkctl.1"), "Va")


def test_every_builtin_is_in_the_manuals(programs):
    listed = preforkd(programs, "--check", "--listen", "unix://@x", "--builtin", "none").text
    names = set(listed.split("known: ")[1].strip().split(", "))
    assert "echo" in names
    assert names <= tags(manual(programs, "preforkd.8"), "Ic")
    usage = re.search(r"^ +--builtin NAME +(.*)", preforkd(programs, "--help").out, re.M)[1]
    assert set(usage.split()) == names
    assert names <= set(re.findall(r"\w+", manual(programs, "preforkd.conf.5")))


# Examples.


def examples(text):
    blocks = re.findall(r'^\.\\" example: begin\n(.*?)^\.\\" example: end$', text, re.S | re.M)
    return ["".join(unescaped(line) for line in block.splitlines(True) if line[0] != ".")
            for block in blocks]


def unescaped(line):
    line = line.removeprefix("\\&").replace("\\(dq", '"').replace("\\-", "-").replace("\\&", "")
    return line.replace("\\e", "\\")


def test_examples_of_the_manual(programs, tmp_path):
    texts = examples(manual(programs, "preforkd.conf.5"))
    assert len(texts) >= 3
    for i, text in enumerate(texts):
        path = tmp_path / f"example{i}"
        result = check(programs, path, text)
        assert result.code == 0, (text, result.lines)
        assert re.fullmatch(re.escape(str(path)) + ": ok, [1-9][0-9]* services?", result.lines[0])
        assert len(result.lines) == 1


def test_examples_show_each_handler(programs):
    text = manual(programs, "preforkd.conf.5")
    assert re.search(r"^ +builtin +=", text, re.M) and re.search(r"^ +module +=", text, re.M)


@pytest.mark.parametrize("name", ["preforkctl.1", "preforkd.8", "preforkd.conf.5",
                                  "preforkd-handler.3"])
def test_other_manuals_are_there(programs, name):
    """`.Xr preforkd... N` leads to a page of ours."""
    for page, section in re.findall(r"^\.Xr (preforkd?\S*) (\d)", manual(programs, name), re.M):
        assert (programs.source / "man" / f"{page}.{section}").exists(), (page, section)


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


def test_what_is_commented_out_in_the_shipped_configuration_is_right(programs, tmp_path):
    text = (programs.source / "conf/preforkd.conf").read_text()
    blocks = re.findall(r"^# service .*?^# }$", text, re.S | re.M)
    assert len(blocks) == 2
    keys = {key for block in blocks for key in re.findall(r"^#\s+(\w+)\s+=", block, re.M)}
    dump = preforkd(programs, "--dump", "--config", write(tmp_path / "c", ECHO + "}")).out
    assert keys <= set(re.findall(r"^\t?(\w+) = ", dump, re.M))
    qotd = re.sub("^# ?", "", blocks[0], flags=re.M)
    motd = write(tmp_path / "motd", "welcome\n")
    result = check(programs, tmp_path / "qotd", qotd.replace("/etc/motd", str(motd)))
    assert result.code == 0, result.lines
