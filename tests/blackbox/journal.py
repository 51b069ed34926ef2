# SPDX-License-Identifier: ISC
"""A journald for the tests: its socket in a mount namespace of the daemon, and what came there."""

import os
import shutil
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest
from daemon import wait_until

# A connection by /proc/self/fd, since the path of a test's directory is longer than a socket may have.
SCRIPT = 'mount -t tmpfs none /run && mkdir -p /run/systemd/journal /run/lock && ' \
         'mount --bind "$1" /run/systemd/journal && shift && exec "$@"'


def parse(entry):
    """The fields of an entry of the native protocol."""
    fields, rest = {}, entry
    while rest:
        line, rest = rest.split(b"\n", 1)
        if b"=" in line:
            key, value = line.split(b"=", 1)
        else:
            key, size = line, struct.unpack("<Q", rest[:8])[0]
            value, rest = rest[8:8 + size], rest[8 + size:]
            assert rest[:1] == b"\n", entry
            rest = rest[1:]
        assert key.decode() not in fields, entry
        fields[key.decode()] = value.decode()
    return fields


class Journal:
    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir()
        self.directory.chmod(0o755)
        self.entries = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.thread = None
        self.bind()

    def bind(self):
        path = self.directory / "socket"
        path.unlink(missing_ok=True)
        fd = os.open(self.directory, os.O_PATH)
        try:
            self.socket.bind(f"/proc/self/fd/{fd}/socket")
        finally:
            os.close(fd)
        path.chmod(0o666)

    def read(self):
        """From here on all that comes is taken."""
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def run(self):
        while True:
            data, ancillary, _, _ = self.socket.recvmsg(65536, 128)
            pid = next((struct.unpack("iii", d[:12])[0] for _, t, d in ancillary
                        if t == socket.SCM_CREDENTIALS), None)
            if data == b"END=1\n":
                return
            fields = parse(data)
            fields["_PID"] = pid
            self.entries.append(fields)

    def close(self):
        if self.thread:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                fd = os.open(self.directory, os.O_PATH)
                s.connect(f"/proc/self/fd/{fd}/socket")
                os.close(fd)
                s.send(b"END=1\n")
            self.thread.join()
        self.socket.close()

    def find(self, **fields):
        return [e for e in list(self.entries)
                if all(e.get(key) == value for key, value in fields.items())]

    def wait(self, count=1, **fields):
        wait_until(f"{count} entries with {fields}", lambda: len(self.find(**fields)) >= count)
        return self.find(**fields)[count - 1]


def wrapper(directory):
    """What goes before the command of a daemon: /run/systemd/journal is this directory there."""
    if os.geteuid() != 0:
        pytest.skip("needs root: only root may mount the socket of a journald")
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare")
    command = ["unshare", "--mount", "sh", "-ec", SCRIPT, "sh", str(directory)]
    if subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        pytest.skip("mount namespaces are not permitted here")
    return command


def stream_of(directory):
    """JOURNAL_STREAM for a daemon whose stderr is the file `log` of the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "log").touch()
    st = (directory / "log").stat()
    return {"JOURNAL_STREAM": f"{st.st_dev}:{st.st_ino}"}
