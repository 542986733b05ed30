"""Joins lines into one text."""

import json
from typing import Any, Dict


def main(args: Dict[str, Any]) -> Dict[str, Any]:
    """`lines`, and as `payload` their text with a line feed between each two."""
    lines = args.get("lines") or []
    if not isinstance(lines, list):
        return {"error": "Expected an argument 'lines' of type 'array'."}
    return {"lines": lines, "payload": "\n".join(map(_text, lines))}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
