# SPDX-License-Identifier: ISC
"""A real terminal (tmux) in which a program runs: keys go in, the screen comes out."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from daemon import DEADLINE, wait_until

# What a shell does before and after the program; then whoever types is echoed again.
SCRIPT = """
trap : INT
stty -g >before
printf '%s\\n' "$$" >shell
{command}
code=$?
stty -g >after
printf 'ended with %s\\n' "$code"
exec cat
"""


class Terminal:
    """`with Terminal([program, ...]) as t`. env: for the program."""

    def __init__(self, command, width=80, height=24, env=None, script=SCRIPT):
        # A short path: it holds a socket.
        self.directory = Path(tempfile.mkdtemp(prefix="term"))
        self.script = self.directory / "script"
        self.script.write_text(script.format(command=shlex.join(map(str, command))))
        env = {"LC_ALL": "C.UTF-8", "NO_COLOR": "", **(env or {})}
        settings = [part for name, value in env.items() for part in ("-e", f"{name}={value}")]
        if "TERM" in env:
            # tmux has its own idea of it.
            settings += ["env", f"TERM={env['TERM']}"]
        self.tmux("-f", "/dev/null", "-u", "new-session", "-d", "-x", width, "-y", height,
                  "-c", self.directory, *settings, "sh", self.script)

    def tmux(self, *args):
        result = subprocess.run(["tmux", "-S", self.directory / "tmux", *map(str, args)],
                                capture_output=True, text=True, timeout=DEADLINE, check=False,
                                env={k: v for k, v in os.environ.items() if k != "TMUX"})
        assert result.returncode == 0, (args, result.stderr)
        return result.stdout

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        subprocess.run(["tmux", "-S", self.directory / "tmux", "kill-server"],
                       capture_output=True, timeout=DEADLINE, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- what is seen

    def screen(self, *options):
        return self.tmux("capture-pane", "-p", *options)

    def wait(self, pattern, gone=False):
        """Until a pattern is (no longer) on the screen; returns the match and leaves it there."""
        seen = {}

        def look():
            seen["screen"] = self.screen()
            found = re.search(pattern, seen["screen"], re.M)
            return not found if gone else found
        try:
            return wait_until("screen", look)
        except AssertionError:
            raise AssertionError(f"{'still' if gone else 'no'} {pattern!r}:\n{seen['screen']}") \
                from None

    def line(self, pattern):
        """The line of the screen that has it."""
        found = [line for line in self.screen().split("\n") if re.search(pattern, line)]
        assert len(found) == 1, (pattern, self.screen())
        return found[0]

    def flag(self, name):
        return self.tmux("display-message", "-p", f"#{{{name}}}").strip()

    # -- what is done

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def resize(self, width, height):
        self.tmux("resize-window", "-x", width, "-y", height)

    def pid(self, name):
        """The program, a child of the shell."""
        def look():
            with_shell = self.directory / "shell"
            shell = with_shell.read_text().strip() if with_shell.exists() else None
            if not shell:
                return None
            for child in Path(f"/proc/{shell}/task/{shell}/children").read_text().split():
                if Path(f"/proc/{child}/comm").read_text().strip() == name:
                    return int(child)
            return None
        return wait_until(name, look)

    def signal(self, name, number):
        os.kill(self.pid(name), number)

    def wait_end(self, code=0):
        """The program has ended, and the terminal is as it was."""
        self.wait(rf"^ended with {code}$")
        before, after = ((self.directory / name).read_text() for name in ("before", "after"))
        assert before == after
        assert self.flag("alternate_on") == "0"
        assert self.flag("cursor_flag") == "1"
        assert self.flag("keypad_flag") == "0"
        assert self.flag("keypad_cursor_flag") == "0"
        self.type("echoed")
        self.wait("^echoed$")


def died_of(number):
    """How a shell tells it."""
    return 128 + signal.Signals(number)
