"""Takes the first elements of an array."""

from typing import Any, Dict


def main(args: Dict[str, Any]) -> Dict[str, Any]:
    """The first `num` elements of `lines` (1 if it isn't given), and `num`."""
    lines, num = args.get("lines") or [], args.get("num") or 1
    if not isinstance(lines, list):
        return {"error": "Expected an argument 'lines' of type 'array'."}
    if isinstance(num, bool) or not isinstance(num, (int, float)):
        return {"error": "Expected an argument 'num' of type 'number'."}
    return {"lines": lines[: int(num)], "num": num}
