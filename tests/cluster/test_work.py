"""One controller and two nodes: work gets done over HTTP and through Kafka, and each side's death is ridden out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, invokers, wait_up
from tests.crash.node import until
from tests.support.certificates import Authority

pytestmark = [pytest.mark.kafka, pytest.mark.nodejs]

ADD = "def main(args):\n    print('adding')\n    return {'sum': args['a'] + args['b']}\n"


def secured(directory: Path) -> tuple[list[str], dict[str, str], dict[str, str]]:
    """A node's flags and settings for a port that wants TLS and a token, and a controller's for coming in there."""
    authority = Authority(directory / "authority")
    cert, key = authority.issue("node")
    token = {"INVOKE_TOKEN": "t" * 32}
    return ["--tls-cert", str(cert), "--tls-key", str(key)], token, {**token, "INVOKE_CA": str(authority.ca)}


@pytest.mark.parametrize("way", ["http", "https", "kafka"])
def test_work_gets_done(cluster: Cluster, way: str, tmp_path: Path) -> None:
    """Blocking and not, its record and logs readable at the controller; the nodes are up without a test activation."""
    flags, nodes, more = secured(tmp_path) if way == "https" else ([], {}, {})
    for number in range(2):
        cluster.node(number, *flags, **nodes)
    controller = cluster.controller(INVOKE_OPEN="0" if way == "kafka" else "8", **more)
    wait_up(controller, 2)
    assert len(invokers(controller)) == 2
    controller.put_action("add", "python:3", ADD)
    answer = controller.api("POST", "actions/add?blocking=true&result=true", {"a": 1, "b": 2})
    assert (answer.status, answer.body) == (200, {"sum": 3})
    accepted = controller.api("POST", "actions/add", {"a": 3, "b": 4})
    assert accepted.status == 202
    place = f"activations/{accepted.body['activationId']}"
    until(lambda: controller.api("GET", place).status == 200, 30, "no record")
    record = controller.api("GET", place).body
    assert record["response"]["result"] == {"sum": 7}
    assert [line.split(": ")[1] for line in record["logs"]] == ["adding"]
    until(lambda: controller.ask("GET", "/activation/count").body == 0, 20, "slots that stay taken")
    text = controller.ask("GET", "/metrics").body
    sent = "kafka" if way == "kafka" else "http"
    assert f'rewhisk_controller_sent_total{{way="{sent}"}} 2.0' in text, text
    assert controller.stop().code == 0
