"""The memory of an invoker: upstream's counting, and that nothing is ever lost or invented."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.balancer.slots import Slots

ACTIONS = [("plain", 256, 1), ("small", 128, 1), ("shared", 128, 3), ("wide", 256, 10)]


def test_runs_of_one_action_share_the_memory_of_a_container():
    """The first takes the memory and opens the other places; the memory goes back when a container's places are all free."""
    slots = Slots(256)
    assert [slots.acquire("shared", 128, 2) for _ in range(5)] == [True, True, True, True, False]
    assert slots.free == 0
    slots.release("shared", 128, 2)
    assert slots.free == 0
    slots.release("shared", 128, 2)
    assert slots.free == 128


def test_a_forced_run_leaves_less_than_nothing_and_gives_it_back():
    slots = Slots(128)
    assert slots.acquire("plain", 256, 1, force=True)
    assert slots.free == -128
    assert not slots.acquire("small", 128, 1)
    slots.release("plain", 256, 1)
    assert slots.free == 128


class SlotMachine(RuleBasedStateMachine):
    """Against a model that knows only what runs: an action with limit m and r runs holds at least ceil(r / m) containers."""

    def __init__(self):
        super().__init__()
        self.slots = Slots(1024)
        self.running = []

    @rule(action=st.sampled_from(ACTIONS), force=st.booleans())
    def acquire(self, action, force):
        free = self.slots.free
        if self.slots.acquire(*action, force=force):
            self.running.append(action)
            assert force or self.slots.free >= min(free, 0)
        else:
            assert not force
            assert free < action[1]

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def release(self, data):
        action = data.draw(st.sampled_from(self.running))
        self.running.remove(action)
        self.slots.release(*action)

    @rule(total=st.integers(128, 2048))
    def resize(self, total):
        self.slots.total = total

    @invariant()
    def memory_is_accounted_for(self):
        least = most = 0
        for key, memory, concurrency in ACTIONS:
            count = sum(each[0] == key for each in self.running)
            least += -(-count // concurrency) * memory
            most += count * memory
        assert least <= self.slots.used <= most
        assert self.slots.used == self.slots.total - self.slots.free

    def teardown(self):
        for action in self.running:
            self.slots.release(*action)
        assert self.slots.used == 0


TestSlotMachine = SlotMachine.TestCase
