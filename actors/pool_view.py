"""The pool as people see it: one line for logs and tests, one document for `/admin/status`."""

from __future__ import annotations

from actors.pool_queues import Queues
from actors.pool_state import Container, Containers, State


def one_line(total: int, containers: Containers, queues: Queues, alone: int) -> str:
    """The pool's `repr`. `alone`: jobs that wait to run alone; they count as one queue more."""
    states = (State.BUSY, State.IDLE, State.EMPTY, State.STARTING, State.REMOVING)
    counts = ", ".join(f"{containers.count(state)} {state.value}" for state in states)
    lines = sum(map(len, queues.waiting.values())) + bool(alone)
    queued = f"{len(queues.jobs) + alone} in {lines} {'queue' if lines == 1 else 'queues'}"
    return f"<Pool [{containers.used}/{total} MB | Containers: {counts} | Queued: {queued}]>"


def document(
    total: int, containers: Containers, queues: Queues, alone: list[str], held: bool, now: float | None
) -> dict[str, object]:
    """Where the memory is, what each container does, who waits for what. `held`: a job runs or waits to run alone."""
    return {
        "memory": {
            "total": total,
            "used": containers.used,
            **{state.value: containers.memory(state) for state in State},
        },
        "containers": [_container(container, now) for container in containers.all.values()],
        "queued": [
            {
                "namespace": action.owner[0],
                "action": action.owner[1][0],
                "revision": action.owner[1][1],
                "memory": action.shape.memory,
                "waiting": len(action.queue),
                "why": "another job runs alone" if held else action.why,
            }
            for actions in queues.waiting.values()
            for action in actions.values()
        ],
        "alone": alone,
    }


def _container(container: Container, now: float | None) -> dict[str, object]:
    owner = container.owner or container.made_for
    idle = container.state in {State.IDLE, State.EMPTY}
    return {
        "cid": container.cid,
        "state": container.state.value,
        "kind": container.shape.kind,
        "key": owner[1] if owner else None,
        "namespace": owner[0] if owner else None,
        "memory": container.shape.memory,
        "active": len(container.active),
        "idle_s": round(now - container.since, 3) if idle and now is not None else None,
    }
