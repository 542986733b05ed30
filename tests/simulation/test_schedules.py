"""Many seeds: whatever is killed, paused, lost or slow, the history that follows keeps the contract.

`REWHISK_SEED=n` runs that schedule alone and prints its trace when it fails; `REWHISK_SCHEDULES=n` sets how many there are.

"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.oracle import check
from tests.simulation.scenario import Options, Simulation

SCHEDULES = int(os.environ.get("REWHISK_SCHEDULES", "1000"))
SEED = os.environ.get("REWHISK_SEED")
CHUNK = 50


def failure(seed: int) -> str | None:
    """What is wrong with a seed's history, if anything."""
    try:
        check(Simulation(seed).run())
    except Exception as error:
        return f"REWHISK_SEED={seed}: {error!r:.2000}"
    return None


def failures(seeds: range) -> list[str]:
    return [found for seed in seeds if (found := failure(seed)) is not None]


def _everywhere(seeds: range) -> Iterator[str]:
    chunks = [range(at, min(at + CHUNK, seeds.stop)) for at in range(seeds.start, seeds.stop, CHUNK)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for found in pool.map(failures, chunks):
            yield from found


def test_every_schedule_keeps_the_contract() -> None:
    """No seed of the range breaks it, nor the one that was asked for."""
    if SEED is not None:
        _one(int(SEED))
        return
    found = list(_everywhere(range(SCHEDULES)))
    assert not found, "\n".join(found)


def _one(seed: int) -> None:
    simulation = Simulation(seed, Options(log=True))
    try:
        check(simulation.run())
    except Exception:
        print(*(simulation.world.log or []), sep="\n")
        raise


def trace_of(seed: int) -> str:
    simulation = Simulation(seed)
    simulation.run()
    return simulation.world.trace_hash()


@pytest.mark.parametrize("seed", [3, 17, 251, 390])
def test_a_seed_gives_the_same_trace_again(seed: int) -> None:
    """Nothing but the seed decides: three runs in this process and one in another agree."""
    first = trace_of(seed)
    assert [trace_of(seed), trace_of(seed)] == [first, first]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(trace_of, seed).result() == first


def test_different_seeds_give_different_traces() -> None:
    """The seed does decide."""
    assert len({trace_of(seed) for seed in range(20)}) == 20
