"""The engine's control plane: the `docker` package's blocking calls in threads of their own, errors in our words.

Creating and removing have separate threads, so that neither waits for the other, and an engine that hangs blocks nobody else.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from containers.contract import ContainerError

if TYPE_CHECKING:
    from docker import APIClient

T = TypeVar("T")

CALL_LIMIT = 30.0
"""Seconds that the engine may be silent in one call; a create waits for disk and kernel, 10 ms as a rule."""
PING_LIMIT = 5.0
DEFAULT = "unix:///var/run/docker.sock"
ANY_VERSION = "1.24"
"""Of the API, until the engine has told its own."""
FREEZE_ATTEMPTS = 5
THREADS = {"create": 8, "remove": 4, "image": 4}
"""Calls at a time by purpose; `image` also serves what is neither."""


class EngineError(ContainerError):
    """The engine refused or did not answer. `status` is its HTTP status, 0 if there was none."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Engine:
    """One engine. `address` is a DOCKER_HOST (`unix:///var/run/docker.sock`), empty: the environment's or the default."""

    def __init__(self, address: str = "") -> None:
        self._given = address
        self._client: APIClient | None = None
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self.address = ""
        self.info: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Engine {self.address or 'not connected'} {self.info.get('ServerVersion', '')}>"

    async def connect(self) -> None:
        """Find the engine and ask what it is. Raises EngineError."""
        self._pools = {name: ThreadPoolExecutor(number, f"docker-{name}") for name, number in THREADS.items()}
        try:
            self.info = await self.call(lambda client: client.info(), limit=PING_LIMIT * 2)
        except BaseException:
            await self.close()
            raise

    async def call(self, what: Callable[[APIClient], T], purpose: str = "image", limit: float = CALL_LIMIT) -> T:
        """Do one call in a thread of that purpose. Raises EngineError; after `limit` seconds the call is left to itself."""
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException

        pool = self._pools.get(purpose)
        if pool is None:
            raise EngineError("The Docker engine is not connected.")
        try:
            async with asyncio.timeout(limit):
                return await asyncio.get_running_loop().run_in_executor(pool, lambda: what(self._connected()))
        except APIError as error:
            status = error.response.status_code if error.response is not None else 0
            raise EngineError(str(error.explanation or error), status) from error
        except TimeoutError as error:
            raise EngineError(f"The Docker engine did not answer within {limit:.0f} s.") from error
        except (DockerException, RequestException, OSError) as error:
            raise EngineError(f"The Docker engine can't be reached: {_short(error)}") from error

    def _connected(self) -> APIClient:
        if self._client is None:
            client, address = connect(self._given, PING_LIMIT)
            client.timeout = CALL_LIMIT
            if self._client is None:
                self._client, self.address = client, address
            else:  # another thread was quicker
                client.close()
        return self._client

    async def close(self) -> None:
        """Forget the connection; calls under way end by themselves."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def freeze(self, identity: str, frozen: bool) -> None:
        """Pause or unpause. The engine may say that it is done already while it isn't (seen right after an unpause): look, repeat.

        Raises EngineError.
        """
        for attempt in range(FREEZE_ATTEMPTS):
            try:
                await self.call(lambda client: client.pause(identity) if frozen else client.unpause(identity))
            except EngineError as error:
                if attempt + 1 == FREEZE_ATTEMPTS or error.status not in (409, 500):
                    raise
                await asyncio.sleep(0.01)
            found = await self.call(lambda client: client.inspect_container(identity))
            if bool(found["State"]["Paused"]) == frozen:
                return
        raise EngineError(f"Container {identity} does not {'pause' if frozen else 'resume'}.")

    async def remove_container(self, identity: str) -> None:
        """Kill and remove a container; that it is gone already is fine. Raises EngineError."""
        try:
            await self.call(lambda client: client.remove_container(identity, v=True, force=True), "remove")
        except EngineError as error:
            if error.status not in (404, 409):
                raise
            if error.status == 409:  # somebody else is removing it
                await self._until_gone(identity)

    async def _until_gone(self, identity: str) -> None:
        try:
            while True:
                await self.call(lambda client: client.inspect_container(identity), "remove")
                await asyncio.sleep(0.05)
        except EngineError as error:
            if error.status != 404:
                raise


def _short(error: BaseException) -> str:
    """The innermost reason: the libraries wrap theirs three times over."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def connect(given: str, timeout: float) -> tuple[APIClient, str]:
    """A client of the engine at `given` (empty: the environment's, or the default) and its address. Blocks.

    Raises DockerException, RequestException or OSError, leaving no connection open, as the package itself would.
    """
    from docker import APIClient
    from docker.errors import DockerException
    from docker.utils import kwargs_from_env

    settings = {"base_url": given} if given else kwargs_from_env()
    address = str(settings.setdefault("base_url", DEFAULT))
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(timeout)
            probe.connect(address.removeprefix("unix://"))
    client = APIClient(version=ANY_VERSION, timeout=timeout, num_pools=4, **settings)
    try:
        client._version = client.version(api_version=False)["ApiVersion"]
    except (KeyError, TypeError) as error:
        client.close()
        raise DockerException(f"what answers at {address} is no Docker engine") from error
    except BaseException:
        client.close()
        raise
    return client, address
