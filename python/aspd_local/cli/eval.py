"""`aspd eval`: how fast and how good a model's answers are, in parallel and serially."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aspd_local.cli.flags import spread
from aspd_local.cli.models import fetched
from aspd_local.cli.shell import app_below, complete_model
from aspd_local.cli.working import need_extra, one_line, working
from aspd_local.sources import DEFAULT_MODEL

if TYPE_CHECKING:
    from aspd_local.eval.config import EvalConfig
    from aspd_local.eval.results import Results

_HELP = (
    "Measure speed and quality of a model's answers against the same model decoding serially. "
    "`aspd eval compare A B` compares two runs, `aspd eval report DIR` writes a run's pages again."
)
app = app_below("eval", help=_HELP)
compare_app = app_below("compare")
report_app = app_below("report")

_GO_ON = "the same command goes on from here"
SUMMARY, REPORT = "summary.json", "report.html"


@dataclass(frozen=True, kw_only=True)
class EvalFlags:
    """What is asked, of whom, and how it is judged."""

    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results.", file_okay=False)
    ]
    suite: Annotated[
        str, typer.Option("--suite", metavar="NAME|FILE", help="vicuna, gsm8k, rag, or a JSONL file.")
    ] = "vicuna"
    against: Annotated[
        str,
        typer.Option(
            "--against",
            metavar="NAMES",
            help="Contestants, by commas: serial, parallel, reprefill, skeleton, ngram, PROTOCOL:RULE.",
        ),
    ] = "serial"
    limit: Annotated[
        int | None, typer.Option("--limit", help="Only so many questions, drawn by the seed.", min=1)
    ] = None
    max_tokens: Annotated[int, typer.Option("--max-tokens", help="Of each answer.", min=1)] = 512
    temperature: Annotated[
        float, typer.Option("--temperature", help="0 takes the most likely token.", min=0)
    ] = 0.0
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.", min=0)] = 0
    n_ctx: Annotated[int, typer.Option("--n-ctx", help="Cells of the cache.", min=0)] = 4096
    threads: Annotated[int, typer.Option("--threads", help="0: physical cores.", min=0)] = 0
    server: Annotated[
        Path | None, typer.Option("--server", metavar="FILE", help="llama.cpp's llama-server, for ngram.")
    ] = None
    judge_model: Annotated[
        str | None,
        typer.Option(
            "--judge-model",
            metavar="MODEL",
            help="Scores answers by their likelihood. Not the model itself.",
            autocompletion=complete_model,
        ),
    ] = None
    judge: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--judge",
            metavar="URL NAME",
            help="An OpenAI-compatible endpoint and a model there, which chooses between answers.",
        ),
    ] = None
    judge_rate: Annotated[float, typer.Option("--judge-rate", help="Most requests a minute.", min=0)] = 60.0
    force: Annotated[bool, typer.Option("--force", help="Replace what is in DIR.")] = False

    def config(self, model: str) -> EvalConfig:
        """As run() takes it. Raises ValueError."""
        from aspd_local.eval.config import EvalConfig, JudgeConfig

        named = [name.strip() for name in self.against.split(",") if name.strip()]
        url, name = self.judge or (None, "")
        return EvalConfig(
            model=model,
            suite=self.suite,
            contestants=tuple(dict.fromkeys(["serial", "parallel", *named])),
            limit=self.limit,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=self.seed,
            n_ctx=self.n_ctx,
            n_threads=self.threads,
            server=self.server,
            judge=JudgeConfig(model=self.judge_model, url=url, name=name, rate=self.judge_rate),
        )


@app.command()
@spread
def evaluate(
    flags: EvalFlags,
    model: Annotated[
        str,
        typer.Argument(
            metavar="[MODEL]",
            help="A name or a path.",
            autocompletion=complete_model,
        ),
    ] = DEFAULT_MODEL,
) -> None:
    """Measure speed and quality of a model's answers against the same model decoding serially.

    DIR gets results.jsonl (every answer), summary.json, report.html and pictures. A run that was stopped
    goes on. `aspd eval compare A B` compares two runs, `aspd eval report DIR` writes a run's pages again.
    """
    with one_line(flags.out, _GO_ON):
        _need_extra()
        from aspd_local.eval.runner import run

        config = flags.config(model)
        found = {name: fetched(name) for name in (model, flags.judge_model) if name is not None}
        with working() as tell:
            results = run(config, flags.out, tell, force=flags.force, find=found.__getitem__)
        summary = _write(results, flags.out)
    _print(summary)
    typer.echo(flags.out / REPORT)


@report_app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Of a run.", file_okay=False)],
) -> None:
    """Write summary.json, report.html and the pictures again, from results.jsonl alone."""
    with one_line(folder, _GO_ON):
        _need_extra()
        from aspd_local.eval.results import RESULTS, read_results

        summary = _write(read_results(folder / RESULTS), folder)
    _print(summary)
    typer.echo(folder / REPORT)


@compare_app.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="A", help="Folder of a run.", file_okay=False)],
    after: Annotated[Path, typer.Argument(metavar="B", help="Folder of another.", file_okay=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Compare two runs: times as a ratio B / A, quality as B - A, over the questions that both have."""
    with one_line(after, _GO_ON):
        _need_extra()
        from aspd_local.eval.compare import compare as changes
        from aspd_local.eval.results import RESULTS, read_results

        found = changes(read_results(before / RESULTS), read_results(after / RESULTS))
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    _table(
        ["", "time, B / A", "right, B - A", "faults, B - A", "nats, B - A", "equal texts"],
        [
            [
                name,
                *(_told(change[key]) for key in ("time", "right", "faults", "nats")),
                f"{change['equal_texts']} of {change['n']}",
            ]
            for name, change in found.items()
        ],
    )


# --- what they share ------------------------------------------------------------------------------


def _need_extra() -> None:
    """Raises ValueError where the extra is not installed, before anything is measured."""
    need_extra("aspd eval", ("matplotlib", "numpy"), "eval")


def _write(results: Results, folder: Path) -> dict[str, Any]:
    """summary.json, report.html and the pictures of a run."""
    from aspd_local.eval.plots import draw
    from aspd_local.eval.report import page
    from aspd_local.eval.summary import summarise

    summary = summarise(results)
    (folder / SUMMARY).write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    pictures = draw(results, summary, folder)
    (folder / REPORT).write_text(page(results, summary, pictures), encoding="utf-8")
    return summary


def _print(summary: dict[str, Any]) -> None:
    rows = []
    for name, said in summary["contestants"].items():
        rows.append(
            [
                name,
                _told(said["speedup"]["mean"]),
                _told(said["speedup_forked"]["mean"]),
                _told(said["seconds_per_answer"]["mean"]),
                _told(said["parallel"]["ppd"]),
                _told(said["quality"]["right"]),
                str(said["quality"]["faults_total"]),
            ]
        )
    _table(["", "speed-up", "forked", "seconds", "with a block", "right", "faults"], rows)


def _told(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate['value']:.3g} [{estimate['low']:.3g}, {estimate['high']:.3g}]"


def _table(heads: list[str], rows: list[list[str]]) -> None:
    """On a narrow terminal cells wrap; no figure is cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, justify="left" if not head else "right", no_wrap=not head, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(markup=False, highlight=False).print(table)
