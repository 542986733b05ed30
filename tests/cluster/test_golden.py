"""What a real OpenWhisk answered, replayed against a controller with a node behind it: all that needs somebody to run things."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.kafka import Kafka
from tests.cluster.cluster import Cluster, wait_up
from tests.cluster.couch import Couch
from tests.crash.node import request
from tests.golden_replay import DEVIATIONS, GOLDEN, KEYS, replay, rows

pytestmark = [pytest.mark.kafka, pytest.mark.nodejs]

FULL = os.environ.get("REWHISK_CRASH_FULL") == "1"
SHORT = ("invoke", "web-http", "sequences")
GROUPS = (*SHORT, "fire", "invoke-results", "logs", "activations", "conductors") if FULL else SHORT
"""All of them with `make crash-full`."""
FLAGS = ("--runtimes", str(GOLDEN / "golden-runtimes.json"), "--max-concurrency", "1")
AT_ONCE = 3
_number = itertools.count()


def _add_namespace(cluster: Cluster, name: str) -> None:
    """Another subject, straight into the database."""
    uuid, _, key = KEYS[name].partition(":")
    body = {"subject": name, "namespaces": [{"name": name, "uuid": uuid, "key": key}]}
    place = urlsplit(cluster.couch.address)
    answer = request(
        f"http://127.0.0.1:{place.port}", "PUT", f"/{cluster.prefix.replace('-', '_')}subjects/{name}", body,
        auth=f"{place.username}:{place.password}",
    )  # fmt: skip
    assert answer.status == 201, answer


def _play(broker: Kafka, couch: Couch, directory: Path, group: str, kafka_only: bool) -> dict[str, str]:
    cluster = Cluster(directory, broker, couch, f"golden{next(_number)}-")
    try:
        controller = cluster.controller(0, *FLAGS, "--cors", "*", INVOKE_OPEN="0" if kafka_only else "64")
        _add_namespace(cluster, "other")
        cluster.node(0, *FLAGS)
        wait_up(controller, 1)
        parts = urlsplit(controller.url)
        good, wrong = replay(str(parts.hostname), int(parts.port or 0), group)
        assert good + len(wrong) == len(list(rows(group)))
        return wrong
    finally:
        cluster.close()


@pytest.fixture(scope="module")
def plays(
    request: pytest.FixtureRequest, broker: Kafka, couch: Couch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[dict[str, str]]]]:
    """The chosen groups side by side, every other one by Kafka alone."""
    items = [item for item in request.session.items if getattr(item, "originalname", "") == "test_group_is_answered_as_recorded"]
    chosen = [item.callspec.params["group"] for item in items if item.path == request.path]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            group: pool.submit(_play, broker, couch, tmp_path_factory.mktemp("golden"), group, GROUPS.index(group) % 2 == 0)
            for group in chosen
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("group", GROUPS)
def test_group_is_answered_as_recorded(plays: dict[str, Future[dict[str, str]]], group: str) -> None:
    """As a node of its own answers it: the same deviations and no others."""
    wrong = plays[group].result(timeout=200)
    expected = {name.partition("/")[2] for name in DEVIATIONS if name.partition("/")[0] == group}
    report = {name: text for name, text in wrong.items() if name not in expected}
    assert not report, json.dumps(report, indent=1)
    assert set(wrong) == expected
