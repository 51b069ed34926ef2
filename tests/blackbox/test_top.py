# SPDX-License-Identifier: ISC
"""preforkctl top, in a real terminal. What it computes is tests/unit/test_top_*.c's."""

import contextlib
import os
import re
import signal
import subprocess

import pytest
from daemon import connect, wait_until
from support import Clients, finish, hold, pids, rewrite, service, workers
from test_hostile_board import STREAM_OF, Vandal
from terminal import SCRIPT, Terminal, died_of

TCP = "tcp://127.0.0.1:0"
TWO = service("echo", TCP, workers=2) + service("quiet", TCP, workers=1)


def command(d, *args):
    return [d.programs.preforkctl, "--runtime-directory", d.runtime, "top", *args]


@contextlib.contextmanager
def top(d, *args, **kwargs):
    """It looks often, so that the tests need not wait."""
    with Terminal(command(d, "-d", "0.1", *args), **kwargs) as t:
        yield t


def row(name, rest=""):
    return rf"^[ !*]{name} .*{rest}"


def order(t, *names):
    """Whether the rows of those services are in this order."""
    found = re.findall(rf"^[ !*]({'|'.join(names)}) ", t.screen(), re.M)
    return tuple(found) == names


# ---- what is seen


def test_a_usual_terminal(daemon):
    d = daemon(TWO)
    with top(d) as t:
        t.wait(rf"^preforkd main  running  generation 1  up \d+s  pid {d.pid}  \S+ +0\.1s$")
        t.wait(r"^rate 0/s  busy 0  ready 3  max 3  queued 0  refused 0/s  errors 0/s$")
        t.wait(r"^ SERVICE▴ ADDRESS +WORKERS RATE/S RATE +P99 QUEUE REF/S ERR/S$")
        t.wait(row("echo", rf"{d.address('echo')} +0/2/2 +0 "))
        t.wait(row("quiet", rf"{d.address('quiet')} +0/1/1 +0 "))
        t.wait(rf"^─ echo {d.address('echo')}  echo ─+ 1 of 2 ─$")
        t.wait(r"^ rate +▁+ 0/s$")
        lines = t.screen().rstrip("\n").split("\n")
        assert len(lines) == 24
        assert re.search(r"^ h help  w workers  / filter  F6 sort  .* q quit$", lines[23])
        t.keys("q")
        t.wait_end()


def test_clients_are_seen(daemon):
    d = daemon(TWO)
    with top(d) as t:
        t.wait(row("echo", "0/2/2"))
        with hold(d.address("echo")) as one, hold(d.address("echo")) as other:
            t.wait(r"^\*echo .* 2/2/2")
            t.wait(r"^rate .* busy 2 ")
            t.wait("^preforkd main  running, 1 full  generation")
            finish(one)
            finish(other)
        t.wait(row("echo", "0/2/2"))
        with Clients(d.address("quiet")):
            t.wait(row("quiet", r"[01]/1/1 +[1-9]\d* .* \d+(\.\d)?(us|ms) "))
            t.wait("^rate [1-9]")
        t.wait(row("quiet", r"0/1/1 +0 .* \d+(\.\d)?(us|ms) "))


def test_what_is_not_known(daemon):
    """No 0 for what nobody has counted."""
    d = daemon(service("sleep", TCP, acceptor=["/bin/sleep", "1000"], workers=2))
    with top(d) as t:
        t.wait(row("sleep", r"-/2/2 +- "))
        t.wait("accepts for itself")
        t.keys("Enter")
        t.wait(r"^ +\d+ running +\S+ +- ")


def test_degraded(daemon):
    """Workers that die before their first client."""
    d = daemon(TWO)
    with top(d, width=140) as t:
        t.wait("^preforkd main  running  generation")

        def look():
            for pid in pids(d, "quiet"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return re.search(row("quiet", r"backs off \d+ ms$").replace(" !*", "!"), t.screen(),
                             re.M)
        wait_until("backs off", look)
        t.wait(row("quiet", "0/1/1"))
        t.wait("^preforkd main  running  generation")


# ---- workers


def test_workers(daemon):
    d = daemon(TWO)
    with hold(d.address("echo")) as client, top(d, width=100) as t:
        host, port = client.getsockname()
        [busy] = [w["pid"] for w in workers(d, "echo") if w["state"] == "busy"]
        [idle] = pids(d, "echo") - {busy}
        t.wait(row("echo", "1/2/2"))
        t.keys("Enter")
        t.wait(r"^ +PID▴ ?STATE +SINCE CONNECTIONS +AGE +GEN CLIENT")
        t.wait(rf"^ +{busy} busy +\S+ +1 +\S+ +1 {re.escape(f'{host}:{port}')}$")
        t.wait(rf"^ +{idle} idle +\S+ +0 +\S+ +1$")
        finish(client)
        t.wait(rf"^ +{busy} idle ")
        t.keys("Escape")
        t.wait(row("quiet"))
        t.keys("Down", "w")
        t.wait(rf"^ +{min(pids(d, 'quiet'))} idle ")
        t.wait("^─ quiet ")
        assert str(busy) not in t.screen()


def test_workers_come_and_go(daemon):
    d = daemon(TWO)
    with top(d) as t:
        t.wait(row("echo"))
        t.keys("w")
        old = pids(d, "echo")
        t.wait(str(min(old)))
        d.ctl("recycle")
        new = pids(d, "echo")
        assert not old & new
        for pid in new:
            t.wait(rf"^ +{pid} idle ")
        for pid in old:
            t.wait(rf"^ +{pid} ", gone=True)
        # Their pool goes.
        rewrite(d, service("quiet", TCP, workers=1))
        t.wait("no worker")
        t.keys("Escape")
        t.wait(row("quiet"))


# ---- keys


def test_sort(daemon):
    d = daemon(service("a", TCP, workers=1) + service("b", TCP, workers=2) +
               service("c", TCP, workers=1))
    with hold(d.address("b")), top(d) as t:
        t.wait(row("b", "1/2/2"))
        assert order(t, "a", "b", "c")
        t.keys("r")
        t.wait(r"SERVICE▾")
        assert order(t, "c", "b", "a")
        t.keys("B")
        t.wait("WORKERS▴")
        assert order(t, "a", "c", "b")
        t.keys("r")
        t.wait("WORKERS▾")
        assert order(t, "b", "a", "c")
        t.keys("<")
        t.wait("ADDRESS▴")
        t.keys(">", ">")
        t.wait("RATE/S▾")
        t.keys("F6")
        t.wait("^ Sort by$")
        t.wait("^ +Q +QUEUE +clients that wait")
        t.keys("Up", "Up", "Up", "Enter")
        t.wait("SERVICE▴")
        assert order(t, "a", "b", "c")


def test_filter(daemon):
    d = daemon(TWO)
    with hold(d.address("quiet")) as client, top(d) as t:
        port = client.getsockname()[1]
        t.wait(row("quiet", "1/1/1"))
        t.keys("/")
        t.wait("filter:$")
        t.type("EchX")
        t.wait('no pool matches "EchX"')
        t.keys("BSpace")
        t.wait(row("echo"))
        assert not re.search(row("quiet"), t.screen(), re.M)
        # q is a letter here.
        t.type("q")
        t.wait('no pool matches "Echq"')
        t.keys("C-u")
        t.type(f":{port}")
        t.wait(row("quiet"))
        t.wait(row("echo"), gone=True)
        t.keys("Enter")
        t.wait("q quit")
        t.keys("Escape")
        t.wait(row("echo"))
        t.keys("q")
        t.wait_end()


def test_pause_and_interval(daemon):
    d = daemon(TWO)
    with top(d) as t:
        t.wait(row("echo", "0/2/2"))
        t.keys("p")
        t.wait(r" paused  0\.1s$")
        with hold(d.address("echo")):
            t.keys("+")
            t.wait(r" paused  0\.2s$")
            assert re.search(row("echo", "0/2/2"), t.screen(), re.M)
            t.keys("Space")
            t.wait(row("echo", "1/2/2"))
        t.keys("+", "+", "+")
        t.wait(r" 2s$")
        t.keys("-", "-", "-", "-", "-", "-")
        t.wait(r" 0\.1s$")


def test_help(daemon):
    d = daemon(TWO)
    with top(d) as t:
        t.wait(row("echo"))
        t.keys("?")
        t.wait("^ F6 s +choose the column to sort by$")
        t.keys("End")
        t.wait("^ - +not known$")
        t.keys("q")
        t.wait(row("echo"))
        t.keys("F1")
        t.wait("this help")
        t.keys("Escape")
        t.wait(row("echo"))


def test_many_pools(daemon):
    """More than there are lines."""
    names = [f"s{i:02}" for i in range(40)]
    d = daemon("".join(service(name, TCP, workers=1) for name in names))
    with top(d) as t:
        t.wait(row("s00"))
        assert not re.search(row("s39"), t.screen(), re.M)
        t.keys("End")
        t.wait(row("s39"))
        t.wait("40 of 40")
        t.keys("PPage", "PPage", "PPage", "PPage")
        t.wait(row("s00"))
        t.keys(*["Down"] * 20)
        t.wait(row("s20"))
        t.wait("^─ s20 ")


# ---- the terminal


def test_resize(daemon):
    d = daemon(TWO)
    with hold(d.address("quiet")), top(d) as t:
        t.wait(row("quiet", "1/1/1"))
        t.resize(200, 50)
        t.wait(r"BUSY/READY/MAX RATE/S RATE .*P50   P99 QUEUE REF/S ERR/S BUSY +NOTE")
        t.wait(row("quiet", "full$"))
        t.resize(40, 10)
        t.wait("NOTE", gone=True)
        t.wait(row("echo", "0/2/2"))
        for width, height in ((20, 4), (5, 2), (2, 1), (300, 3)):
            t.resize(width, height)
            t.wait("^p…$" if width == 2 else "^pref")
        t.resize(80, 24)
        t.wait("q quit$")
        t.wait(row("quiet", "1/1/1"))
        t.wait("^─ echo .* 1 of 2 ─$")
        t.keys("q")
        t.wait_end()


def colours(text):
    """The colours among the attributes."""
    codes = {int(code or 0) for codes in re.findall(r"\033\[([\d;]*)m", text)
             for code in codes.split(";")}
    return {code for code in codes if 30 <= code < 50 and code not in (39, 49) or code >= 90}


ENDED_BY = {39: range(30, 38), 49: range(40, 48), 0: range(108)}


def attributes(screen, text):
    """Those of a text that is on the screen: 1 bold, 7 reverse, 30 and more colours."""
    active = set()
    for codes, piece in re.findall(r"(?:\033\[([\d;]+)m)?([^\033]*)", screen):
        for code in map(int, filter(None, codes.split(";"))):
            active = active - set(ENDED_BY[code]) if code in ENDED_BY else active | {code}
        if text in piece:
            return active
    raise AssertionError((text, screen))


def test_colours(daemon):
    d = daemon(TWO)
    with hold(d.address("quiet")), top(d) as t:
        t.wait(r"^\*quiet .* 1/1/1")
        screen = t.screen("-e")
        assert attributes(screen, "running") == {1, 32}
        assert attributes(screen, "*quiet") == {1, 33}
        assert attributes(screen, " echo  ") == {7}


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "vt100"}])
def test_no_colours(daemon, env):
    """What is wrong is told all the same."""
    d = daemon(TWO)
    with hold(d.address("quiet")), top(d, env=env) as t:
        t.wait(r"^\*quiet .* 1/1/1")
        screen = t.screen("-e")
        assert not colours(screen)
        assert 7 in attributes(screen, " echo  "), "what is selected"
        assert attributes(screen, "*quiet") == {1}, "what is full"
        t.keys("q")
        t.wait_end()


def test_no_unicode(daemon):
    d = daemon(TWO)
    with top(d, env={"LC_ALL": "C"}) as t:
        t.wait(r"^ SERVICE\^ ADDRESS")
        t.wait(r"^ rate +_+ 0/s$")
        assert t.screen().isascii()


def test_hostile_names(daemon):
    """Whatever a text of the board holds, the terminal is not moved by it."""
    d = daemon(service("victim" * 8, TCP, workers=1) + TWO)
    name = b"victim" * 8 + b"\0"
    hostile = b"\033]2;owned\007\033[2J\n\xff\xe2\x80\xae\0"
    with open(d.runtime / "master", "r+b") as f:
        at = f.read().index(name)
        f.seek(at)
        f.write(hostile.ljust(len(name), b"\0"))
    with top(d, width=160) as t:
        t.wait(r"^ \\x1b\]2;owned\\x07\\x1b\[2J\\n\\xff\\xe2\\x80\\xae +tcp://127")
        t.wait(row("echo", "0/2/2"))
        assert t.flag("pane_title") != "owned"
        t.keys("q")
        t.wait_end()


@pytest.mark.parametrize("kind", STREAM_OF)
def test_a_board_that_is_written_over(daemon, kind):
    """Wrong numbers, and nothing worse: it goes on."""
    d = daemon(TWO)
    with top(d) as t:
        t.wait(row("echo", "0/2/2"))
        with Vandal(d, STREAM_OF[kind]):
            d.ctl("top", "-b", "-n", "5", "-d", "0.1")
            t.keys("w")
            t.wait("Esc pools")
            t.keys("C", "r", "/", "1", "Enter", "Escape", "Escape")
            t.wait("w workers")
        t.keys("q")
        t.wait_end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_restores_the_terminal(daemon, number):
    d = daemon(TWO)
    with top(d) as t:
        t.wait(row("echo"))
        assert t.flag("alternate_on") == "1"
        assert t.flag("cursor_flag") == "0"
        t.signal("preforkctl", number)
        t.wait_end(died_of(number))


def test_an_interrupt_is_the_end(daemon):
    d = daemon(TWO)
    with top(d) as t:
        t.wait(row("echo"))
        t.keys("C-c")
        t.wait_end(0)


def test_stop_and_go_on(daemon):
    """Ctrl-Z and fg, in a shell with jobs; the terminal has another size meanwhile."""
    d = daemon(TWO)
    script = "PS1='prompt> ' ENV= exec sh -i"
    with Terminal(command(d, "-d", "0.1"), script=script) as t:
        t.wait(r"^prompt>$")
        t.type(" ".join(map(str, command(d, "-d", "0.1"))))
        t.keys("Enter")
        t.wait(row("echo"))
        for width in (100, 90):
            t.keys("C-z")
            t.wait(r"^prompt>$")
            assert t.flag("alternate_on") == "0"
            assert t.flag("cursor_flag") == "1"
            t.type("echo back $((40 + 2))")
            t.keys("Enter")
            t.wait("^back 42$")
            t.resize(width, 20)
            t.type("fg")
            t.keys("Enter")
            t.wait(row("echo"))
            wait_until("size", lambda w=width: len(t.line("SERVICE")) > w - 20)
            t.wait("q quit")
        t.keys("q")
        t.wait(r"^prompt>$")
        assert t.flag("alternate_on") == "0"


# ---- the daemon comes and goes


def test_a_restart_of_the_daemon(daemon):
    d = daemon(TWO)
    with top(d) as t:
        t.wait(rf"^preforkd main  running .* pid {d.pid} ")
        for _ in range(2):
            assert d.stop() == 0
            t.wait("^preforkd main  not running, waiting")
            t.wait("^/.*/master: No such file or directory$")
            t.wait(row("echo"), gone=True)
            d.start()
            t.wait(rf"^preforkd main  running .* pid {d.pid} ")
            t.wait(row("echo", "0/2/2"))
        t.keys("q")
        t.wait_end()


def test_the_daemon_is_killed(daemon):
    """Its board is still there."""
    d = daemon(TWO)
    with top(d) as t:
        t.wait(row("echo"))
        d.process.kill()
        d.wait()
        t.wait("not running, waiting")
        t.wait(rf"its master \(pid {d.pid}\) is gone")
        d.start()
        t.wait(rf"running .* pid {d.pid} ")


def test_it_may_be_there_first(daemon):
    d = daemon(TWO)
    d.stop()
    with top(d) as t:
        t.wait("not running, waiting")
        d.start()
        t.wait(row("echo", "0/2/2"))
        t.keys("q")
        t.wait_end()


def test_an_upgrade(daemon):
    d = daemon(TWO)
    with top(d) as t:
        t.wait(row("echo", "0/2/2"))
        before = pids(d)
        d.ctl("upgrade")
        t.wait(rf"running  generation 2 .* pid {d.pid} ")
        t.keys("w")
        t.wait(rf"^ +{min(pids(d, 'echo') - before)} idle ")


def test_a_stopped_master(daemon):
    """Who waits is seen too: the kernel tells."""
    d = daemon(TWO)
    d.signal(signal.SIGSTOP)
    try:
        with hold(d.address("quiet")), top(d) as t:
            t.wait(row("quiet", "1/1/1 .* 0     0     0$"))
            with connect(d.address("quiet")), connect(d.address("quiet")):
                t.wait(row("quiet", "1/1/1 .* 2     0     0$"))
                t.wait("^rate .* queued 2 ")
                t.keys("Down")
                t.wait(r"^ time .* queue 2/\d+ p99 ")
            t.wait(row("echo", "0/2/2"))
    finally:
        d.signal(signal.SIGCONT)


# ---- without a terminal


def test_no_terminal(daemon):
    d = daemon(TWO)
    result = d.ctl("top", check=False)
    assert (result.returncode, result.stdout) == (64, "")
    assert result.stderr == \
        "preforkctl: top needs a terminal; --batch prints plain text without one\n"


@pytest.mark.parametrize("term", ["nonsense", "dumb"])
def test_a_terminal_that_cannot(daemon, term):
    d = daemon(TWO)
    with top(d, env={"TERM": term}) as t:
        t.wait(f'^preforkctl: top: TERM "{term}"')
        t.wait_end(64)


@pytest.mark.parametrize("args", [("-d", "0.05"), ("-d", "x"), ("-d", "-1"), ("-d", "nan"),
                                  ("-d", "1e99"), ("-d", ""), ("-n", "0"), ("-n", "x"),
                                  ("--json",), ("echo",)])
def test_bad_command_lines(daemon, args):
    d = daemon(TWO)
    result = d.ctl("top", *args, check=False)
    assert (result.returncode, result.stdout) == (64, "")
    assert args[-1] in result.stderr


@pytest.mark.parametrize("args", [("-b", "-n", "2", "-d", "0.1"),
                                  ("--batch", "--count", "2", "--interval", "100ms")])
def test_batch(daemon, args):
    d = daemon(TWO)
    with hold(d.address("quiet")):
        result = d.ctl("top", *args, env={**os.environ, "LC_ALL": "C.UTF-8"})
    looks = result.stdout.split("\n\n")
    assert len(looks) == 2
    for text in looks:
        lines = text.rstrip("\n").split("\n")
        assert re.match(rf"preforkd main  running, 1 full  generation 1 .* pid {d.pid} ", lines[0])
        assert re.match(r"rate 0/s  busy 1  ready 3  max 3 ", lines[1])
        assert re.match(r" SERVICE▴ ADDRESS .* NOTE$", lines[2])
        assert re.match(row("echo", r"0/2/2 +0 "), lines[3])
        assert re.match(row("quiet", r"1/1/1 +0 .*full$"), lines[4])
        assert len(lines) == 5
        assert "\033" not in text


def test_batch_of_many(daemon):
    """Every row, and no more columns than it was told."""
    d = daemon("".join(service(f"s{i:02}", TCP, workers=1) for i in range(40)))
    out = d.ctl("top", "-b", "-n", "1", "-d", "0.1", env={**os.environ, "COLUMNS": "70"}).stdout
    assert all(re.search(row(f"s{i:02}"), out, re.M) for i in range(40))
    assert max(map(len, out.split("\n"))) <= 70


def test_batch_without_a_daemon(daemon):
    d = daemon(TWO)
    d.stop()
    result = d.ctl("top", "-b", "-n", "1", check=False)
    assert (result.returncode, result.stdout) == (3, "")
    assert "not running" in result.stderr


def test_batch_meanwhile(daemon):
    """It goes on when the daemon ends."""
    d = daemon(TWO)
    process = subprocess.Popen(command(d, "-b", "-d", "0.1"), stdout=subprocess.PIPE, text=True)
    try:
        assert "running  generation 1" in process.stdout.readline()
        d.stop()
        for line in process.stdout:
            if "not running, waiting" in line:
                break
        d.start()
        for line in process.stdout:
            if f"pid {d.pid} " in line:
                break
        assert process.poll() is None
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_batch_to_a_full_disk(daemon):
    d = daemon(TWO)
    with open("/dev/full", "w") as full:
        result = subprocess.run(command(d, "-b", "-d", "0.1"), stdout=full,
                                stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert result.returncode == 74
    assert "No space left" in result.stderr


def test_so_many_looks(daemon):
    d = daemon(TWO)
    with top(d, "-n", "3") as t:
        t.wait_end()


def test_ten_looks_a_second_cost_little(daemon):
    """Processor time, not time: 20 looks at 40 pools in less than half a second of it."""
    d = daemon("".join(service(f"s{i:02}", TCP, workers=1) for i in range(40)))
    script = SCRIPT.replace("code=$?", "code=$?; times >times")
    with Terminal(command(d, "-d", "0.1", "-n", "20"), script=script, width=200, height=60) as t:
        t.wait_end()
        children = (t.directory / "times").read_text().split("\n")[1].split()
        assert sum(60 * float(m) + float(s) for m, s in
                   (re.fullmatch(r"(\d+)m([\d.]+)s", part).groups() for part in children)) < 0.5


# ---- what is said of it


def test_every_key_is_in_the_manual(programs):
    man = (programs.source / "man/preforkctl.1").read_text()
    section = re.search(r"^\.Ss top$.*?^\.Ss ", man, re.M | re.S)[0]
    told = set(re.findall(r"[^\s,]+", " ".join(re.findall(r"^\.It Ic (.*)$", section, re.M))
                          .replace(r"\&", "").replace(" , ", " ")))
    code = programs.source / "src/ctl"
    shown = re.findall(r'^\t\{\{.*?\},\s+"([^"]+)",', (code / "top_keys.c").read_text(),
                       re.M | re.S)
    assert len(shown) > 15
    keys = {key for text in shown for key in text.split()} | {"k", "j", "F1"}
    keys |= set(re.findall(r"\.key = '(.)'", (code / "top_columns.c").read_text()))
    assert told == keys


def test_the_screen_of_the_manual(programs):
    """Its columns are those that there are."""
    man = (programs.source / "man/preforkctl.1").read_text()
    screen = re.search(r"^\.Ss top$.*?^\.Bd -literal\n(.*?)^\.Ed$", man, re.M | re.S)[1]
    code = (programs.source / "src/ctl/top_columns.c").read_text()
    titles = set(re.findall(r'\.(?:title|narrow) = "(.+?)"', code))
    [head] = [line for line in screen.split("\n") if "SERVICE" in line]
    assert set(head.replace("^", " ").split()) <= titles
