"""What a real OpenWhisk answered, replayed against a node that runs the recorded actions in Docker containers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from containers.docker_engine import connect
from containers.images import PAUSE, RECIPES
from containers.make_images import main as make_images
from tests.golden_replay import DEVIATIONS, replay
from tests.system.conftest import StartNode
from tests.system.test_golden_rest import SETTINGS, _add_namespace

pytestmark = pytest.mark.docker

RUN = ("invoke", "invoke-results", "logs")
"""The groups in which user code runs; the others never come to a container."""
NAMES = dict(zip(("ow-python:bench", "openwhisk/action-nodejs-v20:bench"), RECIPES, strict=True))
"""The images that the recording's manifest names, and what stands for them here."""


@pytest.fixture(scope="module")
def _images() -> Iterator[None]:
    assert make_images([PAUSE, *RECIPES]) == 0
    client, _ = connect("", 30)
    for name, own in NAMES.items():
        client.tag(own, *name.split(":"))
    yield
    for name in NAMES:
        client.remove_image(name)
    client.close()


@pytest.mark.usefixtures("_images")
@pytest.mark.parametrize("group", RUN)
def test_group_is_answered_as_recorded(start_node: StartNode, group: str) -> None:
    """Results, errors, logs and limits are OpenWhisk's; the images are the ones that the manifest names."""
    node = start_node(*SETTINGS, "--driver", "docker")
    _add_namespace(node, "other")
    _, wrong = replay(*node.address, group)
    expected = {name.partition("/")[2] for name in DEVIATIONS if name.partition("/")[0] == group}
    report = "\n".join(f"{group}/{name}: {text}" for name, text in wrong.items() if name not in expected)
    assert not report, report
