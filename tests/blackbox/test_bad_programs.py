# SPDX-License-Identifier: ISC
"""Programs that cannot be executed are found by --check, by a start, which ends, and by a reload,
which changes nothing."""

import os
import shutil
import stat
import subprocess

import pytest
from checking import ACCEPTOR, CONFIG, EXEC, NOPERM, check, write
from daemon import exchange
from support import finish, hold, service, unchanged
from test_bad_start import ROOT, fixture_place, fixture_unprivileged, start  # noqa: F401

TCP = "tcp://127.0.0.1:0"
MISSING = "No such file or directory"
NO_FORMAT = "Exec format error; a script begins with #!, as in #!/bin/sh"
KINDS = {"exec": EXEC, "acceptor": ACCEPTOR}
both_kinds = pytest.mark.parametrize("kind", KINDS)


def with_program(kind, program, more=""):
    """A service whose program is in line 3, and what follows it in line 4."""
    return KINDS[kind].replace('"/bin/cat"', f'"{program}"') + more + "\n}\n"


def refused(programs, path, text, *expected, code=CONFIG, wrapper=()):
    """The file is refused with exactly these messages; in each, LINE: stands for what begins it."""
    result = check(programs, path, text, wrapper=wrapper)
    wanted = [f'{path}:{line.split(":", 1)[0]}: service "a": {line.split(": ", 1)[1]}'
              for line in expected]
    assert (result.lines, result.code, result.out) == (wanted, code, "")


def is_right(programs, path, text, count="1 service", **options):
    result = check(programs, path, text, **options)
    assert (result.lines, result.code) == ([f"{path}: ok, {count}"], 0)


def executable(path, text="#!/bin/sh\n", mode=0o755):
    write(path, text).chmod(mode)
    return path


# ---- the program


@both_kinds
@pytest.mark.parametrize("program", ["cat", "./cat", "bin/cat", "", " /bin/cat", "~/cat"])
def test_a_path_that_is_not_absolute(programs, place, kind, program):
    refused(programs, place / "c", with_program(kind, program),
            f'3: {kind}: "{program}": the program must be an absolute path (there is no shell)')


def make_nothing(path):
    return MISSING


def make_text(path):
    write(path, "#!/bin/sh\n")
    return "Permission denied"


def make_folder(path):
    path.mkdir()
    return "Is a directory"


def make_fifo(path):
    """Which nobody must wait for."""
    os.mkfifo(path, 0o777)
    return "Permission denied"


def make_below_a_file(path):
    write(path.parent, "")
    return "Not a directory"


def make_dangling(path):
    path.symlink_to("nowhere")
    return MISSING


def make_circle(path):
    path.symlink_to(path.name)
    return "Too many levels of symbolic links"


def make_script_without_a_beginning(path):
    executable(path, "echo hello\n")
    return NO_FORMAT


def make_empty(path):
    executable(path, "")
    return NO_FORMAT


def make_beginning_without_a_name(path):
    executable(path, "#! \n")
    return NO_FORMAT


def make_without_interpreter(path):
    executable(path, "#!/no/such/perl -w\nprint 1;\n")
    return f"its interpreter /no/such/perl: {MISSING}"


def make_with_carriage_returns(path):
    """As an editor of another system leaves them: the name has one at its end."""
    executable(path, "#!/bin/sh\r\n")
    return f"its interpreter /bin/sh\r: {MISSING}"


def make_with_a_blank(path):
    executable(path, "#! \t/no/such/perl\t-w\nprint 1;\n")
    return f"its interpreter /no/such/perl: {MISSING}"


def make_interpreted_by_a_text(path):
    write(path.with_name("text"), "")
    executable(path, f"#!{path.with_name('text')}\n")
    return f"its interpreter {path.with_name('text')}: Permission denied"


BAD = [make_nothing, make_text, make_folder, make_fifo, make_below_a_file, make_dangling,
       make_circle, make_script_without_a_beginning, make_empty, make_beginning_without_a_name,
       make_without_interpreter, make_with_a_blank, make_interpreted_by_a_text]


@both_kinds
@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_a_program_that_cannot_be_executed(programs, place, kind, make):
    (place / "bin").mkdir()
    path = place / "bin" / "program"
    if make is make_below_a_file:
        (place / "bin").rmdir()
    refused(programs, place / "c", with_program(kind, path), f"3: {kind}: {path}: {make(path)}")


def test_lines_that_end_in_carriage_returns(programs, place):
    path = place / "program"
    reason = make_with_carriage_returns(path)
    result = check(programs, place / "c", with_program("exec", path))
    assert reason.replace("\r", r"\x0d") in result.text and result.code == CONFIG


@pytest.mark.parametrize("text", [
    "#!/bin/sh\n", "#!/bin/sh", "#! /bin/sh -e\n", "#!\t/bin/sh\n", "#!sh\n",
    b"#!/bin/sh\nexec tail\n\0\0\0", b"MZ\0not ours to judge", b"\x7fELF\2\1\1\0"])
def test_what_may_be_executed(programs, place, text):
    executable(place / "program", text)
    shutil.copy("/bin/sh", place / "sh")
    is_right(programs, place / "c", with_program("exec", place / "program",
                                                 f'directory = "{place}"'))


def test_what_cannot_be_read_may_be_executed(programs, place, unprivileged):
    """Not even by its own user."""
    shutil.copy("/bin/cat", place / "cat")
    (place / "cat").chmod(0o111)
    is_right(programs, place / "c", with_program("exec", place / "cat"), wrapper=unprivileged)


@both_kinds
def test_it_is_not_executed(programs, place, kind):
    place.chmod(0o777)
    path = executable(place / "program", f"#!/bin/sh\ntouch {place}/was-here\n")
    is_right(programs, place / "c", with_program(kind, path))
    assert not (place / "was-here").exists()


def test_a_start(programs, place):
    result = start(programs, place, with_program("exec", "/no/such"))
    assert result.lines == [f'{place}/preforkd.conf:3: service "a": exec: /no/such: {MISSING}']
    assert result.code == CONFIG


# ---- who executes it

needs_root = pytest.mark.skipif(not ROOT, reason="needs root: only root may change users")


@needs_root
@both_kinds
@pytest.mark.parametrize("mode, folder_mode", [(0o744, 0o755), (0o700, 0o755), (0o755, 0o700)])
def test_by_its_user(programs, place, kind, mode, folder_mode):
    (place / "bin").mkdir()
    path = executable(place / "bin/program", mode=mode)
    (place / "bin").chmod(folder_mode)
    is_right(programs, place / "c", with_program(kind, path))
    refused(programs, place / "c", with_program(kind, path, 'user = "nobody"'),
            f"3: {kind}: {path}: Permission denied (as user nobody)")


@needs_root
@pytest.mark.parametrize("keys, right", [
    ("group = 4242", True), ("group = 4242 user = nobody", True), ("user = nobody", False),
    ("group = 4243", True)])
def test_by_its_group(programs, place, keys, right):
    path = executable(place / "program", mode=0o710)
    os.chown(path, 0, 4242)
    text = with_program("exec", path, keys)
    if right:
        is_right(programs, place / "c", text)
    else:
        refused(programs, place / "c", text,
                f"3: exec: {path}: Permission denied (as user nobody)")


@needs_root
def test_not_by_the_groups_of_the_daemon(programs, place):
    """With another group root's own ones are gone, and with another user too."""
    path = executable(place / "program", mode=0o010)
    os.chown(path, 4242, 4242)
    wrapper = ["setpriv", "--groups=4242", "--inh-caps=-all", "--bounding-set",
               "-dac_override,-dac_read_search"]
    is_right(programs, place / "c", with_program("exec", path), wrapper=wrapper)
    refused(programs, place / "c", with_program("exec", path, 'group = "4243"'),
            f"3: exec: {path}: Permission denied", wrapper=wrapper)


def test_by_who_started_the_daemon(programs, place, unprivileged):
    path = executable(place / "program", mode=0o700)
    if ROOT:
        refused(programs, place / "c", with_program("exec", path),
                f"3: exec: {path}: Permission denied", wrapper=unprivileged)
    path.chmod(0o755)
    is_right(programs, place / "c", with_program("exec", path), wrapper=unprivileged)


def test_who_may_not_change_is_told_that_alone(programs, place, unprivileged):
    text = with_program("exec", "/no/such", 'user = "root"')
    refused(programs, place / "c", text, '4: user: only root may change to "root"; start preforkd '
            "as root, or leave it out", code=NOPERM, wrapper=unprivileged)
    text = with_program("exec", "/no/such", 'chroot = "/"')
    refused(programs, place / "c", text, "4: chroot: only root may change the root directory",
            code=NOPERM, wrapper=unprivileged)


def test_a_user_that_is_not_there_is_told_alone(programs, place):
    refused(programs, place / "c", with_program("exec", "/no/such", "user = no-such-user"),
            '4: user: there is no user "no-such-user" on this machine')


@needs_root
@both_kinds
def test_in_its_root_directory(programs, place, kind):
    (place / "jail/bin").mkdir(parents=True)
    shutil.copy("/bin/cat", place / "jail/bin/dog")
    chroot = f'chroot = "{place}/jail"'
    for keys in (chroot, chroot + ' user = "nobody"'):
        is_right(programs, place / "c", with_program(kind, "/bin/dog", keys))
        shown = " (as user nobody)" if "nobody" in keys else ""
        for outside in ("/bin/cat", f"{place}/jail/bin/dog"):
            refused(programs, place / "c", with_program(kind, outside, keys),
                    f"3: {kind}: {outside}: {MISSING}{shown}")
    refused(programs, place / "c", with_program(kind, "/bin/dog", f'chroot = "{place}/none"'),
            f"3: {kind}: /bin/dog: its chroot {place}/none: {MISSING}")
    # A script's interpreter is looked for in there as well.
    executable(place / "jail/bin/script", "#!/bin/sh\n")
    refused(programs, place / "c", with_program(kind, "/bin/script", chroot),
            f"3: {kind}: /bin/script: its interpreter /bin/sh: {MISSING}")


@needs_root
def test_without_the_capability_to_change_the_root_directory(programs, place):
    refused(programs, place / "c", with_program("exec", "/bin/cat", 'chroot = "/"'),
            "3: exec: /bin/cat: its chroot /: Operation not permitted", code=NOPERM,
            wrapper=["setpriv", "--bounding-set=-sys_chroot"])


@needs_root
def test_without_the_capability_to_change_the_user(programs, place):
    refused(programs, place / "c", with_program("exec", "/bin/cat", "user = nobody"),
            "3: exec: /bin/cat: the user or the group of the service cannot be changed to: "
            "Operation not permitted", code=NOPERM,
            wrapper=["setpriv", "--bounding-set=-setuid"])


@both_kinds
def test_in_its_directory(programs, place, kind):
    is_right(programs, place / "c", with_program(kind, "/bin/cat", f'directory = "{place}"'))
    refused(programs, place / "c", with_program(kind, "/bin/cat", f'directory = "{place}/none"'),
            f"3: {kind}: /bin/cat: its directory {place}/none: {MISSING}")


@needs_root
def test_a_directory_that_its_user_may_not_enter(programs, place):
    (place / "private").mkdir(mode=0o700)
    keys = f'directory = "{place}/private"'
    is_right(programs, place / "c", with_program("exec", "/bin/cat", keys))
    refused(programs, place / "c", with_program("exec", "/bin/cat", keys + " user = nobody"),
            f"3: exec: /bin/cat: its directory {place}/private: Permission denied")


# ---- a reload


@pytest.fixture
def serving(daemon, place):
    """A daemon with a program; replace(text) is a reload of another one that must fail."""
    executable(place / "cat", "#!/bin/sh\nexec cat\n")
    text = service("a", TCP, exec=[place / "cat"], workers=2)
    d = daemon(text)

    def replace(text, *told):
        with hold(d.address()) as client, unchanged(d):
            d.write_config(text)
            result = d.ctl("reload", check=False)
            assert (result.returncode, result.stdout) == (1, "")
            lines = [line.removeprefix("preforkctl: ") for line in result.stderr.splitlines()]
            assert lines == [f"{d.config_file}:{line}" for line in told]
            finish(client)
        assert exchange(d.address(), b"the old one serves") == b"the old one serves"
        return d

    d.text, d.replace = text, replace
    return d


@pytest.mark.parametrize("key", ["exec", "acceptor"])
def test_a_reload_with_a_program_that_is_not_there(serving, key):
    text = serving.text.replace("exec = ", f"{key} = ").replace("/cat", "/none")
    program = text.split(f"{key} = ")[1].split('"')[1]
    serving.replace(text, f'3: service "a": {key}: {program}: {MISSING}')
    serving.write_config(serving.text)
    serving.ctl("reload")


def test_a_reload_with_a_new_service_that_is_wrong(serving):
    serving.replace(serving.text + service("b", TCP, exec=["/no/such"]),
                    f'8: service "b": exec: /no/such: {MISSING}')


def test_a_reload_when_the_program_of_before_has_gone(serving, place):
    """It would not start with this any more; but those that serve need no execution now."""
    (place / "cat").chmod(stat.S_IRUSR)
    serving.write_config(serving.text)
    result = serving.ctl("reload", check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert f'3: service "a": exec: {place}/cat: Permission denied' in result.stderr
    assert serving.status()["generation"] == 1
    (place / "cat").chmod(0o755)
    serving.ctl("reload")
    assert exchange(serving.address(), b"again") == b"again"


def test_an_upgrade_when_the_program_has_gone(serving, place):
    (place / "cat").rename(place / "dog")
    with unchanged(serving):
        result = serving.ctl("upgrade", check=False)
        assert result.returncode == 1
        assert f"exec: {place}/cat: {MISSING}" in result.stderr
    (place / "dog").rename(place / "cat")
    serving.ctl("upgrade")
    assert exchange(serving.address(), b"again") == b"again"


def test_where_children_are_not_waited_for(programs, place):
    """Whoever starts it may ignore CHLD, which is inherited."""
    write(place / "c", with_program("exec", "/bin/cat"))
    result = subprocess.run(
        ["sh", "-c", 'trap "" CHLD; exec "$@"', "sh", programs.preforkd, "-t", "-c", place / "c"],
        capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr.count("ok, 1 service")) == (0, 1), result.stderr
