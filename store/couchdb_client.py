"""One thread's connection to a CouchDB: requests through `cloudant`, answers in the store's terms.

Rules (couchdb-exchanges.md)
- No answer, 429, 5xx and a missing database are uncertain: StoreUnavailable. Nobody but the caller repeats a write.
- 401 is never repeated: five of them lock the user out for minutes. It is StoreFailed; a lock itself passes, so it is uncertain.
- A revision goes into the query or the body, never into If-Match; never `batch=ok`, `new_edits` or `_local`.
- A kept connection may have been closed by the server meanwhile: a read is asked once more on a new one.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import msgspec
import requests
from msgspec import Struct
from requests.adapters import HTTPAdapter

from store.errors import Conflict, NotFound, StoreError, StoreFailed, StoreRefused, StoreUnavailable

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from cloudant.client import CouchDB

CONNECT_TIMEOUT = 5.0
"""Seconds until a connection stands."""

READ_TIMEOUT = 30.0
"""Seconds without a byte of the answer; a view that is being built answers late."""

LOCKED = "temporarily locked"
NO_DATABASE = ("Database does not exist.", "no_db_file")
NO_RIGHTS = ("You are not allowed to access this db.", "You are not a db or server admin.")
_Query = Mapping[str, object]
T = TypeVar("T")


class DatabaseMissing(StoreUnavailable):
    """The database is not there: not made yet, or taken away and perhaps brought back."""


class Untrusted(StoreUnavailable):
    """The server's certificate is not accepted."""


class CouchSettings(Struct, frozen=True):
    """Where a CouchDB is and who comes. `url` is without credentials; `ca` a file of certificates to trust, or None.

    `repr` never shows the password.
    """

    url: str
    user: str
    password: str
    prefix: str = ""
    ca: str | None = None
    read_timeout: float = READ_TIMEOUT

    def __repr__(self) -> str:
        return f"<CouchDB {self.url} as {self.user or 'nobody'}>"


def parse_url(url: str, prefix: str = "", ca: str | None = None) -> CouchSettings:
    """The parts of `http://user:password@host:port/path`. Raises ValueError for what is no such address; shows no password."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise ValueError("must have a port from 1 to 65535") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be http://user:password@host:port")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = f"{host}:{port}" if port else host
    plain = urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))
    return CouchSettings(plain, unquote(parts.username or ""), unquote(parts.password or ""), prefix, ca)


class _Json(json.JSONEncoder):
    """cloudant's encoder: raw parts of a document stay as they are."""

    def encode(self, o: Any) -> str:
        return msgspec.json.encode(o).decode()


class Answer(Struct, frozen=True):
    """Status and body of an answer that means something."""

    status: int
    body: bytes


class Client:
    """To be used by one thread at a time. `requests` counts what was sent, `documents` those that were to be written."""

    def __init__(self, settings: CouchSettings) -> None:
        self.settings = settings
        self.requests = 0
        self.documents = 0
        self._couch = CouchDB(
            settings.user,
            settings.password,
            admin_party=not settings.user,
            url=settings.url,
            use_basic_auth=True,
            timeout=(CONNECT_TIMEOUT, settings.read_timeout),
            adapter=HTTPAdapter(pool_connections=1, pool_maxsize=1),
            encoder=_Json,
        )
        self._couch.connect()
        self._session: requests.Session = self._couch.r_session
        self._session.trust_env = False  # no proxy, no .netrc
        if settings.ca is not None:
            self._session.verify = settings.ca  # a file that isn't there is an OSError of the first request

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def database(self, name: str) -> Database:
        """The database of that name with the prefix."""
        return Database(self, self.settings.prefix + name)

    def ask(self, method: str, path: Sequence[str], query: _Query | None = None, body: bytes | None = None) -> Answer:
        """The answer to one request; `path` unquoted, query values as JSON where they are no text.

        Raises Conflict (409, 412), NotFound (404), StoreRefused, StoreUnavailable, StoreFailed.
        """
        url = "/".join((self.settings.url, *(quote(part, safe="") for part in path)))
        params = {name: value if isinstance(value, str) else msgspec.json.encode(value) for name, value in (query or {}).items()}
        reading = method == "GET" or path[-1] == "_all_docs"
        try:
            response = self._send(method, url, params, body, again=reading)
        except requests.exceptions.SSLError as error:
            raise Untrusted(f"{self.settings.url}: TLS: {_inner(error)}") from None
        except requests.RequestException as error:
            raise StoreUnavailable(f"{self.settings.url}: {_reason(error)}") from None
        except OSError as error:
            raise StoreFailed(f"{self.settings.ca}: {error}: store-ca names the certificates to trust") from None
        if response.status_code == 202:
            raise StoreUnavailable(f"{self.settings.url}/{'/'.join(path)}: taken, but not by as many copies as there should be")
        if response.status_code < 300:
            return Answer(response.status_code, response.content)
        raise self._error(response, "/".join(path))

    def _send(self, method: str, url: str, params: Any, body: bytes | None, *, again: bool) -> requests.Response:
        self.requests += 1
        headers = {"accept": "application/json"} | ({"content-type": "application/json"} if body is not None else {})
        try:
            return self._session.request(method, url, params=params, data=body, headers=headers, allow_redirects=False)
        except requests.ConnectTimeout:
            raise
        except requests.ConnectionError:
            if not again:
                raise
        return self._send(method, url, params, body, again=False)

    def _error(self, response: requests.Response, path: str) -> StoreError:
        status, (name, reason) = response.status_code, _told(response)
        text = f"{self.settings.url}/{path}: {status} {name} {reason}".rstrip()
        if status == 404 and reason in NO_DATABASE:
            return DatabaseMissing(text)
        if LOCKED in reason or status in {408, 429} or status >= 500:
            return StoreUnavailable(text)
        if status == 401 or (status == 403 and reason in NO_RIGHTS):
            return StoreFailed(f"{text}: check user, password and rights in --store")
        return _CLASSES.get(status, StoreUnavailable)(text)


_CLASSES: dict[int, type[StoreError]] = {
    404: NotFound, 409: Conflict, 412: Conflict,
    400: StoreRefused, 403: StoreRefused, 413: StoreRefused, 415: StoreRefused, 417: StoreRefused,
}  # fmt: skip
"""What other statuses mean; anything else is no CouchDB's answer, a proxy's perhaps."""


class Database:
    """Requests to one database."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name

    def get(self, doc_id: str, *more: str, **query: object) -> bytes | None:
        """A document, an attachment or a part of a design document; None if it is missing or deleted."""
        try:
            return self.client.ask("GET", (self.name, *_path(doc_id), *more), query).body
        except NotFound:
            return None

    def put(self, doc_id: str, body: bytes, **query: object) -> str:
        """Write a document, whose `_rev` is in the body; the new revision. Raises Conflict."""
        self.client.documents += 1
        answer = self.client.ask("PUT", (self.name, *_path(doc_id)), query, body)
        return decode(answer.body, Written).rev

    def delete(self, doc_id: str, rev: str) -> None:
        """Raises Conflict, NotFound."""
        decode(self.client.ask("DELETE", (self.name, *_path(doc_id)), {"rev": rev}).body, Written)

    def rows(self, *path: str, **query: object) -> list[Row]:
        """Rows of `_all_docs` or of a view."""
        answer = self.client.ask("GET", (self.name, *path), query)
        return decode(answer.body, Rows).rows

    def rows_of(self, keys: Sequence[str]) -> list[Row]:
        """A row for each of these ids in their order; `missing` tells which have no document."""
        answer = self.client.ask("POST", (self.name, "_all_docs"), None, msgspec.json.encode({"keys": keys}))
        return decode(answer.body, Rows).rows

    def revision(self, doc_id: str) -> str | None:
        """The current revision without the document, or None."""
        (row,) = self.rows_of([doc_id])
        return None if row.missing else decode(row.value, Revision).rev

    def bulk(self, docs: Sequence[Any]) -> list[Result]:
        """Write documents; a result for each, not with every server in their order. Raises StoreRefused if one refuses all."""
        self.client.documents += len(docs)
        answer = self.client.ask("POST", (self.name, "_bulk_docs"), None, msgspec.json.encode({"docs": docs}))
        results = decode(answer.body, list[Result])
        if len(results) != len(docs):
            raise StoreUnavailable(f"{self.name}: {len(results)} results for {len(docs)} documents")
        return results


class Written(Struct, frozen=True):
    """The answer to a write."""

    id: str
    rev: str


class Revision(Struct, frozen=True):
    """The value of a row of `_all_docs`."""

    rev: str = ""
    deleted: bool = False


class Row(Struct, frozen=True):
    """A row of a list. An id that was asked for and has no document has an `error` or a deleted revision."""

    key: Any = None
    id: str = ""
    value: msgspec.Raw = msgspec.Raw(b"null")
    doc: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""

    @property
    def missing(self) -> bool:
        """Whether there is no document (rows of ids that were asked for)."""
        return bool(self.error) or decode(self.value, Revision).deleted


class Rows(Struct, frozen=True):
    """The answer of a list."""

    rows: list[Row] = []


class Result(Struct, frozen=True):
    """What became of one document of a bulk write."""

    id: str = ""
    rev: str = ""
    ok: bool = False
    error: str = ""
    reason: str = ""


def decode(body: bytes | msgspec.Raw, kind: type[T]) -> T:
    """An answer's content. Raises StoreUnavailable if it is not what a CouchDB says (a proxy's page, a broken answer)."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreUnavailable(f"an answer that no CouchDB gives: {error}") from None


def _path(doc_id: str) -> tuple[str, ...]:
    """A design document's slash must not be quoted: that would be redirected."""
    kind, slash, name = doc_id.partition("/")
    return (kind, name) if slash and kind == "_design" else (doc_id,)


def _told(response: requests.Response) -> tuple[str, str]:
    try:
        found = msgspec.json.decode(response.content, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "", ""
    return str(found.get("error", "")), str(found.get("reason", ""))


def _reason(error: requests.RequestException) -> str:
    """What went wrong, short and without anything of the request."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return _inner(error)


def _inner(error: BaseException) -> str:
    """The innermost reason of a chain of wrapped errors."""
    seen = error
    while True:
        inner = getattr(seen, "reason", None) or next((arg for arg in reversed(seen.args) if isinstance(arg, BaseException)), None)
        if not isinstance(inner, BaseException):
            text = str(getattr(seen, "strerror", None) or seen) or type(seen).__name__
            return text.rpartition(": ")[2] if "Connection" in type(seen).__name__ else text
        seen = inner
