"""`aspd models`: what models there are, and fetching, finding and checking them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aspd_local import sources
from aspd_local.cli.notes import errors_in_one_line, note
from aspd_local.cli.shell import app_below, complete_model
from aspd_local.errors import OfflineError
from aspd_local.sources import bar

if TYPE_CHECKING:
    from aspd_local.sources.inventory import Entry

app = app_below("models", help="List, fetch, find and check model files.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A name from the list, hf:owner/repo:Q4_K_M, hf:owner/repo/file.gguf, or a path.",
        autocompletion=complete_model,
    ),
]


def store() -> sources.Store:
    """The user's cache; ASPD_CACHE_DIR moves it."""
    return sources.Store()


def history_file() -> Path:
    """Where what was typed in chats is kept."""
    return store().root / "chat_history"


def known_models() -> list[Entry]:
    """The models known by name and the model files on this machine."""
    from aspd_local.sources.inventory import inventory

    try:
        from aspd_local.sources.hub import Hub

        hub = Hub()
    except (ImportError, OSError):  # not installed, or a user without a home
        hub = None
    return inventory(store(), hub)


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
) -> None:
    """Show the models known by name and the model files on this machine."""
    with errors_in_one_line():
        entries = known_models()
    if as_json:
        typer.echo(json.dumps([_as_dict(entry) for entry in entries], indent=2))
    else:
        _print_table(entries)


@app.command()
def pull(name: Name) -> None:
    """Fetch a model if it is not here, and print its path. Goes on where an earlier fetch stopped."""
    try:
        with errors_in_one_line(), progress_bar() as progress:
            path = sources.pull(name, progress=progress, store=store())
    except KeyboardInterrupt:
        note("aspd: interrupted; the same command goes on from here")
        raise
    typer.echo(path)


@app.command("path")
def print_path(name: Name) -> None:
    """Print the path of a model that is on this machine; exit 1 if it is not. Fetches nothing."""
    with errors_in_one_line():
        path = sources.locate(name, store=store())
        if path is None:
            raise OfflineError(name, f"not on this machine; `aspd models pull {name}` fetches it")
    typer.echo(path)


@app.command()
def verify(name: Name) -> None:
    """Read a model again and compare its checksum; exit 1 if the file is damaged or no checksum is known."""
    with errors_in_one_line():
        checked = sources.verify(name, store=store())
    for file in checked:
        typer.echo(
            f"{'ok' if file.known else 'no checksum known'}: {file.path} ({file.digest})", err=not file.known
        )
    if not all(file.known for file in checked):
        raise typer.Exit(1)


@contextmanager
def progress_bar() -> Iterator[sources.Progress]:
    """A bar on stderr that appears with the first bytes; one plain line where stderr is not a terminal."""

    def plain(total_bytes: int | None, label: str) -> None:
        note(f"fetching {_size(total_bytes or 0)}: {label}")

    with bar.progress_bar(plain) as tell:
        yield tell


def fetched(name: str) -> Path:
    """The path of a model, fetched with a bar if it is not here. Raises: as sources.resolve()."""
    with progress_bar() as progress:
        return sources.resolve(name, progress=progress, store=store())


def _as_dict(entry: Entry) -> dict[str, object]:
    return {
        "name": entry.name,
        "source": entry.source,
        "size_bytes": entry.size_bytes,
        "downloaded": entry.path is not None,
        "path": str(entry.path) if entry.path else None,
        "licence": entry.licence,
        "description": entry.description,
    }


def _print_table(entries: list[Entry]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("name", "size", "downloaded", "licence", "where"):
        table.add_column(title, justify="right" if title == "size" else "left", no_wrap=True)
    for entry in entries:
        default = " (default)" if entry.name == sources.DEFAULT_MODEL else ""
        cells = (
            entry.name + default,
            _size(entry.size_bytes),
            "yes" if entry.path else "no",
            entry.licence or "-",
            str(entry.path) if entry.path else "Python packages",
        )
        table.add_row(*map(Text, cells))
    # Each model on one line, however long: a terminal may break it, and what is copied of it stays whole.
    Console(width=10_000, markup=False, highlight=False).print(table, soft_wrap=True)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"
