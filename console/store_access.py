"""The store opened from the command line, beside a node that may be running on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from console.exits import Refused, WrongUsage
from store.contract import Store
from store.errors import StoreError

Result = TypeVar("Result")


def with_store(data_dir: Path, work: Callable[[Store], Awaitable[Result]], *, create: bool = False) -> Result:
    """What `work` returns, done on the store of a data directory.

    Raises WrongUsage if there is none (unless it may be made), Refused with the store's own text if it fails.
    """
    from store.data_dir import make_private_dir
    from store.open import open_store
    from store.sqlite_schema import FILE_NAME

    if not create and not (data_dir / FILE_NAME).is_file():
        raise WrongUsage(f"{data_dir} holds no store", "a node makes one (`make node`); --data-dir names another place")

    async def run() -> Result:
        if create:
            make_private_dir(data_dir)
        store = await open_store("sqlite", data_dir)
        try:
            return await work(store)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except StoreError as error:
        raise Refused(str(error) or type(error).__name__) from None
    except OSError as error:
        raise Refused(f"{data_dir}: {error.strerror or error}") from None
