"""Random histories of a stream: outages, lost answers, crashes, zombies, snapshots, compaction. Nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import json

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from messages.lifecycle import Stage
from store.errors import Conflict, StoreUnavailable
from store.memory import MemoryLog
from tests.contract.journal_suite import fold_of
from tests.contract.journal_tools import ManualClock, Owner, TroubledLog, life


class Stream(RuleBasedStateMachine):
    """One owner at a time is the rightful one; its predecessors go on as zombies until they are fenced."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.log = TroubledLog(MemoryLog())
        self.zombies: list[Owner] = []
        self.acknowledged: set[str] = set()
        self.appended: dict[str, int] = {}
        self.count = 0
        self.owner = self.begin()

    def begin(self) -> Owner:
        owner = Owner(self.log, self.clock, self.loop, snapshot_every=3, keep_ms=2_000, max_events=4)
        opening = self.loop.create_task(owner.journal.open())
        while not opening.done():
            self.run()
            self.clock.advance(0.3)
        live = opening.result().live
        assert [each.id for each in live] == [each.id for each in fold_of(self.log.created).live.values()]
        steps = {Stage.ACCEPTED: 1, Stage.STARTED: 2, Stage.FINISHED: 3, Stage.RECORDED: 4}
        self.appended = {each.id: steps[each.stage] for each in live}
        return owner

    def run(self) -> None:
        """Until nothing can go on without time."""

        async def turns() -> None:
            for _ in range(10):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    @rule(count=st.integers(1, 6))
    def accept(self, count: int) -> None:
        for _ in range(count):
            self.count += 1
            name = f"a{self.count}"
            self.appended[name] = 1
            self.owner.append(life(name)[0])

    @precondition(lambda self: any(step < 5 for step in self.appended.values()))
    @rule(data=st.data(), lazy=st.booleans())
    def go_on(self, data: st.DataObject, lazy: bool) -> None:
        name = data.draw(st.sampled_from(sorted(name for name, step in self.appended.items() if step < 5)))
        self.owner.append(life(name)[self.appended[name]], lazy=lazy)
        self.appended[name] += 1

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.05, 0.5, 5.0]))
    def wait(self, seconds: float) -> None:
        self.run()
        self.clock.advance(seconds)
        self.run()

    @rule(before=st.booleans(), conflict=st.booleans(), times=st.integers(1, 3))
    def trouble(self, before: bool, conflict: bool, times: int) -> None:
        if before and conflict:
            self.log.before += [Conflict("409, then nothing there")]
        elif before:
            self.log.before += [StoreUnavailable("outage")] * times
        else:
            self.log.after += [StoreUnavailable("answer lost")]

    @rule(dies=st.booleans())
    def successor(self, dies: bool) -> None:
        """A crash, or a process that another one takes for dead."""
        if dies:
            self.collect(self.owner)
            self.owner.die()
        else:
            self.zombies.append(self.owner)
        self.owner = self.begin()

    @precondition(lambda self: self.zombies)
    @rule(data=st.data())
    def zombie_writes(self, data: st.DataObject) -> None:
        zombie = data.draw(st.sampled_from(self.zombies))
        self.count += 1
        zombie.append(life(f"zombie{self.count}")[0])
        self.run()

    @rule()
    def compact(self) -> None:
        self.loop.run_until_complete(self.owner.journal.compact(self.clock.wall_ms()))

    def collect(self, owner: Owner) -> None:
        self.acknowledged.update(owner.told)

    @invariant()
    def what_was_told_is_journaled(self) -> None:
        """By any owner, ever; and what the rightful owner has in memory is what its documents say."""
        for owner in (self.owner, *self.zombies):
            self.collect(owner)
        written = {
            f"{event['e']} {event['id']}" for body in self.log.created.values() for event in events_in(body) if "id" in event
        }
        assert self.acknowledged <= written
        assert self.owner.trouble == []

    def teardown(self) -> None:
        try:
            self.check_at_the_end()
        finally:
            self.run()
            self.loop.close()

    def check_at_the_end(self) -> None:
        self.log.before.clear()
        self.log.after.clear()
        self.loop.run_until_complete(self.owner.flush())
        owners = [self.owner, *self.zombies]
        assert self.owner.journal._fold == fold_of(self.log.created)
        assert sorted(self.log.created) == list(range(1, self.owner.journal.n + 1))
        for zombie in self.zombies:
            zombie.append(life("afterwards")[0])
            self.loop.run_until_complete(zombie.flush())
            assert zombie.trouble == ["fenced"]
            assert "accepted afterwards" not in zombie.told
        again = Owner(self.log, self.clock, self.loop)
        self.loop.run_until_complete(again.journal.open())
        assert again.journal._fold == fold_of(self.log.created)
        for owner in owners:
            owner.die()


def events_in(body: bytes) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(json.loads(body)["events"])
    return found


Stream.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestStream = Stream.TestCase
