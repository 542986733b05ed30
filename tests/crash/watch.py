"""The action's side of the story: each run of user code reports to a socket of the test and holds it until it ends.

A run's end is the end of its connection, which the kernel closes with the process, however that died.
"""

from __future__ import annotations

import contextlib
import select
import selectors
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

from tests.oracle import CodeRun

CODE = {
    "python:3": """
import os, socket, time

def main(args):
    with socket.create_connection(("127.0.0.1", args["watch"]), 20) as watch:
        watch.sendall(f'{os.environ["__OW_ACTIVATION_ID"]} {args["n"]}\\n'.encode())
        watch.recv(1)
        time.sleep(args.get("sleep", 0))
    print("ran", args["n"])
    return {"error": "asked for"} if args.get("fail") else {"n": args["n"]}
""",
    "nodejs:20": """
const net = require('net');
function main(args) {
  return new Promise((resolve, reject) => {
    const watch = net.connect(args.watch, '127.0.0.1', () => watch.write(`${process.env.__OW_ACTIVATION_ID} ${args.n}\\n`));
    watch.on('error', reject);
    watch.once('data', () => setTimeout(() => {
      watch.destroy();
      console.log('ran', args.n);
      resolve(args.fail ? {error: 'asked for'} : {n: args.n});
    }, 1000 * (args.sleep || 0)));
  });
}
""",
}
"""Actions with the arguments watch (port), n (the caller's key), sleep (s), fail."""


class Watch:
    """Collects runs. `on_start(n)` is called in the watch's thread before the code goes on."""

    def __init__(self, on_start: Callable[[str], None] | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self._listener.getsockname()[1])
        self.on_start = on_start
        self._lock = threading.Lock()
        self._runs: list[CodeRun] = []
        self._keys: dict[str, str] = {}
        self._open: dict[socket.socket, CodeRun | None] = {}
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.close()
        self._thread.join()

    @property
    def runs(self) -> list[CodeRun]:
        """All runs so far, in order of their starts."""
        with self._lock:
            return [CodeRun(run.id, run.container, run.process, run.start, run.end) for run in self._runs]

    def started(self, n: str) -> int:
        """How many runs the caller's key had."""
        with self._lock:
            return sum(self._keys.get(run.id) == n for run in self._runs)

    def running(self, n: str) -> bool:
        """Whether code of that key runs now."""
        with self._lock:
            return any(self._keys.get(run.id) == n and run.end is None for run in self._runs)

    def forget(self, n: str, index: int) -> None:
        """Leave the key's run with this index out of the story: another installation's."""
        with self._lock:
            self._runs.remove([run for run in self._runs if self._keys[run.id] == n][index])

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._stopped, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._stopped:
                        self._close()
                        return
                    if key.fileobj is self._listener:
                        connection, _ = self._listener.accept()
                        connection.settimeout(5)
                        self._open[connection] = None
                        selector.register(connection, selectors.EVENT_READ)
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._open:
                        self._heard(key.fileobj, selector)

    def _heard(self, connection: socket.socket, selector: selectors.BaseSelector) -> None:
        try:
            text = connection.recv(200)
        except OSError:
            text = b""
        if not text:
            self._end(connection, selector)
            return
        activation_id, n = text.decode().split()
        for other, run in list(self._open.items()):  # an earlier run's end may wait behind this start
            if run is not None and run.id == activation_id and _closed(other):
                self._end(other, selector)
        with self._lock:
            run = CodeRun(activation_id, f"run{len(self._runs)}", "", time.monotonic())
            self._runs.append(run)
            self._open[connection] = run
            self._keys[activation_id] = n
        if self.on_start is not None:
            self.on_start(n)
        with contextlib.suppress(OSError):
            connection.sendall(b"!")

    def _end(self, connection: socket.socket, selector: selectors.BaseSelector) -> None:
        selector.unregister(connection)
        run = self._open.pop(connection)
        connection.close()
        if run is not None:
            with self._lock:
                run.end = time.monotonic()

    def _close(self) -> None:
        for connection in (*self._open, self._listener, self._stopped):
            connection.close()


def _closed(connection: socket.socket) -> bool:
    readable, _, _ = select.select([connection], [], [], 0)
    try:
        return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
