"""Answers under way as what a client gets of them: pieces of a stream, or one body."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from aspd_local.events import Done, ReadingOrder, Text
from aspd_local.results import Answer, TokenLogprob
from aspd_local.server import bodies
from aspd_local.server.bodies import Naming
from aspd_local.server.loop import Stream, Timed
from aspd_local.server.problems import problem_of
from aspd_local.server.sending import DONE, data_line
from aspd_local.server.tools import Call, CallFilter, Offered, Said

_log = logging.getLogger("aspd_local.server")
_MOST_PIECES = 8  # of text in one chunk: what was held back comes out step by step


class Form(Protocol):
    """How the answers to one request are told."""

    async def whole(self, streams: Sequence[Stream]) -> dict[str, Any]:
        """One body with all of them. Raises: as Stream.batches()."""
        ...

    def pieces(self, streams: Sequence[Stream]) -> AsyncIterator[bytes]:
        """A stream. An error in mid-stream is told, and ends it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the client asked of the form.

    n: choices for each prompt. echo: the prompts, where the answer shall begin with its own.
    tools: what may be called. told, called: are given each finished answer, and its calls.
    """

    live: bool
    usage: bool
    logprobs: bool
    n: int
    echo: Sequence[str]
    tools: Offered
    told: Callable[[Answer], None]
    called: Callable[[Sequence[Call]], object]

    def read(self, text: str) -> Said:
        """The calls in a finished answer."""
        said = self.tools.read(text)
        self.called(said.calls)
        return said

    def echoed(self, index: int) -> str:
        """What a choice's text begins with."""
        return self.echo[index // self.n] if self.echo else ""


async def finished(stream: Stream, told: Callable[[Answer], None]) -> tuple[Answer, list[TokenLogprob]]:
    """A whole answer, and its tokens in reading order. Raises: as Stream.batches()."""
    order = ReadingOrder()
    tokens: list[TokenLogprob] = []
    async for batch in stream.batches():
        for timed in batch:
            tokens += [each for piece in order.pieces(timed.event) for each in piece.logprobs]
            if isinstance(timed.event, Done):
                answer = timed.event.result
    told(answer)
    return answer, tokens


class Choices:
    """A Form: OpenAI's chat completions, and its older completions."""

    def __init__(self, naming: Naming, wanted: Wanted) -> None:
        self._naming = naming
        self._wanted = wanted

    async def whole(self, streams: Sequence[Stream]) -> dict[str, Any]:
        """See Form."""
        wanted = self._wanted
        choices, answers = [], []
        for index, stream in enumerate(streams):
            answer, tokens = await finished(stream, wanted.told)
            answers.append(answer)
            said = wanted.read(answer.text)
            told = tokens if wanted.logprobs else None
            choices.append(self._naming.choice(index, answer, told, said, wanted.echoed(index)))
        more = bodies.facts(answers[0], len(wanted.echoed(0)))
        return self._naming.whole(choices, usage=bodies.usage(answers, wanted.n), **more)

    async def pieces(self, streams: Sequence[Stream]) -> AsyncIterator[bytes]:
        """See Form: one choice after another, each in reading order."""
        naming, wanted = self._naming, self._wanted
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
                yield data_line(naming.chunk(None, usage=bodies.usage(answers, wanted.n)))
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
        self._filter = CallFilter(wanted.tools)

    def begin(self, index: int) -> bytes:
        """The chunk that says who speaks."""
        self._order = ReadingOrder()
        self._filter = CallFilter(self._wanted.tools)
        choice = self._naming.delta(index, self._wanted.echoed(index), None, None)
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
        if self._wanted.tools.names and (rest := self._filter.rest(said.content)):
            lines.append(self._line(self._naming.delta(index, rest, None, None)))
        if said.calls:
            lines.append(self._line(self._naming.calls(index, said.calls)))
        choice = self._naming.delta(index, "", None, bodies.finish_reason(answer, said))
        facts = bodies.facts(answer, len(self._wanted.echoed(index)))
        return [*lines, data_line(self._naming.chunk(choice, **facts, **self._no_usage()))]

    def _choice(self, index: int, group: Sequence[Text]) -> dict[str, Any]:
        told = [each for piece in group for each in piece.logprobs]
        text = "".join(piece.text for piece in group)
        if self._wanted.tools.names:
            text = self._filter.feed(text)
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
