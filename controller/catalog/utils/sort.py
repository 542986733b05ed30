"""Sorts an array."""

import json
from typing import Any, Dict


def main(args: Dict[str, Any]) -> Dict[str, Any]:
    """`lines` in the order of their texts (10 stands before 9), and their number as `length`."""
    lines = args.get("lines") or []
    if not isinstance(lines, list):
        return {"error": "Expected an argument 'lines' of type 'array'."}
    return {"lines": sorted(lines, key=_rank), "length": len(lines)}


def _rank(value: Any) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return text.encode("utf-16-be", "surrogatepass")
