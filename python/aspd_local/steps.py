"""The answers under way in one engine, for any number of threads and event loops.

One thread at a time is inside the engine. Whoever waits for news of an answer makes the next step for all of
them, unless somebody else is making it; what else needs the engine (submit() and the calls about the cache)
goes before the next step. Knows requests, events and their order; knows neither chats nor protocols.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from aspd_local import _core
from aspd_local.errors import DecodeError
from aspd_local.log import drain_log
from aspd_local.sleepers import Sleepers, on_loop, shielded
from aspd_local.under_way import News, Ticket, UnderWay, When

if TYPE_CHECKING:
    import asyncio

_Value = TypeVar("_Value")
CLOSED = "the model is closed"


class Steps:
    """See the module's text. engine: nobody else's."""

    def __init__(self, engine: _core.Engine) -> None:
        self._engine: _core.Engine | None = engine
        self._changed = threading.Condition()  # guards all of the following
        self._inside = False  # somebody is in the engine
        self._n_calls = 0  # that wait for it, and go before the next step
        self._answers = UnderWay()
        self._sleepers = Sleepers()
        self._thread: ThreadPoolExecutor | None = None  # for those who must not block: one, as one is inside

    # --- the engine ------------------------------------------------------------------------------------

    @property
    def engine(self) -> _core.Engine:
        """The engine. Raises ValueError when closed."""
        if (engine := self._engine) is None:
            raise ValueError(CLOSED)
        return engine

    @property
    def is_closed(self) -> bool:
        """Whether close() was called."""
        return self._engine is None

    def replace_engine(self, engine: _core.Engine) -> None:
        """Goes on with another one in its place, such as one that counts the steps of this one."""
        with self.inside():
            self._engine = engine

    @contextmanager
    def inside(self) -> Iterator[_core.Engine]:
        """The engine to oneself, as soon as the step that runs is over. Raises ValueError when closed."""
        with self._changed:
            self._n_calls += 1
            try:
                while self._inside and self._engine is not None:
                    self._changed.wait()
                engine = self.engine
                self._inside = True
            finally:
                self._n_calls -= 1
        try:
            self._settle()
            yield engine
        finally:
            self._go_out()

    def close(self) -> None:
        """Breaks off the step that runs and gives up the engine. Whoever waits gets a ValueError."""
        with self._changed:
            engine, self._engine = self._engine, None
            if engine is None:
                return
            for request_id in self._answers.ids:
                engine.cancel(request_id)
            self._wake()
            while self._inside:
                self._changed.wait()
            self._answers.clear()
            if self._thread is not None:
                self._thread.shutdown(wait=False)

    # --- answers ---------------------------------------------------------------------------------------

    def begin(
        self, request: _core.Request, before: Callable[[], None] | None, timeout_s: float | None = None
    ) -> Ticket:
        """Submits a request. before: called first, with nobody in the engine. Raises: as Engine.submit()."""
        with self.inside() as engine:
            return self._submit(engine, request, before, timeout_s)

    async def abegin(
        self, request: _core.Request, before: Callable[[], None] | None, timeout_s: float | None = None
    ) -> Ticket:
        """As begin(), without blocking the event loop. Whoever is cancelled here leaves nothing behind."""
        begun: list[Ticket] = []
        wanted = True  # under the lock, as what is begun

        def submit(engine: _core.Engine) -> Ticket:
            ticket = self._submit(engine, request, before, timeout_s)
            with self._changed:
                begun.append(ticket)
                if not wanted:
                    ticket.leave_soon()
            return ticket

        try:
            return await self.acall(submit)
        except BaseException:
            with self._changed:
                wanted = False
                for ticket in begun:
                    ticket.leave_soon()
            raise

    def _submit(
        self,
        engine: _core.Engine,
        request: _core.Request,
        before: Callable[[], None] | None,
        timeout_s: float | None,
    ) -> Ticket:
        if before is not None:
            before()
        news: deque[News] = deque()
        ticket = Ticket(engine.submit(request), news, self.drop, timeout_s)
        with self._changed:
            self._answers.add(ticket.request_id, news=news)
        return ticket

    def submit(self, request: _core.Request, before: Callable[[], None] | None, about: object) -> int:
        """As begin(), for a request whose events step() gives out, each with `about`; its id."""
        with self.inside() as engine:
            if before is not None:
                before()
            request_id = engine.submit(request)
            with self._changed:
                self._answers.add(request_id, about=about)
            return request_id

    def next(self, ticket: Ticket) -> _core.Event:
        """The next event of an answer.

        Raises:
            DecodeError: a step of it could not be computed.
            TimeoutError: it has taken too long.
            ValueError: the model was closed.
        """
        while True:
            with self._changed:
                while (event := ticket.take()) is None and not (self._may_step() and self._engine):
                    _ = self.engine
                    self._changed.wait()
                if event is not None:
                    return event
                self._inside = True
            self._step_and_go_out()

    async def anext(self, ticket: Ticket) -> _core.Event:
        """As next(), without blocking the event loop."""
        while True:
            with self._changed:
                if (event := ticket.take()) is not None:
                    return event
                _ = self.engine
                steps = self._may_step()
                if steps:
                    self._inside = True
                    work: asyncio.Future[None] = on_loop(self._start(self._step_and_go_out))
                else:
                    work = self._sleepers.sleep()
            await shielded(work)

    def step(self) -> list[tuple[_core.Event, object]]:
        """One step; the events of requests of submit(), with what each is about.

        Raises DecodeError: as Engine.step().
        """
        with self.inside() as engine:
            error = self._step(engine)
        with self._changed:
            if error is not None:
                raise error
            return self._answers.gather()

    @property
    def has_work(self) -> bool:
        """Whether step() would do anything."""
        with self.inside() as engine:
            return self._answers.has_gathered or engine.has_work

    async def acall(self, call: Callable[[_core.Engine], _Value]) -> _Value:
        """What a call returns that has the engine to itself, computed on another thread."""
        with self._changed:
            self._n_calls += 1
        try:
            while True:
                with self._changed:
                    engine = self.engine
                    if not self._inside:
                        self._inside = True
                        break
                    asleep = self._sleepers.sleep()
                await asleep
        finally:
            with self._changed:
                self._n_calls -= 1
                self._wake()

        def run() -> _Value:
            try:
                self._settle()
                return call(engine)
            finally:
                self._go_out()

        with self._changed:
            work = on_loop(self._start(run))
        return await shielded(work)

    def cancel(self, request_id: int | None = None) -> None:
        """Ends an answer, or all that are under way: they keep what they have. From any thread."""
        with self._changed:
            engine = self._engine
            if engine is None:
                return
            for each in self._answers.ids if request_id is None else [request_id]:
                self._answers.cancel(each)
                engine.cancel(each)

    def drop(self, request_id: int, when: When) -> None:
        """Nobody wants an answer any more.

        Args:
            when: its cells are freed before this returns ("now") or on another thread ("soon"), if nobody is
                in the engine; by whoever is in it or comes next ("next").
        """
        with self._changed:
            engine = self._engine
            if engine is None or not self._answers.drop(request_id):
                return
            engine.cancel(request_id)
            if when == "next" or not self._may_step():
                return
            self._inside = True
            if when == "soon":
                self._start(self._step_and_go_out)
                return
        self._step_and_go_out()

    # --- inside ----------------------------------------------------------------------------------------

    def _may_step(self) -> bool:
        return not self._inside and self._n_calls == 0

    def _step_and_go_out(self) -> None:
        try:
            if (engine := self._engine) is not None:
                self._step(engine)
        finally:
            self._go_out()

    def _go_out(self) -> None:
        """The engine is free again, with the cells of answers that were dropped while somebody was in it."""
        settled: frozenset[int] = frozenset()
        while True:
            with self._changed:
                dropped = self._answers.dropped - settled
                if self._engine is None or not dropped:
                    self._set_free()
                    return
            settled |= dropped
            try:
                self._settle()
            except BaseException:
                self._set_free()
                raise

    def _set_free(self) -> None:
        with self._changed:
            self._inside = False
            self._wake()

    def _settle(self) -> None:
        """Frees the cells of answers that were dropped."""
        if self._answers.dropped and (engine := self._engine) is not None:
            self._step(engine)

    def _step(self, engine: _core.Engine) -> DecodeError | None:
        """One step; its events go to their queues, an error to those whose step it was, with the next one."""
        error = None
        events: list[_core.Event] = []
        try:
            events = engine.step()
        except DecodeError as failed:
            error = failed
        finally:
            drain_log()
        with self._changed:
            self._answers.tell(events, error)
            self._wake()
        return error

    def _wake(self) -> None:
        """Lets all look again who wait."""
        self._changed.notify_all()
        self._sleepers.wake()

    def _start(self, work: Callable[[], _Value]) -> Future[_Value]:
        """Runs what has the engine to itself on the thread for it."""
        try:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="aspd-steps")
            return self._thread.submit(work)
        except RuntimeError:  # the interpreter ends
            self._inside = False
            self._wake()
            raise
