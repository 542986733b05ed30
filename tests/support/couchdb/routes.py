"""What a request does: databases, documents, bulk writes, lists, attachments."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import md5
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_plus, unquote_to_bytes

from tests.support.couchdb import access, lists
from tests.support.couchdb.model import (
    UNKNOWN_REV,
    Attachment,
    Database,
    Disk,
    Revision,
    check_id,
    check_rev,
    check_size,
    entry_of,
    new_id,
    parse,
)
from tests.support.couchdb.query import QueryServer, check_design
from tests.support.couchdb.values import CONFLICT, Refusal, bad, read, write

NAME = re.compile(r"[a-z][a-z0-9_$()+/-]*|_users")
NO_DATABASE = (404, "not_found", "Database does not exist.")
JSON = {"Content-Type": "application/json"}
_RESERVED = {"_bulk_docs", "_all_docs", "_security", "_design_docs"}
_METHODS = {"_bulk_docs": "POST", "_all_docs": "GET,HEAD,POST"}


@dataclass
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    base: str

    def json(self) -> Any:
        return read(self.unpacked()) if self.body or self.method == "PUT" else None

    def unpacked(self) -> bytes:
        if self.headers.get("content-encoding") == "gzip":
            try:
                return gzip.decompress(self.body)
            except OSError:
                raise bad("Request body is not properly gzipped.") from None
        if self.headers.get("content-encoding"):
            raise bad(f"{self.headers['content-encoding']} is not a supported content encoding.", "bad_content_type", 415)
        return self.body


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def answer(value: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, JSON | {name.title(): text for name, text in headers.items()}, write(value) + b"\n")


def refused(refusal: Refusal) -> Answer:
    told = {"error": refusal.error, "reason": refusal.reason} | ({"ref": refusal.ref} if refusal.ref else {})
    return answer(told, refusal.status, **refusal.headers)


class Couch:
    """The server without its sockets: one request at a time."""

    def __init__(self, disk: Disk, admins: dict[str, str], queries: QueryServer) -> None:
        self._disk = disk
        self.databases = disk.load()
        self.users = self.databases.setdefault("_users", Database("_users"))
        self.access = access.Access(admins, self.users)
        self._queries = queries
        self._lock = threading.RLock()
        self.uuid = new_id()

    def handle(self, request: Request) -> Answer:
        """The answer, refusals too."""
        with self._lock:
            try:
                return self._handle(request)
            except Refusal as refusal:
                return refused(refusal)

    def _handle(self, request: Request) -> Answer:
        user = self.access.user(request.headers.get("authorization"))
        raw, _, query_text = request.path.partition("?")
        if re.search(r"%(?![0-9A-Fa-f]{2})", raw):
            raise bad("invalid_url_encoding")
        parts = raw.lstrip("/").rstrip("/").split("/")
        query = dict(parse_qsl(query_text, keep_blank_values=True))
        if parts == [""]:
            return self._welcome(request)
        if parts[0] in {"_session", "_all_dbs", "_up"}:
            return self._server(request, parts[0], user)
        name = unquote_plus(parts[0])
        if len(parts) == 1:
            return self._database(request, name, query, user)
        database = self._found(name)
        access.require_member(database, user)
        return self._inside(request, database, parts[1:], query, user)

    # The server and its databases

    def _welcome(self, request: Request) -> Answer:
        _allow(request, "GET,HEAD")
        return answer({
            "couchdb": "Welcome", "version": "3.5.0", "git_sha": "11f0d36", "uuid": self.uuid, "features": [], "vendor": {},
        })  # fmt: skip

    def _server(self, request: Request, name: str, user: tuple[str, list[str]] | None) -> Answer:
        if name == "_up":
            _allow(request, "GET,HEAD")
            return answer({"status": "ok", "seeds": {}})
        if name == "_all_dbs":
            access.require_admin(user)
            return answer(sorted(set(self.databases) - {"_users"}))
        if request.method == "POST":
            given = read(request.body)
            found, roles = self.access.login(given["name"], given["password"])
            return answer({"ok": True, "name": found, "roles": roles})
        info: dict[str, Any] = {"authentication_handlers": ["cookie", "default"]}
        if user is not None:
            info["authenticated"] = "default"
        who = {"name": user[0] if user else None, "roles": user[1] if user else []}
        return answer({"ok": True, "userCtx": who, "info": info})

    def _database(self, request: Request, name: str, query: dict[str, str], user: tuple[str, list[str]] | None) -> Answer:
        if request.method == "PUT":
            access.require_admin(user)
            return self._create(request, name, query)
        database = self._found(name)
        if request.method == "DELETE":
            access.require_admin(user)
            if "rev" in query:
                text = "You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document instead?"
                raise bad(text)
            del self.databases[name]
            self._disk.keep({"db": name})
            return answer({"ok": True})
        access.require_member(database, user)
        if request.method == "POST":
            _json_only(request)
            return self._post(request, database)
        return answer(_info(database))

    def _create(self, request: Request, name: str, query: dict[str, str]) -> Answer:
        if not NAME.fullmatch(name):
            letters = "Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, and / are"
            raise bad(f"Name: '{name}'. {letters} allowed. Must begin with a letter.", "illegal_database_name")
        if len(name) > 238:
            raise bad(f"At least one path segment of `{name}` is too long.", "database_name_too_long")
        if name in self.databases:
            raise Refusal(412, "file_exists", "The database could not be created, the file already exists.")
        shards = int(query.get("q", 2))
        self.databases[name] = Database(name, shards)
        self._disk.keep({"db": name, "shards": shards})
        return answer({"ok": True}, 201, location=f"{request.base}/{quote(name, safe='')}")

    def _found(self, name: str) -> Database:
        found = self.databases.get(name)
        if found is None:
            raise Refusal(*NO_DATABASE)
        return found

    # What a database holds

    def _inside(
        self, request: Request, database: Database, parts: list[str], query: dict[str, str], user: tuple[str, list[str]] | None
    ) -> Answer:  # fmt: skip
        first = parts[0]
        if first == "_security":
            return self._security(request, database, user)
        if len(parts) == 1 and first in _METHODS:
            _allow(request, _METHODS[first])
            if first == "_bulk_docs":
                _json_only(request)
                return self._bulk(request, database)
            body = read(request.unpacked()) if request.method == "POST" else None
            return answer(lists.all_docs(database, lists.options_of(query, body), f"{len(database.changes)}-seq"))
        if first.startswith("_design%2F"):
            return Answer(301, {"Location": request.path.replace("_design%2F", "_design/")}, b"")
        if first == "_design" and len(parts) > 3 and parts[2] == "_view":
            _allow(request, "GET,POST,HEAD")
            body = read(request.unpacked()) if request.method == "POST" else None
            options = lists.options_of(query, body)
            found = lists.view(database, self._queries, _text(parts[1]), _text(parts[3]), options)
            return answer(found | ({"update_seq": f"{len(database.changes)}-seq"} if options.get("update_seq") else {}))
        if first == "_design" and len(parts) > 1:
            doc_id, rest = f"_design/{_text(parts[1])}", parts[2:]
            if request.method != "GET" and not rest:
                access.require_designer(database, user)
        else:
            doc_id, rest = _text(first), parts[1:]
        if rest:
            return self._attachment(request, database, doc_id, "/".join(map(_text, rest)), query)
        return self._document(request, database, doc_id, query)

    def _security(self, request: Request, database: Database, user: tuple[str, list[str]] | None) -> Answer:
        if request.method == "GET":
            return answer(database.security or access.DEFAULT)
        given = read(request.body)
        if user is None or "_admin" not in user[1] or not all(isinstance(given.get(side, {}), dict) for side in access.DEFAULT):
            raise Refusal(500, "error", "no_majority")
        database.security = given
        self._disk.keep({"db": database.name, "security": given})
        return answer({"ok": True})

    def _document(self, request: Request, database: Database, doc_id: str, query: dict[str, str]) -> Answer:
        _allow(request, "DELETE,GET,HEAD,POST,PUT,COPY")
        if request.method in {"GET", "HEAD"}:
            return _shown(request, database, doc_id, query)
        if request.method == "PUT":
            return self._put(request, database, doc_id, query)
        if request.method == "DELETE":
            return self._delete(request, database, doc_id, query)
        raise bad("Referer header required.")

    def _put(self, request: Request, database: Database, doc_id: str, query: dict[str, str]) -> Answer:
        check_id(doc_id)
        if "content-length" not in request.headers and "transfer-encoding" not in request.headers:
            raise bad("Missing request body")
        parsed = parse(request.json())
        rev = _agreed(parsed.rev, query.get("rev"), request.headers.get("if-match"))
        check_size_of = len(write(parsed.fields))
        if check_size_of > 8_000_000:
            raise Refusal(413, "document_too_large", "")
        if doc_id.startswith("_design/"):
            check_design(parsed.fields)
        made = self._write(database, doc_id, parsed.fields, rev, deleted=parsed.deleted, parts=parsed.attachments)
        where = f"{request.base}/{quote(database.name, safe='')}/{quote(doc_id, safe=':')}"
        if query.get("batch") == "ok":
            return answer({"ok": True, "id": doc_id}, 202, location=where)
        status = 202 if int(query.get("w", 1)) > 1 else 200 if made.deleted else 201
        return answer({"ok": True, "id": doc_id, "rev": made.rev}, status, etag=f'"{made.rev}"', location=where)

    def _post(self, request: Request, database: Database) -> Answer:
        parsed = parse(read(request.unpacked()))
        doc_id = parsed.doc_id or new_id()
        check_size(doc_id, parsed.fields)
        made = self._write(database, doc_id, parsed.fields, parsed.rev, deleted=parsed.deleted, parts=parsed.attachments)
        where = f"{request.base}/{quote(database.name, safe='')}/{quote(doc_id, safe=':')}"
        return answer({"ok": True, "id": doc_id, "rev": made.rev}, 201, location=where)

    def _delete(self, request: Request, database: Database, doc_id: str, query: dict[str, str]) -> Answer:
        rev = _agreed(None, query.get("rev"), request.headers.get("if-match"))
        leaf = database.leaf(doc_id)
        if leaf is None or leaf.deleted:
            raise Refusal(404, "not_found", "missing" if leaf is None else "deleted")
        made = self._write(database, doc_id, {}, rev, deleted=True)
        return answer({"ok": True, "id": doc_id, "rev": made.rev}, etag=f'"{made.rev}"')

    def _write(
        self, database: Database, doc_id: str, fields: dict[str, Any], rev: str | None, *, deleted: bool, parts: Any = None
    ) -> Revision:  # fmt: skip
        made = database.write(doc_id, fields, rev, deleted=deleted, parts=parts)
        self._disk.keep(entry_of(database.name, doc_id, made))
        return made

    def _bulk(self, request: Request, database: Database) -> Answer:
        given = read(request.unpacked())
        if not isinstance(given, dict):
            raise bad("Request body must be a JSON object")
        if "docs" not in given:
            raise bad("POST body must include `docs` parameter.")
        if not isinstance(given["docs"], list):
            raise bad("`docs` parameter must be an array.")
        parsed = [parse(each) for each in given["docs"]]  # one malformed document refuses the whole
        for each in parsed:
            each.doc_id = each.doc_id or new_id()
            check_size(each.doc_id, each.fields)
        results = []
        for each in parsed:
            assert each.doc_id is not None
            try:
                made = self._write(database, each.doc_id, each.fields, each.rev, deleted=each.deleted, parts=each.attachments)
                results.append({"ok": True, "id": each.doc_id, "rev": made.rev})
            except Refusal as refusal:
                results.append({"id": each.doc_id, "error": refusal.error, "reason": refusal.reason})
        return answer(results, 201)

    def _attachment(self, request: Request, database: Database, doc_id: str, name: str, query: dict[str, str]) -> Answer:
        if request.method in {"GET", "HEAD"}:
            found = database.find(doc_id, query.get("rev")).attachments.get(name)
            if found is None:
                raise Refusal(404, "not_found", "Document is missing attachment")
            return Answer(200, {"Content-Type": found.content_type, "Etag": f'"{md5(found.data).hexdigest()}"'}, found.data)
        rev = _agreed(None, query.get("rev"), request.headers.get("if-match"))
        current = database.current(doc_id)
        if rev is not None and (current is None or all(each.rev != rev for each in database.documents[doc_id])):
            raise Refusal(*UNKNOWN_REV)
        parts: dict[str, Any] = dict(current.attachments) if current else {}
        if request.method == "DELETE":
            if current is not None and rev == current.rev and name not in parts:
                raise Refusal(404, "not_found", "Document is missing attachment")
            parts.pop(name, None)
        else:
            if name.startswith("_"):
                raise bad(f"Attachment name '{name}' starts with prohibited character '_'")
            generation = int(current.rev.partition("-")[0]) + 1 if current else 1
            parts[name] = Attachment(request.headers.get("content-type", "application/octet-stream"), request.body, generation)
        fields = current.fields if current else {}
        made = self._write(database, doc_id, fields, rev, deleted=False, parts=parts)
        where = "/".join((request.base, database.name, *(quote(each, safe="") for each in (doc_id, name))))
        status = 200 if request.method == "DELETE" else 201
        headers = {} if request.method == "DELETE" else {"location": where}
        return answer({"ok": True, "id": doc_id, "rev": made.rev}, status, **headers)


def _shown(request: Request, database: Database, doc_id: str, query: dict[str, str]) -> Answer:
    found = database.find(doc_id, query.get("rev"))
    tag = f'"{found.rev}"'
    if tag in request.headers.get("if-none-match", ""):
        return Answer(304, {"Etag": tag}, b"")
    shown = found.shown(doc_id)
    if query.get("revs") == "true":
        history = [each.rev.partition("-")[2] for each in reversed(database.documents[doc_id])]
        shown["_revisions"] = {"start": int(found.rev.partition("-")[0]), "ids": history}
    if query.get("revs_info") == "true":
        shown["_revs_info"] = [{"rev": each.rev, "status": "available"} for each in reversed(database.documents[doc_id])]
    return answer(shown, etag=tag)


def _info(database: Database) -> dict[str, Any]:
    sizes = {"file": 1, "external": 1, "active": 1}
    return {
        "instance_start_time": "0", "db_name": database.name, "purge_seq": "0-purge", "update_seq": f"{len(database.changes)}-seq",
        "sizes": sizes, "props": {}, "doc_del_count": sum(revs[-1].deleted for revs in database.documents.values()),
        "doc_count": len(database.ids()), "disk_format_version": 8, "compact_running": False,
        "cluster": {"q": database.shards, "n": 1, "w": 1, "r": 1},
    }  # fmt: skip


def _agreed(body: str | None, query: str | None, header: str | None) -> str | None:
    """The revision that a write names. Raises Refusal if body, query and header disagree."""
    if query is not None:
        check_rev(query)
        if body is not None and body != query:
            raise bad("Document rev from request body and query string have different values")
    if header is not None:
        named = check_rev(header.removeprefix('"').removesuffix('"'))
        if '"' in named:
            raise bad("Invalid rev format")
        if (query or body) not in {None, named}:
            raise bad("Document rev and etag have different values")
        return named
    return query or body


def _allow(request: Request, methods: str) -> None:
    if request.method not in methods.split(","):
        raise Refusal(405, "method_not_allowed", f"Only {methods} allowed", allow=methods)


def _json_only(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise bad("Content-Type must be application/json", "bad_content_type", 415)


def _text(part: str) -> str:
    try:
        return unquote_to_bytes(part.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise bad("Document id must be valid UTF-8", "illegal_docid") from None


__all__ = ["CONFLICT", "Answer", "Couch", "Request"]
