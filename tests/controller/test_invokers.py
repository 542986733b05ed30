"""What a controller says of its invokers; a node that is its own says nothing of them, as upstream's single process."""

import pytest

from controller.deps import Operator
from tests.controller.serving import serving

UP, DOWN = {"invoker0/a": "up"}, {"invoker0/a": "up", "invoker1": "down"}


@pytest.mark.parametrize(
    ("states", "count", "status", "ready"),
    [({}, 0, 500, {"unhealthy": "0/0"}), (UP, 1, 200, {"healthy": "1/1"}), (DOWN, 1, 500, {"unhealthy": "1/2"})],
)
async def test_states_count_and_readiness(states, count, status, ready):
    async with serving(operator=Operator(invokers=lambda: states)) as server:
        assert (await server.send("GET", "/invokers")).json == states
        assert (await server.send("GET", "/invokers/healthy/count")).json == count
        answer = await server.send("GET", "/invokers/ready")
        assert (answer.status, answer.json) == (status, ready)
