"""`journal --at` and `journal --check`: a node's past states, and whether its journal and its records tell the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from console.output import moment, note, print_json, print_table

if TYPE_CHECKING:
    from store.contract import Store
    from store.fold import LiveActivation

DIVERGED = 1
"""Exit code of a check that found something."""


async def show_state(store: Store, node: str | None, n: int, json_output: bool) -> int:
    """What was unfinished after document `n`, and how far it was."""
    from console.journal_commands import stream_of
    from store.time_travel import state_at

    stream = stream_of(await store.journal.streams(), node)
    epoch, fold = await state_at(store.journal, stream, n)
    rows = [_described(live) for live in fold.live.values()]
    if json_output:
        print_json({"stream": stream, "document": n, "epoch": epoch, "live": rows, "nextOffsets": fold.next_offsets})
        return 0
    note(f"{stream} after document {n}: epoch {epoch}, {len(rows)} unfinished")
    cells = [
        (row["id"], row["state"], row["attempt"] or "", row["container"], moment(row["accepted"], precise=True)) for row in rows
    ]
    print_table(("activation", "state", "attempt", "container", "accepted"), cells, "nothing was unfinished")
    return 0


def _described(live: LiveActivation) -> dict[str, Any]:
    return {
        "id": live.id, "state": live.stage.value, "accepted": live.accepted_at, "attempt": live.attempt, "counted": live.counted,
        "container": live.container or "", "children": live.children, "documents": live.docs,
    }  # fmt: skip


async def show_check(store: Store, node: str | None, json_output: bool) -> int:
    """Each divergence on a line, and what was compared."""
    from console.journal_commands import stream_of
    from store.time_travel import check

    stream = stream_of(await store.journal.streams(), node)
    found = await check(store.journal, stream, store.activations)
    if json_output:
        print_json({"stream": stream, **vars(found)})
    else:
        for divergence in found.divergences:
            print(divergence)
        gone = f", {found.gone} records deleted since" if found.gone else ""
        compared = f"{found.snapshots} snapshots and {found.records} records compared{gone}"
        note(f"{stream}: documents {found.first} to {found.last} replayed, {compared}, {len(found.divergences)} divergences")
    return DIVERGED if found.divergences else 0
