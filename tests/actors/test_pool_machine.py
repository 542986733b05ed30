"""The pool under any order of facts: a model of the caller checks every decision and every sum after every step."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.pool import Assign, Create, Destroy, Pool, PoolSettings, StemCell, Waiting
from actors.pool_state import Reactive, Shape

BUDGET = 512
STARTING = 2
#           namespace, action, kind, MB, concurrency
ACTIONS = [
    ("ann", "small", "python:3", 128, 1),
    ("ann", "middle", "python:3", 256, 1),
    ("ann", "large", "python:3", 512, 1),
    ("bob", "small", "python:3", 128, 1),
    ("bob", "shared", "python:3", 128, 3),
    ("bob", "other", "nodejs:20", 256, 1),
]


PLAIN = (StemCell("python:3", "", 128, 2, concurrency=2), StemCell("nodejs:20", "", 256, 1))
STEMS = [(), PLAIN, (StemCell("python:3", "", 128, 2, reactive=Reactive(0, 3, 7.0, 1, 2)),)]


class Box:
    """What the caller knows of a container."""

    def __init__(self, create: Create) -> None:
        self.create = create
        self.state = "starting"
        self.owner: tuple[str, tuple[str, str]] | None = None
        self.limit = 1
        self.ready = False
        self.active: dict[str, Waiting] = {}
        self.taken_over: tuple[str, tuple[str, str]] | None = None

    def comes_up(self) -> None:
        self.state = "up"
        if self.taken_over is not None:
            self.owner, self.limit, self.ready = self.taken_over, self.create.concurrency, True


class PoolMachine(RuleBasedStateMachine):
    """The caller of a pool, and the invariants."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.count = 0
        self.waiting: dict[str, Waiting] = {}
        self.boxes: dict[int, Box] = {}
        self.seen: set[int] = set()

    @initialize(
        few=st.integers(0, 1),
        stems=st.sampled_from(STEMS),
        keep=st.integers(0, 1),
        left=st.lists(st.sampled_from([*ACTIONS, None]), max_size=3),
    )
    def start(self, few, stems, keep, left):
        timing = {"idle_timeout": 60.0, "prewarm_check": 20.0}
        self.pool = Pool(PoolSettings(BUDGET, starting=STARTING, keep_warm=keep, few=few, stem_cells=stems, **timing))
        for which in left:
            self.adopt(which)
        self.plan()

    def adopt(self, which):
        """One that an earlier process left: of an action, or empty."""
        namespace, name, kind, memory, concurrency = which or ("", "", "python:3", 128, 1)
        owner = (namespace, (name, "1-a")) if which else None
        cid = self.pool.adopt(Shape(kind, "", memory, user_image=False), concurrency, owner, self.now)
        if cid is not None:
            box = self.boxes[cid] = Box(Create(cid, kind, "", memory, concurrency, False, prewarm=False))
            box.taken_over = owner
            self.seen.add(cid)

    # Carrying decisions out.

    def plan(self):
        decisions = self.pool.plan(self.now)
        for decision in decisions:
            match decision:
                case Create():
                    self.created(decision)
                case Assign():
                    self.assigned(decision)
                case Destroy():
                    box = self.boxes[decision.cid]
                    assert box.state == "up"
                    assert not box.active
                    box.state = "removing"
        at = self.pool.next_wakeup(self.now)
        assert at is None or at > self.now
        return decisions

    def created(self, create):
        assert create.cid not in self.seen
        self.seen.add(create.cid)
        self.boxes[create.cid] = Box(create)
        assert sum(box.create.memory for box in self.boxes.values()) <= BUDGET
        assert len(self.of("starting")) <= STARTING

    def assigned(self, assign):
        job, box = self.waiting.pop(assign.id), self.boxes[assign.cid]
        owner = (job.namespace, job.key)
        assert box.state == "up"
        assert box.owner in (None, owner)
        assert (assign.start == "warm") == (box.owner is not None)
        if box.owner is None:
            assert (box.create.kind, box.create.memory) == (job.kind, job.memory)
            box.owner, box.limit = owner, min(job.concurrency, box.create.concurrency)
        assert len(box.active) < (box.limit if box.ready else 1)
        running = self.running()
        assert not any(other.alone for _, other in running)
        if job.alone:
            assert not running
        else:
            assert not any(other.alone for other in self.waiting.values())
        box.active[job.id] = job

    def of(self, state):
        return [cid for cid, box in self.boxes.items() if box.state == state]

    def running(self):
        return [(cid, job) for cid, box in self.boxes.items() for job in box.active.values()]

    def after(self, plan):
        if plan:
            self.plan()

    # Facts.

    @rule(
        which=st.sampled_from(ACTIONS),
        many=st.integers(1, 4),
        alone=st.sampled_from([False, False, False, True]),
        plan=st.booleans(),
    )
    def add(self, which, many, alone, plan):
        namespace, name, kind, memory, concurrency = which
        for _ in range(many):
            self.count += 1
            job = Waiting(f"job{self.count}", namespace, (name, "1-a"), kind, "", memory, concurrency, False, alone, self.now)
            self.waiting[job.id] = job
            self.pool.add(job)
        self.after(plan)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), plan=st.booleans())
    def cancel(self, data, plan):
        job_id = data.draw(st.sampled_from(sorted(self.waiting)))
        assert self.pool.cancel(job_id)
        assert not self.pool.cancel(job_id)
        del self.waiting[job_id]
        self.after(plan)

    @precondition(lambda self: self.of("starting"))
    @rule(data=st.data(), ok=st.booleans(), plan=st.booleans())
    def creation_ends(self, data, ok, plan):
        cid = data.draw(st.sampled_from(self.of("starting")))
        if ok:
            self.pool.up(cid, self.now)
            self.boxes[cid].comes_up()
        else:
            assert self.pool.lost(cid) == []
            assert set(self.pool.waiting_for(cid)) <= set(self.waiting)
            self.boxes[cid].state = "removing"
        self.after(plan)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), ms=st.sampled_from([1.0, 50.0, 2000.0]), plan=st.booleans())
    def run_ends(self, data, ms, plan):
        cid, job = data.draw(st.sampled_from(self.running()))
        box = self.boxes[cid]
        if box.state == "removing":
            self.pool.release(cid, job.id)
        else:
            self.pool.free(cid, job.id, ms, 0.0 if box.ready else 20.0, self.now)
            box.ready = True
        del box.active[job.id]
        self.after(plan)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), plan=st.booleans())
    def initialized(self, data, plan):
        cid, _ = data.draw(st.sampled_from(self.running()))
        if self.boxes[cid].state == "up":
            self.pool.initialized(cid)
            self.boxes[cid].ready = True
        self.after(plan)

    @precondition(lambda self: self.of("up"))
    @rule(data=st.data(), again=st.booleans(), plan=st.booleans())
    def breaks(self, data, again, plan):
        cid = data.draw(st.sampled_from(self.of("up")))
        box = self.boxes[cid]
        assert self.pool.lost(cid) == sorted(box.active)
        box.state = "removing"
        if again:
            for job in list(box.active.values()):
                self.pool.release(cid, job.id)
                del box.active[job.id]
                self.waiting[job.id] = job
                self.pool.add(job)
        self.after(plan)

    @precondition(lambda self: self.of("removing"))
    @rule(data=st.data(), plan=st.booleans())
    def removed(self, data, plan):
        cid = data.draw(st.sampled_from(self.of("removing")))
        self.pool.gone(cid)
        late = self.boxes.pop(cid).active
        for job_id in late:
            self.pool.release(cid, job_id)
        self.after(plan)

    @rule(seconds=st.sampled_from([0.001, 0.1, 1.0, 6.0, 61.0]))
    def time_passes(self, seconds):
        self.now += seconds
        self.plan()

    @rule()
    def wakes(self):
        """The pool asks in time: until `next_wakeup`, time alone changes nothing."""
        self.plan()
        at = self.pool.next_wakeup(self.now)
        assert at is None or at >= self.now
        before = self.now + 30.0 if at is None else (self.now + at) / 2
        if at is None or before < at:
            self.now = before
            assert self.plan() == []

    # What must hold.

    @invariant()
    def sums(self):
        if not hasattr(self, "pool"):
            return
        state = dict.fromkeys(("busy", "idle", "prewarm", "starting", "removing"), 0)
        for box in self.boxes.values():
            if box.state == "up":
                state["busy" if box.active else "idle" if box.owner else "prewarm"] += 1
            else:
                state[box.state] += 1
        used = sum(box.create.memory for box in self.boxes.values())
        assert used <= BUDGET
        shown = ", ".join(f"{number} {name}" for name, number in state.items())
        assert repr(self.pool).startswith(f"<Pool [{used}/{BUDGET} MB | Containers: {shown} | Queued: {len(self.waiting)} in ")
        view = self.pool.overview(self.now)
        assert view["memory"]["used"] == sum(view["memory"][name] for name in state)
        assert sum(line["waiting"] for line in view["queued"]) + len(view["alone"]) == len(self.waiting)

    def teardown(self):
        """When everything goes well from here on, every job is placed, and then nothing is left to do at once."""
        if not hasattr(self, "pool"):
            return
        for _ in range(400):
            for cid in self.of("starting"):
                self.pool.up(cid, self.now)
                self.boxes[cid].comes_up()
            for cid, job in self.running():
                if self.boxes[cid].state == "up":
                    self.pool.free(cid, job.id, 10.0, 0.0, self.now)
                    self.boxes[cid].ready = True
                else:
                    self.pool.release(cid, job.id)
                del self.boxes[cid].active[job.id]
            for cid in self.of("removing"):
                self.pool.gone(cid)
                del self.boxes[cid]
            if not self.plan():
                if not self.waiting:
                    break
                at = self.pool.next_wakeup(self.now)
                assert at is not None, (self.pool, self.pool.overview())
                self.now = max(at, self.now)
                self.plan()
        assert not self.waiting, (self.pool, self.pool.overview())


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=40, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck))
