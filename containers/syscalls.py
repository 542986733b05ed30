"""Which doors of the kernel stay shut for actions: a seccomp filter, and Landlock for abstract sockets.

The filter refuses what an unprivileged action has no use for and through which kernels have been broken: new namespaces
(a user namespace would give it capabilities again), mounting, loading code into the kernel, its keyrings, tracing of
performance, io_uring. All else is allowed, as actions are arbitrary programs. Landlock (Linux 6.12 and later) keeps them
from abstract Unix sockets of others, which belong to the network and not to the file tree. Standard library only: the
template loads this file by its path. Sources: `man 2 seccomp`, `man 7 landlock`, Docker's default profile for the choice.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

SYSCALLS = {
    "x86_64": {
        "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308, "swapon": 167,
        "swapoff": 168, "reboot": 169, "init_module": 175, "finit_module": 313, "delete_module": 176, "kexec_load": 246,
        "kexec_file_load": 320, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "add_key": 248,
        "request_key": 249, "keyctl": 250, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
        "open_by_handle_at": 304, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
        "fspick": 433, "mount_setattr": 442, "quotactl": 179, "acct": 163, "settimeofday": 164, "clock_settime": 227,
    },
    "aarch64": {
        "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "unshare": 97, "setns": 268, "swapon": 224,
        "swapoff": 225, "reboot": 142, "init_module": 105, "finit_module": 273, "delete_module": 106, "kexec_load": 104,
        "kexec_file_load": 294, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "add_key": 217,
        "request_key": 218, "keyctl": 219, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
        "open_by_handle_at": 265, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
        "fspick": 433, "mount_setattr": 442, "quotactl": 60, "acct": 89, "settimeofday": 170, "clock_settime": 112,
    },
}  # fmt: skip
"""Refused with EPERM. Numbers: the kernel's `syscall_64.tbl` and `asm-generic/unistd.h`."""
CLONE = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435
SOCKET = {"x86_64": 41, "aarch64": 198}
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32 = 0x40000000
"""Calls of the x32 interface come under the same architecture with this bit."""
NAMESPACES = 0x7E020000
"""All CLONE_NEW… flags that `clone` takes."""
SHUT_FAMILIES = (38, 40)
"""AF_ALG (the kernel's cryptography) and AF_VSOCK (the machine's host)."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_PR_SET_SECCOMP, _FILTER = 22, 2


def _instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value)


def program(machine: str) -> bytes:
    """The filter for a machine (`os.uname().machine`), empty for one it isn't known for."""
    if machine not in SYSCALLS:
        return b""
    refuse = _instruction(_RETURN, _ERRNO | errno.EPERM)
    absent = _instruction(_RETURN, _ERRNO | errno.ENOSYS)
    allow = _instruction(_RETURN, _ALLOW)
    parts = [
        _instruction(_LOAD, _ARCH),
        _instruction(_EQUAL, AUDIT_ARCH[machine], 1, 0),
        refuse,
        _instruction(_LOAD, _NUMBER),
        _instruction(_AT_LEAST, X32, 0, 1),
        refuse,
        _instruction(_EQUAL, CLONE3, 0, 1),
        absent,  # its flags can't be looked at; the C library then takes clone
    ]
    for number in SYSCALLS[machine].values():
        parts += [_instruction(_EQUAL, number, 0, 1), refuse]
    parts += [
        _instruction(_EQUAL, CLONE[machine], 0, 4),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_ANY_BIT, NAMESPACES, 0, 1),
        refuse,
        allow,
        _instruction(_EQUAL, SOCKET[machine], 0, 1 + 2 * len(SHUT_FAMILIES)),
        _instruction(_LOAD, _FIRST_ARGUMENT),
    ]
    for family in SHUT_FAMILIES:
        parts += [_instruction(_EQUAL, family, 0, 1), refuse]
    return b"".join([*parts, allow])


_libc = ctypes.CDLL(None, use_errno=True)
_PROGRAM = program(os.uname().machine)
_BUFFER = ctypes.create_string_buffer(_PROGRAM, len(_PROGRAM))
_HEADER = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(_PROGRAM) // 8, ctypes.addressof(_BUFFER)))


def shut() -> None:
    """Put the filter and the Landlock domain on this process and all it starts. Needs no_new_privs. Raises OSError."""
    _landlock()
    if _PROGRAM and _libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_FILTER), _HEADER, ctypes.c_ulong(0), ctypes.c_ulong(0)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def _landlock() -> None:
    """Scope abstract Unix sockets to this domain; kernels that don't know how leave them open."""
    create_ruleset, restrict_self = 444, 446
    version = _libc.syscall(ctypes.c_long(create_ruleset), None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 6:
        return
    attributes = struct.pack("QQQ", 0, 0, 1)
    ruleset = _libc.syscall(ctypes.c_long(create_ruleset), attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    if ruleset >= 0:
        _libc.syscall(ctypes.c_long(restrict_self), ctypes.c_int(ruleset), ctypes.c_uint(0))
        os.close(ruleset)
