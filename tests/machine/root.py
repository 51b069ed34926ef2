#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The Debian root that the machine tests boot: made once with mmdebstrap from the machine's own
package sources, kept in the user's cache, made again when what goes into it changes.

As a program: makes it when it is missing. Exits 77 with a reason where this machine cannot."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# What preforkd needs, and what tests want to find in there. Interpreters: sh and perl are always in.
PACKAGES = ("systemd", "systemd-sysv", "dbus", "libpam-systemd", "libconfuse2", "libjansson4",
            "libncursesw6", "libseccomp2", "libsystemd0", "socat", "netcat-openbsd", "procps",
            "iproute2", "netbase",
            # The programs and clients of preforkd-programs(7).
            "rsync", "git", "openssh-server", "openssh-client", "python3", "curl", "haproxy",
            "nginx", "php-cgi", "gunicorn", "nodejs")
# Work of the system's own would disturb what tests measure.
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer",
          "e2scrub_all.timer", "e2scrub_reap.service", "systemd-tmpfiles-clean.timer",
          "console-getty.service", "getty.target", "phpsessionclean.timer",
          "ssh.service")
# For tests to start.
DISABLED = ("haproxy.service", "nginx.service", "rsync.service")
# A user with a home, for tests of user units; when she logs out her manager ends at once.
HOOKS = ('mkdir "$1/etc/systemd/logind.conf.d"',
         r'printf "[Login]\nUserStopDelaySec=0\n" >"$1/etc/systemd/logind.conf.d/tests.conf"',
         f'chroot "$1" systemctl --quiet mask {" ".join(MASKED)}',
         f'chroot "$1" systemctl --quiet disable {" ".join(DISABLED)}',
         'chroot "$1" useradd --create-home --uid 1000 --shell /bin/sh alice')
UNWANTED = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*", "/usr/share/info/*")
TOOLS = ("mmdebstrap", "systemd-nspawn", "nsenter", "mount")
UNREACHABLE = r"Could not resolve|Could not connect|Unable to connect|Failed to fetch|Cannot initiate" \
    r"|Temporary failure resolving"


class Impossible(Exception):
    """This machine cannot do it, for a reason that is no defect of preforkd's."""


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "preforkd/machine"


def cgroup2():
    """Where the unified hierarchy is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(","):
            return Path(where)
    raise Impossible("no cgroup2 that can be written")


def check():
    """Raises Impossible where no machine can be booted."""
    if os.geteuid() != 0:
        raise Impossible("needs root")
    for tool in TOOLS:
        if not shutil.which(tool):
            raise Impossible(f"there is no {tool}")
    probe = cgroup2() / f"preforkd-machine-probe-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as e:
        raise Impossible(f"no cgroup can be made: {e}") from e
    tried = subprocess.run(["unshare", "--mount", "--net", "mount", "-t", "tmpfs", "tmpfs", "/tmp"],
                           capture_output=True, text=True)
    if tried.returncode != 0:
        raise Impossible(f"namespaces or mounts are not permitted: {tried.stderr.strip()}")


# -- package sources


def codename():
    found = re.search(r'^VERSION_CODENAME="?(\w+)', Path("/etc/os-release").read_text(), re.M)
    if not found or not re.search(r"^ID=debian$", Path("/etc/os-release").read_text(), re.M):
        raise Impossible("not a Debian machine")
    return found[1]


def entries_of_list(text):
    """(uri, suites, components, keyring) of each line of the old format."""
    for line in text.splitlines():
        found = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line)
        if found:
            key = re.search(r"signed-by=(\S+)", found[1] or "", re.I)
            yield found[2], [found[3]], found[4].split(), key and key[1]


def entries_of_sources(text):
    """The same of each stanza of the deb822 format."""
    text = re.sub(r"^#.*\n", "", text, flags=re.M)
    for stanza in re.split(r"\n\s*\n", text):
        field = {k.lower(): v.split() for k, v in
                 re.findall(r"^([\w-]+):((?:.|\n[ \t])*)", stanza, re.M)}
        if "deb" not in field.get("types", []) or field.get("enabled") == ["no"]:
            continue
        key = field.get("signed-by", [])
        for uri in field.get("uris", []):
            yield (uri, field.get("suites", []), field.get("components", []),
                   key[0] if len(key) == 1 else None)


def sources(suite, etc=Path("/etc/apt")):
    """Debian's own of the configured package sources, as lines: others may have what is not wanted,
    or be out of reach."""
    wanted = {suite, f"{suite}-updates", f"{suite}-security", f"{suite}/updates"}
    lines = []
    files = [etc / "sources.list", *sorted(etc.glob("sources.list.d/*"))]
    for file in (f for f in files if f.is_file()):
        read = {".list": entries_of_list, ".sources": entries_of_sources}.get(file.suffix)
        for uri, suites, components, key in read(file.read_text()) if read else ():
            if "main" in components:
                option = f"[signed-by={key}] " if key else ""
                lines += [f"deb {option}{uri} {s} main" for s in suites if s in wanted]
    if not any(line.split()[-2] == suite for line in lines):
        raise Impossible(f"no package source of Debian {suite} in {etc}")
    return lines


def apt_options():
    """How this machine reaches its sources: mmdebstrap does not look into apt.conf itself."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return [line for line in dump.splitlines()
            if re.match(r'Acquire::https?::\S+ ".+";', line)]


# -- the root


def command(suite, lines):
    return ["mmdebstrap", "--variant=minbase", "--mode=root",
            f"--include={','.join(PACKAGES)}",
            *(f"--dpkgopt=path-exclude={path}" for path in UNWANTED),
            *(f"--aptopt={option}" for option in apt_options()),
            *(f"--customize-hook={hook}" for hook in HOOKS),
            suite, None, *lines]


@contextlib.contextmanager
def locked(path, how):
    with open(path, "w") as file:
        fcntl.flock(file, how)
        yield


def remove(directory):
    # Never into what may still be mounted in there.
    subprocess.run(["rm", "-rf", "--one-file-system", str(directory)], check=True)


def remove_others(keep):
    """Roots of other inputs that no machine is running from."""
    for other in keep.parent.iterdir():
        if other.is_dir() and other.name.startswith("root-") and other != keep:
            with contextlib.suppress(BlockingIOError), \
                    locked(other / "lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
                remove(other)


def make(parts, place):
    new = place.with_name("new")
    remove(new)
    new.mkdir()
    argv = [str(new / "root") if part is None else part for part in parts]
    print("machine: making a Debian root, once", flush=True)
    made = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    if made.returncode != 0:
        remove(new)
        out_of_reach = re.search(f".*({UNREACHABLE}).*", made.stdout)
        if out_of_reach:
            raise Impossible(f"package sources out of reach: {out_of_reach[0].strip()}")
        raise RuntimeError(f"mmdebstrap failed with {made.returncode}:\n{made.stdout}")
    (new / "lock").touch()
    new.rename(place)


def obtain():
    """The directory of the root (in it: root/, lock), made when it is not there."""
    check()
    suite = codename()
    parts = command(suite, sources(suite))
    key = hashlib.sha256("\0".join(part or "" for part in parts).encode()).hexdigest()[:16]
    place = cache() / f"root-{key}"
    place.parent.mkdir(parents=True, exist_ok=True)
    (place.parent / "mnt").mkdir(exist_ok=True)
    with locked(place.parent / "lock", fcntl.LOCK_EX):
        if not place.is_dir():
            make(parts, place)
            remove_others(place)
    return place


def main():
    try:
        obtain()
    except Impossible as e:
        print(f"machine: skipped: {e}")
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main())
