"""The two machines of a ContainerProxy as tables: the container's life, and that of one activation in it."""

from __future__ import annotations

from messages.commands import Job
from messages.states import State


class Container(State):
    """States of the container."""

    NEW = "new"
    ADOPTING = "adopting"
    STARTING = "starting"
    STARTED = "started"
    INITIALIZING = "initializing"
    READY = "ready"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    RUNNING = "running"
    FAILING = "failing"
    REMOVING = "removing"
    GONE = "gone"


CONTAINER: dict[Container, dict[str, Container]] = {
    Container.NEW: {"start": Container.STARTING, "adopt": Container.ADOPTING},
    Container.ADOPTING: {
        "created": Container.STARTED,
        "created warm": Container.READY,
        "not created": Container.GONE,
        "abandon": Container.REMOVING,
    },
    Container.STARTING: {
        "created": Container.STARTED,
        "not created": Container.GONE,
        "abandon": Container.REMOVING,
    },
    Container.STARTED: {
        "run": Container.INITIALIZING,
        "remove": Container.REMOVING,
        "died": Container.REMOVING,
        "abandon": Container.REMOVING,
    },
    Container.INITIALIZING: {
        "initialized": Container.RUNNING,
        "lost": Container.FAILING,
        "died": Container.INITIALIZING,
        "abandon": Container.REMOVING,
    },
    Container.RUNNING: {
        "run": Container.RUNNING,
        "freed": Container.RUNNING,
        "idle": Container.READY,
        "lost": Container.FAILING,
        "died": Container.RUNNING,
        "abandon": Container.REMOVING,
    },
    Container.READY: {
        "run": Container.RUNNING,
        "pause": Container.PAUSING,
        "remove": Container.REMOVING,
        "died": Container.REMOVING,
        "abandon": Container.REMOVING,
    },
    Container.PAUSING: {
        "run": Container.PAUSING,
        "paused": Container.PAUSED,
        "not paused": Container.REMOVING,
        "remove": Container.REMOVING,
        "died": Container.REMOVING,
        "abandon": Container.REMOVING,
    },
    Container.PAUSED: {
        "run": Container.RESUMING,
        "remove": Container.REMOVING,
        "died": Container.REMOVING,
        "abandon": Container.REMOVING,
    },
    Container.RESUMING: {
        "run": Container.RESUMING,
        "resumed": Container.RUNNING,
        "not resumed": Container.REMOVING,
        "died": Container.RESUMING,
        "abandon": Container.REMOVING,
    },
    Container.FAILING: {
        "run": Container.FAILING,
        "freed": Container.FAILING,
        "idle": Container.REMOVING,
        "lost": Container.FAILING,
        "died": Container.FAILING,
        "abandon": Container.REMOVING,
    },
    Container.REMOVING: {
        "created": Container.REMOVING,
        "not created": Container.REMOVING,
        "run": Container.REMOVING,
        "paused": Container.REMOVING,
        "not paused": Container.REMOVING,
        "resumed": Container.REMOVING,
        "not resumed": Container.REMOVING,
        "remove": Container.REMOVING,
        "died": Container.REMOVING,
        "abandon": Container.REMOVING,
        "removed": Container.GONE,
    },
    Container.GONE: {
        "run": Container.GONE,
        "remove": Container.GONE,
        "died": Container.GONE,
        "abandon": Container.GONE,
    },
}


class Phase(State):
    """States of one run."""

    JOURNALING = "journaling"
    INITIALIZING = "initializing"
    RUNNING = "running"
    COLLECTING = "collecting"
    OVER = "over"


RUN: dict[Phase, dict[str, Phase]] = {
    Phase.JOURNALING: {"init": Phase.INITIALIZING, "run": Phase.RUNNING},
    Phase.INITIALIZING: {"run": Phase.RUNNING, "ended": Phase.COLLECTING, "returned": Phase.OVER},
    Phase.RUNNING: {"ended": Phase.COLLECTING, "returned": Phase.OVER},
    Phase.COLLECTING: {"collected": Phase.OVER},
    Phase.OVER: {},
}


class ActiveRun:
    """One activation in the container. Times in ms; `start` is epoch ms of the first call."""

    __slots__ = ("healthy", "init_ms", "job", "phase", "run_ms", "shared", "start", "timed_out")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.phase = Phase.JOURNALING
        self.start = 0
        self.init_ms: float | None = None
        self.run_ms = 0.0
        self.healthy = True
        self.timed_out = False
        self.shared = False  # whether code of another activation ran beside it: then nothing tells their output apart
