"""Records say what happened in upstream's form, and there is always a form that a store takes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from messages.events import Finished, encode_events
from messages.record import (
    LOGS_LOST,
    MAX_RECORD,
    MAX_RESULT,
    api_form,
    api_response,
    fallback,
    fitting,
    record_of,
    storable,
    summary,
    without_logs,
    without_result,
)
from messages.wire import ActionName, ActivationMessage, ActivationRecord, ControllerId, Identity, Limits, Namespace, encode

ID = "9c1f0a52d2b74c3e9f0a52d2b7ac3e11"
CUT = "2025-01-01T00:00:00.000000000Z stderr: Logs were truncated"


def message(**changes: Any) -> ActivationMessage:
    fields: dict[str, Any] = {
        "transid": ["k3dY", 1735689600123],
        "action": ActionName("guest/imagetools", "resize", "0.0.7"),
        "revision": "1-a",
        "user": Identity("alice@example.org", Namespace("alice", "u")),
        "activation_id": ID,
        "root_controller_index": ControllerId("0"),
        "blocking": True,
    }
    return ActivationMessage(**(fields | changes))


def finished(**changes: Any) -> Finished:
    fields: dict[str, Any] = {
        "id": ID, "at": 1735689600740, "status_code": 0, "start": 1735689600400, "end": 1735689600733,
        "result": Raw(b'{"width":640}'), "size": 13, "version": "0.0.8", "kind": "nodejs:20", "limits": Limits(),
        "timeout": False, "wait_time": 277, "init_time": 41,
    }  # fmt: skip
    return Finished(**(fields | changes))


def record(**changes: Any) -> ActivationRecord:
    return record_of(message(), finished(**changes), ["2025-01-01T00:00:00.512345678Z stdout: resizing"])


def annotations(made: ActivationRecord) -> dict[str, object]:
    return {pair.key: pair.value for pair in made.annotations}


def test_a_record_is_as_upstream_stores_it() -> None:
    cold = record_of(message(cause="0d5e", action=ActionName("guest/tools", "resize", "0.0.7", "alice/tools")), finished(), ["a"])
    assert json.loads(encode(cold)) == {
        "namespace": "alice", "name": "resize", "subject": "alice@example.org", "activationId": ID,
        "start": 1735689600400, "end": 1735689600733, "duration": 333, "cause": "0d5e", "version": "0.0.8", "publish": False,
        "response": {"statusCode": 0, "result": {"width": 640}, "size": 13}, "logs": ["a"],
        "annotations": [
            {"key": "path", "value": "guest/tools/resize"}, {"key": "waitTime", "value": 277},
            {"key": "kind", "value": "nodejs:20"},
            {"key": "timeout", "value": False},
            {"key": "limits", "value": {"timeout": 60000, "memory": 256, "logs": 10, "concurrency": 1}},
            {"key": "initTime", "value": 41}, {"key": "causedBy", "value": "sequence"}, {"key": "binding", "value": "alice/tools"},
        ],
    }  # fmt: skip


def test_a_warm_run_has_no_init_time_and_a_rerun_its_attempts() -> None:
    assert set(annotations(record(init_time=UNSET))) == {"path", "waitTime", "kind", "timeout", "limits"}
    assert annotations(record(attempts=2))["attempts"] == 2
    assert "attempts" not in annotations(record(attempts=1))


def test_a_fallback_record_has_only_what_is_known() -> None:
    made = record_of(
        message(cause="0d5e"), fallback(ID, 1735689600500, 1, "Action could not be found or may have been deleted."), []
    )
    assert annotations(made) == {"path": "guest/imagetools/resize", "kind": "unknown", "causedBy": "sequence"}
    assert (made.start, made.end, made.duration, made.version) == (1735689600500, 1735689600500, 0, "0.0.7")
    assert json.loads(encode(made.response)) == {
        "statusCode": 1,
        "result": {"error": "Action could not be found or may have been deleted."},
    }
    unversioned = message(action=ActionName("guest", "x"))
    assert record_of(unversioned, fallback(ID, 5, 3, "e", attempts=3), []).version == "0.0.1"
    assert annotations(record_of(unversioned, fallback(ID, 5, 3, "e", attempts=3), []))["attempts"] == 3


def test_the_rest_form_has_status_text_and_no_code() -> None:
    blocking = json.loads(api_form(record_of(message(), finished(), [])))
    assert blocking["response"] == {"status": "success", "success": True, "result": {"width": 640}, "size": 13}
    assert blocking["logs"] == []
    assert set(blocking) == {
        "activationId", "annotations", "duration", "end", "logs", "name", "namespace", "publish", "response", "start",
        "subject", "version",
    }  # fmt: skip
    assert json.loads(api_form(record()))["logs"] == ["2025-01-01T00:00:00.512345678Z stdout: resizing"]
    texts = ["success", "application error", "action developer error", "whisk internal error"]
    for code, text in enumerate(texts):
        shown = json.loads(api_response(record(status_code=code, size=UNSET).response))
        assert shown == {"status": text, "success": code == 0, "result": {"width": 640}}


def test_numbers_of_a_result_survive_to_the_caller() -> None:
    exact = b'{"n":1.0,"big":12345678901234567890123,"e":1e-7}'
    assert exact in api_form(record(result=Raw(exact)))


def test_a_row_of_a_list_has_the_code_and_neither_logs_nor_response() -> None:
    row = json.loads(summary(record(status_code=1)))
    assert row["statusCode"] == 1
    assert set(row) == {
        "namespace", "name", "version", "publish", "annotations", "activationId", "start", "end", "duration", "statusCode",
    }  # fmt: skip


def test_a_record_that_came_from_elsewhere_is_shown_without_what_it_lacks() -> None:
    """Controllers write trigger records without end, duration and logs."""
    stored = msgspec.json.decode(encode(record())) | {"end": 0}
    for name in ("logs", "publish", "duration"):
        del stored[name]
    read = msgspec.json.decode(msgspec.json.encode(stored), type=ActivationRecord)
    shown = json.loads(api_form(read))
    assert (shown["logs"], shown["publish"]) == ([], False)
    for form in (shown, json.loads(summary(read))):
        assert "duration" not in form
        assert "end" not in form


def test_a_result_too_large_for_the_journal_is_replaced_by_an_error() -> None:
    assert storable(finished()) == finished()
    fits = finished(result=Raw(b'{"a":"' + b"x" * (MAX_RESULT - 8) + b'"}'))
    assert storable(fits) is fits
    over = storable(finished(result=Raw(b'{"a":"' + b"x" * MAX_RESULT + b'"}')))
    assert over.status_code == 1
    assert over.result is not UNSET
    assert "could not be stored" in json.loads(bytes(over.result))["error"]
    # Escaped to ASCII, two bytes become six.
    wide = finished(status_code=2, result=Raw(b'{"a":"' + "é".encode() * 1_100_000 + b'"}'))
    assert storable(wide).status_code == 2
    assert len(encode_events([storable(wide)])) < 6_000_000
    assert storable(finished(result=UNSET)).result is UNSET


@given(st.lists(st.text(max_size=20), max_size=30), st.integers(1, 60_000))
def test_logs_are_cut_so_that_the_record_fits(texts: list[str], factor: int) -> None:
    logs = [text * (factor // 10) for text in texts]
    made = record_of(message(), finished(), logs)
    cut = fitting(made, CUT)
    assert cut.logs is not UNSET
    assert len(encode(cut)) < MAX_RECORD
    if cut.logs != logs:
        assert cut.logs[-1] == CUT
        assert cut.logs[:-1] == logs[: len(cut.logs) - 1]
    if len(encode_ascii(made)) < MAX_RECORD - 50_000:
        assert cut is made


def encode_ascii(made: ActivationRecord) -> bytes:
    return json.dumps(msgspec.json.decode(encode(made))).encode()


def test_a_large_result_leaves_less_room_for_logs() -> None:
    big = record_of(message(), finished(result=Raw(b'{"a":"' + b"x" * 5_000_000 + b'"}')), ["y" * 1000] * 3000)
    cut = fitting(big, CUT)
    assert cut.logs is not UNSET
    assert cut.logs[-1] == CUT
    assert 1000 < len(cut.logs) < 2100
    assert len(encode(cut)) < MAX_RECORD


def test_a_refused_record_is_written_without_logs_then_without_its_result() -> None:
    bare = without_logs(record())
    assert bare.logs == [LOGS_LOST]
    assert bare.response == record().response
    assert without_logs(record_of(message(), finished(), [])).logs == []
    for code in (0, 1, 2, 3):
        empty = without_result(record(status_code=code))
        assert empty.response.status_code == max(code, 1)
        assert empty.response.result is not UNSET
        assert "refused" in json.loads(bytes(empty.response.result))["error"]
        assert empty.logs == [LOGS_LOST]
        assert empty.doc_id == f"alice/{ID}"
