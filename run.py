#!/usr/bin/env python3
"""rewhisk's command line: `./run.py --help` says what there is."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def into_environment() -> None:
    """Go on in the project's own environment if this Python lacks the libraries; without one, say how to have it."""
    import importlib.util
    import os

    own = HERE / ".venv" / "bin" / "python"
    if importlib.util.find_spec("rich_click") is not None:
        return
    if not own.exists() or Path(sys.prefix) == own.parent.parent:
        print("error: the libraries in requirements.txt are missing\nhint: `make venv` installs them", file=sys.stderr)
        raise SystemExit(2)
    os.execv(own, [str(own), str(HERE / "run.py"), *sys.argv[1:]])


if __name__ == "__main__":
    into_environment()
    sys.path.insert(0, str(HERE))
    from console.cli import main

    sys.exit(main())
