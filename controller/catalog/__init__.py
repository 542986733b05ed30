"""`whisk.system`: the packages that every node has, and their documents.

Each action's code is a file of its own below, in Python since every node can run that. `CATALOG` adds what the annotations
say: descriptions, parameters, samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from controller.entities import ActionEntity, ExecDoc, LimitSet, PackageEntity, Pair

NAMESPACE = "whisk.system"
MARK = "rewhisk-catalog"
"""Annotation of a package made here: its value tells which release of it is stored."""

_PLACE = Path(__file__).parent
_VERSION = "0.0.1"


class Parameter(Struct, frozen=True, omit_defaults=True):
    """What an action takes, as its annotation `parameters` says."""

    name: str
    description: str
    type: str | None = None
    required: bool = False


class CatalogAction(Struct, frozen=True):
    """An action: its name, the file with its code, and its annotations."""

    name: str
    file: str
    description: str
    parameters: list[Parameter] = []
    sample_input: dict[str, object] | None = None
    sample_output: dict[str, object] | None = None


class CatalogPackage(Struct, frozen=True):
    """A package of the catalog, with its actions."""

    name: str
    description: str
    actions: list[CatalogAction]


_LINES = Parameter("lines", "The array", "array", required=True)
_SEALS = "seven small seals"

CATALOG = (
    CatalogPackage("utils", "Small steps for sequences: texts, lists, the time, addresses", [
        CatalogAction(
            "echo", "utils/echo.py", "Answers with its arguments",
            [Parameter("payload", "Any JSON value")], {"payload": _SEALS}, {"payload": _SEALS},
        ),
        CatalogAction(
            "cat", "utils/cat.py", "Joins the elements of an array into a text, a line each",
            [_LINES], {"lines": ["c", 5]}, {"lines": ["c", 5], "payload": "c\n5"},
        ),
        CatalogAction(
            "smash", "utils/smash.py", "Puts all arguments into one property",
            [Parameter("$fieldName", "Name of the property to nest under", "string", required=True)],
            {"x": 1, "y": [2], "$fieldName": "point"}, {"point": {"x": 1, "y": [2]}},
        ),
        CatalogAction(
            "split", "utils/split.py", "Cuts a text into parts",
            [
                Parameter("payload", "A string", required=True),
                Parameter("separator", "What stands between two parts; a line feed if not given"),
            ],
            {"payload": "red;green", "separator": ";"}, {"lines": ["red", "green"], "payload": "red;green"},
        ),
        CatalogAction(
            "sort", "utils/sort.py", "Sorts an array",
            [_LINES], {"lines": ["c", "a", "b"]}, {"lines": ["a", "b", "c"], "length": 3},
        ),
        CatalogAction(
            "head", "utils/head.py", "Keeps the first elements of an array",
            [_LINES, Parameter("num", "How many; 1 if not given", "integer")],
            {"lines": ["c", "a", "b"], "num": 2}, {"lines": ["c", "a"], "num": 2},
        ),
        CatalogAction("date", "utils/date.py", "The time in UTC", sample_output={"date": "2025-01-31T08:30:00.250Z"}),
        CatalogAction(
            "namespace", "utils/namespace.py", "Tells whose credentials invoked it",
            sample_output={"namespace": "guest"},
        ),
        CatalogAction(
            "hosturl", "utils/hosturl.py", "Makes the address of an action or a trigger",
            [
                Parameter("path", "ACTION or PACKAGE/ACTION", "string"),
                Parameter("web", "Whether it is a web action", "boolean"),
                Parameter("ext", "Extension of a web action: .html, .http, .json or .text", "string"),
                Parameter("trigger", "Whether the path names a trigger", "boolean"),
            ],
            {"web": True, "path": "utils/echo"}, {"url": "https://host/api/v1/web/guest/utils/echo.json"},
        ),
    ]),
    CatalogPackage("samples", "Actions to begin with", [
        CatalogAction(
            "greeting", "samples/greeting.py", "Greets somebody",
            [Parameter("name", "Whom to greet"), Parameter("place", "Where that one comes from")],
            {"name": "Ada", "place": "London"}, {"payload": "Hello, Ada from London!"},
        ),
        CatalogAction(
            "helloWorld", "samples/hello_world.py", "Writes a line to its log",
            [Parameter("payload", "Whom the line greets")], {"payload": "Ada"}, {},
        ),
        CatalogAction(
            "wordCount", "samples/word_count.py", "Counts the words of a string",
            [Parameter("payload", "A string", required=True)], {"payload": _SEALS}, {"count": 3},
        ),
    ]),
)  # fmt: skip


def documents(package: CatalogPackage, kind: str, limits: LimitSet, now: int) -> tuple[PackageEntity, list[ActionEntity]]:
    """What is stored for a package whose actions are of this kind. `now` is epoch ms."""
    actions = [_action(package, action, kind, limits, now) for action in package.actions]
    mark = hashlib.sha256(msgspec.json.encode([msgspec.structs.replace(action, updated=0) for action in actions])).hexdigest()[:16]
    annotations = list(_pairs({"description": package.description, MARK: mark}))
    return PackageEntity(NAMESPACE, package.name, {}, [], _VERSION, True, annotations, now), actions


def _action(package: CatalogPackage, action: CatalogAction, kind: str, limits: LimitSet, now: int) -> ActionEntity:
    notes = {
        "description": action.description,
        "parameters": action.parameters,
        "sampleInput": action.sample_input,
        "sampleOutput": action.sample_output,
        "provide-api-key": False,
        "exec": kind,
    }
    code = (_PLACE / action.file).read_text(encoding="utf-8")
    return ActionEntity(
        f"{NAMESPACE}/{package.name}", action.name, ExecDoc(kind, code, binary=False), limits, _VERSION, False,
        list(_pairs({name: value for name, value in notes.items() if value is not None and value != []})), [], now,
    )  # fmt: skip


def _pairs(values: dict[str, object]) -> Iterator[Pair]:
    return (Pair(key, Raw(msgspec.json.encode(value))) for key, value in values.items())
