"""Lists: `_all_docs` and views, with their options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.couchdb.model import Database
from tests.support.couchdb.query import QueryServer
from tests.support.couchdb.values import Refusal, bad, read

_ALIASES = {"start_key": "startkey", "end_key": "endkey", "start_key_doc_id": "startkey_docid", "end_key_doc_id": "endkey_docid"}
_JSON = {"key", "keys", "startkey", "endkey"}
_BOOLEANS = {
    "descending", "include_docs", "inclusive_end", "reduce", "group", "update_seq", "sorted", "stable", "conflicts", "attachments",
}  # fmt: skip
_CHOICES = {"update": ("true", "false", "lazy"), "stale": ("ok", "update_after")}


def options_of(query: Mapping[str, str], body: Any) -> dict[str, Any]:
    """The options of a list. Raises Refusal for values that CouchDB refuses."""
    found: dict[str, Any] = {}
    for name, value in query.items():
        known = _ALIASES.get(name, name)
        found[known] = _value(known, value)
    if isinstance(body, dict):
        if "keys" in body and not isinstance(body["keys"], list):
            raise bad("`keys` body member must be an array.")
        found.update({_ALIASES.get(name, name): value for name, value in body.items()})
    return found


def _value(name: str, value: str) -> Any:
    if name in _JSON:
        return read(value.encode())
    if name in _BOOLEANS:
        if value not in {"true", "false"}:
            raise bad(f'Invalid boolean parameter: "{value}"', "query_parse_error")
        return value == "true"
    if name in _CHOICES and value not in _CHOICES[name]:
        raise bad(f"Invalid value for `{name}`.", "query_parse_error")
    if name in {"limit", "skip", "group_level"}:
        try:
            number = int(value)
        except ValueError:
            raise bad(f'Invalid value for integer: "{value}"', "query_parse_error") from None
        if number < 0:
            raise bad(f'Invalid value for positive integer: "{value}"', "query_parse_error")
        return number
    return value


def all_docs(database: Database, options: dict[str, Any], update_seq: Any) -> dict[str, Any]:
    """The answer of `_all_docs`: by the bytes of the ids; what is not text sorts below every id."""
    ids = database.ids()
    descending, skip = options.get("descending", False), options.get("skip", 0)
    if descending:
        ids.reverse()
    answer: dict[str, Any] = {"total_rows": len(ids)}
    if "keys" in options:
        keys = list(reversed(options["keys"])) if descending else options["keys"]
        chosen, answer["offset"] = [_keyed(database, key, options) for key in keys], None
    else:
        first, last = _range(ids, options, descending)
        chosen = [_row(database, doc_id, options) for doc_id in ids[first:last]]
        answer["offset"] = min(first + skip, len(ids))
    if options.get("update_seq"):
        answer["update_seq"] = update_seq
    end = None if options.get("limit") is None else skip + options["limit"]
    answer["rows"] = chosen[skip:end]
    return answer


def _range(ids: list[str], options: dict[str, Any], descending: bool) -> tuple[int, int]:
    start, end = (options.get("key", options.get(name, ...)) for name in ("startkey", "endkey"))
    inside = options.get("inclusive_end", True)

    def side(doc_id: str, bound: Any) -> int:
        if not isinstance(bound, str):
            return -1 if descending else 1
        order = (doc_id.encode() > bound.encode()) - (doc_id.encode() < bound.encode())
        return -order if descending else order

    first = 0 if start is ... else next((i for i, each in enumerate(ids) if side(each, start) >= 0), len(ids))
    last = first
    while last < len(ids) and (end is ... or side(ids[last], end) < 0 or (inside and side(ids[last], end) == 0)):
        last += 1
    return first, last


def _row(database: Database, doc_id: str, options: dict[str, Any]) -> dict[str, Any]:
    current = database.current(doc_id)
    assert current is not None
    row: dict[str, Any] = {"id": doc_id, "key": doc_id, "value": {"rev": current.rev}}
    if options.get("include_docs"):
        row["doc"] = current.shown(doc_id)
    return row


def _keyed(database: Database, key: Any, options: dict[str, Any]) -> dict[str, Any]:
    leaf = database.leaf(key) if isinstance(key, str) else None
    if leaf is None:
        return {"key": key, "error": "not_found"}
    if not leaf.deleted:
        return _row(database, key, options)
    row: dict[str, Any] = {"id": key, "key": key, "value": {"rev": leaf.rev, "deleted": True}}
    if options.get("include_docs"):
        row["doc"] = None
    return row


def view(database: Database, queries: QueryServer, design: str, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The answer of a view. Raises Refusal."""
    fields = database.find(f"_design/{design}", None).fields
    found = fields.get("views", {}).get(name)
    if found is None:
        raise Refusal(404, "not_found", "missing_named_view")
    reduce = _check(options, found.get("reduce"))
    asked = _asked(options) | {"reduce": found["reduce"] if reduce else False}
    raw = found.get("options", fields.get("options", {})).get("collation") == "raw"
    answer = queries.rows(database, f"{design}/{name}", found, asked, raw=raw)
    if options.get("include_docs"):
        for row in answer["rows"]:
            row["doc"] = _linked(database, row)
    return answer


def _check(options: dict[str, Any], reduce: str | None) -> bool:
    """Whether rows are reduced. Raises Refusal for options that don't go together."""
    wanted = options.get("reduce", reduce is not None)
    grouping = options.get("group") or options.get("group_level")
    if wanted and reduce is None:
        raise bad("Reduce is invalid for map-only views.", "query_parse_error")
    if grouping and not wanted:
        raise bad("Invalid use of grouping on a map view.", "query_parse_error")
    if wanted and options.get("include_docs"):
        raise bad("`include_docs` is invalid for reduce", "query_parse_error")
    if wanted and len(options.get("keys", ())) > 1 and not options.get("group"):
        raise bad("Multi-key fetches for reduce views must use `group=true`", "query_parse_error")
    return bool(wanted)


def _asked(options: dict[str, Any]) -> dict[str, Any]:
    names = ("startkey", "endkey", "startkey_docid", "endkey_docid", "inclusive_end", "keys", "group", "group_level")
    asked = {name: options[name] for name in names if name in options}
    if "key" in options:
        asked |= {"startkey": options["key"], "endkey": options["key"]}
    return asked | {
        "descending": options.get("descending", False), "skip": options.get("skip", 0), "limit": options.get("limit"),
    }  # fmt: skip


def _linked(database: Database, row: dict[str, Any]) -> Any:
    """The document of a row, or the one that its value names."""
    value = row["value"]
    doc_id = value["_id"] if isinstance(value, dict) and "_id" in value else row["id"]
    current = database.current(doc_id)
    return None if current is None else current.shown(doc_id)
