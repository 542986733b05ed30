"""`make runtimes`: makes the project's own images ahead of time, so that no first invocation waits for them."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence

from containers.contract import ContainerError
from containers.docker_engine import Engine
from containers.images import PAUSE, RECIPES, SOURCES, Images


def say(text: str) -> None:
    """Progress, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def make(names: Sequence[str], source: str, host: str) -> None:
    """Make what is missing of these images. Raises ContainerError."""
    engine = Engine(host)
    await engine.connect()
    try:
        images = Images(engine, say, source=source)
        for name in names:
            began = time.perf_counter()
            reference = await images.own(name)
            version = await images.version(reference)
            say(f"{name} is {reference}{f', version {version}' if version else ''} ({time.perf_counter() - began:.1f} s)")
    finally:
        await engine.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if all images are there, 1 if one can't be made, 3 if no engine answers."""
    parser = argparse.ArgumentParser(prog="make runtimes", description=__doc__)
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"default: {', '.join(RECIPES)}")
    parser.add_argument("--source", choices=SOURCES, default="auto", help="auto: a registry, else this machine's packages")
    parser.add_argument("--docker-host", default="", metavar="URL", help="default: DOCKER_HOST, or the engine's socket")
    given = parser.parse_args(arguments)
    try:
        asyncio.run(make(given.images or [PAUSE, *RECIPES], given.source, given.docker_host))
    except ContainerError as error:
        sys.stderr.write(f"error: {error}\n")
        return 3 if "can't be reached" in str(error) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
