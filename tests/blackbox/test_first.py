# SPDX-License-Identifier: ISC
"""The thinnest path: a file, a daemon, a client, a reply, a stop."""

import pytest
from daemon import exchange, wait_until

CONFIG = """
service "echo" {
    listen  = {"%s"}
    builtin = "echo"
    workers = 2
}
"""


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "unix://@DIR",
                                     "unix://DIR/s", "unixgram://DIR/s", "unixpacket://DIR/s"])
def test_echo_from_a_file(daemon, tmp_path, address):
    d = daemon(CONFIG % address.replace("DIR", str(tmp_path)))
    for i in range(10):
        text = b"hello %d" % i
        assert exchange(d.address("echo"), text) == text
    # A worker counts a client when it has closed it: a moment after the client saw the end.
    wait_until("all ten finished", lambda: d.status()["connections"]["finished"] == 10)
    assert d.status()["pools"][0]["connections"]["accepted"] == 10
    assert d.stop() == 0
