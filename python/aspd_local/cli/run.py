"""`aspd run`: one question, one answer."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from aspd_local.cli import progress
from aspd_local.cli.asking import EXIT_INTERRUPTED, ask, conversation
from aspd_local.cli.flags import AnswerFlags, ModelFlags, spread
from aspd_local.cli.notes import errors_in_one_line, note
from aspd_local.cli.screen import Silent, open_screen
from aspd_local.cli.streams import as_text
from aspd_local.cli.summary import facts, warnings

if TYPE_CHECKING:
    from aspd_local.events import Event


@spread
def run(
    model: ModelFlags,
    answer: AnswerFlags,
    question: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUESTION",
            help='What to answer, in quotes; "-" or nothing reads stdin.',
            show_default=False,
        ),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Continue the text as it is; for models without a chat template.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the text.")
    ] = False,
) -> None:
    """Answer one question. On a terminal branches grow side by side; a pipe gets plain text."""
    with errors_in_one_line():
        options = answer.options()
        text = read_question(question or [])
        if plain and answer.system is not None:
            raise ValueError("--plain has no place for --system")
        messages = conversation(answer.system, [{"role": "user", "content": text}])
        with closing(progress.open_model(model)) as engine:

            def start() -> Iterator[Event]:
                return engine.stream_prompt(text, **options) if plain else engine.stream(messages, **options)

            outcome = ask(engine, start, Silent() if as_json else open_screen())
        result = outcome.answer
        if result is not None:
            if as_json:
                typer.echo(json.dumps(result.to_dict(), ensure_ascii=False))
            for line in [*warnings(result, options), *(facts(result) if model.verbose else [])]:
                note(f"aspd: {line}")
    if outcome.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


def read_question(words: Sequence[str]) -> str:
    """The question; stdin for "-", or for nothing where stdin is no terminal.

    Raises ValueError: there is none, the shell has taken it apart, or stdin cannot be read.
    """
    if len(words) > 1:
        whole = shlex.quote(" ".join(words))
        raise ValueError(f"the question must be one argument: put it in quotes, as in aspd run {whole}")
    question = as_text(words[0]) if words else None
    if question == "-" or (question is None and not sys.stdin.isatty()):
        try:
            question = sys.stdin.read()
        except OSError as error:
            raise ValueError(f"stdin cannot be read: {error.strerror}; see `aspd run --help`") from error
    if question is None or not question.strip():
        raise ValueError("no question; see `aspd run --help`")
    return question.strip()
