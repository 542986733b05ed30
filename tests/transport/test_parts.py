"""What the settings and the manifest mean for a node's parts."""

from __future__ import annotations

from actors.pool_state import Reactive, StemCell
from config.load import load
from config.manifest import Manifest
from transport.parts import STEM_SLOTS, pool_settings, stream_rules

CELLS = {"initialCount": 2, "memory": "256 MB"}
REACTIVE = {"minCount": 1, "maxCount": 4, "ttl": "2 minutes", "threshold": 1, "increment": 1}


def manifest() -> Manifest:
    image = {"name": "x"}
    return Manifest.parse({"runtimes": {
        "nodejs": [{"kind": "nodejs:20", "default": True, "image": image, "stemCells": [{**CELLS, "reactive": REACTIVE}]}],
        "python": [{"kind": "python:3", "default": True, "image": image, "stemCells": [CELLS]}],
    }})  # fmt: skip


def test_stem_cells_are_the_manifests() -> None:
    """Their numbers, what makes them follow demand, and how many runs each takes at a time: Python's one."""
    found = pool_settings(load({"memory": "1g"}, {"REWHISK_PREWARM_CHECK": "30s"}), manifest())
    reactive = Reactive(1, 4, 120.0, 1, 1)
    assert found.stem_cells == (
        StemCell("nodejs:20", "", 256, 2, STEM_SLOTS, reactive),
        StemCell("python:3", "", 256, 2),
    )
    assert (found.memory, found.prewarm_check) == (1024, 30.0)
    assert found.few >= 2


def test_stem_cells_take_no_more_runs_than_an_action_may_have() -> None:
    """The limit of the whole node is theirs too."""
    assert pool_settings(load({"max_concurrency": "3"}, {}), manifest()).stem_cells[0].concurrency == 3


def test_grace_time() -> None:
    """Upstream's 10 s, or never."""
    assert stream_rules(load({}, {}), 1).pause_grace == 10.0
    assert stream_rules(load({}, {"REWHISK_PAUSE_GRACE": "none"}), 1).pause_grace is None
