# SPDX-License-Identifier: ISC
"""The recipes of preforkd-programs(7), followed to the letter on a booted machine."""

import os
import re
from pathlib import Path

from manual import USER, Reader, examples

SOURCE = Path(os.environ.get("SRCDIR", Path(__file__).resolve().parents[2]))
TEXT = (SOURCE / "man/preforkd-programs.7").read_text()
EXAMPLES = examples(TEXT)
# What recipes leave behind, beside the files that the page shows.
LEFT = """
systemctl stop nginx haproxy
systemctl reset-failed nginx haproxy
loginctl terminate-user alice
rm -rf /srv/* /home/alice/.ssh /home/alice/[!.]* /root/.ssh /etc/maintenance
userdel --force git 2>/dev/null
exit 0
"""


class Administrator(Reader):
    """with Administrator(machine) as admin:
        admin.open_up()             the drop-in for programs, as the page installs it
        admin.use("git")            a recipe
        admin.alice("git clone git://127.0.0.1/project.git")    a real client"""

    def __init__(self, machine):
        super().__init__(machine, manager=False)

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.leave()
        self.machine.run("sh", "-c", LEFT)
        # Another test may log her in, or look for what runs.
        self.machine.wait("the end of the logins", lambda: self.sh(
            f"loginctl show-user {USER}", check=False).returncode != 0)

    def open_up(self):
        self.follow(EXAMPLES["programs"])

    def use(self, name, change=None, skip=None):
        """change: a function of each file's path and text. skip: a pattern for commands that this
        test does itself."""
        self.machine.systemctl("start", "preforkd")
        for kind, *step in EXAMPLES[name]:
            if kind == "file":
                path, text = step
                self.write(path, change(path, text) if change else text)
            elif not (skip and re.search(skip, step[1])):
                self.run(*step)

    def sh(self, command, user=None, check=True):
        return self.machine.run("sh", "-ec", command, user=user, check=check)

    def alice(self, command, check=True):
        """With her environment and her home as the working directory; what it printed."""
        return self.sh(f"cd; {command}", USER, check).stdout

    def during(self, command, user=USER):
        """The command in the background."""
        return self.machine.popen("sh", "-ec", f"cd; {command}", user=user)

    # -- what the daemon knows

    def counts(self, service):
        """The connections of the service, without what is 0, and without times."""
        pools = [p for p in self.machine.status()["pools"] if p["service"] == service]
        assert pools, service
        sums = {}
        for pool in pools:
            for name, number in pool["connections"].items():
                if number and name not in ("busy_usec", "log_lost"):
                    sums[name] = sums.get(name, 0) + number
        return sums

    def wait_counts(self, service, **wanted):
        seen = {}

        def look():
            seen.clear()
            seen.update(self.counts(service))
            return seen == wanted

        try:
            self.machine.wait(f"{service}: {wanted}", look)
        except AssertionError:
            raise AssertionError(f"{service}: {seen}, not {wanted}\n"
                                 f"{self.machine.journal_text()}") from None

    def workers(self, service):
        return [w for w in self.machine.status()["workers"] if w["service"] == service]

    def complaints(self):
        """What the machine, the daemon and its programs could not do in this test."""
        return [m["MESSAGE"] for m in self.machine.journal()
                if re.search(r"not permitted|[Pp]ermission denied|Read-only|audit.*SECCOMP",
                             str(m.get("MESSAGE")))]

