"""What long runs show: errors in one line, and a bar.

On a terminal's stderr it moves; elsewhere there is a line for each tenth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import typer

from aspd_local.cli.asking import EXIT_INTERRUPTED
from aspd_local.cli.notes import errors_in_one_line, note


@contextmanager
def one_line(out: Path, go_on: str) -> Iterator[None]:
    """Errors in one line, those of the disk of `out` too; Ctrl-C says how to go on."""
    with errors_in_one_line():
        try:
            yield
        except KeyboardInterrupt:
            note(f"aspd: interrupted; {go_on}")
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except OSError as error:
            if error.filename is not None:
                raise
            raise OSError(error.errno, error.strerror or str(error), str(out)) from error


def need_extra(what: str, modules: Iterable[str], extra: str) -> None:
    """Raises ValueError where modules of an extra are not installed. what: needs them, for the message."""
    if missing := sorted(name for name in modules if find_spec(name) is None):
        raise ValueError(f"{what} needs {', '.join(missing)}: pip install 'aspd-local[{extra}]'")


@contextmanager
def working() -> Iterator[Callable[[str, int, int], None]]:
    """Gives what is to be called with (what is done, done, all)."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        TaskID,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    bar = Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def tell(label: str, done: int, total: int) -> None:
        if label not in tasks:
            tasks[label] = bar.add_task(label, total=total)
        bar.update(tasks[label], completed=done, total=total)

    with bar:
        yield tell


def _lines() -> Callable[[str, int, int], None]:
    told: dict[str, int] = {}

    def tell(label: str, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 10
        if tenth > told.get(label, 0):
            told[label] = tenth
            note(f"{label}: {10 * tenth} %")

    return tell
