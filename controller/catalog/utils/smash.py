"""Nests all arguments under one property."""

from typing import Any, Dict


def main(args: Dict[str, Any]) -> Dict[str, Any]:
    """An object with one property, named by `$fieldName`, that holds all other arguments."""
    name = args.get("$fieldName")
    if not isinstance(name, str):
        return {"error": "Expected an argument '$fieldName' of type 'string'."}
    return {name: {key: value for key, value in args.items() if key != "$fieldName"}}
