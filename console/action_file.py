"""From a file to the body that creates an action: kind, code, parameters, annotations, limits."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from console.entity_options import full_name
from console.exits import WrongUsage

FAMILIES = {
    ".py": "python", ".js": "nodejs", ".swift": "swift", ".php": "php", ".rb": "ruby", ".rs": "rust", ".go": "go",
    ".jar": "java", ".balx": "ballerina",
}  # fmt: skip
"""Extension → family, as wsk tells kinds."""

ARCHIVES = (".zip", ".jar", ".balx")
MARKS = {"__main__.py": "python", "package.json": "nodejs", "index.js": "nodejs"}
"""Files at the top of an archive that tell its family: what each runtime starts with."""

WEB = {
    "true": {"web-export": True, "raw-http": False, "final": True},
    "raw": {"web-export": True, "raw-http": True, "final": True},
    "false": {"web-export": False, "raw-http": False, "final": False},
}
"""`--web` → annotations, as wsk sets them."""

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Wanted:
    """What the command line asked for besides the code. Timeout in ms, memory and logs in MB."""

    kind: str | None = None
    main: str | None = None
    docker: str | None = None
    params: Pairs = ()
    annotations: Pairs = ()
    timeout: int | None = None
    memory: int | None = None
    logs: int | None = None
    concurrency: int | None = None
    web: str | None = None
    sequence: str | None = None


def value_of(text: str) -> object:
    """A parameter's value: JSON if it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def key_values(pairs: Pairs) -> list[dict[str, object]]:
    """Parameters or annotations in the API's form; of a key given twice the last counts."""
    return [{"key": key, "value": value} for key, value in {key: value_of(text) for key, text in pairs}.items()]


def read_code(path: Path) -> bytes:
    """The file's bytes. Raises WrongUsage."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise WrongUsage(f"can't read {path}: {error.strerror or error}") from None


def archive_family(code: bytes, path: Path) -> str | None:
    """The family of an archive by the files at its top, None if they don't tell. Raises WrongUsage for a damaged one."""
    try:
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise WrongUsage(f"{path} is no zip archive: {error}") from None
    families = {family for mark, family in MARKS.items() if mark in names}
    return families.pop() if len(families) == 1 else None


def exec_of(path: Path | None, wanted: Wanted) -> dict[str, object]:
    """The `exec` part. Raises WrongUsage if the kind can't be told or the file isn't what it seems."""
    if wanted.sequence is not None:
        return _sequence(path, wanted)
    found: dict[str, object] = {}
    code = b"" if path is None else read_code(path)
    suffix = "" if path is None else path.suffix.lower()
    packed = suffix in ARCHIVES
    family = archive_family(code, path) if path is not None and suffix == ".zip" else FAMILIES.get(suffix)
    if wanted.docker:
        found.update(kind="blackbox", image=wanted.docker)
    elif wanted.kind or family:
        found["kind"] = wanted.kind or f"{family}:default"
    elif path is None:
        raise WrongUsage("no file given", "name the file with the action's code, or an image with --docker")
    else:
        why = "at its top is not one of __main__.py, package.json, index.js" if suffix == ".zip" else "its extension tells none"
        raise WrongUsage(f"the kind of {path} is unknown: {why}", "name it with --kind, for instance --kind python:3")
    if path is not None:
        found["code"] = base64.b64encode(code).decode() if packed else _text(code, path)
    if wanted.main:
        found["main"] = wanted.main
    return found


def _sequence(path: Path | None, wanted: Wanted) -> dict[str, object]:
    if path is not None or wanted.kind or wanted.docker or wanted.main:
        raise WrongUsage("a sequence has no code of its own", "leave file, --kind, --main and --docker out")
    names = [name.strip() for name in (wanted.sequence or "").split(",")]
    return {"kind": "sequence", "components": [full_name(name, packaged=True) for name in names]}


def _text(code: bytes, path: Path) -> str:
    try:
        text = code.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WrongUsage(
            f"{path} is no UTF-8 text (byte {error.start})", "binary code goes into a .zip archive, with --kind if needed"
        ) from None
    if "\0" in text:
        raise WrongUsage(f"{path} is binary, not source code", "binary code goes into a .zip archive, with --kind if needed")
    return text


def body_of(path: Path | None, wanted: Wanted) -> dict[str, object]:
    """The whole body of the PUT. Raises WrongUsage."""
    body: dict[str, object] = {"exec": exec_of(path, wanted)}
    annotations = key_values(wanted.annotations)
    if wanted.web:
        chosen = WEB[wanted.web]
        annotations = [pair for pair in annotations if pair["key"] not in chosen]
        annotations += [{"key": key, "value": value} for key, value in chosen.items()]
    limits = {"timeout": wanted.timeout, "memory": wanted.memory, "logs": wanted.logs, "concurrency": wanted.concurrency}
    limits = {name: value for name, value in limits.items() if value is not None}
    parts = {"parameters": key_values(wanted.params), "annotations": annotations, "limits": limits}
    return body | {name: value for name, value in parts.items() if value}
