"""`aspd optimize`: a model requantised for this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aspd_local.cli.asking import EXIT_INTERRUPTED
from aspd_local.cli.flags import MeasuringFlags, spread
from aspd_local.cli.models import fetched
from aspd_local.cli.notes import errors_in_one_line, note
from aspd_local.cli.progress import set_log, warn_without_gpu
from aspd_local.cli.shell import complete_model

if TYPE_CHECKING:
    from aspd_local.optimize import Measured, Progress, Report, Settings

_TIMED = (1, 2, 4, 8)  # lanes that the table shows


@dataclass(frozen=True, kw_only=True)
class TrialFlags(MeasuringFlags):
    """What is tried, and how it is measured."""

    max_loss: Annotated[
        float, typer.Option("--max-loss", help="Largest relative rise of the perplexity; 0.02 is 2 %.", min=0)
    ] = 0.02
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="TYPES",
            help="Types of the weights to try, such as Q4_0,Q8_0.",
            show_default="those of Q4_0, IQ4_NL, Q4_K, Q8_0 that make sense",
        ),
    ] = None
    heads: Annotated[
        str | None,
        typer.Option(
            "--heads",
            metavar="TYPES",
            help="Types of the output head to try.",
            show_default="those of Q4_0, Q4_K, Q6_K, Q8_0 that make sense",
        ),
    ] = None
    text: Annotated[
        Path | None,
        typer.Option(
            "--text",
            metavar="FILE",
            help="UTF-8 text that the perplexity is measured on.",
            show_default="a text of the package",
            exists=True,
            dir_okay=False,
        ),
    ] = None
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", help="Tokens of the text that are read.", min=64)
    ] = 2048

    def settings(self) -> Settings:
        """As optimize() takes them. Raises ValueError for flags that name nothing."""
        from aspd_local.optimize import Settings

        return Settings(
            weights=_types("--weights", self.weights),
            heads=_types("--heads", self.heads),
            max_loss=self.max_loss,
            text=None if self.text is None else _read(self.text),
            max_tokens=self.max_tokens,
            n_threads=self.threads,
            n_gpu_layers=self.gpu_layers,
        )


@spread
def optimize(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A GGUF file (best F16 or BF16), hf:owner/repo:F16, or a model's name.",
            autocompletion=complete_model,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The GGUF file to write.")],
    flags: TrialFlags,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the table.")
    ] = False,
) -> None:
    """Requantise a model so that branches cost little on this machine, and print what was measured.

    Exit 1 and no file if no candidate is faster within the loss.
    """
    set_log(verbose=flags.verbose)
    warn_without_gpu(flags.gpu_layers)
    try:
        with errors_in_one_line():
            report, source = _optimize(model, out, flags, force=force)
    except KeyboardInterrupt:
        note("aspd: interrupted; nothing was written")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _print(report, source, out, as_json=as_json)
    if report.chosen is None:
        raise typer.Exit(1)


def _optimize(model: str, out: Path, flags: TrialFlags, *, force: bool) -> tuple[Report, Path]:
    from aspd_local import optimize as verb

    settings = flags.settings()
    verb.check_out(out, Path(model), force=force)
    source = fetched(model)
    for line in verb.warnings(source):
        note(f"aspd: warning: {line}")
    try:
        with _working() as progress:
            return verb.optimize(source, out, settings, force=force, progress=progress), source
    except OSError as error:
        note(f"aspd: {out}: {error.strerror or error}")
        raise typer.Exit(1) from error


def _types(flag: str, names: str | None) -> tuple[str, ...]:
    if names is None:
        return ()
    found = tuple(name.strip() for name in names.split(",") if name.strip())
    if not found:
        raise ValueError(f"{flag} names no type")
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 text: {error}") from error


@contextmanager
def _working() -> Iterator[Progress]:
    """A bar on stderr; where that is not a terminal, a line for each candidate."""
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    bar = Bar(
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
    )
    task = bar.add_task("", total=1.0)
    shown = ""

    def tell(label: str, done: float) -> None:
        nonlocal shown
        if label != shown and not console.is_terminal:
            note(label)
        shown = label
        bar.update(task, description=label, completed=done)

    if not console.is_terminal:
        yield tell
        return
    with bar:
        yield tell


def _print(report: Report, source: Path, out: Path, *, as_json: bool) -> None:
    written = None if report.chosen is None else str(out)
    if as_json:
        typer.echo(json.dumps({"model": str(source), "out": written, **report.to_dict()}))
    else:
        _print_table(report)
    for types, reason in report.failed:
        note(f"aspd: {types}: {reason}")
    for line in report.doubts():
        note(f"aspd: warning: {line}")
    if report.chosen is None:
        note(f"aspd: nothing was written: {report.why_nothing()}")
    elif not as_json:
        best = report.chosen
        lanes = ", ".join(map(str, best.curve.seconds))
        faster = report.source.seconds_per_token / best.seconds_per_token
        typer.echo(
            f"{out}: {best.types}, perplexity {best.loss:+.2%} on {report.n_tokens} tokens, "
            f"{faster:.2f} times as fast as the source (mean of {lanes} lanes)"
        )


def _print_table(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 1000, markup=False, highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("", "weights", "head"):
        table.add_column(title, no_wrap=True)
    for title in ("MB", "perpl.", "loss", *map(str, _TIMED), *(f"x{width}" for width in _TIMED[1:])):
        table.add_column(title, justify="right", no_wrap=True)
    for each in (report.source, *report.candidates):
        mark = "->" if each is report.chosen else ""
        table.add_row(*map(Text, (mark, *_cells(each, is_source=each is report.source))))
    console.print(table)
    typer.echo("1 2 4 8: ms of a step of so many lanes; x2 x4 x8: gain of so many equal branches, predicted")


def _cells(each: Measured, *, is_source: bool) -> Iterator[str]:
    yield from (each.types.weights, each.types.head, f"{each.size_bytes / 1e6:.0f}", f"{each.perplexity:.2f}")
    yield "source" if is_source else f"{100 * each.loss:+.1f}±{100 * each.loss_error:.1f}%"
    for width in _TIMED:
        yield f"{1e3 * each.curve.seconds[width]:.1f}"
    for width in _TIMED[1:]:
        yield f"{each.gain(width):.2f}"
