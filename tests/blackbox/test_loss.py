# SPDX-License-Identifier: ISC
"""Nothing that is done to a running preforkd loses a client.

LOSS_CLIENTS is how many there are (./dev loss takes more than ./dev test)."""

import os
import signal
from pathlib import Path

import pytest
from daemon import Daemon, wait_until
from loss import Chaos, Clients, terminate_some_worker

CLIENTS = int(os.environ.get("LOSS_CLIENTS", "10000"))

CONFIG = """
idle_timeout = "1m"
service "echo" {{
    listen  = {{{listen}}}
    builtin = "echo"
    workers = {workers}
    recycle_after = {recycle}
}}
"""


def config_of(listen, workers, recycle=0):
    return CONFIG.format(listen=", ".join(f'"{a}"' for a in listen), workers=workers,
                         recycle=recycle)


def reload_with_other_workers(d, listen):
    def act(dice):
        d.write_config(config_of(listen, dice.randrange(2, 9), dice.choice([0, 0, 50])))
        d.ctl("reload")
    return act


def recycle(d):
    return lambda dice: d.ctl("recycle")


def totals(d):
    return d.status()["connections"]


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_no_client_is_lost(daemon, tmp_path, kind):
    """10,000 clients, reloads that change the pool, recycling, TERM to workers at any moment."""
    listen = {"tcp": ["tcp://127.0.0.1:0"],
              "unix": [f"unix://{tmp_path}/s", f"unix://@preforkd-loss-{os.getpid()}"]}[kind]
    d = daemon(config_of(listen, 4))
    addresses = d.addresses("echo")
    chaos = Chaos()
    chaos.every("reload", 0.05, reload_with_other_workers(d, listen))
    chaos.every("recycle", 0.2, recycle(d))
    chaos.every("terminate", 0.004, terminate_some_worker(d))
    served = 0
    # A fast machine serves them all before much has happened.
    while served == 0 or min(chaos.counts[x] for x in ("reload", "recycle", "terminate")) <= 3:
        outcomes = Clients(addresses, CLIENTS).wait()
        assert outcomes == {"ok": CLIENTS}, (outcomes, chaos.counts, d.log()[-3000:])
        served += CLIENTS
        assert served <= 20 * CLIENTS, chaos.counts
    chaos.stop()
    # The ledger, at rest, is what the clients counted.
    wait_until("all connections closed", lambda: totals(d)["open"] == 0)
    ledger = totals(d)
    assert ledger["accepted"] == ledger["finished"] == served, ledger
    assert d.stop() == 0


def test_a_stop_serves_who_is_there(daemon):
    """TERM to the master: whoever was accepted, or waits in the queue, is served; the next is refused."""
    served = 0
    for i in range(20):
        d = daemon(config_of(["tcp://127.0.0.1:0"], 3), name=f"stop{i}")
        clients = Clients(d.addresses("echo"), 100000, processes=4, first_loss=True)
        wait_until("some are served", lambda d=d: totals(d)["finished"] > 20 + i)
        d.signal(signal.SIGTERM)
        outcomes = clients.wait()
        assert d.wait() == 0
        served += outcomes.pop("ok")
        # A handshake may be cut when its listener closes; a reply never.
        assert set(outcomes) <= {"refused"}, (i, outcomes, d.log())
    assert served > 400


class WrongDaemon(Daemon):
    def __init__(self, programs, directory, config):
        super().__init__(programs, directory, config=config)
        wrong = Path(programs.build) / "tests/loss/preforkd-wrong"
        if not wrong.exists():
            pytest.fail(f"{wrong} is missing; make check builds it")
        self.programs = type(programs)(programs.build)
        self.programs.preforkd = str(wrong)


def test_a_wrong_worker_is_caught(programs, tmp_path):
    """A worker that ends itself when it looks idle loses clients, and this test sees it."""
    d = WrongDaemon(programs, tmp_path / "wrong", config_of(["tcp://127.0.0.1:0"], 4))
    d.start()
    chaos = Chaos()
    try:
        clients = Clients(d.addresses("echo"), 100000, first_loss=True)
        chaos.every("terminate", 0.0005, terminate_some_worker(d))
        chaos.every("terminate too", 0.0005, terminate_some_worker(d))
        outcomes = clients.wait()
    finally:
        chaos.stop()
        d.finish()
    assert set(outcomes) - {"ok"}, f"no loss seen in {outcomes}; the loss test is blind"
