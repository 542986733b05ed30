"""Greets."""

from typing import Any, Dict


def main(args: Dict[str, Any]) -> Dict[str, Any]:
    """`payload`: a greeting for `name` from `place`."""
    print("params:", args)
    return {"payload": "Hello, {} from {}!".format(args.get("name") or "stranger", args.get("place") or "somewhere")}
