"""The Python action runtime: upstream's action interface (`POST /init`, `POST /run`, sentinels) around one action.

Runs inside a container or an isolated process, on Python 3.8 and later, with the standard library only. Importing it does
nothing, so a template process can import it, fork, and call `serve_connection` in the child. The action runs in this process's
main thread; the sockets and the streams' duplicates have high descriptors, which careless user code doesn't hit.
"""

import _signal
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, _HERE)
import _ow_action as action  # noqa: E402
import _ow_http as http  # noqa: E402
from _ow_server import Connection, Listener, duplicate, move_high  # noqa: E402

sys.path.remove(_HERE)

SENTINEL = b"XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n"
TWICE = "Cannot initialize the action more than once."
NOT_DEFINED = "no action defined yet"
BUSY = "System not ready, status is running."


class Streams:
    """The action's stdout and stderr: flushed, then ended by a sentinel that user code can't suppress by closing them."""

    def __init__(self) -> None:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        self._numbers = [duplicate(1), duplicate(2)]
        for stream, errors in ((sys.stdout, "strict"), (sys.stderr, "backslashreplace")):
            stream.reconfigure(encoding="utf-8", errors=errors)
        sys.stdout.reconfigure(line_buffering=True)
        self._objects = [sys.stdout, sys.stderr]

    def finish(self) -> None:
        """Flush and write both sentinels."""
        self.flush()
        for number in self._numbers:
            self._write(number, SENTINEL)

    def flush(self) -> None:
        """Flush what the action printed, also where it replaced the objects."""
        streams = self._objects
        if sys.stdout is not streams[0] or sys.stderr is not streams[1]:
            streams = [*streams, sys.stdout, sys.stderr]
        for stream in streams:
            try:
                stream.flush()
            except Exception:  # the action closed or broke its stream: its own loss
                continue

    def log(self, text: str) -> None:
        """A line on the action's stderr."""
        self._write(self._numbers[1], text.encode("utf-8", "replace"))

    @staticmethod
    def _write(number: int, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(number, data) :]
        except OSError:  # nobody reads the stream any more
            return


class Runtime:
    """One action and what is being done with it. `busy` is the path of the request that user code works on, or empty."""

    def __init__(self, directory: str) -> None:
        self.streams = Streams()
        self.exit_status: int | None = None
        self.busy = b""
        self._directory = directory
        self._loaded = False
        self._main: object = None

    def answer(self, request: http.Request) -> bytes:
        """Do what the request asks for; the bytes of its response."""
        if request.path == b"/run":
            status, body = self._run(request.body)
        elif request.path == b"/init":
            status, body = self._init(request.body)
        else:
            status, body = 200, b""
        if self.exit_status is not None:
            request.keep_alive = False
        return http.response(request, status, body)

    def refuse(self, request: http.Request) -> bytes:
        """The answer to a request that comes while user code runs."""
        if request.path == b"/init":
            return http.response(request, 403, action.error(TWICE))
        if request.path != b"/run":
            return http.response(request, 200, b"")
        status, text = (500, NOT_DEFINED) if self.busy == b"/init" else (403, BUSY)
        return http.response(request, status, action.error(text))

    def _init(self, body: bytes) -> "tuple[int, bytes]":
        if self._loaded:
            self.streams.log(TWICE + "\n")
            return 403, action.error(TWICE)
        try:
            init = action.Init(body)
            init.set_environment()
            self._main = action.load(init, self._new_directory())
        except action.Refused as refused:
            return refused.status, action.error(refused.text)
        except action.Failed as failed:
            return self._init_failed(failed.text, failed.log)
        except OSError as reason:
            return self._init_failed(action.NOT_LOCATED, f"The action's files can't be written: {reason}\n")
        self._loaded = True
        return 200, b'{"ok":true}\n'

    def _new_directory(self) -> str:
        """Upstream's names for the directories of attempts; one that an earlier process left is not touched."""
        attempt = 1
        while os.path.exists(os.path.join(self._directory, str(attempt))):
            attempt += 1
        return os.path.join(self._directory, str(attempt), "bin")

    def _init_failed(self, text: str, log: str) -> "tuple[int, bytes]":
        self.streams.flush()
        self.streams.log(log)
        self.streams.finish()
        return 502, action.error(text)

    def _run(self, body: bytes) -> "tuple[int, bytes]":
        if not self._loaded:
            return 500, action.error(NOT_DEFINED)
        try:
            request = action.message(body)
            action.set_context(request)
            status, answer = action.call(self._main, request.get("value", {}))
        except action.Refused as refused:
            status, answer = refused.status, action.error(refused.text)
        except action.Exit as ended:
            self.exit_status = ended.status
            status, answer = 400, action.error(action.EXITED)
        self.streams.finish()
        return status, answer


def _prepare(directory: "str | None") -> Runtime:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    # The kernel ignores default actions for process 1, so there it takes a handler; elsewhere the default ends even C code.
    _signal.signal(_signal.SIGTERM, (lambda *_: os._exit(2)) if os.getpid() == 1 else _signal.SIG_DFL)
    if getattr(sys.modules.get("proxy"), "__file__", None) == __file__:
        del sys.modules["proxy"]  # the action may have a module of this name
    return Runtime(directory or os.getcwd())


def serve_connection(sock: object, directory: "str | None" = None) -> int:
    """Serve the requests of one connected socket until it closes; returns the exit status for the process.

    `directory` (default: the working directory) takes the action's files. End the process with `os._exit`, since threads of the
    action may still run.
    """
    runtime = _prepare(directory)
    sock = move_high(sock)
    sock.setblocking(True)
    connection = Connection(sock)
    while runtime.exit_status is None and connection.serve(runtime.answer):
        pass
    runtime.streams.flush()
    return runtime.exit_status or 0


def serve_listener(sock: object, directory: "str | None" = None) -> int:
    """Serve all connections to a listening socket until the action ends the process; returns its exit status."""
    runtime = _prepare(directory)
    return Listener(runtime, move_high(sock)).serve()


def preload() -> None:
    """Import what is otherwise imported when first needed: for a template process, before it forks."""
    import fcntl  # noqa: F401
    import select  # noqa: F401
    import socket  # noqa: F401

    action.archives()


def _options(arguments: "list[str]") -> "dict[str, str]":
    names = ("--port", "--unix", "--fd", "--host", "--dir")
    options = {"--port": os.environ.get("__OW_PORT", "8080"), "--host": "0.0.0.0"}
    for name, value in zip(arguments[::2], [*arguments[1::2], ""]):
        if name not in names or not value:
            sys.exit("usage: proxy.py [--port N [--host ADDRESS] | --unix PATH | --fd N] [--dir DIRECTORY]")
        options[name] = value
    return options


def main(arguments: "list[str]") -> int:
    """Listen (or take the inherited connection) as the arguments say; returns the exit status."""
    from socket import AF_UNIX, SO_REUSEADDR, SOL_SOCKET, socket

    options = _options(arguments)
    try:
        if "--fd" in options:
            return serve_connection(socket(fileno=int(options["--fd"])), options.get("--dir"))
        listening = socket(AF_UNIX) if "--unix" in options else socket()
        listening.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listening.bind(options["--unix"] if "--unix" in options else (options["--host"], int(options["--port"])))
        listening.listen(128)
    except (OSError, ValueError, OverflowError) as reason:
        sys.exit(f"The runtime can't listen: {reason}")
    return serve_listener(listening, options.get("--dir"))


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
