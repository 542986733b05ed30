"""The balancer against upstream's rule written down a second time, and its books under any order of calls."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.balancer.balancer import MIN_MEMORY, Balancer, Need, Rules
from controller.balancer.health import Outcome, State
from controller.balancer.placement import action_hash, steps

IDS = itertools.count()


def need(namespace="guest", fqn="guest/hello", memory=256, **more):
    return Need(f"{next(IDS):032x}", namespace, fqn, "0.0.1", memory, **more)


def fleet(*memory, controllers=1, pick=lambda n: 0):
    """A balancer whose invokers are up."""
    made = Balancer(Rules(), pick, controllers)
    for number, each in enumerate(memory):
        made.pinged(number, f"invoker{number}/{number}", each, enabled=True, own=True, now=0.0)
    return made


@given(
    size=st.integers(1, 12),
    down=st.sets(st.integers(0, 11)),
    asked=st.lists(st.tuples(st.text(min_size=1, max_size=4), st.sampled_from([128, 256, 512]), st.booleans()), max_size=40),
)
def test_every_choice_is_upstreams(size, down, asked):
    """Home by hash, then by stride over the pool's healthy invokers with room, then a random healthy one."""
    balancer = fleet(*[1024] * size, pick=lambda n: n - 1)
    for number in down:
        if number < size:
            balancer.pinged(number, f"invoker{number}", 1024, enabled=False, own=True, now=0.0)
    free = [1024] * size
    first, last = max(1, -(-size * 9 // 10)), max(1, size // 10)
    for name, memory, blackbox in asked:
        one = need(name, f"{name}/a", memory, blackbox=blackbox)
        pool = list(range(size))[-last:] if blackbox else list(range(size))[:first]
        up = [number for number in pool if number not in down]
        found = balancer.choose(one, 0.0)
        if not up:
            assert found is None
            continue
        hashed = action_hash(name, f"{name}/a")
        stride = steps(len(pool))[hashed % len(steps(len(pool)))]
        order = [pool[(hashed + turn * stride) % len(pool)] for turn in range(len(pool))]
        expected = next((number for number in order if number in up and free[number] >= memory), None)
        assert found is not None
        assert found.overload is (expected is None)
        assert found.invoker == (up[-1] if expected is None else expected)
        free[found.invoker] -= memory


def test_missing_numbers_are_there_and_offline():
    balancer = Balancer(Rules(), lambda n: 0)
    balancer.pinged(2, "invoker2/c", 1024, enabled=True, own=True, now=0.0)
    assert balancer.states() == {"invoker0": "down", "invoker1": "down", "invoker2/c": "up"}
    chosen = balancer.choose(need(), 0.0)
    assert chosen is not None
    assert chosen.invoker == 2
    assert repr(balancer) == "<Balancer 0:down:0/128 1:down:0/128 2:up:256/1024 sent=1>"


def test_controllers_share_an_invokers_memory():
    """Half of it with two; what is taken is remembered, so that a share that shrinks doesn't over-commit."""
    balancer = fleet(1024, controllers=2)
    first = [balancer.choose(need(), 0.0) for _ in range(3)]
    assert [each.overload for each in first] == [False, False, True]
    balancer.resize(1)
    assert not balancer.choose(need(), 0.0).overload
    balancer.resize(100)
    assert balancer.invokers[0].slots.total == MIN_MEMORY
    assert balancer.invokers[0].slots.used == 1024


def test_a_node_that_refused_is_not_asked_again_for_the_same():
    balancer = fleet(1024, 1024)
    one = need()
    first = balancer.choose(one, 0.0)
    balancer.done(one.activation_id)
    second = balancer.choose(one, 0.0, but={first.invoker})
    assert second.invoker != first.invoker
    balancer.done(one.activation_id)
    assert balancer.choose(one, 0.0, but={0, 1}) is None


def test_a_node_chosen_before_gets_it_however_full_it_is():
    balancer = fleet(256, 256)
    home = balancer.choose(need(), 0.0).invoker
    assert balancer.at(need(), home, 0.0).overload
    assert balancer.at(need(), 3, 0.0).invoker == 3
    assert balancer.states() == {"invoker0/0": "up", "invoker1/1": "up", "invoker2": "down", "invoker3": "down"}


@pytest.mark.parametrize(("timeout", "patience"), [(0.1, 180), (60, 180), (300, 660)])
def test_what_never_ends_is_overdue_when_upstream_forces_it(timeout, patience):
    balancer = fleet(1024)
    sent = balancer.choose(need(timeout=timeout), 0.0)
    assert balancer.overdue(patience - 0.1) == []
    assert balancer.overdue(patience) == [sent]
    balancer.postpone(sent, 60.0)
    assert balancer.overdue(patience) == []


def test_silence_and_outcomes_reach_the_right_invoker():
    balancer = Balancer(Rules(), lambda n: 0)
    balancer.pinged(0, "invoker0", 1024, enabled=True, own=False, now=0.0)
    assert balancer.tests(0.0) == [0]
    assert balancer.outcome(0, Outcome.SUCCESS, 0.0)
    assert balancer.healthy() == 1
    assert not balancer.outcome(5, Outcome.SUCCESS, 0.0)
    assert balancer.passed(20.0) == [0]
    assert balancer.offline(0)
    assert balancer.offline(5)
    assert balancer.invokers[0].health.state is State.OFFLINE


class Books(RuleBasedStateMachine):
    """Whatever is sent and ended in whatever order: sums fit, nothing is left at the end."""

    def __init__(self):
        super().__init__()
        self.balancer = fleet(512, 512, 512)
        self.open = []

    @rule(namespace=st.sampled_from("ab"), memory=st.sampled_from([128, 256]), concurrency=st.sampled_from([1, 3]))
    def send(self, namespace, memory, concurrency):
        one = need(namespace, f"{namespace}/{memory}{concurrency}", memory, concurrency=concurrency)
        self.open.append(one)
        assert self.balancer.choose(one, 0.0) is not None

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def end(self, data):
        one = data.draw(st.sampled_from(self.open))
        self.open.remove(one)
        assert self.balancer.done(one.activation_id).need == one
        assert self.balancer.done(one.activation_id) is None

    @rule(controllers=st.integers(1, 4))
    def resize(self, controllers):
        self.balancer.resize(controllers)

    @invariant()
    def the_books_are_right(self):
        assert self.balancer.in_flight() == len(self.open)
        for namespace in "ab":
            assert self.balancer.in_flight(namespace) == sum(one.namespace == namespace for one in self.open)
        assert [sent.need for sent in self.balancer.everything()] == self.open

    def teardown(self):
        for one in self.open:
            self.balancer.done(one.activation_id)
        assert all(each.slots.used == 0 for each in self.balancer.invokers)


TestBooks = Books.TestCase
