"""Where an action's home is and which invokers are asked after it (openwhisk-controller.md 6.1, 6.2)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

_SIGN = 1 << 31
_WORD = (1 << 32) - 1


def java_hash(text: str) -> int:
    """Java's 32-bit hash of a text, which goes over UTF-16 code units, with its sign."""
    found = 0
    units = text.encode("utf-16-be", "surrogatepass")
    for at in range(0, len(units), 2):
        found = (31 * found + (units[at] << 8 | units[at + 1])) & _WORD
    return found - (1 << 32) if found & _SIGN else found


def action_hash(namespace: str, fqn: str) -> int:
    """The hash that decides the home of `fqn` (`ns/[package/]name`, no version) invoked by `namespace`; never negative."""
    return abs(java_hash(namespace) ^ java_hash(fqn))


@lru_cache(maxsize=256)
def steps(size: int) -> tuple[int, ...]:
    """Numbers from 1 to `size`, each coprime with `size` and with all before it: strides that visit a whole pool."""
    found: list[int] = []
    for number in range(1, size + 1):
        if math.gcd(number, size) == 1 and all(math.gcd(number, earlier) == 1 for earlier in found):
            found.append(number)
    return tuple(found)


def probes(hashed: int, size: int) -> Iterator[int]:
    """Positions in a pool of `size` in the order in which they are asked: `size` + 2 of them, as upstream."""
    if size < 1:
        return
    strides = steps(size)
    at, stride = hashed % size, strides[hashed % len(strides)]
    for _ in range(size + 2):
        yield at
        at = (at + stride) % size


def managed(size: int, fraction: float) -> range:
    """The invokers for actions with the manifest's images: the first ones, rounded up, at least one."""
    return range(min(size, max(1, math.ceil(size * fraction))))


def blackbox(size: int, managed_fraction: float, fraction: float) -> range:
    """The invokers for actions with images of their own: the last ones, rounded down, at least one; small pools overlap."""
    share = max(1.0 - managed_fraction, min(1.0, fraction))
    # 10 * (1 - 0.9) is a hair below 1: the share is meant, not the rounding error.
    count = max(1, math.floor(size * share + 1e-9))
    return range(size - min(size, count), size)
