"""The strict server answers as a real CouchDB did: every recorded exchange that the stores' requests fall under is replayed."""

from __future__ import annotations

import pytest

from tests.support.couchdb.replay import Player, groups
from tests.support.couchdb.server import CouchServer

pytestmark = pytest.mark.nodejs

GROUPS_LEFT_OUT = {
    "revisions": "conflicting branches, which only `new_edits: false` and replication make",
    "bulk-get": "_bulk_get",
    "find": "_find",
    "changes": "_changes",
    "local-docs": "_local",
    "maintenance": "compaction and purging",
}
"""Group → what its requests need, which no store asks for."""

LEFT_OUT = {
    "server": {
        "uuids": "_uuids", "uuids-too-many": "_uuids", "dbs-info": "_dbs_info",
    },
    "docs": {"copy": "COPY", "copy-onto-existing": "COPY"},
    "deletes": {"get-open-revs": "open_revs"},
    "rev-of-missing-doc": {"with-validation": "validation functions"},
    "bulk": {
        "new-edits-false": "new_edits", "new-edits-false-conflict": "new_edits", "new-edits-string": "new_edits",
        "all-or-nothing": "all_or_nothing", "design-doc-in-bulk-bad": "design documents in bulk",
    },
    "all-docs": {"queries": "several lists in one request", "design-docs": "_design_docs"},
    "views": {
        "keys-post": "keys of a view", "sorted-false": "sorted=false", "info": "_info of a design document",
        "ddoc-map-syntax": "broken functions", "ddoc-map-not-function": "broken functions",
        "ddoc-unknown-language-query": "other languages", "sum-of-text": "_sum of texts", "view-cleanup": "_view_cleanup",
    },
    "attachments": {
        "get-text-gzip": "compressed answers", "get-if-none-match": "caching", "get-range": "parts of an attachment",
        "head": "HEAD of an attachment", "inline-get-attachments": "attachments=true",
        "inline-get-att-encoding": "att_encoding_info", "inline-get-multipart": "multipart", "multipart-put": "multipart",
        "multipart-put-get": "multipart", "delete-doc-with-attachment": "multipart", "get-attachment-of-deleted": "multipart",
    },
    "security": {
        "cookie-malformed": "cookies", "member-compact": "compaction", "validate-forbidden": "validation functions",
        "validate-unauthorized": "validation functions", "validate-bulk": "validation functions", "session-login-json": "cookies",
        "session-cookie": "cookies", "session-cookie-doc": "cookies", "session-login-form": "forms", "session-logout": "cookies",
        "session-cookie-after-logout": "cookies", "user-purge": "purging",
    },
    "auth-lockout": {"user-purge": "purging"},
    "http": {"url-9000": "lengths of lines", "header-9000": "lengths of lines", "method-override": "method override"},
}  # fmt: skip
"""Group → exchange → what it needs, which no store asks for."""

RECORDED = groups()
PLAYED = [name for name in RECORDED if name not in GROUPS_LEFT_OUT]


@pytest.mark.parametrize("group", PLAYED)
def test_recorded_exchanges(group: str) -> None:
    """Status, headers and body as recorded, in order, from an empty server."""
    server = CouchServer().start()
    try:
        player = Player(server.port)
        for exchange in RECORDED[group]:
            if exchange["name"] not in LEFT_OUT.get(group, {}):
                try:
                    player.play(exchange)
                except AssertionError as error:
                    raise AssertionError(f"{group}/{exchange['name']}: {error}") from None
    finally:
        server.close()


def test_what_is_left_out_was_recorded() -> None:
    """And is less than a tenth of the groups that are played."""
    for group, names in LEFT_OUT.items():
        assert names.keys() <= {exchange["name"] for exchange in RECORDED[group]}
    left_out = sum(map(len, LEFT_OUT.values()))
    assert left_out < sum(len(RECORDED[group]) for group in PLAYED) / 10
    assert GROUPS_LEFT_OUT.keys() <= RECORDED.keys()
