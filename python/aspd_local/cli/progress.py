"""What stderr shows while a model is fetched and loaded, and before the first word of an answer."""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console

from aspd_local.cli.models import progress_bar, store
from aspd_local.cli.notes import note
from aspd_local.sources import resolve

if TYPE_CHECKING:
    from aspd_local.cli.flags import ModelFlags
    from aspd_local.model import Model
    from aspd_local.typing import EngineSettings


class Waiting:
    """A line that moves, on a terminal's stderr, until stop() or the end of the `with`."""

    def __init__(self, text: str) -> None:
        from rich.status import Status

        console = Console(stderr=True, markup=False, highlight=False)
        fits = console.is_terminal and not console.is_dumb_terminal
        self._status = Status(text, console=console) if fits else None

    def __enter__(self) -> Waiting:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def say(self, text: str) -> None:
        """Another text from now on."""
        if self._status is not None:
            self._status.update(text)

    def stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


class _Stderr(logging.Handler):
    """Log lines on whatever sys.stderr is at that time: a live display puts itself there."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


class _Warnings(logging.Handler):
    """What must be known without --verbose."""

    def emit(self, record: logging.LogRecord) -> None:
        note(f"aspd: warning: {record.getMessage()}")


def set_log(*, verbose: bool) -> None:
    """Shows the log of aspd_local and llama.cpp on stderr, or nothing of it."""
    logger = logging.getLogger("aspd_local")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.handlers = [_Stderr() if verbose else logging.NullHandler()]
    measuring = logging.getLogger("aspd_local.profile")
    measuring.setLevel(logging.NOTSET if verbose else logging.WARNING)
    measuring.handlers = [] if verbose else [_Warnings()]


def warn_without_gpu(n_gpu_layers: int) -> None:
    """A line on stderr if this build is for GPUs and layers were to go to one, but there is none."""
    from aspd_local import _core

    if n_gpu_layers and (reason := _core.missing_gpu()):
        print(f"aspd: warning: {reason}; the CPU computes", file=sys.stderr)


def open_model(flags: ModelFlags, settings: EngineSettings | None = None) -> Model:
    """Fetches a model if it is not here, and loads it. settings: instead of those of the flags.

    Raises: as Model.
    """
    from aspd_local.model import Model

    set_log(verbose=flags.verbose)
    warn_without_gpu(flags.gpu_layers)
    with progress_bar() as progress:
        path = resolve(flags.model, progress=progress, store=store())
    with Waiting(f"loading {path.name}") as waiting:

        def told(done: int, total: int | None, label: str) -> None:
            waiting.say(f"{label} what steps of {path.name} cost here, once: {done} of {total}")

        chosen = flags.settings() if settings is None else settings
        return Model(path, progress=told, n_gpu_layers=flags.gpu_layers, **chosen)
