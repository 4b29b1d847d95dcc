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
from aspd_local.server.tools import OPEN, Call, Said, read_calls

_log = logging.getLogger("aspd_local.server")
_MOST_PIECES = 8  # of text in one chunk: what was held back comes out step by step


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the client asked of the form.

    tools: functions that may be called. told, called: are given each finished answer, and its calls.
    """

    live: bool
    usage: bool
    logprobs: bool
    tools: tuple[str, ...]
    told: Callable[[Answer], None]
    called: Callable[[Sequence[Call]], object]

    def read(self, text: str) -> Said:
        """The calls in a finished answer."""
        said = read_calls(text, self.tools) if self.tools else Said(text, ())
        self.called(said.calls)
        return said


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
        said = wanted.read(answers[-1].text)
        choices.append(naming.choice(index, answers[-1], told if wanted.logprobs else None, said))
    return naming.whole(choices, usage=bodies.usage(answers), **bodies.facts(answers[0]))


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
                    for line in writer.end(index, done.result):
                        yield line
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
        self._sent = ""  # where tools are offered: the text that has left; what may be a call waits
        self._read = ""  # and the text so far

    def begin(self, index: int) -> bytes:
        """The chunk that says who speaks."""
        self._order = ReadingOrder()
        self._sent = self._read = ""
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

    def end(self, index: int, answer: Answer) -> list[bytes]:
        """What is left of a choice, its calls, and its last chunk: the reason, structure and times."""
        said = self._wanted.read(answer.text)
        lines = []
        if self._wanted.tools and (rest := said.content[len(self._sent) :]):
            lines.append(self._line(self._naming.delta(index, rest, None, None)))
        if said.calls:
            lines.append(self._line(self._naming.calls(index, said.calls)))
        choice = self._naming.delta(index, "", None, bodies.finish_reason(answer, said))
        return [*lines, data_line(self._naming.chunk(choice, **bodies.facts(answer), **self._no_usage()))]

    def _choice(self, index: int, group: Sequence[Text]) -> dict[str, Any]:
        told = [each for piece in group for each in piece.logprobs]
        text = "".join(piece.text for piece in group)
        if self._wanted.tools:
            text = self._without_calls(text)
        return self._naming.delta(index, text, told if self._wanted.logprobs else None, None)

    def _without_calls(self, text: str) -> str:
        """What of the text may leave: nothing from the first call on, nor the white space before it."""
        self._read += text
        before, found, _ = self._read.partition(OPEN)
        held = before.rstrip() if found else self._read.rstrip()
        if not found:
            most = max((n for n in range(len(OPEN)) if held.endswith(OPEN[:n])), default=0)
            held = held[: len(held) - most].rstrip() if most else held
        more, self._sent = held[len(self._sent) :], held
        return more

    def _line(self, choice: dict[str, Any], events: Sequence[dict[str, Any]] = ()) -> bytes:
        more: dict[str, Any] = self._no_usage()
        if events:
            self._number += 1
            more["aspd"] = {"v": bodies.VERSION, "number": self._number, "events": list(events)}
        return data_line(self._naming.chunk(choice, **more))

    def _no_usage(self) -> dict[str, Any]:
        """With include_usage every chunk has the key, as with OpenAI."""
        return {"usage": None} if self._wanted.usage else {}
