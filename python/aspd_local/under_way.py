"""The answers that an engine works at, and what has happened to each and was not told yet.

Locks nothing: its owner (steps.py) does. Knows neither engines nor threads.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from aspd_local import _core
from aspd_local.errors import DecodeError

News = _core.Event | Exception
When = Literal["now", "soon", "next"]


class Ticket:
    """An answer under way. Whoever lets go of it, or calls leave(), ends the answer.

    Attributes:
        request_id: the engine's name of it.
    """

    def __init__(
        self, request_id: int, news: deque[News], drop: Callable[[int, When], None], timeout_s: float | None
    ) -> None:
        """news: what happens, as it comes. drop: ends the answer, see Steps.drop()."""
        self.request_id = request_id
        self._news = news
        self._drop = drop
        self._timeout_s = timeout_s
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._over = False

    def take(self) -> _core.Event | None:
        """What has happened and was not taken yet; None: nothing. Raises DecodeError, TimeoutError."""
        late = self._deadline is not None and time.monotonic() > self._deadline
        if late and not any(map(_is_end, self._news)):
            raise TimeoutError(f"the answer was not over after {self._timeout_s:g} seconds")
        if not self._news:
            return None
        news = self._news.popleft()
        if isinstance(news, Exception):
            self._over = True
            raise news
        self._over = news.kind == _core.EventKind.DONE
        return news

    def leave(self) -> None:
        """Ends the answer, if it is not over, and frees its cells."""
        self._leave("now")

    def leave_soon(self) -> None:
        """As leave(), without waiting: its cells become free on another thread."""
        self._leave("soon")

    def __del__(self) -> None:
        self._leave("next")  # perhaps within the collection of garbage, where nothing may be waited for

    def _leave(self, when: When) -> None:
        if not self._over:
            self._over = True
            self._drop(self.request_id, when)


@dataclass
class _Answer:
    """news: of its ticket; None: there is none, gather() gives them out with `about`."""

    news: deque[News] | None
    about: object
    cancelled: bool = False  # by who holds its ticket


class UnderWay:
    """All answers under way, by their ids."""

    def __init__(self) -> None:
        self._answers: dict[int, _Answer] = {}
        self._gathered: list[tuple[_core.Event, object]] = []  # of answers without a ticket
        self._dropped: set[int] = set()  # whose end the engine has not told yet
        self._failure: DecodeError | None = None  # of the step before

    @property
    def ids(self) -> list[int]:
        """Of all that somebody wants."""
        return list(self._answers)

    @property
    def dropped(self) -> frozenset[int]:
        """Ids of those that nobody wants, whose cells are not free yet."""
        return frozenset(self._dropped)

    @property
    def has_gathered(self) -> bool:
        """Whether gather() would give anything."""
        return bool(self._gathered)

    def add(self, request_id: int, *, news: deque[News] | None = None, about: object = None) -> None:
        """An answer begins. news: where its events go; None: to gather(), each with `about`."""
        self._answers[request_id] = _Answer(news, about)

    def cancel(self, request_id: int) -> None:
        """Its caller ends it: when it ends, that is no failure."""
        if (answer := self._answers.get(request_id)) is not None:
            answer.cancelled = True

    def drop(self, request_id: int) -> bool:
        """Nobody wants it any more. False: it is not under way."""
        if self._answers.pop(request_id, None) is None:
            return False
        self._dropped.add(request_id)
        return True

    def clear(self) -> None:
        """Forgets all, as the engine is gone."""
        self._answers.clear()
        self._gathered.clear()

    def tell(self, events: Sequence[_core.Event], error: DecodeError | None) -> None:
        """What a step brought, and the error with which it failed: told with the next one, as the engine does
        to those whose step it was.
        """
        failure, self._failure = self._failure, error
        for event in events:
            self._tell(event, failure)

    def gather(self) -> list[tuple[_core.Event, object]]:
        """The events of answers without a ticket, in order, each with what add() was told of it."""
        found, self._gathered = self._gathered, []
        return found

    def _tell(self, event: _core.Event, failure: DecodeError | None) -> None:
        ends = event.kind == _core.EventKind.DONE
        answer = self._answers.get(event.request)
        if answer is not None and answer.news is None:
            self._gathered.append((event, answer.about))
        elif answer is not None and answer.news is not None:
            lost = ends and event.result.finish_reason == _core.FinishReason.CANCELLED
            answer.news.append(failure if lost and failure and not answer.cancelled else event)
        if ends:
            self._answers.pop(event.request, None)
            self._dropped.discard(event.request)


def _is_end(news: News) -> bool:
    return isinstance(news, Exception) or news.kind == _core.EventKind.DONE
