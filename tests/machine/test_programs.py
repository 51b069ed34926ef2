# SPDX-License-Identifier: ISC
"""The recipes of preforkd-programs(7): each as the page has it, with the program and the client
that it is about, both as Debian ships them, under the shipped unit."""

import collections
import csv
import re
import shlex

import pytest
from manual import unmarked_commands
from programs import EXAMPLES, TEXT, Administrator

RECIPES = sorted(set(EXAMPLES) - {"programs", "import"})
# Those that write, or log somebody in.
NEED_MORE = {"git", "rsync", "sshd"}


@pytest.fixture
def admin(machine):
    with Administrator(machine) as a:
        yield a


@pytest.fixture
def opened(admin):
    """With the drop-in for programs."""
    admin.open_up()
    return admin


# -- the page


def test_the_page_has_every_recipe():
    assert set(RECIPES) == {"shell", "python", "git", "rsync", "sshd", "agent", "php", "gunicorn",
                            "node"}
    assert not unmarked_commands(TEXT)


def test_all_recipes_at_once(opened):
    """One daemon, with every service of the page."""
    for name in RECIPES:
        opened.use(name)
    opened.machine.systemctl("restart", "preforkd")
    for name in RECIPES:
        opened.use(name, skip="useradd|git init|git clone|commit|ssh-keygen")
    assert not opened.complaints()


@pytest.mark.parametrize("name", sorted(set(RECIPES) - NEED_MORE))
def test_the_unit_as_it_is_will_do(admin, name):
    admin.use(name)
    assert not admin.complaints()


def test_what_import_writes(admin):
    admin.machine.systemctl("start", "preforkd")
    admin.machine.write("/etc/rsyncd.conf", "[public]\npath = /srv\n")
    admin.follow(EXAMPLES["import"])
    admin.wait_counts("git", accepted=1, finished=1)
    assert admin.alice("rsync rsync://127.0.0.1/").split() == ["public"]
    assert not admin.complaints()


# -- a shell script


def test_shell(opened):
    opened.use("shell")
    said = opened.machine.wait_journal(r"greet\[\d+\]: greeted world$", "preforkd",
                                       PREFORKD_SERVICE="greet")
    assert said.message["PRIORITY"] == "6"
    for name in ("O'Brien; rm -rf /", "$(id)", "x" * 5000):
        reply = opened.alice(f"preforkctl call tcp://127.0.0.1:7001 {shlex.quote(name)}")
        assert reply == f"hello {name}, you come from 127.0.0.1\n"
    # Who leaves without a word: the script's exit 1.
    opened.alice("nc -N 127.0.0.1 7001 </dev/null")
    opened.wait_counts("greet", accepted=5, finished=5, program_failures=1)


# -- a Python script, started ahead


def test_python(opened):
    opened.use("python")
    with opened.machine.connect("tcp://127.0.0.1:7002") as s:
        file = s.makefile("rw")
        for asked, wanted in (("10.0.0.0/8", '"last": "10.255.255.255"'), ("x", '"error"'),
                              ("2001:db8::/127", '"last": "2001:db8::1"')):
            file.write(asked + "\n")
            file.flush()
            assert wanted in file.readline()
        file.close()
    for number in range(20):
        reply = opened.alice(f"echo 192.0.{number}.0/30 | nc -N 127.0.0.1 7002")
        assert reply == f'{{"first": "192.0.{number}.0", "last": "192.0.{number}.3"}}\n'
    opened.wait_counts("network", accepted=22, finished=22)


# -- git


COMMIT = "git -c user.name=alice -c user.email=a@localhost commit -q -m"


def test_git_clone_and_push(opened):
    opened.use("git")
    # More than any buffer, in both directions.
    opened.alice(f"cd project && head -c 3000000 /dev/urandom >big && git add big && {COMMIT} big"
                 " && git push -q origin HEAD")
    opened.alice("git clone -q git://127.0.0.1/project.git again"
                 " && cmp project/big again/big && cmp project/README again/README")
    log = opened.sh("git -c safe.directory='*' -C /srv/git/project.git log --format=%s").stdout
    assert log.split() == ["big", "first"]
    opened.wait_counts("git", accepted=4, finished=4)
    assert not opened.complaints()


def test_git_serves_many_at_once(opened):
    opened.use("git")
    opened.alice("for i in $(seq 12); do git clone -q git://127.0.0.1/project.git c$i & done; wait;"
                 " for i in $(seq 12); do cmp project/README c$i/README; done")
    opened.wait_counts("git", accepted=14, finished=14)


def test_git_says_what_is_wrong(opened):
    opened.use("git")
    done = opened.sh("git clone git://127.0.0.1/other.git /tmp/other", "alice", check=False)
    assert done.returncode != 0 and "access denied or repository not exported" in done.stderr
    opened.machine.wait_journal(r"git\[\d+\]: .*'/srv/git/other.git'", "preforkd",
                                PREFORKD_SERVICE="git")


def test_git_that_may_write_in_one_place(admin):
    """As the page says, without the drop-in for programs."""
    admin.run("root", EXAMPLES["git"][1][2], [])
    admin.machine.dropin("preforkd.service", "[Service]\nReadWritePaths=/srv/git\n")
    admin.use("git", skip="useradd")
    assert not admin.complaints()


# -- rsync


TREE = ("mkdir -p tree/a/b && head -c 20000000 /dev/urandom >tree/big && ln -s big tree/link"
        " && for i in $(seq 300); do echo $i >tree/a/b/$i; done")


def test_rsync_both_ways(opened):
    opened.use("rsync")
    opened.alice(f"{TREE} && rsync -a tree/ rsync://127.0.0.1/incoming/tree/")
    opened.alice("rsync -a rsync://127.0.0.1/incoming/tree/ back/ && diff -r tree back"
                 " && test -L back/link")
    assert opened.sh("stat -c %U /srv/incoming/tree/big").stdout == "backup\n"
    opened.wait_counts("rsync", accepted=4, finished=4)
    done = opened.sh("rsync /etc/hosts rsync://127.0.0.1/public/", "alice", check=False)
    assert "module is read only" in done.stderr
    # By rsync's own exit status.
    opened.wait_counts("rsync", accepted=5, finished=5, program_failures=1)
    assert not opened.complaints()


def test_rsync_whose_client_vanishes(opened):
    opened.use("rsync")
    opened.alice("head -c 20000000 /dev/urandom >big")
    with opened.machine.popen("rsync", "--bwlimit=1000", "/home/alice/big",
                              "rsync://127.0.0.1/incoming/", user="alice") as rsync:
        opened.machine.wait("a transfer", lambda: ".big" in opened.sh("ls -A /srv/incoming").stdout)
        rsync.kill()
    opened.machine.wait("its program has ended", lambda: "open" not in opened.counts("rsync"))
    opened.alice("rsync big rsync://127.0.0.1/incoming/ && cmp big /srv/incoming/big")


def test_rsync_that_may_write_in_one_place(admin):
    admin.machine.run("mkdir", "-p", "/srv/incoming")
    admin.machine.dropin("preforkd.service", "[Service]\nReadWritePaths=/srv/incoming\n")
    admin.use("rsync")
    assert not admin.complaints()


def test_rsync_that_stays_root(opened):
    def change(path, text):
        if path == "/etc/rsyncd.conf":
            return text.replace("use chroot = no", "use chroot = yes\nuid = root\ngid = root")
        return text.replace('"backup"', '"root"')

    opened.use("rsync", change)
    opened.sh("mkdir /srv/tree && cd /srv/tree && echo 1 >f && chown alice:games f && chmod 2751 f"
              " && rsync -a /srv/tree/ rsync://127.0.0.1/incoming/")
    assert opened.sh("stat -c '%U %G %a' /srv/incoming/f").stdout == "alice games 2751\n"
    assert not opened.complaints()


# -- sshd


SSH = "ssh -p 2222 -o BatchMode=yes"


def test_ssh(opened):
    opened.use("sshd")
    opened.machine.wait_journal(r"sshd\[\d+\]: Accepted publickey for alice", "preforkd",
                                PREFORKD_SERVICE="ssh")
    said = opened.alice(f"{SSH} 127.0.0.1 'echo $SSH_CONNECTION; grep NoNew /proc/self/status;"
                        " umask; cat; exit 7' <.ssh/authorized_keys || echo status $?")
    assert re.match(r"127\.0\.0\.1 \d+ 127\.0\.0\.1 2222\nNoNewPrivs:\t0\n0022\nssh-ed25519 .*\n"
                    r"status 7\n", said), said
    assert re.match(r"/dev/pts/\d+\s", opened.alice(f"{SSH} -tt 127.0.0.1 tty"))
    assert not opened.complaints()


def test_files_by_ssh(opened):
    opened.use("sshd")
    opened.alice(f"{TREE} && scp -q -r -P 2222 tree 127.0.0.1:by-scp && diff -r tree by-scp")
    opened.alice(f"rsync -a -e '{SSH}' tree/ 127.0.0.1:by-rsync/ && diff -r tree by-rsync")
    opened.alice("git init -q --bare repository.git && git init -q work && cd work"
                 f" && {COMMIT} one --allow-empty"
                 " && git push -q ssh://127.0.0.1:2222/home/alice/repository.git HEAD")


def test_a_login_that_breaks_off(opened):
    opened.use("sshd")
    with opened.machine.popen("sh", "-c", f"exec {SSH} 127.0.0.1 'echo in; exec sleep 1000'",
                              user="alice") as ssh:
        assert ssh.stdout.readline() == "in\n"
        ssh.kill()
    opened.machine.wait("its program has ended", lambda: "open" not in opened.counts("ssh"))
    # What the login had begun is a session of its own, and goes on as it does under sshd's unit.
    opened.sh("pkill -x -u alice sleep")


def test_sudo_needs_the_sandbox_off(opened):
    """What the recipe says of it, seen from the other side."""
    opened.use("sshd", lambda path, text: text.replace('"off"', '"basic"'))
    assert opened.alice(f"{SSH} 127.0.0.1 grep NoNewPrivs /proc/self/status") == "NoNewPrivs:\t1\n"


# -- a check agent


def haproxy(admin):
    """Of the server `one`."""
    text = admin.sh("echo 'show stat' | socat - /run/haproxy/admin.sock").stdout
    rows = csv.DictReader(text.lstrip("# ").splitlines())
    return next(row for row in rows if row["svname"] == "one")


def test_agent(opened):
    def faster(path, text):
        # And the load of the machine that runs the tests is not the test's.
        return text.replace("/proc/loadavg", "/etc/load").replace("inter 2s", "inter 200ms")

    opened.machine.write("/etc/load", "2.53 1.00 1.00 1/100 1234\n")
    opened.use("agent", faster)
    opened.machine.wait("80 %", lambda: haproxy(opened)["weight"] == "80")
    assert haproxy(opened)["status"] == "no check"
    opened.machine.write("/etc/load", "11.00 1.00 1.00 1/100 1234\n")
    opened.machine.wait("10 %", lambda: haproxy(opened)["weight"] == "10")
    opened.machine.write("/etc/maintenance", "")
    opened.machine.wait("drain", lambda: haproxy(opened)["status"].startswith("DRAIN"))
    opened.machine.run("rm", "/etc/maintenance")
    opened.machine.wait("up again", lambda: haproxy(opened)["status"] == "no check")
    assert haproxy(opened)["agent_status"] == "L7OK"
    counts = opened.counts("agent")
    assert counts["finished"] >= 4 and set(counts) <= {"accepted", "finished", "open"}


# -- acceptors


def curl(url, count, *options, together=4):
    """Prints the status of each reply."""
    return ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}\n", "-Z", "--parallel-max",
            str(together), *options, f"{url}?number=[1-{count}]"]


def all_served(admin, url, count, *options, meanwhile=lambda: None):
    """That so many requests are answered, while something happens: at least once, and again as long
    as they come."""
    with admin.machine.popen(*curl(url, count, *options), user="alice") as process:
        meanwhile()
        while process.poll() is None:
            meanwhile()
        out, err = process.communicate()
    # It shows its progress even if it should not.
    wrong = [line for line in err.splitlines() if line.startswith("curl")]
    assert (process.returncode, wrong[:5]) == (0, [])
    assert collections.Counter(out.split()) == {"200": count}


CLOSE = ("-H", "Connection: close")


def test_php(opened):
    opened.use("php")
    opened.machine.write("/srv/www/post.php", "<?php echo md5(file_get_contents('php://input'));")
    opened.alice("head -c 900000 /dev/urandom >body && curl -sSf --data-binary @body"
                 " http://127.0.0.1:8082/post.php >sum && md5sum <body | grep -q \"^$(cat sum) \"")
    opened.machine.write("/srv/www/pid.php", "<?php echo getmypid(), \"\\n\";")
    pids = set(opened.alice("curl -sSf 'http://127.0.0.1:8082/pid.php?[1-40]'").split())
    assert len(pids) == 4
    opened.machine.write("/srv/www/wrong.php", "<?php no_such_function();")
    assert opened.alice("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8082/wrong.php"
                        ) == "500"
    assert not opened.complaints()


def test_php_copies_that_end_are_replaced(opened):
    opened.use("php", lambda path, text: text.replace("=1000", "=60"))
    # So that each lives for more than a second: one that does not could not be told from a failure.
    opened.machine.write("/srv/www/slow.php", "<?php usleep(20000);")
    all_served(opened, "http://127.0.0.1:8082/slow.php", 600)


def two_workers(_, text):
    """Of which one is replaced at a time, and takes a second until it is ready."""
    return text.replace("workers      = 4", "workers = 2").replace("workers  = 4", "workers = 2")


def test_php_is_replaced_under_load(opened):
    opened.use("php", two_workers)
    all_served(opened, "http://127.0.0.1:8082/hello.php", 1500,
               meanwhile=lambda: opened.machine.ctl("recycle"))


GET_APP = "curl -sS http://127.0.0.1:8083/"


def test_gunicorn(opened):
    opened.use("gunicorn")
    all_served(opened, "http://127.0.0.1:8083/", 300)
    all_served(opened, "http://127.0.0.1:8083/", 1500,
               meanwhile=lambda: opened.machine.ctl("recycle"))
    assert not opened.complaints()


def test_gunicorn_has_a_new_application_after_a_recycle(opened):
    opened.use("gunicorn")
    text = opened.machine.read("/srv/app/app.py")
    opened.machine.write("/srv/app/app.py", text.replace("from gunicorn", "again"))
    opened.machine.ctl("recycle")
    # The old one may still take one, until it has gone.
    opened.machine.wait("the new one", lambda: "again" in opened.alice(GET_APP))
    opened.machine.wait("only the new one", lambda: [
        p["workers_running"] for p in opened.machine.status()["pools"]
        if p["service"] == "app"] == [1])
    opened.machine.write("/srv/app/app.py", "this is no Python\n")
    assert opened.machine.ctl("recycle", check=False).returncode == 1
    for _ in range(20):
        assert opened.alice(GET_APP) == "hello again\n"


def test_node(opened):
    opened.use("node", two_workers)
    for options in ((), CLOSE):
        all_served(opened, "http://127.0.0.1:8084/", 1000, *options,
                   meanwhile=lambda: opened.machine.ctl("recycle"))
    assert not opened.complaints()
