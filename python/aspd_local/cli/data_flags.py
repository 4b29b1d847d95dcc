"""The options of `aspd data build` and `aspd data generate`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aspd_local.cli.flags import MeasuringFlags
from aspd_local.cli.notes import note
from aspd_local.cli.shell import complete_model
from aspd_local.sources import DEFAULT_BASE

if TYPE_CHECKING:
    from aspd_local.data.checkpoint import Target
    from aspd_local.data.config import Config, Thresholds
    from aspd_local.typing import EngineSettings

_SCORER = "Likelihood test"
_JUDGE = "Judge"


@dataclass(frozen=True, kw_only=True)
class WorkFlags(MeasuringFlags):
    """What every long run has."""

    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The file to write.")]
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same bytes.")] = 0
    force: Annotated[
        bool, typer.Option("--force", help="Replace FILE, and a part of it begun with other settings.")
    ] = False

    def target(self) -> Target:
        """As build() and generate() take it."""
        from aspd_local.data.checkpoint import Target

        return Target(path=self.out, force=self.force)

    def settings(self) -> EngineSettings:
        """As keyword arguments of Model."""
        return {"n_threads": self.threads, "n_threads_batch": self.threads}


@dataclass(frozen=True, kw_only=True)
class BuildFlags(WorkFlags):
    """What becomes a block."""

    min_branches: Annotated[int, typer.Option("--min-branches", help="Of a block.", min=2)] = 3
    max_branches: Annotated[int, typer.Option("--max-branches", help="Of a block.", min=2)] = 16
    min_words: Annotated[int, typer.Option("--min-words", help="Of each branch.", min=1)] = 10
    valid: Annotated[float, typer.Option("--valid", help="Share of the prompts.", min=0, max=1)] = 0.05
    test: Annotated[float, typer.Option("--test", help="Share of the prompts.", min=0, max=1)] = 0.05
    workers: Annotated[int, typer.Option("--workers", help="Processes for what needs no model.", min=1)] = 1
    limit: Annotated[int | None, typer.Option("--limit", help="Only so many lines.", min=1)] = None
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|PATH",
            help="The model that scores.",
            autocompletion=complete_model,
            rich_help_panel=_SCORER,
        ),
    ] = DEFAULT_BASE
    score: Annotated[
        bool,
        typer.Option(
            "--score/--no-score", help="Ask the model whether parts depend.", rich_help_panel=_SCORER
        ),
    ] = True
    max_gain: Annotated[
        float | None,
        typer.Option(
            "--max-gain", help="Threshold.", rich_help_panel=_SCORER, show_default="fitted for the model"
        ),
    ] = None
    max_join: Annotated[
        float | None,
        typer.Option(
            "--max-join", help="Threshold.", rich_help_panel=_SCORER, show_default="fitted for the model"
        ),
    ] = None
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores",
            metavar="FILE",
            help="Keeps scores: other thresholds need no new ones.",
            rich_help_panel=_SCORER,
            show_default="not kept",
        ),
    ] = None
    judge: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--judge",
            metavar="URL MODEL",
            help="An OpenAI-compatible endpoint that votes; its key is taken from ASPD_JUDGE_API_KEY.",
            rich_help_panel=_JUDGE,
        ),
    ] = None
    judge_votes: Annotated[
        int,
        typer.Option(
            "--judge-votes", help="For each question; all must agree.", min=1, rich_help_panel=_JUDGE
        ),
    ] = 3
    judge_rate: Annotated[
        float,
        typer.Option("--judge-rate", help="Requests a minute; 0: no limit.", min=0, rich_help_panel=_JUDGE),
    ] = 0
    judge_cache: Annotated[
        Path | None,
        typer.Option(
            "--judge-cache",
            metavar="FILE",
            help="Where replies are kept.",
            rich_help_panel=_JUDGE,
            show_default="FILE.judge beside the output",
        ),
    ] = None

    def config(self) -> Config:
        """As build() takes it. Raises ValueError."""
        from aspd_local.data.config import Config

        return Config(
            min_branches=self.min_branches,
            max_branches=self.max_branches,
            min_words=self.min_words,
            scorer=self.model if self.score else None,
            thresholds=self._thresholds() if self.score else None,
            judge=None if self.judge is None else " ".join(self.judge),
            judge_votes=self.judge_votes,
            valid=self.valid,
            test=self.test,
            seed=self.seed,
        )

    def _thresholds(self) -> Thresholds:
        from aspd_local.data.thresholds import fitted, strictest

        found = fitted(self.model)
        if found is None:
            found = strictest()
            if self.max_gain is None:
                note(f"aspd: warning: no thresholds were fitted for {self.model}; see docs/data.md")
        if self.max_gain is not None:
            found = replace(found, gain=self.max_gain)
        return found if self.max_join is None else replace(found, join=self.max_join)


@dataclass(frozen=True, kw_only=True)
class GenerateFlags(WorkFlags):
    """How answers are written."""

    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|PATH",
            help="The model that answers.",
            autocompletion=complete_model,
        ),
    ] = DEFAULT_BASE
    max_tokens: Annotated[int, typer.Option("--max-tokens", help="Of each answer.", min=1)] = 512
    temperature: Annotated[float, typer.Option("--temperature", help="0 takes the most likely token.")] = 0.7
    top_p: Annotated[float, typer.Option("--top-p", help="1: off.")] = 0.9
    parallel: Annotated[int, typer.Option("--parallel", help="Answers under way at once.", min=1)] = 8
    group: Annotated[int, typer.Option("--group", help="Answers that are written together.", min=1)] = 32
