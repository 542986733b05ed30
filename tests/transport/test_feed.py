"""A stream's topic: room, order, what is known, what is refused, and which offset may be committed."""

import asyncio
import json

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from messages.wire import ActionName, ActivationMessage, ControllerId, Identity, Namespace, encode
from store.errors import StoreUnavailable
from store.memory import MemoryStore
from transport.feed import BLOCKED, Feed, FeedRules
from transport.kafka_consumer import Record
from transport.offsets import Offsets

NOW = 1_800_000_000_000


def test_only_an_unbroken_row_is_committed():
    offsets = Offsets()
    for offset in (3, 4, 5, 9):
        offsets.begin(offset)
    assert [offsets.settle(offset) for offset in (4, 3, 9, 5)] == [None, 5, None, 10]
    assert len(offsets) == 0


@given(st.permutations(range(8)))
def test_in_whatever_order_nothing_open_is_committed(order):
    offsets = Offsets()
    for offset in range(8):
        offsets.begin(offset)
    settled = set()
    for offset in order:
        settled.add(offset)
        commit = offsets.settle(offset)
        if commit is not None:
            assert set(range(commit)) <= settled
    assert commit == 8


class Topic:
    topic = "invoker0"

    def __init__(self):
        self.wanted, self.held, self.commits = 0, None, []

    def want(self, count):
        self.wanted += count

    def hold(self, held):
        self.held = held

    def commit(self, offset):
        self.commits.append(offset)


class Clock:
    def __init__(self):
        self.later = []

    def wall_ms(self):
        return NOW

    def call_later(self, seconds, callback):
        self.later.append(callback)


def posted(number, start=NOW + 120_000, namespace="guest", probe=False):
    message = ActivationMessage(
        ["sid_invokerHealth" if probe else "t", start], ActionName("guest", "hello"), None,
        Identity("guest-subject", Namespace(namespace, "u")), f"{number:032x}", ControllerId("0"), False,
    )  # fmt: skip
    return encode(message)


class Made:
    def __init__(self, blocked=(), steady=True, **rules):
        self.topic, self.clock, self.handed, self.told = Topic(), Clock(), [], []
        self.store = MemoryStore()
        self.live, self.ready = 0, True
        self.feed = Feed(
            self.topic,
            hand_in=self.handed.append,
            records=self.store.activations,
            live=lambda: self.live,
            ready=lambda: self.ready,
            blocked=lambda namespace: namespace in blocked,
            steady=lambda: steady,
            clock=self.clock,
            spawn=lambda coroutine: asyncio.ensure_future(coroutine),
            instrument=lambda step, facts: self.told.append(step),
            rules=FeedRules(**rules),
        )

    async def deliver(self, *values, first=0):
        self.feed.deliver([Record("invoker0", first + n, NOW - 5, value) for n, value in enumerate(values)])
        await asyncio.sleep(0.01)


async def test_what_is_accepted_is_committed_in_order():
    made = Made()
    await made.deliver(posted(1), posted(2), posted(3))
    assert [(each.offset, each.posted, each.topic) for each in made.handed] == [(n, NOW - 5, "invoker0") for n in range(3)]
    made.feed.accepted(f"{2:032x}")
    assert made.topic.commits == []
    made.feed.accepted(f"{1:032x}")
    made.feed.accepted(f"{3:032x}")
    assert made.topic.commits == [2, 3]


async def test_the_same_message_twice_is_settled_twice():
    made = Made()
    await made.deliver(posted(1), posted(1))
    assert len(made.handed) == 2
    made.feed.accepted(f"{1:032x}")
    assert made.topic.commits[-1] == 2


async def test_no_more_is_wanted_than_there_is_room_for():
    made = Made(window=10, live_bound=15)
    made.feed.start()
    assert made.topic.wanted == 10
    await made.deliver(*(posted(n) for n in range(10)))
    made.clock.later.pop()()
    assert made.topic.wanted == 10
    for n in range(10):
        made.feed.accepted(f"{n:032x}")
    made.live = 10
    made.clock.later.pop()()
    assert made.topic.wanted == 15
    made.ready = False
    made.clock.later.pop()()
    assert made.topic.held is True


async def test_what_may_have_ended_before_is_looked_up_once():
    """Older than this process, or than what memory knows; probes are always new."""
    made = Made()
    found = await _record(made, 1)
    await made.deliver(posted(1, NOW - 1000), posted(2, NOW - 1000), posted(3), posted(4, 0, probe=True))
    assert [each.known for each in made.handed] == [True, False, False, False]
    assert found
    unsteady = Made(steady=False)
    await _record(unsteady, 1)
    await unsteady.deliver(posted(1))
    assert unsteady.handed[0].known is True


async def _record(made, number):
    from messages.events import Finished
    from messages.posted import read_message
    from messages.record import record_of

    record = record_of(read_message(posted(number), 0), Finished(f"{number:032x}", 0, 0, 1, 2), [])
    return await made.store.activations.write([record])


async def test_unreadable_messages_end_with_a_record_or_a_word():
    made = Made()
    broken = json.loads(posted(1)) | {"blocking": 7}
    await made.deliver(b"nonsense", json.dumps(broken).encode(), None)
    (command,) = made.handed
    assert command.refusal.startswith("The message could not be read")
    assert made.told.count("unreadable") == 3
    assert made.topic.commits == [1]
    made.feed.accepted(command.activation_id)
    assert made.topic.commits[-1] == 3


async def test_blocked_namespaces_are_not_invoked():
    made = Made(blocked={"bad"})
    await made.deliver(posted(1, namespace="bad"), posted(2))
    assert [each.refusal for each in made.handed] == [BLOCKED, UNSET]


async def test_what_can_t_be_taken_is_handed_in_again():
    """To be ended, if the store never takes it; as it is, if the node couldn't just then. Once stopped it is the topic's."""
    made = Made()
    await made.deliver(posted(1), posted(2))
    made.feed.refused(f"{1:032x}", "too large", 413)
    made.clock.later.pop()()
    assert made.handed[-1].refusal == "too large"
    made.feed.refused(f"{2:032x}", "failed", 503)
    made.clock.later.pop()()
    assert made.handed[-1].refusal is UNSET
    made.feed.stop()
    made.feed.refused(f"{2:032x}", "draining", 503)
    assert made.clock.later == []
    assert made.topic.commits == []


async def test_stopped_means_that_nothing_more_is_taken():
    made = Made()
    made.feed.stop()
    await made.deliver(posted(1))
    made.feed.start()
    assert made.handed == []
    assert (made.topic.held, made.topic.wanted) == (True, 0)


async def test_an_outage_of_the_store_holds_the_batch():
    """Nothing is handed in until it is known what is new."""
    made = Made()
    made.store.faults.fail_next("activations.exist", "before", StoreUnavailable("down"))
    await made.deliver(posted(1, 0))
    assert made.handed == []
    async with asyncio.timeout(10):
        while not made.handed:
            await asyncio.sleep(0.01)
