"""`aspd data`: from ordinary answers to training data with parallel structure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aspd_local.cli.data_flags import BuildFlags, GenerateFlags, WorkFlags
from aspd_local.cli.data_views import report, show
from aspd_local.cli.flags import spread
from aspd_local.cli.notes import note
from aspd_local.cli.shell import app_below
from aspd_local.cli.working import one_line, working

if TYPE_CHECKING:
    from aspd_local.data.build import Summary
    from aspd_local.data.config import Config
    from aspd_local.data.judge import EndpointJudge
    from aspd_local.data.scoring import Scorer
    from aspd_local.model import Model
    from aspd_local.typing import EngineSettings

app = app_below(
    "data",
    help="Make training data with parallel structure from ordinary answers, and look at it.",
    no_args_is_help=True,
)
app.command("report")(report)
app.command("show")(show)

_GO_ON = "the same command goes on from here"
_ROWS = 256  # of logits in a step: scoring needs those of every token
_ROOM = 4  # cells for each token that may be scored: branches lie side by side


@app.command()
@spread
def build(
    answers: Annotated[
        Path,
        typer.Argument(
            metavar="ANSWERS.jsonl", help="Prompts with their answers.", exists=True, dir_okay=False
        ),
    ],
    flags: BuildFlags,
) -> None:
    """Find the parallel structure of ordinary answers, test it, and write one example for each.

    Run it again after it was stopped: it goes on from there.
    """
    from aspd_local.data import build as verb

    with one_line(flags.out, _GO_ON), ExitStack() as stack:
        config = flags.config()
        judge = _judge(flags, stack)
        scorer = _scorer(flags, config, stack) if flags.score else None
        with working() as tell:
            summary = verb.build(
                answers,
                flags.target(),
                config,
                models=verb.Models(scorer=scorer, judge=judge),
                how=verb.How(workers=flags.workers, limit=flags.limit, progress=tell),
            )
    _print_summary(summary, flags.out)


@app.command()
@spread
def generate(
    prompts: Annotated[
        Path,
        typer.Argument(
            metavar="PROMPTS", help="JSON lines with `prompt`, or plain lines.", exists=True, dir_okay=False
        ),
    ],
    flags: GenerateFlags,
) -> None:
    """Let a local model answer each different prompt once, serially, many at a time.

    Run it again after it was stopped: it goes on from there.
    """
    from aspd_local.data import generate as verb

    with one_line(flags.out, _GO_ON):
        how = verb.Settings(
            model=flags.model,
            max_tokens=flags.max_tokens,
            temperature=flags.temperature,
            top_p=flags.top_p,
            seed=flags.seed,
            group=flags.group,
        )
        settings: EngineSettings = {
            **flags.settings(),
            "n_requests": flags.parallel,
            "n_lanes": flags.parallel,
        }
        settings |= {"n_ctx": flags.parallel * (flags.max_tokens + 1024), "n_retained": 0}
        with _open(flags.model, flags, settings) as model, working() as tell:

            def told(done: int, total: int) -> None:
                tell("answering", done, total)

            tally = verb.generate(prompts, flags.target(), model, how, progress=told)
    typer.echo(
        f"{flags.out}: {tally.n_answers} answers ({tally.duplicates} repeated prompts, {tally.bad} bad "
        f"lines, {tally.too_long} too long)"
    )


# --- what they share ------------------------------------------------------------------------------


@contextmanager
def _open(name: str, flags: WorkFlags, settings: EngineSettings) -> Iterator[Model]:
    from aspd_local.cli import progress
    from aspd_local.cli.flags import ModelFlags

    model_flags = ModelFlags(
        model=name, threads=flags.threads, gpu_layers=flags.gpu_layers, verbose=flags.verbose
    )
    with progress.open_model(model_flags, settings) as model:
        yield model


def _scorer(flags: BuildFlags, config: Config, stack: ExitStack) -> Scorer:
    from aspd_local.data.kept_scores import KeptScores
    from aspd_local.data.scoring import ModelScorer

    settings = flags.settings()
    settings |= {"n_ctx": _ROOM * config.max_tokens, "n_outputs_max": _ROWS, "n_requests": 1, "n_retained": 0}
    scorer = ModelScorer(stack.enter_context(_open(flags.model, flags, settings)))
    if flags.scores is None:
        return scorer
    return stack.enter_context(KeptScores(scorer, flags.model, flags.scores))


def _judge(flags: BuildFlags, stack: ExitStack) -> EndpointJudge | None:
    if flags.judge is None:
        return None
    from aspd_local.data.endpoint import Endpoint, Settings
    from aspd_local.data.judge import EndpointJudge

    url, model = flags.judge
    settings = Settings(
        url=url, model=model, api_key=os.environ.get("ASPD_JUDGE_API_KEY", ""), per_minute=flags.judge_rate
    )
    cache = flags.judge_cache or flags.out.with_name(f"{flags.out.name}.judge")
    endpoint = stack.enter_context(Endpoint(settings, cache))
    return EndpointJudge(ask=endpoint.ask, n_votes=flags.judge_votes)


def _print_summary(summary: Summary, out: Path) -> None:
    for number, reason in summary.shown:
        note(f"aspd: line {number}: {reason}")
    if n_bad := sum(summary.bad.values()):
        reasons = ", ".join(f"{count} {reason}" for reason, count in summary.bad.most_common())
        note(f"aspd: {n_bad} bad lines: {reasons}")
    if summary.resumed:
        note(f"aspd: {summary.resumed} examples were there already")
    fresh = summary.n_examples - summary.resumed
    typer.echo(
        f"{out}: {summary.n_examples} examples; of the {fresh} of this run, {summary.n_parallel} have blocks"
    )
    for (stage, reason), count in summary.rejected.most_common():
        typer.echo(f"{count:8} {stage}: {reason}")
