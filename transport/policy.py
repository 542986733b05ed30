"""A scheduling policy from a file: for those who want to try another one without changing the node."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from actors.pool import Pool
from config.errors import ConfigError

NAME = "Policy"
"""The class that the file has to define."""


def load_policy(path: Path | None) -> type[Pool]:
    """Class `Policy` of a Python file, the built-in pool without one. The file is trusted as the node's own code is.

    Raises ConfigError saying what is wrong with the file.
    """
    if path is None:
        return Pool
    try:
        spec = importlib.util.spec_from_file_location("rewhisk_policy", path)
        if spec is None or spec.loader is None:
            raise ConfigError([f"policy {path}: no Python file"])
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except (OSError, SyntaxError, ImportError, NameError, TypeError, AttributeError) as error:
        raise ConfigError([f"policy {path}: {error}"]) from None
    found = getattr(module, NAME, None)
    if not (isinstance(found, type) and issubclass(found, Pool)):
        raise ConfigError([f"policy {path}: defines no class {NAME} that is an actors.pool.Pool"])
    return found
