"""The Python action runtime: upstream's action interface (`POST /init`, `POST /run`, sentinels) around one action.

Runs inside a container or an isolated process, on Python 3.8 and later, with the standard library only. Importing it does
nothing, so a template process can import it, fork, and call `serve_connection` in the child. The action runs in this process's
main thread; the sockets and the streams' duplicates have high descriptors, which careless user code doesn't hit.
"""

import _signal
import _thread
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, _HERE)
import _ow_action as action  # noqa: E402
import _ow_http as http  # noqa: E402

sys.path.remove(_HERE)

SENTINEL = b"XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n"
TWICE = "Cannot initialize the action more than once."
NOT_DEFINED = "no action defined yet"
BUSY = "System not ready, status is running."
TICK = 0.05
"""Seconds an action runs before others who connect are answered that it is busy."""
SEND_TIMEOUT_MS = 60_000
"""A client that takes nothing of its answer for so long is dropped."""


def _duplicate(descriptor: int) -> int:
    """A duplicate with a high number: neither `closerange(3, 256)` nor a forged descriptor 3 reaches it."""
    from fcntl import F_DUPFD_CLOEXEC, fcntl

    for lowest in (1000, 200, 64):
        try:
            return fcntl(descriptor, F_DUPFD_CLOEXEC, lowest)
        except OSError:
            continue
    return fcntl(descriptor, F_DUPFD_CLOEXEC, 10)


def _move_high(sock: object) -> object:
    """The same socket under a high descriptor."""
    from socket import socket

    number = sock.detach()
    high = _duplicate(number)
    os.close(number)
    return socket(fileno=high)


def _poll(sockets: list, writable: bool, milliseconds: "int | None") -> list:
    """Those of `sockets` that are ready; all arguments as poll(2)."""
    from select import POLLIN, POLLOUT, poll

    waiting = poll()
    by_number = {}
    for sock in sockets:
        number = sock.fileno()
        if number >= 0:
            by_number[number] = sock
            waiting.register(number, POLLOUT if writable else POLLIN)
    return [by_number[number] for number, _ in waiting.poll(milliseconds)]


class Streams:
    """The action's stdout and stderr: flushed, then ended by a sentinel that user code can't suppress by closing them."""

    def __init__(self) -> None:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        self._numbers = [_duplicate(1), _duplicate(2)]
        for stream, errors in ((sys.stdout, "strict"), (sys.stderr, "backslashreplace")):
            stream.reconfigure(encoding="utf-8", errors=errors)
        sys.stdout.reconfigure(line_buffering=False)
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


class Connection:
    """A socket and the parser of what comes from it."""

    def __init__(self, sock: object) -> None:
        self.sock = sock
        self.parser = http.Parser()

    def serve(self, answer: object) -> bool:
        """Read once and answer, by `answer`, every request that is complete. False when the connection has ended."""
        try:
            data = self.sock.recv(262_144)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        self.parser.feed(data)
        return self._answer_all(answer)

    def _answer_all(self, answer: object) -> bool:
        try:
            while True:
                request = self.parser.next()
                interim = self.parser.interim()
                if interim and not self._send(interim):
                    return False
                if request is None:
                    return True
                if not self._send(answer(request)) or not request.keep_alive:
                    return False
        except http.BadRequest as reason:
            self._send(http.refusal(str(reason)))
            return False

    def _send(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view) :]
            except BlockingIOError:
                if not _poll([self.sock], True, SEND_TIMEOUT_MS):
                    return False
            except OSError:  # the client hung up: the run is done all the same
                return False
        return True


class Listener:
    """Any number of connections, one of them served at a time.

    While user code runs on the main thread a guard thread answers the other connections that the runtime is busy. It
    looks only once a run has lasted a `TICK`; between runs the lock and `busy` keep it off the connections.
    """

    def __init__(self, runtime: Runtime, listening: object) -> None:
        listening.setblocking(False)
        self._runtime = runtime
        self._listening = listening
        self._connections: dict = {}
        self._active: Connection | None = None
        self._turn = 0
        self._lock = _thread.allocate_lock()
        self._wake = _thread.allocate_lock()
        self._asleep = False
        self._guarded = False

    def serve(self) -> int:
        """Until the action ends the process; returns its exit status."""
        while self._runtime.exit_status is None:
            for sock in _poll(self._sockets(), False, None):
                if self._runtime.exit_status is None:
                    self._ready(sock, self._work)
        return self._runtime.exit_status

    def _sockets(self) -> list:
        active = self._active
        return [self._listening, *(sock for sock, it in list(self._connections.items()) if it is not active)]

    def _ready(self, sock: object, answer: object) -> None:
        if sock is self._listening:
            self._accept()
            return
        connection = self._connections.get(sock)
        if connection is None:
            return
        if answer == self._work:
            self._active = connection
        if not connection.serve(answer):
            del self._connections[sock]
            sock.close()
        if answer == self._work:
            self._active = None

    def _accept(self) -> None:
        try:
            accepted = _move_high(self._listening.accept()[0])
        except OSError:
            return
        accepted.setblocking(False)
        if accepted.family.name == "AF_INET":
            accepted.setsockopt(6, 1, 1)  # TCP_NODELAY
        self._connections[accepted] = Connection(accepted)

    def _work(self, request: http.Request) -> bytes:
        if request.path not in (b"/run", b"/init"):
            return self._runtime.answer(request)
        self._turn += 1
        self._runtime.busy = request.path
        self._rouse_guard()
        try:
            return self._runtime.answer(request)
        finally:
            with self._lock:
                self._runtime.busy = b""

    def _rouse_guard(self) -> None:
        if not self._guarded:
            self._guarded = True
            _thread.start_new_thread(self._guard, ())
        elif self._asleep:
            self._asleep = False
            try:
                self._wake.release()
            except RuntimeError:  # the guard noticed by itself in the same moment
                return

    def _guard(self) -> None:
        from time import sleep

        self._wake.acquire()
        while True:
            turn = self._turn
            sleep(TICK)
            while self._runtime.busy and self._turn == turn:
                self._refuse_others(turn)
            if self._runtime.busy:
                continue
            self._asleep = True
            if self._runtime.busy and self._asleep:
                self._asleep = False
            else:
                self._wake.acquire()

    def _refuse_others(self, turn: int) -> None:
        for sock in _poll(self._sockets(), False, int(TICK * 1000)):
            with self._lock:
                if self._runtime.busy and self._turn == turn:
                    self._ready(sock, self._runtime.refuse)


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
    sock = _move_high(sock)
    sock.setblocking(True)
    connection = Connection(sock)
    while runtime.exit_status is None and connection.serve(runtime.answer):
        pass
    runtime.streams.flush()
    return runtime.exit_status or 0


def serve_listener(sock: object, directory: "str | None" = None) -> int:
    """Serve all connections to a listening socket until the action ends the process; returns its exit status."""
    runtime = _prepare(directory)
    return Listener(runtime, _move_high(sock)).serve()


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
