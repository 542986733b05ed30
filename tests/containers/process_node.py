"""A stand-in for a node, run by tests as a program: opens a driver, starts containers with daemons, says so, waits."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from containers.contract import Answer, ContainerSpec
from containers.guard import descendants
from containers.process import ProcessDriver

DAEMON = """
import os, time
def main(args):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 4096)
            time.sleep(600)
        os._exit(0)
    os.wait()
    return {"uid": os.getuid()}
"""


async def main(owner: str, isolate: bool, pause: bool) -> None:
    """Print a line of JSON about what runs, then wait for a line on standard input and close."""
    driver = ProcessDriver(owner, "invoker0", isolate=isolate)
    await driver.open()
    answers = []
    for number in range(2):
        spec = ContainerSpec(kind="python:3", memory=128, name=f"t{number}")
        container = await driver.create(spec, lambda *_: None, lambda: None)
        value = {"name": "a", "main": "main", "binary": False, "code": DAEMON, "env": {}}
        await container.init(json.dumps({"value": value}).encode(), 10, 1 << 20)
        answer = await container.run(b'{"value": {}}', 10, 1 << 20)
        assert isinstance(answer, Answer), answer
        answers.append(json.loads(answer.body))
        if pause:
            await container.pause()
    print(
        json.dumps({"pids": descendants(os.getpid()), "notes": driver.notes(), "uid": os.getuid(), "answers": answers}),
        flush=True,
    )
    await asyncio.to_thread(sys.stdin.readline)
    await driver.close()
    print(json.dumps({"left": descendants(os.getpid())}), flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2] == "isolated", "paused" in sys.argv))
