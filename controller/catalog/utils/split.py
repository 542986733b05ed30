"""Splits a text into an array."""

import re
from typing import Any, Dict


def main(args: Dict[str, Any]) -> Dict[str, Any]:
    """`lines`: the parts of `payload` between separators; without `separator` its lines."""
    payload = args.get("payload")
    if payload is None:
        return {"error": "Expected an argument 'payload' of type 'string'."}
    text, separator = str(payload), str(args.get("separator") or "")
    lines = text.split(separator) if separator else re.split("\r?\n", text)
    return {"lines": lines, "payload": payload}
