"""A wire between a process and a service that the test can cut: what is open hangs or breaks, nothing new gets through."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading


class Proxy:
    """Forwards connections to `port` of loopback. `cut`: connections go silent, as when a cable is pulled; `heal`: they break."""

    def __init__(self, port: int = 0) -> None:
        self.target = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self._cut = threading.Event()
        self._over = False
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Nothing passes any more."""
        self._cut.set()

    def heal(self) -> None:
        """What was open ends, what comes new passes."""
        with self._lock:
            for each in self._pairs:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        self._cut.clear()

    def close(self) -> None:
        """End."""
        self._over = True
        self._wake.close()
        self._thread.join(5)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._over:
                for key, _ in selector.select(0.2):
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._pairs and not self._cut.is_set():
                        self._forward(key.fileobj, selector)
                if self._cut.is_set():
                    threading.Event().wait(0.05)  # what arrives stays in its buffer
        for each in (*self._pairs, self._listener, self._woken):
            each.close()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        near, _ = self._listener.accept()
        if self._cut.is_set():
            near.close()
            return
        try:
            far = socket.create_connection(("127.0.0.1", self.target), 5)
        except OSError:
            near.close()
            return
        with self._lock:
            self._pairs |= {near: far, far: near}
        for each in (near, far):
            each.settimeout(5)
            selector.register(each, selectors.EVENT_READ)

    def _forward(self, source: socket.socket, selector: selectors.BaseSelector) -> None:
        other = self._pairs[source]
        try:
            data = source.recv(65536)
            if data:
                other.sendall(data)
                return
        except OSError:
            pass
        with self._lock:
            for each in (source, other):
                selector.unregister(each)
                self._pairs.pop(each, None)
                each.close()
