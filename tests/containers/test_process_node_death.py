"""Whatever ends the node or the template, no process of theirs is left; a user without rights is served and warned."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from containers import template
from containers.cgroup import Cgroups, find
from containers.contract import Answer, ContainerError, ContainerSpec, Failure, KindUnavailable
from containers.guard import descendants
from containers.process import ProcessDriver, _first_uid

NODE = Path(__file__).with_name("process_node.py")


@contextmanager
def node(*arguments: str, before: tuple[str, ...] = ()) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The stand-in as a process, and what it said."""
    process = subprocess.Popen(
        [*before, sys.executable, str(NODE), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists() and "Z" not in state(pid)]


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def gone_within(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


async def succeed(owner: str) -> None:
    """Do what a node does that starts after one that was killed."""
    successor = ProcessDriver(owner, "invoker0")
    await successor.open()
    try:
        assert await successor.leftovers(lambda _: True) == []
    finally:
        await successor.close()


@pytest.mark.parametrize("arguments", [("isolated",), ("isolated", "paused"), ("plain",), ("plain", "paused")])
async def test_killed_node_leaves_no_process(arguments: tuple[str, ...]) -> None:
    """SIGKILL to the node ends template, containers and detached daemons within two seconds, paused ones too."""
    owner = secrets.token_hex(4)
    with node(owner, *arguments) as (process, said):
        assert len(alive(said["pids"])) >= 5  # template, two containers, their daemons
        process.send_signal(signal.SIGKILL)
        assert gone_within(said["pids"], 2)
    await succeed(owner)
    for controller in ("memory", "pids"):
        assert not Path(f"/sys/fs/cgroup/{controller}/rewhisk/{owner}.invoker0").exists()
    assert not (Path(tempfile.gettempdir()) / f"rewhisk-{owner}.invoker0").exists()


def test_unprivileged_user() -> None:
    """A user who isn't root gets working containers, a plain warning, and no process left after close."""
    drop: tuple[str, ...] = ()
    if os.geteuid() == 0:  # the capability only lets it read an interpreter that lies in root's home
        setpriv = shutil.which("setpriv")
        assert setpriv is not None, "util-linux gives setpriv"
        rights = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search")
        drop = (setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", *rights)
    with node(secrets.token_hex(4), "isolated", before=drop) as (process, said):
        assert said["uid"] != 0
        assert said["answers"] == [{"uid": said["uid"]}] * 2
        assert any("no security boundary" in note for note in said["notes"])
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == {"left": []}
        assert gone_within(said["pids"], 2)


async def test_root_without_rights() -> None:
    """Root that may not make namespaces, as in most containers, is served too, and the note says why it is unsafe."""
    owner = secrets.token_hex(4)
    with node(owner, "isolated", before=("setpriv", "--bounding-set=-sys_admin")) as (process, said):
        assert said["uid"] == 0
        assert "no security boundary" in said["notes"][0]
        assert "unshare" in said["notes"][0]
        process.send_signal(signal.SIGKILL)
        assert gone_within(said["pids"], 2)
    await succeed(owner)


async def driver_with_action(**options: Any) -> tuple[ProcessDriver, Any, list[str]]:
    driver = ProcessDriver(secrets.token_hex(4), "invoker0", **options)
    await driver.open()
    gone: list[str] = []
    spec = ContainerSpec(kind="python:3", memory=128, name="t")
    container = await driver.create(spec, lambda *_: None, lambda: gone.append("gone"))
    code = "import time\ndef main(args):\n    time.sleep(args['s'])\n    return {}"
    value = {"name": "a", "main": "main", "binary": False, "code": code, "env": {}}
    assert isinstance(await container.init(json.dumps({"value": value}).encode(), 10, 1000), Answer)
    return driver, container, gone


@pytest.mark.parametrize("isolate", [True, False])
async def test_template_death(isolate: bool) -> None:
    """If the template dies its containers end, each says so, and the next container comes from a new template."""
    driver, container, gone = await driver_with_action(isolate=isolate)
    try:
        before = driver.template_pid()
        running = asyncio.ensure_future(container.run(b'{"value": {"s": 60}}', 60, 1000))
        await asyncio.sleep(0.05)
        os.kill(before, signal.SIGKILL)
        assert await running is Failure.BROKEN
        assert gone == ["gone"]
        await container.remove()
        assert gone_within([container.pid], 2)
        again = await driver.create(ContainerSpec(kind="python:3", memory=128, name="t"), lambda *_: None, lambda: None)
        assert driver.template_pid() != before
        await again.remove()
    finally:
        await driver.close()


async def test_cancelled_create_leaves_nothing() -> None:
    """A creation given up at any moment leaves no process, no group and no descriptor."""
    driver, container, _ = await driver_with_action()
    try:
        await container.remove()
        before = len(list(Path("/proc/self/fd").iterdir()))
        for pause in (0, 0.0005, 0.001, 0.002, 0.003, 0.005):
            making = asyncio.ensure_future(
                driver.create(ContainerSpec(kind="python:3", memory=128, name="t"), lambda *_: None, lambda: None)
            )
            await asyncio.sleep(pause)
            making.cancel()
            result = (await asyncio.gather(making, return_exceptions=True))[0]
            if not isinstance(result, BaseException):
                await result.remove()
        for base in find().values():
            assert [path for path in (base / "rewhisk" / driver.owner).iterdir() if path.is_dir()] == []
        assert len(list(Path("/proc/self/fd").iterdir())) <= before
    finally:
        await driver.close()


async def test_without_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A template that believes it runs elsewhere does without everything of Linux, and still runs and ends actions."""
    main = tmp_path / "main.py"
    main.write_text(
        f"import runpy, sys\nsys.platform = 'darwin'\nrunpy.run_path({str(template.MAIN)!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(template, "MAIN", main)
    driver, container, _ = await driver_with_action(isolate=False)
    try:
        assert isinstance(await container.run(b'{"value": {"s": 0}}', 10, 1000), Answer)
        running = asyncio.ensure_future(container.run(b'{"value": {"s": 60}}', 60, 1000))
        await asyncio.sleep(0.05)
        pids = descendants(driver.template_pid())
        await container.remove()
        assert await running is Failure.BROKEN
        assert gone_within(pids, 2)
    finally:
        await driver.close()


async def test_great_environment() -> None:
    """What is larger than any socket's buffer reaches the template whole, several at a time."""
    driver, *_ = await driver_with_action()
    try:
        specs = [
            ContainerSpec(kind="python:3", memory=128, name="t", env={f"__OW_{n}_{i}": "x" * 50_000 for i in range(10)})
            for n in range(4)
        ]
        made = await asyncio.gather(*(driver.create(spec, lambda *_: None, lambda: None) for spec in specs))
        code = "import os\ndef main(args):\n    return {k: len(v) for k, v in os.environ.items()}"
        value = {"name": "a", "main": "main", "binary": False, "code": code, "env": {}}
        for number, one in enumerate(made):
            assert isinstance(await one.init(json.dumps({"value": value}).encode(), 10, 1000), Answer)
            answer = await one.run(b'{"value": {}}', 10, 100_000)
            assert isinstance(answer, Answer)
            lengths = json.loads(answer.body)
            assert all(lengths[f"__OW_{number}_{i}"] == 50_000 for i in range(10))
    finally:
        await driver.close()


async def test_missing_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Node.js its kinds say what to install; a Python that can't be run says so at open."""
    monkeypatch.setenv("PATH", "/nowhere")
    driver = ProcessDriver(secrets.token_hex(4), "invoker0")
    await driver.open()
    try:
        assert "nodejs" not in driver.versions()
        assert driver.versions()["python"].startswith("3.")
        with pytest.raises(KindUnavailable, match=r"no 'node' in PATH.*nodejs\.org"):
            await driver.create(ContainerSpec(kind="nodejs:20", memory=256, name="t"), lambda *_: None, lambda: None)
    finally:
        await driver.close()


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        (None, r"can't be run.*--python"),
        ("echo False", r"older than 3\.9.*--python"),
        ("echo broken >&2; exit 1", r"broken.*--python"),
    ],
)
async def test_unusable_python(tmp_path: Path, script: str | None, complaint: str) -> None:
    """A Python that can't be run, is too old or fails says so at open, with the way out."""
    python = tmp_path / "python"
    if script is not None:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    driver = ProcessDriver(secrets.token_hex(4), "invoker0", python=str(python))
    with pytest.raises(ContainerError, match=complaint):
        await driver.open()
    await driver.close()


async def test_leftover_groups_are_swept() -> None:
    """Groups that a crashed node left, with processes in them, are removed by its successor; others' are not touched."""
    installation = secrets.token_hex(4)
    stale = Cgroups(find(), f"{installation}.invoker0")
    group = stale.make("old", 64)
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        for entrance in group.entrances():
            os.write(entrance, str(sleeper.pid).encode())
            os.close(entrance)
        driver = ProcessDriver(installation, "invoker0")
        await driver.open()
        try:
            assert await driver.leftovers(lambda _: True) == []
            assert sleeper.wait(2) == -signal.SIGKILL
            assert stale.stale() == []
        finally:
            group.remove()
            await driver.close()


async def test_namespaces_without_control_groups(tmp_path: Path) -> None:
    """Without control groups there is isolation all the same, with limits by process, and a note that says so."""
    driver, container, _ = await driver_with_action(cgroup_root=tmp_path)
    try:
        (note,) = driver.notes()
        assert "Memory limits hold only roughly" in note
        await container.pause()
        late = asyncio.ensure_future(container.run(b'{"value": {"s": 0}}', 10, 1000))
        assert not (await asyncio.wait([late], timeout=0.2))[0]
        await container.resume()
        assert isinstance(await late, Answer)
        limits = Path(f"/proc/{container.pid}/limits").read_text()
        assert re.search(r"Max processes +1024 ", limits)
        assert not re.search(r"Max address space +unlimited", limits)
        assert Path(f"/proc/{container.pid}/root/tmp").stat().st_dev != Path("/tmp").stat().st_dev
    finally:
        await driver.close()


async def test_unusable_control_groups(tmp_path: Path) -> None:
    """Groups that refuse every process are found out at open, and done without."""
    for controller in ("memory", "pids"):
        (tmp_path / controller).mkdir()
        (tmp_path / controller / "cgroup.procs").touch()
    driver = ProcessDriver(secrets.token_hex(4), "invoker0", cgroup_root=tmp_path)
    await driver.open()
    try:
        assert ["can't be" in note or "could not be" in note for note in driver.notes()] == [True]
    finally:
        await driver.close()


@pytest.mark.parametrize(
    ("uid_map", "low", "high"),
    [("0 0 4294967295\n", 200_000, 50_000_000), ("", 200_000, 50_000_000), ("0 1000 1\n1 100000 65536\n", 1, 65_000)],
)
def test_user_ids(uid_map: str, low: int, high: int) -> None:
    """User ids are unprivileged and exist, also inside a user namespace; owners get different ones."""
    firsts = {_first_uid(f"{number}.invoker0", uid_map) for number in range(20)}
    assert all(low <= first < high for first in firsts)
    assert len(firsts) == (20 if high > 65_000 else 1)
