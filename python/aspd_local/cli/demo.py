"""`aspd demo`: one question, answered serially and then in parallel by the same weights, with times."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from aspd_local.cli import progress
from aspd_local.cli.asking import EXIT_INTERRUPTED, ask
from aspd_local.cli.demo_examples import example_turns
from aspd_local.cli.flags import ModelFlags, spread
from aspd_local.cli.notes import errors_in_one_line
from aspd_local.cli.screen import open_screen
from aspd_local.cli.summary import comparison
from aspd_local.events import Done, End, Event, Fork, Join, Text, Unfork

if TYPE_CHECKING:
    from aspd_local.chat import Message
    from aspd_local.cli.answerer import Answerer
    from aspd_local.results import Answer
    from aspd_local.typing import AnswerOptions

QUESTION = "What are the benefits of cycling to work?"
_MAX_TOKENS = 400
_PROBE_CHARACTERS = 200


@spread
def demo(
    model: ModelFlags,
    question: Annotated[str, typer.Option("--question", metavar="TEXT", help="What to answer.")] = QUESTION,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, help="Most tokens of each answer, branches included.")
    ] = _MAX_TOKENS,
) -> None:
    """Answer one question serially, then in parallel, and compare. Fetches the model if need be."""
    with errors_in_one_line(), closing(progress.open_model(model)) as engine:
        show_demo(engine, question, max_tokens)


def show_demo(engine: Answerer, question: str, max_tokens: int) -> None:
    """Both answers and the table, on stdout. Raises: as Model.stream."""
    options: AnswerOptions = {"temperature": 0.0, "max_tokens": max_tokens, "seed": 0}
    messages: list[Message] = [{"role": "user", "content": question}]
    with progress.Waiting("warming up"):
        forks = _forks_by_itself(engine, messages, options)
    _say(question, style="bold")
    serial = _answer(engine, messages, {**options, "parallel": "off"}, "Serial: one token after the other")
    title = "Parallel: independent parts side by side"
    if not forks and engine.protocol != "serial":
        examples = example_turns(engine.protocol)
        shown = "is shown two examples and " if examples else ""
        title += f"\n(this model does not fork here by itself: it {shown}is asked for the plan)"
        messages = [*examples, *messages]
        options = {**options, "plan": "always"}
    parallel = _answer(engine, messages, options, title)
    if not parallel.blocks:
        _say(f"\nThis answer was decoded serially: {parallel.fallback or 'the model opened no block'}.")
    _say("")
    _print_table(comparison(serial, parallel))


def _answer(engine: Answerer, messages: list[Message], options: AnswerOptions, title: str) -> Answer:
    engine.reset()  # neither answer profits from the other's prompt
    _say(f"\n{title}\n", style="bold cyan")
    outcome = ask(engine, lambda: engine.stream(messages, **options), open_screen())
    if outcome.answer is None or outcome.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    return outcome.answer


def _forks_by_itself(engine: Answerer, messages: list[Message], options: AnswerOptions) -> bool:
    """Whether a block opens near the beginning. Touches all weights, so that no answer starts cold."""
    return _opens_a_block(engine.stream(messages, **options))  # left early, it cancels the answer


def _opens_a_block(events: Iterable[Event]) -> bool:
    """Once its first branch has ended, a block can be taken back no more."""
    n_characters = 0
    open_block = False
    for event in events:
        match event:
            case Fork():
                open_block = True
            case Unfork():
                open_block = False
            case Text():
                n_characters += len(event.text)
            case End(branch) if branch.endswith(".1"):
                return True
            case Join() | Done():
                return open_block
        if n_characters >= _PROBE_CHARACTERS and not open_block:
            return False
    return open_block


def _print_table(rows: list[tuple[str, str, str]]) -> None:
    from rich.table import Table

    table = Table("", "serial", "parallel", box=None, pad_edge=False, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)


def _say(text: str, style: str = "") -> None:
    console = Console(markup=False, highlight=False)
    console.print(text, style=style, soft_wrap=not console.is_terminal)
    sys.stdout.flush()
