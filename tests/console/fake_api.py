"""A node for the command line's tests: answers by a table, remembers what it was asked."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

AUTH = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:" + "k" * 64


class FakeNode:
    """`answers`: (method, path without query) → (status, body, headers…); a callable is asked with the request."""

    def __init__(self):
        self.answers = {}
        self.requests = []
        self.url = ""

    def on(self, method, path, status, body, **headers):
        self.answers[method, path] = (status, body, {name.replace("_", "-"): value for name, value in headers.items()})

    @property
    def last(self):
        return self.requests[-1]


def _handler(node):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def answer(self):
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            path, _, query = self.path.partition("?")
            node.requests.append(
                {
                    "method": self.command,
                    "path": path,
                    "query": query,
                    "body": json.loads(raw) if raw else None,
                    "auth": self.headers.get("authorization"),
                }
            )
            status, body, headers = node.answers.get((self.command, path), (404, {"error": "not in the table", "code": "x"}, {}))
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(data)), "content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = answer

    return Handler


@contextmanager
def fake_node():
    node = FakeNode()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(node))
    server.daemon_threads = True
    node.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield node
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
