"""What stores index of a record."""

from __future__ import annotations

import pytest
from msgspec import Raw

from messages.wire import ActivationRecord, KeyValue, Response
from store.errors import StoreRefused
from store.records import decode_record, encode_record, path_filter


def made(*annotations: tuple[str, object]) -> ActivationRecord:
    pairs = [KeyValue(key, value) for key, value in annotations]
    return ActivationRecord("guest", "hello", "guest", "a" * 32, 1, 2, Response(0, Raw(b"{}")), "0.0.1", pairs)


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ((), "hello"),
        ((("path", "guest/hello"),), "hello"),
        ((("path", "guest/pkg/hello"),), "pkg/hello"),
        ((("path", "guest/pkg/hello"), ("binding", "other/bound")), "bound/hello"),
        ((("binding", "other/bound"),), "bound/hello"),
        ((("binding", ""), ("path", "guest/pkg/hello")), "pkg/hello"),
        ((("binding", "odd"),), "hello"),
        ((("path", "a/b/c/d"),), "hello"),
        ((("path", None), ("binding", 7)), "hello"),
        ((("path", "guest/a/hello"), ("path", "guest/b/hello")), "b/hello"),
    ],
)
def test_the_name_that_lists_filter_by(annotations: tuple[tuple[str, object], ...], expected: str) -> None:
    """The binding's package before the action's own (openwhisk-controller.md 3.6)."""
    assert path_filter(made(*annotations)) == expected


def test_a_record_survives_encoding() -> None:
    """And has a largest size."""
    record = made(("path", "guest/hello"))
    body = encode_record(record)
    assert decode_record(body) == record
    assert encode_record(record, len(body)) == body
    with pytest.raises(StoreRefused, match=str(len(body))):
        encode_record(record, len(body) - 1)
