"""The project's own images `rewhisk/…`: found by the hash of what is in them, made when they are missing.

Made from an ordinary `FROM` where a registry can be reached, else from the machine's own packages.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from containers import image_packages
from containers.contract import KindUnavailable
from containers.docker_engine import Engine, EngineError
from containers.image_files import pack, pause_program, write_tree

if TYPE_CHECKING:
    from docker import APIClient

RUNTIMES = Path(__file__).resolve().parent.parent / "runtimes"
OWN = "rewhisk/"
PAUSE = f"{OWN}pause:1"
MAKING_LIMIT = 900.0
"""Seconds for making one image: it may download a base."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SOURCES = ("auto", "registry", "packages")

Say = Callable[[str], None]


class Recipe(Struct, frozen=True):
    """How an image is made: the folder with its Dockerfile, the base from a registry, or the tree from packages."""

    folder: str
    base: str
    tree: Callable[[Path, Say], str]


RECIPES = {
    f"{OWN}python:3.11": Recipe("python", "python:3.11-slim", image_packages.python_tree),
    f"{OWN}nodejs:20": Recipe("nodejs", "node:20-slim", image_packages.node_tree),
}
"""All images that the project makes itself, beside the pause image."""


class Images:
    """Knows and makes images of one engine; each is made once, however many ask at a time. `source` is one of SOURCES."""

    def __init__(self, engine: Engine, say: Say = lambda text: None, *, source: str = "auto", runtimes: Path = RUNTIMES) -> None:
        self._engine = engine
        self._say = say
        self._source = source
        self._runtimes = runtimes
        self._making: dict[str, asyncio.Task[str]] = {}
        self._pulling: dict[str, asyncio.Task[bool]] = {}

    async def own(self, name: str) -> str:
        """The reference of one of the project's images, which is made if it is missing. Raises KindUnavailable, EngineError."""
        task = self._making.get(name)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._making[name] = asyncio.ensure_future(self._own(name))
        return await asyncio.shield(task)

    async def has(self, reference: str) -> bool:
        """Whether the engine has an image. Raises EngineError."""
        try:
            await self._engine.call(lambda client: client.inspect_image(reference))
        except EngineError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def fetch(self, reference: str, *, always: bool = False) -> bool:
        """Pull an image that isn't there, or `always`; one that can't be pulled but is there will do. Raises EngineError.

        However many ask at a time, it is pulled once.
        """
        there = await self.has(reference)
        if there and not always:
            return True
        task = self._pulling.get(reference)
        if task is None or task.done():
            task = self._pulling[reference] = asyncio.ensure_future(self._pull(reference))
        return await asyncio.shield(task) or there

    async def _pull(self, reference: str) -> bool:
        """Whether it could be pulled."""
        self._say(f"pulling {reference}")
        try:
            await self._engine.call(lambda client: _pull(client, reference), limit=MAKING_LIMIT)
        except EngineError as error:
            self._say(f"{reference} can't be pulled: {error}")
            return False
        return await self.has(reference)  # some errors come inside of the progress, which nobody raises

    async def _own(self, name: str) -> str:
        if name == PAUSE:
            return await self._pause()
        recipe = RECIPES.get(name)
        if recipe is None:
            raise KindUnavailable(f"There is no recipe for image '{name}'; there are: {', '.join(RECIPES)}.")
        files = await asyncio.to_thread(self._files, recipe)
        reference = f"{name}-{hashlib.sha256(files).hexdigest()[:12]}"
        if not await self.has(reference):
            self._say(f"making image {name} (once; `make runtimes` does it ahead of time)")
            base = await self._base(name, recipe)
            await self._build(files, base, reference)
            self._say(f"made image {name}")
        await self._tag(reference, name)
        return reference

    def _files(self, recipe: Recipe) -> bytes:
        folder = self._runtimes / recipe.folder
        return pack((path.name, path.read_bytes(), 0o644) for path in folder.iterdir() if path.is_file())

    async def _base(self, name: str, recipe: Recipe) -> str:
        """An image to build on: the usual one, pulled if it isn't there, else one made of packages."""
        if self._source != "packages" and await self.fetch(recipe.base):
            return recipe.base
        if self._source == "registry" or not image_packages.available():
            raise KindUnavailable(
                f"Image '{name}' can't be made: no registry and no Debian packages are to be had. Give the engine a registry "
                f"that has {recipe.base}, or tag an image of your own as {name}."
            )
        return await self._from_packages(name, recipe)

    async def _from_packages(self, name: str, recipe: Recipe) -> str:
        source = await asyncio.to_thread(Path(image_packages.__file__).read_bytes)
        tag = f"{recipe.folder}-{hashlib.sha256(source).hexdigest()[:12]}"
        base = f"{OWN}base:{tag}"
        if await self.has(base):
            return base
        try:
            with tempfile.TemporaryDirectory(prefix="rewhisk-image-") as folder:
                root, archive = Path(folder) / "root", Path(folder) / "root.tar"
                version = await asyncio.to_thread(recipe.tree, root, self._say)
                await asyncio.to_thread(write_tree, root, archive)
                self._say(f"importing {archive.stat().st_size >> 20} MB with version {version}")
                changes = [f"LABEL rewhisk.version={version}", f"ENV PATH={PATH}"]
                await self._engine.call(lambda client: _import(client, archive, base, changes), limit=MAKING_LIMIT)
        except image_packages.CannotBuild as error:
            raise KindUnavailable(f"Image '{name}' can't be made of this machine's packages: {error}.") from error
        return base

    async def _build(self, files: bytes, base: str, reference: str) -> None:
        """Build the runtime's own layers. Raises KindUnavailable with the builder's complaint."""
        import io

        def build(client: APIClient) -> str:
            steps = client.build(
                fileobj=io.BytesIO(files), custom_context=True, tag=reference, buildargs={"BASE": base}, rm=True, forcerm=True,
                decode=True, labels={"rewhisk.role": "runtime"},
            )  # fmt: skip
            return "".join(str(step["error"]) for step in steps if "error" in step)

        if problem := await self._engine.call(build, limit=MAKING_LIMIT):
            raise KindUnavailable(f"Image '{reference}' can't be built: {problem}")

    async def _pause(self) -> str:
        if not await self.has(PAUSE):
            try:
                program = pause_program(os.uname().machine)
            except KeyError:
                raise KindUnavailable(f"There is no pause program for {os.uname().machine} machines.") from None
            content = pack([("pause", program, 0o755)])
            repository, _, tag = PAUSE.partition(":")
            changes = ['CMD ["/pause"]']
            await self._engine.call(
                lambda client: client.import_image_from_data(content, repository=repository, tag=tag, changes=changes)
            )
        return PAUSE

    async def _tag(self, reference: str, name: str) -> None:
        repository, _, tag = name.rpartition(":")
        await self._engine.call(lambda client: client.tag(reference, repository, tag, force=True))

    async def version(self, reference: str) -> str:
        """What the recipe noted of the real version, empty if nothing. Raises EngineError."""
        found: dict[str, Any] = await self._engine.call(lambda client: client.inspect_image(reference))
        return str(((found.get("Config") or {}).get("Labels") or {}).get("rewhisk.version", ""))


def _pull(client: APIClient, reference: str) -> None:
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(reference)
    client.pull(repository, tag=tag or "latest")


def _import(client: APIClient, archive: Path, reference: str, changes: list[str]) -> None:
    repository, _, tag = reference.rpartition(":")
    client.import_image_from_file(str(archive), repository=repository, tag=tag, changes=changes)
