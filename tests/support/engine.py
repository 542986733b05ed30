"""A Docker engine of a test's own: stopped, continued, killed and started again at will, on a disk that can be filled.

It lies beside the engine that other tests use: own socket, data, bridge; it touches no firewall rule.
"""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

from containers.docker_engine import connect

SIOCBRADDBR, SIOCBRDELBR, SIOCSIFFLAGS = 0x89A0, 0x89A1, 0x8914
START_LIMIT = 40.0


class OwnEngine:
    """One dockerd. `directory` must have a short path, as sockets are in it; `disk` is the size of its disk in MB."""

    def __init__(self, directory: Path, disk: int) -> None:
        self._dir = directory
        self._bridge = f"rwt{secrets.token_hex(4)}"
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"unix://{directory}/docker.sock"
        self._data = directory / "data"
        self._data.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk}m", "tmpfs", str(self._data)], check=True)
        self._ioctl(SIOCBRADDBR)

    def _ioctl(self, number: int) -> None:
        with socket.socket() as sock:
            fcntl.ioctl(sock, number, self._bridge.encode() + b"\0")

    def start(self) -> None:
        """Start it and wait until it answers."""
        (self._dir / "run/containerd/containerd.pid").unlink(missing_ok=True)  # where nobody reaps a killed one it seems to live
        command = [
            "dockerd", "--host", self.address, "--data-root", str(self._data), "--exec-root", str(self._dir / "run"),
            "--pidfile", str(self._dir / "pid"), "--bridge", self._bridge, "--iptables=false", "--ip6tables=false",
            "--ip-forward=false", "--ip-masq=false",
        ]  # fmt: skip
        with (self._dir / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_LIMIT
        while True:
            try:
                return self.client().close()
            except OSError:
                assert self._process.poll() is None and time.monotonic() < deadline, (self._dir / "log").read_text()[-2000:]
                time.sleep(0.05)

    def client(self) -> Any:
        """A connection of the `docker` package's. Raises OSError."""
        return connect(self.address, 10)[0]

    def signal(self, number: int) -> None:
        """To the engine alone: its containers and their helpers live on."""
        assert self._process is not None
        self._process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._process.wait(30)

    def give(self, *images: str) -> None:
        """Images that the common engine has, under all their names."""
        common, own = connect("", 60)[0], self.client()
        for image in images:
            own.load_image(b"".join(common.get_image(image)))
            for name in common.inspect_image(image)["RepoTags"]:
                repository, _, tag = name.rpartition(":")
                own.tag(image, repository, tag)
        common.close()
        own.close()

    def fill_disk(self) -> None:
        """Nothing can be written to its disk any more."""
        with (self._data / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        with (self._data / "filler").open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"0")

    def free_disk(self) -> None:
        """Undo `fill_disk`."""
        (self._data / "filler").unlink()

    def close(self) -> None:
        """Remove its containers, end it, remove its disk and bridge."""
        self.signal(signal.SIGCONT)
        with contextlib.suppress(OSError):
            client = self.client()
            for each in client.containers(all=True):
                client.remove_container(each["Id"], force=True)
            client.close()
        self.signal(signal.SIGTERM)
        with socket.socket() as sock:  # one that is up can't be removed
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh22x", self._bridge.encode(), 0))
        self._ioctl(SIOCBRDELBR)
        subprocess.run(["umount", "-l", str(self._data)], check=False)
