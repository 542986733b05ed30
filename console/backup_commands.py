"""`backup` and `restore`: the whole store as one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import rich_click as click

from console.command import help_text
from console.exits import Refused
from console.journal_commands import data_dir_option

FILE = click.Path(path_type=Path)


def _done(work: Callable[[Path, Path], None], data_dir: Path, file: Path) -> None:
    from store.errors import StoreError

    try:
        work(data_dir, file)
    except StoreError as error:
        raise Refused(str(error)) from None


@click.command(help=help_text(
    "Copy journal, records, actions and users into FILE, consistent, while the node runs. The file holds keys: it is readable by "
    "its owner alone.", "backup monday.db", "backup /mnt/backup/monday.db --data-dir /var/lib/rewhisk",
))  # fmt: skip
@click.argument("file", type=FILE)
@data_dir_option
def backup(file: Path, data_dir: Path) -> None:
    """See the help."""
    from store.sqlite_backup import backup as copy

    _done(copy, data_dir, file)
    print(f"ok: {file}, {file.stat().st_size} bytes")


@click.command(help=help_text(
    "Put the backup FILE in the place of the data directory's store. No node may run there. What was unfinished at the time of "
    "the backup is run again by the next start.", "restore monday.db --data-dir ./data",
))  # fmt: skip
@click.argument("file", type=FILE)
@data_dir_option
def restore(file: Path, data_dir: Path) -> None:
    """See the help."""
    from store.sqlite_backup import restore as put_back

    _done(put_back, data_dir, file)
    print(f"ok: {data_dir} holds what {file} held")
