"""`aspd data report` and `aspd data show`: looking at a data set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aspd_local.cli.notes import errors_in_one_line, note
from aspd_local.cli.working import working

if TYPE_CHECKING:
    from rich.console import RenderableType

    from aspd_local.data.example import BlockText
    from aspd_local.data.record import Decision, Record

Data = Annotated[
    Path,
    typer.Argument(metavar="OUT.jsonl", help="A file of `aspd data build`.", exists=True, dir_okay=False),
]
_LEAST_CELLS = 26  # of a column that can be read


def report(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The page to write, .html.")],
    seed: Annotated[int, typer.Option("--seed", help="Of the examples that are drawn.")] = 0,
) -> None:
    """Write one page of HTML: counts, metrics, histograms, rejections, twenty examples."""
    from aspd_local.data.report import report as make

    with errors_in_one_line(), working() as tell:
        page = make(data, seed=seed, progress=lambda done, total: tell("reading", done, total))
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        note(f"aspd: {out}: {error.strerror or error}")
        raise typer.Exit(1) from error
    typer.echo(out)


def show(
    data: Data,
    number: Annotated[int, typer.Argument(metavar="N", help="Which example, from 1.", min=1)],
    as_json: Annotated[bool, typer.Option("--json", help="Print its line instead.")] = False,
) -> None:
    """Print an example with its branches side by side, and what was decided about it."""
    from rich.console import Console

    from aspd_local.data.record import to_line
    from aspd_local.data.report import nth

    with errors_in_one_line():
        record = nth(data, number)
    if as_json:
        typer.echo(to_line(record).decode(), nl=False)
        return
    console = Console(width=None if sys.stdout.isatty() else 100, markup=False, highlight=False)
    for piece in _drawn(record, number, console.width):
        console.print(piece)


def _drawn(record: Record, number: int, width: int) -> list[RenderableType]:
    from rich.panel import Panel
    from rich.rule import Rule
    from rich.text import Text

    from aspd_local.cli.wrap import harmless
    from aspd_local.data.example import TrunkText
    from aspd_local.data.metrics import bound, parallelism

    counts = record.counts
    gain = f"DP {parallelism(counts):.0%}, bound {bound(counts):.2f}x"
    facts = f"{counts.total} {counts.unit}, {gain}, {record.split}"
    pieces: list[RenderableType] = [
        Rule(Text(f"example {number}: {facts}")),
        Panel(
            Text(harmless(record.question.strip())), title="prompt", title_align="left", border_style="dim"
        ),
    ]
    for segment in record.structure:
        if isinstance(segment, TrunkText):
            if text := segment.text.strip("\n"):
                pieces.append(Text(harmless(text)))
        else:
            pieces.append(_side_by_side(segment, width))
    if record.decisions:
        pieces.append(Rule(Text("decisions"), style="dim"))
        pieces += [Text(harmless(_told(decision)), style="dim") for decision in record.decisions]
    return pieces


def _side_by_side(block: BlockText, width: int) -> RenderableType:
    """Rows of as many branches as fit."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    from aspd_local.cli.wrap import harmless

    n_branches = len(block.branches)
    fit = max(1, min(n_branches, width // _LEAST_CELLS))
    per_row = -(-n_branches // -(-n_branches // fit))  # rows as even as can be
    rows = []
    for first in range(0, n_branches, per_row):
        table = Table.grid(expand=True)
        branches = block.branches[first : first + per_row]
        for _ in range(per_row):
            table.add_column(ratio=1)
        table.add_row(
            *(
                Panel(
                    Text(harmless(branch.text.strip("\n"))),
                    title=Text(f"{first + i}. {harmless(branch.title)}"),
                    title_align="left",
                    border_style="cyan",
                )
                for i, branch in enumerate(branches, 1)
            )
        )
        rows.append(table)
    return Group(*rows)


def _told(decision: Decision) -> str:
    what = f"{decision.n_branches} {decision.kind} " if decision.kind else ""
    why = f": {decision.stage}, {decision.reason}" if decision.reason else ""
    evidence = f" ({decision.evidence})" if decision.evidence else ""
    place = f" at {decision.begin}" if decision.begin is not None else ""
    return f"{what}{decision.outcome}{place}{why}{evidence}"
