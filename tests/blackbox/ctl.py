# SPDX-License-Identifier: ISC
"""Running preforkctl."""

import os
import pathlib
import subprocess

BUILDDIR = pathlib.Path(
    os.environ.get("BUILDDIR", pathlib.Path(__file__).resolve().parents[2] / "build")
)
PREFORKCTL = str(BUILDDIR / "preforkctl")

# Exit codes, as preforkctl(1) lists them.
OK = 0
FAILED = 1
NOT_RUNNING = 3
USAGE = 64
DATAERR = 65
NOHOST = 68
UNAVAILABLE = 69
IOERR = 74
TEMPFAIL = 75
NOPERM = 77

# No test waits as long as this unless preforkctl hangs.
HANG = 60


def run(*arguments, **options):
    """Runs it to its end; without stdin= or input= its standard input is empty."""
    if "stdin" not in options:
        options.setdefault("input", b"")
    return subprocess.run(
        [PREFORKCTL, *map(str, arguments)],
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        timeout=HANG,
        check=False,
        **options,
    )


def start(*arguments, **options):
    """Starts it; the caller talks to it through the pipes."""
    options = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "bufsize": 0,
        **options,
    }
    return subprocess.Popen([PREFORKCTL, *map(str, arguments)], **options)
