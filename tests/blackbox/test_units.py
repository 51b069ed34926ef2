# SPDX-License-Identifier: ISC
"""What is installed for systemd: every unit, alone and with each drop-in, is taken by systemd
without a word, and no more of the machine is exposed than preforkd-systemd(7) says."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(os.environ.get("SRCDIR") or Path(__file__).parents[2]) / "systemd"
BUILT = Path(os.environ.get("BUILDDIR") or Path(__file__).parents[2] / "build") / "systemd"
ANALYZE = shutil.which("systemd-analyze")
SERVICES = ("preforkd.service", "preforkd@.service")
SOCKETS = ("preforkd@.socket", "preforkd-listen@.socket")
USER_SERVICES = tuple(f"user/{name}" for name in SERVICES)
# Every use of the drop-ins that is in the manual, with the highest exposure it may have, in tenths.
PROFILES = {
    "plain": ((), 28),
    "builtin-only": (("50-builtin-only.conf",), 22),
    "sealed": (("50-builtin-only.conf", "60-sealed.conf"), 6),
    "programs": (("50-programs.conf",), 42),
}

needs_analyze = pytest.mark.skipif(not ANALYZE,
                                   reason="there is no systemd-analyze (Debian: systemd)")
each_profile = pytest.mark.parametrize("profile", PROFILES)


def file(name):
    """A unit or a drop-in: what make makes of a NAME.in, or the source itself."""
    made = (SOURCE / f"{name}.in").exists()
    return (BUILT if made else SOURCE) / name


def place(directory, names, dropins=()):
    """Copies in which every command exists, since what is not installed here is no mistake, and
    every socket listens somewhere."""
    placed = []
    for name in names:
        to = directory / Path(name).name
        to.write_text(re.sub(r"^(Exec\w+=)\S+", r"\1/bin/true", file(name).read_text(), flags=re.M))
        more = to.with_name(to.name + ".d")
        more.mkdir()
        if to.suffix == ".socket":
            (more / "listen.conf").write_text("[Socket]\nListenStream=7\nListenDatagram=7\n")
        else:
            for dropin in dropins:
                shutil.copy(file(f"dropins/{dropin}"), more)
        placed.append(to)
    return placed


def analyze(*argv, runtime="/run"):
    return subprocess.run([ANALYZE, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "LC_ALL": "C.UTF-8", "XDG_RUNTIME_DIR": str(runtime)})


def complaints(units, *options):
    """What systemd says of our units: it loads others that they name, too, and succeeds in spite of
    unknown keys."""
    done = analyze(*options, "verify", "--man=no", *units, runtime=units[0].parent)
    found = [line for line in done.stdout.splitlines() if "preforkd" in line]
    return found or [done.stdout] * (done.returncode != 0)


# -- verify


@needs_analyze
@each_profile
def test_systemd_takes_the_units_with_these_drop_ins(tmp_path, profile):
    dropins, _ = PROFILES[profile]
    assert complaints(place(tmp_path, SERVICES + SOCKETS, dropins)) == []


@needs_analyze
def test_systemd_takes_the_units_of_users(tmp_path):
    assert complaints(place(tmp_path, USER_SERVICES + SOCKETS), "--user") == []


@needs_analyze
@pytest.mark.parametrize("options", [(), ("--user",)], ids=["system", "user"])
def test_an_unknown_key_would_be_seen(tmp_path, options):
    unit, = place(tmp_path, ["preforkd.service"])
    (tmp_path / "preforkd.service.d/99-wrong.conf").write_text("[Service]\nNoSuchKey=yes\n")
    assert any("NoSuchKey" in line for line in complaints([unit], *options))


@needs_analyze
def test_a_drop_in_that_is_not_read_would_be_seen(tmp_path):
    """The drop-ins are what makes the difference between the profiles."""
    for name in PROFILES:
        (tmp_path / name).mkdir()
    texts = {name: security(place(tmp_path / name, ["preforkd.service"], dropins)[0]).stdout
             for name, (dropins, _) in PROFILES.items()}
    assert len(set(texts.values())) == len(PROFILES)


# -- exposure


def security(unit, *options):
    return analyze("security", "--offline=yes", "--no-pager", *options, unit)


def exposure(text):
    """In tenths."""
    whole, tenth = re.search(r"Overall exposure level for .*: (\d+)\.(\d) ", text).groups()
    return int(whole) * 10 + int(tenth)


@needs_analyze
@each_profile
@pytest.mark.parametrize("name", SERVICES)
def test_no_more_is_exposed_than_the_manual_says(tmp_path, name, profile):
    dropins, limit = PROFILES[profile]
    unit, = place(tmp_path, [name], dropins)
    done = security(unit, f"--threshold={limit}")
    assert exposure(done.stdout) <= limit, done.stdout
    # systemd knows more digits than it shows.
    assert done.returncode == 0, done.stdout
    assert security(unit, "--threshold=1").returncode != 0


# -- what the files say


@pytest.mark.parametrize("name", [
    *SERVICES, *USER_SERVICES, "tmpfiles.d/preforkd.conf",
    *sorted({f"dropins/{d}" for dropins, _ in PROFILES.values() for d in dropins})])
def test_every_folder_is_filled_in(name):
    text = file(name).read_text()
    assert not re.search(r"@\w+dir@|\$[({]|NONE", text)
    for path in re.findall(r"^Exec\w+=(\S+)", text, re.M):
        assert Path(path).is_absolute()


def test_there_is_no_drop_in_that_is_not_tested():
    tested = {d for dropins, _ in PROFILES.values() for d in dropins}
    assert {f.name.removesuffix(".in") for f in (SOURCE / "dropins").iterdir()} == tested


def settings(name):
    return [line for line in file(name).read_text().splitlines() if line and line[0] != "#"]


@pytest.mark.parametrize("folder", ["", "user/"], ids=["system", "user"])
def test_an_instance_is_what_main_is(folder):
    """Two files, since systemd has no default for %i; nothing but the name may differ."""
    main = settings(f"{folder}preforkd.service")
    instance = "\n".join(settings(f"{folder}preforkd@.service"))
    for of_instance, of_main in ((", instance %i", ""), (" -i %i", ""),
                                 ("/%i.conf", "/preforkd.conf"), ("preforkd/%i", "preforkd/main")):
        assert of_instance in instance
        instance = instance.replace(of_instance, of_main)
    # What is the default for main.
    config = r"(?m)^(ExecStart=\S+) -c \S+$"
    assert re.sub(config, r"\1", "\n".join(main)) == re.sub(config, r"\1", instance)


def test_the_preset_names_every_unit():
    preset = (SOURCE / "90-preforkd.preset").read_text()
    assert sorted(re.findall(r"^disable (\S+)$", preset, re.M)) == sorted(SERVICES + SOCKETS)


@pytest.mark.skipif(not shutil.which("systemd-sysusers"),
                    reason="there is no systemd-sysusers (Debian: systemd)")
def test_the_user_is_made(tmp_path, is_root):
    (tmp_path / "etc").mkdir()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", SOURCE / "sysusers.d/preforkd.conf"],
                   check=True)
    name, _, uid, _, _, home, shell = (tmp_path / "etc/passwd").read_text().strip().split(":")
    assert (name, home) == ("preforkd", "/")
    assert 0 < int(uid) < 1000 and shell.endswith("nologin")
    assert re.match(r"preforkd:", (tmp_path / "etc/group").read_text())


@pytest.mark.skipif(not shutil.which("systemd-tmpfiles"),
                    reason="there is no systemd-tmpfiles (Debian: systemd)")
def test_the_runtime_directory_of_all_is_made(tmp_path, is_root):
    text = file("tmpfiles.d/preforkd.conf").read_text()
    subprocess.run(["systemd-tmpfiles", "--create", f"--root={tmp_path}",
                    file("tmpfiles.d/preforkd.conf")], check=True)
    path, = re.findall(r"^d (\S+)", text, re.M)
    assert (tmp_path / path.lstrip("/")).stat().st_mode & 0o777 == 0o755
