# SPDX-License-Identifier: ISC
"""Runs of preforkd that end by themselves: --check, --dump, mistakes."""

import os
import re
import subprocess

USAGE = 64
UNAVAILABLE = 69
IOERR = 74
NOPERM = 77
CONFIG = 78

# No test waits as long as this unless preforkd hangs, or serves where it should have failed.
HANG = 60

NOBODY = 65534
UNPRIVILEGED = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                "--inh-caps=-all", "--bounding-set=-all"]

# Services that are right but for what follows them, in line 4.
ECHO = 'service "a" {\n\tlisten = {"tcp://127.0.0.1:0"}\n\tbuiltin = "echo"\n'
EXEC = ECHO.replace('builtin = "echo"', 'exec = {"/bin/cat"}')
ACCEPTOR = ECHO.replace('builtin = "echo"', 'acceptor = {"/bin/cat"}')
# Together they have every key.
EVERY_KIND = "".join(text.replace('"a"', f'"{name}"') + "}\n"
                     for name, text in zip("abc", (ECHO, EXEC, ACCEPTOR)))


class Result:
    """code; out; lines: what it logged, without priority and pid; text: all of standard error."""

    def __init__(self, process):
        self.code = process.returncode
        self.out = (process.stdout or b"").decode(errors="surrogateescape")
        self.text = process.stderr.decode(errors="surrogateescape")
        self.lines = [re.sub(r"^<\d>preforkd\[\d+\]: ", "", line)
                      for line in self.text.splitlines()]
        assert "Sanitizer" not in self.text, self.text


def preforkd(programs, *args, wrapper=(), env=None, **options):
    """Runs it to its end. env: what is added to the environment."""
    options.setdefault("stdout", subprocess.PIPE)
    return Result(subprocess.run(
        [*wrapper, programs.preforkd, *map(str, args)], stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE, timeout=HANG, check=False, env={**os.environ, **(env or {})},
        **options))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogateescape"))
    path.chmod(0o644)
    return path


def check(programs, path, text=None, **options):
    """--check of a file, which gets the text first."""
    if text is not None:
        write(path, text)
    return preforkd(programs, "--check", "--config", path, **options)


def module(programs, name):
    path = programs.modules / f"{name}.so"
    assert path.exists(), f"{path}: make check builds it"
    return path
