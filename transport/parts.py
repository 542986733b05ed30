"""What the settings mean for a stream's core: the rules of its actors and of its journal."""

from __future__ import annotations

import os

from actors.base import Rules
from actors.pool import PoolSettings, StemCell
from actors.pool_state import Reactive
from config.manifest import Manifest
from config.manifest import Reactive as ManifestReactive
from config.settings import Settings
from store.journal_queue import JournalSettings

LAZY, LAZY_REMOTE = 0.02, 0.2
"""Seconds that events which nobody waits for may wait for company. A commit on CouchDB costs a round trip with a sync, which the
next invocation would wait behind: with ten clients 200 ms made 230 invocations a second of 130."""

STEM_SLOTS = 16
"""Runs at a time that a stem cell is made for: an action that wants more gets that many there, more in one of its own."""


def stream_rules(settings: Settings, result_limit: int) -> Rules:
    """The rules of the actors. `result_limit` in bytes."""
    return Rules(
        live_bound=settings.live_bound,
        largest=settings.event_bytes,
        remember=settings.duplicates_for,
        result_limit=result_limit,
        stall=settings.lease,
        log_wait=settings.log_idle,
        pause_grace=settings.pause_grace,
        alone_from=settings.alone_from,
        max_age=settings.max_age,
        blocking_wait=settings.blocking_wait,
        stale_grace=settings.stale_grace,
    )


def journal_settings(settings: Settings) -> JournalSettings:
    """The sizes and times of a journal."""
    return JournalSettings(
        max_events=settings.commit_events,
        max_bytes=settings.commit_bytes,
        snapshot_every=settings.snapshot_every,
        keep_ms=round(settings.keep_journal * 1000),
        lease=settings.lease,
        lazy=LAZY if settings.store == "sqlite" else LAZY_REMOTE,
    )


def pool_settings(settings: Settings, manifest: Manifest) -> PoolSettings:
    """The pool of a node: its memory, its stem cells."""
    cells = tuple(
        StemCell(kind.kind, "", cell.memory, cell.initial_count, _slots(settings, kind.family), _reactive(cell.reactive))
        for kinds in manifest.families().values()
        for kind in kinds
        for cell in kind.stem_cells
    )
    more = {"starting": settings.parallel_starts} if settings.parallel_starts else {}
    return PoolSettings(
        memory=settings.memory, idle_timeout=settings.idle_container, stem_cells=cells,
        prewarm_check=settings.prewarm_check, few=2 * (os.cpu_count() or 1), **more,
    )  # fmt: skip


def _slots(settings: Settings, family: str) -> int:
    return 1 if family == "python" else min(STEM_SLOTS, settings.max_concurrency)


def _reactive(given: ManifestReactive | None) -> Reactive | None:
    """A manifest's settings as the pool takes them."""
    return None if given is None else Reactive(given.min_count, given.max_count, given.ttl, given.threshold, given.increment)
