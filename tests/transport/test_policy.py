"""A scheduling policy from a file: the documentation's example works, what is wrong with a file is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.pool import Pool
from config.errors import ConfigError
from tests.actors.pool_node import Node
from tests.fences import ROOT
from transport.policy import load_policy

EXAMPLE = ROOT / "docs" / "examples" / "spread.py"


def used(policy: type[Pool]) -> int:
    """How many containers serve short calls that come one after the other, once a burst has made four of them."""
    node = Node(memory=512, policy=policy)
    for n in range(4):
        node.submit(0, f"burst{n}", run=2.0)
    for n in range(40):
        node.submit(10 + n * 0.1, f"call{n}")
    node.run()
    return len({cid for id, (_, cid, _) in node.started.items() if id.startswith("call")})


def test_the_example_spreads_what_the_built_in_policy_keeps_together() -> None:
    """As its text says."""
    assert used(load_policy(None)) == 1
    assert used(load_policy(EXAMPLE)) == 4


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "No such file"), ("class Policy:\n    pass\n", "defines no class Policy that is an actors.pool.Pool"),
        ("x = 1\n", "defines no class Policy"), ("class Policy(Pool)\n", "expected ':'"),
        ("import nothing_like_it\n", "No module named"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_policy_is_told(tmp_path: Path, text: str | None, complaint: str) -> None:
    """Before anything starts."""
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        load_policy(path)
