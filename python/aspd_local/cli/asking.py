"""One question to a model, shown while it is answered; Ctrl-C ends it. What run, chat and demo share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aspd_local.cli import progress
from aspd_local.cli.interrupts import interrupts
from aspd_local.cli.screen import Screen, show
from aspd_local.cli.streams import as_text

if TYPE_CHECKING:
    from aspd_local.chat import Message
    from aspd_local.cli.answerer import Answerer
    from aspd_local.events import Event
    from aspd_local.results import Answer

EXIT_INTERRUPTED = 130


@dataclass(frozen=True)
class Outcome:
    """What became of a question.

    Attributes:
        answer: None if Ctrl-C came before there was anything, or twice.
        interrupted: whether Ctrl-C was pressed.
    """

    answer: Answer | None
    interrupted: bool


def ask(engine: Answerer, start: Callable[[], Iterator[Event]], screen: Screen) -> Outcome:
    """Shows the events that `start` gives while they come. Raises: as Model.stream."""
    with interrupts(engine.cancel) as pressed, progress.Waiting("reading") as waiting:

        def started() -> None:
            pressed.answering = True
            waiting.stop()

        try:
            answer = show(start(), screen, on_first=started)
        except KeyboardInterrupt:
            answer = None
    return Outcome(answer, pressed.pressed or answer is None)


def conversation(system: str | None, turns: Sequence[Message]) -> list[Message]:
    """The messages as a model wants them; an empty system message is none."""
    first: list[Message] = [{"role": "system", "content": as_text(system)}] if system else []
    return [*first, *turns]
