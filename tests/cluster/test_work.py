"""One controller and two nodes: work gets done over HTTP and through Kafka, and each side's death is ridden out."""

from __future__ import annotations

import pytest

from tests.cluster.cluster import Cluster, invokers, wait_up
from tests.crash.node import until

pytestmark = [pytest.mark.kafka, pytest.mark.nodejs]

ADD = "def main(args):\n    print('adding')\n    return {'sum': args['a'] + args['b']}\n"


@pytest.mark.parametrize("way", ["http", "kafka"])
def test_work_gets_done(cluster: Cluster, way: str) -> None:
    """Blocking and not, its record and logs readable at the controller; both nodes up without a test activation."""
    for number in range(2):
        cluster.node(number)
    controller = cluster.controller(INVOKE_OPEN="0" if way == "kafka" else "8")
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
    assert f'rewhisk_controller_sent_total{{way="{way}"}} 2.0' in text, text
    assert controller.stop().code == 0
