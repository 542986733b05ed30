"""What a node takes when nobody says otherwise: the manifest of runtimes.

Images are the project's own, made on first use (`make runtimes` does it ahead of time); the process driver picks its
interpreter by family and ignores them. Python processes start within milliseconds from a template, one of Node.js takes
about 85 ms, a Docker container 140 to 200: one stem cell of each keeps the first call quick.
"""

from __future__ import annotations

from config.manifest import Manifest
from config.settings import Settings

_ATTACHED = {"attachmentName": "codefile", "attachmentType": "text/plain"}


def _entry(kind: str, image: str, tag: str, *, default: bool = False, stem_cells: int = 0) -> dict[str, object]:
    cells = [{"initialCount": stem_cells, "memory": "256 MB"}] if stem_cells else []
    return {
        "kind": kind, "default": default, "deprecated": False, "attached": _ATTACHED,
        "image": {"prefix": "rewhisk", "name": image, "tag": tag}, "stemCells": cells,
    }  # fmt: skip


DEFAULT_RUNTIMES: dict[str, object] = {
    "runtimes": {
        "nodejs": [_entry("nodejs:20", "nodejs", "20", default=True, stem_cells=1)],
        "python": [
            _entry("python:3", "python", "3.11", default=True, stem_cells=1),
            _entry("python:3.11", "python", "3.11"),
        ],
    },
    "blackboxes": [{"prefix": "openwhisk", "name": "dockerskeleton", "tag": "nightly"}],
}


def default_manifest() -> Manifest:
    """The built-in manifest."""
    return Manifest.parse(DEFAULT_RUNTIMES)


def manifest_for(settings: Settings) -> Manifest:
    """The manifest that these settings name, or the built-in one. Raises ManifestError."""
    return Manifest.read(settings.runtimes) if settings.runtimes else default_manifest()
