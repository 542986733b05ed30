"""The server on a socket: in a thread of the tests, or a process of its own (`python -m tests.support.couchdb.server`)."""

from __future__ import annotations

import argparse
import contextlib
import socket
import ssl
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.couchdb.faults import Faults, Lost
from tests.support.couchdb.model import Disk
from tests.support.couchdb.query import QueryServer
from tests.support.couchdb.routes import Answer, Couch, Request, refused
from tests.support.couchdb.values import bad

ADMIN = ("admin", "s3cret-word")
NOW_RESET = struct.pack("ii", 1, 0)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Sockets

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def parse_request(self) -> bool:
        """Any method is taken; the router says what it is good for."""
        good = super().parse_request()
        if good:
            self.__dict__[f"do_{self.command}"] = self._serve
        return good

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        base = f"http://{headers.get('host', '')}"
        try:
            body = self._body(headers)
        except ValueError:
            body = b""
        request = Request(self.command, self.path, headers, body, base)
        try:
            found = self.server.outer.faults.meet(self.server.outer.couch, request)
        except Lost:
            self._reset()
            return
        with contextlib.suppress(OSError):
            self._send(found)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW_RESET)
        self.rfile.close()
        self.connection.close()

    def handle_one_request(self) -> None:
        """A connection that was cut on purpose is no error."""
        try:
            super().handle_one_request()
        except (OSError, ValueError):
            self.close_connection = True

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().strip(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(headers.get("content-length", 0)))

    def _send(self, found: Answer) -> None:
        self.send_response_only(found.status)
        for name, value in found.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(found.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(found.body)


class _Sockets(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], outer: CouchServer) -> None:
        self.outer = outer
        self.connections: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        with contextlib.suppress(OSError):
            super().shutdown_request(request)


class CouchServer:
    """A server on loopback. `data`: the file that keeps its writes over `stop` and `start`; None: in memory, kept too."""

    def __init__(self, data: Path | None = None, port: int = 0, admins: dict[str, str] | None = None) -> None:
        self.faults = Faults()
        self.disk = Disk(data)
        self._admins = dict([ADMIN]) if admins is None else admins
        self._queries = QueryServer()
        self.couch = Couch(self.disk, self._admins, self._queries)
        self.port = port
        self.tls: ssl.SSLContext | None = None
        self._sockets: _Sockets | None = None

    @property
    def url(self) -> str:
        """The address with the administrator's credentials."""
        return f"http://{ADMIN[0]}:{ADMIN[1]}@127.0.0.1:{self.port}"

    def start(self) -> CouchServer:
        """Listen, on the same port as before."""
        self._sockets = _Sockets(("127.0.0.1", self.port), self)
        self.port = self._sockets.server_address[1]
        if self.tls is not None:
            self._sockets.socket = self.tls.wrap_socket(self._sockets.socket, server_side=True)
        threading.Thread(target=self._sockets.serve_forever, args=(0.05,), daemon=True, name="couchdb-server").start()
        return self

    def stop(self) -> None:
        """Cut all connections and listen no more: what a kill looks like to clients."""
        if self._sockets is None:
            return
        sockets, self._sockets = self._sockets, None
        sockets.shutdown()
        sockets.server_close()
        for connection in list(sockets.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def restart(self, *, forget_last: bool = False) -> None:
        """Come back with what is on the disk; `forget_last`: without the last write."""
        self.stop()
        if forget_last:
            self.disk.forget_last()
        self._queries.close()
        self.couch = Couch(self.disk, self._admins, self._queries)
        self.start()

    def close(self) -> None:
        """The end."""
        self.stop()
        self._queries.close()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=5984)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    server = CouchServer(given.data, given.port).start()
    print(f"CouchDB for tests at http://127.0.0.1:{server.port}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()


__all__ = ["ADMIN", "CouchServer", "bad", "refused"]
