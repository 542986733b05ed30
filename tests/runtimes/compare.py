"""What of a recorded answer is contract: status, JSON of the body, what each stream got, whether the runtime lives.

Not contract: headers, the wording of errors other than those in TEXTS, tracebacks, the log of an initialization that failed.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from tests.runtimes.exchange import expand

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
TEXTS = {
    "The action did not return a dictionary or array.",
    "The action did not return a dictionary.",
    "Cannot initialize the action more than once.",
    "Missing main/no code to execute.",
    "System not initialized.",
    "no action defined yet",
    "command exited",
    "Cannot start action. Check logs for details.",
    "The action failed to generate or locate a binary. See logs for details.",
    "Bad request.",
}
_PLACEHOLDER = re.compile(r"<(?:time|port|hash|stack|frames of the standard library)>")
_TRACE = re.compile(
    r"\s|Traceback|$|\}$|\S+:\d+$|<anonymous_script>|Node\.js v|- /|Require stack|sys:1: RuntimeWarning"
    r"|(?:module\.entry = .*)?function main\("
)


def matches(recorded: str, text: str) -> bool:
    """Whether a text is the recorded one, whose placeholders stand for anything."""
    recorded = expand(recorded)
    if recorded == text or not _PLACEHOLDER.search(recorded):
        return recorded == text
    return re.fullmatch(".*?".join(map(re.escape, _PLACEHOLDER.split(recorded))), text, re.DOTALL) is not None


def same_body(expected: str, actual: str, status: int) -> bool:
    if matches(expected, actual):
        return True
    try:
        wanted, got = json.loads(expected), json.loads(actual)
    except ValueError:
        return status == 400 and expected.startswith("400 ") and actual.startswith("400 ")
    if status == 200 or not (isinstance(wanted, dict) and isinstance(got, dict)):
        return _equal(wanted, got)
    worded = wanted.get("error") in TEXTS or got.get("error") in TEXTS
    return wanted.keys() == got.keys() and (wanted == got or not worded)


def _equal(wanted: Any, got: Any) -> bool:
    if isinstance(wanted, str) and isinstance(got, str):
        return matches(wanted, got)
    if isinstance(wanted, dict) and isinstance(got, dict):
        return wanted.keys() == got.keys() and all(_equal(wanted[key], got[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(_equal, wanted, got))
    return bool(wanted == got) and isinstance(wanted, bool) == isinstance(got, bool)


def same_answer(expected: dict[str, Any], actual: dict[str, Any]) -> str | None:
    """What differs between two answers (streams aside), or None."""
    for key in ("background", "answers", "signal", "exits", "stopped", "docker"):
        if key in expected and isinstance(expected[key], (str, bool)) and expected[key] != actual.get(key):
            return f"{key}: expected {expected[key]}, got {actual.get(key)}"
    if isinstance(expected.get("background"), dict):
        return same_answer(expected["background"], actual["background"])
    if "answers" in expected:
        found = [same_answer(*pair) for pair in zip(expected["answers"], actual["answers"], strict=True)]
        return next((text for text in found if text), None)
    if "status" not in expected:
        return None
    if expected["status"] != actual["status"]:
        return f"status {actual['status']} instead of {expected['status']}: {str(actual)[:400]}"
    if expected["status"] is None:
        return None if _ending(expected["error"]) == _ending(actual["error"]) else f"{actual['error']}, not {expected['error']}"
    if expected.get("interim", "") != actual.get("interim", ""):
        return f"interim {actual.get('interim')}"
    if not same_body(expected["body"], actual["body"], expected["status"]):
        return f"body {actual['body'][:300]} instead of {expected['body'][:300]}"
    return None


def _ending(error: str) -> str:
    return re.sub(r"no answer.*", "no answer", error).replace("connection already closed by the server", "closed without an answer")


def same_stream(expected: Any, actual: bytes, name: str, loose: bool) -> bool:
    """Whether a stream got what it should; `loose` looks at its sentinels only."""
    if isinstance(expected, dict):
        return base64.b64decode(expected["$base64"]) == actual
    text = actual.decode("utf-8", "replace")
    if name == "stdout":
        return matches(expected, text)
    if loose:
        return _ends(expected) == _ends(text) and bool(expected) == bool(text)
    return matches(expected, text) or _essence(expected) == _essence(text)


def _ends(text: str) -> tuple[int, bool]:
    return text.count(SENTINEL), text.endswith(SENTINEL + "\n")


def _essence(text: str) -> list[str]:
    """The lines that are not part of a traceback, and of its last line what names the error."""
    lines = re.sub(r"<time> ?", "", expand(text)).replace("<stack>", "").split("\n")
    return [re.sub(r" \{$", "", line) for line in lines if not _TRACE.match(line)]
