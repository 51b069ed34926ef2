# SPDX-License-Identifier: ISC
"""preforkctl import: files and folders, mistakes, names, and what is printed."""

import os
import re
import subprocess

import ctl
import pytest
from checking import preforkd, write
from importing import DATAERR, NOINPUT, Import, Tree, imported, passes

KINDS = "neither inetd.conf, nor of xinetd, nor a .socket or .service unit"
LINE = "{} stream tcp nowait nobody {} {}\n"


@pytest.fixture(name="tree")
def fixture_tree():
    with Tree() as tree:
        yield tree


def inetd(tree, *lines, name="inetd.conf"):
    return tree.put(name, "".join(line.rstrip("\n") + "\n" for line in lines))


def echo(tree, port, program="/usr/bin/prog", *arguments):
    stub = tree.program(program)
    return LINE.format(port, stub, " ".join([stub.name, *arguments]))


# Files.


def test_no_file():
    result = ctl.run("import")
    assert result.returncode == ctl.USAGE
    assert b"preforkctl import FILE..." in result.stderr


def test_a_file_that_is_not_there(tmp_path):
    result = Import(tmp_path / "none")
    assert result.code == NOINPUT
    assert result.errors == [f"{tmp_path}/none: No such file or directory"]
    assert result.services == {}


@pytest.mark.parametrize("data, error", [
    (b"hello\n", KINDS),
    (b"\x7fELF\x02\n\n", KINDS),
    (b"echo stream tcp nowait root internal\0\n", "holds a NUL byte; not a text file"),
    (b"#" * (1024 * 1024 + 1), "File too large"),
], ids=["text", "binary", "nul", "large"])
def test_a_file_that_is_none(tmp_path, data, error):
    path = write(tmp_path / "file", data)
    result = Import(path)
    code = NOINPUT if error == "File too large" else DATAERR
    assert (result.code, result.errors) == (code, [f"{path}: {error}"])


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n\t# here\n"])
def test_a_file_of_comments(tmp_path, text):
    path = write(tmp_path / "inetd.conf", text)
    result = imported(path)
    assert result.services == {} and result.comments == []
    assert f"{path} holds nothing but comments." in result.told
    assert "No service here is enabled" in result.told


def test_the_kind_is_known_by_the_lines(tree):
    """Not by the name, but for units."""
    imported(inetd(tree, echo(tree, 1), name="some.conf"))
    imported(tree.put("hosts", "10.0.0.1:\n" + echo(tree, 2)))
    imported(tree.put("off", "#<off># " + echo(tree, 3)))
    for number, text in enumerate(["service a\n{\n}\n", "defaults\n{\n}\n", "includedir /none\n"]):
        # xinetd's: of the last two there is nothing, of the first a mistake that only it knows.
        result = Import(tree.put(f"x{number}", text))
        assert KINDS not in str(result.errors)


def test_a_mistake_in_the_first_line_of_a_file_that_is_known_by_name(tree):
    result = Import(inetd(tree, "ftp", echo(tree, 1)))
    assert result.code == DATAERR and len(result.services) == 1
    assert result.errors[0].startswith(f"{tree.root}/inetd.conf:1: 1 fields; a line has at least 6")


def test_files_of_all_kinds_at_once(tree, programs, tmp_path, is_root):
    files = [
        inetd(tree, echo(tree, 7001)),
        tree.put("web.xinetd", "service web\n{\n\ttype = UNLISTED\n\tport = 7002\n"
                 f"\tsocket_type = stream\n\twait = no\n\tuser = nobody\n"
                 f"\tserver = {tree.program()}\n}}\n"),
        tree.put("mail.socket", "[Socket]\nListenStream=7003\nAccept=yes\n"),
    ]
    service = tree.put("mail@.service", f"[Service]\nExecStart={tree.program()}\n"
                       "StandardInput=socket\nUser=nobody\n")
    result = imported(*files)
    assert sorted(result.services) == ["7001", "mail", "web"]
    assert re.findall(r"^#   (.*)$", result.head, re.M) == [str(f) for f in [*files, service]]
    passes(programs, tmp_path, result, services=3)


def test_a_folder(tree):
    """As xinetd's includedir: sorted, without names that have a dot or end with a tilde."""
    for name in ["b", "a", "C", "d.conf", "e~", ".f"]:
        port = 7000 + ord(name.strip(".~")[0])
        tree.put(f"folder/{name}", LINE.format(port, "/bin/true", "true"))
    result = imported(tree.root / "folder")
    assert list(result.services) == [str(7000 + ord(c)) for c in "Cab"]


def test_a_folder_that_cannot_be_read(tmp_path):
    result = Import(tmp_path / "file/none")
    assert result.code == NOINPUT
    (tmp_path / "empty").mkdir()
    assert imported(tmp_path / "empty").services == {}


def test_the_rest_is_printed_beside_a_mistake(tree):
    """Of several mistakes the first one is the exit code."""
    bad = tree.put("bad", "ftp stream tcp\n" + echo(tree, 7001))
    result = Import(bad, tree.root / "none", inetd(tree, echo(tree, 7002)))
    assert result.code == DATAERR
    assert [error.split(": ")[0] for error in result.errors] == [f"{bad}:1", f"{tree.root}/none"]
    assert sorted(result.services) == ["7001", "7002"]
    assert result.comments == [f"# {bad}:1\n# left out, for a mistake in it: ftp stream tcp"]
    swapped = Import(tree.root / "none", bad)
    assert swapped.code == NOINPUT and len(swapped.errors) == 2


def test_a_full_disk(tree):
    path = inetd(tree, echo(tree, 7001))
    with open("/dev/full", "wb") as full:
        assert ctl.run("import", path, stdout=full).returncode == ctl.IOERR


# What is printed.

ODD = ["plain", "two words", "tab\there", 'a"b', "it's", "back\\slash", "${HOME}", "$HOME", "#no",
       "//no", "/*no*/", "{", "}", "a = b", "\x01\x1b[31m", "ä€", "\\n", "x'\"y", "\\'"]


def test_every_argument_is_kept(tree, programs, tmp_path, is_root):
    """Whatever it holds: --dump shows that preforkd gets it."""
    quoted = [f'"{a}"' if '"' not in a else f"'{a}'" if "'" not in a else a for a in ODD]
    path = inetd(tree, echo(tree, 7001, "/usr/bin/prog", *quoted))
    result = imported(path)
    passes(programs, tmp_path, result, services=1)
    dump = preforkd(programs, "--dump", "--config", write(tmp_path / "c", result.out)).out
    words, = re.findall(r"^\texec = \{(.*)\}$", dump, re.M)
    dumped = [re.sub(r"\\(.)", r"\1", word) for word in re.findall(r"'((?:[^'\\]|\\.)*)'", words)]
    assert dumped == [str(tree.program()), *ODD]


@pytest.mark.parametrize("odd", ["\x01\x1b[31mred", "\x7f\x9b", "}{\"'", "*/}", "\\"])
def test_a_comment_stays_one(tree, programs, tmp_path, odd):
    path = tree.put("inetd.conf", f"{odd} stream rpc/tcp nowait root /bin/x\n{odd}\n"
                    f"echo stream tcp,{odd} nowait root internal\n")
    result = Import(path)
    assert result.code == DATAERR and len(result.services) == 1
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", result.out)
    passes(programs, tmp_path, result)


# Names.


def test_names_are_valid_and_unique(tree, programs, tmp_path):
    long = "n" * 80
    result = imported(tree.put("x", "".join(
        f"service {name}\n{{\n\ttype = UNLISTED\n\tport = {port}\n\tsocket_type = {kind}\n"
        "\twait = no\n\tuser = nobody\n\tserver = /bin/true\n}\n"
        for port, (name, kind) in enumerate([
            ("a", "stream"), ("a", "dgram"), ("a", "dgram"), ("A", "stream"), ("a", "stream"),
            ("ä/€:x", "stream"), ("///", "stream"), ("---", "stream"), (long, "stream"),
            (long, "stream"), (long + "x", "dgram")], 7001))))
    assert list(result.services) == [
        "a", "a-udp", "a-2", "A", "a-tcp", "x", "service", "service-tcp", long[:63],
        long[:59] + "-tcp", long[:59] + "-udp"]
    passes(programs, tmp_path, result)


# This machine.


def test_what_is_missing_here(tree, programs, tmp_path, is_root):
    """One service that cannot start does not keep the others from it."""
    path = inetd(
        tree, LINE.format(7001, "/no/such", "such"), LINE.format(7002, tree.root, "folder"),
        LINE.format(7003, tree.put("plain", "text\n"), "plain"),
        LINE.format(7004, tree.program("/bin/script", "#!/no/interpreter\n"), "script"),
        LINE.format(7005, "relative", "relative"),
        f"7006 stream tcp nowait nosuchuser {tree.program()} prog",
        f"7007 stream tcp nowait nobody:nosuchgroup {tree.program()} prog",
        f"nosuchservice stream tcp nowait nobody {tree.program()} prog",
        f"[fe80::1%nosuchif]:7009 stream tcp nowait nobody {tree.program()} prog",
        f"7010 stream tcp nowait nobody {tree.program('/root-only/prog')} prog", echo(tree, 7011))
    (tree.root / "root-only").chmod(0o700)
    result = imported(path)
    reasons = {name: service.off for name, service in result.services.items()}
    cannot = "on this machine it cannot be started: "
    assert reasons == {
        "7001": [cannot + "/no/such: No such file or directory"],
        "7002": [f"{cannot}{tree.root}: Permission denied"],
        "7003": [f"{cannot}{tree.root}/plain: Permission denied"],
        "7004": [f"{cannot}{tree.root}/bin/script: No such file or directory"],
        "7005": ["relative: the program must be an absolute path"],
        "7006": ['there is no user "nosuchuser" on this machine'],
        "7007": ['there is no group "nosuchgroup" on this machine'],
        "nosuchservice": ['address "tcp://*:nosuchservice": port "nosuchservice" is not in '
                          "/etc/services: " + reasons["nosuchservice"][0].rsplit(": ", 1)[1]],
        "7009": ['address "tcp://[fe80::1%nosuchif]:7009": there is no interface "nosuchif"'],
        "7010": [f"{cannot}{tree.root}/root-only/prog: Permission denied"],
        "7011": [],
    }
    passes(programs, tmp_path, result, services=1)


def test_numbers_of_users(tree, programs, tmp_path, is_root):
    """A number that passwd(5) does not know needs a group, as in preforkd.conf(5)."""
    result = imported(inetd(
        tree, f"7001 stream tcp nowait 54321 {tree.program()} prog",
        f"7002 stream tcp nowait 54321:12345 {tree.program()} prog",
        f"7003 stream tcp nowait 65534 {tree.program()} prog"))
    assert [bool(s.off) for s in result.services.values()] == [True, False, False]
    passes(programs, tmp_path, result, services=2)


def test_no_two_listen_at_one_address(tree, programs, tmp_path):
    path = inetd(tree, echo(tree, 7001), echo(tree, "*:7001"), echo(tree, "127.0.0.1:7001"),
                 "#<off># " + echo(tree, 7002), echo(tree, 7002),
                 "7001 dgram udp nowait nobody /bin/true true")
    result = imported(path)
    taken = f"tcp://*:7001 is listened on already, by that of {path}:1"
    assert [s.off for s in result.services.values()] == [
        [], [taken], [], ["it is commented out by #<off>#"], [], []]
    passes(programs, tmp_path, result, services=4)


# Limits and access.


def xservice(tree, *lines, **attributes):
    values = {"type": "UNLISTED", "port": "7003", "socket_type": "stream", "wait": "no",
              "user": "nobody", "server": tree.program(), **attributes}
    text = "".join(f"\t{key} = {value}\n" for key, value in values.items())
    return tree.put("x", "service a\n{\n" + text + "".join(f"\t{line}\n" for line in lines) + "}\n")


def test_who_was_kept_out_is(tree, programs, tmp_path, is_root):
    """It is enabled, since its rules are keys."""
    result = imported(xservice(tree, "only_from = 10.0.0.0", "no_access = 10.1.0.0"))
    assert result.only.limits == {"allow": '{"10.0.0.0/8"}', "deny": '{"10.1.0.0/16"}'}
    assert result.only.off == []
    passes(programs, tmp_path, result, services=1)


@pytest.mark.parametrize("attribute, key", [("only_from", "allow"), ("no_access", "deny")])
def test_who_was_kept_out_of_what_takes_its_clients_itself(tree, programs, tmp_path, attribute,
                                                           key):
    result = imported(xservice(tree, f"{attribute} = 10.0.0.0", wait="yes"))
    assert result.only.limits == {} and result.only.off == [
        "it was for some clients only, see below"]
    assert result.only.noted(f"{key} = 10.0.0.0/8: an acceptor takes its clients itself")
    passes(programs, tmp_path, result, services=0)


def test_limits_beyond_those_of_preforkd(tree, programs, tmp_path, is_root):
    """They limit nobody, or can be as many as there are."""
    result = imported(
        xservice(tree, "instances = 100000", "per_source = 100000", "cps = 2000000 1"),
        inetd(tree, f"7001 stream tcp nowait/9/2000000000 nobody {tree.program()} prog"))
    two, one = result.services.values()
    assert one.limits == {"workers_max": "8192"} and two.limits == {"workers_max": "9"}
    assert one.remarks["workers_max"] == "the most there can be, for instances = 100000"
    assert one.noted("cps = 2000000 1: no limit, as here")
    assert one.noted("per_source = 100000: no limit, as here")
    assert two.noted("2000000000 a minute and address: no limit, as here")
    passes(programs, tmp_path, result, services=2)


# The manual.


def test_what_is_read_and_written_by_the_users_of_the_manual(tree, programs):
    """The command lines of preforkctl(1) run, apart from where they read and write."""
    page = (programs.source / "man/preforkctl.1").read_text()
    lines = re.findall(r"^# (preforkctl import .*)$", page, re.M)
    assert len(lines) >= 3
    tree.put("etc/inetd.conf", echo(tree, 7001))
    tree.put("etc/xinetd.conf", "defaults\n{\n}\n")
    tree.put("ssh.socket", "[Socket]\nListenStream=22\n")
    tree.put("ssh.service", "[Service]\nExecStart=/bin/true\n")
    tree.put("rsync.socket", "[Socket]\nListenStream=873\nAccept=yes\n")
    tree.put("rsync@.service", "[Service]\nExecStart=/bin/true\nStandardInput=socket\n")
    tree.put("etc/preforkd/conf.d/x", "")
    for line in lines:
        line = re.sub(r"(?<![\w.])/(etc/\S+)", rf"{tree.root}/\1", line)
        line = line.replace("/lib/systemd/system", str(tree.root))
        line = line.replace("preforkctl", programs.preforkctl)
        subprocess.run(line, shell=True, cwd=tree.root, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, timeout=60, env={**os.environ, "LC_ALL": "C"})
    assert "service " in (tree.root / "etc/preforkd/conf.d/inetd.conf").read_text()
