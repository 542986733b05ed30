"""What user code must not be able to do under the isolated process driver: each test is an attempt by an action."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from containers.contract import Answer, Container, ContainerSpec, Failure, Result
from containers.process import ProcessDriver

ATTEMPT = """
import ctypes, os, signal, socket, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what):
    try:
        return {"done": repr(what())}
    except Exception as error:
        return {"refused": type(error).__name__}
"""


@pytest_asyncio.fixture
async def driver() -> AsyncIterator[ProcessDriver]:
    driver = ProcessDriver(secrets.token_hex(4), "invoker0", pids=64)
    await driver.open()
    assert driver.notes() == []
    yield driver
    await driver.close()


async def load(driver: ProcessDriver, code: str, memory: int = 128) -> Container:
    container = await driver.create(ContainerSpec(kind="python:3", memory=memory, name="t"), lambda *_: None, lambda: None)
    value = {"name": "a", "main": "main", "binary": False, "code": ATTEMPT + textwrap.dedent(code), "env": {}}
    answer = await container.init(json.dumps({"value": value}).encode(), 10, 1 << 20)
    assert isinstance(answer, Answer)
    assert answer.status == 200, answer
    return container


async def call(container: Container, timeout: float = 10, **value: Any) -> Result:
    return await container.run(json.dumps({"value": value}).encode(), timeout, 1 << 20)


async def told(driver: ProcessDriver, code: str, **value: Any) -> Any:
    """What an action with this code gives back."""
    answer = await call(await load(driver, code), **value)
    assert isinstance(answer, Answer), answer
    assert answer.status == 200, answer
    return json.loads(answer.body)


async def test_files_of_the_machine(driver: ProcessDriver, tmp_path: Path) -> None:
    """Data directory, home directories, the project, system secrets: none of it is there."""
    tmp_path.chmod(0o777)
    secret = tmp_path / "auth"
    secret.write_text("uuid:key")
    secret.chmod(0o644)
    here = Path(__file__).resolve().parents[2]
    paths = [secret, "/etc/shadow", "/root/.ssh", "/home/*", "/var/lib", "/boot", here / "run.py", here / "containers",
             here / ".git", "/sys/kernel", "/dev/vda", "/proc/kcore", "/proc/sysrq-trigger"]  # fmt: skip
    code = """
    import glob
    def main(args):
        return {p: bool([q for q in glob.glob(p) if os.access(q, os.R_OK)]) for p in args["paths"]}
    """
    found = await told(driver, code, paths=[str(path) for path in paths])
    assert [path for path, readable in found.items() if readable] == []


async def test_other_processes(driver: ProcessDriver) -> None:
    """It sees only its own processes, and neither signals nor traces others; the node's environment is out of reach."""
    other = await load(driver, "def main(args): return {}")
    code = """
    def main(args):
        seen = [int(p) for p in os.listdir("/proc") if p.isdigit()]
        out = {"seen": seen}
        for name, pid in args["pids"].items():
            out[name] = [
                attempt(lambda: os.kill(pid, 0)),
                attempt(lambda: open(f"/proc/{pid}/environ").read()),
                libc.ptrace(16, pid, 0, 0),
            ]
        out["all"] = attempt(lambda: os.kill(-1, 0))
        return out
    """
    pids = {"node": os.getpid(), "other": other.pid, "init": os.getppid()}
    answer = await told(driver, code, pids={name: pid for name, pid in pids.items() if pid > 1})
    assert answer["seen"] == [1]
    for name in ("node", "other"):
        kill, environ, ptrace = answer[name]
        assert "refused" in kill
        assert "refused" in environ
        assert ptrace == -1
    assert isinstance(await call(other), Answer)


async def test_files_of_another_action(driver: ProcessDriver) -> None:
    """Each has a /tmp and a /dev/shm of its own, and no other place to write."""
    first = await load(
        driver,
        """
    def main(args):
        for path in ("/tmp/mine", "/dev/shm/mine"):
            open(path, "w").write("secret")
        return {}
    """,
    )
    assert isinstance(await call(first), Answer)
    code = """
    def main(args):
        places = ["/", "/proc", "/proc/sys/kernel"]
        for root in ("/", "/dev", "/usr", "/usr/lib", "/etc", "/var"):
            places += [os.path.join(root, name) for name in os.listdir(root)]
        writable = [place for place in places if os.path.isdir(place)
                    and "done" in attempt(lambda: open(place + "/probe", "w").close())]
        return {"tmp": os.listdir("/tmp"), "shm": os.listdir("/dev/shm"), "writable": writable}
    """
    answer = await told(driver, code)
    assert "mine" not in answer["tmp"]
    assert "mine" not in answer["shm"]
    assert sorted(answer["writable"]) == ["/dev/shm", "/tmp"]


async def test_identity(driver: ProcessDriver) -> None:
    """Every container has a uid of its own, no groups, no capabilities, and can't get any back."""
    code = """
    def main(args):
        status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
        keys = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Groups")
        return {
            "uid": os.getresuid(),
            "status": {key: status[key].strip() for key in keys},
            "setuid": attempt(lambda: os.setuid(0)),
            "setgroups": attempt(lambda: os.setgroups([0])),
            "userns": libc.unshare(0x10000000),
            "chroot": attempt(lambda: os.chroot("/tmp")),
            "mount": libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None),
            "mknod": attempt(lambda: os.mknod("/tmp/disk", 0o60666, os.makedev(254, 0))),
            "fds": sorted(os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")),
        }
    """
    one, two = await told(driver, code), await told(driver, code)
    assert one["uid"] != two["uid"]
    for answer in (one, two):
        assert len(set(answer["uid"])) == 1
        assert answer["uid"][0] >= 200_000
        status = answer["status"]
        assert {int(status[key], 16) for key in status if key.startswith("Cap")} == {0}
        assert (status["NoNewPrivs"], status["Seccomp"], status["Groups"]) == ("1", "2", "")
        assert all("refused" in answer[key] for key in ("setuid", "setgroups", "chroot", "mknod"))
        assert (answer["userns"], answer["mount"]) == (-1, -1)
        for path in answer["fds"]:
            assert path == "/dev/null" or path.startswith("/proc/"), path  # pipes, its socket, the listing itself


async def test_set_uid_programs(driver: ProcessDriver) -> None:
    """A set-uid program gives nothing: one that any machine has, run from an action, stays the action's user."""
    code = """
    def main(args):
        found = [p for d in ("/usr/bin", "/bin", "/usr/sbin") for p in (os.path.join(d, n) for n in os.listdir(d))
                 if os.path.isfile(p) and os.stat(p).st_mode & 0o4000]
        out = {}
        if "/usr/bin/su" in found:
            done = subprocess.run(["/usr/bin/su", "-c", "id -u"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
            out["su"] = done.stdout
        flags = {}
        for line in open("/proc/self/mountinfo"):
            parts = line.split()
            flags[parts[4]] = parts[5].split(",")
        out["suid_mounts"] = [path for path, options in flags.items() if "nosuid" not in options]
        out["writable"] = [path for path, options in flags.items() if "rw" in options and path not in
                           ("/tmp", "/dev/shm", "/proc") and not path.startswith("/dev/")]
        return out
    """
    answer = await told(driver, code)
    assert answer.get("su", "") == ""
    assert answer["suid_mounts"] == []
    assert answer["writable"] == []


async def test_unix_sockets_of_the_node(driver: ProcessDriver, tmp_path: Path) -> None:
    """Sockets in the file tree are not there; abstract ones, which belong to the network, are refused."""
    name = f"\0rewhisk-{secrets.token_hex(4)}"
    with socket.socket(socket.AF_UNIX) as by_path, socket.socket(socket.AF_UNIX) as abstract:
        by_path.bind(str(tmp_path / "s"))
        (tmp_path / "s").chmod(0o777)
        tmp_path.chmod(0o777)
        by_path.listen()
        abstract.bind(name)
        abstract.listen()
        code = """
        def main(args):
            out = {}
            for name in args["names"]:
                sock = socket.socket(socket.AF_UNIX)
                out[name] = attempt(lambda: sock.connect(name))
            return out
        """
        answer = await told(driver, code, names=[str(tmp_path / "s"), name, "/run/docker.sock", "/var/run/docker.sock"])
    assert all("refused" in attempt for attempt in answer.values()), answer


async def test_fork_bomb(driver: ProcessDriver) -> None:
    """Processes are limited; the node and other containers go on, and removing ends them all."""
    bomb = await load(
        driver,
        """
    def main(args):
        import time
        while True:
            try:
                if os.fork() == 0:
                    continue
            except OSError:
                time.sleep(0.01)
    """,
    )
    other = await load(driver, "def main(args): return {'a': 1}")
    exploding = asyncio.ensure_future(call(bomb, timeout=1))
    await asyncio.sleep(0.5)
    group = Path(f"/sys/fs/cgroup/pids/rewhisk/{driver.owner}/{bomb.id}")
    assert int((group / "pids.current").read_text()) <= 64
    answer = await call(other)
    assert isinstance(answer, Answer)
    assert await exploding is Failure.TIMEOUT
    await bomb.remove()
    assert not group.exists()


async def test_files_count_as_memory(driver: ProcessDriver) -> None:
    """Filling /tmp ends at the memory limit, not on the machine's disk or memory."""
    code = """
    def main(args):
        with open("/tmp/big", "wb") as file:
            while True:
                file.write(b"x" * (1 << 20))
    """
    result = await call(await load(driver, code), timeout=30)
    if isinstance(result, Answer):  # the file system was full first
        assert b"No space left" in result.body
    else:
        assert result is Failure.MEMORY


async def test_daemons_end_with_the_container(driver: ProcessDriver) -> None:
    """What detached itself twice, with a session of its own and all signals ignored, is gone after `remove`."""
    code = """
    def main(args):
        import time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for number in range(1, 65):
                    try:
                        signal.signal(number, signal.SIG_IGN)
                    except (OSError, ValueError):
                        pass
                os.closerange(0, 4096)
                while True:
                    time.sleep(1)
            os._exit(0)
        os.wait()
        return {"alive": len([p for p in os.listdir("/proc") if p.isdigit()])}
    """
    container = await load(driver, code)
    answer = await call(container)
    assert isinstance(answer, Answer)
    assert json.loads(answer.body)["alive"] >= 2
    procs = Path(f"/sys/fs/cgroup/memory/rewhisk/{driver.owner}/{container.id}/cgroup.procs")
    pids = procs.read_text().split()
    assert len(pids) >= 2
    began = time.monotonic()
    await container.remove()
    assert time.monotonic() - began < 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


async def test_runaway_runtime_state(driver: ProcessDriver) -> None:
    """What one action changes in its interpreter is unknown to the next container of the same template."""
    await told(driver, "import json\njson.poison = True\ndef main(args): return {}")
    assert await told(driver, "import json\ndef main(args): return {'p': hasattr(json, 'poison')}") == {"p": False}


async def test_own_network() -> None:
    """With `network='none'` there is a loopback and nothing else; otherwise the machine's network is there."""
    code = "def main(args): return {'names': [name for _, name in socket.if_nameindex()], 'lo': attempt(lambda: " \
           "socket.create_server(('127.0.0.1', 0)).close())}"  # fmt: skip
    closed = ProcessDriver(secrets.token_hex(4), "invoker0", network="none")
    await closed.open()
    try:
        answer = await told(closed, code)
    finally:
        await closed.close()
    assert answer["names"] == ["lo"]
    assert "done" in answer["lo"]
