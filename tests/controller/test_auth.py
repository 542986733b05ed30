from __future__ import annotations

import base64
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.auth import Authenticator, basic_pair
from controller.errors import ApiError
from messages.wire import Identity
from store.memory import MemoryStore
from tests.controller.fakes import subjects
from tests.controller.serving import API, basic, serving
from tests.golden_replay import KEYS


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Counting:
    """Subjects that count their lookups."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.lookups = 0

    async def by_key(self, uuid: str, key: str) -> Identity | None:
        self.lookups += 1
        return await self._store.subjects.by_key(uuid, key)


@given(st.binary())
def test_any_header_is_read_or_not(header: bytes) -> None:
    """No Authorization header raises."""
    basic_pair(header)
    basic_pair(b"Basic " + header)


@given(
    st.text(alphabet=st.characters(exclude_characters=":", exclude_categories=["Cs"]), min_size=1),
    st.text(alphabet=st.characters(exclude_categories=["Cs"])),
)
def test_pairs_are_read_as_written(user: str, password: str) -> None:
    """The password may contain colons; the scheme's case doesn't matter."""
    encoded = base64.b64encode(f"{user}:{password}".encode())
    assert basic_pair(b"bAsIc " + encoded) == (user, password)


async def test_good_credentials_are_looked_up_once_per_ttl_bad_ones_always() -> None:
    """A revoked key works for the time of the cache at most; wrong keys fill no cache."""
    store, clock = MemoryStore(), Clock()
    await subjects(store)
    counting = Counting(store)
    auth = Authenticator(counting, clock, ttl=5.0)  # type: ignore[arg-type]
    header = basic("guest").encode()
    for _ in range(3):
        assert (await auth.identity(header)).namespace.name == "guest"
    assert counting.lookups == 1
    clock.now = 5.1
    await auth.identity(header)
    assert counting.lookups == 2
    auth.forget()
    await auth.identity(header)
    assert counting.lookups == 3
    for _ in range(2):
        with pytest.raises(ApiError):
            await auth.identity(basic("wrong").encode())
    assert counting.lookups == 5


async def test_a_cached_key_is_not_kept_in_clear() -> None:
    """Neither the header nor the key is a key of the cache."""
    store = MemoryStore()
    await subjects(store)
    auth = Authenticator(store.subjects, Clock(), ttl=5.0)
    await auth.identity(basic("guest").encode())
    (digest,) = auth._known
    assert len(digest) == 16
    assert KEYS["guest"].encode() not in digest


async def test_keys_are_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Good, wrong, malformed, and when the API itself fails."""
    caplog.set_level(logging.DEBUG)
    async with serving() as server:
        await server.put_action("echo")
        await server.send("GET", f"{API}/actions", auth="wrong")
        server.invoker.refusal = RuntimeError("fault")  # type: ignore[assignment]
        answer = await server.send("POST", f"{API}/actions/echo", {})
        assert (answer.status, answer.error) == (500, "There was an internal server error.")
    assert "fault" in caplog.text
    for pair in KEYS.values():
        assert pair.partition(":")[2] not in caplog.text


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:8080", "api.example.org:3233", "localhost."]
)
async def test_local_hosts_are_answered(host: str) -> None:
    """Names of this machine and the one of --api-host, with any port."""
    async with serving(hosts=("api.example.org",)) as server:
        assert (await server.send("GET", "/ping", headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:3233",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "[::2]",
        "localhost@evil.example",
        ":80",
        "1.0.0.127",
    ],
)
async def test_foreign_hosts_are_refused_on_loopback(host: str) -> None:
    """DNS rebinding: the right key under a foreign name gets 403 as JSON, whatever is asked for."""
    async with serving() as server:
        for method, path in (("GET", "/ping"), ("GET", f"{API}/actions"), ("OPTIONS", "/api/v1"), ("GET", "/metrics")):
            answer = await server.send(method, path, headers={"Host": host})
            assert answer.status == 403
            assert "Host" in answer.error
            assert "access-control-allow-origin" not in answer.headers


async def test_off_loopback_every_host_is_answered() -> None:
    """Behind a proxy or a public name the header says nothing about safety."""
    async with serving(loopback=False) as server:
        assert (await server.send("GET", "/ping", headers={"Host": "evil.example"})).status == 200


ORIGIN = {"Origin": "https://app.example"}


async def test_no_cors_by_default() -> None:
    """No answer of any kind carries a cross-origin header."""
    async with serving(cors=None) as server:
        for method, path in (("GET", f"{API}/actions"), ("OPTIONS", f"{API}/actions"), ("GET", "/invokers"), ("GET", "/nosuch")):
            answer = await server.send(method, path, headers=ORIGIN)
            assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_named_origins_alone_are_answered() -> None:
    """The origin itself, and caches are told that it matters."""
    async with serving(cors=("https://app.example",)) as server:
        mine = await server.send("GET", f"{API}/actions", headers=ORIGIN)
        assert mine.headers["access-control-allow-origin"] == "https://app.example"
        assert mine.headers["vary"] == "Origin"
        other = await server.send("GET", f"{API}/actions", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        assert "access-control-allow-origin" not in (await server.send("GET", f"{API}/actions")).headers
