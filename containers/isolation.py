"""What separates an action process from the machine: system calls of Linux, and the file tree it sees.

Two stages. The template builds one read-only root for all and moves into it (`enter_root`), so nothing of the node's
files is reachable from it any more. Every child then takes namespaces of its own, mounts what must be private and gives
up every right (`enter_container`). Standard library only: the template loads this file by its path.

Sources: `man 7 namespaces`, `man 2 pivot_root`, `man 2 prctl`, `man 7 capabilities`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import select
import signal
import socket
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x20000000,
    0x40000000,
)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    4096,
    16384,
    1 << 18,
)
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NAME, PR_CAPBSET_DROP = 1, 4, 15, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
CAPABILITIES = 64
"""The sets have 64 bits."""

OPEN_FILES = 1024
"""Upstream's `--ulimit nofile=1024:1024`."""

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> int:
    """A libc function by name; raises OSError with its errno."""
    result: int = getattr(_libc, name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` for new ones. Raises OSError."""
    _call("unshare", flags)


def setns(descriptor: int, flags: int) -> None:
    """Join the namespace behind `descriptor`. Raises OSError."""
    _call("setns", descriptor, flags)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """`man 2 mount`. Raises OSError naming the target."""
    try:
        _call("mount", os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode())
    except OSError as error:
        raise OSError(error.errno, f"mount {target}: {os.strerror(error.errno or 0)}") from None


def prctl(option: int, value: int | bytes) -> None:
    """`man 2 prctl` with one value. Raises OSError."""
    argument = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    _call("prctl", option, argument, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


# The file tree ------------------------------------------------------------------------------------------------------

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services",
    "/etc/protocols", "/etc/mime.types", "/etc/localtime", "/etc/timezone", "/etc/ld.so.cache", "/etc/ld.so.conf",
    "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ssl/cert.pem",
    "/etc/ca-certificates", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted",
)  # fmt: skip
"""What names, certificates and the dynamic linker need; nothing that holds a secret."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
LINKS = {"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1",
         "/dev/stderr": "/proc/self/fd/2"}  # fmt: skip
EMPTY = ("/tmp", "/proc", "/dev/shm", "/var", "/run", "/home", "/root")
TEXTS = {
    "/etc/passwd": "root:x:0:0:root:/:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/tmp:/usr/sbin/nologin\n",
    "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


class Step(NamedTuple):
    """One entry of the tree. `kind`: dir (empty), bind (read-only), device (bind), link or text (with `content`)."""

    kind: str
    target: str
    content: str = ""


def plan(extra: Iterable[str], look: Callable[[str], str]) -> list[Step]:
    """The tree as a list of steps, in order. `extra` are directories and files to show at their own path.

    `look(path)` answers "" (absent), "dir", "file", or for a symbolic link "link:" and where it points.
    """
    steps = [Step("dir", path) for path in EMPTY]
    for path in (*SYSTEM, *ETC):
        found = look(path)
        if found.startswith("link:") and path in SYSTEM:
            steps.append(Step("link", path, found.removeprefix("link:")))
        elif found:
            steps.append(Step("bind", path))
    steps += [Step("device", path) for path in DEVICES if look(path)]
    steps += [Step("link", path, target) for path, target in LINKS.items()]
    steps += [Step("text", path, text) for path, text in TEXTS.items()]
    shown = ["/usr"]
    for path in sorted(set(extra)):
        if not any(path == root or path.startswith(root + "/") for root in shown) and look(path):
            shown.append(path)
            steps.append(Step("bind", path))
    return steps


def look(path: str) -> str:
    """What is at `path`, in the words of `plan`."""
    place = Path(path)
    if place.is_symlink() and place.exists():
        return f"link:{place.readlink()}"
    return "dir" if place.is_dir() else "file" if place.exists() else ""


def _build(step: Step, root: str) -> None:
    """Make one step of the plan below `root`."""
    target = Path(root + step.target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if step.kind == "dir":
        target.mkdir(exist_ok=True)
    elif step.kind == "link":
        target.symlink_to(step.content)
    elif step.kind == "text":
        target.write_text(step.content)
    else:
        source = Path(step.target).resolve()
        target.mkdir(exist_ok=True) if source.is_dir() else target.touch()
        mount(str(source), str(target), "", MS_BIND | MS_REC)
        no_device = 0 if step.kind == "device" else MS_NODEV | MS_RDONLY
        mount("", str(target), "", MS_BIND | MS_REMOUNT | MS_NOSUID | no_device)


def enter_root(extra: Iterable[str]) -> None:
    """Move this process into a mount namespace of its own whose root is the planned tree. Raises OSError.

    The tree is built on /sys, which no action needs and nothing is bound from.
    """
    unshare(CLONE_NEWNS)
    mount("", "/", "", MS_REC | MS_PRIVATE)
    steps = plan(extra, look)
    root = "/sys"
    os.umask(0o022)
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for step in steps:
        _build(step, root)
    os.chdir(root)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", MNT_DETACH)
    os.chdir("/")
    mount("", "/", "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


# One container ------------------------------------------------------------------------------------------------------


def _loopback_up() -> None:
    """Bring `lo` up in a fresh network namespace (`man 7 netdevice`: SIOCSIFFLAGS, IFF_UP | IFF_RUNNING)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))


def _private_places(memory: int, shown: Iterable[str]) -> None:
    """Own /tmp, /dev/shm and /proc. `memory` in MB bounds them; what is in them counts to the memory limit too.

    What is `shown` and lies below them (an interpreter or a checkout in /tmp) is shown again in the new ones.
    """
    hidden = {path: os.open(path, os.O_PATH) for path in shown if path.startswith(("/tmp/", "/dev/shm/")) and look(path)}
    quiet = MS_NOSUID | MS_NODEV
    mount("tmpfs", "/tmp", "tmpfs", quiet, f"mode=1777,size={memory}m")
    mount("tmpfs", "/dev/shm", "tmpfs", quiet | MS_NOEXEC, f"mode=1777,size={memory}m")
    mount("proc", "/proc", "proc", quiet | MS_NOEXEC)
    for path, opened in hidden.items():
        source, target = Path(f"/proc/self/fd/{opened}"), Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.mkdir(exist_ok=True) if source.is_dir() else target.touch()
        mount(str(source), path, "", MS_BIND | MS_REC)
        mount("", path, "", MS_BIND | MS_REMOUNT | quiet | MS_RDONLY)
        os.close(opened)


def drop_rights(uid: int) -> None:
    """Become `uid` for good: no groups, no capabilities, none to be had by running a set-uid program."""
    with contextlib.suppress(OSError):  # at the first number the kernel doesn't know
        for capability in range(CAPABILITIES):
            prctl(PR_CAPBSET_DROP, capability)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 1)


def enter_container(name: str, memory: int, uid: int, own_network: bool, shown: Iterable[str]) -> None:
    """Finish the isolation of a child that is already first in a pid namespace. `shown` as in `plan`. Raises OSError."""
    unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | (CLONE_NEWNET if own_network else 0))
    socket.sethostname(name[:63])
    if own_network:
        _loopback_up()
    _private_places(memory, shown)
    Path("/proc/self/oom_score_adj").write_text("500")
    drop_rights(uid)


def limit_resources(address_space: int, processes: int) -> None:
    """Process limits. The arguments stand in for control groups where there are none; 0: no limit.

    `address_space` is in bytes beyond what the interpreter has mapped already, most of which takes no memory;
    `processes` counts those of the uid.
    """
    if processes:
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    for what, wanted in ((resource.RLIMIT_NOFILE, OPEN_FILES), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(what)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(what, (value, value))
    if address_space:
        with contextlib.suppress(OSError):
            address_space += int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))


def die_with(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel send `number` when the parent ends, whose pidfd is `parent`; ends at once if it is gone already.

    To be called after the uid has changed, which clears the setting.
    """
    prctl(PR_SET_PDEATHSIG, number)
    if select.select([parent], [], [], 0)[0]:
        os._exit(1)
