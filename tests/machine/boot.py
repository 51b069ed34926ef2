#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The keeper of one booted machine: boot.py ROOT-DIRECTORY BUILD-DIRECTORY

Mounts a copy-on-write root in a mount namespace of its own, installs preforkd into it, boots it with
systemd-nspawn, and prints `ready PID` (the machine's init), again after a reboot, or `failed TEXT`.
The machine lives until the standard input of the keeper is closed: so it ends with the tests however
they end. The keeper is a process of its own for that, and its mounts vanish with it."""

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from root import Impossible, cgroup2

CLONE_NEWNS = 0x00020000
PR_SET_PDEATHSIG = 1
BOOT_SECONDS = 60
POWEROFF_SECONDS = 15
# How systemd-nspawn asks to be started again.
REBOOT = 133
GROUP = "preforkd-machine-"
LIBC = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    pass


def run(*argv):
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)


# -- cgroups: one for each machine, in every hierarchy that systemd uses


def hierarchies():
    named = Path("/sys/fs/cgroup/systemd")
    return [cgroup2(), *([named] if (named / "cgroup.procs").exists() else [])]


def remove_group(group):
    """With what is in it: nobody may survive the machine."""
    with contextlib.suppress(OSError):
        (group / "cgroup.kill").write_text("1")
    end = time.monotonic() + 5
    while group.exists() and time.monotonic() < end:
        for directory, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        select.select([], [], [], 0.01)


def remove_groups(name):
    for hierarchy in hierarchies():
        remove_group(hierarchy / name)


def remove_stale_groups():
    """Of keepers that were killed."""
    for hierarchy in hierarchies():
        for group in hierarchy.glob(GROUP + "*"):
            keeper = group.name.removeprefix(GROUP)
            if keeper.isdigit() and not Path("/proc", keeper).exists():
                remove_group(group)


# -- the root


def mount_root(base, place):
    """The tree that is booted: changes go to memory."""
    if LIBC.unshare(CLONE_NEWNS) != 0:
        raise Failure(f"unshare: {os.strerror(ctypes.get_errno())}")
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place)
    # What nspawn leaves in the host's.
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    tree, upper, work = (place / name for name in ("root", "upper", "work"))
    for directory in (tree, upper, work):
        directory.mkdir(mode=0o755)
    layers = f"lowerdir={base},upperdir={upper},workdir={work}"
    if subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", tree],
                      stderr=subprocess.DEVNULL).returncode != 0:
        run("cp", "-a", f"{base}/.", tree)
    # Without one it would be a first boot, which enables units by their presets.
    (tree / "etc/machine-id").write_text(os.urandom(16).hex() + "\n")
    return tree


def install(build, tree):
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    lock = os.open(build, os.O_RDONLY)
    try:
        # Another may be installing from there, or building in there.
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["make", "-s", "-C", build, f"DESTDIR={tree}", "install"], env=env,
                              stdin=subprocess.DEVNULL, stdout=sys.stderr)
    finally:
        os.close(lock)
    if done.returncode != 0:
        raise Failure(f"make install in {build} failed")


# -- the machine


def start(tree, group):
    # A group left over by an earlier process of this pid.
    remove_groups(group)
    procs = cgroup2() / group / "cgroup.procs"
    procs.parent.mkdir()

    def enter():
        procs.write_text("0")
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    return subprocess.Popen(
        ["systemd-nspawn", "--quiet", "-D", tree, "--boot", "--register=no", "--keep-unit",
         "--private-network", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
         "--console=pipe", f"--machine={group}"],
        env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        stdin=subprocess.DEVNULL, stdout=sys.stderr, preexec_fn=enter, start_new_session=True)


def init_of(nspawn):
    """The child that is process 1 of a namespace of its own."""
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split()
    for pid in children:
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            if name == "systemd" and "\nNSpid:\t%s\t1\n" % pid in status:
                return int(pid)
    return None


def is_running(init):
    asked = subprocess.run(["nsenter", "-t", str(init), "-a", "systemctl", "is-system-running"],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return asked.stdout.strip() in ("running", "degraded")


def wait_running(nspawn):
    end = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < end:
        if nspawn.poll() is not None:
            raise Failure(f"systemd-nspawn ended with {nspawn.returncode}")
        init = init_of(nspawn)
        if init and is_running(init):
            return init
        if ended(0.05):
            raise Failure("ended while booting")
    raise Failure(f"not booted within {BOOT_SECONDS} s")


def ended(timeout, *others):
    """Whether the tests are over: they hold the other end of the standard input. Or one of the
    other descriptors is readable."""
    return bool(select.select([0, *others], [], [], timeout)[0])


def stop(nspawn):
    """An orderly shutdown, with a limit."""
    if nspawn.poll() is None:
        nspawn.terminate()
        try:
            nspawn.wait(POWEROFF_SECONDS)
        except subprocess.TimeoutExpired:
            nspawn.kill()
            nspawn.wait()


def watch(tree, group):
    """Boots it, again when it reboots, until the tests are over."""
    again = True
    while again:
        nspawn = start(tree, group)
        try:
            print("ready", wait_running(nspawn), flush=True)
            ended(None, os.pidfd_open(nspawn.pid))
            again = nspawn.poll() == REBOOT
        finally:
            stop(nspawn)
            remove_groups(group)


def keep(base, build, place):
    tree = mount_root(base, place)
    install(build, tree)
    watch(tree, f"{GROUP}{os.getpid()}")


def main(root, build):
    root = Path(root)
    # Ctrl-C is for the tests, which then close the input; a TERM is for the keeper.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with open(root / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            remove_stale_groups()
            keep(root / "root", Path(build), root.parent / "mnt")
        except (Failure, Impossible, OSError, subprocess.CalledProcessError) as e:
            print("failed", e, flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
