"""What a proxy is told of a creation that failed, by whose fault it was."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from containers.contract import ContainerSpec, CreateFailed, ImageMissing, KindUnavailable, Unavailable
from containers.host import ContainerHost
from containers.note import Note
from containers.outcome import NO_RESOURCES
from messages.commands import NotCreated, Start


class Failing:
    """A driver whose creations fail, or never end."""

    name = "failing"

    def __init__(self, error: Exception | None, problem: str | None) -> None:
        self._error = error
        self._problem = problem

    def problem(self) -> str | None:
        return self._problem

    async def prepare(self, spec: ContainerSpec) -> None:
        """Nothing is needed."""

    async def create(self, spec: ContainerSpec, output: object, gone: object) -> None:
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()

    async def close(self) -> None:
        """There is nothing."""


TOLD = [
    (CreateFailed("x"), None, NotCreated(3, NO_RESOURCES, False)),
    (CreateFailed("x"), "The engine hangs.", NotCreated(3, NO_RESOURCES, False, True)),
    (Unavailable("x"), None, NotCreated(3, NO_RESOURCES, False, True)),
    (None, None, NotCreated(3, NO_RESOURCES, False)),
    (None, "The engine hangs.", NotCreated(3, NO_RESOURCES, False, True)),
    (ImageMissing("no image"), None, NotCreated(2, "no image", True)),
    (KindUnavailable("no kind"), None, NotCreated(3, "no kind", True)),
]


@pytest.mark.parametrize(("error", "problem", "told"), TOLD)
async def test_failed_creations(error: Exception | None, problem: str | None, told: NotCreated, tmp_path: Path) -> None:
    """The image's or the kind's for good; else it may be tried again, and counts only if the driver could make any at all."""
    bugs: list[Any] = []
    settings: dict[str, Any] = {"prefix": "p", "labels": {}, "env": {}, "result_limit": 1, "create_timeout": 0.05}
    note = Note(tmp_path / "note")
    host = ContainerHost(
        Failing(error, problem), note, on_output=bugs.append, on_bug=lambda *bug: bugs.append(bug), **settings  # type: ignore[arg-type]
    )
    replies: list[object] = []
    host.create(1, Start("python:3", "", 256, 1, False), replies.append)
    await host.close()
    assert (replies, bugs) == ([told], [])
    note.close()
