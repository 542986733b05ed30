"""Tells the time."""

from datetime import datetime, timezone
from typing import Any, Dict


def main(args: Dict[str, Any]) -> Dict[str, Any]:
    """`date`: the current time in UTC, ISO 8601 with milliseconds."""
    now = datetime.now(timezone.utc)
    return {"date": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"}
