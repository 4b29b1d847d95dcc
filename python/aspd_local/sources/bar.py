"""A bar on stderr while a model is fetched. Knows nothing of where it comes from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def on_terminal() -> bool:
    """Whether somebody looks at stderr."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def progress_bar(
    plain: Callable[[int | None, str], None] | None = None,
) -> Iterator[Callable[[int, int | None, str], None]]:
    """What to call with (done, total or None, label); the bar appears with the first bytes.

    Args:
        plain: called once with (total, label) instead, where stderr is no terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    bar = Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = None

    def tell(done_bytes: int, total_bytes: int | None, label: str) -> None:
        nonlocal task
        if task is None:
            task = bar.add_task(label, total=total_bytes, completed=done_bytes)
            if console.is_terminal:
                bar.start()
            elif plain is not None:
                plain(total_bytes, label)
        bar.update(task, description=label, completed=done_bytes, total=total_bytes)

    try:
        yield tell
    finally:
        if task is not None and console.is_terminal:
            bar.stop()
