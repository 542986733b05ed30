"""Counts words."""

from typing import Any, Dict


def main(args: Dict[str, Any]) -> Dict[str, Any]:
    """`count`: how many words `payload` has."""
    text = str(args.get("payload") or "")
    count = len(text.split())
    print(f"{count} words in {text!r}")
    return {"count": count}
