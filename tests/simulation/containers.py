"""Simulated containers: a ContainerPort whose containers run scripts in virtual time, and outlive their process if told to.

It sees to these properties itself: user code of one activation never runs twice at the same time, and the memory of the
containers that exist is never more than the budget.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from containers.contract import Answer, Failure, Result
from containers.logs import SENTINEL
from containers.outcome import NO_RESOURCES
from messages.commands import Called, Created, Died, Idle, LogChunk, NotCreated, Paused, Removed, Resumed, Start
from tests.oracle import CodeRun
from tests.simulation.world import WALL, Process, World

Reply = Callable[[object], None]


@dataclass
class Script:
    """What an action does. Times in seconds; chances between 0 and 1."""

    name: str
    end: str = "success"
    run: tuple[float, float] = (0.003, 0.3)
    silent: float = 0.0
    """Chance of leaving a stream without its sentinel."""
    answer: Callable[[dict], dict] | None = None
    """What it returns for its arguments."""


@dataclass
class Odds:
    """What goes wrong with containers."""

    create_fails: float = 0.0
    create_slow: float = 0.0
    dies_idle: float = 0.0
    freeze_fails: float = 0.0
    adopt_fails: float = 0.0
    survive: bool = False
    """Whether containers live on when the process that made them dies (an engine) or die with it."""


@dataclass(eq=False)
class Box:
    """One container, in existence from the request to create it until it is removed."""

    id: str
    cid: int
    what: Start
    owner: Process
    reply: Reply
    up: bool = False
    dead: bool = False
    unwanted: bool = False
    frozen: bool = False
    used: int = 0
    runs: dict[str, CodeRun] = field(default_factory=dict)
    calls: dict[str, Callable[[Result], None]] = field(default_factory=dict)


class Machine:
    """What of one machine outlives the node's processes: containers and the note."""

    def __init__(self, world: World, odds: Odds, budget: int) -> None:
        self.world = world
        self.odds = odds
        self.budget = budget
        self.boxes: dict[str, Box] = {}
        self.note: dict[str, str] = {}
        self.idle: dict[str, Idle] = {}
        """By container: what the note says nothing runs in."""
        self.clean = True
        self.runs: list[CodeRun] = []
        self.scripts: dict[str, Script] = {}
        """By activation id."""
        self._made = 0

    def new_box(self, cid: int, what: Start, owner: Process, reply: Reply) -> Box:
        self._made += 1
        box = Box(f"box{self._made}", cid, what, owner, reply)
        self.boxes[box.id] = box
        used = sum(each.what.memory for each in self.boxes.values() if each.owner is owner)
        if used > self.budget:
            self.world.violated(f"containers of {owner.name} have {used} MB of {self.budget} MB")
        return box

    def died(self, owner: Process) -> None:
        """Its process is gone: so are its containers, unless they have an engine of their own."""
        for box in [box for box in self.boxes.values() if box.owner is owner]:
            if not self.odds.survive or not box.up:
                self.destroy(box)

    def destroy(self, box: Box) -> None:
        """No process of it is left."""
        self.stop(box)
        self.boxes.pop(box.id, None)
        self.idle.pop(box.id, None)
        self.world.trace(box.id, "gone")

    def stop(self, box: Box, failure: Failure = Failure.BROKEN) -> None:
        """Its code runs no more; calls under way break."""
        box.dead = True
        for run in box.runs.values():
            run.end = self.world.now
        box.runs.clear()
        for answer in list(box.calls.values()):
            answer(failure)

    async def remove_leftovers(self, process: Process, keep: Container[str] = ()) -> None:
        """What any other process left goes, but for what is to be kept, and is known to be gone."""
        left = [box for box in self.boxes.values() if box.owner is not process and box.id not in keep]
        if left:
            gone = process.create_future()

            def remove() -> None:
                for box in left:
                    if box.id in self.boxes:
                        self.destroy(box)
                process.post(lambda: gone.done() or gone.set_result(None))

            self.world.at(self.world.rng.uniform(0.005, 0.05), remove)
            await gone

    def begin_code(self, box: Box, run_id: str) -> None:
        if run_id in box.runs:
            return
        for other in self.runs:
            if other.id == run_id and other.end is None:
                self.world.violated(f"code of {run_id} runs in {other.container} and {box.id} at the same time")
        run = CodeRun(run_id, box.id, box.owner.name, self.world.now)
        self.runs.append(run)
        box.runs[run_id] = run
        self.world.trace(box.id, "runs", run_id)

    def end_code(self, box: Box, run_id: str) -> None:
        run = box.runs.pop(run_id, None)
        if run is not None:
            run.end = self.world.now


class SimContainers:
    """A ContainerPort of one process."""

    def __init__(self, machine: Machine, process: Process, output: Callable[[LogChunk], None]) -> None:
        self.machine = machine
        self.world = machine.world
        self.process = process
        self.output = output
        self.boxes: dict[int, Box] = {}
        process.on_death.append(lambda: machine.died(process))

    def create(self, cid: int, what: Start, reply: Reply) -> None:
        rng, odds = self.world.rng, self.machine.odds
        if cid in self.boxes:
            self.world.violated(f"container number {cid} is given out twice")
        box = self.machine.new_box(cid, what, self.process, reply)
        self.boxes[cid] = box
        slow = rng.random() < odds.create_slow
        self.world.at(rng.uniform(2, 15) if slow else rng.uniform(0.004, 0.2), lambda: self._created(box, what))

    def _created(self, box: Box, what: Start) -> None:
        rng, odds = self.world.rng, self.machine.odds
        if box.dead:  # another process of this machine took it for a leftover
            self._not_created(box, NotCreated(3, NO_RESOURCES, False))
        elif what.kind == "none:1":
            self._not_created(box, NotCreated(3, "This machine can't run none:1.", True))
        elif rng.random() < odds.create_fails:
            self._not_created(box, NotCreated(3, NO_RESOURCES, False))
        elif box.unwanted:
            self._remove(box)
        else:
            box.up = True
            self.machine.idle[box.id] = Idle(box.id, what)
            self._tell(box, Created(box.id, {"create": 1.0}))
            self._perhaps_die(box)

    def adopt(self, cid: int, idle: Idle, reply: Reply) -> None:
        """Its box belongs to this process from now on; if it does not answer any more it goes."""
        box = self.boxes[cid] = self.machine.boxes[idle.container]
        box.cid, box.owner, box.reply, box.frozen = cid, self.process, reply, False
        if box.calls or box.runs:
            self.world.violated(f"{box.id} is taken over while code runs in it")

        def end() -> None:
            if box.dead or self.world.rng.random() < self.machine.odds.adopt_fails:
                self._not_created(box, NotCreated(3, NO_RESOURCES, False))
            elif box.unwanted:
                self._remove(box)
            else:
                self.machine.idle[box.id] = idle
                self._tell(box, Created(box.id, {"adopt": 1.0}))

        self.world.at(self.world.rng.uniform(0.001, 0.1), end)

    def idle(self, cid: int, owner: tuple[str, tuple[str, str]]) -> None:
        box = self.boxes[cid]
        if box.calls:
            self.world.violated(f"{box.id} is noted as idle while {', '.join(box.calls)} runs in it")
        self.machine.idle[box.id] = Idle(box.id, box.what, owner)

    def _not_created(self, box: Box, answer: NotCreated) -> None:
        self.machine.destroy(box)
        self.boxes.pop(box.cid, None)
        self._tell(box, Removed() if box.unwanted else answer)

    def _tell(self, box: Box, message: object) -> None:
        self.process.post(box.reply, message, lane=("box", box.id))

    def _perhaps_die(self, box: Box) -> None:
        """While it is idle, some time from now."""
        rng = self.world.rng
        if rng.random() >= self.machine.odds.dies_idle:
            return
        used = box.used

        def die() -> None:
            if not box.dead and not box.calls and box.used == used and not box.unwanted:
                self.machine.stop(box)
                self.world.at(rng.uniform(0, 0.5), lambda: self._tell(box, Died()))

        self.world.at(rng.uniform(0.0, 2.0), die)

    def call(self, cid: int, path: str, run_id: str, body: bytes, timeout: float, reply: Reply) -> None:
        box = self.boxes[cid]
        self.machine.note[run_id] = box.id
        self.machine.idle.pop(box.id, None)
        start = self.world.now
        done = False

        def answer(result: Result) -> None:
            nonlocal done
            if not done:
                done = True
                box.calls.pop(run_id, None)
                ms = (self.world.now - start) * 1000
                self.process.post(reply, Called(path, run_id, result, ms, WALL + int(start * 1000)))

        if box.dead:
            self.world.at(0.001, lambda: answer(Failure.REFUSED))
            return
        if box.frozen:
            self.world.violated(f"{run_id} is sent to {box.id}, which is frozen")
        box.used += 1
        box.calls[run_id] = answer
        self.world.at(timeout, lambda: answer(Failure.TIMEOUT))
        self.world.at(0.0005, lambda: self._arrived(box, path, run_id, json.loads(body), answer))

    def _arrived(self, box: Box, path: str, run_id: str, body: dict, answer: Callable[[Result], None]) -> None:
        if box.dead:
            answer(Failure.REFUSED)
            return
        script = self.machine.scripts[run_id]
        rng = self.world.rng
        if script.end == "unavailable" and path == "/run" and box.used > 2:
            answer(Answer(503, b"", 0))
            return
        self.machine.begin_code(box, run_id)
        if path == "/init":
            self.world.at(rng.uniform(0.002, 0.08), lambda: self._initialised(box, script, run_id, answer))
        else:
            self._print(box, run_id, f"begin {run_id}\n".encode(), script)
            self.world.at(rng.uniform(*script.run), lambda: self._ran(box, script, run_id, body, answer))

    def _initialised(self, box: Box, script: Script, run_id: str, answer: Callable[[Result], None]) -> None:
        if box.dead:
            return
        if script.end == "init fails":
            self.machine.end_code(box, run_id)
            body = b'{"error":"bad code"}'
            answer(Answer(502, body, len(body)))
        else:
            answer(Answer(200, b'{"ok":true}', 11))

    def _ran(self, box: Box, script: Script, run_id: str, given: dict, answer: Callable[[Result], None]) -> None:
        if box.dead:
            return
        end = script.end
        if end == "poison":
            if self.process.alive:
                self.process.kill(f"by {run_id}")
            return
        if end == "hangs":
            return
        if end in {"exit", "memory"}:
            self.machine.stop(box, Failure.MEMORY if end == "memory" else Failure.BROKEN)
            self.world.at(self.world.rng.uniform(0, 0.2), lambda: self._tell(box, Died()))
            return
        self.machine.end_code(box, run_id)
        result = script.answer(given["value"]) if script.answer else {"id": run_id}
        body = json.dumps({"error": "no"} if end == "application error" else result).encode()
        self._print(box, run_id, f"end {run_id}\n".encode(), script, last=True)
        answer(Answer(200, body, len(body)))
        self._perhaps_die(box)

    def _print(self, box: Box, run_id: str, text: bytes, script: Script, last: bool = False) -> None:
        rng = self.world.rng
        for stream in ("stdout", "stderr"):
            data = text
            if last and rng.random() >= script.silent:
                data += SENTINEL + b"\n"
            at = rng.uniform(0, 0.01)
            while data:
                size = rng.randint(1, len(data))
                self._chunk(box, stream, data[:size], at)
                data, at = data[size:], at + rng.uniform(0, 0.01) * (rng.random() < 0.5)

    def _chunk(self, box: Box, stream: str, data: bytes, delay: float) -> None:
        """Bytes of one stream come in the order in which they were written."""
        key = ("out", box.id, stream)
        due = self._due.get(key, 0.0)
        at = self._due[key] = max(self.world.now + delay, due)
        ns = (WALL + int(at * 1000)) * 1_000_000
        self.world.at(at - self.world.now, lambda: self.process.post(self.output, LogChunk(box.cid, stream, data, ns), lane=key))

    @property
    def _due(self) -> dict[tuple[str, str, str], float]:
        return self.__dict__.setdefault("_due_at", {})

    def pause(self, cid: int, reply: Reply) -> None:
        box = self.boxes[cid]
        if box.calls:
            self.world.violated(f"{box.id} is to be frozen while {', '.join(box.calls)} runs in it")
        self._freeze(box, lambda done: Paused(done, 1.0), True, reply)

    def resume(self, cid: int, reply: Reply) -> None:
        self._freeze(self.boxes[cid], lambda done: Resumed(done, 1.0), False, reply)

    def _freeze(self, box: Box, answer: Callable[[bool], object], frozen: bool, reply: Reply) -> None:
        """Done or failed some time from now; a failure leaves it half frozen."""

        def end() -> None:
            done = not box.dead and self.world.rng.random() >= self.machine.odds.freeze_fails
            box.frozen = frozen or not done
            self.process.post(reply, answer(done), lane=("box", box.id))

        self.world.at(self.world.rng.uniform(0.0002, 0.05), end)

    def settled(self, cid: int, run_id: str) -> None:
        self.machine.note.pop(run_id, None)

    def remove(self, cid: int, reply: Reply) -> None:
        box = self.boxes.get(cid)
        if box is None:
            self.process.post(reply, Removed())
            return
        box.reply = reply
        box.unwanted = True
        self.machine.idle.pop(box.id, None)
        if box.up:
            self.world.at(self.world.rng.uniform(0.002, 0.1), lambda: self._remove(box))

    def _remove(self, box: Box) -> None:
        self.machine.destroy(box)
        self.boxes.pop(box.cid, None)
        self._tell(box, Removed())

    def destroy_all(self) -> None:
        """As the node's close does."""
        for box in [box for box in self.machine.boxes.values() if box.owner is self.process]:
            self.machine.destroy(box)
