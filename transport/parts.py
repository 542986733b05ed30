"""What the settings mean for a stream's core: the rules of its actors and of its journal."""

from __future__ import annotations

from actors.base import Rules
from config.settings import Settings
from store.journal_queue import JournalSettings


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
    )
