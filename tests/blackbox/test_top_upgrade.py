# SPDX-License-Identifier: ISC
"""preforkctl top while the daemon becomes one of another version, and of its own again."""

from support import service
from terminal import Terminal
from upgrading import install, own_programs, upgrade  # noqa: F401 (a fixture)


def test_a_board_of_another_layout(daemon, programs):
    d = daemon(service("echo", "tcp://127.0.0.1:0", workers=2))
    with Terminal([programs.preforkctl, "--runtime-directory", d.runtime, "top", "-d", "0.1"],
                  width=160) as t:
        t.wait("^ echo .* 0/2/2 ")
        for _ in range(2):
            install(programs.other, programs.preforkd)
            upgrade(d)
            t.wait("not running, waiting")
            t.wait("written by another version of preforkd; use its preforkctl$")
            install(programs.built, programs.preforkd)
            upgrade(d)
            t.wait(rf"^preforkd main  running .* pid {d.pid} ")
            t.wait("^ echo .* 0/2/2 ")
        t.keys("q")
        t.wait_end()
