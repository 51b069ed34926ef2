# SPDX-License-Identifier: ISC
"""preforkctl metrics and /metrics, read by those they are for."""

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request

import pytest

from daemon import exchange, wait_until, without_status

pytestmark = pytest.mark.skipif(without_status(), reason="built without libmicrohttpd")

CONFIG = """
service "status" { listen = {"tcp://127.0.0.1:0"} builtin = "status" workers = 1 }
service "echo" { listen = {"tcp://127.0.0.1:0", "udp://127.0.0.1:0"} builtin = "echo" workers = 2 }
service "program" { listen = {"tcp://127.0.0.1:0"} acceptor = {"/bin/sleep", "600"} workers = 1 }
"""
SAMPLE = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)$')


def samples(text):
    return [SAMPLE.match(line).groups() for line in text.splitlines() if not line.startswith("#")]


def value(text, name, part=""):
    found = [v for n, labels, v in samples(text) if n == name and part in (labels or "")]
    assert len(found) == 1, (name, found)
    return float(found[0])


def serve_some(d, count=5):
    for _ in range(count):
        exchange(d.address("echo"), b"hello")
    part = f'address="{d.address("echo")}"'
    wait_until("their ends", lambda: value(d.ctl("metrics").stdout,
                                           "preforkd_pool_finished_total", part) == count)
    return part


def test_the_verb(daemon):
    d = daemon(CONFIG)
    part = serve_some(d)
    text = d.ctl("metrics").stdout
    assert text.endswith("\n# EOF\n")
    assert value(text, "preforkd_pool_accepted_total", part) == 5
    assert value(text, "preforkd_pool_workers_max", part) == 2
    assert value(text, "preforkd_pool_connection_seconds_count", part) == 5
    assert 0 < value(text, "preforkd_pool_connection_seconds_sum", part) < 60
    assert value(text, "preforkd_instance_state", '"running"') == 1
    # What is not known is not there.
    program = f'address="{d.address("program")}"'
    assert value(text, "preforkd_pool_workers_running", program) == 1
    assert not [n for n, l, _ in samples(text) if program in (l or "") and "accepted" in n]
    assert d.address("echo") not in d.ctl("metrics", "program").stdout
    assert "# EOF" not in d.ctl("metrics", "--format", "prometheus").stdout


def test_mistakes_and_a_daemon_that_is_gone(daemon):
    d = daemon(CONFIG)
    bad = d.ctl("metrics", "--format", "xml", check=False)
    assert bad.returncode == 64
    assert '--format: "xml" is not known; write openmetrics or prometheus' in bad.stderr
    missing = d.ctl("metrics", "nobody", check=False)
    assert missing.returncode == 69 and 'no service "nobody"' in missing.stderr
    d.stop()
    gone = d.ctl("metrics", check=False)
    assert gone.returncode == 3 and "not running" in gone.stderr


def test_every_histogram_rises_to_its_count(daemon):
    d = daemon(CONFIG)
    serve_some(d)
    series = {}
    text = d.ctl("metrics").stdout
    for name, labels, number in samples(text):
        if name.endswith("_bucket"):
            key = name[:-7], re.sub(r',le=".*"', "", labels)
            series.setdefault(key, []).append((float(re.search('le="(.*)"', labels)[1]), int(number)))
    assert series
    for (name, labels), buckets in series.items():
        assert buckets == sorted(buckets)
        assert [n for _, n in buckets] == sorted(n for _, n in buckets)
        assert buckets[-1] == (float("inf"), value(text, name + "_count", labels))


def test_every_metric_is_in_the_manual(daemon, programs):
    d = daemon(CONFIG)
    manual = (programs.source / "man/preforkd-board.7").read_text()
    metrics = manual[manual.index(".Sh METRICS"):]
    fields = set(re.findall(r"^(?:CONNECTION|ENDING|POOL|INSTANCE)_FIELD\((\w+),",
                            (programs.source / "src/board/fields.def").read_text(), re.M))
    families = re.findall(r"^# TYPE (\w+) (\w+)", d.ctl("metrics").stdout, re.M)
    assert len(families) > len(fields)
    for name, kind in families:
        name += "_info" if kind == "info" else ""
        field = re.sub(r"^preforkd_(?:instance_connections|instance|pool)_", "", name)
        assert {field, re.sub("_seconds$", "_usec", field)} & fields or name in metrics, name


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs prometheus")
def test_promtool(daemon):
    d = daemon(CONFIG)
    serve_some(d)
    text = d.ctl("metrics", "--format", "prometheus").stdout
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True,
                          text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


SCRAPE = """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: preforkd
    static_configs: [{targets: ["%s"]}]
"""


@pytest.fixture
def prometheus(tmp_path):
    """Starts a Prometheus that scrapes a target; returns what asks it."""
    started = []

    def start(target):
        (tmp_path / "p.yml").write_text(SCRAPE % target)
        log = tmp_path / "prometheus.log"
        with open(log, "wb") as out:
            started.append(subprocess.Popen(
                ["prometheus", f"--config.file={tmp_path}/p.yml", "--web.listen-address=127.0.0.1:0",
                 f"--storage.tsdb.path={tmp_path}/tsdb", "--log.level=info"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out))
        port = wait_until("its port", lambda: listening_port(started[0].pid, log))

        def ask(query):
            url = f"http://127.0.0.1:{port}/api/v1/" + query
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    return json.load(answer)["data"]
            except OSError:
                return None  # not ready yet

        return ask

    yield start
    for process in started:
        process.terminate()
        process.wait(30)


def listening_port(pid, log):
    assert subprocess.run(["kill", "-0", str(pid)], check=False).returncode == 0, log.read_text()
    sockets = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    found = re.search(rf":(\d+)\s.*\bpid={pid},", sockets)
    return found and int(found[1])


@pytest.mark.skipif(not shutil.which("prometheus"), reason="needs prometheus")
def test_a_real_prometheus_scrapes_it(daemon, prometheus):
    d = daemon(CONFIG)
    serve_some(d, 7)
    ask = prometheus(d.address("status").removeprefix("tcp://"))

    def result(query):
        data = ask("query?query=" + urllib.parse.quote(query))
        return data and data["result"]

    wait_until("a scrape", lambda: result("up == 1"))
    found = wait_until("the counter", lambda: result(
        'preforkd_pool_finished_total{service="echo",address=~"tcp://.*"}'))
    assert [f["value"][1] for f in found] == ["7"]
    assert result('histogram_quantile(0.5, preforkd_pool_connection_seconds_bucket'
                  '{service="echo",address=~"tcp://.*"})')[0]["value"][1] != "NaN"
    kinds = ask("targets/metadata?match_target=" + urllib.parse.quote('{job="preforkd"}'))
    types = {k["metric"]: (k["type"], k["unit"]) for k in kinds}
    assert types["preforkd_pool_finished"] == ("counter", "")
    assert types["preforkd_pool_connection_seconds"] == ("histogram", "seconds")
    assert types["preforkd_instance_state"] == ("stateset", "")
    targets = ask("targets")["activeTargets"]
    assert [t["lastError"] for t in targets] == [""]
