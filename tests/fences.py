"""The project's own modules, for tests that look at all of them."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("actors", "messages", "store", "config", "containers", "transport", "controller", "console", "runtimes", "services")

MODULES = [path.relative_to(ROOT) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
"""Every module, relative to the project's root."""
