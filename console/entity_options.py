"""What the commands for packages, triggers and rules share: options, names, bodies, lists."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import rich_click as click

from console.command import pairs_option, where
from console.exits import WrongUsage

if TYPE_CHECKING:
    from console.api import Api

Result = TypeVar("Result")
Command = Callable[..., Result]
Row = dict[str, Any]


def with_api(function: Command[Result]) -> Command[Result]:
    """Adds --apihost, --auth and --data-dir; the command is given the node's `api`."""

    @functools.wraps(function)
    def wrapped(*args: Any, apihost: str | None, auth: str | None, data_dir: Path, **kwargs: Any) -> Result:
        from console.api import Api
        from console.connection import find

        return function(*args, api=Api(find(apihost, auth, data_dir)), **kwargs)

    return where(wrapped)


def content_options(function: Command[Result]) -> Command[Result]:
    """Adds -p, -P and -a, given to the command as one `content`: what the body says of parameters and annotations."""

    @pairs_option("--param", "-p", "params", help="Parameter; may be repeated.")
    @click.option("--param-file", "-P", type=click.Path(path_type=Path), metavar="FILE", help="Parameters as a JSON object.")
    @pairs_option("--annotation", "-a", "annotations", help="Annotation; may be repeated.")
    @functools.wraps(function)
    def wrapped(*args: Any, params: Any, param_file: Path | None, annotations: Any, **kwargs: Any) -> Result:
        from console.action_file import key_values
        from console.invoke_command import arguments

        content: dict[str, object] = {}
        if params or param_file is not None:
            content["parameters"] = as_pairs(arguments(params, param_file))
        if annotations:
            content["annotations"] = key_values(annotations)
        return function(*args, content=content, **kwargs)

    return wrapped


def as_pairs(values: dict[str, object]) -> list[dict[str, object]]:
    """Values by key in the API's form."""
    return [{"key": key, "value": value} for key, value in values.items()]


def page_options(function: Command[Result]) -> Command[Result]:
    """Adds --limit and --skip, given to the command as one `page`: the query."""

    @click.option("--limit", type=click.IntRange(0, 200), default=30, show_default=True, help="How many; 0 means 200.")
    @click.option("--skip", type=click.IntRange(0), default=0, help="How many to leave out.")
    @functools.wraps(function)
    def wrapped(*args: Any, limit: int, skip: int, **kwargs: Any) -> Result:
        return function(*args, page={"limit": str(limit), "skip": str(skip)}, **kwargs)

    return wrapped


def parts(name: str, packaged: bool = False) -> tuple[str, str]:
    """Namespace (`_` for one's own) and name, with its package if it may have one. Raises WrongUsage."""
    found = name.removeprefix("/").split("/")
    namespace = found.pop(0) if name.startswith("/") else "_"
    if not all((namespace, *found)) or not 1 <= len(found) <= 1 + packaged:
        forms = "NAME, PACKAGE/NAME or /NAMESPACE/[PACKAGE/]NAME" if packaged else "NAME or /NAMESPACE/NAME"
        raise WrongUsage(f"{name!r} is no name", f"write {forms}")
    return namespace, "/".join(found)


def path_of(collection: str, name: str) -> str:
    """Where a package, trigger or rule is. Raises WrongUsage."""
    namespace, simple = parts(name)
    return f"namespaces/{quote(namespace, safe='')}/{collection}/{quote(simple, safe='')}"


def full_name(name: str, packaged: bool = False) -> str:
    """`/NAMESPACE/[PACKAGE/]NAME`, as bodies have it. Raises WrongUsage."""
    return "/{}/{}".format(*parts(name, packaged))


def put(api: Api, collection: str, name: str, body: object, overwrite: bool) -> Row:
    """The entity as stored. Raises Refused, Unreachable."""
    return api.ask("PUT", path_of(collection, name), body, {"overwrite": str(overwrite).lower()}).document


def shown_name(entity: Row) -> str:
    """`namespace/name`."""
    return f"{entity.get('namespace')}/{entity.get('name')}"


def report(entity: Row, json_output: bool, text: str) -> None:
    """The entity as JSON, or one line."""
    from console.output import print_json

    if json_output:
        print_json(entity)
    else:
        print(f"ok: {text}")


def show(entity: Row) -> None:
    """A whole entity."""
    from console.output import print_json

    print_json(entity)


def rows(api: Api, collection: str, namespace: str, page: dict[str, str]) -> list[Row]:
    """A part of a list. Raises Refused, Unreachable."""
    found = api.ask("GET", f"namespaces/{quote(namespace, safe='')}/{collection}", None, page).body
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def table(
    found: list[Row], json_output: bool, columns: Sequence[str], cells: Callable[[Row], Sequence[object]], empty: str
) -> None:
    """A list as JSON, or as a table."""
    from console.output import print_json, print_table

    if json_output:
        print_json(found)
    else:
        print_table(columns, [cells(row) for row in found], empty)


def namespace_of(given: str | None) -> str:
    """`/NAMESPACE`, `NAMESPACE`, or one's own. Raises WrongUsage."""
    namespace = "_" if given is None else given.removeprefix("/").removesuffix("/")
    if not namespace or "/" in namespace:
        raise WrongUsage(f"{given!r} is no namespace", "write /NAMESPACE")
    return namespace
