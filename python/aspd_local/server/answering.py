"""Answers under way as what a client gets of them: pieces of a stream, or one body."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from aspd_local.events import Done, ReadingOrder, Text
from aspd_local.results import Answer, TokenLogprob
from aspd_local.server import bodies
from aspd_local.server.bodies import Naming
from aspd_local.server.loop import Stream, Timed
from aspd_local.server.problems import problem_of
from aspd_local.server.sending import DONE, data_line

_log = logging.getLogger("aspd_local.server")
_MOST_PIECES = 8  # of text in one chunk: what was held back comes out step by step


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the client asked of the form. told: called with each finished answer."""

    live: bool
    usage: bool
    logprobs: bool
    told: Callable[[Answer], None]


async def whole(naming: Naming, streams: Sequence[Stream], wanted: Wanted) -> dict[str, Any]:
    """One body with all choices. Raises: as Stream.batches()."""
    choices, answers = [], []
    for index, stream in enumerate(streams):
        order = ReadingOrder()
        told: list[TokenLogprob] = []
        async for batch in stream.batches():
            for timed in batch:
                told += [each for piece in order.pieces(timed.event) for each in piece.logprobs]
                if isinstance(timed.event, Done):
                    answers.append(timed.event.result)
                    wanted.told(timed.event.result)
        choices.append(naming.choice(index, answers[-1], told if wanted.logprobs else None))
    first = answers[0]
    more = {"aspd": bodies.structure(first), "timings": bodies.timings(first)}
    return naming.whole(choices, usage=bodies.usage(answers), **more)


async def pieces(naming: Naming, streams: Sequence[Stream], wanted: Wanted) -> AsyncIterator[bytes]:
    """A stream: one choice after another, each in reading order; errors in mid-stream end it."""
    answers: list[Answer] = []
    writer = _Writer(naming, wanted)
    try:
        for index, stream in enumerate(streams):
            yield writer.begin(index)
            async for batch in stream.batches():
                for line in writer.lines(index, batch):
                    yield line
                if isinstance(done := batch[-1].event, Done):
                    answers.append(done.result)
                    wanted.told(done.result)
                    yield writer.end(index, done.result)
        if wanted.usage:
            yield data_line(naming.chunk(None, usage=bodies.usage(answers)))
        yield DONE
    except Exception as error:
        _log.warning("%s: %s", naming.id, error)
        yield data_line(problem_of(error).body())
    finally:
        for stream in streams:
            stream.cancel()


class _Writer:
    """Chunks of one stream. Remembers what is held back in reading order, and numbers the live chunks."""

    def __init__(self, naming: Naming, wanted: Wanted) -> None:
        self._naming = naming
        self._wanted = wanted
        self._order = ReadingOrder()
        self._number = 0

    def begin(self, index: int) -> bytes:
        """The chunk that says who speaks."""
        self._order = ReadingOrder()
        choice = self._naming.delta(index, "", None, None)
        if self._naming.kind == "chat":
            choice["delta"] = {"role": "assistant", "content": ""}
        return self._line(choice)

    def lines(self, index: int, batch: Sequence[Timed]) -> list[bytes]:
        """What happened in a step: text that may be read now, and, for live, all of its events."""
        texts = [piece for timed in batch for piece in self._order.pieces(timed.event)]
        events = [body for timed in batch if (body := bodies.event_body(timed))] if self._wanted.live else []
        lines = []
        source = iter(texts)
        while (group := list(islice(source, _MOST_PIECES))) or events:
            lines.append(self._line(self._choice(index, group), events))
            events = []
        return lines

    def end(self, index: int, answer: Answer) -> bytes:
        """The last chunk of a choice: its reason, structure and times."""
        choice = self._naming.delta(index, "", None, answer.finish_reason)
        said = {"aspd": bodies.structure(answer), "timings": bodies.timings(answer)}
        return data_line(self._naming.chunk(choice, **said, **self._no_usage()))

    def _choice(self, index: int, group: Sequence[Text]) -> dict[str, Any]:
        told = [each for piece in group for each in piece.logprobs]
        text = "".join(piece.text for piece in group)
        return self._naming.delta(index, text, told if self._wanted.logprobs else None, None)

    def _line(self, choice: dict[str, Any], events: Sequence[dict[str, Any]] = ()) -> bytes:
        more: dict[str, Any] = self._no_usage()
        if events:
            self._number += 1
            more["aspd"] = {"v": bodies.VERSION, "number": self._number, "events": list(events)}
        return data_line(self._naming.chunk(choice, **more))

    def _no_usage(self) -> dict[str, Any]:
        """With include_usage every chunk has the key, as with OpenAI."""
        return {"usage": None} if self._wanted.usage else {}
