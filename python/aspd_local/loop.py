"""From a prepared question to its events and its answer: every way to ask is a loop around step().

Several answers may be under way at once, from any threads and tasks, and one step serves them all (steps.py).
Knows no messages and no options.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from aspd_local import _core
from aspd_local.conversation import Conversation
from aspd_local.events import Done, Event, ReadingOrder
from aspd_local.prompting import Prepared
from aspd_local.results import Answer, TokenLogprob
from aspd_local.schedule import Schedule
from aspd_local.steps import Steps
from aspd_local.translate import answer_of, event_of
from aspd_local.under_way import Ticket

if TYPE_CHECKING:
    from aspd_local.instructions import Instructions


class Loop:
    """See the module's text. For any number of threads.

    Args:
        model: whose answers these are. steps: of its engine.
        schedule: sees how long the steps of each answer took.
        conversation: remembers each answer.
        instructions: are put into the engine before a question, and kept after it; None: they are not.
    """

    def __init__(
        self,
        model: _core.Model,
        steps: Steps,
        schedule: Schedule,
        conversation: Conversation,
        instructions: Instructions | None,
    ) -> None:
        self._model = model
        self._steps = steps
        self._schedule = schedule
        self._conversation = conversation
        self._instructions = instructions

    def answer(self, prepared: Sequence[Prepared]) -> Answer:
        """The answer to a question; those to the others, which are under way at once, in `others`."""
        tickets: list[Ticket] = []
        try:
            for each in prepared:
                tickets.append(self._begin(each))
            asked = zip(tickets, prepared, strict=True)
            first, *others = (_last_answer(self._follow(ticket, each)) for ticket, each in asked)
        finally:
            for ticket in tickets:
                ticket.leave()
        return replace(first, others=tuple(others)) if others else first

    async def aanswer(self, prepared: Sequence[Prepared]) -> Answer:
        """As answer(), without blocking the event loop."""
        import asyncio  # most programs need none of it, and it takes its time

        tasks = [asyncio.ensure_future(_alast_answer(self.aevents(each))) for each in prepared]
        try:
            first, *others = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return replace(first, others=tuple(others)) if others else first

    def events(self, prepared: Prepared) -> Iterator[Event]:
        """What happens, as it happens; the last is Done. Closing the iterator cancels the answer."""
        yield from self._follow(self._begin(prepared), prepared)

    async def aevents(self, prepared: Prepared) -> AsyncGenerator[Event]:
        """As events(), without blocking the event loop."""
        logprobs = _Logprobs(prepared)
        ticket = await self._steps.abegin(prepared.request, self._before(prepared), prepared.timeout)
        try:
            done = False
            while not done:
                event = await self._steps.anext(ticket)
                done = event.kind == _core.EventKind.DONE
                if done and prepared.instructions is not None:
                    await self._steps.acall(lambda _: self._keep_instructions(prepared))
                yield logprobs.pass_on(self._event(event, prepared))
        finally:
            ticket.leave_soon()

    def submit(self, prepared: Prepared) -> int:
        """As Model.submit()."""
        return self._steps.submit(prepared.request, self._before(prepared), prepared)

    def step(self) -> list[tuple[int, Event]]:
        """As Model.step()."""
        found: list[tuple[int, Event]] = []
        for event, prepared in self._steps.step():
            assert isinstance(prepared, Prepared), "submit() said what the answer is about"
            if event.kind == _core.EventKind.DONE:
                self._after(prepared)
            found.append((event.request, self._event(event, prepared)))
        return found

    def close(self) -> None:
        """Gives up the engine. Answers under way end with a ValueError, and so does every later call."""
        self._steps.close()
        self._instructions = None  # they hold it too

    def _begin(self, prepared: Prepared) -> Ticket:
        return self._steps.begin(prepared.request, self._before(prepared), prepared.timeout)

    def _follow(self, ticket: Ticket, prepared: Prepared) -> Iterator[Event]:
        logprobs = _Logprobs(prepared)
        try:
            done = False
            while not done:
                event = self._steps.next(ticket)
                done = event.kind == _core.EventKind.DONE
                if done:
                    self._after(prepared)
                yield logprobs.pass_on(self._event(event, prepared))
        finally:
            ticket.leave()

    def _event(self, event: _core.Event, prepared: Prepared) -> Event:
        return event_of(event, self._model, functools.partial(self._finish, prepared))

    def _finish(self, prepared: Prepared, result: _core.Result) -> Answer:
        self._conversation.remember(prepared, result)
        self._schedule.compare(result.timings)
        return answer_of(result, prepared.protocol, prepared.fallback)

    # --- instructions --------------------------------------------------------------------------------

    def _before(self, prepared: Prepared) -> Callable[[], None] | None:
        """What must be done before a question is submitted, with the engine to oneself."""
        kept = self._instructions
        if kept is None or prepared.instructions is None:
            return None
        return functools.partial(kept.before, prepared.instructions)

    def _after(self, prepared: Prepared) -> None:
        """What must be done when it is answered."""
        if self._instructions is not None and prepared.instructions is not None:
            with self._steps.inside():
                self._keep_instructions(prepared)

    def _keep_instructions(self, prepared: Prepared) -> None:
        if self._instructions is not None and prepared.instructions is not None:
            self._instructions.after(prepared.instructions)


class _Logprobs:
    """Gathers those of an answer's text, which its Done then has."""

    def __init__(self, prepared: Prepared) -> None:
        self._order = ReadingOrder() if prepared.request.n_logprobs >= 0 else None
        self._told: list[TokenLogprob] = []

    def pass_on(self, event: Event) -> Event:
        """The event, with all of them where it is the last."""
        if self._order is None:
            return event
        for piece in self._order.pieces(event):
            self._told += piece.logprobs
        if not isinstance(event, Done):
            return event
        return replace(event, result=replace(event.result, logprobs=tuple(self._told)))


def as_text(events: Iterator[Event]) -> Iterator[str]:
    """The text of events in reading order, piece by piece. Closes them when it is left."""
    order = ReadingOrder()
    try:
        for event in events:
            if piece := order.feed(event):
                yield piece
    finally:
        _close(events)


def _last_answer(events: Iterator[Event]) -> Answer:
    try:
        for event in events:
            if isinstance(event, Done):
                return event.result
    finally:
        _close(events)
    raise AssertionError("an answer ends with Done")


async def _alast_answer(events: AsyncIterator[Event]) -> Answer:
    async for event in events:
        if isinstance(event, Done):
            return event.result
    raise AssertionError("an answer ends with Done")


def _close(events: Iterator[Event]) -> None:
    close = getattr(events, "close", None)
    if close is not None:
        close()
