# SPDX-License-Identifier: ISC
"""The status page in a browser: it follows the board, asks nobody else, and fits every screen."""

import base64
import os
import signal
from pathlib import Path

import pytest

from browser import browser, installed
from daemon import connect, exchange, wait_until, without_status
from look import pool

pytestmark = [pytest.mark.skipif(without_status(), reason="built without libmicrohttpd"),
              pytest.mark.skipif(not installed(), reason="needs chromium and chromedriver")]

CONFIG = """
service "status" { listen = {"tcp://127.0.0.1:0"} builtin = "status" workers = 2 idle_timeout = "5s" }
service "echo" { listen = {"tcp://127.0.0.1:0", "unix:///%s/echo.sock"} builtin = "echo" workers = 4 }
service "program" { listen = {"tcp://127.0.0.1:0"} acceptor = {"/bin/sleep", "600"} workers = 1 }
"""
# Of the first pool of echo, as the page shows them.
ROW = """(() => { const row = [...document.querySelectorAll('#pool-rows tr')]
    .find((r) => r.cells[0].textContent.includes('%s'));
    return Object.fromEntries([...row.cells].map((c) => [c.dataset.label || 'name', c.textContent])); })()"""
LIVE = "document.getElementById('live').className === 'live on'"


@pytest.fixture(scope="module")
def chromium():
    with browser() as b:
        yield b


def keep_picture(b, name):
    """For a person to look at, where SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        data = b.devtools("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(data))


@pytest.fixture
def page(daemon, chromium, tmp_path):
    d = daemon(CONFIG % tmp_path)
    url = "http://" + d.address("status").removeprefix("tcp://") + "/"
    chromium.log("browser"), chromium.log("performance")
    chromium.looks(1280, 900)
    chromium.open(url)
    chromium.wait("the first look", LIVE)
    yield d, chromium
    # Once more, at the end of every test: no error, and nobody else was asked.
    errors = [e for e in chromium.log("browser") if "status.json" not in e["message"]]
    assert errors == []
    asked = {u for u in chromium.requests() if not u.startswith(("data:", "chrome:"))}
    assert asked == {url, url + "status.json"}
    chromium.open("about:blank")


def test_it_follows_the_board(page):
    d, b = page
    row = ROW % d.address("echo")
    for _ in range(3):
        exchange(d.address("echo"), b"hello")
    b.wait("three clients", row + ".Finished === '3'")
    with connect(d.address("echo")) as client:
        client.sendall(b"x")
        client.recv(1)
        b.wait("a busy worker", row + ".Busy === '1'")
        cell = "document.querySelector('.w.busy[title*=\"serves 127.0.0.1\"]')"
        assert b.wait("its sign", f"{cell} && {cell}.textContent") == "B"
    b.wait("an idle worker", row + ".Busy === '0'")
    assert b.run("return document.querySelectorAll('.tile svg path.curve[d^=M]').length") >= 3
    assert b.run(f"return {ROW % d.address('program')}")["Accepted"] == "–"


def test_a_reload_and_a_death_are_told(page):
    d, b = page
    d.ctl("reload")
    b.wait("the ledger", "document.getElementById('facts').textContent.includes('1 reload')")

    def kill():
        for w in d.status()["workers"]:
            if w["service"] == "echo":
                os.kill(w["pid"], signal.SIGKILL)
        return b.run("return document.getElementById('state').textContent") == "running, degraded"

    wait_until("degraded", kill)
    assert not b.run("return document.getElementById('alarm').hidden")
    wait_until("its end", lambda: not pool_degraded(d))
    b.wait("the end on the page", "document.getElementById('state').textContent === 'running'")


def pool_degraded(d):
    return any(p["degraded"] for p in d.status()["pools"])


def test_it_rests_while_hidden_and_says_when_nobody_answers(page):
    d, b = page
    hide = """Object.defineProperty(document, 'hidden', {value: %s, configurable: true});
              document.dispatchEvent(new Event('visibilitychange'));"""
    b.run(hide % "true")
    b.wait("the pause", "document.getElementById('live').textContent === 'paused'")
    accepted = wait_until("rest", lambda: pool(d, "status")["busy"] == 0
                          and pool(d, "status")["connections"]["accepted"])
    # More than two looks' time.
    assert b.ask("POST", "/execute/async", {"script": "setTimeout(arguments[0], 2500)", "args": []}) is None
    assert pool(d, "status")["connections"]["accepted"] == accepted
    b.run(hide % "false")
    b.wait("the next look", LIVE)
    d.stop()
    b.wait("no answer", "document.getElementById('live').textContent.startsWith('no answer')")


SIZES = [(320, 640), (390, 844), (768, 1024), (1280, 900)]


def test_it_fits(page):
    d, b = page
    for _ in range(20):
        exchange(d.address("echo"), b"hello")
    b.run("document.getElementById('worker-details').open = true")
    b.wait("the table", "document.querySelectorAll('#worker-rows tr').length > 3")
    b.wait("a second look", "document.querySelector('.tile path.curve[d^=M]')")
    for dark in (False, True):
        for width, height in SIZES:
            b.looks(width, height, dark, phone=width < 700)
            keep_picture(b, f"{width}-{'dark' if dark else 'light'}")
            assert b.run("return document.documentElement.scrollWidth") <= width
            # Text stands out from its ground by 4.5 to 1 at least, as WCAG asks.
            assert b.run(CONTRAST) == []
    assert b.run("const r = document.querySelector('.wide'); return r.scrollWidth <= r.clientWidth")


CONTRAST = """
const rgb = (c) => c.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92
    : ((v + 0.055) / 1.055) ** 2.4).reduce((n, v, i) => n + v * [0.2126, 0.7152, 0.0722][i], 0);
function ground(node) {
  for (; node; node = node.parentElement) {
    const c = rgb(getComputedStyle(node).backgroundColor);
    if (c.length < 4 || c[3] > 0.99) return c;
  }
  return [255, 255, 255];
}
const poor = [];
for (const node of document.querySelectorAll('body *')) {
  if (node.closest('script, svg, .none') || !node.checkVisibility()
      || ![...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
  const a = light(rgb(getComputedStyle(node).color)), b = light(ground(node));
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) poor.push(node.className + ' ' + node.textContent.slice(0, 20) + ' ' + ratio.toFixed(2));
}
return poor;
"""


def test_keyboard_and_names(page):
    _, b = page

    def tab():
        for kind in ("rawKeyDown", "keyUp"):
            b.devtools("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        return b.run("""const a = document.activeElement, s = getComputedStyle(a);
                        return [a.className || a.tagName, s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0]""")

    seen = [tab() for _ in range(7)]
    assert [name for name, _ in seen] == ["skip", "wide", "SUMMARY", "wide", "A", "A", "A"]
    assert all(outline for _, outline in seen)
    # Every table has a caption and its heads a scope; every plot and grid a name.
    assert b.run("return document.querySelectorAll('table:not(:has(caption)), th:not([scope])').length") == 0
    assert b.run("return document.querySelectorAll('[role=img]:not([aria-label])').length") == 0
    assert b.run("return document.querySelectorAll('[aria-live], [role=status], [role=alert]').length") == 1
