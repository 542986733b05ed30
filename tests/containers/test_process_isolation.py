"""The plan of the file tree, the system call filter and the guard, without a container."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.guard import descendants
from containers.isolation import ETC, SYSTEM, Step, look, plan
from containers.syscalls import AUDIT_ARCH, CLONE, CLONE3, SOCKET, SYSCALLS, X32, program

MERGED = {"/usr": "dir", "/bin": "link:usr/bin", "/lib": "link:usr/lib", "/etc/resolv.conf": "file", "/dev/null": "file"}


def test_plan_of_a_merged_system() -> None:
    """Links of a merged /usr stay links, what exists is bound, what does not is left out."""
    steps = plan([], lambda path: MERGED.get(path, ""))
    assert Step("bind", "/usr") in steps
    assert Step("link", "/bin", "usr/bin") in steps
    assert Step("bind", "/etc/resolv.conf") in steps
    assert Step("device", "/dev/null") in steps
    assert not any(step.target in ("/sbin", "/lib64", "/etc/hosts", "/dev/zero") for step in steps)


def test_plan_shows_nothing_else() -> None:
    """Only the system, the named files of /etc, devices and what was asked for are bound."""
    steps = plan(["/opt/python"], lambda _: "dir")
    bound = {step.target for step in steps if step.kind == "bind"}
    assert bound == {*SYSTEM, *ETC, "/opt/python"}
    assert not any(secret in path for path in ETC for secret in ("shadow", "private", "ssh", "machine-id"))


@given(st.lists(st.sampled_from(["/usr/local", "/opt/a", "/opt/a/b", "/opt/ab", "/home/u/.venv"])))
def test_plan_binds_once(extra: list[str]) -> None:
    """What lies in a tree that is shown already is not bound again."""
    bound = [step.target for step in plan(extra, lambda _: "dir") if step.kind == "bind"]
    assert len(bound) == len(set(bound))
    assert "/usr/local" not in bound
    assert all(any(path == b or path.startswith(b + "/") for b in bound) for path in extra)


def test_look() -> None:
    """What is at a path is told in the plan's words."""
    assert look("/nowhere") == ""
    assert look("/") == "dir"
    assert look("/etc/passwd") == "file"
    assert look("/proc/self/exe").startswith("link:/")


def evaluate(code: bytes, machine: int, number: int, argument: int = 0) -> int:
    """Run a filter as the kernel would; what it returns."""
    instructions = list(struct.iter_unpack("HBBI", code))
    data = {0: number, 4: machine, 16: argument & 0xFFFFFFFF}
    accumulator = position = 0
    while True:
        operation, yes, no, value = instructions[position]
        position += 1
        if operation == 0x20:
            accumulator = data[value]
        elif operation == 0x06:
            return value
        else:
            hit = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[operation]
            position += yes if hit else no


ALLOW, REFUSE, ABSENT = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS


@pytest.mark.parametrize("machine", sorted(SYSCALLS))
def test_filter(machine: str) -> None:
    """The filter refuses exactly what it names: all numbers, clone with namespaces, two socket families, other ABIs."""
    code, arch = program(machine), AUDIT_ARCH[machine]
    refused = {number for number in range(500) if evaluate(code, arch, number) == REFUSE}
    assert refused == set(SYSCALLS[machine].values())
    assert evaluate(code, arch, CLONE3) == ABSENT
    assert evaluate(code, arch, CLONE[machine], 0x11) == ALLOW
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert evaluate(code, arch, CLONE[machine], flag | 0x11) == REFUSE
    families = {family for family in range(50) if evaluate(code, arch, SOCKET[machine], family) == REFUSE}
    assert families == {38, 40}
    assert evaluate(code, arch, X32 | 1) == REFUSE
    assert evaluate(code, 0x40000003, 1) == REFUSE


def test_filter_of_another_machine() -> None:
    """A machine whose numbers are unknown gets no filter rather than a wrong one."""
    assert program("riscv64") == b""


def test_descendants() -> None:
    """Children and their children are found, whatever their names look like."""
    code = "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], process_group=0) as process:
        try:
            deadline = time.monotonic() + 10
            while len(found := descendants(process.pid)) < 1:
                assert time.monotonic() < deadline
            assert process.pid in descendants(os.getpid())
            assert set(found) <= set(descendants(os.getpid()))
        finally:
            os.killpg(process.pid, 9)
