"""The store opened from the command line, beside a node that may be running on it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from console.command import DATA_DIR
from console.exits import Refused, WrongUsage
from store.contract import Store
from store.errors import StoreError

Result = TypeVar("Result")

SQLITE = "sqlite"

PATIENCE = 2.0
"""Seconds that a database may take to answer a person."""


@dataclass(frozen=True)
class Place:
    """Where the store is: `sqlite` in a data directory, or the URL of a CouchDB."""

    data_dir: Path
    store: str = SQLITE
    prefix: str = ""
    ca: Path | None = None


def place_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Adds --data-dir, --store and what goes with it, given to the command as one `place`."""

    @click.option(
        "--store",
        default=SQLITE,
        show_default=True,
        envvar="REWHISK_STORE",
        metavar="sqlite|URL",
        help="The node's store; an URL is best given as REWHISK_STORE, which nobody sees in a list of processes.",
    )
    @click.option(
        "--data-dir",
        type=DATA_DIR,
        default="./data",
        show_default=True,
        envvar="REWHISK_DATA_DIR",
        help="Data directory of the node.",
    )
    @click.option(
        "--db-prefix", default="", envvar="REWHISK_DB_PREFIX", metavar="TEXT", help="What the CouchDB's database names begin with."
    )
    @click.option(
        "--store-ca", type=click.Path(path_type=Path), envvar="REWHISK_STORE_CA", metavar="FILE",
        help="Who signed the CouchDB's certificate (PEM).",
    )  # fmt: skip
    @functools.wraps(function)
    def wrapped(*args: Any, data_dir: Path, store: str, db_prefix: str, store_ca: Path | None, **kwargs: Any) -> Result:
        return function(*args, place=Place(data_dir, store, db_prefix, store_ca), **kwargs)

    return wrapped


def with_store(place: Place | Path, work: Callable[[Store], Awaitable[Result]], *, create: bool = False) -> Result:
    """What `work` returns, done on the store at this place; a path is a data directory.

    Raises WrongUsage if there is none (unless it may be made), Refused with the store's own text if it fails.
    """
    from store.data_dir import make_private_dir
    from store.open import open_store
    from store.sqlite_schema import FILE_NAME

    at = place if isinstance(place, Place) else Place(place)
    local = at.store == SQLITE
    if local and not create and not (at.data_dir / FILE_NAME).is_file():
        raise WrongUsage(f"{at.data_dir} holds no store", "a node makes one (`make node`); --data-dir names another place")

    async def run() -> Result:
        if create and local:
            make_private_dir(at.data_dir)
        store = await open_store(at.store, at.data_dir, at.prefix, at.ca, PATIENCE)
        try:
            return await work(store)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except StoreError as error:
        raise Refused(str(error) or type(error).__name__) from None
    except OSError as error:
        raise Refused(f"{at.data_dir}: {error.strerror or error}") from None
