"""The manifest of runtimes in upstream's format: which kinds there are, their images, defaults and stem cells.

Format: `{"runtimes": {family: [kind…]}, "blackboxes": [image…]}`; other keys are ignored, both parts may be missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from config.errors import ManifestError

NO_KINDS: tuple[Kind, ...] = ()


class Reactive(Struct, frozen=True):
    """How a stem cell's number follows demand. `ttl` in seconds."""

    min_count: int
    max_count: int
    ttl: float
    threshold: int
    increment: int


class StemCell(Struct, frozen=True):
    """Containers to prewarm: `initial_count` of `memory` MB."""

    initial_count: int
    memory: int
    reactive: Reactive | None = None

    @property
    def target(self) -> int:
        """How many to top up to after a removal (upstream: minCount if reactive, else initialCount)."""
        return self.reactive.min_count if self.reactive else self.initial_count


class Kind(Struct, frozen=True):
    """One runtime. `image` is the resolved reference `[registry/][prefix/]name[:tag]`."""

    kind: str
    family: str
    image: str
    default: bool = False
    deprecated: bool = False
    require_main: bool = False
    attached: bool = False
    sentinelled_logs: bool = True
    stem_cells: tuple[StemCell, ...] = ()

    def as_info(self) -> dict[str, object]:
        """The form of `GET /`."""
        return {
            "kind": self.kind, "image": self.image, "deprecated": self.deprecated, "default": self.default,
            "attached": self.attached, "requireMain": self.require_main,
        }  # fmt: skip


class Manifest:
    """All kinds, looked up as upstream does: trimmed, lower-cased, `family:default` resolved."""

    def __init__(self, kinds: tuple[Kind, ...] = NO_KINDS, blackboxes: tuple[str, ...] = ()) -> None:
        self.kinds = kinds
        self.blackboxes = blackboxes
        self._by_name = {kind.kind: kind for kind in kinds}
        for family, members in self.families().items():
            chosen = [kind for kind in members if kind.default] or members
            self._by_name.setdefault(f"{family}:default", chosen[0])

    def __repr__(self) -> str:
        return f"<Manifest [{', '.join(kind.kind for kind in self.kinds)}]>"

    def resolve(self, kind: str) -> Kind | None:
        """The kind that this text means, or None."""
        return self._by_name.get(kind.strip().lower())

    def families(self) -> dict[str, list[Kind]]:
        """Kinds by family, in the order of the file."""
        found: dict[str, list[Kind]] = {}
        for kind in self.kinds:
            found.setdefault(kind.family, []).append(kind)
        return found

    def as_info(self) -> dict[str, list[dict[str, object]]]:
        """`runtimes` of `GET /`."""
        return {family: [kind.as_info() for kind in members] for family, members in self.families().items()}

    def valid_kinds_text(self) -> str:
        """The list in upstream's refusal of an unknown kind; sequences and blackboxes are kinds too."""
        return ", ".join(f"'{name}'" for name in [*(kind.kind for kind in self.kinds), "sequence", "blackbox"])

    @property
    def stem_cells(self) -> list[tuple[Kind, StemCell]]:
        """What to prewarm."""
        return [(kind, cell) for kind in self.kinds for cell in kind.stem_cells]

    @classmethod
    def parse(cls, document: object, registry: str = "") -> Manifest:
        """The manifest in a JSON document. `registry` stands before images that name none. Raises ManifestError."""
        from config.manifest_schema import problems_of

        problems = problems_of(document)
        if problems or not isinstance(document, Mapping):
            raise ManifestError(problems)
        kinds = tuple(
            _kind(family, entry, registry)
            for family, entries in (document.get("runtimes") or {}).items()
            for entry in entries
        )  # fmt: skip
        boxes = tuple(_image(entry, "") for entry in document.get("blackboxes") or [])
        _check_families(kinds)
        return cls(kinds, boxes)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """The manifest in a file. Raises ManifestError, naming the file."""
        try:
            return cls.parse(json.loads(path.read_bytes()))
        except OSError as error:
            raise ManifestError([f"{path}: {error.strerror or error}"]) from None
        except ManifestError as error:
            raise ManifestError([f"{path}: {problem}" for problem in error.problems]) from None
        except (ValueError, RecursionError) as error:
            raise ManifestError([f"{path}: not JSON: {error}"]) from None


def _image(entry: Mapping[str, Any], registry: str) -> str:
    place = entry.get("registry") or registry
    parts = [place.rstrip("/") if place else "", entry.get("prefix") or "", entry["name"]]
    tag = entry.get("tag") or ""
    return "/".join(part for part in parts if part) + (f":{tag}" if tag else "")


def _kind(family: str, entry: Mapping[str, Any], registry: str) -> Kind:
    return Kind(
        kind=entry["kind"].strip().lower(),
        family=family,
        image=_image(entry["image"], registry),
        default=bool(entry.get("default")),
        deprecated=bool(entry.get("deprecated")),
        require_main=bool(entry.get("requireMain")),
        attached=entry.get("attached") is not None,
        sentinelled_logs=entry.get("sentinelledLogs") is not False,
        stem_cells=tuple(_cell(cell) for cell in entry.get("stemCells") or []),
    )


def _cell(entry: Mapping[str, Any]) -> StemCell:
    from config import parse

    reactive = entry.get("reactive")
    return StemCell(
        initial_count=entry["initialCount"] if "initialCount" in entry else entry["count"],
        memory=parse.megabytes(entry["memory"]),
        reactive=None if reactive is None else Reactive(
            reactive["minCount"], reactive["maxCount"], parse.positive_duration(reactive["ttl"]),
            reactive["threshold"], reactive["increment"],
        ),
    )  # fmt: skip


def _check_families(kinds: tuple[Kind, ...]) -> None:
    names = [kind.kind for kind in kinds]
    problems = [f"kind {name!r} is there more than once" for name in sorted({name for name in names if names.count(name) > 1})]
    families: dict[str, list[bool]] = {}
    for kind in kinds:
        families.setdefault(kind.family, []).append(kind.default)
    for family, defaults in families.items():
        if sum(defaults) > 1 or (len(defaults) > 1 and not any(defaults)):
            problems.append(f"family {family!r}: {sum(defaults)} of its {len(defaults)} kinds are default, exactly one must be")
    if problems:
        raise ManifestError(problems)
