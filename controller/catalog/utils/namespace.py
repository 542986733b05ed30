"""Tells in whose namespace it runs."""

import os
from typing import Any, Dict


def main(args: Dict[str, Any]) -> Dict[str, Any]:
    """`namespace`: the caller's."""
    return {"namespace": os.environ.get("__OW_NAMESPACE")}
