"""The template process: loads the Python proxy once and forks a child for every container.

Runs as a program of its own (`python -I template_main.py FD`), with the standard library, `isolation.py` beside it and
the proxy only. FD is one end of a stream socket pair; every packet is a line of JSON, and descriptors come in the packets' order.

| packet | from | descriptors | meaning |
|---|---|---|---|
| setup | node | | proxy file, isolate or not, paths to show |
| ready | template | | whether it is isolated, and the Python's version |
| failed | template | | the setup can't be had; the template ends |
| spawn | node | status, out, err, socket…, cgroup.procs… | fork a container |
| started | template | | its process id |
| kill | node | | end a container |
| exited | template | | its processes are gone; wait status |

The status pipe of a child ends without a byte once it serves; else it brings the reason. When the node's end of the
socket closes, everything ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

CHUNK = 65_536
MAX_DESCRIPTORS = 250
"""The kernel passes at most 253 in one packet (SCM_MAX_FD)."""
PRELOADED = ("base64", "collections", "copy", "datetime", "hashlib", "json", "logging", "math", "random", "re", "time", "uuid")
"""What actions import most. Saves them up to 25 ms for 0.1 ms of fork and 4 MB here; urllib.request and asyncio would add
0.5 ms to every fork and 7 MB, whether or not they are used."""
LINUX = sys.platform == "linux"


def load(name: str, path: str) -> ModuleType:
    """The Python file at `path` as module `name`, without putting its directory on the search path."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Template:
    """State of the template: the control socket and the containers it has forked."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.children: dict[int, int] = {}  # process id -> number of the container
        self.descriptors: list[int] = []  # received, of packets still to come
        self.unread = b""
        self.isolated = False
        self.proxy: ModuleType | None = None
        self.isolation: ModuleType | None = None
        self.guard: ModuleType | None = None
        self.syscalls: ModuleType | None = None
        self.home_pids = -1
        self.shown: list[str] = []
        self.self_pidfd = -1

    # Start ------------------------------------------------------------------------------------------------------

    def setup(self, packet: dict[str, Any]) -> None:
        """Load the proxy, enter the isolated root. Raises OSError, ImportError and what loading the proxy raises."""
        if LINUX:
            self.isolation = load("isolation", str(Path(__file__).with_name("isolation.py")))
            self.isolation.prctl(self.isolation.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != packet["node"]:
                os._exit(1)
            self.self_pidfd = os.pidfd_open(os.getpid())
        self.proxy = load("proxy", packet["proxy"])
        self.proxy.preload()
        for name in PRELOADED:
            importlib.import_module(name)
        if not packet["isolate"]:
            self.guard = load("guard", str(Path(__file__).with_name("guard.py")))
        else:
            assert self.isolation is not None
            self.syscalls = load("syscalls", str(Path(__file__).with_name("syscalls.py")))
            self.home_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            self.shown = packet["show"]
            self.isolation.enter_root(self.shown)
            self.isolated = True
        gc.collect()
        gc.freeze()

    def send(self, **packet: Any) -> None:
        """Send a packet to the node; the loop sees by itself when the node is gone."""
        with contextlib.suppress(OSError):
            self.control.sendall(json.dumps(packet).encode() + b"\n")

    # Loop -------------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Answer packets and report ended children until the node closes its end."""
        wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if LINUX else os.pipe()
        os.set_blocking(waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == wake:
                    os.read(wake, 4096)
                    self.reap()
                elif not self.receive():
                    return

    def receive(self) -> bool:
        """Take what has arrived and handle what is complete; false at the end."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.control, CHUNK, MAX_DESCRIPTORS)
        except ConnectionError:
            return False
        self.descriptors += descriptors
        *lines, self.unread = (self.unread + data).split(b"\n")
        for line in lines:
            self.handle(json.loads(line))
        return bool(data)

    def handle(self, packet: dict[str, Any]) -> None:
        """Do what one packet asks for."""
        if packet["op"] == "setup":
            self.setup(packet)
            self.send(op="ready", isolated=self.isolated, python=sys.version.split()[0])
        elif packet["op"] == "spawn":
            count = packet["descriptors"]
            mine, self.descriptors = self.descriptors[:count], self.descriptors[count:]
            self.spawn(packet, mine)
        elif packet["op"] == "kill":
            self.kill(packet["id"])

    def reap(self) -> None:
        """Report every child that has ended."""
        while self.children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self.children.pop(pid, None)
            if number is not None:
                self.send(op="exited", id=number, status=status)

    def kill(self, number: int) -> None:
        """End a container: with the first process of a pid namespace all in it end."""
        for pid, known in self.children.items():
            if known == number:
                with contextlib.suppress(ProcessLookupError):
                    if self.isolated:
                        os.kill(pid, signal.SIGKILL)
                    else:  # the guard sees to all; the action may have stopped it
                        os.kill(pid, signal.SIGTERM)
                        os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """Kill what is left and wait for it."""
        for number in list(self.children.values()):
            self.kill(number)
        for pid in list(self.children):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    # Containers -------------------------------------------------------------------------------------------------

    def spawn(self, packet: dict[str, Any], descriptors: list[int]) -> None:
        """Fork one container and tell its process id."""
        began = time.perf_counter()
        try:
            pid = self.fork()
        except OSError as error:
            os.write(descriptors[0], f"fork: {error}".encode())
            pid = -1
        if pid == 0:
            self.child(packet, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            self.children[pid] = packet["id"]
        self.send(op="started", id=packet["id"], pid=max(pid, 0), ms=(time.perf_counter() - began) * 1000)

    def fork(self) -> int:
        """Fork; with isolation the child is the first process of a pid namespace."""
        if not self.isolated:
            return os.fork()
        assert self.isolation is not None
        self.isolation.unshare(self.isolation.CLONE_NEWPID)
        try:
            return os.fork()
        finally:
            if os.getpid() != 1:
                self.isolation.setns(self.home_pids, self.isolation.CLONE_NEWPID)

    def child(self, packet: dict[str, Any], descriptors: list[int]) -> None:
        """What the forked child does; never returns."""
        status = descriptors[0]
        try:
            sockets = self.enter(packet, descriptors)
            self.run(packet, sockets, status)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the node hears it and the child ends
            with contextlib.suppress(OSError):
                os.write(status, f"{type(error).__name__}: {error}".encode()[:4000])
            os._exit(1)

    def enter(self, packet: dict[str, Any], descriptors: list[int]) -> list[int]:
        """Take the descriptors, limits and namespaces of the container; returns the numbers of its sockets."""
        _, out, err, *rest = descriptors
        sockets, cgroups = rest[: packet["sockets"]], rest[packet["sockets"] :]
        for cgroup in cgroups:
            os.write(cgroup, b"0")
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if self.guard is not None:
            self.under_guard(self.guard)
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        keep_open({0, 1, 2, descriptors[0], *sockets, self.self_pidfd} - {-1})
        if self.isolated:
            assert self.isolation is not None
            self.isolation.enter_container(packet["name"], packet["memory"], packet["uid"], packet["own_network"], self.shown)
        if self.isolation is not None:
            self.isolation.limit_resources(packet["address_space"], packet["processes"])
            self.isolation.die_with(self.self_pidfd)
        if self.syscalls is not None:
            self.syscalls.shut()
        os.chdir(packet["directory"])
        os.environ.clear()
        os.environ.update(packet["env"])
        if self.self_pidfd >= 0:
            os.close(self.self_pidfd)
        return sockets

    def under_guard(self, guard: ModuleType) -> None:
        """Fork once more: this process stands guard and never returns, its child goes on as the action."""
        if self.isolation is not None:
            self.isolation.prctl(self.isolation.PR_SET_CHILD_SUBREAPER, 1)
            self.isolation.die_with(self.self_pidfd, signal.SIGTERM)
            os.close(self.self_pidfd)
            self.self_pidfd = os.pidfd_open(os.getpid())
        signal.pthread_sigmask(signal.SIG_BLOCK, guard.HEARD)
        action = os.fork()
        if action:
            keep_open({0, 1, 2})
            status = guard.watch(action)
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, guard.HEARD)

    def run(self, packet: dict[str, Any], sockets: list[int], status: int) -> None:
        """Serve with the proxy, or become the given program."""
        if packet["argv"]:
            os.set_inheritable(status, False)
            for number in sockets:
                os.set_inheritable(number, True)
            argv = [part.replace("{fd}", ",".join(map(str, sockets))) for part in packet["argv"]]
            os.execve(argv[0], argv, packet["env"])
        os.close(status)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - the template's are of its own streams
        sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
        vars(sys).update(__stdout__=sys.stdout, __stderr__=sys.stderr)
        assert self.proxy is not None
        code = 0
        try:
            code = self.proxy.serve_connection(socket.socket(fileno=sockets[0]))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:  # noqa: BLE001 - goes to the action's stderr
            sys.excepthook(*sys.exc_info())
            code = 1
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def keep_open(numbers: set[int]) -> None:
    """Close every descriptor but these."""
    low = 0
    for number in sorted(numbers):
        if low < number:  # CPython closes everything for an empty range
            os.closerange(low, number)
        low = number + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def main(descriptor: int) -> None:
    """Serve until the node is gone; a setup that fails is told and ends it."""
    template = Template(socket.socket(fileno=descriptor))
    try:
        template.serve()
    except Exception as error:  # noqa: BLE001 - goes to the node
        template.send(op="failed", text=f"{type(error).__name__}: {error}")
    template.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
