"""Connections of the runtime: any number on a listening socket, one of them served at a time."""

import _thread
import os

import _ow_http as http

TICK = 0.05
"""Seconds an action runs before others who connect are answered that it is busy."""
SEND_TIMEOUT_MS = 60_000
"""A client that takes nothing of its answer for so long is dropped."""


def duplicate(descriptor: int) -> int:
    """A duplicate with a high number: neither `closerange(3, 256)` nor a forged descriptor 3 reaches it."""
    from fcntl import F_DUPFD_CLOEXEC, fcntl

    for lowest in (1000, 200, 64):
        try:
            return fcntl(descriptor, F_DUPFD_CLOEXEC, lowest)
        except OSError:
            continue
    return fcntl(descriptor, F_DUPFD_CLOEXEC, 10)


def move_high(sock: object) -> object:
    """The same socket under a high descriptor."""
    from socket import socket

    number = sock.detach()
    high = duplicate(number)
    os.close(number)
    return socket(fileno=high)


def poll_sockets(sockets: list, writable: bool, milliseconds: "int | None") -> list:
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
                if not poll_sockets([self.sock], True, SEND_TIMEOUT_MS):
                    return False
            except OSError:  # the client hung up: the run is done all the same
                return False
        return True


class Listener:
    """Any number of connections, one of them served at a time.

    While user code runs on the main thread a guard thread answers the other connections that the runtime is busy. It
    looks only once a run has lasted a `TICK`; between runs the lock and `busy` keep it off the connections.
    """

    def __init__(self, runtime: object, listening: object) -> None:
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
            for sock in poll_sockets(self._sockets(), False, None):
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
            accepted = move_high(self._listening.accept()[0])
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
        for sock in poll_sockets(self._sockets(), False, int(TICK * 1000)):
            with self._lock:
                if self._runtime.busy and self._turn == turn:
                    self._ready(sock, self._runtime.refuse)
