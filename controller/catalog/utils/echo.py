"""Returns what it is given."""

from typing import Any, Dict


def main(args: Dict[str, Any]) -> Dict[str, Any]:
    """The arguments."""
    return args
