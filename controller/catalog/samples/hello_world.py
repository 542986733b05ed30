"""Shows how an action writes to its log."""

from typing import Any, Dict


def main(args: Dict[str, Any]) -> Dict[str, Any]:
    """Nothing, but a line in the log."""
    print("hello {}!".format(args.get("payload", "world")))
    return {}
