"""Stores the packages of `whisk.system` (see `catalog`): once per release of theirs, however many nodes start at the same time."""

from __future__ import annotations

import asyncio

import structlog

from controller.catalog import CATALOG, MARK, NAMESPACE, CatalogPackage, documents
from controller.context import Api
from controller.entities import ActionEntity, PackageEntity, Pair
from controller.errors import ApiError
from store.errors import StoreUnavailable

log = structlog.get_logger("catalog")

KIND = "python:default"
RETRY = 1.0
"""Seconds between attempts."""

ATTEMPTS = 10
"""After so many refusals it is given up; while the store is away it never is."""


async def keep_trying(api: Api) -> None:
    """Install all that is missing or old. The node serves meanwhile, and serves without them if the store refuses."""
    refused = 0
    while True:
        try:
            await install(api)
            return
        except StoreUnavailable:
            pass
        except ApiError as error:  # mostly another process that installs the same
            refused += 1
            if refused == ATTEMPTS:
                log.warning("the packages of whisk.system could not be stored", reason=error.text)
                return
        await asyncio.sleep(RETRY)


async def install(api: Api) -> int:
    """How many packages were written. Raises ApiError, StoreUnavailable.

    A package that somebody else made under one of these names is left alone. The package is written after its actions: its
    mark says that they are there.
    """
    kind = api.deps.manifest.resolve(KIND)
    if kind is None or kind.deprecated:
        log.info("no package of whisk.system is installed: they need a Python runtime")
        return 0
    written = 0
    for package in CATALOG:
        written += await _install(api, package, kind.kind)
    return written


async def _install(api: Api, package: CatalogPackage, kind: str) -> bool:
    wanted, actions = documents(package, kind, api.standard_limits, api.now())
    package_id = f"{NAMESPACE}/{package.name}"
    found = await api.entities.find(package_id, PackageEntity)
    if found is not None and _mark(found[1].annotations) in (None, _mark(wanted.annotations)):
        return False
    for action in actions:
        await _store(api, action)
    await api.entities.save(wanted, found[0] if found else None)
    api.targets.changed(package_id)
    return True


async def _store(api: Api, action: ActionEntity) -> None:
    doc_id = f"{action.namespace}/{action.name}"
    found = await api.entities.find(doc_id, ActionEntity)
    await api.entities.save(action, found[0] if found else None)
    api.targets.changed(doc_id)


def _mark(annotations: list[Pair]) -> bytes | None:
    return next((bytes(pair.value) for pair in annotations if pair.key == MARK), None)
